use gangway_artifact::{File, Manifest, Mode};

use super::*;
use crate::testing::Sandbox;

/// A bundle of two files, one of them a program.
fn bundle() -> (Sandbox, Utf8PathBuf) {
    let sandbox = Sandbox::new();
    let file = |path: &str, text: &str, mode: Mode| {
        sandbox.write(&format!("a/{path}"), text);
        File {
            path: BundlePath::new(path).expect("plain"),
            size: text.len() as u64,
            mode,
            block: None,
            sha256: Digest::of(text),
        }
    };
    let files = vec![file("app/a.js", "a", Mode::Plain), file("launch.json", "{}", Mode::Plain)];
    let manifest = serde_json::json!({
        "version": 1,
        "builder": "gangway 0.1.0",
        "app": { "name": "a", "version": "1.0.0" },
        "target": "linux-x64",
        "platform": { "os": "linux", "cpu": "x64", "libc": "glibc" },
        "entrypoints": [],
        "contract": gangway_artifact::Contract::default(),
        "unpacked_size": 3,
        "files": files,
        "links": [],
    });
    let manifest: Manifest = serde_json::from_value(manifest).expect("as it should be");
    sandbox.write("a/manifest.json", manifest.to_json());
    let folder = sandbox.root.join("a");
    (sandbox, folder)
}

fn opened(sandbox: &Sandbox, path: &Utf8Path) -> Result<Opened, VerifyError> {
    let context = sandbox.context(&[]);
    let store = Store::open(&context).expect("a sandbox can be written to");
    open(&context, path, &store)
}

fn refused(sandbox: &Sandbox, path: &Utf8Path) -> String {
    let error = opened(sandbox, path).expect_err("it must not pass");
    let help = miette::Diagnostic::help(&error).map_or_else(String::new, |help| help.to_string());
    format!("{error}\n{help}").replace(sandbox.root.as_str(), "")
}

#[test]
fn a_folder_as_it_was_made() {
    let (sandbox, folder) = bundle();
    let opened = opened(&sandbox, &folder).expect("whole");
    assert_eq!(opened.tree.len(), 3);
    let manifest = opened.manifest.expect("it has one");
    assert_eq!(manifest.target.as_str(), "linux-x64");
    assert_eq!(
        manifest.verification.status,
        gangway_artifact::VerificationStatus::Unverified,
        "what says nothing was not looked at"
    );
}

#[test]
fn every_difference_is_told() {
    let (sandbox, folder) = bundle();
    sandbox.write("a/app/a.js", "b");
    sandbox.write("a/app/more.js", "");
    std::fs::remove_file(folder.join("launch.json")).expect("it was there");
    let told = refused(&sandbox, &folder);
    assert!(told.starts_with("`/a` is not what its manifest says: 3 files differ\n"), "{told}");
    for part in [
        "`app/a.js` has the SHA-256",
        "`launch.json` is missing",
        "`app/more.js` is not in the manifest",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_more() {
    let (sandbox, folder) = bundle();
    std::os::unix::fs::symlink("a.js", folder.join("app/b.js")).expect("writable");
    assert!(refused(&sandbox, &folder).contains("its symbolic links are others"));
}

#[test]
fn what_is_no_bundle() {
    let (sandbox, folder) = bundle();
    let nowhere = folder.join("nowhere");
    assert!(refused(&sandbox, &nowhere).starts_with("there is no bundle `/a/nowhere`"));
    let text = sandbox.write("text", "no archive");
    assert!(refused(&sandbox, &text).starts_with("`/text` is neither a bundle nor a manifest"));
    sandbox.write("a/manifest.json", r#"{"builder":"gangway 9.0.0"}"#);
    assert!(refused(&sandbox, &folder).starts_with("cannot read the manifest"));
    // A web app has a file of this name too.
    sandbox.write("a/manifest.json", r#"{"name":"an app","icons":[]}"#);
    assert!(opened(&sandbox, &folder).expect("a folder").manifest.is_none());
}
