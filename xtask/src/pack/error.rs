//! What can go wrong when an archive is written.

use std::io;

use camino::Utf8PathBuf;
use gangway_artifact::{BundlePath, Digest, MANIFEST_FILE};
use miette::Diagnostic;

/// What can go wrong when an archive is written.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are what the messages name")]
pub enum PackError {
    /// The name of the archive's folder is not a name.
    #[error("`{name}` cannot be the name of the archive's folder")]
    Folder { name: String },
    /// Two nodes of the tree cannot be there at once.
    #[error("cannot pack `{below}`: `{path}` is not a folder")]
    NotAFolder { path: BundlePath, below: BundlePath },
    /// What describes the archive is written last.
    #[error("the tree has a `{MANIFEST_FILE}` already")]
    Taken,
    /// A link that would be wrong, or dangerous, on another machine.
    #[error("cannot pack the link `{path}`: it leads out of the bundle, to `{target}`")]
    Escapes { path: BundlePath, target: String },
    /// A file of the tree cannot be read.
    #[error("cannot read `{source_path}` to pack it as `{path}`")]
    Read {
        path: BundlePath,
        source_path: Utf8PathBuf,
        #[source]
        error: io::Error,
    },
    /// A file of the tree is not what it was: the store is damaged.
    #[error("cannot pack `{path}`: `{source_path}` was changed since it was stored")]
    #[diagnostic(help(
        "its SHA-256 is no longer {expected}; something wrote to the cache, or the disk fails"
    ))]
    Damaged { path: BundlePath, source_path: Utf8PathBuf, expected: Digest },
    /// Another builder writes the same archive.
    #[error("cannot write `{out}`: another builder is writing it")]
    #[diagnostic(help("wait until it is done, or choose another output folder"))]
    Busy { out: Utf8PathBuf },
    /// The archive cannot be written.
    #[error("cannot write `{out}`")]
    #[diagnostic(help("{}", write_help(error.kind())))]
    Write {
        out: Utf8PathBuf,
        #[source]
        error: io::Error,
    },
    /// The compressor refuses.
    #[error("cannot compress for `{out}`")]
    #[diagnostic(help("this needs some memory per thread; try fewer jobs"))]
    Compress {
        out: Utf8PathBuf,
        #[source]
        error: io::Error,
    },
}

fn write_help(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space there, or choose another output folder"
        }
        _ => "nothing was left behind; check that the output folder can be written to",
    }
}
