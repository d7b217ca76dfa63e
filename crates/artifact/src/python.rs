//! Which Python a service of a bundle runs under, and how it is started.
//!
//! A bundle brings a service's packages but no interpreter: on a Jetson the bindings of TensorRT belong to the system's
//! Python, and only that one can load them. So the builder writes down what it knows and the launcher looks for an
//! interpreter that fits.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::BundlePath;

/// A service in Python, as the launcher starts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonProgram {
    /// Which interpreters will do.
    pub versions: PythonVersions,
    /// Whether packages hold code compiled for the target: then the interpreter must be CPython for the same processor,
    /// with the global lock.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub native: bool,
    /// The script to run.
    pub script: BundlePath,
    /// Where modules are looked for, before the system's own.
    pub path: Vec<BundlePath>,
    /// Arguments that stand before the user's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables to set where there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// A range of Python's minor versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonVersions {
    /// The oldest.
    pub first: PythonVersion,
    /// The newest, if there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<PythonVersion>,
}

/// A minor version of Python 3, such as `3.10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PythonVersion {
    /// What stands after `3.`.
    pub minor: u8,
}

/// A text that is no minor version of Python 3.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version of Python such as `3.10`")]
pub struct PythonVersionError(String);

impl PythonVersions {
    /// One version alone.
    #[must_use]
    pub const fn exactly(version: PythonVersion) -> Self {
        Self { first: version, last: Some(version) }
    }

    /// Whether `version` is one of them.
    #[must_use]
    pub fn contains(&self, version: PythonVersion) -> bool {
        self.first <= version && self.last.is_none_or(|last| version <= last)
    }
}

impl fmt::Display for PythonVersions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) if last == self.first => write!(formatter, "Python {last}"),
            Some(last) => write!(formatter, "Python {} to {last}", self.first),
            None => write!(formatter, "Python {} or newer", self.first),
        }
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "3.{}", self.minor)
    }
}

impl FromStr for PythonVersion {
    type Err = PythonVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("3.").unwrap_or_default();
        // A number has one spelling: `3.010` and `3.+1` are none.
        let is_plain = digits == "0" || !digits.starts_with(['0', '+']);
        match digits.parse() {
            Ok(minor) if is_plain => Ok(Self { minor }),
            _ => Err(PythonVersionError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for PythonVersion {
    type Error = PythonVersionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PythonVersion> for String {
    fn from(version: PythonVersion) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> PythonVersion {
        text.parse().expect("a version")
    }

    #[test]
    fn versions_are_minor_versions() {
        assert_eq!(version("3.10").minor, 10);
        assert!(version("3.9") < version("3.10"));
        for wrong in ["", "3", "3.", "3.10.2", "2.7", "3.010", "3.+1", "3.999", "3.x", " 3.1"] {
            assert!(wrong.parse::<PythonVersion>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_say_what_they_hold() {
        let open = PythonVersions { first: version("3.10"), last: None };
        let closed = PythonVersions { first: version("3.8"), last: Some(version("3.12")) };
        let exact = PythonVersions::exactly(version("3.10"));
        assert_eq!(
            [open, closed, exact].map(|range| range.to_string()),
            ["Python 3.10 or newer", "Python 3.8 to 3.12", "Python 3.10"]
        );
        let held = |range: PythonVersions| {
            ["3.7", "3.8", "3.10", "3.12", "3.13"].map(|text| range.contains(version(text)))
        };
        assert_eq!(held(open), [false, false, true, true, true]);
        assert_eq!(held(closed), [false, true, true, true, false]);
        assert_eq!(held(exact), [false, false, true, false, false]);
    }

    #[test]
    fn a_program_is_read_back() {
        let path = |text: &str| BundlePath::new(text).expect("plain");
        let program = PythonProgram {
            versions: PythonVersions::exactly(version("3.10")),
            native: true,
            script: path("services/worker/main.py"),
            path: vec![path("services/worker/site-packages")],
            args: Vec::new(),
            env: BTreeMap::new(),
        };
        let text = serde_json::to_string(&program).expect("it has a JSON form");
        assert_eq!(
            text,
            r#"{"versions":{"first":"3.10","last":"3.10"},"native":true,"script":"services/worker/main.py","path":["services/worker/site-packages"]}"#
        );
        assert_eq!(serde_json::from_str::<PythonProgram>(&text).expect("its own text"), program);
    }
}
