//! Networks and servers that fail or lie, for a while or for good.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gangway_artifact::Mode;
use gangway_artifact::archive::sample::noise;
use installer::testing::{Answer, Ending, Seen, Server};

use super::shim::Shim;
use super::support::{Releases, said};
use super::{World, run, well};

/// A server with the new releases, whose answers about the archive of the newest are what `change` makes of them.
pub(super) fn server(
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

/// How the server answers when it is asked for a patch.
type Answered = fn(&Seen, &Arc<[u8]>) -> Answer;

/// A server whose newest version has a patch from the one before; and the world, which has that.
fn with_a_patch(answered: Answered) -> (World, Server, String) {
    let mut world = World::new().installed();
    let patch = world.new.offer_patch("1.0.0", &noise(300_000));
    let (files, name) = (world.files(), patch.clone());
    let server = Server::start(move |seen| match files.get(seen.name()) {
        Some(bytes) if seen.name() == name => answered(seen, bytes),
        Some(bytes) => Answer::file(seen, bytes),
        None => Answer::status(404),
    });
    (world, server, patch)
}

/// A patch that is not to be had, or is none, keeps nobody from the new version: the archive has everything.
#[test]
fn patches_that_are_not_to_be_had() {
    let changes: [(Answered, &str); 5] = [
        (|_, _| Answer::status(404), "is not there (404 Not Found)"),
        (|seen, bytes| Answer::file(seen, bytes).cut(1000, Ending::Closed), "broke off after"),
        (|seen, bytes| Answer::file(seen, &Arc::from(&bytes[1..])), "has 299999 bytes"),
        (|seen, _| Answer::file(seen, &Arc::from(noise(300_000).repeat(2))), "has 600000 bytes"),
        (|seen, bytes| Answer::file(seen, &bytes.iter().rev().copied().collect()), "the SHA-256"),
    ];
    for (answered, told) in changes {
        let (world, server, _) = with_a_patch(answered);
        let output = run(&mut world.update(&server.url()));
        assert!(output.status.success(), "{told}: {}", said(&output));
        let text = String::from_utf8_lossy(&output.stderr);
        let line = text.lines().find(|line| line.starts_with("the patch from this version is not"));
        assert!(line.is_some_and(|line| line.contains(told)), "{told}: {text}");
        assert_eq!(world.app().as_deref(), Some("2.0.0"), "{told}");
        assert!(!world.machine.prefix().join("downloads").exists(), "{told}");
    }
    let (world, server, _) = with_a_patch(Answer::file);
    let output = run(&mut world.update(&server.url()));
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("the patch from this version does not do: "), "{text}");
    // A stick that it was not copied to.
    let (world, _, patch) = with_a_patch(Answer::file);
    fs::remove_file(world.new.folder.join(patch)).expect("ours");
    let output = run(&mut world.update(world.new.folder.as_str()));
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(world.app().as_deref(), Some("2.0.0"));
}

/// Where there is no room for a patch, there is none for more.
#[test]
fn a_patch_without_room() {
    let shim = Shim::new();
    let (world, server, patch) = with_a_patch(Answer::file);
    let mut update = world.update(&server.url());
    let output = run(shim.on(&mut update).env("TEST_QUOTA", "100000"));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("error: cannot write the download to"), "{text}");
    let asked = server.seen();
    assert!(asked.iter().any(|seen| seen.name() == patch), "{text}");
    assert!(asked.iter().all(|seen| !seen.name().ends_with(".tar.zst")), "{text}");
    well(&mut world.update(&server.url()));
    assert_eq!(world.app().as_deref(), Some("2.0.0"));
}

/// A server that falls silent in the middle of the archive for as long as it is broken.
fn breaking_off(world: &World) -> (Server, Arc<AtomicBool>) {
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = Arc::clone(&is_broken);
    let server = server(world, move |seen, bytes, _| {
        let answer = Answer::file(seen, bytes);
        if broken.load(Ordering::SeqCst) { answer.cut(3_000_000, Ending::Silent) } else { answer }
    });
    (server, is_broken)
}

/// What has come of a version is not fetched again by the next command.
#[test]
fn what_came_is_kept() {
    let world = with_a_model(12 << 20, 1 << 20);
    let (server, is_broken) = breaking_off(&world);
    let url = server.url();
    let install = || {
        let mut command = world.machine.fetched();
        command.args(["install", "--json", "--from", &url]);
        command.env("GANGWAY_TIMEOUT", "1").env("GANGWAY_RETRIES", "0");
        run(&mut command)
    };
    let output = install();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    is_broken.store(false, Ordering::SeqCst);
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
    // One request for nearly all of it.
    let world = with_a_model(3 << 20, 8 << 20);
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
    let world = with_a_model(12 << 20, 1 << 20);
    let (server, is_broken) = breaking_off(&world);
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
    is_broken.store(false, Ordering::SeqCst);
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

/// The newest version has so many bytes more that cannot be compressed, in frames of this size.
fn with_a_model(bytes: usize, frame: usize) -> World {
    let mut world = World::new();
    let mut sample = Releases::sample("2.0.0");
    sample.cut();
    sample.parts("app/model", &noise(bytes), Mode::Plain, frame);
    world.new.publish_sample("2.0.0", sample);
    world
}
