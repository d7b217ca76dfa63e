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

use super::{StoreError, index};
use crate::tree::Tree;

/// The folder in an entry that holds the files.
pub(super) const FILES: &str = "files";
/// The file that says what they are.
pub(super) const INDEX: &str = "index";
const SETTLED: &str = "settled";

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

/// Writes the index of an entry into its `folder`.
pub(super) fn write_index(folder: &Utf8Path, index: &[u8]) -> Result<(), StoreError> {
    let path = folder.join(INDEX);
    fs::write(&path, index).map_err(StoreError::io("write", &path))
}

/// Reads the entry in `folder`, in the run `boot` of the machine.
pub(super) fn load(folder: &Utf8Path, boot: Option<&str>) -> Result<Found, StoreError> {
    let path = folder.join(INDEX);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(if folder.exists() { Found::Damaged } else { Found::Nothing });
        }
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    let Some(index) = index::decode(&bytes, &folder.join(FILES)) else {
        return Ok(Found::Damaged);
    };
    let same_run = boot.is_some_and(|boot| index.boot == boot);
    let settled = folder.join(SETTLED);
    if !same_run && !settled.exists() {
        if !index.tree.files().all(|(_, source)| has_size(&source.path(), source.size)) {
            return Ok(Found::Damaged);
        }
        // Only saves the check next time.
        if let Err(error) = fs::write(&settled, "") {
            tracing::debug!(path = %settled, %error, "cannot leave a mark");
        }
    }
    Ok(Found::Whole(index.tree))
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
