//! What is known of files of native code, by their digests: whatever stage or target asks, the bytes are read once.
//! With a [`FactsCache`] that goes for other runs of the builder too.

mod cache;

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use gangway_abi::{Facts, Identity, Kind};
use gangway_artifact::Digest;
use serde::{Deserialize, Serialize};

use crate::buffers;
use crate::tree::Source;

pub use cache::FactsCache;
pub(crate) use cache::is_whole as facts_are_whole;

/// How much of a file tells what it is, in bytes.
const HEAD: u64 = 4096;

/// What was read so far.
#[derive(Debug, Default)]
pub struct Natives {
    identities: Mutex<HashMap<Digest, Option<Arc<Identity>>>>,
    readings: Mutex<HashMap<Digest, Option<Arc<Reading>>>>,
    cache: Option<FactsCache>,
}

/// What the whole of a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reading {
    facts: Option<Arc<Facts>>,
    shared: Vec<SharedData>,
}

/// Data inside a program that its builds for other platforms hold as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedData {
    /// Where it begins, in bytes from the file's beginning.
    pub offset: u64,
    /// Its length in bytes; not zero.
    pub length: u64,
    /// The digest of its bytes.
    pub sha256: Digest,
}

impl Natives {
    /// Facts are kept for the next run.
    #[must_use]
    pub fn kept_in(cache: FactsCache) -> Self {
        Self { cache: Some(cache), ..Self::default() }
    }

    /// What the first bytes of a file say; `None` if it is not native code.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn identity(&self, source: &Source) -> io::Result<Option<Arc<Identity>>> {
        remembered(&self.identities, source, || {
            let mut head = Vec::new();
            fs_err::File::open(source.path())?.take(HEAD).read_to_end(&mut head)?;
            Ok(gangway_abi::identify(&head))
        })
    }

    /// What a whole file says; `None` if it is not native code, or is an object file, which nothing loads.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn facts(&self, source: &Source) -> io::Result<Option<Arc<Facts>>> {
        Ok(self.reading(source)?.and_then(|reading| reading.facts.clone()))
    }

    /// The data in a file that its builds for other platforms hold as well, in its order and without overlaps; none if it is
    /// not native code.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn shared_data(&self, source: &Source) -> io::Result<Vec<SharedData>> {
        Ok(self.reading(source)?.map_or_else(Vec::new, |reading| reading.shared.clone()))
    }

    fn reading(&self, source: &Source) -> io::Result<Option<Arc<Reading>>> {
        match self.identity(source)? {
            Some(identity) if identity.kind != Kind::Object => {}
            _ => return Ok(None),
        }
        remembered(&self.readings, source, || {
            if let Some(known) = self.cache.as_ref().and_then(|cache| cache.find(source.sha256)) {
                return Ok(Some(known));
            }
            let bytes = buffers::read(&source.path())?;
            let reading = Reading::of(&bytes);
            buffers::give_back(bytes);
            if let Some(cache) = &self.cache {
                cache.keep(source.sha256, &reading);
            }
            Ok(Some(reading))
        })
    }
}

impl Reading {
    fn of(bytes: &[u8]) -> Self {
        Self { facts: gangway_abi::read(bytes).map(Arc::new), shared: SharedData::all_in(bytes) }
    }
}

impl SharedData {
    fn all_in(bytes: &[u8]) -> Vec<Self> {
        let mut places = gangway_abi::base64_texts(bytes);
        places.extend(gangway_abi::icu_data(bytes));
        places.sort_by_key(|place| place.start);
        // Whatever a file claims: what lies in what was found already is not found again.
        let mut end = 0;
        places.retain(|place| {
            let is_apart = place.start >= end;
            end = end.max(place.end);
            is_apart
        });
        let data = |place: Range<usize>| Self {
            offset: place.start as u64,
            length: place.len() as u64,
            sha256: Digest::of(&bytes[place]),
        };
        places.into_iter().map(data).collect()
    }
}

/// Two threads that ask at the same time may both read: that is rare, and no harm.
fn remembered<T>(
    known: &Mutex<HashMap<Digest, Option<Arc<T>>>>,
    source: &Source,
    read: impl FnOnce() -> io::Result<Option<T>>,
) -> io::Result<Option<Arc<T>>> {
    // A thread that panicked left whole values behind.
    let known = || known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known().get(&source.sha256) {
        return Ok(found.clone());
    }
    let found = read()?.map(Arc::new);
    known().insert(source.sha256, found.clone());
    Ok(found)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    /// This test's own program.
    fn program() -> Source {
        let path = std::env::current_exe().expect("a test is a program");
        let path = Utf8PathBuf::try_from(path).expect("build folders are UTF-8");
        let file = fs_err::File::open(&path).expect("it runs");
        let (sha256, size) = Digest::of_reader(file).expect("readable");
        Source::new(path, size, true, sha256)
    }

    #[test]
    fn the_same_bytes_are_read_once() {
        let natives = Natives::default();
        let program = program();
        let facts = natives.facts(&program).expect("readable").expect("a program is native code");
        let elsewhere = Source::new("/nowhere", program.size, true, program.sha256);
        let again = natives.facts(&elsewhere).expect("no file is opened").expect("as before");
        assert!(Arc::ptr_eq(&facts, &again));
        let other = Source::new("/nowhere", 1, true, Digest::of("x"));
        assert!(natives.facts(&other).is_err());
    }
}
