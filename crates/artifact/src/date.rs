//! Days of the calendar: when something a manifest says ends.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A day, written as `2027-06-30`. Days are compared in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// A text that is no day.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a day such as `2027-06-30`")]
pub struct DateError(String);

impl Date {
    /// The first day of 1970.
    pub const EPOCH: Self = Self { year: 1970, month: 1, day: 1 };

    /// A day of the Gregorian calendar; `None` if there is no such day.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let is_day = (1..=days_in(year, month)?).contains(&day);
        (is_day && year <= 9999).then_some(Self { year, month, day })
    }

    /// The day, in UTC, that is this many seconds after the beginning of 1970. After the year 9999 it is its last day.
    #[must_use]
    pub fn from_unix(seconds: u64) -> Self {
        let mut days = seconds / 86_400;
        let mut year = 1970;
        while year < 9999 && days >= days_of(year) {
            days -= days_of(year);
            year += 1;
        }
        for month in 1..=12 {
            let length = days_in(year, month).map_or(31, u64::from);
            if days < length {
                let day = u8::try_from(days + 1).expect("no month has more than 31 days");
                return Self { year, month, day };
            }
            days -= length;
        }
        Self { year, month: 12, day: 31 }
    }
}

fn days_of(year: u16) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in(year: u16, month: u8) -> Option<u8> {
    Some(match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    })
}

fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

impl fmt::Display for Date {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day } = self;
        formatter.pad(&format!("{year:04}-{month:02}-{day:02}"))
    }
}

impl FromStr for Date {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, DateError> {
        let wrong = || DateError(text.to_owned());
        let is_shaped = text.len() == 10
            && text.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !is_shaped {
            return Err(wrong());
        }
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or_else(wrong);
        let (year, month, day) = (next()?, next()?, next()?);
        match (year.parse(), month.parse(), day.parse()) {
            (Ok(year), Ok(month), Ok(day)) => Self::new(year, month, day).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Date {
    type Error = DateError;

    fn try_from(text: String) -> Result<Self, DateError> {
        text.parse()
    }
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_written() {
        for text in ["2027-06-30", "2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"] {
            assert_eq!(text.parse::<Date>().expect("a day").to_string(), text);
        }
        for text in [
            "2027-06-31",
            "2023-02-29",
            "1900-02-29",
            "2027-13-01",
            "2027-00-01",
            "27-06-30",
            "",
            "2027-6-30",
            "+027-06-30",
            "2027-06-3é",
        ] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_are_days() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (86_400, "1970-01-02"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_798_675_200, "2026-12-31"),
            (u64::MAX, "9999-12-31"),
        ] {
            assert_eq!(Date::from_unix(seconds).to_string(), day, "{seconds}");
        }
    }

    #[test]
    fn later_days_are_greater() {
        let day = |text: &str| text.parse::<Date>().expect("a day");
        assert!(day("2026-12-31") < day("2027-01-01"));
        assert!(day("2027-01-31") < day("2027-02-01"));
    }
}
