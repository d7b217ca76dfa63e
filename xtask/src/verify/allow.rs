//! What the manifest's `[verify]` makes of findings. Pure: the day it is comes from outside.

use std::collections::{BTreeMap, BTreeSet};

use gangway_abi::check::{Finding, Verdict};
use gangway_artifact::{Allowance, Date, TargetName, Verification, VerificationStatus};

use crate::config::{Allow, Unknown, Verify};

/// Findings, and what becomes of each.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// Every finding, the worst first.
    pub findings: Vec<Judged>,
    /// The allowances that stand for a finding, by their place in the manifest.
    pub used: BTreeSet<usize>,
    /// The allowances for this target that count no more.
    pub expired: BTreeSet<usize>,
}

/// A finding, and what becomes of it.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What was found.
    pub finding: Finding,
    /// What becomes of it.
    pub standing: Standing,
}

/// What becomes of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// With it there is no bundle.
    Fails,
    /// It would count, and somebody answers for it: the allowance at this place in the manifest.
    Allowed(usize),
    /// It is told.
    Told,
}

/// Holds `[verify]` against what was found.
#[must_use]
pub fn judge(
    findings: Vec<Finding>,
    verify: &Verify,
    target: &TargetName,
    today: Date,
) -> Judgement {
    let ours = || verify.allow.iter().enumerate().filter(|(_, allow)| allow.is_about(target));
    let mut judgement = Judgement {
        expired: ours().filter(|(_, allow)| allow.has_expired(today)).map(|(at, _)| at).collect(),
        ..Judgement::default()
    };
    for finding in findings {
        // What runs anyway needs no allowance.
        let counts = finding.verdict != Verdict::Advice;
        let allowed = ours()
            .filter(|(at, allow)| {
                counts && !judgement.expired.contains(at) && fits(allow, &finding)
            })
            .map(|(at, _)| at)
            .collect::<Vec<_>>();
        judgement.used.extend(&allowed);
        let fails = match finding.verdict {
            Verdict::Broken => true,
            Verdict::Unknown => verify.unknown == Unknown::Deny,
            Verdict::Advice => false,
        };
        let standing = match (allowed.first(), fails) {
            (Some(at), _) => Standing::Allowed(*at),
            (None, true) => Standing::Fails,
            (None, false) => Standing::Told,
        };
        judgement.findings.push(Judged { finding, standing });
    }
    judgement
}

fn fits(allow: &Allow, finding: &Finding) -> bool {
    allow.code.value == finding.code
        && allow.path.matches(&finding.path)
        && allow.subject.as_ref().is_none_or(|subject| *subject == finding.subject)
}

impl Judgement {
    /// Whether there can be a bundle.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.expired.is_empty() && self.failing().next().is_none()
    }

    /// The findings with which there is no bundle.
    pub fn failing(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|judged| judged.standing == Standing::Fails)
            .map(|judged| &judged.finding)
    }

    /// The files that somebody answers for where they cannot be loaded: the app goes on without them.
    #[must_use]
    pub fn spared(&self) -> BTreeSet<&str> {
        let is_spared = |judged: &&Judged| {
            matches!(judged.standing, Standing::Allowed(_))
                && judged.finding.code.keeps_from_loading()
        };
        self.findings.iter().filter(is_spared).map(|judged| &*judged.finding.path).collect()
    }

    /// What a bundle's manifest says of its check.
    #[must_use]
    pub fn verification(&self, verify: &Verify) -> Verification {
        let is_allowed = |judged: &&Judged| matches!(judged.standing, Standing::Allowed(_));
        let allowed = self.findings.iter().filter(is_allowed).count();
        let mut unknown: BTreeMap<String, u32> = BTreeMap::new();
        for judged in self.findings.iter().filter(|judged| !is_allowed(judged)) {
            if judged.finding.verdict == Verdict::Unknown {
                *unknown.entry(judged.finding.code.name().to_owned()).or_default() += 1;
            }
        }
        Verification {
            status: VerificationStatus::Verified,
            allowed: u32::try_from(allowed).unwrap_or(u32::MAX),
            unknown,
            allowances: self.used.iter().map(|at| allowance(&verify.allow[*at])).collect(),
        }
    }
}

/// An allowance as a bundle's manifest has it.
#[must_use]
pub fn allowance(allow: &Allow) -> Allowance {
    Allowance {
        code: allow.code.value.name().to_owned(),
        path: allow.path.as_str().to_owned(),
        subject: allow.subject.clone(),
        reason: allow.reason.clone(),
        expires: allow.expires.value,
    }
}

/// The allowances that stand for nothing: everything each speaks of was looked at, and it fits no finding. `all` are the
/// targets there are, `seen` those that were looked at with what stood for a finding in each.
#[must_use]
pub fn unused<'v>(
    verify: &'v Verify,
    all: &[TargetName],
    seen: &BTreeMap<TargetName, Vec<Allowance>>,
) -> Vec<&'v Allow> {
    let is_unused = |allow: &&Allow| {
        let mut its = all.iter().filter(|target| allow.is_about(target)).peekable();
        let own = allowance(allow);
        its.peek().is_some()
            && its.all(|target| seen.get(target).is_some_and(|used| !used.contains(&own)))
    };
    verify.allow.iter().filter(is_unused).collect()
}

/// What is said of an allowance that stands for nothing.
#[must_use]
pub fn unused_warning(allow: &Allow) -> String {
    let (code, path) = (allow.code.value.name(), allow.path.as_str());
    let subject = allow.subject.as_ref().map_or_else(String::new, |name| format!(", `{name}`"));
    format!("[[verify.allow]] of `{code}` for `{path}`{subject} stands for no finding: take it out")
}

#[cfg(test)]
pub(super) mod tests;
