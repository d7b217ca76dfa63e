//! The installer itself comes with the app's releases.
//!
//! The one that is installed gives way to a newer one only: an older one may not know what it has written.

use camino::Utf8Path;
use gangway_artifact::Digest;
use gangway_artifact::trust::{InstallerProgram, NamedFile};
use semver::Version;

use super::decision::Decision;
use super::releases::Releases;
use super::{CommandError, Run};
use crate::cli::Repair;
use crate::fetch::FetchError;
use crate::prefix::state::State;
use crate::prefix::{self, Layout, Locked, transaction};
use crate::restart::RestartError;

/// The triple this program was built for.
const OWN_TRIPLE: &str = env!("GANGWAY_TRIPLE");

/// This program's version.
const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

impl Run<'_> {
    /// Lays the installer ready that takes its place along with the version: that of the newest release, or else this one. Says what it is; nothing: the one
    /// that is there stays.
    pub(super) fn prepare_program(
        &self,
        locked: &Locked,
        decision: &Decision,
    ) -> Result<Option<Digest>, CommandError> {
        let app = &decision.releases.channel.app;
        let own = &self.context.executable;
        // It only moves forward, so what was the newest once is not enough.
        let is_newest = decision.releases.is_newest(&decision.release) && !decision.is_behind();
        let published = decision.release.installers.iter().filter(|_| is_newest);
        let published =
            published.filter(|program| rank(program).is_some()).min_by_key(|it| rank(it));
        if let Some(program) = published {
            let file = &program.file;
            let digest = std::fs::File::open(own).and_then(Digest::of_reader);
            let is_own = digest.is_ok_and(|(found, _)| found == file.sha256);
            if !is_own && self.prepare_published(locked, &decision.releases, file)? {
                return Ok(Some(file.sha256));
            }
        }
        self.prepare_own(locked, app)
    }

    /// Lays this program ready, unless it is the one in place, or that is newer. Says what it is.
    fn prepare_own(&self, locked: &Locked, app: &str) -> Result<Option<Digest>, CommandError> {
        let own = &self.context.executable;
        let version = OWN_VERSION.parse().expect("Cargo takes no other version");
        if *own == locked.layout().program(app) || self.is_older(locked.layout(), app, &version) {
            transaction::discard_program(locked, app)?;
            return Ok(None);
        }
        Ok(Some(transaction::prepare_program(locked, app, own, None)?.digest))
    }

    /// Whether the installer in a prefix is what was put there.
    pub(super) fn is_program_right(layout: &Layout, state: &State) -> bool {
        match prefix::program_digest(layout, &state.app) {
            Some(found) => state.installer.is_none_or(|expected| found == expected),
            None => false,
        }
    }

    /// Lays an installer ready in the place of one that is damaged: the same again, where this program or a release has it, or else another one. Says what
    /// it is.
    pub(super) fn mend_program(
        &self,
        locked: &Locked,
        state: &State,
        options: &Repair,
    ) -> Result<Option<Digest>, CommandError> {
        if let Some(digest) = self.mend_with_own(locked, state)? {
            return Ok(Some(digest));
        }
        let (from, channel) = (options.from.as_deref(), options.channel.as_deref());
        let releases = self.releases(from, channel, Some(state))?;
        releases.check(Some(state), locked.layout(), true)?;
        let programs = || releases.channel.releases.iter().map(|release| &release.installers);
        let same = |program: &&InstallerProgram| Some(program.file.sha256) == state.installer;
        let same = programs().flatten().find(same);
        let newest = || {
            let published = programs().next().into_iter().flatten();
            published.filter(|program| rank(program).is_some()).min_by_key(|it| rank(it))
        };
        let Some(InstallerProgram { file, .. }) = same.or_else(newest) else {
            return Err(CommandError::NoInstaller { path: locked.layout().program(&state.app) });
        };
        let is_ready = self.prepare_published(locked, &releases, file)?;
        prefix::keep_downloads(locked.layout(), &[])?;
        if is_ready {
            return Ok(Some(file.sha256));
        }
        Err(CommandError::NoInstaller { path: locked.layout().program(&state.app) })
    }

    /// Lays this program ready, if it is not the damaged one itself, nor older than that.
    fn mend_with_own(
        &self,
        locked: &Locked,
        state: &State,
    ) -> Result<Option<Digest>, CommandError> {
        let (own, app) = (&self.context.executable, &state.app);
        let found = std::fs::File::open(own).and_then(Digest::of_reader);
        match found.ok().map(|(found, _)| found).filter(|found| Some(*found) == state.installer) {
            // Whatever the damaged one says of its version.
            Some(same) => {
                Ok(Some(transaction::prepare_program(locked, app, own, Some(same))?.digest))
            }
            None => self.prepare_own(locked, app),
        }
    }

    /// Whether the program that was published lies ready, or is in place. Where it cannot be had this one does as well: it has come so far.
    fn prepare_published(
        &self,
        locked: &Locked,
        releases: &Releases,
        file: &NamedFile,
    ) -> Result<bool, CommandError> {
        let (app, layout) = (&releases.channel.app, locked.layout());
        let path = layout.downloads().join(&file.name);
        let progress = self.reporter.progress("fetching");
        match releases.depot.fetch(file, &path, &progress) {
            Ok(()) => {}
            // Something else was sent than the release's metadata names: nothing of such a release is taken.
            Err(
                error @ (FetchError::Size { .. }
                | FetchError::Digest { .. }
                | FetchError::Interrupted),
            ) => return Err(error.into()),
            Err(error) => {
                self.reporter.warn(format_args!("the installer stays as it is: {error}"));
                return Ok(false);
            }
        }
        let ready = transaction::prepare_program(locked, app, &path, Some(file.sha256))?;
        let Some(ready) = ready.ready else { return Ok(true) };
        // It takes this one's place for good: if it did not start here, nothing could be updated or removed any more.
        match self.version_of(layout, &ready) {
            Ok(Some(version)) => Ok(!self.is_older(layout, app, &version)),
            // It starts, and says its version in a way that only newer ones know.
            Ok(None) => Ok(true),
            Err(error) => {
                // It may have been ended by the same Ctrl-C.
                self.proceed()?;
                self.reporter.warn(format_args!("the installer stays as it is: {error}"));
                Ok(false)
            }
        }
    }

    /// Whether an installer of this version is older than the one in place. That is said, as that one stays.
    fn is_older(&self, layout: &Layout, app: &str, version: &Version) -> bool {
        let program = layout.program(app);
        if !program.is_file() {
            return false;
        }
        // One that does not start any more is of no use, whatever its version is.
        let Ok(Some(there)) = self.version_of(layout, &program) else { return false };
        let is_older = *version < there;
        if is_older {
            self.reporter.say(format_args!(
                "the installer stays as it is: it is {there}, which is newer than {version}"
            ));
        }
        is_older
    }

    /// The version that an installer says it is of.
    fn version_of(
        &self,
        layout: &Layout,
        program: &Utf8Path,
    ) -> Result<Option<Version>, RestartError> {
        let said = self.run_command(layout, &[program.to_string(), "--version".to_owned()])?;
        Ok(said.split_whitespace().last().and_then(|word| word.parse().ok()))
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
