//! Portable Executable: Windows.
//!
//! Only headers and import tables are walked. goblin's `PE::parse` reads everything else first and fails with it, and
//! it leaves out delay imports, through which most addons reach `node.exe`.

use goblin::pe::header::{
    COFF_MACHINE_ARM, COFF_MACHINE_ARM64, COFF_MACHINE_ARMNT, COFF_MACHINE_X86, COFF_MACHINE_X86_64,
};

use crate::facts::{Format, Identity, Kind, Machine};
use crate::fields::{Endian, index, text_at, u16_at, u32_at};

/// More libraries than any real binary imports.
const MAX_LIBRARIES: usize = 4096;

/// The format's own limit.
const MAX_SECTIONS: usize = 96;

const IMPORTS: usize = 1;
const DELAY_IMPORTS: usize = 13;
const CLR_HEADER: usize = 14;
const IMAGE_FILE_DLL: u16 = 0x2000;

/// The facts of a PE file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pe {
    /// What it is for.
    pub kind: Kind,
    /// Its processor; none for a .NET assembly, which is compiled where it runs.
    pub machine: Option<Machine>,
    /// The libraries it imports, then those it loads when they are first used.
    pub libraries: Vec<String>,
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
    let sections = header.sections(bytes)?;
    let mut libraries = Vec::new();
    for (directory, length, name) in [(IMPORTS, 20, 12), (DELAY_IMPORTS, 32, 4)] {
        let Some(address) = header.directory(bytes, directory) else { continue };
        let start = file_offset(&sections, address)?;
        for position in 0..MAX_LIBRARIES {
            let entry = start.checked_add(position.checked_mul(length)?)?;
            let name = u32_at(bytes, entry.checked_add(name)?, Endian::Little)?;
            // Delay imports of very old linkers hold addresses instead of offsets; Windows still takes them, we need not.
            let is_old =
                directory == DELAY_IMPORTS && u32_at(bytes, entry, Endian::Little)? & 1 == 0;
            if name == 0 || is_old {
                break;
            }
            libraries.push(text_at(bytes, file_offset(&sections, name)?)?);
        }
    }
    Some(Pe { kind: header.kind, machine: header.machine, libraries })
}

struct Header {
    machine: Option<Machine>,
    kind: Kind,
    section_count: usize,
    section_table: usize,
    directories: usize,
    directory_count: usize,
}

struct Section {
    address: u32,
    size: u32,
    offset: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(b"MZ") {
            return None;
        }
        let half = |offset| u16_at(bytes, offset, Endian::Little);
        let word = |offset| u32_at(bytes, offset, Endian::Little);
        let start = index(u64::from(word(0x3c)?))?;
        if bytes.get(start..start.checked_add(4)?)? != b"PE\0\0" {
            return None;
        }
        let coff = start.checked_add(4)?;
        let optional = coff.checked_add(20)?;
        let (directories, count) = match half(optional)? {
            0x10b => (optional.checked_add(96)?, word(optional.checked_add(92)?)?),
            0x20b => (optional.checked_add(112)?, word(optional.checked_add(108)?)?),
            _ => return None,
        };
        let mut header = Self {
            machine: Some(machine(half(coff)?)),
            kind: if half(coff.checked_add(18)?)? & IMAGE_FILE_DLL == 0 {
                Kind::Executable
            } else {
                Kind::Library
            },
            section_count: usize::from(half(coff.checked_add(2)?)?),
            section_table: optional.checked_add(usize::from(half(coff.checked_add(16)?)?))?,
            directories,
            directory_count: index(u64::from(count))?,
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
                Some(Section { address: word(12)?, size: word(16)?, offset: word(20)? })
            })
            .collect()
    }
}

fn file_offset(sections: &[Section], address: u32) -> Option<usize> {
    sections.iter().find_map(|section| {
        let within = address.checked_sub(section.address)?;
        let offset = (within < section.size).then(|| section.offset.checked_add(within))??;
        usize::try_from(offset).ok()
    })
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts;

    /// A DLL that imports `a.dll` and delay-loads `node.exe`.
    fn dll(clr: u32) -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        let mut put = |offset: usize, field: &[u8]| {
            bytes[offset..offset + field.len()].copy_from_slice(field);
        };
        put(0, b"MZ");
        put(0x3c, &0x80_u32.to_le_bytes());
        put(0x80, b"PE\0\0");
        put(0x84, &COFF_MACHINE_X86_64.to_le_bytes());
        put(0x86, &1_u16.to_le_bytes());
        put(0x94, &240_u16.to_le_bytes());
        put(0x96, &IMAGE_FILE_DLL.to_le_bytes());
        put(0x98, &0x20b_u16.to_le_bytes());
        put(0x98 + 108, &16_u32.to_le_bytes());
        let directories = 0x98 + 112;
        put(directories + 8 * IMPORTS, &0x1000_u32.to_le_bytes());
        put(directories + 8 * DELAY_IMPORTS, &0x1080_u32.to_le_bytes());
        put(directories + 8 * CLR_HEADER, &clr.to_le_bytes());
        let section = 0x98 + 240;
        for (offset, field) in [(12, 0x1000_u32), (16, 0x200), (20, 0x200)] {
            put(section + offset, &field.to_le_bytes());
        }
        put(0x200 + 12, &0x1100_u32.to_le_bytes());
        put(0x280, &1_u32.to_le_bytes());
        put(0x280 + 4, &0x1110_u32.to_le_bytes());
        put(0x300, b"a.dll\0");
        put(0x310, b"node.exe\0");
        bytes
    }

    #[test]
    fn reads_imports_and_delay_imports() {
        let facts = facts::read(&dll(0)).expect("well formed");
        assert_eq!(facts.libraries().collect::<Vec<_>>(), ["a.dll", "node.exe"]);
        assert_eq!(facts.machines(), [Machine::X64]);
        assert_eq!(facts::identify(&dll(0)).expect("well formed").kind, Kind::Library);
    }

    #[test]
    fn an_assembly_has_no_processor() {
        assert_eq!(facts::identify(&dll(0x1180)).expect("well formed").machines, []);
    }

    proptest! {
        #[test]
        fn damage_is_survived(changes in prop::collection::vec((0_usize..0x400, any::<u8>()), 1..8)) {
            let mut bytes = dll(0);
            for (place, value) in changes {
                bytes[place] = value;
            }
            let _ = (facts::read(&bytes), facts::identify(&bytes));
        }
    }
}
