//! The real OpenClaw, bundled and run where nothing is installed.

use camino::Utf8Path;
use e2e::{
    Running, archive_for, bare, bundles, copy, free_port, http_get, lock, repository, scratch,
    unpack, unpacked_example,
};

#[test]
fn it_tells_its_version_and_becomes_ready() {
    let (_folder, bundle) = unpacked_example("openclaw");
    let home = tempfile::tempdir().expect("a folder for temporary files");
    let home = Utf8Path::from_path(home.path()).expect("UTF-8");

    let output =
        bare(&bundle.join("bin/openclaw"), home).arg("--version").output().expect("it starts");
    let said = e2e::text(&output);
    assert!(output.status.success() && said.contains("2026.9.6"), "{said}");

    assert!(!bundle.join("app/node_modules/openclaw/.openclaw-lifecycle-pending").exists());

    let port = free_port();
    let mut gateway = bare(&bundle.join("bin/openclaw-gateway"), home);
    gateway
        .args([
            "--allow-unconfigured",
            "--bind",
            "loopback",
            "--auth",
            "none",
            "--port",
            &port.to_string(),
        ])
        .env("OPENCLAW_HOME", home.join("openclaw"))
        .stdout(std::process::Stdio::null());
    let mut running = Running(gateway.spawn().expect("it starts"));
    running.wait_for(port, "/readyz");
    assert_eq!(http_get(port, "/health").map(|(status, _)| status), Some(200));
}

#[test]
fn it_tells_its_version_under_bun() {
    let folder = scratch("openclaw-bun");
    copy(&repository().join("examples/openclaw"), &folder);
    let manifest = folder.join("gangway.toml");
    let arguments = ["--runtime", "bun@^1.4", "--target", "linux-x64"];
    lock(&manifest, &arguments);
    let made = bundles(&manifest, &folder.join("out"), &arguments);
    let (_folder, bundle) = unpack(archive_for(&made, "linux-x64"));
    assert!(!bundle.join("runtime/bin/node").exists(), "only one runtime is shipped");
    let home = tempfile::tempdir().expect("a folder for temporary files");
    let home = Utf8Path::from_path(home.path()).expect("UTF-8");
    let output =
        bare(&bundle.join("bin/openclaw"), home).arg("--version").output().expect("it starts");
    let said = e2e::text(&output);
    assert!(output.status.success() && said.contains("2026.9.6"), "{said}");
}
