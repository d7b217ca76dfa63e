//! Signals that come while the installer is at work: it gives up and starts again what it has stopped, or says that it comes to its end first.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gangway_artifact::Mode;
use gangway_artifact::archive::sample::{Sample, noise};
use installer::checkpoint::Step;
use installer::testing::{Answer, Ending, Server};

use super::health::{SUPERVISOR, Served};
use super::support::world::{World, json, run, well};
use super::support::{LAUNCH, Machine, RUNTIME, heed_signals, said};

/// The line of the supervisor up to which both of its commands come.
const BOTH: &str = "[ \"$2\" = restart ] || exit 0\n";

impl Served {
    /// When it is told to stop or to restart, the supervisor does this first.
    fn supervise_with(&self, word: &str, script: &str) {
        let text = format!("if [ \"$2\" = {word} ]; then\n{script}\nfi\n{BOTH}");
        assert!(SUPERVISOR.contains(BOTH));
        self.supervise(&SUPERVISOR.replace(BOTH, &text));
    }

    /// It was given up, and everything is as it was.
    #[track_caller]
    fn is_as_before(&self, output: &Output, status: i32, version: &str) {
        assert_eq!(output.status.code(), Some(status), "{}", said(output));
        let text = self.world.text(&output.stderr);
        assert!(text.contains("error: interrupted, and nothing was changed"), "{text}");
        self.has_nothing_left();
        self.is(version);
    }

    #[track_caller]
    fn has_nothing_left(&self) {
        let left = ["journal.json", "running", "trial", "snapshots/.restore.json"];
        let left = left.map(|name| self.world.machine.prefix().join(name));
        assert!(left.iter().all(|path| !path.exists()), "{left:?}");
        assert_eq!(self.world.state().get("refused"), None, "nothing is said of the new version");
    }
}

/// The service is stopped for the copy of its data, and a signal comes: it is started again.
#[test]
fn what_was_stopped_is_started_again() {
    let mut served = Served::new();
    served.publish("2.0.0", "well");
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        served.supervise_with("stop", &format!("kill -{signal} $PPID"));
        let output = served.then(&["update"]);
        served.is_as_before(&output, status, "1.0.0");
        assert_eq!(served.commands(), ["stop", "restart"], "{signal}");
        assert_eq!(served.world.slots(), ["1.0.0"], "{signal}");
    }
    served.supervise(SUPERVISOR);
    well(served.then(&["update"]));
    served.is("2.0.0");
}

/// Ctrl-C ends the command that stops the service as well: nobody knows what became of it, so it is started.
#[test]
fn who_is_stopped_meanwhile_is_started_again() {
    let mut served = Served::new();
    served.publish("2.0.0", "well");
    served.supervise_with("stop", "kill -INT $PPID\nkill -INT $$");
    let output = served.then(&["update"]);
    served.is_as_before(&output, 130, "1.0.0");
    assert_eq!(served.commands(), ["stop", "restart"]);
}

/// One that is told twice ends at once, as if it were killed: the next command goes on.
#[test]
fn a_second_signal_ends_it() {
    let mut served = Served::new();
    served.publish("2.0.0", "well");
    // Two that are the same might come as one.
    served.supervise_with("stop", "kill -INT $PPID\nkill -TERM $PPID");
    let output = served.then(&["update"]);
    assert!(matches!(output.status.signal(), Some(2 | 15)), "{}", said(&output));
    assert!(served.world.machine.prefix().join("running").exists());
    assert_eq!(served.commands(), ["stop"]);
    served.supervise(SUPERVISOR);
    well(served.then(&["update"]));
    served.is("2.0.0");
}

/// The shell sends SIGHUP, and so does the kernel.
#[test]
fn a_terminal_that_closes_says_so_twice() {
    let mut served = Served::new();
    served.publish("2.0.0", "well");
    served.supervise_with("stop", "kill -HUP $PPID; sleep 0.2; kill -HUP $PPID; sleep 0.2");
    let output = served.then(&["update"]);
    assert_eq!(output.status.code(), Some(129), "{}", said(&output));
    assert_eq!(served.commands(), ["stop", "restart"]);
    served.has_nothing_left();
    served.is("1.0.0");
}

