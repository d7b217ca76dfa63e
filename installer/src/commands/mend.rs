//! What is installed, found out again where `state.json` or `journal.json` is damaged or missing.
//!
//! What is installed is there twice, so mostly the other copy says it. Where both are damaged, versions say themselves what they are, `current` says which is used,
//! and links and the shells' files what was changed outside of the prefix. What nothing tells any more the user has to say: where releases come from. Nothing is thrown away: what is damaged is kept as `<name>.damaged`. Files of a
//! newer installer are left alone.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::SystemTime;

use camino::Utf8PathBuf;
use gangway_artifact::{Digest, MANIFEST_FILE, Manifest};

use super::choice::Question;
use super::decision::programs;
use super::releases::Releases;
use super::{CommandError, Run};
use crate::cli::Repair;
use crate::prefix::journal::{Journal, Operation};
use crate::prefix::state::{Installed, STATE_VERSION, State, USUAL_KEEP};
use crate::prefix::{self, Layout, Locked, PrefixError, Scope, Slot, current, links, lost};
use crate::search_path;
use crate::snapshot::Store;

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct Mended {
    /// What is installed; nothing where that is known.
    pub(super) state: Option<State>,
    /// The files that were damaged or missing.
    pub(super) records: Vec<Utf8PathBuf>,
}

/// A version's folder with a manifest that can be read.
#[derive(Debug)]
struct Version {
    app: String,
    programs: Vec<String>,
    /// When its folder was made.
    made: SystemTime,
    installed: Installed,
}

