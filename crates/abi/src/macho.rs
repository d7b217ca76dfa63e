//! Mach-O: macOS.
//!
//! goblin's `MachO::parse` also evaluates entry points and symbol tables, with sums that overflow on broken files;
//! here only the load commands are walked.

use goblin::mach::MultiArch;
use goblin::mach::cputype::{CPU_TYPE_ARM, CPU_TYPE_ARM64, CPU_TYPE_X86, CPU_TYPE_X86_64};
use goblin::mach::header::{MH_BUNDLE, MH_DYLIB, MH_EXECUTE, MH_OBJECT};
use goblin::mach::load_command::{CommandVariant, LoadCommand};

use crate::facts::{Format, Identity, Kind, Machine};
use crate::fields::{Endian, index, text_at, u32_at};

/// More slices than there are architectures. A Java class has the same magic number, and at least 43 here.
const MAX_SLICES: usize = 20;

/// More load commands than any real binary has.
const MAX_COMMANDS: u32 = 4096;

/// The facts of a Mach-O file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachO {
    /// One per architecture; never empty.
    pub slices: Vec<Slice>,
}

/// The code for one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// What it is for.
    pub kind: Kind,
    /// Its processor.
    pub machine: Machine,
    /// The name it answers to (`LC_ID_DYLIB`).
    pub install_name: Option<String>,
    /// The libraries it needs and cannot do without.
    pub libraries: Vec<String>,
}

pub(crate) fn read(bytes: &[u8]) -> Option<MachO> {
    let slices = if is_fat(bytes) {
        fat_slices(bytes)?.map(|(_, range)| slice(bytes.get(range)?)).collect::<Option<Vec<_>>>()?
    } else {
        vec![slice(bytes)?]
    };
    (!slices.is_empty()).then_some(MachO { slices })
}

pub(crate) fn identify(head: &[u8]) -> Option<Identity> {
    let (machines, kind) = if is_fat(head) {
        // The slices lie behind the head; what addons and tools ship fat are libraries, so that is the guess.
        (fat_slices(head)?.map(|(machine, _)| machine).collect(), Kind::Library)
    } else {
        let header = Header::read(head)?;
        (vec![header.machine], header.kind)
    };
    Some(Identity { format: Format::MachO, machines, kind })
}

fn is_fat(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xca\xfe\xba\xbe")
}

