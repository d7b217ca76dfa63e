//! Runs install scripts as npm would, inside a fence.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use gangway_artifact::{BundlePath, Digest, Platform};
use serde::Serialize;

use super::decide::Job;
use super::error::ScriptError;
use super::ground::Grounds;
use super::lifecycle::{Event, Lifecycle};
use crate::capture::{self, Changes};
use crate::confine::{Access, Confinement};
use crate::context::Context;
use crate::layout::{self, Method};
use crate::process::Command;
use crate::store::Store;
use crate::tree::{Node, Source, Tree};
use crate::workshop::{Ground, Workshop, WorkshopError};

/// The npm whose environment scripts get; some look at it.
const NPM_VERSION: &str = "11.6.2";

/// What scripts are run with.
#[derive(Debug, Clone, Copy)]
pub struct Interpreter<'runtime> {
    /// The pinned runtime's executable; it must run on this machine.
    pub executable: &'runtime Source,
    /// Its version, without a `v`.
    pub version: &'runtime str,
    /// The platform the packages are installed for; the scripts run on this one.
    pub platform: &'runtime Platform,
}

/// Where scripts are run.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The outside world.
    pub context: &'a Context,
    /// The store.
    pub store: &'a Store,
    /// Whether a fence is required.
    pub confinement: Confinement,
    /// What other targets' scripts were run on.
    pub grounds: &'a Grounds,
}

/// A job and its package's scripts.
struct Work<'job> {
    job: &'job Job,
    lifecycle: Lifecycle,
}

/// Runs the scripts of `jobs` on the gateway's whole tree (paths such as `node_modules/x/...`) and returns the tree they
/// leave behind. A result is kept: the same scripts on the same tree are not run again.
///
/// # Errors
/// When a script fails, wants what it may not have, or leaves what cannot be bundled.
pub fn run(
    surroundings: Surroundings<'_>,
    interpreter: Interpreter<'_>,
    tree: &Tree,
    jobs: &[Job],
) -> Result<Tree, ScriptError> {
    let Surroundings { store, confinement, .. } = surroundings;
    let mut result = tree.clone();
    let work = read(tree, jobs)?;
    if work.is_empty() {
        return Ok(result);
    }
    let key = key(interpreter, tree, &work, confinement);
    let changes = match Changes::recall(store, &key)? {
        Some(changes) => changes,
        None => {
            let changes = execute(surroundings, interpreter, tree, &work)?;
            changes.remember(store, &key)?;
            changes
        }
    };
    changes.apply(&mut result);
    Ok(result)
}

fn read<'job>(tree: &Tree, jobs: &'job [Job]) -> Result<Vec<Work<'job>>, ScriptError> {
    let mut work = Vec::new();
    for job in jobs {
        let lifecycle = Lifecycle::read(tree, job.path.as_str())?;
        if lifecycle.compiles() {
            let (name, version) = (job.name.clone(), job.version.clone());
            return Err(ScriptError::Compiles { name, version });
        }
        if !lifecycle.commands.is_empty() {
            work.push(Work { job, lifecycle });
        }
    }
    Ok(work)
}

