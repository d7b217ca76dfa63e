//! What `uninstall` says, and what it leaves alone.

#![cfg(unix)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use support::said;
use support::world::{World, json, run, well};

/// A version that nothing tells any more what it has.
fn damage_manifest(world: &World) {
    let manifest = world.machine.prefix().join("versions/1.0.0/manifest.json");
    fs::set_permissions(&manifest, fs::Permissions::from_mode(0o644)).expect("ours");
    fs::write(&manifest, "{").expect("ours");
}

fn with_data() -> World {
    let world = World::new(&["1.0.0"]);
    fs::create_dir(world.machine.data()).expect("writable");
    well(world.first(&[]));
    world
}

/// Once the app is gone nothing tells any more where its data is.
#[test]
fn data_that_nobody_can_find_is_not_said_to_be_removed() {
    let world = with_data();
    damage_manifest(&world);
    let output = world.then(&["uninstall", "--purge"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    insta::assert_snapshot!(world.text(&output.stderr), @"
    error: nobody can tell where the own data of `app` is
      because `TMP/home/.local/share/app/versions/1.0.0/manifest.json` is damaged: it is not a bundle's manifest (EOF while parsing an object at line 1 column 1)
      help: `repair` makes the version whole, which says it; without `--purge` the app is removed and its data stays
    ");
    assert_eq!(world.slots(), ["1.0.0"]);
    assert!(world.machine.data().exists());

    let output = well(world.then(&["uninstall"]));
    let text = world.text(&output.stderr);
    assert!(text.contains("warning: nobody can tell where its own data is"), "{text}");
    assert!(!world.machine.prefix().exists() && world.machine.data().exists());
}

#[test]
fn data_is_removed_when_the_version_was_repaired() {
    let world = with_data();
    damage_manifest(&world);
    well(world.then(&["repair"]));
    let report = json(&well(world.then(&["uninstall", "--purge", "--json"])));
    assert_eq!(report["data_removed"][0], world.machine.data().as_str());
    assert!(!world.machine.data().exists());
}

/// Nothing is left to be removed, as after a removal that was interrupted at its end.
#[test]
fn there_is_a_document_when_nothing_was_left() {
    let world = World::new(&["1.0.0"]);
    let prefix = world.root.join("prefix");
    fs::create_dir(&prefix).expect("writable");
    fs::write(prefix.join("lock"), "").expect("writable");
    let arguments = ["uninstall", "--json", "--prefix", prefix.as_str()];
    let output = well(run(world.machine.fetched().args(arguments)));
    let report = json(&output);
    assert_eq!(report["prefix"], prefix.as_str());
    assert_eq!(report["data_removed"].as_array().map(Vec::len), Some(0));
    assert!(!prefix.exists());
    let arguments = ["uninstall", "--prefix", prefix.as_str()];
    let output = well(run(world.machine.fetched().args(arguments)));
    assert_eq!(world.text(&output.stdout), "nothing is left in `TMP/prefix`\n");
}

#[cfg(target_os = "linux")]
#[test]
fn what_still_runs_is_told() {
    let world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let sleeper = world.machine.prefix().join("versions/1.0.0/sleep");
    well(run(Command::new("cp").args(["/bin/sleep", sleeper.as_str()])));
    let mut running = Command::new(&sleeper).arg("600").spawn().expect("it starts");
    let output = world.then(&["uninstall"]);
    let id = running.id();
    running.kill().and_then(|()| running.wait()).expect("our child");
    let text = world.text(&well(output).stderr);
    let expected = format!("warning: process {id} still runs version 1.0.0");
    assert!(text.contains(&expected), "{text}");
}
