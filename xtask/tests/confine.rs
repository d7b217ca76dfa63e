//! The fence around programs, tried from inside: the real builder, the real kernel.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::OFlags;
use rustix::io::Errno;
use xtask::confine::{self, Access, ConfineError, Fence, SYSTEM_PATH};
use xtask::context::Context;
use xtask::process::{Command, Ending, Output, ProcessError};
use xtask::report::Reporter;

/// A folder `given` with a file `mine`, and beside it a folder `other` that no fence shows unless a test says so.
struct Place {
    folder: tempfile::TempDir,
    context: Context,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let root = Utf8Path::from_path(folder.path()).expect("it is UTF-8").to_owned();
        for name in ["scratch", "given", "other"] {
            fs_err::create_dir(root.join(name)).expect("the folder is ours");
        }
        fs_err::write(root.join("given/mine"), "old").expect("the folder is ours");
        fs_err::write(root.join("other/theirs"), "old").expect("the folder is ours");
        let mut context =
            Context::new(BTreeMap::new(), root.clone(), root.join("cache"), Reporter::silent());
        context.executable = Utf8PathBuf::from(env!("CARGO_BIN_EXE_gangway"));
        Self { folder, context }
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).expect("it is UTF-8").join(name)
    }

    fn fence(&self) -> Fence {
        Fence::new(self.path("scratch")).show(self.path("given"), "/given", Access::Write)
    }

    fn run(&self, fence: &Fence, script: &str) -> Result<Output, ConfineError> {
        let command = Command::new("try the fence", "/bin/sh")
            .args(["-c", script])
            .env("PATH", SYSTEM_PATH)
            .current_dir("/given");
        fence.run(&self.context, &command)
    }

    fn succeeds(&self, fence: &Fence, script: &str) -> String {
        match self.run(fence, script) {
            Ok(output) => output.tail,
            Err(error) => panic!("{error}\n{:?}", std::error::Error::source(&error)),
        }
    }

    fn fails(&self, fence: &Fence, script: &str) -> (Ending, String) {
        match self.run(fence, script) {
            Err(ConfineError::Process(ProcessError::Failed { ending, output, .. })) => {
                (ending, output)
            }
            other => panic!("{script}: {other:?}"),
        }
    }
}

#[test]
fn can_be_had_here() {
    let place = Place::new();
    confine::probe(&place.context, &place.path("scratch")).expect("this system has namespaces");
}

#[test]
fn what_was_given_can_be_written_and_belongs_to_the_caller() {
    let place = Place::new();
    let said = place.succeeds(
        &place.fence(),
        "umask; pwd; cat mine; echo new > mine; mkdir -p a/b; echo x > a/b/c; chmod 700 a; mv a d; echo to-null > /dev/null; \
         echo to-stderr > /dev/stderr",
    );
    assert_eq!(said, "0022\n/given\noldto-stderr\n");
    assert_eq!(fs_err::read_to_string(place.path("given/mine")).expect("it is there"), "new\n");
    let made = fs_err::metadata(place.path("given/d/b/c")).expect("it was made");
    assert_eq!(made.uid(), fs_err::metadata(place.path("given")).expect("it is there").uid());
}

#[test]
fn nothing_else_can_be_seen() {
    let place = Place::new();
    let script = format!(
        "ls -A / /etc /dev /gangway 2>&1; ls {} 2>&1; hostname; whoami; echo $$; env",
        place.path("other")
    );
    let said = place.succeeds(&place.fence(), &format!("{script}; true"));
    for hidden in
        ["home", "root", "shadow", "machine-id", "resolv.conf", "theirs", "sys\n", "run\n"]
    {
        assert!(!said.contains(hidden), "{hidden} is visible:\n{said}");
    }
    assert!(said.contains("\nbuilder\n"), "{said}");
    assert!(!said.contains("CARGO"), "the environment of the test came through:\n{said}");
}

