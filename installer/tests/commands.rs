//! The installer's commands on a home folder, with releases in another one.

#![cfg(unix)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use gangway_artifact::Mode;
use gangway_artifact::archive::sample::Sample;
use support::world::{World, json, run, well};
use support::{Machine, Releases, said};

#[test]
fn from_nothing_to_nothing() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
    world.releases.publish("2.0.0");
    let report = json(&well(world.then(&["update", "--json"])));
    assert_eq!(report["version"], "2.0.0");
    assert_eq!(report["from"], "1.0.0");
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
    let list = json(&well(world.then(&["list", "--json"])));
    let versions: Vec<_> = list.as_array().expect("a list").iter().collect();
    assert_eq!(
        (versions[0]["version"].as_str(), versions[0]["used"].as_bool()),
        (Some("2.0.0"), Some(true))
    );
    assert_eq!(versions[1]["previous"], true);
    well(world.then(&["rollback"]));
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
    well(world.then(&["rollback"]));
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
    fs::write(world.machine.home.join("own data"), "mine").expect("writable");
    well(world.then(&["uninstall"]));
    assert_eq!(world.current(), None);
    assert!(!world.machine.prefix().exists());
    assert!(Machine::names(&world.machine.bin_dir()).is_empty());
    assert_eq!(fs::read(world.machine.home.join("own data")).expect("it stays"), b"mine");
}

/// Folders that were made for it go with it, however often somebody was killed before; those that were there stay.
#[test]
fn folders_that_it_made_go() {
    let mut world = World::new(&["1.0.0"]);
    let home = world.machine.home.clone();
    well(world.first(&[]));
    world.releases.publish("2.0.0");
    well(world.then(&["update"]));
    well(world.then(&["uninstall"]));
    assert_eq!(Machine::names(&home), [] as [&str; 0]);

    fs::create_dir_all(home.join(".local/share")).expect("writable");
    well(world.first(&[]));
    well(world.then(&["uninstall"]));
    assert_eq!(Machine::names(&home.join(".local")), ["share"]);
    fs::create_dir(home.join(".local/bin")).expect("writable");
    well(world.first(&[]));
    well(world.then(&["uninstall"]));
    assert_eq!(Machine::names(&home.join(".local")), ["bin", "share"]);

    fs::remove_dir_all(home.join(".local")).expect("ours");
    well(world.first(&[]));
    fs::write(home.join(".local/bin/mine"), "").expect("writable");
    well(world.then(&["uninstall"]));
    assert_eq!(Machine::names(&home.join(".local")), ["bin"]);
    fs::remove_dir_all(home.join(".local")).expect("ours");

    // Another folder for programs: what was made for the one before goes at once.
    well(world.first(&[]));
    let elsewhere = world.root.join("a/b");
    well(world.first(&["--bin-dir", elsewhere.as_str()]));
    assert_eq!(Machine::names(&home.join(".local")), ["share"]);
    well(run(Command::new(elsewhere.join("app-installer")).arg("uninstall").env("HOME", &home)));
    assert_eq!(Machine::names(&home), [] as [&str; 0]);
    assert!(!world.root.join("a").exists());

    // A first installation that does not succeed leaves nothing either.
    let mut sample = Sample::default();
    sample.parts("bin/app", b"#!/bin/sh\nexit 3\n", Mode::Executable, 1 << 20);
    world.releases.publish_sample("3.0.0", sample);
    assert_eq!(world.first(&[]).status.code(), Some(5));
    assert_eq!(Machine::names(&home), [] as [&str; 0]);
}

/// A home folder that is reached by a link, as `/home` is on some systems.
#[test]
fn a_home_behind_a_link() {
    let mut world = World::new(&["1.0.0"]);
    let link = world.root.join("link");
    std::os::unix::fs::symlink(&world.machine.home, &link).expect("writable");
    world.machine.home = link;
    well(world.first(&[]));
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
    well(world.then(&["verify"]));
    world.releases.publish("2.0.0");
    well(world.then(&["update"]));
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
    well(world.then(&["rollback"]));
    well(world.then(&["uninstall"]));
    assert_eq!(Machine::names(&world.machine.home), [] as [&str; 0]);
}

