//! Where a file's bytes are, and which bytes they are.
//!
//! A gateway has tens of thousands of files, and the absolute paths of those in the store are long and nearly the same. So
//! the files of one package share one text: a [`Source`] only knows which part of it is its name.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;

/// A file nobody writes to any more: in the store, or in a stage's private folder. Cheap to clone.
#[derive(Clone)]
pub struct Source {
    folder: Folder,
    start: u32,
    end: u32,
    /// Its length in bytes.
    pub size: u64,
    /// Whether it may be executed: mode 755, else 644.
    pub executable: bool,
    /// The digest of its bytes.
    pub sha256: Digest,
}

/// A folder, and in one text the names of files below it.
#[derive(Debug, Clone)]
pub struct Folder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: Utf8PathBuf,
    names: Box<str>,
}

impl Source {
    /// A file that shares nothing with others.
    #[must_use]
    pub fn new(path: impl Into<Utf8PathBuf>, size: u64, executable: bool, sha256: Digest) -> Self {
        let path = path.into();
        let (above, name) = match (path.parent(), path.file_name()) {
            (Some(above), Some(name)) => (above.to_owned(), name),
            _ => (Utf8PathBuf::new(), path.as_str()),
        };
        let end = u32::try_from(name.len()).expect("no system has paths of gigabytes");
        let folder = Folder::new(above, name);
        Self { folder, start: 0, end, size, executable, sha256 }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> Utf8PathBuf {
        self.folder.0.path.join(self.name())
    }

    /// Where it is: a folder that it shares with other files, and its path below that.
    #[must_use]
    pub fn place(&self) -> (&Utf8Path, &str) {
        (&self.folder.0.path, self.name())
    }

    /// The same bytes for a file that may be executed.
    #[must_use]
    pub fn made_executable(self) -> Self {
        Self { executable: true, ..self }
    }

    fn name(&self) -> &str {
        &self.folder.0.names[self.start as usize..self.end as usize]
    }
}

impl Folder {
    /// The files below `path` whose names are in `names`, one after the other with anything between them.
    pub fn new(path: impl Into<Utf8PathBuf>, names: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Shared { path: path.into(), names: names.into() }))
    }

    /// All names.
    #[must_use]
    pub fn names(&self) -> &str {
        &self.0.names
    }

    /// The file whose name, relative and with `/`, is this part of the names; `None` where there is no such part.
    #[must_use]
    pub fn source(
        &self,
        name: Range<usize>,
        size: u64,
        executable: bool,
        sha256: Digest,
    ) -> Option<Source> {
        self.0.names.get(name.clone())?;
        let (start, end) = (u32::try_from(name.start).ok()?, u32::try_from(name.end).ok()?);
        Some(Source { folder: self.clone(), start, end, size, executable, sha256 })
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        let is_same_place = || self.place() == other.place() || self.path() == other.path();
        (self.size, self.executable, self.sha256) == (other.size, other.executable, other.sha256)
            && is_same_place()
    }
}

impl Eq for Source {}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Source")
            .field("path", &self.path())
            .field("size", &self.size)
            .field("executable", &self.executable)
            .field("sha256", &self.sha256)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_same_however_it_is_kept() {
        let digest = Digest::of("x");
        let folder = Folder::new("/store/files", "lib/a.js\nlib/b.js");
        let shared = folder.source(9..17, 1, false, digest).expect("within the names");
        assert_eq!(shared.path(), "/store/files/lib/b.js");
        assert_eq!(shared.place(), (Utf8Path::new("/store/files"), "lib/b.js"));
        let alone = Source::new("/store/files/lib/b.js", 1, false, digest);
        assert_eq!(alone.place(), (Utf8Path::new("/store/files/lib"), "b.js"));
        assert_eq!(alone, shared);
        assert_ne!(alone.made_executable(), shared);
        assert_eq!(Source::new("x", 1, false, digest).path(), "x");
        assert_eq!(Source::new("/", 1, false, digest).path(), "/");
    }

    #[test]
    fn names_have_bounds() {
        let folder = Folder::new("/store", "\u{e9}.js");
        assert!(folder.source(0..5, 0, false, Digest::of("")).is_some());
        for range in [1..5, 0..6, 6..7] {
            assert!(folder.source(range, 0, false, Digest::of("")).is_none());
        }
    }
}
