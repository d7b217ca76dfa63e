//! Why a command did not do what it was given for.

use std::path::PathBuf;

use camino::Utf8PathBuf;
use gangway_artifact::archive::ArchiveError;
use gangway_artifact::delta::DeltaError;
use gangway_artifact::trust::ChannelError;
use miette::Diagnostic;

use super::making::is_about_the_disk;
use crate::fetch::FetchError;
use crate::interruption::Signal;
use crate::prefix::journal::Fault;
use crate::prefix::{PrefixError, Trouble};
use crate::restart::WordsError;
use crate::snapshot::SnapshotError;

/// What can go wrong in a command.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum CommandError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Prefix(#[from] PrefixError),
    #[error("nothing says where releases come from")]
    #[diagnostic(
        code(installer::no_base),
        help("name the address or the folder with `--from BASE`, or in GANGWAY_BASE_URL")
    )]
    NoBase,
    #[error("interrupted, and nothing was changed")]
    #[diagnostic(
        code(installer::interrupted),
        help("give the command again when it suits you: what had come of a download is kept")
    )]
    Interrupted { signal: Signal },
    #[error("the environment names no home folder to install to")]
    #[diagnostic(
        code(installer::no_home),
        help("name the folder with `--prefix DIR`, or use `--system`")
    )]
    NoHome,
    #[error("programs cannot be put into `{named}`: on Windows they are in `{usual}`")]
    #[diagnostic(
        code(installer::bin_dir),
        help(
            "each finds the version that is used beside its own folder; leave `--bin-dir` out, or choose where all of it is with `--prefix DIR`"
        )
    )]
    BinDir { named: Utf8PathBuf, usual: Utf8PathBuf },
    #[error("nothing is installed that this command could be about")]
    #[diagnostic(
        code(installer::nothing),
        help("use the installer in the prefix, or say where that is with `--prefix DIR`")
    )]
    NotFound,
    #[error("`{path}` is missing, and something is installed there")]
    #[diagnostic(code(installer::lost), help("`repair` makes it anew of what is installed"))]
    Lost { path: Utf8PathBuf },
    #[error(
        "nothing says any more where the releases of `{app}` come from, and which channel it follows"
    )]
    #[diagnostic(
        code(installer::unknown_origin),
        help(
            "say both: `repair --from BASE --channel NAME`; who did not choose a channel follows `stable`"
        )
    )]
    UnknownOrigin { app: String },
    #[error("nothing says any more what is installed in `{prefix}`, and no version is used there")]
    #[diagnostic(
        code(installer::nothing_used),
        help("`install` puts one there, and removes what is left of others")
    )]
    NothingUsed { prefix: Utf8PathBuf },
    #[error("nobody can tell where the own data of `{app}` is")]
    #[diagnostic(
        code(installer::unknown_data),
        help(
            "`repair` makes the version whole, which says it; without `--purge` the app is removed and its data stays"
        )
    )]
    UnknownData { app: String, source: PrefixError },
    #[error("programs cannot be started from `{prefix}`: its file system is mounted with `noexec`")]
    #[diagnostic(
        code(installer::noexec),
        help(
            "choose another file system with `--prefix DIR`, or have this one mounted without that"
        )
    )]
    NoExec { prefix: Utf8PathBuf },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Restart(#[from] WordsError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Check(#[from] CheckError),
    #[error("cannot use `{file}`")]
    #[diagnostic(
        code(installer::metadata),
        help("it is damaged, or of a newer Gangway: get the newest installer")
    )]
    Channel { file: String, source: ChannelError },
    #[error("the releases are of `{found}`, and `{expected}` is installed in `{prefix}`")]
    #[diagnostic(code(installer::other_app), help("choose another folder with `--prefix`"))]
    OtherApp { found: String, expected: String, prefix: Utf8PathBuf },
    #[error(
        "the releases are those of an earlier time: number {found}, and number {seen} was seen before"
    )]
    #[diagnostic(
        code(installer::rewound),
        help(
            "a mirror may be behind: try again later, or take another one with `--from`; `--force` takes what is there"
        )
    )]
    Rewound { found: u64, seen: u64 },
    #[error("the channel `{channel}` has no version {version}, only {}", list(there))]
    #[diagnostic(code(installer::no_version), help("name one of these, or another channel"))]
    NoVersion { channel: String, version: String, there: Vec<String> },
    #[error("version {version} cannot be installed on this machine")]
    #[diagnostic(
        code(installer::machine),
        help("`doctor` says more; `--force` installs it all the same, and that is recorded")
    )]
    Machine {
        version: String,
        #[source]
        #[diagnostic_source]
        refusal: Trouble,
    },
    #[error("version {version} was not well on this machine: {reason}")]
    #[diagnostic(
        code(installer::refused),
        help("wait for the next one, or take it all the same with `--force`")
    )]
    Refused { version: String, reason: String },
    #[error("cannot make version {version}")]
    #[diagnostic(code(installer::archive), help("{}", advice(source)))]
    Archive { version: String, source: ArchiveError },
    #[error(
        "cannot make version {version}: its publisher made it in a way that cannot be followed"
    )]
    #[diagnostic(code(installer::archive), help("tell its publisher what is said here"))]
    Plan { version: String, source: DeltaError },
    #[error("`{}` has a name that is not UTF-8", path.display())]
    #[diagnostic(code(installer::name), help("choose another folder with `--prefix`"))]
    NotUtf8 { path: PathBuf },
    #[error("version {version} does not run on this machine")]
    #[diagnostic(code(installer::trial), help("tell its publisher what is said here"))]
    Trial {
        version: String,
        #[source]
        #[diagnostic_source]
        trouble: Trouble,
    },
    #[error("the channel offers {expected}, and the manifest there is that of {found}")]
    #[diagnostic(
        code(installer::other_manifest),
        help("nothing of it was used; tell its publisher, who has to publish it again")
    )]
    OtherManifest { expected: String, found: String },
    #[error("the channel has another build of version {version} than the one that is installed")]
    #[diagnostic(code(installer::other_build), help("`update` installs that one"))]
    OtherBuild { version: String },
    #[error("`{}` cannot name a target", name.escape_debug())]
    #[diagnostic(code(installer::target), help("name one such as `linux-x64`, or `auto`"))]
    Target { name: String },
    #[error("version {version} is not installed, only {}", list(there))]
    #[diagnostic(code(installer::not_installed), help("name one of these"))]
    NotInstalled { version: String, there: Vec<String> },
    #[error("the installer `{path}` is damaged, and no release has one for this machine")]
    #[diagnostic(
        code(installer::no_installer),
        help(
            "get one from the app's publisher, and have it `repair`: it takes the place of this one"
        )
    )]
    NoInstaller { path: Utf8PathBuf },
    #[error("there is no earlier version to go back to")]
    #[diagnostic(
        code(installer::no_previous),
        help("`install --version VERSION` installs any that is offered")
    )]
    NoPrevious,
}

