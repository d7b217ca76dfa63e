//! What a person or a program sees of a command.
//!
//! Results go to standard output: text, or with `--json` one document. Everything else goes to standard error: what was done, warnings, and progress.
//! On a terminal progress is a bar; elsewhere it is a line now and then.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use indicatif::{
    HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle,
};
use serde::Serialize;

use crate::checkpoint::{self, Step};
use crate::fetch::{FetchError, Meter};
use crate::interruption::{self, Interruption};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// How much is said besides results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// Everything.
    Usual,
    /// Warnings and errors only.
    Quiet,
}

/// Where everything is said.
#[derive(Debug, Clone)]
pub struct Reporter {
    format: Format,
    volume: Volume,
    bars: MultiProgress,
    is_terminal: bool,
}

/// How long nothing is said of progress where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

impl Reporter {
    /// One that says everything on the standard streams.
    #[must_use]
    pub fn new(format: Format, volume: Volume) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let shows_bars = is_terminal && volume == Volume::Usual;
        let target =
            if shows_bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { format, volume, bars: MultiProgress::with_draw_target(target), is_terminal }
    }

    /// How results are written.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Something was done or is being done, in one line.
    pub fn say(&self, text: impl Display) {
        if self.volume == Volume::Usual {
            self.line(&text.to_string());
        }
    }

    /// Something that a person should know and may mend.
    pub fn warn(&self, text: impl Display) {
        self.line(&format!("warning: {text}"));
    }

    /// The result of the command.
    pub fn result(&self, value: &impl Serialize, text: &str) {
        let json = || serde_json::to_string_pretty(value).expect("our types have string keys");
        let text = match self.format {
            Format::Text if text.is_empty() => return,
            Format::Text => text.trim_end().to_owned(),
            Format::Json => json(),
        };
        write_line(&mut std::io::stdout().lock(), &text);
    }

    /// Why the command failed: for programs as a document too.
    pub fn failure(&self, error: &dyn miette::Diagnostic) {
        if self.format == Format::Json {
            self.result(&Failure { error: Described::of(error) }, "");
        } else {
            self.line(&described(error));
        }
    }

    /// Progress of a download, of which is not known yet how much it is.
    #[must_use]
    pub fn progress(&self, what: &'static str) -> Progress {
        let template = "{prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template).expect("the template is ours");
        let bar = self.bars.add(ProgressBar::new(0).with_style(style).with_prefix(what));
        let now = Instant::now();
        Progress {
            reporter: self.clone(),
            what,
            total: AtomicU64::new(0),
            present: AtomicU64::new(0),
            done: AtomicU64::new(0),
            bar,
            started: now,
            said: Mutex::new(now),
        }
    }

    /// Asks a question that is answered with yes or no; `None` where nobody is there to answer, or a signal is the answer.
    #[must_use]
    pub fn ask(&self, question: &str, interruption: &Interruption) -> Option<bool> {
        if !self.can_ask() {
            return None;
        }
        self.line(&format!("{question} [y/n]"));
        let (answered, answers) = mpsc::channel();
        // Nothing but a line ends its waiting, so it is left behind where a signal comes first.
        std::thread::spawn(move || {
            let mut answer = String::new();
            let read = std::io::stdin().read_line(&mut answer);
            let _ = answered.send(read.ok().filter(|count| *count > 0).map(|_| answer));
        });
        loop {
            match answers.recv_timeout(interruption::STEP) {
                Err(RecvTimeoutError::Timeout) if interruption.signal().is_none() => {}
                answer => {
                    let answer = answer.ok().flatten()?;
                    return Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"));
                }
            }
        }
    }

    /// Whether a person can be asked.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        self.is_terminal && self.format == Format::Text && std::io::stdin().is_terminal()
    }

    fn line(&self, text: &str) {
        self.bars.suspend(|| write_line(&mut std::io::stderr().lock(), text));
    }
}

/// Writes a line and waits until it is written. Who reads it may have gone away, as `head` has after a few lines and a terminal that was closed: what is
/// being done is done to its end all the same, so that is no error.
fn write_line(stream: &mut impl std::io::Write, text: &str) {
    let _ = stream.write_all(format!("{text}\n").as_bytes()).and_then(|()| stream.flush());
}

/// A bar, or what stands for it; it goes away when it is dropped.
#[derive(Debug)]
pub struct Progress {
    reporter: Reporter,
    what: &'static str,
    total: AtomicU64,
    /// What was there before it began.
    present: AtomicU64,
    done: AtomicU64,
    bar: ProgressBar,
    started: Instant,
    said: Mutex<Instant>,
}

