//! What each processor is called in the files of a Linux machine.

use gangway_artifact::Cpu;

/// A processor's names and places.
#[derive(Debug)]
pub struct Arch {
    /// Which one.
    pub cpu: Cpu,
    /// Its number in ELF.
    pub machine: u16,
    /// glibc's loader: the path that every program made for glibc has in it.
    pub glibc_loader: &'static str,
    /// musl's loader, by its name.
    pub musl_name: &'static str,
    /// The folder below `lib` that Debian and its like have its libraries in.
    pub triplet: &'static str,
    /// How glibc's loader marks its libraries in its cache.
    pub cache_flags: u32,
}

const ARCHES: [Arch; 2] = [
    Arch {
        cpu: Cpu::X64,
        machine: 62,
        glibc_loader: "/lib64/ld-linux-x86-64.so.2",
        musl_name: "x86_64",
        triplet: "x86_64-linux-gnu",
        cache_flags: 0x0303,
    },
    Arch {
        cpu: Cpu::Arm64,
        machine: 183,
        glibc_loader: "/lib/ld-linux-aarch64.so.1",
        musl_name: "aarch64",
        triplet: "aarch64-linux-gnu",
        cache_flags: 0x0a03,
    },
];

impl Arch {
    /// That of a processor.
    #[must_use]
    pub fn of(cpu: Cpu) -> &'static Self {
        match cpu {
            Cpu::X64 => &ARCHES[0],
            Cpu::Arm64 => &ARCHES[1],
        }
    }
}
