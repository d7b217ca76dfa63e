//! What is different about an installed version from what was installed.
//!
//! Nothing is written, nothing stops it but a folder that cannot be opened at all: what cannot be read is a difference
//! like others. It takes no more memory than the differences it finds.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::error::{ArchiveError, Attempt, Fault};
use super::installed::{self, Installed, Near};
use super::threads;
use crate::{Digest, File, Link, MANIFEST_FILE, Manifest, Mode};

/// Something that is not as it was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where it is in the version's folder; characters that are none are replaced.
    pub path: String,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// What is not as it was installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are named")]
pub enum What {
    /// It is not there.
    Missing,
    /// A file has other bytes.
    Changed,
    /// It may be written to, read or run by others than it should.
    Mode { expected: String, found: String },
    /// A link leads elsewhere.
    Target { expected: String, found: String },
    /// It is not a file, link or folder, as it should be.
    Kind { expected: Kind },
    /// Nobody installed it. Of a folder there is no more said than this.
    Extra,
    /// It cannot be read.
    Unreadable { reason: String },
}

/// What may be in a version's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Kind {
    File,
    Folder,
    Link,
}

/// Compares the version installed at `folder` with its manifest, and its `manifest.json` with that one's digest. What is found
/// is sorted by path.
///
/// # Errors
/// When there is no such folder.
pub fn check(
    folder: &Path,
    manifest: &Manifest,
    digest: Digest,
    threads: NonZeroUsize,
) -> Result<Vec<Difference>, ArchiveError> {
    let installed = Installed::open(folder).map_err(|source| {
        let path = folder.to_owned();
        ArchiveError::new(Attempt::Check, folder, Fault::Old { path, source })
    })?;
    let all = Expected::new(manifest, digest);
    let jobs = all.jobs();
    let found = Mutex::new(Vec::new());
    let hands =
        || Hands { near: installed.near(), buffer: vec![0; installed::BUFFER], found: Vec::new() };
    let shared = threads::share(threads.get(), jobs.len(), hands, |hands, job, _| {
        hands.do_job(&jobs[job], &all);
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        found.append(&mut hands.found);
        Ok(())
    });
    shared.map_err(|fault| ArchiveError::new(Attempt::Check, folder, fault))?;
    let mut found: Vec<Difference> = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by(|one, other| (&one.path, &one.what).cmp(&(&other.path, &other.what)));
    Ok(found)
}

/// Everything that there should be.
struct Expected<'a> {
    manifest: &'a Manifest,
    digest: Digest,
    folders: BTreeSet<&'a str>,
}

enum Job<'a> {
    Manifest,
    Files(Range<usize>),
    Links(Range<usize>),
    Folder(&'a str),
}

impl<'a> Expected<'a> {
    fn new(manifest: &'a Manifest, digest: Digest) -> Self {
        let mut folders = BTreeSet::from([""]);
        let paths = manifest.files.iter().map(|file| file.path.as_str());
        for mut path in paths.chain(manifest.links.iter().map(|link| link.path.as_str())) {
            while let Some((folder, _)) = path.rsplit_once('/')
                && folders.insert(folder)
            {
                path = folder;
            }
        }
        Self { manifest, digest, folders }
    }

    fn jobs(&self) -> Vec<Job<'a>> {
        const LINKS: usize = 64;
        let files = threads::batches(self.manifest.files.iter().map(|file| file.size));
        let links = self.manifest.links.len();
        let links = (0..links).step_by(LINKS).map(|from| from..(from + LINKS).min(links));
        let others = files.into_iter().map(Job::Files).chain(links.map(Job::Links));
        let folders = self.folders.iter().map(|folder| Job::Folder(folder));
        std::iter::once(Job::Manifest).chain(others).chain(folders).collect()
    }

    fn has(&self, path: &str) -> bool {
        let Manifest { files, links, .. } = self.manifest;
        path == MANIFEST_FILE
            || self.folders.contains(path)
            || files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok()
            || links.binary_search_by(|link| link.path.as_str().cmp(path)).is_ok()
    }
}

/// What a thread works with.
struct Hands<'a> {
    near: Near<'a>,
    buffer: Vec<u8>,
    found: Vec<Difference>,
}

