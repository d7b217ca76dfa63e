//! Files of ours that are damaged: kept beside what takes their place, so that nothing is lost that somebody may still read in them.

use camino::{Utf8Path, Utf8PathBuf};

use super::state::State;
use super::{Locked, PrefixError, durable};

/// What the name of a damaged file ends with.
pub(super) const DAMAGED: &str = ".damaged";

/// Says that this is what is installed, where nothing said so any more, and that nothing is going on. Damaged files of ours are set aside.
///
/// # Errors
/// When something cannot be written. Who gives the command again finds as much as before.
pub fn replace(locked: &Locked, state: &State, damaged: &[Utf8PathBuf]) -> Result<(), PrefixError> {
    let layout = locked.layout();
    let (journal, others): (Vec<_>, Vec<_>) =
        damaged.iter().cloned().partition(|path| *path == layout.journal());
    set_aside(&others)?;
    state.write(layout)?;
    // As long as it is there, everybody knows that there is something to be mended.
    set_aside(&journal)
}

/// Gives damaged files of ours the name they are kept by.
///
/// # Errors
/// When one cannot be renamed.
pub fn set_aside(damaged: &[Utf8PathBuf]) -> Result<(), PrefixError> {
    damaged.iter().try_for_each(|path| durable::rename(path, &aside(path)))
}

/// The name that a damaged file is kept by.
#[must_use]
pub fn aside(path: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}{DAMAGED}"))
}
