//! Compiles an addon's sources for a target, on this machine.
//!
//! The real node-gyp runs, on the runtime that is pinned for this machine, or CMake as cmake-js would call it (`cmake`), in a
//! private copy of the package and behind the same fence as install scripts: no network, nothing to write to but the copy. The headers are those of the target's own
//! runtime, the compilers are zig's. A result is kept under a key that names everything it was made of, the system's
//! `make` and Python aside.
//!
//! Deliberately absent: building for another system than Linux. gyp asks the machine it runs on what a macOS or Windows
//! addon is linked with.

mod cmake;
mod compilers;
mod surroundings;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use gangway_artifact::{BundlePath, Digest, Os};
use serde::Serialize;

use super::code::{Code, Fit};
use super::decide::Job;
use super::error::AddonError;
use crate::capture::{self, Changes};
use crate::config::{BuildSystem, Recipe};
use crate::confine::{Access, Confinement};
use crate::context::Context;
use crate::fetch::{Place, Request};
use crate::integrity::Integrity;
use crate::layout::{self, Method};
use crate::native::Natives;
use crate::process::Command;
use crate::store::Store;
use crate::target::Target;
use crate::toolchain::{self, Compilers, Tool};
use crate::tree::{Node, Source, Tree};
use crate::workshop::{Ground, Workshop, WorkshopError};

/// node-gyp comes from npm's own tarball, which has it with all it depends on: one digest pins everything.
const NPM: &str = "11.6.2";
const NPM_INTEGRITY: &str = "sha512-7iKzNfy8lWYs3zq4oFPa8EXZz5xt9gQNKJZau3B1ErLBb6bF7sBJ00x09485DOvRT2l5Gerbl3VlZNT57MxJVA==";
const NODE_GYP: &str = "npm/node_modules/node-gyp/bin/node-gyp.js";

static INTEGRITY: LazyLock<Integrity> =
    LazyLock::new(|| NPM_INTEGRITY.parse().expect("a digest that was copied right"));

/// What addons are built with.
#[derive(Debug, Clone, Copy)]
pub struct Bench<'a> {
    /// The outside world.
    pub context: &'a Context,
    /// The store.
    pub store: &'a Store,
    /// Whether a fence is required.
    pub confinement: Confinement,
    /// The runtime pinned for this machine: its executable.
    pub node: &'a Source,
    /// The tarball of [`request()`], unpacked.
    pub npm: &'a Tree,
    /// `include/node/...` of the target's runtime.
    pub headers: &'a Tree,
    /// The target.
    pub target: &'a Target,
}

/// The archive with node-gyp.
#[must_use]
pub fn request() -> Request {
    let (name, version) = ("npm".to_owned(), NPM.to_owned());
    Request {
        what: format!("node-gyp in npm {NPM}"),
        integrity: INTEGRITY.clone(),
        place: Place::Registry { name, version, resolved: None },
    }
}

/// The digest of that archive.
#[must_use]
pub fn integrity() -> &'static Integrity {
    &INTEGRITY
}

/// The headers in a runtime's archive, as `include/node/...`, wherever they lie in it.
#[must_use]
pub fn headers(archive: &Tree) -> Tree {
    const MARK: &str = "include/node/node_version.h";
    let found = archive.files().find_map(|(path, _)| path.as_str().strip_suffix(MARK));
    let Some(start) = found else { return Tree::default() };
    archive
        .iter()
        .filter_map(|(path, node)| {
            let inside = path.as_str().strip_prefix(start)?;
            let path =
                inside.starts_with("include/node/").then(|| BundlePath::new(inside).ok())??;
            Some((path, node.clone()))
        })
        .collect()
}

/// Builds the package of `job`, which lies in `tree`, and puts what came of it there.
///
/// # Errors
/// When it brings no sources, they do not compile, or what came of them is not for the target.
pub fn run(
    bench: &Bench<'_>,
    job: &Job,
    recipe: &Recipe,
    tree: &mut Tree,
) -> Result<(), AddonError> {
    let system = system(bench, job, recipe, tree)?;
    let tools = Tools {
        compilers: toolchain::compilers(bench.context, bench.target)?,
        cmake: match system {
            BuildSystem::NodeGyp => None,
            BuildSystem::CmakeJs => {
                let wanted = format!("{} for `{}`", job.name, bench.target.name);
                Some(toolchain::cmake(bench.context, &wanted)?)
            }
        },
    };
    let around = surroundings::of(tree, &job.path);
    let key = key(bench, job, recipe, &tools, &around);
    let made = match Changes::recall_shared(bench.store, &key)? {
        Some(made) => made,
        None => {
            let made = compile(bench, job, recipe, &tools, &around)?;
            made.remember_shared(bench.store, &key)?;
            made
        }
    };
    made.apply(tree);
    Ok(())
}

