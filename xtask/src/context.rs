//! Everything a library function may know of the process it runs in.
//!
//! The environment, the current folder and the cache are read once, by the binary; from there on they are values.

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Date;

use crate::report::Reporter;

/// The outside world, as values.
#[derive(Debug)]
pub struct Context {
    /// Environment variables at start; names or values that are not UTF-8 are left out.
    pub environment: BTreeMap<String, String>,
    /// The folder the command was given in.
    pub current_dir: Utf8PathBuf,
    /// The root of the cache.
    pub cache: Utf8PathBuf,
    /// Where messages and progress go.
    pub reporter: Reporter,
    /// Which builder this is, exactly: two builders with the same text make the same bytes of the same inputs.
    pub builder: String,
    /// Whether the network must not be used.
    pub offline: bool,
    /// How many threads do work.
    pub jobs: NonZeroUsize,
    /// The day it is. Allowances end; what is in a bundle never depends on it.
    pub today: Date,
    /// When the command was given. It decides what the cache keeps, and nothing else.
    pub now: SystemTime,
    /// The builder's own program, which confined programs are started by way of.
    pub executable: Utf8PathBuf,
    runtime: OnceLock<tokio::runtime::Runtime>,
}

impl Context {
    /// A context of these values. `jobs` is what the machine has, `executable` what this process runs; `today` and `now` are long past
    /// until the program that has a clock says otherwise.
    #[must_use]
    pub fn new(
        environment: BTreeMap<String, String>,
        current_dir: Utf8PathBuf,
        cache: Utf8PathBuf,
        reporter: Reporter,
    ) -> Self {
        Self {
            environment,
            current_dir,
            cache,
            reporter,
            builder: String::new(),
            offline: false,
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            today: Date::EPOCH,
            now: SystemTime::UNIX_EPOCH,
            executable: Utf8PathBuf::from("/proc/self/exe"),
            runtime: OnceLock::new(),
        }
    }

    /// An environment variable that is set and not empty.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The user's home folder, if the environment names one.
    #[must_use]
    pub fn home(&self) -> Option<&Utf8Path> {
        self.variable("HOME").or_else(|| self.variable("USERPROFILE")).map(Utf8Path::new)
    }

    /// Runs network work to its end on this thread; other threads drive it.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime
            .get_or_init(|| {
                tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(self.jobs.get())
                    .enable_all()
                    .build()
                    .expect("an event loop needs a few file descriptors and threads only")
            })
            .block_on(future)
    }
}
