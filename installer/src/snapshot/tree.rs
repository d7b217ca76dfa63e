//! Copying a folder as it is, with a [`listing`] of what was copied.
//!
//! Links are copied as links and never followed; files with several names stay one file; what is neither file, folder nor link
//! is left out and told. Nothing is written outside of the copy.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use gangway_artifact::{BundlePath, Digest};
use sha2::{Digest as _, Sha256};

use super::error::SnapshotError;
use super::{listing, system};
use crate::interruption::Interruption;

/// How often a file that is written while it is copied is copied again.
const ATTEMPTS: usize = 3;

/// What was copied.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// A line for each entry, sorted.
    pub(super) listing: Vec<String>,
    /// How many regular files.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// How many of them share their blocks with the originals.
    pub(super) shared: u64,
    /// What was left out, and why.
    pub(super) skipped: Vec<(String, &'static str)>,
    /// What was changed meanwhile: the copy may not be of one instant.
    pub(super) changed: BTreeSet<String>,
}

/// Copies the folder `from` to `to`, which must not be there. `exclude` are paths in it.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    exclude: &[BundlePath],
    interruption: &Interruption,
) -> Result<Copied, SnapshotError> {
    let mut copying = Copying {
        from,
        to,
        exclude,
        interruption,
        shares: true,
        linked: HashMap::new(),
        seen: BTreeMap::new(),
        folders: Vec::new(),
        copied: Copied::default(),
    };
    let mut waiting = vec![PathBuf::new()];
    while let Some(folder) = waiting.pop() {
        copying.folder(&folder, &mut waiting)?;
    }
    // Writing into a folder changes its time, so its own comes last; from the inside out, as its mode may close it.
    for (folder, metadata) in copying.folders.iter().rev() {
        let path = to.join(folder);
        system::open_folder(&path)
            .and_then(|open| system::describe(&open, metadata))
            .map_err(SnapshotError::write(&path))?;
    }
    copying.look_again()?;
    let mut copied = copying.copied;
    copied.listing.sort_unstable();
    Ok(copied)
}

/// What a folder holds, without reading any file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Files that a database keeps beside itself while a program has it open.
    pub(super) in_use: Vec<String>,
}

/// Adds up what `copy` would copy.
pub(super) fn measure(folder: &Path, exclude: &[BundlePath]) -> Result<Measured, SnapshotError> {
    let mut measured = Measured::default();
    walk(folder, exclude, |path, metadata| {
        if metadata.is_file() {
            measured.files += 1;
            measured.bytes += metadata.len();
            let name = shown(path);
            // SQLite removes them when the last program closes the database.
            if metadata.len() > 0 && (name.ends_with("-wal") || name.ends_with("-journal")) {
                measured.in_use.push(name);
            }
        }
    })?;
    measured.in_use.sort_unstable();
    Ok(measured)
}

/// Looks whether every file may be read that `copy` would copy. Whatever else is in the way of one may be gone by then, as a program that has it open.
pub(super) fn check_readable(folder: &Path, exclude: &[BundlePath]) -> Result<(), SnapshotError> {
    let mut fault = None;
    walk(folder, exclude, |path, metadata| {
        if fault.is_some() || !metadata.is_file() {
            return;
        }
        let path = folder.join(path);
        let refused = system::open(&path).err();
        let refused = refused.filter(|error| error.kind() == io::ErrorKind::PermissionDenied);
        fault = refused.map(SnapshotError::read(&path));
    })?;
    fault.map_or(Ok(()), Err)
}

/// Removes a folder and all that is in it, also where modes forbid it.
pub(super) fn remove(folder: &Path) -> Result<(), SnapshotError> {
    remove_all(folder).map_err(SnapshotError::write(folder))
}

/// The same, of data or of copies of it, for whoever tells in its own words what cannot be removed.
///
/// # Errors
/// When something cannot be removed, as another account's folder.
pub fn remove_all(folder: &Path) -> io::Result<()> {
    match folder.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(metadata) if !metadata.is_dir() => return std::fs::remove_file(folder),
        _ => {}
    }
    if std::fs::remove_dir_all(folder).is_ok() {
        return Ok(());
    }
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        open_up(&folder);
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
            }
        }
    }
    std::fs::remove_dir_all(folder)
}

#[cfg(unix)]
fn open_up(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    // What cannot be opened is told by the removal itself.
    let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700));
}

#[cfg(not(unix))]
fn open_up(_: &Path) {}

/// What tells that a file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    identity: Option<system::Identity>,
    change: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            identity: system::identity(metadata),
            change: system::change(metadata),
        }
    }
}

struct Copying<'a> {
    from: &'a Path,
    to: &'a Path,
    exclude: &'a [BundlePath],
    interruption: &'a Interruption,
    /// Whether files may share blocks, as far as is known.
    shares: bool,
    /// The copies of files with several names.
    linked: HashMap<system::Identity, (PathBuf, String)>,
    seen: BTreeMap<PathBuf, Option<Stamp>>,
    folders: Vec<(PathBuf, Metadata)>,
    copied: Copied,
}