impl Meter for Progress {
    fn expect(&self, bytes: u64, present: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.present.fetch_add(present, Ordering::Relaxed);
        self.done.fetch_add(present, Ordering::Relaxed);
        self.bar.inc_length(bytes);
        if present > 0 {
            self.bar.inc(present);
            self.bar.reset_eta();
        }
    }

    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bar.inc(bytes);
        checkpoint::reached(Step::Arrived);
        if self.reporter.is_terminal || self.reporter.volume == Volume::Quiet {
            return;
        }
        let Ok(mut said) = self.said.try_lock() else { return };
        if said.elapsed() >= PAUSE {
            *said = Instant::now();
            self.reporter.say(self.text(done));
        }
    }

    fn again(&self, bytes: u64) {
        // More may be given back than came since: what an earlier attempt had left is no good either.
        let less = |done: u64| Some(done.saturating_sub(bytes));
        let _ = self.done.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.bar.set_position(self.done.load(Ordering::Relaxed));
    }

    fn pause(&self, reason: &FetchError, pause: Duration) {
        let seconds = pause.as_secs_f64();
        self.reporter.say(format_args!("{reason}; trying again in {seconds:.1} s"));
    }
}

impl Progress {
    fn text(&self, done: u64) -> String {
        let (total, present) =
            (self.total.load(Ordering::Relaxed), self.present.load(Ordering::Relaxed));
        progress_text(self.what, [done, total, present], self.started.elapsed())
    }
}

fn progress_text(what: &str, [done, total, present]: [u64; 3], elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    #[expect(clippy::cast_precision_loss, reason = "it is shown with three digits")]
    let (speed, left) =
        (done.saturating_sub(present) as f64 / seconds, total.saturating_sub(done) as f64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and shown with three digits"
    )]
    let per_second = HumanBytes(speed as u64);
    let left = Duration::try_from_secs_f64(left / speed.max(1.0)).unwrap_or(Duration::MAX);
    let (done, total) = (HumanBytes(done), HumanBytes(total));
    format!("{what} {done} of {total} ({per_second}/s, {} left)", HumanDuration(left))
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A failure, for programs.
#[derive(Debug, Serialize)]
struct Failure {
    error: Described,
}

/// An error as a document.
#[derive(Debug, Serialize)]
struct Described {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    causes: Vec<String>,
    help: Vec<String>,
}

impl Described {
    fn of(error: &dyn miette::Diagnostic) -> Self {
        let mut described = Self {
            message: error.to_string(),
            code: error.code().map(|code| code.to_string()),
            causes: Vec::new(),
            help: Vec::new(),
        };
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if described.causes.last() != Some(&text) {
                described.causes.push(text);
            }
            cause = error.source();
        }
        let mut diagnostic = Some(error);
        while let Some(error) = diagnostic {
            described.help.extend(error.help().map(|help| help.to_string()));
            diagnostic = error.diagnostic_source();
        }
        described
    }
}

/// An error for people: what, why, and what to do.
fn described(error: &dyn miette::Diagnostic) -> String {
    let Described { message, causes, help, .. } = Described::of(error);
    let causes = causes.iter().map(|cause| format!("\n  because {cause}"));
    let help = help.iter().map(|help| format!("\n  help: {help}"));
    ["error: ".to_owned(), message].into_iter().chain(causes).chain(help).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefix::PrefixError;
    use crate::restart::RestartError;

    #[test]
    fn progress_is_a_line() {
        let text =
            progress_text("fetching", [60 << 20, 100 << 20, 20 << 20], Duration::from_secs(10));
        insta::assert_snapshot!(text, @"fetching 60.00 MiB of 100.00 MiB (4.00 MiB/s, 10 seconds left)");
        let text = progress_text("fetching", [0, 0, 0], Duration::ZERO);
        insta::assert_snapshot!(text, @"fetching 0 B of 0 B (0 B/s, 0 seconds left)");
    }

    #[test]
    fn failures_say_what_why_and_what_to_do() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let io = PrefixError::Io { attempt: "write", path: "/p/current".into(), source };
        let undone = PrefixError::Undone(Box::new(io));
        insta::assert_snapshot!(described(&undone), @"
        error: cannot write `/p/current`
          because no storage space
          help: free some space, or choose another disk with `--prefix`
        ");
        let trouble = RestartError::Failed {
            command: "restart app".to_owned(),
            ending: "ended with exit status: 3".to_owned(),
            said: String::new(),
            help: "try the command by hand".to_owned(),
        };
        let unwell = PrefixError::Unwell {
            version: "2.0.0".to_owned(),
            back: Some("1.0.0".to_owned()),
            trouble: Box::new(trouble),
        };
        insta::assert_snapshot!(described(&unwell), @"
        error: version 2.0.0 is not well, and version 1.0.0 is used again
          because `restart app` ended with exit status: 3
          help: tell its publisher what is said here
          help: try the command by hand
        ");
        let json = serde_json::to_string(&Failure { error: Described::of(&unwell) });
        insta::assert_snapshot!(json.expect("it has a JSON form"), @r#"{"error":{"message":"version 2.0.0 is not well, and version 1.0.0 is used again","code":"installer::unwell","causes":["`restart app` ended with exit status: 3"],"help":["tell its publisher what is said here","try the command by hand"]}}"#);
    }
}
