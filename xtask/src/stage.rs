//! Stage three: the exact tree of one target's bundle.
//!
//! The tree is put together as data; only install scripts and the build command ever see files on disk, and those are
//! private copies wherever they may write.

mod addons;
mod runtime;
mod services;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{
    App, BundlePath, Contract, Digest, Entrypoint, Environment, Health, LAUNCH_FILE,
    LAUNCH_VERSION, Launch, MANIFEST_VERSION, Manifest, PathError, Program, PythonProgram, Runtime,
    Service, Smoke, TargetName, Verification,
};
use miette::{Diagnostic, NamedSource, SourceSpan};

use crate::addons::{AddonError, Decision};
use crate::app_build::{self, BuildError, Tool};
use crate::closure::{self, Closure, ClosureError, Package};
use crate::config::{self, Config, Start};
use crate::confine::Confinement;
use crate::context::Context;
use crate::file_system::{self, FileSystemError};
use crate::integrity::Integrity;
use crate::licenses::{self, Licenses, LicensesError};
use crate::lock::{Lock, LockedRuntime};
use crate::native::Natives;
use crate::own_files::OwnFiles;
use crate::pack;
use crate::plan::{Plan, TargetPlan};
use crate::prune::{self, PruneError};
use crate::runpath::RunPathError;
use crate::runtime::policy;
use crate::scripts::{self, Grounds, Interpreter, ScriptError, Surroundings};
use crate::services::{ServiceError, Sources};
use crate::store::{Store, StoreError};
use crate::strip::StripError;
use crate::target::Jetson;
use crate::tree::{Node, Source, Tree};
use crate::verify::{self, Checking, Contents, Refused, VerifyError, contract, plans};

/// What every stage of one command works with.
#[derive(Debug, Clone, Copy)]
pub struct Materials<'a> {
    /// The outside world.
    pub context: &'a Context,
    /// The manifest.
    pub config: &'a Config,
    /// The store.
    pub store: &'a Store,
    /// Every archive of the plan, unpacked.
    pub fetched: &'a BTreeMap<Integrity, Tree>,
    /// Whether install scripts must be confined.
    pub confinement: Confinement,
    /// The user's own files.
    pub own: &'a OwnFiles,
    /// What is done about native code, by target.
    pub addons: &'a BTreeMap<TargetName, Decision>,
    /// What install scripts are run on.
    pub grounds: &'a Grounds,
    /// What is known of native code.
    pub natives: &'a Natives,
    /// What the services are made of.
    pub services: &'a Sources,
    /// What is pinned.
    pub lock: &'a Lock,
    /// Whether what is known to break may be made.
    pub checking: Checking,
}

/// The tree of a bundle, and what there is to say of it.
#[derive(Debug)]
pub struct Staged {
    /// Everything in the bundle but the manifest.
    pub tree: Tree,
    /// The manifest, as far as it is known before there is an archive.
    pub manifest: Manifest,
    /// What each prune rule saved.
    pub pruned: prune::Summary,
    /// Packages laid out.
    pub packages: usize,
    /// Bytes that stripping took out of the runtime.
    pub stripped: u64,
    /// What a person should know and may mend.
    pub warnings: Vec<String>,
}

/// Why a tree cannot be staged.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the transparent ones are the errors of the parts they name")]
pub enum StageError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Closure(#[from] ClosureError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scripts(#[from] ScriptError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Addons(#[from] AddonError),
    /// What the manifest says of pruning.
    #[error("cannot prune as the manifest says")]
    Prune {
        #[source_code]
        code: Arc<NamedSource<String>>,
        #[diagnostic_source]
        source: PruneError,
    },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Licenses(#[from] LicensesError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    FileSystem(#[from] FileSystemError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Services(#[from] ServiceError),
    #[error(transparent)]
    Path(#[from] PathError),
    /// The runtime could not be stripped.
    #[error("cannot take the symbols out of `{path}`")]
    #[diagnostic(help("`strip = false` in [runtime] ships it as it is"))]
    Strip { path: Utf8PathBuf, source: StripError },
    /// The runtime's libraries could not be made known to it.
    #[error("cannot tell `{path}` where its shared libraries are")]
    RunPath { path: Utf8PathBuf, source: RunPathError },
    /// A pattern of a target file.
    #[error("the target's data has the pattern `{glob}`, which cannot be used")]
    Pattern { glob: String, source: globset::Error },
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read { path: Utf8PathBuf, source: std::io::Error },
    /// An archive without what the lock says is in it.
    #[error("the archive of {what} has no file `{file}`")]
    Incomplete { what: String, file: String },
    /// An executable that is not the locked one.
    #[error("the executable of {what} has the SHA-256 {found}, and `gangway.lock` pins {pinned}")]
    #[diagnostic(help(
        "the lock was edited, or its archive and executable come from different builds: run `cargo xtask lock`"
    ))]
    Executable { what: String, found: Digest, pinned: Digest },
    /// A script of a package, and no runtime.
    #[error(
        "the install scripts of `{package}` cannot be run: the bundle for `{target}` has no runtime"
    )]
    #[diagnostic(help(
        "write `action = \"ignore\"` in its [[install-script]], or give the target an `engine`"
    ))]
    NoInterpreter { package: String, target: TargetName },
    /// An entrypoint that is not in the bundle.
    #[error("the {what} of the entrypoint `{name}` is not in the bundle")]
    #[diagnostic(help("{help}"))]
    Entrypoint {
        what: &'static str,
        name: String,
        help: String,
        #[source_code]
        code: Arc<NamedSource<String>>,
        #[label("there is no such file")]
        span: SourceSpan,
    },
}