impl Copying<'_> {
    fn folder(&mut self, folder: &Path, more: &mut Vec<PathBuf>) -> Result<(), SnapshotError> {
        let path = self.from.join(folder);
        let Some(metadata) = self.here(folder, path.symlink_metadata())? else { return Ok(()) };
        let Some(names) = self.here(folder, names(&path))? else { return Ok(()) };
        let to = self.to.join(folder);
        system::create_folder(&to).map_err(SnapshotError::write(&to))?;
        self.copied.listing.push(listing::folder(&system::mode(&metadata), folder));
        self.folders.push((folder.to_owned(), metadata));
        self.seen.insert(folder.to_owned(), None);
        for name in names {
            self.go_on()?;
            let inside = folder.join(&name);
            if is_excluded(&inside, self.exclude) {
                continue;
            }
            if system::bytes(&name).is_none() {
                self.skip(&inside, "its name is no text");
                continue;
            }
            let path = self.from.join(&inside);
            let Some(metadata) = self.here(&inside, path.symlink_metadata())? else { continue };
            let kind = metadata.file_type();
            if kind.is_dir() {
                more.push(inside);
            } else if kind.is_file() {
                self.file(&inside)?;
            } else if kind.is_symlink() {
                self.link(&inside, &metadata)?;
            } else {
                self.skip(&inside, system::special(&metadata));
            }
        }
        Ok(())
    }

    fn link(&mut self, inside: &Path, metadata: &Metadata) -> Result<(), SnapshotError> {
        let target = std::fs::read_link(self.from.join(inside));
        let Some(target) = self.here(inside, target)? else { return Ok(()) };
        let to = self.to.join(inside);
        match system::link(&target, &to, metadata) {
            Err(_) if cfg!(windows) => {
                self.skip(inside, "a link, which this user may not make");
                return Ok(());
            }
            made => made.map_err(SnapshotError::write(&to))?,
        }
        self.copied.listing.push(listing::link(inside, &target));
        self.seen.insert(inside.to_owned(), None);
        Ok(())
    }

    /// Copies a file, again if it is written meanwhile. The last copy stays, and is told.
    fn file(&mut self, inside: &Path) -> Result<(), SnapshotError> {
        let from = self.from.join(inside);
        let to = self.to.join(inside);
        for attempt in 1..=ATTEMPTS {
            let Some(file) = self.here(inside, system::open(&from))? else { return Ok(()) };
            let before = file.metadata().map_err(SnapshotError::read(&from))?;
            if !before.is_file() {
                // It was one a moment ago.
                self.copied.changed.insert(shown(inside));
                return Ok(());
            }
            let several = system::identity(&before).filter(|_| system::names(&before) > 1);
            if let Some((first, content)) = several.and_then(|identity| self.linked.get(&identity))
            {
                let first = self.to.join(first);
                let line = listing::file(content, inside);
                std::fs::hard_link(&first, &to).map_err(SnapshotError::write(&to))?;
                self.copied.listing.push(line);
                self.seen.insert(inside.to_owned(), Some(Stamp::of(&before)));
                return Ok(());
            }
            let (size, digest, is_shared) = self.content(&file, &from, &to, &before)?;
            let after = file.metadata().map_err(SnapshotError::read(&from))?;
            let is_changed = Stamp::of(&before) != Stamp::of(&after) || size != after.len();
            if is_changed && attempt < ATTEMPTS {
                std::fs::remove_file(&to).map_err(SnapshotError::write(&to))?;
                continue;
            }
            if is_changed {
                self.copied.changed.insert(shown(inside));
            }
            let content = listing::content(&system::mode(&before), size, digest);
            self.copied.listing.push(listing::file(&content, inside));
            self.copied.files += 1;
            self.copied.bytes += size;
            self.copied.shared += u64::from(is_shared);
            if let Some(identity) = several {
                self.linked.insert(identity, (inside.to_owned(), content));
            }
            self.seen.insert(inside.to_owned(), Some(Stamp::of(&after)));
            return Ok(());
        }
        Ok(())
    }

    /// The content, by sharing its blocks or else byte by byte. The digest is that of the copy.
    fn content(
        &mut self,
        from: &File,
        path: &Path,
        to: &Path,
        original: &Metadata,
    ) -> Result<(u64, Digest, bool), SnapshotError> {
        let write = |error| SnapshotError::write(to)(error);
        let mut hasher = Sha256::new();
        let mut size = 0;
        let mut buffer = vec![0; 128 << 10];
        let shared = match self.shares {
            true => system::clone(from, to).map_err(write)?,
            false => None,
        };
        // One refusal is one by the file system; empty files can be shared everywhere and tell nothing.
        self.shares &= shared.is_some();
        let is_shared = shared.is_some();
        let copy = match shared {
            Some(mut copy) => {
                copy.rewind().map_err(write)?;
                loop {
                    let count = copy.read(&mut buffer).map_err(write)?;
                    if count == 0 {
                        break;
                    }
                    self.go_on()?;
                    hasher.update(&buffer[..count]);
                    size += count as u64;
                }
                copy
            }
            None => {
                let mut copy = system::create(to).map_err(write)?;
                let mut from = from;
                loop {
                    let count = from.read(&mut buffer).map_err(SnapshotError::read(path))?;
                    if count == 0 {
                        break;
                    }
                    self.go_on()?;
                    hasher.update(&buffer[..count]);
                    copy.write_all(&buffer[..count]).map_err(write)?;
                    size += count as u64;
                }
                copy
            }
        };
        system::describe(&copy, original).map_err(write)?;
        if cfg!(not(target_os = "linux")) {
            copy.sync_all().map_err(write)?;
        }
        Ok((size, Digest::from_bytes(hasher.finalize().into()), is_shared))
    }

    /// Finds what was changed after it was copied, made or removed: a copy takes time, and is of one instant only
    /// when nothing was.
    fn look_again(&mut self) -> Result<(), SnapshotError> {
        let mut now = BTreeMap::new();
        now.insert(PathBuf::new(), None);
        walk(self.from, self.exclude, |path, metadata| {
            let kind = metadata.file_type();
            if kind.is_file() || kind.is_dir() || kind.is_symlink() {
                now.insert(path.to_owned(), kind.is_file().then(|| Stamp::of(metadata)));
            }
        })?;
        let skipped: BTreeSet<&str> =
            self.copied.skipped.iter().map(|(path, _)| path.as_str()).collect();
        for (path, stamp) in &now {
            let name = shown(path);
            if self.seen.get(path) != Some(stamp) && !skipped.contains(name.as_str()) {
                self.copied.changed.insert(name);
            }
        }
        let gone = self.seen.keys().filter(|path| !now.contains_key(*path));
        self.copied.changed.extend(gone.map(|path| shown(path)));
        Ok(())
    }

    fn go_on(&self) -> Result<(), SnapshotError> {
        match self.interruption.signal() {
            Some(_) => Err(SnapshotError::Interrupted),
            None => Ok(()),
        }
    }

    fn skip(&mut self, inside: &Path, why: &'static str) {
        self.copied.skipped.push((shown(inside), why));
    }

    /// What was there a moment ago may be gone, and that is told; anything else is an error.
    fn here<T>(&mut self, inside: &Path, found: io::Result<T>) -> Result<Option<T>, SnapshotError> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.copied.changed.insert(shown(inside));
                Ok(None)
            }
            Err(error) => Err(SnapshotError::read(&self.from.join(inside))(error)),
        }
    }
}

