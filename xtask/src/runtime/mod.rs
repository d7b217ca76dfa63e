//! Runtimes: from the manifest's range to one exact archive.
//!
//! This is `lock`'s work. `bundle` only ever fetches what the lock names.

mod official;
pub mod policy;

use gangway_artifact::TargetName;
use miette::Diagnostic;
use nodejs_semver::{Range, Version};
use url::Url;

use crate::config::{Runtime, RuntimeSource};
use crate::integrity::{Integrity, IntegrityError};
use crate::registry::{Registry, RegistryError};
use crate::report::Reporter;
use crate::target::{Target, TargetError};

pub use official::{MirrorError, Mirrors};

/// One exact build of a runtime that a source offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Who offers it.
    pub source: RuntimeSource,
    /// The exact version.
    pub version: Version,
    /// The npm package, or the archive's file name at the maker's server.
    pub archive: String,
    /// The archive's digest.
    pub integrity: Integrity,
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
    /// A digest is none.
    #[error(transparent)]
    Integrity(#[from] IntegrityError),
}

/// The newest build in the manifest's range, from the first of its sources that has one.
///
/// # Errors
/// When no source has one. A source that cannot be reached is passed over with a warning if a later one can serve.
pub async fn resolve(
    asked: &Runtime,
    target: &Target,
    registry: &Registry,
    mirrors: &Mirrors,
    reporter: &Reporter,
) -> Result<Offer, RuntimeError> {
    let engine = asked.engine;
    let package = target.runtime(engine)?;
    let range = &asked.version.range;
    let mut tried = Vec::new();
    for &source in &asked.sources {
        let Some(build) = package.build(source) else {
            tried.push(format!("{}: has no build for `{}`", source.as_str(), target.name));
            continue;
        };
        let answer = match source {
            RuntimeSource::Official => official::newest(mirrors, build, range, registry).await,
            RuntimeSource::Npm => newest_on_npm(&build.archive, range, registry).await,
            RuntimeSource::Pypi | RuntimeSource::File => continue,
        };
        match answer {
            Ok(Ok(offer)) => {
                for miss in &tried {
                    reporter.warn(format!("{}, taken from {} instead", miss, source.as_str()));
                }
                return Ok(offer);
            }
            Ok(Err(newest)) => tried.push(format!("{}: {newest}", source.as_str())),
            Err(error) => tried.push(format!("{}: {}", source.as_str(), chain(&error))),
        }
    }
    let range = asked.version.written.clone();
    Err(RuntimeError::NoMatch {
        engine: engine.as_str(),
        target: target.name.clone(),
        range,
        tried,
    })
}

/// What a source that was asked in vain has instead, for people.
type Miss = String;

async fn newest_on_npm(
    package: &str,
    range: &Range,
    registry: &Registry,
) -> Result<Result<Offer, Miss>, RuntimeError> {
    let versions = registry.versions(package).await?;
    let latest = versions.last().map(|published| published.version.to_string());
    let found = versions.into_iter().rfind(|published| range.satisfies(&published.version));
    Ok(found
        .map(|published| Offer {
            source: RuntimeSource::Npm,
            version: published.version,
            archive: package.to_owned(),
            integrity: published.integrity,
        })
        .ok_or_else(|| match latest {
            Some(latest) => {
                format!("the package `{package}` has no such version (newest: {latest})")
            }
            None => format!("the package `{package}` has no versions"),
        }))
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
