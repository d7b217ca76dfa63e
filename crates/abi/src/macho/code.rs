//! The code of a Mach-O file, and where the system enters it.

use goblin::mach::load_command as command;

use super::{Image, Slice, exports};
use crate::facts::Kind;
use crate::fields::{index, u32_at, u64_at, wide};
use crate::instructions::{self, Code, Instructions, Region, Roots};

/// More sections than any real binary has.
const MAX_SECTIONS: usize = 256;

/// More functions than any file has called when it is loaded.
const MAX_FUNCTIONS: usize = 16_384;

/// A section that matters here.
pub(super) struct Section {
    address: u64,
    start: usize,
    size: usize,
    holds: Holds,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Code,
    /// Pointers to functions that are called first (`S_MOD_INIT_FUNC_POINTERS`).
    Pointers,
    /// The same, as 32-bit distances from the start of the image (`S_INIT_FUNC_OFFSETS`).
    Offsets,
}

/// Takes the sections of a segment's load command.
pub(super) fn sections(image: &mut Image<'_>, content: &[u8]) -> Option<()> {
    const ONLY_INSTRUCTIONS: u32 = 0x8000_0000;
    let endian = image.header.endian;
    if u32_at(content, 0, endian)? != command::LC_SEGMENT_64 {
        return Some(());
    }
    let count = wide(u32_at(content, 64, endian)?);
    for section in content.get(72..)?.as_chunks::<80>().0.iter().take(count) {
        let flags = u32_at(section, 64, endian)?;
        let holds = match flags & 0xff {
            _ if flags & ONLY_INSTRUCTIONS != 0 => Holds::Code,
            9 => Holds::Pointers,
            22 => Holds::Offsets,
            _ => continue,
        };
        if image.sections.len() == MAX_SECTIONS {
            break;
        }
        image.sections.push(Section {
            address: u64_at(section, 32, endian)?,
            size: index(u64_at(section, 40, endian)?)?,
            start: wide(u32_at(section, 48, endian)?),
            holds,
        });
    }
    Some(())
}

pub(super) fn read(slice: &Slice, image: &Image<'_>) -> Instructions {
    if !matches!(slice.kind, Kind::Executable | Kind::Library) {
        return Instructions::default();
    }
    let bytes = |section: &Section| {
        image.bytes.get(section.start..section.start.checked_add(section.size)?)
    };
    let with_code = image.sections.iter().filter(|section| section.holds == Holds::Code);
    let regions = with_code
        .filter_map(|section| Some(Region { address: section.address, bytes: bytes(section)? }));
    let code = Code::new(slice.machine, image.bytes.len(), regions);
    let base = image.base().unwrap_or_default();
    let mut functions: Vec<u64> =
        image.main.and_then(|main| base.checked_add(main)).into_iter().collect();
    let exported = exports::place(image, "_napi_register_module_v1");
    functions.extend(exported.and_then(|place| image.address(place)));
    for section in &image.sections {
        let width = match section.holds {
            Holds::Code => continue,
            Holds::Pointers => 8,
            Holds::Offsets => 4,
        };
        for number in 0..(section.size / width).min(MAX_FUNCTIONS) {
            let Some(place) = section.start.checked_add(number * width) else { break };
            let function = match section.holds {
                Holds::Offsets => u32_at(image.bytes, place, image.header.endian)
                    .and_then(|distance| base.checked_add(u64::from(distance))),
                _ => image.target(place).and_then(|place| image.address(place)),
            };
            functions.extend(function);
        }
    }
    instructions::read(&code, &Roots { start: None, functions }, &|_| None)
}

impl Image<'_> {
    /// Where the bytes at a place in the file are in memory.
    fn address(&self, place: usize) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let within = place.checked_sub(index(segment.offset)?)? as u64;
            (within < segment.size).then(|| segment.address.checked_add(within))?
        })
    }
}
