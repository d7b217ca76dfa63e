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
        old.publish_sample("1.0.0", Self::sample("1.0.0"));
        let mut new = Releases::new(root.join("new"));
        new.publish_sample("1.0.0", Self::sample("1.0.0"));
        new.publish_sample("2.0.0", Self::sample("2.0.0"));
        let machine = Machine::new(root.join("home"));
        Self { _folder: folder, old, new, machine }
    }

    /// A version with a program that goes on running.
    fn sample(version: &str) -> Sample {
        let mut sample = Releases::sample(version);
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
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let unfinished = ["journal.json", "snapshots/.restore.json"];
        let is_unfinished = unfinished.iter().any(|name| self.machine.prefix().join(name).exists());
        assert_eq!(told["unfinished"].is_string(), is_unfinished, "{act:?}, {what}: {told}");
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

    /// Another command goes on with data that was being brought back: it is that of the version that is used, whichever that is.
    fn go_on(&self, what: &str) {
        let output = self.machine.installed().arg("repair").output().expect("it starts");
        assert!(output.status.success(), "{what}: {}", said(&output));
        let (data, app) = (Self::written_by(&self.machine.data()), self.machine.app());
        assert_eq!(data, app, "{what}: {}", said(&output));
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
        let mut expected =
            vec!["current", "installer", "lock", "state.copy.json", "state.json", "versions"];
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

/// A program in each version that goes on running.
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

/// A version runs, and the one that is to take its place is not well.
struct Unwell {
    world: World,
    running: Child,
    act: Act,
}

impl Drop for Unwell {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

impl Unwell {
    fn new(act: Act) -> Self {
        let world = World::new();
        world.prepare(Act::Install);
        let prefix = world.machine.prefix();
        let well = act.allowed().map(|version| version.expect("there is one always"))
            [usize::from(act == Act::Rollback)];
        let restart = format!("/bin/sh -c 'grep -qF {well} {prefix}/current/manifest.json'");
        let acts = if act == Act::Rollback { &Act::ALL[..2] } else { &Act::ALL[..1] };
        for act in acts {
            let mut command = act.command(&world);
            let output = command.args(["--restart-command", &restart]).output().expect("it starts");
            assert!(output.status.success(), "{}", said(&output));
        }
        world.prepare(act);
        let sleeper = prefix.join("versions").join(well).join(SLEEPER);
        let running = Command::new(sleeper).arg("100000").spawn().expect("it starts");
        Self { world, running, act }
    }

    /// Tries the other version; an update to it was refused the last time.
    fn command(&self) -> Command {
        let mut command = self.act.command(&self.world);
        command.args((self.act == Act::Update).then_some("--force"));
        command
    }

    /// The command that comes after: what was done to the data is not done once more.
    fn next(&self) -> Command {
        if self.act == Act::Update {
            return self.command();
        }
        let mut repair = self.world.machine.installed();
        repair.arg("repair");
        repair
    }

    /// Whatever becomes of it: one version is used, and its data is somewhere.
    fn check_killed(&self, what: &str) {
        self.world.check_killed(self.act, what);
    }

    /// The next command, which may find the other version unwell again, leaves everything as it was.
    fn finish(&self, what: &str) {
        let machine = &self.world.machine;
        let output = self.next().output().expect("it starts");
        let (status, version, all): (_, _, &[&str]) = match self.act {
            Act::Update => (5, "1.0.0", &["1.0.0"]),
            _ => (0, "2.0.0", &["1.0.0", "2.0.0"]),
        };
        assert_eq!(output.status.code(), Some(status), "{what}: {}", said(&output));
        let found = machine.check_used(&self.world.new);
        assert_eq!(found.as_deref(), Some(version), "{what}: {}", said(&output));
        assert_eq!(World::written_by(&machine.data()).as_deref(), Some(version), "{what}");
        assert_eq!(self.world.copies(), [machine.data()], "{what}: nothing is beside it");
        assert_eq!(Machine::names(&machine.prefix().join("versions")), all, "{what}");
        assert_eq!(Machine::names(&machine.bin_dir()), ["app", "app-installer"], "{what}");
        assert!(!machine.prefix().join("journal.json").exists(), "{what}");
        let state = fs::read_to_string(machine.prefix().join("state.json")).expect("it is there");
        let state: serde_json::Value = serde_json::from_str(&state).expect("it is JSON");
        assert_eq!(state["installed"].as_array().map(Vec::len), Some(all.len()), "{what}");
        if self.act == Act::Update {
            assert_eq!(state["refused"][0]["version"], "2.0.0", "{what}");
        }
    }

    /// Whether the command is killed there.
    fn is_killed(&self, command: &mut Command, at: &str, what: &str) -> bool {
        let output = command.env("GANGWAY_KILL_AT", at).output().expect("it starts");
        if was_killed(output.status) {
            self.check_killed(what);
            return true;
        }
        assert!(matches!(output.status.code(), Some(0 | 5)), "{what}: {}", said(&output));
        false
    }
}

/// Killed at each step of going back, and then at each step of the command that goes on with it.
fn on_the_way_back(act: Act) {
    let unwell = Unwell::new(act);
    let mut reached = BTreeSet::new();
    for step in Step::ALL {
        for time in 1.. {
            let what = format!("{step}:{time}");
            if !unwell.is_killed(&mut unwell.command(), &what, &what) {
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
    for first in back {
        for second in Step::ALL {
            for time in 1.. {
                let what = format!("{first}, then {second}:{time}");
                let is_killed = unwell.is_killed(&mut unwell.command(), first.as_str(), &what);
                assert!(is_killed, "{what}");
                let at = format!("{second}:{time}");
                let is_killed = unwell.is_killed(&mut unwell.next(), &at, &what);
                unwell.finish(&what);
                // The data is moved in several steps.
                if !is_killed || *second != Step::Snapshot {
                    break;
                }
            }
        }
    }
}

#[test]
fn on_the_way_back_from_an_update() {
    on_the_way_back(Act::Update);
}

/// The newer version's data, which had given way to the older one's, is in place again.
#[test]
fn on_the_way_back_from_a_rollback() {
    on_the_way_back(Act::Rollback);
}

#[test]
fn on_the_way_back_at_any_instant() {
    for act in [Act::Update, Act::Rollback] {
        let unwell = Unwell::new(act);
        let started = Instant::now();
        let output = unwell.command().output().expect("it starts");
        assert_eq!(output.status.code(), Some(5), "{}", said(&output));
        let time = started.elapsed();
        unwell.finish("undisturbed");
        let mut instants = Instants(0x2545_f491_4f6c_dd1d);
        let mut kills = 0;
        for round in 0..ROUNDS {
            let after = instants.next(time);
            let what = format!("{act:?}, round {round}, after {after:?}");
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