impl CommandError {
    /// Whether something was given up because a signal has come.
    pub(super) fn is_interruption(&self) -> bool {
        match self {
            Self::Interrupted { .. }
            | Self::Fetch(FetchError::Interrupted)
            | Self::Snapshot(SnapshotError::Interrupted) => true,
            Self::Archive { source, .. } => {
                matches!(FetchError::beneath(source), Some(FetchError::Interrupted))
            }
            _ => false,
        }
    }

    /// The status that the program ends with; `docs/installer.md` has them all.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Machine { .. } => Status::Machine,
            // It came, and there is no room for it.
            Self::Fetch(FetchError::Write { .. }) => Status::Failed,
            Self::Archive { source, .. } if is_about_room(source) => Status::Failed,
            Self::Fetch(_) | Self::Channel { .. } | Self::Rewound { .. } => Status::Source,
            Self::Plan { .. } | Self::OtherBuild { .. } | Self::OtherManifest { .. } => {
                Status::Source
            }
            Self::Archive { source, .. } if !is_about_the_disk(source) => Status::Source,
            Self::Trial { .. } | Self::Refused { .. } => Status::Unwell,
            Self::Prefix(
                PrefixError::Unwell { .. } | PrefixError::Stopped { fault: Fault::Version, .. },
            ) => Status::Unwell,
            Self::Prefix(PrefixError::Busy { .. }) => Status::Busy,
            _ => Status::Failed,
        }
    }
}

/// A version that cannot be looked at.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error(transparent)]
#[diagnostic(code(installer::check), help("{}", self.0.help()))]
pub struct CheckError(#[from] pub ArchiveError);

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It did not do what it was given for.
    Failed = 1,
    /// This machine lacks something.
    Machine = 3,
    /// Releases cannot be had, or are not what they should be.
    Source = 4,
    /// The version does not run here, or was not well; the one before is used.
    Unwell = 5,
    /// Another installer is at work.
    Busy = 6,
    /// What is installed is damaged.
    Damaged = 7,
}

/// Whether what fails is writing what came.
fn is_about_room(error: &ArchiveError) -> bool {
    matches!(FetchError::beneath(error), Some(FetchError::Write { .. }))
}

/// What helps: against a bad network, or a bad archive.
fn advice(error: &ArchiveError) -> String {
    let fetched = FetchError::beneath(error).and_then(Diagnostic::help);
    fetched.map_or_else(|| error.help().to_owned(), |help| help.to_string())
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none at all".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::io;

    use gangway_artifact::archive::{Attempt, Fault};

    use super::*;

    /// A disk that is full is not the fault of whoever has the releases.
    #[test]
    fn no_room_is_no_fault_of_the_source() {
        let full = || FetchError::Write {
            path: "/p/downloads/a.tar.zst".into(),
            source: io::ErrorKind::StorageFull.into(),
        };
        assert_eq!(CommandError::from(full()).status(), Status::Failed);
        let beneath = |error: FetchError| CommandError::Archive {
            version: "1.0.0".to_owned(),
            source: ArchiveError {
                attempt: Attempt::Unpack,
                archive: "a.tar.zst".into(),
                fault: Box::new(Fault::Read { source: io::Error::other(error) }),
            },
        };
        assert_eq!(beneath(full()).status(), Status::Failed);
        let another = || FetchError::Page { url: "https://host/a".to_owned() };
        assert_eq!(CommandError::from(another()).status(), Status::Source);
        assert_eq!(beneath(another()).status(), Status::Source);
    }
}
