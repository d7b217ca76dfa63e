//! What cannot be removed, and what somebody else put among the versions, is in no command's way.

#![cfg(unix)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use camino::Utf8Path;
use support::world::{World, json, run, well};
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

/// The installer, used by an account whose rights are not root's.
struct ByNobody {
    world: World,
    is_root: bool,
}

impl ByNobody {
    fn new(versions: &[&str]) -> Self {
        let world = World::new(versions);
        let is_root = world.root.metadata().expect("it is there").uid() == 0;
        if is_root {
            fs::set_permissions(&world.root, fs::Permissions::from_mode(0o755)).expect("ours");
        }
        let this = Self { world, is_root };
        this.hand_over(&this.world.machine.home);
        let installer = this.world.root.join("app-installer");
        well(run(Command::new("cp").args([env!("CARGO_BIN_EXE_installer"), installer.as_str()])));
        let base = this.world.releases.folder.as_str();
        well(this.run(&installer, &["install", "--from", base]));
        this
    }

    fn then(&self, arguments: &[&str]) -> Output {
        self.run(&self.world.machine.bin_dir().join("app-installer"), arguments)
    }

    fn run(&self, program: &Utf8Path, arguments: &[&str]) -> Output {
        let home = &self.world.machine.home;
        let mut command = Command::new(program);
        command.env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin");
        command.current_dir(home).args(arguments);
        if self.is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        run(&mut command)
    }

    /// Gives a folder or file of ours to that account.
    fn hand_over(&self, path: &Utf8Path) {
        if self.is_root {
            chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
    }
}

/// As when a gateway that root had started made a folder below its version.
#[test]
fn what_cannot_be_removed_is_told_and_stays() {
    let nobody = ByNobody::new(&["1.0.0"]);
    let world = &nobody.world;
    let stuck = world.machine.prefix().join("versions/0.9.0.removed");
    let inner = stuck.join("of another account");
    fs::create_dir_all(inner.join("logs")).expect("ours");
    nobody.hand_over(&stuck);
    if !nobody.is_root {
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o555)).expect("ours");
    }
    for command in ["update", "repair"] {
        let output = well(nobody.then(&[command]));
        let text = world.text(&output.stderr);
        assert!(
            text.contains(
                "warning: cannot remove `TMP/home/.local/share/app/versions/0.9.0.removed`"
            ),
            "{command}: {text}"
        );
    }
    let output = nobody.then(&["uninstall"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(world.slots(), ["0.9.0.removed"]);
    assert!(Machine::names(&world.machine.bin_dir()).is_empty());
    let _ = fs::set_permissions(&inner, fs::Permissions::from_mode(0o755));
}

/// A copy has the modes of what was copied.
#[test]
fn copies_of_closed_folders_go() {
    let mut nobody = ByNobody::new(&["1.0.0"]);
    let data = nobody.world.machine.data();
    let closed = data.join("closed");
    fs::create_dir_all(&closed).expect("ours");
    fs::write(closed.join("file"), "mine").expect("ours");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).expect("ours");
    for path in [&data, &closed, &closed.join("file")] {
        nobody.hand_over(path);
    }
    nobody.world.releases.publish("2.0.0");
    well(nobody.then(&["update", "--snapshot", "yes"]));
    let copies = nobody.world.machine.prefix().join("snapshots");
    assert_eq!(Machine::names(&copies), ["1.0.0"]);
    well(nobody.then(&["uninstall"]));
    assert!(!nobody.world.machine.prefix().exists());
    assert!(closed.join("file").exists());
}

/// What is left of a copy that was being made takes room, and no more.
#[test]
fn what_is_left_of_a_copy_stays() {
    let mut nobody = ByNobody::new(&["1.0.0"]);
    nobody.world.releases.publish("2.0.0");
    let copies = nobody.world.machine.prefix().join("snapshots");
    let stuck = copies.join(".partial-0.9.0");
    let inner = stuck.join("of another account");
    fs::create_dir_all(inner.join("logs")).expect("ours");
    if !nobody.is_root {
        // Its own account could open a folder of its own.
        return;
    }
    nobody.hand_over(&copies);
    nobody.hand_over(&stuck);
    for command in ["update", "rollback", "repair"] {
        let output = well(nobody.then(&[command]));
        let text = nobody.world.text(&output.stderr);
        let expected = "warning: cannot write `TMP/home/.local/share/app/snapshots/.partial-0.9.0`";
        assert!(text.contains(expected), "{command}: {text}");
        assert!(!nobody.world.machine.prefix().join("journal.json").exists(), "{command}");
    }
    let output = well(nobody.then(&["uninstall"]));
    let text = nobody.world.text(&output.stderr);
    assert!(text.contains("cannot remove `TMP/home/.local/share/app/snapshots`"), "{text}");
    assert_eq!(Machine::names(&nobody.world.machine.prefix()), ["lock", "snapshots"]);
}

/// Data of another account's, or on a disk of its own, is in no command's way either: neither in that of the removal, nor of one that goes on with it.
#[test]
fn data_that_cannot_be_removed_stays() {
    for is_killed in [false, true] {
        let nobody = ByNobody::new(&["1.0.0"]);
        let world = &nobody.world;
        let (data, inner) = (world.machine.data(), world.machine.data().join("of another account"));
        fs::create_dir_all(inner.join("logs")).expect("ours");
        fs::write(inner.join("logs/log"), "theirs").expect("ours");
        nobody.hand_over(&data);
        if !nobody.is_root {
            // Its own account could open a folder of its own.
            return;
        }
        if is_killed {
            // As somebody left it who was killed.
            let state = fs::read_to_string(world.machine.prefix().join("state.json"));
            let text = format!(
                r#"{{"version": 1, "operation": {{"uninstall": {{"before": {}, "data": ["{data}"]}}}}}}"#,
                state.expect("it is installed")
            );
            let journal = world.machine.prefix().join("journal.json");
            fs::write(&journal, text).expect("ours");
            nobody.hand_over(&journal);
        }
        let output = well(nobody.then(&["uninstall", "--purge", "--json"]));
        let text = world.text(&output.stderr);
        let expected = "warning: cannot remove `TMP/home/.app` (Permission denied (os error 13)); what is left there stays";
        assert!(text.contains(expected), "{text}");
        let report = json(&output);
        assert_eq!(report["data_removed"].as_array().map(Vec::len), Some(0), "{report}");
        assert_eq!(report["data_kept"][0], data.as_str(), "{report}");
        assert!(!world.machine.prefix().exists());
        assert!(Machine::names(&world.machine.bin_dir()).is_empty());
        assert_eq!(fs::read(inner.join("logs/log")).expect("it stays"), b"theirs");
    }
}
