//! `[verify]`: how strictly native code is checked, and which findings do not count.

use std::fmt;

use gangway_abi::check::Code;
use gangway_artifact::{Date, TargetName};
use globset::{GlobBuilder, GlobMatcher};
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::{FaultKind, Faults};
use super::values::{empty, globs, unique};
use super::{Located, raw};

/// `[verify]`
#[derive(Debug, Clone, Default)]
pub struct Verify {
    /// What becomes of a bundle of which something cannot be told.
    pub unknown: Unknown,
    /// `[[verify.allow]]`
    pub allow: Vec<Allow>,
}

/// What becomes of a bundle of which something cannot be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// It is made, and told.
    #[default]
    Warn,
    /// There is no such bundle.
    Deny,
}

/// `[[verify.allow]]`: findings that do not count.
#[derive(Debug, Clone)]
pub struct Allow {
    /// The check.
    pub code: Located<Code>,
    /// Which files, by their places in the bundle.
    pub path: PathGlob,
    /// What of the files; `None`: everything.
    pub subject: Option<String>,
    /// The targets it is about; empty: all.
    pub targets: Vec<Located<TargetName>>,
    /// Why it is no harm.
    pub reason: String,
    /// The last day on which it counts.
    pub expires: Located<Date>,
}

/// A glob over places in a bundle.
#[derive(Clone)]
pub struct PathGlob {
    written: String,
    matcher: GlobMatcher,
}

impl Verify {
    /// Whether an allowance for this target counts no more.
    #[must_use]
    pub fn has_expired(&self, target: &TargetName, today: Date) -> bool {
        self.allow.iter().any(|allow| allow.is_about(target) && allow.has_expired(today))
    }
}

impl Allow {
    /// Whether it speaks of this target.
    #[must_use]
    pub fn is_about(&self, target: &TargetName) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|name| name.value == *target)
    }

    /// Whether it counts no more.
    #[must_use]
    pub fn has_expired(&self, today: Date) -> bool {
        self.expires.value < today
    }
}

impl PathGlob {
    /// The glob as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Whether it means this place.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.matcher.is_match(path)
    }
}

impl fmt::Debug for PathGlob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(formatter)
    }
}

/// Takes the table, and notes what cannot be used.
pub(super) fn verify(table: raw::Verify, faults: &mut Faults) -> Verify {
    let allow = table.allow.into_iter().filter_map(|allow| self::allow(allow, faults)).collect();
    Verify { unknown: table.unknown, allow }
}

fn allow(table: raw::Allow, faults: &mut Faults) -> Option<Allow> {
    let raw::Allow { code, path, subject, targets, reason, expires } = table;
    if reason.value.trim().is_empty() {
        let help = "say why it is no harm, for whoever reads this next: `reason = \"only ... loads it, and ...\"`";
        empty("verify.allow.reason", &reason.span, help, faults);
    }
    if let Some(targets) = targets.as_ref().filter(|targets| targets.value.is_empty()) {
        let help = "leave the line out to speak of every target";
        empty("verify.allow.targets", &targets.span, help, faults);
    }
    let written = targets.map(|targets| targets.value).unwrap_or_default();
    unique("target", &written, Clone::clone, faults);
    let targets = written.into_iter().filter_map(|name| target(name, faults)).collect();
    let expires = day(expires, faults);
    let path = globs(vec![path], faults).remove(0);
    let path = glob(&path);
    // The schema has let no other word pass.
    let code = Located { value: Code::parse(&code.value)?, span: code.span };
    let (reason, subject) = (reason.value, subject.map(|subject| subject.value));
    Some(Allow { code, path: path?, subject, targets, reason, expires: expires? })
}

pub(super) fn target(name: Located<String>, faults: &mut Faults) -> Option<Located<TargetName>> {
    match name.value.parse() {
        Ok(value) => Some(Located { value, span: name.span }),
        Err(error) => {
            let reason = format!("{error}");
            let kind = FaultKind::TargetName { name: name.value, reason };
            let help = "`cargo xtask targets` lists the targets there are";
            faults.add(&name.span, kind, "no target's name").help(help);
            None
        }
    }
}

fn day(written: Located<toml::value::Datetime>, faults: &mut Faults) -> Option<Located<Date>> {
    let toml::value::Datetime { date, time, .. } = written.value;
    let date = date.filter(|_| time.is_none());
    let date = date.and_then(|date| Date::new(date.year, date.month, date.day));
    if date.is_none() {
        let kind = FaultKind::Day { text: written.value.to_string() };
        let help = "write the last day on which this counts: `expires = 2027-06-30`";
        faults.add(&written.span, kind, "not a date alone").help(help);
    }
    Some(Located { value: date?, span: written.span })
}

/// `None`: the fault has been noted.
pub(super) fn glob(written: &Located<String>) -> Option<PathGlob> {
    let glob = GlobBuilder::new(&written.value).literal_separator(true).build().ok()?;
    Some(PathGlob { written: written.value.clone(), matcher: glob.compile_matcher() })
}
