//! Bundling again: what did not change is not made again, what did change is.

use e2e::node_mirror::{self, Release};
use e2e::{LocalRegistry, Official};
use serde_json::Value;

/// A gateway that was bundled once, and what that made.
fn bundled() -> (Official, LocalRegistry, Value) {
    let server = node_mirror::serve(&[Release::new("24.99.0", "fake")]);
    let gateway = Official::new();
    gateway.lock(&server, &[]);
    let first = gateway.bundle(&server);
    assert_eq!(first["reused"], false);
    (gateway, server, first)
}

#[test]
fn nothing_changed() {
    let (gateway, server, first) = bundled();
    let asked = server.requests().len();
    // The time of a file says nothing about it.
    let app = fs_err::OpenOptions::new().write(true).open(gateway.project.folder().join("app.js"));
    app.expect("it is ours").set_modified(std::time::UNIX_EPOCH).expect("it is ours");
    let second = gateway.bundle(&server);
    assert_eq!(second["reused"], true);
    assert_eq!(second["sha256"], first["sha256"]);
    assert_eq!(server.requests().len(), asked, "no server is asked");
}

#[test]
fn a_file_changed() {
    let (gateway, server, first) = bundled();
    let text = fs_err::read_to_string(gateway.project.folder().join("app.js")).expect("ours");
    gateway.project.write("app.js", "console.log('changed');\n");
    let second = gateway.bundle(&server);
    assert_eq!(second["reused"], false);
    assert_ne!(second["sha256"], first["sha256"]);
    // Back to what it was, and back to the same bytes, though the archive was overwritten meanwhile.
    gateway.project.write("app.js", &text);
    let third = gateway.bundle(&server);
    assert_eq!(third["reused"], false);
    assert_eq!(third["sha256"], first["sha256"]);
}

#[test]
fn a_file_that_is_not_shipped_changed() {
    let (gateway, server, first) = bundled();
    gateway.project.write("notes.txt", "not in `include`");
    let second = gateway.bundle(&server);
    assert_eq!(second["reused"], true);
    assert_eq!(second["sha256"], first["sha256"]);
}

#[test]
fn the_archive_is_gone_or_damaged() {
    let (gateway, server, first) = bundled();
    let archive = first["archive"].as_str().expect("a path");
    let bytes = fs_err::read(archive).expect("it was made");
    fs_err::write(archive, &bytes[..bytes.len() - 1]).expect("ours");
    let second = gateway.bundle(&server);
    assert_eq!((&second["reused"], &second["sha256"]), (&Value::Bool(false), &first["sha256"]));
    assert_eq!(fs_err::read(archive).expect("it was made"), bytes);
    fs_err::remove_file(archive).expect("ours");
    let third = gateway.bundle(&server);
    assert_eq!((&third["reused"], &third["sha256"]), (&Value::Bool(false), &first["sha256"]));
}
