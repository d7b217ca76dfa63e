//! `lock`, and what `bundle` makes of a lock, with runtimes from a mirror of Node's own server.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::node_mirror::{self, Release};
use e2e::{Answer, LocalRegistry, Official, integrity, signing, tarball, text};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Every part of `expected` must be said.
#[track_caller]
fn says(said: &str, expected: &[&str]) {
    for part in expected {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
}

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_lock_names_archive_and_executable_exactly() {
    let release = Release::new("24.99.0", "fake");
    let server = node_mirror::serve(&[Release::new("24.98.0", "older"), release.clone()]);
    let gateway = Official::new();
    says(
        &gateway.lock(&server, &[]),
        &["gangway.lock written", "node 24.99.0 for linux-x64 from official"],
    );

    let lock: toml::Table = gateway.lock_text().parse().expect("TOML");
    let digest = STANDARD.encode(release.sha256());
    let executable = sha256(node_mirror::script("fake"));
    let expected = format!(
        r#"
        version = 2
        tool = []
        [[runtime]]
        engine = "node"
        target = "linux-x64"
        version = "24.99.0"
        source = "official"
        archive = "node-v24.99.0-linux-x64.tar.xz"
        integrity = "sha256-{digest}"
        executable = "bin/node"
        sha256 = "{executable}"
        "#
    );
    let expected: toml::Table = expected.parse().expect("TOML");
    assert_eq!(lock, expected);
    assert!(!gateway.lock_text().contains("127.0.0.1"), "no server is named");
}

#[test]
fn the_bundle_runs_what_is_locked() {
    let server = node_mirror::serve(&[Release::new("24.99.0", "fake")]);
    let gateway = Official::new();
    gateway.lock(&server, &[]);
    gateway.empty_cache();
    let bundle = gateway.bundle(&server);
    assert_eq!(bundle["runtime"], "node 24.99.0");

    let archive = bundle["archive"].as_str().expect("a path");
    let (_folder, unpacked) = e2e::unpack(archive.into());
    let output = e2e::bare(&unpacked.join("bin/sample"), gateway.project.folder())
        .args(["a b", ""])
        .output()
        .expect("it starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "fake: app.js\n<a b><>");
    let licence = unpacked.join("licenses/node@24.99.0/LICENSE");
    assert_eq!(fs_err::read_to_string(licence).expect("it is shipped"), "the licence\n");
    for left_out in ["runtime/include", "runtime/lib", "runtime/bin/npm"] {
        assert!(!unpacked.join(left_out).exists(), "{left_out} is not shipped");
    }
}

#[test]
fn another_archive_under_the_same_name_is_refused() {
    let gateway = Official::new();
    gateway.lock(&node_mirror::serve(&[Release::new("24.99.0", "fake")]), &[]);
    gateway.empty_cache();
    let server = node_mirror::serve(&[Release::new("24.99.0", "hostile")]);
    let out = gateway.out();
    let said = gateway.refused(&node_mirror::url(&server), &["bundle", "--out", out.as_str()]);
    says(&said, &["node 24.99.0 for linux-x64", "digest", "nothing of it was used"]);
    let left: Vec<_> = fs_err::read_dir(out).expect("it was made").collect();
    assert!(left.is_empty(), "a failed bundle left {left:?}");
}

#[test]
fn another_executable_in_the_locked_archive_is_refused() {
    let server = node_mirror::serve(&[Release::new("24.99.0", "fake")]);
    let gateway = Official::new();
    gateway.lock(&server, &[]);
    let (real, edited) = (sha256(node_mirror::script("fake")), sha256("something else"));
    gateway.project.edit("gangway.lock", &real, &edited);
    let said =
        gateway.refused(&node_mirror::url(&server), &["bundle", "--out", gateway.out().as_str()]);
    says(&said, &["gangway.lock", &real, &edited]);
}

#[test]
fn pins_stay_until_they_are_updated() {
    let old = Release::new("24.99.0", "old");
    let gateway = Official::new();
    gateway.lock(&node_mirror::serve(std::slice::from_ref(&old)), &[]);
    let locked = gateway.lock_text();

    let server = node_mirror::serve(&[
        old,
        Release::new("24.100.0", "new"),
        Release::new("25.0.0", "out of range"),
    ]);
    says(&gateway.lock(&server, &[]), &["gangway.lock unchanged", "node 24.99.0"]);
    assert_eq!(gateway.lock_text(), locked);
    assert_eq!(server.requests(), Vec::<String>::new(), "a pin that fits needs no server");

    says(&gateway.lock(&server, &["--update"]), &["gangway.lock written", "node 24.100.0"]);
    assert_ne!(gateway.lock_text(), locked);
    says(&gateway.lock(&server, &["--update"]), &["gangway.lock unchanged", "node 24.100.0"]);
}

#[test]
fn a_pin_that_no_longer_fits_is_refused_and_then_moved() {
    let server =
        node_mirror::serve(&[Release::new("24.99.0", "old"), Release::new("25.0.0", "new")]);
    let gateway = Official::new();
    gateway.lock(&server, &[]);
    gateway.project.edit("gangway.toml", "^24.16.0", "^25.0.0");
    let said =
        gateway.refused(&node_mirror::url(&server), &["bundle", "--out", gateway.out().as_str()]);
    says(&said, &["it pins node 24.99.0", "`^25.0.0`", "cargo xtask lock"]);
    says(&gateway.lock(&server, &[]), &["gangway.lock written", "node 25.0.0"]);
    assert_eq!(gateway.bundle(&server)["runtime"], "node 25.0.0");
}

#[test]
fn a_lock_that_cannot_be_read_is_written_anew() {
    let server = node_mirror::serve(&[Release::new("24.99.0", "fake")]);
    let gateway = Official::new();
    for text in ["", "<<<<<<< ours\n", "version = 1\n", "version = 3\n"] {
        gateway.project.write("gangway.lock", text);
        says(&gateway.lock(&server, &[]), &["gangway.lock written", "node 24.99.0"]);
    }
}

/// A registry with these versions of esbuild and bun; their programs are their versions.
fn tool_registry(esbuild: &[&str], bun: &[&str]) -> LocalRegistry {
    let mut answers = BTreeMap::new();
    for (scope, name, program, versions) in
        [("@esbuild", "linux-x64", "esbuild", esbuild), ("@oven", "bun-linux-x64", "bun", bun)]
    {
        let package = format!("{scope}/{name}");
        let mut described = serde_json::Map::new();
        for version in versions {
            let package_json = json!({"name": package, "version": version}).to_string();
            let program = format!("package/bin/{program}");
            let tarball = tarball(&[("package/package.json", &package_json), (&program, version)]);
            let path = format!("/{package}/-/{name}-{version}.tgz");
            let dist = json!({"tarball": format!("http://127.0.0.1{path}"), "integrity": integrity(&tarball)});
            described.insert(
                (*version).to_owned(),
                json!({"name": package, "version": version, "dist": dist}),
            );
            answers.insert(path, Answer::Bytes(tarball));
        }
        let description = json!({"name": package, "versions": described}).to_string();
        answers.insert(format!("/{scope}%2f{name}"), Answer::Bytes(description.into_bytes()));
    }
    LocalRegistry::start(answers)
}

#[test]
fn tools_are_pinned_one_by_one() {
    let server = node_mirror::serve(&[Release::new("24.99.0", "fake")]);
    let gateway = Official::new();
    let manifest = fs_err::read_to_string(gateway.project.manifest()).expect("ours");
    let tools = |registry: &LocalRegistry, tools: &str| {
        let url = registry.url();
        let npmrc = format!("@esbuild:registry={url}\n@oven:registry={url}\nfetch-retries=0\n");
        gateway.project.write(".npmrc", &npmrc);
        gateway.project.write("gangway.toml", &format!("{manifest}\n[tools]\n{tools}\n"));
    };
    tools(&tool_registry(&["0.27.9", "0.28.1"], &[]), "esbuild = \"^0.28.0\"");
    says(&gateway.lock(&server, &[]), &["esbuild 0.28.1 on linux-x64"]);
    says(&gateway.lock_text(), &[&sha256("0.28.1"), r#"archive = "@esbuild/linux-x64""#]);

    // A newer esbuild is there, and a tool that nothing satisfies: the lock stays.
    let before = gateway.lock_text();
    let registry = tool_registry(&["0.28.1", "0.28.2"], &["1.2.0", "1.3.0"]);
    tools(&registry, "bun = \"^2.0.0\"\nesbuild = \"^0.28.0\"");
    let said = gateway.refused(&node_mirror::url(&server), &["lock", "--target", "linux-x64"]);
    says(&said, &["`@oven/bun-linux-x64` satisfies `^2.0.0`", "the newest version is 1.3.0"]);
    assert_eq!(gateway.lock_text(), before);

    // A tool that can be had is added, and moves no other.
    tools(&registry, "bun = \"~1.2.0\"\nesbuild = \"^0.28.0\"");
    says(&gateway.lock(&server, &[]), &["gangway.lock written", "bun 1.2.0", "esbuild 0.28.1"]);
    let said = gateway.lock(&server, &["--update"]);
    says(&said, &["gangway.lock written", "bun 1.2.0", "esbuild 0.28.2"]);
}

/// A mirror that is spoiled, once it has served one good lock: `lock --update` must fail and leave that as it was.
fn spoiled(spoil: impl FnOnce(&mut BTreeMap<String, Answer>)) -> String {
    let release = Release::new("24.99.0", "fake");
    let gateway = Official::new();
    gateway.lock(&node_mirror::serve(std::slice::from_ref(&release)), &[]);
    gateway.empty_cache();
    let before = gateway.lock_text();
    let mut answers = node_mirror::answers(&[release]);
    spoil(&mut answers);
    let server = LocalRegistry::start(answers);
    let said =
        gateway.refused(&node_mirror::url(&server), &["lock", "--target", "linux-x64", "--update"]);
    assert_eq!(gateway.lock_text(), before, "the lock stays as it was");
    let files = gateway.project.folder().read_dir_utf8().expect("readable");
    let partial = files.filter_map(Result::ok).find(|entry| entry.file_name().starts_with(".tmp"));
    assert!(partial.is_none(), "{partial:?} was left");
    said
}

const SUMS: &str = "/dist/v24.99.0/SHASUMS256.txt.asc";

#[test]
fn no_digest_of_the_archive() {
    let said = spoiled(|answers| {
        let sums = format!("{}  node-v24.99.0-headers.tar.xz\n", "0".repeat(64));
        answers.insert(SUMS.to_owned(), Answer::Bytes(signing::sign(&sums).into_bytes()));
    });
    says(&said, &["SHASUMS256.txt", "it has no digest of `node-v24.99.0-linux-x64.tar.xz`"]);
}

#[test]
fn a_list_that_was_changed_after_it_was_signed() {
    let said = spoiled(|answers| {
        let Some(Answer::Bytes(sums)) = answers.remove(SUMS) else { panic!("it is served") };
        let sums = String::from_utf8(sums).expect("plain").replacen("0000", "0001", 1);
        answers.insert(SUMS.to_owned(), Answer::Bytes(sums.into_bytes()));
    });
    says(
        &said,
        &["SHASUMS256.txt.asc` cannot be trusted", "none of the 10 trusted keys signed it"],
    );
}

#[test]
fn a_list_that_is_not_signed() {
    let said = spoiled(|answers| {
        let sums = format!("{}  node-v24.99.0-linux-x64.tar.xz\n", "0".repeat(64));
        answers.insert(SUMS.to_owned(), Answer::Bytes(sums.into_bytes()));
    });
    says(&said, &["cannot be trusted", "it is not a signed text"]);
}

#[test]
fn index_that_is_not_json() {
    let said = spoiled(|answers| {
        answers
            .insert("/dist/index.json".to_owned(), Answer::Bytes(b"<html>Sorry</html>".to_vec()));
    });
    says(
        &said,
        &[
            "no node for `linux-x64` satisfies `^24.16.0`",
            "index.json",
            "it is not a list of releases",
        ],
    );
}

#[test]
fn release_without_its_archive() {
    let said = spoiled(|answers| {
        answers.remove("/dist/v24.99.0/node-v24.99.0-linux-x64.tar.xz");
    });
    says(&said, &["node-v24.99.0-linux-x64.tar.xz", "404"]);
}

#[test]
fn archive_that_is_cut_off() {
    let said = spoiled(|answers| {
        let path = "/dist/v24.99.0/node-v24.99.0-linux-x64.tar.xz";
        let Some(Answer::Bytes(bytes)) = answers.remove(path) else { panic!("it is served") };
        answers.insert(path.to_owned(), Answer::Half(bytes));
    });
    says(&said, &["node-v24.99.0-linux-x64.tar.xz", "broke off"]);
}

#[test]
fn archive_that_its_own_list_does_not_know() {
    let said = spoiled(|answers| {
        let path = "/dist/v24.99.0/node-v24.99.0-linux-x64.tar.xz";
        let other = Release::new("24.99.0", "hostile").archive;
        answers.insert(path.to_owned(), Answer::Bytes(other));
    });
    says(&said, &["node 24.99.0 for linux-x64", "digest"]);
}

#[test]
fn nothing_in_the_range() {
    let server = node_mirror::serve(&[Release::new("22.1.0", "fake")]);
    let gateway = Official::new();
    let said = gateway.refused(&node_mirror::url(&server), &["lock", "--target", "linux-x64"]);
    says(
        &said,
        &["no node for `linux-x64` satisfies `^24.16.0`", "has no such version (newest: 22.1.0)"],
    );
    assert!(!gateway.lock_file().exists());
}

#[test]
fn mirror_that_is_no_address() {
    let said = Official::new().refused("localhost:8080", &["lock", "--target", "linux-x64"]);
    says(&said, &["GANGWAY_NODE_MIRROR", "localhost:8080", "not an http or https URL"]);
}

#[test]
fn a_source_that_is_down_is_passed_over() {
    let gateway = Official::new();
    gateway.project.edit("gangway.toml", r#"["official"]"#, r#"["official", "npm"]"#);
    let port = e2e::free_port();
    // The cache of all tests: this runtime is a real one.
    let output = e2e::gangway()
        .args(["lock", "--manifest", gateway.project.manifest().as_str()])
        .env("GANGWAY_NODE_MIRROR", format!("http://127.0.0.1:{port}/dist"))
        .output()
        .expect("it is a program");
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let mirror = format!("127.0.0.1:{port}");
    says(&said, &["warning official: ", &mirror, "taken from npm instead", "linux-x64 from npm"]);
    says(&gateway.lock_text(), &[r#"source = "npm""#]);
}
