//! Runtimes: from the manifest's range to exact archives.
//!
//! This is `lock`'s work. `bundle` only ever fetches what the lock names. Every source is asked what it has for a target
//! ([`Finder::offers`]), one version is chosen for all targets together (`choose`), and only the chosen builds' digests
//! are looked up.

mod abi;
mod choose;
mod official;
pub mod policy;
mod pypi;
mod signature;

use std::collections::BTreeMap;

use gangway_artifact::TargetName;
use miette::Diagnostic;
use nodejs_semver::Version;
use url::Url;

use crate::config::{Engine, Runtime, RuntimeSource};
use crate::integrity::{Integrity, IntegrityError};
use crate::registry::{Published, Registry, RegistryError, Wheel};
use crate::target::{RuntimeBuild, RuntimePackage, Target, TargetError};

pub use abi::NodeAbi;
pub use official::{MirrorError, Mirrors};
pub use signature::SignatureError;

/// One exact build of a runtime that a source offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Who offers it.
    pub source: RuntimeSource,
    /// The exact version.
    pub version: Version,
    /// The npm package, the wheel's file name, or the archive's file name at the maker's server.
    pub archive: String,
    /// The archive's digest; the makers' servers are asked for it when it is needed.
    pub integrity: Option<Integrity>,
}

/// What the sources have for one target.
#[derive(Debug, Default)]
pub struct Shelf {
    /// Everything in the range, in the order of the sources.
    pub offers: Vec<Offer>,
    /// What each source that has nothing said.
    pub misses: Vec<Miss>,
}

/// A source that was asked in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// The source.
    pub source: RuntimeSource,
    /// What it said, for people.
    pub reason: String,
    /// Whether it could not be asked at all.
    pub is_failure: bool,
}

/// A runtime that cannot be found.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum RuntimeError {
    /// The target has none.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Target(#[from] TargetError),
    /// No source has a version in the range.
    #[error("no {engine} for `{target}` satisfies `{range}`")]
    #[diagnostic(help("{}", tried.join("\n")))]
    NoMatch {
        /// The runtime.
        engine: &'static str,
        /// The target.
        target: TargetName,
        /// The manifest's range.
        range: String,
        /// What each source said.
        tried: Vec<String>,
    },
    /// The registry.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registry(#[from] RegistryError),
    /// The maker's server serves what we cannot read.
    #[error("cannot read `{url}`: {reason}")]
    Malformed {
        /// What was read.
        url: Url,
        /// What is wrong with it.
        reason: String,
    },
    /// The maker's list is not the maker's.
    #[error("`{url}` cannot be trusted")]
    #[diagnostic(help(
        "nothing of it was used. A mirror must serve Node's own signed list; for one that signs with keys of its own, name the file with them in GANGWAY_NODE_KEYS"
    ))]
    Signature {
        /// What was read.
        url: Url,
        /// What is wrong with it.
        source: SignatureError,
    },
    /// What the runtime needs besides is nowhere.
    #[error("cannot find the shared libraries that the runtime needs in `{wheel}`: {reason}")]
    #[diagnostic(help("the Python package index that uv or pip is configured with must have it"))]
    NoLibraries {
        /// The Python project.
        wheel: String,
        /// Why not.
        reason: String,
    },
    /// Several targets without a runtime.
    #[error("{} targets get no runtime", .0.len())]
    Several(#[related] Vec<RuntimeError>),
    /// A digest is none.
    #[error(transparent)]
    Integrity(#[from] IntegrityError),
}

/// Asks the sources; what one said is not asked again.
#[derive(Debug)]
pub struct Finder<'a> {
    registry: &'a Registry,
    mirrors: &'a Mirrors,
    npm: BTreeMap<String, Result<Vec<Published>, String>>,
    wheels: BTreeMap<String, Result<Vec<Wheel>, String>>,
    lists: BTreeMap<Url, Result<String, String>>,
}

impl<'a> Finder<'a> {
    /// One that has asked nobody yet.
    #[must_use]
    pub fn new(registry: &'a Registry, mirrors: &'a Mirrors) -> Self {
        let (npm, wheels, lists) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { registry, mirrors, npm, wheels, lists }
    }

    /// What the sources have for a target, in the range that was asked for.
    pub async fn offers(&mut self, asked: &Runtime, target: &Target) -> Shelf {
        let mut shelf = Shelf::default();
        let package = match target.runtime(asked.engine) {
            Ok(package) => package,
            Err(error) => {
                let reason = error.to_string();
                let miss = |&source| Miss { source, reason: reason.clone(), is_failure: false };
                shelf.misses.extend(asked.sources.iter().take(1).map(miss));
                return shelf;
            }
        };
        for &source in &asked.sources {
            let mut miss = |reason: String, is_failure| {
                shelf.misses.push(Miss { source, reason, is_failure });
            };
            let Some(build) = package.build(source) else {
                miss(format!("has no build for `{}`", target.name), false);
                continue;
            };
            match self.at(source, asked.engine, build).await {
                Err(reason) => miss(reason, true),
                Ok(offers) => {
                    let newest = offers.iter().map(|offer| &offer.version).max();
                    let newest = newest.map_or_else(|| "none".to_owned(), ToString::to_string);
                    let before = shelf.offers.len();
                    let range = &asked.version.range;
                    shelf
                        .offers
                        .extend(offers.into_iter().filter(|offer| range.satisfies(&offer.version)));
                    if shelf.offers.len() == before {
                        let reason =
                            format!("`{}` has no such version (newest: {newest})", build.archive);
                        shelf.misses.push(Miss { source, reason, is_failure: false });
                    }
                }
            }
        }
        shelf
    }

