//! Stage one: what will be done, as data.
//!
//! [`Inputs`] are the texts a plan is made of; [`resolve`] turns them into a [`Plan`] without touching anything. A plan
//! can be printed (`--dry-run`), compared and hashed; the stages after it make no choices.

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Platform, TargetName};
use miette::{Diagnostic, NamedSource, SourceSpan};
use nodejs_semver::{Range, Version};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::addons::{self, AddonError, NodeAbi, Reference, Setting};
use crate::closure::{self, Closure, ClosureError, Host, Origin, Package, Project, Scope};
use crate::config::{Config, Engine, ScriptAction, Start, Treatment};
use crate::fetch::{Place, Request};
use crate::lock::{Lock, LockError, LockedRuntime, LockedTool};
use crate::pack::Format;
use crate::runtime::Mirrors;
use crate::services::{self, ServiceError};
use crate::target::{Target, TargetError};

/// The texts a plan is made of.
#[derive(Debug)]
pub struct Inputs {
    /// `gangway.lock`
    pub lock: Lock,
    /// The package manager's lockfile and its path, if the gateway has dependencies.
    pub lockfile: Option<(Utf8PathBuf, String)>,
    /// package.json beside the manifest.
    pub package_json: Option<(Utf8PathBuf, String)>,
    /// The gateway's folder as seen from the lockfile's, if it is one package of a workspace.
    pub member: Utf8PathBuf,
    /// The patches that the lockfile applies to packages, by their paths from its folder.
    pub patches: BTreeMap<Utf8PathBuf, String>,
}

/// Everything `bundle` will do.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// The gateway's name.
    pub app: String,
    /// Its version.
    pub version: String,
    /// The build command, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildPlan>,
    /// The processes and addons that are built or taken for every target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServicePlan>,
    /// One bundle for each.
    pub targets: Vec<TargetPlan>,
    /// Targets no bundle can be made for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

/// A target no bundle can be made for.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// The target's name.
    pub target: TargetName,
    /// Why not.
    #[serde(serialize_with = "in_words")]
    pub error: PlanError,
}

/// A service of every bundle.
#[derive(Debug, Serialize)]
pub struct ServicePlan {
    /// Its name.
    pub name: String,
    /// What it is made of: `rust`, `command`, ...
    pub kind: &'static str,
}

/// What the build command runs with, on this machine.
#[derive(Debug, Serialize)]
pub struct BuildPlan {
    /// Program and arguments.
    pub command: Vec<String>,
    /// What it makes.
    pub outputs: Vec<String>,
    /// The runtime on its `PATH`, if the gateway has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<LockedRuntime>,
    /// The tools on its `PATH`.
    pub tools: Vec<LockedTool>,
    /// Packages in its `node_modules`, development dependencies included.
    #[serde(serialize_with = "summarize")]
    pub closure: Closure,
}

/// One bundle.
#[derive(Debug, Serialize)]
pub struct TargetPlan {
    /// The target's name.
    pub target: TargetName,
    /// The platform it stands for.
    pub platform: Platform,
    /// The runtime inside; a gateway that is a native program has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<LockedRuntime>,
    /// This machine's own runtime, if install scripts are to be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script_runtime: Option<LockedRuntime>,
    /// The packages inside.
    #[serde(serialize_with = "summarize")]
    pub closure: Closure,
    /// What is done about packages without native code for it, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addons: Vec<String>,
    /// Whether addons are compiled for it.
    #[serde(skip)]
    pub builds_addons: bool,
    /// Platforms that its native code is compared with.
    #[serde(skip)]
    pub references: Vec<Reference>,
    /// The archives' file names.
    pub archives: Vec<String>,
    /// What the target promises; the stages ask it.
    #[serde(skip)]
    pub data: Target,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the transparent ones are the errors of the parts they name")]
pub enum PlanError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Closure(#[from] ClosureError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Addons(#[from] AddonError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Services(#[from] ServiceError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Target(#[from] TargetError),
    /// A file the plan is made of.
    #[error("cannot read `{path}`")]
    Read { path: Utf8PathBuf, source: std::io::Error },
    /// A package.json that is none.
    #[error("`{path}` is not valid JSON")]
    PackageJson { path: Utf8PathBuf, source: serde_json::Error },
    /// The gateway asks for another runtime than the pinned one.
    #[error("{package} needs {engine} `{wanted}`, and the pinned runtime is {engine} {pinned}")]
    #[diagnostic(help(
        "ask for a version that satisfies both, for instance version = \"{wanted}\", then run `cargo xtask lock --manifest {}`", code.name()
    ))]
    Engines {
        /// Who asks.
        package: String,
        /// The runtime.
        engine: &'static str,
        /// What it asks for.
        wanted: String,
        /// What there is.
        pinned: String,
        #[source_code]
        code: Arc<NamedSource<String>>,
        #[label("this range allows {engine} {pinned}")]
        span: Option<SourceSpan>,
    },
}

