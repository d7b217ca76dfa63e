//! `verify`: what is installed is compared with what was published.

use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::archive::{self, Difference, What};
use serde::Serialize;

use super::error::CheckError;
use super::making::Old;
use super::{CommandError, Run, Status};
use crate::cli::Verify;
use crate::prefix::state::Installed;
use crate::prefix::{Layout, current, links};

/// What there is to say of a version.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    version: String,
    folder: Utf8PathBuf,
    used: bool,
    files: usize,
    pub(super) differences: Vec<Difference>,
}

#[derive(Debug, Serialize)]
struct Report {
    app: String,
    passes: bool,
    versions: Vec<Checked>,
    /// Programs that are not there, or lead elsewhere.
    programs: Vec<Utf8PathBuf>,
    /// The installer, if it is not what was put there.
    #[serde(skip_serializing_if = "Option::is_none")]
    installer: Option<Utf8PathBuf>,
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
    let is_right = Run::is_program_right(&layout, &state);
    let installer = (!is_right).then(|| layout.program(&state.app));
    let is_led = programs.is_empty() && installer.is_none();
    let passes = is_led && versions.iter().all(|one| one.differences.is_empty());
    let report = Report { app: state.app, passes, versions, programs, installer };
    run.reporter.result(&report, &report.text());
    Ok(if passes { ExitCode::SUCCESS } else { ExitCode::from(Status::Damaged as u8) })
}

/// Looks at every file of a version.
pub(super) fn check(
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

/// What is wrong, a line for each.
pub(super) fn lines(differences: &[Difference], programs: &[Utf8PathBuf]) -> Vec<String> {
    let differences = differences.iter().map(|difference| format!("  {difference}"));
    let programs = programs.iter().map(|path| format!("  `{path}` does not lead to it"));
    differences.chain(programs).collect()
}

/// What is wrong with the installer.
pub(super) fn installer_line(path: &Utf8Path) -> String {
    format!("  `{path}` is not the installer that was put there")
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
        text.extend(self.installer.as_deref().map(installer_line));
        if !self.passes {
            text.push("`repair` makes it anew".to_owned());
        }
        text.join("\n")
    }
}
