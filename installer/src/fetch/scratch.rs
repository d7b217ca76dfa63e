//! A file that several requests write to at the same time.

use std::fs::File;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::archive::FrameSource as _;

use super::FetchError;

/// A file that is written and read at any place.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) path: Utf8PathBuf,
    file: File,
}

impl Scratch {
    /// Opens it, or makes it.
    pub(super) fn open(path: &Utf8Path) -> Result<Self, FetchError> {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let file = made.and_then(|()| {
            File::options().read(true).write(true).create(true).truncate(false).open(path)
        });
        let file = file.map_err(|source| FetchError::Write { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file })
    }

    pub(super) fn length(&self) -> Result<u64, FetchError> {
        self.file.length().map_err(|source| self.failed(source))
    }

    pub(super) fn clear(&self) -> Result<(), FetchError> {
        self.file.set_len(0).map_err(|source| self.failed(source))
    }

    pub(super) fn write(&self, bytes: &[u8], place: u64) -> Result<(), FetchError> {
        write_at(&self.file, bytes, place).map_err(|source| self.failed(source))
    }

    pub(super) fn read(&self, buffer: &mut [u8], place: u64) -> io::Result<()> {
        self.file.read_at(buffer, place)
    }

    fn failed(&self, source: io::Error) -> FetchError {
        FetchError::Write { path: self.path.clone(), source }
    }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], place: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, place)
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut place: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_write(file, bytes, place)?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[count..];
        place += count as u64;
    }
    Ok(())
}
