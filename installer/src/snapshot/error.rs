//! Why state could not be kept, or not be brought back.

use std::io;

use camino::Utf8PathBuf;
use miette::Diagnostic;

/// Why state could not be kept, or not be brought back.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum SnapshotError {
    /// The installer was asked to end.
    #[error("interrupted while the app's data was copied")]
    #[diagnostic(help("nothing is left of that copy"))]
    Interrupted,
    /// A file could not be read: a copy without it would be none.
    #[error("cannot read `{path}` to keep a copy of it")]
    #[diagnostic(help("`--snapshot no` goes on without a copy"))]
    Read { path: String, source: io::Error },
    /// Something could not be written.
    #[error("cannot write `{path}`")]
    #[diagnostic(help("nothing else was changed; is there room for a copy of the app's data?"))]
    Write { path: String, source: io::Error },
    /// What is named as a folder is none.
    #[error("`{path}` is named as a folder of the app's data and is none")]
    #[diagnostic(help("`--snapshot no` goes on without a copy"))]
    NotAFolder { path: Utf8PathBuf },
    /// More than the app's maker allows for, and nobody to ask.
    #[error("the app's data in {folders} is {size}, more than the {limit} that are copied unasked")]
    #[diagnostic(help(
        "`--snapshot yes` keeps a copy all the same, `--snapshot no` goes on without one"
    ))]
    TooLarge { folders: String, size: String, limit: String },
    /// There is no copy for that version.
    #[error("there is no copy of the app's data as version {version} left it")]
    NoSnapshot { version: String },
    /// The copy is damaged.
    #[error("the copy of the app's data in `{path}` is damaged: {what}")]
    #[diagnostic(help("the data that is in place now was not touched"))]
    Damaged { path: Utf8PathBuf, what: String },
    /// What says what is being brought back is damaged.
    #[error("`{path}` is damaged: {what}")]
    #[diagnostic(help(
        "`repair` sets it aside; then look beside the app's data for what was being brought back"
    ))]
    Record { path: Utf8PathBuf, what: String },
    /// A newer installer is bringing something back.
    #[error("`{path}` is of version {found} of its format, and this installer knows {known}")]
    #[diagnostic(help("a newer installer was here: use the one in the prefix, or get the newest"))]
    Newer { path: Utf8PathBuf, found: u32, known: u32 },
    /// The data lies where nothing can be put beside it.
    #[error("`{path}` cannot be replaced: {reason}")]
    #[diagnostic(help("the copy is in `{copy}`: put it in place by hand"))]
    Fixed { path: Utf8PathBuf, reason: &'static str, copy: Utf8PathBuf },
    /// A step of a restore failed.
    #[error("cannot move `{from}` to `{to}`")]
    #[diagnostic(help(
        "end the programs that use it, then run the command again: it goes on from here"
    ))]
    Move { from: Utf8PathBuf, to: Utf8PathBuf, source: io::Error },
}

impl SnapshotError {
    pub(super) fn read(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Read { path, source }
    }

    pub(super) fn write(path: impl AsRef<std::path::Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().display().to_string();
        move |source| Self::Write { path, source }
    }
}
