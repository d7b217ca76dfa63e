//! Versions that are switched to while the service runs, and are not well: the one before comes back by itself.
//!
//! The service is this test's own program, put into the releases: what runs is told by the file that a process was started from, so no script
//! will do. Whoever supervises it is a script called `service`, as the one that many systems have.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::archive::sample::Sample;
use gangway_artifact::trial::probe::free_port;
use gangway_artifact::{Health, MANIFEST_FILE, Manifest, Mode};

use super::support::world::{World, json, run, well};
use super::support::{Releases, said};

/// Where a version's folder says how its service behaves.
const MANNER: &str = "app/manner";

/// Starts and stops the service of the version that is used. One that `refuses` cannot be started.
pub(super) const SUPERVISOR: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit
echo "$2" >>commands
[ ! -e process ] || kill -9 "$(cat process)"
rm -f process
[ "$2" = restart ] || exit 0
version=$(readlink -f home/.local/share/app/current)
! grep -q refuses "$version/app/manner" || { echo "no such unit" >&2; exit 3; }
"$version/runtime/service" --exact health::service --ignored --nocapture </dev/null >/dev/null 2>&1 &
echo $! >process
"#;

/// Not a test: what runs.
#[test]
#[ignore = "it is the service of the other tests"]
fn service() {
    let program = std::env::current_exe().expect("it runs");
    let folder =
        Utf8Path::from_path(program.ancestors().nth(2).expect("it is deep")).expect("UTF-8");
    let manner = fs::read_to_string(folder.join(MANNER)).expect("it is the service's");
    let json = fs::read(folder.join(MANIFEST_FILE)).expect("it is a version");
    let health = Manifest::from_json(&json).expect("it was published").health.expect("it has one");
    let version = folder.file_name().expect("a version");
    // It changes its data, as newer versions do.
    let home = Utf8PathBuf::from(std::env::var("HOME").expect("it is started with one"));
    let starts =
        fs::File::options().create(true).append(true).open(home.join(".app").join(version));
    starts.and_then(|mut starts| starts.write_all(b"started\n")).expect("it is its own");
    let listener = loop {
        match TcpListener::bind(("127.0.0.1", health.port)) {
            Ok(listener) => break listener,
            // The one before is still about to end.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let mut open = Vec::new();
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let mut asked = [0; 512];
        let length = stream.read(&mut asked).unwrap_or(0);
        let asked = String::from_utf8_lossy(&asked[..length]);
        let is_known =
            asked.split(' ').nth(1).is_some_and(|path| path == "/" || path == health.path);
        let status = match manner.as_str() {
            "well" if !is_known => 404,
            "well" => 200,
            "ill" => 503,
            _ => {
                open.push(stream);
                continue;
            }
        };
        let length = version.len();
        let _ = write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n{version}");
    }
}

/// A machine on which the service runs.
pub(super) struct Served {
    pub(super) world: World,
    /// Where it is, and where the next one to be published is.
    port: u16,
    path: &'static str,
}

impl Served {
    /// Version 1.0.0 runs, and is well.
    pub(super) fn new() -> Self {
        let port = free_port().expect("there is one");
        let mut served = Self { world: World::new(&[]), port, path: "/health" };
        served.publish("1.0.0", "well");
        served.supervise(SUPERVISOR);
        let supervisor = served.supervisor();
        fs::create_dir(served.world.machine.data()).expect("writable");
        let command = format!("{supervisor} app restart");
        well(served.world.first(&["--restart-command", &command]));
        assert_eq!(served.commands(), [""; 0], "nothing ran, so nothing is started");
        let mut start = Command::new(&supervisor);
        let start = start.args(["app", "restart"]).env("HOME", &served.world.machine.home);
        well(run(start));
        served.is("1.0.0");
        served.commands();
        served
    }

    pub(super) fn supervisor(&self) -> Utf8PathBuf {
        self.world.root.join("service")
    }

    /// From now on the supervisor is this script. Another process writes it: what other tests start meanwhile would have it open, and then it cannot
    /// be started.
    pub(super) fn supervise(&self, script: &str) {
        let text = self.world.root.join("script");
        fs::write(&text, script).expect("writable");
        let to = self.supervisor();
        well(run(Command::new("install").args(["-m755", text.as_str(), to.as_str()])));
    }

    pub(super) fn publish(&mut self, version: &str, manner: &str) {
        self.publish_with(version, manner, |_| {});
    }

    pub(super) fn publish_with(
        &mut self,
        version: &str,
        manner: &str,
        add: impl FnOnce(&mut Sample),
    ) {
        let mut sample = Releases::sample(version);
        add(&mut sample);
        let program = std::env::current_exe().and_then(fs::read).expect("it runs");
        sample.parts("runtime/service", &program, Mode::Executable, 1 << 20);
        sample.file(MANNER, manner.as_bytes());
        let (entrypoint, path) = ("app".parse().expect("a name"), self.path.to_owned());
        let health = Health { entrypoint, port: self.port, path, timeout_seconds: 1 };
        sample.manifest.health = Some(health);
        self.world.releases.publish_sample(version, sample);
    }

    pub(super) fn then(&self, arguments: &[&str]) -> Output {
        self.world.then(arguments)
    }

    /// The update is killed when it reaches this step.
    #[track_caller]
    fn is_killed_at(&self, step: &str) {
        let mut update = self.world.machine.installed();
        let output = run(update.arg("update").env("GANGWAY_KILL_AT", step));
        assert_eq!(output.status.signal(), Some(9), "{step}: {}", said(&output));
    }

    /// What the supervisor was told since this was asked last.
    pub(super) fn commands(&self) -> Vec<String> {
        let path = self.world.root.join("commands");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        text.lines().map(str::to_owned).collect()
    }

    /// This version is used and whole, and as soon as the service answers it is this version's.
    #[track_caller]
    pub(super) fn is(&self, version: &str) {
        assert_eq!(self.world.current().as_deref(), Some(version));
        loop {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
                assert!(self.world.root.join("process").exists(), "nobody has started it");
                std::thread::sleep(Duration::from_millis(10));
                continue;
            };
            let mut answer = String::new();
            let asked = stream.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n");
            let _ = asked.and_then(|()| stream.read_to_string(&mut answer));
            if !answer.is_empty() {
                assert!(answer.ends_with(version), "{answer}");
                return;
            }
        }
    }

    /// The update goes back by itself, says why and that it went back, and ends with the status for that.
    #[track_caller]
    fn goes_back(&self, arguments: &[&str], reasons: &[&str]) {
        let output = self.then(arguments);
        assert_eq!(output.status.code(), Some(5), "{}", said(&output));
        let text = self.world.text(&output.stderr);
        for reason in reasons {
            assert!(text.contains(reason), "`{reason}` is not in: {text}");
        }
        assert_eq!(self.world.slots(), ["1.0.0"], "nothing is left of the other one");
        let left = ["journal.json", "running", "trial", "downloads"];
        let left = left.map(|name| self.world.machine.prefix().join(name));
        assert!(left.iter().all(|path| !path.exists()), "{left:?}");
        self.is("1.0.0");
    }

    pub(super) fn data(&self) -> Vec<String> {
        super::support::Machine::names(&self.world.machine.data())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Whatever the supervisor is by now.
        if let Ok(process) = fs::read_to_string(self.world.root.join("process")) {
            let _ = Command::new("kill").args(["-9", process.trim()]).status();
        }
    }
}

