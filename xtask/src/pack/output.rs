//! The file an archive is written to, until it is whole.
//!
//! It is `<out>.partial`, a fixed name, so that a builder that was killed leaves one file at most and the next one
//! takes it over. Two builders that write the same archive are kept apart by a lock on that file.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;
use tempfile::TempPath;

use super::PackError;

/// An archive in the making; what there is of it goes away with the value.
#[derive(Debug)]
pub(super) struct Output {
    // Before `file`: the name must be gone before the lock is.
    partial: TempPath,
    file: File,
    out: Utf8PathBuf,
}

impl Output {
    /// Begins an archive that will be at `out`; makes the folder if it is not there.
    pub(super) fn create(out: &Utf8Path) -> Result<Self, PackError> {
        let write_error = |error| PackError::Write { out: out.to_owned(), error };
        if out.is_dir() {
            return Err(write_error(io::ErrorKind::IsADirectory.into()));
        }
        if let Some(folder) = out.parent().filter(|folder| !folder.as_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(write_error)?;
        }
        let partial = Utf8PathBuf::from(format!("{out}.partial"));
        let file = open_locked(&partial)
            .map_err(write_error)?
            .ok_or_else(|| PackError::Busy { out: out.to_owned() })?;
        let partial = TempPath::try_from_path(partial).map_err(write_error)?;
        let output = Self { partial, file, out: out.to_owned() };
        output.file.set_len(0).map_err(write_error)?;
        Ok(output)
    }

    /// Where to write.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the archive its name, once its bytes are on disk, and says which bytes and how many they are, which is what
    /// `known` says if there is something.
    pub(super) fn finish(self, known: Option<(Digest, u64)>) -> Result<(Digest, u64), PackError> {
        let Self { partial, mut file, out } = self;
        let write_error = |error| PackError::Write { out: out.clone(), error };
        file.seek(SeekFrom::Start(0)).map_err(write_error)?;
        // The disk and the processor are busy at the same time.
        let (synced, written) = std::thread::scope(|scope| {
            let synced = scope.spawn(|| file.sync_all());
            let written = known.map_or_else(|| Digest::of_reader(&file), Ok);
            (synced.join().expect("a call of the system does not panic"), written)
        });
        synced.map_err(write_error)?;
        let written = written.map_err(write_error)?;
        partial.persist(&out).map_err(|error| write_error(error.error))?;
        Ok(written)
    }
}

/// Lets the kernel use the memory that keeps the bytes of a finished archive for something else. Nobody reads the first of
/// many archives soon, and what the others are made of should stay in memory instead.
#[cfg_attr(
    not(target_os = "linux"),
    expect(unused_variables, reason = "other kernels have no such call, or none that matters")
)]
pub fn forget_pages(archive: &Utf8Path) {
    #[cfg(target_os = "linux")]
    {
        let advised = File::open(archive)
            .and_then(|file| Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?));
        if let Err(error) = advised {
            tracing::debug!(%archive, %error, "the kernel takes no advice");
        }
    }
}

/// Opens `path` and locks it; `None` when another process holds the lock.
fn open_locked(path: &Utf8Path) -> io::Result<Option<File>> {
    loop {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            // Some network file systems have no locks; then nobody is kept apart.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Between the two calls another builder may have finished: then this is its archive, under its last name.
        let identity = |meta: &Metadata| (meta.dev(), meta.ino());
        let ours = identity(&file.metadata()?);
        if std::fs::metadata(path).is_ok_and(|meta| identity(&meta) == ours) {
            return Ok(Some(file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).expect("UTF-8");
        (folder, path)
    }

    fn names(folder: &Utf8Path) -> Vec<String> {
        let entries = folder.read_dir_utf8().expect("it is there");
        entries.map(|entry| entry.expect("readable").file_name().to_owned()).collect()
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let (_guard, folder) = folder();
        let output = Output::create(&folder.join("a.zip")).expect("the folder is ours");
        assert_eq!(names(&folder), ["a.zip.partial"]);
        drop(output);
        assert!(names(&folder).is_empty());
    }

    #[test]
    fn what_a_killed_builder_left_is_taken_over() {
        let (_guard, folder) = folder();
        let out = folder.join("new/a.zip");
        std::fs::create_dir(folder.join("new")).expect("a folder");
        std::fs::write(folder.join("new/a.zip.partial"), "half an archive").expect("a file");
        let output = Output::create(&out).expect("nobody holds it");
        let (digest, size) = output.finish(None).expect("nothing was written");
        assert_eq!((digest, size), (Digest::of(""), 0));
        assert_eq!(names(&folder.join("new")), ["a.zip"]);
    }

    #[test]
    fn two_builders_do_not_mix() {
        let (_guard, folder) = folder();
        let out = folder.join("a.zip");
        let first = Output::create(&out).expect("the folder is ours");
        assert!(matches!(Output::create(&out), Err(PackError::Busy { .. })));
        first.finish(None).expect("nothing was written");
        let second = Output::create(&out).expect("the first is done");
        drop(second);
        assert_eq!(names(&folder), ["a.zip"]);
    }

    #[test]
    fn places_that_cannot_be_written_to() {
        let (_guard, folder) = folder();
        std::fs::write(folder.join("file"), "").expect("a file");
        std::fs::create_dir(folder.join("folder")).expect("a folder");
        for out in ["file/a.zip", "folder"] {
            let error = Output::create(&folder.join(out)).expect_err(out);
            assert_eq!(error.to_string(), format!("cannot write `{}`", folder.join(out)));
        }
        assert_eq!(names(&folder).len(), 2);
    }
}
