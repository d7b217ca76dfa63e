//! SIGKILL at any moment, then the same command again.

use std::process::Stdio;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use e2e::{bundle, gangway, repository, scratch, text};

/// How many times one build is killed, at instants spread over the time it takes.
const KILLS: u32 = 12;

#[test]
fn a_killed_builder_leaves_nothing_that_is_taken_for_whole() {
    let manifest = repository().join("examples/gateway/gangway.toml");
    let whole = bundle(&manifest, &scratch("bundles"), &[]);
    let digest = whole["sha256"].as_str().expect("a digest");

    let folder =
        tempfile::tempdir_in(scratch("killed")).expect("the build folder can be written to");
    let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
    let started = Instant::now();
    assert!(build(folder, "first").wait().expect("our child").success());
    let time = started.elapsed();

    // Each build goes on with what the killed ones before it left in the cache; the instants fall into every stage.
    for kill in 0..KILLS {
        let mut child = build(folder, "again");
        std::thread::sleep(
            time.mul_f64(f64::from(kill) / f64::from(KILLS)).min(Duration::from_secs(60)),
        );
        child.kill().expect("our child");
        child.wait().expect("our child");
        let archive = folder.join("again/out").join(name(&whole));
        assert!(
            !archive.exists() || digest_of(&archive) == digest,
            "a half-written archive has its final name"
        );
    }
    let mut last = gangway();
    last.args(arguments(&manifest, folder, "again"))
        .env("GANGWAY_CACHE", folder.join("again/cache"));
    let output = last.output().expect("it is a program");
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(digest_of(&folder.join("again/out").join(name(&whole))), digest);
    let left = fs_err::read_dir(folder.join("again/out")).expect("readable").count();
    assert_eq!(left, 2, "the archive and its manifest, and nothing half-written");
}

fn build(folder: &Utf8Path, name: &str) -> std::process::Child {
    let manifest = repository().join("examples/gateway/gangway.toml");
    gangway()
        .args(arguments(&manifest, folder, name))
        .env("GANGWAY_CACHE", folder.join(name).join("cache"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is a program")
}

fn arguments(manifest: &Utf8Path, folder: &Utf8Path, name: &str) -> [String; 5] {
    let out = folder.join(name).join("out");
    ["bundle", "--manifest", manifest.as_str(), "--out", out.as_str()].map(str::to_owned)
}

fn name(bundle: &serde_json::Value) -> &str {
    Utf8Path::new(bundle["archive"].as_str().expect("a path")).file_name().expect("a file")
}

fn digest_of(path: &Utf8Path) -> String {
    use sha2::Digest as _;
    let bytes = fs_err::read(path).expect("readable");
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
