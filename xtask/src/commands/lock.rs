//! `cargo xtask lock`: pins the runtimes, the build tools, and the binaries that packages and services download.

mod addons;
mod runtimes;

use camino::Utf8PathBuf;
use gangway_artifact::Digest;
use miette::Diagnostic;
use nodejs_semver::Range;

use crate::addons::AddonError;
use crate::config::{Config, Located};
use crate::context::Context;
use crate::fetch::{self, FetchError, Place, Request};
use crate::integrity::Integrity;
use crate::lock::{Lock, LockError, LockedRuntime, LockedTool};
use crate::plan::PlanError;
use crate::registry::{Registry, RegistryError};
use crate::runtime::{self, Mirrors, RuntimeError};
use crate::services::{self, ServiceError};
use crate::store::{Store, StoreError};
use crate::target::{Target, TargetError};
use crate::tree::{Node, Tree};

/// Whether pins that still satisfy the manifest stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Only what is missing or no longer fits is resolved.
    Missing,
    /// Everything is resolved anew, to the newest.
    All,
}

/// Whether a target without a runtime is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// The user asked for each of them.
    Each,
    /// They are simply all there are: what none of the sources can serve is told, and left out.
    All,
}

/// What was done.
#[derive(Debug)]
pub struct Outcome {
    /// The lock.
    pub path: Utf8PathBuf,
    /// Its content.
    pub lock: Lock,
    /// Whether anything in it is new.
    pub changed: bool,
}

/// Why nothing could be locked.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "each is the error of the part it names")]
pub enum LockCommandError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Runtime(Box<RuntimeError>),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Mirror(#[from] runtime::MirrorError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Services(#[from] ServiceError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Plan(Box<PlanError>),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Addons(#[from] AddonError),
    /// An archive without its executable.
    #[error("{archive} has no file `{executable}`")]
    NoExecutable { archive: String, executable: String },
    /// A file of the user's own that cannot be read.
    #[error("cannot read the runtime `{path}` that the manifest names")]
    File { path: Utf8PathBuf, source: std::io::Error },
    /// A file of the user's own without a runtime in it.
    #[error("`{path}` holds no {engine} for `{target}`")]
    #[diagnostic(help("it must be the executable itself, or an archive with one of these in it: {}", looked_for.join(", ")))]
    EmptyFile { path: Utf8PathBuf, engine: &'static str, target: String, looked_for: Vec<String> },
    /// A tool's range that nothing satisfies.
    #[error("no version of `{package}` satisfies `{range}`, which [tools] asks of `{tool}`")]
    #[diagnostic(help("{}", newest.as_ref().map_or_else(
        || "the registry lists no versions of it".to_owned(),
        |newest| format!("the newest version is {newest}"),
    )))]
    NoTool { tool: String, package: String, range: String, newest: Option<String> },
}

impl From<RuntimeError> for LockCommandError {
    fn from(error: RuntimeError) -> Self {
        Self::Runtime(Box::new(error))
    }
}

impl From<PlanError> for LockCommandError {
    fn from(error: PlanError) -> Self {
        Self::Plan(Box::new(error))
    }
}

