//! Reads what a native binary needs of the machine it runs on.
//!
//! Bytes in, data out: [`read`] turns a file into [`Facts`], [`Requirements`] folds the facts of many files into what a
//! machine must offer. Nothing here opens a file, and nothing panics, whatever the bytes; every list is bounded, since
//! the counts in a header are the file's own claims. Judging facts against a target's baseline is not done here.

mod elf;
mod facts;
mod fields;
mod macho;
mod pe;
mod requirements;
mod version;

pub use elf::{CLibrary, Class, Elf, VersionNeed};
pub use facts::{Facts, Format, Identity, Kind, Machine, identify, read};
pub use macho::{MachO, Slice};
pub use pe::Pe;
pub use requirements::{Requirements, provided_by};
pub use version::Version;
