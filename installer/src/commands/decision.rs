//! What `install`, `update` and `repair` are to do, with everything that it takes. Nothing is changed yet.

use std::cell::OnceCell;
use std::num::NonZeroU32;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::trust::{Bundle, Release};
use gangway_artifact::{self as artifact, Digest, Health, Manifest, TargetName};

use super::choice::{Choice, Question};
use super::making::{Old, Recipe};
use super::releases::Releases;
use super::{CommandError, Run};
use crate::cli::{self, Origin, Trial};
use crate::prefix::journal::Purpose;
use crate::prefix::links::{self, Foreign};
use crate::prefix::state::{Installed, STATE_VERSION, State, USUAL_KEEP};
use crate::prefix::{self, Layout, PrefixError, Scope, Slot, current};
use crate::{restart, search_path};

/// What is to be done.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) layout: Layout,
    pub(super) releases: Releases,
    pub(super) release: Release,
    pub(super) bundle: Bundle,
    pub(super) purpose: Purpose,
    /// What is installed.
    pub(super) before: Option<State>,
    /// The version that is used.
    pub(super) from: Option<Slot>,
    pub(super) to: Target,
    overruled: Overruled,
    pub(super) trial: Trial,
    bin_dir: Utf8PathBuf,
    keep: NonZeroU32,
    target: Option<TargetName>,
    forced: Vec<String>,
    search_path: SearchPath,
    restart: Option<Vec<String>>,
    pub(super) snapshot: cli::Choice,
    /// What the version that is used says of itself, as soon as somebody has looked.
    own: OnceCell<Own>,
}

/// What a version says that still counts when another takes its place.
#[derive(Debug)]
struct Own {
    /// Where it has the app's own data.
    data: Vec<artifact::State>,
    /// How its service is asked.
    health: Option<Health>,
}

/// Where programs are, and what is done so that shells find them.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) bin_dir: Option<Utf8PathBuf>,
    pub(super) search_path: SearchPath,
}

/// What is done so that shells find the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SearchPath {
    /// What is needed.
    Edit,
    /// Nothing, and what was done before is undone.
    Leave,
    /// What was done before stays.
    Keep,
}

/// What is no reason not to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overruled {
    /// Everything is.
    Nothing,
    /// What the machine lacks, and what a version once was: it is installed, and only made anew.
    Installed,
    /// Also that the channel went back, and files in the way: the user says so.
    Everything,
}

/// How the version comes to be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// It is.
    Used,
    /// It is installed already, in this folder.
    There(Slot),
    /// It is made, in this folder.
    Made(Slot),
}

