//! `install` and `update`: another version takes the place of the one that is used.

use std::process::ExitCode;
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::archive::Made;
use gangway_artifact::{Digest, MANIFEST_FILE, Manifest};
use serde::Serialize;

use super::decision::{Decision, Places, SearchPath, Target};
use super::making::Filled;
use super::releases::Releases;
use super::world::World;
use super::{CommandError, Run};
use crate::checkpoint::{self, Step};
use crate::cli::{Choice, Install, Origin};
use crate::health::{self, Before};
use crate::prefix::journal::{Activation, Direction, Purpose};
use crate::prefix::state::State;
use crate::prefix::transaction::{self, Steps};
use crate::prefix::{self, Layout, Locked, PrefixError, uninstall};

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    app: String,
    version: String,
    target: String,
    prefix: Utf8PathBuf,
    /// What was used before.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Whether another version is used, or would be.
    pub(super) changed: bool,
    dry_run: bool,
    /// What would be fetched to install it from nothing.
    archive_bytes: u64,
    /// What went over the wire, for all of it.
    fetched: Fetched,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Files>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    forced: Vec<String>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Fetched {
    requests: u64,
    bytes: u64,
}

/// Where the version's files are from.
#[derive(Debug, Serialize)]
struct Files {
    all: usize,
    linked: u64,
    cloned: u64,
    copied: u64,
    patched: u64,
}

/// Installs the app.
pub(super) fn install(run: &Run<'_>, options: &Install) -> Result<ExitCode, CommandError> {
    // What is installed says where releases come from, if the command line does not.
    let named = run.global.prefix.as_deref().map(|prefix| Layout::new(run.absolute(prefix)));
    let known = match named.or_else(|| run.own()) {
        Some(layout) => State::read(&layout)?,
        None => None,
    };
    let origin = &options.origin;
    let releases =
        run.releases(origin.from.as_deref(), origin.channel.as_deref(), known.as_ref())?;
    let layout = run.prefix_for(&releases.channel.app)?;
    run.expect_word(&layout)?;
    let bin_dir = options.bin_dir.as_deref().map(|path| run.absolute(path));
    let search_path = if options.no_modify_path { SearchPath::Leave } else { SearchPath::Edit };
    advance(run, &layout, origin, Places { bin_dir, search_path }, Some((releases, known)))
}

/// Installs the newest version over the one that is used.
pub(super) fn update(run: &Run<'_>, origin: &Origin) -> Result<ExitCode, CommandError> {
    let layout = run.found()?;
    run.expect_word(&layout)?;
    let places = Places { bin_dir: None, search_path: SearchPath::Keep };
    advance(run, &layout, origin, places, None)
}

fn advance(
    run: &Run<'_>,
    layout: &Layout,
    origin: &Origin,
    places: Places,
    read: Option<(Releases, Option<State>)>,
) -> Result<ExitCode, CommandError> {
    // Only `install` has to read what there is to know where it goes.
    let command = if read.is_some() { "install" } else { "update" };
    let locked = if run.global.dry_run { None } else { Some(run.lock(layout, command)?.0) };
    let started = Instant::now();
    let done = run.decide(layout, origin, places, read).and_then(|decision| match &locked {
        Some(locked) if decision.is_change(run) => carry_out(run, locked, &decision, started),
        Some(_) => Ok(decision.report(run, None, started)),
        None => rehearse(run, &decision, started),
    });
    // Of an app that could not be installed nothing stays but what was fetched.
    if done.is_err() && locked.is_some() {
        let _ = uninstall::leave_nothing(layout);
    }
    let report = done?;
    run.reporter.result(&report, &report.text(run));
    Ok(ExitCode::SUCCESS)
}

/// Looks whether anything would be in the way.
fn rehearse(run: &Run<'_>, decision: &Decision, started: Instant) -> Result<Report, CommandError> {
    is_data_kept(run, decision)?;
    if let Target::Made(_) = decision.to {
        let manifest = decision.read_manifest()?;
        decision.check(&manifest)?;
    }
    Ok(decision.report(run, None, started))
}

