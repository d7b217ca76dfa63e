//! Against a server that misbehaves.

mod files;
mod network;
mod remote;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Mutex;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;
use miette::Diagnostic;

use super::*;
use crate::testing::Server;

/// A folder, an event loop, and impatient settings.
struct Bench {
    folder: tempfile::TempDir,
    context: Context,
    settings: Settings,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let root = Utf8Path::from_path(folder.path()).expect("it is UTF-8").to_owned();
        let context = Context::new(BTreeMap::new(), root, "/bin/installer".into());
        let settings = Settings {
            retries: 2,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(20),
            silence: Duration::from_secs(20),
            connections: 3,
            request: 10_000,
            ..Settings::default()
        };
        Self { folder, context, settings }
    }

    /// One that does not wait for long until it takes silence for a failure.
    fn nervous() -> Self {
        let mut bench = Self::new();
        bench.settings.silence = Duration::from_millis(250);
        bench
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).expect("it is UTF-8").join(name)
    }

    fn open(&self, address: &str) -> Depot {
        self.try_open(address).expect("a place")
    }

    fn try_open(&self, address: &str) -> Result<Depot, FetchError> {
        let place = Place::parse(address, &self.context.current_dir)?;
        Depot::open(&self.context, place, self.settings.clone())
    }
}

/// Bytes that differ from place to place.
fn content(length: usize) -> Arc<[u8]> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn named(name: &str, bytes: &[u8]) -> NamedFile {
    NamedFile { name: name.to_owned(), size: bytes.len() as u64, sha256: Digest::of(bytes) }
}

/// The message, its causes where there are any of ours, and the advice, with the server's port made constant.
fn told(error: &FetchError, server: &Server) -> String {
    let help = error.help().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    format!("{error}{help}").replace(&server.host(), "127.0.0.1:port")
}

/// Keeps count.
#[derive(Debug, Default)]
struct Sums(Mutex<Sum>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    expected: u64,
    present: u64,
    advanced: u64,
    again: u64,
    pauses: u32,
}

impl Sums {
    fn add(&self, change: impl FnOnce(&mut Sum)) {
        change(&mut self.0.lock().expect("no test panics with it"));
    }

    fn get(&self) -> Sum {
        *self.0.lock().expect("no test panics with it")
    }
}

impl Meter for Sums {
    fn expect(&self, bytes: u64, present: u64) {
        self.add(|sum| {
            sum.expected += bytes;
            sum.present += present;
        });
    }

    fn advance(&self, bytes: u64) {
        self.add(|sum| sum.advanced += bytes);
    }

    fn again(&self, bytes: u64) {
        self.add(|sum| sum.again += bytes);
    }

    fn pause(&self, _: &FetchError, _: Duration) {
        self.add(|sum| sum.pauses += 1);
    }
}

/// The causes of an error, the last one first.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}