impl Run<'_> {
    /// Decides how a version that is installed is made anew.
    pub(super) fn decide_again(
        &self,
        layout: &Layout,
        origin: &Origin,
        places: Places,
    ) -> Result<Decision, CommandError> {
        let mut decision = self.decide_for(layout, origin, places, Overruled::Installed, None)?;
        decision.purpose = Purpose::Repair;
        Ok(decision)
    }

    /// Decides what `install` and `update` do. Where releases were read already, with what was installed then, they are not read again unless that has
    /// changed.
    pub(super) fn decide(
        &self,
        layout: &Layout,
        origin: &Origin,
        places: Places,
        read: Option<(Releases, Option<State>)>,
    ) -> Result<Decision, CommandError> {
        let overruled = if origin.force { Overruled::Everything } else { Overruled::Nothing };
        self.decide_for(layout, origin, places, overruled, read)
    }

    fn decide_for(
        &self,
        layout: &Layout,
        origin: &Origin,
        places: Places,
        overruled: Overruled,
        read: Option<(Releases, Option<State>)>,
    ) -> Result<Decision, CommandError> {
        let restart = match origin.restart_command.as_deref() {
            Some("") => Some(Vec::new()),
            Some(line) => Some(restart::words(line)?),
            None => None,
        };
        let before = State::read(layout)?;
        let bin_dir = self.bin_dir(layout, places.bin_dir, before.as_ref())?;
        let releases = match read.filter(|(_, known)| *known == before) {
            Some((releases, _)) => releases,
            None => {
                let (base, channel) = (origin.from.as_deref(), origin.channel.as_deref());
                self.releases(base, channel, before.as_ref())?
            }
        };
        // Of a version that is installed only its own bytes are taken, whoever has them.
        releases.check(before.as_ref(), layout, overruled != Overruled::Nothing)?;
        let release = releases.release(origin.version.as_deref())?.clone();
        let target = target(origin, before.as_ref())?;
        let from = current::read(layout)?;
        let used = before.as_ref().zip(from.as_ref()).and_then(|(state, slot)| state.of(slot));
        let (release_ref, is_forced) = (&release, overruled != Overruled::Nothing);
        let question =
            Question { layout, release: release_ref, target: target.as_ref(), is_forced, used };
        let Choice { bundle, forced } = self.choose(question)?;
        check_refused(before.as_ref(), &bundle, &release, overruled)?;
        let same = |one: &&Installed| one.manifest == bundle.manifest.sha256 && !one.superseded;
        let there = before.iter().flat_map(|state| &state.installed).find(same);
        let to = match there {
            Some(there) if Some(&there.slot) == from.as_ref() => Target::Used,
            Some(there) => Target::There(there.slot.clone()),
            None => Target::Made(free_slot(layout, &release.version)?),
        };
        let keep = origin.keep.or(before.as_ref().map(|state| state.keep)).unwrap_or(USUAL_KEEP);
        let (layout, purpose) = (layout.clone(), Purpose::Advance);
        Ok(Decision {
            layout,
            releases,
            release,
            bundle,
            purpose,
            before,
            from,
            to,
            overruled,
            trial: origin.trial,
            bin_dir,
            keep,
            target,
            forced,
            search_path: places.search_path,
            restart,
            snapshot: origin.snapshot,
            own: OnceCell::new(),
        })
    }
}

/// The first name for a version's folder that is not taken.
pub(super) fn free_slot(layout: &Layout, version: &str) -> Result<Slot, CommandError> {
    let slot = Slot::free(version, |slot| layout.version(slot).symlink_metadata().is_ok());
    Ok(slot.map_err(PrefixError::Version)?)
}

/// The target that the user wants: named now, or before.
fn target(origin: &Origin, before: Option<&State>) -> Result<Option<TargetName>, CommandError> {
    match origin.target.as_deref() {
        None => Ok(before.and_then(|before| before.target.clone())),
        Some("auto") => Ok(None),
        Some(name) => match name.parse() {
            Ok(target) => Ok(Some(target)),
            Err(_) => Err(CommandError::Target { name: name.to_owned() }),
        },
    }
}

/// A version that was not well is not taken again by itself.
fn check_refused(
    before: Option<&State>,
    bundle: &Bundle,
    release: &Release,
    overruled: Overruled,
) -> Result<(), CommandError> {
    let mut refused = before.iter().flat_map(|state| &state.refused);
    match refused.find(|refused| refused.manifest == bundle.manifest.sha256) {
        Some(refused) if overruled == Overruled::Nothing => Err(CommandError::Refused {
            version: release.version.clone(),
            reason: refused.reason.clone(),
        }),
        _ => Ok(()),
    }
}

impl Decision {
    /// Whether anything is changed.
    pub(super) fn is_change(&self, run: &Run<'_>) -> bool {
        let same_places = self.before.as_ref().is_some_and(|before| {
            before.bin_dir == self.bin_dir
                && before.keep == self.keep
                && before.target == self.target
                && self.restart.as_ref().is_none_or(|restart| before.restart == *restart)
                && before.base == self.releases.depot.place().with_secrets()
                && before.channel == self.releases.channel.channel
                && before.sequence == self.releases.channel.sequence
                && before.search_path == self.search_path(run).0
        });
        self.to != Target::Used || !same_places
    }

    /// Whether the channel is behind what was seen of it before.
    pub(super) fn is_behind(&self) -> bool {
        let channel = &self.releases.channel;
        let followed = self.before.as_ref().filter(|state| state.channel == channel.channel);
        followed.is_some_and(|state| channel.newer_than(state.sequence).is_err())
    }

    /// The bundle was named, but the user wants this.
    pub(super) fn forget_target(&mut self, target: Option<TargetName>) {
        self.target = target;
    }