impl Run<'_> {
    /// Makes anew what says what is installed and what is going on, if it is damaged or missing. Without the lock nothing is written.
    pub(super) fn mend(
        &self,
        layout: &Layout,
        locked: Option<&Locked>,
        options: &Repair,
    ) -> Result<Mended, CommandError> {
        let journal = legible(Journal::read(layout))?;
        let state = legible(State::read(layout))?;
        let mut damaged = Vec::new();
        damaged.extend(state.is_none().then(|| layout.state()));
        damaged.extend(journal.is_none().then(|| layout.journal()));
        match journal.flatten() {
            // Whoever goes on with these has everything from the journal.
            Some(Operation::Activate(activation)) => {
                let state = state.is_none().then_some(activation.after);
                return Ok(Mended { state, records: damaged });
            }
            Some(Operation::Uninstall(leaving)) => {
                let state = state.is_none().then_some(*leaving.before);
                return Ok(Mended { state, records: damaged });
            }
            Some(Operation::Make { .. } | Operation::Remove { .. }) | None => {}
        }
        let copy = legible(State::read_copy(layout))?;
        damaged.extend(copy.is_none().then(|| layout.state_copy()));
        let (state, copy) = (state.flatten(), copy.flatten());
        if let Some(known) = state.as_ref().filter(|_| !damaged.contains(&layout.journal())) {
            return mend_copy(layout, locked, known, (copy.as_ref(), &damaged));
        }
        let mut records = damaged.clone();
        let is_missing = state.is_none() && !damaged.contains(&layout.state());
        records.extend(is_missing.then(|| layout.state()));
        let made = match (state.or(copy), legible(current::read(layout))?.flatten()) {
            (None, None) if damaged.is_empty() => return Ok(Mended::default()),
            (None, None) => {
                if locked.is_some() {
                    lost::set_aside(&damaged)?;
                }
                return Err(CommandError::NothingUsed { prefix: layout.prefix().to_owned() });
            }
            (Some(known), None) => known,
            (known, Some(used)) => self.found_out(layout, options, known, &used)?,
        };
        if let Some(locked) = locked {
            lost::replace(locked, &made, &damaged)?;
        }
        Ok(Mended { state: Some(made), records })
    }

    /// Sets aside what says what is being brought back of the app's data, if it is damaged: as long as it is there, nobody goes on. Without the lock
    /// nothing is written.
    pub(super) fn mend_restore(
        &self,
        layout: &Layout,
        locked: Option<&Locked>,
    ) -> Result<Option<Utf8PathBuf>, CommandError> {
        let damaged = Store::at(layout.snapshots()).damaged_record()?;
        if let (Some(damaged), Some(_)) = (&damaged, locked) {
            lost::set_aside(std::slice::from_ref(damaged))?;
            self.reporter.warn(
                "nothing says any more what was being brought back of the app's data: what is beside its folders stays as it is",
            );
        }
        Ok(damaged)
    }

    /// What is installed, by everything that tells.
    fn found_out(
        &self,
        layout: &Layout,
        options: &Repair,
        known: Option<State>,
        used: &Slot,
    ) -> Result<State, CommandError> {
        let versions = versions(layout, used)?;
        let own = versions.iter().find(|version| version.installed.slot == *used);
        let is_told = own.is_some() || known.as_ref().is_some_and(|state| state.of(used).is_some());
        let releases = match &known {
            Some(_) if is_told => None,
            known => Some(self.origin(layout, options, known.as_ref(), own)?),
        };
        let mut state = match (known, &releases) {
            (Some(known), _) => known,
            (None, Some(releases)) => self.begun(layout, options, releases, (&versions, used))?,
            (None, None) => return Err(CommandError::NotFound),
        };
        if let Some(releases) = &releases {
            if let Some(own) = own {
                state.app.clone_from(&own.app);
            }
            releases.check(Some(&state), layout, true)?;
            if !is_told {
                let of_used = self.published(layout, releases, &state, used)?;
                state.installed.push(of_used);
            }
        }
        // What else lies there was not to be used, or not any more.
        if state.of(used).is_none() {
            state.installed.extend(own.map(|own| own.installed.clone()));
        }
        // It may be of an earlier time.
        let is_there = |slot: &Slot| slot == used || layout.version(slot).is_dir();
        state.installed.retain(|one| is_there(&one.slot));
        state.previous.take_if(|previous| previous == used || !is_there(previous));
        state.installed.sort_by_key(|one| one.slot == *used);
        let there = links::there(layout, &state.bin_dir, &state.app);
        let all = own.into_iter().flat_map(|own| own.programs.clone());
        let all: BTreeSet<String> = all.chain(there).chain(state.programs).collect();
        state.programs = all.into_iter().collect();
        Ok(state)
    }

    /// Where releases come from, by the word of the user, if nothing else says it.
    fn origin(
        &self,
        layout: &Layout,
        options: &Repair,
        known: Option<&State>,
        own: Option<&Version>,
    ) -> Result<Releases, CommandError> {
        let unknown = || {
            let name = || layout.prefix().file_name().unwrap_or_default().to_owned();
            CommandError::UnknownOrigin { app: own.map_or_else(name, |own| own.app.clone()) }
        };
        if known.is_none() && options.channel.is_none() {
            return Err(unknown());
        }
        match self.releases(options.from.as_deref(), options.channel.as_deref(), known) {
            Err(CommandError::NoBase) => Err(unknown()),
            releases => releases,
        }
    }

    /// What is installed, where nothing says anything but the folders.
    fn begun(
        &self,
        layout: &Layout,
        options: &Repair,
        releases: &Releases,
        (versions, used): (&[Version], &Slot),
    ) -> Result<State, CommandError> {
        let app = &releases.channel.app;
        let named = options.bin_dir.as_deref().map(|path| self.absolute(path));
        let named = named.or_else(|| self.linked(layout, app));
        let bin_dir = self.bin_dir(layout, named, None)?;
        let installed: Vec<Installed> =
            versions.iter().map(|version| version.installed.clone()).collect();
        let whole = installed.iter().filter(|one| !one.superseded);
        let previous = whole.clone().rfind(|one| one.slot != *used).map(|one| one.slot.clone());
        // So that none goes that was kept.
        let kept = u32::try_from(whole.count()).ok().and_then(NonZeroU32::new);
        let programs = links::there(layout, &bin_dir, app);
        let for_everyone = self.scope_of(layout) == Scope::System;
        let shown = search_path::Programs { app, folder: &bin_dir, for_everyone };
        Ok(State {
            version: STATE_VERSION,
            app: app.clone(),
            base: releases.depot.place().with_secrets(),
            channel: releases.channel.channel.clone(),
            target: None,
            sequence: releases.channel.sequence,
            keep: kept.map_or(USUAL_KEEP, |kept| kept.max(USUAL_KEEP)),
            search_path: search_path::find(self.context, shown),
            replaced: links::replaced(&bin_dir, app, &programs),
            bin_dir,
            created: Vec::new(),
            programs,
            restart: Vec::new(),
            previous,
            installed,
            refused: Vec::new(),
            installer: prefix::program_digest(layout, app),
        })
    }

    /// The folder that the app's programs are linked into, if one is found.
    fn linked(&self, layout: &Layout, app: &str) -> Option<Utf8PathBuf> {
        let usual = [Scope::User, Scope::System]
            .into_iter()
            .filter_map(|scope| layout.usual_bin_dir(self.context, scope));
        let folders: Vec<Utf8PathBuf> = usual
            .chain(search_path::on_path(self.context))
            .filter(|folder| folder.is_absolute())
            .collect();
        let has_installer = |folder: &&Utf8PathBuf| links::has_installer(layout, folder, app);
        let has_any = |folder: &&Utf8PathBuf| !links::there(layout, folder, app).is_empty();
        folders.iter().find(has_installer).or_else(|| folders.iter().find(has_any)).cloned()
    }

    /// The version that is used, whose manifest is damaged: as it was published.
    fn published(
        &self,
        layout: &Layout,
        releases: &Releases,
        state: &State,
        used: &Slot,
    ) -> Result<Installed, CommandError> {
        let release = releases.release(Some(used.version()))?;
        let target = state.target.as_ref();
        let question = Question { layout, release, target, is_forced: true, used: None };
        let choice = self.choose(question)?;
        Ok(Installed {
            slot: used.clone(),
            version: release.version.clone(),
            target: choice.bundle.target,
            manifest: choice.bundle.manifest.sha256,
            forced: choice.forced,
            superseded: false,
        })
    }
}

