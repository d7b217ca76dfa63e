//! `state.json`, its copy and `journal.json` damaged, missing, or of a newer installer.

#![cfg(unix)]

mod support;

use std::fs;
use std::process::{Command, Output};

use camino::Utf8PathBuf;
use gangway_artifact::Mode;
use gangway_artifact::archive::sample::Sample;
use serde_json::Value;
use support::{Machine, Releases, said};

struct World {
    _folder: tempfile::TempDir,
    root: Utf8PathBuf,
    releases: Releases,
    machine: Machine,
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Truncated,
    Empty,
    Garbage,
    Zeros,
    OtherShape,
    Missing,
}

/// What is installed, twice.
const STATES: [&str; 2] = ["state.json", "state.copy.json"];

impl Harm {
    const ALL: [Self; 6] =
        [Self::Truncated, Self::Empty, Self::Garbage, Self::Zeros, Self::OtherShape, Self::Missing];

    fn on(self, path: &Utf8PathBuf) {
        let text = fs::read(path).expect("it is there");
        let harmed = match self {
            Self::Truncated => text[..text.len() / 2].to_vec(),
            Self::Empty => Vec::new(),
            Self::Garbage => text.iter().map(|byte| byte ^ 0xa5).collect(),
            Self::Zeros => vec![0; text.len()],
            Self::OtherShape => br#"{"version": 1, "app": ["app"]}"#.to_vec(),
            Self::Missing => return fs::remove_file(path).expect("ours"),
        };
        fs::write(path, harmed).expect("ours");
    }
}

impl World {
    /// A machine on which these versions were installed one after the other.
    fn new(versions: &[&str], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8PathBuf::from_path_buf(folder.path().canonicalize().expect("it is there"));
        let root = root.expect("UTF-8");
        let releases = Releases::new(root.join("releases"));
        let machine = Machine::new(root.join("home"));
        fs::write(machine.home.join(".profile"), "# mine\n").expect("writable");
        let mut world = Self { _folder: folder, root, releases, machine };
        for (index, version) in versions.iter().enumerate() {
            world.releases.publish(version);
            if index == 0 {
                let base = world.releases.folder.as_str();
                let mut install = world.machine.fetched();
                well(run(install.args(["install", "--from", base]).args(arguments)));
            } else {
                well(world.then(&["update"]));
            }
        }
        world
    }

    fn then(&self, arguments: &[&str]) -> Output {
        run(self.machine.installed().args(arguments))
    }

    /// `repair`, told where releases come from.
    fn repair(&self, arguments: &[&str]) -> Output {
        let base = self.releases.folder.as_str();
        let told = ["repair", "--from", base, "--channel", "stable"];
        self.then(&[&told[..], arguments].concat())
    }

    /// What is installed is told by neither file any more. Says what they hold now.
    fn lose_state(&self, harm: Harm) -> [Option<Vec<u8>>; 2] {
        STATES.map(|name| {
            harm.on(&self.path(name));
            fs::read(self.path(name)).ok()
        })
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        self.machine.prefix().join(name)
    }

    fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("state.json")).expect("it is there"))
            .expect("it is JSON")
    }

    fn current(&self) -> Option<String> {
        self.machine.check_used(&self.releases)
    }

    fn slots(&self) -> Vec<String> {
        Machine::names(&self.path("versions"))
    }

    /// What it says, without the places of this test.
    fn text(&self, bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).expect("UTF-8").replace(self.root.as_str(), "TMP")
    }

    /// The home folder is as it was before anything was installed.
    fn check_gone(&self) {
        assert_eq!(Machine::names(&self.machine.home), [".profile"]);
        let profile = fs::read_to_string(self.machine.home.join(".profile"));
        assert_eq!(profile.expect("it stays"), "# mine\n");
    }
}

fn run(command: &mut Command) -> Output {
    command.output().expect("it starts")
}

fn well(output: Output) -> Output {
    assert!(output.status.success(), "{}", said(&output));
    output
}

