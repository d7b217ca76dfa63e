//! A version is tried before anything leads to it.

use camino::Utf8Path;

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
        let folder = filled.folder()?;
        let tried = smoke::version(self.context, folder, &filled.manifest, &options, say);
        // What failed may have been ended by the same Ctrl-C.
        self.proceed()?;
        let tried = tried.and_then(|report| report.check(version));
        tried.map_err(|error| match runs_nothing(folder) {
            // Of this no version can do anything.
            true => CommandError::NoExec { prefix: decision.layout.prefix().to_owned() },
            false => CommandError::Trial { version: version.clone(), trouble: Box::new(error) },
        })
    }
}

/// A user's machine may be much slower than the one that the times in the manifest were made for, and busy.
const FACTOR: u32 = 3;

/// Whether the system starts no program from where this folder is.
#[cfg(unix)]
fn runs_nothing(folder: &Utf8Path) -> bool {
    let found = rustix::fs::statvfs(folder.as_std_path());
    found.is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
}

/// Whether the system starts no program from where this folder is: there is no such thing here.
#[cfg(not(unix))]
fn runs_nothing(_: &Utf8Path) -> bool {
    false
}