#[test]
fn one_that_is_ill_goes_back_and_is_not_taken_again() {
    let mut served = Served::new();
    served.publish("2.0.0", "ill");
    let reasons = [
        "version 2.0.0 is not well, and version 1.0.0 is used again",
        "`/health` answers with status 503",
        "`rollback 1.0.0 --restore yes`",
    ];
    served.goes_back(&["update"], &reasons);
    // Stopped for the copy of its data; then the new one, then the old one.
    assert_eq!(served.commands(), ["stop", "restart", "restart"]);
    let status = json(&well(served.then(&["status", "--json"])));
    assert_eq!(status["refused"][0]["version"], "2.0.0");
    let reason = status["refused"][0]["reason"].as_str().expect("words");
    assert!(reason.contains("503"), "{reason}");

    served.goes_back(&["update"], &["version 2.0.0 was not well on this machine", "--force"]);
    assert_eq!(served.commands(), [""; 0], "it was not tried again");
    served.goes_back(&["update", "--force"], &reasons);
    assert_eq!(served.commands(), ["stop", "restart", "restart"], "it was tried again");

    served.publish("3.0.0", "well");
    well(served.then(&["update"]));
    served.is("3.0.0");
    assert_eq!(served.commands(), ["stop", "restart"]);
    assert_eq!(served.world.slots(), ["1.0.0", "3.0.0"]);
}

