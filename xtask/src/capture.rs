//! Reads back what a program did to a folder.
//!
//! The folder's earlier state is a [`Tree`], so nothing is taken on trust: every file is hashed and compared. Of an overlay
//! only the upper folder is read, which has what was written to and marks for what is gone. What is new or altered goes into
//! the store, and the result is a list of [`Changes`] that can be kept under a key and applied
//! again without running the program.

mod shared;

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{BundlePath, Digest, Hasher, PathError};
use miette::Diagnostic;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::layers;
use crate::store::{Store, StoreError};
use crate::tree::{Node, Source, Tree};

/// The difference between two trees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// What is new or altered.
    pub present: Tree,
    /// What is gone.
    pub removed: Vec<BundlePath>,
}

/// What can go wrong when a folder is read back.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum CaptureError {
    /// It cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file or folder.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A name that no bundle can have.
    #[error("`{folder}` has a file that cannot be bundled")]
    Name {
        /// The folder it is in.
        folder: Utf8PathBuf,
        /// Why.
        source: PathError,
    },
    /// Neither a file, a folder nor a link.
    #[error("`{path}` is a socket, a pipe or a device; a bundle has files, folders and links")]
    Special {
        /// Its place.
        path: BundlePath,
    },
    /// A link that does not work anywhere else.
    #[error("the link `{path}` points to `{target}`, which is outside the gateway's folder")]
    #[diagnostic(help("make it relative, and let it point to something that is bundled"))]
    Escape {
        /// The link.
        path: BundlePath,
        /// Where it points.
        target: String,
    },
    /// The store refused it.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

/// Compares what is below `folder` on disk with `before`, but only at and below the paths of `regions`; an empty path is
/// everything. New and altered files are put into the store.
///
/// # Errors
/// When something cannot be read or stored, or must not be in a bundle.
pub fn changes(
    store: &Store,
    folder: &Utf8Path,
    before: &Tree,
    regions: &[&str],
) -> Result<Changes, CaptureError> {
    compare(store, folder, before, regions, Seen { found: Vec::new(), hidden: None })
}

/// As [`changes`], for the upper folder of an overlay whose lower one was `before`.
///
/// # Errors
/// When something cannot be read or stored, or must not be in a bundle.
pub fn layer(
    store: &Store,
    upper: &Utf8Path,
    before: &Tree,
    regions: &[&str],
) -> Result<Changes, CaptureError> {
    let seen = Seen { found: Vec::new(), hidden: Some(BTreeSet::new()) };
    compare(store, upper, before, regions, seen)
}

fn compare(
    store: &Store,
    folder: &Utf8Path,
    before: &Tree,
    regions: &[&str],
    mut seen: Seen,
) -> Result<Changes, CaptureError> {
    for region in regions {
        look(folder, region, before, &mut seen)?;
    }
    let Seen { mut found, hidden } = seen;
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found.dedup_by(|one, other| one.path == other.path);
    let nodes: Vec<Option<Node>> = found
        .par_iter()
        .map(|found| changed(store, folder, found, before.get(found.path.as_str())))
        .collect::<Result<_, _>>()?;

    let is_in = |path: &BundlePath| regions.iter().any(|region| covers(region, path));
    let is_found = |path: &BundlePath| found.binary_search_by(|item| item.path.cmp(path)).is_ok();
    let is_hidden = |path: &BundlePath| match &hidden {
        None => true,
        Some(hidden) => and_above(path.as_str()).any(|path| hidden.contains(path)),
    };
    let removed = before.iter().map(|(path, _)| path);
    let removed = removed.filter(|path| is_in(path) && is_hidden(path) && !is_found(path));
    let removed = removed.cloned().collect();
    let present =
        found.iter().zip(nodes).filter_map(|(item, node)| Some((item.path.clone(), node?)));
    Ok(Changes { present: present.collect(), removed })
}

/// A path and the folders it lies in.
fn and_above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(above, _)| above))
}

/// Whether `path` is at or below `region`.
#[must_use]
pub fn covers(region: &str, path: &BundlePath) -> bool {
    region.is_empty() || path.as_str() == region || path.below(region).is_some()
}

/// A digest of everything in a tree: paths, modes, bytes and links.
#[must_use]
pub fn fingerprint(tree: &Tree) -> Digest {
    let mut text = Hasher::default();
    for (path, node) in tree.iter() {
        // No path or link has a line end in it, so no two trees have the same text.
        text.update(path.as_str());
        match node {
            Node::File(source) => {
                text.update(if source.executable { "\nexecutable " } else { "\nfile " });
                text.update(source.sha256.to_string());
            }
            Node::Link(target) => {
                text.update("\nlink ");
                text.update(target.escape_default().to_string());
            }
        }
        text.update("\n");
    }
    text.finish().0
}

/// What a folder has.
struct Seen {
    found: Vec<Found>,
    /// In an upper folder: the paths at and below which nothing of the lower one shows any more.
    hidden: Option<BTreeSet<String>>,
}

/// Something on disk.
struct Found {
    path: BundlePath,
    kind: Kind,
}

enum Kind {
    File { executable: bool },
    Link(String),
}

impl Seen {
    fn hide(&mut self, path: &str) {
        if let Some(hidden) = &mut self.hidden {
            hidden.insert(path.to_owned());
        }
    }
}

