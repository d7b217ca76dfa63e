//! Releases: the folder that installers take everything from, on any server for files or on a stick.
//!
//! Bundles are [read and checked](bundles), [a plan](plan) says what the channel becomes, and [the folder](folder) gets what is missing in
//! an order in which every moment is whole: files that nothing names yet first, [the scripts](scripts) then, the channel's metadata last.
//!
//! A file that was published once stays as it is: whoever has an older script or older metadata finds what those name. So names carry the
//! version, the installer's too, and only the scripts and the metadata are ever replaced.

pub mod address;
pub mod bundles;
mod error;
pub mod folder;
pub mod named;
pub mod plan;
pub mod scripts;
#[cfg(test)]
mod tests;

pub use error::ReleaseError;
