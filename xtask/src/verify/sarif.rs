//! Findings in SARIF 2.1.0, for code scanning services and editors.

use std::collections::BTreeMap;

use gangway_abi::check::{Code, Finding, Verdict};
use gangway_artifact::Digest;
use serde_json::{Value, json};

use super::{Judged, Judgement, Standing, explain};
use crate::config::Verify;

/// A log with one run. `about` says of which bundle.
#[must_use]
pub fn log(judgement: &Judgement, verify: &Verify, about: &str) -> Value {
    let mut indexes: BTreeMap<Code, usize> = BTreeMap::new();
    for judged in &judgement.findings {
        indexes.entry(judged.finding.code).or_default();
    }
    for (place, index) in indexes.values_mut().enumerate() {
        *index = place;
    }
    let rules: Vec<Value> = indexes.keys().map(|code| rule(*code)).collect();
    let results: Vec<Value> = judgement
        .findings
        .iter()
        .map(|judged| result(judged, indexes[&judged.finding.code], verify))
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "gangway",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "automationDetails": { "id": format!("gangway/{about}") },
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": { "BUNDLE": { "description": { "text": "the unpacked bundle" } } },
            "results": results,
        }],
    })
}

fn rule(code: Code) -> Value {
    let page = explain::page(code.name()).unwrap_or_default();
    json!({
        "id": code.name(),
        "shortDescription": { "text": code.summary() },
        "help": { "text": page, "markdown": page },
        "properties": { "number": code.number(), "precision": if code.is_heuristic() { "medium" } else { "high" } },
    })
}

fn result(judged: &Judged, rule: usize, verify: &Verify) -> Value {
    let finding = &judged.finding;
    // What cannot be told is "open", and only what fails may have a level.
    let (kind, level) = match (judged.standing, finding.verdict) {
        (Standing::Fails, _) | (_, Verdict::Broken) => ("fail", "error"),
        (_, Verdict::Unknown) => ("open", "none"),
        (_, Verdict::Advice) => ("fail", "note"),
    };
    let mut result = json!({
        "ruleId": finding.code.name(),
        "ruleIndex": rule,
        "kind": kind,
        "level": level,
        "message": { "text": message(finding) },
        "partialFingerprints": { "gangway/v1": fingerprint(finding) },
        "properties": {
            "verdict": finding.verdict,
            "owner": finding.owner,
            "subject": finding.subject,
            "required": finding.required,
            "offered": finding.offered,
            "remedy": finding.remedy,
        },
    });
    if !finding.path.is_empty() {
        result["locations"] = json!([{ "physicalLocation": { "artifactLocation": {
            "uri": uri(&finding.path), "uriBaseId": "BUNDLE",
        } } }]);
    }
    if let Standing::Allowed(at) = judged.standing {
        result["suppressions"] = json!([{
            "kind": "external", "status": "accepted", "justification": verify.allow[at].reason,
        }]);
    }
    result
}

fn message(finding: &Finding) -> String {
    let Finding { path, required, offered, because, symptom, remedy, .. } = finding;
    let file = if path.is_empty() { "the bundle" } else { path };
    let mut text = format!("`{file}` needs {required}");
    for (start, part) in [
        ("; offered: ", offered),
        ("\nWhy: ", because),
        ("\nA user would see: ", symptom),
        ("\nThe way out: ", remedy),
    ] {
        if !part.is_empty() {
            text.push_str(start);
            text.push_str(part);
        }
    }
    text
}

/// The same for the same finding in the next version of the bundle.
fn fingerprint(finding: &Finding) -> String {
    let text = format!("{}\n{}\n{}", finding.code.name(), finding.path, finding.subject);
    Digest::of(text).to_string()
}

/// A path as a relative reference: what a URI cannot hold is written in hexadecimal digits.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte);
    path.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests;
