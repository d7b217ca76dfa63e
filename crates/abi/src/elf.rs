//! ELF: what the loader of Linux reads.
//!
//! What decides at load time comes from the program headers and the dynamic table, as for the loader itself: section
//! headers can be stripped and then lie to nobody. Only data of other tools is found by its section (`.nv_fatbin`).
//! A table that is there and cannot be read is named in [`Elf::unread`]: what it would have said is unknown, not absent.

mod addon;
mod code;
mod hardening;
mod image;
mod notes;
mod relocations;
mod symbols;
mod versions;

use goblin::elf::{dynamic, header, program_header};
use serde::{Deserialize, Serialize};

pub use hardening::{Relro, Stack};
pub use notes::{ControlFlow, Properties};
pub use symbols::{Export, Import, SymbolKind};
pub use versions::VersionNeed;

use crate::facts::{Format, Identity, Kind, Machine, Part};
use crate::fatbin::{self, GpuCode};
use crate::fields::{index, text_at};
use crate::instructions::Instructions;
use crate::node::{self, NodeFacts};
use crate::payload::{self, Payload};
use crate::strings;
use image::Image;

/// More entries than any real binary has in one list.
const MAX_ENTRIES: usize = 4096;

/// The facts of an ELF file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elf {
    /// What it is for.
    pub kind: Kind,
    /// Its processor.
    pub machine: Machine,
    /// 32 or 64 bits.
    pub class: Class,
    /// The flags of its processor's ABI (`e_flags`): hard or soft float on ARM and RISC-V.
    pub machine_flags: u32,
    /// The operating system it is marked for (`EI_OSABI`): 0 and 3 are Linux, 9 is FreeBSD.
    pub os_abi: u8,
    /// The program loader it asks for (`PT_INTERP`).
    pub interpreter: Option<String>,
    /// The name it answers to (`DT_SONAME`).
    pub soname: Option<String>,
    /// The libraries it needs (`DT_NEEDED`), in order.
    pub needed: Vec<String>,
    /// Where to look first, old style (`DT_RPATH`). Empty entries are kept: they mean the current folder.
    pub rpath: Vec<String>,
    /// Where to look first (`DT_RUNPATH`).
    pub runpath: Vec<String>,
    /// The symbol versions it needs.
    pub versions: Vec<VersionNeed>,
    /// The symbol versions it defines, without the base one.
    pub definitions: Vec<String>,
    /// The symbols it needs.
    pub imports: Vec<Import>,
    /// The symbols it offers.
    pub exports: Vec<Export>,
    /// The segments that are mapped.
    pub loads: Vec<Load>,
    /// What it says of its stack.
    pub stack: Stack,
    /// What of its tables is made read-only after relocation.
    pub relro: Relro,
    /// Whether every function is bound at start (`DF_BIND_NOW`, `DF_1_NOW`).
    pub binds_now: bool,
    /// Whether the loader must write into code (`DT_TEXTREL`).
    pub text_relocations: bool,
    /// How it uses thread-local storage.
    pub tls: Tls,
    /// Whether it has packed relative relocations (`DT_RELR`), which glibc knows since 2.36.
    pub relr: bool,
    /// What its notes say.
    pub properties: Properties,
    /// Names of libraries in its data that are not among those it needs: candidates for `dlopen`. A heuristic.
    pub mentioned: Vec<String>,
    /// Page sizes are compiled into its allocator: jemalloc's complaint about another one is among its data.
    pub jemalloc: bool,
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

/// The width of addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Class {
    /// 32 bits.
    Bits32,
    /// 64 bits.
    #[default]
    Bits64,
}

/// A segment that is mapped (`PT_LOAD`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Where it is in the file.
    pub offset: u64,
    /// Where it is in memory, relative to the image.
    pub address: u64,
    /// The alignment it was linked for. A system with larger pages cannot map it.
    pub align: u64,
    /// Whether it can be read.
    pub readable: bool,
    /// Whether it can be written.
    pub writable: bool,
    /// Whether it holds code.
    pub executable: bool,
}

/// How thread-local storage is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// What each thread gets (`PT_TLS`), in bytes.
    pub size: u64,
    /// Its alignment.
    pub align: u64,
    /// It says that it needs room in the block that is laid out at start (`DF_STATIC_TLS`).
    pub is_static: bool,
    /// Relocations that only work in that block (`TPOFF`).
    pub static_relocations: u32,
}

