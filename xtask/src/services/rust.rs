//! Cargo packages: programs, and Node-API addons.
//!
//! Cargo builds them where they are, not in a private copy: it needs the network for their dependencies, and knows best
//! what has changed. It is called with a target folder in the cache, so nothing is written beside the sources. The
//! result is kept under a key of the workspace's files, the toolchain and the flags.

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{BundlePath, Digest, Libc, Os};
use miette::Diagnostic as _;
use serde::Deserialize;

use super::{Bench, Made, ServiceError, Source, key, log, place, program_name};
use crate::capture::{self, Changes};
use crate::config::{CargoPackage, Config, NapiPackage, Service, ServiceSource};
use crate::context::Context;
use crate::own_files::OwnFiles;
use crate::process::Command;
use crate::target::Target;
use crate::toolchain::{self, Linker};
use crate::tree::{Node, Tree};

/// What of a Cargo workspace is built.
#[derive(Debug, Clone)]
pub(super) struct Project {
    /// The workspace's folder.
    root: Utf8PathBuf,
    package: String,
    /// The program, or the library of an addon.
    artifact: String,
    /// Cargo and rustc, as they call themselves.
    toolchain: String,
}

/// `cargo metadata --no-deps`, as far as it is read.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: Utf8PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: Utf8PathBuf,
    targets: Vec<CargoTarget>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct CargoTarget {
    name: String,
    crate_types: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    path: Option<Utf8PathBuf>,
}

impl Project {
    pub(super) fn toolchain(&self) -> &str {
        &self.toolchain
    }
}

/// Finds the package and reads its workspace's files, and those of packages elsewhere that it depends on.
pub(super) fn source(
    context: &Context,
    config: &Config,
    service: &Service,
    wanted: &CargoPackage,
    skip: &[Utf8PathBuf],
) -> Result<Source, ServiceError> {
    let folder = place(config, &wanted.path);
    let name = || service.name.value.clone();
    let metadata = metadata(context, service, &folder)?;
    let (package, artifact) =
        choose(&metadata, service, wanted, &folder).map_err(|(reason, help)| {
            ServiceError::Package {
                service: name(),
                reason,
                help,
                manifest: config.source.clone(),
                span: service.name.span.clone().into(),
            }
        })?;
    let target = config.folder.join("target");
    let skip: Vec<_> =
        skip.iter().cloned().chain([target, metadata.workspace_root.join("target")]).collect();
    let mut tree = OwnFiles::below(&metadata.workspace_root, &skip)?;
    let elsewhere = metadata
        .packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .filter_map(|dependency| dependency.path.as_ref())
        .filter(|path| !path.starts_with(&metadata.workspace_root));
    for (index, path) in elsewhere.enumerate() {
        let folder = BundlePath::new(format!("elsewhere/{index}"))?;
        for (path, node) in OwnFiles::below(path, &skip)? {
            tree.insert(folder.join_path(&path)?, node);
        }
    }
    let rust = toolchain::rust(context, &folder).map_err(|source| ServiceError::Toolchain {
        service: name(),
        target: "host".parse().expect("it is a name"),
        source,
    })?;
    let root = metadata.workspace_root.clone();
    let project = Project { root, package, artifact, toolchain: rust.version };
    Ok(Source { tree, cargo: Some(project), requirements: None })
}

fn metadata(
    context: &Context,
    service: &Service,
    folder: &Utf8Path,
) -> Result<Metadata, ServiceError> {
    let name = || service.name.value.clone();
    let cargo = context.variable("CARGO").unwrap_or("cargo");
    let manifest = folder.join("Cargo.toml");
    let command = Command::new(format!("ask Cargo for the package of {}", name()), cargo)
        .args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"])
        .arg(manifest.as_str())
        .envs(context.environment.clone());
    let answer = command
        .answer()
        .map_err(|source| ServiceError::Metadata { service: name(), source: Box::new(source) })?;
    serde_json::from_str(&answer).map_err(|source| ServiceError::Answer { service: name(), source })
}