/// What the version that was not well has done to the data can be undone, and the service has it again.
#[test]
fn its_data_can_be_brought_back() {
    let mut served = Served::new();
    assert_eq!(served.data(), ["1.0.0"]);
    served.publish("2.0.0", "ill");
    served.goes_back(&["update"], &["`rollback 1.0.0 --restore yes`"]);
    assert_eq!(served.data(), ["1.0.0", "2.0.0"]);
    served.commands();
    let report = json(&well(served.then(&["rollback", "1.0.0", "--restore", "yes", "--json"])));
    assert!(report["restored"]["folders"][0]["aside"].is_string(), "{report}");
    served.is("1.0.0");
    assert_eq!(served.commands(), ["stop", "restart"]);
    assert_eq!(served.data(), ["1.0.0"]);
}

/// Each version is asked where it says: a new one that is ill goes back also where it has moved.
#[test]
fn one_that_has_moved_goes_back() {
    let port = free_port().expect("there is one");
    for (new_port, path, told) in [
        (None, "/healthz", "`/healthz` answers with status 503"),
        (Some(port), "/health", "`/health` answers with status 503"),
    ] {
        let mut served = Served::new();
        let old = served.port;
        (served.port, served.path) = (new_port.unwrap_or(old), path);
        served.publish("2.0.0", "ill");
        served.port = old;
        let reasons = ["version 2.0.0 is not well, and version 1.0.0 is used again", told];
        served.goes_back(&["update"], &reasons);
        served.port = new_port.unwrap_or(old);
        served.publish("3.0.0", "well");
        let output = well(served.then(&["update"]));
        let text = served.world.text(&output.stderr);
        assert!(!text.contains("nobody knows"), "{text}");
        served.is("3.0.0");
    }
}

/// Whoever is killed before it is known that the new version is ill, the next command goes back: the one before was well, and cannot be asked any more.
#[test]
fn one_that_is_ill_goes_back_after_a_kill() {
    for step in ["decided", "switched", "restarted"] {
        let mut served = Served::new();
        served.publish("2.0.0", "ill");
        served.is_killed_at(step);
        let reasons = [
            "warning: version 2.0.0 is not well, and version 1.0.0 is used again (the service was",
            "`/health` answers with status 503",
            "`rollback 1.0.0 --restore yes`",
            "version 2.0.0 was not well on this machine",
        ];
        served.goes_back(&["update"], &reasons);
        assert_eq!(served.world.state()["refused"][0]["version"], "2.0.0", "{step}");
    }
}

#[test]
fn one_that_never_answers_goes_back() {
    let mut served = Served::new();
    served.publish("2.0.0", "silent");
    let reasons = ["version 2.0.0 is not well, and version 1.0.0 is used again", "does not answer"];
    served.goes_back(&["update"], &reasons);
}

#[test]
fn one_that_cannot_be_started_goes_back() {
    let mut served = Served::new();
    served.publish("2.0.0", "refuses");
    let reasons = [
        "version 2.0.0 is not well, and version 1.0.0 is used again",
        "TMP/service app restart` ended with exit status: 3",
        "| no such unit",
    ];
    served.goes_back(&["update"], &reasons);
    assert_eq!(served.commands(), ["stop", "restart", "restart"]);
    served.goes_back(&["update"], &["was not well on this machine", "no such unit"]);
}

