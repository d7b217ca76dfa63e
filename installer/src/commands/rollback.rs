//! `rollback`: an earlier version is used again.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::advance::read_manifest;
use super::decision::programs;
use super::{CommandError, Run};
use crate::cli::Rollback;
use crate::health;
use crate::prefix::journal::{Activation, Purpose};
use crate::prefix::links::{self, Foreign};
use crate::prefix::recovery::Recovered;
use crate::prefix::state::{Installed, State};
use crate::prefix::{Layout, Slot, current};
use crate::snapshot::{Restored, Stays};

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    app: String,
    version: String,
    from: Option<String>,
    prefix: Utf8PathBuf,
    /// What became of the app's own data.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<Restored>,
    dry_run: bool,
}

/// Goes back to `version`, or to the one that was used before.
pub(super) fn rollback(run: &Run<'_>, options: &Rollback) -> Result<ExitCode, CommandError> {
    let version = options.version.as_deref();
    let layout = run.found()?;
    let locked = if run.global.dry_run { None } else { Some(run.lock(&layout, "rollback")?) };
    let state = run.installed(&layout)?;
    let from = current::read(&layout)?;
    let used = from.as_ref().and_then(|slot| state.of(slot));
    // Who gives the command again because it was interrupted does not mean to go back once more.
    let is_finished = matches!(
        &locked,
        Some((_, Some(Recovered::Finished(_, Purpose::Rollback)))) if version.is_none()
    );
    let is_there =
        is_finished || (version.is_some() && used.map(|used| used.version.as_str()) == version);
    let to = match used.filter(|_| is_there) {
        Some(used) => used.clone(),
        None => target(&state, from.as_ref(), version)?.clone(),
    };
    let mut report = Report {
        app: state.app.clone(),
        version: to.version.clone(),
        from: from.as_ref().and_then(|slot| state.of(slot)).map(|one| one.version.clone()),
        prefix: layout.prefix().to_owned(),
        restored: None,
        dry_run: run.global.dry_run,
    };
    // Whose program is used already may still want its data.
    if let Some(version) = version.filter(|_| is_there && locked.is_some()) {
        let stays = (version, Stays::Always);
        report.restored = run.restore_data(&layout, &state, stays, options.restore)?;
        if report.restored.is_some() {
            run.restart_with_data(&layout, &state);
        }
    }
    if let Some((locked, _)) = locked.as_ref().filter(|_| !is_there) {
        let folder = from.as_ref().map(|slot| layout.version(slot));
        let health = folder.and_then(|folder| read_manifest(&folder).ok()?.health);
        let version = to.version.clone();
        let mut activation = activation(&layout, state.clone(), to, from)?;
        activation.service = health::before(health.as_ref());
        let stays = (version.as_str(), Stays::With(activation.to.as_str()));
        run.restore_data(&layout, &state, stays, options.restore)?;
        if let Err(interrupted) = run.proceed() {
            let finished = run.finish_data(&layout);
            run.start_again(&layout, &state.restart);
            finished?;
            return Err(interrupted);
        }
        report.restored = run.activate(locked, activation, &run.world(&layout))?;
    }
    let would = if report.dry_run && !is_there { "would be" } else { "is" };
    let text = format!("{} {} {would} used again", report.app, report.version);
    run.reporter.result(&report, &text);
    Ok(ExitCode::SUCCESS)
}

/// The version to go back to.
fn target<'a>(
    state: &'a State,
    used: Option<&Slot>,
    version: Option<&str>,
) -> Result<&'a Installed, CommandError> {
    let can_be = |one: &&Installed| !one.superseded && Some(&one.slot) != used;
    let Some(version) = version else {
        let previous = state.previous.as_ref().and_then(|slot| state.of(slot));
        let last = || state.installed.iter().rev().find(can_be);
        return previous.filter(can_be).or_else(last).ok_or(CommandError::NoPrevious);
    };
    let found = state.installed.iter().rev().find(|one| one.version == version && can_be(one));
    found.ok_or_else(|| CommandError::NotInstalled {
        version: version.to_owned(),
        there: state.installed.iter().filter(can_be).map(|one| one.version.clone()).collect(),
    })
}

fn activation(
    layout: &Layout,
    before: State,
    to: Installed,
    from: Option<Slot>,
) -> Result<Activation, CommandError> {
    let manifest = read_manifest(&layout.version(&to.slot))?;
    let mut after = before.clone().using(to.clone(), from.as_ref());
    after.programs = programs(&manifest);
    links::check(layout, &after.bin_dir, &after.app, &after.programs, Foreign::Refuse)?;
    Ok(Activation::to_version(Purpose::Rollback, to.slot, from, (before, after)))
}
