//! Which programs of the app run, and of which version.
//!
//! A process belongs to a version when its program lies in that version's folder. Processes of other users may be out of sight;
//! what is not seen is not there, as far as anybody here can tell.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(any(target_os = "linux", windows)), path = "portable.rs")]
mod system;

/// A process of the app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// The version it was started from.
    pub version: String,
    /// Its program.
    pub program: Utf8PathBuf,
}

/// The processes whose programs lie below `versions`, sorted by number; `None` where processes cannot be listed.
#[must_use]
pub fn of_app(versions: &Utf8Path) -> Option<Vec<Process>> {
    let versions = versions.canonicalize_utf8().unwrap_or_else(|_| versions.to_owned());
    let mut found: Vec<Process> = system::programs(&versions)?
        .into_iter()
        .filter_map(|(id, program)| {
            let inside = program.strip_prefix(&versions).ok()?;
            let version = inside.components().next()?.as_str().to_owned();
            Some(Process { id, version, program })
        })
        .collect();
    found.sort_by_key(|process| process.id);
    Some(found)
}

/// The process among these that listens on a port of the loopback interface, if that can be told.
#[must_use]
pub fn listener(port: u16, among: &[Process]) -> Option<&Process> {
    system::listener(port, among)
}
