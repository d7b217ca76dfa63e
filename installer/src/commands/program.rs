//! The installer itself comes with the app's releases.

use gangway_artifact::Digest;
use gangway_artifact::trust::InstallerProgram;

use super::decision::Decision;
use super::{CommandError, Run};
use crate::prefix::{Locked, transaction};

/// The triple this program was built for.
const OWN_TRIPLE: &str = env!("GANGWAY_TRIPLE");

impl Run<'_> {
    /// Lays the installer ready that takes its place along with the version: that of the newest release, or else this one.
    pub(super) fn prepare_program(
        &self,
        locked: &Locked,
        decision: &Decision,
    ) -> Result<(), CommandError> {
        let app = &decision.releases.channel.app;
        let own = &self.context.executable;
        let is_newest = decision.releases.is_newest(&decision.release);
        let published = decision.release.installers.iter().filter(|_| is_newest);
        let Some(program) =
            published.filter(|program| rank(program).is_some()).min_by_key(|it| rank(it))
        else {
            return Ok(transaction::prepare_program(locked, app, own, None)?);
        };
        let file = &program.file;
        let digest = std::fs::File::open(own).and_then(Digest::of_reader);
        if digest.is_ok_and(|(found, _)| found == file.sha256) {
            return Ok(transaction::prepare_program(locked, app, own, Some(file.sha256))?);
        }
        let path = decision.layout.downloads().join(&file.name);
        let progress = self.reporter.progress("fetching");
        match decision.releases.depot.fetch(file, &path, &progress) {
            Ok(()) => Ok(transaction::prepare_program(locked, app, &path, Some(file.sha256))?),
            Err(error) => {
                // This one does as well: it has come so far.
                self.reporter.warn(format_args!("the installer stays as it is: {error}"));
                Ok(transaction::prepare_program(locked, app, own, None)?)
            }
        }
    }
}

/// The best first; nothing: it does not run here.
fn rank(program: &InstallerProgram) -> Option<u8> {
    let (cpu, system) = OWN_TRIPLE.split_once('-')?;
    // Static, so it runs whatever the C library is.
    let is_static = system.starts_with("unknown-linux-")
        && program.triple.strip_prefix(cpu) == Some("-unknown-linux-musl");
    match program.triple == OWN_TRIPLE {
        true => Some(0),
        false => is_static.then_some(1),
    }
}
