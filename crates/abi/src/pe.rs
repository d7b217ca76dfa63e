//! Portable Executable: Windows.
//!
//! Only headers and the tables of imports and exports are walked. goblin's `PE::parse` reads everything else first and
//! fails with it, and it leaves out delay imports, through which most addons reach `node.exe`.

mod addon;
mod code;
mod exports;
mod imports;

use goblin::pe::header::{
    COFF_MACHINE_ARM, COFF_MACHINE_ARM64, COFF_MACHINE_ARMNT, COFF_MACHINE_X86, COFF_MACHINE_X86_64,
};
use serde::{Deserialize, Serialize};

pub use imports::{DelayHook, HostImport, ImportedSymbol, PeImport};

use crate::facts::{Format, Identity, Kind, Machine, Part};
use crate::fatbin::{self, GpuCode};
use crate::fields::{Endian, index, text_at, u16_at, u32_at, u64_at, wide};
use crate::instructions::Instructions;
use crate::node::{self, NodeFacts};
use crate::payload::{self, Payload};
use crate::version::Version;

/// The format's own limit.
const MAX_SECTIONS: usize = 96;

const EXPORTS: usize = 0;
const IMPORTS: usize = 1;
const CERTIFICATES: usize = 4;
const DELAY_IMPORTS: usize = 13;
const CLR_HEADER: usize = 14;
const IMAGE_FILE_DLL: u16 = 0x2000;

/// The facts of a PE file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pe {
    /// What it is for.
    pub kind: Kind,
    /// Its processor; none for a .NET assembly, which is compiled where it runs.
    pub machine: Option<Machine>,
    /// The name it was linked under, as its exports give it.
    pub name: Option<String>,
    /// The libraries it imports, then those it loads when they are first used.
    pub imports: Vec<PeImport>,
    /// The names it offers.
    pub exports: Vec<Box<str>>,
    /// The numbers under which it offers functions: the first, and how many.
    pub export_ordinals: (u32, u32),
    /// Its import of the program that loads it.
    pub host: Option<HostImport>,
    /// Which part of Windows starts it.
    pub subsystem: Subsystem,
    /// The oldest version of that part. What linkers write here says little about what a program really needs.
    pub subsystem_version: Version,
    /// The oldest version of Windows, by the same linkers.
    pub os_version: Version,
    /// `DllCharacteristics`, as they stand in the file.
    pub characteristics: u16,
    /// Whether a section can both be written and run.
    pub writable_code: bool,
    /// Whether a certificate table is attached (Authenticode). Whether it is valid is not looked at.
    pub signed: bool,
    /// What its code asks of the processor.
    pub instructions: Instructions,
    /// Code for graphics cards.
    pub gpu: Vec<GpuCode>,
    /// What it is to Node and its kin; `None` when it is no addon.
    pub node: Option<NodeFacts>,
    /// Signs that its code is packed where no reader sees it. A heuristic.
    pub payload: Option<Payload>,
    /// What is there and could not be read.
    pub unread: Vec<Part>,
}

/// The part of Windows that starts a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Subsystem {
    /// With a console.
    Console,
    /// With windows.
    Gui,
    /// Another one, by its number.
    Other(u16),
}

impl Default for Subsystem {
    fn default() -> Self {
        Self::Other(0)
    }
}

impl Pe {
    /// Whether its place in memory can be random (`DYNAMIC_BASE`).
    #[must_use]
    pub fn relocatable(&self) -> bool {
        self.characteristics & 0x40 != 0
    }

    /// Whether it agrees to data that is never run (`NX_COMPAT`).
    #[must_use]
    pub fn no_execute(&self) -> bool {
        self.characteristics & 0x100 != 0
    }

    /// Whether it takes part in control flow guard.
    #[must_use]
    pub fn control_flow_guard(&self) -> bool {
        self.characteristics & 0x4000 != 0
    }

    /// Whether it opens libraries by itself while it runs.
    #[must_use]
    pub fn opens_libraries(&self) -> bool {
        self.imports.iter().flat_map(|import| &import.symbols).any(|symbol| match symbol {
            ImportedSymbol::Name(name) => name.starts_with("LoadLibrary"),
            ImportedSymbol::Ordinal(_) => false,
        })
    }
}

pub(crate) fn identify(head: &[u8]) -> Option<Identity> {
    let header = Header::read(head)?;
    Some(Identity {
        format: Format::Pe,
        machines: header.machine.into_iter().collect(),
        kind: header.kind,
    })
}

pub(crate) fn read(bytes: &[u8]) -> Option<Pe> {
    let header = Header::read(bytes)?;
    let image = Image { bytes, sections: header.sections(bytes)?, header };
    let header = &image.header;
    let optional = |place: usize| header.optional.checked_add(place);
    let version = |place: usize| {
        let part = |place| u16_at(bytes, optional(place)?, Endian::Little).map(u32::from);
        Some(Version::of(part(place)?, part(place + 2)?, 0))
    };
    let mut pe = Pe {
        kind: header.kind,
        machine: header.machine,
        subsystem: match u16_at(bytes, optional(68)?, Endian::Little)? {
            2 => Subsystem::Gui,
            3 => Subsystem::Console,
            other => Subsystem::Other(other),
        },
        os_version: version(40)?,
        subsystem_version: version(48)?,
        characteristics: u16_at(bytes, optional(70)?, Endian::Little)?,
        writable_code: image.sections.iter().any(Section::is_writable_code),
        signed: header.directory(bytes, CERTIFICATES).is_some(),
        ..Pe::default()
    };
    imports::read(&mut pe, &image);
    exports::read(&mut pe, &image);
    pe.host = imports::host(&pe, &image);
    if let Some(section) = image.sections.iter().find(|section| &section.name == b".nv_fatb") {
        pe.gpu = fatbin::read(image.section_bytes(section).unwrap_or_default());
    }
    let names = pe.imports.iter().flat_map(|import| &import.symbols);
    pe.node = node::classify(
        pe.machine.unwrap_or_default(),
        names.filter_map(|symbol| match symbol {
            ImportedSymbol::Name(name) => Some(&**name),
            ImportedSymbol::Ordinal(_) => None,
        }),
        pe.exports.iter().map(|name| &**name),
        &image,
    );
    pe.payload = payload::probe(bytes, pe.opens_libraries(), &pe.gpu);
    pe.instructions = code::read(&pe, &image);
    Some(pe)
}

