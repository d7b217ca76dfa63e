//! Sizes and ages as people write them.

use std::str::FromStr;
use std::time::Duration;

use miette::Diagnostic;

/// A number of bytes: `500MB`, `10GB`, `1.5GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A length of time: `12h`, `30d`, `2w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(pub Duration);

/// A text that is neither.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("`{given}` is no {what}: write {example}")]
pub struct MeasureError {
    given: String,
    what: &'static str,
    example: &'static str,
}

const SIZES: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("KB", 1000),
    ("B", 1),
];

const HOUR: u64 = 60 * 60;
const AGES: [(&str, u64); 4] = [("w", 7 * 24 * HOUR), ("d", 24 * HOUR), ("h", HOUR), ("min", 60)];

impl FromStr for Size {
    type Err = MeasureError;

    fn from_str(given: &str) -> Result<Self, MeasureError> {
        let example = "a number and a unit, such as `500MB`, `10GB` or `1.5GiB`";
        let error = || MeasureError { given: given.to_owned(), what: "size", example };
        measured(given, &SIZES).map(Self).ok_or_else(error)
    }
}

impl FromStr for Age {
    type Err = MeasureError;

    fn from_str(given: &str) -> Result<Self, MeasureError> {
        let example = "a number and a unit, such as `12h`, `30d` or `2w`";
        let error = || MeasureError { given: given.to_owned(), what: "age", example };
        measured(given, &AGES).map(Duration::from_secs).map(Self).ok_or_else(error)
    }
}

fn measured(given: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) =
        units.iter().find_map(|(name, unit)| Some((given.strip_suffix(name)?, *unit)))?;
    let number = number.trim_end();
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than that are no size of anything.
    if whole.is_empty() || !is_number(whole) || !is_number(part) || part.len() > 3 {
        return None;
    }
    if number.ends_with('.') {
        return None;
    }
    let thousandths: u64 = format!("{part:0<3}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(unit)?.checked_add(unit.checked_mul(thousandths)? / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages() {
        let size = |text: &str| text.parse::<Size>().map(|size| size.0).ok();
        assert_eq!(size("10GB"), Some(10_000_000_000));
        assert_eq!(size("1.5GiB"), Some(3 << 29));
        assert_eq!(size("0.001 MB"), Some(1000));
        assert_eq!(size("0B"), Some(0));
        let age = |text: &str| text.parse::<Age>().map(|age| age.0.as_secs()).ok();
        assert_eq!(age("30d"), Some(30 * 24 * HOUR));
        assert_eq!(age("1.5h"), Some(90 * 60));
        assert_eq!(age("2w"), Some(14 * 24 * HOUR));
        assert_eq!(age("10min"), Some(600));
        for wrong in ["", "10", "GB", "-1GB", "1e3GB", "1..5GB", "1.GB", "10 apples", "99999999TB"]
        {
            assert_eq!(size(wrong), None, "{wrong}");
        }
        for wrong in ["", "30", "d", "-1d", "30 days", "1m"] {
            assert_eq!(age(wrong), None, "{wrong}");
        }
        insta::assert_snapshot!("10".parse::<Size>().expect_err("no unit"), @"`10` is no size: write a number and a unit, such as `500MB`, `10GB` or `1.5GiB`");
        insta::assert_snapshot!("month".parse::<Age>().expect_err("no number"), @"`month` is no age: write a number and a unit, such as `12h`, `30d` or `2w`");
    }
}
