//! Why there is no release.

use std::io;

use camino::Utf8PathBuf;
use gangway_artifact::TargetName;
use gangway_artifact::archive::ArchiveError;
use gangway_artifact::trust::ChannelError;
use miette::Diagnostic;

use crate::delta::UpdateError;
use crate::programs::ProgramError;

/// What can go wrong when a release is made.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum ReleaseError {
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read { path: Utf8PathBuf, source: io::Error },
    /// A file could not be written.
    #[error("cannot write `{path}`")]
    #[diagnostic(help(
        "check that the folder can be written to; what was published before is as it was"
    ))]
    Write { path: Utf8PathBuf, source: io::Error },
    /// Updates fetch frames, and only one format has them.
    #[error("`{path}` is no `.tar.zst`")]
    #[diagnostic(help(
        "name archives that `cargo xtask bundle` made: what is installed is unpacked from those, and updates fetch parts of them"
    ))]
    Format { path: Utf8PathBuf },
    /// An archive that cannot be taken.
    #[error(transparent)]
    #[diagnostic(help("{}", error.help()))]
    Archive { error: ArchiveError },
    /// An archive that cannot be taken, or compared with another.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Update(#[from] UpdateError),
    /// A part of an archive is not what it was.
    #[error("`{path}` is damaged: frame {frame} is not what the manifest says")]
    #[diagnostic(help("bundle it anew, or fetch it again"))]
    Frame { path: Utf8PathBuf, frame: usize },
    /// The manifest beside an archive is of another one.
    #[error("`{copy}` is not the manifest in `{archive}`")]
    #[diagnostic(help("they belong together: bundle both anew"))]
    Copy { archive: Utf8PathBuf, copy: Utf8PathBuf },
    /// Nobody has looked whether it runs.
    #[error(
        "`{path}` was made with `--no-verify`: nobody knows whether it runs on what its target promises"
    )]
    #[diagnostic(help("bundle it without `--no-verify`, or publish it with `--allow-unverified`"))]
    Unverified { path: Utf8PathBuf },
    /// Bundles that do not belong together.
    #[error("`{path}` is of {found}, and the others are of {expected}")]
    #[diagnostic(help(
        "a release is one version of one app: publish the others by a command of their own"
    ))]
    Mixed { path: Utf8PathBuf, expected: String, found: String },
    /// Two bundles for one target.
    #[error("`{one}` and `{other}` are both for {target}")]
    #[diagnostic(help("name one of them"))]
    Twice { one: Utf8PathBuf, other: Utf8PathBuf, target: TargetName },
    /// It would not be one name.
    #[error("`{value}` cannot be {what}: names of files are made of it")]
    #[diagnostic(help(
        "use letters, digits, `.`, `-`, `_` and `+`, and begin with a letter or digit"
    ))]
    Unnamable { what: &'static str, value: String },
    /// The address of the release cannot be one.
    #[error("`{address}` cannot be where the release is: {reason}")]
    #[diagnostic(help("give the address of the folder, such as `https://example.com/gateway`"))]
    Address { address: String, reason: &'static str },
    /// What is in the folder is no channel.
    #[error("cannot take `{path}`: {source}")]
    #[diagnostic(help(
        "publish to another folder, or repair it: sequence numbers must go on from what was published"
    ))]
    Channel {
        path: Utf8PathBuf,
        #[source]
        source: ChannelError,
    },
    /// The folder is somebody else's.
    #[error("`{path}` is the channel `{channel}` of {app}")]
    #[diagnostic(help("publish every app to a folder of its own"))]
    Foreign { path: Utf8PathBuf, app: String, channel: String },
    /// What was published cannot be changed.
    #[error("{app} {version} is published already, with another bundle for {target}")]
    #[diagnostic(help("people have it: give what you have a version of its own"))]
    Published { app: String, version: String, target: TargetName },
    /// What was published cannot be changed.
    #[error("`{path}` is there already, with other content")]
    #[diagnostic(help(
        "files of a release never change, because people may have older metadata that names them: publish a new version, or to another folder"
    ))]
    Taken { path: Utf8PathBuf },
    /// Installers believe larger numbers only.
    #[error("the sequence number {given} is not larger than {last}, which is published already")]
    #[diagnostic(help("leave `--sequence` out: it is one more each time"))]
    Sequence { given: u64, last: u64 },
    /// Nothing would be there to install it.
    #[error(
        "no target of Gangway's has a triple of which a static installer for {os} on {cpu} could be made"
    )]
    NoTriple { os: &'static str, cpu: &'static str },
    /// There is no installer.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Program(#[from] ProgramError),
}