struct Header {
    machine: Option<Machine>,
    kind: Kind,
    is_wide: bool,
    base: u64,
    optional: usize,
    section_count: usize,
    section_table: usize,
    directories: usize,
    directory_count: usize,
}

struct Section {
    name: [u8; 8],
    address: u32,
    size: u32,
    offset: u32,
    flags: u32,
}

impl Section {
    fn is_writable(&self) -> bool {
        self.flags & 0x8000_0000 != 0
    }

    fn is_code(&self) -> bool {
        self.flags & 0x2000_0000 != 0
    }

    fn is_writable_code(&self) -> bool {
        self.is_writable() && self.is_code()
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(b"MZ") {
            return None;
        }
        let half = |offset| u16_at(bytes, offset, Endian::Little);
        let word = |offset| u32_at(bytes, offset, Endian::Little);
        let start = wide(word(0x3c)?);
        if bytes.get(start..start.checked_add(4)?)? != b"PE\0\0" {
            return None;
        }
        let coff = start.checked_add(4)?;
        let optional = coff.checked_add(20)?;
        let is_wide = match half(optional)? {
            0x10b => false,
            0x20b => true,
            _ => return None,
        };
        let (base, count, directories) = match is_wide {
            true => (u64_at(bytes, optional.checked_add(24)?, Endian::Little)?, 108, 112),
            false => (u64::from(word(optional.checked_add(28)?)?), 92, 96),
        };
        let mut header = Self {
            machine: Some(machine(half(coff)?)),
            kind: if half(coff.checked_add(18)?)? & IMAGE_FILE_DLL == 0 {
                Kind::Executable
            } else {
                Kind::Library
            },
            is_wide,
            base,
            optional,
            section_count: usize::from(half(coff.checked_add(2)?)?),
            section_table: optional.checked_add(usize::from(half(coff.checked_add(16)?)?))?,
            directories: optional.checked_add(directories)?,
            directory_count: wide(word(optional.checked_add(count)?)?),
        };
        if header.directory(bytes, CLR_HEADER).is_some() {
            header.machine = None;
        }
        Some(header)
    }

    /// The address of a data directory that is not empty.
    fn directory(&self, bytes: &[u8], number: usize) -> Option<u32> {
        if number >= self.directory_count {
            return None;
        }
        let address = u32_at(bytes, self.directories.checked_add(number * 8)?, Endian::Little)?;
        (address != 0).then_some(address)
    }

    fn sections(&self, bytes: &[u8]) -> Option<Vec<Section>> {
        (0..self.section_count.min(MAX_SECTIONS))
            .map(|number| {
                let start = self.section_table.checked_add(number * 40)?;
                let word = |offset| u32_at(bytes, start.checked_add(offset)?, Endian::Little);
                Some(Section {
                    name: bytes.get(start..start.checked_add(8)?)?.try_into().ok()?,
                    address: word(12)?,
                    size: word(16)?,
                    offset: word(20)?,
                    flags: word(36)?,
                })
            })
            .collect()
    }
}

/// Where things are in a PE file.
struct Image<'a> {
    bytes: &'a [u8],
    header: Header,
    sections: Vec<Section>,
}

impl Image<'_> {
    /// Where in the file the bytes at an address, relative to the image, are.
    fn offset(&self, address: u32) -> Option<usize> {
        self.sections.iter().find_map(|section| {
            let within = address.checked_sub(section.address)?;
            let offset = (within < section.size).then(|| section.offset.checked_add(within))??;
            index(u64::from(offset))
        })
    }

    /// Where in the file the bytes at an absolute address are.
    fn offset_of(&self, address: u64) -> Option<usize> {
        self.offset(u32::try_from(address.checked_sub(self.header.base)?).ok()?)
    }

    fn half(&self, offset: usize) -> Option<u16> {
        u16_at(self.bytes, offset, Endian::Little)
    }

    fn word(&self, offset: usize) -> Option<u32> {
        u32_at(self.bytes, offset, Endian::Little)
    }

    fn text(&self, address: u32) -> Option<String> {
        text_at(self.bytes, self.offset(address)?)
    }

    fn directory(&self, number: usize) -> Option<u32> {
        self.header.directory(self.bytes, number)
    }

    fn section_bytes(&self, section: &Section) -> Option<&[u8]> {
        let start = wide(section.offset);
        let end = start.checked_add(wide(section.size))?.min(self.bytes.len());
        self.bytes.get(start..end)
    }
}

fn machine(number: u16) -> Machine {
    match number {
        COFF_MACHINE_X86 => Machine::X86,
        COFF_MACHINE_X86_64 => Machine::X64,
        COFF_MACHINE_ARM | COFF_MACHINE_ARMNT => Machine::Arm,
        COFF_MACHINE_ARM64 => Machine::Arm64,
        other => Machine::Other(u32::from(other)),
    }
}

#[cfg(test)]
mod tests;
