//! From nothing over two updates and back to nothing, by HTTP: what comes over the wire at each step is counted where it is sent.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use camino::Utf8PathBuf;
use gangway_artifact::archive::sample::{Sample, noise};
use gangway_artifact::{Digest, Manifest, Mode};
use installer::testing::{Answer, Server};
use serde_json::Value;

use super::support::world::{World, content, json, run, well};
use super::support::{LAUNCH, RUNTIME, said};

/// How many files the packages have: the one that changes, and the one that does not.
const BUMPED: u32 = 400;
const STEADY: u32 = 1200;

/// A version: its own code, which only tells the version, a dependency of this version and another one, and a runtime.
fn release(version: &str, dependency: &str) -> Sample {
    let mut sample = Sample::default();
    let launcher = fs::read(env!("CARGO_BIN_EXE_launcher")).expect("cargo built it");
    sample.file("app/main.js", b"// it has not changed for years");
    sample.file("app/version", format!("{version}\n").as_bytes());
    sample.cut();
    package(&mut sample, "bumped", dependency, BUMPED);
    package(&mut sample, "steady", "1.2.3", STEADY);
    sample.parts("bin/app", &launcher, Mode::Executable, 1 << 20);
    sample.file("launch.json", LAUNCH.as_bytes());
    sample.parts("runtime/library", &noise(8 << 20), Mode::Plain, 1 << 20);
    sample.parts("runtime/run", RUNTIME.as_bytes(), Mode::Executable, 1 << 20);
    sample
}

/// A package in frames of its own. Each file has something of its version in it, as compiled code does.
fn package(sample: &mut Sample, name: &str, version: &str, files: u32) {
    let folder = format!("app/node_modules/{name}");
    let text = format!("{{\"name\": \"{name}\", \"version\": \"{version}\"}}\n");
    sample.file(&format!("{folder}/package.json"), text.as_bytes());
    for index in 1..files {
        let mut line = format!("{name} {version} {index}");
        let mut text = String::new();
        for _ in 0..12 {
            line = Digest::of(&line).to_string();
            text.push_str(&line);
            text.push('\n');
        }
        sample.file(&format!("{folder}/dist/{index:04}.js"), text.as_bytes());
    }
    sample.cut();
}

/// The releases' folder as a static host has it, and how many bytes it has sent.
pub(super) fn serve(folder: Utf8PathBuf) -> (Server, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let server = Server::start(move |seen| match fs::read(folder.join(seen.name())) {
        Ok(bytes) => {
            let length = match seen.range(bytes.len()) {
                Some((start, end)) => end.saturating_sub(start),
                None => bytes.len(),
            };
            count.fetch_add(length as u64, Ordering::SeqCst);
            Answer::file(seen, &bytes.into())
        }
        Err(_) => Answer::status(404),
    });
    (server, sent)
}

/// The bytes of the frames that the one archive has and the other has not.
fn new_frames(world: &World, old: &str, new: &str) -> u64 {
    let manifest = |version: &str| {
        Manifest::from_json(&world.releases.manifests[version]).expect("it was published")
    };
    let old: Vec<Digest> = manifest(old).frames.iter().map(|frame| frame.sha256).collect();
    let new = manifest(new).frames;
    new.iter().filter(|frame| !old.contains(&frame.sha256)).map(|frame| frame.size).sum()
}

/// What a command said of itself, and what the server sent for it.
struct Step {
    report: Value,
    sent: u64,
}

