//! Facts of native code from one run to the next, one file for each digest.
//!
//! An entry is only believed when it was written for the same version of the facts, and its bytes have the digest that
//! its first line names: one that is old, cut short or changed is as good as none, and is written anew. Nothing here
//! fails a run. A cache that cannot be written to costs the next one its time.

use std::io::{self, Write as _};
use std::sync::Arc;

use camino::Utf8PathBuf;
use gangway_abi::{FACTS_VERSION, Facts};
use gangway_artifact::Digest;

use super::Reading;

/// How entries are written.
const FORMAT: u32 = 3;

/// Facts on disk.
#[derive(Debug)]
pub struct FactsCache {
    folder: Utf8PathBuf,
}

impl FactsCache {
    /// The name of its folder in the cache.
    pub const BUCKET: &'static str = "facts-v1";

    /// In a folder that is there.
    #[must_use]
    pub fn in_folder(folder: Utf8PathBuf) -> Self {
        Self { folder }
    }

    /// What is known of the file with this digest.
    pub(super) fn find(&self, of: Digest) -> Option<Reading> {
        let path = self.path(of);
        let entry = std::fs::read(&path).ok()?;
        let found = decode(&entry, of);
        if found.is_none() {
            tracing::debug!(%path, "the facts are of another version or damaged; reading the file anew");
        }
        found
    }

    /// Keeps what was read from the file with this digest.
    pub(super) fn keep(&self, of: Digest, reading: &Reading) {
        let path = self.path(of);
        if let Err(error) = self.write(of, &encode(of, reading)) {
            tracing::debug!(%path, %error, "cannot keep the facts");
        }
    }

    /// Whole or not at all, and there for whoever comes at the same time.
    fn write(&self, of: Digest, entry: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(entry)?;
        file.persist(self.path(of))?;
        Ok(())
    }

    fn path(&self, of: Digest) -> Utf8PathBuf {
        self.folder.join(of.to_string())
    }
}

/// Whether the bytes of an entry are as they were written, in whichever version.
pub(crate) fn is_whole(of: Digest, entry: &[u8]) -> bool {
    let Some(end) = entry.iter().position(|byte| *byte == b'\n') else { return false };
    let (first, facts) = entry.split_at(end + 1);
    first.ends_with(format!(" {of} {}\n", Digest::of(facts)).as_bytes())
}

fn encode(of: Digest, Reading { facts, shared }: &Reading) -> Vec<u8> {
    let facts = serde_json::to_vec(&(facts.as_deref(), shared)).expect("facts are plain data");
    let mut entry = head(of, Digest::of(&facts)).into_bytes();
    entry.extend(facts);
    entry
}

fn decode(entry: &[u8], of: Digest) -> Option<Reading> {
    let end = entry.iter().position(|byte| *byte == b'\n')? + 1;
    let (first, facts) = entry.split_at(end);
    if first != head(of, Digest::of(facts)).as_bytes() {
        return None;
    }
    let (facts, shared): (Option<Facts>, _) = serde_json::from_slice(facts).ok()?;
    Some(Reading { facts: facts.map(Arc::new), shared })
}

/// The first line of an entry: formats, whose facts they are, and the digest of what follows.
fn head(of: Digest, facts: Digest) -> String {
    format!("gangway facts {FORMAT} {FACTS_VERSION} {of} {facts}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::SharedData;
    use crate::testing::Sandbox;

    const NOTHING: Reading = Reading { facts: None, shared: Vec::new() };

    /// What there is to say of this test's own program, and a place of data.
    fn reading() -> Reading {
        let program = std::env::current_exe().expect("a test is a program");
        let bytes = std::fs::read(program).expect("readable");
        let shared = SharedData { offset: 1, length: 2, sha256: Digest::of("data") };
        Reading { shared: vec![shared], ..Reading::of(&bytes) }
    }

    #[test]
    fn what_is_kept_is_found() {
        let sandbox = Sandbox::new();
        let cache = FactsCache::in_folder(sandbox.root.clone());
        let (one, other) = (Digest::of("one"), Digest::of("other"));
        assert_eq!(cache.find(one), None);
        let reading = reading();
        assert!(reading.facts.is_some());
        cache.keep(one, &reading);
        cache.keep(other, &NOTHING);
        assert_eq!(cache.find(one), Some(reading));
        assert_eq!(cache.find(other), Some(NOTHING));
    }

    #[test]
    fn damaged_and_old_entries_are_written_anew() {
        let sandbox = Sandbox::new();
        let cache = FactsCache::in_folder(sandbox.root.clone());
        let (one, other) = (Digest::of("one"), Digest::of("other"));
        let whole = encode(one, &NOTHING);
        let old = String::from_utf8(whole.clone()).expect("text");
        let old = old.replace(&format!(" {FACTS_VERSION} "), " 0 ");
        let changed = String::from_utf8(whole.clone()).expect("text").replace("null", "nuli");
        let (cut, another) = (&whole[..whole.len() - 1], encode(other, &NOTHING));
        for spoiled in [old.as_bytes(), changed.as_bytes(), cut, &another, b"", b"\n", b"\xff\n{}"]
        {
            sandbox.write(&one.to_string(), spoiled);
            assert_eq!(cache.find(one), None, "{}", String::from_utf8_lossy(spoiled));
            cache.keep(one, &NOTHING);
            assert_eq!(cache.find(one), Some(NOTHING));
        }
    }

    #[test]
    fn a_folder_that_is_gone_is_no_failure() {
        let sandbox = Sandbox::new();
        let cache = FactsCache::in_folder(sandbox.root.join("nowhere"));
        cache.keep(Digest::of("one"), &NOTHING);
        assert_eq!(cache.find(Digest::of("one")), None);
    }
}