impl Inputs {
    /// Reads what the manifest refers to.
    ///
    /// # Errors
    /// When something is missing or cannot be read.
    pub fn load(config: &Config) -> Result<Self, PlanError> {
        Self::with(config, Lock::load(config)?)
    }

    /// As [`Inputs::load`], with a lock that need not be the one on disk.
    ///
    /// # Errors
    /// When something is missing or cannot be read.
    pub fn with(config: &Config, lock: Lock) -> Result<Self, PlanError> {
        let dependencies = config.dependencies.as_ref();
        let lockfile = dependencies.map(|found| config.folder.join(&found.lockfile.value));
        let lockfile = lockfile.map(read).transpose()?;
        Ok(Self {
            lock,
            member: dependencies.map(|found| found.member.clone()).unwrap_or_default(),
            patches: match &lockfile {
                Some((path, text)) => patches(path, text)?,
                None => BTreeMap::new(),
            },
            lockfile,
            package_json: match config.folder.join("package.json") {
                path if path.exists() => Some(read(path)?),
                _ => None,
            },
        })
    }
}

impl Inputs {
    /// The folder that paths in the lockfile start from.
    #[must_use]
    pub fn lockfile_folder<'a>(&'a self, config: &'a Config) -> &'a Utf8Path {
        self.lockfile.as_ref().and_then(|(path, _)| path.parent()).unwrap_or(&config.folder)
    }
}

/// A patch that is not there is for [`closure::Project`] to report, with the package that lacks it.
fn patches(path: &Utf8Path, text: &str) -> Result<BTreeMap<Utf8PathBuf, String>, PlanError> {
    let folder = path.parent().unwrap_or(Utf8Path::new(""));
    let files = closure::patch_files(text, path)?;
    let present = files.into_iter().filter(|file| folder.join(file).is_file());
    present.map(|file| Ok((file.clone(), read(folder.join(file))?.1))).collect()
}

fn read(path: Utf8PathBuf) -> Result<(Utf8PathBuf, String), PlanError> {
    match fs_err::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(source) => Err(PlanError::Read { path, source }),
    }
}

/// Decides everything there is to decide before bytes move. A target that does not fit is refused, and does not stop
/// the others.
///
/// # Errors
/// When manifest and locks do not fit together.
pub fn resolve(
    config: &Config,
    inputs: &Inputs,
    targets: &[Target],
    host: &Target,
    formats: &[Format],
) -> Result<Plan, PlanError> {
    let package_json = package_json(inputs)?;
    let build = match &config.build {
        None => None,
        Some(build) => {
            let runtime = inputs.lock.runtime(config, host)?.cloned();
            Some(BuildPlan {
                command: build.command.clone(),
                outputs: build.outputs.iter().map(|output| output.value.to_string()).collect(),
                tools: inputs.lock.tools(config, host)?.into_iter().cloned().collect(),
                closure: read_closure(
                    inputs,
                    &host.platform,
                    runtime.as_ref(),
                    Scope::Development,
                )?,
                runtime,
            })
        }
    };
    let services = config.services.iter().map(|service| ServicePlan {
        name: service.name.value.clone(),
        kind: service.kind().as_str(),
    });
    let mut plan = Plan {
        app: config.app.name.clone(),
        version: config.app.version.clone(),
        build,
        services: services.collect(),
        targets: Vec::new(),
        refused: Vec::new(),
    };
    let given = Given { config, inputs, package_json, host, formats };
    for target in targets {
        match resolve_target(&given, target) {
            Ok(target) => plan.targets.push(target),
            Err(error) => plan.refused.push(Refused { target: target.name.clone(), error }),
        }
    }
    if plan.refused.is_empty() {
        addons::check_packages(config, &plan.targets)?;
    }
    Ok(plan)
}

