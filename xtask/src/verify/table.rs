//! Findings for people: what counts first, each with the way out, and nothing cut off. What is the same of several files is
//! said once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use gangway_abi::check::{Code, Finding, Verdict};

use super::{Judged, Judgement, Standing};
use crate::config::Verify;

/// How much is told.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Where lines are broken, in characters.
    pub width: usize,
    /// Whether advice is told in full.
    pub advice: bool,
}

/// The names of values are this wide.
const LABEL: usize = 11;

/// Everything there is to say, the summary last: that is what a terminal shows when the rest has gone by.
#[must_use]
pub fn of(judgement: &Judgement, verify: &Verify, about: &str, style: Style) -> String {
    let mut text = String::new();
    for group in groups(judgement) {
        if group.rank == Rank::Advice && !style.advice {
            continue;
        }
        block(&mut text, &group, verify, style.width);
    }
    if !style.advice {
        advice(&mut text, judgement, style.width);
    }
    text.push_str(&summary(judgement, about));
    text
}

/// One line: how many of what.
#[must_use]
pub fn summary(judgement: &Judgement, about: &str) -> String {
    let count =
        |rank| judgement.findings.iter().filter(|judged| self::rank(judged) == rank).count();
    let failing = match count(Rank::Fails) {
        0 => "nothing breaks".to_owned(),
        1 => "1 finding stands against it".to_owned(),
        more => format!("{more} findings stand against it"),
    };
    let others = [
        (judgement.expired.len(), "allowances have expired"),
        (count(Rank::Allowed), "allowed"),
        (count(Rank::Unknown), "cannot be told"),
        (count(Rank::Advice), "advice"),
    ];
    let others = others.into_iter().filter(|(count, _)| *count > 0);
    let others: String = others.map(|(count, what)| format!(", {count} {what}")).collect();
    format!("{about}: {failing}{others}")
}

/// The order of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Fails,
    Allowed,
    Unknown,
    Advice,
}

fn rank(judged: &Judged) -> Rank {
    match (judged.standing, judged.finding.verdict) {
        (Standing::Fails, _) => Rank::Fails,
        (Standing::Allowed(_), _) => Rank::Allowed,
        (Standing::Told, Verdict::Advice) => Rank::Advice,
        (Standing::Told, Verdict::Broken | Verdict::Unknown) => Rank::Unknown,
    }
}

/// Findings that only differ in their files.
struct Group<'a> {
    rank: Rank,
    standing: Standing,
    finding: &'a Finding,
    paths: Vec<&'a str>,
}

fn groups(judgement: &Judgement) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places: BTreeMap<_, usize> = BTreeMap::new();
    for judged in &judgement.findings {
        let (finding, rank) = (&judged.finding, rank(judged));
        let Finding { code, owner, required, offered, because, symptom, remedy, .. } = finding;
        let key = (rank, *code, owner, required, offered, because, symptom, remedy);
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(Group { rank, standing: judged.standing, finding, paths: Vec::new() });
            groups.len() - 1
        });
        if !finding.path.is_empty() && !groups[place].paths.contains(&finding.path.as_str()) {
            groups[place].paths.push(&finding.path);
        }
    }
    groups.sort_by_key(|group| (group.rank, group.finding.verdict, group.finding.code));
    groups
}

fn block(text: &mut String, group: &Group<'_>, verify: &Verify, width: usize) {
    let Finding { code, owner, required, offered, because, symptom, remedy, .. } = group.finding;
    let word = match group.rank {
        Rank::Fails if group.finding.verdict == Verdict::Unknown => "DENIED",
        Rank::Fails => "BROKEN",
        Rank::Allowed => "allowed",
        Rank::Unknown => "unknown",
        Rank::Advice => "advice",
    };
    let guess = if group.finding.is_heuristic { ", by signs" } else { "" };
    writeln!(text, "{word}  {} ({}){guess}", code.name(), code.number()).expect("strings grow");
    for (index, path) in group.paths.iter().enumerate() {
        row(text, if index == 0 { "file" } else { "" }, path, width);
    }
    row(text, "from", owner.as_deref().unwrap_or_default(), width);
    row(text, "needs", required, width);
    row(text, "offered", offered, width);
    if let Standing::Allowed(at) = group.standing {
        let allow = &verify.allow[at];
        row(text, "allowed", &format!("{} (until {})", allow.reason, allow.expires.value), width);
    } else {
        row(text, "why", because, width);
        row(text, "users see", symptom, width);
        row(text, "way out", remedy, width);
    }
    text.push('\n');
}

/// One line for each check that has nothing but advice to give.
fn advice(text: &mut String, judgement: &Judgement, width: usize) {
    let mut counts: BTreeMap<Code, usize> = BTreeMap::new();
    for judged in judgement.findings.iter().filter(|judged| rank(judged) == Rank::Advice) {
        *counts.entry(judged.finding.code).or_default() += 1;
    }
    if counts.is_empty() {
        return;
    }
    text.push_str("advice  `--advice` shows it\n");
    for (code, count) in &counts {
        let line = format!("{} ({}): {}", code.name(), code.number(), code.summary());
        row(text, &count.to_string(), &line, width);
    }
    text.push('\n');
}

/// A name and its value, broken between words; a word that is too long stays whole.
fn row(text: &mut String, label: &str, value: &str, width: usize) {
    if value.is_empty() {
        return;
    }
    let room = width.saturating_sub(LABEL + 2).max(20);
    for (index, line) in wrapped(value, room).into_iter().enumerate() {
        let label = if index == 0 { label } else { "" };
        writeln!(text, "  {label:LABEL$}{line}").expect("strings grow");
    }
}

fn wrapped(value: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in value.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let length = line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && length > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests;
