//! The programs of a bundle: each is a file of its own, in `bin/` and where the user has programs, on systems too where case does not count.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};

use crate::{AppName, ProgramName};

/// More than any bundle has. They are held while a manifest is read.
const MOST: usize = 1000;

/// The names of a bundle's entrypoints and services.
#[derive(Debug, Clone, Default)]
pub(crate) struct Programs {
    /// In lower case.
    names: BTreeSet<String>,
}

/// Programs that cannot be together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramsError {
    /// Two of them would be one file.
    #[error("it has more than one program `{0}`")]
    Twice(ProgramName),
    /// One of them would be the app's installer.
    #[error("its program `{0}` has the name of its installer")]
    Installer(String),
    /// They are too many.
    #[error("it has more than {MOST} programs")]
    TooMany,
}

impl Programs {
    pub(crate) fn add(&mut self, name: &ProgramName) -> Result<(), ProgramsError> {
        if !self.names.insert(name.as_str().to_ascii_lowercase()) {
            return Err(ProgramsError::Twice(name.clone()));
        }
        if self.names.len() > MOST { Err(ProgramsError::TooMany) } else { Ok(()) }
    }

    /// Whether they can be those of this app.
    pub(crate) fn check(&self, app: &AppName) -> Result<(), ProgramsError> {
        let installer = app.installer();
        match self.names.contains(&installer) {
            true => Err(ProgramsError::Installer(installer)),
            false => Ok(()),
        }
    }
}

/// Adds those of a list, of which nothing else is looked at.
pub(crate) struct List<'a>(pub(crate) &'a mut Programs);

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of programs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        /// An entrypoint or a service.
        #[derive(Deserialize)]
        struct Program {
            name: ProgramName,
        }
        while let Some(Program { name }) = list.next_element()? {
            self.0.add(&name).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}
