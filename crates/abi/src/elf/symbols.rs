//! The dynamic symbol table.
//!
//! Nothing in the file says how long it is. It is as long as its hash table says; GNU's hash table counts what is
//! exported only, so the section header is asked too.

use std::collections::HashMap;

use goblin::elf::section_header::{SHN_UNDEF, SHT_DYNSYM};
use goblin::elf::sym::{
    STB_LOCAL, STB_WEAK, STT_FUNC, STT_GNU_IFUNC, STT_OBJECT, STT_TLS, STV_HIDDEN, STV_INTERNAL,
};
use goblin::elf::{dynamic, header};
use serde::{Deserialize, Serialize};

use super::image::Image;
use super::{Elf, versions};
use crate::facts::Part;
use crate::fields::{Budget, index, wide};

/// The bit of a symbol's version that says: only who asks for this very version gets it.
const HIDDEN: u16 = 0x8000;

/// A symbol that must come from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its name.
    pub name: Box<str>,
    /// Whether the loader goes on without it.
    pub weak: bool,
    /// What it is; symbols that are not there yet often do not say.
    pub kind: SymbolKind,
    /// Which of [`Elf::versions`] it is bound to.
    pub version: Option<u16>,
}

/// A symbol that others can use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its name.
    pub name: Box<str>,
    /// What it is.
    pub kind: SymbolKind,
    /// Which of [`Elf::definitions`] it is defined with.
    pub version: Option<u16>,
    /// Whether who asks for no version, or links anew, gets this one.
    pub default: bool,
}

/// What a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SymbolKind {
    /// Code.
    Function,
    /// Data.
    Object,
    /// Data of each thread.
    ThreadLocal,
    /// It does not say.
    Unknown,
}

pub(super) fn read(elf: &mut Elf, image: &Image<'_>) {
    let definitions = versions::definitions(image);
    if definitions.is_none() {
        elf.unread.push(Part::VersionDefinitions);
    }
    let (numbers, names): (Vec<u16>, Vec<String>) =
        definitions.unwrap_or_default().into_iter().unzip();
    elf.definitions = names;
    if read_table(elf, image, &numbers).is_none() {
        elf.unread.push(Part::Symbols);
    }
}

/// The address of an exported symbol, as an offset into the file.
pub(crate) fn place(image: &Image<'_>, name: &str) -> Option<usize> {
    let table = Table::find(image)??;
    let symbol = (0..table.count)
        .map_while(|number| table.symbol(image, number))
        .filter(|symbol| symbol.section != SHN_UNDEF as u16)
        .find(|symbol| image.name(u64::from(symbol.name)) == Some(name.as_bytes()))?;
    // The lowest bit of a function's address on 32-bit ARM says which instruction set it is in.
    let is_arm = image.header.e_machine == header::EM_ARM;
    image.offset(if is_arm { symbol.value & !1 } else { symbol.value })
}

/// The address of the symbol with this number, when the file defines it.
pub(super) fn address(image: &Image<'_>, number: u32) -> Option<u64> {
    let start = image.offset(image.value(dynamic::DT_SYMTAB)?)?;
    // A number is as good as another as long as it is inside the file: no need to count the symbols.
    let table = Table { start, count: 0, versions: None };
    let symbol = table.symbol(image, wide(number))?;
    (symbol.section != SHN_UNDEF as u16).then_some(symbol.value)
}

fn read_table(elf: &mut Elf, image: &Image<'_>, definitions: &[u16]) -> Option<()> {
    let Some(table) = Table::find(image)? else { return Some(()) };
    let needs = by_number(elf.versions.iter().map(|need| need.number));
    let definitions = by_number(definitions.iter().copied());
    let mut budget = Budget::of(image.bytes.len());
    for number in 1..table.count {
        let symbol = table.symbol(image, number)?;
        if symbol.binding == STB_LOCAL || matches!(symbol.visibility, STV_HIDDEN | STV_INTERNAL) {
            continue;
        }
        let name = image.name(u64::from(symbol.name))?;
        if name.is_empty() {
            continue;
        }
        let name = budget.text(name)?.into_boxed_str();
        let version = table.version(image, number);
        let of = |numbers: &HashMap<u16, u16>| numbers.get(&(version? & !HIDDEN)).copied();
        if symbol.section == SHN_UNDEF as u16 {
            let (weak, version) = (symbol.binding == STB_WEAK, of(&needs));
            elf.imports.push(Import { name, weak, kind: symbol.kind, version });
        } else {
            let default = version.is_none_or(|version| version & HIDDEN == 0);
            let version = of(&definitions);
            elf.exports.push(Export { name, kind: symbol.kind, version, default });
        }
    }
    Some(())
}

