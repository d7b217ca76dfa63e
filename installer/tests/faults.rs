//! Disks that are full or read-only, folders of somebody else, networks and servers that fail or lie, clocks that are wrong.
//!
//! Whatever it is, the app is one whole version afterwards, the old or the new one, and when it has passed the same command does the job.

#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Mode;
use installer::testing::{Answer, Certificate, Ending, Seen, Server};
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
    sample.cut();
    sample.parts("app/model", &noise(12 << 20), Mode::Plain, 1 << 20);
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

/// A large version whose download is killed: what came until then is not fetched again, though no request had come to its end.
#[test]
fn what_came_before_a_kill_is_kept() {
    let mut world = World::new();
    let mut sample = Releases::sample("2.0.0");
    sample.cut();
    // One request for nearly all of it.
    sample.parts("app/model", &noise(3 << 20), Mode::Plain, 8 << 20);
    world.new.publish_sample("2.0.0", sample);
    let server = server(&world, |seen, bytes, _| {
        Answer::file(seen, bytes).slowly(100_000, std::time::Duration::from_millis(100))
    });
    let url = server.url();
    let mut install = world.machine.fetched();
    install.args(["install", "--json", "--from", &url]);
    let mut child = install.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let journal = world.machine.prefix().join("downloads/app-2.0.0-linux-x64.tar.zst.pieces");
    let kept = loop {
        assert!(child.try_wait().expect("our child").is_none(), "it came to its end");
        let text = fs::read(&journal).unwrap_or_default();
        let kept: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let pieces = kept["pieces"].as_array().into_iter().flatten();
        let filled: u64 = pieces.filter_map(|piece| piece["filled"].as_u64()).sum();
        if filled > 1_000_000 {
            break filled;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    child.kill().and_then(|()| child.wait()).expect("our child");
    assert!(kept < 3 << 20, "nothing was written down before all of it had come");
    let report = installed_report(&world, &url);
    let bytes = |value: &serde_json::Value| value.as_u64().expect("a number");
    let (all, came) = (bytes(&report["archive_bytes"]), bytes(&report["fetched"]["bytes"]));
    assert!(came + kept <= all + 100_000, "{came} of {all}, and {kept} were there");
}

/// What the end of an archive was left as by an earlier attempt is wrong: only that is fetched again.
#[test]
fn an_end_that_was_damaged_since() {
    let mut world = World::new();
    let mut sample = Releases::sample("2.0.0");
    sample.cut();
    sample.parts("app/model", &noise(12 << 20), Mode::Plain, 1 << 20);
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
    let mut install = world.machine.fetched();
    install.args(["install", "--from", &url]).env("GANGWAY_TIMEOUT", "1");
    let output = run(install.env("GANGWAY_RETRIES", "0"));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let scratch = world.machine.prefix().join("downloads/app-2.0.0-linux-x64.tar.zst");
    let journal = fs::read(format!("{scratch}.pieces")).expect("it stays");
    let journal: serde_json::Value = serde_json::from_slice(&journal).expect("it is JSON");
    let number = |piece: &serde_json::Value, name: &str| piece[name].as_u64().expect("a number");
    let pieces = journal["pieces"].as_array().expect("a list");
    let last = pieces.last().expect("the end came first");
    let end = usize::try_from(number(last, "place") + number(last, "filled")).expect("small");
    let mut left = fs::read(&scratch).expect("it stays");
    left[end - 40..end].fill(0);
    fs::write(&scratch, left).expect("ours");
    *is_broken.lock().expect("nobody panics with it") = false;
    let report = installed_report(&world, &url);
    let came = number(&report["fetched"], "bytes");
    let all = number(&report, "archive_bytes");
    assert!(came + 2_000_000 < all, "{came} of {all}");
}

/// Installs from a server, and says what came of it.
fn installed_report(world: &World, url: &str) -> serde_json::Value {
    let output = run(world.machine.fetched().args(["install", "--json", "--from", url]));
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).expect("a document")
}

/// Bytes that cannot be compressed.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    noise.take(count).collect()
}

/// By how many seconds the clock of the whole program is off: a century back, to before 1970, and one ahead.
const OFF: [&str; 2] = ["-3155760000", "3155760000"];

