//! `[[tensorrt-plan]]`.

use super::*;

const PLAN: &str = r#"
[[tensorrt-plan]]
path = "services/vision/*.engine"
tensorrt = "10.3.0"
sm = "8.7"
"#;

#[test]
fn what_is_written_is_read() {
    let text = format!("{MINIMAL}{PLAN}targets = [\"jetson\"]\n");
    let config = Folder::with(&[(FILE_NAME, &text)]).load().expect("valid");
    let [plan] = config.plans.as_slice() else { panic!("one was written") };
    assert!(plan.path.matches("services/vision/yolo.engine"));
    assert_eq!((plan.tensorrt.to_string(), plan.sm.to_string()), ("10.3.0".into(), "8.7".into()));
    let target = |name: &str| name.parse().expect("a target's name");
    assert!(plan.is_about(&target("jetson")) && !plan.is_about(&target("jetson-jp7")));
    let error = config.check_targets(&["jetson-jp7"]).expect_err("it is not known");
    assert!(rendered(&error).contains("did you mean `jetson-jp7`?"), "{}", rendered(&error));
}

#[test]
fn what_to_write_instead() {
    for (from, to, told) in [
        ("\"10.3.0\"", "\"10.3\"", "`10.3` does not say which version"),
        ("\"10.3.0\"", "\"newest\"", "write it as the program that made the plan says"),
        ("\"8.7\"", "\"87\"", "`sm = \"8.7\"` for an Orin"),
        ("\"8.7\"", "8.7", "sm"),
        ("sm = \"8.7\"\n", "", "missing key `sm`"),
        ("services/vision/*.engine", "/opt/*.engine", "write \"opt/*.engine\""),
        ("sm =", "targets = []\nsm =", "`tensorrt-plan.targets` is empty"),
        ("sm =", "targets = [\"Jetson\"]\nsm =", "cannot name a target"),
        ("sm =", "chip = \"x\"\nsm =", "unknown key `chip`"),
    ] {
        let text = format!("{MINIMAL}{PLAN}");
        assert!(text.contains(from), "{from}");
        let said = Folder::with(&[(FILE_NAME, &text.replacen(from, to, 1))]).refusal();
        assert!(said.contains(told), "`{told}` is not in:\n{said}");
    }
}
