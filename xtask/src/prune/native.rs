//! Native code of other platforms: by what the file itself says, and for what lies beside it by the folder's name.
//!
//! The header decides over every name. A file the target can load never goes, however its folder is called, and a file
//! that only looks native (`encoding.so`, which is WebAssembly) is none of our business.

use std::io::Read as _;

use gangway_abi::{CLibrary, Facts, Format, Identity, Kind, Machine};
use gangway_artifact::{Cpu, Libc, Os, Platform};

use super::error::PruneError;
use super::package::PackageFile;
use crate::tree::Source;

/// How much of a file tells what it is.
const HEAD: u64 = 4096;

/// What a file is to a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Not native code, or nothing a name of a platform can be told from.
    NoCode,
    /// Code for the platform.
    Own,
    /// Code the platform runs by emulation: a program, not an addon.
    Emulated,
    /// Code the platform cannot run.
    Foreign,
}

/// Whether a file is of no use on `platform`. `is_native`: its name is that of native code. `parents`: the names of
/// folders below which folders are named for platforms.
pub(super) fn is_foreign(
    file: &PackageFile<'_>,
    is_native: bool,
    parents: &[String],
    platform: &Platform,
) -> Result<bool, PruneError> {
    let in_foreign_folder = is_in_foreign_folder(file.inside, parents, platform);
    let is_program = file.source.executable && !is_script(file.path.name());
    if !is_native && !is_program && !in_foreign_folder {
        return Ok(false);
    }
    let head = head(file.source)?;
    let verdict = match gangway_abi::identify(&head) {
        None => Verdict::NoCode,
        Some(identity) => match processor(&identity, platform) {
            Verdict::Own if wrong_c_library(&identity, file.source, platform)? => Verdict::Foreign,
            verdict => verdict,
        },
    };
    Ok(match verdict {
        Verdict::Own => false,
        Verdict::Foreign => true,
        Verdict::NoCode | Verdict::Emulated => in_foreign_folder,
    })
}

/// Judges by container and processor.
fn processor(identity: &Identity, platform: &Platform) -> Verdict {
    let own_format = match platform.os {
        Os::Linux => Format::Elf,
        Os::Darwin => Format::MachO,
        Os::Win32 => Format::Pe,
    };
    let machine = match platform.cpu {
        Cpu::X64 => Machine::X64,
        Cpu::Arm64 => Machine::Arm64,
    };
    let machines = &identity.machines;
    let is_any = machines.is_empty();
    // Code for a graphics card or for the kernel's own virtual machine is data to the processor.
    let is_data = machines.iter().all(|machine| matches!(machine, Machine::Other(_)));
    if is_any || (is_data && identity.format == own_format) {
        return Verdict::NoCode;
    }
    if identity.format != own_format {
        return Verdict::Foreign;
    }
    if machines.contains(&machine) {
        return Verdict::Own;
    }
    let is_program = identity.kind == Kind::Executable;
    let emulates = |other: &Machine| match (platform.os, platform.cpu, other) {
        (Os::Win32, _, Machine::X86) | (Os::Win32 | Os::Darwin, Cpu::Arm64, Machine::X64) => {
            is_program
        }
        _ => false,
    };
    if machines.iter().any(emulates) { Verdict::Emulated } else { Verdict::Foreign }
}

fn wrong_c_library(
    identity: &Identity,
    source: &Source,
    platform: &Platform,
) -> Result<bool, PruneError> {
    if identity.format != Format::Elf {
        return Ok(false);
    }
    let Some(Facts::Elf(elf)) = gangway_abi::read(&super::read(source)?) else { return Ok(false) };
    Ok(match (elf.c_library(), platform.libc) {
        (Some(CLibrary::Bionic), _)
        | (Some(CLibrary::Musl), Some(Libc::Glibc))
        | (Some(CLibrary::Glibc), Some(Libc::Musl)) => true,
        (Some(CLibrary::Glibc | CLibrary::Musl) | None, _) => false,
    })
}

fn head(source: &Source) -> Result<Vec<u8>, PruneError> {
    let fault = |error| PruneError::Read { path: source.path(), source: error };
    let mut head = Vec::new();
    let file = fs_err::File::open(source.path()).map_err(fault)?;
    file.take(HEAD).read_to_end(&mut head).map_err(fault)?;
    Ok(head)
}

fn is_script(name: &str) -> bool {
    [
        ".js", ".mjs", ".cjs", ".ts", ".mts", ".sh", ".bash", ".py", ".ps1", ".cmd", ".bat",
        ".json", ".md",
    ]
    .iter()
    .any(|end| name.ends_with(end))
}

fn is_in_foreign_folder(inside: &str, parents: &[String], platform: &Platform) -> bool {
    let mut folders = inside.split('/').peekable();
    let mut is_below_parent = false;
    while let Some(folder) = folders.next() {
        let is_file = folders.peek().is_none();
        if is_file {
            return false;
        }
        if is_below_parent && Named::parse(folder).is_some_and(|named| named.is_foreign(platform)) {
            return true;
        }
        is_below_parent |= parents.iter().any(|parent| parent == folder);
    }
    false
}

/// The platform a folder is named for, as `win32-x64`, `linux-arm64-musl`, `darwin-x64+arm64` or `aarch64-apple-darwin`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    os: Option<&'static str>,
    libc: Option<Libc>,
    cpus: Vec<&'static str>,
}

