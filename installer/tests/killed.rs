//! SIGKILL at every checkpoint and at any moment, then the next command.
//!
//! Whenever it comes, the app's link leads to one whole version, the old or the new one, or it is not there where it was not before or
//! is not to be afterwards; and the same command given again finishes the job.

#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use installer::checkpoint::Step;
use support::{Machine, Releases, said};

/// What is done to a machine, one after the other, each killed once and given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Install,
    Update,
    Rollback,
    /// To the one that was used before, whichever that is.
    RollbackAgain,
    Uninstall,
}

impl Act {
    const ALL: [Self; 5] =
        [Self::Install, Self::Update, Self::Rollback, Self::RollbackAgain, Self::Uninstall];

    fn command(self, world: &World) -> Command {
        let machine = &world.machine;
        // The one that was installed may be gone already.
        let is_there = machine.bin_dir().join("app-installer").exists();
        let mut command = if is_there { machine.installed() } else { machine.fetched() };
        match self {
            Self::Install => command.args(["install", "--from", world.old.folder.as_str()]),
            Self::Update => command.args(["update", "--from", world.new.folder.as_str()]),
            Self::Rollback => command.args(["rollback", "1.0.0", "--restore", "yes"]),
            Self::RollbackAgain => command.arg("rollback"),
            Self::Uninstall => command.arg("uninstall"),
        };
        command.args(["--prefix", machine.prefix().as_str(), "--yes"]);
        command
    }

    /// What the app may be when it was killed; nothing: it is not there.
    fn allowed(self) -> [Option<&'static str>; 2] {
        match self {
            Self::Install => [None, Some("1.0.0")],
            Self::Update | Self::Rollback | Self::RollbackAgain => [Some("1.0.0"), Some("2.0.0")],
            Self::Uninstall => [Some("2.0.0"), None],
        }
    }

    /// What it is when all is done.
    fn result(self) -> Option<&'static str> {
        match self {
            Self::Install | Self::Rollback => Some("1.0.0"),
            Self::Update | Self::RollbackAgain => Some("2.0.0"),
            Self::Uninstall => None,
        }
    }
}

struct World {
    _folder: tempfile::TempDir,
    /// Releases with one version, and the same with a second one.
    old: Releases,
    new: Releases,
    machine: Machine,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8PathBuf::from_path_buf(folder.path().canonicalize().expect("it is there"));
        let root = root.expect("UTF-8");
        let mut old = Releases::new(root.join("old"));
        old.publish("1.0.0");
        let mut new = Releases::new(root.join("new"));
        new.publish("1.0.0");
        new.publish("2.0.0");
        let machine = Machine::new(root.join("home"));
        fs::create_dir(machine.data()).expect("writable");
        fs::write(machine.data().join("notes"), "mine").expect("writable");
        Self { _folder: folder, old, new, machine }
    }

    /// What holds whenever somebody was killed.
    fn check_killed(&self, act: Act, what: &str) {
        let found = self.machine.check_used(&self.new);
        assert!(act.allowed().contains(&found.as_deref()), "{act:?}, {what}: {found:?}");
        let mut status = self.machine.fetched();
        let output = status
            .args(["status", "--json", "--prefix", self.machine.prefix().as_str()])
            .output()
            .expect("it starts");
        assert!(output.status.code().is_some(), "{act:?}, {what}: {}", said(&output));
    }

    /// Gives the command again, to its end.
    fn finish(&self, act: Act, what: &str) {
        // Who gives this one again after it was done means to go back once more.
        let is_done = act == Act::RollbackAgain
            && !self.machine.prefix().join("journal.json").exists()
            && self.machine.app().as_deref() == act.result();
        if is_done {
            return self.check_tidy(act, what);
        }
        let output = act.command(self).output().expect("it starts");
        assert!(
            output.status.success() || (act == Act::Uninstall && !self.machine.prefix().exists()),
            "{act:?}, {what}: {}",
            said(&output)
        );
        let found = self.machine.check_used(&self.new);
        assert_eq!(found.as_deref(), act.result(), "{act:?}, {what}: {}", said(&output));
        self.check_tidy(act, what);
    }

    /// Nothing is left that should not be.
    fn check_tidy(&self, act: Act, what: &str) {
        let machine = &self.machine;
        let notes = fs::read_to_string(machine.data().join("notes"));
        assert_eq!(notes.expect("it is never lost"), "mine", "{act:?}, {what}");
        let prefix = Machine::names(&machine.prefix());
        let bin = Machine::names(&machine.bin_dir());
        if act == Act::Uninstall {
            assert_eq!((prefix.len(), bin.len()), (0, 0), "{what}: {prefix:?}, {bin:?}");
            return;
        }
        let mut expected = vec!["current", "installer", "lock", "state.json", "versions"];
        if act != Act::Install {
            expected.insert(3, "snapshots");
        }
        assert_eq!(prefix, expected, "{act:?}, {what}");
        assert_eq!(bin, ["app", "app-installer"], "{act:?}, {what}");
        assert_eq!(Machine::names(&machine.prefix().join("installer")), ["app-installer"]);
        let versions = Machine::names(&machine.prefix().join("versions"));
        let expected: &[&str] = if act == Act::Install { &["1.0.0"] } else { &["1.0.0", "2.0.0"] };
        assert_eq!(versions, expected, "{act:?}, {what}");
    }
}