/// The package and its program or library; else why not, and what to do.
fn choose(
    metadata: &Metadata,
    service: &Service,
    wanted: &CargoPackage,
    folder: &Utf8Path,
) -> Result<(String, String), (String, String)> {
    let manifest = folder.join("Cargo.toml").canonicalize_utf8().ok();
    let package = metadata.packages.iter().find(|package| match &wanted.package {
        Some(name) => package.name == *name,
        None => package.manifest_path.canonicalize_utf8().ok() == manifest,
    });
    let packages = || list(metadata.packages.iter().map(|package| package.name.as_str()));
    let Some(package) = package else {
        let help = format!("write `package = \"...\"`; the workspace has {}", packages());
        return Err(match &wanted.package {
            Some(name) => (format!("there is no package `{name}`"), help),
            None => ("its folder is a workspace without a package".to_owned(), help),
        });
    };
    let kind = if service.is_process() { "bin" } else { "cdylib" };
    let of_kind: Vec<&str> = (package.targets.iter())
        .filter(|target| target.crate_types.iter().any(|this| this == kind))
        .map(|target| target.name.as_str())
        .collect();
    let named = wanted.bin.as_deref().unwrap_or(&service.name.value);
    let artifact = match of_kind.as_slice() {
        [] if kind == "bin" => {
            let help = "give it a src/main.rs, or name another package with `package`";
            return Err((
                format!("the package `{}` has no program", package.name),
                help.to_owned(),
            ));
        }
        [] => {
            let help = "write `crate-type = [\"cdylib\"]` in the [lib] of its Cargo.toml";
            let reason = format!("the package `{}` makes no addon", package.name);
            return Err((reason, help.to_owned()));
        }
        [only] if wanted.bin.is_none() => only,
        several => several.iter().find(|name| **name == named).ok_or_else(|| {
            let help = format!("write `bin = \"...\"`; it has {}", list(several.iter().copied()));
            (format!("the package `{}` has no program `{named}`", package.name), help)
        })?,
    };
    Ok((package.name.clone(), (*artifact).to_owned()))
}

fn list<'name>(names: impl Iterator<Item = &'name str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The program of a Cargo package, as `<service>` or `<service>.exe`.
pub(super) fn program(
    bench: Bench<'_>,
    service: &Service,
    target: &Target,
) -> Result<Made, ServiceError> {
    let file = BundlePath::new(program_name(&service.name.value, target))?;
    let (tree, warnings) = built(bench, service, target, &file, true)?;
    Ok(Made { tree, program: Some(file), python: None, warnings })
}

/// The addon of a Cargo package, at its place in the app.
pub(super) fn addon(
    bench: Bench<'_>,
    service: &Service,
    addon: &NapiPackage,
    target: &Target,
) -> Result<Made, ServiceError> {
    let pattern = match &addon.output {
        Some(output) => output.value.clone(),
        None => format!("{}.{{platform}}.node", service.name.value),
    };
    let file = BundlePath::new(pattern.replace("{platform}", &napi_platform(target)))?;
    let (tree, warnings) = built(bench, service, target, &file, false)?;
    Ok(Made { tree, program: None, python: None, warnings })
}

/// napi-rs' name of a platform. On Windows its loaders look for the name of Microsoft's ABI, which Node has.
fn napi_platform(target: &Target) -> String {
    let platform = &target.platform;
    let abi = match (platform.os, platform.libc) {
        (Os::Win32, _) => "-msvc",
        (_, Some(Libc::Glibc)) => "-gnu",
        (_, Some(Libc::Musl)) => "-musl",
        (_, None) => "",
    };
    format!("{}-{}{abi}", platform.os.as_str(), platform.cpu.as_str())
}

fn built(
    bench: Bench<'_>,
    service: &Service,
    target: &Target,
    file: &BundlePath,
    executable: bool,
) -> Result<(Tree, Vec<String>), ServiceError> {
    let source = bench.sources.get(service);
    let project = source.cargo.as_ref().expect("the sources of a Cargo package name it");
    let call = Call::new(bench, service, project, target)?;
    let key = key(
        "rust",
        &format!("{file} {} {:?} {}", call.identity, project, capture::fingerprint(&source.tree)),
    );
    // The folder it is in does not go into the bytes.
    let key = key.replace(project.root.as_str(), "");
    if let Some(changes) = Changes::recall(bench.store, &key)? {
        return Ok((changes.present, call.warnings));
    }
    let name = &service.name.value;
    let spinner = bench.context.reporter.spinner("Building", format!("{name} for {}", target.name));
    call.run(bench, service, project, target)?;
    drop(spinner);
    let program = bench.store.add_file(&call.result, executable)?;
    let changes = Changes {
        present: Tree::from_iter([(file.clone(), Node::File(program))]),
        removed: Vec::new(),
    };
    changes.remember(bench.store, &key)?;
    bench.context.reporter.done("Built", format!("{name} for {}", target.name));
    Ok((changes.present, call.warnings))
}

/// One call of Cargo.
struct Call {
    cargo: toolchain::Cargo,
    /// Everything of the call that goes into the bytes.
    identity: String,
    /// Where what is made will be.
    result: Utf8PathBuf,
    warnings: Vec<String>,
}

