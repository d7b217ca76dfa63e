use gangway_abi::check::Code;

use super::*;
use crate::config::{self, Config};
use crate::testing::Sandbox;

/// A manifest with these allowances.
pub(crate) fn config(verify: &str) -> Config {
    let sandbox = Sandbox::new();
    let text = format!(
        "format = 1\n[app]\nname = \"a\"\nversion = \"1.0.0\"\n[runtime]\nengine = \"none\"\n\
         [[entrypoint]]\nname = \"a\"\nprogram = \"a\"\n{verify}"
    );
    config::load(&sandbox.write("gangway.toml", text)).expect("valid")
}

pub(crate) fn finding(verdict: Verdict, code: Code, path: &str, subject: &str) -> Finding {
    Finding {
        verdict,
        code,
        path: path.to_owned(),
        owner: Some("argon2 0.44.0".to_owned()),
        subject: subject.to_owned(),
        required: format!("`{subject}`"),
        offered: "glibc 2.28".to_owned(),
        because: "the addon asks for it by name".to_owned(),
        symptom: format!("version `{subject}' not found"),
        remedy: "take an older release".to_owned(),
        is_heuristic: code.is_heuristic(),
    }
}

fn target(name: &str) -> TargetName {
    name.parse().expect("a target's name")
}

fn day(text: &str) -> Date {
    text.parse().expect("a day")
}

const ALLOW: &str = r#"
[[verify.allow]]
code = "glibc-floor"
path = "app/node_modules/argon2/**/*.node"
subject = "GLIBC_2.34"
targets = ["linux-x64"]
reason = "only the password plug-in loads it"
expires = 2027-06-30
"#;

fn standings(verify: &str, findings: &[Finding], target_name: &str, today: &str) -> Vec<Standing> {
    let config = config(verify);
    let judgement = judge(findings.to_vec(), &config.verify, &target(target_name), day(today));
    judgement.findings.into_iter().map(|judged| judged.standing).collect()
}

const ADDON: &str = "app/node_modules/argon2/prebuilds/linux-x64/argon2.node";

#[test]
fn what_may_fail_to_load_is_spared() {
    let config = config(ALLOW);
    let spared = |code, subject: &str, today: &str| {
        let other = finding(Verdict::Broken, Code::GlibcFloor, "app/other.node", "GLIBC_2.34");
        let findings = vec![finding(Verdict::Broken, code, ADDON, subject), other];
        let judgement = judge(findings, &config.verify, &target("linux-x64"), day(today));
        Vec::from_iter(judgement.spared().into_iter().map(str::to_owned))
    };
    assert_eq!(spared(Code::GlibcFloor, "GLIBC_2.34", "2027-06-30"), [ADDON]);
    assert_eq!(spared(Code::GlibcFloor, "GLIBC_2.34", "2027-07-01"), [""; 0], "expired");
    assert_eq!(spared(Code::GlibcFloor, "GLIBC_2.38", "2027-06-30"), [""; 0]);
    // An allowance of what happens after loading spares nothing.
    let verify = ALLOW.replace("glibc-floor", "x86-64-level").replace("GLIBC_2.34", "avx2");
    let config = self::config(&verify);
    let found = vec![finding(Verdict::Broken, Code::X86Level, ADDON, "avx2")];
    let judgement = judge(found, &config.verify, &target("linux-x64"), day("2027-06-30"));
    assert_eq!(judgement.findings[0].standing, Standing::Allowed(0));
    assert!(judgement.spared().is_empty());
}

#[test]
fn an_allowance_fits_in_every_part_or_not_at_all() {
    let one = |code, path: &str, subject: &str| {
        standings(
            ALLOW,
            &[finding(Verdict::Broken, code, path, subject)],
            "linux-x64",
            "2027-06-30",
        )
    };
    assert_eq!(one(Code::GlibcFloor, ADDON, "GLIBC_2.34"), [Standing::Allowed(0)]);
    for (code, path, subject) in [
        (Code::LibstdcxxFloor, ADDON, "GLIBC_2.34"),
        (Code::GlibcFloor, "app/node_modules/other/a.node", "GLIBC_2.34"),
        (Code::GlibcFloor, ADDON, "GLIBC_2.38"),
    ] {
        assert_eq!(one(code, path, subject), [Standing::Fails], "{path} {subject}");
    }
    let broken = [finding(Verdict::Broken, Code::GlibcFloor, ADDON, "GLIBC_2.34")];
    assert_eq!(standings(ALLOW, &broken, "linux-arm64", "2027-01-01"), [Standing::Fails]);
}

