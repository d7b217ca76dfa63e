//! Binaries that packages publish beside their tarball: pinned by `lock`, bundled, and loaded by the pinned Node.js.

use std::collections::BTreeMap;
use std::process::Command;

use camino::Utf8Path;
use e2e::{Answer, LOCAL_SCOPE, LocalRegistry, Project, bare, gangway, integrity, tarball, text};
use serde_json::json;

/// Every part of `expected` must be said.
#[track_caller]
fn says(said: &str, expected: &[&str]) {
    let said = e2e::unwrapped(said);
    for part in expected {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
}

/// What their makers upload: one file where a build would leave it.
fn archive(path: &str, content: &[u8]) -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(encoder);
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    archive.append_data(&mut header, path, content).expect("memory takes every write");
    let encoder = archive.into_inner().expect("memory takes every write");
    encoder.finish().expect("memory takes every write")
}

/// Runs `lock` for these targets; whether it worked, and what it said.
fn lock(project: &Project, targets: &[&str]) -> (bool, String) {
    let mut command = gangway();
    command.args(["lock", "--manifest", project.manifest().as_str()]);
    command.args(targets.iter().flat_map(|target| ["--target", target]));
    let output = command.output().expect("it is a program");
    (output.status.success(), text(&output))
}

/// Bundles for linux-x64, and what `bin/sample` of it prints.
fn run(project: &Project) -> String {
    let out = project.folder().join("out");
    let bundle = e2e::bundle(&project.manifest(), &out, &["--target", "linux-x64"]);
    let (_folder, bundle) = e2e::unpack(bundle["archive"].as_str().expect("a path").into());
    let output = bare(&bundle.join("bin/sample"), project.folder()).output().expect("it starts");
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn npm(folder: &Utf8Path, arguments: &[&str]) {
    let output = Command::new("npm").args(arguments).current_dir(folder).output();
    let output = output.expect("this test needs npm");
    assert!(output.status.success(), "{}", text(&output));
}

/// An addon that has been built for linux-x64, out of a real package.
fn real_addon() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
    fs_err::write(folder.join("package.json"), "{}").expect("the folder is ours");
    npm(folder, &["install", "--ignore-scripts", "--no-audit", "--no-fund", "bufferutil@4.1.0"]);
    let addon = folder.join("node_modules/bufferutil/prebuilds/linux-x64/bufferutil.node");
    fs_err::read(addon).expect("the package has it")
}

/// A gateway with the package `@local/masks`, whose addon is downloaded.
fn masks() -> (Project, LocalRegistry) {
    let project = Project::new();
    let package = json!({
        "name": "@local/masks", "version": "1.0.0", "main": "index.js", "repository": "https://github.com/a/b",
        "scripts": {"install": "prebuild-install -r napi || node-gyp rebuild"},
        "binary": {"napi_versions": [6, 8]},
    });
    let tarball = tarball(&[
        ("package/package.json", &package.to_string()),
        ("package/index.js", "module.exports = require('./build/Release/masks.node');\n"),
        ("package/binding.gyp", "{}"),
    ]);
    let dependencies = json!({"@local/masks": "1.0.0"});
    let description = json!({"name": "sample", "version": "1.2.3", "dependencies": dependencies});
    project.write("package.json", &description.to_string());
    project.write_lockfile(&json!({
        "name": "sample", "version": "1.2.3", "lockfileVersion": 3, "requires": true,
        "packages": {
            "": description,
            "node_modules/@local/masks": {
                "version": "1.0.0", "integrity": integrity(&tarball), "hasInstallScript": true,
            },
        },
    }));
    project.write(
        "app.js",
        "const bytes = Buffer.from([1, 2]);
        require('@local/masks').unmask(bytes, Buffer.from([1, 0, 0, 0]));
        console.log(bytes.join());",
    );
    let manifest = fs_err::read_to_string(project.manifest()).expect("it was written");
    let addon = "[[addon]]\npackage = \"@local/masks\"\naction = \"prebuilt\"\n";
    project.write("gangway.toml", &format!("{manifest}\n{addon}"));
    let server = LocalRegistry::start(BTreeMap::from([
        ("/@local/masks/-/masks-1.0.0.tgz".to_owned(), Answer::Bytes(tarball)),
        (
            "/addons/v1.0.0/masks-v1.0.0-napi-v8-linux-x64.tar.gz".to_owned(),
            Answer::Bytes(archive("build/Release/masks.node", &real_addon())),
        ),
    ]));
    let url = server.url();
    let npmrc =
        format!("{LOCAL_SCOPE}:registry={url}\nlocal_masks_binary_host_mirror={url}addons\n");
    project.write(".npmrc", &npmrc);
    (project, server)
}

