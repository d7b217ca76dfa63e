//! `cargo xtask cache`: what is in the cache, what of it can go, what is damaged.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use gangway_artifact::Date;
use serde::Serialize;
use serde_json::json;

use crate::cli;
use crate::context::Context;
use crate::shared_cache::Listed;
use crate::summary::size;
use crate::upkeep::check::{self, Checked};
use crate::upkeep::plan::{Limits, Reason};
use crate::upkeep::shared::{self, Contents};
use crate::upkeep::survey::{self, Item, Survey};
use crate::upkeep::sweep::{self, Earnest, Swept};
use crate::upkeep::{UpkeepError, measure};

/// What there is to print, and how to end.
#[derive(Debug)]
pub struct Told {
    /// A table, or JSON.
    pub text: String,
    /// Whether nothing was damaged.
    pub is_well: bool,
}

/// Does what was asked for.
///
/// # Errors
/// When a cache cannot be read or written, or the shared one is not set up or not within reach.
pub fn run(context: &Context, arguments: &cli::Cache, as_json: bool) -> Result<Told, UpkeepError> {
    let well = |text| Ok(Told { text, is_well: true });
    match arguments {
        cli::Cache::Stats { shared: false } => {
            let survey = survey::of(&context.cache, context.now)?;
            let rows = rows(&survey);
            well(if as_json {
                stats_json(context, &survey, &rows)
            } else {
                stats(context, &survey, &rows)
            })
        }
        cli::Cache::Stats { shared: true } => {
            let contents = shared::contents(context)?;
            well(if as_json { text(&contents) } else { shared_stats(&contents) })
        }
        cli::Cache::Gc(gc) => {
            let limits = Limits {
                max_age: gc.max_age.map(|measure::Age(age)| age),
                max_size: gc.max_size.map(|measure::Size(size)| size),
            };
            let earnest = if gc.dry_run { Earnest::Rehearsal } else { Earnest::Earnest };
            if gc.shared {
                let plan = shared::sweep(context, limits, earnest)?;
                return well(shared_gc(&plan, earnest, as_json));
            }
            let swept = sweep::run(context, limits, earnest)?;
            well(if as_json { gc_json(&swept, earnest) } else { gc_text(&swept, earnest) })
        }
        cli::Cache::Verify => {
            let checked = check::run(context)?;
            let is_well = checked.damaged.is_empty();
            Ok(Told { text: if as_json { text(&checked) } else { verdict(&checked) }, is_well })
        }
    }
}

/// One line of a table.
#[derive(Debug, Serialize)]
struct Row {
    entries: usize,
    bytes: u64,
    /// The day of the last use of what was used longest ago.
    oldest: Option<Date>,
    newest: Option<Date>,
}

fn rows(survey: &Survey) -> BTreeMap<&str, Row> {
    let row = |items: Vec<&Item>| {
        let used = || items.iter().map(|item| item.used);
        Row {
            entries: items.len(),
            bytes: items.iter().map(|item| item.bytes).sum(),
            oldest: used().min().map(day),
            newest: used().max().map(day),
        }
    };
    survey.buckets().into_iter().map(|(name, items)| (name, row(items))).collect()
}

fn stats(context: &Context, survey: &Survey, rows: &BTreeMap<&str, Row>) -> String {
    let mut lines = vec![format!(
        "{:<16} {:>9} {:>11}  {:<10}  {}",
        "in the cache", "entries", "size", "oldest use", "newest use"
    )];
    for (name, row) in rows {
        let day = |date: &Option<Date>| date.map(|date| date.to_string()).unwrap_or_default();
        lines.push(format!(
            "{name:<16} {:>9} {:>11}  {:<10}  {}",
            row.entries,
            size(row.bytes),
            day(&row.oldest),
            day(&row.newest)
        ));
    }
    if survey.in_progress > 0 {
        lines.push(format!(
            "{:<16} {:>9} {:>11}",
            "work in progress",
            "",
            size(survey.in_progress)
        ));
    }
    let entries: usize = rows.values().map(|row| row.entries).sum();
    lines.push(format!(
        "{:<16} {entries:>9} {:>11}  {}",
        "all",
        size(survey.bytes()),
        context.cache
    ));
    lines.extend(left_alone(&survey.foreign));
    lines.join("\n")
}

fn stats_json(context: &Context, survey: &Survey, rows: &BTreeMap<&str, Row>) -> String {
    text(&json!({
        "path": context.cache,
        "buckets": rows,
        "in_progress": survey.in_progress,
        "bytes": survey.bytes(),
        "foreign": survey.foreign,
    }))
}

