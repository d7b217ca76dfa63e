//! `repair`: what is damaged is made anew, of what is whole and of what has to be fetched.

use std::process::ExitCode;
use std::time::Instant;

use camino::Utf8PathBuf;
use gangway_artifact::Digest;
use gangway_artifact::archive::Difference;
use serde::Serialize;

use super::advance::{carry_out, read_manifest};
use super::decision::{Decision, Places, SearchPath, Target, created, free_slot, programs};
use super::verify::{check, installer_line, lines};
use super::{CommandError, Run};
use crate::cli::{Origin, Repair};
use crate::prefix::journal::{Activation, Purpose};
use crate::prefix::links::{self, Foreign};
use crate::prefix::state::{Installed, State};
use crate::prefix::{Layout, Locked, current, transaction};

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    app: String,
    version: String,
    /// Files of ours that were damaged or missing.
    records: Vec<Utf8PathBuf>,
    /// What of the version was damaged.
    differences: Vec<Difference>,
    programs: Vec<Utf8PathBuf>,
    /// The installer, if it was not what was put there.
    #[serde(skip_serializing_if = "Option::is_none")]
    installer: Option<Utf8PathBuf>,
    repaired: bool,
    dry_run: bool,
}

/// Makes anew what is damaged: what says what is installed, the version that is used, and what leads to it. Until that version is whole the damaged one
/// is used.
pub(super) fn repair(run: &Run<'_>, options: &Repair) -> Result<ExitCode, CommandError> {
    let started = Instant::now();
    let layout = run.found()?;
    let locked = if run.global.dry_run { None } else { Some(run.take(&layout, "repair")?) };
    let mut mended = run.mend(&layout, locked.as_ref(), options)?;
    mended.records.extend(run.mend_restore(&layout, locked.as_ref())?);
    if let Some(locked) = &locked {
        run.recover(locked)?;
        run.proceed()?;
    }
    let state = match mended.state {
        Some(state) if locked.is_none() => state,
        _ => run.installed(&layout)?,
    };
    let used = match current::read(&layout)? {
        Some(slot) => state.of(&slot),
        // Whoever removed it, the last one is the one that was used.
        None => state.installed.last(),
    };
    let used = used.ok_or(CommandError::NotFound)?.clone();
    let checked = check(run, &layout, &used, true)?;
    let is_damaged = !checked.differences.is_empty();
    let mut report = Report {
        app: state.app.clone(),
        version: used.version.clone(),
        records: mended.records,
        differences: checked.differences,
        programs: links::wrong(&layout, &state),
        installer: (!Run::is_program_right(&layout, &state)).then(|| layout.program(&state.app)),
        repaired: false,
        dry_run: run.global.dry_run,
    };
    if let Some(locked) = &locked {
        let mut state = state;
        let is_led = report.programs.is_empty() || is_damaged;
        if is_damaged {
            let decision = decide(run, &layout, &state, &used, options)?;
            carry_out(run, locked, &decision, started)?;
            state = run.installed(&layout)?;
        }
        let is_right = Run::is_program_right(&layout, &state);
        let installer = match is_right {
            true => state.installer,
            false => run.mend_program(locked, &state, options)?,
        };
        lead(run, locked, state, (installer, is_right && is_led))?;
        report.repaired = !report.lines().is_empty();
    }
    run.reporter.result(&report, &report.text());
    Ok(ExitCode::SUCCESS)
}

/// The same version again, made anew.
fn decide(
    run: &Run<'_>,
    layout: &Layout,
    state: &State,
    used: &Installed,
    options: &Repair,
) -> Result<Decision, CommandError> {
    let origin = Origin {
        from: options.from.clone(),
        version: Some(used.version.clone()),
        target: Some(used.target.to_string()),
        ..Origin::default()
    };
    let places = Places { bin_dir: Some(state.bin_dir.clone()), search_path: SearchPath::Keep };
    let mut decision = run.decide_again(layout, &origin, places)?;
    if decision.bundle.manifest.sha256 != used.manifest {
        return Err(CommandError::OtherBuild { version: used.version.clone() });
    }
    decision.forget_target(state.target.clone());
    decision.to = Target::Made(free_slot(layout, &used.version)?);
    if decision.is_behind() {
        let channel = &decision.releases.channel.channel;
        run.reporter.say(format_args!(
            "the channel `{channel}` is behind there; only the bytes of {} are taken",
            used.version
        ));
    }
    Ok(decision)
}

/// Sees that what leads to the version is what it has, and that the installer is where it should be. Nothing is fetched for that.
fn lead(
    run: &Run<'_>,
    locked: &Locked,
    before: State,
    (installer, is_led): (Option<Digest>, bool),
) -> Result<(), CommandError> {
    let layout = locked.layout();
    let from = current::read(layout)?;
    // Whoever removed what says which one is used, the last one is the one that was.
    let used = from.as_ref().and_then(|slot| before.of(slot)).or(before.installed.last());
    let used = used.ok_or(CommandError::NotFound)?.clone();
    let mut after = before.clone();
    after.installer = installer.or(after.installer);
    after.programs = programs(&read_manifest(&layout.version(&used.slot))?);
    if is_led && after.programs == before.programs && from.is_some() {
        return Ok(());
    }
    // What the user has put there since is theirs.
    links::check(layout, &after.bin_dir, &after.app, &after.programs, Foreign::Refuse)?;
    after.created = created(after.created, &after.bin_dir);
    let to = used.slot.clone();
    let activation = Activation::to_version(Purpose::Repair, to, from, (before, after));
    let world = run.world(layout).quiet();
    Ok(run.without_giving_up(|| transaction::activate(locked, activation, &world))?)
}

impl Report {
    fn lines(&self) -> Vec<String> {
        let records = self.records.iter().map(|path| format!("  `{path}` said nothing any more"));
        let installer = self.installer.as_deref().map(installer_line);
        records.chain(lines(&self.differences, &self.programs)).chain(installer).collect()
    }

    fn text(&self) -> String {
        let Self { app, version, repaired, .. } = self;
        let lines = self.lines();
        match (lines.is_empty(), repaired) {
            (true, _) => format!("nothing of {app} {version} is damaged"),
            (false, true) => format!("{app} {version} is repaired:\n{}", lines.join("\n")),
            (false, false) => format!("{app} {version} would be repaired:\n{}", lines.join("\n")),
        }
    }
}
