//! A release brings a newer installer.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use camino::Utf8PathBuf;
use installer::checkpoint::Step;

use super::support::said;
use super::support::world::{World, changes, content, run, well};

/// Another program that does the same: what follows an executable is nobody's.
fn newer(mark: &str) -> Vec<u8> {
    let mut program = fs::read(env!("CARGO_BIN_EXE_installer")).expect("cargo built it");
    program.extend_from_slice(mark.as_bytes());
    program
}

fn program(world: &World) -> Utf8PathBuf {
    world.machine.prefix().join("installer/app-installer")
}

fn is(world: &World, expected: &[u8]) -> bool {
    fs::read(program(world)).expect("it is there") == expected
}

#[test]
fn it_takes_the_place_of_the_one_that_runs_and_stays() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    assert!(is(&world, &newer("")));
    world.releases.publish("2.0.0");
    let second = newer("second");
    world.releases.bring_installer(&second);
    // The program that does it is the one that is replaced.
    well(world.then(&["update"]));
    assert!(is(&world, &second));
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
    let link = world.machine.bin_dir().join("app-installer");
    assert_eq!(link.canonicalize_utf8().expect("it leads there"), program(&world));
    well(world.then(&["rollback"]));
    assert!(is(&world, &second), "who goes back keeps it");
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
    well(world.then(&["update"]));
    well(world.then(&["install", "--version", "1.0.0"]));
    assert!(is(&world, &second), "an older version has none of its own");
    let folder = program(&world);
    let folder = folder.parent().expect("it is in a folder");
    assert_eq!(content(folder).len(), 1, "nothing lies beside it");
    well(world.then(&["uninstall"]));
    assert!(content(&world.machine.home).is_empty());
}

/// What is sent is not what the metadata names: nothing of that release is taken.
#[test]
fn a_damaged_one_is_refused() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    world.releases.publish("2.0.0");
    let second = newer("second");
    let name = world.releases.bring_installer(&second);
    let path = world.releases.folder.join(name);
    let before = content(&world.machine.home);
    for damaged in [newer("sEcond"), newer("sec")] {
        fs::write(&path, &damaged).expect("ours");
        let output = world.then(&["update", "--quiet"]);
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        let said = world.text(&output.stderr);
        assert!(said.contains("the release's metadata says"), "{said}");
        assert_eq!(changes(&before, &world.machine.home), [""; 0]);
        assert_eq!(world.current().as_deref(), Some("1.0.0"));
    }
    fs::write(&path, &second).expect("ours");
    well(world.then(&["update"]));
    assert!(is(&world, &second));
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
}

/// A stick without it, or one that is made for other machines: the app is updated, and the installer that is there does.
#[test]
fn one_that_cannot_be_had_or_started_is_left() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let own = newer("");
    world.releases.publish("2.0.0");
    let name = world.releases.bring_installer(&newer("second"));
    fs::remove_file(world.releases.folder.join(name)).expect("ours");
    let output = well(world.then(&["update"]));
    assert!(
        world.text(&output.stderr).contains("the installer stays as it is"),
        "{}",
        said(&output)
    );
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
    assert!(is(&world, &own));
    let broken = [
        ("3.0.0", &b"MZ"[..]),
        ("4.0.0", b"#!/bin/sh\necho it is not for this machine >&2\nexit 1\n"),
    ];
    for (version, broken) in broken {
        world.releases.publish(version);
        world.releases.bring_installer(broken);
        let output = well(world.then(&["update"]));
        let text = world.text(&output.stderr);
        assert!(text.contains("the installer stays as it is"), "{text}");
        assert_eq!(world.current().as_deref(), Some(version));
        assert!(is(&world, &own));
    }
    let folder = program(&world);
    assert_eq!(content(folder.parent().expect("it is in a folder")).len(), 1);
}

/// An installer that says it is of this version. The program that is asked for anything else is the one under test.
fn of_version(version: &str) -> Vec<u8> {
    let program = env!("CARGO_BIN_EXE_installer");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" != --version ] || {{ echo 'installer {version}'; exit; }}\nexec '{program}' \"$@\"\n"
    );
    script.into_bytes()
}

/// Puts another installer in the place of the one that is installed. Another process writes it, so that nobody has it open.
fn put(world: &World, bytes: &[u8]) {
    let text = world.root.join("script");
    fs::write(&text, bytes).expect("writable");
    let (from, to) = (text.as_str(), program(world));
    well(run(std::process::Command::new("install").args(["-m755", from, to.as_str()])));
}

/// Who takes one out of a drawer for an older version of the app, or follows a channel that is behind, keeps the one that is there.
#[test]
fn an_older_one_takes_no_place() {
    let mut world = World::new(&["1.0.0", "2.0.0"]);
    let (older, newer_one) = (of_version("0.0.1-rc.9"), of_version("999.0.0"));
    let own = newer("");
    let text = "the installer stays as it is: it is 999.0.0, which is newer than";
    well(world.first(&[]));
    put(&world, &newer_one);
    let output = well(world.first(&["--version", "1.0.0"]));
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
    assert!(is(&world, &newer_one), "{}", said(&output));
    assert!(world.text(&output.stderr).contains(text), "{}", said(&output));
    // The release brings one that is older.
    world.releases.publish("3.0.0");
    world.releases.bring_installer(&of_version("998.9.9"));
    let output = well(world.first(&[]));
    assert_eq!(world.current().as_deref(), Some("3.0.0"));
    assert!(is(&world, &newer_one), "{}", said(&output));
    assert!(world.text(&output.stderr).contains(&format!("{text} 998.9.9")), "{}", said(&output));
    let folder = program(&world);
    assert_eq!(content(folder.parent().expect("it is in a folder")).len(), 1, "nothing is beside");
    // One that is newer, by a release and by hand.
    world.releases.publish("4.0.0");
    world.releases.bring_installer(&of_version("999.0.1-rc.1"));
    well(world.first(&[]));
    assert!(is(&world, &of_version("999.0.1-rc.1")));
    for other in [&older[..], b"MZ"] {
        put(&world, other);
        well(world.first(&["--version", "1.0.0"]));
        assert!(is(&world, &own), "it is older, or does not start");
        // So that it has to be made again.
        well(world.first(&["--version", "2.0.0", "--keep", "1"]));
    }
}

/// Whenever it is killed there is one whole installer, which does what is left.
#[test]
fn it_is_whole_at_every_step() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    let (own, second) = (newer(""), newer("second"));
    world.releases.publish("2.0.0");
    world.releases.bring_installer(&second);
    let steps = [
        Step::Begun,
        Step::Filled,
        Step::Made,
        Step::Switched,
        Step::ProgramReplaced,
        Step::Linked,
        Step::Recorded,
    ];
    for step in steps {
        let mut update = world.machine.installed();
        let output = run(update.arg("update").env("GANGWAY_KILL_AT", format!("{step}:1")));
        assert_eq!(output.status.signal(), Some(9), "{step}: {}", said(&output));
        assert!(is(&world, &own) || is(&world, &second), "{step}");
        well(world.then(&["update"]));
        assert!(is(&world, &second), "{step}");
        assert_eq!(world.current().as_deref(), Some("2.0.0"), "{step}");
        well(world.then(&["uninstall"]));
        well(world.first(&["--version", "1.0.0"]));
        assert!(is(&world, &own), "{step}");
    }
}
