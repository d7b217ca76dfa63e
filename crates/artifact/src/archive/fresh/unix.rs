//! Everything is named from the open folder, and nothing that exists is opened to be written.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode as Bits, OFlags};
use rustix::io::Errno;

use super::super::installed::Near;
use crate::Mode;

/// Linux writes all files of a file system to disk at once, which takes much less than one after the other.
pub(super) const SYNCS_AT_ONCE: bool = cfg!(target_os = "linux");

const OWNERS: Bits = Bits::from_raw_mode(0o700);
const FOLDERS: Bits = Bits::from_raw_mode(0o755);

/// The open folder, locked.
#[derive(Debug)]
pub(super) struct Folder {
    open: OwnedFd,
    /// Whose it is, and what is made in it.
    owner: u32,
}

impl Folder {
    /// Makes it, so that nobody else looks inside. `None`: what somebody else left was removed, try again.
    pub(super) fn make(path: &Path) -> io::Result<Option<Self>> {
        let made = rustix::fs::mkdirat(CWD, path, OWNERS);
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = match rustix::fs::openat(CWD, path, flags, Bits::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened?,
        };
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            // Some network file systems have no locks; then nobody is kept apart.
            Ok(()) | Err(Errno::NOTSUP | Errno::NOSYS | Errno::NOLCK) => {}
            Err(error) => return Err(error.into()),
        }
        match made {
            // Between the calls another process may have taken it for one that was left.
            Ok(()) => still_at(folder, path),
            Err(Errno::EXIST) => {
                std::fs::remove_dir_all(path)?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn file(&self, path: &str, mode: Mode) -> io::Result<File> {
        let bits = bits(mode);
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.open, path, flags, bits)?;
        // What it was made with depends on the umask.
        rustix::fs::fchmod(&file, bits)?;
        Ok(file.into())
    }

    /// A file whose name is gone at once.
    pub(super) fn scratch(&self) -> io::Result<File> {
        // No path in a bundle has a colon.
        const NAME: &str = ":scratch";
        let file = self.file(NAME, Mode::Plain)?;
        rustix::fs::unlinkat(&self.open, NAME, AtFlags::empty())?;
        Ok(file)
    }

    pub(super) fn folder(&self, path: &str) -> io::Result<()> {
        rustix::fs::mkdirat(&self.open, path, FOLDERS)?;
        Ok(rustix::fs::chmodat(&self.open, path, FOLDERS, AtFlags::empty())?)
    }

    pub(super) fn link(&self, path: &str, target: &str) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &self.open, path)?)
    }

    pub(super) fn near(&self) -> Near<'_> {
        Near::new(&self.open)
    }

    pub(super) fn is_ours(&self, found: &Metadata, mode: Mode) -> bool {
        found.uid() == self.owner && super::super::installed::is_mode(found.mode() & 0o7777, mode)
    }

    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.open, path, AtFlags::empty())?)
    }

    /// Lets everybody look inside; writes it to disk before if it should be.
    pub(super) fn seal(&self, sync: bool) -> io::Result<()> {
        rustix::fs::fchmod(&self.open, FOLDERS)?;
        if sync {
            #[cfg(target_os = "linux")]
            rustix::fs::syncfs(&self.open)?;
            #[cfg(not(target_os = "linux"))]
            rustix::fs::fsync(&self.open)?;
        }
        Ok(())
    }
}

/// Takes the place of an empty folder, and of nothing else.
pub(super) fn rename(from: &Path, to: &Path, sync: bool) -> io::Result<()> {
    std::fs::rename(from, to)?;
    if sync {
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Lets `made` have the bytes of `source`, and both keep what they have when one is written to.
#[cfg(target_os = "linux")]
pub(super) fn clone(source: &File, made: &File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(made, source)?)
}

/// Elsewhere a clone has everything else of its source, too.
#[cfg(not(target_os = "linux"))]
pub(super) fn clone(_source: &File, _made: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn bits(mode: Mode) -> Bits {
    match mode {
        Mode::Plain => Bits::from_raw_mode(0o644),
        Mode::Executable => Bits::from_raw_mode(0o755),
    }
}

/// The folder, if it is still the one at `path`.
fn still_at(open: OwnedFd, path: &Path) -> io::Result<Option<Folder>> {
    let ours = rustix::fs::fstat(&open)?;
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino) => {
            Ok(Some(Folder { open, owner: ours.st_uid }))
        }
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