/// Everything a result depends on; the system's own programs aside.
fn key(
    interpreter: Interpreter<'_>,
    tree: &Tree,
    work: &[Work<'_>],
    confinement: Confinement,
) -> String {
    #[derive(Serialize)]
    struct Inputs<'input> {
        interpreter: (&'input str, Digest),
        platform: &'input Platform,
        is_confined: bool,
        npm: &'input str,
        jobs: Vec<&'input Job>,
        tree: Digest,
    }
    let inputs = Inputs {
        interpreter: (interpreter.version, interpreter.executable.sha256),
        platform: interpreter.platform,
        is_confined: confinement == Confinement::Required,
        npm: NPM_VERSION,
        jobs: work.iter().map(|work| work.job).collect(),
        tree: capture::fingerprint(tree),
    };
    let inputs = serde_json::to_vec(&inputs).expect("texts and digests have a JSON form");
    format!("install-scripts-v1 {}", Digest::of(inputs))
}

fn execute(
    surroundings: Surroundings<'_>,
    interpreter: Interpreter<'_>,
    tree: &Tree,
    work: &[Work<'_>],
) -> Result<Changes, ScriptError> {
    let Surroundings { context, store, confinement, .. } = surroundings;
    let workshop = Workshop::open(context, store, confinement, Ground::Layers)?;
    let is_layered = workshop.layers().is_some();
    let changes = match perform_all(surroundings, workshop, interpreter, tree, work) {
        // An overlay cannot do all that a plain folder can: rename a folder that was there before, for one. On private
        // copies it shows whether the script is at fault.
        Err(error @ ScriptError::Failed { .. }) if is_layered => {
            tracing::info!(%error, "trying once more on private copies");
            let workshop = Workshop::open(context, store, confinement, Ground::Copies)?;
            perform_all(surroundings, workshop, interpreter, tree, work)?
        }
        done => done?,
    };
    for work in work {
        context.reporter.done("Ran", format!("the install scripts of {}", work.job.name));
    }
    Ok(changes)
}

fn perform_all(
    surroundings: Surroundings<'_>,
    mut workshop: Workshop<'_>,
    interpreter: Interpreter<'_>,
    tree: &Tree,
    work: &[Work<'_>],
) -> Result<Changes, ScriptError> {
    let Surroundings { context, store, confinement, grounds } = surroundings;
    let progress = context.reporter.count("Scripts", work.len() as u64);
    let regions: Vec<&str> = match confinement {
        Confinement::Required => work.iter().flat_map(|work| folders(work.job)).collect(),
        Confinement::Unconfined => vec![""],
    };
    // Before the workshop, so that it goes away after it.
    let ground = workshop.layers().map(|_| grounds.lay(store, tree)).transpose()?;
    match &ground {
        Some(ground) => workshop.lie_over(ground.folder()),
        None => lay_out_copies(&workshop, tree, &regions)?,
    }
    lay_out_tools(&workshop, interpreter, confinement)?;
    for event in Event::ALL {
        for work in work {
            if let Some(script) = work.lifecycle.commands.get(&event) {
                progress.message(format!("{} {event}", work.job.name));
                perform(&mut workshop, interpreter, work, event, script)?;
            }
        }
    }
    Ok(match workshop.layers() {
        Some(layers) => capture::layer(store, &layers.upper, tree, &regions)?,
        None => capture::changes(store, &workshop.app(), tree, &regions)?,
    })
}

/// The folders a job may write to.
fn folders(job: &Job) -> impl Iterator<Item = &str> {
    std::iter::once(&job.path).chain(&job.writes).map(BundlePath::as_str)
}

/// Writes the tree out without an overlay over it: what scripts may write to as private copies, the rest as links.
fn lay_out_copies(
    workshop: &Workshop<'_>,
    tree: &Tree,
    regions: &[&str],
) -> Result<(), ScriptError> {
    let (mut private, mut shared) = (tree.clone(), tree.clone());
    let is_private = |path: &BundlePath| regions.iter().any(|region| capture::covers(region, path));
    private.retain(|path, _| is_private(path));
    shared.retain(|path, _| !is_private(path));
    layout::write(&shared, &workshop.app(), Method::Link)?;
    layout::write(&private, &workshop.app(), Method::Copy)?;
    Ok(())
}

fn lay_out_tools(
    workshop: &Workshop<'_>,
    interpreter: Interpreter<'_>,
    confinement: Confinement,
) -> Result<(), ScriptError> {
    let mut tools = Tree::default();
    let node = BundlePath::new("bin/node").expect("it is one");
    tools.insert(node, Node::File(interpreter.executable.clone()));
    let method = match confinement {
        Confinement::Required => Method::Link,
        // A link would let the script write to the runtime in the store.
        Confinement::Unconfined => Method::Copy,
    };
    layout::write(&tools, &workshop.tools(), method)?;
    Ok(())
}

fn perform(
    workshop: &mut Workshop<'_>,
    interpreter: Interpreter<'_>,
    work: &Work<'_>,
    event: Event,
    script: &str,
) -> Result<(), ScriptError> {
    let job = work.job;
    let failed = |source: WorkshopError| ScriptError::Failed {
        name: job.name.clone(),
        version: job.version.clone(),
        event,
        source: Box::new(source),
    };
    let mut access = vec![("", Access::Read)];
    for folder in folders(job) {
        workshop.ensure(folder).map_err(failed)?;
        access.push((folder, Access::Write));
    }
    // A folder lies over what is above it.
    access.sort_by_key(|(folder, _)| folder.len());
    let command =
        Command::new(format!("run the {event} script of {} {}", job.name, job.version), "/bin/sh")
            .args(["-c", script])
            .current_dir(workshop.seen(job.path.as_str()))
            .envs(work.lifecycle.variables.clone())
            .envs(environment(workshop, interpreter, job, event, script))
            .envs(job.env.clone());
    let log = format!("{}-{}-{event}", job.name.replace('/', "+"), job.version);
    workshop.run(command, &access, &log).map_err(failed)?;
    Ok(())
}

/// What npm tells a script, of those things that there are here: no npm, hence no `npm_execpath`.
fn environment(
    workshop: &Workshop<'_>,
    interpreter: Interpreter<'_>,
    job: &Job,
    event: Event,
    script: &str,
) -> BTreeMap<String, String> {
    let node = workshop.seen_tools("bin/node").into_string();
    let mut path = programs(workshop, &job.path);
    path.push(workshop.seen_tools("bin"));
    let manifest = workshop.seen(job.path.as_str()).join("package.json");
    let agent = format!(
        "npm/{NPM_VERSION} node/v{} {} {} workspaces/false",
        interpreter.version,
        std::env::consts::OS,
        match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        }
    );
    let Platform { os, cpu, libc } = *interpreter.platform;
    let libc = libc.map(|libc| ("npm_config_libc", libc.as_str().to_owned()));
    [
        ("npm_lifecycle_event", event.as_str().to_owned()),
        ("npm_lifecycle_script", script.to_owned()),
        ("npm_package_json", manifest.into_string()),
        ("npm_command", "ci".to_owned()),
        ("npm_config_user_agent", agent),
        ("npm_node_execpath", node.clone()),
        ("NODE", node),
        ("INIT_CWD", workshop.seen("").into_string()),
        ("COLOR", "0".to_owned()),
        ("EDITOR", "vi".to_owned()),
        ("PATH", workshop.search_path(&path)),
        // What `npm ci --os --cpu --libc` sets, and what prebuild-install and its kin look at.
        ("npm_config_os", os.as_str().to_owned()),
        ("npm_config_cpu", cpu.as_str().to_owned()),
        ("npm_config_platform", os.as_str().to_owned()),
        ("npm_config_arch", cpu.as_str().to_owned()),
    ]
    .into_iter()
    .chain(libc)
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The `.bin` folders of a package and of everything it lies in, nearest first.
fn programs(workshop: &Workshop<'_>, package: &BundlePath) -> Vec<Utf8PathBuf> {
    let mut folders = Vec::new();
    let mut path = Some(package.clone());
    while let Some(folder) = path {
        if folder.name() != "node_modules" {
            folders.push(workshop.seen(folder.as_str()).join("node_modules/.bin"));
        }
        path = folder.parent();
    }
    folders.push(workshop.seen("node_modules/.bin"));
    folders
}