fn by_number(numbers: impl Iterator<Item = u16>) -> HashMap<u16, u16> {
    numbers.zip(0..=u16::MAX).collect()
}

struct Table {
    start: usize,
    count: usize,
    versions: Option<usize>,
}

struct Symbol {
    name: u32,
    binding: u8,
    kind: SymbolKind,
    visibility: u8,
    section: u16,
    value: u64,
}

impl Table {
    /// The inner `None` says that there is no table, the outer one that it cannot be found.
    fn find(image: &Image<'_>) -> Option<Option<Self>> {
        let Some(address) = image.value(dynamic::DT_SYMTAB) else { return Some(None) };
        let start = image.offset(address)?;
        Some(Some(Self {
            start,
            count: count(image, start)?,
            versions: image.value(dynamic::DT_VERSYM).and_then(|address| image.offset(address)),
        }))
    }

    fn symbol(&self, image: &Image<'_>, number: usize) -> Option<Symbol> {
        let is_wide = image.width() == 8;
        let start = self.start.checked_add(number.checked_mul(entry_size(image))?)?;
        let at = |place: usize| start.checked_add(place);
        let (info, other, section, value) = if is_wide { (4, 5, 6, 8) } else { (12, 13, 14, 4) };
        let info = *image.bytes.get(at(info)?)?;
        Some(Symbol {
            name: image.word(start)?,
            binding: info >> 4,
            kind: match info & 15 {
                STT_FUNC | STT_GNU_IFUNC => SymbolKind::Function,
                STT_OBJECT => SymbolKind::Object,
                STT_TLS => SymbolKind::ThreadLocal,
                _ => SymbolKind::Unknown,
            },
            visibility: image.bytes.get(at(other)?)? & 3,
            section: image.half(at(section)?)?,
            value: image.pointer(at(value)?)?,
        })
    }

    fn version(&self, image: &Image<'_>, number: usize) -> Option<u16> {
        image.half(self.versions?.checked_add(number.checked_mul(2)?)?)
    }
}

fn entry_size(image: &Image<'_>) -> usize {
    if image.width() == 8 { 24 } else { 16 }
}

/// How many symbols there are; never more than fit into the file.
fn count(image: &Image<'_>, start: usize) -> Option<usize> {
    let room = image.bytes.len().checked_sub(start)? / entry_size(image);
    if let Some(address) = image.value(dynamic::DT_HASH) {
        let hash = image.offset(address)?;
        // The one 64-bit platform whose hash table has 64-bit numbers (Alpha, the other one, is no more).
        let is_wide = image.header.e_machine == header::EM_S390 && image.width() == 8;
        let chains = if is_wide {
            index(image.pointer(hash.checked_add(8)?)?)?
        } else {
            wide(image.word(hash.checked_add(4)?)?)
        };
        return (chains <= room).then_some(chains);
    }
    let hashed = match image.value(dynamic::DT_GNU_HASH) {
        Some(address) => hashed(image, image.offset(address)?, room)?,
        None => 0,
    };
    let listed = image.section_size(SHT_DYNSYM, start).and_then(index).unwrap_or_default();
    let count = hashed.max(listed / entry_size(image));
    // An empty GNU hash table and no section headers: nothing tells.
    (count > 0 && count <= room).then_some(count)
}

/// One more than the highest symbol that GNU's hash table knows.
fn hashed(image: &Image<'_>, start: usize, room: usize) -> Option<usize> {
    let field = |number: usize| Some(wide(image.word(start.checked_add(4 * number)?)?));
    let (buckets, first, bloom) = (field(0)?, field(1)?, field(2)?);
    let buckets_start = start.checked_add(16)?.checked_add(bloom.checked_mul(image.width())?)?;
    let chains_start = buckets_start.checked_add(buckets.checked_mul(4)?)?;
    if buckets > room.checked_mul(4)? || chains_start > image.bytes.len() {
        return None;
    }
    let mut last = 0;
    for bucket in 0..buckets {
        last = last.max(wide(image.word(buckets_start + 4 * bucket)?));
    }
    if last < first {
        return Some(0);
    }
    while last < room {
        let chain = chains_start.checked_add(4 * (last - first))?;
        last += 1;
        if image.word(chain)? & 1 != 0 {
            return Some(last);
        }
    }
    None
}
