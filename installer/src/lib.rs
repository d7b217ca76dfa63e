//! The end user's side of Gangway.
//!
//! The [`launcher`] is the small program that stands in every bundle's `bin/`. Everything else is the installer's: what `install.sh`
//! starts on a stranger's machine, and what updates, checks and removes afterwards.

#[cfg(feature = "installer")]
pub mod checkpoint;
#[cfg(feature = "installer")]
pub mod cli;
#[cfg(feature = "installer")]
pub mod commands;
#[cfg(feature = "installer")]
pub mod completions;
#[cfg(feature = "installer")]
pub mod context;
#[cfg(feature = "installer")]
pub mod doctor;
#[cfg(feature = "installer")]
pub mod fetch;
#[cfg(feature = "installer")]
pub mod health;
#[cfg(feature = "installer")]
pub mod host;
#[cfg(feature = "installer")]
pub mod interruption;
pub mod launcher;
#[cfg(feature = "installer")]
pub mod prefix;
#[cfg(feature = "installer")]
pub mod report;
#[cfg(feature = "installer")]
pub mod restart;
#[cfg(feature = "installer")]
pub mod search_path;
#[cfg(feature = "installer")]
pub mod smoke;
#[cfg(feature = "installer")]
pub mod snapshot;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
