//! The name of a version's folder.
//!
//! Usually it is the version. A version that is made anew while the folder of that name is in use, because a file of it is damaged or because its
//! publisher made another one of the same number, gets `_2` behind it, and so on; no version has a `_`.

use std::fmt;
use std::str::FromStr;

use gangway_artifact::BundlePath;
use serde::{Deserialize, Serialize};

/// One component of a path on any system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slot(String);

/// A text that names no folder of a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` cannot name a folder on every system: use letters, digits, `.`, `-` and `+`, not more than 100",
    .0.escape_debug()
)]
pub struct SlotError(String);

impl Slot {
    /// The first name for a version that is not taken.
    ///
    /// # Errors
    /// When the version has something in it that no version has.
    pub fn free(version: &str, is_taken: impl Fn(&Self) -> bool) -> Result<Self, SlotError> {
        let first = Self::from_str(version)?;
        if version.contains('_') {
            return Err(SlotError(version.to_owned()));
        }
        if !is_taken(&first) {
            return Ok(first);
        }
        let numbered = |number: u32| Self(format!("{version}_{number}"));
        Ok((2..).map(numbered).find(|slot| !is_taken(slot)).expect("not all numbers are taken"))
    }

    /// The version that is in the folder.
    #[must_use]
    pub fn version(&self) -> &str {
        self.0.split_once('_').map_or(&self.0, |(version, _)| version)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slot {
    type Err = SlotError;

    fn from_str(text: &str) -> Result<Self, SlotError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-+_".contains(&byte);
        let is_name = text.bytes().all(is_plain)
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.len() <= 100
            && !is_remains(text)
            && BundlePath::windows_fault(text).is_none();
        if is_name { Ok(Self(text.to_owned())) } else { Err(SlotError(text.to_owned())) }
    }
}

/// What a folder's name ends with while it is made.
pub(super) const PARTIAL: &str = ".partial";
/// What a folder's name ends with while it is removed.
pub(super) const REMOVED: &str = ".removed";
/// What the names of files beside a folder end with that is made on Windows, where folders have no locks.
const BESIDE_PARTIAL: [&str; 2] = [".partial.lock", ".partial.scratch"];

/// Whether something with this name among the versions is left of one that was being made or removed.
pub(super) fn is_remains(name: &str) -> bool {
    [PARTIAL, REMOVED].iter().chain(&BESIDE_PARTIAL).any(|end| name.ends_with(end))
}

impl TryFrom<String> for Slot {
    type Error = SlotError;

    fn try_from(text: String) -> Result<Self, SlotError> {
        text.parse()
    }
}

impl From<Slot> for String {
    fn from(slot: Slot) -> Self {
        slot.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["2026.9.6", "1.0.0-beta.1+build5", "1.0.0_2", "1"] {
            assert_eq!(good.parse::<Slot>().expect(good).as_str(), good);
        }
        let long = "1".repeat(101);
        for bad in [
            "",
            ".",
            "..",
            ".1",
            "-1",
            "a/b",
            "a\\b",
            "C:",
            "1 0",
            "1.",
            "nul",
            "com1.0",
            "é",
            "1\0",
            "1.partial",
            "1.removed",
            "1.partial.lock",
            "1.partial.scratch",
            &long,
        ] {
            assert!(bad.parse::<Slot>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_that_is_free() {
        let taken = |names: &'static [&str]| move |slot: &Slot| names.contains(&slot.as_str());
        let free = |names| Slot::free("1.0", taken(names)).map(|slot| slot.to_string());
        assert_eq!(free(&[]).as_deref(), Ok("1.0"));
        assert_eq!(free(&["1.0"]).as_deref(), Ok("1.0_2"));
        assert_eq!(free(&["1.0", "1.0_2", "1.0_4"]).as_deref(), Ok("1.0_3"));
        for name in ["1.0", "1.0_2"] {
            assert_eq!(name.parse::<Slot>().expect(name).version(), "1.0");
        }
        assert!(Slot::free("1.0_2", taken(&[])).is_err());
        assert!(Slot::free("../1", taken(&[])).is_err());
    }
}
