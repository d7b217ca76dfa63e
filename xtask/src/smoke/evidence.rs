//! What became of a bundle when it was tried, beside its archive: `<name>.evidence.json`.
//!
//! One in-toto Statement with a Test Result for each kind of run; a run replaces the statement of its own kind and leaves the
//! others, so that a machine here and a device there add up. All are bound to the archive by its digest: statements of
//! other bytes are dropped. It is no part of the archive, whose bytes must not depend on who has which emulator.

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;
use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use super::execute::{Outcome, Tried};

/// The version of the file's format.
const VERSION: u32 = 1;

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// Evidence that cannot be kept.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum EvidenceError {
    /// The file could not be read or written.
    #[error("cannot keep the evidence in `{path}`")]
    File { path: Utf8PathBuf, source: io::Error },
    /// What is there is something else.
    #[error("`{path}` is there and is no evidence of this version: {reason}")]
    #[diagnostic(help("remove it, and run `cargo xtask smoke` again"))]
    Other { path: Utf8PathBuf, reason: String },
}

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    version: u32,
    /// One for each kind of run, sorted by kind.
    pub statements: Vec<Statement>,
}

/// An in-toto Statement whose predicate is a Test Result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Descriptor>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    /// What came of the run.
    pub predicate: TestResult,
}

/// An in-toto ResourceDescriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Descriptor {
    name: String,
    digest: BTreeMap<String, String>,
}

/// The predicate. Fields that in-toto does not know are those of `gangway`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// `PASSED`, `WARNED` where something was skipped, or `FAILED`.
    pub result: String,
    configuration: Vec<Descriptor>,
    /// Steps that went well.
    pub passed_tests: Vec<String>,
    /// Steps that went well with a remark.
    pub warned_tests: Vec<String>,
    /// Steps that did not.
    pub failed_tests: Vec<String>,
    /// What in-toto has no word for.
    pub gangway: Details,
}

/// What in-toto has no word for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// Which builder tried it.
    pub builder: String,
    /// The kind of run: `native`, `emulated`, `other system`, `wine`, `device <address>`, `none`.
    pub kind: String,
    /// The machine, as far as it said what it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub host: BTreeMap<String, String>,
    /// Why steps were skipped, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<String, String>,
    /// Why steps failed, or what is to be said of those that passed, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remarks: BTreeMap<String, String>,
}

/// An archive that was tried.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The archive.
    pub archive: &'a Utf8Path,
    /// Its digest.
    pub sha256: Digest,
    /// That of the manifest inside.
    pub manifest_sha256: Digest,
}

/// Where the evidence of an archive is.
#[must_use]
pub fn place(archive: &Utf8Path) -> Utf8PathBuf {
    let name = archive.as_str();
    let stem = [".tar.zst", ".tar.gz", ".zip"].iter().find_map(|ending| name.strip_suffix(ending));
    format!("{}.evidence.json", stem.unwrap_or(name)).into()
}

/// What is said of one run.
#[must_use]
pub fn statement(
    subject: Subject<'_>,
    kind: &str,
    host: &BTreeMap<String, String>,
    steps: &[Tried],
) -> Statement {
    let named = |does: fn(&Outcome) -> bool| -> Vec<String> {
        steps.iter().filter(|step| does(&step.outcome)).map(|step| step.name.clone()).collect()
    };
    let said = |what: fn(&Outcome) -> Option<&String>| -> BTreeMap<String, String> {
        let said = |step: &Tried| Some((step.name.clone(), what(&step.outcome)?.clone()));
        steps.iter().filter_map(said).collect()
    };
    let skipped = said(|outcome| match outcome {
        Outcome::Skipped { reason } => Some(reason),
        _ => None,
    });
    let failed_tests = named(|outcome| matches!(outcome, Outcome::Failed { .. }));
    let warned_tests = named(|outcome| matches!(outcome, Outcome::Passed { note: Some(_) }));
    let result = match (failed_tests.is_empty(), skipped.is_empty() && warned_tests.is_empty()) {
        (false, _) => "FAILED",
        (true, false) => "WARNED",
        (true, true) => "PASSED",
    };
    let manifest = place(subject.archive).as_str().replace(".evidence.json", ".manifest.json");
    let manifest = descriptor(Utf8Path::new(&manifest), subject.manifest_sha256);
    Statement {
        kind: STATEMENT.to_owned(),
        subject: vec![descriptor(subject.archive, subject.sha256)],
        predicate_type: TEST_RESULT.to_owned(),
        predicate: TestResult {
            result: result.to_owned(),
            // What is tried stands in the manifest.
            configuration: vec![manifest],
            passed_tests: named(|outcome| matches!(outcome, Outcome::Passed { note: None })),
            warned_tests,
            failed_tests,
            gangway: Details {
                builder: concat!("gangway ", env!("CARGO_PKG_VERSION")).to_owned(),
                kind: kind.to_owned(),
                host: host.clone(),
                skipped,
                remarks: said(|outcome| match outcome {
                    Outcome::Failed { reason, .. } => Some(reason),
                    Outcome::Passed { note } => note.as_ref(),
                    Outcome::Skipped { .. } => None,
                }),
            },
        },
    }
}

