//! A release as it is published, with the installer that people get.

use camino::{Utf8Path, Utf8PathBuf};
use e2e::{bundle, gangway, repository, scratch, text};
use serde_json::Value;

/// What an installer may have at most.
const MOST: u64 = 6_000_000;

#[test]
#[ignore = "needs zig, cargo-zigbuild and Rust's standard library for musl"]
fn the_installer_is_small_and_needs_nothing() {
    let manifest = repository().join("examples/gateway/gangway.toml");
    let made = bundle(&manifest, &scratch("bundles"), &[]);
    let archive = Utf8PathBuf::from(made["archive"].as_str().expect("a path"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = Utf8Path::from_path(folder.path()).expect("UTF-8").join("out");
    let mut release = gangway();
    let done =
        release.args(["release", "--json", archive.as_str(), "--out", out.as_str()]).output();
    let done = done.expect("it is a program");
    assert!(done.status.success(), "{}", text(&done));
    let told: Value = serde_json::from_slice(&done.stdout).expect("--json prints JSON");
    let files = told["files"].as_array().expect("a list");
    let name = |file: &Value| file["name"].as_str().expect("a name").to_owned();
    let installer = files.iter().find(|file| name(file).contains("-installer-"));
    let installer = installer.expect("there is one for this machine");
    let size = installer["size"].as_u64().expect("a number");
    assert!(size < MOST, "{} has {size} bytes", name(installer));
    // An executable that names no loader finds all it needs in itself.
    let bytes = fs_err::read(out.join(name(installer))).expect("it is there");
    let loader = b"/ld-";
    assert!(!bytes.windows(loader.len()).take(4096).any(|part| part == loader));
    let home = tempfile::tempdir().expect("a temporary folder");
    let home = Utf8Path::from_path(home.path()).expect("UTF-8");
    let version = e2e::bare(&out.join(name(installer)), home).arg("--version").output();
    assert!(version.expect("it starts").status.success());
}
