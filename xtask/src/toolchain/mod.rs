//! What this machine has for building native code: zig, Cargo, cargo-zigbuild, a standard library of Rust.
//!
//! Everything is looked for by running it: a program counts when it answers with its version, and that version goes into
//! the keys of whatever is built with it. Nothing is installed here; what is missing is an error that says how to get it.
//!
//! C and C++ are compiled by zig for every target, this machine's own too: a system's compiler links against that system's
//! C library, which may be newer than the floor that the target promises.

mod cargo;
mod compilers;
mod error;
mod find;

pub use cargo::{Cargo, Linker, cargo, flags, host, settings};
pub use compilers::{Compilers, compilers};
pub use error::{ToolchainError, remedy};
pub(crate) use find::on_path;
pub use find::{Rust, Tool, cmake, go_words, rust, standard_library, zig, zigbuild};
