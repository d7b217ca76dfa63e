//! The folders in which an app keeps its own data: outside of the bundle, and not made by the installer.
//!
//! A bundle names them so that they are kept before another version may change them. What it names is copied, and moved
//! aside when an earlier copy comes back, so a [`StatePath`] has two parts: a place that is known for such data, and a name below it.
//! Never the place itself: nobody means the whole home folder.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{BundlePath, Os, PathError};

/// A folder of the app's own data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Where it is.
    pub path: StatePath,
    /// An environment variable that names another folder, where it is set to an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// What of it is not kept: files, and folders with all that is in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<BundlePath>,
    /// How large it may be to be kept without a further question, in millions of bytes.
    pub limit_mb: u32,
}

impl State {
    /// What `limit_mb` is where nobody says.
    pub const LIMIT_MB: u32 = 2000;

    /// The folder, on a machine with these variables. `None` where they do not tell.
    #[must_use]
    pub fn folder(&self, os: Os, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
        let named = self.variable.as_deref().and_then(&variable);
        named.filter(|path| is_absolute(os, path)).or_else(|| self.path.folder(os, variable))
    }
}

/// Where a folder of data is: `~/.name`, `$XDG_DATA_HOME/name`, `%APPDATA%/name`, `/var/lib/name`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatePath {
    base: &'static Base,
    below: BundlePath,
}

/// Not the place of a folder of data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatePathError {
    /// Nobody keeps data there.
    #[error("`{}` does not begin with a place for data", .0.escape_debug())]
    Base(String),
    /// The place itself.
    #[error("`{0}` holds the data of every program")]
    Shared(String),
    /// What follows is no path.
    #[error(transparent)]
    Below(#[from] PathError),
}

/// A place for data.
#[derive(Debug, PartialEq, Eq)]
struct Base {
    /// As it is written.
    written: &'static str,
    /// The variable that names it; none where it is the same on every machine.
    variable: Option<&'static str>,
    /// Where it is below the home folder when the variable is not set; none where it is then unknown.
    default: Option<&'static str>,
}

/// <https://specifications.freedesktop.org/basedir-spec/latest/>, Windows' own variables, and the folders of the Filesystem
/// Hierarchy Standard that belong to programs.
const BASES: &[Base] = &[
    Base { written: "~", variable: None, default: Some("") },
    Base {
        written: "$XDG_DATA_HOME",
        variable: Some("XDG_DATA_HOME"),
        default: Some(".local/share"),
    },
    Base {
        written: "$XDG_STATE_HOME",
        variable: Some("XDG_STATE_HOME"),
        default: Some(".local/state"),
    },
    Base {
        written: "$XDG_CONFIG_HOME",
        variable: Some("XDG_CONFIG_HOME"),
        default: Some(".config"),
    },
    Base { written: "$XDG_CACHE_HOME", variable: Some("XDG_CACHE_HOME"), default: Some(".cache") },
    Base { written: "%APPDATA%", variable: Some("APPDATA"), default: Some("AppData/Roaming") },
    Base {
        written: "%LOCALAPPDATA%",
        variable: Some("LOCALAPPDATA"),
        default: Some("AppData/Local"),
    },
    Base { written: "%PROGRAMDATA%", variable: Some("PROGRAMDATA"), default: None },
    Base { written: "/var/lib", variable: None, default: None },
    Base { written: "/srv", variable: None, default: None },
    Base { written: "/etc", variable: None, default: None },
];

impl Base {
    fn is_on(&self, os: Os) -> bool {
        match self.written.as_bytes()[0] {
            b'%' => os == Os::Win32,
            b'/' => os != Os::Win32,
            _ => true,
        }
    }
}

impl StatePath {
    /// Whether each user has one of their own.
    #[must_use]
    pub fn is_of_a_user(&self) -> bool {
        self.base.default.is_some()
    }

    /// Whether a system has such a place.
    #[must_use]
    pub fn is_on(&self, os: Os) -> bool {
        self.base.is_on(os)
    }

    /// How a path may begin on a system, for messages.
    pub fn bases(os: Os) -> impl Iterator<Item = &'static str> {
        BASES.iter().filter(move |base| base.is_on(os)).map(|base| base.written)
    }

    /// The folder, on a machine with these variables. `None` where they do not tell.
    #[must_use]
    pub fn folder(&self, os: Os, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
        let absolute = |name: &str| variable(name).filter(|path| is_absolute(os, path));
        let home = || absolute(if os == Os::Win32 { "USERPROFILE" } else { "HOME" });
        let named = self.base.variable.and_then(absolute);
        let base = match (named, self.base.default) {
            (Some(named), _) => named,
            (None, Some("")) => home()?,
            (None, Some(default)) => format!("{}/{default}", home()?),
            (None, None) if self.base.variable.is_none() => self.base.written.to_owned(),
            (None, None) => return None,
        };
        let folder = format!("{}/{}", base.trim_end_matches(['/', '\\']), self.below);
        Some(if os == Os::Win32 { folder.replace('/', "\\") } else { folder })
    }
}

