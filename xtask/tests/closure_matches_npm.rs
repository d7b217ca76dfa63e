//! What the closure lays out, against what `npm ci --ignore-scripts --omit=dev` does.
//!
//! The same paths, bytes, executable bits and link targets; nothing is ignored but npm's own `.package-lock.json` and
//! folders without any file, which a bundle does not have. Needs npm 7 or newer and the registry it is configured for.

mod closures;

use std::collections::BTreeMap;

use camino::Utf8Path;
use closures::{copy, files, is_executable, lay_out};
use gangway_artifact::Digest;

#[test]
fn aliases_and_nested_conflicts() {
    compare("xtask/src/closure/testdata/conflicts");
}

#[test]
fn platforms_and_peers() {
    compare("xtask/src/closure/testdata/platforms");
}

#[test]
fn local_tarballs_and_bundled_packages() {
    compare("xtask/src/closure/testdata/tarball");
}

#[test]
fn workspaces() {
    compare("xtask/src/closure/testdata/workspaces");
}

#[test]
fn openclaw() {
    compare("examples/openclaw");
}

/// Lays `project` out twice and compares.
fn compare(project: &str) {
    let work = tempfile::tempdir().expect("a temporary folder can be made");
    let work = Utf8Path::from_path(work.path()).expect("its name is UTF-8");
    let (theirs, ours) = (work.join("npm"), work.join("gangway"));
    copy(&closures::root().join(project), &theirs);
    lay_out(&theirs, "package-lock.json", "", &ours);
    npm_ci(&theirs);

    let (theirs, ours) = (contents(&theirs), contents(&ours));
    let mut differences = Vec::new();
    for (path, what) in &ours {
        match theirs.get(path) {
            None => differences.push(format!("only Gangway has {path}: {what}")),
            Some(npm) if npm != what => {
                differences.push(format!("{path}: npm {npm}, Gangway {what}"));
            }
            Some(_) => {}
        }
    }
    let only_npm = theirs.iter().filter(|(path, _)| !ours.contains_key(*path));
    differences.extend(only_npm.map(|(path, what)| format!("only npm has {path}: {what}")));
    assert!(differences.is_empty(), "{project} differs:\n{}", differences.join("\n"));
    assert!(!ours.is_empty(), "{project} has something to compare");
}

fn npm_ci(project: &Utf8Path) {
    let npm = ["npm", "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"];
    closures::run(project, &npm, &[]);
}

/// What is in a laid out project: everything in a `node_modules` or a workspace.
fn contents(project: &Utf8Path) -> BTreeMap<String, String> {
    let mut contents = BTreeMap::new();
    for file in files(project) {
        let path = file.strip_prefix(project).expect("it was found there");
        let compared = path.starts_with("node_modules") || path.starts_with("packages");
        if !compared || path == "node_modules/.package-lock.json" {
            continue;
        }
        let what = if file.is_symlink() {
            format!("a link to {}", fs_err::read_link(&file).expect("is a link").display())
        } else {
            let digest = Digest::of(fs_err::read(&file).expect("can be read"));
            let kind = if is_executable(&file) { "a program" } else { "a file" };
            format!("{kind} with {digest}")
        };
        contents.insert(path.to_string(), what);
    }
    contents
}
