//! Relocations, as far as they say more than symbols do: static thread-local storage, and pointers in data.

use goblin::elf::{dynamic, header};

use super::Elf;
use super::image::Image;
use crate::facts::Part;
use crate::fields::index;

/// One relocation.
pub(crate) struct Relocation {
    /// The address that is filled.
    pub(crate) address: u64,
    /// How, by the processor's own numbers.
    kind: u32,
    /// The symbol whose address is added; 0 for none.
    pub(crate) symbol: u32,
    /// What is added; none when it stands at the address itself.
    pub(crate) addend: Option<u64>,
}

pub(super) fn read(elf: &mut Elf, image: &Image<'_>) {
    let Some(kinds) = thread_local(image.header.e_machine) else { return };
    let mut count = 0_u32;
    for table in tables(image) {
        let Some(table) = table else {
            elf.unread.push(Part::Relocations);
            continue;
        };
        let is_static = |relocation: &Relocation| kinds.contains(&relocation.kind);
        let found = table.entries(image).filter(is_static).count();
        count = count.saturating_add(u32::try_from(found).unwrap_or(u32::MAX));
    }
    elf.tls.static_relocations = count;
}

/// Every pointer that the loader fills in.
pub(crate) fn pointers<'i>(image: &'i Image<'_>) -> impl Iterator<Item = Relocation> + 'i {
    let kinds = pointer_kinds(image.header.e_machine);
    tables(image)
        .into_iter()
        .flatten()
        .flat_map(move |table| table.entries(image))
        .filter(move |relocation| kinds.contains(&relocation.kind))
}

struct Table {
    start: usize,
    entry: usize,
    count: usize,
}

impl Table {
    fn entries<'i>(self, image: &'i Image<'_>) -> impl Iterator<Item = Relocation> + 'i {
        let width = image.width();
        (0..self.count).map_while(move |number| {
            let start = self.start.checked_add(number.checked_mul(self.entry)?)?;
            let info = image.pointer(start.checked_add(width)?)?;
            Some(Relocation {
                address: image.pointer(start)?,
                kind: kind(image, info),
                symbol: symbol(image, info),
                addend: match self.entry / width {
                    3 => Some(image.pointer(start.checked_add(2 * width)?)?),
                    _ => None,
                },
            })
        })
    }
}

/// The lowest bits of the second field: 32 of them on 64-bit processors, 8 on others.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn kind(image: &Image<'_>, info: u64) -> u32 {
    if image.width() == 8 { info as u32 } else { info as u32 & 0xff }
}

/// What is left of the second field.
#[expect(clippy::cast_possible_truncation, reason = "32 bits are left")]
fn symbol(image: &Image<'_>, info: u64) -> u32 {
    if image.width() == 8 { (info >> 32) as u32 } else { info as u32 >> 8 }
}

/// The tables there are; `None` for one that does not lie in the file.
fn tables(image: &Image<'_>) -> Vec<Option<Table>> {
    let width = image.width();
    let with_addend = image.value(dynamic::DT_PLTREL) != Some(dynamic::DT_REL);
    [
        (dynamic::DT_RELA, dynamic::DT_RELASZ, true),
        (dynamic::DT_REL, dynamic::DT_RELSZ, false),
        (dynamic::DT_JMPREL, dynamic::DT_PLTRELSZ, with_addend),
    ]
    .into_iter()
    .filter_map(|(address, size, with_addend)| {
        let (address, size) = (image.value(address)?, image.value(size)?);
        let entry = if with_addend { 3 * width } else { 2 * width };
        let table = || {
            let start = image.offset(address)?;
            let size = index(size)?;
            image.bytes.get(start..start.checked_add(size)?)?;
            Some(Table { start, entry, count: size / entry })
        };
        (size > 0).then(table)
    })
    .collect()
}

/// The kinds that hold an offset from the thread's pointer: it is only known for what was there at start.
fn thread_local(machine: u16) -> Option<&'static [u32]> {
    Some(match machine {
        header::EM_X86_64 => &[18, 23],
        header::EM_386 => &[14, 37],
        header::EM_AARCH64 => &[1030],
        header::EM_ARM => &[19],
        header::EM_RISCV => &[10, 11],
        header::EM_PPC64 => &[73],
        header::EM_S390 => &[56],
        header::EM_LOONGARCH => &[10, 11],
        _ => return None,
    })
}

/// The kinds that hold a plain address: of the image with something added, and of a symbol.
fn pointer_kinds(machine: u16) -> &'static [u32] {
    match machine {
        header::EM_X86_64 | header::EM_386 => &[8, 1],
        header::EM_AARCH64 => &[1027, 257],
        header::EM_ARM => &[23, 2],
        _ => &[],
    }
}
