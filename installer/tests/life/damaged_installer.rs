//! The installer's own program is damaged: `verify` says so, and `repair` puts it right.

use std::fs;
use std::process::Command;

use camino::Utf8PathBuf;
use serde_json::Value;

use super::health::Served;
use super::support::world::{World, json, run, well};
use super::support::{Machine, said};

/// The installer under test, with something behind it that nobody reads.
fn program(mark: &str) -> Vec<u8> {
    let mut program = fs::read(env!("CARGO_BIN_EXE_installer")).expect("cargo built it");
    program.extend_from_slice(mark.as_bytes());
    program
}

fn place(world: &World) -> Utf8PathBuf {
    world.machine.prefix().join("installer/app-installer")
}

/// Puts these bytes in its place. Another process does that: what other tests start meanwhile would have it open, and then it cannot be started.
fn replace(world: &World, bytes: &[u8]) {
    let text = world.root.join("program");
    fs::write(&text, bytes).expect("writable");
    let to = place(world);
    well(run(Command::new("install").args(["-m755", text.as_str(), to.as_str()])));
}

fn is(world: &World, expected: &[u8]) -> bool {
    fs::read(place(world)).expect("it is there") == expected
}

#[track_caller]
fn is_damaged(world: &World) {
    let output = world.then(&["verify"]);
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    let text = world.text(&output.stdout);
    let line = "installer/app-installer` is not the installer that was put there";
    assert!(text.contains(line), "{text}");
    let report = json(&world.then(&["verify", "--json"]));
    assert_eq!(
        (&report["passes"], &report["installer"]),
        (&false.into(), &place(world).as_str().into())
    );
}

#[track_caller]
fn is_whole(world: &World) {
    well(world.then(&["verify"]));
    let left = Machine::names(&world.machine.prefix().join("installer"));
    assert_eq!(left, ["app-installer"], "nothing lies beside it");
    assert!(!world.machine.prefix().join("downloads").exists());
}

/// The same one is fetched, of whichever release it is.
#[test]
fn it_is_fetched() {
    let mut world = World::new(&["1.0.0"]);
    let second = program("second");
    well(world.first(&[]));
    is_whole(&world);
    world.releases.publish("2.0.0");
    world.releases.bring_installer(&second);
    well(world.then(&["update"]));
    assert!(is(&world, &second));
    is_whole(&world);
    world.releases.publish("3.0.0");
    world.releases.bring_installer(&program("third"));
    replace(&world, &program("sEcond"));
    is_damaged(&world);
    let would = well(world.then(&["repair", "--dry-run"]));
    assert!(world.text(&would.stdout).contains("would be repaired"), "{}", said(&would));
    is_damaged(&world);
    let report = json(&well(world.then(&["repair", "--json"])));
    assert_eq!((&report["repaired"], report["installer"].is_string()), (&true.into(), true));
    assert!(is(&world, &second));
    is_whole(&world);
    assert_eq!(world.current().as_deref(), Some("2.0.0"), "nothing else is changed");
}

/// Where nobody has the same one any more, the newest does; where nobody has any, another one that is started.
#[test]
fn another_one_takes_its_place() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    replace(&world, &program("damaged"));
    is_damaged(&world);
    let output = world.then(&["repair", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(json(&output)["error"]["code"], "installer::no_installer");
    is_damaged(&world);
    let prefix = world.machine.prefix();
    well(run(world.machine.fetched().args(["repair", "--prefix", prefix.as_str()])));
    assert!(is(&world, &program("")));
    is_whole(&world);

    world.releases.publish("2.0.0");
    world.releases.bring_installer(&program("second"));
    replace(&world, &program("damaged"));
    well(world.then(&["repair"]));
    assert!(is(&world, &program("second")));
    is_whole(&world);
}

/// A version is damaged as well as the installer.
#[test]
fn along_with_a_version() {
    let mut world = World::new(&[]);
    world.releases.publish("1.0.0");
    world.releases.bring_installer(&program(""));
    well(world.first(&[]));
    replace(&world, &program("damaged"));
    let file = world.machine.prefix().join("current/app/lib/007.js");
    fs::remove_file(file).expect("ours");
    is_damaged(&world);
    well(world.then(&["repair"]));
    assert!(is(&world, &program("")));
    is_whole(&world);
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
}

/// An installer that did not record it yet has written what is installed: the next change does.
#[test]
fn what_was_not_recorded() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    for name in ["state.json", "state.copy.json"] {
        let path = world.machine.prefix().join(name);
        let mut state: Value =
            serde_json::from_slice(&fs::read(&path).expect("it is there")).expect("ours");
        let recorded = state.as_object_mut().expect("an object").remove("installer");
        assert!(recorded.is_some(), "it was recorded");
        fs::write(&path, state.to_string()).expect("ours");
    }
    is_whole(&world);
    well(world.then(&["repair"]));
    world.releases.publish("2.0.0");
    well(world.then(&["update"]));
    assert!(world.state()["installer"].is_string());
    is_whole(&world);
    replace(&world, &program("damaged"));
    is_damaged(&world);
}

/// An update goes back, and the installer that came with it stays: it is no damaged one.
#[test]
fn what_came_with_a_version_that_is_not_well() {
    let mut served = Served::new();
    served.publish("2.0.0", "ill");
    served.world.releases.bring_installer(&program("second"));
    let output = served.then(&["update"]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    served.is("1.0.0");
    assert!(is(&served.world, &program("second")));
    is_whole(&served.world);
}
