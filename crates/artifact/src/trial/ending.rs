//! How a program that was tried ended, and what it said last, in the words of both who try it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// How many lines of what a program said are shown, and of how many bytes they are the last.
const SHOWN_LINES: usize = 20;
const SHOWN_BYTES: u64 = 16 << 10;

/// Longer lines are cut, in characters.
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
pub enum Ending {
    /// By itself, with this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
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

/// The last lines of what a program said, from its log; none where it cannot be read. They do nothing to a terminal.
#[must_use]
pub fn last_lines(log: &Path) -> Vec<String> {
    let bytes = last_bytes(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    last.iter().map(|line| shown(line)).collect()
}

fn last_bytes(log: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(SHOWN_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(SHOWN_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn shown(line: &str) -> String {
    let plain = line.chars().filter(|letter| !letter.is_control() || *letter == '\t');
    plain.take(SHOWN_WIDTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_told() {
        assert_eq!(Ending::Exit(3).to_string(), "it ended with status 3");
        assert_eq!(Ending::Signal(11).to_string(), "it was killed by signal 11 (SIGSEGV)");
        assert_eq!(Ending::Signal(64).to_string(), "it was killed by signal 64");
    }

    #[test]
    fn the_last_lines_are_few_short_and_plain() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("log");
        assert_eq!(last_lines(&log), [""; 0]);
        let mut text: String = (0..5_000).map(|number| format!("line {number}\n\n")).collect();
        text.push_str("\u{1b}[31mred\u{7}\n");
        text.push_str(&"x".repeat(1_000));
        std::fs::write(&log, text).expect("the folder is ours");
        let lines = last_lines(&log);
        assert_eq!(lines.len(), SHOWN_LINES);
        assert_eq!(lines[0], "line 4982");
        assert_eq!(lines[SHOWN_LINES - 2], "[31mred");
        assert_eq!(lines[SHOWN_LINES - 1], "x".repeat(SHOWN_WIDTH));
    }
}
