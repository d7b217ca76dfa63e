//! SIGKILL at every checkpoint and at any moment, then the next command.
//!
//! Whenever it comes, the app's link leads to one whole version, the old or the new one, or it is not there where it was not before or
//! is not to be afterwards; and the same command given again finishes the job. The app's own data is whole at every instant, and none of it is ever lost:
//! what a version left in place of another's is beside it.

#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Mode;
use gangway_artifact::archive::sample::Sample;
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

    /// What the app left as its data before this is done: the version that wrote it.
    fn data_before(self) -> Option<&'static str> {
        match self {
            Self::Install => Some("1.0.0"),
            Self::Rollback => Some("2.0.0"),
            Self::Update | Self::RollbackAgain | Self::Uninstall => None,
        }
    }

    /// Whose data may be in place when it was killed; the last one is when it is done.
    fn data(self) -> &'static [&'static str] {
        match self {
            Self::Rollback => &["2.0.0", "1.0.0"],
            _ => &["1.0.0"],
        }
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
        old.publish_sample("1.0.0", Self::sample());
        let mut new = Releases::new(root.join("new"));
        new.publish_sample("1.0.0", Self::sample());
        new.publish("2.0.0");
        let machine = Machine::new(root.join("home"));
        Self { _folder: folder, old, new, machine }
    }

    /// The first version, with a program that goes on running.
    fn sample() -> Sample {
        let mut sample = Releases::sample("1.0.0");
        let sleep = fs::read("/bin/sleep").expect("every machine has it");
        sample.parts(SLEEPER, &sleep, Mode::Executable, 1 << 20);
        sample
    }

    /// The app writes its data, if it does before this.
    fn prepare(&self, act: Act) {
        if let Some(version) = act.data_before() {
            if act == Act::Install {
                self.copies().iter().for_each(|folder| fs::remove_dir_all(folder).expect("ours"));
            }
            self.write_data(version);
        }
    }

    /// The app writes its data.
    fn write_data(&self, version: &str) {
        let data = self.machine.data();
        fs::create_dir_all(data.join("notes")).expect("writable");
        for index in 0..FILES {
            let text = format!("{version} {index}");
            fs::write(data.join(format!("notes/{index}")), text).expect("writable");
        }
    }

    /// Whose data is in a folder; nothing where not all of it is of one version.
    fn written_by(folder: &Utf8Path) -> Option<String> {
        let read = |index: u32| fs::read_to_string(folder.join(format!("notes/{index}"))).ok();
        let first = read(0)?;
        let version = first.strip_suffix(" 0")?.to_owned();
        let is_whole = (0..FILES).all(|index| read(index) == Some(format!("{version} {index}")));
        is_whole.then_some(version)
    }

    /// The data in place, and what was moved aside for it.
    fn copies(&self) -> Vec<Utf8PathBuf> {
        let names = Machine::names(&self.machine.home);
        let ours = names.into_iter().filter(|name| name.starts_with(".app"));
        ours.map(|name| self.machine.home.join(name)).collect()
    }

    /// The data in place is whole, and that of both versions is somewhere.
    fn check_data(&self, allowed: &[&str], all: &[&str], what: &str) {
        let there = Self::written_by(&self.machine.data());
        let is_allowed = there.as_deref().is_some_and(|there| allowed.contains(&there));
        assert!(is_allowed, "{what}: the data is of {there:?}");
        let found: Vec<_> =
            self.copies().iter().filter_map(|folder| Self::written_by(folder)).collect();
        for version in all {
            assert!(found.iter().any(|of| of == version), "{what}: of {version} none is left");
        }
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
        self.check_data(act.data(), act.data_before().as_slice(), &format!("{act:?}, {what}"));
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
        if act == Act::Rollback {
            self.go_on(what);
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

    /// Another command goes on with data that was being brought back: what is in place already stays there.
    fn go_on(&self, what: &str) {
        let before = Self::written_by(&self.machine.data());
        let output = self.machine.installed().arg("repair").output().expect("it starts");
        assert!(output.status.success(), "{what}: {}", said(&output));
        let after = Self::written_by(&self.machine.data());
        let is_back = after.as_deref() == Some("1.0.0");
        assert!(is_back || after == before, "{what}: {before:?}, then {after:?}");
        self.check_data(Act::Rollback.data(), &["2.0.0"], what);
    }

    /// Nothing is left that should not be.
    fn check_tidy(&self, act: Act, what: &str) {
        let machine = &self.machine;
        let data = &act.data()[act.data().len() - 1..];
        self.check_data(data, act.data_before().as_slice(), &format!("{act:?}, {what}"));
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

/// A program in the first version that goes on running.
const SLEEPER: &str = "runtime/sleep";

/// How many files the app's data has.
const FILES: u32 = 40;

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
                world.prepare(act);
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
            let left = Machine::names(&world.machine.home);
            assert!(left.iter().all(|name| name.starts_with(".app")), "{what}: {left:?}");
            if !killed {
                break;
            }
        }
    }
    // These are for versions that are not well: the next test.
    let back = [Step::Turned, Step::SwitchedBack, Step::Undone].map(Step::as_str);
    let missed: Vec<_> = (Step::ALL.iter().map(|step| step.as_str()))
        .filter(|step| !reached.contains(step) && !back.contains(step))
        .collect();
    assert!(missed.is_empty(), "nothing was killed at {missed:?}");
}

