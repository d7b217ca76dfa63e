//! ELF: what the loader of Linux reads.
//!
//! Everything comes from the program headers and the dynamic table, as for the loader itself: section headers can be
//! stripped and then lie to nobody. Symbols are not read yet.

use goblin::container::{Container, Ctx};
use goblin::elf::dynamic::{self, Dynamic};
use goblin::elf::header::{self, Header};
use goblin::elf::program_header::{PT_INTERP, PT_LOAD, ProgramHeader};
use goblin::elf::section_header::{SHT_GNU_VERNEED, SectionHeader};
use goblin::elf::symver::VerneedSection;

use crate::facts::{Format, Identity, Kind, Machine};
use crate::fields::{index, text_at};

/// More entries than any real binary has in one list.
const MAX_ENTRIES: usize = 4096;

/// `VER_FLG_WEAK`: the loader only warns when the version is missing.
const WEAK: u16 = 2;

/// The facts of an ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// What it is for.
    pub kind: Kind,
    /// Its processor.
    pub machine: Machine,
    /// 32 or 64 bits.
    pub class: Class,
    /// The program loader it asks for (`PT_INTERP`).
    pub interpreter: Option<String>,
    /// The name it answers to (`DT_SONAME`).
    pub soname: Option<String>,
    /// The libraries it needs (`DT_NEEDED`), in order.
    pub needed: Vec<String>,
    /// Where to look first, old style (`DT_RPATH`).
    pub rpath: Vec<String>,
    /// Where to look first (`DT_RUNPATH`).
    pub runpath: Vec<String>,
    /// The symbol versions it needs.
    pub versions: Vec<VersionNeed>,
}

/// The width of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// 32 bits.
    Bits32,
    /// 64 bits.
    Bits64,
}

/// A symbol version and the library it must come from. The same version name means different things in different
/// libraries: musl builds need a `GLIBC_2.0` of libgcc_s.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionNeed {
    /// The library.
    pub file: String,
    /// The version's name, for instance `GLIBC_2.28`.
    pub version: String,
    /// Whether the loader goes on without it.
    pub weak: bool,
}

/// A C library of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CLibrary {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
    /// Android's.
    Bionic,
}

impl Elf {
    /// The C library it was linked with; `None` when it needs none (static, or nothing but its host's symbols).
    #[must_use]
    pub fn c_library(&self) -> Option<CLibrary> {
        let interpreter = self.interpreter.as_deref().unwrap_or_default();
        let loader = interpreter.rsplit('/').next().unwrap_or_default();
        let needs = |test: &dyn Fn(&str) -> bool| self.needed.iter().any(|name| test(name));
        if loader.starts_with("linker") || needs(&|name| name == "liblog.so") {
            Some(CLibrary::Bionic)
        } else if loader.starts_with("ld-musl") || needs(&|name| name.starts_with("libc.musl-")) {
            Some(CLibrary::Musl)
        } else if needs(&|name| name.starts_with("libc.so.") || name.starts_with("ld-linux")) {
            Some(CLibrary::Glibc)
        } else if needs(&|name| name == "libc.so") {
            Some(CLibrary::Musl)
        } else if loader.starts_with("ld-linux") {
            Some(CLibrary::Glibc)
        } else {
            None
        }
    }
}

pub(crate) fn identify(head: &[u8]) -> Option<Identity> {
    let header = goblin::elf::Elf::parse_header(head).ok()?;
    let context = context(&header)?;
    // Position-independent programs call themselves libraries; only the interpreter tells them apart.
    let has_interpreter = program_headers(head, &header, context)
        .is_some_and(|segments| segments.iter().any(|segment| segment.p_type == PT_INTERP));
    Some(Identity {
        format: Format::Elf,
        machines: vec![machine(&header)],
        kind: kind(&header, has_interpreter),
    })
}

pub(crate) fn read(bytes: &[u8]) -> Option<Elf> {
    let header = goblin::elf::Elf::parse_header(bytes).ok()?;
    let context = context(&header)?;
    let segments = program_headers(bytes, &header, context)?;
    let interpreter = segments
        .iter()
        .find(|segment| segment.p_type == PT_INTERP)
        .and_then(|segment| text_at(bytes, index(segment.p_offset)?));
    let mut elf = Elf {
        kind: kind(&header, interpreter.is_some()),
        machine: machine(&header),
        class: match context.container {
            Container::Little => Class::Bits32,
            Container::Big => Class::Bits64,
        },
        interpreter,
        soname: None,
        needed: Vec::new(),
        rpath: Vec::new(),
        runpath: Vec::new(),
        versions: Vec::new(),
    };
    if let Some(dynamic) = Dynamic::parse(bytes, &segments, context).ok()? {
        read_dynamic(&mut elf, bytes, &segments, &dynamic, context)?;
    }
    Some(elf)
}

fn read_dynamic(
    elf: &mut Elf,
    bytes: &[u8],
    segments: &[ProgramHeader],
    dynamic: &Dynamic,
    context: Ctx,
) -> Option<()> {
    let value = |tag| dynamic.dyns.iter().find(|entry| entry.d_tag == tag).map(|entry| entry.d_val);
    let Some(strings) = value(dynamic::DT_STRTAB) else { return Some(()) };
    let strings = file_offset(segments, strings)?;
    let text = |offset: u64| text_at(bytes, strings.checked_add(index(offset)?)?);
    for entry in dynamic.dyns.iter().take(MAX_ENTRIES) {
        match entry.d_tag {
            dynamic::DT_NEEDED => elf.needed.push(text(entry.d_val)?),
            dynamic::DT_SONAME => elf.soname = Some(text(entry.d_val)?),
            dynamic::DT_RPATH => elf.rpath = search_path(&text(entry.d_val)?),
            dynamic::DT_RUNPATH => elf.runpath = search_path(&text(entry.d_val)?),
            _ => {}
        }
    }
    if let (Some(address), Some(count)) =
        (value(dynamic::DT_VERNEED), value(dynamic::DT_VERNEEDNUM))
    {
        let start = file_offset(segments, address)?;
        elf.versions = versions(bytes, start, count, context, &|offset| text(offset as u64))?;
    }
    Some(())
}