/// What every target's plan is made of.
#[derive(Debug)]
struct Given<'a> {
    config: &'a Config,
    inputs: &'a Inputs,
    package_json: Option<(&'a Utf8Path, Value)>,
    host: &'a Target,
    formats: &'a [Format],
}

fn resolve_target(given: &Given<'_>, target: &Target) -> Result<TargetPlan, PlanError> {
    let Given { config, inputs, package_json, host, formats } = given;
    services::check(config, &inputs.lock, target)?;
    if let Some(runtime) = config.runtime(&target.name) {
        // Before the lock is asked: no `lock` could pin what nobody builds.
        target.runtime(runtime.engine)?;
    }
    let runtime = inputs.lock.runtime(config, target)?.cloned();
    let closure = read_closure(inputs, &target.platform, runtime.as_ref(), Scope::Production)?;
    if let Some(runtime) = &runtime {
        check_engines(config, package_json.as_ref(), &closure, target, runtime)?;
    }
    let runs = config.install_scripts.iter().any(|script| script.action == ScriptAction::Run);
    // Not every lockfile knows which packages have scripts.
    let runs = runs && !closure.packages.is_empty();
    let builds_addons = builds_addons(config, target, &closure);
    let script_runtime = match runs || builds_addons {
        true => inputs.lock.script_runtime(config, host)?.cloned(),
        false => None,
    };
    let name = bundle_name(config, &target.name);
    let archives = formats.iter().map(|format| format!("{name}.{}", format.extension())).collect();
    Ok(TargetPlan {
        target: target.name.clone(),
        platform: target.platform,
        addons: addon_lines(config, target, &closure),
        references: references(inputs, runtime.as_ref(), &target.platform, &host.platform),
        runtime,
        script_runtime,
        builds_addons,
        closure,
        archives,
        data: target.clone(),
    })
}

/// `<app>-<version>-<target>`: the archive's name without extension. (The folder in it is named after the app alone.)
#[must_use]
pub fn bundle_name(config: &Config, target: &TargetName) -> String {
    format!("{}-{}-{target}", config.app.name, config.app.version)
}

impl Plan {
    /// Every archive the stages will ask for; some may be named more than once.
    #[must_use]
    pub fn requests(&self, lockfile_folder: &Utf8Path, mirrors: &Mirrors) -> Vec<Request> {
        let mut requests = Vec::new();
        for target in &self.targets {
            requests.extend(target.requests(lockfile_folder, mirrors));
        }
        requests.extend(self.build_requests(lockfile_folder, mirrors));
        requests
    }

    /// The archives the build command asks for.
    #[must_use]
    pub fn build_requests(&self, lockfile_folder: &Utf8Path, mirrors: &Mirrors) -> Vec<Request> {
        let mut requests = Vec::new();
        if let Some(build) = &self.build {
            requests.extend(build.runtime.iter().flat_map(|runtime| runtime.requests(mirrors)));
            requests.extend(build.tools.iter().map(LockedTool::request));
            requests.extend(package_requests(&build.closure, lockfile_folder));
        }
        requests
    }

