//! What archives begin with, hashed once.
//!
//! The bundles of several platforms have their first frames in common, half of their bytes and more. A hasher that has seen
//! those is kept, and each archive that begins with them goes on from a copy.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gangway_artifact::{Digest, Hasher};

/// Hashers by what they have seen.
#[derive(Debug, Default)]
pub(super) struct Beginnings {
    hashers: Mutex<HashMap<Beginning, Hasher>>,
}

/// The frames that an archive begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Beginning(Digest);

impl Beginning {
    /// No frame at all.
    pub(super) fn none() -> Self {
        Self(Digest::of(""))
    }

    /// With one more frame, which has this digest.
    pub(super) fn and(self, frame: &Digest) -> Self {
        Self(Digest::of([&self.0.as_bytes()[..], frame.as_bytes()].concat()))
    }
}

impl Beginnings {
    /// The hasher that has seen exactly this.
    pub(super) fn hasher(&self, of: Beginning) -> Option<Hasher> {
        self.hashers.lock().unwrap_or_else(PoisonError::into_inner).get(&of).cloned()
    }

    /// Keeps a hasher that has seen this.
    pub(super) fn keep(&self, of: Beginning, hasher: Hasher) {
        self.hashers.lock().unwrap_or_else(PoisonError::into_inner).insert(of, hasher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_count_in_their_order() {
        let [one, other] = ["one", "other"].map(Digest::of);
        let begin = Beginning::none();
        assert_ne!(begin, begin.and(&one));
        assert_ne!(begin.and(&one).and(&other), begin.and(&other).and(&one));
        let beginnings = Beginnings::default();
        let mut hasher = Hasher::default();
        hasher.update("one's bytes");
        beginnings.keep(begin.and(&one), hasher);
        let found = beginnings.hasher(begin.and(&one)).expect("it is kept");
        assert_eq!(found.finish().0, Digest::of("one's bytes"));
        assert!(beginnings.hasher(begin.and(&other)).is_none());
    }
}
