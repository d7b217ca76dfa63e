//! What each command does, one file for each.
//!
//! A command decides what is to be done and says what was; the changes themselves are [`prefix`]'s.

mod advance;
mod choice;
mod completions;
mod data;
mod decision;
mod doctor;
mod error;
mod interrupted;
mod list;
mod making;
mod mend;
mod place;
mod program;
mod releases;
mod repair;
mod rollback;
mod status;
mod trial;
mod uninstall;
mod verify;
mod world;

use std::error::Error;
use std::process::ExitCode;

use crate::cli::{Cli, Command, Global};
use crate::context::Context;
use crate::interruption::Signal;
use crate::prefix::journal::Activation;
use crate::prefix::recovery::{self, Recovered};
use crate::prefix::state::State;
use crate::prefix::{self, Layout, Locked, PrefixError, Waiting, transaction};
use crate::report::Reporter;
use crate::snapshot::{Restored, Store};

pub use error::{CommandError, Status};
use world::World;

/// Does what the command line says, and says how it went.
///
/// # Errors
/// With the signal that made it give up.
pub fn run(cli: &Cli, context: &Context, reporter: &Reporter) -> Result<ExitCode, Signal> {
    let run = Run { context, reporter, global: &cli.global };
    let done = match &cli.command {
        Command::Install(install) => advance::install(&run, install),
        Command::Update(update) => advance::update(&run, &update.origin),
        Command::Rollback(rollback) => rollback::rollback(&run, rollback),
        Command::Verify(options) => verify::verify(&run, options),
        Command::Repair(options) => repair::repair(&run, options),
        Command::Doctor(options) => doctor::doctor(&run, options),
        Command::Completions(options) => completions::completions(&run, options.shell),
        Command::List => list::list(&run),
        Command::Status => status::status(&run),
        Command::Uninstall(options) => uninstall::uninstall(&run, options),
    };
    done.or_else(|error| {
        let error = run.as_interruption(error);
        reporter.failure(&error);
        match error {
            CommandError::Interrupted { signal } => Err(signal),
            error => Ok(ExitCode::from(error.status() as u8)),
        }
    })
}

/// What every command has.
#[derive(Debug, Clone, Copy)]
struct Run<'a> {
    context: &'a Context,
    reporter: &'a Reporter,
    global: &'a Global,
}

