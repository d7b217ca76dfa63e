//! Makes the bundles that are missing: several targets at a time, each at its own pace.
//!
//! What targets share is done once, because every step is keyed by the digests of its inputs: a package is fetched and
//! unpacked once, a runtime stripped once, a frame compressed once. One target is staged while another is packed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Digest, MANIFEST_FILE, Platform, TargetName};

use super::record::{self, Key, Keys};
use super::{Bundle, BundleError, Failure, Options, Outcome, Pruned};
use crate::addons::prebuilt::Supply;
use crate::addons::{self, AddonError, Library, Unreadable};
use crate::config::Config;
use crate::context::Context;
use crate::fetch;
use crate::integrity::Integrity;
use crate::native::{FactsCache, Natives};
use crate::own_files::OwnFiles;
use crate::pack::{self, Content, Format, FrameCache, Known, PackError, Settings};
use crate::plan::{self, Inputs, Plan, TargetPlan};
use crate::programs::{self, Program, ProgramError};
use crate::registry::Registry;
use crate::runtime::Mirrors;
use crate::scripts::Grounds;
use crate::services::{self, Sources};
use crate::stage::{self, Materials, Staged};
use crate::store::Store;
use crate::summary;
use crate::tree::Tree;
use crate::verify::Checking;

/// How many targets are under way at once, at most. One is packed by all threads there are; the others keep them busy while
/// it ends and waits for the disk.
const AT_ONCE: usize = 3;

/// What one target still lacks.
#[derive(Debug)]
pub(super) struct Work<'plan> {
    plan: &'plan TargetPlan,
    launcher: Utf8PathBuf,
    archives: Vec<(Format, Key)>,
}

/// What one command works with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Command<'a> {
    pub(super) context: &'a Context,
    pub(super) config: &'a Config,
    pub(super) options: &'a Options,
    pub(super) inputs: &'a Inputs,
    pub(super) plan: &'a Plan,
    pub(super) own: &'a OwnFiles,
    pub(super) services: &'a Sources,
    pub(super) store: &'a Store,
}

/// Divides a command's targets into bundles that are there already and work to be done.
pub(super) fn look<'a>(command: &Command<'a>, outcome: &mut Outcome) -> Vec<Work<'a>> {
    let Command { context, config, options, inputs, plan, own, services, .. } = *command;
    let keys = Keys::new(context, inputs, own, services, config, options);
    let triples = plan.targets.iter().map(|target| target.data.launcher_triple());
    let mut launchers = programs::obtain_together(context, Program::Launcher, triples);
    let mut missing = Vec::new();
    for target in &plan.targets {
        match look_at(command, target, &keys, &mut launchers, &mut outcome.bundles) {
            Ok(work) => missing.extend(work),
            Err(error) => {
                outcome.failures.push(Failure { targets: vec![target.target.clone()], error });
            }
        }
    }
    missing
}

