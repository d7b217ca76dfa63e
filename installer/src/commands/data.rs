//! The app's own data: copied before another version may change it, and brought back by a rollback.

use camino::Utf8PathBuf;
use gangway_artifact as artifact;

use super::{CommandError, Run};
use crate::checkpoint::{self, Step};
use crate::cli::Choice;
use crate::prefix::Layout;
use crate::prefix::state::State;
use crate::restart::{self, PATIENCE, processes};
use crate::snapshot::{self, Decision, Finished, Owner, Restored, Store, Wish};

impl Run<'_> {
    /// Copies the app's data as `version` leaves it.
    pub(super) fn keep_data(
        &self,
        layout: &Layout,
        folders: &[artifact::State],
        version: &str,
        choice: Choice,
    ) -> Result<(), CommandError> {
        if folders.is_empty() {
            return Ok(());
        }
        let plan = snapshot::plan(self.context, folders, self.owner(), layout.prefix())?;
        let wish = match choice {
            Choice::Yes => Wish::Yes,
            Choice::No => Wish::No,
            Choice::Ask => Wish::Ask,
        };
        let is_made = match plan.decide(wish, self.can_ask())? {
            Decision::Make => true,
            Decision::Ask(question) => self.reporter.ask(&question) == Some(true),
            Decision::Skip(_) => false,
        };
        if !is_made {
            return Ok(());
        }
        for path in plan.in_use() {
            self.reporter.warn(format_args!("`{path}` is open: its copy may be of no use"));
        }
        let mut reached = |_: &'static str| checkpoint::reached(Step::Snapshot);
        let store = Store::at(layout.snapshots());
        store.make(&plan, version, self.context.now, &mut reached)?;
        self.reporter.say(format_args!("kept a copy of the app's data as {version} left it"));
        Ok(())
    }

    /// Removes copies for versions that are gone. What cannot be removed takes room, and nothing else.
    pub(super) fn prune_data(&self, layout: &Layout, state: &State) {
        let versions: Vec<&str> =
            state.installed.iter().map(|installed| installed.version.as_str()).collect();
        let _ = Store::at(layout.snapshots()).keep_only(&versions);
        // Only if nothing is in it.
        let _ = std::fs::remove_dir(layout.snapshots());
    }

    /// Brings the data back as `version` left it, if there is a copy and that is wanted.
    pub(super) fn restore_data(
        &self,
        layout: &Layout,
        state: &State,
        version: &str,
        choice: Choice,
    ) -> Result<Option<Restored>, CommandError> {
        let store = Store::at(layout.snapshots());
        let Some(copy) = store.get(version)? else { return Ok(None) };
        let folders = copy.folders.iter().map(|folder| format!("`{}`", folder.path));
        let folders = folders.collect::<Vec<_>>().join(" and ");
        let question = format!("bring back {folders} as version {version} left it?");
        let is_wanted = match choice {
            Choice::Yes => true,
            Choice::No => false,
            Choice::Ask if self.can_ask() => self.reporter.ask(&question) == Some(true),
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
        self.stop(layout, state);
        let mut reached = |_: &'static str| checkpoint::reached(Step::Snapshot);
        let restored = store.restore(version, self.context.now, &mut reached)?;
        self.tell_restored(&restored);
        Ok(Some(restored))
    }

    /// Ends or takes back what somebody who was killed had begun.
    pub(super) fn finish_data(&self, layout: &Layout) -> Result<(), CommandError> {
        if !layout.snapshots().exists() {
            return Ok(());
        }
        let mut reached = |_: &'static str| checkpoint::reached(Step::Snapshot);
        match Store::at(layout.snapshots()).finish(&mut reached)? {
            Some(Finished::Done(restored)) => self.tell_restored(&restored),
            Some(Finished::TakenBack) | None => {}
        }
        Ok(())
    }

    /// The folders of data that are there.
    pub(super) fn data_folders(
        &self,
        layout: &Layout,
        folders: &[artifact::State],
    ) -> Result<Vec<Utf8PathBuf>, CommandError> {
        let plan = snapshot::plan(self.context, folders, self.owner(), layout.prefix())?;
        let there = plan.folders.into_iter().filter(|folder| folder.content.is_some());
        Ok(there.map(|folder| folder.path).collect())
    }

    /// Stops what runs, so that nobody writes to data that is being moved.
    fn stop(&self, layout: &Layout, state: &State) {
        let running = processes::of_app(&layout.versions()).unwrap_or_default();
        if running.is_empty() {
            return;
        }
        let Some(command) = restart::stop_command(&state.restart) else {
            self.reporter.warn("programs of the app are running: what they write now may be lost");
            return;
        };
        self.reporter.say(format_args!("stopping what runs: `{}`", restart::line(&command)));
        if let Err(error) = restart::run(self.context, &command, &layout.trial(), PATIENCE) {
            self.reporter.warn(error);
        }
        let _ = std::fs::remove_dir(layout.trial());
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

    fn can_ask(&self) -> bool {
        !self.global.yes && self.reporter.can_ask()
    }

    fn owner(&self) -> Owner {
        if self.global.system { Owner::Everyone } else { Owner::User }
    }
}