    /// Everything a source has for a target.
    async fn at(
        &mut self,
        source: RuntimeSource,
        engine: Engine,
        build: &RuntimeBuild,
    ) -> Result<Vec<Offer>, String> {
        match source {
            RuntimeSource::Official => {
                let url = self.mirrors.index(engine);
                let list = self.list(&url).await?;
                official::offers(engine, &list, build)
                    .map_err(|reason| format!("cannot read `{url}`: {reason}"))
            }
            RuntimeSource::Npm => Ok(self
                .published(&build.archive)
                .await?
                .into_iter()
                .map(|published| Offer {
                    source,
                    version: published.version,
                    archive: build.archive.clone(),
                    integrity: Some(published.integrity),
                })
                .collect()),
            RuntimeSource::Pypi => {
                let tag = build.tag.as_deref().unwrap_or_default();
                let wheels = self.wheels(&build.archive).await?;
                let offer = |(version, wheel): (Version, Wheel)| Offer {
                    source,
                    version,
                    archive: wheel.file,
                    integrity: Some(wheel.integrity),
                };
                Ok(pypi::fitting(&wheels, tag).into_iter().map(offer).collect())
            }
            RuntimeSource::File => Ok(Vec::new()),
        }
    }

    /// The digest of what is offered.
    ///
    /// # Errors
    /// When the maker publishes none, or its list is not signed as it must be.
    pub async fn digest(&self, engine: Engine, offer: &Offer) -> Result<Integrity, RuntimeError> {
        match &offer.integrity {
            Some(integrity) => Ok(integrity.clone()),
            None => official::digest(self.mirrors, engine, offer, self.registry).await,
        }
    }

    /// The npm package with the licence text of a runtime whose archive has none, in the same version.
    pub async fn license(&mut self, build: &RuntimeBuild, version: &Version) -> Option<Offer> {
        let package = build.license_package.as_ref()?;
        let published = self.published(package).await.ok()?;
        let found = published.into_iter().find(|published| published.version == *version)?;
        Some(Offer {
            source: RuntimeSource::Npm,
            version: found.version,
            archive: package.clone(),
            integrity: Some(found.integrity),
        })
    }

    /// The newest wheel with the libraries that a runtime needs besides.
    ///
    /// # Errors
    /// When the index has none.
    pub async fn libraries(
        &mut self,
        package: &RuntimePackage,
    ) -> Result<Option<Offer>, RuntimeError> {
        let Some(libraries) = &package.libraries else { return Ok(None) };
        let missing = |reason| RuntimeError::NoLibraries { wheel: libraries.wheel.clone(), reason };
        let wheels = self.wheels(&libraries.wheel).await.map_err(missing)?;
        let newest = pypi::fitting(&wheels, &libraries.tag).pop();
        let (version, wheel) =
            newest.ok_or_else(|| missing(format!("no wheel is for `{}`", libraries.tag)))?;
        let integrity = Some(wheel.integrity);
        Ok(Some(Offer { source: RuntimeSource::Pypi, version, archive: wheel.file, integrity }))
    }

    async fn published(&mut self, package: &str) -> Result<Vec<Published>, String> {
        if !self.npm.contains_key(package) {
            let answer = self.registry.versions(package).await.map_err(|error| chain(&error));
            self.npm.insert(package.to_owned(), answer);
        }
        self.npm[package].clone()
    }

    async fn wheels(&mut self, project: &str) -> Result<Vec<Wheel>, String> {
        if !self.wheels.contains_key(project) {
            let answer = self.registry.wheels(project).await.map_err(|error| chain(&error));
            self.wheels.insert(project.to_owned(), answer);
        }
        self.wheels[project].clone()
    }

    async fn list(&mut self, url: &Url) -> Result<String, String> {
        if !self.lists.contains_key(url) {
            let answer = self.registry.text(url).await.map_err(|error| chain(&error));
            self.lists.insert(url.clone(), answer);
        }
        self.lists[url].clone()
    }
}

/// The offer each target gets, by number; see `choose`.
#[must_use]
pub fn choose(shelves: &[&[Offer]]) -> Vec<Option<usize>> {
    let versions: Vec<Vec<Version>> = shelves
        .iter()
        .map(|offers| offers.iter().map(|offer| offer.version.clone()).collect())
        .collect();
    // The first of the sources that have the version: they stand in the manifest's order.
    std::iter::zip(shelves, choose::choose(&versions))
        .map(|(offers, chosen)| {
            offers.iter().position(|offer| Some(&offer.version) == chosen.as_ref())
        })
        .collect()
}

impl std::fmt::Display for Miss {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.source.as_str(), self.reason)
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
