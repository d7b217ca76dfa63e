//! Laying a project out with Gangway, and looking at what lies in a folder.
#![allow(dead_code, reason = "every test that compares uses some of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Cpu, Digest, Libc, Os, Platform};
use nodejs_semver::Version;
use serde_json::Value;
use xtask::closure::{self, Closure, Host, Origin, Project, Scope};
use xtask::context::Context;
use xtask::fetch::{self, Place, Request};
use xtask::layout::{self, Method};
use xtask::own_files::OwnFiles;
use xtask::registry::Registry;
use xtask::report::Reporter;
use xtask::store::Store;

/// The repository.
pub(crate) fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace")
}

/// A builder that works on `project`, with a cache that all tests share.
pub(crate) fn builder(project: &Utf8Path) -> (Context, Store, Registry) {
    let cache = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join("closure-matches-npm");
    let context =
        Context::new(std::env::vars().collect(), project.to_owned(), cache, Reporter::silent());
    let store = Store::open(&context).expect("the store can be opened");
    let registry = Registry::load(&context, project).expect("npm's configuration can be read");
    (context, store, registry)
}

/// The production closure of the gateway in the folder `member` of `project`, written to `folder`.
pub(crate) fn lay_out(project: &Utf8Path, lockfile: &str, member: &str, folder: &Utf8Path) {
    let lockfile = project.join(lockfile);
    let text = fs_err::read_to_string(&lockfile).expect("the lockfile is there");
    let package_json = fs_err::read_to_string(project.join(member).join("package.json"));
    let patches = closure::patch_files(&text, &lockfile).expect("it can be read");
    let patch = |file: Utf8PathBuf| {
        let text = fs_err::read_to_string(project.join(&file)).expect("the patch is there");
        (file, text)
    };
    let patches = patches.into_iter().map(patch).collect();
    let project_of_lockfile = Project {
        lockfile: &lockfile,
        text: &text,
        member: Utf8Path::new(member),
        package_json: Some(&package_json.expect("it has a package.json")),
        patches: &patches,
    };
    let (node, platform) = machine();
    let host = Host { platform: &platform, node: Some(&node) };
    let closure = project_of_lockfile
        .closure(host, Scope::Production)
        .unwrap_or_else(|error| panic!("{:?}", miette::Report::new(error)));

    let (context, store, registry) = builder(project);
    let unpacked = fetch::all(&context, &store, &registry, &requests(&closure, project))
        .expect("everything can be fetched");
    let folders = OwnFiles::folders(project, [&closure]).expect("the folders can be read");
    let closure = closure::described(&closure, &unpacked, &folders).expect("can be described");
    let mut tree = closure::assemble(&closure, &unpacked, &folders).expect("it fits together");
    closure::apply_patches(&closure, &mut tree, &store).expect("the patches fit");
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

/// Runs a package manager in `project`.
pub(crate) fn run(project: &Utf8Path, program: &[&str], environment: &[(&str, &str)]) {
    let environment = environment.iter().copied();
    let run = Command::new(program[0])
        .args(&program[1..])
        .current_dir(project)
        .envs(environment)
        .output()
        .unwrap_or_else(|error| panic!("this test needs {}: {error}", program[0]));
    let (output, errors) =
        (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{program:?} failed in {project}:\n{output}\n{errors}");
}

/// The Node.js that npm runs on, which decides what it installs.
pub(crate) fn machine() -> (Version, Platform) {
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

/// A package as it lies in a folder.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// What its dependencies mean to it, over all its copies: name to `name@version`.
    pub(crate) resolved: BTreeMap<String, BTreeSet<String>>,
    /// Its files, and what is in them.
    pub(crate) files: BTreeMap<String, String>,
    /// Its places, relative to the project.
    pub(crate) places: BTreeSet<String>,
    /// Whether it is not below a `node_modules`, or is a workspace's.
    pub(crate) is_own: bool,
}

/// Everything that the package in `start` finds as Node.js looks for it, and what that finds in turn; by `name@version`.
pub(crate) fn reached(root: &Utf8Path, start: &Utf8Path) -> BTreeMap<String, Found> {
    let root = root.canonicalize_utf8().expect("it is there");
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut queue = vec![start.canonicalize_utf8().expect("it is there")];
    while let Some(folder) = queue.pop() {
        if !seen.insert(folder.clone()) {
            continue;
        }
        let manifest = manifest(&folder);
        let package = found.entry(identity(&manifest)).or_default();
        let place = folder.strip_prefix(&root).expect("nothing is found outside").to_string();
        package.is_own = !place.contains("node_modules");
        package.places.insert(place);
        package.files = contents(&folder);
        for list in ["dependencies", "optionalDependencies", "peerDependencies"] {
            for name in manifest[list].as_object().into_iter().flatten().map(|(name, _)| name) {
                let target = resolve(&root, &folder, name);
                let what = target.as_ref().map_or_else(
                    || "nothing".to_owned(),
                    |target| identity(&self::manifest(target)),
                );
                package.resolved.entry(name.clone()).or_default().insert(what);
                queue.extend(target);
            }
        }
    }
    found
}

fn resolve(root: &Utf8Path, from: &Utf8Path, name: &str) -> Option<Utf8PathBuf> {
    let above = from.ancestors().take_while(|folder| folder.starts_with(root));
    above
        .map(|folder| folder.join("node_modules").join(name))
        .find(|folder| folder.join("package.json").is_file())
        .map(|folder| folder.canonicalize_utf8().expect("it is there"))
}

fn manifest(folder: &Utf8Path) -> Value {
    let text = fs_err::read_to_string(folder.join("package.json")).expect("it was found there");
    serde_json::from_str(&text).expect("it is JSON")
}

fn identity(manifest: &Value) -> String {
    let text = |key: &str| manifest[key].as_str().unwrap_or("none").to_owned();
    format!("{}@{}", text("name"), text("version"))
}

/// The packages in the `node_modules` of `project`, at whatever depth: place to `name@version`.
pub(crate) fn installed(project: &Utf8Path) -> BTreeMap<String, String> {
    let packages = files(project).into_iter().filter_map(|file| {
        let place = file.strip_prefix(project).ok()?.parent()?.to_owned();
        let above = place.as_str().rsplit_once("node_modules/")?.1;
        let depth = if above.starts_with('@') { 2 } else { 1 };
        let is_package =
            file.file_name() == Some("package.json") && above.split('/').count() == depth;
        let package = file.parent().filter(|_| is_package)?;
        Some((place.to_string(), identity(&manifest(package))))
    });
    packages.collect()
}

/// The files of one package, without those of others inside it.
fn contents(folder: &Utf8Path) -> BTreeMap<String, String> {
    let own = files(folder).into_iter().filter_map(|file| {
        let inside = file.strip_prefix(folder).ok()?.to_string();
        // Bun marks what it patched.
        if inside.split('/').any(|part| part == "node_modules") || inside.starts_with(".bun-tag-") {
            return None;
        }
        let digest = Digest::of(fs_err::read(&file).expect("can be read")).to_string();
        Some((inside, digest))
    });
    own.collect()
}

/// Copies a project, without what was installed in it.
pub(crate) fn copy(from: &Utf8Path, to: &Utf8Path) {
    for file in files(from) {
        let inside = file.strip_prefix(from).expect("it was found there");
        if inside.components().any(|part| part.as_str() == "node_modules") {
            continue;
        }
        let copy = to.join(inside);
        fs_err::create_dir_all(copy.parent().expect("is in a folder")).expect("can be made");
        fs_err::copy(&file, &copy).expect("can be copied");
    }
}

/// Every file and link below `folder`.
pub(crate) fn files(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
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

pub(crate) fn is_executable(file: &Utf8Path) -> bool {
    let metadata = fs_err::symlink_metadata(file).expect("the file is there");
    metadata.is_file() && metadata.permissions().mode() & 0o100 != 0
}