impl Hands<'_> {
    fn do_job(&mut self, job: &Job<'_>, all: &Expected<'_>) {
        match job {
            Job::Manifest => self.manifest(all.digest),
            Job::Files(range) => {
                all.manifest.files[range.clone()].iter().for_each(|file| self.file(file));
            }
            Job::Links(range) => {
                all.manifest.links[range.clone()].iter().for_each(|link| self.link(link));
            }
            Job::Folder(path) => self.folder(path, all),
        }
    }

    fn manifest(&mut self, expected: Digest) {
        let Some((file, found)) = self.open(MANIFEST_FILE) else { return };
        self.mode(MANIFEST_FILE, &found, Mode::Plain);
        self.bytes(MANIFEST_FILE, &file, (found.len(), expected));
    }

    fn file(&mut self, file: &File) {
        let path = file.path.as_str();
        let Some((open, found)) = self.open(path) else { return };
        self.mode(path, &found, file.mode);
        match found.len() == file.size {
            true => self.bytes(path, &open, (file.size, file.sha256)),
            false => self.differs(path, What::Changed),
        }
    }

    /// Opens a regular file.
    fn open(&mut self, path: &str) -> Option<(std::fs::File, Metadata)> {
        let opened = self.near.file(path).and_then(|file| {
            let found = file.metadata()?;
            Ok((file, found))
        });
        let what = match opened {
            Ok((file, found)) if found.is_file() => return Some((file, found)),
            Ok(_) => What::Kind { expected: Kind::File },
            // Links are not opened; that one is there is told by where it leads.
            Err(_) if self.near.target(path).is_ok() => What::Kind { expected: Kind::File },
            Err(error) => unreadable(&error),
        };
        self.differs(path, what);
        None
    }

    fn bytes(&mut self, path: &str, file: &std::fs::File, (size, expected): (u64, Digest)) {
        match installed::digest(file, size, &mut self.buffer, |_, _| Ok(())) {
            Ok(Ok(found)) if found == expected => {}
            Ok(Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                self.differs(path, unreadable(&error));
            }
            _ => self.differs(path, What::Changed),
        }
    }

    fn link(&mut self, link: &Link) {
        let path = link.path.as_str();
        match self.near.target(path) {
            Ok(found) if found == *link.target => {}
            Ok(found) => {
                let (expected, found) = (link.target.clone(), found.to_string_lossy().into_owned());
                self.differs(path, What::Target { expected, found });
            }
            // It is something else than a link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.differs(path, What::Kind { expected: Kind::Link });
            }
            Err(error) => self.differs(path, unreadable(&error)),
        }
    }

    fn folder(&mut self, path: &str, all: &Expected<'_>) {
        const MODE: u32 = 0o755;
        let (names, mode) = match self.near.names(path) {
            Ok(found) => found,
            // So is everything that should be in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) if is_other(&error) => {
                return self.differs(path, What::Kind { expected: Kind::Folder });
            }
            Err(error) => return self.differs(path, unreadable(&error)),
        };
        if let Some(found) = mode.filter(|found| *found != MODE) {
            self.differs(path, mode_differs(MODE, found));
        }
        for name in names {
            let name = name.to_string_lossy();
            let path = if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") };
            if !all.has(&path) {
                self.differs(&path, What::Extra);
            }
        }
    }

    #[cfg(unix)]
    fn mode(&mut self, path: &str, found: &Metadata, expected: Mode) {
        use std::os::unix::fs::PermissionsExt as _;
        let found = found.permissions().mode() & 0o7777;
        if !installed::is_mode(found, expected) {
            self.differs(path, mode_differs(expected.bits(), found));
        }
    }

    /// There are no modes.
    #[cfg(not(unix))]
    fn mode(&mut self, _path: &str, _found: &Metadata, _expected: Mode) {}

    fn differs(&mut self, path: &str, what: What) {
        self.found.push(Difference { path: path.to_owned(), what });
    }
}

fn mode_differs(expected: u32, found: u32) -> What {
    What::Mode { expected: format!("{expected:o}"), found: format!("{found:o}") }
}

fn unreadable(error: &io::Error) -> What {
    match error.kind() {
        io::ErrorKind::NotFound => What::Missing,
        // That a folder above it is something else, is said of that.
        _ if is_other(error) => What::Missing,
        _ => What::Unreadable { reason: error.to_string() },
    }
}

/// Whether something that should be a folder is not: a file, or a link.
fn is_other(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        return true;
    }
    error.kind() == io::ErrorKind::NotADirectory
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "." } else { &self.path };
        match &self.what {
            What::Missing => write!(formatter, "`{path}` is missing"),
            What::Changed => write!(formatter, "`{path}` was changed"),
            What::Mode { expected, found } => {
                write!(formatter, "`{path}` has the mode {found}, and {expected} was expected")
            }
            What::Target { expected, found } => {
                write!(
                    formatter,
                    "the link `{path}` leads to `{found}`, and `{expected}` was expected"
                )
            }
            What::Kind { expected: Kind::File } => write!(formatter, "`{path}` is no file"),
            What::Kind { expected: Kind::Folder } => write!(formatter, "`{path}` is no folder"),
            What::Kind { expected: Kind::Link } => write!(formatter, "`{path}` is no link"),
            What::Extra => write!(formatter, "`{path}` is not part of it"),
            What::Unreadable { reason } => write!(formatter, "`{path}` cannot be read: {reason}"),
        }
    }
}
