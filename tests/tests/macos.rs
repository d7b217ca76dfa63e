//! Bundles for macOS, read by lief: `tests/mach_o.py` says what is checked. Nothing of them can run here.

use std::process::Command;

use camino::Utf8Path;
use e2e::{archive_for, bundles, repository, scratch, text, unpack};

#[test]
#[ignore = "needs zig, cargo-zigbuild, Rust's standard libraries of the targets, and uv"]
fn another_reader_finds_no_fault_with_the_example() {
    let manifest = repository().join("examples/gateway/gangway.toml");
    let targets = ["--target", "macos-arm64", "--target", "macos-x64"];
    let made = bundles(&manifest, &scratch("bundles-macos"), &targets);
    for (target, cpu) in [("macos-arm64", "arm64"), ("macos-x64", "x86_64")] {
        let (_folder, bundle) = unpack(archive_for(&made, target));
        let said = read(&bundle, cpu);
        for file in [
            "bin/echo-gateway: execute",
            "bin/words: execute",
            "runtime/bin/node: execute",
            "services/words/words: execute",
            ".node: ",
        ] {
            assert!(said.contains(file), "`{file}` is not in:\n{said}");
        }
        let runtime = said.lines().find(|line| line.starts_with("runtime/bin/node"));
        assert!(runtime.is_some_and(|line| line.ends_with(", 0 local symbols")), "{said}");
        assert!(said.contains(", 0 faults"), "{said}");
    }
}

/// What lief found.
fn read(bundle: &Utf8Path, cpu: &str) -> String {
    let script = repository().join("tests/mach_o.py");
    let output = Command::new("uv")
        .args(["run", "--quiet", "--script", script.as_str(), bundle.as_str(), cpu])
        .output()
        .expect("uv is installed");
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}