/// goblin reads this table by its section header; the loader finds it by the dynamic table, and so do we.
fn versions(
    bytes: &[u8],
    start: usize,
    count: u64,
    context: Ctx,
    text: &dyn Fn(usize) -> Option<String>,
) -> Option<Vec<VersionNeed>> {
    let place = SectionHeader {
        sh_type: SHT_GNU_VERNEED,
        sh_offset: start as u64,
        sh_size: bytes.len().checked_sub(start)? as u64,
        sh_info: u32::try_from(count).ok()?,
        ..SectionHeader::default()
    };
    let section = VerneedSection::parse(bytes, &[place], context).ok()??;
    let mut versions = Vec::new();
    for need in section.iter().take(MAX_ENTRIES) {
        let file = text(need.vn_file)?;
        for version in need.iter().take(MAX_ENTRIES - versions.len()) {
            versions.push(VersionNeed {
                file: file.clone(),
                version: text(version.vna_name)?,
                weak: version.vna_flags & WEAK != 0,
            });
        }
    }
    Some(versions)
}

fn search_path(text: &str) -> Vec<String> {
    text.split(':').take(MAX_ENTRIES).map(str::to_owned).collect()
}

/// Where in the file the bytes at a virtual address are.
fn file_offset(segments: &[ProgramHeader], address: u64) -> Option<usize> {
    segments
        .iter()
        .filter(|segment| segment.p_type == PT_LOAD)
        .find_map(|segment| {
            let within = address.checked_sub(segment.p_vaddr)?;
            (within < segment.p_filesz).then(|| segment.p_offset.checked_add(within)).flatten()
        })
        .and_then(index)
}

fn program_headers(bytes: &[u8], header: &Header, context: Ctx) -> Option<Vec<ProgramHeader>> {
    ProgramHeader::parse(bytes, index(header.e_phoff)?, usize::from(header.e_phnum), context).ok()
}

fn context(header: &Header) -> Option<Ctx> {
    Some(Ctx::new(header.container().ok()?, header.endianness().ok()?))
}

fn kind(header: &Header, has_interpreter: bool) -> Kind {
    match header.e_type {
        header::ET_EXEC => Kind::Executable,
        header::ET_DYN if has_interpreter => Kind::Executable,
        header::ET_DYN => Kind::Library,
        header::ET_REL => Kind::Object,
        _ => Kind::Other,
    }
}

fn machine(header: &Header) -> Machine {
    match header.e_machine {
        header::EM_386 => Machine::X86,
        header::EM_X86_64 => Machine::X64,
        header::EM_ARM => Machine::Arm,
        header::EM_AARCH64 => Machine::Arm64,
        header::EM_RISCV => Machine::Riscv,
        header::EM_LOONGARCH => Machine::Loong,
        header::EM_PPC64 => Machine::Ppc64,
        header::EM_S390 => Machine::S390,
        header::EM_MIPS => Machine::Mips,
        other => Machine::Other(u32::from(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needing(names: &[&str]) -> Elf {
        Elf {
            kind: Kind::Library,
            machine: Machine::X64,
            class: Class::Bits64,
            interpreter: None,
            soname: None,
            needed: names.iter().map(|name| (*name).to_owned()).collect(),
            rpath: Vec::new(),
            runpath: Vec::new(),
            versions: Vec::new(),
        }
    }

    #[test]
    fn tells_c_libraries_apart() {
        for (names, library) in [
            (&["libstdc++.so.6", "libc.so.6"][..], Some(CLibrary::Glibc)),
            (&["libgcc_s.so.1", "libc.musl-x86_64.so.1"], Some(CLibrary::Musl)),
            (&["libc.so"], Some(CLibrary::Musl)),
            (&["liblog.so", "libc.so"], Some(CLibrary::Bionic)),
            (&["libfoo.so"], None),
        ] {
            assert_eq!(needing(names).c_library(), library, "{names:?}");
        }
        let program = Elf {
            interpreter: Some("/lib/ld-musl-aarch64.so.1".to_owned()),
            ..needing(&["libc.so"])
        };
        assert_eq!(program.c_library(), Some(CLibrary::Musl));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn reads_the_dynamic_table() {
        let path = std::env::current_exe().expect("tests run from a file");
        let elf = read(&std::fs::read(path).expect("readable")).expect("an ELF file");
        assert_eq!(elf.kind, Kind::Executable);
        assert_eq!(elf.c_library(), Some(CLibrary::Glibc));
        assert!(elf.interpreter.expect("dynamic").contains("/ld-linux"));
        assert!(elf.needed.iter().any(|name| name == "libc.so.6"));
        let glibc =
            |need: &VersionNeed| need.file == "libc.so.6" && need.version.starts_with("GLIBC_2.");
        assert!(elf.versions.iter().any(glibc), "{:?}", elf.versions);
    }
}
