//! A file system that no program can be started from: there is nothing wrong with the version.

#![cfg(target_os = "linux")]

mod support;

use std::process::Command;

use camino::Utf8PathBuf;
use support::world::{World, run, well};
use support::{Machine, said};

#[test]
fn a_prefix_without_programs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = "mount -t tmpfs -o size=64m,noexec tmpfs \"$DISK\" && exec \"$@\"";
    let program = std::env::current_exe().expect("it runs");
    let output = run(Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(program)
        .args(["--exact", "inner", "--ignored", "--nocapture"])
        .env("DISK", folder.path()));
    assert!(output.status.success(), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{}", said(&output));
}

#[test]
#[ignore = "it is run by another test"]
fn inner() {
    let disk = Utf8PathBuf::from(std::env::var("DISK").expect("it is run by another test"));
    let world = World::new(&["1.0.0"]);
    let prefix = disk.join("app");
    let output = world.first(&["--prefix", prefix.as_str(), "--quiet"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = world.text(&output.stderr).replace(disk.as_str(), "DISK");
    insta::assert_snapshot!(text, @"
    error: programs cannot be started from `DISK/app`: its file system is mounted with `noexec`
      help: choose another file system with `--prefix DIR`, or have this one mounted without that
    ");
    assert_eq!(Machine::names(&disk), [] as [&str; 0]);
    well(world.first(&[]));
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
}