/// The data that was brought back cannot return, as what says so is damaged: what was stopped is started again all the same.
#[test]
fn what_was_stopped_is_started_again_whatever_the_data() {
    let mut served = Served::new();
    served.publish("2.0.0", "well");
    well(served.then(&["update"]));
    served.is("2.0.0");
    served.commands();
    // It says that it has stopped the service, so it is told so twice.
    let record = "home/.local/share/app/snapshots/.restore.json";
    let script = format!("[ ! -e {record} ] || echo {{ >{record}\nexit\n");
    let told = "echo \"$2\" >>commands\n";
    let stop = format!("{told}if [ \"$2\" = stop ]; then\n{script}fi\n");
    served.supervise(&SUPERVISOR.replace(told, &stop));
    let mut rollback = served.world.machine.installed();
    rollback.args(["rollback", "--restore", "yes"]).env("GANGWAY_INTERRUPT_AT", "snapshot:2");
    let output = run(&mut rollback);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = served.world.text(&output.stderr);
    assert!(text.contains(".restore.json` is damaged"), "{text}");
    assert_eq!(served.commands(), ["stop", "stop", "restart"]);
    served.is("2.0.0");
    well(served.then(&["repair"]));
    served.is("2.0.0");
}

/// `nohup` has SIGHUP ignored, and so does the installer.
#[test]
fn who_wants_a_signal_ignored_has_it_ignored() {
    let mut served = Served::new();
    served.publish("2.0.0", "well");
    served.supervise_with("stop", "kill -HUP $PPID");
    let installed = served.world.machine.installed();
    let mut command = Command::new("/bin/sh");
    heed_signals(&mut command);
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(installed.get_program());
    command.arg("update").env_clear().env("HOME", &served.world.machine.home);
    well(run(command.env("PATH", "/usr/bin:/bin")));
    served.is("2.0.0");
}

/// Ctrl-C ends the command that starts the new version, too: it is no fault of that version.
#[test]
fn what_was_decided_comes_to_its_end() {
    let mut served = Served::new();
    served.publish("2.0.0", "well");
    let script = "[ -e once ] || { touch once; kill -INT $PPID; kill -INT $$; }";
    served.supervise_with("restart", script);
    let output = well(served.then(&["update"]));
    let text = served.world.text(&output.stderr);
    assert!(text.contains("what was decided is brought to its end first"), "{text}");
    assert_eq!(served.commands(), ["stop", "restart", "restart"]);
    served.has_nothing_left();
    served.is("2.0.0");
}

/// Whatever an update or a rollback is doing: it is given up up to the decision, and comes to its end from there on.
#[test]
fn at_every_checkpoint() {
    let mut served = Served::new();
    served.publish("2.0.0", "well");
    // What was fetched for a version goes when nothing can come in between any more.
    let place = |wanted| Step::ALL.iter().position(|step| *step == wanted).expect("one of all");
    let is_made = |step| place(step) < place(Step::Discarded);
    let counts = [
        at_every(&served, ("update", "rollback"), ("1.0.0", "2.0.0"), is_made),
        at_every(&served, ("rollback", "update"), ("2.0.0", "1.0.0"), |step| {
            step == Step::Snapshot
        }),
    ];
    assert!(counts.iter().all(|[given_up, ended]| *given_up > 3 && *ended > 7), "{counts:?}");
}

/// Interrupts a command at every checkpoint, and then has the other one undo what it did. Counts how often it was given up, and came to its end.
fn at_every(
    served: &Served,
    (act, back): (&str, &str),
    (from, to): (&str, &str),
    is_given_up: impl Fn(Step) -> bool,
) -> [usize; 2] {
    let words: &[&str] = if act == "rollback" { &[act, "--restore", "yes"] } else { &[act] };
    let mut counts = [0, 0];
    // Where the lock is taken nothing can have been begun.
    for step in Step::ALL.iter().filter(|step| **step != Step::Locked) {
        for time in 1..=if *step == Step::Snapshot { 7 } else { 2 } {
            let data = served.data();
            let at = format!("{step}:{time}");
            let mut command = served.world.machine.installed();
            let output = run(command.args(words).env("GANGWAY_INTERRUPT_AT", &at));
            let at = format!("{act} at {at}: {}", said(&output));
            served.has_nothing_left();
            if output.status.code() == Some(130) {
                assert!(is_given_up(*step), "{at}");
                served.is(from);
                assert_eq!(served.data(), data, "{at}");
                counts[0] += 1;
                continue;
            }
            assert_eq!(output.status.code(), Some(0), "{at}");
            served.is(to);
            let text = served.world.text(&output.stderr);
            counts[1] += usize::from(text.contains("is brought to its end first"));
            well(served.then(&[back]));
            served.is(from);
        }
    }
    well(served.then(words));
    served.is(to);
    counts
}

/// What ends a trial may be the same Ctrl-C: it says nothing of the version.
#[test]
fn a_trial_that_is_interrupted() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let runtime = "#!/bin/sh\nkill -INT $PPID\nkill -INT $$\n";
    world.releases.publish_sample("2.0.0", sample("2.0.0", runtime, &[]));
    let output = world.then(&["update"]);
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(!world.text(&output.stderr).contains("does not run"), "{}", said(&output));
    assert_eq!((world.slots(), world.current()), (vec!["1.0.0".to_owned()], Some("1.0.0".into())));
    assert_eq!(world.state().get("refused"), None);
    world.releases.publish_sample("2.0.0", sample("2.0.0", RUNTIME, &[]));
    well(world.then(&["update"]));
}

