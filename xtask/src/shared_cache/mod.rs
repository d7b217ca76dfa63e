//! A cache that teams and CI share: what one machine has made, others need not make.
//!
//! It is asked only for what the local cache lacks, and sent what was made here, in the background. Nothing of it is needed:
//! a service that cannot be reached, refuses or hangs is left alone for the rest of the run after one warning.
//!
//! Nothing in it is trusted. Everything is sealed under its name ([`seal`]), which tells damage. Against malice a seal helps
//! only where there is a key; so without one only that is taken which the caller can prove by digests it knows
//! itself, as it can for frames. `docs/shared-cache.md` says what that means for a team.

mod error;
mod seal;
mod service;
mod settings;
mod uploads;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt as _;
use gangway_artifact::Digest;
use object_store::UpdateVersion;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::context::Context;
use crate::report::{Progress, Reporter};
use seal::Seals;
use service::{Instead, Service, Trouble};
use settings::Settings;
use uploads::Uploads;

pub use error::SharedCacheError;
pub use service::Listed;
pub(crate) use settings::KEY;
pub use settings::Mode;
pub(crate) use uploads::Load;

/// After so many requests that failed the service is left alone.
const PATIENCE: u32 = 3;

/// What was put there longer ago, and is still of use, is put there again: services keep no time of the last use, and
/// what is old is removed one day.
const FRESH: i64 = 7 * 24 * 60 * 60;

/// What is shared. Names of formats: another format takes another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Compressed frames.
    Frame,
    /// What a command made.
    Made,
}

impl Kind {
    const fn folder(self) -> &'static str {
        match self {
            Self::Frame => "frames-v1",
            Self::Made => "made-v1",
        }
    }
}

/// The shared cache of one run. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SharedCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    place: String,
    mode: Mode,
    link: Arc<Link>,
    /// What the service was found to lack.
    absent: Mutex<HashSet<String>>,
    uploads: Option<Uploads>,
    now: i64,
}

/// What lookups and uploads share.
#[derive(Debug)]
struct Link {
    service: Service,
    seals: Seals,
    folder: Option<String>,
    runtime: Handle,
    reporter: Reporter,
    place: String,
    is_off: AtomicBool,
    failures: AtomicU32,
    /// What is there and of no use, or not to be lost: what is sent under its name takes its place.
    replaced: Mutex<HashMap<String, UpdateVersion>>,
    tally: Tally,
}

/// Counts, while threads are at it.
#[derive(Debug, Default)]
struct Tally {
    found: AtomicU64,
    found_bytes: AtomicU64,
    sent: AtomicU64,
    sent_bytes: AtomicU64,
    damaged: AtomicU64,
    unsent: AtomicU64,
}

/// What the shared cache was good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Where it is.
    pub place: String,
    /// How many things came from it.
    pub found: u64,
    /// Their bytes, as they came.
    pub found_bytes: u64,
    /// How many things were sent.
    pub sent: u64,
    /// Their bytes, as they were sent.
    pub sent_bytes: u64,
    /// How many things that came were damaged or not what they claimed to be; they were made anew.
    pub damaged: u64,
    /// How many things should have been sent and were not.
    pub unsent: u64,
    /// Whether it was in use to the end.
    pub reachable: bool,
}

/// Something that came from the shared cache; what it claims is for the caller to prove.
#[derive(Debug)]
pub(crate) struct Found {
    name: String,
    pub(crate) bytes: Vec<u8>,
    put_at: i64,
    version: UpdateVersion,
}

impl SharedCache {
    /// The shared cache that the environment names, if it names one and the network may be used.
    ///
    /// # Errors
    /// When the settings make no sense. Whether anybody answers is not known before it is asked for something.
    pub fn open(context: &Context) -> Result<Option<Self>, SharedCacheError> {
        match Settings::from_context(context)? {
            Some(settings) if !context.offline => {
                let service = Service::connect(context, &settings.place)?;
                Ok(Some(Self::new(context, &settings, service)))
            }
            _ => Ok(None),
        }
    }

    fn new(context: &Context, settings: &Settings, service: Service) -> Self {
        let place = settings.place.to_string();
        let link = Arc::new(Link {
            service,
            seals: settings.seals.clone(),
            folder: settings.seals.folder(),
            runtime: context.block_on(async { Handle::current() }),
            reporter: context.reporter.clone(),
            place: place.clone(),
            is_off: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            replaced: Mutex::default(),
            tally: Tally::default(),
        });
        let uploads = (settings.mode == Mode::ReadWrite).then(|| Uploads::begin(&link));
        let absent = Mutex::default();
        Self(Arc::new(Inner {
            place,
            mode: settings.mode,
            link,
            absent,
            uploads,
            now: seconds(context.now),
        }))
    }