/// The copy knows everything, and nobody has to say anything: not even what only a person or the past could tell.
#[test]
fn a_damaged_state_is_taken_from_its_copy() {
    let told = ["--keep", "3", "--restart-command", "/bin/true", "--target", "linux-x64"];
    for harm in Harm::ALL {
        let world = World::new(&["1.0.0", "2.0.0"], &told);
        let mut before = world.state();
        let digest = "0".repeat(64);
        before["refused"] =
            serde_json::json!([{"version": "1.5.0", "manifest": digest, "reason": "it was ill"}]);
        let text = serde_json::to_vec(&before).expect("it is JSON");
        for name in STATES {
            fs::write(world.path(name), &text).expect("ours");
        }

        harm.on(&world.path("state.json"));
        let harmed = fs::read(world.path("state.json")).ok();
        let base = world.releases.folder.as_str();
        let output = run(world.machine.fetched().args(["install", "--from", base]));
        assert_eq!(output.status.code(), Some(1), "{harm:?}: it is no first installation");
        fs::remove_dir_all(&world.releases.folder).expect("ours");
        well(world.then(&["repair", "--dry-run"]));
        assert_eq!(fs::read(world.path("state.json")).ok(), harmed, "{harm:?}");
        let output = well(world.then(&["repair"]));
        let text = world.text(&output.stdout);
        assert!(text.contains("state.json` said nothing any more"), "{harm:?}: {text}");
        assert_eq!(world.state(), before, "{harm:?}");
        assert_eq!(fs::read(world.path("state.json.damaged")).ok(), harmed, "{harm:?}");
        well(world.then(&["rollback"]));
        assert_eq!(world.state()["restart"], serde_json::json!(["/bin/true"]), "{harm:?}");
        well(world.then(&["uninstall"]));
        world.check_gone();
    }
}

/// The copy is looked at as well, and made anew.
#[test]
fn a_damaged_copy_is_made_anew() {
    for harm in Harm::ALL {
        let world = World::new(&["1.0.0"], &[]);
        let (path, before) = (world.path("state.copy.json"), world.state());
        harm.on(&path);
        well(world.then(&["verify"]));
        let output = well(world.then(&["repair"]));
        let text = world.text(&output.stdout);
        assert!(text.contains("state.copy.json` said nothing any more"), "{harm:?}: {text}");
        assert_eq!(world.state(), before, "{harm:?}");
        assert_eq!(fs::read(&path).ok(), fs::read(world.path("state.json")).ok(), "{harm:?}");
        let output = well(world.then(&["repair"]));
        assert_eq!(world.text(&output.stdout), "nothing of app 1.0.0 is damaged\n", "{harm:?}");
        well(world.then(&["uninstall"]));
        world.check_gone();
    }
}

/// A copy of the time before the last update still knows what only a person could tell, and the versions' folders the rest.
#[test]
fn a_copy_of_an_earlier_time() {
    let mut world = World::new(&["1.0.0"], &["--restart-command", "/bin/true"]);
    let earlier = fs::read(world.path("state.copy.json")).expect("it is there");
    world.releases.publish("2.0.0");
    well(world.then(&["update", "--keep", "1"]));
    fs::write(world.path("state.copy.json"), earlier).expect("ours");
    Harm::Garbage.on(&world.path("state.json"));
    well(world.then(&["repair"]));
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
    let state = world.state();
    let installed = state["installed"].as_array().expect("a list");
    assert_eq!((installed.len(), &installed[0]["version"]), (1, &"2.0.0".into()));
    assert_eq!(state["restart"], serde_json::json!(["/bin/true"]));
    well(world.then(&["verify", "--all"]));
    well(world.then(&["uninstall"]));
    world.check_gone();
}

