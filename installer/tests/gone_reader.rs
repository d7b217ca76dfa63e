//! Whoever reads what is said may go away: what is being done is done to its end all the same.

#![cfg(unix)]

mod support;

use std::process::Stdio;

use support::said;
use support::world::{World, run, well};

/// A pipe that nobody reads from.
fn nobody() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("two file descriptors");
    drop(reader);
    writer.into()
}

#[test]
fn results_that_nobody_reads() {
    let world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    for arguments in [&["list"][..], &["status", "--json"], &["completions", "bash"]] {
        let output = run(world.machine.installed().args(arguments).stdout(nobody()));
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn an_update_that_nobody_watches() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    world.releases.publish("2.0.0");
    let mut update = world.machine.installed();
    let output = run(update.arg("update").stdout(nobody()).stderr(nobody()));
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
    // That it failed is said by the status, if nobody reads why.
    let output = run(world.machine.installed().args(["rollback", "7"]).stderr(nobody()));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}
