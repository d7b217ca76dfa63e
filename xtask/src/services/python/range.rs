//! `python = ">=3.10"`: the versions of Python a service says it runs under.
//!
//! Only minor versions count, for wheels are made per minor version and systems differ by them. The words are those of
//! packaging's version specifiers, as far as they can be answered with yes or no for a minor version.

use gangway_artifact::{PythonVersion, PythonVersions};

/// A text that is no such range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Not a specifier this reads.
    #[error("`{0}` is not a version of Python this understands")]
    Word(String),
    /// No oldest version.
    #[error("it does not say which version is the oldest")]
    NoFirst,
    /// Nothing fits it.
    #[error("no version can be in it")]
    Empty,
}

/// What to write.
pub const HELP: &str = "write the oldest minor version: `>=3.10`; or one alone: `==3.12.*`; or both ends: `>=3.10,<3.14`";

/// Reads a range.
///
/// # Errors
/// When it is not one, is empty, or has no oldest version.
pub fn parse(text: &str) -> Result<PythonVersions, RangeError> {
    let mut first: Option<PythonVersion> = None;
    let mut last: Option<PythonVersion> = None;
    for word in text.split(',').map(str::trim) {
        let unknown = || RangeError::Word(word.to_owned());
        let (from, to) = bounds(word).ok_or_else(unknown)?;
        first = first.max(from);
        last = [last, to].into_iter().flatten().min();
    }
    let first = first.ok_or(RangeError::NoFirst)?;
    if last.is_some_and(|last| last < first) {
        return Err(RangeError::Empty);
    }
    Ok(PythonVersions { first, last })
}

/// The ends that one specifier sets.
fn bounds(word: &str) -> Option<(Option<PythonVersion>, Option<PythonVersion>)> {
    let split = word.find(|letter: char| letter.is_ascii_digit())?;
    let (operator, version) = word.split_at(split);
    let minor = |text: &str| text.parse::<PythonVersion>().ok();
    match operator.trim_end() {
        ">=" => Some((Some(minor(version)?), None)),
        "<" if version == "4" || version == "4.0" => Some((None, None)),
        "<" => Some((None, Some(PythonVersion { minor: minor(version)?.minor.checked_sub(1)? }))),
        "" | "==" => {
            let version = minor(version.strip_suffix(".*").unwrap_or(version))?;
            Some((Some(version), Some(version)))
        }
        // `<=3.12` leaves 3.12.1 out, and whoever writes it means `<3.13`: better to ask than to guess.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let read = |text: &str| match parse(text) {
            Ok(range) => range.to_string(),
            Err(error) => error.to_string(),
        };
        for (text, range) in [
            (">=3.10", "Python 3.10 or newer"),
            (" >= 3.10 , < 3.14 ", "Python 3.10 to 3.13"),
            (">=3.8,<4", "Python 3.8 or newer"),
            ("3.12", "Python 3.12"),
            ("==3.12.*", "Python 3.12"),
            (">=3.8,>=3.10,<3.12,<3.13", "Python 3.10 to 3.11"),
            ("<3.12", "it does not say which version is the oldest"),
            (">=3.12,<3.12", "no version can be in it"),
            ("", "`` is not a version of Python this understands"),
            (">=3", "`>=3` is not a version of Python this understands"),
            (">=3.10.4", "`>=3.10.4` is not a version of Python this understands"),
            ("<=3.12", "`<=3.12` is not a version of Python this understands"),
            (">=2.7", "`>=2.7` is not a version of Python this understands"),
            (">3.9", "`>3.9` is not a version of Python this understands"),
            ("^3.10", "`^3.10` is not a version of Python this understands"),
        ] {
            assert_eq!(read(text), range, "{text}");
        }
    }
}