    /// Where it is, as a person wrote it.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// Whether anything is sent there.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.0.mode
    }

    /// Whether seals say who made a thing: only then may something be taken that cannot be proved.
    pub(crate) fn vouches(&self) -> bool {
        self.0.link.seals.are_keyed()
    }

    /// Whether it is still asked.
    pub(crate) fn is_on(&self) -> bool {
        !self.0.link.is_off.load(Ordering::Relaxed)
    }

    /// Shows a person what is waited for.
    pub(crate) fn waiting(&self) -> Progress {
        self.0.link.reporter.spinner("Asking", self.0.place.clone())
    }

    /// Looks for something. Its seal is right; whether it is what its name promises is not known.
    pub(crate) fn find(&self, kind: Kind, key: &Digest) -> Option<Found> {
        let Inner { link, absent, .. } = &*self.0;
        let name = link.name(kind, key);
        if !self.is_on() || locked(absent).contains(&name) {
            return None;
        }
        match link.runtime.block_on(link.service.get(&name)) {
            Ok(Some(object)) => {
                link.failures.store(0, Ordering::Relaxed);
                let size = object.bytes.len() as u64;
                let Some(bytes) = link.seals.open(&name, object.bytes) else {
                    self.damaged(name, object.version);
                    return None;
                };
                link.tally.found.fetch_add(1, Ordering::Relaxed);
                link.tally.found_bytes.fetch_add(size, Ordering::Relaxed);
                Some(Found { name, bytes, put_at: object.put_at, version: object.version })
            }
            Ok(None) => {
                link.failures.store(0, Ordering::Relaxed);
                locked(absent).insert(name);
                None
            }
            Err(trouble) => {
                link.failed(&trouble);
                None
            }
        }
    }

    /// Something that was found is not what its name promises: it counts as missing, and what is made instead takes its place.
    pub(crate) fn refuse(&self, found: Found) {
        let tally = &self.0.link.tally;
        tally.found.fetch_sub(1, Ordering::Relaxed);
        let size = (found.bytes.len() + seal::LENGTH) as u64;
        tally.found_bytes.fetch_sub(size, Ordering::Relaxed);
        self.damaged(found.name, found.version);
    }

    /// Something that was found was of use. What has been there long is sent again, so that it does not look forgotten.
    pub(crate) fn used(&self, found: Found, kind: Kind, key: &Digest, load: impl FnOnce() -> Load) {
        if self.0.now - found.put_at > FRESH {
            locked(&self.0.link.replaced).insert(found.name, found.version);
            self.offer(kind, key, load());
        }
    }

    /// Sends something, some time. Does nothing where nothing may be sent.
    pub(crate) fn offer(&self, kind: Kind, key: &Digest, load: Load) {
        if let Some(uploads) = self.0.uploads.as_ref().filter(|_| self.is_on()) {
            uploads.add(self.0.link.name(kind, key), load);
        }
    }

    /// Waits for what is still to be sent, with bounded patience, and says what came of it all.
    pub fn finish(&self) -> Use {
        let Inner { link, uploads, place, .. } = &*self.0;
        if let Some(uploads) = uploads {
            uploads.finish(link);
        }
        let Tally { found, found_bytes, sent, sent_bytes, damaged, unsent } = &link.tally;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Use {
            place: place.clone(),
            found: count(found),
            found_bytes: count(found_bytes),
            sent: count(sent),
            sent_bytes: count(sent_bytes),
            damaged: count(damaged),
            unsent: count(unsent),
            reachable: self.is_on(),
        }
    }

    /// Everything that is there, of every key and format.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn list(&self) -> Result<Vec<Listed>, SharedCacheError> {
        let link = &self.0.link;
        link.runtime.block_on(link.service.list()).map_err(|trouble| self.error("list", &trouble))
    }

    /// Removes what is named so.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove(&self, names: Vec<&str>) -> Result<(), SharedCacheError> {
        /// How many requests are under way at the same time.
        const AT_ONCE: usize = 16;
        let link = &self.0.link;
        let removed = futures_util::stream::iter(names.into_iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |name| link.service.remove(name));
        link.runtime.block_on(removed).map_err(|trouble| self.error("remove from", &trouble))
    }

    fn damaged(&self, name: String, version: UpdateVersion) {
        let link = &self.0.link;
        tracing::warn!(place = self.0.place, name, "not what it claims to be; it is made anew");
        link.tally.damaged.fetch_add(1, Ordering::Relaxed);
        locked(&self.0.absent).insert(name.clone());
        locked(&link.replaced).insert(name, version);
    }

    fn error(&self, action: &'static str, trouble: &Trouble) -> SharedCacheError {
        let reason = trouble.reason().to_owned();
        SharedCacheError::Failed { action, place: self.0.place.clone(), reason }
    }
}

impl Link {
    /// What something is called there.
    fn name(&self, kind: Kind, key: &Digest) -> String {
        let (key, kind) = (key.to_string(), kind.folder());
        match &self.folder {
            Some(folder) => format!("{folder}/{kind}/{}/{key}", &key[..2]),
            None => format!("{kind}/{}/{key}", &key[..2]),
        }
    }

    /// What is to be replaced by what is sent under this name.
    fn instead(&self, name: &str) -> Instead {
        let replaced = locked(&self.replaced).remove(name);
        replaced.map_or(Instead::OfNothing, Instead::Of)
    }

    /// Gives the service up when it has failed often enough, and says so once.
    fn failed(&self, trouble: &Trouble) {
        tracing::debug!(place = self.place, ?trouble, "the shared cache");
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let is_hopeless = failures >= PATIENCE || matches!(trouble, Trouble::Lasting(_));
        if is_hopeless && !self.is_off.swap(true, Ordering::Relaxed) {
            self.reporter.warn(format!(
                "the shared cache `{}` is not used any more in this run: {}",
                self.place,
                trouble.reason()
            ));
        }
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// What a thread that panicked held is as whole as ever.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
