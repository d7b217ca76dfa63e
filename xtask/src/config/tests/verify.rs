//! `[verify]` and its allowances.

use super::*;

const ALLOW: &str = r#"
[[verify.allow]]
code = "glibc-floor"
path = "app/node_modules/argon2/**"
reason = "only the password plug-in loads it"
expires = 2027-06-30
"#;

fn refusal(from: &str, to: &str) -> String {
    let text = format!("{MINIMAL}{ALLOW}");
    assert!(text.contains(from), "{from}");
    Folder::with(&[(FILE_NAME, &text.replace(from, to))]).refusal()
}

#[test]
fn what_is_written_is_read() {
    let targets = format!("{ALLOW}targets = [\"jetson\"]\nsubject = \"GLIBC_2.34\"\n");
    let text = format!("{MINIMAL}[verify]\nunknown = \"deny\"\n{targets}");
    let config = Folder::with(&[(FILE_NAME, &text)]).load().expect("valid");
    assert_eq!(config.verify.unknown, Unknown::Deny);
    let allow = &config.verify.allow[0];
    assert_eq!(allow.code.value.number(), 1);
    assert_eq!(allow.expires.value.to_string(), "2027-06-30");
    assert_eq!(allow.subject.as_deref(), Some("GLIBC_2.34"));
    assert!(allow.path.matches("app/node_modules/argon2/build/a.node"));
    assert!(!allow.path.matches("app/node_modules/argon2-other/a.node"));
    let target = |name: &str| name.parse().expect("a target's name");
    assert!(allow.is_about(&target("jetson")) && !allow.is_about(&target("linux-x64")));
    config.check_targets(&["jetson"]).expect("it is known");
    let error = config.check_targets(&["jetson-jp7"]).expect_err("it is not known");
    assert!(rendered(&error).contains("did you mean `jetson-jp7`?"), "{}", rendered(&error));
    let silent = Folder::with(&[(FILE_NAME, MINIMAL)]).load().expect("valid");
    assert_eq!((silent.verify.unknown, silent.verify.allow.len()), (Unknown::Warn, 0));
}

#[test]
fn what_to_write_instead() {
    for (from, to, told) in [
        ("\"glibc-floor\"", "\"glibc-flor\"", "did you mean `glibc-floor`?"),
        ("2027-06-30", "\"2027-06-30\"", "write `expires = 2027-06-30`, without quotes"),
        ("2027-06-30", "\"soon\"", "for instance `expires = 2027-06-30`"),
        ("2027-06-30", "2027-06-30T10:00:00Z", "not a date alone"),
        ("expires = 2027-06-30\n", "", "write a line such as `expires = 2027-06-30`"),
        ("\"only the password plug-in loads it\"", "\"  \"", "`verify.allow.reason` is empty"),
        ("reason = \"only the password plug-in loads it\"\n", "", "missing key `reason`"),
        ("app/node_modules/argon2/**", "/app/**", "write \"app/**\""),
        ("expires =", "targets = []\nexpires =", "`verify.allow.targets` is empty"),
        ("expires =", "targets = [\"Linux\"]\nexpires =", "cannot name a target"),
        ("expires =", "subjekt = \"x\"\nexpires =", "did you mean `subject`?"),
    ] {
        let said = refusal(from, to);
        assert!(said.contains(told), "`{told}` is not in:\n{said}");
    }
}
