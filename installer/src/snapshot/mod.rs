//! Copies of the app's own data, made before another version may change it.
//!
//! A version's program can be put back at any time; what it finds of its data may be of a later version by then. So the
//! data is copied while the old version is still the one that runs, and a rollback can bring that copy back.
//!
//! - A copy is whole or not there: it is made beside its place and named last.
//! - Bringing one back loses nothing: what is in place is moved aside, under a name that is told, and never removed.
//! - What was brought back for a version that is not used after all gives way again to what was in place.
//! - Wherever a restore is killed, [`Store::finish`] ends it or takes it back.
//!
//! Deliberately absent: stopping whatever writes to the data. What was changed while it was copied is told instead.

mod error;
mod exchange;
mod listing;
mod plan;
mod restore;
mod returning;
mod store;
#[cfg(test)]
mod tests;
mod tree;

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

pub use self::error::SnapshotError;
pub use self::plan::{Content, Decision, Folder, Owner, Plan, Wish, folders, plan};
pub use self::restore::{Finished, Replaced, Restored, Stays};
pub use self::store::{Kept, Snapshot, Store};
pub use self::tree::remove_all;

/// Called before each step that changes something, with its name: where tests end the process.
pub type Checkpoint<'a> = &'a mut dyn FnMut(&'static str);
