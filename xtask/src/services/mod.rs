//! Services: the processes a bundle brings besides its gateway, and addons of the workspace. One module per kind.
//!
//! Each kind makes a tree and names the program in it. What went in is read once, by [`sources`], before anything is built:
//! it is part of every key, so a service is built again exactly when something it is made of has changed.

pub(crate) mod archive;
mod command;
mod error;
mod prebuilt;
pub mod python;
mod rust;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{BundlePath, Digest, Os, PythonProgram};

use crate::capture;
use crate::config::{Config, PythonService, PythonStart, Service, ServiceSource};
use crate::confine::Confinement;
use crate::context::Context;
use crate::lock::Lock;
use crate::own_files::OwnFiles;
use crate::registry::Registry;
use crate::store::Store;
use crate::target::Target;
use crate::toolchain;
use crate::tree::{Node, Tree};

pub use error::ServiceError;
pub use prebuilt::{finished, pin};

/// What services are made with.
#[derive(Debug, Clone, Copy)]
pub struct Bench<'a> {
    /// The outside world.
    pub context: &'a Context,
    /// The manifest.
    pub config: &'a Config,
    /// The store.
    pub store: &'a Store,
    /// What the services are made of.
    pub sources: &'a Sources,
    /// Whether build commands must be confined.
    pub confinement: Confinement,
}

/// What the services of a manifest are made of, by their names.
#[derive(Debug, Default)]
pub struct Sources {
    of: BTreeMap<String, Source>,
    /// The compilers there are, if something is compiled: another zig, or none, makes other bytes.
    compilers: Vec<String>,
}

#[derive(Debug)]
struct Source {
    tree: Tree,
    /// What pins the packages it needs.
    requirements: Option<Digest>,
    /// What of a Cargo workspace is built.
    cargo: Option<rust::Project>,
}

/// A service, for one target.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its files: below `services/<name>/`, or below `app/` for an addon.
    pub tree: Tree,
    /// The program among them; an addon has none.
    pub program: Option<BundlePath>,
    /// How the system's Python starts it, if it is one in Python.
    pub python: Option<PythonProgram>,
    /// What a person should know and may mend.
    pub warnings: Vec<String>,
}

/// Reads what the services are made of; `skip` are folders that hold bundles, not sources.
///
/// # Errors
/// When files cannot be read, or a Cargo package is not what the manifest says.
pub fn sources(
    context: &Context,
    config: &Config,
    skip: &[Utf8PathBuf],
) -> Result<Sources, ServiceError> {
    let mut sources = Sources::default();
    let compiles = |service: &Service| {
        !matches!(service.source, ServiceSource::Prebuilt(_) | ServiceSource::Python(_))
    };
    if config.services.iter().any(compiles) {
        let tools = [toolchain::zig(context, "services"), toolchain::zigbuild(context, "services")];
        sources.compilers = tools
            .into_iter()
            .map(|tool| tool.map_or_else(|_| "none".to_owned(), |tool| tool.version))
            .collect();
    }
    for service in &config.services {
        let source = match &service.source {
            ServiceSource::Rust(package) => rust::source(context, config, service, package, skip)?,
            ServiceSource::Napi(addon) => {
                rust::source(context, config, service, &addon.package, skip)?
            }
            ServiceSource::Command(build) => {
                plain(OwnFiles::matching(config, &build.inputs, skip)?)
            }
            ServiceSource::Prebuilt(prebuilt) => plain(prebuilt::files(config, service, prebuilt)?),
            ServiceSource::Python(program) => python_source(config, service, program, skip)?,
        };
        sources.of.insert(service.name.value.clone(), source);
    }
    Ok(sources)
}

/// Whether every service can be had for the target, as far as the manifest and the lock say.
///
/// # Errors
/// When one has no program for it, or the lock does not pin it.
pub fn check(config: &Config, lock: &Lock, target: &Target) -> Result<(), ServiceError> {
    for service in &config.services {
        if let ServiceSource::Prebuilt(prebuilt) = &service.source {
            prebuilt::check(config, service, prebuilt, lock, target)?;
        }
    }
    Ok(())
}

/// Makes one service for one target.
///
/// # Errors
/// When it cannot be built, or is not there for that target.
pub fn make(
    bench: Bench<'_>,
    service: &Service,
    lock: &Lock,
    target: &Target,
) -> Result<Made, ServiceError> {
    match &service.source {
        ServiceSource::Rust(_) => rust::program(bench, service, target),
        ServiceSource::Napi(addon) => rust::addon(bench, service, addon, target),
        ServiceSource::Command(build) => command::make(bench, service, build, target),
        ServiceSource::Prebuilt(prebuilt) => prebuilt::make(bench, service, prebuilt, lock, target),
        ServiceSource::Python(program) => python_service(bench, service, program, target),
    }
}

