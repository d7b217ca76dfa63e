//! `cargo xtask smoke`: bundles that work and bundles that do not, on this machine and at the other end of ssh.
//!
//! What does not work is the example's own bundle with one file replaced.

mod device;

use std::process::Output;

use camino::{Utf8Path, Utf8PathBuf};
use e2e::{gangway, repository, scratch, text, unpacked_example};
use serde_json::Value;

/// Runs `smoke` and returns its status, and the step that failed or was skipped, by the start of its name.
fn smoke(bundle: &Utf8Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = said(bundle, arguments);
    let printed = serde_json::from_slice(&output.stdout);
    let printed: Value = printed.unwrap_or_else(|_| panic!("{}", text(&output)));
    (output.status.code(), printed[0].clone())
}

fn said(bundle: &Utf8Path, arguments: &[&str]) -> Output {
    let mut command = gangway();
    command.args(["smoke", "--json", bundle.as_str()]).args(arguments);
    command.output().expect("it is a program")
}

#[track_caller]
fn step<'a>(report: &'a Value, name: &str) -> &'a Value {
    let steps = report["steps"].as_array().expect("a list");
    let found =
        steps.iter().find(|step| step["name"].as_str().is_some_and(|this| this.starts_with(name)));
    found.unwrap_or_else(|| panic!("no step `{name}` in {report:#}"))
}

/// Every step but the service in Python passed: not every machine has a Python of its own.
#[track_caller]
fn all_passed(report: &Value) {
    for step in report["steps"].as_array().expect("a list") {
        let may_fail = step["name"] == "service digest" && which("python3").is_none();
        assert!(may_fail || step["outcome"] == "passed", "{step:#}");
    }
}

fn which(program: &str) -> Option<Utf8PathBuf> {
    let path = std::env::var("PATH").ok()?;
    let folders = path.split(':').chain(["/usr/sbin"]).map(str::to_owned).collect::<Vec<_>>();
    folders.iter().map(|folder| Utf8Path::new(folder).join(program)).find(|path| path.is_file())
}

/// The example's archive for this machine.
fn archive(out: &str) -> Utf8PathBuf {
    let manifest = repository().join("examples/gateway/gangway.toml");
    let made = e2e::bundle(&manifest, &scratch(out), &[]);
    made["archive"].as_str().expect("a path").into()
}