/// Sees that what is installed is there twice.
fn mend_copy(
    layout: &Layout,
    locked: Option<&Locked>,
    known: &State,
    (copy, damaged): (Option<&State>, &[Utf8PathBuf]),
) -> Result<Mended, CommandError> {
    if copy == Some(known) {
        return Ok(Mended::default());
    }
    if let Some(locked) = locked {
        lost::replace(locked, known, damaged)?;
    }
    Ok(Mended { state: Some(known.clone()), records: vec![layout.state_copy()] })
}

/// What a file of ours says; nothing where it is damaged.
fn legible<T>(read: Result<T, PrefixError>) -> Result<Option<T>, PrefixError> {
    match read {
        Err(PrefixError::Damaged { .. }) => Ok(None),
        read => read.map(Some),
    }
}

/// The versions that there are, the one that is used at the end, before it the one that was made last.
fn versions(layout: &Layout, used: &Slot) -> Result<Vec<Version>, CommandError> {
    let slots = prefix::present(layout)?;
    let mut versions: Vec<Version> =
        slots.into_iter().filter_map(|slot| Version::read(layout, slot)).collect();
    versions.sort_by_key(|version| (version.installed.slot == *used, version.made));
    for index in 0..versions.len() {
        let (before, after) = versions.split_at_mut(index + 1);
        let one = &mut before[index].installed;
        // The same again, in a folder that was made for it later: this one was damaged.
        one.superseded = after.iter().any(|other| other.installed.manifest == one.manifest);
    }
    Ok(versions)
}

impl Version {
    fn read(layout: &Layout, slot: Slot) -> Option<Self> {
        let folder = layout.version(&slot);
        let text = std::fs::read(folder.join(MANIFEST_FILE)).ok()?;
        let manifest = Manifest::from_json(&text).ok()?;
        let made = folder.metadata().and_then(|found| found.modified());
        Some(Self {
            programs: programs(&manifest),
            made: made.unwrap_or(SystemTime::UNIX_EPOCH),
            installed: Installed {
                slot,
                version: manifest.app.version,
                target: manifest.target,
                manifest: Digest::of(&text),
                forced: Vec::new(),
                superseded: false,
            },
            app: manifest.app.name.into(),
        })
    }
}
