//! Which C library programs that are made elsewhere find here, and of which version.
//!
//! This program is static and has none of its own, so nothing it could ask answers: the files are read. Every program made for glibc
//! names the same loader, so glibc is there if that one is, and its version is the one that the `libc.so.6` says which that loader
//! would find. The versions of its symbols are the second choice: Red Hat has given its 2.34 symbols of 2.35.

use std::io::Read;

use gangway_artifact::{Fact, Libc, Version};

use super::arch::Arch;
use super::elf::Elf;
use super::libraries::Libraries;
use super::root::Root;

/// No C library is larger, with all of a debugger's symbols in it.
const LARGEST: u64 = 64 << 20;

/// What every glibc says of itself somewhere in its read-only data.
const GLIBC_SAYS: &[u8] = b"GNU C Library ";

/// The C libraries of a machine.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CLibraries {
    /// glibc.
    pub glibc: Fact<Version>,
    /// musl.
    pub musl: Fact<Version>,
    /// The one that the system's own programs use.
    pub main: Option<Libc>,
    /// 32 or 64: what the system's own programs are.
    pub userland_bits: Option<u8>,
    /// Where glibc is, if it is not where programs look for its loader.
    pub elsewhere: Option<String>,
}

/// Looks for both.
#[must_use]
pub fn read(root: &Root, arch: &Arch, libraries: &Libraries<'_>) -> CLibraries {
    let shell = shell(root);
    let loader = shell.as_ref().and_then(|(_, loader)| loader.clone());
    let musl = musl(root, arch);
    let glibc = glibc(root, arch, libraries, musl == Fact::Absent);
    let is_musls = loader.as_deref().map(|loader| loader.contains("/ld-musl-"));
    let main = match (is_musls, &glibc, &musl) {
        (Some(true), _, Fact::Is(_) | Fact::Unknown) => Some(Libc::Musl),
        // A shell that asks for no loader says nothing. Where both are, glibc is the one programs come for.
        (_, Fact::Is(_) | Fact::Unknown, _) => Some(Libc::Glibc),
        (_, Fact::Absent, Fact::Is(_) | Fact::Unknown) => Some(Libc::Musl),
        (_, Fact::Absent, Fact::Absent) => None,
    };
    let elsewhere = loader
        .filter(|loader| glibc == Fact::Absent && loader.contains("/ld-linux"))
        .filter(|_| shell.as_ref().is_some_and(|(bits, _)| *bits == 64));
    CLibraries { glibc, musl, main, userland_bits: shell.map(|(bits, _)| bits), elsewhere }
}

/// What the system's shell is, and the loader it asks for.
fn shell(root: &Root) -> Option<(u8, Option<String>)> {
    let programs = ["/bin/sh", "/usr/bin/env", "/bin/busybox"];
    programs.into_iter().find_map(|program| {
        let Fact::Is(file) = root.open(program) else { return None };
        let mut elf = Elf::read(file)?;
        Some((elf.bits, elf.interpreter()))
    })
}

fn glibc(root: &Root, arch: &Arch, libraries: &Libraries<'_>, is_alone: bool) -> Fact<Version> {
    if !root.has(arch.glibc_loader) {
        return Fact::Absent;
    }
    let beside = root.resolve(arch.glibc_loader).and_then(|loader| {
        let folder = loader.rsplit_once('/')?.0.to_owned();
        libraries.find(&format!("{folder}/libc.so.6"))
    });
    match libraries.find("libc.so.6").or(beside) {
        Some(path) => {
            let said = match root.open(&path) {
                Fact::Is(file) => said_version(file.take(LARGEST)),
                Fact::Absent | Fact::Unknown => None,
            };
            let by_symbols = || newest(root, &path, "GLIBC_");
            said.or_else(by_symbols).map_or(Fact::Unknown, Fact::Is)
        }
        // On Alpine a loader of that name can be a shim for musl.
        None if is_alone => Fact::Unknown,
        None => Fact::Absent,
    }
}

/// The newest version of this family that a library defines, `GLIBCXX_` for instance.
#[must_use]
pub fn newest(root: &Root, path: &str, family: &str) -> Option<Version> {
    let Fact::Is(file) = root.open(path) else { return None };
    let names = Elf::read(file)?.versions();
    names.iter().filter_map(|name| name.strip_prefix(family)?.parse().ok()).max()
}

