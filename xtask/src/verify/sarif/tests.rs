use gangway_artifact::Date;

use super::*;
use crate::verify::allow::judge;
use crate::verify::allow::tests::{config, finding};

/// The schema of OASIS, without its descriptions; the pattern of languages, a lone `]` in which is no regular expression
/// everywhere, is mended.
const SCHEMA: &str = include_str!("sarif-schema-2.1.0.json");

fn sample() -> Value {
    let config = config(
        "[[verify.allow]]\ncode = \"library-closure\"\npath = \"app/b.node\"\nreason = \"nobody loads it\"\n\
         expires = 2027-06-30\n",
    );
    let findings = vec![
        finding(Verdict::Broken, Code::GlibcFloor, "app/a b#1.node", "GLIBC_2.34"),
        finding(Verdict::Broken, Code::LibraryClosure, "app/b.node", "libX11.so.6"),
        finding(Verdict::Unknown, Code::OpaquePayload, "app/c.node", "zstd"),
        finding(Verdict::Advice, Code::Hardening, "", "RELRO"),
    ];
    let target = "linux-x64".parse().expect("a target's name");
    let today = Date::new(2027, 1, 1).expect("a day");
    let judgement = judge(findings, &config.verify, &target, today);
    log(&judgement, &config.verify, "a 1.0.0 for linux-x64")
}

#[test]
fn it_is_valid() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors = |log: &Value| -> Vec<String> {
        validator
            .iter_errors(log)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect()
    };
    let log = sample();
    assert_eq!(errors(&log), Vec::<String>::new());
    let mut spoiled = log.clone();
    spoiled["runs"][0]["results"][0]["level"] = "terrible".into();
    assert_eq!(errors(&spoiled).len(), 1, "the schema does look");
    let empty = super::log(&Judgement::default(), &Verify::default(), "nothing");
    assert_eq!(errors(&empty), Vec::<String>::new());
}

#[test]
fn results() {
    let log = sample();
    let told = log["runs"][0]["results"].as_array().expect("a list").iter().map(|result| {
        let location = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let parts = [
            text(&result["ruleId"]),
            text(&result["kind"]),
            text(&result["level"]),
            text(location),
            text(&result["suppressions"][0]["justification"]),
        ];
        parts.join(" | ")
    });
    let told: Vec<String> = told.collect();
    assert_eq!(
        told,
        [
            "glibc-floor | fail | error | app/a%20b%231.node | -",
            "library-closure | fail | error | app/b.node | nobody loads it",
            "opaque-payload | open | none | app/c.node | -",
            "hardening | fail | note | - | -",
        ]
    );
    let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().expect("a list");
    for result in log["runs"][0]["results"].as_array().expect("a list") {
        let index =
            usize::try_from(result["ruleIndex"].as_u64().expect("a number")).expect("small");
        assert_eq!(rules[index]["id"], result["ruleId"]);
    }
}
