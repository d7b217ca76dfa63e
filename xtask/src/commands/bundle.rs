//! `cargo xtask bundle`: the main job, from manifest to archives.

mod record;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Digest, MANIFEST_FILE, Requirements, TargetName};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::confine::Confinement;
use crate::context::Context;
use crate::fetch::{self, FetchError};
use crate::launcher::LauncherError;
use crate::own_files::{OwnFiles, OwnFilesError};
use crate::pack::{self, Format, PackError, Settings};
use crate::plan::{self, Inputs, Plan, PlanError, TargetPlan};
use crate::registry::{Registry, RegistryError};
use crate::runtime::{MirrorError, Mirrors};
use crate::stage::{self, Materials, StageError, Staged};
use crate::store::{Store, StoreError};
use crate::target::Target;
use crate::tree::Tree;

/// What to bundle, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// One bundle for each.
    pub targets: Vec<Target>,
    /// The platform of this machine: build tools and commands run on it.
    pub host: Target,
    /// One archive for each.
    pub formats: Vec<Format>,
    /// Where the archives go.
    pub out: Utf8PathBuf,
    /// Whether install scripts must be confined.
    pub confinement: Confinement,
}

/// One archive and what is in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bundle {
    /// The gateway's name.
    pub app: String,
    /// Its version.
    pub version: String,
    /// The target.
    pub target: TargetName,
    /// The runtime inside, as `node 24.21.0`.
    pub runtime: String,
    /// The archive.
    pub archive: Utf8PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
    /// The manifest beside it.
    pub manifest: Utf8PathBuf,
    /// The manifest's digest.
    pub manifest_sha256: Digest,
    /// The programs in `bin/`.
    pub entrypoints: Vec<String>,
    /// Packages inside.
    pub packages: usize,
    /// Files inside.
    pub files: usize,
    /// Bytes of all files, unpacked.
    pub unpacked_size: u64,
    /// What each prune rule saved.
    pub pruned: Vec<Pruned>,
    /// Bytes that stripping took out of the runtime.
    pub stripped: u64,
    /// What the native code inside needs of a machine.
    pub requirements: Requirements,
    /// What a person should know and may mend.
    pub warnings: Vec<String>,
    /// Whether nothing had changed since it was made.
    pub reused: bool,
}

/// What one prune rule saved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pruned {
    /// The rule.
    pub rule: String,
    /// Files left out.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the transparent ones are the errors of the parts they name")]
pub enum BundleError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    OwnFiles(#[from] OwnFilesError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Launcher(#[from] LauncherError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Mirror(#[from] MirrorError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Stage(#[from] StageError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pack(#[from] PackError),
    /// The folder for archives could not be made.
    #[error("cannot make the folder `{path}` for the bundles")]
    #[diagnostic(help("name another one with `--out`"))]
    Out { path: Utf8PathBuf, source: std::io::Error },
    /// The bundles would be taken for files of the gateway.
    #[error("the bundles would be written among the gateway's own files in `{path}`")]
    #[diagnostic(help(
        "the next bundle would then hold this one: name another folder with `--out`, for instance `--out bundles`"
    ))]
    OutIsSource { path: Utf8PathBuf },
    /// A file of the store was not what it was when it was put there.
    #[error("`{path}` in the cache was damaged; it was thrown away")]
    #[diagnostic(help("run the same command again: it is fetched and checked anew"))]
    Damaged { path: Utf8PathBuf },
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read { path: Utf8PathBuf, source: std::io::Error },
    /// The manifest beside the archive could not be written.
    #[error("cannot write `{path}`")]
    Manifest { path: Utf8PathBuf, source: std::io::Error },
}

/// Decides what `run` would do.
///
/// # Errors
/// When manifest, locks and targets do not fit together.
pub fn plan(config: &Config, options: &Options) -> Result<(Inputs, Plan), BundleError> {
    let inputs = Inputs::load(config)?;
    let plan = plan::resolve(config, &inputs, &options.targets, &options.host, &options.formats)?;
    Ok((inputs, plan))
}