/// Folders, and servers without a certificate, need no clock.
#[test]
fn clocks_that_are_far_off() {
    let shim = Shim::new();
    for off in OFF {
        let world = World::new();
        let wrong = |command: &mut Command| {
            well(shim.on(command).env("TEST_CLOCK", off));
        };
        fs::create_dir(world.machine.data()).expect("writable");
        fs::write(world.machine.data().join("notes"), "mine").expect("writable");
        wrong(&mut world.install());
        assert_eq!(world.app().as_deref(), Some("1.0.0"), "{off}");
        wrong(&mut world.update(world.new.folder.as_str()));
        assert_eq!(world.app().as_deref(), Some("2.0.0"), "{off}");
        let installed = |arguments: &[&str]| {
            wrong(world.machine.installed().args(arguments));
        };
        installed(&["rollback", "--restore", "yes"]);
        assert_eq!(world.app().as_deref(), Some("1.0.0"), "{off}");
        installed(&["verify"]);
        let server = server(&world, |seen, bytes, _| Answer::file(seen, bytes));
        wrong(&mut world.update(&server.url()));
        assert_eq!(world.app().as_deref(), Some("2.0.0"), "{off}");
        // With another clock than those before.
        well(&mut world.update(&server.url()));
        let record =
            fs::read_to_string(world.machine.prefix().join("snapshots/1.0.0/snapshot.json"));
        let record: serde_json::Value =
            serde_json::from_str(&record.expect("a copy was made")).expect("it is JSON");
        let made = record["made"].as_u64().expect("a number");
        let is_shifted = if off.starts_with('-') { made == 0 } else { made > 4_000_000_000 };
        assert!(is_shifted, "the clock of the program was off: {made}");
        installed(&["uninstall", "--purge"]);
        assert_eq!(world.app(), None, "{off}");
    }
}

/// A good certificate, and a clock by which it is none: that is what is said, and the same command does it once the clock is right.
#[test]
fn clocks_and_certificates() {
    let shim = Shim::new();
    let world = World::new().installed();
    let files = world.files();
    let server = Server::start_tls(Certificate::Valid, move |seen| match files.get(seen.name()) {
        Some(bytes) => Answer::file(seen, bytes),
        None => Answer::status(404),
    });
    let authority = world.machine.home.join("ca.pem");
    fs::write(&authority, Certificate::AUTHORITY).expect("writable");
    let url = server.url();
    let update = || {
        let mut update = world.update(&url);
        update.env("SSL_CERT_FILE", &authority);
        update
    };
    // The certificate is good for a thousand years.
    for (off, expected) in [
        ("-1700000000", "not valid yet"),
        ("40000000000", "no longer valid"),
        (OFF[0], "before 1970"),
    ] {
        let output = run(shim.on(&mut update()).env("TEST_CLOCK", off));
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        let text = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
        for part in [expected, "by this machine's clock", "set the clock"] {
            assert!(text.contains(part), "{off}: no `{part}` in {text}");
        }
        assert_eq!(world.app().as_deref(), Some("1.0.0"), "{off}");
    }
    well(&mut update());
    assert_eq!(world.app().as_deref(), Some("2.0.0"));
}

/// The clock is right, and the certificate is over or not yet good: the same is said, with today's date.
#[test]
fn certificates_of_another_time() {
    let world = World::new().installed();
    let authority = world.machine.home.join("ca.pem");
    fs::write(&authority, Certificate::AUTHORITY).expect("writable");
    for (certificate, expected) in
        [(Certificate::Expired, "no longer valid"), (Certificate::Early, "not valid yet")]
    {
        let server = Server::start_tls(certificate, |_| Answer::status(404));
        let output = run(world.update(&server.url()).env("SSL_CERT_FILE", &authority));
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(expected) && text.contains("set the clock"), "{}", said(&output));
        assert_eq!(world.app().as_deref(), Some("1.0.0"));
    }
}