/// What this machine has for it.
struct Tools {
    compilers: Compilers,
    /// For packages that build with it; else node-gyp does.
    cmake: Option<Tool>,
}

/// What builds it: whether there is something to build, and a way to.
fn system(
    bench: &Bench<'_>,
    job: &Job,
    recipe: &Recipe,
    tree: &Tree,
) -> Result<BuildSystem, AddonError> {
    let refuse = |reason: String| {
        let (name, version) = (job.name.clone(), job.version.clone());
        Err(AddonError::CannotBuild { name, version, target: bench.target.name.clone(), reason })
    };
    let system = recipe.system.or(job.sources).unwrap_or(BuildSystem::NodeGyp);
    if tree.get(&format!("{}/{}", job.path, system.file())).is_none() {
        return refuse(format!("it has no `{}`", system.file()));
    }
    if bench.target.platform.os != Os::Linux {
        return refuse(format!(
            "{} on Linux cannot compile for {}",
            system.as_str(),
            bench.target.platform.os.as_str()
        ));
    }
    if bench.headers.is_empty() {
        return refuse("the archive of its runtime has no headers".to_owned());
    }
    Ok(system)
}

/// Everything a result depends on; the system's own programs aside.
fn key(bench: &Bench<'_>, job: &Job, recipe: &Recipe, tools: &Tools, around: &Tree) -> String {
    #[derive(Serialize)]
    struct Inputs<'input> {
        package: &'input str,
        files: Digest,
        headers: Digest,
        node: Digest,
        npm: &'input str,
        compilers: String,
        cmake: Option<&'input str>,
        wrapper: &'input str,
        cpu: &'input str,
        env: &'input BTreeMap<String, String>,
        is_confined: bool,
    }
    let inputs = Inputs {
        package: job.path.as_str(),
        files: capture::fingerprint(around),
        headers: capture::fingerprint(bench.headers),
        node: bench.node.sha256,
        npm: NPM_INTEGRITY,
        compilers: tools.compilers.identity(),
        cmake: tools.cmake.as_ref().map(|cmake| cmake.version.as_str()),
        wrapper: compilers::WRAPPER,
        cpu: bench.target.platform.cpu.as_str(),
        env: &recipe.env,
        is_confined: bench.confinement == Confinement::Required,
    };
    let inputs = serde_json::to_vec(&inputs).expect("texts and digests have a JSON form");
    format!("addons-v2 {}", Digest::of(inputs))
}

fn compile(
    bench: &Bench<'_>,
    job: &Job,
    recipe: &Recipe,
    tools: &Tools,
    around: &Tree,
) -> Result<Changes, AddonError> {
    let Bench { context, store, confinement, target, .. } = *bench;
    let progress =
        context.reporter.spinner("Building", format!("{} for {}", job.name, target.name));
    let mut workshop = Workshop::open(context, store, confinement, Ground::Copies)?;
    lay_out(bench, job, &workshop, &tools.compilers, around)?;
    workshop.show(tools.compilers.shown());
    // `<prefix>/bin/cmake` needs `<prefix>/share`.
    let prefix = tools.cmake.as_ref().and_then(|cmake| cmake.program.parent()?.parent());
    workshop.show(prefix.map(|prefix| (prefix.to_owned(), Access::Read)));
    let failed = |source: WorkshopError| AddonError::Build {
        name: job.name.clone(),
        version: job.version.clone(),
        target: target.name.clone(),
        source: Box::new(source),
    };
    let access = [("", Access::Read), (job.path.as_str(), Access::Write)];
    let log = format!("{}-{}-{}", job.name.replace('/', "+"), job.version, target.name);
    for command in commands(bench, job, recipe, tools, around, &workshop) {
        workshop.run(command, &access, &log).map_err(failed)?;
    }
    drop(progress);
    let made = capture::changes(store, &workshop.app(), around, &[job.path.as_str()])?;
    let made = products(bench, job, &made)?;
    context.reporter.done("Built", format!("{} {} for {}", job.name, job.version, target.name));
    Ok(made)
}