/// A C library of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

    /// The version an import is bound to, and the library that must have it.
    #[must_use]
    pub fn version_of(&self, import: &Import) -> Option<&VersionNeed> {
        self.versions.get(usize::from(import.version?))
    }

    /// The version an export is defined with.
    #[must_use]
    pub fn definition_of(&self, export: &Export) -> Option<&str> {
        self.definitions.get(usize::from(export.version?)).map(String::as_str)
    }

    /// Whether it opens libraries by itself while it runs.
    #[must_use]
    pub fn opens_libraries(&self) -> bool {
        self.imports.iter().any(|import| matches!(&*import.name, "dlopen" | "dlmopen"))
    }
}

pub(crate) fn identify(head: &[u8]) -> Option<Identity> {
    let image = Image::headers(head)?;
    // Position-independent programs call themselves libraries; only the interpreter tells them apart.
    let has_interpreter = image.segment(program_header::PT_INTERP).is_some();
    Some(Identity {
        format: Format::Elf,
        machines: vec![machine(&image.header)],
        kind: kind(&image.header, has_interpreter),
    })
}

pub(crate) fn read(bytes: &[u8]) -> Option<Elf> {
    let mut image = Image::headers(bytes)?;
    let mut unread = Vec::new();
    if image.read_dynamic().is_none() {
        unread.push(Part::Dynamic);
    }
    let interpreter = image
        .segment(program_header::PT_INTERP)
        .and_then(|segment| text_at(bytes, index(segment.p_offset)?));
    // A static program that can be placed anywhere has no interpreter either, and says so here.
    let is_program = interpreter.is_some()
        || image.value(dynamic::DT_FLAGS_1).is_some_and(|flags| flags & dynamic::DF_1_PIE != 0);
    let mut elf = Elf {
        kind: kind(&image.header, is_program),
        machine: machine(&image.header),
        class: if image.context.container.is_big() { Class::Bits64 } else { Class::Bits32 },
        machine_flags: image.header.e_flags,
        os_abi: image.header.e_ident[header::EI_OSABI],
        interpreter,
        unread,
        ..Elf::default()
    };
    if read_names(&mut elf, &image).is_none() {
        elf.unread.push(Part::Dynamic);
    }
    hardening::read(&mut elf, &image);
    versions::read(&mut elf, &image);
    symbols::read(&mut elf, &image);
    relocations::read(&mut elf, &image);
    elf.properties = notes::read(&image);
    read_data(&mut elf, &image);
    elf.instructions = code::read(&elf, &image);
    elf.unread.dedup();
    Some(elf)
}

/// Names and search paths.
fn read_names(elf: &mut Elf, image: &Image<'_>) -> Option<()> {
    for entry in image.dynamic.iter().take(MAX_ENTRIES) {
        let text = || image.string(entry.d_val).and_then(|offset| text_at(image.bytes, offset));
        match entry.d_tag {
            dynamic::DT_NEEDED => elf.needed.push(text()?),
            dynamic::DT_SONAME => elf.soname = Some(text()?),
            dynamic::DT_RPATH => elf.rpath = search_path(&text()?),
            dynamic::DT_RUNPATH => elf.runpath = search_path(&text()?),
            _ => {}
        }
    }
    Some(())
}

fn search_path(text: &str) -> Vec<String> {
    text.split(':').take(MAX_ENTRIES).map(str::to_owned).collect()
}

/// What is found in the data, rather than in tables.
fn read_data(elf: &mut Elf, image: &Image<'_>) {
    let found = strings::scan(image.data());
    elf.jemalloc = found.jemalloc;
    elf.mentioned = found.libraries.into_iter().filter(|name| !elf.names(name)).collect();
    for name in [&b".nv_fatbin"[..], b"__nv_relfatbin"] {
        if let Some(section) = image.section(name) {
            elf.gpu.extend(fatbin::read(section));
        }
    }
    elf.node = node::classify(
        elf.machine,
        elf.imports.iter().map(|import| &*import.name),
        elf.exports.iter().map(|export| &*export.name),
        image,
    );
    elf.payload = payload::probe(image.bytes, elf.opens_libraries(), &elf.gpu);
}

impl Elf {
    /// Whether a library's name stands in its tables.
    fn names(&self, name: &str) -> bool {
        self.soname.as_deref() == Some(name)
            || self.needed.iter().any(|needed| needed == name)
            || self.versions.iter().any(|need| need.file == name)
    }
}

fn kind(header: &header::Header, is_program: bool) -> Kind {
    match header.e_type {
        header::ET_EXEC => Kind::Executable,
        header::ET_DYN if is_program => Kind::Executable,
        header::ET_DYN => Kind::Library,
        header::ET_REL => Kind::Object,
        _ => Kind::Other,
    }
}

fn machine(header: &header::Header) -> Machine {
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
mod tests;
