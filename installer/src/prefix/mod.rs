//! The folder an app is installed to, and every change to it.
//!
//! Whatever instant the power fails at, the programs lead to one whole version, and the next command finishes what was begun or
//! undoes it. That comes from an order: a version's folder is complete and on disk before `current` leads to it; the
//! [`journal`] says what is going on before anything is done; `current`, the journal and `state.json` are replaced as a whole, by a
//! rename; and every step can be taken again.
//!
//! ```text
//! versions/<slot>/   one version's files, never changed
//! current            which one is used: a link, on Windows a file with its name
//! state.json         what is installed
//! state.copy.json    the same once more
//! journal.json       what is going on, if anything
//! lock               held by whoever changes anything
//! downloads/         what was fetched and may be of use when a command is given again
//! trial/             where a version is tried, for as long as that takes
//! snapshots/         copies of the app's own data
//! installer/         the installer itself; on Windows it is in bin/
//! ```

pub mod current;
mod durable;
mod error;
pub mod journal;
mod layout;
pub mod links;
mod lock;
pub mod lost;
mod program;
pub mod recovery;
mod running;
mod slot;
pub mod state;
pub mod transaction;
mod trees;
pub mod uninstall;

#[cfg(unix)]
#[path = "unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "windows.rs"]
mod platform;

pub use durable::missing_folders;
pub use error::{PrefixError, Trouble};
pub use layout::{Layout, Scope};
pub use lock::{Locked, Waiting};
pub use program::digest as program_digest;
pub use slot::{Slot, SlotError};
pub use trees::{clear_remains, keep_downloads, present, seal};
