//! What keeps a prefix from being changed or read.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use miette::Diagnostic;

use super::SlotError;
use super::journal::Fault;
use super::layout::{JOURNAL_FILE, STATE_COPY_FILE, STATE_FILE};

/// Something that went wrong outside of the prefix: the gateway is not well, a command failed.
pub type Trouble = Box<dyn Diagnostic + Send + Sync>;

/// What can go wrong with a prefix.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum PrefixError {
    #[error("cannot {attempt} `{path}`")]
    #[diagnostic(code(installer::files), help("{}", advice(source)))]
    Io { attempt: &'static str, path: Utf8PathBuf, source: io::Error },
    #[error("`{path}` is damaged: {reason}")]
    #[diagnostic(code(installer::damaged), help("{}", remedy(path)))]
    Damaged { path: Utf8PathBuf, reason: String },
    #[error("`{path}` is of version {found} of its format, and this installer knows {known}")]
    #[diagnostic(
        code(installer::newer),
        help("a newer installer was here: use the one in the prefix, or get the newest")
    )]
    Newer { path: Utf8PathBuf, found: u32, known: u32 },
    #[error(
        "`{path}` belongs to the account with the number {owner}, which is neither yours nor root's"
    )]
    #[diagnostic(
        code(installer::owner),
        help(
            "nothing of what is said there is done; if you trust that account, use it for this, else choose another folder with `--prefix`"
        )
    )]
    Stranger { path: Utf8PathBuf, owner: u32 },
    #[error("`{path}` has something else in it, and nothing of an installation: `{example}`")]
    #[diagnostic(
        code(installer::foreign),
        help("name a folder that is empty or does not exist yet, with `--prefix`")
    )]
    Foreign { path: Utf8PathBuf, example: String },
    #[error("another installer is at work on `{path}`{}", by(holder.as_deref()))]
    #[diagnostic(
        code(installer::busy),
        help("wait until it is done; without `--no-wait` this one waits by itself")
    )]
    Busy { path: Utf8PathBuf, holder: Option<String> },
    #[error("`{app}` is not installed in `{path}`")]
    #[diagnostic(
        code(installer::nothing),
        help("install it first, or say where it is with `--prefix`")
    )]
    Nothing { app: String, path: Utf8PathBuf },
    #[error("`{path}` is in the way: it is not of this installation")]
    #[diagnostic(
        code(installer::occupied),
        help(
            "move it away, or choose another folder for programs with `--bin-dir`; with `--force` it is kept as `{path}.replaced`"
        )
    )]
    Occupied { path: Utf8PathBuf },
    #[error("this version cannot have a folder of its own")]
    #[diagnostic(code(installer::version), help("its publisher must give it another number"))]
    Version(#[source] SlotError),
    #[error("version {version} is not well, and {} again", before(back.as_deref()))]
    #[diagnostic(code(installer::unwell), help("tell its publisher what is said here"))]
    Unwell {
        version: String,
        back: Option<String>,
        #[source]
        #[diagnostic_source]
        trouble: Trouble,
    },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Undone(Trouble),
    #[error("{}", stopped(*fault, version, reason, back))]
    #[diagnostic(code(installer::stopped), help("start it by hand"))]
    Stopped {
        fault: Fault,
        version: String,
        reason: Box<str>,
        back: String,
        #[source]
        #[diagnostic_source]
        trouble: Trouble,
    },
    #[error("not everything outside of the prefix is as it should be")]
    #[diagnostic(
        code(installer::outside),
        help("mend what is said here; the next command goes on with it")
    )]
    Outside {
        #[source]
        #[diagnostic_source]
        trouble: Trouble,
    },
    #[error("going back from version {version} did not succeed")]
    #[diagnostic(
        code(installer::back),
        help("mend what is said here; the next command goes on with it")
    )]
    Back {
        version: String,
        #[source]
        #[diagnostic_source]
        trouble: Trouble,
    },
}

impl PrefixError {
    /// Whether a change was taken back as a whole, as opposed to one that the next command goes on with.
    pub(crate) fn is_taken_back(&self) -> bool {
        matches!(self, Self::Unwell { .. } | Self::Undone(_) | Self::Stopped { .. })
    }

    /// For `map_err`: what was attempted, and where.
    pub(crate) fn io(
        attempt: &'static str,
        path: &Utf8Path,
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { attempt, path, source }
    }
}

/// What helps where one of our files is damaged.
fn remedy(path: &Utf8Path) -> &'static str {
    match path.file_name() {
        Some(STATE_FILE | STATE_COPY_FILE | JOURNAL_FILE) => {
            "`repair` makes it anew of what is installed"
        }
        _ => "move it away and `install` again: what is used goes on being used until that is done",
    }
}

fn by(holder: Option<&str>) -> String {
    holder.map_or_else(String::new, |holder| format!(" (`{holder}`)"))
}

/// What became of a version, where the one before does not run either.
fn stopped(fault: Fault, version: &str, reason: &str, back: &str) -> String {
    let why = match fault {
        Fault::Version => format!("version {version} is not well ({reason})"),
        Fault::Machine => format!("version {version} cannot be used ({reason})"),
        Fault::Restart => {
            return format!(
                "the restart command is at fault: it fails with version {version}, and with version {back}, which is used again"
            );
        }
    };
    format!("{why}, and version {back} is used again, but could not be started again")
}

fn before(version: Option<&str>) -> String {
    match version {
        Some(version) => format!("version {version} is used"),
        None => "nothing is installed".to_owned(),
    }
}

/// What helps where the system refuses.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "free some space, or choose another disk with `--prefix`",
        io::ErrorKind::QuotaExceeded => {
            "your quota is used up: free some space, or choose another disk with `--prefix`"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is mounted read-only: choose another one with `--prefix`"
        }
        io::ErrorKind::PermissionDenied => {
            "use the account it belongs to, or choose another folder with `--prefix`"
        }
        _ => "give the command again when that is mended: it goes on where it was",
    }
}
