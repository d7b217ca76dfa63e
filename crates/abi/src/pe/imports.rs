//! What a file imports: at load time, and when it is first used (delay imports).

use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::{DELAY_IMPORTS, IMPORTS, Image, Pe};
use crate::facts::{Kind, Part};
use crate::fields::{Budget, Endian, name_at, u64_at};

/// More libraries than any real binary imports.
const MAX_LIBRARIES: usize = 4096;

/// A library and what is used of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeImport {
    /// Its name. Windows does not look at the case.
    pub library: Box<str>,
    /// Whether it is loaded when it is first used, rather than at the start.
    pub delayed: bool,
    /// What is used of it.
    pub symbols: Vec<ImportedSymbol>,
}

/// A function or variable of another library.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ImportedSymbol {
    /// By name.
    Name(Box<str>),
    /// By number.
    Ordinal(u16),
}

/// An addon's import of the program that loads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostImport {
    /// The name the addon knows its host by: mostly `node.exe`.
    pub library: Box<str>,
    /// What happens when the host has another name.
    pub hook: DelayHook,
}

/// What happens when a host does not have the name that an addon imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DelayHook {
    /// The addon is not found a host: its import is an ordinary one.
    None,
    /// It is a delay import, and the host's name stands in the file a second time: node-gyp's hook compares with it and
    /// takes the running program instead. A heuristic: what the linker makes of the hook has no name.
    Likely,
    /// It is a delay import, and there is no trace of such a hook.
    Unseen,
}

pub(super) fn read(pe: &mut Pe, image: &Image<'_>) {
    let mut budget = Budget::of(image.bytes.len());
    if read_imports(pe, image, &mut budget).is_none() {
        pe.unread.push(Part::Imports);
    }
    if read_delay_imports(pe, image, &mut budget).is_none() {
        pe.unread.push(Part::DelayImports);
    }
}

/// The import of the program that loads an addon.
pub(super) fn host(pe: &Pe, image: &Image<'_>) -> Option<HostImport> {
    if pe.kind != Kind::Library {
        return None;
    }
    let is_host = |import: &&PeImport| {
        let name = import.library.to_ascii_lowercase();
        name.ends_with(".exe") || matches!(&*name, "libnode.dll" | "node.dll" | "nw.dll")
    };
    let import = pe.imports.iter().find(is_host)?;
    let hook = match import.delayed {
        false => DelayHook::None,
        true if mentions(image.bytes, &import.library) > 1 => DelayHook::Likely,
        true => DelayHook::Unseen,
    };
    Some(HostImport { library: import.library.clone(), hook })
}

/// How often a name stands in the file as a text of its own, in either case.
fn mentions(bytes: &[u8], name: &str) -> usize {
    let mut spellings = vec![name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()];
    spellings.dedup();
    let count = |name: &String| {
        let text = [name.as_bytes(), b"\0"].concat();
        memmem::find_iter(bytes, &text)
            .filter(|place| {
                place.checked_sub(1).is_none_or(|before| !bytes[before].is_ascii_graphic())
            })
            .count()
    };
    spellings.iter().map(count).sum()
}

fn read_imports(pe: &mut Pe, image: &Image<'_>, budget: &mut Budget) -> Option<()> {
    let Some(address) = image.directory(IMPORTS) else { return Some(()) };
    let start = image.offset(address)?;
    for number in 0..MAX_LIBRARIES {
        let entry = start.checked_add(20 * number)?;
        let field = |place: usize| image.word(entry.checked_add(place)?);
        let (names, library, addresses) = (field(0)?, field(12)?, field(16)?);
        if library == 0 {
            return Some(());
        }
        let library = budget.text(name_at(image.bytes, image.offset(library)?)?)?.into();
        // Old linkers write one table only, which the loader overwrites with addresses.
        let table = if names == 0 { addresses } else { names };
        let symbols = symbols(image, table, budget)?;
        pe.imports.push(PeImport { library, delayed: false, symbols });
    }
    None
}

fn read_delay_imports(pe: &mut Pe, image: &Image<'_>, budget: &mut Budget) -> Option<()> {
    let Some(address) = image.directory(DELAY_IMPORTS) else { return Some(()) };
    let start = image.offset(address)?;
    for number in 0..MAX_LIBRARIES {
        let entry = start.checked_add(32 * number)?;
        let field = |place: usize| image.word(entry.checked_add(place)?);
        let (attributes, library, names) = (field(0)?, field(4)?, field(16)?);
        if library == 0 {
            return Some(());
        }
        // Linkers before Visual C++ 7 wrote absolute addresses.
        let base = if attributes & 1 == 0 { u32::try_from(image.header.base).ok()? } else { 0 };
        let library = library.checked_sub(base)?;
        let library = budget.text(name_at(image.bytes, image.offset(library)?)?)?.into();
        let symbols = match names {
            0 => Vec::new(),
            names => symbols(image, names.checked_sub(base)?, budget)?,
        };
        pe.imports.push(PeImport { library, delayed: true, symbols });
    }
    None
}

/// A table of names and numbers that ends with a zero.
fn symbols(image: &Image<'_>, table: u32, budget: &mut Budget) -> Option<Vec<ImportedSymbol>> {
    let start = image.offset(table)?;
    let width = if image.header.is_wide { 8 } else { 4 };
    let mut symbols = Vec::new();
    loop {
        let place = start.checked_add(symbols.len().checked_mul(width)?)?;
        let (entry, is_number) = match image.header.is_wide {
            true => {
                let entry = u64_at(image.bytes, place, Endian::Little)?;
                (entry, entry >> 63 != 0)
            }
            false => {
                let entry = u64::from(image.word(place)?);
                (entry, entry >> 31 != 0)
            }
        };
        if entry == 0 {
            return Some(symbols);
        }
        symbols.push(if is_number {
            budget.take(b"")?;
            ImportedSymbol::Ordinal(u16::try_from(entry & 0xffff).ok()?)
        } else {
            // A hint of two bytes comes before the name.
            let name = image.offset(u32::try_from(entry & 0x7fff_ffff).ok()?)?.checked_add(2)?;
            ImportedSymbol::Name(budget.text(name_at(image.bytes, name)?)?.into())
        });
    }
}
