//! Versions as symbol versions write them: numbers with dots between.

use std::fmt;

/// A dotted version, compared number by number: `2.4` is older than `2.28`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
