//! Gateways whose packages are locked by pnpm, by Bun, and by npm for a whole workspace: bundled, and run with an empty
//! environment. `tests/fixtures` has them; each says what of its lockfile is in effect.

use camino::{Utf8Path, Utf8PathBuf};
use e2e::{archive_for, bare, bundles, copy, repository, unpack};
use serde_json::{Value, json};

const MANIFEST: &str = r#"format = 1

[app]
name = "gateway"
include = ["main.js", "package.json"]

[runtime]
engine = "node"
version = "^24.16.0"
sources = ["npm"]

[[entrypoint]]
name = "gateway"
script = "main.js"
"#;

/// What the gateway in this folder of a fixture says, and what is in its bundle.
fn bundled(fixture: &str, gateway: &str) -> (tempfile::TempDir, Utf8PathBuf, Value) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let project = Utf8Path::from_path(folder.path()).expect("UTF-8").join("project");
    copy(&repository().join("tests/fixtures").join(fixture), &project);
    let gateway = project.join(gateway);
    fs_err::write(gateway.join("gangway.toml"), MANIFEST).expect("the folder is ours");
    let lock = repository().join("examples/gateway/gangway.lock");
    fs_err::copy(lock, gateway.join("gangway.lock")).expect("the folder is ours");

    let out = project.join("out");
    let made = bundles(&gateway.join("gangway.toml"), &out, &["--target", "linux-x64"]);
    let (unpacked, bundle) = unpack(archive_for(&made, "linux-x64"));
    let mut program = bare(&bundle.join("bin/gateway"), &project);
    let output = program.arg("a b").output().expect("it starts");
    assert!(output.status.success(), "{}", e2e::text(&output));
    (unpacked, bundle, serde_json::from_slice(&output.stdout).expect("it prints JSON"))
}

#[test]
fn pnpm() {
    let (_folder, bundle, said) = bundled("pnpm", "");
    let expected = json!({"odd": true, "patched": true, "wrappy": "1.0.1", "arguments": ["a b"]});
    assert_eq!(said, expected);
    assert!(!bundle.join("app/pnpm-lock.yaml").exists(), "it is not in `include`");
}

#[test]
fn bun() {
    let (_folder, _bundle, said) = bundled("bun", "");
    let expected = json!({"odd": true, "patched": true, "wrappy": "1.0.1", "arguments": ["a b"]});
    assert_eq!(said, expected);
}

#[test]
fn one_package_of_an_npm_workspace() {
    let (_folder, bundle, said) = bundled("npm-workspaces", "packages/gateway");
    let expected = json!({
        "odd": true, "isOdd": ["3.0.1", "2.0.0"], "wrappy": "1.0.1", "arguments": ["a b"],
    });
    assert_eq!(said, expected);
    let lib = bundle.join("app/node_modules/@monorepo/lib");
    assert!(lib.symlink_metadata().expect("it is inside").is_dir(), "it is a folder, not a link");
}