/// The first version is installed and runs, and the second is not well.
struct Unwell {
    world: World,
    running: Child,
}

impl Drop for Unwell {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

impl Unwell {
    fn new() -> Self {
        let world = World::new();
        world.prepare(Act::Install);
        let prefix = world.machine.prefix();
        let restart = format!("/bin/sh -c 'grep -qF 1.0.0 {prefix}/current/manifest.json'");
        let mut install = Act::Install.command(&world);
        let output = install.args(["--restart-command", &restart]).output().expect("it starts");
        assert!(output.status.success(), "{}", said(&output));
        let sleeper = prefix.join("versions/1.0.0").join(SLEEPER);
        let running = Command::new(sleeper).arg("100000").spawn().expect("it starts");
        Self { world, running }
    }

    /// Tries the second version, which was refused the last time.
    fn command(&self) -> Command {
        let mut command = Act::Update.command(&self.world);
        command.arg("--force");
        command
    }

    /// Whatever becomes of it: one version is used, and the data is the first one's.
    fn check_killed(&self, what: &str) {
        self.world.check_killed(Act::Update, what);
    }

    /// The next command, which finds the second version unwell again, leaves everything as it was.
    fn finish(&self, what: &str) {
        let machine = &self.world.machine;
        let output = self.command().output().expect("it starts");
        assert_eq!(output.status.code(), Some(5), "{what}: {}", said(&output));
        let found = machine.check_used(&self.world.new);
        assert_eq!(found.as_deref(), Some("1.0.0"), "{what}: {}", said(&output));
        self.world.check_data(&["1.0.0"], &[], what);
        assert_eq!(Machine::names(&machine.prefix().join("versions")), ["1.0.0"], "{what}");
        assert_eq!(Machine::names(&machine.bin_dir()), ["app", "app-installer"], "{what}");
        assert!(!machine.prefix().join("journal.json").exists(), "{what}");
        let state = fs::read_to_string(machine.prefix().join("state.json")).expect("it is there");
        let state: serde_json::Value = serde_json::from_str(&state).expect("it is JSON");
        assert_eq!(state["refused"][0]["version"], "2.0.0", "{what}");
        assert_eq!(state["installed"].as_array().map(Vec::len), Some(1), "{what}");
    }
}

#[test]
fn on_the_way_back() {
    let unwell = Unwell::new();
    let killed = |at: &str, what: &str| {
        let output = unwell.command().env("GANGWAY_KILL_AT", at).output().expect("it starts");
        if was_killed(output.status) {
            unwell.check_killed(what);
            return true;
        }
        assert_eq!(output.status.code(), Some(5), "{what}: {}", said(&output));
        false
    };
    let mut reached = BTreeSet::new();
    for step in Step::ALL {
        for time in 1.. {
            let what = format!("{step}:{time}");
            if !killed(&what, &what) {
                break;
            }
            reached.insert(step.as_str());
            unwell.finish(&what);
        }
    }
    let back = [Step::Turned, Step::SwitchedBack, Step::Undone];
    for step in back {
        assert!(reached.contains(step.as_str()), "nothing was killed at {step}");
    }
    // And who goes on with it is killed as well.
    for first in back {
        for second in Step::ALL {
            let what = format!("{first}, then {second}");
            assert!(killed(first.as_str(), &what), "{what}");
            if killed(second.as_str(), &what) {
                unwell.finish(&what);
            }
        }
    }
}

#[test]
fn on_the_way_back_at_any_instant() {
    let unwell = Unwell::new();
    let started = Instant::now();
    unwell.finish("undisturbed");
    let time = started.elapsed();
    let mut instants = Instants(0x2545_f491_4f6c_dd1d);
    let mut kills = 0;
    for round in 0..ROUNDS {
        let after = instants.next(time);
        let what = format!("round {round}, after {after:?}");
        let mut command = unwell.command();
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(after);
        child.kill().expect("our child");
        kills += u32::from(was_killed(child.wait().expect("our child")));
        unwell.check_killed(&what);
        unwell.finish(&what);
    }
    assert!(kills > ROUNDS / 5, "most of {ROUNDS} were too late: {kills}");
}

/// How often each act is killed at an instant that nobody chose.
const ROUNDS: u32 = 100;

#[test]
fn at_any_instant() {
    let world = World::new();
    // How long each takes when it is left alone.
    let times = Act::ALL.map(|act| {
        world.prepare(act);
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
            world.prepare(act);
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
    world.prepare(Act::Install);
    world.finish(Act::Install, "undisturbed");
    let link = world.machine.bin_dir().join("app");
    let target = link.read_link_utf8().expect("a link");
    assert_eq!(target, world.machine.prefix().join("current/bin/app"));
    let current = world.machine.prefix().join("current").read_link_utf8().expect("a link");
    assert_eq!(current, Utf8Path::new("versions/1.0.0"));
}
