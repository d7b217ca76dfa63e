//! The code of a PE file, and where the system enters it.

use super::{Image, Pe, exports};
use crate::fields::{Endian, u32_at, wide};
use crate::instructions::{self, Code, Instructions, Region, Roots};

pub(super) fn read(pe: &Pe, image: &Image<'_>) -> Instructions {
    let Some(machine) = pe.machine else { return Instructions::default() };
    let regions = image.sections.iter().filter(|section| section.is_code()).filter_map(|section| {
        Some(Region { address: u64::from(section.address), bytes: image.section_bytes(section)? })
    });
    let code = Code::new(machine, image.bytes.len(), regions);
    let entry = image.header.optional.checked_add(16);
    let entry = entry.and_then(|place| u32_at(image.bytes, place, Endian::Little));
    let exported = exports::place(image, "napi_register_module_v1");
    let exported = exported.and_then(|place| address(image, place));
    let functions =
        [entry.filter(|entry| *entry != 0), exported].into_iter().flatten().map(u64::from);
    // Programs call `main` themselves, so there is nothing to be handed on.
    let roots = Roots { start: None, functions: functions.collect() };
    instructions::read(&code, &roots, &|_| None)
}

/// Where the bytes at a place in the file are in memory, relative to the image.
fn address(image: &Image<'_>, place: usize) -> Option<u32> {
    image.sections.iter().find_map(|section| {
        let within = u32::try_from(place.checked_sub(wide(section.offset))?).ok()?;
        (within < section.size).then(|| section.address.checked_add(within))?
    })
}
