//! The native code of every target, against what `npm ci --os --cpu --libc` selects for it; and after pruning, that none
//! of another platform is left.
//!
//! Compared are the paths and bytes of every file that is native code by its content. Needs npm 10 or newer and the
//! registry it is configured for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Digest, Platform};
use nodejs_semver::Version;
use xtask::addons::{self, Code, Fit, Library, NodeAbi, Reference, Setting};
use xtask::closure::{self, Closure, Host, Scope};
use xtask::config;
use xtask::context::Context;
use xtask::fetch;
use xtask::native::Natives;
use xtask::plan;
use xtask::prune;
use xtask::registry::Registry;
use xtask::report::Reporter;
use xtask::store::Store;
use xtask::target::Targets;
use xtask::tree::{Source, Tree};

/// The runtime that decisions are made for.
const PINNED: &str = "24.21.0";

#[test]
fn every_convention_for_every_platform() {
    insta::assert_snapshot!(compare("xtask/src/addons/testdata/natives"), @"
    linux-x64-glibc
      better-sqlite3: no binary is in it; its `install` script calls `prebuild-install`
    linux-x64-musl
      better-sqlite3: no binary is in it; its `install` script calls `prebuild-install`
      bufferutil: its native code is made for darwin arm64, darwin x64, linux x64 glibc, win32 ia32, win32 x64
      sqlite-vec: `sqlite-vec-linux-x64` is made for linux x64 glibc
    linux-arm64-glibc
      better-sqlite3: no binary is in it; its `install` script calls `prebuild-install`
      bufferutil: its native code is made for darwin arm64, darwin x64, linux x64 glibc, win32 ia32, win32 x64
      utf-8-validate: its native code is made for darwin arm64, darwin x64, linux x64 glibc, linux x64 musl, win32 ia32, win32 x64
    linux-arm64-musl
      better-sqlite3: no binary is in it; its `install` script calls `prebuild-install`
      bufferutil: its native code is made for darwin arm64, darwin x64, linux x64 glibc, win32 ia32, win32 x64
      sqlite-vec: `sqlite-vec-linux-arm64` is made for linux arm64 glibc
      utf-8-validate: its native code is made for darwin arm64, darwin x64, linux x64 glibc, linux x64 musl, win32 ia32, win32 x64
    darwin-x64
      argon2: its native code is made for darwin arm64, linux arm glibc, linux arm musl, linux arm64 glibc, linux arm64 musl, linux x64 glibc, linux x64 musl, win32 x64
      better-sqlite3: no binary is in it; its `install` script calls `prebuild-install`
    darwin-arm64
      better-sqlite3: no binary is in it; its `install` script calls `prebuild-install`
    win32-x64
      better-sqlite3: no binary is in it; its `install` script calls `prebuild-install`
    win32-arm64
      argon2: its native code is made for darwin arm64, linux arm glibc, linux arm musl, linux arm64 glibc, linux arm64 musl, linux x64 glibc, linux x64 musl, win32 x64
      better-sqlite3: no binary is in it; its `install` script calls `prebuild-install`
      bufferutil: its native code is made for darwin arm64, darwin x64, linux x64 glibc, win32 ia32, win32 x64
      sqlite-vec: none of its 5 platform packages is for it
      utf-8-validate: its native code is made for darwin arm64, darwin x64, linux x64 glibc, linux x64 musl, win32 ia32, win32 x64
    ");
}

#[test]
#[ignore = "a dozen installations of a large gateway: run it by hand when the selection changes"]
fn openclaw() {
    insta::assert_snapshot!(compare("examples/openclaw"), @"
    linux-x64-glibc
    linux-x64-musl
      @lydell/node-pty: `@lydell/node-pty-linux-x64` is made for linux x64 glibc
      @trycua/cua-driver: none of its 6 platform packages is for it
      sqlite-vec: `sqlite-vec-linux-x64` is made for linux x64 glibc
    linux-arm64-glibc
    linux-arm64-musl
      @lydell/node-pty: `@lydell/node-pty-linux-arm64` is made for linux arm64 glibc
      @trycua/cua-driver: none of its 6 platform packages is for it
      sqlite-vec: `sqlite-vec-linux-arm64` is made for linux arm64 glibc
    darwin-x64
    darwin-arm64
    win32-x64
    win32-arm64
      @openclaw/fs-safe: none of its 7 platform packages is for it
      sqlite-vec: none of its 5 platform packages is for it
    ");
}

/// Compares the native code of `project` on every platform, and says what each lacks.
fn compare(project: &str) -> String {
    let work = tempfile::tempdir().expect("a temporary folder can be made");
    let work = Utf8Path::from_path(work.path()).expect("its name is UTF-8");
    let root =
        Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace");
    let project = root.join(project);
    let cache = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join("addons-match-npm");
    let context =
        Context::new(std::env::vars().collect(), project.clone(), cache, Reporter::silent());
    let store = Store::open(&context).expect("the store can be opened");
    let registry = Registry::load(&context, &project).expect("npm's configuration can be read");

    let (node, pinned) = (node(), PINNED.parse().expect("a version"));
    let host = Targets::built_in().host().expect("tests run on a target").platform;
    let mut platforms: Vec<Platform> =
        Targets::built_in().iter().map(|target| target.platform).collect();
    platforms.sort_unstable();
    platforms.dedup();
    let mut report = String::new();
    for platform in platforms {
        let closure = read(&project, &platform, &node);
        // npm decides by the Node it runs on, a bundle by the one that is pinned.
        let bundled = read(&project, &platform, &pinned);
        let requests =
            [&closure, &bundled].map(|closure| plan::package_requests(closure, &project));
        let requests = requests.concat();
        let fetched =
            fetch::all(&context, &store, &registry, &requests).expect("everything can be fetched");
        let mut tree =
            closure::assemble(&closure, &fetched, &BTreeMap::new()).expect("it fits together");
        let name = describe(&platform);
        let ours = natives(&tree);
        let theirs = npm_ci(&project, &work.join(&name), &platform);
        assert_eq!(ours, theirs, "{name}");

        let known = Natives::default();
        let library = Library::read(&fetched, &BTreeMap::new(), &known).expect("readable");
        let references = references(&project, &platform, &host, &pinned);
        let target = "any".parse().expect("a name");
        let setting = Setting {
            target: &target,
            platform: &platform,
            abi: NodeAbi::of("node", PINNED),
            closure: &bundled,
            references: &references,
        };
        let decision = addons::decide(&setting, &library, &[], &[]);
        let _ = writeln!(report, "{name}");
        for lack in &decision.lacks {
            let _ = writeln!(report, "  {}: {}", lack.name, lack.because);
        }
        for note in &decision.notes {
            let _ = writeln!(report, "  {note}");
        }

        prune::apply(
            &mut tree,
            &config::Prune::default(),
            &platform,
            Some(config::Engine::Node),
            &known,
        )
        .expect("it can be pruned");
        for (path, source) in tree.files() {
            let fit = Code::read(&known, source).expect("readable").map(|code| code.fit(&platform));
            assert_ne!(fit, Some(Fit::Foreign), "{name}: {path} is left");
        }
    }
    report
}

fn read(project: &Utf8Path, platform: &Platform, node: &Version) -> Closure {
    let lockfile = project.join("package-lock.json");
    let text = fs_err::read_to_string(&lockfile).expect("the lockfile is there");
    closure::read(&text, &lockfile, Host { platform, node: Some(node) }, Scope::Production)
        .expect("npm wrote it")
}

fn references(
    project: &Utf8Path,
    own: &Platform,
    host: &Platform,
    node: &Version,
) -> Vec<Reference> {
    let mut platforms = own.siblings();
    platforms.push(*host);
    let reference = |platform: Platform| Reference {
        platform,
        packages: read(project, &platform, node)
            .packages
            .into_iter()
            .map(|package| package.name)
            .collect(),
    };
    platforms.into_iter().filter(|platform| platform != own).map(reference).collect()
}

/// Every file of native code below a `node_modules`, with its digest.
fn natives(tree: &Tree) -> BTreeMap<String, Digest> {
    let known = Natives::default();
    tree.files()
        .filter(|(_, source)| Code::read(&known, source).expect("readable").is_some())
        .map(|(path, source)| (path.to_string(), source.sha256))
        .collect()
}

/// The same of what npm lays out for another platform.
fn npm_ci(project: &Utf8Path, folder: &Utf8Path, platform: &Platform) -> BTreeMap<String, Digest> {
    fs_err::create_dir_all(folder).expect("writable");
    for file in ["package.json", "package-lock.json", ".npmrc"] {
        if project.join(file).exists() {
            fs_err::copy(project.join(file), folder.join(file)).expect("it can be copied");
        }
    }
    let mut command = Command::new("npm");
    command.args(["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"]);
    command.args(["--os", platform.os.as_str(), "--cpu", platform.cpu.as_str()]);
    // Without it npm takes this machine's C library, whatever the system.
    command.args(["--libc", platform.libc.map_or("none", |libc| libc.as_str())]);
    let run = command.current_dir(folder).output();
    let output = run.expect("this test needs npm: it compares with what npm selects");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "npm failed for {}:\n{errors}", describe(platform));
    let (known, mut natives) = (Natives::default(), BTreeMap::new());
    for path in files(&folder.join("node_modules")) {
        let digest = Digest::of(fs_err::read(&path).expect("readable"));
        let source = Source::new(path, 0, false, digest);
        if Code::read(&known, &source).expect("readable").is_some() {
            let path = source.path();
            let inside = path.strip_prefix(folder).expect("it was found there");
            natives.insert(inside.to_string(), digest);
        }
    }
    fs_err::remove_dir_all(folder).expect("it is ours");
    natives
}

/// The Node.js that npm runs on: what packages ask of it in `engines` decides what is installed.
fn node() -> Version {
    let output = Command::new("node").arg("--version").output();
    let output = output.expect("this test needs node: it compares with what npm selects");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a version")
}

fn describe(platform: &Platform) -> String {
    let libc = platform.libc.map(|libc| format!("-{}", libc.as_str())).unwrap_or_default();
    format!("{}-{}{libc}", platform.os.as_str(), platform.cpu.as_str())
}

/// Every regular file below `folder`.
fn files(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8().expect("the folder can be listed") {
        let entry = entry.expect("the folder can be listed");
        let kind = entry.file_type().expect("it can be looked at");
        if kind.is_dir() {
            found.extend(files(entry.path()));
        } else if kind.is_file() {
            found.push(entry.path().to_owned());
        }
    }
    found
}
