//! The folder an archive is unpacked to, until all of it is.
//!
//! It is `<to>.partial`, a fixed name, so that whoever was killed leaves one folder at most and the next one takes it
//! over. Two that unpack to the same place are kept apart by a lock on it. It is removed again unless it is finished.
//!
//! Nothing is written outside of it: there is no symbolic link in it before all files are written, everything in it was made
//! by us, and names in it are looked up from the open folder, not from its path. A file that was made is never written to later,
//! and one that is another version's, too, is never written to at all.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::error::Fault;
use super::installed::{self, Near};
use super::scratch::Scratch;
use crate::Mode;

#[cfg(not(unix))]
#[path = "fresh/portable.rs"]
mod system;
#[cfg(unix)]
#[path = "fresh/unix.rs"]
mod system;

use system::Folder;

/// The time of every file: 1985-10-26T08:15:00Z, that of every entry in the archive.
const MODIFIED: Duration = Duration::from_secs(499_162_500);

/// Whether what was unpacked survives a power failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The system writes it to disk when it likes.
    #[default]
    Cached,
    /// It is on disk before it gets its name.
    Synced,
}

/// A folder in the making; what there is of it goes away with the value.
#[derive(Debug)]
pub(super) struct Fresh {
    to: PathBuf,
    partial: PathBuf,
    folder: Option<Folder>,
    durability: Durability,
}

impl Fresh {
    /// Begins a folder that will be at `to`, where nothing is, or an empty folder.
    pub(super) fn create(to: &Path, durability: Durability) -> Result<Self, Fault> {
        // Without a slash at the end, which would make the other name one inside of it.
        let to: &Path = &to.components().collect::<PathBuf>();
        check_free(to)?;
        let mut partial = to.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let failed = |source| Fault::Write { path: partial.clone(), source };
        if let Some(parent) = to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        loop {
            match Folder::make(&partial) {
                Ok(Some(folder)) => {
                    return Ok(Self {
                        to: to.to_owned(),
                        partial,
                        folder: Some(folder),
                        durability,
                    });
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(Fault::Busy { path: to.to_owned() });
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Where it is until it is finished.
    pub(super) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Makes a file, with the folders it is in. It can be read and written.
    pub(super) fn file(&self, path: &str, mode: Mode) -> Result<File, Fault> {
        let made = self.with_folders(path, |folder| folder.file(path, mode))?;
        made.map_err(|error| self.failed(path, error))
    }

    /// The folder itself, for one thread to look into.
    pub(super) fn near(&self) -> Near<'_> {
        self.folder().near()
    }

    /// Gives the file `from` of an installed version a second name in here.
    pub(super) fn adopt(
        &self,
        (old, from): (&mut Near<'_>, &str),
        (new, path): (&mut Near<'_>, &str),
    ) -> io::Result<()> {
        let mut adopt = || installed::link(old.place(from)?, new.place(path)?);
        match adopt() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.folders(path).map_err(io::Error::other)?;
                adopt()
            }
            made => made,
        }
    }

    /// Whether a file is as if it were made in here: a regular one, of this mode, owner and time.
    pub(super) fn is_ours(&self, found: &Metadata, mode: Mode) -> bool {
        let modified = found.modified().is_ok_and(|time| time == SystemTime::UNIX_EPOCH + MODIFIED);
        found.is_file() && modified && self.folder().is_ours(found, mode)
    }

    /// Lets `made`, a new file, have the bytes of another one without copying them, if the file system can do that.
    pub(super) fn clone_into(&self, source: &File, made: &File) -> bool {
        system::clone(source, made).is_ok()
    }

    /// Removes a file from it.
    pub(super) fn remove(&self, path: &str) -> Result<(), Fault> {
        self.folder().remove(path).map_err(|error| self.failed(path, error))
    }

    /// Ends a file whose bytes are all written.
    pub(super) fn close(&self, path: &str, file: &File) -> Result<(), Fault> {
        let closed = file.set_modified(SystemTime::UNIX_EPOCH + MODIFIED).and_then(|()| match self
            .durability
        {
            Durability::Synced if !system::SYNCS_AT_ONCE => file.sync_all(),
            Durability::Synced | Durability::Cached => Ok(()),
        });
        closed.map_err(|error| self.failed(path, error))
    }

    /// Makes a symbolic link. From then on no more files are made.
    pub(super) fn link(&self, path: &str, target: &str) -> Result<(), Fault> {
        let made = self.with_folders(path, |folder| folder.link(path, target))?;
        made.map_err(|error| self.failed(path, error))
    }

    /// Gives the folder its name.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        let failed = |source| Fault::Write { path: self.to.clone(), source };
        let sync = self.durability == Durability::Synced;
        self.folder().seal(sync).map_err(failed)?;
        check_free(&self.to)?;
        system::rename(&self.partial, &self.to, sync).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory => {
                Fault::Exists { path: self.to.clone() }
            }
            _ => failed(source),
        })?;
        self.folder = None;
        Ok(())
    }

    /// A file that is not part of it, and has no name that anybody could find it by.
    pub(super) fn scratch(&self) -> Result<Scratch, Fault> {
        let folder = self.partial.clone();
        match self.folder().scratch() {
            Ok(file) => Ok(Scratch { file, folder }),
            Err(source) => Err(Fault::Write { path: folder, source }),
        }
    }

    /// What went wrong with a file, link or folder in it.
    pub(super) fn failed(&self, path: &str, source: io::Error) -> Fault {
        match source.kind() {
            io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory => Fault::Occupied { path: path.to_owned() },
            _ => Fault::Write { path: self.to.join(path), source },
        }
    }