/// Writes out what node-gyp and the compilers look at: the package as a copy, the rest to be read.
fn lay_out(
    bench: &Bench<'_>,
    job: &Job,
    workshop: &Workshop<'_>,
    compilers: &Compilers,
    around: &Tree,
) -> Result<(), AddonError> {
    // A link would let an unfenced program write to the store.
    let method = match bench.confinement {
        Confinement::Required => Method::Link,
        Confinement::Unconfined => Method::Copy,
    };
    let (mut package, mut others) = (around.clone(), around.clone());
    package.retain(|path, _| capture::covers(job.path.as_str(), path));
    others.retain(|path, _| !capture::covers(job.path.as_str(), path));
    layout::write(&others, &workshop.app(), method)?;
    layout::write(&package, &workshop.app(), Method::Copy)?;

    let mut tools = Tree::default();
    let node = Node::File(bench.node.clone().made_executable());
    tools.insert(BundlePath::new("bin/node").expect("it is one"), node);
    for (folder, tree) in [("npm", bench.npm), ("headers", bench.headers)] {
        for (path, node) in tree.iter() {
            if let Ok(path) = BundlePath::new(format!("{folder}/{path}")) {
                tools.insert(path, node.clone());
            }
        }
    }
    for (name, text) in compilers::wrappers(compilers) {
        let source = bench.store.add_bytes(text.as_bytes(), true)?;
        tools.insert(BundlePath::new(name).expect("it is one"), Node::File(source));
    }
    layout::write(&tools, &workshop.tools(), method)?;
    Ok(())
}

/// One after the other.
fn commands(
    bench: &Bench<'_>,
    job: &Job,
    recipe: &Recipe,
    tools: &Tools,
    around: &Tree,
    workshop: &Workshop<'_>,
) -> Vec<Command> {
    let purpose = format!("build {} {} for {}", job.name, job.version, bench.target.name);
    let tool = |name: &str| workshop.seen_tools(name).into_string();
    let commands = match &tools.cmake {
        None => {
            let node_gyp = Command::new(purpose, workshop.seen_tools("bin/node"))
                .arg(tool(NODE_GYP))
                .args(["rebuild", "--release"])
                .arg(format!("--nodedir={}", tool("headers")))
                .arg(format!("--arch={}", bench.target.platform.cpu.as_str()))
                .arg(format!("--jobs={}", bench.context.jobs));
            vec![node_gyp]
        }
        Some(Tool { program, .. }) => {
            let with = (program, &tools.compilers);
            cmake::commands(bench, &purpose, &job.path, around, with, workshop).into()
        }
    };
    let settle = |command: Command| {
        command
            .current_dir(workshop.seen(job.path.as_str()))
            .envs(tools.compilers.variables())
            .env("CC", tool("bin/cc"))
            .env("CXX", tool("bin/c++"))
            .env("PATH", workshop.search_path(&[workshop.seen_tools("bin")]))
            .envs(recipe.env.clone())
    };
    commands.into_iter().map(settle).collect()
}

/// What was made that something loads: not what it was linked from.
fn products(bench: &Bench<'_>, job: &Job, made: &Changes) -> Result<Changes, AddonError> {
    let natives = Natives::default();
    let mut products = Tree::default();
    for (path, source) in made.present.files() {
        let inside = path.below(job.path.as_str()).unwrap_or_default();
        let is_intermediate =
            ["/obj.target/", "/.deps/", "/CMakeFiles/"].iter().any(|part| inside.contains(part));
        if is_intermediate || !inside.ends_with(".node") {
            continue;
        }
        let read = |source: std::io::Error| AddonError::Read { path: path.as_str().into(), source };
        let fit = Code::read(&natives, source).map_err(read)?;
        let fit = fit.map(|code| code.fit(&bench.target.platform));
        if fit == Some(Fit::Own) {
            products.insert(path.clone(), Node::File(source.clone()));
        }
    }
    if products.is_empty() {
        return Err(AddonError::CannotBuild {
            name: job.name.clone(),
            version: job.version.clone(),
            target: bench.target.name.clone(),
            reason: "its build made no addon for it".to_owned(),
        });
    }
    Ok(Changes { present: products, removed: Vec::new() })
}