/// Both are lost: everything but what nobody can know. What it was told is what it knew before.
#[test]
fn a_lost_state_is_found_out() {
    for harm in Harm::ALL {
        let world = World::new(&["1.0.0", "2.0.0"], &["--keep", "3"]);
        let mut before = world.state();
        let harmed = world.lose_state(harm);
        for command in ["verify", "list", "update", "rollback", "uninstall"] {
            let output = world.then(&[command]);
            let text = world.text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{harm:?}, {command}: {}", said(&output));
            assert!(text.contains("`repair` makes it anew"), "{harm:?}, {command}: {text}");
        }
        well(world.repair(&["--dry-run"]));
        let output = world.then(&["repair"]);
        assert_eq!(output.status.code(), Some(1), "{harm:?}: {}", said(&output));
        insta::allow_duplicates! {
            insta::assert_snapshot!(world.text(&output.stderr), @"
            error: nothing says any more where the releases of `app` come from, and which channel it follows
              help: say both: `repair --from BASE --channel NAME`; who did not choose a channel follows `stable`
            ");
        }
        let left = STATES.map(|name| fs::read(world.path(name)).ok());
        assert_eq!(left, harmed, "{harm:?}: nothing was done so far");
        assert_eq!(world.current().as_deref(), Some("2.0.0"), "{harm:?}");

        well(world.repair(&[]));
        // What nobody can see any more.
        let mut after = world.state();
        for state in [&mut before, &mut after] {
            let object = state.as_object_mut().expect("an object");
            object.remove("created");
            object.remove("keep");
        }
        assert_eq!(after, before, "{harm:?}");
        let kept = STATES.map(|name| fs::read(world.path(&format!("{name}.damaged"))).ok());
        assert_eq!(kept, harmed, "{harm:?}");
        assert_eq!(world.slots(), ["1.0.0", "2.0.0"], "{harm:?}");
        well(world.then(&["verify", "--all"]));
        well(world.then(&["rollback"]));
        assert_eq!(world.current().as_deref(), Some("1.0.0"), "{harm:?}");
        well(world.then(&["uninstall"]));
        assert!(!world.machine.prefix().exists(), "{harm:?}");
        let profile = fs::read_to_string(world.machine.home.join(".profile"));
        assert_eq!(profile.expect("it stays"), "# mine\n", "{harm:?}");
    }
}

/// An older installer leaves alone what a newer one wrote, whole or not.
#[test]
fn what_a_newer_installer_wrote_stays() {
    let world = World::new(&["1.0.0"], &[]);
    let newer = br#"{"version": 2, "app": {"name": "app"}}"#;
    for name in ["state.json", "journal.json"] {
        let path = world.path(name);
        let before = fs::read(&path).ok();
        for text in [&newer[..], &newer[..30]] {
            fs::write(&path, text).expect("ours");
            for command in ["repair", "update", "uninstall"] {
                let output = match command {
                    "repair" => world.repair(&[]),
                    command => world.then(&[command]),
                };
                assert_eq!(output.status.code(), Some(1), "{command}: {}", said(&output));
                let text = world.text(&output.stderr);
                assert!(text.contains("a newer installer was here"), "{command}: {text}");
            }
            assert_eq!(fs::read(&path).expect("it stays"), text, "{name}");
            assert!(!world.path(&format!("{name}.damaged")).exists(), "{name}");
            assert_eq!(world.current().as_deref(), Some("1.0.0"), "{name}");
        }
        match before {
            Some(before) => fs::write(&path, before).expect("ours"),
            None => fs::remove_file(&path).expect("ours"),
        }
    }
    Harm::Garbage.on(&world.path("state.json"));
    let copy = world.path("state.copy.json");
    fs::write(&copy, newer).expect("ours");
    let output = world.repair(&[]);
    let text = world.text(&output.stderr);
    assert!(text.contains("a newer installer was here"), "{text}");
    assert_eq!(fs::read(&copy).expect("it stays"), newer);
}

/// Programs in a folder of the user's choice are found by the search path.
#[test]
fn links_elsewhere_are_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let elsewhere = Utf8PathBuf::from_path_buf(folder.path().canonicalize().expect("there"));
    let elsewhere = elsewhere.expect("UTF-8").join("bin");
    let world = World::new(&["1.0.0"], &["--bin-dir", elsewhere.as_str()]);
    world.lose_state(Harm::Garbage);
    let mut repair = Command::new(elsewhere.join("app-installer"));
    repair.env_clear().env("HOME", &world.machine.home);
    repair.env("PATH", format!("/usr/bin:/bin:{elsewhere}"));
    let base = world.releases.folder.as_str();
    well(run(repair.args(["repair", "--from", base, "--channel", "stable"])));
    assert_eq!(world.state()["bin_dir"].as_str(), Some(elsewhere.as_str()));
    let mut uninstall = Command::new(elsewhere.join("app-installer"));
    well(run(uninstall.env_clear().env("HOME", &world.machine.home).arg("uninstall")));
    assert_eq!(Machine::names(&elsewhere), [] as [&str; 0]);
}

