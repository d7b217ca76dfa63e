//! What a file of native code is to a platform. The header decides over every name.

use std::io;
use std::sync::Arc;

use gangway_abi::{CLibrary, Facts, Format, Identity, Kind, Machine};
use gangway_artifact::{Cpu, Libc, Os, Platform};

use crate::native::Natives;
use crate::tree::Source;

/// A file of native code, as far as it matters for where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Container, processors and purpose.
    pub identity: Arc<Identity>,
    /// The C library it was linked with; ELF only.
    pub c_library: Option<CLibrary>,
}

/// What a file is to a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Not native code, or nothing a platform can be told from.
    NoCode,
    /// Code for the platform.
    Own,
    /// Code the platform runs by emulation: a program, not an addon.
    Emulated,
    /// Code the platform cannot run.
    Foreign,
}

/// Whether the name of a file that may be executed says that it is text.
#[must_use]
pub fn is_script(name: &str) -> bool {
    [
        ".js", ".mjs", ".cjs", ".ts", ".mts", ".sh", ".bash", ".py", ".ps1", ".cmd", ".bat",
        ".json", ".md",
    ]
    .iter()
    .any(|end| name.ends_with(end))
}

impl Code {
    /// Reads a file; `None` if it is not native code.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(natives: &Natives, source: &Source) -> io::Result<Option<Self>> {
        let Some(identity) = natives.identity(source)? else { return Ok(None) };
        let mut c_library = None;
        if identity.format == Format::Elf
            && let Some(Facts::Elf(elf)) = natives.facts(source)?.as_deref()
        {
            c_library = elf.c_library();
        }
        Ok(Some(Self { identity, c_library }))
    }

    /// Whether something loads or starts it: object files and debug symbols are not for running.
    #[must_use]
    pub fn runs(&self) -> bool {
        matches!(self.identity.kind, Kind::Executable | Kind::Library)
    }

    /// Judges by container, processor and C library.
    #[must_use]
    pub fn fit(&self, platform: &Platform) -> Fit {
        match processor(&self.identity, platform) {
            Fit::Own if self.wrong_c_library(platform) => Fit::Foreign,
            fit => fit,
        }
    }

    fn wrong_c_library(&self, platform: &Platform) -> bool {
        match (self.c_library, platform.libc) {
            (Some(CLibrary::Bionic), _)
            | (Some(CLibrary::Musl), Some(Libc::Glibc))
            | (Some(CLibrary::Glibc), Some(Libc::Musl)) => true,
            (Some(CLibrary::Glibc | CLibrary::Musl) | None, _) => false,
        }
    }

    /// What it was built for, in a few words: `linux x64 glibc`.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut words = vec![match self.identity.format {
            Format::Elf => "linux",
            Format::MachO => "darwin",
            Format::Pe => "win32",
        }];
        for machine in &self.identity.machines {
            words.push(match machine {
                Machine::X86 => "ia32",
                Machine::X64 => "x64",
                Machine::Arm => "arm",
                Machine::Arm64 => "arm64",
                Machine::Riscv => "riscv",
                Machine::Loong => "loong64",
                Machine::Ppc64 => "ppc64",
                Machine::S390 => "s390x",
                Machine::Mips => "mips",
                Machine::Other(_) => "another processor",
            });
        }
        words.extend(self.c_library.map(|library| match library {
            CLibrary::Glibc => "glibc",
            CLibrary::Musl => "musl",
            CLibrary::Bionic => "android",
        }));
        words.join(" ")
    }
}

/// Judges by container and processor.
fn processor(identity: &Identity, platform: &Platform) -> Fit {
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
        return Fit::NoCode;
    }
    if identity.format != own_format {
        return Fit::Foreign;
    }
    if machines.contains(&machine) {
        return Fit::Own;
    }
    let is_program = identity.kind == Kind::Executable;
    let emulates = |other: &Machine| match (platform.os, platform.cpu, other) {
        (Os::Win32, _, Machine::X86) | (Os::Win32 | Os::Darwin, Cpu::Arm64, Machine::X64) => {
            is_program
        }
        _ => false,
    };
    if machines.iter().any(emulates) { Fit::Emulated } else { Fit::Foreign }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: Platform = Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Glibc) };
    const ALPINE: Platform = Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Musl) };
    const WINDOWS: Platform = Platform { os: Os::Win32, cpu: Cpu::Arm64, libc: None };
    const MAC: Platform = Platform { os: Os::Darwin, cpu: Cpu::Arm64, libc: None };

    fn code(format: Format, machine: Machine, kind: Kind) -> Identity {
        Identity { format, machines: vec![machine], kind }
    }

    #[test]
    fn the_container_and_the_processor_decide() {
        use Format::{Elf, MachO, Pe};
        use Kind::{Executable, Library};
        for (identity, platform, fit) in [
            (code(Elf, Machine::X64, Library), LINUX, Fit::Own),
            (code(Elf, Machine::Arm64, Library), LINUX, Fit::Foreign),
            (code(Elf, Machine::X86, Executable), LINUX, Fit::Foreign),
            (code(Elf, Machine::Other(247), Library), LINUX, Fit::NoCode),
            (code(Pe, Machine::X64, Executable), LINUX, Fit::Foreign),
            (code(MachO, Machine::X64, Library), LINUX, Fit::Foreign),
            (code(MachO, Machine::X64, Executable), MAC, Fit::Emulated),
            (code(MachO, Machine::X64, Library), MAC, Fit::Foreign),
            (code(Pe, Machine::X86, Executable), WINDOWS, Fit::Emulated),
            (code(Pe, Machine::X64, Library), WINDOWS, Fit::Foreign),
        ] {
            assert_eq!(processor(&identity, &platform), fit, "{identity:?} on {platform:?}");
        }
        let fat =
            Identity { format: MachO, machines: vec![Machine::X64, Machine::Arm64], kind: Library };
        assert_eq!(processor(&fat, &MAC), Fit::Own);
        let assembly = Identity { format: Pe, machines: Vec::new(), kind: Library };
        assert_eq!(processor(&assembly, &LINUX), Fit::NoCode);
    }

    #[test]
    fn the_c_library_decides_too() {
        let of = |c_library| Code {
            identity: Arc::new(code(Format::Elf, Machine::X64, Kind::Library)),
            c_library,
        };
        for (c_library, on_glibc, on_musl) in [
            (None, Fit::Own, Fit::Own),
            (Some(CLibrary::Glibc), Fit::Own, Fit::Foreign),
            (Some(CLibrary::Musl), Fit::Foreign, Fit::Own),
            (Some(CLibrary::Bionic), Fit::Foreign, Fit::Foreign),
        ] {
            assert_eq!(of(c_library).fit(&LINUX), on_glibc, "{c_library:?}");
            assert_eq!(of(c_library).fit(&ALPINE), on_musl, "{c_library:?}");
        }
        assert_eq!(of(Some(CLibrary::Musl)).describe(), "linux x64 musl");
    }
}
