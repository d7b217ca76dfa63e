//! Whose word counts: the metadata of releases, and what it pins.
//!
//! A channel's metadata names every file of a release with its size and SHA-256, so whoever believes the metadata can check everything
//! else, wherever it comes from. That the metadata is believed at all is decided in this module and nowhere else: for now whoever answers at
//! the address the user named is believed, and a sequence number that only grows keeps an old answer from being taken for a new one.

mod channel;
mod check;
mod names;
#[cfg(test)]
mod tests;

pub use channel::{
    Bundle, CHANNEL_VERSION, Channel, ChannelError, InstallerProgram, MOST_BYTES, NamedFile,
    Release,
};
pub use names::{app_fault, channel_fault, file_fault, version_fault};
