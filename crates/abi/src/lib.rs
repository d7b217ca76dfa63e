//! Reads what a native binary needs of the machine it runs on.
//!
//! Bytes in, data out: [`read`] turns a file into [`Facts`], and [`check()`] judges the facts of a whole bundle against
//! what a target promises. Nothing here
//! opens a file, and nothing panics, whatever the bytes; every list is bounded, since the counts in a header are the
//! file's own claims.
//!
//! Facts can be stored: reading the same bytes gives the same facts, as long as [`FACTS_VERSION`] is the same.

mod archive;
mod base64;
pub mod check;
mod elf;
mod facts;
mod fatbin;
mod fields;
mod icu;
mod instructions;
mod macho;
mod node;
mod payload;
mod pe;
mod strings;
mod version;

pub use archive::{Archive, Member};
pub use base64::base64_texts;
pub use check::check;
pub use elf::{
    CLibrary, Class, ControlFlow, Elf, Export, Import, Load, Properties, Relro, Stack, SymbolKind,
    Tls, VersionNeed,
};
pub use facts::{Facts, Format, Identity, Kind, Machine, Part, identify, read};
pub use fatbin::{GpuCode, GpuCodeKind};
pub use icu::icu_data;
pub use instructions::{Feature, Instructions, Use};
pub use macho::{
    BuildTarget, CodeSignature, Dependency, DependencyKind, MachO, MachOImport, Pages, Platform,
    Signature, Signer, Slice, Source,
};
pub use node::{
    Declared, Engine, ModulesSource, NodeApi, NodeClass, NodeFacts, Registration, modules_in_name,
};
pub use payload::Payload;
pub use pe::{DelayHook, HostImport, ImportedSymbol, Pe, PeImport, Subsystem};
pub use version::{NotAVersion, Version};

/// Counts the changes to what [`Facts`] hold or how they are written. Stored facts of another number are to be read anew.
pub const FACTS_VERSION: u32 = 3;