/// Makes the outputs of the build command, once for all targets; no command, no outputs.
///
/// # Errors
/// When the command fails or does not make what the manifest says.
pub fn build(materials: &Materials<'_>, plan: &Plan) -> Result<Tree, StageError> {
    let (Some(build), Some(command)) = (&plan.build, &materials.config.build) else {
        return Ok(Tree::default());
    };
    let closure = described(materials, &build.closure)?;
    let modules = closure_tree(materials, &closure)?;
    let mut trees = Vec::new();
    if let Some(locked) = &build.runtime {
        let runtime = executable(materials, locked)?;
        trees.push((locked.engine.as_str(), program(&locked.engine, runtime)?));
    }
    for tool in &build.tools {
        let what = format!("{} {}", tool.name, tool.version);
        let source = file_of(materials, &tool.integrity, &what, &tool.executable)?;
        check_executable(what, &source, tool.sha256)?;
        trees.push((tool.name.as_str(), program(&tool.name, source)?));
    }
    let tools: Vec<Tool<'_>> =
        trees.iter().map(|(name, tree)| Tool { name, tree, programs: "" }).collect();
    let inputs =
        app_build::Inputs { app: &materials.own.sources, closure: &modules, tools: &tools };
    let Materials { context, config, store, confinement, .. } = *materials;
    Ok(app_build::run(context, store, config, command, inputs, confinement)?)
}

/// One executable under the name it is called by.
fn program(name: &str, source: Source) -> Result<Tree, PathError> {
    let source = source.made_executable();
    Ok(Tree::from_iter([(BundlePath::new(name)?, Node::File(source))]))
}

/// Puts together one target's bundle. `outputs` is what [`build`] made, `launcher` what every program in `bin/` is.
///
/// # Errors
/// When a part is missing, refused or cannot be read.
pub fn tree(
    materials: &Materials<'_>,
    plan: &TargetPlan,
    outputs: &Tree,
    launcher: &Utf8Path,
) -> Result<Staged, StageError> {
    let Materials { config, store, .. } = materials;
    let closure = described(materials, &plan.closure)?;
    let mut app = materials.own.shipped.clone();
    app.extend(closure_tree(materials, &closure)?);
    app.extend(outputs.clone());
    let locked = plan.runtime.as_ref();
    let runtime = locked.map(|locked| executable(materials, locked)).transpose()?;
    let decision = &materials.addons[&plan.target];
    let mut warnings = decision.notes.clone();
    let closure = crate::addons::apply(&decision.jobs, &closure, &mut app);
    addons::build(materials, plan, &mut app)?;
    let mut app = run_scripts(materials, plan, &closure, app, &mut warnings)?;
    crate::addons::check_scripts(plan, &decision.expected, &app, materials.natives)?;
    let (processes, own_addons) = services::make(materials, plan)?;
    app.extend(own_addons);
    check_entrypoints(config, &app)?;
    let licenses = licenses::collect(&closure, &app)?;
    let engine = config.runtime(&plan.target).map(|runtime| runtime.engine);
    let pruned = prune::apply(&mut app, &config.prune, &plan.platform, engine, materials.natives)
        .map_err(|source| StageError::Prune { code: config.source.clone(), source })?;
    warnings.extend(pruned.findings.iter().map(ToString::to_string));

    let mut tree = Tree::default();
    place(&mut tree, "app", app)?;
    add_licenses(store, licenses, &mut tree)?;
    let stripped = match (locked, runtime) {
        (Some(locked), Some(executable)) => {
            runtime::add(materials, plan, locked, executable, &mut tree, &mut warnings)?
        }
        _ => 0,
    };
    let services = services::add(processes, &mut tree, &mut warnings)?;
    add_programs(materials, plan, launcher, &services, &mut tree)?;
    let runtime = locked.map(|locked| runtime::path(locked, plan.platform.os)).transpose()?;
    file_system::fit(&mut tree, plan.data.file_system(), runtime.as_ref(), store)?;
    warnings.extend(plans::unused(&tree, &config.plans, &plan.target));
    let mut manifest = manifest(config, plan, &services.services, &tree)?;
    let checked = check(materials, plan, &services.python, &tree, &mut manifest, &mut warnings);
    if checked.is_err() {
        // They may say why something breaks, and there is no bundle that they could be told with.
        warnings.iter().for_each(|warning| materials.context.reporter.warn(warning));
    }
    checked?;
    Ok(Staged { tree, manifest, pruned, packages: closure.packages.len(), stripped, warnings })
}

