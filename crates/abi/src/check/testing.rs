//! Bundles of made-up facts.

use super::*;
use crate::elf::{CLibrary, Load, Stack, VersionNeed};
use crate::facts::{Kind, Machine};
use crate::{Elf, MachO, Pe, Slice};

/// A bundle and the target it is for.
pub(super) struct Bench {
    pub(super) policy: Policy<'static>,
    pub(super) files: Vec<(String, Role, Facts)>,
    pub(super) links: Vec<(&'static str, &'static str)>,
    pub(super) plans: Vec<Plan<'static>>,
}

fn gnu(library: &str) -> bool {
    let known = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1"];
    known.contains(&library)
}

fn alpine(library: &str) -> bool {
    ["libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1", "libc.so"].contains(&library)
}

fn apple(library: &str) -> bool {
    library.starts_with("/usr/lib/") || library.starts_with("/System/Library/")
}

fn microsoft(library: &str) -> bool {
    library.starts_with("api-ms-win-") || ["kernel32.dll", "ws2_32.dll"].contains(&library)
}

impl Bench {
    fn new(policy: Policy<'static>) -> Self {
        Self { policy, files: Vec::new(), links: Vec::new(), plans: Vec::new() }
    }

    pub(super) fn linux() -> Self {
        Self::new(Policy {
            c_library: Some(CLibrary::Glibc),
            glibc: Version::parse("2.28"),
            libstdcxx: Version::parse("3.4.24"),
            ..Policy::new(Os::Linux, Machine::X64, &gnu)
        })
    }

    pub(super) fn musl() -> Self {
        Self::new(Policy {
            c_library: Some(CLibrary::Musl),
            musl: Version::parse("1.2.4"),
            ..Policy::new(Os::Linux, Machine::X64, &alpine)
        })
    }

    pub(super) fn macos() -> Self {
        Self::new(Policy {
            macos: Version::parse("13.5"),
            page_size: 16384,
            ..Policy::new(Os::MacOs, Machine::Arm64, &apple)
        })
    }

    pub(super) fn windows() -> Self {
        Self::new(Policy {
            windows: Version::parse("10.0.17763"),
            ..Policy::new(Os::Windows, Machine::X64, &microsoft)
        })
    }

    pub(super) fn file(mut self, path: &str, role: Role, facts: Facts) -> Self {
        self.files.push((path.to_owned(), role, facts));
        self
    }

    pub(super) fn report(&self) -> Report {
        let files: Vec<File<'_>> = self
            .files
            .iter()
            .map(|(path, role, facts)| File { path, owner: None, role: *role, facts })
            .collect();
        let links: Vec<Link<'_>> =
            self.links.iter().map(|(path, target)| Link { path, target }).collect();
        check(&Input { files: &files, links: &links, plans: &self.plans }, &self.policy)
    }

    /// One line per finding.
    pub(super) fn said(&self) -> Vec<String> {
        self.report()
            .findings
            .iter()
            .map(|finding| {
                let Finding { verdict, code, path, subject, required, offered, .. } = finding;
                let verdict = format!("{verdict:?}").to_lowercase();
                format!("{verdict} {} {path} {subject}: {required} / {offered}", code.name())
            })
            .collect()
    }

    pub(super) fn codes(&self) -> Vec<Code> {
        self.report().findings.iter().map(|finding| finding.code).collect()
    }

    pub(super) fn verdicts(&self) -> Vec<(Code, Verdict)> {
        self.report().findings.iter().map(|finding| (finding.code, finding.verdict)).collect()
    }
}

/// A library for Linux that nothing can be said against.
pub(super) fn elf(change: impl FnOnce(&mut Elf)) -> Facts {
    let mut elf = Elf {
        kind: Kind::Library,
        machine: Machine::X64,
        stack: Stack::Data,
        relro: crate::Relro::Full,
        binds_now: true,
        loads: vec![Load {
            offset: 0,
            address: 0,
            align: 65536,
            readable: true,
            writable: false,
            executable: true,
        }],
        ..Elf::default()
    };
    elf.properties.x86_level = Some(1);
    change(&mut elf);
    Facts::Elf(elf)
}

pub(super) fn needing(libraries: &[&str], versions: &[(&str, &str, bool)]) -> Facts {
    elf(|elf| {
        elf.needed = owned(libraries);
        elf.versions = versions
            .iter()
            .map(|(file, version, weak)| VersionNeed::new(file, version, *weak))
            .collect();
    })
}

/// A library for Macs with Apple's processor.
pub(super) fn macho(change: impl FnOnce(&mut Slice)) -> Facts {
    let mut slice = Slice {
        kind: Kind::Library,
        machine: Machine::Arm64,
        targets: vec![crate::BuildTarget {
            platform: crate::Platform::MacOs,
            minimum: Version::of(11, 0, 0),
            sdk: Version::of(14, 0, 0),
        }],
        signature: crate::Signature::Present(crate::CodeSignature {
            identifier: "a".to_owned(),
            signer: crate::Signer::AdHoc,
            team: None,
            flags: 2,
            entitlements: Vec::new(),
            pages: crate::Pages::Intact,
        }),
        ..Slice::default()
    };
    change(&mut slice);
    Facts::MachO(MachO { slices: vec![slice] })
}

/// A library for Windows.
pub(super) fn pe(change: impl FnOnce(&mut Pe)) -> Facts {
    let mut pe = Pe {
        kind: Kind::Library,
        machine: Some(Machine::X64),
        subsystem_version: Version::of(6, 0, 0),
        characteristics: 0x4140,
        ..Pe::default()
    };
    change(&mut pe);
    Facts::Pe(pe)
}

pub(super) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) fn imports(names: &[&str]) -> Vec<crate::Import> {
    let of = |name: &&str| crate::Import {
        name: (*name).into(),
        weak: false,
        kind: crate::SymbolKind::Unknown,
        version: None,
    };
    names.iter().map(of).collect()
}

pub(super) fn offers(names: &[&str]) -> Vec<crate::Export> {
    let of = |name: &&str| crate::Export {
        name: (*name).into(),
        kind: crate::SymbolKind::Function,
        version: None,
        default: true,
    };
    names.iter().map(of).collect()
}

pub(super) fn node_api() -> crate::NodeFacts {
    crate::NodeFacts {
        registrations: vec![crate::Registration::NodeApiExport],
        node_api: Some(crate::NodeApi {
            declared: crate::Declared::Level(8),
            imported: Some(1),
            mentioned: None,
            unknown: Vec::new(),
        }),
        engine: None,
        libuv: Vec::new(),
    }
}
