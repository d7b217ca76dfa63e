//! Whether what the store holds is whole: for whoever looks after the cache.

use std::fs::{self, File};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;

use super::{Derived, entry, index};

/// What a record speaks of.
#[derive(Debug)]
pub(crate) struct Record {
    /// The blob's file name and size.
    pub(crate) blob: (String, u64),
}

/// What a record of this name says; `None` if it is damaged.
pub(crate) fn record(name: &str, bytes: &[u8]) -> Option<Record> {
    let record: Derived = serde_json::from_slice(bytes).ok()?;
    let Derived { version, key, size, executable, sha256 } = record;
    let is_its_own = Digest::of(format!("{executable} {key}")).to_string() == name;
    let suffix = if executable { "-x" } else { "" };
    (is_its_own && version == Derived::VERSION)
        .then(|| Record { blob: (format!("{sha256}{suffix}"), size) })
}

/// The file of an entry that says when it was last used.
pub(crate) fn index_of(entry: &Utf8Path) -> Utf8PathBuf {
    entry.join(entry::INDEX)
}

/// The first file of an entry that is not what its index says, or the index.
pub(crate) fn entry(folder: &Utf8Path) -> Result<(), Utf8PathBuf> {
    let index = index_of(folder);
    let bytes = fs::read(&index).map_err(|_| index.clone())?;
    let index = index::decode(&bytes, &folder.join(entry::FILES)).ok_or(index)?;
    for (_, source) in index.tree.files() {
        let path = source.path();
        let found = File::open(&path).and_then(Digest::of_reader);
        if !found.is_ok_and(|found| found == (source.sha256, source.size)) {
            return Err(path);
        }
    }
    Ok(())
}
