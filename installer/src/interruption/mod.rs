//! Signals by which the installer is asked to end: Ctrl-C, a service manager's SIGTERM, the SIGHUP of a terminal that closes.
//!
//! Where nothing was begun yet, one ends the process at once, as it does any other. From [`Interruption::defer`] on, the first one is only noted: whoever works looks for it
//! where nothing is half done, takes back what was begun and starts again what was stopped. A second one ends the process at once, unless it is
//! SIGHUP, which one terminal that closes may send more than once; what is left then the next command finishes, as after a kill.
//!
//! Deliberately absent: waking whoever waits. They look every [`STEP`].

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

pub use system::{exit_code, listen};

/// How often whoever waits for something looks whether a signal has come.
pub(crate) const STEP: Duration = Duration::from_millis(50);

/// Whether a signal has come, and what it does. Copies are of the same one.
#[derive(Debug, Clone)]
pub struct Interruption {
    /// The number of the first signal; 0: none has come.
    signal: Arc<AtomicUsize>,
    /// Whether nothing was begun that would be half done.
    is_idle: Arc<AtomicBool>,
    /// Whether the next signal ends the process.
    ends_at_once: Arc<AtomicBool>,
}

/// A signal that has come, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(NonZeroUsize);

impl Default for Interruption {
    fn default() -> Self {
        let yes = || Arc::new(AtomicBool::new(true));
        Self { signal: Arc::default(), is_idle: yes(), ends_at_once: yes() }
    }
}

impl Interruption {
    /// From now on the first signal is noted, and nothing else.
    pub fn defer(&self) {
        self.is_idle.store(false, Ordering::SeqCst);
        self.ends_at_once.store(false, Ordering::SeqCst);
    }

    /// The signal that has come, if one has.
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        NonZeroUsize::new(self.signal.load(Ordering::SeqCst)).map(Signal)
    }

    /// Waits until one comes.
    pub(crate) async fn arrived(&self) {
        while self.signal().is_none() {
            tokio::time::sleep(STEP).await;
        }
    }

    /// As if Ctrl-C had been typed.
    #[cfg(test)]
    pub(crate) fn come(&self) {
        self.signal.store(2, Ordering::SeqCst);
    }
}
