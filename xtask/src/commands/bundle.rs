//! `cargo xtask bundle`: the main job, from manifest to archives.

mod make;
mod record;

use camino::Utf8PathBuf;
use gangway_abi::check::Finding;
use gangway_artifact::{Contract, Digest, TargetName, Verification, VerificationStatus};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use crate::addons::AddonError;
use crate::config::Config;
use crate::confine::Confinement;
use crate::context::Context;
use crate::fetch::FetchError;
use crate::own_files::{OwnFiles, OwnFilesError};
use crate::pack::{Compression, Format, PackError};
use crate::plan::{self, Inputs, Plan, PlanError};
use crate::programs::ProgramError;
use crate::registry::RegistryError;
use crate::runtime::MirrorError;
use crate::services::{self, ServiceError};
use crate::shared_cache::{self, SharedCache, SharedCacheError};
use crate::stage::StageError;
use crate::store::{Store, StoreError};
use crate::target::Target;
use crate::verify::{Checking, allow};

pub(crate) use record::BUCKET as RECORDS;

/// What to bundle, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// One bundle for each.
    pub targets: Vec<Target>,
    /// The platform of this machine: build tools and commands run on it.
    pub host: Target,
    /// One archive for each.
    pub formats: Vec<Format>,
    /// What counts when a `.tar.zst` is compressed.
    pub compression: Compression,
    /// Where the archives go.
    pub out: Utf8PathBuf,
    /// Whether install scripts must be confined.
    pub confinement: Confinement,
    /// Whether what is known to break may be made.
    pub checking: Checking,
    /// Every target there is: an allowance is only idle when nothing it speaks of was left out.
    pub known_targets: Vec<TargetName>,
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
    /// The runtime inside, as `node 24.21.0`; `none` if there is none.
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
    /// What it needs of a machine.
    pub contract: Contract,
    /// Those of the libraries it needs that not every system of the target has.
    pub uncommon: Vec<String>,
    /// What came of the check of its native code.
    pub verification: Verification,
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
    Launcher(#[from] ProgramError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    SharedCache(#[from] SharedCacheError),
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
    Addons(#[from] AddonError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Services(#[from] ServiceError),
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

/// What came of every target.
#[derive(Debug)]
pub struct Outcome {
    /// The archives there are, in the order of their targets.
    pub bundles: Vec<Bundle>,
    /// The targets without one.
    pub failures: Vec<Failure>,
    /// What a person should know and may mend, of all targets together.
    pub warnings: Vec<String>,
    /// What the shared cache was good for, if there is one and there was something to do.
    pub shared_cache: Option<shared_cache::Use>,
}

/// Targets that could not be bundled.
#[derive(Debug)]
pub struct Failure {
    /// The targets, at least one.
    pub targets: Vec<TargetName>,
    /// Why not.
    pub error: BundleError,
}

/// Decides what `run` would do.
///
/// # Errors
/// When manifest and locks do not fit together.
pub fn plan(config: &Config, options: &Options) -> Result<(Inputs, Plan), BundleError> {
    let inputs = Inputs::load(config)?;
    let plan = plan::resolve(config, &inputs, &options.targets, &options.host, &options.formats)?;
    Ok((inputs, plan))
}

/// Makes every archive that is not there yet as it would be made. A target that fails does not stop the others.
///
/// # Errors
/// When what all targets share fails. Archives that were finished before stay; nothing half-written does.
pub fn run(context: &Context, config: &Config, options: &Options) -> Result<Outcome, BundleError> {
    let (inputs, mut plan) = plan(config, options)?;
    let out = |source| BundleError::Out { path: options.out.clone(), source };
    fs_err::create_dir_all(&options.out).map_err(out)?;
    if options.out.canonicalize_utf8().map_err(out)?
        == config.folder.canonicalize_utf8().map_err(out)?
    {
        return Err(BundleError::OutIsSource { path: options.out.clone() });
    }
    let shared = SharedCache::open(context)?;
    let store = Store::open(context)?.shared_with(shared.clone());
    let skip = [options.out.clone(), context.cache.clone()];
    let own = OwnFiles::collect(config, &plan, inputs.lockfile_folder(config), &skip)?;
    let sources = services::sources(context, config, &skip)?;
    let refused = std::mem::take(&mut plan.refused).into_iter();
    let mut outcome = Outcome {
        bundles: Vec::new(),
        warnings: Vec::new(),
        shared_cache: None,
        failures: refused
            .map(|refused| Failure { targets: vec![refused.target], error: refused.error.into() })
            .collect(),
    };
    let command = make::Command {
        context,
        config,
        options,
        inputs: &inputs,
        plan: &plan,
        own: &own,
        services: &sources,
        store: &store,
    };
    let missing = make::look(&command, &mut outcome);
    if !missing.is_empty() {
        let made = make::all(&command, missing, &mut outcome);
        // What was made is of use to others, whatever failed besides.
        outcome.shared_cache = shared.map(|shared| shared.finish());
        made?;
    }
    outcome.bundles.sort_by(|a, b| (&a.target, &a.archive).cmp(&(&b.target, &b.archive)));
    outcome.failures.sort_by(|a, b| a.targets.cmp(&b.targets));
    outcome.warnings = idle_allowances(config, options, &outcome.bundles);
    Ok(outcome)
}

/// Allowances that stand for nothing in any bundle they speak of.
fn idle_allowances(config: &Config, options: &Options, bundles: &[Bundle]) -> Vec<String> {
    let checked = bundles
        .iter()
        .filter(|bundle| bundle.verification.status == VerificationStatus::Verified)
        .map(|bundle| (bundle.target.clone(), bundle.verification.allowances.clone()));
    let idle = allow::unused(&config.verify, &options.known_targets, &checked.collect());
    idle.into_iter().map(allow::unused_warning).collect()
}

impl Failure {
    /// The findings that stand against the bundle, if that is why there is none.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match &self.error {
            BundleError::Stage(StageError::Refused(refused)) => &refused.findings,
            _ => &[],
        }
    }
}
