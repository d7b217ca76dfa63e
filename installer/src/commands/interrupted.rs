//! What a signal means for a command: up to when it gives up what it has begun, and from when on it comes to its end first.

use std::sync::mpsc::{self, RecvTimeoutError};

use super::{CommandError, Run};
use crate::interruption::STEP;

impl Run<'_> {
    /// Goes on, unless a signal has come: here nothing is half done that could not be taken back.
    ///
    /// # Errors
    /// When one has.
    pub(super) fn proceed(&self) -> Result<(), CommandError> {
        match self.context.interruption.signal() {
            Some(signal) => Err(CommandError::Interrupted { signal }),
            None => Ok(()),
        }
    }

    /// What a command failed with; where that is so because a signal has come, it says that and nothing else.
    pub(super) fn as_interruption(&self, error: CommandError) -> CommandError {
        match self.context.interruption.signal() {
            Some(signal) if error.is_interruption() => CommandError::Interrupted { signal },
            _ => error,
        }
    }

    /// Does what is not given up any more. A signal that comes meanwhile changes nothing, and that is said.
    pub(super) fn without_giving_up<T>(&self, work: impl FnOnce() -> T) -> T {
        let (running, ended) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                loop {
                    let is_running = ended.recv_timeout(STEP) == Err(RecvTimeoutError::Timeout);
                    if self.context.interruption.signal().is_some() {
                        self.reporter.warn("interrupted: what was decided is brought to its end first; a second signal ends this at once, and the next command goes on with it");
                        return;
                    }
                    if !is_running {
                        return;
                    }
                }
            });
            let done = work();
            drop(running);
            done
        })
    }
}
