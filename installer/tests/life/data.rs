//! The app's own data stands in the way of an update: that is found as early as it can be, and nothing is fetched twice for it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Output};

use gangway_artifact::Mode;
use gangway_artifact::State;
use gangway_artifact::archive::sample::noise;
use installer::testing::Server;

use super::health::{SUPERVISOR, Served};
use super::journey::serve;
use super::support::world::{World, json, run, well};
use super::support::{Machine, said};

/// The names of what was asked for since so many requests.
fn asked(server: &Server, before: usize) -> Vec<String> {
    server.seen().iter().skip(before).map(|seen| seen.name().to_owned()).collect()
}

/// An update that ends before anything but the channel was asked for.
#[track_caller]
fn is_refused_early(world: &World, server: &Server, mut update: Command, reason: &str) -> Output {
    let before = server.seen().len();
    let output = run(&mut update);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = world.text(&output.stderr);
    assert!(text.contains(reason), "{text}");
    assert_eq!(asked(server, before), ["stable.json"]);
    assert_eq!(world.slots(), ["1.0.0"]);
    output
}

#[test]
fn too_much_of_it() {
    let mut world = World::new(&["1.0.0"]);
    let (server, _) = serve(world.releases.folder.clone());
    well(run(world.machine.fetched().args(["install", "--from", &server.url()])));
    world.releases.publish("2.0.0");
    fs::create_dir(world.machine.data()).expect("writable");
    let large = File::create(world.machine.data().join("large")).expect("writable");
    large.set_len(u64::from(State::LIMIT_MB) * 1_000_000 + 1).expect("it has no bytes");
    for words in [&["update"][..], &["update", "--dry-run"]] {
        let mut update = world.machine.installed();
        update.args(words);
        let reason = "more than the 2.0 GB that are copied unasked";
        is_refused_early(&world, &server, update, reason);
    }
    well(world.then(&["update", "--snapshot", "no"]));
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
}

#[test]
fn what_may_not_be_read() {
    let mut world = World::new(&["1.0.0"]);
    let (server, _) = serve(world.releases.folder.clone());
    well(run(world.machine.fetched().args(["install", "--from", &server.url()])));
    world.releases.publish("2.0.0");
    let closed = world.machine.data().join("closed");
    fs::create_dir(world.machine.data()).expect("writable");
    fs::write(&closed, "mine").expect("writable");
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).expect("ours");
    let reason = "cannot read `TMP/home/.app/closed` to keep a copy of it";
    is_refused_early(&world, &server, who_obeys_modes(&world, &["update"]), reason);
    fs::set_permissions(&closed, Permissions::from_mode(0o600)).expect("ours");
    well(run(&mut who_obeys_modes(&world, &["update"])));
}

/// Who wants no copy, or leaves the data where it is, need not be able to read it.
#[test]
fn what_need_not_be_read() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    world.releases.publish("2.0.0");
    let closed = world.machine.data().join("closed");
    fs::create_dir_all(&closed).expect("writable");
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).expect("ours");
    well(run(&mut who_obeys_modes(&world, &["update", "--snapshot", "no"])));
    let output = well(run(&mut who_obeys_modes(&world, &["uninstall"])));
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).expect("ours");
    let text = world.text(&output.stdout);
    assert!(text.contains("`TMP/home/.app` stays: it is its own data"), "{text}");
}

#[test]
fn nobody_can_tell_where_it_is() {
    let mut world = World::new(&["1.0.0"]);
    well(world.first(&[]));
    world.releases.publish("2.0.0");
    fs::create_dir(world.machine.data()).expect("writable");
    let manifest = world.machine.prefix().join("versions/1.0.0/manifest.json");
    fs::set_permissions(&manifest, Permissions::from_mode(0o600)).expect("ours");
    let mut text = fs::read_to_string(&manifest).expect("it is there");
    text.push(' ');
    fs::write(&manifest, text).expect("writable");
    let output = world.then(&["update", "--snapshot", "yes"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(world.slots(), ["1.0.0"]);
    let output = well(world.then(&["update"]));
    let text = world.text(&output.stderr);
    assert!(text.contains("no copy of the app's data is made"), "{text}");
    assert_eq!(world.current().as_deref(), Some("2.0.0"));
}

/// The installer by somebody whom modes of files keep from something: root is not.
fn who_obeys_modes(world: &World, words: &[&str]) -> Command {
    let mut installed = world.machine.installed();
    if world.machine.home.metadata().expect("it is there").uid() != 0 {
        installed.args(words);
        return installed;
    }
    let mut command = Command::new("setpriv");
    command.arg("--bounding-set=-dac_override,-dac_read_search").arg(installed.get_program());
    command.args(words).env_clear().env("HOME", &world.machine.home);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir(&world.machine.home);
    command
}

/// What is found only when the copy is made: the service runs again, and what was fetched is there still.
#[test]
fn a_copy_that_fails() {
    const BOTH: &str = "[ \"$2\" = restart ] || exit 0\n";
    const REPLACED: &str = "case $2 in
stop) rm -r home/.app; echo none >home/.app;;
*) [ -d home/.app ] || { rm home/.app; mkdir home/.app; };;
esac
";
    let mut served = Served::new();
    let (server, _) = serve(served.world.releases.folder.clone());
    served.publish_with("2.0.0", "well", |sample| {
        sample.parts("runtime/library", &noise(2 << 20), Mode::Plain, 1 << 20);
    });
    served.supervise(&SUPERVISOR.replace(BOTH, &format!("{REPLACED}{BOTH}")));
    let output = served.then(&["update", "--from", &server.url()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = served.world.text(&output.stderr);
    assert!(text.contains("cannot read `TMP/home/.app/`"), "{text}");
    assert_eq!(served.commands(), ["stop", "restart"]);
    served.is("1.0.0");
    assert_eq!(served.world.slots(), ["1.0.0"]);
    assert!(!served.world.machine.prefix().join("journal.json").exists());
    let downloads = Machine::names(&served.world.machine.prefix().join("downloads"));
    assert!(downloads.iter().any(|name| name.ends_with(".tar.zst")), "{downloads:?}");

    served.supervise(SUPERVISOR);
    let report = json(&well(served.then(&["update", "--from", &server.url(), "--json"])));
    let bytes = report["fetched"]["bytes"].as_u64().expect("a number");
    assert!(bytes < 1 << 20, "{bytes} bytes came again");
    served.is("2.0.0");
    assert!(!served.world.machine.prefix().join("downloads").exists());
}
