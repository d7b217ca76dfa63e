//! `install` and `update`: another version takes the place of the one that is used.

use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::archive::{self, Durability, Options, USUAL_MEMORY, Unpacked};
use gangway_artifact::trust::{Bundle, Release};
use gangway_artifact::{MANIFEST_FILE, Manifest};
use serde::Serialize;

use super::releases::Releases;
use super::{CommandError, Run};
use crate::cli::{Install, Origin};
use crate::prefix::journal::{Activation, Direction, Purpose};
use crate::prefix::links::{self, Foreign};
use crate::prefix::state::{Installed, STATE_VERSION, State, USUAL_KEEP};
use crate::prefix::{self, Layout, Locked, PrefixError, Slot, current, transaction, uninstall};

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    app: String,
    version: String,
    target: String,
    prefix: Utf8PathBuf,
    /// What was used before.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Whether anything was, or would be, changed.
    changed: bool,
    dry_run: bool,
    /// What would be fetched to install it from nothing.
    archive_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<usize>,
}

/// Installs the app.
pub(super) fn install(run: &Run<'_>, options: &Install) -> Result<ExitCode, CommandError> {
    // What is installed says where releases come from, if the command line does not.
    let named = run.global.prefix.as_deref().map(|prefix| Layout::new(run.absolute(prefix)));
    let known = match named.or_else(|| Layout::around(&run.context.executable)) {
        Some(layout) => State::read(&layout)?,
        None => None,
    };
    let base = run.base(options.origin.from.as_deref(), known.as_ref())?;
    let releases = run.releases(&base, options.origin.channel.as_deref(), known.as_ref())?;
    let layout = run.prefix_for(&releases.channel.app)?;
    let bin_dir = options.bin_dir.as_deref().map(|path| run.absolute(path));
    advance(run, &layout, &options.origin, bin_dir, "install")
}

/// Installs the newest version over the one that is used.
pub(super) fn update(run: &Run<'_>, origin: &Origin) -> Result<ExitCode, CommandError> {
    let layout = run.found()?;
    advance(run, &layout, origin, None, "update")
}

fn advance(
    run: &Run<'_>,
    layout: &Layout,
    origin: &Origin,
    bin_dir: Option<Utf8PathBuf>,
    command: &str,
) -> Result<ExitCode, CommandError> {
    let locked = if run.global.dry_run { None } else { Some(run.lock(layout, command)?.0) };
    let done = decide(run, layout, origin, bin_dir).and_then(|decision| {
        let Some(locked) = locked.as_ref().filter(|_| decision.is_change()) else {
            return Ok(decision.report(None));
        };
        carry_out(run, locked, &decision)
    });
    // Of an app that could not be installed nothing stays.
    if done.is_err() && locked.is_some() {
        let _ = uninstall::leave_nothing(layout);
    }
    let report = done?;
    run.reporter.result(&report, &report.text());
    Ok(ExitCode::SUCCESS)
}

/// What is to be done, with everything that it takes.
#[derive(Debug)]
struct Decision {
    layout: Layout,
    releases: Releases,
    release: Release,
    bundle: Bundle,
    before: Option<State>,
    from: Option<Slot>,
    to: Target,
    bin_dir: Utf8PathBuf,
    keep: std::num::NonZeroU32,
    programs: Vec<String>,
    /// Those whose names somebody else's files have.
    replaced: Vec<String>,
    base: String,
    dry_run: bool,
}

/// How the version comes to be used.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// It is.
    Used,
    /// It is installed already, in this folder.
    There(Slot),
    /// It is made, in this folder.
    Made(Slot),
}

