//! What lies around an installer that was only fetched is no installation of it, and what another account wrote is not done.

#![cfg(unix)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::process::{Command, Output};

use camino::{Utf8Path, Utf8PathBuf};
use support::world::{World, content, run, well};
use support::{Machine, said};

/// A number that no account of the machine has that the tests run on.
const STRANGER: u32 = 54_321;

/// The installer as `install.sh` starts it: in a folder of its own in one that everybody may write to.
fn fetched_into(world: &World, shared: &Utf8Path) -> Command {
    let folder = shared.join("app-install.XXXXXX");
    fs::create_dir_all(&folder).expect("writable");
    let program = folder.join("app-installer-1.0.0");
    // By a process of its own: what another test starts meanwhile would have the copy open for writing, and then it cannot be started.
    well(run(Command::new("cp").args([env!("CARGO_BIN_EXE_installer"), program.as_str()])));
    let mut command = Command::new(program);
    command.env_clear().env("HOME", &world.machine.home).env("PATH", "/usr/bin:/bin");
    command.current_dir(&world.machine.home);
    command
}

/// What says that an installation is being removed, and the user's folder with it.
fn journal_against(state: &str, folder: &Utf8Path) -> String {
    format!(
        r#"{{"version": 1, "operation": {{"uninstall": {{"before": {state}, "data": ["{folder}"]}}}}}}"#
    )
}

/// An installation of somebody else's, to take what it says from.
fn state_of_another() -> String {
    let other = World::new(&["1.0.0"]);
    well(other.first(&[]));
    fs::read_to_string(other.machine.prefix().join("state.json")).expect("it is installed")
}

#[test]
fn what_lies_in_a_shared_folder_is_not_looked_at() {
    let state = state_of_another();
    for name in ["state.json", "journal.json"] {
        let world = World::new(&["1.0.0"]);
        let (shared, notes) = (world.root.join("shared"), world.machine.home.join("notes"));
        fs::create_dir(&shared).expect("writable");
        fs::create_dir(&notes).expect("writable");
        fs::write(notes.join("thesis"), "mine").expect("writable");
        let text = match name {
            "state.json" => "of another program".to_owned(),
            _ => journal_against(&state, &notes),
        };
        fs::write(shared.join(name), &text).expect("writable");
        let base = world.releases.folder.as_str();
        for arguments in [&["status"][..], &["update"], &["install", "--from", base]] {
            let output = run(fetched_into(&world, &shared).args(arguments));
            let is_install = arguments[0] == "install";
            assert_eq!(output.status.success(), is_install, "{name}: {}", said(&output));
            assert_eq!(fs::read(notes.join("thesis")).expect("it is mine"), b"mine", "{name}");
        }
        assert_eq!(world.current().as_deref(), Some("1.0.0"), "{name}");
        assert_eq!(fs::read_to_string(shared.join(name)).expect("it stays"), text);
        assert_eq!(Machine::names(&shared), ["app-install.XXXXXX", name]);
    }
}

/// Whether this account may give a file away, so that there can be one of a stranger's.
fn can_give_away(world: &World) -> bool {
    world.root.metadata().expect("it is there").uid() == 0
}

fn give_away(path: &Utf8PathBuf) {
    chown(path, Some(STRANGER), None).expect("root may");
}

#[test]
fn what_another_account_wrote_is_not_done() {
    let state = state_of_another();
    for name in ["state.json", "journal.json", ""] {
        let world = World::new(&["1.0.0"]);
        if !can_give_away(&world) {
            return;
        }
        let (prefix, notes) = (world.root.join("prefix"), world.machine.home.join("notes"));
        fs::create_dir(&prefix).expect("writable");
        fs::create_dir(&notes).expect("writable");
        match name {
            "state.json" => fs::write(prefix.join(name), &state).expect("writable"),
            "journal.json" => {
                fs::write(prefix.join(name), journal_against(&state, &notes)).expect("writable");
            }
            _ => {}
        }
        give_away(&prefix.join(name));
        let before = content(&world.root);
        let base = world.releases.folder.as_str();
        let commands = [&["install", "--from", base][..], &["update"], &["repair"], &["uninstall"]];
        for arguments in commands {
            let mut command = world.machine.fetched();
            let output: Output =
                run(command.args(arguments).args(["--prefix", prefix.as_str(), "--json"]));
            assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
            let code = support::world::json(&output)["error"]["code"].clone();
            assert_eq!(code, "installer::owner", "{name} {arguments:?}: {}", said(&output));
        }
        assert!(notes.exists(), "{name}");
        assert_eq!(content(&world.root), before, "{name}");
    }
}

#[test]
fn whose_file_it_is_is_said() {
    let world = World::new(&["1.0.0"]);
    if !can_give_away(&world) {
        return;
    }
    well(world.first(&[]));
    give_away(&world.machine.prefix().join("state.json"));
    let output = world.then(&["update"]);
    insta::assert_snapshot!(world.text(&output.stderr), @"
    error: `TMP/home/.local/share/app/state.json` belongs to the account with the number 54321, which is neither yours nor root's
      help: nothing of what is said there is done; if you trust that account, use it for this, else choose another folder with `--prefix`
    ");
}
