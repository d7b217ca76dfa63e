//! Why a service in Python cannot be bundled.

use std::sync::Arc;

use camino::Utf8PathBuf;
use gangway_artifact::{PathError, TargetName};
use miette::{Diagnostic, LabeledSpan, NamedSource};

use super::missing::MissingWheel;
use crate::capture::CaptureError;
use crate::process::ProcessError;
use crate::prune::PruneError;
use crate::store::StoreError;

/// Why a service in Python cannot be bundled.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are what the messages name")]
pub enum PythonError {
    /// No uv.
    #[error("uv is not installed; it chooses and unpacks the wheels of the service `{service}`")]
    #[diagnostic(help(
        "run `pip install uv` or `pipx install uv`, or use uv's standalone installer: https://docs.astral.sh/uv"
    ))]
    NoUv { service: String },
    /// uv is there and does not work.
    #[error("cannot use the uv at `{program}`")]
    #[diagnostic(help("run `pip install --upgrade uv`"))]
    BrokenUv { program: Utf8PathBuf, source: Box<ProcessError> },
    /// The lock could not be read.
    #[error("cannot read the requirements of the service `{service}`: `{path}`")]
    Read { service: String, path: Utf8PathBuf, source: std::io::Error },
    /// A file of the store, or of a wheel in it.
    #[error("cannot read or write `{path}`")]
    Unreadable { path: Utf8PathBuf, source: std::io::Error },
    /// The lock is none.
    #[error("the requirements of the service `{service}` are not locked")]
    #[diagnostic(help("{help}"))]
    NotLocked {
        service: String,
        help: String,
        #[source_code]
        code: Arc<NamedSource<String>>,
        #[label(collection)]
        labels: Vec<LabeledSpan>,
    },
    /// A `pylock.toml` that is none.
    #[error("`{path}` is not a lock file of Python (PEP 751): {reason}")]
    #[diagnostic(help(
        "run `uv pip compile --universal --format pylock.toml requirements.in --output-file {path}`"
    ))]
    Pylock { path: Utf8PathBuf, reason: String },
    /// uv could not export its own lock.
    #[error("uv cannot export `{path}` for the service `{service}`")]
    #[diagnostic(help("`pyproject.toml` must be beside it, and `uv lock` brings both in step"))]
    Export { service: String, path: Utf8PathBuf, source: Box<ProcessError> },
    /// No wheel fits.
    #[error(
        "no wheel of {package} {version} fits `{target}` with Python {python}; the service `{service}` needs one",
        package = missing.name, version = missing.version, python = missing.python
    )]
    #[diagnostic(help("{missing}"))]
    NoWheel { service: String, target: TargetName, missing: Box<MissingWheel> },
    /// uv could not install.
    #[error("cannot get the wheels of the service `{service}` for `{target}`")]
    #[diagnostic(help("{help}"))]
    Install { service: String, target: TargetName, help: &'static str, source: Box<ProcessError> },
    /// The program is not there.
    #[error("the {kind} `{name}` of the service `{service}` is not in the bundle")]
    #[diagnostic(help("{help}"))]
    NoProgram { service: String, kind: &'static str, name: String, help: String },
    /// A name the builder needs for itself.
    #[error("the service `{service}` has a file `{path}` of its own; Gangway puts its own there")]
    #[diagnostic(help("rename it, or leave it out with `exclude`"))]
    Taken { service: String, path: String },
    /// The wheels' files cannot be taken.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Capture(#[from] CaptureError),
    /// A file of a wheel cannot be judged.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Native(#[from] PruneError),
    /// A path no bundle can hold.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The store failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}
