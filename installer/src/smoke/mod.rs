//! A version is tried on this machine before it is switched to.
//!
//! What is tried and what counts as well is the builder's own plan ([`gangway_artifact::trial`]): every entrypoint says its version, every
//! service and the gateway become well. Here they run as they will for the user, but for their data: each in an empty folder that is its
//! home, with none of the user's secrets ([`surroundings`]), at a free port. Nothing that was started runs on afterwards, also when the
//! installer is killed meanwhile.
//!
//! Deliberately absent: how programs end when they are asked to, and whether each addon loads. The builder's smoke test has tried
//! that; the question here is whether this machine can run the version at all.

mod execute;
mod running;
mod surroundings;
#[cfg(all(test, unix))]
mod tests;

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Manifest, trial};
use miette::Diagnostic;
use serde::Serialize;

use self::execute::Room;
use crate::context::Context;

/// How a version is tried.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much of it.
    pub scope: Scope,
    /// How many times the time that the manifest gives each program it has. On a slow machine more than 1.
    pub factor: u32,
    /// A folder for empty folders and logs. It is the trial's own: what is in it is removed, before and after.
    pub scratch: Utf8PathBuf,
}

/// How much of a version is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// That programs start: entrypoints say their version.
    Programs,
    /// Also that services and the gateway become well.
    Everything,
}

/// A version that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The steps, in the order they were taken.
    pub steps: Vec<Tried>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    /// What it is called: as in the builder's evidence.
    pub name: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// It went well.
    Passed,
    /// It did not.
    Failed {
        /// Why.
        reason: String,
        /// The last lines of what was said.
        said: Vec<String>,
    },
    /// It was not tried.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// Why a version is not switched to.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum SmokeError {
    /// There is no room for trying it.
    #[error("cannot make room in `{folder}` to try the new version")]
    Room { folder: Utf8PathBuf, source: io::Error },
    /// It does not run here.
    #[error("version {version} does not run on this machine: `{step}`: {reason}{said}")]
    #[diagnostic(help("nothing was switched: what was installed before is still in use"))]
    Failed { version: String, step: String, reason: String, said: String },
}

/// Tries the version in `folder`, which may still have the name of an unfinished one. `say` is told each step before it is taken.
///
/// # Errors
/// When it cannot be tried at all. What fails of the version itself is in the report.
pub fn version(
    context: &Context,
    folder: &Utf8Path,
    manifest: &Manifest,
    options: &Options,
    mut say: impl FnMut(&str),
) -> Result<Report, SmokeError> {
    let scratch = &options.scratch;
    let room = |source| SmokeError::Room { folder: scratch.clone(), source };
    clear(scratch).map_err(room)?;
    fs_err::create_dir_all(scratch).map_err(room)?;
    // Programs see the path that the system knows: links on the way would hide what they have open.
    let scratch = scratch.canonicalize_utf8().map_err(room)?;
    let bundle = folder.canonicalize_utf8().map_err(room)?;
    let room_of = Room { context, bundle: &bundle, scratch: &scratch, env: &manifest.smoke.env };
    let trial = trial::of(manifest, options.factor.max(1));
    let mut steps = trial.entrypoints;
    if options.scope == Scope::Everything {
        steps.extend(trial.services);
        steps.push(trial.gateway);
    }
    let mut tried = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        if !matches!(step.action, trial::Action::Skip(_)) {
            say(&step.name);
        }
        tried.push(execute::step(&room_of, number, step));
        // One that fails decides, and each may take minutes.
        if matches!(tried.last(), Some(Tried { outcome: Outcome::Failed { .. }, .. })) {
            break;
        }
    }
    clear(&scratch).map_err(room)?;
    Ok(Report { steps: tried })
}

/// Ends what a killed trial has left running, and removes its folder.
///
/// # Errors
/// When the folder cannot be removed.
pub fn clear(scratch: &Utf8Path) -> io::Result<()> {
    if let Ok(scratch) = scratch.canonicalize_utf8() {
        running::end_all(&scratch);
    }
    match fs_err::remove_dir_all(scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Report {
    /// Nothing when the version runs here.
    ///
    /// # Errors
    /// With the first step that failed.
    pub fn check(&self, version: &str) -> Result<(), SmokeError> {
        let failed = self.steps.iter().find_map(|step| match &step.outcome {
            Outcome::Failed { reason, said } => Some((step, reason, said)),
            Outcome::Passed | Outcome::Skipped { .. } => None,
        });
        let Some((step, reason, said)) = failed else { return Ok(()) };
        let said: String = said.iter().flat_map(|line| ["\n  | ", line.as_str()]).collect();
        Err(SmokeError::Failed {
            version: version.to_owned(),
            step: step.name.clone(),
            reason: reason.clone(),
            said: if said.is_empty() { said } else { format!("; it said:{said}") },
        })
    }
}
