//! Files as Unix has them.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};

/// Which file it is, whatever its name.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(metadata: &Metadata) -> Option<Identity> {
    Some((metadata.dev(), metadata.ino()))
}

/// How often a file is named.
pub(super) fn names(metadata: &Metadata) -> u64 {
    metadata.nlink()
}

/// When something of it was changed last: content, mode or name.
pub(super) fn change(metadata: &Metadata) -> (i64, i64) {
    (metadata.ctime(), metadata.ctime_nsec())
}

/// The mode, in octal.
pub(super) fn mode(metadata: &Metadata) -> String {
    format!("{:o}", metadata.mode() & 0o7777)
}

/// What it is, when it is neither file, folder nor link.
pub(super) fn special(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a pipe"
    } else {
        "a device"
    }
}

/// A name's bytes.
pub(super) fn bytes(name: &OsStr) -> Option<&[u8]> {
    Some(name.as_bytes())
}

/// Opens a file to read it: never another one by way of a link, and without waiting for the other end of a pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// Makes a file for its owner alone; what it may be read by later is set when it is whole.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes a folder for its owner alone.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

/// Gives the copy the mode and times of the original, and its owner where this user may.
pub(super) fn describe(copy: &File, original: &Metadata) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        let user = rustix::fs::Uid::from_raw(original.uid());
        let group = rustix::fs::Gid::from_raw(original.gid());
        rustix::fs::fchown(copy, Some(user), Some(group))?;
    }
    copy.set_permissions(Permissions::from_mode(original.mode() & 0o7777))?;
    let times = std::fs::FileTimes::new().set_modified(original.modified()?);
    copy.set_times(times)
}

/// A folder, open to be described.
pub(super) fn open_folder(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Makes a link that points where another one does.
pub(super) fn link(target: &Path, at: &Path, _: &Metadata) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

/// Makes `to` a file that shares the content's blocks with `from`, until one of them is changed. `None` where the file system
/// cannot.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn clone(from: &File, to: &Path) -> io::Result<Option<File>> {
    let file = create_readable(to)?;
    if rustix::fs::ioctl_ficlone(&file, from).is_ok() {
        return Ok(Some(file));
    }
    // For whatever reason: a plain copy finds those that matter.
    std::fs::remove_file(to)?;
    Ok(None)
}

/// As above.
#[cfg(target_vendor = "apple")]
pub(super) fn clone(from: &File, to: &Path) -> io::Result<Option<File>> {
    match rustix::fs::fclonefileat(from, CWD, to, rustix::fs::CloneFlags::NOFOLLOW) {
        Ok(()) => {
            // It has the original's mode, which may not let it be opened.
            std::fs::set_permissions(to, Permissions::from_mode(0o600))?;
            OpenOptions::new().read(true).write(true).open(to).map(Some)
        }
        Err(_) => Ok(None),
    }
}

/// As above.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(super) fn clone(_: &File, _: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn create_readable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Lets two folders change names in one step. False where the file system has no such step.
pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
    match rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Sees that everything in the folder is on the disk.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn flush(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

/// Elsewhere each file was flushed when it was written; this is for the names.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn flush(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Sees that the names in a folder are on the disk.
pub(super) fn flush_names(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