impl Call {
    fn new(
        bench: Bench<'_>,
        service: &Service,
        project: &Project,
        target: &Target,
    ) -> Result<Self, ServiceError> {
        let context = bench.context;
        let (mut cargo, platform, warnings) = linked(context, service, target)?;
        let folder = Digest::of(project.root.as_str()).to_string();
        let folder = context.cache.join("cargo-v1").join(&folder[..16]);
        let (kind, file) = match &service.source {
            ServiceSource::Napi(_) => ("--lib", library_name(&project.artifact, target)),
            _ => ("--bin", program_name(&project.artifact, target)),
        };
        let mut arguments = vec!["--locked", "--release", "--package", &project.package, kind];
        arguments.extend((kind == "--bin").then_some(project.artifact.as_str()));
        arguments.extend(["--target", &platform, "--target-dir", folder.as_str()]);
        // A static C library has no dlopen and cannot load into a program that has another.
        let musl = target.platform.libc == Some(Libc::Musl) && kind == "--lib";
        let flags: &[&str] = if musl { &["-Ctarget-feature=-crt-static"] } else { &[] };
        let identity = format!("{} {} {kind} {flags:?}", cargo.linker, platform);
        cargo.arguments.extend(arguments.into_iter().map(str::to_owned));
        if context.offline {
            cargo.arguments.push("--offline".to_owned());
        }
        let folders = [(project.root.as_path(), "/service"), (folder.as_path(), "/target")];
        let flags = toolchain::flags(context, flags, &folders);
        cargo.environment.insert("CARGO_ENCODED_RUSTFLAGS".to_owned(), flags);
        let result = folder.join(target.triple()).join("release").join(file);
        Ok(Self { cargo, identity, result, warnings })
    }

    fn run(
        &self,
        bench: Bench<'_>,
        service: &Service,
        project: &Project,
        target: &Target,
    ) -> Result<(), ServiceError> {
        toolchain::standard_library(bench.context, &project.root, target.triple())
            .map_err(|source| failed(service, target, source))?;
        let log = log(bench.context, service, target)?;
        let purpose = format!("build {} for {}", service.name.value, target.name);
        let command = Command::new(purpose, self.cargo.program.as_path())
            .args(self.cargo.arguments.clone())
            .envs(self.cargo.environment.clone())
            .current_dir(&project.root)
            .log_to(&log);
        command.run().map_err(|source| ServiceError::Build {
            service: service.name.value.clone(),
            target: target.name.clone(),
            source: Box::new(source),
        })?;
        // It succeeded, so nobody asks; and if this fails, nobody minds.
        let _ = std::fs::remove_file(log);
        Ok(())
    }
}

/// Cargo for the target, what it is told to build for, and what a person should know of that.
///
/// A C library with a floor is linked against as zig has it: this machine's may be newer. For this machine's own kind
/// that is better than nothing, so that one needs no more than Rust to begin with.
fn linked(
    context: &Context,
    service: &Service,
    target: &Target,
) -> Result<(toolchain::Cargo, String, Vec<String>), ServiceError> {
    let (triple, with_floor) = (target.triple(), target.zigbuild());
    let is_own = triple == toolchain::host();
    if is_own && with_floor == triple {
        let cargo = toolchain::cargo(context, triple, Linker::Native);
        return Ok((
            cargo.map_err(|source| failed(service, target, source))?,
            with_floor,
            Vec::new(),
        ));
    }
    match toolchain::cargo(context, triple, Linker::Zig) {
        Ok(cargo) => Ok((cargo, with_floor, Vec::new())),
        Err(missing) if is_own => {
            let cargo = toolchain::cargo(context, triple, Linker::Native)
                .map_err(|source| failed(service, target, source))?;
            let remedy = missing.help().map_or_else(String::new, |help| format!("; {help}"));
            let warning = format!(
                "the service `{}` is linked against this machine's C library, which may be newer than `{}` promises: {missing}{remedy}",
                service.name.value, target.name
            );
            Ok((cargo, triple.to_owned(), vec![warning]))
        }
        Err(source) => Err(failed(service, target, source)),
    }
}

fn failed(service: &Service, target: &Target, source: toolchain::ToolchainError) -> ServiceError {
    let (service, target) = (service.name.value.clone(), target.name.clone());
    ServiceError::Toolchain { service, target, source }
}

/// What Cargo calls a dynamic library.
fn library_name(name: &str, target: &Target) -> String {
    let name = name.replace('-', "_");
    match target.platform.os {
        Os::Linux => format!("lib{name}.so"),
        Os::Darwin => format!("lib{name}.dylib"),
        Os::Win32 => format!("{name}.dll"),
    }
}