#[test]
fn what_is_there_is_not_made_again() {
    let world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let made = |world: &World| {
        let folder = world.machine.prefix().join("versions/1.0.0");
        folder.metadata().and_then(|found| found.modified()).expect("it is there")
    };
    let before = made(&world);
    let report = json(&well(world.first(&["--json"])));
    assert_eq!(report["changed"], false);
    assert_eq!(json(&well(world.then(&["update", "--json"])))["changed"], false);
    assert_eq!((made(&world), world.slots()), (before, vec!["1.0.0".to_owned()]));
}

#[test]
fn a_dry_run_changes_nothing() {
    let mut world = World::new(&["1.0.0"]);
    let output = well(world.first(&["--dry-run"]));
    assert_eq!(
        world.text(&output.stdout),
        "app 1.0.0 would be installed in `TMP/home/.local/share/app`\n"
    );
    assert_eq!(Machine::names(&world.machine.home), [] as [&str; 0]);
    let report = json(&well(world.first(&["--dry-run", "--json"])));
    assert_eq!((&report["changed"], &report["dry_run"]), (&true.into(), &true.into()));
    let report = json(&well(world.first(&["--json"])));
    assert_eq!((&report["changed"], &report["dry_run"]), (&true.into(), &false.into()));
    let report = json(&well(world.then(&["update", "--dry-run", "--json"])));
    assert_eq!((&report["changed"], &report["dry_run"]), (&false.into(), &true.into()));
    world.releases.publish("2.0.0");
    for command in ["update", "uninstall"] {
        well(world.then(&[command, "--dry-run"]));
        assert_eq!(world.current().as_deref(), Some("1.0.0"));
        assert_eq!(world.slots(), ["1.0.0"]);
    }
}

#[test]
fn old_versions_go() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    for version in ["2.0.0", "3.0.0"] {
        world.releases.publish(version);
        well(world.then(&["update"]));
    }
    assert_eq!(world.slots(), ["2.0.0", "3.0.0"]);
    world.releases.publish("4.0.0");
    well(world.then(&["update", "--keep", "1"]));
    assert_eq!(world.slots(), ["4.0.0"]);
    let output = world.then(&["rollback"]);
    assert!(!output.status.success());
    insta::assert_snapshot!(world.text(&output.stderr), @"
    error: there is no earlier version to go back to
      help: `install --version VERSION` installs any that is offered
    ");
    well(world.then(&["install", "--version", "2.0.0", "--keep", "3"]));
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
    assert_eq!(world.slots(), ["2.0.0", "4.0.0"]);
}

