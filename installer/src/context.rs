//! Everything a library function may know of the process it runs in.
//!
//! The environment, the current folder and the clock are read once, by the binary; from there on they are values.

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

use crate::interruption::Interruption;

/// The outside world, as values.
#[derive(Debug)]
pub struct Context {
    /// Environment variables at start; names or values that are not UTF-8 are left out.
    pub environment: BTreeMap<String, String>,
    /// The folder the command was given in.
    pub current_dir: Utf8PathBuf,
    /// The installer's own program.
    pub executable: Utf8PathBuf,
    /// When the command was given. The clock may be far off: nothing that is right or wrong depends on it.
    pub now: SystemTime,
    /// How many threads do work.
    pub jobs: NonZeroUsize,
    /// Whether the command was asked to end.
    pub interruption: Interruption,
    runtime: OnceLock<tokio::runtime::Runtime>,
}

impl Context {
    /// A context of these values. `now` is long past until the program that has a clock says otherwise.
    #[must_use]
    pub fn new(
        environment: BTreeMap<String, String>,
        current_dir: Utf8PathBuf,
        executable: Utf8PathBuf,
    ) -> Self {
        Self {
            environment,
            current_dir,
            executable,
            now: SystemTime::UNIX_EPOCH,
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            interruption: Interruption::default(),
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
        let name = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
        self.variable(name).map(Utf8Path::new)
    }

    /// Runs network work to its end on this thread; one other thread drives it.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle().block_on(future)
    }

    /// What network work is spawned on.
    pub fn handle(&self) -> &tokio::runtime::Handle {
        self.runtime
            .get_or_init(|| {
                tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .enable_all()
                    .build()
                    .expect("an event loop needs a few file descriptors and a thread only")
            })
            .handle()
    }
}