/// Does what was decided.
pub(super) fn carry_out(
    run: &Run<'_>,
    locked: &Locked,
    decision: &Decision,
    started: Instant,
) -> Result<Report, CommandError> {
    let Ready { made, activation, world, is_copied } = match prepare(run, locked, decision) {
        Ok(ready) => ready,
        Err(error) => {
            give_up(run, locked, decision);
            return Err(error);
        }
    };
    let after = activation.after.clone();
    let done = run.activate(locked, activation, &world);
    let is_back = matches!(
        &done,
        Err(CommandError::Prefix(PrefixError::Unwell { .. } | PrefixError::Stopped { .. }))
    );
    if let Some(used) = decision.used().filter(|_| is_back && is_copied) {
        run.tell_of_copy(&used.version, &decision.release.version);
    }
    done?;
    run.prune_data(&decision.layout, &after);
    Ok(decision.report(run, made.as_ref(), started))
}

/// A version that can be switched to.
struct Ready<'a> {
    made: Option<Made>,
    activation: Activation,
    world: World<'a>,
    /// Whether there is a copy of the app's data.
    is_copied: bool,
}

/// Makes everything ready. Up to its end nobody notices anything of it but that what runs may be stopped.
fn prepare<'a>(
    run: &'a Run<'a>,
    locked: &Locked,
    decision: &'a Decision,
) -> Result<Ready<'a>, CommandError> {
    let layout = &decision.layout;
    // Whoever has to be asked, or refused, need not wait until all of it was fetched.
    let is_copied = is_data_kept(run, decision)?;
    let mut made = None;
    let mut installer = None;
    let manifest = match &decision.to {
        Target::Made(_) => {
            let (of, manifest) = make(run, locked, decision, &mut installer)?;
            made = Some(of);
            manifest
        }
        Target::There(slot) => read_manifest(&layout.version(slot))?,
        Target::Used => read_manifest(&layout.version(decision.slot()))?,
    };
    let mut activation = Activation {
        purpose: decision.purpose,
        to: decision.slot().clone(),
        is_new: matches!(decision.to, Target::Made(_)),
        from: decision.from.clone(),
        direction: Direction::Forward,
        service: Before::Silent,
        before: decision.before.clone(),
        after: decision.after(run, &manifest)?,
        remove: Vec::new(),
    };
    let known = activation.after.installer;
    let there = || prefix::program_digest(layout, &activation.after.app);
    activation.after.installer = installer.or(known).or_else(there);
    transaction::prune(locked, &mut activation);
    let mut world = run.world(layout);
    match decision.used() {
        Some(used) if decision.to != Target::Used => {
            // Before anything is stopped.
            let health = decision.health().or_else(|| manifest.health.clone());
            activation.service = health::before(health.as_ref());
            if is_copied {
                let data = decision.data().unwrap_or_default();
                run.keep_data(layout, data, &used.version, &activation.after.restart)?;
            }
        }
        Some(_) => world = world.quiet(),
        None => {}
    }
    run.proceed()?;
    if made.is_some() {
        // From here on nothing of it is of any use.
        prefix::keep_downloads(layout, &[])?;
        checkpoint::reached(Step::Discarded);
    }
    Ok(Ready { made, activation, world, is_copied })
}

/// Whether the data of the version that is used is copied before another one is.
fn is_data_kept(run: &Run<'_>, decision: &Decision) -> Result<bool, CommandError> {
    let is_switch = decision.used().is_some() && decision.to != Target::Used;
    if !is_switch || decision.purpose != Purpose::Advance {
        return Ok(false);
    }
    if let Some(data) = decision.data() {
        return run.is_data_kept(&decision.layout, data, decision.snapshot);
    }
    let used = decision.used().expect("one is switched from");
    let folder = decision.layout.version(&used.slot);
    let damage = read_manifest(&folder).err().unwrap_or_else(|| PrefixError::Damaged {
        path: folder.join(MANIFEST_FILE),
        reason: "it is not the one that was installed".to_owned(),
    });
    match decision.snapshot {
        Choice::No => Ok(false),
        Choice::Yes => Err(damage.into()),
        Choice::Ask => {
            run.reporter.warn(format_args!(
                "no copy of the app's data is made, as nobody can tell where it is: {damage}"
            ));
            Ok(false)
        }
    }
}