#[test]
#[expect(clippy::print_stdout, reason = "what each step costs is to be seen")]
fn a_changed_file_and_a_changed_dependency() {
    let mut world = World::new(&[]);
    world.releases.publish_sample("1.0.0", release("1.0.0", "4.0.0"));
    let (server, sent) = serve(world.releases.folder.clone());
    let base = server.url();
    let step = |world: &World, name: &str, words: &[&str]| {
        let before = sent.load(Ordering::SeqCst);
        let mut command = match words[0] {
            "install" => world.machine.fetched(),
            _ => world.machine.installed(),
        };
        let report = json(&well(run(command.args(words).arg("--json"))));
        let sent = sent.load(Ordering::SeqCst) - before;
        println!("{name}: {sent} bytes over the wire");
        Step { report, sent }
    };
    let own = world.machine.home.join("own data");
    fs::write(&own, "mine").expect("writable");
    let home = content(&world.machine.home);

    let first = step(&world, "install", &["install", "--from", &base]);
    let all = first.report["archive_bytes"].as_u64().expect("a number");
    assert!(first.sent >= all && first.sent < all + all / 20, "{} of {all}", first.sent);
    assert_eq!(first.report["fetched"]["bytes"], first.sent, "it counts what was sent");
    assert_eq!(world.current().as_deref(), Some("1.0.0"));

    world.releases.publish_sample("1.0.1", release("1.0.1", "4.0.0"));
    let file = step(&world, "update with one changed file", &["update"]);
    let (files, changed) = (files(&file), new_frames(&world, "1.0.0", "1.0.1"));
    assert_eq!(files[0] - files[1], 2, "the file and the manifest: {}", file.report);
    assert!(file.sent * 50 < all, "{} of {all} are more than 2 %", file.sent);
    assert_eq!(world.current().as_deref(), Some("1.0.1"));

    world.releases.publish_sample("1.1.0", release("1.1.0", "4.1.0"));
    let bump = step(&world, "update with a dependency of another version", &["update"]);
    let files = self::files(&bump);
    assert_eq!(files[0] - files[1], u64::from(BUMPED) + 2, "{}", bump.report);
    // What is there besides the frames is what there was besides them before.
    let (overhead, needed) = (file.sent - changed, new_frames(&world, "1.0.1", "1.1.0"));
    assert!(needed > 20 * changed, "it is a larger update");
    assert!(bump.sent >= needed && bump.sent < needed + 2 * overhead, "{needed}: {}", bump.sent);
    assert_eq!(world.current().as_deref(), Some("1.1.0"));

    let back = step(&world, "rollback", &["rollback"]);
    assert_eq!((back.sent, world.current().as_deref()), (0, Some("1.0.1")));
    let again = step(&world, "update to what is there", &["update"]);
    let channel = world.releases.folder.join("stable.json").metadata().expect("it is there").len();
    assert_eq!((again.sent, world.current().as_deref()), (channel, Some("1.1.0")));
    let gone = step(&world, "uninstall", &["uninstall"]);
    assert_eq!((gone.sent, content(&world.machine.home)), (0, home));
}

/// A bare container has no certificate authorities. What is not encrypted needs none, and what is says what is missing.
#[test]
fn a_machine_that_trusts_nobody() {
    let world = World::new(&["1.0.0"]);
    let (server, _) = serve(world.releases.folder.clone());
    let bare = |base: &str| {
        let installer = world.machine.fetched();
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", WITHOUT_AUTHORITIES, "sh"]);
        command.arg(installer.get_program()).args(["install", "--from", base]);
        command.env_clear().env("HOME", &world.machine.home).env("PATH", "/usr/sbin:/usr/bin:/bin");
        run(&mut command)
    };
    let output = bare(&server.url().replacen("http", "https", 1));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(world.text(&output.stderr).contains("`ca-certificates`"), "{}", said(&output));
    well(bare(&server.url()));
    assert_eq!(world.current().as_deref(), Some("1.0.0"));
}

/// Runs what it is given on a machine on which the folders are empty that may hold them.
const WITHOUT_AUTHORITIES: &str = r#"
for folder in /etc/ssl /etc/pki /usr/lib/ssl /usr/share/ssl /usr/local/ssl /usr/local/share /usr/share/ca-certificates /var/ssl; do
  [ ! -d "$folder" ] || mount -t tmpfs tmpfs "$folder" || exit
done
exec "$@"
"#;

/// How many files the version has, and how many of them it shares with the one before.
fn files(step: &Step) -> [u64; 2] {
    ["all", "linked"].map(|name| step.report["files"][name].as_u64().expect("a number"))
}
