//! What a file offers.

use super::{EXPORTS, Image, Pe};
use crate::facts::Part;
use crate::fields::{Budget, name_at, wide};

pub(super) fn read(pe: &mut Pe, image: &Image<'_>) {
    let Some(address) = image.directory(EXPORTS) else { return };
    let read = Table::find(image, address).and_then(|table| {
        pe.name = image.text(table.name).filter(|name| !name.is_empty());
        pe.export_ordinals = (table.first, table.functions);
        let mut budget = Budget::of(image.bytes.len());
        for number in 0..table.names {
            pe.exports.push(budget.text(table.name(image, number)?)?.into_boxed_str());
        }
        Some(())
    });
    if read.is_none() {
        pe.unread.push(Part::Exports);
    }
}

/// Where an exported function starts in the file.
pub(super) fn place(image: &Image<'_>, wanted: &str) -> Option<usize> {
    let table = Table::find(image, image.directory(EXPORTS)?)?;
    let number = (0..table.names)
        .map_while(|number| table.name(image, number))
        .position(|name| name == wanted.as_bytes())?;
    let ordinals = image.offset(table.ordinal_table)?;
    let ordinal = image.half(ordinals.checked_add(number.checked_mul(2)?)?)?;
    let functions = image.offset(table.function_table)?;
    image.offset(image.word(functions.checked_add(4 * usize::from(ordinal))?)?)
}

struct Table {
    name: u32,
    first: u32,
    functions: u32,
    names: usize,
    function_table: u32,
    name_table: u32,
    ordinal_table: u32,
}

impl Table {
    fn find(image: &Image<'_>, address: u32) -> Option<Self> {
        let start = image.offset(address)?;
        let field = |place: usize| image.word(start.checked_add(place)?);
        Some(Self {
            name: field(12)?,
            first: field(16)?,
            functions: field(20)?,
            names: wide(field(24)?),
            function_table: field(28)?,
            name_table: field(32)?,
            ordinal_table: field(36)?,
        })
    }

    fn name<'a>(&self, image: &'a Image<'_>, number: usize) -> Option<&'a [u8]> {
        let start = image.offset(self.name_table)?;
        let address = image.word(start.checked_add(number.checked_mul(4)?)?)?;
        name_at(image.bytes, image.offset(address)?)
    }
}
