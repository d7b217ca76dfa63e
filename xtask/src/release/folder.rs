//! A release's folder: files come into it whole, under a name that was free.

use std::fs::File;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::trust::NamedFile;
use serde::Serialize;

use super::{ReleaseError, bundles};

/// A file on its way into the folder.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// What it will be.
    pub file: NamedFile,
    /// Where it is now. It is copied: with a hard link, whoever overwrote it there would change what is published.
    pub from: Utf8PathBuf,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is new.
    Added,
    /// It was there.
    Kept,
    /// It was there with other content.
    Replaced,
    /// Nothing names it any more.
    Removed,
}

/// Nobody else makes a release in the folder while this lives.
#[derive(Debug)]
pub struct Locked {
    folder: Utf8PathBuf,
    _handle: File,
}

impl Locked {
    /// Makes the folder if there is none, and waits until nobody else makes a release in it.
    ///
    /// # Errors
    /// When it can neither be made nor locked.
    pub fn folder(folder: &Utf8Path) -> Result<Self, ReleaseError> {
        let failed = |source| write(folder, source);
        fs_err::create_dir_all(folder).map_err(failed)?;
        let handle = File::open(folder).map_err(failed)?;
        handle.lock().map_err(failed)?;
        Ok(Self { folder: folder.to_owned(), _handle: handle })
    }

    /// Whether each of these is there already.
    ///
    /// # Errors
    /// When there is one of the same name with other content.
    pub fn compare(&self, incoming: &[Incoming]) -> Result<Vec<State>, ReleaseError> {
        incoming.iter().map(|incoming| state(&self.folder, &incoming.file)).collect()
    }

    /// Brings a file in that is not there, and onto the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&self, incoming: &Incoming) -> Result<(), ReleaseError> {
        let path = self.folder.join(&incoming.file.name);
        let partial = self.partial(&incoming.file.name)?;
        let failed = |source| write(&path, source);
        fs_err::copy(&incoming.from, &partial).map_err(failed)?;
        File::open(&partial).and_then(|file| file.sync_all()).map_err(failed)?;
        fs_err::rename(&partial, &path).map_err(failed)
    }

    /// Gives a file this content, whatever it had.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn replace(&self, name: &str, content: &[u8]) -> Result<State, ReleaseError> {
        let path = self.folder.join(name);
        let failed = |source| write(&path, source);
        let before = match fs_err::read(&path) {
            Ok(before) if before == content => return Ok(State::Kept),
            Ok(_) => State::Replaced,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::Added,
            Err(error) => return Err(failed(error)),
        };
        let partial = self.partial(name)?;
        fs_err::write(&partial, content).map_err(failed)?;
        File::open(&partial).and_then(|file| file.sync_all()).map_err(failed)?;
        fs_err::rename(&partial, &path).map_err(failed)?;
        Ok(before)
    }

    /// Removes a file that nothing names, if it is there.
    ///
    /// # Errors
    /// When that fails.
    pub fn remove(&self, name: &str) -> Result<bool, ReleaseError> {
        let path = self.folder.join(name);
        match fs_err::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(write(&path, error)),
        }
    }

    /// Ends when the names are on the disk too.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> Result<(), ReleaseError> {
        self._handle.sync_all().map_err(|source| write(&self.folder, source))
    }

    /// A free name for a file that is not whole yet; one that a killed command has left is no obstacle.
    fn partial(&self, name: &str) -> Result<Utf8PathBuf, ReleaseError> {
        let partial = self.folder.join(format!(".{name}.partial"));
        match fs_err::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(write(&partial, error)),
            _ => Ok(partial),
        }
    }
}

/// Whether `file` is in `folder` already.
///
/// # Errors
/// When there is one of the same name with other content.
pub fn state(folder: &Utf8Path, file: &NamedFile) -> Result<State, ReleaseError> {
    let path = folder.join(&file.name);
    if !path.is_file() {
        return Ok(State::Added);
    }
    match bundles::named_file(file.name.clone(), &path)? == *file {
        true => Ok(State::Kept),
        false => Err(ReleaseError::Taken { path }),
    }
}

fn write(path: &Utf8Path, source: io::Error) -> ReleaseError {
    ReleaseError::Write { path: path.to_owned(), source }
}
