//! The code of an ELF file, and where the system enters it.

use goblin::elf::{dynamic, header};

use super::image::Image;
use super::{Elf, relocations, symbols};
use crate::facts::Kind;
use crate::fields::index;
use crate::instructions::{self, Code, Instructions, Roots};

/// More functions than any file has called when it is loaded; the largest known has 1,800.
const MAX_FUNCTIONS: u64 = 16_384;

pub(super) fn read(elf: &Elf, image: &Image<'_>) -> Instructions {
    let has_code = matches!(elf.kind, Kind::Executable | Kind::Library);
    if !has_code || image.header.e_ident[header::EI_DATA] != header::ELFDATA2LSB {
        return Instructions::default();
    }
    let code = Code::new(elf.machine, image.bytes.len(), image.code().into_iter());
    let pointer = |address: u64| {
        let written = relocations::pointers(image)
            .find(|relocation| relocation.address == address && relocation.symbol == 0);
        match written.and_then(|relocation| relocation.addend) {
            Some(addend) => Some(addend),
            None => image.pointer(image.offset(address)?).filter(|value| *value != 0),
        }
    };
    let mut functions = first_functions(image);
    let exported = |name| Some(address(image, symbols::place(image, name)?));
    functions.extend(exported("napi_register_module_v1").flatten());
    let start =
        (elf.kind == Kind::Executable).then_some(image.header.e_entry).filter(|entry| *entry != 0);
    instructions::read(&code, &Roots { start, functions }, &pointer)
}

/// `DT_INIT` and those in `DT_INIT_ARRAY`.
fn first_functions(image: &Image<'_>) -> Vec<u64> {
    let mut functions: Vec<u64> = image.value(dynamic::DT_INIT).into_iter().collect();
    let (Some(start), Some(size)) =
        (image.value(dynamic::DT_INIT_ARRAY), image.value(dynamic::DT_INIT_ARRAYSZ))
    else {
        return functions;
    };
    let width = image.width() as u64;
    let end = start.saturating_add(size.min(MAX_FUNCTIONS * width));
    let written: std::collections::HashMap<u64, u64> = relocations::pointers(image)
        .filter(|relocation| (start..end).contains(&relocation.address) && relocation.symbol == 0)
        .filter_map(|relocation| Some((relocation.address, relocation.addend?)))
        .collect();
    let mut place = start;
    while place < end {
        let there = || image.pointer(image.offset(place)?);
        functions.extend(written.get(&place).copied().or_else(there));
        place = place.saturating_add(width);
    }
    functions
}

/// Where the bytes at a place in the file are in memory.
fn address(image: &Image<'_>, place: usize) -> Option<u64> {
    image.segments.iter().find_map(|segment| {
        let within = place.checked_sub(index(segment.p_offset)?)? as u64;
        let is_inside =
            segment.p_type == goblin::elf::program_header::PT_LOAD && within < segment.p_filesz;
        is_inside.then(|| segment.p_vaddr.checked_add(within))?
    })
}
