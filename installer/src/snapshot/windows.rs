//! Files as Windows has them: no modes, no owners, links by privilege only.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT,
};

/// Which file it is: nothing stable tells.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(_: &Metadata) -> Option<Identity> {
    None
}

/// How often a file is named: each name becomes a file of its own.
pub(super) fn names(_: &Metadata) -> u64 {
    1
}

/// When it was changed last.
pub(super) fn change(metadata: &Metadata) -> (i64, i64) {
    (i64::try_from(metadata.last_write_time()).unwrap_or(i64::MAX), 0)
}

/// There are no modes.
pub(super) fn mode(_: &Metadata) -> String {
    "-".to_owned()
}

/// What it is, when it is neither file, folder nor link.
pub(super) fn special(_: &Metadata) -> &'static str {
    "a file of its own kind"
}

/// A name's bytes, where it is text.
pub(super) fn bytes(name: &OsStr) -> Option<&[u8]> {
    name.to_str().map(str::as_bytes)
}

/// Opens a file to read it, never another one by way of a link.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(path)
}

/// Makes a file.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Makes a folder; it has the permissions of the one it is in.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
}

/// Gives the copy the times of the original.
pub(super) fn describe(copy: &File, original: &Metadata) -> io::Result<()> {
    copy.set_times(std::fs::FileTimes::new().set_modified(original.modified()?))
}

/// A folder, open to be described.
pub(super) fn open_folder(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path)
}

/// Makes a link that points where another one does.
pub(super) fn link(target: &Path, at: &Path, original: &Metadata) -> io::Result<()> {
    if original.file_type().is_symlink_dir() {
        std::os::windows::fs::symlink_dir(target, at)
    } else {
        std::os::windows::fs::symlink_file(target, at)
    }
}

/// NTFS shares no blocks.
pub(super) fn clone(_: &File, _: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

/// There is no such step.
pub(super) fn exchange(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Each file was flushed when it was written.
pub(super) fn flush(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Folders cannot be flushed; the file system keeps a journal of names.
pub(super) fn flush_names(_: &Path) -> io::Result<()> {
    Ok(())
}