/// A version with another runtime and so many bytes that are nowhere else.
fn sample(version: &str, runtime: &str, bytes: &[u8]) -> Sample {
    let mut sample = Sample::default();
    let launcher = fs::read(env!("CARGO_BIN_EXE_launcher")).expect("cargo built it");
    sample.file("app/main.js", b"// it has not changed for years");
    sample.file("app/version", format!("{version}\n").as_bytes());
    sample.cut();
    sample.parts("bin/app", &launcher, Mode::Executable, 1 << 20);
    sample.file("launch.json", LAUNCH.as_bytes());
    sample.parts("runtime/library", bytes, Mode::Plain, 1 << 18);
    sample.parts("runtime/run", runtime.as_bytes(), Mode::Executable, 1 << 20);
    sample
}

/// A download that comes to a standstill, and is interrupted: what has come is kept.
#[test]
fn a_download_goes_on_where_it_was() {
    let mut world = World::new(&[]);
    world.releases.publish_sample("1.0.0", sample("1.0.0", RUNTIME, &noise(6 << 20)));
    let is_stalled = Arc::new(AtomicBool::new(true));
    let (folder, stalls) = (world.releases.folder.clone(), Arc::clone(&is_stalled));
    let server = Server::start(move |seen| {
        let Ok(bytes) = fs::read(folder.join(seen.name())) else { return Answer::status(404) };
        let answer = Answer::file(seen, &bytes.clone().into());
        // Of the two large pieces of the archive the second one never comes.
        let is_second = seen.range(bytes.len()).is_some_and(|(start, end)| {
            (4 << 20..5 << 20).contains(&start) && end - start > 1 << 20
        });
        match is_second && stalls.load(Ordering::SeqCst) {
            true => answer.cut(0, Ending::Silent),
            false => answer,
        }
    });
    let begin = || {
        let mut command = world.machine.fetched();
        command.args(["install", "--from", &server.url(), "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let child = begin();
    let scratch = world.machine.prefix().join("downloads/app-1.0.0-linux-x64.tar.zst");
    while scratch.metadata().map_or(0, |found| found.blocks() * 512) < 4 << 20 {
        std::thread::sleep(Duration::from_millis(10));
    }
    well(run(Command::new("kill").args(["-INT", &child.id().to_string()])));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert_eq!(json(&output)["error"]["code"], "installer::interrupted");
    assert_eq!(Machine::names(&world.machine.prefix()), ["downloads", "lock"]);
    is_stalled.store(false, Ordering::SeqCst);
    let output = well(begin().wait_with_output().expect("it ends"));
    let report = json(&output);
    let number = |name: &str| report[name].as_u64().or(report["fetched"][name].as_u64());
    let (all, came) = (number("archive_bytes").expect("one"), number("bytes").expect("one"));
    assert!(came + (3 << 20) < all, "{came} of {all} came again");
}

/// At a terminal Ctrl-C is an answer, too.
#[test]
fn at_a_question() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    world.releases.publish("2.0.0");
    fs::create_dir(world.machine.data()).expect("writable");
    fs::write(world.machine.data().join("notes"), "mine").expect("writable");
    for (typed, status, version) in [("\u{3}", 130, "1.0.0"), ("y\n", 0, "2.0.0")] {
        let installed = world.machine.installed();
        let update = format!("{} update", installed.get_program().to_str().expect("UTF-8"));
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &update, "/dev/null"]);
        command.env_clear().env("HOME", &world.machine.home).env("PATH", "/usr/bin:/bin");
        heed_signals(&mut command);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut screen = child.stdout.take().expect("it is piped");
        let (mut said, mut byte) = (Vec::new(), [0]);
        while !said.ends_with(b"[y/n]") && screen.read(&mut byte).expect("readable") > 0 {
            said.push(byte[0]);
        }
        let keyboard = child.stdin.as_mut().expect("it is piped");
        keyboard.write_all(typed.as_bytes()).expect("it is read");
        screen.read_to_end(&mut said).expect("readable");
        let ended = child.wait().expect("it ends");
        let said = world.text(&said);
        assert_eq!(ended.code(), Some(status), "{said}");
        assert!(said.contains("keep a copy of `TMP/home/.app`"), "{said}");
        assert_eq!(world.current().as_deref(), Some(version), "{said}");
    }
    assert_eq!(Machine::names(&world.machine.prefix().join("snapshots")), ["1.0.0"]);
}
