//! Making the shells find the app's programs: the folder they are in is put on `PATH`, once, visibly, and so that it can be undone.
//!
//! On Unix that is a few marked lines at the end of the files that the user's shells read when they start; on Windows an entry of
//! `Path` in the registry. What is already on `PATH` needs nothing. [`Plan::record`] says what will be changed before it is: who
//! writes that down first can undo it, wherever it was killed. After an undo every file has the bytes it had, and files and folders that
//! were not there are gone again.
//!
//! Files that are somebody else's to write (read-only ones, those a system like Nix or home-manager makes) are left alone, and
//! the user is told what to add.

#[cfg(unix)]
mod block;
#[cfg(unix)]
mod file;
#[cfg(unix)]
mod profiles;
#[cfg(any(windows, test))]
mod value;

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::context::Context;

/// An app's programs, which are to be found.
#[derive(Debug, Clone, Copy)]
pub struct Programs<'a> {
    /// The app's name, which stands in the marks.
    pub app: &'a str,
    /// The folder they are in.
    pub folder: &'a Utf8Path,
    /// Whether the shells of all users are to find them.
    pub for_everyone: bool,
}

/// What is done so that the programs are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: the folder is on `PATH`.
    Found,
    /// These places are changed.
    Edit(Record),
    /// Nothing can be done for the user, for this reason.
    ByHand(String),
}

/// What was changed, or is about to be. It is kept to be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The folder that was put on `PATH`.
    pub folder: Utf8PathBuf,
    /// Where.
    pub edits: Vec<Edit>,
}

/// One place that is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edit {
    /// Lines in a file that a shell reads.
    Profile {
        /// The file.
        file: Utf8PathBuf,
        /// The lines, with their marks.
        text: String,
        /// Whether the file was made for them.
        made: bool,
        /// The folders that were made for the file, the innermost first.
        folders: Vec<Utf8PathBuf>,
    },
    /// An entry of `Path` in Windows' registry.
    Registry {
        /// Whether it is that of all users.
        everyone: bool,
        /// The entry.
        entry: String,
        /// Whether there was no `Path` before.
        made: bool,
    },
}

/// What became of a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The place: a file, or what the registry calls it.
    pub place: String,
    /// What became of it.
    pub done: Done,
}

/// What became of a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Done {
    /// It was changed.
    Changed,
    /// It was so already.
    Unchanged,
    /// The file or value is gone, as it had been made for this.
    Removed,
    /// It was left alone.
    Refused {
        /// Why.
        reason: String,
        /// What the user can do.
        help: String,
    },
}

/// Decides what is changed so that programs are found. What `before` says is undone first.
#[must_use]
pub fn plan(context: &Context, programs: Programs<'_>, before: Option<&Record>) -> Plan {
    if on_path(context).iter().any(|entry| system::is_same(entry, programs.folder)) {
        return Plan::Found;
    }
    system::plan(context, programs, before)
}

/// What was changed at some time so that programs are found, as far as that can still be seen.
#[must_use]
pub fn find(context: &Context, programs: Programs<'_>) -> Option<Record> {
    let edits = system::find(context, programs);
    (!edits.is_empty()).then(|| Record { folder: programs.folder.to_owned(), edits })
}

impl Plan {
    /// What is about to be changed, to be kept before it is.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Edit(record) => Some(record),
            Self::Found | Self::ByHand(_) => None,
        }
    }
}

impl Record {
    /// Changes the places. Where that was done before, nothing is.
    #[must_use]
    pub fn apply(&self) -> Vec<Outcome> {
        system::all(&self.edits, system::apply)
    }

    /// Takes out what was put in.
    #[must_use]
    pub fn undo(&self) -> Vec<Outcome> {
        system::all(&self.edits, system::undo)
    }
}

/// The program that a shell finds by this name, if it finds one.
#[must_use]
pub fn found(context: &Context, program: &str) -> Option<Utf8PathBuf> {
    let name = if cfg!(windows) { format!("{program}.exe") } else { program.to_owned() };
    on_path(context).into_iter().map(|folder| folder.join(&name)).find(|path| path.is_file())
}

/// The folders on `PATH`.
pub(crate) fn on_path(context: &Context) -> Vec<Utf8PathBuf> {
    let separator = if cfg!(windows) { ';' } else { ':' };
    // Windows does not care how the name is written.
    let is_path =
        |name: &str| if cfg!(windows) { name.eq_ignore_ascii_case("PATH") } else { name == "PATH" };
    let value = context.environment.iter().find(|(name, _)| is_path(name));
    let value = value.map_or("", |(_, value)| value.as_str());
    value.split(separator).filter(|entry| !entry.is_empty()).map(Utf8PathBuf::from).collect()
}
