//! What the installer does outside of the prefix: the search path, what runs, whether it is well.

use std::cell::Cell;

use camino::Utf8Path;

use super::Run;
use super::advance::read_manifest;
use crate::health::{self, Before, Verdict};
use crate::prefix::journal::{Activation, Fault};
use crate::prefix::state::State;
use crate::prefix::transaction::{Failure, Outside};
use crate::prefix::{Layout, Trouble};
use crate::restart::{self, Plan, processes};
use crate::search_path::{Done, Outcome};

/// The machine.
#[derive(Debug)]
pub(super) struct World<'a> {
    run: &'a Run<'a>,
    layout: &'a Layout,
    /// Whether another version comes to be used: otherwise nothing need be started again.
    is_switch: bool,
    /// Whether something was started again, so that it is worth asking.
    is_restarted: Cell<bool>,
}

/// How many times the manifest's time a start may take that was well before.
const FACTOR: u32 = 3;

impl<'a> World<'a> {
    pub(super) fn new(run: &'a Run<'a>, layout: &'a Layout) -> Self {
        Self { run, layout, is_switch: true, is_restarted: Cell::new(false) }
    }

    /// The machine, on which the version that is used stays the same.
    pub(super) fn quiet(mut self) -> Self {
        self.is_switch = false;
        self
    }

    fn tell(&self, outcomes: Vec<Outcome>, is_added: bool) {
        let reporter = self.run.reporter;
        let verb = if is_added { "added to" } else { "taken out of" };
        for Outcome { place, done } in outcomes {
            match done {
                Done::Unchanged => {}
                Done::Changed => reporter.say(format_args!("PATH: {verb} `{place}`")),
                Done::Removed => reporter.say(format_args!("PATH: removed `{place}`")),
                Done::Refused { reason, help } => {
                    reporter
                        .warn(format_args!("PATH: `{place}` stays as it is, as {reason}; {help}"));
                }
            }
        }
    }
}

impl Outside for World<'_> {
    fn settle(&self, before: Option<&State>, after: Option<&State>) -> Result<(), Trouble> {
        let record = |state: Option<&State>| state.and_then(|state| state.search_path.clone());
        let (before, after) = (record(before), record(after));
        if before == after {
            return Ok(());
        }
        if let Some(before) = before {
            self.tell(before.undo(), false);
        }
        if let Some(after) = after {
            self.tell(after.apply(), true);
        }
        Ok(())
    }

    fn return_data(&self) -> Result<(), Trouble> {
        let done = self.run.finish_data(self.layout);
        done.map(drop).map_err(|error| Box::new(error) as Trouble)
    }

    fn restart(&self, state: &State) -> Result<(), Trouble> {
        let Some(used) = state.installed.last().filter(|_| self.is_switch) else { return Ok(()) };
        let running = processes::of_app(&self.layout.versions());
        let command = Some(state.restart.as_slice()).filter(|command| !command.is_empty());
        let plan = match command {
            // It ran before it was stopped, or before the other version failed to start.
            Some(command) if self.layout.running().exists() => Plan::Run(command.to_owned()),
            _ => restart::plan(command, running.as_deref(), used.slot.as_str()),
        };
        match plan {
            Plan::Nothing => Ok(()),
            Plan::Run(command) => {
                let shown = restart::line(&command);
                self.run.reporter.say(format_args!("starting again what runs: `{shown}`"));
                let _ = std::fs::write(self.layout.running(), "");
                let done = self.run.run_restart(self.layout, &command);
                self.is_restarted.set(done.is_ok());
                done.map(drop).map_err(|error| Box::new(error) as Trouble)
            }
            Plan::Tell(processes) => {
                for process in processes {
                    let restart::processes::Process { id, version, .. } = process;
                    self.run.reporter.warn(format_args!(
                        "process {id} still runs version {version}: restart it, or name a command that does with `--restart-command`"
                    ));
                }
                Ok(())
            }
        }
    }

    fn health(&self, activation: &Activation, folder: &Utf8Path) -> Result<(), Failure> {
        if !self.is_restarted.get() {
            return Ok(());
        }
        let Some(health) = read_manifest(folder)?.health else { return Ok(()) };
        let reporter = self.run.reporter;
        reporter.say(format_args!("asking at port {} whether it is well", health.port));
        let before = activation.service;
        let factor = if before == Before::Well { FACTOR } else { 1 };
        let after = health::after(&health, &self.layout.versions(), activation.to.as_str(), factor);
        match (health::verdict(before, after.as_ref()), after) {
            (Verdict::GoBack, Err(error)) => Err(Failure::of(Fault::Version)(error)),
            (Verdict::Unknown, Err(error)) => {
                reporter.warn(format_args!("nobody knows whether it is well: {error}"));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
