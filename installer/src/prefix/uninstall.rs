//! Removing everything that was put on the machine.
//!
//! The app's programs go first, so none of them leads nowhere; the installer goes last, so that it can go on with it.

use std::io;

use camino::Utf8PathBuf;

use super::journal::{Journal, Leaving, Operation};
use super::layout::program_name;
use super::state::State;
use super::transaction::Outside;
use super::{Layout, Locked, PrefixError, current, durable, links, lost, program, trees};
use crate::checkpoint::{self, Step};
use crate::snapshot;

/// Removes everything of what is installed, and these folders of the app's own data. What of the data and its copies cannot be removed is returned.
///
/// # Errors
/// When something else cannot be removed; then the next command goes on with it.
pub fn uninstall(
    locked: &Locked,
    state: &State,
    data: Vec<Utf8PathBuf>,
    outside: &dyn Outside,
) -> Result<Vec<PrefixError>, PrefixError> {
    let leaving = Leaving { before: Box::new(state.clone()), data };
    Journal::begin(locked.layout(), &Operation::Uninstall(leaving.clone()))?;
    checkpoint::reached(Step::Leaving);
    go_on(locked, &leaving, outside)
}

/// Goes on with what the journal says.
pub(super) fn go_on(
    locked: &Locked,
    leaving: &Leaving,
    outside: &dyn Outside,
) -> Result<Vec<PrefixError>, PrefixError> {
    let layout = locked.layout();
    let Leaving { before, data } = leaving;
    let State { app, bin_dir, programs, replaced, created, .. } = before.as_ref();
    links::remove(layout, bin_dir, programs, replaced)?;
    checkpoint::reached(Step::Unlinked);
    outside.settle(Some(before), None).map_err(|trouble| PrefixError::Outside { trouble })?;
    current::clear(layout)?;
    checkpoint::reached(Step::Unset);
    trees::remove_every(layout)?;
    checkpoint::reached(Step::Emptied);
    for folder in [layout.downloads(), layout.trial()] {
        trees::remove_all(&folder)?;
    }
    let stuck = remove_data(data.iter().chain([&layout.snapshots()]));
    State::remove(layout)?;
    checkpoint::reached(Step::Forgotten);
    let installer = program_name(app);
    if bin_dir.as_path() != layout.installer() {
        links::remove(layout, bin_dir, &[installer], replaced)?;
    }
    durable::remove_empties(created);
    program::remove(layout, app)?;
    checkpoint::reached(Step::ProgramRemoved);
    Journal::close(layout)?;
    leave_nothing(layout)?;
    Ok(stuck)
}

/// Removes data and its copies. A file system may be mounted there, or something be in it that another account wrote: whoever would stop there, every
/// command would.
fn remove_data<'a>(folders: impl Iterator<Item = &'a Utf8PathBuf>) -> Vec<PrefixError> {
    let remove = |folder: &Utf8PathBuf| {
        snapshot::remove_all(folder.as_std_path()).map_err(PrefixError::io("remove", folder))
    };
    folders.filter_map(|folder| remove(folder).err()).collect()
}

/// Removes everything from a prefix in which nothing is installed, as far as anybody knows.
///
/// # Errors
/// When something cannot be removed.
pub fn clear(locked: &Locked) -> Result<(), PrefixError> {
    let layout = locked.layout();
    if layout.is_somebodys() {
        return Ok(());
    }
    trees::remove_every(layout)?;
    for folder in [layout.downloads(), layout.trial()] {
        trees::remove_all(&folder)?;
    }
    leave_nothing(layout)
}

/// Removes what a prefix without anything installed has, and the prefix if nothing else is in it. What was fetched stays.
pub fn leave_nothing(layout: &Layout) -> Result<(), PrefixError> {
    if layout.is_somebodys() {
        return Ok(());
    }
    let records = [layout.state(), layout.state_copy(), layout.journal()];
    for path in records.iter().chain([&layout.current()]) {
        durable::remove(&durable::beside(path))?;
    }
    for path in records.iter().map(|path| lost::aside(path)).chain([layout.running()]) {
        durable::remove(&path)?;
    }
    for folder in [layout.versions(), layout.installer(), layout.downloads(), layout.snapshots()] {
        durable::remove_empty(&folder)?;
    }
    let entries = match layout.prefix().read_dir_utf8() {
        // Whoever went on with a removal has removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(PrefixError::io("look into", layout.prefix()))?,
    };
    let is_lock = |name: &str| name == "lock";
    if entries.flatten().all(|entry| is_lock(entry.file_name())) {
        durable::remove(&layout.lock())?;
        durable::remove_empty(layout.prefix())?;
    }
    Ok(())
}
