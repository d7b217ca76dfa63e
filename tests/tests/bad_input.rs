//! Bad input, as a user brings it: a clear message, a status of 1, and nothing left behind.

use std::collections::BTreeMap;
use std::process::Command;

use e2e::{Answer, LocalRegistry, Project, gangway, integrity, tarball, text, unwrapped};

const TARBALL: &str = "/@local/greeting/-/greeting-1.0.0.tgz";

fn serving(answer: Answer) -> LocalRegistry {
    LocalRegistry::start(BTreeMap::from([(TARBALL.to_owned(), answer)]))
}

/// A project whose registry serves the right tarball.
fn healthy() -> (Project, LocalRegistry) {
    // Another content for each test, so that none finds the other's package in the cache.
    let project = Project::new();
    let registry = serving(Answer::Bytes(project.tarball.clone()));
    project.use_registry(&registry.url());
    (project, registry)
}

/// Every part of `expected` must be said.
#[track_caller]
fn says(said: &str, expected: &[&str]) {
    for part in expected {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
}

#[test]
fn the_sample_is_good_until_it_is_spoiled() {
    let (project, _registry) = healthy();
    let out = project.folder().join("out");
    let mut command = gangway();
    command.args(["bundle", "--manifest", project.manifest().as_str(), "--out", out.as_str()]);
    let output = command.output().expect("it is a program");
    assert!(output.status.success(), "{}", text(&output));
    let (_folder, bundle) = e2e::unpack(&out.join("sample-1.2.3-linux-x64.tar.zst"));
    let output = e2e::bare(&bundle.join("bin/sample"), project.folder())
        .args(["a b", ""])
        .output()
        .expect("it starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello a b \n");
    assert!(
        !bundle.join("app/node_modules/@local/greeting/index.d.ts").exists(),
        "declarations are pruned"
    );
}

#[test]
fn missing_lockfile() {
    let (project, _registry) = healthy();
    fs_err::remove_file(project.folder().join("package-lock.json")).expect("it was there");
    says(&project.refused(&[]), &["package-lock.json", "npm install --package-lock-only"]);
}

#[test]
fn lockfile_newer_than_we_read() {
    let (project, _registry) = healthy();
    let mut lockfile = project.lockfile();
    lockfile["lockfileVersion"] = 4.into();
    project.write_lockfile(&lockfile);
    says(&project.refused(&[]), &["package-lock.json", "4"]);
}

#[test]
fn wrong_integrity() {
    let (project, _registry) = healthy();
    let mut lockfile = project.lockfile();
    lockfile["packages"]["node_modules/@local/greeting"]["integrity"] =
        integrity(b"something else").into();
    project.write_lockfile(&lockfile);
    says(&project.refused(&[]), &["@local/greeting 1.0.0", "digest", "lockfile"]);
}

#[test]
fn tarball_that_escapes() {
    let project = Project::new();
    let hostile =
        tarball(&[("package/package.json", "{}"), ("package/../../../escaped.txt", "gotcha")]);
    let registry = serving(Answer::Bytes(hostile.clone()));
    project.use_registry(&registry.url());
    let mut lockfile = project.lockfile();
    lockfile["packages"]["node_modules/@local/greeting"]["integrity"] = integrity(&hostile).into();
    project.write_lockfile(&lockfile);
    says(&project.refused(&[]), &["@local/greeting", "escaped.txt"]);
}

/// A project whose one package is in nobody's cache, because its content is the test's own.
fn uncached(name: &str, answer: impl FnOnce(Vec<u8>) -> Answer) -> (Project, LocalRegistry) {
    let mut project = Project::new();
    project.tarball = tarball(&[("package/package.json", "{}"), ("package/only-for.txt", name)]);
    project.write_lockfile(&project.lockfile());
    let registry = serving(answer(project.tarball.clone()));
    project.use_registry(&registry.url());
    (project, registry)
}

#[test]
fn registry_down() {
    let (project, _registry) = uncached("down", Answer::Bytes);
    let port = e2e::free_port();
    project.use_registry(&format!("http://127.0.0.1:{port}/"));
    says(&project.refused(&[]), &["@local/greeting", &format!("127.0.0.1:{port}")]);
}

#[test]
fn registry_wants_a_login() {
    let (project, _registry) = uncached("login", |_| Answer::Status(401));
    says(&project.refused(&[]), &["@local/greeting", "401", "npm login"]);
}

#[test]
fn download_cut_off() {
    let (project, registry) = uncached("cut off", Answer::Half);
    says(&project.refused(&[]), &["@local/greeting"]);
    assert!(registry.requests().len() > 1, "a cut-off download is tried again");
}

#[test]
fn offline_and_not_in_the_cache() {
    let (project, registry) = uncached("offline", Answer::Bytes);
    says(&project.refused(&["--offline"]), &["@local/greeting", "--offline"]);
    assert_eq!(registry.requests(), Vec::<String>::new());
}

#[test]
fn no_runtime_in_the_range() {
    let (project, _registry) = healthy();
    project.edit("gangway.toml", "^24.16.0", "^99.0.0");
    says(&project.refused(&[]), &["gangway.lock", "^99", "cargo xtask lock"]);
    let mut command = gangway();
    let output = command
        .args(["lock", "--manifest", project.manifest().as_str()])
        .output()
        .expect("it is a program");
    assert_eq!(output.status.code(), Some(1));
    says(&unwrapped(&text(&output)), &["node", "linux-x64", "^99.0.0", "newest: 26"]);
    let lock =
        fs_err::read_to_string(project.folder().join("gangway.lock")).expect("it is still there");
    assert!(lock.contains("version = \"24."), "the lock stays as it was");
}

#[test]
fn missing_lock() {
    let (project, _registry) = healthy();
    fs_err::remove_file(project.folder().join("gangway.lock")).expect("it was there");
    says(&project.refused(&[]), &["gangway.lock", "cargo xtask lock"]);
}

#[test]
fn engines_not_met() {
    let (project, _registry) = healthy();
    project.edit(
        "package.json",
        r#""version":"1.2.3""#,
        r#""version":"1.2.3","engines":{"node":">=26"}"#,
    );
    says(&project.refused(&[]), &["package.json", ">=26", "24."]);
}

#[test]
fn entrypoint_missing() {
    let (project, _registry) = healthy();
    project.edit("gangway.toml", r#"script = "app.js""#, r#"script = "ap.js""#);
    says(&project.refused(&[]), &["entrypoint `sample`", "gangway.toml", "did you mean `app.js`?"]);
}

#[test]
fn install_script_not_decided() {
    let (project, _registry) = healthy();
    let mut lockfile = project.lockfile();
    lockfile["packages"]["node_modules/@local/greeting"]["hasInstallScript"] = true.into();
    project.write_lockfile(&lockfile);
    says(&project.refused(&[]), &["@local/greeting", "[[install-script]]", "run", "ignore"]);
}

#[test]
fn unknown_key() {
    let (project, _registry) = healthy();
    project.edit("gangway.toml", "include =", "includes =");
    says(&project.refused(&[]), &["gangway.toml", "includes", "did you mean `include`"]);
}

#[test]
fn unknown_target() {
    let (project, _registry) = healthy();
    says(&project.refused(&["--target", "linux-x46"]), &["linux-x46", "did you mean `linux-x64`?"]);
}

#[test]
fn cache_that_cannot_be_written_to() {
    let (project, _registry) = healthy();
    // A file where the folder should be: root may write into read-only folders.
    let blocked = project.folder().join("blocked");
    project.write("blocked", "");
    let output = gangway()
        .args([
            "bundle",
            "--manifest",
            project.manifest().as_str(),
            "--out",
            project.folder().join("out").as_str(),
        ])
        .env("GANGWAY_CACHE", blocked.join("cache"))
        .output()
        .expect("it is a program");
    assert_eq!(output.status.code(), Some(1));
    says(&text(&output), &["blocked", "cache"]);
}

/// Runs the builder in a mount namespace of its own, after a mount that spoils it.
fn spoiled(project: &Project, mount: &str) -> String {
    let program = gangway();
    let script = format!("mkdir -p cache out && {mount} && exec \"$0\" bundle --out out");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(program.get_program())
        .current_dir(project.folder())
        .env("GANGWAY_CACHE", project.folder().join("cache"))
        .output()
        .expect("unshare is part of util-linux");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    text(&output)
}

#[test]
fn read_only_cache() {
    let (project, _registry) = healthy();
    let said = spoiled(&project, "mount -t tmpfs -o ro tmpfs cache");
    says(&said, &["cache", "Read-only file system"]);
}

#[test]
fn disk_full_while_unpacking() {
    let (project, _registry) = healthy();
    let said = spoiled(&project, "mount -t tmpfs -o size=8m tmpfs cache");
    says(&said, &["cache", "No space left on device"]);
}

#[test]
fn disk_full_while_packing() {
    let (project, _registry) = healthy();
    let said = spoiled(&project, "mount -t tmpfs -o size=4m tmpfs out");
    says(&said, &["sample-1.2.3-linux-x64", "No space left on device"]);
}

#[test]
fn addon_for_other_platforms_only() {
    let mut project = Project::new();
    // An ELF library for IBM Z.
    let mut library = String::from("\u{7f}ELF\u{2}\u{1}\u{1}");
    library.extend(std::iter::repeat_n('\0', 9));
    library.push_str("\u{3}\0\u{16}\0");
    library.extend(std::iter::repeat_n('\0', 44));
    let package = r#"{"name":"@local/greeting","version":"1.0.0","main":"index.js",
        "scripts":{"install":"node-gyp-build"},"dependencies":{"node-gyp-build":"4"}}"#;
    project.tarball = tarball(&[
        ("package/package.json", package),
        ("package/index.js", "module.exports = require('node-gyp-build')(__dirname);\n"),
        ("package/prebuilds/linux-s390x/node.napi.node", &library),
    ]);
    let mut lockfile = project.lockfile();
    lockfile["packages"]["node_modules/@local/greeting"]["hasInstallScript"] = true.into();
    project.write_lockfile(&lockfile);
    let registry = serving(Answer::Bytes(project.tarball.clone()));
    project.use_registry(&registry.url());
    says(
        &project.refused(&[]),
        &["no native code for `linux-x64`", "@local/greeting 1.0.0", "linux s390x", "[[addon]]"],
    );
}

#[test]
fn runtime_without_a_build_for_the_target() {
    let (project, _registry) = healthy();
    project.edit("gangway.toml", r#"engine = "node""#, r#"engine = "deno""#);
    project.edit("gangway.toml", "^24.16.0", "^2.9");
    let said = project.refused(&["--target", "linux-x64-musl"]);
    says(&said, &["deno has no build for the target `linux-x64-musl`"]);
}

#[test]
fn two_services_of_one_name() {
    let (project, _registry) = healthy();
    let service = "\n[[service]]\nname = \"twin\"\nkind = \"rust\"\n";
    project.edit(
        "gangway.toml",
        "\n[dependencies]",
        &format!("{service}{service}\n[dependencies]"),
    );
    says(&project.refused(&[]), &["service `twin` appears twice", "first here", "again here"]);
}