#[test]
fn what_is_published_is_pinned_and_loaded() {
    let (project, server) = masks();
    let said = project.refused(&["--target", "linux-x64"]);
    says(
        &said,
        &["gangway.lock` pins no binary of @local/masks 1.0.0 for `linux-x64`", "cargo xtask lock"],
    );
    assert!(
        !server.requests().iter().any(|path| path.starts_with("/addons")),
        "nothing is resolved"
    );

    let (is_locked, said) = lock(&project, &["linux-x64"]);
    assert!(is_locked, "{said}");
    says(&said, &["@local/masks 1.0.0 for linux-x64, made for napi-v8"]);
    let pins = fs_err::read_to_string(project.folder().join("gangway.lock")).expect("written");
    assert!(pins.contains("interface = \"napi-v8\"") && !pins.contains("127.0.0.1"), "{pins}");
    assert_eq!(run(&project), "0,2\n");

    project.edit("gangway.lock", "interface = \"napi-v8\"", "interface = \"napi-v6\"");
    let said = gangway()
        .args([
            "bundle",
            "--manifest",
            project.manifest().as_str(),
            "--target",
            "linux-x64",
            "--out",
        ])
        .arg(project.folder().join("other"))
        .output();
    says(&text(&said.expect("it is a program")), &["made for napi-v6, the runtime needs napi-v8"]);
}

#[test]
fn the_manifest_chooses_for_each_target() {
    let (project, _server) = masks();
    let (is_locked, said) = lock(&project, &["linux-x64", "linux-arm64"]);
    assert!(!is_locked, "{said}");
    let missing = "@local/masks 1.0.0 for linux-arm64: `http";
    says(&said, &[missing, "answered 404", "targets = [\"linux-arm64\"]", "action = \"build\""]);

    project.edit(
        "gangway.toml",
        "action = \"prebuilt\"\n",
        "targets = [\"linux-x64\"]\naction = \"prebuilt\"\n\n[[addon]]\npackage = \"@local/masks\"\ntargets = \
         [\"linux-arm64\"]\naction = \"omit\"\nreason = \"nobody masks there\"\n",
    );
    let (is_locked, said) = lock(&project, &["linux-x64", "linux-arm64"]);
    assert!(is_locked, "{said}");
    let out = project.folder().join("out");
    let bundle = e2e::bundle(&project.manifest(), &out, &["--target", "linux-arm64"]);
    assert_eq!(bundle["target"], "linux-arm64");
}

#[test]
#[ignore = "compiles SQLite, once; needs zig, make, Python and a fence"]
fn better_sqlite3() {
    let project = Project::new();
    let description = json!({"name": "sample", "version": "1.2.3", "dependencies": {"better-sqlite3": "12.11.1"}});
    project.write("package.json", &description.to_string());
    let lockfile =
        ["install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"];
    fs_err::remove_file(project.folder().join("package-lock.json")).expect("it was written");
    npm(project.folder(), &lockfile);
    project.write(
        "app.js",
        "const Database = require('better-sqlite3');
        const database = new Database(':memory:');
        database.exec('create table t (n integer); insert into t values (40), (2)');
        console.log(database.prepare('select sum(n) as answer from t').get().answer);",
    );
    let manifest = fs_err::read_to_string(project.manifest()).expect("it was written");
    let addon = "[[addon]]\npackage = \"better-sqlite3\"\naction = \"build\"\n";
    project.write("gangway.toml", &format!("{manifest}\n{addon}"));
    let bundle = e2e::bundle(
        &project.manifest(),
        &project.folder().join("built"),
        &["--target", "linux-x64"],
    );
    let (_folder, built) = e2e::unpack(bundle["archive"].as_str().expect("a path").into());
    let path = "build/Release/better_sqlite3.node";
    let addon = fs_err::read(built.join("app/node_modules/better-sqlite3").join(path))
        .expect("it was built");

    let name = "/v12.11.1/better-sqlite3-v12.11.1-node-v137-linux-x64.tar.gz".to_owned();
    let answers = BTreeMap::from([(name.clone(), Answer::Bytes(archive(path, &addon)))]);
    let server = LocalRegistry::start(answers);
    let prebuilt = format!("action = \"prebuilt\"\nhost = \"{}\"", server.url());
    project.edit("gangway.toml", "action = \"build\"", &prebuilt);
    let (is_locked, said) = lock(&project, &["linux-x64"]);
    assert!(is_locked, "{said}");
    assert_eq!(run(&project), "42\n");
    assert_eq!(server.requests(), [name], "what `lock` fetched, `bundle` has");
}
