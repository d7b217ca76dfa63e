//! What `bundle` does with what is pinned: it has it in the store, and puts it into the package. It never asks what else
//! there may be.

use camino::Utf8Path;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::contents::{self, Owner};
use super::{Destination, PrebuiltError, Published};
use crate::addons::{AddonError, Job, Setting};
use crate::config::Treatment;
use crate::context::Context;
use crate::fetch;
use crate::http::redacted;
use crate::lock::{Lock, LockedAddon};
use crate::registry::Registry;
use crate::store::Store;
use crate::tree::Tree;

/// Downloads at a time.
const AT_ONCE: usize = 8;

/// Where pinned binaries come from.
#[derive(Debug, Clone, Copy)]
pub struct Supply<'a> {
    /// The store.
    pub store: &'a Store,
    /// What is pinned.
    pub lock: &'a Lock,
    /// The manifest, for messages.
    pub manifest: &'a Utf8Path,
}

/// Has every binary that the jobs of a target take in the store, with the bytes that are pinned.
///
/// # Errors
/// When one is not pinned, cannot be had, or is another.
pub fn fetch(
    context: &Context,
    registry: &Registry,
    supply: &Supply<'_>,
    setting: &Setting<'_>,
    jobs: &[Job],
) -> Result<(), AddonError> {
    let missing: Vec<_> = jobs
        .iter()
        .filter(|job| job.is_downloaded())
        .map(|job| Ok((job, supply.pin(setting, job)?)))
        .filter(|found| !found.as_ref().is_ok_and(|(_, (_, pin))| supply.has(pin)))
        .collect::<Result<_, PrebuiltError>>()?;
    let downloads = stream::iter(missing)
        .map(async |(job, (published, pin))| {
            take(context, registry, supply, setting, job, published, pin).await
        })
        .buffer_unordered(AT_ONCE);
    context.block_on(downloads.try_collect::<()>())?;
    Ok(())
}

/// Puts the binaries into the packages of `tree`; [`fetch()`] has them in the store.
///
/// # Errors
/// When one is not for the target, or its archive has what it must not have.
pub fn place(
    supply: &Supply<'_>,
    setting: &Setting<'_>,
    jobs: &[Job],
    tree: &mut Tree,
) -> Result<(), AddonError> {
    for job in jobs.iter().filter(|job| job.is_downloaded()) {
        let owner = owner(setting, job);
        let (published, pin) = supply.pin(setting, job)?;
        let destination = destination(setting);
        let source = supply.store.added(pin.sha256, pin.size, false);
        let source = source.ok_or_else(|| owner.unusable("it has left the cache".to_owned()))?;
        let to = published.place(destination).map_err(|reason| owner.unusable(reason))?;
        let files = contents::files(supply.store, &source, &to, &owner)?;
        if let Some(reason) = contents::unfit(&files, destination)? {
            return Err(owner.unusable(reason).into());
        }
        contents::put(files, job, &owner, tree)?;
    }
    Ok(())
}

async fn take(
    context: &Context,
    registry: &Registry,
    supply: &Supply<'_>,
    setting: &Setting<'_>,
    job: &Job,
    published: &Published,
    pin: &LockedAddon,
) -> Result<(), PrebuiltError> {
    let host = match &job.treatment {
        Treatment::Prebuilt { host } => host.as_ref(),
        Treatment::Build(_) | Treatment::Omit { .. } => None,
    };
    let mirror = published.mirror(registry, host);
    let url = published
        .url(destination(setting), mirror.as_deref())
        .map_err(|reason| owner(setting, job).unusable(reason))?;
    if context.offline {
        return Err(PrebuiltError::Offline { url: redacted(&url) });
    }
    let what = format!("{} {} for {}", job.name, job.version, setting.target);
    let source = fetch::file::<PrebuiltError>(supply.store, registry, &what, &url).await?;
    if source.sha256 == pin.sha256 {
        return Ok(());
    }
    let (found, pinned) = (source.sha256.to_string(), pin.sha256.to_string());
    Err(PrebuiltError::Digest { url: redacted(&url), found, pinned })
}

impl Supply<'_> {
    /// What is pinned for a job, if it is for the runtime that is pinned.
    fn pin<'job>(
        &'job self,
        setting: &Setting<'_>,
        job: &'job Job,
    ) -> Result<(&'job Published, &'job LockedAddon), PrebuiltError> {
        let owner = owner(setting, job);
        let published = job.published.as_ref().ok_or_else(|| {
            owner.unusable("neither prebuild-install nor node-pre-gyp downloads for it".to_owned())
        })?;
        let interface =
            published.interface(destination(setting)).map_err(|reason| owner.unusable(reason))?;
        let instead = match self.lock.addon(&job.name, &job.version, setting.target) {
            Some(pin) if pin.interface == interface => return Ok((published, pin)),
            Some(pin) => format!(
                ": the one it pins is made for {}, the runtime needs {interface}",
                pin.interface
            ),
            None => String::new(),
        };
        let Owner { package, target } = owner;
        Err(PrebuiltError::NotPinned {
            package,
            target,
            instead,
            manifest: self.manifest.to_owned(),
        })
    }

    fn has(&self, pin: &LockedAddon) -> bool {
        self.store.added(pin.sha256, pin.size, false).is_some()
    }
}

fn owner(setting: &Setting<'_>, job: &Job) -> Owner {
    Owner::new(&job.name, &job.version, setting.target)
}

fn destination<'a>(setting: &Setting<'a>) -> Destination<'a> {
    Destination { platform: setting.platform, abi: setting.abi }
}
