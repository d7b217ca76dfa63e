//! When something in the cache was last of use: its modification time, to the hour.
//!
//! Nobody else needs that time, and access times are switched off on many systems. The first use in an hour writes it, so
//! that a warm build writes next to nothing. Hard links share it: nothing that is made of a linked file depends on times.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use camino::Utf8Path;

/// How exactly the time of the last use is known.
pub(crate) const PRECISION: Duration = Duration::from_secs(60 * 60);

/// Remembers that a file of the cache is used `now`. That it cannot be remembered is no failure: caches may be read-only.
pub(crate) fn touch(path: &Utf8Path, now: SystemTime) {
    let Ok(before) = fs::symlink_metadata(path).and_then(|found| found.modified()) else { return };
    if now.duration_since(before).is_ok_and(|since| since > PRECISION) {
        let touched = File::open(path).and_then(|file| file.set_modified(now));
        if let Err(error) = touched {
            tracing::debug!(%path, %error, "cannot remember that it was used");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    #[test]
    fn the_first_use_in_an_hour_counts() {
        let sandbox = Sandbox::new();
        let path = sandbox.write("entry", "text");
        let file = File::options().write(true).open(&path).expect("ours");
        let hours = |count| SystemTime::UNIX_EPOCH + PRECISION * count;
        let used = || fs::metadata(&path).and_then(|found| found.modified()).expect("there");
        file.set_modified(hours(10)).expect("ours");
        for (now, expected) in [(5, 10), (10, 10), (11, 10), (12, 12), (12, 12)] {
            touch(&path, hours(now));
            assert_eq!(used(), hours(expected), "at {now}");
        }
        touch(&sandbox.root.join("none"), hours(20));
    }
}
