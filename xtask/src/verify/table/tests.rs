use gangway_artifact::Date;

use super::*;
use crate::verify::allow::judge;
use crate::verify::allow::tests::{config, finding};

const ALLOW: &str = r#"
[[verify.allow]]
code = "library-closure"
path = "app/node_modules/screen/**"
reason = "only the desktop plug-in loads it"
expires = 2027-06-30
"#;

fn told(style: Style) -> String {
    let config = config(ALLOW);
    let argon2 = "app/node_modules/argon2/prebuilds/linux-x64/argon2.node";
    let screen = "app/node_modules/screen/screen.node";
    let findings = vec![
        finding(Verdict::Broken, Code::GlibcFloor, argon2, "GLIBC_2.34"),
        finding(Verdict::Broken, Code::LibraryClosure, screen, "libX11.so.6"),
        finding(Verdict::Unknown, Code::OpaquePayload, "app/a.node", "zstd"),
        finding(Verdict::Unknown, Code::OpaquePayload, "app/b.node", "zstd"),
        finding(Verdict::Advice, Code::Hardening, argon2, "RELRO"),
    ];
    let target = "linux-x64".parse().expect("a target's name");
    let today = Date::new(2027, 1, 1).expect("a day");
    of(
        &judge(findings, &config.verify, &target, today),
        &config.verify,
        "a 1.0.0 for linux-x64",
        style,
    )
}

#[test]
fn the_worst_comes_first() {
    insta::assert_snapshot!(told(Style { width: 60, advice: false }));
}

#[test]
fn advice_in_full() {
    let told = told(Style { width: 200, advice: true });
    let (_, advice) = told.split_once("advice  ").expect("it is shown");
    insta::assert_snapshot!(advice);
}

#[test]
fn long_words_stay_whole() {
    let path = "app/node_modules/a-very-long-name-indeed/build/Release/addon.node";
    assert_eq!(wrapped(path, 20), [path]);
    assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
    assert_eq!(wrapped("one\ntwo", 20), ["one", "two"]);
}
