//! The app's own data: copied before another version may change it, and brought back by a rollback.

use camino::Utf8PathBuf;
use gangway_artifact as artifact;

use super::{CommandError, Run};
use crate::checkpoint::{self, Step};
use crate::cli::Choice;
use crate::prefix::journal::Purpose;
use crate::prefix::recovery::Recovered;
use crate::prefix::state::State;
use crate::prefix::transaction::Outside as _;
use crate::prefix::{Layout, PrefixError, Scope, Slot, current};
use crate::restart::{self, PATIENCE, RestartError, processes};
use crate::snapshot::{self, Decision, Finished, Owner, Restored, Snapshot, Stays, Store, Wish};

/// What became of what ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// It was stopped.
    Yes,
    /// Nothing ran.
    Nothing,
    /// It runs on, or nobody knows.
    No,
}

impl Run<'_> {
    /// Whether the app's data is copied before another version is used. Asks where somebody is there, but not where nothing is to be done.
    pub(super) fn is_data_kept(
        &self,
        layout: &Layout,
        folders: &[artifact::State],
        choice: Choice,
    ) -> Result<bool, CommandError> {
        let wish = match choice {
            // Not even looked at: it may be what cannot be read.
            Choice::No => return Ok(false),
            Choice::Yes => Wish::Yes,
            Choice::Ask => Wish::Ask,
        };
        if folders.is_empty() {
            return Ok(false);
        }
        let plan = snapshot::plan(self.context, folders, self.owner(layout), layout.prefix())?;
        let is_kept = match plan.decide(wish, self.can_ask())? {
            Decision::Make => true,
            Decision::Ask(question) => !self.global.dry_run && self.ask(&question)?,
            Decision::Skip(_) => false,
        };
        if is_kept {
            plan.check_readable()?;
        }
        Ok(is_kept)
    }

    /// Copies the app's data as `version` leaves it. What runs is stopped for that, if `restart` tells how.
    pub(super) fn keep_data(
        &self,
        layout: &Layout,
        folders: &[artifact::State],
        version: &str,
        restart: &[String],
    ) -> Result<(), CommandError> {
        let plan = snapshot::plan(self.context, folders, self.owner(layout), layout.prefix())?;
        let stopped = self.stop(layout, restart);
        let made = self.proceed().and_then(|()| self.copy_data(layout, &plan, version, stopped));
        if made.is_err() {
            self.start_again(layout, restart);
        }
        let copy = made?;
        for changed in copy.folders.iter().flat_map(|folder| &folder.changed) {
            self.reporter.warn(format_args!("`{changed}` was changed while it was copied"));
        }
        self.reporter.say(format_args!("kept a copy of the app's data as {version} left it"));
        Ok(())
    }

    fn copy_data(
        &self,
        layout: &Layout,
        plan: &snapshot::Plan,
        version: &str,
        stopped: Stopped,
    ) -> Result<Snapshot, CommandError> {
        if stopped == Stopped::No {
            self.reporter.say("what runs goes on: what it writes now may be missing in the copy");
        }
        for path in plan.in_use().filter(|_| stopped != Stopped::Yes) {
            self.reporter.warn(format_args!("`{path}` is open: its copy may be of no use"));
        }
        let mut reached = |_: &'static str| checkpoint::reached(Step::Snapshot);
        let store = self.copies(layout);
        Ok(store.make(plan, version, self.context.now, &mut reached)?)
    }

    /// The copies there are.
    fn copies(&self, layout: &Layout) -> Store {
        Store::at(layout.snapshots()).interrupted_by(&self.context.interruption)
    }

    /// Removes copies for versions that are gone. What cannot be removed takes room, and nothing else.
    pub(super) fn prune_data(&self, layout: &Layout, state: &State) {
        let versions: Vec<&str> =
            state.installed.iter().map(|installed| installed.version.as_str()).collect();
        let _ = Store::at(layout.snapshots()).keep_only(&versions);
        // Only if nothing is in it.
        let _ = std::fs::remove_dir(layout.snapshots());
    }

    /// Brings the data back as `version` left it, if there is a copy and that is wanted. Where it does not stay for good, [`Run::finish_data`] says what
    /// became of it.
    pub(super) fn restore_data(
        &self,
        layout: &Layout,
        state: &State,
        (version, stays): (&str, Stays<'_>),
        choice: Choice,
    ) -> Result<Option<Restored>, CommandError> {
        let store = self.copies(layout);
        let Some(copy) = store.get(version)? else {
            if choice == Choice::Yes {
                self.reporter
                    .warn(format_args!("there is no copy of the app's data as {version} left it"));
            }
            return Ok(None);
        };
        let folders = copy.folders.iter().map(|folder| format!("`{}`", folder.path));
        let folders = folders.collect::<Vec<_>>().join(" and ");
        let question = format!("bring back {folders} as version {version} left it?");
        let is_wanted = match choice {
            Choice::Yes => true,
            Choice::No => false,
            Choice::Ask if self.can_ask() => self.ask(&question)?,
            Choice::Ask => {
                self.reporter.say(format_args!(
                    "the app's data stays as it is; `rollback {version} --restore yes` brings it back as that version left it"
                ));
                false
            }
        };
        if !is_wanted {
            return Ok(None);
        }
        if self.stop(layout, &state.restart) == Stopped::No {
            self.reporter.warn("programs of the app are running: what they write now may be lost");
        }
        let mut reached = |_: &'static str| checkpoint::reached(Step::Snapshot);
        let restored = self
            .proceed()
            .and_then(|()| Ok(store.restore(version, stays, self.context.now, &mut reached)?));
        if restored.is_err() {
            // Why it failed is what counts; what is not in its place now the next command puts there.
            let _ = self.finish_data(layout);
            self.start_again(layout, &state.restart);
        }
        let restored = restored?;
        if stays == Stays::Always {
            self.tell_restored(&restored);
        }
        Ok(Some(restored))
    }

    /// Nobody but the user knows whether what the version `new` wrote is worth anything to `old`, which is used again.
    pub(super) fn tell_of_copy(&self, old: &str, new: &str) {
        self.reporter.warn(format_args!(
            "what {new} has done to the app's data stays: `rollback {old} --restore yes` brings it back as {old} left it"
        ));
    }

    /// The same of an update that somebody else has begun: if there is a copy.
    pub(super) fn tell_of_copy_again(&self, layout: &Layout, recovered: &Recovered) {
        let Recovered::WentBack { error, purpose: Purpose::Advance, .. } = recovered else {
            return;
        };
        if let PrefixError::Unwell { version, back: Some(back), .. }
        | PrefixError::Stopped { version, back, .. } = error.as_ref()
            && Store::at(layout.snapshots()).get(back).is_ok_and(|copy| copy.is_some())
        {
            self.tell_of_copy(back, version);
        }
    }

    /// Ends or takes back what somebody who was killed had begun. Data that was brought back for a version which is not the one that is used gives way again:
    /// what runs is stopped for that. Says what was brought back for good.
    pub(super) fn finish_data(&self, layout: &Layout) -> Result<Option<Restored>, CommandError> {
        if !layout.snapshots().exists() {
            return Ok(None);
        }
        let store = Store::at(layout.snapshots());
        let used = current::read(layout)?;
        let used = used.as_ref().map(Slot::as_str);
        if store.is_to_return(used)? {
            let state = State::read(layout).ok().flatten();
            let restart = state.map(|state| state.restart).unwrap_or_default();
            if self.stop(layout, &restart) == Stopped::No {
                self.reporter
                    .warn("programs of the app are running: what they write now may be lost");
            }
        }
        let mut reached = |_: &'static str| checkpoint::reached(Step::Snapshot);
        match store.finish(used, &mut reached)? {
            Some(Finished::Done(restored)) => {
                self.tell_restored(&restored);
                return Ok(Some(restored));
            }
            Some(Finished::Returned(restored)) => self.tell_returned(&restored),
            Some(Finished::TakenBack) | None => {}
        }
        Ok(None)
    }

    /// The folders of data that are there.
    pub(super) fn data_folders(
        &self,
        layout: &Layout,
        folders: &[artifact::State],
    ) -> Vec<Utf8PathBuf> {
        snapshot::folders(self.context, folders, self.owner(layout), layout.prefix())
    }

    /// Stops what runs, so that nobody writes to data that is being copied or moved.
    fn stop(&self, layout: &Layout, restart: &[String]) -> Stopped {
        let running = processes::of_app(&layout.versions());
        if running.is_some_and(|running| running.is_empty()) {
            return Stopped::Nothing;
        }
        let Some(command) = restart::stop_command(restart) else { return Stopped::No };
        self.reporter.say(format_args!("stopping what runs: `{}`", restart::line(&command)));
        // Whoever is killed now, the next command starts it again.
        let _ = std::fs::write(layout.running(), "");
        let done = self.run_command(layout, &command);
        if let Err(error) = &done {
            self.reporter.warn(error);
        }
        if done.is_ok() { Stopped::Yes } else { Stopped::No }
    }

    /// Starts again what was stopped, or was being started again.
    pub(super) fn start_again(&self, layout: &Layout, restart: &[String]) {
        if !layout.running().exists() {
            return;
        }
        if restart.is_empty() {
            self.reporter.warn(
                "what ran was stopped, and nothing says any more what starts it again: start it, and name the command with `--restart-command`",
            );
        } else {
            let command = restart::line(restart);
            self.reporter.say(format_args!("starting again what ran: `{command}`"));
            if let Err(error) = self.run_restart(layout, restart) {
                self.reporter.warn(error);
            }
        }
        self.forget_what_ran(layout);
    }

    /// Starts again what runs, so that it has the data that was brought back.
    pub(super) fn restart_with_data(&self, layout: &Layout, state: &State) {
        if let Err(error) = self.world(layout).restart(state) {
            self.reporter.warn(error);
        }
        self.forget_what_ran(layout);
    }

    /// Nothing is to be started again any more.
    pub(super) fn forget_what_ran(&self, layout: &Layout) {
        let _ = std::fs::remove_file(layout.running());
    }

    /// Runs the command that starts again what runs. A Ctrl-C ends everything that the terminal runs, this command too: then it is run once more.
    pub(super) fn run_restart(
        &self,
        layout: &Layout,
        command: &[String],
    ) -> Result<String, RestartError> {
        let interruption = &self.context.interruption;
        let before = interruption.signal();
        match self.run_command(layout, command) {
            Err(_) if interruption.signal() != before => self.run_command(layout, command),
            done => done,
        }
    }

    /// Runs a command, such as the user's own for what runs, and returns what it said.
    pub(super) fn run_command(
        &self,
        layout: &Layout,
        command: &[String],
    ) -> Result<String, RestartError> {
        let scratch = layout.trial();
        let done = restart::run(self.context, command, &scratch, PATIENCE);
        let _ = std::fs::remove_dir(scratch);
        done
    }

    fn tell_restored(&self, restored: &Restored) {
        for folder in &restored.folders {
            let aside = match &folder.aside {
                Some(aside) => format!("; what was there is `{aside}` now"),
                None => String::new(),
            };
            let version = &restored.of;
            self.reporter.say(format_args!("`{}` is as {version} left it{aside}", folder.path));
        }
    }

    fn tell_returned(&self, restored: &Restored) {
        let version = &restored.of;
        self.reporter.say(format_args!(
            "the app's data is again what it was before it was brought back as {version} left it"
        ));
        for folder in &restored.folders {
            let Some(aside) = &folder.aside else { continue };
            self.reporter.warn(format_args!(
                "what was written to `{}` meanwhile is in `{aside}`",
                folder.path
            ));
        }
    }

    /// Asks a person who is there; what is not answered is not wanted.
    fn ask(&self, question: &str) -> Result<bool, CommandError> {
        let answer = self.reporter.ask(question, &self.context.interruption);
        self.proceed()?;
        Ok(answer == Some(true))
    }

    fn can_ask(&self) -> bool {
        !self.global.yes && self.reporter.can_ask()
    }

    fn owner(&self, layout: &Layout) -> Owner {
        match self.scope_of(layout) {
            Scope::System => Owner::Everyone,
            Scope::User => Owner::User,
        }
    }
}
