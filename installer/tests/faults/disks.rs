//! Disks that are full or read-only, quotas that are used up, folders of somebody else.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{BundlePath, Entrypoint};

use super::shim::Shim;
use super::support::{Machine, Releases, said};
use super::{World, run, well};

/// A quota that is used up after so many bytes: the system says that in its own way, also where the disk has room.
#[test]
fn quotas_that_are_full() {
    let shim = Shim::new();
    let world = World::new().installed();
    fs::create_dir(world.machine.data()).expect("writable");
    fs::write(world.machine.data().join("notes"), vec![b'x'; 5_000]).expect("writable");
    // What it takes when there is enough.
    let used = world.machine.home.join("used");
    let mut update = world.update(world.new.folder.as_str());
    shim.on(&mut update).env("TEST_QUOTA", "1000000000").env("TEST_USED", &used);
    well(&mut update);
    let all: u32 = fs::read_to_string(&used).expect("it was told").parse().expect("a number");
    // Some of it, and all but the last words about what is installed.
    let quotas = (0..8).map(|part| all / 8 * part).chain((0..16).map(|less| all - 300 * less));
    let mut failed = 0;
    for quota in quotas {
        well(world.machine.installed().args(["uninstall"]));
        well(&mut world.install());
        let mut update = world.update(world.new.folder.as_str());
        let output = run(shim.on(&mut update).env("TEST_QUOTA", quota.to_string()));
        let app = world.app();
        if output.status.code() == Some(0) {
            assert_eq!(app.as_deref(), Some("2.0.0"), "{quota}: {}", said(&output));
        } else {
            failed += 1;
            let is_whole = matches!(app.as_deref(), Some("1.0.0" | "2.0.0"));
            assert!(is_whole, "{quota}: {app:?} {}", said(&output));
            let text = String::from_utf8_lossy(&output.stderr).to_lowercase();
            assert!(text.contains("quota"), "{quota}: {}", said(&output));
        }
        well(&mut world.update(world.new.folder.as_str()));
        assert_eq!(world.app().as_deref(), Some("2.0.0"), "{quota}");
        assert!(!world.machine.prefix().join("journal.json").exists(), "{quota}");
    }
    assert!(failed > 20, "the quota was not used up: {failed}");
}

/// Somebody without rights, on a prefix that belongs to somebody else.
#[test]
fn folders_of_somebody_else() {
    if !is_root() {
        return;
    }
    let world = World::new().installed();
    let root = world.machine.home.parent().expect("it is in a folder");
    fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    let mut update = world.update(world.new.folder.as_str());
    let output = run(update.uid(65_534).gid(65_534));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("account"), "{}", said(&output));
    assert_eq!(world.app().as_deref(), Some("1.0.0"));
}

