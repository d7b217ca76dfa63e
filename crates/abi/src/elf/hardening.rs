//! What a file asks of the loader's protections: stack, write access, binding, alignment.

use goblin::elf::dynamic;
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_GNU_RELRO, PT_GNU_STACK, PT_LOAD, PT_TLS};
use serde::{Deserialize, Serialize};

use super::image::Image;
use super::{Elf, Load, MAX_ENTRIES};

/// `DT_RELR`; goblin does not know it.
const DT_RELR: u64 = 36;

/// What a file says of its stack (`PT_GNU_STACK`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stack {
    /// Nothing: then x86 and 32-bit ARM take it for an executable one.
    #[default]
    Unsaid,
    /// It holds data only.
    Data,
    /// It must be executable; glibc refuses that to libraries since 2.41.
    Executable,
}

/// How much of the loader's tables is read-only once the program runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Relro {
    /// Nothing.
    #[default]
    None,
    /// What is filled at start, not the table of functions that are bound when first called.
    Partial,
    /// Everything.
    Full,
}

pub(super) fn read(elf: &mut Elf, image: &Image<'_>) {
    let flags = image.value(dynamic::DT_FLAGS).unwrap_or_default();
    let flags_1 = image.value(dynamic::DT_FLAGS_1).unwrap_or_default();
    elf.binds_now = flags & dynamic::DF_BIND_NOW != 0
        || flags_1 & dynamic::DF_1_NOW != 0
        || image.value(dynamic::DT_BIND_NOW).is_some();
    elf.text_relocations =
        flags & dynamic::DF_TEXTREL != 0 || image.value(dynamic::DT_TEXTREL).is_some();
    elf.tls.is_static = flags & dynamic::DF_STATIC_TLS != 0;
    elf.relr = image.value(DT_RELR).is_some();
    elf.stack = match image.segment(PT_GNU_STACK) {
        None => Stack::Unsaid,
        Some(segment) if segment.p_flags & PF_X != 0 => Stack::Executable,
        Some(_) => Stack::Data,
    };
    elf.relro = match image.segment(PT_GNU_RELRO) {
        None => Relro::None,
        Some(_) if elf.binds_now => Relro::Full,
        Some(_) => Relro::Partial,
    };
    if let Some(segment) = image.segment(PT_TLS) {
        elf.tls.size = segment.p_memsz;
        elf.tls.align = segment.p_align;
    }
    let loads = image.segments.iter().filter(|segment| segment.p_type == PT_LOAD);
    elf.loads = loads
        .take(MAX_ENTRIES)
        .map(|segment| Load {
            offset: segment.p_offset,
            address: segment.p_vaddr,
            align: segment.p_align,
            readable: segment.p_flags & PF_R != 0,
            writable: segment.p_flags & PF_W != 0,
            executable: segment.p_flags & PF_X != 0,
        })
        .collect();
}