/// Does the work. A target that fails does not stop the others.
///
/// # Errors
/// When what all targets share fails.
pub(super) fn all(
    command: &Command<'_>,
    work: Vec<Work<'_>>,
    outcome: &mut Outcome,
) -> Result<(), BundleError> {
    let Command { context, config, options, inputs, plan, own, store, .. } = *command;
    let registry = Registry::load(context, &config.npmrc_folder())?;
    let (mut work, fetched) = fetch(command, &registry, work, outcome)?;
    let natives = Natives::kept_in(FactsCache::in_folder(store.bucket(FactsCache::BUCKET)?));
    let library = Library::read(&fetched, &own.folders, &natives)
        .map_err(|Unreadable { path, source }| AddonError::Read { path, source })?;
    let addons = addons::decide_all(config, work.iter().map(|work| work.plan), &library);
    work.retain(|work| !addons.failures.contains_key(&work.plan.target));
    let failed = |(target, error): (TargetName, AddonError)| Failure {
        targets: vec![target],
        error: error.into(),
    };
    outcome.failures.extend(addons.failures.into_iter().map(failed));
    let grounds = Grounds::default();
    let supply = Supply { store, lock: &inputs.lock, manifest: &config.path };
    work.retain(|work| {
        let jobs = &addons.decisions[&work.plan.target].jobs;
        let setting = work.plan.setting();
        let fetched = addons::prebuilt::fetch(context, &registry, &supply, &setting, jobs);
        let failure = fetched.err().map(|error| failed((work.plan.target.clone(), error)));
        let has_all = failure.is_none();
        outcome.failures.extend(failure);
        has_all
    });
    let materials = Materials {
        context,
        config,
        store,
        fetched: &fetched,
        own,
        addons: &addons.decisions,
        natives: &natives,
        grounds: &grounds,
        services: command.services,
        lock: &inputs.lock,
        confinement: options.confinement,
        checking: options.checking,
    };
    if work.is_empty() {
        return Ok(());
    }
    let outputs = stage::build(&materials, plan)?;
    let is_one_of_many = options.targets.len() > 1;
    let frames = FrameCache::open(store, is_one_of_many)?.shared_with(store.shared().cloned());
    let queue = Mutex::new(in_turns(work).into_iter());
    let outcome = Mutex::new(outcome);
    let to_stage = AtomicUsize::new(lock(&queue).len());
    let worker = |when_all_are_staged: &dyn Fn()| {
        loop {
            let next = lock(&queue).next();
            let Some(work) = next else { return };
            let staged = stage(&materials, &work, &outputs);
            if to_stage.fetch_sub(1, Ordering::Relaxed) == 1 {
                when_all_are_staged();
            }
            let made = staged.and_then(|staged| make(&materials, options, &work, &staged, &frames));
            if is_one_of_many {
                report(context, &work, &made);
                made.iter().flatten().for_each(|bundle| pack::forget_pages(&bundle.archive));
            }
            let mut outcome = lock(&outcome);
            match made {
                Ok(bundles) => outcome.bundles.extend(bundles),
                Err(error) => {
                    outcome
                        .failures
                        .push(Failure { targets: vec![work.plan.target.clone()], error });
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            // What only staging needs is removed while the last bundle is packed.
            scope.spawn(|| worker(&|| drop(scope.spawn(|| grounds.clear()))));
        }
    });
    let (compressed, reused) = frames.bytes();
    tracing::debug!(compressed, reused, "bytes of frames");
    Ok(())
}

fn look_at<'a>(
    command: &Command<'a>,
    plan: &'a TargetPlan,
    keys: &Keys,
    launchers: &mut BTreeMap<&'a str, Utf8PathBuf>,
    there: &mut Vec<Bundle>,
) -> Result<Option<Work<'a>>, BundleError> {
    let Command { context, config, options, .. } = *command;
    // What was allowed when a bundle was made may be so no more.
    let has_expired = options.checking == Checking::Required
        && config.verify.has_expired(&plan.target, context.today);
    let launcher = launcher_of(context, plan.data.launcher_triple(), launchers)?;
    let mut archives = Vec::new();
    for &format in &options.formats {
        let key = keys.of(plan, &launcher, format)?;
        match record::find(context, &key, &options.out) {
            Some(bundle) if !has_expired => there.push(bundle),
            _ => archives.push((format, key)),
        }
    }
    Ok((!archives.is_empty()).then_some(Work { plan, launcher, archives }))
}

/// Targets share launchers, and asking Cargo for one takes a moment even when it is there.
fn launcher_of<'a>(
    context: &Context,
    triple: &'a str,
    known: &mut BTreeMap<&'a str, Utf8PathBuf>,
) -> Result<Utf8PathBuf, ProgramError> {
    if let Some(launcher) = known.get(triple) {
        return Ok(launcher.clone());
    }
    let launcher = programs::obtain(context, Program::Launcher, triple)?;
    known.insert(triple, launcher.clone());
    Ok(launcher)
}

/// Targets of one platform share most of what is made for them, if they do not make it at the same time: so at first one of
/// every platform, then the others.
fn in_turns(work: Vec<Work<'_>>) -> Vec<Work<'_>> {
    let mut seen: BTreeMap<Platform, usize> = BTreeMap::new();
    let mut turns: Vec<(usize, Work<'_>)> = work
        .into_iter()
        .map(|work| {
            let turn = seen.entry(work.plan.platform).or_default();
            *turn += 1;
            (*turn, work)
        })
        .collect();
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, work)| work).collect()
}

type Fetched = BTreeMap<Integrity, Tree>;

/// Has everything fetched. What cannot be had fails the targets that need it.
fn fetch<'a>(
    command: &Command<'_>,
    registry: &Registry,
    work: Vec<Work<'a>>,
    outcome: &mut Outcome,
) -> Result<(Vec<Work<'a>>, Fetched), BundleError> {
    let Command { context, config, inputs, store, .. } = *command;
    let (work, fetched) = fetch_archives(command, registry, work, outcome)?;
    let is_alone = work.len() == 1;
    let mut possible = Vec::new();
    for work in work {
        let target = &work.plan.data;
        match services::fetch(context, config, store, registry, &inputs.lock, target) {
            Ok(()) => possible.push(work),
            Err(error) if is_alone => return Err(error.into()),
            Err(error) => {
                let target = work.plan.target.clone();
                outcome.failures.push(Failure { targets: vec![target], error: error.into() });
            }
        }
    }
    Ok((possible, fetched))
}

