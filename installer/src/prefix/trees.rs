//! The folders of versions.

use std::fs;
use std::io;

use camino::Utf8Path;

use super::slot::{PARTIAL, REMOVED};
use super::state::State;
use super::{Layout, PrefixError, Slot, current, durable, platform};
use crate::checkpoint::{self, Step};

/// The folders that are there, sorted by name, whether `state.json` knows of them or not.
///
/// # Errors
/// When they cannot be told.
pub fn present(layout: &Layout) -> Result<Vec<Slot>, PrefixError> {
    let names = names(layout)?;
    let mut slots: Vec<Slot> = names.iter().filter_map(|name| name.parse().ok()).collect();
    slots.sort();
    Ok(slots)
}

/// Takes the right to write from the files at these paths in a folder: two versions may have one file in common, and who writes to
/// it in one of them, by mistake, changes both. Folders stay as they are, so that whoever has only `rm` can remove them.
///
/// # Errors
/// When one is not there, or belongs to somebody else.
pub fn seal<'a>(
    folder: &Utf8Path,
    paths: impl IntoIterator<Item = &'a str>,
) -> Result<(), PrefixError> {
    for path in paths {
        let path = folder.join(path);
        platform::seal(&path).map_err(PrefixError::io("take the right to write from", &path))?;
    }
    Ok(())
}

/// Removes what was fetched but for files whose names begin with one of these.
///
/// # Errors
/// When something cannot be removed.
pub fn keep_downloads(layout: &Layout, kept: &[String]) -> Result<(), PrefixError> {
    let folder = layout.downloads();
    let Ok(entries) = folder.read_dir_utf8() else { return Ok(()) };
    for entry in entries.flatten() {
        if !kept.iter().any(|name| entry.file_name().starts_with(name.as_str())) {
            durable::remove(entry.path())?;
        }
    }
    durable::remove_empty(&folder)
}

/// Removes a version's folder, whole or not, if it is there.
///
/// It loses its name first: a folder with a version's name is never half removed.
pub(super) fn remove(layout: &Layout, slot: &Slot) -> Result<(), PrefixError> {
    let folder = layout.version(slot);
    let condemned = layout.versions().join(format!("{slot}{REMOVED}"));
    remove_all(&condemned)?;
    match fs::rename(&folder, &condemned) {
        Ok(()) => durable::sync_above(&folder)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(PrefixError::io("remove", &folder)(error)),
    }
    checkpoint::reached(Step::Condemned);
    remove_all(&condemned)?;
    remove_all(&layout.versions().join(format!("{slot}{PARTIAL}")))?;
    checkpoint::reached(Step::Removed);
    Ok(())
}

/// Removes all folders of versions, and the folder they are in.
pub(super) fn remove_every(layout: &Layout) -> Result<(), PrefixError> {
    for slot in present(layout)? {
        remove(layout, &slot)?;
    }
    clear_remains(layout)?;
    durable::remove_empty(&layout.versions())
}

/// Removes what was being made or removed when somebody was killed.
pub(super) fn clear_remains(layout: &Layout) -> Result<(), PrefixError> {
    for name in names(layout)? {
        if name.ends_with(PARTIAL) || name.ends_with(REMOVED) {
            remove_all(&layout.versions().join(name))?;
        }
    }
    Ok(())
}

/// Removes folders of versions that nobody knows of any more: they could not be removed when they should have been, as a folder that something runs from on Windows. What cannot be
/// removed now either stays until the next time.
pub(super) fn clear_forgotten(layout: &Layout) -> Result<(), PrefixError> {
    // Without its word all would be forgotten.
    let Some(state) = State::read(layout)? else { return Ok(()) };
    let used = current::read(layout)?;
    for slot in present(layout)? {
        if state.of(&slot).is_none() && used.as_ref() != Some(&slot) {
            let _ = remove(layout, &slot);
        }
    }
    Ok(())
}

/// Removes a folder with everything in it, if it is there.
pub(super) fn remove_all(folder: &Utf8Path) -> Result<(), PrefixError> {
    if folder.symlink_metadata().is_err() {
        return Ok(());
    }
    fs::remove_dir_all(folder).map_err(PrefixError::io("remove", folder))
}

fn names(layout: &Layout) -> Result<Vec<String>, PrefixError> {
    let failed = || PrefixError::io("look into", &layout.versions());
    let entries = match layout.versions().read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed()(error)),
    };
    entries.map(|entry| entry.map(|entry| entry.file_name().to_owned()).map_err(failed())).collect()
}
