//! A version is tried before anything leads to it.

use super::decision::Decision;
use super::making::Filled;
use super::{CommandError, Run};
use crate::smoke::{self, Options, Scope};

impl Run<'_> {
    /// Starts the version's programs, in the folder that has not got its name yet.
    pub(super) fn try_out(&self, decision: &Decision, filled: &Filled) -> Result<(), CommandError> {
        let scope = match decision.trial {
            crate::cli::Trial::None => return Ok(()),
            crate::cli::Trial::Programs => Scope::Programs,
            crate::cli::Trial::Everything => Scope::Everything,
        };
        let options = Options { scope, factor: FACTOR, scratch: decision.layout.trial() };
        let version = &decision.release.version;
        let say = |step: &str| self.reporter.say(format_args!("trying {step}"));
        let tried = smoke::version(self.context, filled.folder()?, &filled.manifest, &options, say);
        let tried = tried.and_then(|report| report.check(version));
        tried.map_err(|error| CommandError::Trial {
            version: version.clone(),
            trouble: Box::new(error),
        })
    }
}

/// A user's machine may be much slower than the one that the times in the manifest were made for, and busy.
const FACTOR: u32 = 3;
