//! `uninstall`: everything that was put on the machine goes.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::{CommandError, Run};
use crate::cli::Uninstall;
use crate::prefix::state::State;
use crate::prefix::uninstall as removal;

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    app: String,
    prefix: Utf8PathBuf,
    dry_run: bool,
}

/// Removes the app.
pub(super) fn uninstall(run: &Run<'_>, _: &Uninstall) -> Result<ExitCode, CommandError> {
    let layout = run.found()?;
    let locked = if run.global.dry_run { None } else { Some(run.lock(&layout, "uninstall")?.0) };
    let Some(state) = State::read(&layout)? else {
        // Somebody had begun with it.
        removal::leave_nothing(&layout)?;
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(locked) = &locked {
        removal::uninstall(locked, &state, &run.world())?;
    }
    let prefix = layout.prefix().to_owned();
    let report = Report { app: state.app, prefix, dry_run: run.global.dry_run };
    let would = if report.dry_run { "would be" } else { "is" };
    run.reporter
        .result(&report, &format!("{} {would} removed from `{}`", report.app, report.prefix));
    Ok(ExitCode::SUCCESS)
}