/// A command that fails whatever the version: the one before is used, and somebody has to start it. When the command is mended the version is taken.
#[test]
fn a_supervisor_that_fails_is_told() {
    let mut served = Served::new();
    served.publish("2.0.0", "well");
    served.supervise("#!/bin/sh\necho out of order >&2\nexit 4\n");
    let output = served.then(&["update", "--snapshot", "no"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = served.world.text(&output.stderr);
    for part in [
        "the restart command is at fault: it fails with version 2.0.0, and with version 1.0.0, which is used again",
        "| out of order",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    served.is("1.0.0");
    assert_eq!(served.world.slots(), ["1.0.0"]);
    served.supervise(SUPERVISOR);
    well(served.then(&["update"]));
    served.is("2.0.0");
}

/// A command that was named for this update, and fails: what the one before says of the version counts.
#[test]
fn a_new_command_that_fails_is_told() {
    let mut served = Served::new();
    served.publish("2.0.0", "well");
    let output = served.then(&["update", "--restart-command", "/bin/false app"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = served.world.text(&output.stderr);
    for part in [
        "took the change back: version 1.0.0 is used",
        "error: `/bin/false app` ended with exit status: 1",
        "help: try the command by hand; another one is given with `--restart-command`",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    served.is("1.0.0");
    assert_eq!(served.commands(), ["restart"]);
    assert_eq!(served.world.slots(), ["1.0.0"]);
    well(served.then(&["update"]));
    served.is("2.0.0");
}

/// The first update with a restart command goes back by that command.
#[test]
fn a_new_command_starts_the_old_version_again() {
    let mut served = Served::new();
    well(served.then(&["update", "--restart-command", ""]));
    served.publish("2.0.0", "ill");
    let command = format!("{} app restart", served.supervisor());
    served.goes_back(&["update", "--restart-command", &command], &["version 2.0.0 is not well"]);
    assert_eq!(served.commands(), ["stop", "restart", "restart"]);
}

/// A version to go back to that is not well any more: the newer one stays.
#[test]
fn a_rollback_goes_back_too() {
    let mut served = Served::new();
    served.publish("2.0.0", "well");
    well(served.then(&["update"]));
    served.is("2.0.0");
    let manner = served.world.machine.prefix().join("versions/1.0.0").join(MANNER);
    // Both versions have this file in common.
    fs::remove_file(&manner).expect("ours");
    fs::write(&manner, "ill").expect("ours");
    let output = served.then(&["rollback"]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let text = served.world.text(&output.stderr);
    assert!(text.contains("version 1.0.0 is not well, and version 2.0.0 is used again"), "{text}");
    served.is("2.0.0");
    assert_eq!(served.world.slots(), ["1.0.0", "2.0.0"]);
}

/// The older version's data comes back with it, and goes again with it: the newer one finds its own as it left it.
#[test]
fn a_rollback_goes_back_with_the_data() {
    let mut served = Served::new();
    served.publish("2.0.0", "well");
    well(served.then(&["update"]));
    served.is("2.0.0");
    let manner = served.world.machine.prefix().join("versions/1.0.0").join(MANNER);
    // Both versions have this file in common.
    fs::remove_file(&manner).expect("ours");
    fs::write(&manner, "ill").expect("ours");
    served.commands();
    let output = served.then(&["rollback", "--restore", "yes"]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    served.is("2.0.0");
    // It had ended before its data was moved.
    assert_eq!(served.commands(), ["stop", "restart", "stop", "restart"]);
    assert_eq!(served.data(), ["1.0.0", "2.0.0"]);
    let starts = |folder: &Utf8Path, version: &str| {
        let text = fs::read_to_string(folder.join(version)).expect("it has started");
        text.lines().count()
    };
    let data = served.world.machine.data();
    assert_eq!((starts(&data, "1.0.0"), starts(&data, "2.0.0")), (1, 2));
    // What the older one has done to its own is kept, and told.
    let names = super::support::Machine::names(&served.world.machine.home);
    let beside: Vec<_> = names.iter().filter(|name| name.starts_with(".app.")).collect();
    assert!(matches!(&beside[..], [one] if one.starts_with(".app.during-rollback-")), "{beside:?}");
    assert_eq!(starts(&served.world.machine.home.join(beside[0]), "1.0.0"), 2);
    let text = served.world.text(&output.stderr);
    assert!(text.contains(&format!("is in `TMP/home/{}`", beside[0])), "{text}");
    assert!(!served.world.machine.prefix().join("snapshots/.restore.json").exists());
}

/// Nothing is started again of an app that is about to be removed.
#[test]
fn what_was_stopped_is_not_started_to_be_removed() {
    for step in ["snapshot", "decided"] {
        let mut served = Served::new();
        served.publish("2.0.0", "well");
        served.is_killed_at(step);
        well(served.then(&["uninstall"]));
        assert_eq!(served.commands(), ["stop"], "{step}");
        assert!(!served.world.machine.prefix().exists(), "{step}");
    }
}

/// The service was stopped by somebody who was killed: the next command starts it again.
#[test]
fn what_was_stopped_is_started_again_by_the_next_command() {
    let mut served = Served::new();
    served.publish("2.0.0", "well");
    for step in ["snapshot", "decided", "switched"] {
        served.is_killed_at(step);
        assert_eq!(served.commands(), ["stop"], "{step}");
        well(served.then(&["update"]));
        served.is("2.0.0");
        assert!(!served.world.machine.prefix().join("running").exists(), "{step}");
        well(served.then(&["rollback"]));
        served.is("1.0.0");
        served.commands();
    }
}