impl Named {
    /// None unless every part of the name is known and system and processor are both in it.
    fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase().replace("x86_64", "x64").replace("x86-64", "x64");
        let mut named = Self::default();
        for part in name.split(['-', '_', '+', '.']) {
            match part {
                "linux" => named.os = Some("linux"),
                "linuxmusl" | "alpine" => {
                    (named.os, named.libc) = (Some("linux"), Some(Libc::Musl));
                }
                "linuxglibc" => {
                    (named.os, named.libc) = (Some("linux"), Some(Libc::Glibc));
                }
                "darwin" | "macos" | "mac" | "osx" => named.os = Some("darwin"),
                "win32" | "win" | "windows" | "mingw" => named.os = Some("win32"),
                "android" | "androideabi" => named.os = Some("android"),
                "freebsd" | "openbsd" | "netbsd" | "sunos" | "aix" | "ios" | "wasi" => {
                    named.os = Some("other");
                }
                "gnu" | "glibc" | "gnueabihf" | "gnueabi" => named.libc = Some(Libc::Glibc),
                "musl" | "musleabihf" => named.libc = Some(Libc::Musl),
                "x64" | "amd64" => named.cpus.push("x64"),
                "arm64" | "aarch64" => named.cpus.push("arm64"),
                "universal" => named.cpus.extend(["x64", "arm64"]),
                "ia32" | "x86" | "i386" | "i686" | "arm" | "armv6" | "armv7" | "armv6l"
                | "armv7l" | "armhf" | "loong64" | "loongarch64" | "riscv64" | "ppc64"
                | "ppc64le" | "s390x" | "mips" | "mipsel" | "mips64el" => named.cpus.push("other"),
                "unknown" | "pc" | "apple" | "msvc" => {}
                _ => return None,
            }
        }
        (named.os.is_some() && !named.cpus.is_empty()).then_some(named)
    }

    fn is_foreign(&self, platform: &Platform) -> bool {
        let other_libc = matches!((self.libc, platform.libc), (Some(one), Some(own)) if one != own);
        self.os != Some(platform.os.as_str())
            || !self.cpus.contains(&platform.cpu.as_str())
            || (platform.os == Os::Linux && other_libc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: Platform = Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Glibc) };
    const WINDOWS: Platform = Platform { os: Os::Win32, cpu: Cpu::Arm64, libc: None };
    const MAC: Platform = Platform { os: Os::Darwin, cpu: Cpu::Arm64, libc: None };

    fn code(format: Format, machine: Machine, kind: Kind) -> Identity {
        Identity { format, machines: vec![machine], kind }
    }

    #[test]
    fn folders_are_named_for_platforms() {
        let parents = ["prebuilds".to_owned(), "bin".to_owned()];
        let foreign = |path: &str| is_in_foreign_folder(path, &parents, &LINUX);
        for path in [
            "prebuilds/win32-x64/a.node",
            "prebuilds/linux-arm64/a.node",
            "prebuilds/linux-arm/a.node",
            "prebuilds/linux-x64-musl/a.node",
            "prebuilds/linuxmusl-x64/a.node",
            "prebuilds/darwin-x64+arm64/a.node",
            "prebuilds/android-arm64/a.node",
            "lib/bin/aarch64-apple-darwin/tool",
            "bin/x64-win32/tool.exe",
        ] {
            assert!(foreign(path), "{path}");
        }
        for path in [
            "prebuilds/linux-x64/a.node",
            "prebuilds/linux-x64-gnu/a.node",
            "prebuilds/linux_x86_64/a.node",
            "prebuilds/win32/index.js",
            "prebuilds/win32-x64",
            "prebuilds/arm64/a.node",
            "lib/win32-x64/index.js",
            "bin/windows-tools-x64/a",
        ] {
            assert!(!foreign(path), "{path}");
        }
    }

    #[test]
    fn the_container_and_the_processor_decide() {
        use Format::{Elf, MachO, Pe};
        use Kind::{Executable, Library};
        for (identity, platform, verdict) in [
            (code(Elf, Machine::X64, Library), LINUX, Verdict::Own),
            (code(Elf, Machine::Arm64, Library), LINUX, Verdict::Foreign),
            (code(Elf, Machine::X86, Executable), LINUX, Verdict::Foreign),
            (code(Elf, Machine::Other(247), Library), LINUX, Verdict::NoCode),
            (code(Pe, Machine::X64, Executable), LINUX, Verdict::Foreign),
            (code(MachO, Machine::X64, Library), LINUX, Verdict::Foreign),
            (code(MachO, Machine::X64, Executable), MAC, Verdict::Emulated),
            (code(MachO, Machine::X64, Library), MAC, Verdict::Foreign),
            (code(Pe, Machine::X86, Executable), WINDOWS, Verdict::Emulated),
            (code(Pe, Machine::X64, Library), WINDOWS, Verdict::Foreign),
        ] {
            assert_eq!(processor(&identity, &platform), verdict, "{identity:?} on {platform:?}");
        }
        let fat =
            Identity { format: MachO, machines: vec![Machine::X64, Machine::Arm64], kind: Library };
        assert_eq!(processor(&fat, &MAC), Verdict::Own);
        let assembly = Identity { format: Pe, machines: Vec::new(), kind: Library };
        assert_eq!(processor(&assembly, &LINUX), Verdict::NoCode);
    }
}