/// Collects what is at `path` and below it. Links are never followed.
fn look(folder: &Utf8Path, path: &str, before: &Tree, seen: &mut Seen) -> Result<(), CaptureError> {
    let place = if path.is_empty() { folder.to_owned() } else { folder.join(path) };
    let failed = |source| CaptureError::Read { path: place.clone(), source };
    let metadata = match std::fs::symlink_metadata(&place) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if metadata.is_dir() {
        // In the place of another folder, or of a file.
        let is_opaque = seen.hidden.is_some() && layers::is_opaque(&place).map_err(failed)?;
        if is_opaque || before.get(path).is_some() {
            seen.hide(path);
        }
        for entry in std::fs::read_dir(&place).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            // What is not UTF-8 gets a name that is there no more, and is refused by its replacement character.
            let name = name.to_str().map_or_else(
                || Err(unprintable(&place, &name.to_string_lossy())),
                |name| Ok(name.to_owned()),
            )?;
            let below = if path.is_empty() { name } else { format!("{path}/{name}") };
            look(folder, &below, before, seen)?;
        }
        return Ok(());
    }
    seen.hide(path);
    if seen.hidden.is_some() && layers::is_whiteout(&metadata) {
        return Ok(());
    }
    seen.found.push(found(folder, path, &place, &metadata)?);
    Ok(())
}

fn found(
    folder: &Utf8Path,
    path: &str,
    place: &Utf8Path,
    metadata: &Metadata,
) -> Result<Found, CaptureError> {
    let failed = |source| CaptureError::Read { path: place.to_owned(), source };
    let path = BundlePath::new(path).map_err(|source| CaptureError::Name {
        folder: place.parent().unwrap_or(folder).to_owned(),
        source,
    })?;
    let kind = if metadata.is_symlink() {
        let target = place.read_link_utf8().map_err(failed)?.into_string();
        if !path.holds_link_to(&target) {
            return Err(CaptureError::Escape { path, target });
        }
        Kind::Link(target)
    } else if metadata.is_file() {
        Kind::File { executable: is_executable(metadata) }
    } else {
        return Err(CaptureError::Special { path });
    };
    Ok(Found { path, kind })
}

fn unprintable(folder: &Utf8Path, name: &str) -> CaptureError {
    let source = PathError { path: name.to_owned(), reason: "it is not UTF-8" };
    CaptureError::Name { folder: folder.to_owned(), source }
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &Metadata) -> bool {
    false
}

/// The node for what was found, unless it is what was there before.
fn changed(
    store: &Store,
    folder: &Utf8Path,
    found: &Found,
    before: Option<&Node>,
) -> Result<Option<Node>, CaptureError> {
    match (&found.kind, before) {
        (Kind::Link(target), Some(Node::Link(earlier))) if target == earlier => Ok(None),
        (Kind::Link(target), _) => Ok(Some(Node::Link(target.clone()))),
        (Kind::File { executable }, before) => {
            let place = folder.join(found.path.as_str());
            if let Some(Node::File(earlier)) = before
                && earlier.executable == *executable
                && digest(&place)? == (earlier.sha256, earlier.size)
            {
                return Ok(None);
            }
            Ok(Some(Node::File(store.add_file(&place, *executable)?)))
        }
    }
}

fn digest(path: &Utf8Path) -> Result<(Digest, u64), CaptureError> {
    let open = |path: &Path| File::open(path).and_then(Digest::of_reader);
    open(path.as_std_path()).map_err(|source| CaptureError::Read { path: path.to_owned(), source })
}

/// [`Changes`] as they are kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    present: Vec<(BundlePath, RecordedNode)>,
    removed: Vec<BundlePath>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum RecordedNode {
    File { size: u64, executable: bool, sha256: Digest },
    Link(String),
}

impl Record {
    const VERSION: u32 = 1;
}

/// Why there is nothing to recall.
enum Recall {
    Nothing,
    Failed(StoreError),
}

impl From<StoreError> for Recall {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Changes {
    /// Does to `tree` what the program did.
    pub fn apply(&self, tree: &mut Tree) {
        for path in &self.removed {
            tree.remove(path.as_str());
        }
        tree.extend(self.present.clone());
    }

    /// Keeps them in the store under `key`, which must name everything they depend on.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn remember(&self, store: &Store, key: &str) -> Result<(), StoreError> {
        let text = serde_json::to_vec(&self.record());
        let text = text.expect("texts, numbers and digests have a JSON form");
        store.derived::<StoreError>(key, false, || Ok(text))?;
        Ok(())
    }

    fn record(&self) -> Record {
        let present = self.present.iter().map(|(path, node)| {
            let node = match node {
                Node::File(Source { size, executable, sha256, .. }) => {
                    RecordedNode::File { size: *size, executable: *executable, sha256: *sha256 }
                }
                Node::Link(target) => RecordedNode::Link(target.clone()),
            };
            (path.clone(), node)
        });
        Record {
            version: Record::VERSION,
            present: present.collect(),
            removed: self.removed.clone(),
        }
    }

    /// What was kept under `key`, if all of it is still there.
    ///
    /// # Errors
    /// When the store fails.
    pub fn recall(store: &Store, key: &str) -> Result<Option<Self>, StoreError> {
        let kept = match store.derived(key, false, || Err(Recall::Nothing)) {
            Ok(kept) => kept,
            Err(Recall::Nothing) => return Ok(None),
            Err(Recall::Failed(error)) => return Err(error),
        };
        let text = std::fs::read(kept.path()).unwrap_or_default();
        let changes = serde_json::from_slice(&text).ok().and_then(|record| restore(store, record));
        if changes.is_none() {
            // Or the next result could not take its place.
            store.discard(&kept.path())?;
        }
        Ok(changes)
    }
}

fn restore(store: &Store, record: Record) -> Option<Changes> {
    if record.version != Record::VERSION {
        return None;
    }
    let mut present = Tree::default();
    for (path, node) in record.present {
        let node = match node {
            RecordedNode::File { size, executable, sha256 } => {
                Node::File(store.added(sha256, size, executable)?)
            }
            RecordedNode::Link(target) => Node::Link(target),
        };
        present.insert(path, node);
    }
    Some(Changes { present, removed: record.removed })
}
