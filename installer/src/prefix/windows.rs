//! What is Windows' own about a prefix.

use std::fs::{self, File};
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::durable::Readers;

/// What the name of a program ends with that was running when it was replaced.
const OLD: &str = ".old";

/// Whether the open file is the one at `path`: there is no asking, but a file that is open and was removed has no name any more.
pub(super) fn is_at(_: &File, path: &Utf8Path) -> bool {
    path.exists()
}

/// The account that a file or folder belongs to, where its word does not count: folders are other accounts' to write to only where somebody has said so.
pub(super) fn stranger(_: &fs::Metadata) -> Option<u32> {
    None
}

/// Names in a folder are on disk when the file system says so: there is no asking for it.
pub(super) fn sync_folder(_: &Utf8Path) -> io::Result<()> {
    Ok(())
}

/// Makes a file; who reads it is decided by the folder above, which is the user's own.
pub(super) fn create(path: &Utf8Path, _: Readers) -> io::Result<File> {
    File::create_new(path)
}

/// Folders are open to whom the one above is.
pub(super) fn open_to_all(_: &Utf8Path) -> io::Result<()> {
    Ok(())
}

/// What can be run is said by a file's name.
pub(super) fn make_executable(_: &File) -> io::Result<()> {
    Ok(())
}

/// Makes a pointer to a version's folder.
pub(super) fn make_pointer(path: &Utf8Path, slot: &str) -> io::Result<()> {
    use std::io::Write as _;
    let mut file = File::create(path)?;
    file.write_all(slot.as_bytes())?;
    file.sync_all()
}

/// What a pointer holds, if there is one.
pub(super) fn read_pointer(path: &Utf8Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(String::new())),
        Err(error) => Err(error),
    }
}

/// The folder's name in what a pointer holds.
pub(super) fn pointed(text: &str) -> Option<&str> {
    Some(text.trim_end())
}

/// Makes the program at `path`, of which nothing is there, a copy of the launcher, which follows `current` by itself.
pub(super) fn make_program(path: &Utf8Path, _: &Utf8Path, launcher: &Utf8Path) -> io::Result<()> {
    let mut from = File::open(launcher)?;
    let mut to = File::create(path)?;
    io::copy(&mut from, &mut to)?;
    to.sync_all()
}

/// Whether the program at `path` is the launcher.
pub(super) fn starts(path: &Utf8Path, _: &Utf8Path, _: &Utf8Path, launcher: &Utf8Path) -> bool {
    match (fs::read(path), fs::read(launcher)) {
        (Ok(there), Ok(launcher)) => there == launcher,
        _ => false,
    }
}

/// Whether a program at `path`, in the folder for programs, belongs to the prefix: if it is in it.
pub(super) fn is_ours(path: &Utf8Path, prefix: &Utf8Path) -> bool {
    path.starts_with(prefix)
}

/// Nothing: a file that nobody may write to could not be removed either.
pub(super) fn seal(_: &Utf8Path) -> io::Result<()> {
    Ok(())
}

/// Puts a new program in the place of one that may be running: that cannot be overwritten, but renamed.
pub(super) fn replace_program(new: &Utf8Path, program: &Utf8Path) -> io::Result<()> {
    if program.exists() {
        fs::rename(program, aside(program))?;
    }
    fs::rename(new, program)
}

/// Removes a program. If it is this one it goes to the folder for temporary files, and from there when it ends; if it is another that is running it only
/// loses its name.
pub(super) fn remove_program(program: &Utf8Path) -> io::Result<()> {
    match fs::remove_file(program) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_this(program) => {
            let prefix = program.parent().and_then(Utf8Path::parent).ok_or(error)?;
            self_replace::self_delete_outside_path(prefix)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::rename(program, aside(program))
        }
        removed => removed,
    }
}

fn is_this(program: &Utf8Path) -> bool {
    let this = std::env::current_exe().and_then(fs::canonicalize);
    this.is_ok_and(|this| fs::canonicalize(program).is_ok_and(|program| program == this))
}

/// What is left of programs that were running when they were replaced or removed.
pub(super) fn leftovers(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let Ok(entries) = folder.read_dir_utf8() else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.into_path()));
    paths
        .filter(|path| path.extension().is_some_and(|end| OLD.strip_prefix('.') == Some(end)))
        .collect()
}

/// A name beside a program that is not taken.
fn aside(program: &Utf8Path) -> Utf8PathBuf {
    let name = |number: u32| Utf8PathBuf::from(format!("{program}.{number}{OLD}"));
    (1..).map(name).find(|path| !path.exists()).expect("not all numbers are taken")
}
