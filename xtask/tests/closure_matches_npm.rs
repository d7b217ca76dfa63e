//! What the closure lays out, against what `npm ci --ignore-scripts --omit=dev` does.
//!
//! The same paths, bytes, executable bits and link targets; nothing is ignored but npm's own `.package-lock.json` and
//! folders without any file, which a bundle does not have. Needs npm 7 or newer and the registry it is configured for.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{BundlePath, Cpu, Digest, Libc, Os, Platform};
use nodejs_semver::Version;
use xtask::closure::{self, Closure, Host, Origin, Scope};
use xtask::context::Context;
use xtask::fetch::{self, Place, Request};
use xtask::layout::{self, Method};
use xtask::registry::Registry;
use xtask::report::Reporter;
use xtask::store::Store;
use xtask::tree::{Node, Tree};

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
    let root =
        Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace");
    let (theirs, ours) = (work.join("npm"), work.join("gangway"));
    copy(&root.join(project), &theirs);
    lay_out(&theirs, &ours);
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

/// The production closure of the lockfile in `project`, written to `folder`.
fn lay_out(project: &Utf8Path, folder: &Utf8Path) {
    let lockfile = project.join("package-lock.json");
    let text = fs_err::read_to_string(&lockfile).expect("the lockfile is there");
    let (node, platform) = machine();
    let host = Host { platform: &platform, node: Some(&node) };
    let closure = closure::read(&text, &lockfile, host, Scope::Production).expect("npm wrote it");

    let cache = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join("closure-matches-npm");
    let context =
        Context::new(std::env::vars().collect(), project.to_owned(), cache, Reporter::silent());
    let store = Store::open(&context).expect("the store can be opened");
    let registry = Registry::load(&context, project).expect("npm's configuration can be read");
    let unpacked = fetch::all(&context, &store, &registry, &requests(&closure, project))
        .expect("everything can be fetched");
    let folders = folders(&closure, project, &store);
    let mut tree = closure::assemble(&closure, &unpacked, &folders).expect("it fits together");
    closure::settle_programs(&closure, &mut tree, &store).expect("programs can be settled");
    layout::write(&tree, folder, Method::Link).expect("the tree can be written");
}

fn requests(closure: &Closure, project: &Utf8Path) -> Vec<Request> {
    let place = |package: &closure::Package| match package.origin.clone() {
        Origin::Registry { integrity, resolved } => {
            let (name, version) = (package.name.clone(), package.version.clone());
            Some((integrity, Place::Registry { name, version, resolved }))
        }
        Origin::Url { integrity, url } => Some((integrity, Place::Url(url))),
        Origin::File { integrity, path } => Some((integrity, Place::File(project.join(path)))),
        Origin::Bundled | Origin::Folder { .. } => None,
    };
    let request = |package: &closure::Package| {
        let (integrity, place) = place(package)?;
        Some(Request { what: package.path.to_string(), integrity, place })
    };
    closure.packages.iter().filter_map(request).collect()
}

fn folders(closure: &Closure, project: &Utf8Path, store: &Store) -> BTreeMap<Utf8PathBuf, Tree> {
    let mut folders = BTreeMap::new();
    for package in &closure.packages {
        let Origin::Folder { path } = &package.origin else { continue };
        let mut tree = Tree::default();
        for file in files(&project.join(path)) {
            let inside = file.strip_prefix(project.join(path)).expect("it was found there");
            let source = store.add_file(&file, is_executable(&file)).expect("it can be copied");
            tree.insert(BundlePath::new(inside.as_str()).expect("is plain"), Node::File(source));
        }
        folders.insert(path.clone(), tree);
    }
    folders
}

fn npm_ci(project: &Utf8Path) {
    let arguments = ["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"];
    let run = Command::new("npm").args(arguments).current_dir(project).output();
    let output = run.expect("this test needs npm: it compares with what npm lays out");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "npm failed in {project}:\n{errors}");
}

/// The Node.js that npm runs on, which decides what it installs.
fn machine() -> (Version, Platform) {
    let script = "const { header } = process.report.getReport();
        console.log(process.version, process.platform, process.arch, header.glibcVersionRuntime ?? '')";
    let run = Command::new("node").args(["-e", script]).output();
    let output = run.expect("this test needs node: it compares with what npm lays out");
    let text = String::from_utf8(output.stdout).expect("node prints text");
    let words: Vec<_> = text.split_whitespace().collect();
    let libc = if words.len() > 3 { Libc::Glibc } else { Libc::Musl };
    let (os, libc) = match words[1] {
        "linux" => (Os::Linux, Some(libc)),
        "darwin" => (Os::Darwin, None),
        other => panic!("this test does not know the system {other}"),
    };
    let cpu = if words[2] == "arm64" { Cpu::Arm64 } else { Cpu::X64 };
    (words[0].parse().expect("node prints its version"), Platform { os, cpu, libc })
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

fn copy(from: &Utf8Path, to: &Utf8Path) {
    for file in files(from) {
        let inside = file.strip_prefix(from).expect("it was found there");
        if inside.starts_with("node_modules") {
            continue;
        }
        let copy = to.join(inside);
        fs_err::create_dir_all(copy.parent().expect("is in a folder")).expect("can be made");
        fs_err::copy(&file, &copy).expect("can be copied");
    }
}

/// Every file and link below `folder`.
fn files(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8().expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").into_path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn is_executable(file: &Utf8Path) -> bool {
    let metadata = fs_err::symlink_metadata(file).expect("the file is there");
    metadata.is_file() && metadata.permissions().mode() & 0o100 != 0
}
