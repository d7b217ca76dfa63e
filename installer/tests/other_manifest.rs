//! A channel says of which app, version and target a manifest is. One that is of something else is not installed, whatever its digest.

#![cfg(unix)]

mod support;

use std::fs;

use support::world::{World, well};
use support::{Machine, said};

/// Changes what the channel says, and nothing of the files that it names.
fn say(world: &World, from: &str, to: &str) {
    let file = world.releases.folder.join("stable.json");
    let text = fs::read_to_string(&file).expect("it was published");
    assert!(text.contains(from), "{text}");
    fs::write(&file, text.replacen(from, to, 1)).expect("ours");
}

#[test]
fn what_is_installed_is_what_was_offered() {
    for (from, to, offered) in [
        (r#""app": "app""#, r#""app": "other""#, "other 1.0.0 for linux-x64"),
        (r#""version":"1.0.0""#, r#""version":"9.0.0""#, "app 9.0.0 for linux-x64"),
        (r#""target":"linux-x64""#, r#""target":"linux-x64-new""#, "app 1.0.0 for linux-x64-new"),
    ] {
        let world = World::new(&["1.0.0"]);
        say(&world, from, to);
        for more in [&[][..], &["--dry-run"], &["--force"]] {
            let output = world.first(more);
            assert_eq!(output.status.code(), Some(4), "{offered}: {}", said(&output));
            let text = world.text(&output.stderr);
            let expected = format!(
                "the channel offers {offered}, and the manifest there is that of app 1.0.0 for linux-x64"
            );
            assert!(text.contains(&expected), "{text}");
            assert!(world.machine.app().is_none());
            assert!(Machine::names(&world.machine.bin_dir()).is_empty());
        }
        say(&world, to, from);
        well(world.first(&[]));
        assert_eq!(world.current().as_deref(), Some("1.0.0"));
    }
}