/// Packages, runtimes and tools.
fn fetch_archives<'a>(
    command: &Command<'_>,
    registry: &Registry,
    work: Vec<Work<'a>>,
    outcome: &mut Outcome,
) -> Result<(Vec<Work<'a>>, Fetched), BundleError> {
    let Command { context, config, inputs, plan, store, .. } = *command;
    let mirrors = Mirrors::from_context(context, &config.folder)?;
    let folder = inputs.lockfile_folder(config);
    let requests = |work: &Work<'_>| work.plan.requests(folder, &mirrors);
    let shared = plan.build_requests(folder, &mirrors);
    let everything = [shared.clone(), work.iter().flat_map(requests).collect()].concat();
    match fetch::all(context, store, registry, &everything) {
        Ok(fetched) => return Ok((work, fetched)),
        Err(error) if work.len() == 1 => return Err(error.into()),
        Err(error) => tracing::debug!(%error, "looking for the targets that lack something"),
    }
    let mut fetched = fetch::all(context, store, registry, &shared)?;
    let mut possible = Vec::new();
    for work in work {
        match fetch::all(context, store, registry, &requests(&work)) {
            Ok(trees) => {
                fetched.extend(trees);
                possible.push(work);
            }
            Err(error) => {
                let target = work.plan.target.clone();
                outcome.failures.push(Failure { targets: vec![target], error: error.into() });
            }
        }
    }
    Ok((possible, fetched))
}

fn stage(
    materials: &Materials<'_>,
    work: &Work<'_>,
    outputs: &Tree,
) -> Result<Staged, BundleError> {
    let _staging = materials.context.reporter.spinner("Staging", work.plan.target.to_string());
    Ok(stage::tree(materials, work.plan, outputs, &work.launcher)?)
}

/// Packs a staged target in every format that is missing.
fn make(
    materials: &Materials<'_>,
    options: &Options,
    work: &Work<'_>,
    staged: &Staged,
    frames: &FrameCache,
) -> Result<Vec<Bundle>, BundleError> {
    let mut bundles = Vec::new();
    for (format, key) in &work.archives {
        let bundle = pack(materials, options, work.plan, staged, *format, frames)?;
        record::save(materials.context, key, &bundle);
        bundles.push(bundle);
    }
    Ok(bundles)
}

fn report(context: &Context, work: &Work<'_>, made: &Result<Vec<Bundle>, BundleError>) {
    let target = &work.plan.target;
    match made {
        Ok(bundles) => {
            for bundle in bundles {
                let name = bundle.archive.file_name().unwrap_or_default();
                context.reporter.done("Bundled", format!("{name}, {}", summary::size(bundle.size)));
            }
        }
        Err(error) => context.reporter.done("Failed", format!("{target}: {error}")),
    }
}

fn pack(
    materials: &Materials<'_>,
    options: &Options,
    plan: &TargetPlan,
    staged: &Staged,
    format: Format,
    frames: &FrameCache,
) -> Result<Bundle, BundleError> {
    let name = plan::bundle_name(materials.config, &plan.target);
    let archive = options.out.join(format!("{name}.{}", format.extension()));
    let packed = match pack::write(
        materials.context,
        Content {
            tree: &staged.tree,
            manifest: &staged.manifest,
            folder: &materials.config.app.name,
        },
        Settings::of(format, options.compression),
        Known { natives: materials.natives, frames: Some(frames) },
        &archive,
    ) {
        Err(PackError::Damaged { source_path, .. }) if materials.store.discard(&source_path)? => {
            return Err(BundleError::Damaged { path: source_path });
        }
        packed => packed?,
    };
    let beside = options.out.join(format!("{name}.{MANIFEST_FILE}"));
    write_beside(&beside, &packed.manifest)
        .map_err(|source| BundleError::Manifest { path: beside.clone(), source })?;
    let manifest = &staged.manifest;
    Ok(Bundle {
        app: manifest.app.name.to_string(),
        version: manifest.app.version.clone(),
        target: plan.target.clone(),
        runtime: manifest.runtime.as_ref().map_or_else(
            || "none".to_owned(),
            |runtime| format!("{} {}", runtime.engine, runtime.version),
        ),
        archive,
        size: packed.size,
        sha256: packed.sha256,
        manifest: beside,
        manifest_sha256: Digest::of(&packed.manifest),
        entrypoints: manifest
            .entrypoints
            .iter()
            .map(|entrypoint| entrypoint.name.to_string())
            .collect(),
        packages: staged.packages,
        files: staged.tree.len() + 1,
        unpacked_size: staged.tree.size() + packed.manifest.len() as u64,
        pruned: staged
            .pruned
            .rules
            .iter()
            .map(|saved| Pruned {
                rule: saved.name.to_owned(),
                files: saved.files,
                bytes: saved.bytes,
            })
            .collect(),
        stripped: staged.stripped,
        contract: manifest.contract.clone(),
        uncommon: (manifest.contract.libraries.keys())
            .filter(|library| !plan.data.provides(library))
            .cloned()
            .collect(),
        verification: manifest.verification.clone(),
        warnings: staged.warnings.clone(),
        reused: false,
    })
}

/// Replaces the file as a whole or not at all.
fn write_beside(path: &Utf8Path, bytes: &[u8]) -> std::io::Result<()> {
    let partial = Utf8PathBuf::from(format!("{path}.partial"));
    fs_err::write(&partial, bytes)?;
    fs_err::rename(&partial, path)
}

/// A worker that panicked leaves whole values behind, and its panic goes on when the threads are joined.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
