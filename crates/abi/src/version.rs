//! Versions as symbol versions write them: numbers with dots between.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A dotted version, compared number by number: `2.4` is older than `2.28`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Version(Vec<u32>);

impl Version {
    /// More parts than any real version has.
    const MAX_PARTS: usize = 8;

    /// Reads `2.28` or `3.4.21`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let parts = text
            .split('.')
            .take(Self::MAX_PARTS + 1)
            .map(|part| digits(part).then(|| part.parse().ok()).flatten())
            .collect::<Option<Vec<u32>>>()?;
        (parts.len() <= Self::MAX_PARTS).then_some(Self(parts))
    }

    /// `major.minor`, and `.patch` unless it is 0.
    pub(crate) fn of(major: u32, minor: u32, patch: u32) -> Self {
        let mut parts = vec![major, minor, patch];
        if patch == 0 {
            parts.pop();
        }
        Self(parts)
    }
}

impl Default for Version {
    /// `0`: older than all others.
    fn default() -> Self {
        Self(vec![0])
    }
}

/// Text that is no dotted version.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a dotted version")]
pub struct NotAVersion(String);

impl TryFrom<String> for Version {
    type Error = NotAVersion;

    fn try_from(text: String) -> Result<Self, NotAVersion> {
        Self::parse(&text).ok_or(NotAVersion(text))
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            write!(formatter, "{dot}{part}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).expect(text)
    }

    #[test]
    fn numbers_not_letters_decide() {
        assert!(version("2.4") < version("2.28"));
        assert!(version("3.4") < version("3.4.1"));
        assert!(version("2.3.4") < version("2.17"));
        assert_eq!(version("3.4.21").to_string(), "3.4.21");
    }

    #[test]
    fn refuses_what_is_no_version() {
        for text in ["", "PRIVATE", "2.", ".2", "2.x", "+2.1", "2.99999999999", "1.1.1.1.1.1.1.1.1"]
        {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
