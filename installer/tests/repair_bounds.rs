//! What `repair` mends nothing of: what the user put there, what was seen of the channel. And what it needs nobody for.

#![cfg(unix)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8PathBuf;
use support::world::{World, json, run, well};
use support::{Machine, said};

/// Changes a file of the version that is used.
fn damage(world: &World) {
    let file = world.machine.prefix().join("current/app/main.js");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("ours");
    fs::write(&file, "// mine").expect("ours");
}

/// The folder with releases as it is now.
fn mirror(world: &World) -> Utf8PathBuf {
    let mirror = world.root.join("mirror");
    fs::create_dir(&mirror).expect("writable");
    for entry in world.releases.folder.read_dir_utf8().expect("it is there") {
        let entry = entry.expect("readable");
        fs::copy(entry.path(), mirror.join(entry.file_name())).expect("writable");
    }
    mirror
}

#[test]
fn links_are_mended_without_releases() {
    let world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    fs::remove_dir_all(&world.releases.folder).expect("ours");
    let (app, own) =
        (world.machine.bin_dir().join("app"), world.machine.bin_dir().join("app-installer"));
    let installer = own.canonicalize().expect("it is there");
    for wrong in [&[&app][..], &[&own], &[&app, &own]] {
        for link in wrong {
            fs::remove_file(link).expect("ours");
        }
        let output = run(std::process::Command::new(&installer)
            .arg("repair")
            .env_clear()
            .env("HOME", &world.machine.home));
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(world.current().as_deref(), Some("1.0.0"));
        well(world.then(&["verify"]));
    }
    assert_eq!(world.slots(), ["1.0.0"]);
}

#[test]
fn a_file_of_the_users_stays_where_it_is() {
    for is_damaged in [false, true] {
        let world = World::new(&["1.0.0"]);
        well(world.first(&[]));
        if is_damaged {
            damage(&world);
        }
        let app = world.machine.bin_dir().join("app");
        fs::remove_file(&app).expect("ours");
        fs::write(&app, "mine").expect("ours");
        let output = world.then(&["repair"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let text = world.text(&output.stderr);
        assert!(text.contains("`TMP/home/.local/bin/app` is in the way"), "{text}");
        assert_eq!(fs::read(&app).expect("it stays"), b"mine");
        assert_eq!(Machine::names(&world.machine.bin_dir()), ["app", "app-installer"]);
        assert_eq!(world.slots(), ["1.0.0"]);
    }
}

/// A mirror that is behind has the version's own bytes as well as any other; what it says of the channel is not taken.
#[test]
fn what_was_seen_of_the_channel_stays() {
    let mut world = World::new(&["1.0.0"]);
    world.releases.bring_installer(b"#!/bin/sh\necho an earlier installer\n");
    let mirror = mirror(&world);
    world.releases.publish("2.0.0");
    well(world.first(&["--version", "1.0.0"]));
    let seen = world.state()["sequence"].clone();
    assert_eq!(seen, 3);
    let installer = world.machine.prefix().join("installer/app-installer");
    let own = fs::read(&installer).expect("it is there");
    damage(&world);
    well(world.then(&["repair", "--from", mirror.as_str()]));
    assert!(fs::read(&installer).expect("it is there") == own, "it only moves forward");
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
    assert_eq!(world.state()["sequence"], seen);
    well(world.then(&["verify"]));
}

/// What is being brought back of the app's data: nobody can go on with it.
#[test]
fn a_damaged_restore() {
    let world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let record = world.machine.prefix().join("snapshots/.restore.json");
    fs::create_dir(world.machine.prefix().join("snapshots")).expect("ours");
    fs::write(&record, "{").expect("ours");
    let output = world.then(&["update"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = world.text(&output.stderr);
    assert!(text.contains("/snapshots/.restore.json` is damaged"), "{text}");
    assert!(text.contains("`repair` sets it aside"), "{text}");
    let report = json(&well(world.then(&["repair", "--dry-run", "--json"])));
    assert_eq!(report["records"][0], record.as_str(), "{report}");
    assert!(record.exists());
    let report = json(&well(world.then(&["repair", "--json"])));
    assert_eq!(report["records"][0], record.as_str(), "{report}");
    let kept = world.machine.prefix().join("snapshots/.restore.json.damaged");
    assert_eq!(fs::read(kept).expect("it is kept"), b"{");
    well(world.then(&["update"]));

    fs::write(&record, r#"{"version": 2}"#).expect("ours");
    for command in ["update", "repair"] {
        let output = world.then(&[command]);
        assert_eq!(output.status.code(), Some(1), "{command}: {}", said(&output));
        let text = world.text(&output.stderr);
        assert!(text.contains("is of version 2 of its format"), "{command}: {text}");
        assert!(record.exists(), "{command}");
    }
}
