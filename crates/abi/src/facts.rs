//! What a binary says of itself, whatever its format.

use serde::{Deserialize, Serialize};

use crate::archive::{self, Archive};
use crate::elf::{self, Elf};
use crate::macho::{self, MachO, Slice};
use crate::node::NodeFacts;
use crate::payload::Payload;
use crate::pe::{self, Pe};

/// What was read from a binary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "one per file, and most are the largest variant")]
pub enum Facts {
    /// Linux and its kin.
    Elf(Elf),
    /// macOS.
    MachO(MachO),
    /// Windows.
    Pe(Pe),
    /// A static library of any of them.
    Archive(Archive),
}

/// What a binary is, as far as its first bytes tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The container.
    pub format: Format,
    /// The processors it has code for; several only in a fat Mach-O file, none when it is for every one (a .NET assembly).
    pub machines: Vec<Machine>,
    /// What it is for.
    pub kind: Kind,
}

/// A container of native code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    /// Executable and Linkable Format.
    Elf,
    /// Mach object file.
    MachO,
    /// Portable Executable.
    Pe,
}

/// What a binary is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A program.
    Executable,
    /// A library or an addon.
    Library,
    /// Compiler output that still has to be linked.
    Object,
    /// A core dump, debug symbols, or something else.
    #[default]
    Other,
}

/// A processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Machine {
    /// 32-bit x86.
    X86,
    /// x86-64.
    X64,
    /// 32-bit ARM.
    Arm,
    /// AArch64.
    Arm64,
    /// RISC-V.
    Riscv,
    /// LoongArch.
    Loong,
    /// 64-bit POWER.
    Ppc64,
    /// IBM Z.
    S390,
    /// MIPS.
    Mips,
    /// Another one, by its number in the container; not always a processor (BPF, GPU code).
    Other(u32),
}

impl Default for Machine {
    /// None that exists.
    fn default() -> Self {
        Self::Other(0)
    }
}

/// A part of a binary that is there and could not be read: what it would have said is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Part {
    /// ELF: the dynamic table, or a name in it.
    Dynamic,
    /// ELF: the versions that are needed.
    VersionNeeds,
    /// ELF: the versions that are defined.
    VersionDefinitions,
    /// The table of symbols, or a name in it.
    Symbols,
    /// ELF: a table of relocations.
    Relocations,
    /// The list of libraries and symbols that are imported.
    Imports,
    /// PE: what is imported when it is first used.
    DelayImports,
    /// What is exported.
    Exports,
}

/// Reads a whole binary. `None`: it is not one, or its headers are broken.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Facts> {
    if archive::is_archive(bytes) {
        return archive::read(bytes).map(Facts::Archive);
    }
    match format(bytes)? {
        Format::Elf => elf::read(bytes).map(Facts::Elf),
        Format::MachO => macho::read(bytes).map(Facts::MachO),
        Format::Pe => pe::read(bytes).map(Facts::Pe),
    }
}

/// Reads what the first bytes of a file tell; 4096 of them are enough for every binary in use. A static library is not
/// told apart here: the head of one does not say what is in it, and nothing loads it.
#[must_use]
pub fn identify(head: &[u8]) -> Option<Identity> {
    match format(head)? {
        Format::Elf => elf::identify(head),
        Format::MachO => macho::identify(head),
        Format::Pe => pe::identify(head),
    }
}

fn format(bytes: &[u8]) -> Option<Format> {
    match bytes.get(..4)? {
        b"\x7fELF" => Some(Format::Elf),
        b"\xcf\xfa\xed\xfe" | b"\xce\xfa\xed\xfe" | b"\xfe\xed\xfa\xcf" | b"\xfe\xed\xfa\xce" => {
            Some(Format::MachO)
        }
        b"\xca\xfe\xba\xbe" | b"\xca\xfe\xba\xbf" => Some(Format::MachO),
        [b'M', b'Z', ..] => Some(Format::Pe),
        _ => None,
    }
}

impl Facts {
    /// The libraries the loader must find, as the binary names them: before anything runs, or when first used. One that
    /// it can do without is not among them.
    pub fn libraries(&self) -> impl Iterator<Item = &str> {
        let names: Vec<&str> = match self {
            Self::Elf(elf) => elf.needed.iter().map(String::as_str).collect(),
            Self::MachO(macho) => macho.slices.iter().flat_map(Slice::required).collect(),
            Self::Pe(pe) => pe.imports.iter().map(|import| &*import.library).collect(),
            Self::Archive(_) => Vec::new(),
        };
        names.into_iter()
    }