/// A quota that is used up after so many bytes: the system says that in its own way, also where the disk has room.
#[test]
fn quotas_that_are_full() {
    let shim = Shim::new();
    let world = World::new().installed();
    fs::create_dir(world.machine.data()).expect("writable");
    fs::write(world.machine.data().join("notes"), vec![b'x'; 5_000]).expect("writable");
    // What it takes when there is enough.
    let used = world.machine.home.join("used");
    let mut update = world.update(world.new.folder.as_str());
    shim.on(&mut update).env("TEST_QUOTA", "1000000000").env("TEST_USED", &used);
    well(&mut update);
    let all: u32 = fs::read_to_string(&used).expect("it was told").parse().expect("a number");
    // Some of it, and all but the last words about what is installed.
    let quotas = (0..8).map(|part| all / 8 * part).chain((0..16).map(|less| all - 300 * less));
    let mut failed = 0;
    for quota in quotas {
        well(world.machine.installed().args(["uninstall"]));
        well(&mut world.install());
        let mut update = world.update(world.new.folder.as_str());
        let output = run(shim.on(&mut update).env("TEST_QUOTA", quota.to_string()));
        let app = world.app();
        if output.status.code() == Some(0) {
            assert_eq!(app.as_deref(), Some("2.0.0"), "{quota}: {}", said(&output));
        } else {
            failed += 1;
            let is_whole = matches!(app.as_deref(), Some("1.0.0" | "2.0.0"));
            assert!(is_whole, "{quota}: {app:?} {}", said(&output));
            let text = String::from_utf8_lossy(&output.stderr).to_lowercase();
            assert!(text.contains("quota"), "{quota}: {}", said(&output));
        }
        well(&mut world.update(world.new.folder.as_str()));
        assert_eq!(world.app().as_deref(), Some("2.0.0"), "{quota}");
        assert!(!world.machine.prefix().join("journal.json").exists(), "{quota}");
    }
    assert!(failed > 20, "the quota was not used up: {failed}");
}

/// A library that is loaded before the program's own: by it the clock is off by `TEST_CLOCK` seconds, and after `TEST_QUOTA` bytes files take no more. Both
/// would have to be done to the whole machine otherwise.
struct Shim(tempfile::TempDir);

impl Shim {
    const SOURCE: &str = r#"
        #define _GNU_SOURCE
        #include <errno.h>
        #include <fcntl.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/stat.h>
        #include <sys/syscall.h>
        #include <sys/uio.h>
        #include <time.h>
        #include <unistd.h>

        int clock_gettime(clockid_t clock, struct timespec *now) {
            const char *off = getenv("TEST_CLOCK");
            int result = (int)syscall(SYS_clock_gettime, clock, now);
            if (off && result == 0 && clock == CLOCK_REALTIME) now->tv_sec += atol(off);
            return result;
        }

        static long used;

        __attribute__((destructor)) static void tell(void) {
            const char *place = getenv("TEST_USED");
            int file = place ? open(place, O_WRONLY | O_CREAT, 0600) : -1;
            if (file >= 0) dprintf(file, "%ld", used);
        }

        static int is_full(int file, size_t count) {
            const char *quota = getenv("TEST_QUOTA");
            struct stat found;
            if (!quota || syscall(SYS_fstat, file, &found) || !S_ISREG(found.st_mode)) return 0;
            if (__atomic_add_fetch(&used, (long)count, __ATOMIC_SEQ_CST) <= atol(quota)) return 0;
            errno = EDQUOT;
            return 1;
        }

        ssize_t write(int file, const void *bytes, size_t count) {
            return is_full(file, count) ? -1 : syscall(SYS_write, file, bytes, count);
        }

        ssize_t pwrite64(int file, const void *bytes, size_t count, off_t at) {
            return is_full(file, count) ? -1 : syscall(SYS_pwrite64, file, bytes, count, at);
        }

        ssize_t writev(int file, const struct iovec *parts, int number) {
            size_t count = 0;
            for (int index = 0; index < number; index++) count += parts[index].iov_len;
            return is_full(file, count) ? -1 : syscall(SYS_writev, file, parts, number);
        }

        ssize_t copy_file_range(int from, off_t *at, int to, off_t *where, size_t count, unsigned flags) {
            if (is_full(to, 0)) return -1;
            ssize_t copied = syscall(SYS_copy_file_range, from, at, to, where, count, flags);
            if (copied > 0) is_full(to, (size_t)copied);
            return copied;
        }
    "#;

    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = folder.path().join("shim.c");
        fs::write(&source, Self::SOURCE).expect("writable");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
        well(compiler.arg(folder.path().join("shim.so")).arg(source));
        Self(folder)
    }

    fn on<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LD_PRELOAD", self.0.path().join("shim.so"))
    }
}

#[test]
fn files_of_another_time() {
    // What is on disk is from a year that has not come yet.
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