    /// The folder of the version.
    pub(super) fn slot(&self) -> &Slot {
        match (&self.to, &self.from) {
            (Target::There(slot) | Target::Made(slot), _) => slot,
            (Target::Used, from) => from.as_ref().expect("what is used is somewhere"),
        }
    }

    /// The version that is used, as it was installed.
    pub(super) fn used(&self) -> Option<&Installed> {
        self.before.as_ref()?.of(self.from.as_ref()?)
    }

    /// The version that is used, to take files from.
    pub(super) fn old(&self) -> Option<Old> {
        let used = self.used()?;
        let old = Old::read(self.layout.version(&used.slot), used.manifest);
        if let Some(Manifest { state, health, .. }) = &old.manifest {
            let _ = self.own.set(Own { data: state.clone(), health: health.clone() });
        }
        Some(old)
    }

    /// Where the version that is used has the app's own data, unless its manifest is damaged.
    pub(super) fn data(&self) -> Option<&[artifact::State]> {
        Some(&self.own()?.data)
    }

    /// How the service of the version that is used is asked, if that is known.
    pub(super) fn health(&self) -> Option<Health> {
        self.own()?.health.clone()
    }

    fn own(&self) -> Option<&Own> {
        if self.own.get().is_none() {
            // It sees to that.
            let _ = self.old();
        }
        self.own.get()
    }

    /// What is fetched for it.
    pub(super) fn downloads(&self) -> Vec<String> {
        let patches = self.bundle.patches.iter().map(|file| file.name.clone());
        let app = &self.releases.channel.app;
        let version = format!("{app}-{}-", self.release.version);
        let programs = format!("{app}-installer-{}-", self.release.version);
        patches.chain([self.bundle.archive.name.clone(), version, programs]).collect()
    }

    /// What starts again what runs; empty where nothing says it.
    pub(super) fn restart(&self) -> &[String] {
        let before = self.before.as_ref().map(|before| &before.restart);
        self.restart.as_ref().or(before).map_or(&[], Vec::as_slice)
    }

    /// What it needs, is not there, and was overruled.
    pub(super) fn forced(&self) -> &[String] {
        &self.forced
    }

    /// The manifest, for whoever only wants to know what is in it.
    pub(super) fn read_manifest(&self) -> Result<Manifest, CommandError> {
        let file = &self.bundle.manifest;
        let text = self.releases.depot.read(&file.name, file.size, &())?;
        let (found, expected) = (Digest::of(&text), file.sha256);
        let reason = match Manifest::from_json(&text) {
            Ok(manifest) if found == expected => return Ok(manifest),
            Err(error) if found == expected => error.to_string(),
            _ => format!("its SHA-256 is {found}, and {expected} was expected"),
        };
        Err(PrefixError::Damaged { path: file.name.clone().into(), reason }.into())
    }

