//! What the closure lays out of lockfiles of pnpm and Bun and for one package of a workspace, against what the package
//! managers themselves do.
//!
//! From the gateway on, every package must find the same packages under the same names, with the same files. Without a workspace the
//! places are the same too. Needs Node.js and the registry that npm is configured for;
//! pnpm and Bun come from there, at the versions that are named here.

mod closures;

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use closures::{Found, builder, copy, installed, lay_out, reached};
use gangway_artifact::Cpu;
use xtask::fetch::{self, Place, Request};
use xtask::layout::{self, Method};

const PNPM: (&str, &str) = ("pnpm", "10.34.9");
const BUN: (&str, &str) = ("@oven/bun-linux", "1.4.5");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Npm,
    Pnpm,
    Bun,
}

#[test]
fn pnpm_aliases_natives_and_conflicts() {
    compare(Manager::Pnpm, "pnpm-mixed", "");
}

#[test]
fn pnpm_openclaw() {
    compare(Manager::Pnpm, "pnpm-openclaw", "");
}

#[test]
fn pnpm_workspace_with_patches_and_overrides() {
    compare(Manager::Pnpm, "pnpm-workspace", "apps/gateway");
}

#[test]
fn bun_aliases_natives_and_conflicts() {
    compare(Manager::Bun, "bun-mixed", "");
}

#[test]
fn bun_openclaw() {
    compare(Manager::Bun, "bun-openclaw", "");
}

#[test]
fn bun_workspace_with_patches_and_overrides() {
    compare(Manager::Bun, "bun-workspace", "apps/gateway");
}

#[test]
fn npm_monorepo() {
    compare(Manager::Npm, "npm-monorepo", "apps/gateway");
}

/// Lays the gateway in the folder `member` of a project out twice and compares.
fn compare(manager: Manager, project: &str, member: &str) {
    let work = tempfile::tempdir().expect("a temporary folder can be made");
    let work = Utf8Path::from_path(work.path()).expect("its name is UTF-8");
    let source = closures::root().join("xtask/src/closure/testdata").join(project);
    let (theirs, ours) = (work.join("theirs"), work.join("ours"));
    copy(&source, &theirs);
    // What is shipped of the gateway itself is not the closure's concern.
    copy(&source.join(member), &ours);
    lay_out(&theirs, manager.lockfile(), member, &ours);
    manager.install(&theirs, member, work);

    let start = theirs.join(member);
    let (found_theirs, found_ours) = (reached(&theirs, &start), reached(&ours, &ours));
    let mut differences = Vec::new();
    for (package, theirs) in &found_theirs {
        match found_ours.get(package) {
            None => differences.push(format!("{package} is missing")),
            Some(ours) => differences.extend(difference(package, theirs, ours)),
        }
    }
    let known = |package: &&String| found_theirs.contains_key(*package);
    differences.extend(
        found_ours
            .keys()
            .filter(|package| !known(package))
            .map(|package| format!("{package} is too many")),
    );
    assert!(differences.is_empty(), "{project} differs:\n{}", differences.join("\n"));
    assert!(found_ours.len() > 5, "{project} has something to compare");

    let (theirs_at, ours_at) = (installed(&theirs), installed(&ours));
    for (place, package) in &ours_at {
        assert!(found_ours.contains_key(package), "nothing needs {package} at {place}");
    }
    if member.is_empty() {
        assert_eq!(ours_at, theirs_at, "{project} has the same packages at other places");
        return;
    }
    let output = |folder: &Utf8Path| {
        let run = Command::new("node").arg("main.js").current_dir(folder).output();
        run.expect("this test needs node")
    };
    let (theirs, ours) = (output(&start), output(&ours));
    assert_eq!(ours, theirs);
    assert!(ours.status.success(), "{}", String::from_utf8_lossy(&ours.stderr));
}

fn difference(package: &str, theirs: &Found, ours: &Found) -> Vec<String> {
    let mut differences = Vec::new();
    if theirs.resolved != ours.resolved {
        let list = theirs.resolved.iter().filter(|(name, to)| ours.resolved.get(*name) != Some(to));
        for (name, to) in list {
            let ours = ours.resolved.get(name);
            differences.push(format!("{package} finds for {name} {ours:?}, not {to:?}"));
        }
    }
    // A folder of the workspace is shipped as its package.json lists it, and linked as it is.
    let is_superfluous = |file: &str| theirs.is_own && !ours.files.contains_key(file);
    for (file, digest) in &theirs.files {
        if ours.files.get(file) != Some(digest) && !is_superfluous(file) {
            differences.push(format!("{package}: {file} is not the same"));
        }
    }
    let more = ours.files.keys().filter(|file| !theirs.files.contains_key(*file));
    differences.extend(more.map(|file| format!("{package}: {file} is too many")));
    differences
}

impl Manager {
    fn lockfile(self) -> &'static str {
        match self {
            Self::Npm => "package-lock.json",
            Self::Pnpm => "pnpm-lock.yaml",
            Self::Bun => "bun.lock",
        }
    }

    /// Installs `project` for the gateway in `member` as for production, flat and without scripts.
    fn install(self, project: &Utf8Path, member: &str, work: &Utf8Path) {
        let home = work.join("home");
        fs_err::create_dir_all(&home).expect("can be made");
        let environment = [
            ("XDG_DATA_HOME", home.as_str()),
            ("XDG_CACHE_HOME", home.as_str()),
            ("BUN_INSTALL_CACHE_DIR", home.as_str()),
        ];
        let workspace = format!("--workspace={member}");
        let mut command = match self {
            Self::Npm => vec!["npm", "ci", "--ignore-scripts", "--omit=dev", "--no-audit"],
            Self::Pnpm => {
                vec!["node", "install", "--prod", "--frozen-lockfile", "--ignore-scripts"]
            }
            Self::Bun => {
                vec!["bun", "install", "--production", "--frozen-lockfile", "--ignore-scripts"]
            }
        };
        let program = match self {
            Self::Npm => Utf8PathBuf::new(),
            Self::Pnpm => program(project, PNPM.0, PNPM.1, work).join("bin/pnpm.cjs"),
            Self::Bun => {
                let cpu = match closures::machine().1.cpu {
                    Cpu::Arm64 => "aarch64",
                    Cpu::X64 => "x64",
                };
                program(project, &format!("{}-{cpu}", BUN.0), BUN.1, work).join("bin/bun")
            }
        };
        match self {
            Self::Npm => command.push(&workspace),
            Self::Pnpm => {
                command.insert(1, program.as_str());
                command.push("--config.node-linker=hoisted");
            }
            Self::Bun => {
                command[0] = program.as_str();
                command.push("--linker=hoisted");
            }
        }
        closures::run(project, &command, &environment);
    }
}

/// A program from the registry, laid out below `work`.
fn program(project: &Utf8Path, package: &str, version: &str, work: &Utf8Path) -> Utf8PathBuf {
    let (context, store, registry) = builder(project);
    let published = context.block_on(registry.versions(package)).expect("the registry knows it");
    let integrity = published
        .into_iter()
        .find(|published| published.version.to_string() == version)
        .expect("that version is published")
        .integrity;
    let request = Request {
        what: format!("{package} {version}"),
        integrity: integrity.clone(),
        place: Place::Registry {
            name: package.to_owned(),
            version: version.to_owned(),
            resolved: None,
        },
    };
    let mut fetched = fetch::all(&context, &store, &registry, &[request]).expect("can be fetched");
    let folder = work.join("program");
    let tree = fetched.remove(&integrity).expect("it was fetched");
    layout::write(&tree, &folder, Method::Link).expect("can be written");
    folder
}