#[test]
fn what_is_shown_cannot_be_altered() {
    let place = Place::new();
    let theirs = place.path("other/theirs");
    let fence = place.fence().show(place.path("other"), "/other", Access::Read);
    place.succeeds(&fence, "test \"$(cat /other/theirs)\" = old");
    let before = fs_err::metadata(&theirs).expect("it is there");
    for script in [
        "echo new > /other/theirs",
        "echo more >> /other/theirs",
        "chmod 777 /other/theirs",
        "chmod 777 /other",
        "touch -d 2001-01-01 /other/theirs",
        "rm -f /other/theirs",
        "mv /other/theirs /other/else",
        "mv /other/theirs /given/",
        "ln /other/theirs /given/link",
        "ln -s x /other/link",
        "mkdir /other/folder",
        "mount -o remount,bind,rw /other",
        "umount /other",
        "echo x > /usr/bin/gangway-was-here",
        "echo x > /etc/gangway-was-here",
        "echo x > /gangway-was-here",
        "echo x > /proc/sys/kernel/domainname",
        "chmod 777 /dev/null",
        "mknod /given/device b 1 1",
    ] {
        place.fails(&fence, script);
    }
    let after = fs_err::metadata(&theirs).expect("it is still there");
    assert_eq!(fs_err::read_to_string(&theirs).expect("it is there"), "old");
    assert_eq!(after.permissions().mode(), before.permissions().mode());
    assert_eq!((after.mtime(), after.ctime()), (before.mtime(), before.ctime()));
    assert_eq!(after.nlink(), 1);
    assert_eq!(fs_err::read_dir(place.path("other")).expect("it is there").count(), 1);
}

#[test]
fn a_namespace_of_its_own_gives_no_way_out() {
    let place = Place::new();
    let fence = place.fence().show(place.path("other"), "/other", Access::Read);
    let script = "unshare --user --map-root-user --mount sh -c \
                  'mount -o remount,bind,rw /other; umount /other; echo new > /other/theirs'";
    place.succeeds(&fence, "unshare --user --map-root-user --mount true || command -v unshare");
    place.fails(&fence, script);
    let theirs = fs_err::read_to_string(place.path("other/theirs")).expect("it is there");
    assert_eq!(theirs, "old");
}

#[test]
fn no_right_is_left() {
    let place = Place::new();
    let said =
        place.succeeds(&place.fence(), "grep -E '^(Cap|NoNewPrivs|NSpid)' /proc/self/status");
    for line in said.lines().filter(|line| line.starts_with("Cap")) {
        assert!(line.ends_with("0000000000000000"), "{said}");
    }
    assert!(said.contains("NoNewPrivs:\t1"), "{said}");
}

/// The command that runs one of the ignored tests below inside the fence.
fn inside(test: &str) -> Command {
    Command::new("try the fence", "/test").args(["--ignored", "--exact", "--nocapture", test])
}

fn this_test() -> Utf8PathBuf {
    let path = std::env::current_exe().expect("the system knows");
    Utf8PathBuf::from_path_buf(path).expect("it is UTF-8")
}

#[test]
fn there_is_no_network() {
    let place = Place::new();
    let stream = TcpListener::bind("127.0.0.1:0").expect("the loopback interface is there");
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("the loopback interface is there");
    let stream = stream.local_addr().expect("it is bound").to_string();
    let datagrams = datagrams.local_addr().expect("it is bound").to_string();
    let command = inside("talks").env("STREAM", &stream).env("DATAGRAMS", &datagrams);
    let outside = std::process::Command::new(this_test())
        .args(command.words().skip(1))
        .env("STREAM", &stream)
        .env("DATAGRAMS", &datagrams)
        .output()
        .expect("it is this program");
    let said = String::from_utf8_lossy(&outside.stdout);
    assert!(said.contains("stream: sent") && said.contains("datagram: sent"), "{said}");
    let fence = place.fence().show(this_test(), "/test", Access::Read);
    let said = fence.run(&place.context, &command).expect("it tells and succeeds").tail;
    assert!(said.contains("stream: not sent"), "{said}");
    assert!(said.contains("datagram: not sent"), "{said}");
}

#[test]
#[ignore = "runs inside a fence, started by `there_is_no_network`"]
#[expect(clippy::print_stdout, reason = "it tells the other test")]
fn talks() {
    let variable = |name| std::env::var(name).expect("the other test sets it");
    match TcpStream::connect(variable("STREAM")) {
        Ok(_) => println!("stream: sent"),
        Err(error) => println!("stream: not sent, {error}"),
    }
    let socket = UdpSocket::bind("0.0.0.0:0").expect("any port of any interface");
    match socket.send_to(b"hello", variable("DATAGRAMS")) {
        Ok(_) => println!("datagram: sent"),
        Err(error) => println!("datagram: not sent, {error}"),
    }
}

#[test]
fn exit_status_and_signals_come_through() {
    let place = Place::new();
    assert_eq!(place.fails(&place.fence(), "exit 7").0, Ending::Exit(7));
    assert_eq!(place.fails(&place.fence(), "kill -KILL $$").0, Ending::Exit(128 + 9));
    assert_eq!(place.fails(&place.fence(), "echo why >&2; exit 1").1, "why\n");
}

