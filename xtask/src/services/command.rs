//! Services that a command makes: C, C++, Go, CMake, CUDA.
//!
//! The command works on a private copy of its `inputs`, behind the same fence as the gateway's own build: no network, and
//! of this machine only the system's programs, the compilers, and the `programs` it names. So its sources must be
//! whole: dependencies are vendored (`go mod vendor`) or are inputs. What it writes to `GANGWAY_OUT` is the service.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;

use super::{Bench, Made, ServiceError, key, settle};
use crate::capture::{self, Changes};
use crate::config::{BuildCommand, Service};
use crate::confine::{Access, SYSTEM_PATH};
use crate::context::Context;
use crate::layout::{self, Method};
use crate::process::Command;
use crate::target::Target;
use crate::toolchain::{self, Compilers};
use crate::tree::Tree;
use crate::workshop::{Ground, Workshop};

/// The folder in the copy that the command fills.
const OUT: &str = ".gangway-out";

/// Runs the command, unless it has been run with the same inputs.
pub(super) fn make(
    bench: Bench<'_>,
    service: &Service,
    build: &BuildCommand,
    target: &Target,
) -> Result<Made, ServiceError> {
    let name = &service.name.value;
    let compilers = toolchain::compilers(bench.context, target).map_err(|source| {
        ServiceError::Toolchain { service: name.clone(), target: target.name.clone(), source }
    })?;
    let programs = programs(bench.context, service, build)?;
    let inputs = &bench.sources.get(service).tree;
    let told = told(build, target);
    let text = format!(
        "{:?} {told:?} {} {:?} {} {:?}",
        build.command,
        compilers.identity(),
        programs.iter().map(|program| program.sha256).collect::<Vec<_>>(),
        capture::fingerprint(inputs),
        bench.confinement,
    );
    let key = key("command", &text);
    let tree = match Changes::recall(bench.store, &key)? {
        Some(changes) => changes.present,
        None => {
            let changes = run(bench, service, build, target, &compilers, &programs, told)?;
            changes.remember(bench.store, &key)?;
            changes.present
        }
    };
    settle(service, target, build.program.as_ref(), tree)
}

/// What the command is told besides the paths.
fn told(build: &BuildCommand, target: &Target) -> BTreeMap<String, String> {
    let platform = &target.platform;
    let (go_os, go_cpu) = toolchain::go_words(platform);
    let mut told: BTreeMap<String, String> = [
        ("GANGWAY_TARGET", target.name.as_str()),
        ("GANGWAY_TRIPLE", target.triple()),
        ("GANGWAY_OS", platform.os.as_str()),
        ("GANGWAY_CPU", platform.cpu.as_str()),
        ("GANGWAY_LIBC", platform.libc.map_or("", gangway_artifact::Libc::as_str)),
        ("GOOS", go_os),
        ("GOARCH", go_cpu),
        // As Go itself has it when it builds for another platform; the result needs no C library.
        ("CGO_ENABLED", "0"),
        // There is no network to ask.
        ("GOPROXY", "off"),
        ("GOTOOLCHAIN", "local"),
        ("GOFLAGS", "-trimpath"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    if let Some(jetson) = target.jetson() {
        told.insert("GANGWAY_CUDA".to_owned(), jetson.cuda.clone());
        told.insert("GANGWAY_CUDA_SM".to_owned(), jetson.sm.join(","));
    }
    told.extend(build.build_env.clone());
    told
}

/// A program outside of the system's folders.
struct Program {
    /// What must be seen of this machine to run it.
    installation: Utf8PathBuf,
    /// The folder on the PATH.
    folder: Utf8PathBuf,
    /// The digest of its file.
    sha256: Digest,
}

/// Finds the command's program and those it says it calls.
fn programs(
    context: &Context,
    service: &Service,
    build: &BuildCommand,
) -> Result<Vec<Program>, ServiceError> {
    let first = build.command.first().filter(|name| !name.contains('/'));
    let names: BTreeSet<&String> = build.programs.iter().chain(first).collect();
    names
        .into_iter()
        .map(|name| {
            let absent = || ServiceError::NoTool {
                service: service.name.value.clone(),
                program: name.clone(),
                help: toolchain::remedy(name)
                    .map_or_else(|| "install it, or correct its name".to_owned(), str::to_owned),
            };
            let called = toolchain::on_path(context, name).ok_or_else(absent)?;
            let file = called.canonicalize_utf8().map_err(|_| absent())?;
            let opened = fs_err::File::open(&file).map_err(|_| absent())?;
            let (sha256, _) = Digest::of_reader(opened).map_err(|_| absent())?;
            let folder = file.parent().unwrap_or(&file).to_owned();
            // `<prefix>/bin/go` needs `<prefix>/lib`, but a home folder is no prefix.
            let prefix = folder.parent().filter(|_| folder.file_name() == Some("bin"));
            let prefix = prefix.filter(|prefix| context.home() != Some(*prefix));
            let installation = prefix.unwrap_or(&folder).to_owned();
            Ok(Program { installation, folder, sha256 })
        })
        .collect()
}

fn run(
    bench: Bench<'_>,
    service: &Service,
    build: &BuildCommand,
    target: &Target,
    compilers: &Compilers,
    programs: &[Program],
    told: BTreeMap<String, String>,
) -> Result<Changes, ServiceError> {
    let name = &service.name.value;
    let spinner = bench.context.reporter.spinner("Building", format!("{name} for {}", target.name));
    let mut workshop =
        Workshop::open(bench.context, bench.store, bench.confinement, Ground::Copies)?;
    layout::write(&bench.sources.get(service).tree, &workshop.app(), Method::Copy)?;
    workshop.ensure(OUT)?;
    workshop.show(compilers.shown());
    let others = programs.iter().filter(|program| !is_system(&program.folder));
    let mut path = Vec::new();
    for program in others {
        workshop.show([(program.installation.clone(), Access::Read)]);
        path.push(program.folder.clone());
    }
    let (program, arguments) =
        build.command.split_first().expect("a manifest with an empty command is refused");
    let command = Command::new(format!("build {name} for {}", target.name), program.as_str())
        .args(arguments)
        .current_dir(workshop.seen(""))
        .env("PATH", workshop.search_path(&path))
        .env("GANGWAY_SOURCE", workshop.seen("").as_str())
        .env("GANGWAY_OUT", workshop.seen(OUT).as_str())
        .env("GANGWAY_JOBS", bench.context.jobs.to_string())
        .envs(compilers.variables())
        .envs(told);
    let log = format!("service-{name}-{}", target.name);
    workshop.run(command, &[("", Access::Write)], &log).map_err(|source| ServiceError::Command {
        service: name.clone(),
        target: target.name.clone(),
        help: "the command has no network and sees only its `inputs`, the system's programs, the compilers, and the `programs` \
               that the manifest names"
            .to_owned(),
        source: Box::new(source),
    })?;
    drop(spinner);
    let changes =
        capture::changes(bench.store, &workshop.app().join(OUT), &Tree::default(), &[""])?;
    bench.context.reporter.done("Built", format!("{name} for {}", target.name));
    Ok(changes)
}

/// Whether a fence shows the folder anyway.
fn is_system(folder: &Utf8Path) -> bool {
    SYSTEM_PATH.split(':').any(|system| folder == system) || folder.starts_with("/usr")
}
