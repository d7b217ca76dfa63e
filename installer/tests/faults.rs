//! Disks that are full or read-only, folders of somebody else, networks and servers that fail or lie, clocks that are wrong.
//!
//! Whatever it is, the app is one whole version afterwards, the old or the new one, and when it has passed the same command does the job.

#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Mode;
use installer::testing::{Answer, Ending, Seen, Server};
use support::{Machine, Releases, said};

struct World {
    _folder: Option<tempfile::TempDir>,
    old: Releases,
    new: Releases,
    machine: Machine,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8PathBuf::from_path_buf(folder.path().canonicalize().expect("it is there"));
        let root = root.expect("UTF-8");
        let world = Self::at(&root, &root.join("home"));
        Self { _folder: Some(folder), ..world }
    }

    fn at(root: &Utf8Path, home: &Utf8Path) -> Self {
        let mut old = Releases::new(root.join("old"));
        old.publish("1.0.0");
        let mut new = Releases::new(root.join("new"));
        new.publish("1.0.0");
        new.publish("2.0.0");
        Self { _folder: None, old, new, machine: Machine::new(home.to_owned()) }
    }

    fn install(&self) -> Command {
        let mut command = self.machine.fetched();
        command.args(["install", "--from", self.old.folder.as_str()]);
        command
    }

    fn update(&self, base: &str) -> Command {
        let mut command = self.machine.installed();
        command.args(["update", "--from", base]).env("GANGWAY_TIMEOUT", "1");
        command.env("GANGWAY_RETRIES", "1");
        command
    }

    fn installed(self) -> Self {
        well(&mut self.install());
        self
    }

    /// What the app is, every byte of it looked at.
    fn app(&self) -> Option<String> {
        self.machine.check_used(&self.new)
    }

    fn files(&self) -> BTreeMap<String, Arc<[u8]>> {
        let names = Machine::names(&self.new.folder);
        let read = |name: String| {
            let bytes = fs::read(self.new.folder.join(&name)).expect("readable");
            (name, bytes.into())
        };
        names.into_iter().map(read).collect()
    }
}

fn run(command: &mut Command) -> Output {
    command.output().expect("it starts")
}

fn well(command: &mut Command) {
    let output = run(command);
    assert!(output.status.success(), "{}", said(&output));
}

/// A server with the new releases, whose answers about the archive of the newest are what `change` makes of them.
fn server(
    world: &World,
    change: impl Fn(&Seen, &Arc<[u8]>, usize) -> Answer + Send + Sync + 'static,
) -> Server {
    let (files, asked) = (world.files(), AtomicUsize::new(0));
    Server::start(move |seen| match files.get(seen.name()) {
        Some(bytes) if seen.name() == "app-2.0.0-linux-x64.tar.zst" => {
            change(seen, bytes, asked.fetch_add(1, Ordering::Relaxed))
        }
        Some(bytes) => Answer::file(seen, bytes),
        None => Answer::status(404),
    })
}

/// What fails for good leaves the old version; then a good server gives the new one.
fn fails(name: &str, change: impl Fn(&Seen, &Arc<[u8]>, usize) -> Answer + Send + Sync + 'static) {
    let world = World::new().installed();
    let bad = server(&world, change);
    let output = run(&mut world.update(&bad.url()));
    assert_eq!(output.status.code(), Some(4), "{name}: {}", said(&output));
    assert_eq!(world.app().as_deref(), Some("1.0.0"), "{name}");
    let good = server(&world, |seen, bytes, _| Answer::file(seen, bytes));
    well(&mut world.update(&good.url()));
    assert_eq!(world.app().as_deref(), Some("2.0.0"), "{name}");
    assert!(!world.machine.prefix().join("downloads").exists(), "{name}");
}