/// Pins what the manifest asks for, on `targets` and for this machine's tools, and writes the lock.
///
/// # Errors
/// When something cannot be resolved or fetched; the lock on disk stays as it was.
pub fn run(
    context: &Context,
    config: &Config,
    targets: &[Target],
    named: Named,
    host: &Target,
    refresh: Refresh,
) -> Result<Outcome, LockCommandError> {
    let old = match Lock::load(config) {
        Ok(lock) => lock,
        // Whatever cannot be read is what this command is there to mend.
        Err(
            LockError::Missing { .. } | LockError::Malformed { .. } | LockError::Version { .. },
        ) => Lock::new(),
        Err(error) => return Err(error.into()),
    };
    let session = Session {
        context,
        config,
        store: Store::open(context)?,
        registry: Registry::load(context, &config.npmrc_folder())?,
        mirrors: Mirrors::from_context(context, &config.folder)?,
    };
    let mut lock = Lock::new();
    // Pins of targets that were not asked for stay as they are, and so do those of other engines.
    let is_wanted = |locked: &LockedRuntime| {
        let asked = config.runtime(&locked.target).map(|asked| asked.engine.as_str());
        asked == Some(locked.engine.as_str())
            && targets.iter().any(|target| target.name == locked.target)
    };
    lock.runtimes.extend(old.runtimes.iter().filter(|locked| !is_wanted(locked)).cloned());
    lock.tools.extend(old.tools.iter().filter(|tool| tool.target != host.name).cloned());
    let kept = |target: &Target| match refresh {
        Refresh::Missing => old.runtime(config, target).ok().flatten().cloned(),
        Refresh::All => None,
    };
    let pinned = runtimes::pin(&session, targets, named, kept)?;
    lock.runtimes.extend(pinned);
    for (name, range) in &config.tools {
        // One by one: a tool that is new, or whose range changed, must not move the others.
        let kept = (refresh == Refresh::Missing)
            .then(|| old.tool(config, name, range, host).ok())
            .flatten();
        lock.tools.push(match kept {
            Some(kept) => kept.clone(),
            None => session.tool(name, range, host)?,
        });
    }
    let is_asked =
        |name: &gangway_artifact::TargetName| targets.iter().any(|target| target.name == *name);
    lock.services.extend(old.services.iter().filter(|pin| !is_asked(&pin.target)).cloned());
    for target in targets {
        for (service, url) in services::finished(config, target) {
            let kept = (refresh == Refresh::Missing)
                .then(|| old.service(&service.name.value, &target.name, url).ok())
                .flatten();
            lock.services.push(match kept {
                Some(kept) => kept.clone(),
                None => services::pin(
                    context,
                    &session.store,
                    &session.registry,
                    (service, url),
                    target,
                )?,
            });
        }
    }
    lock.addons.extend(old.addons.iter().filter(|pin| !is_asked(&pin.target)).cloned());
    let kept = (refresh == Refresh::Missing).then_some(&old);
    let pinned = addons::pin(&session, targets, named, &lock, kept)?;
    lock.addons.extend(pinned);
    let path = lock.save(config)?;
    Ok(Outcome { path, changed: lock != old, lock })
}

struct Session<'a> {
    context: &'a Context,
    config: &'a Config,
    store: Store,
    registry: Registry,
    mirrors: Mirrors,
}

impl Session<'_> {
    fn tool(
        &self,
        name: &str,
        range: &Located<Range>,
        host: &Target,
    ) -> Result<LockedTool, LockCommandError> {
        let package = host.tool(name)?;
        let versions = self.context.block_on(self.registry.versions(&package.npm))?;
        let newest = versions.last().map(|published| published.version.to_string());
        let Some(found) =
            versions.into_iter().rfind(|published| range.value.satisfies(&published.version))
        else {
            return Err(LockCommandError::NoTool {
                tool: name.to_owned(),
                package: package.npm.clone(),
                range: self.config.written(range).to_owned(),
                newest,
            });
        };
        let version = found.version.to_string();
        let place =
            Place::Registry { name: package.npm.clone(), version: version.clone(), resolved: None };
        let what = format!("{name} {version}");
        let sha256 = self.executable(
            Request { what, integrity: found.integrity.clone(), place },
            &package.executable,
        )?;
        Ok(LockedTool {
            name: name.to_owned(),
            target: host.name.clone(),
            version,
            archive: package.npm.clone(),
            integrity: found.integrity,
            executable: package.executable.clone(),
            sha256,
        })
    }

    /// What is in an archive.
    fn tree(&self, request: Request) -> Result<Tree, LockCommandError> {
        let integrity: Integrity = request.integrity.clone();
        let mut fetched = fetch::all(self.context, &self.store, &self.registry, &[request])?;
        Ok(fetched.remove(&integrity).unwrap_or_default())
    }

    /// Fetches an archive and returns the digest of the executable inside.
    fn executable(&self, request: Request, executable: &str) -> Result<Digest, LockCommandError> {
        let archive = request.what.clone();
        let tree = self.tree(request)?;
        match tree.get(executable) {
            Some(Node::File(source)) => Ok(source.sha256),
            _ => Err(LockCommandError::NoExecutable { archive, executable: executable.to_owned() }),
        }
    }
}

impl Outcome {
    /// The pins, one line each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let runtimes = self.lock.runtimes.iter().map(|locked| {
            format!(
                "{} {} for {} from {}",
                locked.engine, locked.version, locked.target, locked.source
            )
        });
        let tools = self
            .lock
            .tools
            .iter()
            .map(|tool| format!("{} {} on {}", tool.name, tool.version, tool.target));
        let services = self
            .lock
            .services
            .iter()
            .map(|pin| format!("{} for {} from its URL", pin.name, pin.target));
        let addons = self.lock.addons.iter().map(|pin| {
            format!(
                "{} {} for {}, made for {}",
                pin.package, pin.version, pin.target, pin.interface
            )
        });
        runtimes.chain(tools).chain(services).chain(addons).collect()
    }
}
