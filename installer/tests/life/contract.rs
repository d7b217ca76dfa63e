//! A machine that lacks something: refused with what it is, or overruled and recorded.

use gangway_artifact::{Contract, Version};

use super::support::world::{World, changes, content, json, well};
use super::support::{Machine, Releases, said};

/// No machine has it.
const GLIBC: &str = "99.0";
const LIBRARY: &str = "libnowhere.so.9";

fn publish(world: &mut World, version: &str, glibc: Option<&str>, libraries: &[&str]) {
    let mut sample = Releases::sample(version);
    let version_of = |text: &str| text.parse::<Version>().expect("a version");
    let libraries = libraries.iter().map(|name| ((*name).to_owned(), Default::default()));
    sample.manifest.contract = Contract {
        glibc: glibc.map(version_of),
        libraries: libraries.collect(),
        ..Contract::default()
    };
    world.releases.publish_sample(version, sample);
}

fn lacking() -> World {
    let mut world = World::new(&[]);
    publish(&mut world, "1.0.0", Some(GLIBC), &[LIBRARY]);
    world
}

#[track_caller]
fn says(world: &World, bytes: &[u8], parts: &[&str]) {
    let said = world.text(bytes);
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}

#[test]
fn it_is_refused_with_what_is_missing() {
    let world = lacking();
    let output = world.first(&[]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let parts = [
        "version 1.0.0 cannot be installed on this machine",
        "glibc 99.0 or newer",
        LIBRARY,
        "and the machine has none",
        "`--force`",
        "`doctor`",
    ];
    says(&world, &output.stderr, &parts);
    assert!(content(&world.machine.home).is_empty(), "{:?}", content(&world.machine.home));
    assert!(!world.machine.prefix().exists());
    // A program is told the same.
    let output = world.first(&["--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let report = json(&output);
    assert_eq!(report["error"]["code"], "installer::machine");
    assert!(report["error"].to_string().contains(LIBRARY), "{report}");
    assert_eq!(world.first(&["--dry-run"]).status.code(), Some(3));
    // What the doctor says of it before it is installed has a remedy for each.
    let base = world.releases.folder.as_str();
    let output = world.machine.fetched().args(["doctor", "--json", "--from", base]).output();
    let output = output.expect("it starts");
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let findings = json(&output)["findings"].clone();
    let broken: Vec<_> = (findings.as_array().expect("a list").iter())
        .filter(|finding| finding["verdict"] == "broken")
        .map(|finding| finding["subject"].as_str().expect("words").to_owned())
        .collect();
    assert_eq!(broken, ["glibc", LIBRARY]);
    let has_remedy =
        |finding: &serde_json::Value| !finding["remedy"].as_str().unwrap_or("").is_empty();
    assert!(findings.as_array().expect("a list").iter().take(2).all(has_remedy), "{findings}");
}

#[test]
fn who_knows_better_is_believed_and_it_is_recorded() {
    let world = lacking();
    let output = well(world.first(&["--force"]));
    says(&world, &output.stderr, &["glibc 99.0 or newer", LIBRARY, "installed all the same"]);
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
    let forced = world.state()["installed"][0]["forced"].clone();
    let recorded: Vec<&str> =
        forced.as_array().expect("a list").iter().filter_map(|it| it.as_str()).collect();
    assert_eq!(recorded.len(), 2, "{recorded:?}");
    assert!(recorded[0].starts_with("it needs glibc 99.0 or newer, and the machine has "));
    assert!(recorded[1].contains(LIBRARY));

    assert_eq!(json(&well(world.then(&["status", "--json"])))["forced"], forced);
    says(&world, &well(world.then(&["status"])).stdout, &["forced ", LIBRARY]);
    assert_eq!(json(&well(world.then(&["list", "--json"])))[0]["forced"], forced);
    let doctor = world.then(&["doctor"]);
    assert_eq!(doctor.status.code(), Some(3), "{}", said(&doctor));
    let parts = ["warning: it was installed with `--force`", "MISSING  glibc 99.0", LIBRARY];
    says(&world, &doctor.stdout, &parts);
    // Put right, it is as if nothing had been.
    well(world.then(&["uninstall"]));
    assert!(content(&world.machine.home).is_empty());
}

#[test]
fn updates_ask_for_nothing_but_what_is_new() {
    let mut world = lacking();
    well(world.first(&["--force"]));
    publish(&mut world, "2.0.0", Some(GLIBC), &[LIBRARY]);
    well(world.then(&["update"]));
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
    let forced = |world: &World| json(&well(world.then(&["status", "--json"])))["forced"].clone();
    assert_eq!(forced(&world).as_array().map(Vec::len), Some(2), "it is recorded again");

    publish(&mut world, "3.0.0", Some(GLIBC), &["libelsewhere.so.1", LIBRARY]);
    let before = content(&world.machine.home);
    let output = world.then(&["update"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    says(&world, &output.stderr, &["version 3.0.0", "libelsewhere.so.1", "`--force`"]);
    assert_eq!(changes(&before, &world.machine.home), [""; 0]);
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
    well(world.then(&["update", "--force"]));
    assert_eq!(world.current().as_deref(), Some("3.0.0"));
    assert_eq!(forced(&world).as_array().map(Vec::len), Some(3));

    // Of a version that needs nothing of it nothing is recorded, and the one before keeps its own.
    publish(&mut world, "4.0.0", None, &[]);
    well(world.then(&["update"]));
    assert_eq!(forced(&world).as_array().map(Vec::len), Some(0));
    well(world.then(&["rollback"]));
    assert_eq!(forced(&world).as_array().map(Vec::len), Some(3));
    assert_eq!(Machine::names(&world.machine.prefix().join("versions")), ["3.0.0", "4.0.0"]);
}

/// A library that went away, or came, is no reason to ask again for what was overruled.
#[test]
fn another_machine_is_the_same_need() {
    let mut world = lacking();
    well(world.first(&["--force"]));
    let path = world.machine.prefix().join("state.json");
    let state = std::fs::read_to_string(&path).expect("it is installed");
    let needs = "it needs glibc 99.0 or newer, and the machine has ";
    let (before, rest) = state.split_once(needs).expect("it was recorded");
    let (_, after) = rest.split_once('"').expect("it is a text");
    std::fs::write(&path, format!("{before}{needs}2.1\"{after}")).expect("ours");
    publish(&mut world, "2.0.0", Some(GLIBC), &[LIBRARY]);
    well(world.then(&["update"]));
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
}