/// `GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.`
fn said_version(mut file: impl Read) -> Option<Version> {
    const SENTENCE: usize = 256;
    let mut window: Vec<u8> = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut chunk).ok()?;
        window.extend(&chunk[..read]);
        let mut from = 0;
        while let Some(place) = find(&window[from..], GLIBC_SAYS) {
            let start = from + place;
            if start + SENTENCE > window.len() && read > 0 {
                break;
            }
            let end = (start + SENTENCE).min(window.len());
            let sentence = String::from_utf8_lossy(&window[start..end]);
            let line = sentence.lines().next().unwrap_or_default();
            if let Some((_, version)) = line.split_once(" release version ") {
                return Version::leading(version);
            }
            from = start + GLIBC_SAYS.len();
        }
        if read == 0 {
            return None;
        }
        // What may be the beginning of a sentence stays.
        let kept = window.len().saturating_sub(SENTENCE + GLIBC_SAYS.len()).max(from);
        window.drain(..kept);
    }
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

fn musl(root: &Root, arch: &Arch) -> Fact<Version> {
    let loader = format!("/lib/ld-musl-{}.so.1", arch.musl_name);
    let bytes = match root.bytes(&loader, LARGEST) {
        Fact::Is(bytes) => bytes,
        Fact::Absent => return Fact::Absent,
        Fact::Unknown => return Fact::Unknown,
    };
    let packaged = || match root.bytes("/lib/apk/db/installed", LARGEST) {
        Fact::Is(bytes) => apk_version(&String::from_utf8_lossy(&bytes), "musl"),
        Fact::Absent | Fact::Unknown => None,
    };
    musl_version(&bytes).or_else(packaged).map_or(Fact::Unknown, Fact::Is)
}

/// Its version stands among its texts, alone: `1.2.5`, or `1.2.5-git-12-gabcdef`. Two different ones tell nothing.
fn musl_version(bytes: &[u8]) -> Option<Version> {
    let mut versions = bytes.split(|byte| *byte == 0).filter_map(|text| {
        let is_short = (5..48).contains(&text.len());
        let text = std::str::from_utf8(text).ok().filter(|_| is_short)?;
        let (number, rest) = text.split_at(text.find('-').unwrap_or(text.len()));
        let is_its =
            number.split('.').count() == 3 && (rest.is_empty() || rest.starts_with("-git-"));
        let version: Version = number.parse().ok().filter(|_| is_its)?;
        (version.major() <= 1).then_some(version)
    });
    let first = versions.next()?;
    versions.all(|other| other == first).then_some(first)
}

