//! `list`: the versions that are installed.

use std::process::ExitCode;

use serde::Serialize;

use super::{CommandError, Run};
use crate::prefix::current;

/// A version.
#[derive(Debug, Serialize)]
struct Listed {
    version: String,
    folder: String,
    target: String,
    manifest_sha256: String,
    used: bool,
    previous: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    forced: Vec<String>,
}

/// Lists the versions, the one that was used last first.
pub(super) fn list(run: &Run<'_>) -> Result<ExitCode, CommandError> {
    let layout = run.found()?;
    let state = run.installed(&layout)?;
    let used = current::read(&layout)?;
    let listed: Vec<Listed> = (state.installed.iter().rev().filter(|one| !one.superseded))
        .map(|one| Listed {
            version: one.version.clone(),
            folder: one.slot.to_string(),
            target: one.target.to_string(),
            manifest_sha256: one.manifest.to_string(),
            used: used.as_ref() == Some(&one.slot),
            previous: state.previous.as_ref() == Some(&one.slot),
            forced: one.forced.clone(),
        })
        .collect();
    let lines: Vec<String> = listed.iter().map(Listed::line).collect();
    run.reporter.result(&listed, &lines.join("\n"));
    Ok(ExitCode::SUCCESS)
}

impl Listed {
    fn line(&self) -> String {
        let mark = if self.used { "*" } else { " " };
        let previous = if self.previous { "  (rollback goes here)" } else { "" };
        let forced = if self.forced.is_empty() { "" } else { "  (forced)" };
        format!("{mark} {}{previous}{forced}", self.version)
    }
}
