//! Paths inside a bundle.
//!
//! A [`BundlePath`] is relative, uses `/`, and has no empty, `.` or `..` component, no backslash, no colon and no
//! control character. Joining it to a folder therefore never leads out of that folder, on any
//! platform. Case collisions and names reserved on Windows depend on the target and are not its affair.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A file's place inside a bundle, for instance `app/node_modules/ws/index.js`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BundlePath(String);

/// A path that must not be in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a path inside a bundle: {reason}", path.escape_debug())]
pub struct PathError {
    /// The text as it was given.
    pub path: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl BundlePath {
    /// The longest path in bytes; tar, zip and every file system we install to can hold it.
    pub const MAX_LENGTH: usize = 1024;

    /// Checks `path` and takes it as it is.
    ///
    /// # Errors
    /// When it is empty, absolute, too long, or has a component no bundle may have.
    pub fn new(path: impl Into<String>) -> Result<Self, PathError> {
        let path = path.into();
        match fault(&path) {
            Some(reason) => Err(PathError { path, reason }),
            None => Ok(Self(path)),
        }
    }

    /// The path as text, with `/` between components.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path with `more` below it.
    ///
    /// # Errors
    /// As [`BundlePath::new`].
    pub fn join(&self, more: &str) -> Result<Self, PathError> {
        Self::new(format!("{}/{more}", self.0))
    }

    /// This path with the path `more` below it.
    ///
    /// # Errors
    /// When both together are too long; nothing else can be wrong with two paths that are right.
    pub fn join_path(&self, more: &Self) -> Result<Self, PathError> {
        let path = [self.as_str(), "/", more.as_str()].concat();
        if path.len() > Self::MAX_LENGTH { Self::new(path) } else { Ok(Self(path)) }
    }

    /// This path with `suffix` at the end of its last component.
    ///
    /// # Errors
    /// As [`BundlePath::new`].
    pub fn with_suffix(&self, suffix: &str) -> Result<Self, PathError> {
        Self::new(format!("{}{suffix}", self.0))
    }

    /// The last component.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The path without its last component; `None` for a path of one component.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// What follows when `folder` is an ancestor of this path.
    #[must_use]
    pub fn below(&self, folder: &str) -> Option<&str> {
        self.0.strip_prefix(folder)?.strip_prefix('/')
    }

    /// Whether a symbolic link at this path may point to `target`: relative, and not out of the bundle.
    ///
    /// `..` may only stand at the front. After a name it could climb out through another link, whose real depth the
    /// text does not show.
    #[must_use]
    pub fn holds_link_to(&self, target: &str) -> bool {
        if target.is_empty()
            || target.starts_with('/')
            || target.contains('\\')
            || target.contains(':')
            || target.chars().any(char::is_control)
        {
            return false;
        }
        let mut depth = self.components().count() - 1;
        let mut named = false;
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." if named || depth == 0 => return false,
                ".." => depth -= 1,
                _ => named = true,
            }
        }
        true
    }

    /// Why Windows cannot have `path`, if it cannot.
    ///
    /// Names: <https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file>.
    #[must_use]
    pub fn windows_fault(path: &str) -> Option<&'static str> {
        path.split('/').find_map(|name| {
            if name.contains(['<', '>', '"', '|', '?', '*']) {
                return Some("a name must not have any of < > \" | ? *");
            }
            if name.ends_with(['.', ' ']) {
                return Some("a name must not end with a dot or a space");
            }
            let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
            let is_numbered = |device: &str| {
                const NUMBERS: [&str; 12] =
                    ["1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"];
                stem.strip_prefix(device).is_some_and(|number| NUMBERS.contains(&number))
            };
            let is_device =
                matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$");
            (is_device || is_numbered("COM") || is_numbered("LPT"))
                .then_some("the name is that of a device")
        })
    }

    /// The components, in order.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
}

fn fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.len() > BundlePath::MAX_LENGTH {
        return Some("it is longer than 1024 bytes");
    }
    if path.starts_with('/') {
        return Some("it is absolute");
    }
    let refused = path.bytes().find(|byte| matches!(byte, b'\\' | b':') || byte.is_ascii_control());
    match refused {
        Some(b'\\') => return Some("it contains a backslash"),
        Some(b':') => return Some("it contains a colon"),
        Some(_) => return Some("it contains a control character"),
        None => {}
    }
    if !path.is_ascii() && path.chars().any(char::is_control) {
        return Some("it contains a control character");
    }
    path.split('/').find_map(|component| match component {
        "" => Some("it has an empty component"),
        "." => Some("it has a `.` component"),
        ".." => Some("it leads out of the bundle with `..`"),
        _ => None,
    })
}

impl FromStr for BundlePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::new(text)
    }
}

impl TryFrom<String> for BundlePath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        Self::new(text)
    }
}

impl From<BundlePath> for String {
    fn from(path: BundlePath) -> Self {
        path.0
    }
}

impl AsRef<str> for BundlePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for BundlePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BundlePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for BundlePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_leads_out() {
        for path in [
            "",
            "/etc/passwd",
            "..",
            "a/../b",
            "a//b",
            "a/",
            "./a",
            "a\\..\\b",
            "C:/x",
            "a\0b",
            "a\nb",
        ] {
            assert!(BundlePath::new(path).is_err(), "{path:?}");
        }
        assert!(BundlePath::new("a".repeat(1025)).is_err());
    }

    #[test]
    fn takes_ordinary_names() {
        for path in
            ["a", "app/node_modules/@scope/name/index.js", "...", "a/..b", "naïve.txt", ".bin/x"]
        {
            assert_eq!(BundlePath::new(path).expect(path).as_str(), path);
        }
    }

    #[test]
    fn below_wants_a_whole_component() {
        let path = BundlePath::new("app/node_modules/ws/index.js").expect("plain");
        assert_eq!(path.below("app"), Some("node_modules/ws/index.js"));
        assert_eq!(path.below("ap"), None);
        assert_eq!(path.parent().expect("it has one").as_str(), "app/node_modules/ws");
        assert_eq!(path.name(), "index.js");
    }

    #[test]
    fn links_stay_inside() {
        let link = BundlePath::new("a/b/link").expect("plain");
        for target in ["x", "./x", "../x", "../../x/y", "../..", ".", "x//y"] {
            assert!(link.holds_link_to(target), "{target}");
        }
        for target in
            ["", "/x", "../../../x", "x/../y", "../x/../../..", "..\\x", "C:x", "x\n", "x/.."]
        {
            assert!(!link.holds_link_to(target), "{target}");
        }
    }

    proptest! {
        #[test]
        fn never_leads_out(text in "[a/.\\\\: ]{0,12}") {
            if let Ok(path) = BundlePath::new(text) {
                let normal = |part| matches!(part, Component::Normal(_));
                prop_assert!(Path::new(path.as_str()).components().all(normal));
            }
        }
    }
}
