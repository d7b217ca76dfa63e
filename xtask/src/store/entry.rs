//! An entry of the store: the files of one archive, and the index that says what they are.
//!
//! Reading an entry costs one file: the index has sizes, modes and digests. What the index cannot know is whether the
//! files' bytes had reached the disk when the power failed; a file system may bring back the index and empty files.
//! Making every file durable before the rename would cost a flush per file. Instead the index records during which run
//! of the machine it was written: within that run the kernel's cache is the truth. The first load after a restart
//! compares all sizes once and leaves the mark `settled`: what was read back after a restart is on the disk. Damage
//! of other kinds is found by whoever packs the file, since it must have the digest in the index.

use std::fs;
use std::io;

use camino::Utf8Path;
use gangway_artifact::{BundlePath, Digest};
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::tree::{Node, Source, Tree};

/// The folder in an entry that holds the files.
pub(super) const FILES: &str = "files";
const INDEX: &str = "index.json";
const SETTLED: &str = "settled";
const VERSION: u32 = 1;

/// What an archive held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    version: u32,
    /// The run of the machine the entry was written in, where the system names it.
    boot: Option<String>,
    pub(super) files: Vec<IndexedFile>,
    pub(super) links: Vec<IndexedLink>,
}

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexedFile {
    pub(super) path: BundlePath,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) executable: bool,
    pub(super) sha256: Digest,
}

/// A symbolic link of the archive. It is made only when a tree is laid out, never in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IndexedLink {
    pub(super) path: BundlePath,
    pub(super) target: String,
}

/// What was found where an entry should be.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// Something that must not be used.
    Damaged,
    /// The entry.
    Whole(Tree),
}

impl Index {
    /// The index of an archive unpacked in this run of the machine.
    pub(super) fn new(
        boot: Option<&str>,
        files: Vec<IndexedFile>,
        links: Vec<IndexedLink>,
    ) -> Self {
        Self { version: VERSION, boot: boot.map(str::to_owned), files, links }
    }

    /// Writes it into the entry `folder`.
    pub(super) fn write(&self, folder: &Utf8Path) -> Result<(), StoreError> {
        let path = folder.join(INDEX);
        let text = serde_json::to_vec(self).expect("paths, numbers and digests have a JSON form");
        fs::write(&path, text).map_err(StoreError::io("write", &path))
    }

    /// The tree of the entry `folder`.
    pub(super) fn tree(self, folder: &Utf8Path) -> Tree {
        let files = folder.join(FILES);
        let mut tree = Tree::default();
        for file in self.files {
            let source = Source::new(
                files.join(file.path.as_str()),
                file.size,
                file.executable,
                file.sha256,
            );
            tree.insert(file.path, Node::File(source));
        }
        for link in self.links {
            tree.insert(link.path, Node::Link(link.target));
        }
        tree
    }

    fn sizes_match(&self, folder: &Utf8Path) -> bool {
        let files = folder.join(FILES);
        self.files.iter().all(|file| has_size(&files.join(file.path.as_str()), file.size))
    }
}

/// Reads the entry in `folder`, in the run `boot` of the machine.
pub(super) fn load(folder: &Utf8Path, boot: Option<&str>) -> Result<Found, StoreError> {
    let path = folder.join(INDEX);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(if folder.exists() { Found::Damaged } else { Found::Nothing });
        }
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    let Ok(index) = serde_json::from_slice::<Index>(&text) else { return Ok(Found::Damaged) };
    if index.version != VERSION {
        return Ok(Found::Damaged);
    }
    let same_run = boot.is_some() && index.boot.as_deref() == boot;
    let settled = folder.join(SETTLED);
    if !same_run && !settled.exists() {
        if !index.sizes_match(folder) {
            return Ok(Found::Damaged);
        }
        // Only saves the check next time.
        if let Err(error) = fs::write(&settled, "") {
            tracing::debug!(path = %settled, %error, "cannot leave a mark");
        }
    }
    Ok(Found::Whole(index.tree(folder)))
}

/// Whether `path` is a regular file of this length.
pub(super) fn has_size(path: &Utf8Path, size: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == size)
}

/// The name of this run of the machine, where the system has one.
pub(super) fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}