fn fat_slices(
    bytes: &[u8],
) -> Option<impl Iterator<Item = (Machine, std::ops::Range<usize>)> + use<>> {
    let fat = MultiArch::new(bytes).ok()?;
    if fat.narches == 0 || fat.narches > MAX_SLICES {
        return None;
    }
    let slices = fat.arches().ok()?;
    let ranges = slices
        .iter()
        .map(|arch| {
            let start = usize::try_from(arch.offset).ok()?;
            Some((
                machine(arch.cputype),
                start..start.checked_add(usize::try_from(arch.size).ok()?)?,
            ))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(ranges.into_iter())
}

struct Header {
    endian: Endian,
    length: usize,
    machine: Machine,
    kind: Kind,
    commands: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (endian, length) = match bytes.get(..4)? {
            b"\xcf\xfa\xed\xfe" => (Endian::Little, 32),
            b"\xce\xfa\xed\xfe" => (Endian::Little, 28),
            b"\xfe\xed\xfa\xcf" => (Endian::Big, 32),
            b"\xfe\xed\xfa\xce" => (Endian::Big, 28),
            _ => return None,
        };
        Some(Self {
            endian,
            length,
            machine: machine(u32_at(bytes, 4, endian)?),
            kind: match u32_at(bytes, 12, endian)? {
                MH_EXECUTE => Kind::Executable,
                MH_DYLIB | MH_BUNDLE => Kind::Library,
                MH_OBJECT => Kind::Object,
                _ => Kind::Other,
            },
            commands: u32_at(bytes, 16, endian)?,
        })
    }
}

fn slice(bytes: &[u8]) -> Option<Slice> {
    let header = Header::read(bytes)?;
    let endian = match header.endian {
        Endian::Little => goblin::container::Endian::Little,
        Endian::Big => goblin::container::Endian::Big,
    };
    let mut slice = Slice {
        kind: header.kind,
        machine: header.machine,
        install_name: None,
        libraries: Vec::new(),
    };
    let mut offset = header.length;
    for _ in 0..header.commands.min(MAX_COMMANDS) {
        let start = offset;
        let command = LoadCommand::parse(bytes, &mut offset, endian).ok()?;
        if offset <= start {
            return None;
        }
        match command.command {
            CommandVariant::LoadDylib(library)
            | CommandVariant::ReexportDylib(library)
            | CommandVariant::LoadUpwardDylib(library)
            | CommandVariant::LazyLoadDylib(library) => {
                slice.libraries.push(name(bytes, start, library.dylib.name)?);
            }
            CommandVariant::IdDylib(library) => {
                slice.install_name = Some(name(bytes, start, library.dylib.name)?);
            }
            _ => {}
        }
    }
    Some(slice)
}

fn name(bytes: &[u8], command: usize, offset: u32) -> Option<String> {
    text_at(bytes, command.checked_add(index(u64::from(offset))?)?)
}

fn machine(cpu: u32) -> Machine {
    match cpu {
        CPU_TYPE_X86 => Machine::X86,
        CPU_TYPE_X86_64 => Machine::X64,
        CPU_TYPE_ARM => Machine::Arm,
        CPU_TYPE_ARM64 => Machine::Arm64,
        other => Machine::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts;

    fn thin(cpu: u32, library: &str) -> Vec<u8> {
        let mut bytes = b"\xcf\xfa\xed\xfe".to_vec();
        let size = u32::try_from((24 + library.len() + 8) & !7).expect("short");
        for field in [cpu, 0, MH_BUNDLE, 1, size, 0, 0, 0xc, size, 24, 0, 0, 0] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(library.as_bytes());
        bytes.resize(32 + size as usize, 0);
        bytes
    }

    #[test]
    fn reads_a_bundle() {
        let bytes = thin(CPU_TYPE_ARM64, "/usr/lib/libSystem.B.dylib");
        let facts = facts::read(&bytes).expect("well formed");
        assert_eq!(facts.libraries().collect::<Vec<_>>(), ["/usr/lib/libSystem.B.dylib"]);
        let identity = facts::identify(&bytes).expect("well formed");
        assert_eq!(identity.machines, [Machine::Arm64]);
        assert_eq!(identity.kind, Kind::Library);
    }

    #[test]
    fn reads_every_slice_of_a_fat_file() {
        let slices = [thin(CPU_TYPE_X86_64, "a.dylib"), thin(CPU_TYPE_ARM64, "b.dylib")];
        let mut bytes = b"\xca\xfe\xba\xbe\0\0\0\x02".to_vec();
        for (position, (cpu, slice)) in
            [CPU_TYPE_X86_64, CPU_TYPE_ARM64].iter().zip(&slices).enumerate()
        {
            let offset = u32::try_from(256 * (position + 1)).expect("small");
            let size = u32::try_from(slice.len()).expect("small");
            for field in [*cpu, 0, offset, size, 8] {
                bytes.extend(field.to_be_bytes());
            }
        }
        for (position, slice) in slices.iter().enumerate() {
            bytes.resize(256 * (position + 1), 0);
            bytes.extend(slice);
        }
        let facts = facts::read(&bytes).expect("well formed");
        assert_eq!(facts.machines(), [Machine::X64, Machine::Arm64]);
        assert_eq!(facts.libraries().collect::<Vec<_>>(), ["a.dylib", "b.dylib"]);
        assert_eq!(facts::identify(&bytes).expect("well formed").machines, facts.machines());
    }

    proptest! {
        #[test]
        fn damage_is_survived(changes in prop::collection::vec((0_usize..80, any::<u8>()), 1..8)) {
            let mut bytes = thin(CPU_TYPE_ARM64, "/usr/lib/libSystem.B.dylib");
            for (place, value) in changes {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = value;
                }
            }
            let _ = (facts::read(&bytes), facts::identify(&bytes));
        }
    }
}