    /// The plan for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} {}", self.app, self.version)];
        if let Some(build) = &self.build {
            lines.push(format!("  build    {}", build.command.join(" ")));
            lines.push(format!("           makes {}", build.outputs.join(", ")));
            for tool in &build.tools {
                lines.push(format!("           with {} {}", tool.name, tool.version));
            }
            lines.push(format!("           and {} packages", build.closure.packages.len()));
        }
        for service in &self.services {
            lines.push(format!("  service  {} ({})", service.name, service.kind));
        }
        for target in &self.targets {
            lines.push(format!("  {}", target.target));
            lines.push(match &target.runtime {
                Some(runtime) => format!(
                    "    runtime  {} {} from {}",
                    runtime.engine, runtime.version, runtime.source
                ),
                None => "    runtime  none".to_owned(),
            });
            lines.push(format!(
                "    closure  {} packages, {} for other platforms left out",
                target.closure.packages.len(),
                target.closure.gated.len()
            ));
            for package in
                target.closure.packages.iter().filter(|package| package.has_install_script)
            {
                lines.push(format!("    script   {} {}", package.name, package.version));
            }
            lines.extend(target.addons.iter().map(|line| format!("    addon    {line}")));
            for archive in &target.archives {
                lines.push(format!("    archive  {archive}"));
            }
        }
        for Refused { target, error } in &self.refused {
            lines.push(format!("  {target}"));
            lines.push(format!("    refused  {error}"));
        }
        lines
    }
}

impl TargetPlan {
    /// Every archive this target asks for; some may be named more than once.
    #[must_use]
    pub fn requests(&self, lockfile_folder: &Utf8Path, mirrors: &Mirrors) -> Vec<Request> {
        let runtimes = self.runtime.iter().chain(&self.script_runtime);
        let mut requests: Vec<_> = runtimes.flat_map(|runtime| runtime.requests(mirrors)).collect();
        requests.extend(self.builds_addons.then(addons::build::request));
        requests.extend(package_requests(&self.closure, lockfile_folder));
        requests
    }
}

/// The packages a target's bundle needs.
///
/// # Errors
/// When the lockfile cannot be bundled for it.
pub fn production_closure(
    config: &Config,
    inputs: &Inputs,
    target: &Target,
) -> Result<Closure, PlanError> {
    let runtime = inputs.lock.runtime(config, target)?;
    read_closure(inputs, &target.platform, runtime, Scope::Production)
}

/// The archives of a closure; `folder` is the lockfile's.
#[must_use]
pub fn package_requests(closure: &Closure, folder: &Utf8Path) -> Vec<Request> {
    closure.packages.iter().filter_map(|package| request(package, folder)).collect()
}

fn request(package: &Package, folder: &Utf8Path) -> Option<Request> {
    let (integrity, place) = match &package.origin {
        Origin::Registry { integrity, resolved } => (
            integrity,
            Place::Registry {
                name: package.name.clone(),
                version: package.version.clone(),
                resolved: resolved.clone(),
            },
        ),
        Origin::Url { integrity, url } => (integrity, Place::Url(url.clone())),
        Origin::File { integrity, path } => (integrity, Place::File(folder.join(path))),
        Origin::Bundled | Origin::Folder { .. } => return None,
    };
    let what = format!("{} {}", package.name, package.version);
    Some(Request { what, integrity: integrity.clone(), place })
}

fn read_closure(
    inputs: &Inputs,
    platform: &Platform,
    runtime: Option<&LockedRuntime>,
    scope: Scope,
) -> Result<Closure, PlanError> {
    // npm leaves packages out by the version of Node; what Bun and Deno stand for there is theirs to say.
    let node = runtime
        .filter(|runtime| runtime.engine == Engine::Node.as_str())
        .and_then(|runtime| Version::parse(&runtime.version).ok());
    let host = Host { platform, node: node.as_ref() };
    match &inputs.lockfile {
        None => Ok(Closure::default()),
        Some((path, text)) => {
            let project = Project {
                lockfile: path,
                text,
                member: &inputs.member,
                package_json: inputs.package_json.as_ref().map(|(_, text)| text.as_str()),
                patches: &inputs.patches,
            };
            Ok(project.closure(host, scope)?)
        }
    }
}

/// What the manifest says about native code that this target may lack.
fn addon_lines(config: &Config, target: &Target, closure: &Closure) -> Vec<String> {
    let about = |package: &Package| {
        let mut addons = config.addons.iter();
        let addon = addons.find(|addon| addon.is_about(&package.name, target.name.as_str()))?;
        let action = addon.treatment.as_str();
        Some(format!("{} {}: {action}", package.name, package.version))
    };
    closure.packages.iter().filter_map(about).collect()
}

