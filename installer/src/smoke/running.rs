//! A program of a version while it is tried, and after: nothing that it started may stay behind.
//!
//! It is a session (a job on Windows) of its own and ends as a whole, also when the installer is killed. What left it is found
//! by the folder that only this trial knows of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::trial::{self, Ending};

use crate::interruption::Interruption;

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

pub(super) use system::{end_all, make_private};

/// How often is looked whether something has happened.
pub(super) const STEP: Duration = Duration::from_millis(50);

/// A program that was started. It is killed when this is dropped, with all that it started.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    whole: system::Whole,
    log: Utf8PathBuf,
    interruption: Interruption,
}

impl Running {
    /// Starts it in the folder `home`; what it says goes to the file `log`.
    pub(super) fn start(
        program: &Utf8Path,
        args: &[String],
        variables: &BTreeMap<String, String>,
        home: &Utf8Path,
        (log, interruption): (&Utf8Path, &Interruption),
    ) -> io::Result<Self> {
        let file = File::create(log)?;
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(variables).current_dir(home).stdin(Stdio::null());
        command.stdout(file.try_clone()?).stderr(file);
        let (child, whole) = system::spawn(&mut command)?;
        Ok(Self { child, whole, log: log.to_owned(), interruption: interruption.clone() })
    }

    /// How it ended, if it did. It is not waited for any more where the installer is asked to end.
    pub(super) fn ended(&mut self) -> io::Result<Option<Ending>> {
        match self.interruption.signal() {
            Some(_) => Err(io::Error::other("the installer was interrupted")),
            None => system::ended(&mut self.child),
        }
    }

    /// How it ended, or nothing when the time is up.
    pub(super) fn wait(&mut self, time: Duration) -> io::Result<Option<Ending>> {
        let start = Instant::now();
        // Most say their version in a moment.
        let mut step = Duration::from_millis(2);
        loop {
            match self.ended()? {
                None if start.elapsed() < time => std::thread::sleep(step),
                ended => return Ok(ended),
            }
            step = (step * 2).min(STEP);
        }
    }

    /// Asks it to end, and waits that long.
    pub(super) fn end(&mut self, time: Duration) {
        if self.whole.ask_to_end() {
            // What does not end by itself is ended when this is dropped.
            let _ = self.wait(time);
        }
    }

    /// The last lines of what it said.
    pub(super) fn said(&self) -> Vec<String> {
        trial::last_lines(self.log.as_std_path())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.whole.kill();
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
