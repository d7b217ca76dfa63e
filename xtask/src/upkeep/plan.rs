//! Decides what goes: pure, so that `--dry-run` says what would be done.

use std::time::{Duration, SystemTime};

use super::survey::{Item, State, Survey};
use crate::store::PRECISION;

/// How much may stay.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// What was not used for longer goes.
    pub max_age: Option<Duration>,
    /// What was not used for longest goes until no more than this is left, in bytes.
    pub max_size: Option<u64>,
}

/// Why something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// No builder of today reads it.
    OldFormat,
    /// It is of use to nobody.
    Orphan,
    /// Nobody used it for long.
    Age,
    /// There is too much.
    Size,
}

/// What goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// What goes, and why.
    pub doomed: Vec<(Item, Reason)>,
    /// What stays, in bytes.
    pub left: u64,
    /// What should go and stays, because a builder at work may be using it: its bytes.
    pub spared: u64,
}

/// Decides. `at_work` says when builders began that are at work.
#[must_use]
pub fn of(survey: Survey, limits: Limits, now: SystemTime, at_work: &[SystemTime]) -> Plan {
    let mut left = survey.bytes();
    let mut plan = Plan { doomed: Vec::new(), left, spared: 0 };
    let mut items = survey.items;
    items.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    // Whatever the limits: what is of no use goes first.
    let (useless, useful): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|item| matches!(item.state, State::OldFormat | State::Orphan));
    for item in useless.into_iter().chain(useful) {
        let age = now.duration_since(item.used).unwrap_or_default();
        let reason = match item.state {
            State::OldFormat => Reason::OldFormat,
            State::Orphan => Reason::Orphan,
            _ if limits.max_age.is_some_and(|most| age > most) => Reason::Age,
            _ if limits.max_size.is_some_and(|most| left > most) => Reason::Size,
            _ => continue,
        };
        if may_be_in_use(&item, at_work) {
            plan.spared += item.bytes;
        } else {
            left -= item.bytes;
            plan.doomed.push((item, reason));
        }
    }
    plan.left = left;
    plan
}

/// A builder leaves the time of each use, to the hour; it may have read its clock a while before it began its session.
fn may_be_in_use(item: &Item, at_work: &[SystemTime]) -> bool {
    let Some(first) = at_work.iter().min() else { return false };
    match item.state {
        // Builders of that format leave no such time, or programs do not.
        State::OldFormat | State::Workplace => true,
        State::Good | State::Orphan => {
            first.checked_sub(2 * PRECISION).is_none_or(|since| item.used >= since)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(count: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(3600) * count
    }

    fn item(path: &str, bytes: u64, used: u32, state: State) -> Item {
        let bucket = "blobs-v1".to_owned();
        Item { bucket, path: path.into(), bytes, used: hours(used), state }
    }

    fn survey() -> Survey {
        let items = vec![
            item("new", 10, 99, State::Good),
            item("old", 20, 10, State::Good),
            item("middle", 30, 50, State::Good),
            item("place", 5, 20, State::Workplace),
            item("v0", 7, 98, State::OldFormat),
            item("orphan", 3, 97, State::Orphan),
        ];
        Survey { items, in_progress: 1, foreign: Vec::new() }
    }

    /// What goes, what stays and what is spared, at the 100th hour.
    fn told(limits: Limits, at_work: &[SystemTime]) -> (String, u64, u64) {
        let plan = of(survey(), limits, hours(100), at_work);
        let doomed = plan.doomed.iter().map(|(item, reason)| format!("{} {reason:?}", item.path));
        (doomed.collect::<Vec<_>>().join(", "), plan.left, plan.spared)
    }

    #[test]
    fn what_is_useless_always_goes() {
        assert_eq!(told(Limits::default(), &[]), ("orphan Orphan, v0 OldFormat".to_owned(), 66, 0));
    }

    #[test]
    fn what_was_not_used_for_long_goes() {
        let limits = Limits { max_age: Some(Duration::from_secs(3600 * 60)), max_size: None };
        let (doomed, left, _) = told(limits, &[]);
        assert_eq!(
            (doomed.as_str(), left),
            ("orphan Orphan, v0 OldFormat, old Age, place Age", 41)
        );
    }

    #[test]
    fn the_least_recently_used_goes_until_there_is_room() {
        for (most, expected, left) in [
            (66, "", 66),
            (65, ", old Size", 46),
            (46, ", old Size", 46),
            (45, ", old Size, place Size", 41),
            (1, ", old Size, place Size, middle Size, new Size", 1),
            (0, ", old Size, place Size, middle Size, new Size", 1),
        ] {
            let limits = Limits { max_age: None, max_size: Some(most) };
            let expected = format!("orphan Orphan, v0 OldFormat{expected}");
            assert_eq!(told(limits, &[]), (expected, left, 0), "{most}");
        }
    }

    #[test]
    fn what_a_builder_at_work_may_use_stays() {
        let limits = Limits { max_age: None, max_size: Some(0) };
        // It began in the 52nd hour: what it uses has a time of the 51st or later, give or take an hour.
        let (doomed, left, spared) = told(limits, &[hours(99), hours(52)]);
        assert_eq!((doomed.as_str(), left, spared), ("old Size", 56, 55));
        let (doomed, ..) = told(limits, &[hours(53)]);
        assert_eq!(doomed, "old Size, middle Size");
        let (doomed, ..) = told(limits, &[SystemTime::UNIX_EPOCH]);
        assert_eq!(doomed, "");
    }
}
