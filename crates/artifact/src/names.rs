//! Names that become files: of an app, and of the programs in `bin/`.
//!
//! They are joined to folders on every platform, so nothing is in one that is a path, or that any of them forbids. The builder refuses others in
//! `gangway.toml`, and an installer in a manifest.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::BundlePath;

/// The longest name; `<app>-<version>-<target>.tar.zst` stays well under the 255 bytes file systems allow.
const LONGEST: usize = 64;

/// The name of a program: `bin/<name>` in a bundle, and a link or file of that name in the user's folder of programs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProgramName(String);

/// The name of an app: that of a program, without upper-case letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);

/// A text that cannot be such a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot name {what}: {reason}", name.escape_debug())]
pub struct NameError {
    what: &'static str,
    name: String,
    reason: &'static str,
}

impl ProgramName {
    /// Why `name` cannot name a program.
    #[must_use]
    pub fn fault(name: &str) -> Option<&'static str> {
        let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
        if name.is_empty() {
            return Some("it is empty");
        }
        if name.len() > LONGEST {
            return Some("it is longer than 64 bytes");
        }
        if name.contains(['/', '\\']) {
            return Some("it is a path");
        }
        if !name.chars().all(plain) {
            return Some("only letters, digits, `-`, `_` and `.` are allowed");
        }
        let ends = [name.chars().next(), name.chars().next_back()];
        if !ends.into_iter().flatten().all(|char| char.is_ascii_alphanumeric()) {
            return Some("it must begin and end with a letter or digit");
        }
        BundlePath::windows_fault(name).map(|_| "Windows keeps that name for a device")
    }
}

impl AppName {
    /// Why `name` cannot name an app.
    #[must_use]
    pub fn fault(name: &str) -> Option<&'static str> {
        if name.contains(|char: char| char.is_ascii_uppercase()) {
            return Some("it has upper-case letters");
        }
        ProgramName::fault(name)
    }

    /// The name of the app's installer, which lies beside its programs.
    #[must_use]
    pub fn installer(&self) -> String {
        format!("{}-installer", self.0)
    }
}

/// What both have.
macro_rules! a_name {
    ($name:ident, $what:literal) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                match Self::fault(text) {
                    None => Ok(Self(text.to_owned())),
                    Some(reason) => Err(NameError { what: $what, name: text.to_owned(), reason }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

a_name!(ProgramName, "a program");
a_name!(AppName, "an app");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_platform_may_have_these_names() {
        for name in ["openclaw", "a", "gateway-2", "my.gateway_x", "com", "command", "console"] {
            assert_eq!(name.parse::<AppName>().expect(name).as_str(), name);
            assert_eq!(name.parse::<ProgramName>().expect(name).as_str(), name);
        }
        assert!("OpenClaw".parse::<ProgramName>().is_ok());
    }

    #[test]
    fn names_that_some_platform_refuses() {
        let long = "a".repeat(65);
        for name in [
            "", ".", "..", "-x", ".hidden", "x.", "a/b", "a\\b", "a b", "a:b", "é", "nul",
            "con.js", "com1", "LPT9.txt", "a\0", "../x", "/tmp/x", &long,
        ] {
            assert!(name.parse::<ProgramName>().is_err(), "{name:?}");
            assert!(name.parse::<AppName>().is_err(), "{name:?}");
        }
        let error = "OpenClaw".parse::<AppName>().expect_err("it has one");
        insta::assert_snapshot!(error, @"`OpenClaw` cannot name an app: it has upper-case letters");
    }
}
