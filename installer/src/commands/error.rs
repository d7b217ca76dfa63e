//! Why a command did not do what it was given for.

use camino::Utf8PathBuf;
use gangway_artifact::archive::ArchiveError;
use gangway_artifact::trust::ChannelError;
use miette::Diagnostic;

use crate::prefix::{PrefixError, Trouble};

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
    #[error("the environment names no home folder to install to")]
    #[diagnostic(
        code(installer::no_home),
        help("name the folder with `--prefix DIR`, or use `--system`")
    )]
    NoHome,
    #[error("nothing is installed that this command could be about")]
    #[diagnostic(
        code(installer::nothing),
        help("use the installer in the prefix, or say where that is with `--prefix DIR`")
    )]
    NotFound,
    #[error("cannot read `{path}`")]
    #[diagnostic(
        code(installer::metadata),
        help("name a folder with releases, and a channel that it has")
    )]
    Read { path: Utf8PathBuf, source: std::io::Error },
    #[error("cannot use `{path}`")]
    #[diagnostic(
        code(installer::metadata),
        help("it is damaged, or of a newer Gangway: get the newest installer")
    )]
    Channel { path: Utf8PathBuf, source: ChannelError },
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
    #[error("version {version} has no bundle for this machine, only for {}", list(there))]
    #[diagnostic(code(installer::no_bundle), help("ask its publisher for one"))]
    NoBundle { version: String, there: Vec<String> },
    #[error("version {version} was not well on this machine: {reason}")]
    #[diagnostic(
        code(installer::refused),
        help("wait for the next one, or take it all the same with `--force`")
    )]
    Refused { version: String, reason: String },
    #[error("cannot make version {version}")]
    #[diagnostic(code(installer::archive), help("{}", source.help()))]
    Archive { version: String, source: ArchiveError },
    #[error("version {version} does not run on this machine")]
    #[diagnostic(code(installer::trial), help("tell its publisher what is said here"))]
    Trial {
        version: String,
        #[source]
        #[diagnostic_source]
        trouble: Trouble,
    },
    #[error("version {version} is not installed, only {}", list(there))]
    #[diagnostic(code(installer::not_installed), help("name one of these"))]
    NotInstalled { version: String, there: Vec<String> },
    #[error("there is no earlier version to go back to")]
    #[diagnostic(
        code(installer::no_previous),
        help("`install --version VERSION` installs any that is offered")
    )]
    NoPrevious,
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none at all".to_owned() } else { names.join(", ") }
}
