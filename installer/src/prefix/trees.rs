//! The folders of versions.

use std::fs;
use std::io;

use camino::{Utf8DirEntry, Utf8Path, Utf8PathBuf};

use super::slot::{PARTIAL, REMOVED, is_remains};
use super::state::State;
use super::{Layout, PrefixError, Slot, current, durable, platform};
use crate::checkpoint::{self, Step};

/// The folders that are there, sorted by name, whether `state.json` knows of them or not.
///
/// # Errors
/// When they cannot be told.
pub fn present(layout: &Layout) -> Result<Vec<Slot>, PrefixError> {
    let is_folder = |entry: &Utf8DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    // What is no folder is none of ours, and stays.
    let folders = entries(layout)?.into_iter().filter(is_folder);
    let mut slots: Vec<Slot> = folders.filter_map(|entry| entry.file_name().parse().ok()).collect();
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
/// It loses its name first: a folder with a version's name is never half removed. What cannot be removed of it then, [`clear_remains`] tells.
pub(super) fn remove(layout: &Layout, slot: &Slot) -> Result<(), PrefixError> {
    let folder = layout.version(slot);
    let condemned = condemned(layout, slot);
    match fs::rename(&folder, &condemned) {
        Ok(()) => durable::sync_above(&folder)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(PrefixError::io("remove", &folder)(error)),
    }
    checkpoint::reached(Step::Condemned);
    let partial = layout.versions().join(format!("{slot}{PARTIAL}"));
    for left in [condemned, partial] {
        let _ = remove_all(&left);
    }
    checkpoint::reached(Step::Removed);
    Ok(())
}

/// The name that a version's folder has while it is removed: one that nothing has which could not be removed before.
fn condemned(layout: &Layout, slot: &Slot) -> Utf8PathBuf {
    let usual = layout.versions().join(format!("{slot}{REMOVED}"));
    let numbered = |number| layout.versions().join(format!("{slot}.{number}{REMOVED}"));
    let mut names = std::iter::once(usual).chain((2_u32..).map(numbered));
    names.find(|name| remove_all(name).is_ok()).expect("not all numbers are taken")
}

/// Removes all folders of versions, and the folder they are in.
pub(super) fn remove_every(layout: &Layout) -> Result<(), PrefixError> {
    for slot in present(layout)? {
        remove(layout, &slot)?;
    }
    clear_remains(layout)?;
    durable::remove_empty(&layout.versions())
}

/// Removes what was being made or removed when somebody was killed. What cannot be removed, as another account's files in a folder of ours, is
/// returned: it is in nobody's way, and stays until the next time.
///
/// # Errors
/// When the folder cannot be looked into.
pub fn clear_remains(layout: &Layout) -> Result<Vec<PrefixError>, PrefixError> {
    let entries = entries(layout)?.into_iter().filter(|entry| is_remains(entry.file_name()));
    Ok(entries.filter_map(|entry| remove_all(entry.path()).err()).collect())
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

/// Removes a folder with everything in it, or a file, if it is there.
pub(super) fn remove_all(path: &Utf8Path) -> Result<(), PrefixError> {
    let removed = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    removed.map_err(PrefixError::io("remove", path))
}

fn entries(layout: &Layout) -> Result<Vec<Utf8DirEntry>, PrefixError> {
    let failed = || PrefixError::io("look into", &layout.versions());
    let entries = match layout.versions().read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed()(error)),
    };
    entries.map(|entry| entry.map_err(failed())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::slot;
    use super::*;

    /// As where the folder that had the name before could not be removed: nobody knows it by that of another version.
    #[test]
    fn the_name_of_what_is_removed_is_free() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let layout = Layout::new(Utf8Path::from_path(folder.path()).expect("UTF-8").to_owned());
        let of = |slot: &Slot| condemned(&layout, slot).file_name().map(str::to_owned);
        assert_eq!(of(&slot("1.0.0")).as_deref(), Some("1.0.0.removed"));
        assert!(is_remains("1.0.0.2.removed") && "1.0.0.2.removed".parse::<Slot>().is_err());
    }
}
