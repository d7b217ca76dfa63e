//! Versions of systems and libraries: the one way both ends compare them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Numbers with dots between, compared number by number: `2.4` is older than `2.28`, and `13` is `13.0`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(Vec<u32>);

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version such as `2.31`")]
pub struct VersionError(String);

impl Version {
    /// More parts than any real version has.
    const MAX_PARTS: usize = 8;

    /// The version at the beginning of a text, as systems write theirs: `5.10.104-tegra` is 5.10.104.
    #[must_use]
    pub fn leading(text: &str) -> Option<Self> {
        let is_part = |byte: char| byte.is_ascii_digit() || byte == '.';
        let end = text.find(|byte| !is_part(byte)).unwrap_or(text.len());
        text[..end].trim_end_matches('.').parse().ok()
    }

    /// The first number.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.0.first().copied().unwrap_or_default()
    }

    /// The version cut to as many numbers as `other` has: `36.4.3` is of the line `36.4`.
    #[must_use]
    pub fn cut_like(&self, other: &Self) -> Self {
        Self(self.0.iter().take(other.0.len()).copied().collect())
    }

    /// The numbers that count: zeros at the end say nothing.
    fn significant(&self) -> &[u32] {
        let end = self.0.iter().rposition(|part| *part != 0).map_or(0, |last| last + 1);
        &self.0[..end]
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let wrong = || VersionError(text.to_owned());
        let part = |part: &str| {
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| part.parse().ok()).flatten()
        };
        let parts: Option<Vec<u32>> = text.split('.').take(Self::MAX_PARTS + 1).map(part).collect();
        parts.filter(|parts| parts.len() <= Self::MAX_PARTS).map(Self).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
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

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.significant().cmp(other.significant())
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.significant() == other.significant()
    }
}

impl Eq for Version {}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect(text)
    }

    #[test]
    fn numbers_decide() {
        assert!(version("2.4") < version("2.28"));
        assert!(version("3.4") < version("3.4.1"));
        assert!(version("10.0.17763") > version("10.0"));
        assert_eq!(version("13"), version("13.0"));
        assert_eq!(version("13.0").to_string(), "13.0");
    }

    #[test]
    fn what_systems_write() {
        let leading = |text| Version::leading(text).map(|version| version.to_string());
        assert_eq!(leading("5.10.104-tegra").as_deref(), Some("5.10.104"));
        assert_eq!(leading("6.8.0-1043-aws").as_deref(), Some("6.8.0"));
        assert_eq!(leading("2.31").as_deref(), Some("2.31"));
        assert_eq!(leading("14.").as_deref(), Some("14"));
        assert_eq!(leading("tegra"), None);
        assert_eq!(version("36.4.3").cut_like(&version("36.4")), version("36.4"));
        assert_eq!(version("36").cut_like(&version("36.4")), version("36"));
    }

    #[test]
    fn refuses_what_is_no_version() {
        for text in ["", ".", "2.", ".2", "2.x", "+2.1", "2.99999999999", "1.1.1.1.1.1.1.1.1"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,24}") {
            let _ = Version::leading(&text);
            if let Ok(version) = text.parse::<Version>() {
                proptest::prop_assert_eq!(version.to_string().parse::<Version>(), Ok(version));
            }
        }

        #[test]
        fn equal_is_neither_older_nor_newer(a in "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}", b in "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}") {
            let (a, b) = (version(&a), version(&b));
            proptest::prop_assert_eq!(a == b, a.cmp(&b) == Ordering::Equal);
            proptest::prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        }
    }
}