fn shared_stats(contents: &Contents) -> String {
    let mut lines = vec![format!(
        "{:<16} {:>9} {:>11}  {}",
        "in the shared cache", "entries", "size", "oldest"
    )];
    for (name, kind) in &contents.kinds {
        let oldest = kind.oldest.map(since_1970).map(day);
        let oldest = oldest.map(|date| date.to_string()).unwrap_or_default();
        lines.push(format!("{name:<19} {:>9} {:>11}  {oldest}", kind.entries, size(kind.bytes)));
    }
    let entries: u64 = contents.kinds.values().map(|kind| kind.entries).sum();
    let bytes = contents.kinds.values().map(|kind| kind.bytes).sum();
    lines.push(format!("{:<19} {entries:>9} {:>11}  {}", "all", size(bytes), contents.place));
    if contents.foreign > 0 {
        lines.push(format!("{} other objects are not Gangway's and left alone", contents.foreign));
    }
    lines.join("\n")
}

/// What goes of each bucket for each reason.
type Doomed<'a> = BTreeMap<(&'a str, Reason), (usize, u64)>;

fn doomed(swept: &Swept) -> Doomed<'_> {
    let mut doomed = Doomed::new();
    for (item, reason) in &swept.plan.doomed {
        let (count, bytes) = doomed.entry((&item.bucket, *reason)).or_default();
        *count += 1;
        *bytes += item.bytes;
    }
    doomed
}

fn gc_text(swept: &Swept, earnest: Earnest) -> String {
    let why = |reason| match reason {
        Reason::OldFormat => "of an old format",
        Reason::Orphan => "of use to nobody",
        Reason::Age => "not used for long",
        Reason::Size => "not used for longest",
    };
    let mut lines = Vec::new();
    for ((bucket, reason), (count, bytes)) in doomed(swept) {
        lines.push(format!("{bucket:<16} {count:>9} {:>11}  {}", size(bytes), why(reason)));
    }
    let freed = swept.plan.doomed.iter().map(|(item, _)| item.bytes).sum();
    lines.push(outcome(swept.plan.doomed.len(), freed, swept.plan.left, earnest));
    if swept.plan.spared > 0 {
        lines.push(format!(
            "{} stay because they may be in use: {} at work",
            size(swept.plan.spared),
            if swept.at_work == 1 {
                "a builder is".to_owned()
            } else {
                format!("{} builders are", swept.at_work)
            }
        ));
    }
    lines.extend(left_alone(&swept.foreign));
    lines.join("\n")
}

fn gc_json(swept: &Swept, earnest: Earnest) -> String {
    let removed: Vec<_> = doomed(swept)
        .into_iter()
        .map(|((bucket, reason), (entries, bytes))| {
            json!({ "bucket": bucket, "reason": reason, "entries": entries, "bytes": bytes })
        })
        .collect();
    text(&json!({
        "dry_run": earnest == Earnest::Rehearsal,
        "removed": removed,
        "left": swept.plan.left,
        "spared": swept.plan.spared,
        "builders_at_work": swept.at_work,
        "foreign": swept.foreign,
    }))
}

fn shared_gc(plan: &shared::Plan, earnest: Earnest, as_json: bool) -> String {
    let bytes = |objects: &[(Listed, Reason)]| objects.iter().map(|(object, _)| object.size).sum();
    let freed: u64 = bytes(&plan.doomed);
    if as_json {
        return text(&json!({
            "dry_run": earnest == Earnest::Rehearsal,
            "removed": { "entries": plan.doomed.len(), "bytes": freed },
            "left": plan.left,
        }));
    }
    outcome(plan.doomed.len(), freed, plan.left, earnest)
}

fn outcome(count: usize, freed: u64, left: u64, earnest: Earnest) -> String {
    let verb = match earnest {
        Earnest::Earnest => "removed",
        Earnest::Rehearsal => "would remove",
    };
    format!("{verb} {count} entries, {}; {} left", size(freed), size(left))
}

fn verdict(checked: &Checked) -> String {
    let mut lines: Vec<_> =
        checked.entries.iter().map(|(bucket, count)| format!("{bucket:<16} {count:>9}")).collect();
    for damaged in &checked.damaged {
        lines.push(format!("damaged, and removed: {}", damaged.path));
    }
    let verdict = match checked.damaged.len() {
        0 => "nothing is damaged".to_owned(),
        1 => "1 entry was damaged".to_owned(),
        count => format!("{count} entries were damaged"),
    };
    lines.push(format!("read {}: {verdict}", size(checked.bytes)));
    lines.join("\n")
}

fn left_alone(foreign: &[String]) -> Option<String> {
    let names = foreign.join("`, `");
    (!foreign.is_empty())
        .then(|| format!("not of this builder, or a link, and left alone: `{names}`"))
}

fn since_1970(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn day(time: SystemTime) -> Date {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Date::from_unix(since.as_secs())
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("plain data")
}
