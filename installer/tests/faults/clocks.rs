//! Clocks that are wrong, and what is of another time.

use std::fs;
use std::process::Command;

use installer::testing::{Answer, Certificate, Server};

use super::networks::server;
use super::shim::Shim;
use super::support::said;
use super::{World, run, well};

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
