//! The two modes a file of ours can have: 644, and 755 when it may be executed.
//!
//! They are set explicitly, because what a file is created with depends on the umask. Systems without Unix modes have
//! nothing to set.

use std::fs::{File, Metadata};
use std::io;

use camino::Utf8Path;

/// The permission bits.
#[must_use]
pub fn bits(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

/// Gives an open file its mode.
///
/// # Errors
/// When the system refuses.
#[cfg(unix)]
pub fn set(file: &File, executable: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(bits(executable)))
}

/// Gives an open file its mode.
///
/// # Errors
/// Never here.
#[cfg(not(unix))]
pub fn set(_file: &File, _executable: bool) -> io::Result<()> {
    Ok(())
}

/// Whether the owner may execute a file. Systems without Unix modes do not ask.
#[cfg(unix)]
#[must_use]
pub fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

/// Whether the owner may execute a file. Systems without Unix modes do not ask.
#[cfg(not(unix))]
#[must_use]
pub fn is_executable(_metadata: &Metadata) -> bool {
    true
}

/// Lets the owner look into a folder and all below it, and take things out of them.
///
/// # Errors
/// When the system refuses.
#[cfg(unix)]
pub fn open_folders(folder: &Utf8Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    for entry in folder.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(entry.path())?;
        }
    }
    Ok(())
}

/// Lets the owner look into a folder and all below it, and take things out of them.
///
/// # Errors
/// Never here.
#[cfg(not(unix))]
pub fn open_folders(_folder: &Utf8Path) -> io::Result<()> {
    Ok(())
}

/// Makes a folder with the mode 755, whatever the umask.
///
/// # Errors
/// When the system refuses, or something is there already.
#[cfg(unix)]
pub fn make_folder(path: &Utf8Path) -> io::Result<()> {
    make_folder_in(rustix::fs::CWD, path.as_str())
}

/// Makes the folder `name` in an open one, with the mode 755, whatever the umask.
///
/// # Errors
/// When the system refuses, or something is there already.
#[cfg(unix)]
pub fn make_folder_in(folder: std::os::fd::BorrowedFd<'_>, name: &str) -> io::Result<()> {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{AtFlags, Mode};
    /// Whether a folder was seen that the umask did not touch. Of thousands of folders only the first is looked at: the umask
    /// belongs to the process, and nothing in the builder changes it.
    static AS_ASKED: AtomicBool = AtomicBool::new(false);
    let mode = Mode::from_raw_mode(0o755);
    rustix::fs::mkdirat(folder, name, mode)?;
    if AS_ASKED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if Mode::from_raw_mode(found.st_mode & 0o777) == mode {
        AS_ASKED.store(true, Ordering::Relaxed);
        return Ok(());
    }
    Ok(rustix::fs::chmodat(folder, name, mode, AtFlags::empty())?)
}

/// Makes a folder.
///
/// # Errors
/// When the system refuses, or something is there already.
#[cfg(not(unix))]
pub fn make_folder(path: &Utf8Path) -> io::Result<()> {
    std::fs::create_dir(path)
}
