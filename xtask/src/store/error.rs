//! What can go wrong with the store.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::PathError;
use miette::Diagnostic;

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StoreError {
    /// The cache folder, or something in it, could not be read or written.
    #[error("cannot {action} `{path}`")]
    #[diagnostic(help("{}", advice(source)))]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file or folder.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An archive could not be unpacked.
    #[error("cannot unpack `{archive}`")]
    Unpack {
        /// The archive's file.
        archive: Utf8PathBuf,
        /// What is wrong with it.
        #[source]
        #[diagnostic_source]
        source: UnpackError,
    },
}

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum UnpackError {
    /// Neither a tar file nor a compressed one.
    #[error(
        "it is neither a tar archive (plain or compressed with gzip, xz or Zstandard) nor a zip file nor a program"
    )]
    UnknownFormat,
    /// The compressed data or the tar headers make no sense, or end too soon.
    #[error("it is damaged or cut short")]
    Malformed(#[source] io::Error),
    /// An entry is shorter than its header says.
    #[error("it ends in the middle of `{0}`")]
    Truncated(String),
    /// An entry's name leads out of the folder or cannot be in a bundle.
    #[error("it holds a file with a name that is not allowed")]
    #[diagnostic(help("an archive like this is broken or hostile; nothing of it was kept"))]
    Name(#[source] PathError),
    /// A link leads out of the folder.
    #[error("its link `{path}` points to `{target}`, which is not inside the archive")]
    #[diagnostic(help("an archive like this is broken or hostile; nothing of it was kept"))]
    Link {
        /// The link.
        path: String,
        /// Where it points.
        target: String,
    },
    /// A device, a pipe or something newer than we know.
    #[error("it holds `{path}`, which is {kind}")]
    #[diagnostic(help(
        "only files, folders and links can be bundled; nothing of the archive was kept"
    ))]
    Kind {
        /// The entry.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// One path is a file and a folder, or a folder and a link.
    #[error("its entry `{0}` is a folder and something else at the same time")]
    Conflict(String),
    /// Larger than any honest package.
    #[error("it is larger than allowed: {what} is more than {limit}")]
    #[diagnostic(help(
        "this protects against archives made to fill the disk; nothing of it was kept"
    ))]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// No file in it.
    #[error("it holds no file")]
    Empty,
    /// The unpacked files could not be written.
    #[error("cannot write `{path}`")]
    #[diagnostic(help("{}", advice(source)))]
    Write {
        /// The file or folder.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// For `map_err`: names what was attempted on which path.
    pub(super) fn io(action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// What a user can do about it.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some space (see it with `df -h`), or put the cache on another disk; what was fetched before is kept"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the cache must be on a file system that can be written to: choose another folder for it with `--cache DIR`"
        }
        io::ErrorKind::PermissionDenied => {
            "the cache folder must be writable: mend it with `chmod -R u+rwX`, or choose another folder for it with `--cache DIR`"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file is in the way where the cache needs a folder: move it, or choose another folder for it with `--cache DIR`"
        }
        _ => "if the cache is damaged, remove it: everything in it can be fetched again",
    }
}