    /// The processors it has code for.
    #[must_use]
    pub fn machines(&self) -> Vec<Machine> {
        match self {
            Self::Elf(elf) => vec![elf.machine],
            Self::MachO(macho) => macho.slices.iter().map(|slice| slice.machine).collect(),
            Self::Pe(pe) => pe.machine.into_iter().collect(),
            Self::Archive(archive) => archive.machines.iter().copied().collect(),
        }
    }

    /// What it is to Node and its kin; one for each processor in a fat file.
    pub fn node(&self) -> impl Iterator<Item = &NodeFacts> {
        let (one, slices) = match self {
            Self::Elf(elf) => (elf.node.as_ref(), None),
            Self::Pe(pe) => (pe.node.as_ref(), None),
            Self::MachO(macho) => (None, Some(&macho.slices)),
            Self::Archive(_) => (None, None),
        };
        let slices = slices.into_iter().flatten().filter_map(|slice| slice.node.as_ref());
        one.into_iter().chain(slices)
    }

    /// Signs that its code is packed.
    #[must_use]
    pub fn payload(&self) -> Option<&Payload> {
        match self {
            Self::Elf(elf) => elf.payload.as_ref(),
            Self::MachO(macho) => macho.slices.iter().find_map(|slice| slice.payload.as_ref()),
            Self::Pe(pe) => pe.payload.as_ref(),
            Self::Archive(_) => None,
        }
    }

    /// What is there and could not be read.
    pub fn unread(&self) -> impl Iterator<Item = Part> {
        let lists: Vec<&[Part]> = match self {
            Self::Elf(elf) => vec![&elf.unread],
            Self::MachO(macho) => macho.slices.iter().map(|slice| &slice.unread[..]).collect(),
            Self::Pe(pe) => vec![&pe.unread],
            Self::Archive(_) => Vec::new(),
        };
        lists.into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{LazyLock, Mutex};

    use proptest::prelude::*;

    use super::*;

    /// This test program: a real binary on every platform the tests run on.
    static SELF: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(|| {
        let path = std::env::current_exe().expect("tests run from a file");
        Mutex::new(std::fs::read(path).expect("a running program can be read"))
    });

    #[test]
    fn reads_this_very_program() {
        let bytes = SELF.lock().expect("no test panics while holding it");
        let facts = read(&bytes).expect("it runs, so it is a binary");
        let identity = identify(&bytes[..4096]).expect("the head is enough");
        assert_eq!(facts.machines(), identity.machines);
        assert_eq!(identity.kind, Kind::Executable);
        #[cfg(target_arch = "x86_64")]
        assert!(facts.machines().contains(&Machine::X64));
    }

    #[test]
    fn other_files_are_not_binaries() {
        for bytes in [&b""[..], b"\x7fEL", b"#!/bin/sh\n", b"\0asm\x01\0\0\0", b"MZ", b"MZ\x90\0"] {
            assert_eq!(read(bytes), None, "{bytes:?}");
            assert_eq!(identify(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_java_class_is_not_a_fat_binary() {
        let mut class = b"\xca\xfe\xba\xbe\0\0\0\x34".to_vec();
        class.resize(4096, 1);
        assert_eq!(read(&class), None);
        assert_eq!(identify(&class), None);
    }

    /// Headers, and on Linux the version tables behind them.
    const DAMAGED: usize = 16 * 1024;

    fn place() -> impl Strategy<Value = usize> {
        prop_oneof![0_usize..64, 0_usize..1024, 0..DAMAGED]
    }

    fn magic() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(b"\x7fELF\x02\x01\x01".to_vec()),
            Just(b"\x7fELF\x01\x02\x01".to_vec()),
            Just(b"\xcf\xfa\xed\xfe\x07\0\0\x01".to_vec()),
            Just(b"\xca\xfe\xba\xbe\0\0\0\x02".to_vec()),
            Just(b"MZ".to_vec()),
            Just(Vec::new()),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(head in magic(), body in prop::collection::vec(any::<u8>(), 0..600)) {
            let bytes = [head, body].concat();
            let _ = (read(&bytes), identify(&bytes));
        }

        /// Real structure with wrong numbers in it goes deeper than noise does.
        #[test]
        fn damaged_headers_are_survived(
            changes in prop::collection::vec((place(), any::<u8>()), 1..6),
            keep in prop::option::of(0_usize..8192),
        ) {
            let mut bytes = SELF.lock().expect("no test panics while holding it");
            let before: Vec<u8> = bytes[..DAMAGED].to_vec();
            for (place, value) in changes {
                bytes[place] = value;
            }
            let end = keep.unwrap_or(bytes.len());
            let _ = (read(&bytes[..end]), identify(&bytes[..end]));
            bytes[..DAMAGED].copy_from_slice(&before);
        }
    }
}