/// The closure, with what its packages say of themselves.
fn described<'plan>(
    materials: &Materials<'_>,
    closure: &'plan Closure,
) -> Result<Cow<'plan, Closure>, StageError> {
    Ok(closure::described(closure, materials.fetched, &materials.own.folders)?)
}

/// The closure's packages in their places, relative to the gateway's folder.
fn closure_tree(materials: &Materials<'_>, closure: &Closure) -> Result<Tree, StageError> {
    let mut tree = closure::assemble(closure, materials.fetched, &materials.own.folders)?;
    closure::apply_patches(closure, &mut tree, materials.store)?;
    closure::settle_programs(closure, &mut tree, materials.store)?;
    Ok(tree)
}

fn run_scripts(
    materials: &Materials<'_>,
    plan: &TargetPlan,
    closure: &Closure,
    app: Tree,
    warnings: &mut Vec<String>,
) -> Result<Tree, StageError> {
    let addons = &materials.addons[&plan.target].jobs;
    let is_addon = |package: &Package| addons.iter().any(|job| job.path == package.path);
    let config = &materials.config.install_scripts;
    let decision = scripts::decide(closure, config, is_addon, |package| {
        let files = app.below(package.path.as_str());
        files
            .map(|(path, node)| {
                Some((path.below(package.path.as_str())?.parse().ok()?, node.clone()))
            })
            .collect()
    })?;
    warnings.extend(decision.unused.iter().map(|package| {
        format!(
            "[[install-script]] names `{}`, which has no install script in this closure",
            package.value
        )
    }));
    if decision.jobs.is_empty() {
        return Ok(app);
    }
    let Some(runtime) = &plan.script_runtime else {
        let package = decision.jobs[0].name.clone();
        return Err(StageError::NoInterpreter { package, target: plan.target.clone() });
    };
    let executable = executable(materials, runtime)?;
    let interpreter = Interpreter {
        executable: &executable,
        version: &runtime.version,
        platform: &plan.platform,
    };
    let Materials { context, store, confinement, .. } = *materials;
    let surroundings = Surroundings { context, store, confinement, grounds: materials.grounds };
    Ok(scripts::run(surroundings, interpreter, &app, &decision.jobs)?)
}

/// `licenses/`: every text, and an index of what each package declares.
fn add_licenses(store: &Store, licenses: Licenses, tree: &mut Tree) -> Result<(), StageError> {
    for (path, source) in licenses.files {
        tree.insert(path, Node::File(source));
    }
    let index = store.add_bytes(licenses.index.to_json().as_bytes(), false)?;
    tree.insert(BundlePath::new(format!("{}/index.json", licenses::FOLDER))?, Node::File(index));
    Ok(())
}

fn check_entrypoints(config: &Config, app: &Tree) -> Result<(), StageError> {
    for entrypoint in &config.entrypoints {
        let (what, script) = match &entrypoint.start {
            Start::Script(script) => ("script", script),
            Start::Program(program) => ("program", program),
            // Of services there is no closure to look into: `start` finds the program in the whole tree.
            Start::Service(_) => continue,
        };
        if matches!(app.get(script.value.as_str()), Some(Node::File(_))) {
            continue;
        }
        let folder = script.value.parent();
        let folder = folder.as_ref().map_or("", BundlePath::as_str);
        let wanted = script.value.name();
        let near = app
            .files()
            .filter(|(path, _)| path.parent().as_ref().map_or("", BundlePath::as_str) == folder)
            .map(|(path, _)| path)
            .max_by(|a, b| {
                strsim::jaro_winkler(a.name(), wanted)
                    .total_cmp(&strsim::jaro_winkler(b.name(), wanted))
            });
        let help = match near {
            Some(near) if strsim::jaro_winkler(near.name(), wanted) > 0.8 => format!("did you mean `{near}`?"),
            _ => "it must be one of the app's own files (see `include` in [app]), an output of [build], or a file in \
                  node_modules"
                .to_owned(),
        };
        return Err(StageError::Entrypoint {
            what,
            name: entrypoint.name.clone(),
            help,
            code: config.source.clone(),
            span: script.span.clone().into(),
        });
    }
    Ok(())
}

