//! `verify` and `repair`: what is installed is compared with what was published, and made anew where it differs.

use std::process::ExitCode;
use std::time::Instant;

use camino::Utf8PathBuf;
use gangway_artifact::archive::{self, Difference, What};
use serde::Serialize;

use super::advance::carry_out;
use super::decision::{Decision, Places, SearchPath, Target, free_slot};
use super::error::CheckError;
use super::making::Old;
use super::{CommandError, Run, Status};
use crate::cli::{Origin, Repair, Verify};
use crate::prefix::journal::Purpose;
use crate::prefix::state::{Installed, State};
use crate::prefix::{Layout, current, links};

/// What there is to say of a version.
#[derive(Debug, Serialize)]
struct Checked {
    version: String,
    folder: Utf8PathBuf,
    used: bool,
    files: usize,
    differences: Vec<Difference>,
}

#[derive(Debug, Serialize)]
struct Report {
    app: String,
    passes: bool,
    versions: Vec<Checked>,
    /// Programs that are not there, or lead elsewhere.
    programs: Vec<Utf8PathBuf>,
}

/// What came of a repair.
#[derive(Debug, Serialize)]
struct Repaired {
    app: String,
    version: String,
    /// What was damaged.
    differences: Vec<Difference>,
    programs: Vec<Utf8PathBuf>,
    repaired: bool,
    dry_run: bool,
}

/// Compares what is installed with what was published. Nothing is changed.
pub(super) fn verify(run: &Run<'_>, options: &Verify) -> Result<ExitCode, CommandError> {
    let layout = run.found()?;
    let state = run.installed(&layout)?;
    let used = current::read(&layout)?;
    let is_asked = |one: &&Installed| options.all || used.as_ref() == Some(&one.slot);
    let mut versions = Vec::new();
    for one in state.installed.iter().rev().filter(|one| !one.superseded).filter(is_asked) {
        versions.push(check(run, &layout, one, used.as_ref() == Some(&one.slot))?);
    }
    let programs = links::wrong(&layout, &state);
    let passes = programs.is_empty() && versions.iter().all(|one| one.differences.is_empty());
    let report = Report { app: state.app, passes, versions, programs };
    run.reporter.result(&report, &report.text());
    Ok(if passes { ExitCode::SUCCESS } else { ExitCode::from(Status::Damaged as u8) })
}

/// Makes the version that is used anew if anything of it is damaged. Until it is whole the damaged one is used.
pub(super) fn repair(run: &Run<'_>, options: &Repair) -> Result<ExitCode, CommandError> {
    let started = Instant::now();
    let layout = run.found()?;
    let locked = if run.global.dry_run { None } else { Some(run.lock(&layout, "repair")?.0) };
    let state = run.installed(&layout)?;
    let used = current::read(&layout)?.and_then(|slot| state.of(&slot).cloned());
    let used = used.ok_or(CommandError::NotFound)?;
    let checked = check(run, &layout, &used, true)?;
    let programs = links::wrong(&layout, &state);
    let is_damaged = !checked.differences.is_empty();
    let mut report = Repaired {
        app: state.app.clone(),
        version: used.version.clone(),
        differences: checked.differences,
        programs,
        repaired: false,
        dry_run: run.global.dry_run,
    };
    if let Some(locked) = &locked
        && (is_damaged || !report.programs.is_empty())
    {
        let decision = decide(run, &layout, &state, &used, (options, is_damaged))?;
        carry_out(run, locked, &decision, started)?;
        report.repaired = true;
    }
    run.reporter.result(&report, &report.text());
    Ok(ExitCode::SUCCESS)
}

/// The same version again: made anew if it is damaged, else only what leads to it.
fn decide(
    run: &Run<'_>,
    layout: &Layout,
    state: &State,
    used: &Installed,
    (options, is_damaged): (&Repair, bool),
) -> Result<Decision, CommandError> {
    let origin = Origin {
        from: options.from.clone(),
        version: Some(used.version.clone()),
        target: Some(used.target.to_string()),
        // It was installed once: that it was forced then is no reason not to mend it.
        force: true,
        ..Origin::default()
    };
    let places = Places { bin_dir: Some(state.bin_dir.clone()), search_path: SearchPath::Keep };
    let mut decision = run.decide(layout, &origin, places)?;
    if decision.bundle.manifest.sha256 != used.manifest {
        return Err(CommandError::OtherBuild { version: used.version.clone() });
    }
    decision.forget_target(state.target.clone());
    decision.purpose = Purpose::Repair;
    decision.to = match is_damaged {
        true => Target::Made(free_slot(layout, &used.version)?),
        false => Target::Used,
    };
    Ok(decision)
}

fn check(
    run: &Run<'_>,
    layout: &Layout,
    one: &Installed,
    used: bool,
) -> Result<Checked, CommandError> {
    let folder = layout.version(&one.slot);
    let (version, digest) = (one.version.clone(), one.manifest);
    run.reporter.say(format_args!("looking at every file of {version}"));
    let old = Old::read(folder.clone(), digest);
    let Some(manifest) = old.manifest else {
        let what = if folder.exists() { What::Changed } else { What::Missing };
        let differences =
            vec![Difference { path: gangway_artifact::MANIFEST_FILE.to_owned(), what }];
        return Ok(Checked { version, folder, used, files: 0, differences });
    };
    let differences = archive::check(folder.as_std_path(), &manifest, digest, run.context.jobs)
        .map_err(CheckError)?;
    Ok(Checked { version, folder, used, files: manifest.files.len() + 1, differences })
}

fn lines(differences: &[Difference], programs: &[Utf8PathBuf]) -> Vec<String> {
    let differences = differences.iter().map(|difference| format!("  {difference}"));
    let programs = programs.iter().map(|path| format!("  `{path}` does not lead to it"));
    differences.chain(programs).collect()
}

impl Report {
    fn text(&self) -> String {
        let mut text = Vec::new();
        for one in &self.versions {
            let count = one.differences.len();
            text.push(match count {
                0 => format!(
                    "{} {}: {} files are as they were published",
                    self.app, one.version, one.files
                ),
                1 => format!("{} {}: one thing is damaged", self.app, one.version),
                _ => format!("{} {}: {count} things are damaged", self.app, one.version),
            });
            text.extend(lines(&one.differences, &[]));
        }
        text.extend(lines(&[], &self.programs));
        if !self.passes {
            text.push("`repair` makes it anew".to_owned());
        }
        text.join("\n")
    }
}

impl Repaired {
    fn text(&self) -> String {
        let Self { app, version, repaired, .. } = self;
        let lines = lines(&self.differences, &self.programs);
        match (lines.is_empty(), repaired) {
            (true, _) => format!("nothing of {app} {version} is damaged"),
            (false, true) => format!("{app} {version} is repaired:\n{}", lines.join("\n")),
            (false, false) => format!("{app} {version} would be repaired:\n{}", lines.join("\n")),
        }
    }
}