impl Run<'_> {
    /// Takes the lock of a prefix, and finishes or undoes what somebody has begun there.
    fn lock(
        &self,
        layout: &Layout,
        command: &str,
    ) -> Result<(Locked, Option<Recovered>), CommandError> {
        let locked = self.take(layout, command)?;
        let recovered = self.recover(&locked)?;
        self.proceed()?;
        Ok((locked, recovered))
    }

    /// Takes the lock of a prefix. From then on a signal does not end the process at once: something may have to be taken back.
    fn take(&self, layout: &Layout, command: &str) -> Result<Locked, CommandError> {
        let waiting = if self.global.no_wait { Waiting::Never } else { Waiting::Patient };
        let tell = |holder: Option<&str>| {
            let holder = holder.unwrap_or("another installer");
            self.reporter.say(format_args!("waiting for `{holder}`, which is at work here"));
        };
        let locked = Locked::take(layout, waiting, command, &tell)?;
        self.context.interruption.defer();
        Ok(locked)
    }

    /// Finishes or undoes what somebody has begun.
    fn recover(&self, locked: &Locked) -> Result<Option<Recovered>, CommandError> {
        self.without_giving_up(|| self.go_on(locked))
    }

    fn go_on(&self, locked: &Locked) -> Result<Option<Recovered>, CommandError> {
        let layout = locked.layout();
        let recovered = recovery::recover(locked, &self.world(layout))?;
        if let Some(recovered) = &recovered {
            self.tell(recovered);
            self.tell_of_copy_again(layout, recovered);
        }
        self.tell_of_remains(layout);
        self.finish_data(layout)?;
        self.settle_what_ran(layout, recovered.as_ref())?;
        Ok(recovered)
    }

    fn tell(&self, recovered: &Recovered) {
        let reporter = self.reporter;
        match recovered {
            Recovered::Discarded(slot) => {
                reporter.say(format_args!("removed what an interrupted command made of {slot}"));
            }
            Recovered::Finished(slot, _) => {
                reporter.say(format_args!("finished the interrupted change to {slot}"));
            }
            Recovered::WentBack { to, error, .. } => match error.as_ref() {
                PrefixError::Undone(trouble) => reporter
                    .warn(format_args!("took back the interrupted change to {to}: {trouble}")),
                error => reporter.warn(with_reason(error)),
            },
            Recovered::Cleaned => reporter.say("finished removing old versions"),
            Recovered::Uninstalled(stuck) => {
                reporter.say("finished removing the app");
                self.tell_of_stuck(stuck);
            }
        }
    }

    /// What is left of versions or copies and cannot be removed takes space, and is in nobody's way otherwise.
    fn tell_of_remains(&self, layout: &Layout) {
        for stuck in prefix::clear_remains(layout).unwrap_or_default() {
            let stuck = with_reason(&stuck);
            self.reporter.warn(format_args!("{stuck}; it stays until it can be removed"));
        }
        for stuck in Store::at(layout.snapshots()).tidy() {
            let stuck = with_reason(&stuck);
            self.reporter.warn(format_args!("{stuck}; what is left of a copy stays until then"));
        }
    }

    /// The app's own data is removed as far as it can be.
    fn tell_of_stuck(&self, stuck: &[PrefixError]) {
        for stuck in stuck {
            let stuck = with_reason(stuck);
            self.reporter.warn(format_args!("{stuck}; what is left there stays"));
        }
    }

    /// Somebody was killed who had stopped what ran. Whoever went on with an activation has started it again.
    fn settle_what_ran(
        &self,
        layout: &Layout,
        recovered: Option<&Recovered>,
    ) -> Result<(), CommandError> {
        use Recovered::{Finished, WentBack};
        if !layout.running().exists() {
            return Ok(());
        }
        match (recovered, State::read(layout)?) {
            (Some(Finished(..) | WentBack { .. }), _) | (_, None) => self.forget_what_ran(layout),
            (_, Some(state)) => self.start_again(layout, &state.restart),
        }
        Ok(())
    }

    /// Has another version used, or the one from before again if that is not well. Says what was brought back of the app's data.
    fn activate(
        &self,
        locked: &Locked,
        activation: Activation,
        world: &World<'_>,
    ) -> Result<Option<Restored>, CommandError> {
        self.without_giving_up(|| self.switch(locked, activation, world))
    }

    fn switch(
        &self,
        locked: &Locked,
        activation: Activation,
        world: &World<'_>,
    ) -> Result<Option<Restored>, CommandError> {
        let restart = activation.after.restart.clone();
        let before = activation.before.as_ref().zip(activation.from.as_ref());
        let before = before.and_then(|(state, slot)| Some(state.of(slot)?.version.clone()));
        let done = transaction::activate(locked, activation, world);
        let layout = locked.layout();
        // As long as somebody has to go on with it, it is not known which version is used.
        let is_open = layout.journal().exists();
        let restored = if is_open { Ok(None) } else { self.finish_data(layout) };
        if let (Err(PrefixError::Undone(_)), Some(before)) = (&done, before) {
            self.reporter.say(format_args!("took the change back: version {before} is used"));
        }
        match &done {
            // Either was started again, as far as it could be.
            Ok(()) => self.forget_what_ran(layout),
            Err(error) if error.is_taken_back() => self.forget_what_ran(layout),
            // The next command goes on with the rest; what is used meanwhile has to run.
            Err(_) => self.start_again(layout, &restart),
        }
        done?;
        restored
    }

    fn world<'a>(&'a self, layout: &'a Layout) -> World<'a> {
        World::new(self, layout)
    }
}

/// What went wrong and why, in one line.
fn with_reason(error: &dyn Error) -> String {
    let reason = error.source().map(|source| format!(" ({source})")).unwrap_or_default();
    format!("{error}{reason}")
}
