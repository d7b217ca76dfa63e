//! A gateway with an addon of its own workspace: a Cargo package made with napi-rs.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::{Machine, bundles, lock, scratch, text};

const MANIFEST: &str = r#"format = 1

[app]
name = "counter"
version = "1.2.3"
include = ["main.js"]

[runtime]
engine = "node"
version = "24.x"
sources = ["npm"]

[[entrypoint]]
name = "counter"
script = "main.js"

[[service]]
name = "adder"
kind = "napi"
path = "addons/adder"
output = "native/adder.{platform}.node"
"#;

const MAIN: &str =
    "const addon = require(`./native/adder.${process.platform}-${process.arch}-gnu.node`);
console.log(process.arch, addon.add(40, 2), addon.greet('you'));
";

/// The workspace has a second member, which is not built.
const WORKSPACE: &str = "[workspace]\nmembers = [\"addons/*\"]\nresolver = \"3\"\n";

const CARGO: &str = r#"[package]
name = "adder"
version = "0.1.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]

[dependencies]
napi = { version = "3", default-features = false, features = ["napi4"] }
napi-derive = "3"

[build-dependencies]
napi-build = "2"
"#;

const LIBRARY: &str = r#"use napi_derive::napi;

#[napi]
pub fn add(left: u32, right: u32) -> u32 {
    left + right
}

#[napi]
pub fn greet(name: String) -> String {
    format!("hello {name}")
}
"#;

/// The gateway's bundles. Cargo takes napi-rs from its registry; the versions of the first run are kept.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn bundled(targets: &[&str]) -> Vec<Value> {
    let folder = scratch("napi");
    for (path, text) in [
        ("gangway.toml", MANIFEST),
        ("main.js", MAIN),
        ("Cargo.toml", WORKSPACE),
        ("addons/adder/Cargo.toml", CARGO),
        ("addons/adder/build.rs", "fn main() {\n    napi_build::setup();\n}\n"),
        ("addons/adder/src/lib.rs", LIBRARY),
        ("addons/other/Cargo.toml", "[package]\nname = \"other\"\nedition = \"2024\"\n"),
        ("addons/other/src/lib.rs", "compile_error!(\"nobody asked for this one\");\n"),
    ] {
        let path = folder.join(path);
        fs_err::create_dir_all(path.parent().expect("it was joined")).expect("writable");
        fs_err::write(path, text).expect("writable");
    }
    if !folder.join("Cargo.lock").exists() {
        let mut cargo = Command::new("cargo");
        let output = cargo.arg("generate-lockfile").current_dir(&folder).output();
        let output = output.expect("cargo runs the tests");
        assert!(output.status.success(), "{}", text(&output));
    }
    let manifest = folder.join("gangway.toml");
    let arguments: Vec<_> = targets.iter().flat_map(|target| ["--target", *target]).collect();
    lock(&manifest, &arguments);
    bundles(&manifest, &folder.join("out"), &arguments)
}

/// What the gateway says on a machine.
///
/// # Panics
/// When it does not start, or fails.
#[must_use]
pub fn said_on(machine: &Machine, bundle: &Utf8Path) -> String {
    let home = tempfile::tempdir().expect("a folder for temporary files");
    let home = Utf8PathBuf::try_from(home.path().to_owned()).expect("UTF-8");
    let output = machine.start(bundle, "counter", &home).output().expect("it starts");
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