#[test]
fn a_missing_program_is_not_a_refusal() {
    let place = Place::new();
    let command = Command::new("try the fence", "/usr/bin/nowhere-to-be-found");
    match place.fence().run(&place.context, &command) {
        Err(ConfineError::Process(error @ ProcessError::Start { .. })) => {
            insta::assert_snapshot!(error, @"could not try the fence: `/usr/bin/nowhere-to-be-found` cannot be started");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_stays_behind_is_killed() {
    let place = Place::new();
    let fifo = place.path("given/alive");
    make_fifo(&fifo);
    place.succeeds(
        &place.fence(),
        "sleep 1000 3<>alive >/dev/null 2>&1 & setsid sleep 1000 3<>alive >/dev/null 2>&1 & true",
    );
    let opened = rustix::fs::open(
        fifo.as_std_path(),
        OFlags::WRONLY | OFlags::NONBLOCK,
        rustix::fs::Mode::empty(),
    );
    assert_eq!(opened.err(), Some(Errno::NXIO), "somebody still has it open");
}

fn make_fifo(path: &Utf8Path) {
    let status = std::process::Command::new("mkfifo").arg(path).status().expect("it is installed");
    assert!(status.success());
}

#[test]
fn a_killed_builder_takes_the_program_with_it() {
    let place = Place::new();
    let fifo = place.path("given/alive");
    make_fifo(&fifo);
    let mut builder = std::process::Command::new(this_test())
        .args(["--ignored", "--exact", "runs_forever"])
        .env("PLACE", place.path(""))
        .spawn()
        .expect("it is this program");
    // Opens when the program has it open, ends when the program is dead.
    let mut alive = fs_err::File::open(&fifo).expect("it was made");
    builder.kill().expect("it runs");
    builder.wait().expect("it is our child");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut alive, &mut said).expect("it is a pipe");
    assert_eq!(said, "here\n");
}

#[test]
#[ignore = "is killed by `a_killed_builder_takes_the_program_with_it`"]
fn runs_forever() {
    let root = Utf8PathBuf::from(std::env::var("PLACE").expect("the other test sets it"));
    let mut context =
        Context::new(BTreeMap::new(), root.clone(), root.join("cache"), Reporter::silent());
    context.executable = Utf8PathBuf::from(env!("CARGO_BIN_EXE_gangway"));
    let fence = Fence::new(root.join("scratch")).show(root.join("given"), "/given", Access::Write);
    let script = "exec > /given/alive; echo here; while :; do sleep 1000; done";
    let command =
        Command::new("run forever", "/bin/sh").args(["-c", script]).env("PATH", SYSTEM_PATH);
    panic!("{:?}", fence.run(&context, &command));
}

#[test]
fn a_refusal_says_what_and_where() {
    let place = Place::new();
    // A system that allows no user namespaces, made of one user namespace.
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c"])
        .arg("echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" --ignored --exact --nocapture is_refused")
        .arg(this_test())
        .env("PLACE", place.path(""))
        .output()
        .expect("util-linux is everywhere");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Vec<_> = said.lines().filter(|line| line.starts_with("refused:")).collect();
    insta::assert_snapshot!(said.join("\n"), @"
    refused: this system does not let a program be fenced in: unshare(CLONE_NEWUSER | NEWNS | NEWNET | NEWPID | NEWIPC | NEWUTS): No space left on device (os error 28)
    refused: user namespaces are off (`user.max_user_namespaces` is 0): `sudo sysctl user.max_user_namespaces=10000`; or pass `--unconfined-scripts` when you trust the scripts
    ");
}

#[test]
#[ignore = "runs where namespaces are off, started by `a_refusal_says_what_and_where`"]
#[expect(clippy::print_stdout, reason = "it tells the other test")]
fn is_refused() {
    use miette::Diagnostic as _;

    let root = Utf8PathBuf::from(std::env::var("PLACE").expect("the other test sets it"));
    let mut context =
        Context::new(BTreeMap::new(), root.clone(), root.join("cache"), Reporter::silent());
    context.executable = Utf8PathBuf::from(env!("CARGO_BIN_EXE_gangway"));
    let error = confine::probe(&context, &root.join("scratch")).expect_err("it cannot be done");
    println!("\nrefused: {error}\nrefused: {}", error.help().expect("it can be mended"));
}

#[test]
fn what_is_not_there_cannot_be_shown() {
    let place = Place::new();
    let fence = place.fence().show(place.path("nowhere"), "/nowhere", Access::Read);
    match place.run(&fence, "true") {
        Err(ConfineError::Refused { step, reason, .. }) => {
            assert!(step.starts_with("mount(") && step.contains("/nowhere"), "{step}");
            assert!(reason.contains("No such file"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}
