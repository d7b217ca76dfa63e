//! `journal.json`: what is going on.
//!
//! It is written before anything of it is done, and is gone when all of it is. Who finds one knows that somebody was
//! killed, and how it goes on from there ([`recovery`](super::recovery)).

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::durable::Readers;
use super::state::{self, State};
use super::{Layout, PrefixError, Slot, durable};
use crate::checkpoint::{self, Step};
use crate::health::Before;

/// The version of the format this installer reads and writes.
const JOURNAL_VERSION: u32 = 1;

/// The content of `journal.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    version: u32,
    /// What is going on.
    pub operation: Operation,
}

/// What is done to a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A version's folder is made. Nobody uses it yet.
    Make {
        /// Its name.
        slot: Slot,
    },
    /// Another version is to be used.
    Activate(Box<Activation>),
    /// Folders that nobody uses are removed.
    Remove {
        /// Their names.
        slots: Vec<Slot>,
    },
    /// Everything is removed.
    Uninstall(Leaving),
}

/// Why one version takes the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// It was asked for, or is newer.
    Advance,
    /// An earlier one is to be used again.
    Rollback,
    /// It is the same, made anew.
    Repair,
}

/// One version takes the place of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// Why.
    pub purpose: Purpose,
    /// The one that is to be used.
    pub to: Slot,
    /// Whether its folder was made for this, and goes if it is not to be used.
    pub is_new: bool,
    /// The one that was used.
    pub from: Option<Slot>,
    /// Where it goes.
    pub direction: Direction,
    /// What the service said before: whoever goes on with this can ask it no more.
    #[serde(default)]
    pub service: Before,
    /// What was installed.
    pub before: Option<State>,
    /// What is installed when it is done.
    pub after: State,
    /// Folders that go when it is done.
    pub remove: Vec<Slot>,
}

impl Activation {
    /// Whether another version comes to be used. Otherwise nothing need be started again, and no version is to blame for anything.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.from.as_ref() != Some(&self.to)
    }

    /// To a version that is there already, from what is installed and used; nothing is removed for it.
    #[must_use]
    pub fn to_version(
        purpose: Purpose,
        to: Slot,
        from: Option<Slot>,
        states: (State, State),
    ) -> Self {
        let (before, after) = states;
        let (direction, service) = (Direction::Forward, Before::Silent);
        let (before, remove) = (Some(before), Vec::new());
        Self { purpose, to, is_new: false, from, direction, service, before, after, remove }
    }
}

/// Whether something is being done, or taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// It is being done.
    Forward,
    /// It cannot be done.
    Back {
        /// Why.
        reason: String,
        /// What is at fault.
        #[serde(default)]
        fault: Fault,
    },
}

/// What is at fault when a version cannot take the place of another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The version: it is not well.
    #[default]
    Version,
    /// The version, or the command that starts again what runs: it failed.
    Restart,
    /// Neither: something could not be written, or is in the way.
    Machine,
}

/// What is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// What was installed.
    pub before: Box<State>,
    /// Folders of the app's own data, if they are to go too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<Utf8PathBuf>,
}

impl Journal {
    /// What is going on in a prefix, if anything is.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what this installer writes.
    pub fn read(layout: &Layout) -> Result<Option<Operation>, PrefixError> {
        let journal: Option<Self> = state::read(&layout.journal(), JOURNAL_VERSION)?;
        Ok(journal.map(|journal| journal.operation))
    }

    /// Says that this begins.
    pub(super) fn begin(layout: &Layout, operation: &Operation) -> Result<(), PrefixError> {
        let journal = Self { version: JOURNAL_VERSION, operation: operation.clone() };
        let readers = match operation {
            // Both are in it, each with the address that it is from.
            Operation::Activate(activation) => {
                let before = activation.before.as_ref().map_or(Readers::Everyone, State::readers);
                if before == Readers::Owner { before } else { activation.after.readers() }
            }
            Operation::Uninstall(leaving) => leaving.before.readers(),
            _ => Readers::Everyone,
        };
        durable::write(&layout.journal(), &state::text(&journal), readers)
    }

    /// Says that nothing is going on.
    pub(super) fn close(layout: &Layout) -> Result<(), PrefixError> {
        durable::remove(&layout.journal())?;
        checkpoint::reached(Step::Closed);
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::state::tests::{slot, state};
    use super::*;

    fn activation(before: Option<State>, after: State) -> Activation {
        Activation {
            purpose: Purpose::Advance,
            to: slot("1.0.0"),
            is_new: false,
            from: None,
            direction: Direction::Forward,
            service: Before::Well,
            before,
            after,
            remove: Vec::new(),
        }
    }

    /// What an older installer was doing goes on, too.
    #[test]
    fn older_ones_are_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let layout = Layout::new(camino::Utf8Path::from_path(folder.path()).expect("UTF-8").into());
        let written = activation(None, state(&["1.0.0"]));
        let operation = Operation::Activate(Box::new(written.clone()));
        Journal::begin(&layout, &operation).expect("writable");
        assert_eq!(Journal::read(&layout).expect("its own text"), Some(operation));
        let text = std::fs::read(layout.journal()).expect("it was written");
        let mut older: serde_json::Value = serde_json::from_slice(&text).expect("it is JSON");
        let activate = older["operation"]["activate"].as_object_mut().expect("it has fields");
        assert_eq!(activate.remove("service"), Some("well".into()));
        std::fs::write(layout.journal(), older.to_string()).expect("ours");
        let expected = Activation { service: Before::Silent, ..written };
        let back = |fault| Direction::Back { reason: "it is ill".to_owned(), fault };
        let ill = Activation { direction: back(Fault::Version), ..expected.clone() };
        let read = || Journal::read(&layout).expect("it is understood");
        assert_eq!(read(), Some(Operation::Activate(Box::new(expected))));
        older["operation"]["activate"]["direction"] =
            serde_json::json!({"back": {"reason": "it is ill"}});
        std::fs::write(layout.journal(), older.to_string()).expect("ours");
        assert_eq!(read(), Some(Operation::Activate(Box::new(ill.clone()))));
        let operation =
            Operation::Activate(Box::new(Activation { direction: back(Fault::Machine), ..ill }));
        Journal::begin(&layout, &operation).expect("writable");
        assert_eq!(read(), Some(operation));
    }

    /// Whoever goes from an address with a password in it to one without, or the other way, has both in the journal.
    #[test]
    fn who_may_read_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let layout = Layout::new(camino::Utf8Path::from_path(folder.path()).expect("UTF-8").into());
        let of = |base: &str| State { base: base.to_owned(), ..state(&["1.0.0"]) };
        let (plain, secret) = ("https://host/releases", "https://me:word@host/releases");
        for (before, after, mode) in [
            (Some(secret), plain, 0o600),
            (Some(plain), secret, 0o600),
            (Some(plain), plain, 0o644),
            (None, plain, 0o644),
            (None, secret, 0o600),
        ] {
            let operation = Operation::Activate(Box::new(activation(before.map(of), of(after))));
            Journal::begin(&layout, &operation).expect("writable");
            let found = layout.journal().metadata().expect("it was written").permissions().mode();
            assert_eq!(found & 0o777, mode, "{before:?} {after}");
        }
    }
}
