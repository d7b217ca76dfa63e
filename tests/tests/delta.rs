//! What an update costs, told by the program: between two bundles of one gateway, and between things that are none.

use camino::{Utf8Path, Utf8PathBuf};
use e2e::node_mirror::{self, Release};
use e2e::{Official, gangway, text, unwrapped};
use serde_json::Value;

#[test]
fn between_two_bundles() {
    let server = node_mirror::serve(&[Release::new("24.99.0", "fake")]);
    let gateway = Official::new();
    gateway.lock(&server, &[]);
    let first = gateway.bundle(&server);
    let archive = Utf8PathBuf::from(first["archive"].as_str().expect("a path"));
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
    let old = folder.join("old.tar.zst");
    fs_err::copy(&archive, &old).expect("the folder is ours");
    gateway.project.write("app.js", "console.log('changed');\n");
    let second = gateway.bundle(&server);
    assert_eq!(second["archive"], first["archive"], "the version is the same");

    let delta =
        |arguments: &[&str]| gangway().arg("delta").args(arguments).output().expect("it starts");
    let output = delta(&[old.as_str(), archive.as_str(), "--json", "--patches", folder.as_str()]);
    assert!(output.status.success(), "{}", text(&output));
    let cost: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
    assert_eq!((&cost["fetched"]["files"], &cost["requests"]), (&1.into(), &2.into()), "{cost}");
    assert_eq!(cost["contributors"][0]["name"], "app");
    let patch =
        cost["patch"]["path"].as_str().expect("it costs less than two requests and a manifest");
    let size = fs_err::metadata(patch).expect("it was written").len();
    assert_eq!(cost["patch"]["size"], size);
    assert!(size < cost["download"].as_u64().expect("a number"));

    // A manifest will do, and the table says what the JSON says.
    let manifest = archive.as_str().replace(".tar.zst", ".manifest.json");
    let said = text(&delta(&[old.as_str(), &manifest]));
    assert!(said.contains("fetched") && said.contains("1 frame in 1 request"), "{said}");

    let output = delta(&[old.as_str(), gateway.project.folder().join("app.js").as_str()]);
    assert!(!output.status.success());
    let said = unwrapped(&text(&output));
    assert!(said.contains("is neither an archive nor a manifest"), "{said}");
}