/// Takes back what [`prepare`] has done: what was stopped is started again, and of the version nothing stays but what was fetched. What cannot be
/// removed now the next command removes: why it is given up is what counts.
fn give_up(run: &Run<'_>, locked: &Locked, decision: &Decision) {
    run.start_again(locked.layout(), decision.restart());
    if let Target::Made(slot) = &decision.to {
        let _ = transaction::discard(locked, &decision.releases.channel.app, slot);
    }
}

/// Makes the version's folder, and tries what is in it. `installer` is told which one comes with it.
fn make(
    run: &Run<'_>,
    locked: &Locked,
    decision: &Decision,
    installer: &mut Option<Digest>,
) -> Result<(Made, Manifest), CommandError> {
    let layout = &decision.layout;
    let (app, slot) = (&decision.releases.channel.app, decision.slot());
    let downloads = layout.downloads();
    let fill = |folder: &Utf8Path| {
        prefix::keep_downloads(layout, &decision.downloads())?;
        *installer = run.prepare_program(locked, decision)?;
        let old = decision.old();
        let recipe = decision.recipe(old.as_ref(), &downloads);
        recipe.make(run, folder, &|manifest| decision.check(manifest))
    };
    let name = |filled: Filled| {
        let Filled { prepared, manifest } = filled;
        let version = decision.release.version.clone();
        let made = prepared.finish().map_err(|source| CommandError::Archive { version, source })?;
        Ok((made, manifest))
    };
    let steps = Steps { fill, try_out: |filled: &Filled| run.try_out(decision, filled), name };
    transaction::make(locked, app, slot, steps)
}

impl Decision {
    fn report(&self, run: &Run<'_>, made: Option<&Made>, started: Instant) -> Report {
        let traffic = self.releases.depot.traffic();
        Report {
            app: self.releases.channel.app.clone(),
            version: self.release.version.clone(),
            target: self.bundle.target.to_string(),
            prefix: self.layout.prefix().to_owned(),
            from: self.used().map(|used| used.version.clone()),
            changed: self.to != Target::Used,
            dry_run: run.global.dry_run,
            archive_bytes: self.bundle.archive.size,
            fetched: Fetched { requests: traffic.requests, bytes: traffic.bytes },
            files: made.map(|made| Files {
                all: made.files,
                linked: made.linked,
                cloned: made.cloned,
                copied: made.copied,
                patched: made.patched,
            }),
            forced: self.forced().to_vec(),
            seconds: started.elapsed().as_secs_f64(),
        }
    }
}

impl Report {
    fn text(&self, run: &Run<'_>) -> String {
        let Self { app, version, prefix, .. } = self;
        match (run.global.dry_run, self.changed) {
            (_, false) => format!("{app} {version} is the newest, and is installed"),
            (true, true) => format!("{app} {version} would be installed in `{prefix}`"),
            (false, true) => {
                let Fetched { requests, bytes } = self.fetched;
                let size = indicatif::HumanBytes(bytes);
                let fetched = match requests {
                    0 => String::new(),
                    _ => format!(" ({size} fetched, {:.1} s)", self.seconds),
                };
                format!("{app} {version} is installed in `{prefix}`{fetched}")
            }
        }
    }
}

/// The manifest of a version that is installed.
pub(super) fn read_manifest(folder: &Utf8Path) -> Result<Manifest, PrefixError> {
    let path = folder.join(MANIFEST_FILE);
    let text = std::fs::read(&path).map_err(PrefixError::io("read", &path))?;
    Manifest::from_json(&text)
        .map_err(|error| PrefixError::Damaged { path, reason: error.to_string() })
}