/// Whether the path leads to the same file from everywhere.
fn is_absolute(os: Os, path: &str) -> bool {
    match os {
        Os::Win32 => {
            matches!(path.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
        }
        Os::Linux | Os::Darwin => path.starts_with('/'),
    }
}

impl FromStr for StatePath {
    type Err = StatePathError;

    fn from_str(text: &str) -> Result<Self, StatePathError> {
        let of = |base: &'static Base| Some((base, text.strip_prefix(base.written)?));
        let found = BASES
            .iter()
            .filter_map(of)
            .find(|(_, rest)| matches!(rest.as_bytes(), [] | [b'/', ..]));
        let (base, rest) = found.ok_or_else(|| StatePathError::Base(text.to_owned()))?;
        match rest.trim_start_matches('/') {
            "" => Err(StatePathError::Shared(text.to_owned())),
            _ => Ok(Self { base, below: BundlePath::new(&rest[1..])? }),
        }
    }
}

impl TryFrom<String> for StatePath {
    type Error = StatePathError;

    fn try_from(text: String) -> Result<Self, StatePathError> {
        text.parse()
    }
}

impl From<StatePath> for String {
    fn from(path: StatePath) -> Self {
        path.to_string()
    }
}

impl fmt::Display for StatePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.base.written, self.below)
    }
}

impl fmt::Debug for StatePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn on(os: Os, path: &str, variables: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        path.parse::<StatePath>().expect(path).folder(os, variable)
    }

    #[test]
    fn where_they_are() {
        let home = ("HOME", "/home/a");
        let of = |path, variables: &[_]| on(Os::Linux, path, variables);
        assert_eq!(of("~/.claw", &[home]).as_deref(), Some("/home/a/.claw"));
        assert_eq!(
            of("$XDG_DATA_HOME/claw", &[home]).as_deref(),
            Some("/home/a/.local/share/claw")
        );
        let data = ("XDG_DATA_HOME", "/data/");
        assert_eq!(of("$XDG_DATA_HOME/claw/x", &[home, data]).as_deref(), Some("/data/claw/x"));
        // The specification has relative ones ignored.
        let data = ("XDG_DATA_HOME", "data");
        assert_eq!(
            of("$XDG_DATA_HOME/claw", &[home, data]).as_deref(),
            Some("/home/a/.local/share/claw")
        );
        assert_eq!(of("~/.claw", &[]), None);
        assert_eq!(of("/var/lib/claw", &[]).as_deref(), Some("/var/lib/claw"));
        let windows = |path, variables: &[_]| on(Os::Win32, path, variables);
        let profile = ("USERPROFILE", "C:\\Users\\a");
        assert_eq!(windows("~/.claw", &[profile]).as_deref(), Some("C:\\Users\\a\\.claw"));
        assert_eq!(
            windows("%APPDATA%/claw", &[profile]).as_deref(),
            Some("C:\\Users\\a\\AppData\\Roaming\\claw")
        );
        assert_eq!(windows("%PROGRAMDATA%/claw", &[profile]), None);
    }

    #[test]
    fn a_variable_of_its_own() {
        let state = State {
            path: "~/.claw".parse().expect("one"),
            variable: Some("CLAW_STATE_DIR".to_owned()),
            exclude: Vec::new(),
            limit_mb: State::LIMIT_MB,
        };
        let of = |value: &str| {
            state.folder(Os::Linux, |name| {
                Some(if name == "HOME" { "/h" } else { value }.to_owned())
            })
        };
        assert_eq!(of("/data/claw").as_deref(), Some("/data/claw"));
        assert_eq!(of("relative").as_deref(), Some("/h/.claw"));
        assert_eq!(of("").as_deref(), Some("/h/.claw"));
    }

    #[test]
    fn what_nobody_means() {
        for wrong in [
            "",
            "~",
            "~/",
            "~//",
            "/",
            "/var/lib",
            "/var/lib/",
            "/usr/lib/x",
            "~x/y",
            "~/../x",
            "~/a/../..",
            "$HOME/x",
            "%APPDATA%",
            "%APPDATA%\\x",
            "C:\\x",
            "relative",
            "~//x",
            "/var/libx/y",
        ] {
            assert!(wrong.parse::<StatePath>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn it_is_always_below_its_place(text in "(~|/var/lib|%APPDATA%)[a./~]{0,12}") {
            if let Ok(path) = text.parse::<StatePath>() {
                prop_assert_eq!(path.to_string(), text);
                let folder = path.folder(Os::Linux, |_| Some("/h".to_owned())).expect("it tells");
                let below = ["/h/", "/var/lib/"].into_iter().find_map(|base| folder.strip_prefix(base));
                prop_assert!(BundlePath::new(below.expect("below")).is_ok());
            }
        }
    }
}