/// Downloads what the lock pins for the target, where it is not in the store yet.
///
/// # Errors
/// When something cannot be had, or is not what was pinned.
pub fn fetch(
    context: &Context,
    config: &Config,
    store: &Store,
    registry: &Registry,
    lock: &Lock,
    target: &Target,
) -> Result<(), ServiceError> {
    for service in &config.services {
        if let ServiceSource::Prebuilt(prebuilt) = &service.source
            && let Some(pin) = prebuilt::wanted(config, service, prebuilt, lock, target)?
        {
            prebuilt::fetch(context, store, registry, service, pin)?;
        }
    }
    Ok(())
}

impl Sources {
    /// A line for each service that changes with what it is made of.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let services = self.of.iter().map(|(name, source)| {
            let version = source.cargo.as_ref().map_or("", rust::Project::toolchain);
            let requirements = source.requirements.map(|digest| digest.to_string());
            let requirements = requirements.unwrap_or_default();
            format!("{name} {} {version}{requirements}", capture::fingerprint(&source.tree))
        });
        services.chain(self.compilers.iter().cloned())
    }

    fn get(&self, service: &Service) -> &Source {
        self.of.get(&service.name.value).expect("the sources of every service were read")
    }
}

fn plain(tree: Tree) -> Source {
    Source { tree, cargo: None, requirements: None }
}

fn python_source(
    config: &Config,
    service: &Service,
    program: &PythonService,
    skip: &[Utf8PathBuf],
) -> Result<Source, ServiceError> {
    let lock = config.folder.join(program.requirements.value.as_str());
    let text = fs_err::read(&lock).map_err(|source| ServiceError::Requirements {
        service: service.name.value.clone(),
        path: lock,
        source,
    })?;
    let tree = match &program.path {
        Some(path) => OwnFiles::below(&config.folder.join(path.value.as_str()), skip)?,
        None => Tree::default(),
    };
    Ok(Source { tree, cargo: None, requirements: Some(Digest::of(text)) })
}

fn python_service(
    bench: Bench<'_>,
    service: &Service,
    program: &PythonService,
    target: &Target,
) -> Result<Made, ServiceError> {
    let name = service.name.value.as_str();
    let start = match &program.start {
        PythonStart::Module(module) => python::Start::Module(module.clone()),
        PythonStart::Script(script) => python::Start::Script(script.clone()),
    };
    let requirements = bench.config.folder.join(program.requirements.value.as_str());
    let described = python::Service {
        name,
        requirements: &requirements,
        python: program.python,
        start: &start,
        args: &service.args,
    };
    let own = &bench.sources.get(service).tree;
    let folder = BundlePath::new(format!("services/{name}"))?;
    let staged = python::stage(bench.context, bench.store, described, target, own, &folder)?;
    let python = PythonProgram { env: service.env.clone(), ..staged.program };
    Ok(Made { tree: staged.tree, program: None, python: Some(python), warnings: staged.warnings })
}

/// The name a program has on the target: `.exe` is Windows' own.
pub(crate) fn program_name(name: &str, target: &Target) -> String {
    match target.platform.os {
        Os::Win32 if !name.ends_with(".exe") => format!("{name}.exe"),
        _ => name.to_owned(),
    }
}

/// A file for all that a build says.
fn log(context: &Context, service: &Service, target: &Target) -> Result<Utf8PathBuf, ServiceError> {
    let folder = context.cache.join("logs");
    fs_err::create_dir_all(&folder)
        .map_err(|source| ServiceError::Write { path: folder.clone(), source })?;
    Ok(folder.join(format!("service-{}-{}.log", service.name.value, target.name)))
}

/// Gives the program its mode, and finds fault when it is not there.
fn settle(
    service: &Service,
    target: &Target,
    program: Option<&BundlePath>,
    mut tree: Tree,
) -> Result<Made, ServiceError> {
    let wanted = program.map_or(service.name.value.as_str(), BundlePath::as_str);
    let candidates = [wanted.to_owned(), program_name(wanted, target)];
    let found = candidates.iter().rev().find_map(|name| match tree.get(name) {
        Some(Node::File(source)) => Some((name, source.clone())),
        _ => None,
    });
    let Some((name, source)) = found else {
        let made: Vec<_> = tree.iter().take(20).map(|(path, _)| format!("`{path}`")).collect();
        return Err(ServiceError::NoProgram {
            service: service.name.value.clone(),
            target: target.name.clone(),
            program: candidates[1].clone(),
            instead: if made.is_empty() { "nothing".to_owned() } else { made.join(", ") },
        });
    };
    let program = BundlePath::new(name.as_str())?;
    tree.insert(program.clone(), Node::File(source.made_executable()));
    Ok(Made { tree, program: Some(program), python: None, warnings: Vec::new() })
}

/// A key of everything in `text`.
fn key(kind: &str, text: &str) -> String {
    format!("service-{kind}-v1 {}", Digest::of(text))
}

/// Where a path of the manifest is on this machine.
fn place(config: &Config, path: &Utf8Path) -> Utf8PathBuf {
    if path == "" { config.folder.clone() } else { config.folder.join(path) }
}