/// No process of the bundle is left.
#[track_caller]
fn nothing_runs(of: &Utf8Path) {
    let left: Vec<_> = fs_err::read_dir("/proc")
        .expect("Linux")
        .flatten()
        .filter_map(|process| {
            let line = fs_err::read(process.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(of.as_str()).then_some(line)
        })
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_bundle_that_works_leaves_evidence() {
    let archive = archive("smoke-works");
    let (status, report) = smoke(&archive, &[]);
    all_passed(&report);
    assert_eq!((status, report["kind"].as_str()), (Some(0), Some("native")));
    for name in [
        "echo-gateway --version",
        "load app/node_modules/@node-rs",
        "service words",
        "gateway /health",
    ] {
        step(&report, name);
    }
    let evidence = fs_err::read(report["evidence"].as_str().expect("a path")).expect("written");
    let evidence: Value = serde_json::from_slice(&evidence).expect("JSON");
    let statement = &evidence["statements"][0];
    assert_eq!(statement["predicate"]["result"], "PASSED");
    let digest = e2e_digest(&archive);
    assert_eq!(statement["subject"][0]["digest"]["sha256"], digest.as_str());
    let beside = archive.as_str().replace(".tar.zst", ".manifest.json");
    let configuration = &statement["predicate"]["configuration"][0]["digest"]["sha256"];
    assert_eq!(*configuration, e2e_digest(Utf8Path::new(&beside)).as_str());
}

fn e2e_digest(path: &Utf8Path) -> String {
    use sha2::Digest as _;
    let bytes = fs_err::read(path).expect("it is there");
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The example, unpacked, so that a file of it can be replaced.
fn broken(path: &str, content: &str) -> (tempfile::TempDir, Utf8PathBuf) {
    let (folder, bundle) = unpacked_example("gateway");
    let file = bundle.join(path);
    let _ = fs_err::remove_file(&file);
    fs_err::write(&file, content).expect("it is ours");
    (folder, bundle)
}

fn the_addon(bundle: &Utf8Path) -> Utf8PathBuf {
    let manifest = fs_err::read(bundle.join("manifest.json")).expect("it has one");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let mut files = manifest["files"].as_array().expect("a list").iter();
    let addon = files.find_map(|file| file["path"].as_str().filter(|path| path.ends_with(".node")));
    addon.expect("the example has one").into()
}

/// The runtime is replaced by a program that does what a crashing addon makes of one.
#[test]
fn an_addon_that_crashes() {
    let (_folder, bundle) = unpacked_example("gateway");
    let node = bundle.join("runtime/bin/node");
    let real = bundle.join("runtime/bin/real");
    fs_err::rename(&node, &real).expect("it is ours");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *.node) echo about to load >&2; kill -SEGV $$;; esac\nexec {real} \"$@\"\n"
    );
    write_program(&node, &script);
    let (status, report) = smoke(&bundle, &[]);
    assert_eq!(status, Some(1), "{report:#}");
    let load = step(&report, &format!("load {}", the_addon(&bundle)));
    assert_eq!(load["outcome"], "failed");
    assert_eq!(load["reason"], "it was killed by signal 11 (SIGSEGV)");
    assert_eq!(load["said"][0], "about to load");
    assert!(Utf8Path::new(load["log"].as_str().expect("kept")).is_file());
    // One failure, and the others are tried all the same.
    assert_eq!(step(&report, "gateway /health")["outcome"], "passed", "{report:#}");
    assert!(report["evidence"].is_null(), "a folder has no digest");
    nothing_runs(&bundle);
}

#[test]
fn a_gateway_that_is_never_well() {
    let (_folder, bundle) = broken(
        "app/dist/server.js",
        "import { spawn } from 'node:child_process';\n\
         spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true, stdio: 'ignore' });\n\
         console.log('thinking'); setInterval(() => {}, 1000);\n",
    );
    shorten(&bundle, 15);
    let (status, report) = smoke(&bundle, &[]);
    assert_eq!(status, Some(1), "{report:#}");
    let gateway = step(&report, "gateway /health");
    let reason = gateway["reason"].as_str().expect("it failed");
    assert!(reason.starts_with("it was not well within 15 s: nobody answers"), "{reason}");
    assert_eq!(gateway["said"][0], "thinking");
    nothing_runs(&bundle);
}

#[test]
fn a_service_that_ends_at_once() {
    let (_folder, bundle) = unpacked_example("gateway");
    let program = bundle.join("services/words/words");
    fs_err::remove_file(&program).expect("it is ours");
    write_program(&program, "#!/bin/sh\necho no disk >&2\nexit 7\n");
    // Somebody else's, who happens to be in the folder.
    let mut bystander = std::process::Command::new("sleep");
    let mut bystander =
        bystander.arg("1000").current_dir(&bundle).spawn().expect("everybody has it");
    let output = {
        let mut command = gangway();
        command.args(["smoke", bundle.as_str()]).output().expect("it is a program")
    };
    assert!(bystander.try_wait().expect("ours").is_none(), "it is left alone");
    bystander.kill().and_then(|()| bystander.wait()).expect("ours");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(
        said.contains("FAILED  service words: it ended with status 7 before it was well"),
        "{said}"
    );
    assert!(said.contains("| no disk") && said.contains("passed  gateway /health"), "{said}");
    nothing_runs(&bundle);
}

#[test]
fn what_cannot_run_here_is_skipped() {
    let (_folder, bundle) = unpacked_example("gateway");
    let path = bundle.join("manifest.json");
    let text = fs_err::read_to_string(&path).expect("it has one");
    fs_err::remove_file(&path).expect("it is ours");
    let text = text.replace(r#""os":"linux""#, r#""os":"darwin""#).replacen(
        r#""os": "linux""#,
        r#""os": "darwin""#,
        1,
    );
    fs_err::write(&path, text.replace(r#","libc":"glibc""#, "")).expect("it is ours");
    let (status, report) = smoke(&bundle, &[]);
    assert_eq!((status, report["kind"].as_str()), (Some(0), Some("none")), "{report:#}");
    for step in report["steps"].as_array().expect("a list") {
        assert_eq!(step["outcome"], "skipped");
    }
}

#[test]
fn what_is_no_bundle() {
    let output = said(&repository().join("README.md"), &[]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let output = said(&archive("smoke-works"), &["--in", " "]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

fn write_program(path: &Utf8Path, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs_err::write(path, script).expect("it is ours");
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// Gives the gateway less time.
fn shorten(bundle: &Utf8Path, seconds: u32) {
    let path = bundle.join("manifest.json");
    let text = fs_err::read(&path).expect("it has one");
    let mut manifest: Value = serde_json::from_slice(&text).expect("JSON");
    manifest["health"]["timeout_seconds"] = seconds.into();
    fs_err::remove_file(&path).expect("it is ours");
    fs_err::write(&path, manifest.to_string()).expect("it is ours");
}
