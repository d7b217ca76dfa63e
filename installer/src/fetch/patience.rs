//! How often something is tried again, and when.
//!
//! A bad network is not given up on while it brings anything: only failures in a row count.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use url::Url;

use super::http::{Http, Trouble};
use super::{FetchError, Meter};

/// Less than this is not progress: a server that breaks off after every byte is not asked a million times.
const PROGRESS: u64 = 64 << 10;

/// How often one thing was tried, and for how long still.
pub(super) struct Patience<'a> {
    http: &'a Http,
    url: &'a Url,
    meter: &'a dyn Meter,
    attempts: u32,
    /// In a row.
    failures: u32,
    /// Bytes that came since the last failure.
    progress: u64,
}

impl<'a> Patience<'a> {
    pub(super) fn new(http: &'a Http, url: &'a Url, meter: &'a dyn Meter) -> Self {
        Self { http, url, meter, attempts: 0, failures: 0, progress: 0 }
    }

    /// So many bytes came that were not there before.
    pub(super) fn progressed(&mut self, bytes: u64) {
        self.progress += bytes;
    }

    /// Whether an answer that was right, and brought so many of the bytes that it was asked for, counts as a failure all the same. Half of what is asked
    /// for is progress however little that is: then few requests are left.
    pub(super) fn is_too_little(brought: u64, asked: u64) -> bool {
        brought < PROGRESS && brought < asked.div_ceil(2)
    }

    /// Waits after a failure, or gives up.
    pub(super) async fn after(&mut self, trouble: Trouble) -> Result<(), FetchError> {
        self.attempts += 1;
        if self.progress >= PROGRESS {
            self.failures = 0;
        }
        self.progress = 0;
        let settings = &self.http.settings;
        let asked = match &trouble {
            Trouble::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let may_pass = trouble.may_pass() && asked <= settings.longest_pause;
        let error = self.http.error(self.url, trouble, self.attempts);
        if !may_pass || self.failures >= settings.retries {
            return Err(error);
        }
        let pause = settings.first_pause.saturating_mul(1 << self.failures.min(16));
        let pause = jittered(pause.min(settings.longest_pause)).max(asked);
        self.failures += 1;
        self.meter.pause(&error, pause);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Up to a quarter less, so that those who failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 256;
    pause - pause / 4 * u32::try_from(random).unwrap_or_default() / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_less() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_secs(4));
            assert!(
                (Duration::from_secs(3)..=Duration::from_secs(4)).contains(&pause),
                "{pause:?}"
            );
        }
    }
}
