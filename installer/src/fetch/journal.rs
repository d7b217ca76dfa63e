//! What is in a scratch file, so that the next attempt need not fetch it again.
//!
//! It stands in `<scratch>.pieces`, and names the archive by its digest: a scratch file of another archive is emptied. It is written after the bytes it
//! speaks of, and neither is forced to the disk, so after a power failure it may promise what is not there. Nobody relies on it: each frame is
//! compared with its digest when it is unpacked, and one that is not right is fetched again.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;
use gangway_artifact::trust::NamedFile;
use serde::{Deserialize, Serialize};

use super::FetchError;
use super::pieces::Kept;

const VERSION: u32 = 1;

/// More than any journal has.
const LONGEST: u64 = 16 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    version: u32,
    sha256: Digest,
    size: u64,
    pieces: Vec<Kept>,
}

/// Its place.
pub(super) fn path(scratch: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{scratch}.pieces"))
}

/// The pieces of `archive` in the scratch file, as far as anybody knows of any.
pub(super) fn load(scratch: &Utf8Path, archive: &NamedFile) -> Option<Vec<Kept>> {
    let bytes = super::download::read_local(&path(scratch), LONGEST).ok()?;
    let journal: Journal = serde_json::from_slice(&bytes).ok()?;
    let is_same = journal.version == VERSION
        && journal.sha256 == archive.sha256
        && journal.size == archive.size;
    is_same.then_some(journal.pieces)
}

/// Writes what is there now.
pub(super) fn save(
    scratch: &Utf8Path,
    archive: &NamedFile,
    pieces: Vec<Kept>,
) -> Result<(), FetchError> {
    let NamedFile { sha256, size, .. } = *archive;
    let journal = Journal { version: VERSION, sha256, size, pieces };
    let bytes = serde_json::to_vec(&journal).expect("numbers and texts only");
    let path = path(scratch);
    let new = Utf8PathBuf::from(format!("{path}.new"));
    let written = fs::write(&new, bytes).and_then(|()| fs::rename(&new, &path));
    written.map_err(|source| FetchError::Write { path, source })
}
