//! Whoever shows how far a download is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::FetchError;

/// Whoever shows how far a download is. Called from several threads.
pub trait Meter: Send + Sync {
    /// So many bytes more are to be had; `present` of them are there already, from an earlier attempt.
    fn expect(&self, bytes: u64, present: u64) {
        let _ = (bytes, present);
    }

    /// So many of them came.
    fn advance(&self, bytes: u64) {
        let _ = bytes;
    }

    /// So many that had come are no good, and are to be had again.
    fn again(&self, bytes: u64) {
        let _ = bytes;
    }

    /// Something went wrong that may pass; it is tried again after a pause.
    fn pause(&self, reason: &FetchError, pause: Duration) {
        let _ = (reason, pause);
    }
}

/// Nobody is shown anything.
impl Meter for () {}

/// What went over the wire since a [`Depot`](super::Depot) was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Requests, those that failed and those that redirects cost too.
    pub requests: u64,
    /// Bytes of the answers' contents.
    pub bytes: u64,
}

/// Counts it.
#[derive(Debug, Default)]
pub(super) struct Counter {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self, count: usize) {
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}