/// What was said of another app's releases, or of none, is refused, and nothing is written.
#[test]
fn what_is_told_must_be_true() {
    let world = World::new(&["1.0.0"], &[]);
    let path = world.path("state.json");
    world.lose_state(Harm::Empty);
    for base in [world.root.as_str(), "/nowhere"] {
        let output = world.then(&["repair", "--from", base, "--channel", "stable"]);
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    }
    let mut other = Releases::new(world.root.join("other"));
    let mut sample = Sample::default();
    sample.parts("bin/app", b"#!/bin/sh\n", Mode::Executable, 1 << 20);
    other.publish_of("other", "1.0.0", sample);
    let base = other.folder.as_str();
    let output = world.then(&["repair", "--from", base, "--channel", "stable"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(world.text(&output.stderr).contains("`other`"), "{}", said(&output));
    assert_eq!(fs::read(&path).expect("it stays"), b"");
    well(world.repair(&[]));
}

/// The version's own word is lost as well: it is made anew as it was published.
#[test]
fn a_damaged_manifest_as_well() {
    let world = World::new(&["1.0.0"], &[]);
    world.lose_state(Harm::Missing);
    let manifest = world.path("versions/1.0.0/manifest.json");
    fs::remove_file(&manifest).expect("ours");
    fs::write(&manifest, "{").expect("ours");
    well(world.repair(&[]));
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
    assert_eq!(world.slots(), ["1.0.0_2"]);
    well(world.then(&["verify"]));
    well(world.then(&["uninstall"]));
}

/// Nothing tells which version is used: what is left is made anew by `install`.
#[test]
fn nothing_is_used() {
    let world = World::new(&["1.0.0"], &[]);
    world.lose_state(Harm::Garbage);
    fs::remove_file(world.path("current")).expect("ours");
    let prefix = world.machine.prefix();
    let output = world.repair(&["--prefix", prefix.as_str()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    insta::assert_snapshot!(world.text(&output.stderr), @"
    error: nothing says any more what is installed in `TMP/home/.local/share/app`, and no version is used there
      help: `install` puts one there, and removes what is left of others
    ");
    let base = world.releases.folder.as_str();
    well(run(world.machine.fetched().args(["install", "--from", base])));
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
    well(world.then(&["update"]));
    assert_eq!(world.slots().len(), 1);
    well(world.then(&["uninstall"]));
    assert!(!prefix.exists());
}

/// The one pointer is gone, and what is installed is known.
#[test]
fn the_pointer_is_made_anew() {
    let world = World::new(&["1.0.0", "2.0.0"], &[]);
    fs::remove_file(world.path("current")).expect("ours");
    let output = run(world.machine.installed().arg("repair"));
    well(output);
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
    assert_eq!(world.slots(), ["1.0.0", "2.0.0"]);
}

/// The installer itself is gone: another one takes its place.
#[test]
fn the_installer_is_put_back() {
    let world = World::new(&["1.0.0"], &[]);
    fs::remove_dir_all(world.path("installer")).expect("ours");
    let prefix = world.machine.prefix();
    let output = well(run(world.machine.fetched().args(["repair", "--prefix", prefix.as_str()])));
    assert!(world.text(&output.stdout).contains("installer/app-installer"), "{}", said(&output));
    well(world.then(&["verify"]));
}

/// Killed at some step, and then the journal is damaged: nothing but `repair` goes on, and it loses nothing.
#[test]
fn a_damaged_journal() {
    let steps = ["begun", "made", "decided", "switched", "linked", "recorded", "condemned"];
    for step in steps {
        for harm in [Harm::Truncated, Harm::Empty, Harm::Garbage] {
            let what = format!("{step}, {harm:?}");
            let mut world = World::new(&["1.0.0"], &["--keep", "1"]);
            world.releases.publish("2.0.0");
            let output = run(world.machine.installed().arg("update").env("GANGWAY_KILL_AT", step));
            assert_eq!(output.status.code(), None, "{what}: {}", said(&output));
            let path = world.path("journal.json");
            harm.on(&path);
            let harmed = fs::read(&path).expect("it is there");
            for command in ["update", "rollback", "uninstall"] {
                let output = world.then(&[command]);
                let text = world.text(&output.stderr);
                assert_eq!(output.status.code(), Some(1), "{what}, {command}: {}", said(&output));
                assert!(text.contains("`repair` makes it anew"), "{what}, {command}: {text}");
            }
            let before = world.current();
            // Nobody has to say where releases come from: `state.json` does.
            well(world.then(&["repair"]));
            assert_eq!(world.current(), before, "{what}");
            assert_eq!(fs::read(world.path("journal.json.damaged")).ok(), Some(harmed), "{what}");
            assert!(!path.exists(), "{what}");
            let state = world.state();
            let known: Vec<_> = state["installed"].as_array().expect("a list").iter().collect();
            assert_eq!(known.last().expect("one")["version"].as_str(), before.as_deref(), "{what}");
            well(world.then(&["verify", "--all"]));
            well(world.then(&["update"]));
            assert_eq!(world.current().as_deref(), Some("2.0.0"), "{what}");
            well(world.then(&["uninstall"]));
            world.check_gone();
        }
    }
}

/// Links of a version that is not used after all go, and nothing is asked of any server for that.
#[test]
fn links_that_lead_nowhere_go() {
    let world = World::new(&["1.0.0"], &[]);
    let stale = world.machine.bin_dir().join("other");
    std::os::unix::fs::symlink(world.path("current/bin/other"), &stale).expect("writable");
    let theirs = world.machine.bin_dir().join("theirs");
    std::os::unix::fs::symlink("/nowhere", &theirs).expect("writable");
    fs::write(world.path("journal.json"), "").expect("ours");
    fs::remove_dir_all(&world.releases.folder).expect("ours");
    well(world.then(&["repair"]));
    assert_eq!(Machine::names(&world.machine.bin_dir()), ["app", "app-installer", "theirs"]);
    assert_eq!(world.state()["programs"], serde_json::json!(["app"]));
}

/// What ran had been stopped, and what starts it again is not known any more: a person is told.
#[test]
fn what_was_stopped_is_told() {
    let world = World::new(&["1.0.0"], &["--restart-command", "/bin/true"]);
    fs::write(world.path("running"), "").expect("ours");
    world.lose_state(Harm::Missing);
    let output = well(world.repair(&[]));
    assert!(
        world.text(&output.stderr).contains("start it, and name the command"),
        "{}",
        said(&output)
    );
    assert!(!world.path("running").exists());
}

/// A removal was under way: what is left is an installation again, or nothing.
#[test]
fn a_damaged_journal_of_a_removal() {
    for step in ["leaving", "unlinked", "unset", "emptied", "forgotten"] {
        let world = World::new(&["1.0.0"], &[]);
        let output = run(world.machine.installed().arg("uninstall").env("GANGWAY_KILL_AT", step));
        assert_eq!(output.status.code(), None, "{step}: {}", said(&output));
        Harm::Garbage.on(&world.path("journal.json"));
        let prefix = world.machine.prefix();
        let repair = || run(world.machine.fetched().args(["repair", "--prefix", prefix.as_str()]));
        let output = repair();
        if step == "forgotten" {
            assert_eq!(output.status.code(), Some(1), "{step}: {}", said(&output));
            let base = world.releases.folder.as_str();
            well(run(world.machine.fetched().args(["install", "--from", base])));
        } else {
            well(output);
        }
        assert_eq!(world.current().as_deref(), Some("1.0.0"), "{step}");
        well(world.then(&["uninstall"]));
        assert!(!prefix.exists(), "{step}");
    }
}

/// Both are damaged, in the middle of a switch, and the copy is that of the time before it; or it is damaged as well.
#[test]
fn both_are_damaged() {
    for is_copy_whole in [true, false] {
        let mut world = World::new(&["1.0.0"], &[]);
        world.releases.publish("2.0.0");
        let mut update = world.machine.installed();
        let killed = run(update.arg("update").env("GANGWAY_KILL_AT", "switched"));
        assert_eq!(killed.status.code(), None, "{}", said(&killed));
        for name in ["state.json", "journal.json"] {
            Harm::Truncated.on(&world.path(name));
        }
        if is_copy_whole {
            well(world.then(&["repair"]));
        } else {
            Harm::Truncated.on(&world.path("state.copy.json"));
            well(world.repair(&[]));
        }
        assert_eq!(world.current().as_deref(), Some("2.0.0"));
        well(world.then(&["rollback"]));
        assert_eq!(world.current().as_deref(), Some("1.0.0"));
    }
}

/// A journal that is whole is as good as `state.json`.
#[test]
fn the_journal_knows_it_too() {
    let mut world = World::new(&["1.0.0"], &[]);
    world.releases.publish("2.0.0");
    let killed = run(world.machine.installed().arg("update").env("GANGWAY_KILL_AT", "switched"));
    assert_eq!(killed.status.code(), None, "{}", said(&killed));
    world.lose_state(Harm::Truncated);
    well(world.then(&["repair"]));
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
    let killed = run(world.machine.installed().arg("uninstall").env("GANGWAY_KILL_AT", "leaving"));
    assert_eq!(killed.status.code(), None, "{}", said(&killed));
    world.lose_state(Harm::Garbage);
    let gone = world.then(&["uninstall"]);
    assert!(!world.machine.prefix().exists(), "{}", said(&gone));
    world.check_gone();
}
