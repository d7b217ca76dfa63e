//! `uninstall`: everything that was put on the machine goes.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::advance::read_manifest;
use super::{CommandError, Run};
use crate::cli::Uninstall;
use crate::prefix::journal::{Journal, Leaving, Operation};
use crate::prefix::state::State;
use crate::prefix::{Layout, Locked, PrefixError, current, uninstall as removal};
use crate::restart::processes;

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    /// Nothing where nothing said any more what was installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    prefix: Utf8PathBuf,
    /// Folders of the app's own data.
    data_removed: Vec<Utf8PathBuf>,
    data_kept: Vec<Utf8PathBuf>,
    dry_run: bool,
}

/// Removes the app.
pub(super) fn uninstall(run: &Run<'_>, options: &Uninstall) -> Result<ExitCode, CommandError> {
    let layout = run.found()?;
    let (locked, begun) = match run.global.dry_run {
        true => (None, None),
        false => lock(run, &layout).map(|(locked, begun)| (Some(locked), begun))?,
    };
    let Some(state) = run.look(&layout)? else {
        if let Some(locked) = &locked {
            removal::clear(locked)?;
        }
        let report = Report::of_rest(run, &layout, begun);
        if options.purge && report.data_removed.is_empty() {
            run.reporter.warn("nothing says any more where the app's own data is: it stays");
        }
        run.reporter.result(&report, &report.text());
        return Ok(ExitCode::SUCCESS);
    };
    let data = match own_data(run, &layout, &state) {
        Ok(data) => data,
        // Afterwards nothing tells where it is.
        Err(CommandError::Prefix(source)) if options.purge => {
            return Err(CommandError::UnknownData { app: state.app, source });
        }
        Err(CommandError::Prefix(error)) => {
            run.reporter.warn(format_args!("nobody can tell where its own data is: {error}"));
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    for process in processes::of_app(&layout.versions()).unwrap_or_default() {
        let processes::Process { id, version, .. } = process;
        run.reporter.warn(format_args!("process {id} still runs version {version}: end it"));
    }
    let (removed, kept) = if options.purge { (data, Vec::new()) } else { (Vec::new(), data) };
    if let Some(locked) = &locked {
        run.proceed()?;
        let world = run.world(&layout);
        let stuck =
            run.without_giving_up(|| removal::uninstall(locked, &state, removed.clone(), &world))?;
        run.tell_of_stuck(&stuck);
        run.tell_of_remains(&layout);
    }
    let prefix = layout.prefix().to_owned();
    let (app, dry_run) = (Some(state.app), run.global.dry_run);
    let is_gone = |folder: &Utf8PathBuf| dry_run || is_gone(folder);
    let (data_removed, stuck): (Vec<_>, Vec<_>) = removed.into_iter().partition(is_gone);
    let data_kept = [kept, stuck].concat();
    let report = Report { app, prefix, data_removed, data_kept, dry_run };
    run.reporter.result(&report, &report.text());
    Ok(ExitCode::SUCCESS)
}

/// Takes the lock, and finishes or undoes what somebody has begun, but starts nothing again: it is about to be removed. Says what was being removed
/// before.
fn lock(run: &Run<'_>, layout: &Layout) -> Result<(Locked, Option<Leaving>), CommandError> {
    let locked = run.take(layout, "uninstall")?;
    run.forget_what_ran(layout);
    let begun = match Journal::read(layout)? {
        Some(Operation::Uninstall(leaving)) => Some(leaving),
        _ => None,
    };
    run.recover(&locked)?;
    Ok((locked, begun))
}

/// Where the app's own data is, by the word of the version that is used, or was the last one.
fn own_data(
    run: &Run<'_>,
    layout: &Layout,
    state: &State,
) -> Result<Vec<Utf8PathBuf>, CommandError> {
    let used = match current::read(layout) {
        Ok(used) => used,
        // Where it leads nowhere, the last one is the one that was used.
        Err(PrefixError::Damaged { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let last = state.installed.last().map(|last| last.slot.clone());
    let Some(slot) = used.or(last) else { return Ok(Vec::new()) };
    Ok(run.data_folders(layout, &read_manifest(&layout.version(&slot))?.state))
}

/// Not all that is to be removed can be.
fn is_gone(folder: &Utf8PathBuf) -> bool {
    folder.symlink_metadata().is_err()
}

impl Report {
    /// Of an app that somebody had begun to remove, or of nothing at all.
    fn of_rest(run: &Run<'_>, layout: &Layout, begun: Option<Leaving>) -> Self {
        let (app, data) = match begun {
            Some(Leaving { before, data }) => (Some(before.app), data),
            None => (None, Vec::new()),
        };
        let (data_removed, data_kept) = data.into_iter().partition(is_gone);
        let prefix = layout.prefix().to_owned();
        Self { app, prefix, data_removed, data_kept, dry_run: run.global.dry_run }
    }

    fn text(&self) -> String {
        let Self { app, prefix, data_removed, data_kept, dry_run } = self;
        let would = if *dry_run { "would be" } else { "is" };
        let mut text = match app {
            Some(app) => format!("{app} {would} removed from `{prefix}`"),
            None => format!("nothing is left in `{prefix}`"),
        };
        let kept = data_kept.iter().map(|path| format!("\n  `{path}` stays: it is its own data"));
        let removed = data_removed.iter().map(|path| format!("\n  and its own data in `{path}`"));
        text.extend(kept.chain(removed));
        text
    }
}