fn was_killed(status: std::process::ExitStatus) -> bool {
    status.signal() == Some(9)
}

#[test]
fn at_every_checkpoint() {
    let world = World::new();
    let mut reached = BTreeSet::new();
    for step in Step::ALL {
        for time in 1.. {
            let what = format!("{step}:{time}");
            let mut killed = false;
            for act in Act::ALL {
                let output = act.command(&world).env("GANGWAY_KILL_AT", &what).output();
                let output = output.expect("it starts");
                if was_killed(output.status) {
                    killed = true;
                    reached.insert(step.as_str());
                    world.check_killed(act, &what);
                    world.finish(act, &what);
                } else {
                    assert!(output.status.success(), "{act:?}, {what}: {}", said(&output));
                }
            }
            if !killed {
                break;
            }
        }
    }
    // These are for versions that are not well.
    let back = [Step::Turned, Step::SwitchedBack, Step::Undone].map(Step::as_str);
    let missed: Vec<_> = (Step::ALL.iter().map(|step| step.as_str()))
        .filter(|step| !reached.contains(step) && !back.contains(step))
        .collect();
    assert!(missed.is_empty(), "nothing was killed at {missed:?}");
}

/// How often each act is killed at an instant that nobody chose.
const ROUNDS: u32 = 100;

#[test]
fn at_any_instant() {
    let world = World::new();
    // How long each takes when it is left alone.
    let times = Act::ALL.map(|act| {
        let started = Instant::now();
        world.finish(act, "undisturbed");
        started.elapsed()
    });
    let mut instants = Instants(0x9e37_79b9_7f4a_7c15);
    let mut kills = 0;
    for round in 0..ROUNDS {
        for (act, time) in Act::ALL.into_iter().zip(times) {
            let after = instants.next(time);
            let what = format!("round {round}, after {after:?}");
            let mut child = (act.command(&world).stdout(Stdio::null()).stderr(Stdio::null()))
                .spawn()
                .expect("it starts");
            std::thread::sleep(after);
            child.kill().expect("our child");
            kills += u32::from(was_killed(child.wait().expect("our child")));
            world.check_killed(act, &what);
            world.finish(act, &what);
        }
    }
    assert!(kills > ROUNDS, "most of {} were too late: {kills}", ROUNDS * 5);
}

/// Always the same, so that what was found once is found again.
struct Instants(u64);

impl Instants {
    fn next(&mut self, longest: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let part = u32::try_from(self.0 >> 40).expect("24 bits");
        longest.mul_f64(f64::from(part) / f64::from(1 << 24))
    }
}

/// The prefix's path is used by name: what is checked is what the link of the app leads to.
#[test]
fn the_links_lead_to_current() {
    let world = World::new();
    world.finish(Act::Install, "undisturbed");
    let link = world.machine.bin_dir().join("app");
    let target = link.read_link_utf8().expect("a link");
    assert_eq!(target, world.machine.prefix().join("current/bin/app"));
    let current = world.machine.prefix().join("current").read_link_utf8().expect("a link");
    assert_eq!(current, Utf8Path::new("versions/1.0.0"));
}
