//! `uninstall`: everything that was put on the machine goes.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::advance::read_manifest;
use super::{CommandError, Run};
use crate::cli::Uninstall;
use crate::prefix::{Layout, Locked, current, uninstall as removal};

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    app: String,
    prefix: Utf8PathBuf,
    /// Folders of the app's own data.
    data_removed: Vec<Utf8PathBuf>,
    data_kept: Vec<Utf8PathBuf>,
    dry_run: bool,
}

/// Removes the app.
pub(super) fn uninstall(run: &Run<'_>, options: &Uninstall) -> Result<ExitCode, CommandError> {
    let layout = run.found()?;
    let locked = if run.global.dry_run { None } else { Some(lock(run, &layout)?) };
    let Some(state) = run.look(&layout)? else {
        // Somebody had begun with it.
        if let Some(locked) = &locked {
            removal::clear(locked)?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let data = own_data(run, &layout)?;
    let (removed, kept) = if options.purge { (data, Vec::new()) } else { (Vec::new(), data) };
    if let Some(locked) = &locked {
        removal::uninstall(locked, &state, removed.clone(), &run.world(&layout))?;
    }
    let prefix = layout.prefix().to_owned();
    let (app, dry_run) = (state.app, run.global.dry_run);
    let report = Report { app, prefix, data_removed: removed, data_kept: kept, dry_run };
    let would = if report.dry_run { "would be" } else { "is" };
    let mut text = format!("{} {would} removed from `{}`", report.app, report.prefix);
    let kept =
        report.data_kept.iter().map(|path| format!("\n  `{path}` stays: it is its own data"));
    let removed =
        report.data_removed.iter().map(|path| format!("\n  and its own data in `{path}`"));
    text.extend(kept.chain(removed));
    run.reporter.result(&report, &text);
    Ok(ExitCode::SUCCESS)
}

/// Takes the lock, and finishes or undoes what somebody has begun, but starts nothing again: it is about to be removed.
fn lock(run: &Run<'_>, layout: &Layout) -> Result<Locked, CommandError> {
    let locked = run.take(layout, "uninstall")?;
    run.forget_what_ran(layout);
    run.recover(&locked)?;
    Ok(locked)
}

/// Where the app's own data is, by the word of the version that is used.
fn own_data(run: &Run<'_>, layout: &Layout) -> Result<Vec<Utf8PathBuf>, CommandError> {
    let Some(slot) = current::read(layout)? else { return Ok(Vec::new()) };
    // A damaged version can be removed all the same.
    let Ok(manifest) = read_manifest(&layout.version(&slot)) else { return Ok(Vec::new()) };
    run.data_folders(layout, &manifest.state)
}
