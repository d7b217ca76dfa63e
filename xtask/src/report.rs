//! What a person sees while the work goes on: progress bars, notes, warnings. All of it on standard error.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where messages and progress go. Cheap to clone; clones share the screen.
#[derive(Debug, Clone)]
pub struct Reporter {
    bars: MultiProgress,
    quiet: bool,
}

/// One bar; it goes away when it is dropped.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Reporter {
    /// To standard error; bars are drawn only when that is a terminal.
    #[must_use]
    pub fn standard_error() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()), quiet: false }
    }

    /// Nowhere.
    #[must_use]
    pub fn silent() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), quiet: true }
    }

    /// A bar that counts to `total` things.
    #[must_use]
    pub fn count(&self, what: impl Into<Cow<'static, str>>, total: u64) -> Progress {
        self.bar(what, total, "{prefix:>12} {bar:30} {pos}/{len} {wide_msg}")
    }

    /// A bar that counts to `total` bytes.
    #[must_use]
    pub fn bytes(&self, what: impl Into<Cow<'static, str>>, total: u64) -> Progress {
        self.bar(what, total, "{prefix:>12} {bar:30} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {wide_msg}")
    }

    /// Work without a known end.
    #[must_use]
    pub fn spinner(
        &self,
        what: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Progress {
        let progress = self.bar(what, 0, "{prefix:>12} {spinner} {wide_msg} {elapsed}");
        progress.message(message);
        progress
    }

    fn bar(&self, what: impl Into<Cow<'static, str>>, total: u64, template: &str) -> Progress {
        let style = ProgressStyle::with_template(template).expect("the templates are ours");
        let bar = self.bars.add(ProgressBar::new(total).with_style(style).with_prefix(what));
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress(bar)
    }

    /// A step that was done, in one line: a verb and what it was done to.
    pub fn done(&self, verb: &str, what: impl std::fmt::Display) {
        self.line(&format!("{verb:>12} {what}"));
    }

    /// Something a person should know and may mend.
    pub fn warn(&self, text: impl std::fmt::Display) {
        self.line(&format!("     warning {text}"));
    }

    #[expect(clippy::print_stderr, reason = "this is the one place that writes to it")]
    fn line(&self, text: &str) {
        if !self.quiet {
            self.bars.suspend(|| eprintln!("{text}"));
        }
    }
}

impl Progress {
    /// `count` more are done.
    pub fn advance(&self, count: u64) {
        self.0.inc(count);
    }

    /// There is more to do than was known.
    pub fn lengthen(&self, count: u64) {
        self.0.inc_length(count);
    }

    /// What is being done right now.
    pub fn message(&self, text: impl Into<Cow<'static, str>>) {
        self.0.set_message(text);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