fn builds_addons(config: &Config, target: &Target, closure: &Closure) -> bool {
    let mut builds =
        config.addons.iter().filter(|addon| matches!(addon.treatment, Treatment::Build(_)));
    builds.any(|addon| {
        let mut packages = closure.packages.iter();
        packages.any(|package| addon.is_about(&package.name, target.name.as_str()))
    })
}

/// What the packages of a target are compared with: the platform that bundles are made on, and the others of the
/// target's own system.
fn references(
    inputs: &Inputs,
    runtime: Option<&LockedRuntime>,
    own: &Platform,
    host: &Platform,
) -> Vec<Reference> {
    let mut platforms = own.siblings();
    if !platforms.contains(host) {
        platforms.push(*host);
    }
    platforms.retain(|platform| platform != own);
    platforms
        .into_iter()
        .filter_map(|platform| {
            // What cannot be had there says nothing about this target.
            let closure = read_closure(inputs, &platform, runtime, Scope::Production).ok()?;
            let packages = closure.packages.into_iter().map(|package| package.name).collect();
            Some(Reference { platform, packages })
        })
        .collect()
}

impl TargetPlan {
    /// What addons are decided by.
    #[must_use]
    pub fn setting(&self) -> Setting<'_> {
        Setting {
            target: &self.target,
            platform: &self.platform,
            abi: (self.runtime.as_ref())
                .and_then(|runtime| NodeAbi::of(&runtime.engine, &runtime.version)),
            closure: &self.closure,
            references: &self.references,
        }
    }
}

/// The gateway's package.json, understood.
fn package_json(inputs: &Inputs) -> Result<Option<(&Utf8Path, Value)>, PlanError> {
    let Some((path, text)) = &inputs.package_json else { return Ok(None) };
    // npm takes a byte order mark.
    match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(json) => Ok(Some((path, json))),
        Err(source) => Err(PlanError::PackageJson { path: path.clone(), source }),
    }
}

/// The runtime must satisfy the gateway's own `engines` and those of the packages its entrypoints are in. What other
/// packages ask for is advice, as it is to npm.
fn check_engines(
    config: &Config,
    package_json: Option<&(&Utf8Path, Value)>,
    closure: &Closure,
    target: &Target,
    runtime: &LockedRuntime,
) -> Result<(), PlanError> {
    let mut wishes: Vec<(String, String)> = Vec::new();
    if let Some((path, json)) = package_json {
        // `engines` may have any shape: old packages have a list there.
        let wish = json["engines"][&runtime.engine].as_str();
        wishes.extend(wish.map(|wish| (format!("`{path}`"), wish.to_owned())));
    }
    for entrypoint in &config.entrypoints {
        let Start::Script(script) = &entrypoint.start else { continue };
        let owner = closure
            .packages
            .iter()
            .filter(|package| script.value.below(package.path.as_str()).is_some())
            .max_by_key(|package| package.path.as_str().len());
        wishes.extend(owner.and_then(|package| {
            let wish = package.engines.get(&runtime.engine)?;
            Some((format!("the package `{}`", package.name), wish.clone()))
        }));
    }
    for (package, wanted) in wishes {
        let met = match (Range::parse(&wanted), Version::parse(&runtime.version)) {
            (Ok(range), Ok(version)) => range.satisfies(&version),
            // npm takes an unreadable wish for none.
            _ => true,
        };
        if !met {
            let asked = config.runtime(&target.name).expect("what is pinned was asked for");
            return Err(PlanError::Engines {
                package,
                engine: asked.engine.as_str(),
                wanted,
                pinned: runtime.version.clone(),
                code: config.source.clone(),
                span: asked.version.span.clone().map(Into::into),
            });
        }
    }
    Ok(())
}

/// A closure in a printed plan: each package's place and version.
fn summarize<S: serde::Serializer>(closure: &Closure, serializer: S) -> Result<S::Ok, S::Error> {
    let describe = |package: &Package| format!("{}@{}", package.name, package.version);
    serializer.collect_map(
        closure.packages.iter().map(|package| (package.path.as_str(), describe(package))),
    )
}

fn in_words<S: serde::Serializer>(error: &PlanError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}

#[cfg(test)]
mod tests;
