//! What a person or a program sees of a command.
//!
//! Results go to standard output: text, or with `--json` one document. Everything else goes to standard error: what was done, warnings, and progress.
//! On a terminal progress is a bar; elsewhere it is a line now and then.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{
    HumanBytes, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle,
};
use serde::Serialize;

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
#[derive(Debug)]
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
    #[expect(clippy::print_stdout, reason = "this is the one place that writes results")]
    pub fn result(&self, value: &impl Serialize, text: &str) {
        match self.format {
            Format::Text if text.is_empty() => {}
            Format::Text => println!("{}", text.trim_end()),
            Format::Json => {
                let text = serde_json::to_string_pretty(value).expect("our types have string keys");
                println!("{text}");
            }
        }
        // Who reads it may have gone away.
        let _ = std::io::stdout().flush();
    }

    /// Why the command failed: for programs as a document too.
    pub fn failure(&self, error: &dyn miette::Diagnostic) {
        if self.format == Format::Json {
            self.result(&Failure { error: Described::of(error) }, "");
        } else {
            self.line(&described(error));
        }
    }

    /// Progress towards so many bytes.
    #[must_use]
    pub fn bytes(&self, what: &'static str, total: u64) -> Progress<'_> {
        let template = "{prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template).expect("the template is ours");
        let bar = self.bars.add(ProgressBar::new(total).with_style(style).with_prefix(what));
        let (now, done) = (Instant::now(), AtomicU64::new(0));
        Progress { reporter: self, what, total, bar, done, started: now, said: Mutex::new(now) }
    }

    #[expect(clippy::print_stderr, reason = "this is the one place that writes to it")]
    fn line(&self, text: &str) {
        self.bars.suspend(|| eprintln!("{text}"));
    }
}

/// A bar, or what stands for it; it goes away when it is dropped.
#[derive(Debug)]
pub struct Progress<'a> {
    reporter: &'a Reporter,
    what: &'static str,
    total: u64,
    bar: ProgressBar,
    done: AtomicU64,
    started: Instant,
    said: Mutex<Instant>,
}

impl Progress<'_> {
    /// So many more are done.
    pub fn advance(&self, count: u64) {
        let done = self.done.fetch_add(count, Ordering::Relaxed) + count;
        self.bar.inc(count);
        if self.reporter.is_terminal || self.reporter.volume == Volume::Quiet {
            return;
        }
        let Ok(mut said) = self.said.try_lock() else { return };
        if said.elapsed() >= PAUSE {
            *said = Instant::now();
            self.reporter.say(self.text(done));
        }
    }

    fn text(&self, done: u64) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "it is shown with three digits")]
        let (speed, left) = (done as f64 / seconds, self.total.saturating_sub(done) as f64);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is not negative, and shown with three digits"
        )]
        let per_second = HumanBytes(speed as u64);
        let left = Duration::try_from_secs_f64(left / speed.max(1.0)).unwrap_or(Duration::MAX);
        format!(
            "{} {} of {} ({per_second}/s, {} left)",
            self.what,
            HumanBytes(done),
            HumanBytes(self.total),
            HumanDuration(left)
        )
    }
}

impl Drop for Progress<'_> {
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

    #[test]
    fn failures_say_what_why_and_what_to_do() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let io = PrefixError::Io { attempt: "write", path: "/p/state.json".into(), source };
        let unwell = PrefixError::Unwell {
            version: "2.0.0".to_owned(),
            back: Some("1.0.0".to_owned()),
            trouble: Box::new(io),
        };
        insta::assert_snapshot!(described(&unwell), @"
        error: version 2.0.0 is not well, and version 1.0.0 is used again
          because cannot write `/p/state.json`
          because no storage space
          help: tell its publisher what is said here
          help: free some space, or choose another disk with `--prefix`
        ");
        let json = serde_json::to_string(&Failure { error: Described::of(&unwell) });
        insta::assert_snapshot!(json.expect("it has a JSON form"), @r#"{"error":{"message":"version 2.0.0 is not well, and version 1.0.0 is used again","code":"installer::unwell","causes":["cannot write `/p/state.json`","no storage space"],"help":["tell its publisher what is said here","free some space, or choose another disk with `--prefix`"]}}"#);
    }
}
