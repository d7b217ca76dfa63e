//! The symbol table: what is undefined in it must come from elsewhere.

use serde::{Deserialize, Serialize};

use super::{Image, Slice};
use crate::facts::Part;
use crate::fields::{Budget, name_at, u16_at, u32_at, wide};

const MH_TWOLEVEL: u32 = 0x80;

const N_STAB: u8 = 0xe0;
const N_TYPE: u8 = 0x0e;
const N_EXT: u8 = 0x01;
const N_PEXT: u8 = 0x10;
const N_WEAK_REF: u16 = 0x40;

/// A symbol that must come from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachOImport {
    /// Its name, with the underscore that C puts before it.
    pub name: Box<str>,
    /// Whether the loader goes on without it.
    pub weak: bool,
    /// Where it is looked for.
    pub source: Source,
}

/// Where a symbol is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Source {
    /// In one of [`Slice::dependencies`], counted from 0.
    Dependency(u8),
    /// In the file itself.
    Own,
    /// In the program that loads it.
    Program,
    /// Everywhere: what addons do for the functions of their host.
    Anywhere,
}

pub(super) struct Table {
    pub(super) start: usize,
    pub(super) count: usize,
    pub(super) strings: usize,
}

/// One entry of the table.
pub(super) struct Symbol<'a> {
    pub(super) name: &'a [u8],
    kind: u8,
    description: u16,
}

pub(super) fn read(slice: &mut Slice, image: &Image<'_>) {
    let mut budget = Budget::of(image.bytes.len());
    let add = |symbol: Symbol<'_>| {
        if symbol.is_undefined() {
            let name = budget.text(symbol.name)?.into_boxed_str();
            let weak = symbol.description & N_WEAK_REF != 0;
            slice.imports.push(MachOImport { name, weak, source: source(image, &symbol) });
        }
        Some(())
    };
    if each(image, add).is_none() {
        slice.unread.push(Part::Symbols);
    }
}

/// Hands every symbol to `visit`; `None` as soon as one cannot be read, or `visit` has had enough.
pub(super) fn each<'a>(
    image: &Image<'a>,
    mut visit: impl FnMut(Symbol<'a>) -> Option<()>,
) -> Option<()> {
    let Some(table) = &image.symbols else { return Some(()) };
    let endian = image.header.endian;
    let size = if image.header.is_wide { 16 } else { 12 };
    let end = table.start.checked_add(table.count.checked_mul(size)?)?;
    for entry in image.bytes.get(table.start..end)?.chunks_exact(size) {
        let kind = entry[4];
        if kind & N_STAB != 0 {
            continue;
        }
        let name = table.strings.checked_add(wide(u32_at(entry, 0, endian)?))?;
        visit(Symbol {
            name: name_at(image.bytes, name)?,
            kind,
            description: u16_at(entry, 6, endian)?,
        })?;
    }
    Some(())
}

impl Symbol<'_> {
    fn is_undefined(&self) -> bool {
        self.kind & N_TYPE == 0 && self.kind & N_EXT != 0
    }

    pub(super) fn is_exported(&self) -> bool {
        self.kind & N_TYPE != 0 && self.kind & (N_EXT | N_PEXT) == N_EXT
    }
}

fn source(image: &Image<'_>, symbol: &Symbol<'_>) -> Source {
    if image.header.flags & MH_TWOLEVEL == 0 {
        return Source::Anywhere;
    }
    match symbol.description.to_be_bytes()[0] {
        0 => Source::Own,
        0xff => Source::Program,
        0xfe => Source::Anywhere,
        number => Source::Dependency(number - 1),
    }
}
