//! Bun and Deno from mirrors of their makers' release pages, laid out as those are; their programs are shell scripts.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

use camino::Utf8Path;
use e2e::{Answer, LocalRegistry, Official, bare, node_mirror, text, unpack};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Every part of `expected` must be said.
#[track_caller]
fn says(said: &str, expected: &[&str]) {
    for part in expected {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
}

/// An archive with one program at this place.
fn archive(place: &str, greeting: &str) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().unix_permissions(0o755);
    if let Some((folder, _)) = place.rsplit_once('/') {
        zip.add_directory(folder, options).expect("memory takes every write");
    }
    zip.start_file(place, options).expect("memory takes every write");
    write!(zip, "#!/bin/sh\necho \"{greeting}: $*\"\n").expect("memory takes every write");
    zip.finish().expect("memory takes every write").into_inner()
}

fn digest(archive: &[u8]) -> String {
    Sha256::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// GitHub's list of releases with one release.
fn index(tag: &str, archives: &[&str]) -> Answer {
    let assets: Vec<_> = archives.iter().map(|name| json!({"name": name})).collect();
    let index = json!([{"tag_name": tag, "prerelease": false, "draft": false, "assets": assets}]);
    Answer::Bytes(index.to_string().into_bytes())
}

fn gateway(engine: &str, mirrored: &'static str, range: &str) -> Official {
    let mut gateway = Official::new();
    gateway.mirrored = mirrored;
    gateway.project.edit("gangway.toml", r#"engine = "node""#, &format!("engine = \"{engine}\""));
    gateway.project.edit("gangway.toml", "^24.16.0", range);
    gateway
}

/// Locks the gateway for these targets.
fn locked(gateway: &Official, server: &LocalRegistry, targets: &[&str]) -> String {
    let mut arguments = vec!["lock"];
    arguments.extend(targets.iter().flat_map(|target| ["--target", *target]));
    let output = gateway.run(&node_mirror::url(server), &arguments);
    assert!(output.status.success(), "{}", text(&output));
    gateway.lock_text()
}

/// What the program of the bundle for this machine says.
fn said(gateway: &Official, server: &LocalRegistry) -> String {
    let made = gateway.bundle(server);
    let archive = Utf8Path::new(made["archive"].as_str().expect("a path"));
    let (_folder, bundle) = unpack(archive);
    let mut program = bare(&bundle.join("bin/sample"), gateway.project.folder());
    text(&program.arg("a b").output().expect("it starts"))
}

#[test]
fn bun() {
    let (linux, windows) =
        (archive("bun-linux-x64/bun", "bun"), archive("bun-windows-x64/bun.exe", "bun"));
    let sums = format!(
        "{}  bun-linux-x64.zip\n{}  bun-windows-x64.zip\n",
        digest(&linux),
        digest(&windows)
    );
    let archives = ["bun-linux-x64.zip", "bun-windows-x64.zip"];
    let server = LocalRegistry::start(BTreeMap::from([
        ("/dist/index.json".to_owned(), index("bun-v1.9.5", &archives)),
        ("/dist/bun-v1.9.5/SHASUMS256.txt".to_owned(), Answer::Bytes(sums.into_bytes())),
        ("/dist/bun-v1.9.5/bun-linux-x64.zip".to_owned(), Answer::Bytes(linux)),
        ("/dist/bun-v1.9.5/bun-windows-x64.zip".to_owned(), Answer::Bytes(windows)),
    ]));
    let gateway = gateway("bun", "GANGWAY_BUN_MIRROR", "^1.4");
    let lock = locked(&gateway, &server, &["linux-x64", "windows-x64"]);
    says(&lock, &[r#"version = "1.9.5""#, r#"archive = "bun-windows-x64.zip""#, "official"]);
    let said = said(&gateway, &server);
    says(&said, &["bun: --no-install", "app/app.js a b"]);
}

#[test]
fn deno() {
    let (linux, windows) = (archive("deno", "deno"), archive("deno.exe", "deno"));
    let (linux_name, windows_name) =
        ("deno-x86_64-unknown-linux-gnu.zip", "deno-x86_64-pc-windows-msvc.zip");
    let sum = format!("{}  {linux_name}\n", digest(&linux));
    // PowerShell shows the digest of the archive for Windows.
    let shown = format!(
        "\r\nAlgorithm : SHA256\r\nHash      : {}\r\nPath      : D:\\a\\deno\\deno\\target\\release\\{windows_name}\r\n\r\n",
        digest(&windows).to_uppercase()
    );
    let of = |file: &str| format!("/dist/v2.12.1/{file}");
    let server = LocalRegistry::start(BTreeMap::from([
        ("/dist/index.json".to_owned(), index("v2.12.1", &[linux_name, windows_name])),
        (of(&format!("{linux_name}.sha256sum")), Answer::Bytes(sum.into_bytes())),
        (of(&format!("{windows_name}.sha256sum")), Answer::Bytes(shown.into_bytes())),
        (of(linux_name), Answer::Bytes(linux)),
        (of(windows_name), Answer::Bytes(windows)),
    ]));
    let gateway = gateway("deno", "GANGWAY_DENO_MIRROR", "^2.9");
    let lock = locked(&gateway, &server, &["linux-x64", "windows-x64"]);
    says(&lock, &[r#"version = "2.12.1""#, windows_name, linux_name]);
    says(&said(&gateway, &server), &["deno: run ", "app/app.js a b"]);

    // Deno has no build for musl, and says so.
    let url = node_mirror::url(&server);
    let said = gateway.refused(&url, &["lock", "--target", "linux-x64-musl"]);
    says(&said, &["deno", "linux-x64-musl"]);
}

#[test]
fn an_archive_that_its_list_does_not_have() {
    let linux = archive("bun-linux-x64/bun", "bun");
    for (sums, expected) in [
        (format!("{}  bun-linux-x64.zip\n", "0".repeat(64)), "digest"),
        (format!("{}  bun-linux-arm64.zip\n", digest(&linux)), "no digest of"),
    ] {
        let server = LocalRegistry::start(BTreeMap::from([
            ("/dist/index.json".to_owned(), index("bun-v1.9.5", &["bun-linux-x64.zip"])),
            ("/dist/bun-v1.9.5/SHASUMS256.txt".to_owned(), Answer::Bytes(sums.into_bytes())),
            ("/dist/bun-v1.9.5/bun-linux-x64.zip".to_owned(), Answer::Bytes(linux.clone())),
        ]));
        let gateway = gateway("bun", "GANGWAY_BUN_MIRROR", "^1.4");
        let url = node_mirror::url(&server);
        let said = gateway.refused(&url, &["lock", "--target", "linux-x64"]);
        says(&said, &["bun-linux-x64.zip", expected]);
        assert!(!gateway.lock_file().exists());
    }
}