/// The launcher under the name of each entrypoint and service, and the file it reads.
fn add_programs(
    materials: &Materials<'_>,
    plan: &TargetPlan,
    launcher: &Utf8Path,
    services: &services::Added,
    tree: &mut Tree,
) -> Result<(), StageError> {
    let Materials { config, store, .. } = materials;
    let launcher = store.add_file(launcher, true)?;
    let mut programs = BTreeMap::new();
    for entrypoint in &config.entrypoints {
        let (executable, script) = start(config, plan, &services.services, entrypoint)?;
        if let Some(Node::File(source)) = tree.get(executable.as_str()) {
            // What a build made for another platform may lack the mode that its start needs.
            let source = source.clone().made_executable();
            tree.insert(executable.clone(), Node::File(source));
        }
        // Only what the runtime interprets has a policy: a native program gets the user's environment as it is.
        let runtime = config.runtime(&plan.target).filter(|_| script.is_some());
        let own = runtime.map(|runtime| policy::arguments(runtime.engine, plan.platform.os));
        let program = Program {
            runtime: executable,
            runtime_args: own
                .into_iter()
                .flatten()
                .chain(entrypoint.runtime_args.clone())
                .collect(),
            script,
            args: entrypoint.args.clone(),
            environment: runtime.map(policy::environment),
        };
        programs.insert(entrypoint.name.clone(), program);
    }
    for service in &services.services {
        let Some(runtime) = service.program.clone() else { continue };
        let environment = (!service.env.is_empty())
            .then(|| Environment { set: service.env.clone(), ..Environment::default() });
        let program = Program {
            runtime,
            runtime_args: Vec::new(),
            script: None,
            args: service.args.clone(),
            environment,
        };
        programs.insert(service.name.to_string(), program);
    }
    for name in programs.keys().chain(services.python.keys()) {
        let file = crate::services::program_name(name, &plan.data);
        tree.insert(BundlePath::new(format!("bin/{file}"))?, Node::File(launcher.clone()));
    }
    let launch = Launch { version: LAUNCH_VERSION, programs, python: services.python.clone() };
    tree.insert(
        BundlePath::new(LAUNCH_FILE)?,
        Node::File(store.add_bytes(&launch.to_json(), false)?),
    );
    Ok(())
}

/// The executable an entrypoint starts, and the script it is given.
fn start(
    config: &Config,
    plan: &TargetPlan,
    services: &[Service],
    entrypoint: &config::Entrypoint,
) -> Result<(BundlePath, Option<BundlePath>), StageError> {
    let in_app = |path: &BundlePath| BundlePath::new(format!("app/{path}"));
    match (&entrypoint.start, &plan.runtime) {
        (Start::Script(script), Some(locked)) => {
            Ok((runtime::path(locked, plan.platform.os)?, Some(in_app(&script.value)?)))
        }
        (Start::Script(program) | Start::Program(program), _) => {
            Ok((in_app(&program.value)?, None))
        }
        (Start::Service(service), _) => {
            let program = (services.iter())
                .find(|this| this.name.as_str() == service.value)
                .and_then(|this| this.program.clone());
            let missing = || StageError::Entrypoint {
                what: "service",
                name: entrypoint.name.clone(),
                help: format!("no `[[service]]` named `{}` made its program", service.value),
                code: config.source.clone(),
                span: service.span.clone().into(),
            };
            Ok((program.ok_or_else(missing)?, None))
        }
    }
}

