//! Bundles for other systems, started on such systems: under emulation, or with the root of another one.
//!
//! Each module needs one machine, which a variable names; CONTRIBUTING.md lists them. `cargo xtask ci` runs the modules
//! whose machines are there. All need zig, cargo-zigbuild and Rust's standard libraries of the targets. What is bundled
//! is bundled once for all of them.

mod arm64_glibc_2_31;
mod arm64_glibc_2_36;
mod journey;
mod musl_x64;
mod windows_x64;

use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use e2e::gateway::{Gateway, Places};
use e2e::{Machine, archive_for, bundles, repository, scratch, unpack};
use serde_json::Value;

/// The targets of the example that are started here.
const TARGETS: [&str; 5] = ["jetson", "jetson-jp5", "linux-arm64", "linux-x64-musl", "windows-x64"];

/// The example for one of the targets, unpacked.
fn example(target: &str) -> (tempfile::TempDir, Utf8PathBuf) {
    unpack(archive_for(made(), target))
}

/// The example for every target.
fn made() -> &'static [Value] {
    static MADE: OnceLock<Vec<Value>> = OnceLock::new();
    MADE.get_or_init(|| {
        let manifest = repository().join("examples/gateway/gangway.toml");
        let targets: Vec<_> = TARGETS.iter().flat_map(|target| ["--target", *target]).collect();
        bundles(&manifest, &scratch("bundles-emulated"), &targets)
    })
}

/// The example with these services on a Linux machine.
fn on_linux<'a>(
    machine: &'a Machine,
    bundle: &'a Utf8Path,
    services: &'a [&'a str],
) -> Gateway<'a> {
    Gateway { machine, bundle, suffix: "", places: Places::Sockets, services }
}

/// What the service in Python says where there is no Python.
#[track_caller]
fn asks_for_python(gateway: &Gateway<'_>) {
    let (status, said) = gateway.says("digest", &["--version"]);
    assert_eq!(status, Some(127), "{said}");
    for part in ["cannot start `digest`", "it needs Python 3.8 or newer", "has no Python"] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}
