//! What cannot be removed, and what somebody else put among the versions, is in no command's way.

#![cfg(unix)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use camino::Utf8Path;
use support::world::{World, run, well};
use support::{Machine, said};

/// An account without root's rights, for tests that root runs: nothing refuses root anything.
const NOBODY: u32 = 65_534;

#[test]
fn a_file_among_the_versions_stays() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let versions = world.machine.prefix().join("versions");
    fs::write(versions.join("notes"), "mine").expect("ours");
    world.releases.publish("2.0.0");
    for command in ["update", "update", "rollback", "rollback", "repair"] {
        well(world.then(&[command]));
    }
    assert_eq!(world.slots(), ["1.0.0", "2.0.0", "notes"]);
    well(world.then(&["uninstall"]));
    assert_eq!(world.slots(), ["notes"]);
    assert_eq!(fs::read(versions.join("notes")).expect("it stays"), b"mine");
    assert!(Machine::names(&world.machine.bin_dir()).is_empty());
}

/// What is left where a version was being made or removed, whatever it is: on Windows the lock of a version that is made is a file beside it.
#[test]
fn files_that_are_left_of_versions_go() {
    let world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let versions = world.machine.prefix().join("versions");
    for name in
        ["2.0.0.partial.lock", "2.0.0.partial.lock.removed", "3.0.0.partial", "4.0.0.removed"]
    {
        fs::write(versions.join(name), "").expect("ours");
    }
    std::os::unix::fs::symlink(&world.root, versions.join("5.0.0.removed")).expect("ours");
    well(world.then(&["update"]));
    assert_eq!(world.slots(), ["1.0.0"]);
    assert!(world.releases.folder.exists());
}

/// As when a gateway that root had started made a folder below its version.
#[test]
fn what_cannot_be_removed_is_told_and_stays() {
    let world = World::new(&["1.0.0"]);
    let installer = world.root.join("app-installer");
    well(run(Command::new("cp").args([env!("CARGO_BIN_EXE_installer"), installer.as_str()])));
    let is_root = world.root.metadata().expect("it is there").uid() == 0;
    if is_root {
        fs::set_permissions(&world.root, fs::Permissions::from_mode(0o755)).expect("ours");
        hand_over(&world.machine.home);
    }
    let by_nobody = |program: &Utf8Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", &world.machine.home).env("PATH", "/usr/bin:/bin");
        command.current_dir(&world.machine.home).args(arguments);
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        run(&mut command)
    };
    well(by_nobody(&installer, &["install", "--from", world.releases.folder.as_str()]));
    let stuck = world.machine.prefix().join("versions/0.9.0.removed");
    let inner = stuck.join("of another account");
    fs::create_dir_all(inner.join("logs")).expect("ours");
    if is_root {
        chown(&stuck, Some(NOBODY), Some(NOBODY)).expect("root may");
    } else {
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o555)).expect("ours");
    }
    let installed = world.machine.bin_dir().join("app-installer");
    for command in ["update", "repair"] {
        let output = well(by_nobody(&installed, &[command]));
        let text = world.text(&output.stderr);
        assert!(
            text.contains(
                "warning: cannot remove `TMP/home/.local/share/app/versions/0.9.0.removed`"
            ),
            "{command}: {text}"
        );
    }
    let output = by_nobody(&installed, &["uninstall"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(world.slots(), ["0.9.0.removed"]);
    assert!(Machine::names(&world.machine.bin_dir()).is_empty());
    let _ = fs::set_permissions(&inner, fs::Permissions::from_mode(0o755));
}

/// Gives a folder with nothing in it to another account.
fn hand_over(folder: &Utf8Path) {
    chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may");
}