/// What passes does not keep the new version away.
fn passes(name: &str, change: impl Fn(&Seen, &Arc<[u8]>, usize) -> Answer + Send + Sync + 'static) {
    let world = World::new().installed();
    let bad = server(&world, change);
    let output = run(&mut world.update(&bad.url()));
    assert!(output.status.success(), "{name}: {}", said(&output));
    assert_eq!(world.app().as_deref(), Some("2.0.0"), "{name}");
}

#[test]
fn networks_that_fail_for_good() {
    fails("stall", |seen, bytes, _| Answer::file(seen, bytes).cut(100, Ending::Silent));
    fails("truncation", |seen, bytes, _| Answer::file(seen, bytes).cut(100, Ending::Closed));
    fails("reset", |seen, bytes, _| Answer::file(seen, bytes).cut(100, Ending::Reset));
    fails("overload", |_, _, _| Answer::status(503));
    fails("gone", |_, _, _| Answer::status(404));
}

#[test]
fn servers_that_lie() {
    let other = |bytes: &Arc<[u8]>| -> Arc<[u8]> { bytes.iter().map(|byte| byte ^ 0x55).collect() };
    fails("other bytes", move |seen, bytes, _| Answer::file(seen, &other(bytes)));
    fails("a shorter file", |seen, bytes, _| {
        Answer::file(seen, &Arc::from(&bytes[..bytes.len() / 2]))
    });
    fails("another range", |_, bytes, _| Answer::part(bytes, 0, 10));
}

#[test]
fn networks_that_come_back() {
    passes("truncation", |seen, bytes, asked| {
        let answer = Answer::file(seen, bytes);
        if asked % 2 == 0 { answer.cut(70_000, Ending::Closed) } else { answer }
    });
    passes("overload", |seen, bytes, asked| match asked % 2 {
        0 => Answer::status(503),
        _ => Answer::file(seen, bytes),
    });
    passes("no ranges", |_, bytes, _| Answer::ok(bytes.to_vec()));
}