/// A gateway that was started before goes on with the files of its version.
#[cfg(target_os = "linux")]
#[test]
fn what_runs_stays() {
    let mut world = World::new(&["1.0.0"]);
    let mut sample = Sample::default();
    sample.file("app/version", b"2.0.0\n");
    sample.parts(
        "bin/app",
        b"#!/bin/sh\necho 2.0.0\n[ \"$1\" = --version ] || read -r _\n",
        Mode::Executable,
        1 << 20,
    );
    world.releases.publish_sample("2.0.0", sample);
    well(world.first(&[]));
    let mut running = (Command::new(world.machine.bin_dir().join("app")).arg("it runs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    // A shell has the path it was started by in its arguments, so the link has to be followed.
    let real = world.machine.prefix().join("versions/2.0.0/bin/app");
    let mut direct = (Command::new(&real).stdin(Stdio::piped()).stdout(Stdio::piped()))
        .spawn()
        .expect("it starts");
    for version in ["3.0.0", "4.0.0", "5.0.0"] {
        world.releases.publish(version);
        well(world.then(&["update"]));
    }
    assert_eq!(world.slots(), ["2.0.0", "4.0.0", "5.0.0"]);
    for child in [&mut running, &mut direct] {
        drop(child.stdin.take());
        child.wait().expect("our child");
    }
    world.releases.publish("6.0.0");
    well(world.then(&["update"]));
    assert_eq!(world.slots(), ["5.0.0", "6.0.0"]);
}

#[test]
fn a_version_that_was_published_anew() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let mut sample = Sample::default();
    sample.parts("bin/app", b"#!/bin/sh\necho 1.0.0 again\n", Mode::Executable, 1 << 20);
    world.releases.publish_sample("1.0.0", sample);
    well(world.then(&["update"]));
    assert_eq!(world.machine.app().as_deref(), Some("1.0.0 again"));
    assert_eq!(world.slots(), ["1.0.0", "1.0.0_2"]);
    well(world.then(&["rollback"]));
    assert_eq!(world.machine.app().as_deref(), Some("1.0.0"));
}

#[test]
fn somebody_elses_program_stays() {
    let world = World::new(&["1.0.0"]);
    let theirs = world.machine.bin_dir().join("app");
    fs::create_dir_all(world.machine.bin_dir()).expect("writable");
    fs::write(&theirs, "#!/bin/sh\necho theirs\n").expect("writable");
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).expect("its mode");
    let output = world.first(&[]);
    assert!(!output.status.success());
    insta::assert_snapshot!(world.text(&output.stderr), @"
    error: `TMP/home/.local/bin/app` is in the way: it is not of this installation
      help: move it away, or choose another folder for programs with `--bin-dir`; with `--force` it is kept as `TMP/home/.local/bin/app.replaced`
    ");
    assert_eq!(world.machine.app().as_deref(), Some("theirs"));
    assert!(!world.machine.prefix().exists());
    let elsewhere = world.root.join("elsewhere");
    well(world.first(&["--bin-dir", elsewhere.as_str()]));
    assert_eq!(Machine::names(&elsewhere), ["app", "app-installer"]);
    well(run(Command::new(elsewhere.join("app-installer")).arg("uninstall")));

    well(world.first(&["--force"]));
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
    well(world.then(&["uninstall"]));
    assert_eq!(Machine::names(&world.machine.bin_dir()), ["app"]);
    assert_eq!(world.machine.app().as_deref(), Some("theirs"));
}

#[test]
fn a_folder_of_something_else_is_no_prefix() {
    let world = World::new(&["1.0.0"]);
    fs::write(world.machine.home.join("thesis.odt"), "mine").expect("writable");
    let output = world.first(&["--prefix", world.machine.home.as_str()]);
    assert!(!output.status.success());
    insta::assert_snapshot!(world.text(&output.stderr), @"
    error: `TMP/home` has something else in it, and nothing of an installation: `thesis.odt`
      help: name a folder that is empty or does not exist yet, with `--prefix`
    ");
    assert_eq!(Machine::names(&world.machine.home), ["thesis.odt"]);
}

/// What is called as ours, but was not put there by an installer, is not emptied.
#[test]
fn a_folder_that_only_has_our_names_is_no_prefix() {
    for name in ["downloads/film.mkv", "versions/1.partial/notes", "snapshots/holiday.jpg"] {
        let world = World::new(&["1.0.0"]);
        let (prefix, file) = (world.root.join("data"), world.root.join("data").join(name));
        fs::create_dir_all(file.parent().expect("it has one")).expect("writable");
        fs::write(&file, "mine").expect("writable");
        for command in ["install", "uninstall"] {
            let mut installer = world.machine.fetched();
            installer.args([command, "--prefix", prefix.as_str()]);
            if command == "install" {
                installer.args(["--from", world.releases.folder.as_str()]);
            }
            let output = run(&mut installer);
            assert_eq!(output.status.code(), Some(1), "{command}: {}", said(&output));
            let text = world.text(&output.stderr);
            assert!(text.contains("`TMP/data` has something else in it"), "{text}");
            assert_eq!(fs::read(&file).expect("it stays"), b"mine", "{command} {name}");
        }
    }
}

#[test]
fn an_earlier_answer_is_refused() {
    let mut world = World::new(&["1.0.0"]);
    let mirror = Releases::new(world.root.join("mirror"));
    for entry in world.releases.folder.read_dir_utf8().expect("it is there") {
        let entry = entry.expect("readable");
        fs::copy(entry.path(), mirror.folder.join(entry.file_name())).expect("writable");
    }
    world.releases.publish("2.0.0");
    well(world.first(&[]));
    let output = world.then(&["update", "--from", mirror.folder.as_str()]);
    assert!(!output.status.success());
    insta::assert_snapshot!(world.text(&output.stderr), @"
    error: the releases are those of an earlier time: number 1, and number 2 was seen before
      help: a mirror may be behind: try again later, or take another one with `--from`; `--force` takes what is there
    ");
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
}

#[test]
fn the_second_waits_or_says_so() {
    let world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let lock = fs::OpenOptions::new().write(true).open(world.machine.prefix().join("lock"));
    let lock = lock.expect("it is there");
    lock.lock().expect("nobody has it");
    let output = world.then(&["update", "--no-wait"]);
    assert!(!output.status.success());
    assert!(world.text(&output.stderr).contains("another installer is at work on `TMP"));
    let mut waiting = (world.machine.installed().arg("update"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let mut said = std::io::BufReader::new(waiting.stderr.take().expect("it is piped"));
    std::io::BufRead::read_line(&mut said, &mut line).expect("it says something");
    assert!(line.starts_with("waiting for "), "{line}");
    drop(lock);
    assert!(waiting.wait().expect("our child").success());
}

/// What a USB stick has: the releases, and the installer among them.
#[test]
fn the_installer_finds_what_lies_beside_it() {
    let world = World::new(&["1.0.0"]);
    let program = world.releases.folder.join("app-installer-for-this-machine");
    // By a process of its own: what another test starts meanwhile would have the copy open for writing, and then it cannot be started.
    well(run(Command::new("cp").args([env!("CARGO_BIN_EXE_installer"), program.as_str()])));
    let mut command = Command::new(&program);
    well(run(command.env_clear().env("HOME", &world.machine.home).arg("install")));
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
    // It finds what is installed by its name.
    let mut command = Command::new(&program);
    let output =
        run(command.env_clear().env("HOME", &world.machine.home).args(["status", "--json"]));
    assert_eq!(json(&well(output))["used"], "1.0.0");
}

#[test]
fn without_anything_installed() {
    let world = World::new(&["1.0.0"]);
    for command in ["update", "rollback", "list", "status", "uninstall"] {
        let output = run(world.machine.fetched().arg(command));
        assert_eq!(output.status.code(), Some(1), "{command}: {}", said(&output));
    }
    let output = run(world.machine.fetched().args(["list", "--json"]));
    insta::assert_snapshot!(json(&output)["error"]["code"], @r#""installer::nothing""#);
}

#[test]
fn what_is_damaged_is_said() {
    let world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    fs::write(world.machine.prefix().join("state.json"), "{").expect("writable");
    let output = world.then(&["status"]);
    insta::assert_snapshot!(world.text(&output.stderr), @"
    error: `TMP/home/.local/share/app/state.json` is damaged: EOF while parsing an object at line 1 column 1
      help: `repair` makes it anew of what is installed
    ");
    let state = world.machine.prefix().join("state.json");
    fs::write(&state, r#"{"version": 2}"#).expect("writable");
    let output = world.then(&["update"]);
    insta::assert_snapshot!(world.text(&output.stderr), @"
    error: `TMP/home/.local/share/app/state.json` is of version 2 of its format, and this installer knows 1
      help: a newer installer was here: use the one in the prefix, or get the newest
    ");
}

#[test]
fn what_two_versions_have_in_common_is_one_file() {
    use std::os::unix::fs::MetadataExt as _;
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    world.releases.publish("2.0.0");
    let report = json(&well(world.then(&["update", "--json"])));
    let files = &report["files"];
    assert_eq!(
        (files["all"].as_u64(), files["linked"].as_u64()),
        (Some(66), Some(63)),
        "the version's two files and the manifest are others: {report}"
    );
    let versions = world.machine.prefix().join("versions");
    let inode = |version: &str, path: &str| {
        versions.join(version).join(path).metadata().expect("it is there").ino()
    };
    assert_eq!(inode("1.0.0", "runtime/run"), inode("2.0.0", "runtime/run"));
    assert_ne!(inode("1.0.0", "app/main.js"), inode("2.0.0", "app/main.js"));
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
}

#[test]
fn what_is_damaged_is_found_and_made_anew() {
    let world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    assert_eq!(json(&well(world.then(&["verify", "--json"])))["passes"], true);
    let folder = world.machine.prefix().join("versions/1.0.0");
    fs::set_permissions(folder.join("app/main.js"), fs::Permissions::from_mode(0o644))
        .expect("ours");
    fs::write(folder.join("app/main.js"), "// mine").expect("ours");
    fs::remove_file(folder.join("app/lib/007.js")).expect("ours");
    fs::write(folder.join("app/new.js"), "").expect("ours");
    fs::remove_file(world.machine.bin_dir().join("app")).expect("ours");
    let output = world.then(&["verify", "--quiet"]);
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    insta::assert_snapshot!(world.text(&output.stdout), @r"
    app 1.0.0: 3 things are damaged
      `app/lib/007.js` is missing
      `app/main.js` was changed
      `app/new.js` is not part of it
      `TMP/home/.local/bin/app` does not lead to it
    `repair` makes it anew
    ");
    well(world.then(&["repair"]));
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
    assert_eq!(world.slots(), ["1.0.0_2"]);
    well(world.then(&["verify"]));
    let text = well(world.then(&["repair", "--quiet"]));
    assert_eq!(world.text(&text.stdout), "nothing of app 1.0.0 is damaged\n");
}

#[test]
fn a_version_that_does_not_start_is_not_switched_to() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let mut sample = Sample::default();
    sample.parts("bin/app", b"#!/bin/sh\necho no memory >&2\nexit 3\n", Mode::Executable, 1 << 20);
    world.releases.publish_sample("2.0.0", sample);
    let output = world.then(&["update", "--quiet"]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(world.text(&output.stderr).contains("| no memory"), "{}", said(&output));
    assert_eq!(
        (world.current().as_deref(), world.slots()),
        (Some("1.0.0"), vec!["1.0.0".to_owned()])
    );
}

/// A service that cannot be started again with the new version: the one before is used, and the new one is not taken again.
#[test]
fn a_version_that_cannot_be_started_again_goes_back() {
    let mut world = World::new(&[]);
    let mut sample = Sample::default();
    sample.parts("bin/app", b"#!/bin/sh\necho 1.0.0\n", Mode::Executable, 1 << 20);
    world.releases.publish_sample("1.0.0", sample);
    // It is well with the first version only.
    let command =
        format!("/bin/sh -c 'grep -qF 1.0.0 {}/current/manifest.json'", world.machine.prefix());
    well(world.first(&["--restart-command", &command]));
    // The kernel tells of a script only who runs it, so one that is no script has to run.
    let sleeper = world.machine.prefix().join("versions/1.0.0/sleep");
    well(run(Command::new("cp").args(["/bin/sleep", sleeper.as_str()])));
    let mut running = Command::new(&sleeper).arg("600").spawn().expect("it starts");
    world.releases.publish("2.0.0");
    let output = world.then(&["update", "--quiet"]);
    running.kill().and_then(|()| running.wait()).expect("our child");
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert_eq!(world.machine.app().as_deref(), Some("1.0.0"));
    assert_eq!(world.slots(), ["1.0.0"]);
    let output = world.then(&["update"]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    well(world.then(&["update", "--force"]));
    assert_eq!(world.machine.app().as_deref(), Some("2.0.0"), "nothing runs any more");
}

#[test]
fn data_comes_back_with_a_rollback() {
    let mut world = World::new(&["1.0.0"]);
    let notes = world.machine.data().join("notes");
    fs::create_dir(world.machine.data()).expect("writable");
    fs::write(&notes, "of 1.0.0").expect("writable");
    well(world.first(&[]));
    world.releases.publish("2.0.0");
    well(world.then(&["update"]));
    fs::write(&notes, "of 2.0.0").expect("writable");
    well(world.then(&["rollback"]));
    assert_eq!(fs::read(&notes).expect("it is there"), b"of 2.0.0", "nobody said so");
    well(world.then(&["rollback"]));
    let report = json(&well(world.then(&["rollback", "--restore", "yes", "--json"])));
    assert_eq!(fs::read(&notes).expect("it is there"), b"of 1.0.0");
    let aside = report["restored"]["folders"][0]["aside"].as_str().expect("it was there");
    assert_eq!(fs::read(format!("{aside}/notes")).expect("it stays"), b"of 2.0.0");
    well(world.then(&["uninstall", "--purge"]));
    assert!(!world.machine.data().exists());
}

#[test]
fn shells_find_it_until_it_is_removed() {
    let world = World::new(&["1.0.0"]);
    let profile = world.machine.home.join(".profile");
    fs::write(&profile, "# mine").expect("writable");
    well(world.first(&[]));
    let shell = |command: &str| {
        let mut shell = Command::new("/bin/sh");
        shell.env_clear().env("HOME", &world.machine.home).env("PATH", "/usr/bin:/bin");
        well(run(shell.args(["-c", &format!(". ~/.profile; {command}")])))
    };
    assert_eq!(world.text(&shell("app --version").stdout).trim(), "1.0.0");
    well(world.then(&["uninstall"]));
    assert_eq!(fs::read_to_string(&profile).expect("it stays"), "# mine");
    well(world.first(&["--no-modify-path"]));
    assert_eq!(fs::read_to_string(&profile).expect("it stays"), "# mine");
}

/// `PATH` was left alone once; whoever installs again without that option has it edited.
#[test]
fn the_search_path_can_be_edited_later() {
    let world = World::new(&["1.0.0"]);
    let profile = world.machine.home.join(".profile");
    fs::write(&profile, "# mine\n").expect("writable");
    well(world.first(&["--no-modify-path"]));
    assert_eq!(fs::read_to_string(&profile).expect("it is mine"), "# mine\n");
    well(world.then(&["update"]));
    assert_eq!(fs::read_to_string(&profile).expect("it is mine"), "# mine\n");
    well(world.first(&[]));
    let edited = fs::read_to_string(&profile).expect("it is mine");
    assert!(edited.contains(".local/bin"), "{edited}");
    // That was all: nothing is left to be changed.
    let before = world.state();
    well(world.first(&[]));
    assert_eq!(fs::read_to_string(&profile).expect("it is mine"), edited);
    assert_eq!(world.state(), before);
    well(world.then(&["uninstall"]));
    assert_eq!(fs::read_to_string(&profile).expect("it is mine"), "# mine\n");
}

/// What `status` prints is what people show to others.
#[test]
fn status_keeps_secrets() {
    let world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let mut state = world.state();
    state["base"] = "https://me:hunter2@example.com/app/?sig=hunter2".into();
    fs::write(world.machine.prefix().join("state.json"), state.to_string()).expect("ours");
    let report = json(&well(world.then(&["status", "--json"])));
    assert_eq!(report["base"], "https://example.com/app/?...");
    let output = well(world.then(&["status"]));
    let text = world.text(&output.stdout);
    assert!(text.contains("https://example.com/app/?...") && !text.contains("hunter2"), "{text}");
}

#[test]
fn completions_are_for_the_name_people_use() {
    let world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let output = well(world.then(&["completions", "bash"]));
    assert!(world.text(&output.stdout).contains("app-installer"), "{}", said(&output));
}

#[test]
fn the_doctor_knows_what_is_installed() {
    let world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let report = json(&world.then(&["doctor", "--json"]));
    assert_eq!(
        (report["app"]["name"].as_str(), report["app"]["version"].as_str()),
        (Some("app"), Some("1.0.0"))
    );
}