/// The version of a package in apk's list of what is installed.
fn apk_version(list: &str, package: &str) -> Option<Version> {
    let mut paragraphs = list.split("\n\n").map(|paragraph| {
        let line = |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key));
        (line("P:"), line("V:"))
    });
    let (_, version) = paragraphs.find(|(name, _)| *name == Some(package))?;
    Version::leading(version?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_glibc_says() {
        let said = |text: &str, before: usize| {
            let mut bytes = vec![b'x'; before];
            bytes.extend(text.as_bytes());
            bytes.extend([0; 300]);
            said_version(bytes.as_slice()).map(|version| version.to_string())
        };
        let debian =
            "GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright";
        // Wherever the pieces that are read end.
        for before in [0, 65_500, 65_530, 65_536, 131_000] {
            assert_eq!(said(debian, before).as_deref(), Some("2.36"), "{before}");
        }
        let unnamed =
            "GNU C Library manual\0GNU C Library development release version 2.40.9000.\n";
        assert_eq!(said(unnamed, 3).as_deref(), Some("2.40.9000"));
        assert_eq!(said("GNU C Library", 0), None);
    }

    #[test]
    fn what_musl_says() {
        let said = |bytes: &[u8]| musl_version(bytes).map(|version| version.to_string());
        assert_eq!(said(b"5.5G9\x00127.0.0.1\0\x001.2.5\0abc").as_deref(), Some("1.2.5"));
        assert_eq!(said(b"\x001.2.4-git-33-gabcdef0\0").as_deref(), Some("1.2.4"));
        assert_eq!(said(b"\x001.2.4\0\x001.1.24\0"), None);
        assert_eq!(said(b"12.1.2.5"), None);
        let list = "P:musl-utils\nV:9.9-r0\n\nC:Q1\nP:musl\nV:1.2.5-r1\n";
        assert_eq!(apk_version(list, "musl").map(|v| v.to_string()).as_deref(), Some("1.2.5"));
    }

    #[cfg(unix)]
    mod machines {
        use gangway_artifact::Cpu;

        use super::super::super::testing::{self, Machine, library, program};
        use super::*;

        fn seen(machine: &Machine, cpu: Cpu) -> CLibraries {
            let root = machine.root();
            let arch = Arch::of(cpu);
            read(&root, arch, &Libraries::new(&root, arch))
        }

        fn is(text: &str) -> Fact<Version> {
            Fact::Is(text.parse().expect("a version"))
        }

        #[test]
        fn debian_with_musl_beside() {
            let machine = testing::glibc(Cpu::X64, "2.36");
            machine.write("lib/ld-musl-x86_64.so.1", b"\x7fELF\0\x001.2.3\0");
            let seen = seen(&machine, Cpu::X64);
            assert_eq!((seen.glibc, seen.musl), (is("2.36"), is("1.2.3")));
            assert_eq!((seen.main, seen.userland_bits), (Some(Libc::Glibc), Some(64)));
        }

        #[test]
        fn alpine_with_a_shim() {
            let machine = Machine::new(&[("lib/ld-musl-x86_64.so.1", "\x7fELF\0\x001.2.5\0")]);
            machine.write("bin/busybox", &program(62, "/lib/ld-musl-x86_64.so.1"));
            machine.link("busybox", "bin/sh");
            machine.write("lib64/ld-linux-x86-64.so.2", &library(62, &[]));
            let seen = seen(&machine, Cpu::X64);
            assert_eq!((seen.glibc, seen.musl), (Fact::Absent, is("1.2.5")));
            assert_eq!(seen.main, Some(Libc::Musl));
        }

        /// A kernel for arm64 under a system for 32 bits, as on many a Raspberry Pi.
        #[test]
        fn a_userland_of_32_bits() {
            let machine = Machine::new(&[("etc/nothing", "")]);
            machine.write("bin/sh", &testing::program_32(40, "/lib/ld-linux-armhf.so.3"));
            machine.write("lib/ld-linux-armhf.so.3", &library(40, &[]));
            let seen = seen(&machine, Cpu::Arm64);
            assert_eq!((seen.glibc, seen.main), (Fact::Absent, None));
            assert_eq!((seen.userland_bits, seen.elsewhere), (Some(32), None));
        }

        #[test]
        fn nixos_keeps_it_elsewhere() {
            let machine = Machine::new(&[("etc/nothing", "")]);
            let loader = "/nix/store/abc-glibc-2.39/lib/ld-linux-x86-64.so.2";
            machine.write("bin/sh", &program(62, loader));
            let seen = seen(&machine, Cpu::X64);
            assert_eq!((seen.glibc, seen.main), (Fact::Absent, None));
            assert_eq!(seen.elsewhere.as_deref(), Some(loader));
        }

        /// Without its sentence the symbols tell.
        #[test]
        fn a_glibc_without_words() {
            let machine = Machine::new(&[("lib64/ld-linux-x86-64.so.2", "")]);
            machine.write(
                "lib64/libc.so.6",
                &library(62, &["libc.so.6", "GLIBC_2.17", "GLIBC_2.28", "GLIBC_PRIVATE"]),
            );
            assert_eq!(seen(&machine, Cpu::X64).glibc, is("2.28"));
        }
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are(before in proptest::collection::vec(any::<u8>(), 0..300), version in "[0-9.]{0,12}") {
            let mut bytes = before;
            bytes.extend(format!("GNU C Library stable release version {version}").as_bytes());
            let _ = said_version(bytes.as_slice());
            let _ = musl_version(&bytes);
            let _ = apk_version(&String::from_utf8_lossy(&bytes), "musl");
        }
    }
}