fn decide(
    run: &Run<'_>,
    layout: &Layout,
    origin: &Origin,
    bin_dir: Option<Utf8PathBuf>,
) -> Result<Decision, CommandError> {
    let before = State::read(layout)?;
    let base = run.base(origin.from.as_deref(), before.as_ref())?;
    let releases = run.releases(&base, origin.channel.as_deref(), before.as_ref())?;
    check_channel(&releases, before.as_ref(), layout, origin)?;
    let release = releases.release(origin.version.as_deref())?.clone();
    let bundle = releases.bundle(&release)?.clone();
    check_refused(before.as_ref(), &bundle, &release, origin)?;
    let from = current::read(layout)?;
    let same = |one: &&Installed| one.manifest == bundle.manifest.sha256 && !one.superseded;
    let there = before.iter().flat_map(|state| &state.installed).find(same);
    let to = match there {
        Some(there) if Some(&there.slot) == from.as_ref() => Target::Used,
        Some(there) => Target::There(there.slot.clone()),
        None => {
            let present = prefix::present(layout)?;
            let slot = Slot::free(&release.version, |slot| present.contains(slot));
            Target::Made(slot.map_err(PrefixError::Version)?)
        }
    };
    let usual = || layout.usual_bin_dir(run.context, run.scope()).ok_or(CommandError::NoHome);
    let bin_dir = match (bin_dir, &before) {
        (Some(named), _) => named,
        (None, Some(before)) => before.bin_dir.clone(),
        (None, None) => usual()?,
    };
    let keep = origin.keep.or(before.as_ref().map(|state| state.keep)).unwrap_or(USUAL_KEEP);
    let programs = programs(releases.manifest(&bundle)?);
    let foreign = if origin.force { Foreign::MoveAside } else { Foreign::Refuse };
    let replaced = links::check(layout, &bin_dir, &releases.channel.app, &programs, foreign)?;
    let (layout, dry_run) = (layout.clone(), run.global.dry_run);
    Ok(Decision {
        layout,
        releases,
        release,
        bundle,
        before,
        from,
        to,
        bin_dir,
        keep,
        programs,
        replaced,
        base,
        dry_run,
    })
}

/// Looks whether the channel is one that may be followed from what is installed.
fn check_channel(
    releases: &Releases,
    before: Option<&State>,
    layout: &Layout,
    origin: &Origin,
) -> Result<(), CommandError> {
    let Some(before) = before else { return Ok(()) };
    let channel = &releases.channel;
    if channel.app != before.app {
        let (found, expected) = (channel.app.clone(), before.app.clone());
        return Err(CommandError::OtherApp { found, expected, prefix: layout.prefix().to_owned() });
    }
    let is_same = channel.channel == before.channel;
    if is_same && channel.sequence < before.sequence && !origin.force {
        return Err(CommandError::Rewound { found: channel.sequence, seen: before.sequence });
    }
    Ok(())
}

/// A version that was not well is not taken again by itself.
fn check_refused(
    before: Option<&State>,
    bundle: &Bundle,
    release: &Release,
    origin: &Origin,
) -> Result<(), CommandError> {
    let mut refused = before.iter().flat_map(|state| &state.refused);
    match refused.find(|refused| refused.manifest == bundle.manifest.sha256) {
        Some(refused) if !origin.force => Err(CommandError::Refused {
            version: release.version.clone(),
            reason: refused.reason.clone(),
        }),
        _ => Ok(()),
    }
}

fn carry_out(run: &Run<'_>, locked: &Locked, decision: &Decision) -> Result<Report, CommandError> {
    let app = &decision.releases.channel.app;
    let slot = decision.slot();
    let version = &decision.release.version;
    let mut files = None;
    if let Target::Made(slot) = &decision.to {
        let archive = decision.releases.base.join(&decision.bundle.archive.name);
        let unpacked = transaction::make(
            locked,
            app,
            slot,
            |folder| {
                transaction::prepare_program(locked, app, &run.context.executable, None)?;
                fill(run, &archive, folder, decision)
            },
            |_, _| Ok(()),
        )?;
        files = Some(unpacked.files);
    }
    let after = decision.after(slot);
    let mut activation = Activation {
        purpose: Purpose::Advance,
        to: slot.clone(),
        is_new: matches!(decision.to, Target::Made(_)),
        from: decision.from.clone(),
        direction: Direction::Forward,
        before: decision.before.clone(),
        after,
        remove: Vec::new(),
    };
    transaction::prune(locked, &mut activation);
    transaction::activate(locked, activation, &run.world())?;
    run.reporter
        .say(format_args!("{app} {version} is installed in `{}`", decision.layout.prefix()));
    Ok(decision.report(files))
}