/// Makes every archive that is not there yet as it would be made.
///
/// # Errors
/// When any stage fails. Archives that were finished before stay; nothing half-written does.
pub fn run(
    context: &Context,
    config: &Config,
    options: &Options,
) -> Result<Vec<Bundle>, BundleError> {
    let (inputs, plan) = plan(config, options)?;
    let out = |source| BundleError::Out { path: options.out.clone(), source };
    fs_err::create_dir_all(&options.out).map_err(out)?;
    if options.out.canonicalize_utf8().map_err(out)?
        == config.folder.canonicalize_utf8().map_err(out)?
    {
        return Err(BundleError::OutIsSource { path: options.out.clone() });
    }
    let store = Store::open(context)?;
    let skip = [options.out.clone(), context.cache.clone()];
    let own = OwnFiles::collect(config, &plan, inputs.lockfile_folder(config), &skip)?;
    let keys = record::Keys::new(context, &inputs, &own, config, options);

    let mut bundles = Vec::new();
    let mut missing = Vec::new();
    for target in &plan.targets {
        for &format in &options.formats {
            let key = keys.of(context, target, format)?;
            match record::find(context, &key, &options.out) {
                Some(bundle) => bundles.push(bundle),
                None => missing.push((target, format, key)),
            }
        }
    }
    if !missing.is_empty() {
        let registry = Registry::load(context, &config.folder)?;
        let mirrors = Mirrors::from_context(context)?;
        let requests = plan.requests(inputs.lockfile_folder(config), &mirrors);
        let fetched = fetch::all(context, &store, &registry, &requests)?;
        let materials = Materials {
            context,
            config,
            store: &store,
            fetched: &fetched,
            own: &own,
            confinement: options.confinement,
        };
        let outputs = stage::build(&materials, &plan)?;
        bundles.extend(make(&materials, options, &missing, &outputs)?);
    }
    bundles.sort_by(|a, b| (&a.target, &a.archive).cmp(&(&b.target, &b.archive)));
    Ok(bundles)
}

/// Stages each target once and packs it in every format that is missing.
fn make(
    materials: &Materials<'_>,
    options: &Options,
    missing: &[(&TargetPlan, Format, record::Key)],
    outputs: &Tree,
) -> Result<Vec<Bundle>, BundleError> {
    let mut bundles = Vec::new();
    for of_target in missing.chunk_by(|(a, ..), (b, ..)| a.target == b.target) {
        let Some((plan, ..)) = of_target.first() else { continue };
        let staged = stage::tree(materials, plan, outputs)?;
        for (_, format, key) in of_target {
            let bundle = pack(materials, options, plan, &staged, *format)?;
            record::save(materials.context, key, &bundle);
            bundles.push(bundle);
        }
    }
    Ok(bundles)
}

fn pack(
    materials: &Materials<'_>,
    options: &Options,
    plan: &TargetPlan,
    staged: &Staged,
    format: Format,
) -> Result<Bundle, BundleError> {
    let name = plan::bundle_name(materials.config, &plan.target);
    let archive = options.out.join(format!("{name}.{}", format.extension()));
    let packed = match pack::write(
        materials.context,
        &staged.tree,
        &materials.config.app.name,
        Settings::new(format),
        &archive,
    ) {
        Err(PackError::Damaged { source_path, .. }) if materials.store.discard(&source_path)? => {
            return Err(BundleError::Damaged { path: source_path });
        }
        packed => packed?,
    };
    let beside = options.out.join(format!("{name}.{MANIFEST_FILE}"));
    let bytes = staged.manifest.to_json();
    write_beside(&beside, &bytes)
        .map_err(|source| BundleError::Manifest { path: beside.clone(), source })?;
    let manifest = &staged.manifest;
    Ok(Bundle {
        app: manifest.app.name.clone(),
        version: manifest.app.version.clone(),
        target: plan.target.clone(),
        runtime: format!("{} {}", manifest.runtime.engine, manifest.runtime.version),
        archive,
        size: packed.size,
        sha256: packed.sha256,
        manifest: beside,
        manifest_sha256: Digest::of(&bytes),
        entrypoints: manifest
            .entrypoints
            .iter()
            .map(|entrypoint| entrypoint.name.clone())
            .collect(),
        packages: staged.packages,
        files: staged.tree.len(),
        unpacked_size: staged.tree.size(),
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
        requirements: manifest.requirements.clone(),
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
