//! Where folders are not opened: the folder is new and ours, so its path is as good.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::super::installed::Near;
use crate::Mode;

/// Each file is written to disk by itself.
pub(super) const SYNCS_AT_ONCE: bool = false;

/// The folder, and a file beside it that is locked as long as it is made.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: PathBuf,
    _locked: File,
}

impl Folder {
    /// Makes it; what somebody else left is removed.
    pub(super) fn make(path: &Path) -> io::Result<Option<Self>> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock = PathBuf::from(name);
        let locked = OpenOptions::new().create(true).truncate(false).write(true).open(&lock)?;
        match locked.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir(path)?,
        }
        Ok(Some(Self { path: path.to_owned(), lock, _locked: locked }))
    }

    pub(super) fn file(&self, path: &str, _mode: Mode) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(self.path.join(path))
    }

    /// A file beside it, which is gone when it is closed.
    pub(super) fn scratch(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        #[cfg(windows)]
        {
            use std::os::windows::fs::OpenOptionsExt as _;
            /// `FILE_ATTRIBUTE_TEMPORARY` and `FILE_FLAG_DELETE_ON_CLOSE`.
            const GONE_WHEN_CLOSED: u32 = 0x100 | 0x0400_0000;
            options.share_mode(0).custom_flags(GONE_WHEN_CLOSED);
        }
        options.open(self.lock.with_extension("scratch"))
    }

    pub(super) fn folder(&self, path: &str) -> io::Result<()> {
        std::fs::create_dir(self.path.join(path))
    }

    /// Bundles for systems where links take a privilege have none.
    pub(super) fn link(&self, _path: &str, _target: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn near(&self) -> Near<'_> {
        Near::new(&self.path)
    }

    /// There are neither modes nor owners of that kind.
    pub(super) fn is_ours(&self, _found: &Metadata, _mode: Mode) -> bool {
        true
    }

    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(path))
    }

    pub(super) fn seal(&self, _sync: bool) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.lock);
    }
}

pub(super) fn clone(_source: &File, _made: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Takes the place of an empty folder, and of nothing else.
pub(super) fn rename(from: &Path, to: &Path, _sync: bool) -> io::Result<()> {
    match std::fs::remove_dir(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::rename(from, to)
}