/// A folder of programs that cannot be written to, where the new version has one more: that is no fault of the version.
#[test]
fn folders_of_programs_that_are_read_only() {
    const NOBODY: u32 = 65_534;
    let mut world = World::new().installed();
    let mut sample = Releases::sample("2.0.0");
    let more = Entrypoint {
        name: "more".parse().expect("a name"),
        script: None,
        program: Some(BundlePath::new("runtime/run").expect("plain")),
    };
    sample.manifest.entrypoints.push(more);
    world.new.publish_sample("2.0.0", sample);
    let bin_dir = world.machine.bin_dir();
    let set_mode = |path: &Utf8Path, mode| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .expect("ours");
    };
    set_mode(&bin_dir, 0o555);
    let update = || {
        let mut update = world.update(world.new.folder.as_str());
        update.args(["--trial", "none"]);
        if is_root() {
            // Who may do everything needs no rights.
            update.uid(NOBODY).gid(NOBODY);
        }
        update
    };
    if is_root() {
        set_mode(world.machine.home.parent().expect("it is in a folder"), 0o755);
        well(Command::new("chown").args(["-Rh", "65534:65534", world.machine.home.as_str()]));
    }
    let output = run(&mut update());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stderr);
    for part in [
        "took the change back: version 1.0.0 is used",
        &format!("error: cannot write `{bin_dir}/more`\n  because Permission denied"),
        "help: use the account it belongs to",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert_eq!(world.app().as_deref(), Some("1.0.0"));
    assert_eq!(Machine::names(&world.machine.prefix().join("versions")), ["1.0.0"]);
    assert!(!world.machine.prefix().join("journal.json").exists());
    set_mode(&bin_dir, 0o755);
    well(&mut update());
    assert_eq!(world.app().as_deref(), Some("2.0.0"));
    assert_eq!(Machine::names(&bin_dir), ["app", "app-installer", "more"]);
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Runs the test `inner` in a mount namespace of its own, on an empty file system with so much room.
fn on_a_disk_of_its_own(inner: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = "mount -t tmpfs -o size=64m tmpfs \"$DISK\" && exec \"$@\"";
    let program = std::env::current_exe().expect("it runs");
    let output = run(Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(program)
        .args(["--exact", inner, "--ignored", "--nocapture"])
        .env("DISK", folder.path()));
    assert!(output.status.success(), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{}", said(&output));
}

fn disk() -> Utf8PathBuf {
    let path = std::env::var("DISK").expect("it is run by another test");
    Utf8PathBuf::from(path).canonicalize_utf8().expect("it is there")
}

#[test]
fn disks_that_are_full() {
    on_a_disk_of_its_own("disks::inner_full");
}

#[test]
#[ignore = "it is run by another test"]
fn inner_full() {
    let (folder, disk) = (tempfile::tempdir().expect("a temporary folder"), disk());
    let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
    let world = World::at(root, &disk.join("home")).installed();
    let filler = disk.join("filler");
    let mut failed = 0;
    for free in [0, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1536, 2048, 4096] {
        fs::write(&filler, vec![1; 60 << 20]).unwrap_or_default();
        fill(&filler, free << 10);
        let output = run(&mut world.update(world.new.folder.as_str()));
        let app = world.app();
        match output.status.code() {
            Some(0) => assert_eq!(app.as_deref(), Some("2.0.0"), "{free}: {}", said(&output)),
            _ => {
                failed += 1;
                let is_whole = matches!(app.as_deref(), Some("1.0.0" | "2.0.0"));
                assert!(is_whole, "{free}: {app:?} {}", said(&output));
                assert!(
                    String::from_utf8_lossy(&output.stderr).to_lowercase().contains("space"),
                    "{free}: {}",
                    said(&output)
                );
            }
        }
        fs::remove_file(&filler).expect("ours");
        well(&mut world.update(world.new.folder.as_str()));
        assert_eq!(world.app().as_deref(), Some("2.0.0"), "{free}");
        well(world.machine.installed().args(["uninstall"]));
        well(&mut world.install());
    }
    assert!(failed > 3, "the disk was not full: {failed}");
}

/// Leaves so many bytes free.
fn fill(filler: &Utf8Path, free: u64) {
    use std::io::Write as _;
    let file = fs::File::options().append(true).create(true).open(filler);
    let mut file = file.expect("there is room for a name");
    while file.write_all(&[1; 4096]).is_ok() {}
    let length = file.metadata().expect("it is open").len();
    file.set_len(length.saturating_sub(free)).expect("ours");
}

#[test]
fn disks_that_are_read_only() {
    on_a_disk_of_its_own("disks::inner_read_only");
}

#[test]
#[ignore = "it is run by another test"]
fn inner_read_only() {
    let (folder, disk) = (tempfile::tempdir().expect("a temporary folder"), disk());
    let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
    let world = World::at(root, &disk.join("home")).installed();
    let remount = |how: &str| well(Command::new("mount").args(["-o", how, disk.as_str()]));
    remount("remount,ro");
    let output = run(&mut world.update(world.new.folder.as_str()));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("read-only"), "{}", said(&output));
    assert_eq!(world.app().as_deref(), Some("1.0.0"));
    remount("remount,rw");
    well(&mut world.update(world.new.folder.as_str()));
    assert_eq!(world.app().as_deref(), Some("2.0.0"));
}