/// What has come of a version is not fetched again by the next command.
#[test]
fn what_came_is_kept() {
    let mut world = World::new();
    let mut sample = Releases::sample("2.0.0");
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    sample.cut();
    sample.parts("app/model", &noise.take(12 << 20).collect::<Vec<_>>(), Mode::Plain, 1 << 20);
    world.new.publish_sample("2.0.0", sample);
    let is_broken = Arc::new(Mutex::new(true));
    let server = {
        let is_broken = Arc::clone(&is_broken);
        server(&world, move |seen, bytes, _| {
            let answer = Answer::file(seen, bytes);
            let is_broken = *is_broken.lock().expect("nobody panics with it");
            if is_broken { answer.cut(3_000_000, Ending::Silent) } else { answer }
        })
    };
    let url = server.url();
    let install = || {
        let mut command = world.machine.fetched();
        command.args(["install", "--json", "--from", &url]);
        command.env("GANGWAY_TIMEOUT", "1").env("GANGWAY_RETRIES", "0");
        run(&mut command)
    };
    let output = install();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    *is_broken.lock().expect("nobody panics with it") = false;
    let output = install();
    assert!(output.status.success(), "{}", said(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a document");
    let bytes = |value: &serde_json::Value| value.as_u64().expect("a number");
    let (all, came) = (bytes(&report["archive_bytes"]), bytes(&report["fetched"]["bytes"]));
    assert!(came + 2_000_000 < all, "{came} of {all}");
}

#[test]
fn clocks_that_are_wrong() {
    // A certificate aside, nothing depends on it: what is on disk is from a year that has not come yet.
    let world = World::new().installed();
    let future = std::time::SystemTime::now() + std::time::Duration::from_secs(100 * 365 * 86_400);
    for name in ["state.json", "lock"] {
        let file = fs::File::options().write(true).open(world.machine.prefix().join(name));
        file.and_then(|file| file.set_modified(future)).expect("ours");
    }
    well(&mut world.update(world.new.folder.as_str()));
    assert_eq!(world.app().as_deref(), Some("2.0.0"));
}

/// Somebody without rights, on a prefix that belongs to somebody else.
#[test]
fn folders_of_somebody_else() {
    if !is_root() {
        return;
    }
    let world = World::new().installed();
    let root = world.machine.home.parent().expect("it is in a folder");
    fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    let mut update = world.update(world.new.folder.as_str());
    let output = run(update.uid(65_534).gid(65_534));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("account"), "{}", said(&output));
    assert_eq!(world.app().as_deref(), Some("1.0.0"));
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Runs the test `inner` in a mount namespace of its own, on an empty file system with so much room.
fn on_a_disk_of_its_own(inner: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = "mount -t tmpfs -o size=64m tmpfs \"$DISK\" && exec \"$@\"";
    let program = std::env::current_exe().expect("it runs");
    let output = run(Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(program)
        .args(["--exact", inner, "--ignored", "--nocapture"])
        .env("DISK", folder.path()));
    assert!(output.status.success(), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{}", said(&output));
}

fn disk() -> Utf8PathBuf {
    let path = std::env::var("DISK").expect("it is run by another test");
    Utf8PathBuf::from(path).canonicalize_utf8().expect("it is there")
}

#[test]
fn disks_that_are_full() {
    on_a_disk_of_its_own("inner_full");
}

#[test]
#[ignore = "it is run by another test"]
fn inner_full() {
    let (folder, disk) = (tempfile::tempdir().expect("a temporary folder"), disk());
    let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
    let world = World::at(root, &disk.join("home")).installed();
    let filler = disk.join("filler");
    let mut failed = 0;
    for free in [0, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1536, 2048, 4096] {
        fs::write(&filler, vec![1; 60 << 20]).unwrap_or_default();
        fill(&filler, free << 10);
        let output = run(&mut world.update(world.new.folder.as_str()));
        let app = world.app();
        match output.status.code() {
            Some(0) => assert_eq!(app.as_deref(), Some("2.0.0"), "{free}: {}", said(&output)),
            _ => {
                failed += 1;
                let is_whole = matches!(app.as_deref(), Some("1.0.0" | "2.0.0"));
                assert!(is_whole, "{free}: {app:?} {}", said(&output));
                assert!(
                    String::from_utf8_lossy(&output.stderr).to_lowercase().contains("space"),
                    "{free}: {}",
                    said(&output)
                );
            }
        }
        fs::remove_file(&filler).expect("ours");
        well(&mut world.update(world.new.folder.as_str()));
        assert_eq!(world.app().as_deref(), Some("2.0.0"), "{free}");
        well(world.machine.installed().args(["uninstall"]));
        well(&mut world.install());
    }
    assert!(failed > 3, "the disk was not full: {failed}");
}

/// Leaves so many bytes free.
fn fill(filler: &Utf8Path, free: u64) {
    use std::io::Write as _;
    let file = fs::File::options().append(true).create(true).open(filler);
    let mut file = file.expect("there is room for a name");
    while file.write_all(&[1; 4096]).is_ok() {}
    let length = file.metadata().expect("it is open").len();
    file.set_len(length.saturating_sub(free)).expect("ours");
}

#[test]
fn disks_that_are_read_only() {
    on_a_disk_of_its_own("inner_read_only");
}

#[test]
#[ignore = "it is run by another test"]
fn inner_read_only() {
    let (folder, disk) = (tempfile::tempdir().expect("a temporary folder"), disk());
    let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
    let world = World::at(root, &disk.join("home")).installed();
    let remount = |how: &str| well(Command::new("mount").args(["-o", how, disk.as_str()]));
    remount("remount,ro");
    let output = run(&mut world.update(world.new.folder.as_str()));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("read-only"), "{}", said(&output));
    assert_eq!(world.app().as_deref(), Some("1.0.0"));
    remount("remount,rw");
    well(&mut world.update(world.new.folder.as_str()));
    assert_eq!(world.app().as_deref(), Some("2.0.0"));
}
