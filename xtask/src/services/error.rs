//! Why a service cannot be bundled.

use std::sync::Arc;

use camino::Utf8PathBuf;
use gangway_artifact::{PathError, TargetName};
use miette::{Diagnostic, NamedSource, SourceSpan};

use super::archive::ArchiveError;
use super::python::PythonError;
use crate::capture::CaptureError;
use crate::layout::LayoutError;
use crate::own_files::OwnFilesError;
use crate::process::ProcessError;
use crate::registry::RegistryError;
use crate::store::StoreError;
use crate::toolchain::ToolchainError;
use crate::workshop::WorkshopError;

/// Why a service cannot be bundled.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are what the messages name")]
pub enum ServiceError {
    /// The build failed, outside of a fence.
    #[error("the build of the service `{service}` for `{target}` failed")]
    Build { service: String, target: TargetName, source: Box<ProcessError> },
    /// The build failed, inside a fence.
    #[error("the build of the service `{service}` for `{target}` failed")]
    #[diagnostic(help("{help}"))]
    Command { service: String, target: TargetName, help: String, source: Box<WorkshopError> },
    /// A compiler or library is missing.
    #[error("cannot build the service `{service}` for `{target}`")]
    Toolchain {
        service: String,
        target: TargetName,
        #[source]
        #[diagnostic_source]
        source: ToolchainError,
    },
    /// A program the command calls is missing.
    #[error("the service `{service}` is built with `{program}`, which is not on the PATH")]
    #[diagnostic(help("{help}"))]
    NoTool { service: String, program: String, help: String },
    /// What was made lacks the program.
    #[error(
        "the service `{service}` for `{target}` has no program `{program}`; there is {instead}"
    )]
    #[diagnostic(help("name it with `program = \"...\"` in its [[service]]"))]
    NoProgram { service: String, target: TargetName, program: String, instead: String },
    /// Cargo does not know the package.
    #[error("cannot tell what Cargo builds for the service `{service}`: {reason}")]
    #[diagnostic(help("{help}"))]
    Package {
        service: String,
        reason: String,
        help: String,
        #[source_code]
        manifest: Arc<NamedSource<String>>,
        #[label("this service")]
        span: SourceSpan,
    },
    /// Cargo cannot be asked.
    #[error("cannot read the Cargo package of the service `{service}`")]
    #[diagnostic(help("`path` names the folder with its Cargo.toml, relative to the manifest"))]
    Metadata { service: String, source: Box<ProcessError> },
    /// Cargo's answer is not understood.
    #[error("cannot understand what `cargo metadata` says of the service `{service}`")]
    Answer { service: String, source: serde_json::Error },
    /// No prebuilt program for the target.
    #[error("the service `{service}` has no prebuilt program for `{target}`")]
    #[diagnostic(help("add `{target} = \"<file or URL>\"` to its `targets`"))]
    NoPrebuilt {
        service: String,
        target: TargetName,
        #[source_code]
        manifest: Arc<NamedSource<String>>,
        #[label("this service")]
        span: SourceSpan,
    },
    /// A prebuilt file that is not there.
    #[error("cannot read the prebuilt program of the service `{service}`")]
    #[diagnostic(help("`targets` names files relative to the manifest"))]
    File {
        service: String,
        #[source_code]
        manifest: Arc<NamedSource<String>>,
        #[label("named here")]
        span: SourceSpan,
        source: std::io::Error,
    },
    /// A URL that is not pinned.
    #[error(
        "`gangway.lock` does not pin the program of the service `{service}` for `{target}`: {reason}"
    )]
    #[diagnostic(help("run `cargo xtask lock --manifest {manifest}` and commit the result"))]
    NotPinned { service: String, target: TargetName, reason: &'static str, manifest: Utf8PathBuf },
    /// Other bytes than pinned.
    #[error("`{url}` is not what `gangway.lock` pins: it has the digest `{found}`, not `{pinned}`")]
    #[diagnostic(help(
        "nothing of it was used. Find out why the file was replaced; `cargo xtask lock --update` pins the new one"
    ))]
    Digest { url: String, found: String, pinned: String },
    /// The network must not be used.
    #[error("`{url}` is not in the cache and the network is off (`--offline`)")]
    #[diagnostic(help("run the command once without `--offline`; after that it needs no network"))]
    Offline { url: String },
    /// An archive that cannot be taken.
    #[error("cannot unpack the prebuilt program of the service `{service}`")]
    Archive { service: String, source: Box<ArchiveError> },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Python(#[from] PythonError),
    /// A file could not be read.
    #[error("cannot read `{path}`, the requirements of the service `{service}`")]
    Requirements { service: String, path: Utf8PathBuf, source: std::io::Error },
    /// A file could not be written.
    #[error("cannot write `{path}`")]
    Write { path: Utf8PathBuf, source: std::io::Error },
    #[error(transparent)]
    #[diagnostic(transparent)]
    OwnFiles(#[from] OwnFilesError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Workshop(#[from] WorkshopError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Path(#[from] PathError),
}
