//! What is Unix's own about a prefix.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};

use camino::{Utf8Path, Utf8PathBuf};

use super::durable::Readers;

/// What `current` holds before the folder's name.
const VERSIONS: &str = "versions/";

/// Whether the open file is the one at `path`.
pub(super) fn is_at(file: &File, path: &Utf8Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// The account that a file or folder belongs to, where that is neither the one that gives the command nor root. What such a one says would be
/// done with the rights of this one.
pub(super) fn stranger(found: &fs::Metadata) -> Option<u32> {
    stranger_to(rustix::process::geteuid().as_raw(), found.uid())
}

fn stranger_to(user: u32, owner: u32) -> Option<u32> {
    (owner != user && owner != 0).then_some(owner)
}

/// Writes a folder to disk: the names in it.
pub(super) fn sync_folder(folder: &Utf8Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some network file systems know no such thing.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

/// Makes a file that nobody else reads before it is said that they may.
pub(super) fn create(path: &Utf8Path, readers: Readers) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if readers == Readers::Everyone {
        file.set_permissions(Permissions::from_mode(0o644))?;
    }
    Ok(file)
}

/// Lets everybody look into a folder, whatever the umask.
pub(super) fn open_to_all(folder: &Utf8Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

/// Makes a file a program that everybody may run.
pub(super) fn make_executable(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o755))
}

/// Makes a pointer to a version's folder.
pub(super) fn make_pointer(path: &Utf8Path, slot: &str) -> io::Result<()> {
    symlink(format!("{VERSIONS}{slot}"), path)
}

/// What a pointer holds, if there is one.
pub(super) fn read_pointer(path: &Utf8Path) -> io::Result<Option<String>> {
    match fs::read_link(path) {
        Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // It is no link.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Some(String::new())),
        Err(error) => Err(error),
    }
}

/// The folder's name in what a pointer holds.
pub(super) fn pointed(text: &str) -> Option<&str> {
    text.strip_prefix(VERSIONS)
}

/// Makes the program at `path`, of which nothing is there, start the one at `target`.
pub(super) fn make_program(path: &Utf8Path, target: &Utf8Path, _: &Utf8Path) -> io::Result<()> {
    symlink(target, path)
}

/// Whether the program at `path` is one that [`make_program`] made for this target in the prefix.
pub(super) fn starts(path: &Utf8Path, target: &Utf8Path, prefix: &Utf8Path, _: &Utf8Path) -> bool {
    let Ok(found) = path.read_link_utf8() else { return false };
    found == target
        || within(&found, prefix).is_some_and(|below| target.strip_prefix(prefix) == Ok(below))
}

/// Whether a program at `path`, in the folder for programs, belongs to the prefix.
pub(super) fn is_ours(path: &Utf8Path, prefix: &Utf8Path) -> bool {
    path.read_link_utf8().is_ok_and(|target| within(&target, prefix).is_some())
}

/// What `path` is called in the prefix. That may be reached by several names, as where `/home` is a link: the installer that was installed knows its real
/// one, and links were made with the one that the user has.
fn within<'a>(path: &'a Utf8Path, prefix: &Utf8Path) -> Option<&'a Utf8Path> {
    if let Ok(below) = path.strip_prefix(prefix) {
        return Some(below);
    }
    let real = prefix.canonicalize().ok()?;
    let is_prefix = |above: &&Utf8Path| above.canonicalize().is_ok_and(|found| found == real);
    path.strip_prefix(path.ancestors().find(is_prefix)?).ok()
}

/// Takes the right to write from a file. One that has other names is in another version too, and has lost it there.
pub(super) fn seal(file: &Utf8Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(file)?;
    if metadata.is_file() && metadata.nlink() == 1 {
        fs::set_permissions(file, Permissions::from_mode(metadata.mode() & 0o555))?;
    }
    Ok(())
}

/// Puts a new program in the place of one that may be running: who runs it keeps the old file.
pub(super) fn replace_program(new: &Utf8Path, program: &Utf8Path) -> io::Result<()> {
    fs::rename(new, program)
}

/// Removes a program that may be running.
pub(super) fn remove_program(program: &Utf8Path) -> io::Result<()> {
    fs::remove_file(program)
}

/// What is left of programs that were running when they were replaced or removed: nothing here.
pub(super) fn leftovers(_: &Utf8Path) -> Vec<Utf8PathBuf> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_word_counts() {
        for (user, owner, stranger) in [
            (1000, 1000, None),
            (1000, 0, None),
            (1000, 1001, Some(1001)),
            (0, 0, None),
            (0, 1000, Some(1000)),
        ] {
            assert_eq!(stranger_to(user, owner), stranger, "{owner} to {user}");
        }
    }
}