#[test]
fn the_day_after_the_last_it_counts_no_more() {
    let config = config(ALLOW);
    let judged = |on: &str, name: &str| {
        let broken = finding(Verdict::Broken, Code::GlibcFloor, ADDON, "GLIBC_2.34");
        judge(vec![broken], &config.verify, &target(name), day(on))
    };
    let last = judged("2027-06-30", "linux-x64");
    assert!(last.passes() && last.expired.is_empty());
    assert_eq!(last.used, BTreeSet::from([0]));
    let after = judged("2027-07-01", "linux-x64");
    assert!(!after.passes());
    assert_eq!((after.failing().count(), after.used.len()), (1, 0));
    assert_eq!(after.expired, BTreeSet::from([0]));
    assert_eq!(judged("2027-07-01", "jetson").expired, BTreeSet::new(), "it says nothing of it");
    // Even where nothing is found any more: somebody has to look.
    let nothing = judge(Vec::new(), &config.verify, &target("linux-x64"), day("2027-07-01"));
    assert!(!nothing.passes());
}

#[test]
fn what_cannot_be_told_may_be_denied() {
    let deny = "[verify]\nunknown = \"deny\"\n";
    let unknown = [finding(Verdict::Unknown, Code::OpaquePayload, ADDON, "zstd")];
    let advice = [finding(Verdict::Advice, Code::Hardening, ADDON, "RELRO")];
    let on =
        |verify: &str, findings: &[Finding]| standings(verify, findings, "linux-x64", "2027-01-01");
    assert_eq!(on("", &unknown), [Standing::Told]);
    assert_eq!(on(deny, &unknown), [Standing::Fails]);
    assert_eq!(on(deny, &advice), [Standing::Told]);
    let allowed = format!(
        "{deny}{}",
        ALLOW.replace("glibc-floor", "opaque-payload").replace("GLIBC_2.34", "zstd")
    );
    assert_eq!(on(&allowed, &unknown), [Standing::Allowed(0)]);
    let needless = ALLOW.replace("glibc-floor", "hardening").replace("GLIBC_2.34", "RELRO");
    assert_eq!(on(&needless, &advice), [Standing::Told]);
}

#[test]
fn a_bundle_says_what_was_allowed() {
    let config = config(ALLOW);
    let findings = vec![
        finding(Verdict::Broken, Code::GlibcFloor, ADDON, "GLIBC_2.34"),
        finding(Verdict::Unknown, Code::OpaquePayload, ADDON, "zstd"),
        finding(Verdict::Unknown, Code::OpaquePayload, ADDON, "xz"),
        finding(Verdict::Advice, Code::Hardening, ADDON, "RELRO"),
    ];
    let judgement = judge(findings, &config.verify, &target("linux-x64"), day("2027-01-01"));
    let verification = judgement.verification(&config.verify);
    let text = serde_json::to_string_pretty(&verification).expect("plain data");
    insta::assert_snapshot!(text, @r#"
    {
      "status": "verified",
      "allowed": 1,
      "unknown": {
        "opaque-payload": 2
      },
      "allowances": [
        {
          "code": "glibc-floor",
          "path": "app/node_modules/argon2/**/*.node",
          "subject": "GLIBC_2.34",
          "reason": "only the password plug-in loads it",
          "expires": "2027-06-30"
        }
      ]
    }
    "#);
    let read: Verification = serde_json::from_str(&text).expect("it was just written");
    assert_eq!(read, verification);
}

#[test]
fn idle_allowances_are_told_when_everything_they_speak_of_was_seen() {
    let everywhere = ALLOW.replace("targets = [\"linux-x64\"]\n", "");
    let all = [target("jetson"), target("linux-x64")];
    let idle = |verify: &str, seen: &[(&str, bool)]| {
        let config = config(verify);
        let used = vec![allowance(&config.verify.allow[0])];
        let seen = seen
            .iter()
            .map(|(name, uses)| (target(name), if *uses { used.clone() } else { Vec::new() }));
        unused(&config.verify, &all, &seen.collect()).len()
    };
    assert_eq!(idle(ALLOW, &[("linux-x64", false)]), 1);
    assert_eq!(idle(ALLOW, &[("linux-x64", true)]), 0);
    assert_eq!(idle(ALLOW, &[("jetson", false)]), 0, "its own target was not made");
    assert_eq!(idle(&everywhere, &[("linux-x64", false)]), 0, "another one may need it");
    assert_eq!(idle(&everywhere, &[("linux-x64", false), ("jetson", true)]), 0);
    assert_eq!(idle(&everywhere, &[("linux-x64", false), ("jetson", false)]), 1);
}
