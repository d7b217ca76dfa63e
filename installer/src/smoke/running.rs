//! A program of a version while it is tried, and after: nothing that it started may stay behind.
//!
//! It is a session (a job on Windows) of its own and ends as a whole, also when the installer is killed. What left it is found
//! by the folder that only this trial knows of.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

pub(super) use system::{end_all, make_private};

/// How often is looked whether something has happened.
pub(super) const STEP: Duration = Duration::from_millis(50);

/// How many lines of what a program said are shown, and of how many bytes they are the last.
const SHOWN_LINES: usize = 20;
const SHOWN_BYTES: u64 = 16 << 10;

/// Longer lines are cut.
const SHOWN_WIDTH: usize = 300;

/// Signals that have the same number everywhere.
const SIGNALS: [(i32, &str); 9] = [
    (1, "SIGHUP"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (13, "SIGPIPE"),
    (15, "SIGTERM"),
];

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// By itself, with this status.
    Exit(i32),
    /// By this signal.
    #[cfg_attr(windows, expect(dead_code, reason = "there are none"))]
    Signal(i32),
}

/// A program that was started. It is killed when this is dropped, with all that it started.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    whole: system::Whole,
    log: Utf8PathBuf,
}

impl Ending {
    pub(super) fn is_success(self) -> bool {
        self == Self::Exit(0)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(formatter, "it ended with status {code}"),
            Self::Signal(number) => {
                write!(formatter, "it was killed by signal {number}")?;
                match SIGNALS.iter().find(|(signal, _)| signal == number) {
                    Some((_, name)) => write!(formatter, " ({name})"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Running {
    /// Starts it in the folder `home`; what it says goes to the file `log`.
    pub(super) fn start(
        program: &Utf8Path,
        args: &[String],
        variables: &BTreeMap<String, String>,
        home: &Utf8Path,
        log: &Utf8Path,
    ) -> io::Result<Self> {
        let file = File::create(log)?;
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(variables).current_dir(home).stdin(Stdio::null());
        command.stdout(file.try_clone()?).stderr(file);
        let (child, whole) = system::spawn(&mut command)?;
        Ok(Self { child, whole, log: log.to_owned() })
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> io::Result<Option<Ending>> {
        system::ended(&mut self.child)
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
        let bytes = last_bytes(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        last.iter().map(|line| shown(line)).collect()
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

fn last_bytes(log: &Utf8Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(SHOWN_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(SHOWN_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A line that does nothing to a terminal.
fn shown(line: &str) -> String {
    let plain = line.chars().filter(|letter| !letter.is_control() || *letter == '\t');
    plain.take(SHOWN_WIDTH).collect()
}
