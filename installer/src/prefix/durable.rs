//! Changes that a power failure does not undo or leave half done.
//!
//! A file is replaced as a whole: its content is written beside it and is on disk before it gets the name; then the folder is written, which
//! has the name. What a folder lost is on disk when the folder is.

use std::fs;
use std::io::{self, Write as _};

use camino::{Utf8Path, Utf8PathBuf};

use super::{PrefixError, platform};
use crate::checkpoint::{self, Step};

/// Who may read a file, whatever the umask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Everybody, as for an app that is installed for all.
    Everyone,
    /// Who it belongs to.
    Owner,
}

/// Gives the file `path` this content.
pub(super) fn write(path: &Utf8Path, content: &[u8], readers: Readers) -> Result<(), PrefixError> {
    let aside = beside(path);
    remove(&aside)?;
    let written = platform::create(&aside, readers).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    if let Err(source) = written {
        // What is left of it may take the space that somebody needs.
        let _ = fs::remove_file(&aside);
        return Err(PrefixError::io("write", path)(source));
    }
    checkpoint::reached(Step::Written);
    rename(&aside, path)?;
    checkpoint::reached(Step::Replaced);
    Ok(())
}

/// Renames a file, in place of the one that has the name. Both names are in one folder.
pub(super) fn rename(from: &Utf8Path, to: &Utf8Path) -> Result<(), PrefixError> {
    fs::rename(from, to).map_err(PrefixError::io("replace", to))?;
    sync_above(to)
}

/// Removes a file or a link, if there is one.
pub(super) fn remove(path: &Utf8Path) -> Result<bool, PrefixError> {
    match fs::remove_file(path) {
        Ok(()) => sync_above(path).map(|()| true),
        // Of what is no folder nothing can be removed either.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(false)
        }
        Err(error) => Err(PrefixError::io("remove", path)(error)),
    }
}

/// A folder and those above it, where they are missing, the innermost first.
#[must_use]
pub fn missing_folders(path: &Utf8Path) -> Vec<Utf8PathBuf> {
    let is_missing = |path: &&Utf8Path| !path.as_str().is_empty() && !path.exists();
    path.ancestors().take_while(is_missing).map(Utf8Path::to_owned).collect()
}

/// Makes a folder and those above it, where they are missing, for everybody to look into. Says which were made, the innermost first.
pub(super) fn create_folders(path: &Utf8Path) -> Result<Vec<Utf8PathBuf>, PrefixError> {
    let mut made = Vec::new();
    for folder in missing_folders(path).into_iter().rev() {
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made.map_err(PrefixError::io("create", &folder))?,
        }
        platform::open_to_all(&folder).map_err(PrefixError::io("create", &folder))?;
        sync_above(&folder)?;
        made.insert(0, folder);
    }
    Ok(made)
}

/// Removes those of these folders, the innermost first, that nothing is in. Nobody is the worse for one that stays.
pub(super) fn remove_empties(folders: &[Utf8PathBuf]) {
    for folder in folders {
        let _ = remove_empty(folder);
    }
}

/// Removes a folder if there is nothing in it.
pub(super) fn remove_empty(path: &Utf8Path) -> Result<(), PrefixError> {
    match fs::remove_dir(path) {
        Ok(()) => sync_above(path),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::DirectoryNotEmpty
                    | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(PrefixError::io("remove", path)(error)),
    }
}

/// Writes the folder that `path` is in to disk.
pub(super) fn sync_above(path: &Utf8Path) -> Result<(), PrefixError> {
    let folder = path.parent().filter(|folder| !folder.as_str().is_empty());
    let folder = folder.unwrap_or(Utf8Path::new("."));
    platform::sync_folder(folder).map_err(PrefixError::io("write", folder))
}

/// Where a file's next content lies until it is whole. The lock keeps others away, and what was left there by somebody who was killed is
/// overwritten.
pub(super) fn beside(path: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{path}.new"))
}