    /// How the version is made.
    pub(super) fn recipe<'a>(
        &'a self,
        old: Option<&'a Old>,
        downloads: &'a Utf8Path,
    ) -> Recipe<'a> {
        let (depot, version) = (&self.releases.depot, self.release.version.as_str());
        Recipe { depot, version, bundle: &self.bundle, old, downloads }
    }

    /// Looks whether the version may be made: its manifest is of what the channel said, and there is room for its programs.
    pub(super) fn check(&self, manifest: &Manifest) -> Result<(), CommandError> {
        let version = &self.release.version;
        let (app, target) = (&self.releases.channel.app, &self.bundle.target);
        let expected = format!("{app} {version} for {target}");
        let found =
            format!("{} {} for {}", manifest.app.name, manifest.app.version, manifest.target);
        if found != expected {
            return Err(CommandError::OtherManifest { expected, found });
        }
        self.check_links(manifest).map(drop)
    }

    /// Looks whether there is room for the version's programs, and says which names somebody else's files have.
    pub(super) fn check_links(&self, manifest: &Manifest) -> Result<Vec<String>, CommandError> {
        let foreign = match self.overruled {
            Overruled::Everything => Foreign::MoveAside,
            Overruled::Nothing | Overruled::Installed => Foreign::Refuse,
        };
        let (app, programs) = (&self.releases.channel.app, programs(manifest));
        Ok(links::check(&self.layout, &self.bin_dir, app, &programs, foreign)?)
    }

    /// What is installed when it is done.
    pub(super) fn after(&self, run: &Run<'_>, manifest: &Manifest) -> Result<State, CommandError> {
        let replaced = self.check_links(manifest)?;
        let channel = &self.releases.channel;
        let installed = Installed {
            slot: self.slot().clone(),
            version: self.release.version.clone(),
            target: self.bundle.target.clone(),
            manifest: self.bundle.manifest.sha256,
            forced: self.forced.clone(),
            superseded: false,
        };
        let mut state = self.before.clone().unwrap_or_else(|| State {
            version: STATE_VERSION,
            app: channel.app.clone(),
            base: String::new(),
            channel: String::new(),
            target: None,
            sequence: 0,
            keep: self.keep,
            bin_dir: Utf8PathBuf::new(),
            created: Vec::new(),
            programs: Vec::new(),
            search_path: None,
            restart: Vec::new(),
            replaced: Vec::new(),
            previous: None,
            installed: Vec::new(),
            refused: Vec::new(),
            installer: None,
        });
        state.base = self.releases.depot.place().with_secrets();
        state.channel.clone_from(&channel.channel);
        state.target.clone_from(&self.target);
        state.sequence = match self.overruled {
            // What was seen stays seen: a mirror that is behind does for bytes that are known.
            Overruled::Installed => channel.sequence.max(state.sequence),
            Overruled::Nothing | Overruled::Everything => channel.sequence,
        };
        state.keep = self.keep;
        state.bin_dir.clone_from(&self.bin_dir);
        state.created = created(state.created, &self.bin_dir);
        state.programs = programs(manifest);
        state.replaced.retain(|name| !replaced.contains(name));
        state.replaced.extend(replaced);
        let (search_path, by_hand) = self.search_path(run);
        if let Some(reason) = by_hand {
            let folder = &self.bin_dir;
            run.reporter.warn(format_args!("`{folder}` is not on PATH, and stays so: {reason}"));
        }
        state.search_path = search_path;
        state.restart = self.restart().to_owned();
        if self.purpose == Purpose::Repair {
            let same = |one: &&mut Installed| one.manifest == self.bundle.manifest.sha256;
            state.installed.iter_mut().filter(same).for_each(|one| one.superseded = true);
        }
        Ok(state.using(installed, self.from.as_ref()))
    }
}

impl Decision {
    /// What is changed so that shells find the programs, before now or now; and why that is left to the user, if it is.
    fn search_path(&self, run: &Run<'_>) -> (Option<search_path::Record>, Option<String>) {
        let before = self.before.as_ref().and_then(|before| before.search_path.as_ref());
        match (self.search_path, before) {
            (SearchPath::Leave, _) => return (None, None),
            (SearchPath::Keep, before) => return (before.cloned(), None),
            (SearchPath::Edit, Some(before)) if before.folder == self.bin_dir => {
                return (Some(before.clone()), None);
            }
            (SearchPath::Edit, _) => {}
        }
        let programs = search_path::Programs {
            app: &self.releases.channel.app,
            folder: &self.bin_dir,
            for_everyone: run.scope_of(&self.layout) == Scope::System,
        };
        let plan = search_path::plan(run.context, programs, before);
        let by_hand = match &plan {
            search_path::Plan::ByHand(reason) => Some(reason.clone()),
            _ => None,
        };
        (plan.record().cloned(), by_hand)
    }
}

/// The folders that are made for that of programs, before now or now, the innermost first.
pub(super) fn created(before: Vec<Utf8PathBuf>, bin_dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut created = prefix::missing_folders(bin_dir);
    // What was made for another folder of programs goes with that.
    let stays = |folder: &Utf8PathBuf| bin_dir.starts_with(folder) && !created.contains(folder);
    let stay: Vec<Utf8PathBuf> = before.into_iter().filter(stays).collect();
    created.extend(stay);
    created
}

/// The names of a version's programs, sorted.
pub(super) fn programs(manifest: &Manifest) -> Vec<String> {
    let mut programs: Vec<String> =
        manifest.entrypoints.iter().map(|program| program.name.to_string()).collect();
    programs.sort();
    programs
}