    fn folder(&self) -> &Folder {
        self.folder.as_ref().expect("it is there until it is finished")
    }

    /// Makes something, and before it the folders it is in, if they are missing.
    fn with_folders<T>(
        &self,
        path: &str,
        make: impl Fn(&Folder) -> io::Result<T>,
    ) -> Result<io::Result<T>, Fault> {
        match make(self.folder()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.folders(path)?;
                Ok(make(self.folder()))
            }
            made => Ok(made),
        }
    }

    /// Makes the folders above `path` that are missing. Other threads make some of them at the same time.
    fn folders(&self, path: &str) -> Result<(), Fault> {
        let Some((folder, _)) = path.rsplit_once('/') else { return Ok(()) };
        let make = || match self.folder().folder(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        };
        let made = match make() {
            // Mostly only the innermost one is missing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.folders(folder)?;
                make()
            }
            made => made,
        };
        made.map_err(|error| self.failed(folder, error))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // The lock goes last: until then nobody takes the folder over.
        if self.folder.is_some() {
            let _ = std::fs::remove_dir_all(&self.partial);
        }
    }
}

fn check_free(to: &Path) -> Result<(), Fault> {
    let exists = || Err(Fault::Exists { path: to.to_owned() });
    match std::fs::symlink_metadata(to) {
        Ok(found) if found.is_dir() => {
            match std::fs::read_dir(to).map(|mut entries| entries.next()) {
                Ok(None) => Ok(()),
                _ => exists(),
            }
        }
        Ok(_) => exists(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Fault::Write { path: to.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("it is there");
        let name = |entry: io::Result<std::fs::DirEntry>| entry.expect("readable").file_name();
        let mut names: Vec<_> =
            entries.map(|entry| name(entry).into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    fn filled(to: &Path, durability: Durability) -> Fresh {
        let fresh = Fresh::create(to, durability).expect("nothing is there");
        let file = fresh.file("a/b/c", Mode::Executable).expect("it can be made");
        fresh.close("a/b/c", &file).expect("it is written");
        fresh
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let root = tempfile::tempdir().expect("a temporary folder");
        drop(filled(&root.path().join("x"), Durability::Cached));
        assert!(names(root.path()).is_empty());
    }

    #[test]
    fn what_is_finished_is_there() {
        let root = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(root.path().join("empty")).expect("writable");
        for (name, durability) in [
            ("x", Durability::Cached),
            ("new/y", Durability::Synced),
            ("empty/", Durability::Cached),
        ] {
            let to = root.path().join(name);
            filled(&to, durability).finish().expect("nothing is there");
            assert_eq!(names(&to.join("a/b")), ["c"]);
            let modified = to.join("a/b/c").metadata().and_then(|found| found.modified());
            assert_eq!(modified.expect("readable"), SystemTime::UNIX_EPOCH + MODIFIED);
        }
        assert_eq!(names(root.path()), ["empty", "new", "x"]);
        assert_eq!(names(&root.path().join("new")), ["y"]);
    }

    #[cfg(unix)]
    #[test]
    fn modes_are_what_they_should_be_whatever_the_umask() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().expect("a temporary folder");
        let to = root.path().join("x");
        filled(&to, Durability::Cached).finish().expect("nothing is there");
        let mode =
            |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o7777;
        for path in ["", "a", "a/b", "a/b/c"] {
            assert_eq!(mode(&to.join(path)), 0o755, "{path}");
        }
    }

    #[test]
    fn what_is_there_stays() {
        let root = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(root.path().join("file"), "mine").expect("writable");
        std::fs::create_dir_all(root.path().join("folder/inside")).expect("writable");
        for name in ["file", "folder"] {
            let to = root.path().join(name);
            let error = Fresh::create(&to, Durability::Cached).expect_err("something is there");
            assert!(matches!(error, Fault::Exists { .. }), "{error}");
        }
        // Something came meanwhile.
        let fresh = filled(&root.path().join("x"), Durability::Cached);
        std::fs::create_dir_all(root.path().join("x/mine")).expect("writable");
        assert!(matches!(fresh.finish(), Err(Fault::Exists { .. })));
        assert_eq!(names(root.path()), ["file", "folder", "x"]);
        assert_eq!(names(&root.path().join("x")), ["mine"]);
    }

    #[test]
    fn two_do_not_mix_and_the_next_takes_over() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let to = root.path().join("x");
        let first = filled(&to, Durability::Cached);
        let error = Fresh::create(&to, Durability::Cached).expect_err("somebody is there");
        assert!(matches!(error, Fault::Busy { .. }), "{error}");
        drop(first);
        std::fs::create_dir_all(root.path().join("x.partial/old")).expect("writable");
        filled(&to, Durability::Cached).finish().expect("the old one is nobody's");
        assert_eq!(names(&to), ["a"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_nothing_outside() {
        let root = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(root.path().join("outside")).expect("writable");
        let fresh = Fresh::create(&root.path().join("x"), Durability::Cached).expect("free");
        fresh.link("a/link", "../../outside").expect("it can be made");
        fresh.link("a/file", "../../outside/new").expect("it can be made");
        for path in ["a/file", "a/link", "a/link/"] {
            let made = fresh.file(path, Mode::Plain);
            assert!(matches!(made, Err(Fault::Occupied { .. })), "{path}: {made:?}");
        }
        assert!(names(&root.path().join("outside")).is_empty());
    }
}
