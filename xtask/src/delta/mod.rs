//! Updates, as who publishes them sees them: archives that are read like an updater reads them, and patches between two of them.
//!
//! What is planned is planned by `gangway_artifact::delta`, which the installer uses too. The files of an archive are found by its manifest
//! and checked by the digests in it; nothing is unpacked to disk.

mod archive;
mod patch;
mod sketch;
#[cfg(test)]
mod tests;

use std::io;

use camino::Utf8PathBuf;
use gangway_artifact::delta::DeltaError;
use gangway_artifact::{BundlePath, FrameError, ManifestError};
use miette::Diagnostic;

pub use archive::{Bundle, Reader};
pub use patch::make;

/// Bundles between which nothing can be planned.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum UpdateError {
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read { path: Utf8PathBuf, source: io::Error },
    /// It is neither.
    #[error("`{path}` is neither an archive nor a manifest")]
    #[diagnostic(help(
        "name a `.tar.zst` that `cargo xtask bundle` made, or the `.manifest.json` beside it"
    ))]
    Format { path: Utf8PathBuf },
    /// It has no frames.
    #[error("`{path}` can only be read from its beginning, so no part of it can be fetched")]
    #[diagnostic(help(
        "updates are for `.tar.zst`; make one with `cargo xtask bundle --format tar.zst`"
    ))]
    NoFrames { path: Utf8PathBuf },
    /// The archive is damaged, or something else.
    #[error("`{path}` is damaged, or no bundle: {what}")]
    #[diagnostic(help("bundle it anew, or fetch it again"))]
    Damaged { path: Utf8PathBuf, what: &'static str },
    /// The manifest cannot be taken.
    #[error("cannot take the manifest of `{path}`: {source}")]
    #[diagnostic(help("it was made by another version of Gangway: bundle it anew with this one"))]
    Manifest {
        path: Utf8PathBuf,
        #[source]
        source: ManifestError,
    },
    /// The manifest contradicts itself.
    #[error("the manifest of `{path}` cannot be followed: {source}")]
    #[diagnostic(help("bundle it anew as `.tar.zst` with this version of Gangway"))]
    Frames {
        path: Utf8PathBuf,
        #[source]
        source: FrameError,
    },
    /// They are not two versions of one bundle.
    #[error("there is no update from `{old}` to `{new}`: {source}")]
    #[diagnostic(help("compare two versions of one app for one target, both as `.tar.zst`"))]
    Unrelated {
        old: Utf8PathBuf,
        new: Utf8PathBuf,
        #[source]
        source: DeltaError,
    },
    /// Patches are made of files.
    #[error("a patch cannot be made from `{path}`: it is a manifest alone")]
    #[diagnostic(help("name the archives of both versions"))]
    NoArchive { path: Utf8PathBuf },
    /// A file of the archive is not what the manifest says.
    #[error("`{file}` in `{path}` is not what the manifest says")]
    #[diagnostic(help("the archive is damaged; bundle it anew, or fetch it again"))]
    Content { path: Utf8PathBuf, file: BundlePath },
    /// The compressor refuses.
    #[error("cannot compress the patch")]
    Compress(#[source] io::Error),
    /// A patch could not be kept.
    #[error("cannot write `{path}`")]
    #[diagnostic(help("check that the folder can be written to"))]
    Write { path: Utf8PathBuf, source: io::Error },
    /// A list of patches that nobody can read.
    #[error("`{path}` is not a list of patches")]
    #[diagnostic(help("remove it; it is written anew"))]
    Patches { path: Utf8PathBuf, source: serde_json::Error },
}
