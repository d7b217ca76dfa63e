//! What can go wrong with an external program.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use miette::Diagnostic;

/// How many lines of what a program said a message shows.
const SHOWN_LINES: usize = 30;

/// What can go wrong with an external program.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ProcessError {
    /// It could not be started.
    #[error("could not {purpose}: `{command}` cannot be started")]
    Start {
        /// What it was for.
        purpose: String,
        /// The command line.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// It said that it failed.
    #[error("could not {purpose}: `{command}` ended with {ending}{}", said(output, log.as_deref()))]
    Failed {
        /// What it was for.
        purpose: String,
        /// The command line.
        command: String,
        /// Its exit status or the signal that killed it.
        ending: Ending,
        /// The end of its output.
        output: String,
        /// The file that has all of its output.
        log: Option<Utf8PathBuf>,
    },
    /// Its answer is not text, or too long.
    #[error("could not {purpose}: `{command}` answered with {fault}")]
    Answer {
        /// What it was for.
        purpose: String,
        /// The command line.
        command: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Its output could not be read or kept.
    #[error("could not {purpose}: the output of `{command}` cannot be kept in `{place}`")]
    Output {
        /// What it was for.
        purpose: String,
        /// The command line.
        command: String,
        /// A log file, or the pipe.
        place: String,
        /// Why.
        source: io::Error,
    },
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself.
    Exit(i32),
    /// By a signal.
    Signal(i32),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(code) => write!(formatter, "exit status {code}"),
            Self::Signal(signal) => write!(formatter, "signal {signal}"),
        }
    }
}

impl From<Ending> for gangway_artifact::trial::Ending {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Exit(code) => Self::Exit(code),
            Ending::Signal(number) => Self::Signal(number),
        }
    }
}

/// The part of a message that shows what the program said.
fn said(output: &str, log: Option<&Utf8Path>) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    let mut text = match (shown.len(), lines.len()) {
        (0, _) => "; it said nothing".to_owned(),
        (shown, all) if shown == all => "; it said:".to_owned(),
        _ => "; its last words:".to_owned(),
    };
    for line in shown {
        text.push_str("\n  ");
        text.push_str(line);
    }
    if let Some(log) = log {
        text.push_str("\nall of its output is in `");
        text.push_str(log.as_str());
        text.push('`');
    }
    text
}
