//! `--device`: this machine as its own device, behind an ssh server of the test's own.

use camino::Utf8Path;
use e2e::sshd::Sshd;
use e2e::{gangway, text, unpacked_example};
use serde_json::Value;

use super::{all_passed, archive, step, write_program};

/// What is left on the device: folders that `mktemp` made there.
fn left(folder: &Utf8Path) -> Vec<String> {
    let entries = folder.read_dir_utf8().expect("it is ours").flatten();
    entries.map(|entry| entry.file_name().to_owned()).collect()
}

/// A device whose folder for temporary files is `folder`.
fn device(folder: &Utf8Path) -> Sshd {
    let enter = folder.join("enter.sh");
    let script =
        format!("#!/bin/sh\nexport TMPDIR={folder}/t\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n");
    write_program(&enter, &script);
    fs_err::create_dir(folder.join("t")).expect("it is ours");
    Sshd::start(Some(enter.as_str()))
}

fn smoke_on(sshd: &Sshd, bundle: &Utf8Path) -> (Option<i32>, Value) {
    let mut command = gangway();
    command.env("GANGWAY_SSH", sshd.ssh());
    command.args(["smoke", "--json", bundle.as_str(), "--device", &sshd.address()]);
    let output = command.output().expect("it is a program");
    let printed: Result<Value, _> = serde_json::from_slice(&output.stdout);
    let printed = printed.unwrap_or_else(|_| panic!("{}", text(&output)));
    (output.status.code(), printed[0].clone())
}

#[test]
#[ignore = "needs OpenSSH's server"]
fn a_bundle_on_a_device() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
    let sshd = device(folder);
    let archive = archive("smoke-device");
    // Runs add up, those of an earlier test too.
    let evidence = archive.as_str().replace(".tar.zst", ".evidence.json");
    let _ = fs_err::remove_file(evidence);
    let (status, report) = smoke_on(&sshd, &archive);
    all_passed(&report);
    assert_eq!(status, Some(0), "{report:#}");
    assert_eq!(step(&report, "contract")["outcome"], "passed");
    assert!(report["host"]["kernel"].is_string(), "{report:#}");
    assert_eq!(left(&folder.join("t")), Vec::<String>::new());
    // On this machine as well: both stand in the evidence.
    let mut command = gangway();
    let output = command.args(["smoke", archive.as_str()]).output().expect("it is a program");
    assert!(output.status.success(), "{}", text(&output));
    let evidence = fs_err::read(report["evidence"].as_str().expect("a path")).expect("written");
    let evidence: Value = serde_json::from_slice(&evidence).expect("JSON");
    let kinds: Vec<_> = evidence["statements"].as_array().expect("a list").iter().collect();
    assert_eq!(kinds.len(), 2, "{evidence:#}");
}

#[test]
#[ignore = "needs OpenSSH's server"]
fn what_fails_on_a_device_leaves_nothing_there() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
    let sshd = device(folder);
    let (_unpacked, bundle) = unpacked_example("gateway");
    let program = bundle.join("services/words/words");
    fs_err::remove_file(&program).expect("it is ours");
    write_program(&program, "#!/bin/sh\necho on the device\nsleep 1000 &\nkill -ABRT $$\n");
    let (status, report) = smoke_on(&sshd, &bundle);
    assert_eq!(status, Some(1), "{report:#}");
    let words = step(&report, "service words");
    assert_eq!(words["reason"], "it was killed by signal 6 (SIGABRT) before it was well");
    assert_eq!(words["said"][0], "on the device");
    assert_eq!(step(&report, "gateway /health")["outcome"], "passed", "{report:#}");
    assert_eq!(left(&folder.join("t")), Vec::<String>::new());
    super::nothing_runs(folder);
}

#[test]
#[ignore = "needs OpenSSH's server"]
fn a_device_that_does_not_meet_the_contract_gets_nothing() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
    let sshd = device(folder);
    let (_unpacked, bundle) = unpacked_example("gateway");
    let path = bundle.join("manifest.json");
    let text = fs_err::read(&path).expect("it has one");
    let mut manifest: Value = serde_json::from_slice(&text).expect("JSON");
    manifest["contract"]["glibc"] = "2.99".into();
    fs_err::remove_file(&path).expect("it is ours");
    fs_err::write(&path, manifest.to_string()).expect("it is ours");
    let (status, report) = smoke_on(&sshd, &bundle);
    assert_eq!(status, Some(1));
    let contract = step(&report, "contract");
    let said = contract["said"][0].as_str().expect("a reason");
    assert!(said.starts_with("it needs glibc 2.99 or newer, and the machine has 2."), "{said}");
    assert_eq!(step(&report, "gateway /health")["outcome"], "skipped");
    assert_eq!(left(&folder.join("t")), Vec::<String>::new());
}