/// Adds a statement to what is there of the same archive, and writes it as a whole or not at all.
///
/// # Errors
/// When the file is something else, or cannot be written.
pub fn add(path: &Utf8Path, statement: Statement) -> Result<(), EvidenceError> {
    let failed = |source| EvidenceError::File { path: path.to_owned(), source };
    let mut evidence = match fs_err::read(path) {
        Ok(bytes) => read(path, &bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Evidence { version: VERSION, statements: Vec::new() }
        }
        Err(error) => return Err(failed(error)),
    };
    evidence.statements.retain(|other| {
        let kind = &other.predicate.gangway.kind;
        // That nothing could be run is of no interest once something was.
        other.subject == statement.subject
            && *kind != statement.predicate.gangway.kind
            && kind != "none"
    });
    if statement.predicate.gangway.kind != "none" || evidence.statements.is_empty() {
        evidence.statements.push(statement);
    }
    evidence
        .statements
        .sort_by(|one, other| one.predicate.gangway.kind.cmp(&other.predicate.gangway.kind));
    let mut bytes = serde_json::to_vec_pretty(&evidence).expect("it has a JSON form");
    bytes.push(b'\n');
    let partial = Utf8PathBuf::from(format!("{path}.partial"));
    fs_err::write(&partial, bytes).and_then(|()| fs_err::rename(&partial, path)).map_err(failed)
}

fn read(path: &Utf8Path, bytes: &[u8]) -> Result<Evidence, EvidenceError> {
    /// What every version has.
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let other = |reason: String| EvidenceError::Other { path: path.to_owned(), reason };
    let Head { version } =
        serde_json::from_slice(bytes).map_err(|error| other(error.to_string()))?;
    if version != VERSION {
        return Err(other(format!("its format is version {version}")));
    }
    serde_json::from_slice(bytes).map_err(|error| other(error.to_string()))
}

fn descriptor(file: &Utf8Path, sha256: Digest) -> Descriptor {
    Descriptor {
        name: file.file_name().unwrap_or_default().to_owned(),
        digest: BTreeMap::from([("sha256".to_owned(), sha256.to_string())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    fn tried(name: &str, outcome: Outcome) -> Tried {
        Tried { name: name.to_owned(), seconds: 0.1, outcome }
    }

    fn of(kind: &str, archive: &str, outcomes: &[Outcome]) -> Statement {
        let subject = Subject {
            archive: "/out/a-1-x.tar.zst".into(),
            sha256: Digest::of(archive),
            manifest_sha256: Digest::of("manifest"),
        };
        let steps: Vec<_> = outcomes
            .iter()
            .enumerate()
            .map(|(at, outcome)| tried(&format!("step {at}"), outcome.clone()))
            .collect();
        statement(subject, kind, &BTreeMap::new(), &steps)
    }

    fn passed() -> Outcome {
        Outcome::Passed { note: None }
    }

    fn failed() -> Outcome {
        Outcome::Failed { reason: "no".to_owned(), said: Vec::new(), log: None }
    }

    fn skipped() -> Outcome {
        Outcome::Skipped { reason: "not here".to_owned() }
    }

    #[test]
    fn what_a_skipped_step_makes_of_a_run() {
        let result = |outcomes: &[Outcome]| of("native", "a", outcomes).predicate.result;
        assert_eq!(result(&[passed()]), "PASSED");
        assert_eq!(result(&[passed(), skipped()]), "WARNED");
        assert_eq!(result(&[skipped()]), "WARNED");
        assert_eq!(result(&[passed(), skipped(), failed()]), "FAILED");
        let predicate = of("native", "a", &[skipped()]).predicate;
        assert_eq!(predicate.passed_tests, Vec::<String>::new());
        assert_eq!(predicate.gangway.skipped["step 0"], "not here");
    }

    #[test]
    fn a_statement_has_in_totos_form() {
        let json = serde_json::to_value(of("native", "a", &[passed(), failed()])).expect("JSON");
        assert_eq!(json["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(json["predicateType"], "https://in-toto.io/attestation/test-result/v0.1");
        assert_eq!(json["subject"][0]["name"], "a-1-x.tar.zst");
        assert_eq!(json["subject"][0]["digest"]["sha256"], Digest::of("a").to_string());
        let predicate = &json["predicate"];
        assert_eq!(predicate["configuration"][0]["name"], "a-1-x.manifest.json");
        assert_eq!(predicate["passedTests"][0], "step 0");
        assert_eq!(predicate["failedTests"][0], "step 1");
    }

    #[test]
    fn runs_add_up() {
        let sandbox = Sandbox::new();
        let path = sandbox.root.join("a.evidence.json");
        let kinds = || {
            let bytes = fs_err::read(&path).expect("written");
            let evidence = read(&path, &bytes).expect("its own form");
            let of = |statement: &Statement| {
                format!("{} {}", statement.predicate.gangway.kind, statement.predicate.result)
            };
            evidence.statements.iter().map(of).collect::<Vec<_>>()
        };
        add(&path, of("none", "a", &[skipped()])).expect("writable");
        assert_eq!(kinds(), ["none WARNED"]);
        add(&path, of("native", "a", &[failed()])).expect("writable");
        add(&path, of("device orin", "a", &[passed()])).expect("writable");
        add(&path, of("native", "a", &[passed()])).expect("writable");
        assert_eq!(kinds(), ["device orin PASSED", "native PASSED"]);
        add(&path, of("none", "a", &[skipped()])).expect("writable");
        assert_eq!(kinds(), ["device orin PASSED", "native PASSED"]);
        // Other bytes: what was known of the old ones says nothing of them.
        add(&path, of("native", "b", &[passed()])).expect("writable");
        assert_eq!(kinds(), ["native PASSED"]);
        sandbox.write("a.evidence.json", r#"{"version": 9}"#);
        let error = add(&path, of("native", "b", &[passed()])).expect_err("it is of another time");
        insta::assert_snapshot!(error.to_string().replace(sandbox.root.as_str(), "~"), @"`~/a.evidence.json` is there and is no evidence of this version: its format is version 9");
    }

    #[test]
    fn where_it_is() {
        assert_eq!(place("o/a-1.0.0-x.tar.zst".into()), "o/a-1.0.0-x.evidence.json");
        assert_eq!(place("a.zip".into()), "a.evidence.json");
    }
}