/// Visits everything in a folder but what is excluded. What vanishes meanwhile is passed over.
pub(super) fn walk(
    root: &Path,
    exclude: &[BundlePath],
    mut visit: impl FnMut(&Path, &Metadata),
) -> Result<(), SnapshotError> {
    let mut waiting = vec![PathBuf::new()];
    while let Some(folder) = waiting.pop() {
        let path = root.join(&folder);
        let names = match names(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            names => names.map_err(SnapshotError::read(&path))?,
        };
        for name in names {
            let inside = folder.join(name);
            if is_excluded(&inside, exclude) {
                continue;
            }
            let path = root.join(&inside);
            let metadata = match path.symlink_metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata.map_err(SnapshotError::read(&path))?,
            };
            visit(&inside, &metadata);
            if metadata.is_dir() {
                waiting.push(inside);
            }
        }
    }
    Ok(())
}

/// The names in a folder, sorted, so that a run is like any other.
fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = std::fs::read_dir(folder)?;
    let mut names: Vec<OsString> =
        entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    names.sort_unstable();
    Ok(names)
}

fn is_excluded(path: &Path, exclude: &[BundlePath]) -> bool {
    exclude.iter().any(|excluded| Path::new(excluded.as_str()) == path)
}

/// A path as one line of text, whatever bytes are in it; different paths are different texts.
pub(super) fn shown(path: &Path) -> String {
    let mut text = String::new();
    for (index, part) in path.iter().enumerate() {
        if index > 0 && !text.ends_with('/') {
            text.push('/');
        }
        let bytes = system::bytes(part)
            .map_or_else(|| part.to_string_lossy().into_owned().into_bytes(), <[u8]>::to_vec);
        for chunk in bytes.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '\\' => text.push_str("\\\\"),
                    letter if letter.is_control() => text.extend(letter.escape_default()),
                    letter => text.push(letter),
                }
            }
            for byte in chunk.invalid() {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    if text.is_empty() { ".".to_owned() } else { text }
}