fn fill(
    run: &Run<'_>,
    archive: &Utf8Path,
    folder: &Utf8Path,
    decision: &Decision,
) -> Result<Unpacked, CommandError> {
    let options = Options {
        threads: run.context.jobs,
        memory: USUAL_MEMORY,
        durability: Durability::Synced,
        manifest: Some(decision.bundle.manifest.sha256),
    };
    archive::unpack(archive.as_std_path(), folder.as_std_path(), &options).map_err(|source| {
        CommandError::Archive { version: decision.release.version.clone(), source }
    })
}

impl Decision {
    fn is_change(&self) -> bool {
        let same_places = self.before.as_ref().is_some_and(|before| {
            before.bin_dir == self.bin_dir
                && before.keep == self.keep
                && before.base == self.base
                && before.channel == self.releases.channel.channel
                && before.sequence == self.releases.channel.sequence
        });
        self.to != Target::Used || !same_places
    }

    fn slot(&self) -> &Slot {
        match (&self.to, &self.from) {
            (Target::There(slot) | Target::Made(slot), _) => slot,
            (Target::Used, from) => from.as_ref().expect("what is used is somewhere"),
        }
    }

    /// What is installed when it is done.
    fn after(&self, slot: &Slot) -> State {
        let channel = &self.releases.channel;
        let installed = Installed {
            slot: slot.clone(),
            version: self.release.version.clone(),
            target: self.bundle.target.clone(),
            manifest: self.bundle.manifest.sha256,
            forced: Vec::new(),
            superseded: false,
        };
        let before = self.before.clone();
        let mut state = before.unwrap_or_else(|| State {
            version: STATE_VERSION,
            app: channel.app.clone(),
            base: String::new(),
            channel: String::new(),
            sequence: 0,
            keep: self.keep,
            bin_dir: Utf8PathBuf::new(),
            programs: Vec::new(),
            replaced: Vec::new(),
            previous: None,
            installed: Vec::new(),
            refused: Vec::new(),
        });
        state.base.clone_from(&self.base);
        state.channel.clone_from(&channel.channel);
        state.sequence = channel.sequence;
        state.keep = self.keep;
        state.bin_dir.clone_from(&self.bin_dir);
        state.programs.clone_from(&self.programs);
        state.replaced.retain(|name| !self.replaced.contains(name));
        state.replaced.extend(self.replaced.iter().cloned());
        state.using(installed, self.from.as_ref())
    }

    fn report(&self, files: Option<usize>) -> Report {
        let before = self.before.as_ref().zip(self.from.as_ref());
        let from = before.and_then(|(state, slot)| state.of(slot)).map(|one| one.version.clone());
        Report {
            app: self.releases.channel.app.clone(),
            version: self.release.version.clone(),
            target: self.bundle.target.to_string(),
            prefix: self.layout.prefix().to_owned(),
            from,
            changed: self.to != Target::Used,
            dry_run: self.dry_run,
            archive_bytes: self.bundle.archive.size,
            files,
        }
    }
}

impl Report {
    fn text(&self) -> String {
        let Self { app, version, .. } = self;
        match (self.dry_run, self.changed) {
            (_, false) => format!("{app} {version} is the newest, and is installed"),
            (true, true) => format!("{app} {version} would be installed"),
            (false, true) => String::new(),
        }
    }
}

/// The names of a version's programs, sorted.
pub(super) fn programs(manifest: Manifest) -> Vec<String> {
    let mut programs: Vec<String> =
        manifest.entrypoints.into_iter().map(|program| program.name).collect();
    programs.sort();
    programs
}

/// The manifest of a version that is installed.
pub(super) fn read_manifest(folder: &Utf8Path) -> Result<Manifest, PrefixError> {
    let path = folder.join(MANIFEST_FILE);
    let text = std::fs::read(&path).map_err(PrefixError::io("read", &path))?;
    Manifest::from_json(&text)
        .map_err(|error| PrefixError::Damaged { path, reason: error.to_string() })
}