/// Judges the native code by what the target promises, and notes in the manifest what came of it.
fn check(
    materials: &Materials<'_>,
    plan: &TargetPlan,
    python: &BTreeMap<String, PythonProgram>,
    tree: &Tree,
    manifest: &mut Manifest,
    warnings: &mut Vec<String>,
) -> Result<(), StageError> {
    let Materials { context, config, natives, checking, .. } = *materials;
    let report = verify::report(&Contents::described(tree, manifest), &plan.data, natives)?;
    let contents = contract::Contents {
        services: &manifest.services,
        python,
        plans: &manifest.tensorrt_plans,
        files: &manifest.files,
        links: manifest.links.len(),
    };
    let target = &plan.target;
    let judgement = verify::allow::judge(report.findings, &config.verify, target, context.today);
    let needs = report.demands.without(&judgement.spared());
    manifest.contract = contract::of(&needs, &plan.data, contents);
    match (Refused::by(&judgement, config, target), checking) {
        (None, Checking::Required) => {
            manifest.verification = judgement.verification(&config.verify);
        }
        (Some(refused), Checking::Required) => return Err(refused.into()),
        (Some(refused), Checking::Told) => warnings.push(format!("not verified, and {refused}")),
        (None, Checking::Told) => {}
    }
    Ok(())
}

/// What a bundle says of itself, but for what its native code says.
fn manifest(
    config: &Config,
    plan: &TargetPlan,
    services: &[Service],
    tree: &Tree,
) -> Result<Manifest, StageError> {
    let (files, links) = pack::listing(tree);
    let runtime = plan.runtime.as_ref().map(|locked| {
        let path = runtime::path(locked, plan.platform.os)?;
        let shipped = files.iter().find(|file| file.path == path).map(|file| file.sha256);
        Ok::<_, PathError>(Runtime {
            engine: locked.engine.clone(),
            version: locked.version.clone(),
            path,
            upstream_sha256: locked.sha256,
            stripped: shipped != Some(locked.sha256),
        })
    });
    Ok(Manifest {
        version: MANIFEST_VERSION,
        builder: concat!("gangway ", env!("CARGO_PKG_VERSION")).to_owned(),
        app: App {
            name: config.app.name.parse().expect(PLAIN),
            version: config.app.version.clone(),
        },
        target: plan.target.clone(),
        platform: plan.platform,
        l4t: plan.data.jetson().and_then(Jetson::releases),
        runtime: runtime.transpose()?,
        entrypoints: config
            .entrypoints
            .iter()
            .map(|entrypoint| {
                let (program, script) = start(config, plan, services, entrypoint)?;
                let program = script.is_none().then_some(program);
                Ok(Entrypoint { name: entrypoint.name.parse().expect(PLAIN), script, program })
            })
            .collect::<Result<_, StageError>>()?,
        health: config.health.as_ref().map(|health| Health {
            entrypoint: health.entrypoint.value.parse().expect(PLAIN),
            port: health.port,
            path: health.path.clone(),
            timeout_seconds: health.timeout_seconds,
        }),
        services: services.to_vec(),
        tensorrt_plans: plans::declared(tree, &config.plans, &plan.target),
        state: config.state.iter().filter_map(|state| state.on(plan.platform.os)).collect(),
        smoke: Smoke {
            version_args: config.smoke.version_args.clone(),
            gateway_args: config.smoke.gateway_args.clone(),
            service_args: config.smoke.service_args.clone(),
            env: config.smoke.env.clone(),
            timeout_seconds: config.smoke.timeout_seconds,
        },
        contract: Contract::default(),
        verification: Verification::default(),
        unpacked_size: tree.size(),
        frames: Vec::new(),
        files,
        links,
    })
}

/// Why a name of `gangway.toml` is one in a manifest.
const PLAIN: &str = "the configuration has no other names";

/// The pinned runtime's executable in the store.
fn executable(materials: &Materials<'_>, runtime: &LockedRuntime) -> Result<Source, StageError> {
    let what = format!("{} {}", runtime.engine, runtime.version);
    let source = file_of(materials, &runtime.integrity, &what, &runtime.executable)?;
    check_executable(what, &source, runtime.sha256)?;
    Ok(source)
}

fn check_executable(what: String, source: &Source, pinned: Digest) -> Result<(), StageError> {
    if source.sha256 == pinned {
        return Ok(());
    }
    Err(StageError::Executable { what, found: source.sha256, pinned })
}

fn file_of(
    materials: &Materials<'_>,
    archive: &Integrity,
    what: &str,
    file: &str,
) -> Result<Source, StageError> {
    match materials.fetched.get(archive).and_then(|tree| tree.get(file)) {
        Some(Node::File(source)) => Ok(source.clone()),
        _ => Err(StageError::Incomplete { what: what.to_owned(), file: file.to_owned() }),
    }
}

/// Moves `tree` below `folder` of `whole`.
fn place(whole: &mut Tree, folder: &str, tree: Tree) -> Result<(), PathError> {
    let folder = BundlePath::new(folder)?;
    let placed = tree.into_iter().map(|(path, node)| Ok((folder.join_path(&path)?, node)));
    whole.extend(placed.collect::<Result<Tree, PathError>>()?);
    Ok(())
}
