//! What `lock` pins: every archive is downloaded, looked into, and its digest noted.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gangway_artifact::BundlePath;
use reqwest::StatusCode;
use url::Url;

use super::contents::{self, Owner};
use super::{Destination, Place, PrebuiltError, Unpublished};
use crate::addons::{Evidence, Lack, NodeAbi};
use crate::context::Context;
use crate::fetch;
use crate::http::redacted;
use crate::lock::LockedAddon;
use crate::registry::{Registry, RegistryError};
use crate::store::Store;
use crate::target::Target;
use crate::tree::Source;

/// Downloads at a time: release servers are not registries.
const AT_ONCE: usize = 8;

/// A package that a target is to have a downloaded binary of.
#[derive(Debug)]
pub struct Wish<'a> {
    /// The target.
    pub target: &'a Target,
    /// The interface of its runtime.
    pub abi: Option<NodeAbi>,
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its folder.
    pub path: BundlePath,
    /// What it brings; `None` for a folder of the gateway.
    pub evidence: Option<Evidence>,
    /// Where the manifest says to download from.
    pub host: Option<&'a Url>,
    /// What was pinned before, if that may stay.
    pub kept: Option<LockedAddon>,
}

/// What came of it.
#[derive(Debug)]
pub struct Pinned {
    /// The pins.
    pub pins: Vec<LockedAddon>,
    /// What there is no binary of.
    pub unpublished: Unpublished,
}

/// Something to download.
struct Errand {
    url: Url,
    interface: String,
    place: Place,
}

/// Pins a binary for each wish.
///
/// # Errors
/// When a server cannot be reached or serves something that cannot be unpacked. That there is no binary is no error.
pub fn pin(
    context: &Context,
    store: &Store,
    registry: &Registry,
    wishes: Vec<Wish<'_>>,
) -> Result<Pinned, PrebuiltError> {
    let mut pinned =
        Pinned { pins: Vec::new(), unpublished: Unpublished { lacks: BTreeMap::new() } };
    let mut errands = Vec::new();
    for mut wish in wishes {
        match errand(registry, &wish) {
            Err(reason) => pinned.lacks(&wish, reason),
            Ok(errand) => {
                match wish.kept.take().filter(|kept| kept.interface == errand.interface) {
                    Some(kept) => pinned.pins.push(kept),
                    None => errands.push((wish, errand)),
                }
            }
        }
    }
    let archives = download(context, store, registry, &errands)?;
    for (wish, errand) in errands {
        let owner = Owner::new(&wish.name, &wish.version, &wish.target.name);
        let source = match &archives[&errand.url] {
            Archive::There(source) => source,
            Archive::Absent(answer) => {
                pinned.lacks(&wish, format!("`{}` answered {answer}", redacted(&errand.url)));
                continue;
            }
        };
        let files = contents::files(store, source, &errand.place, &owner)?;
        match contents::unfit(&files, destination(&wish))? {
            Some(reason) => {
                pinned.lacks(&wish, format!("`{}` will not do: {reason}", redacted(&errand.url)));
            }
            None => pinned.pins.push(LockedAddon {
                package: wish.name.clone(),
                version: wish.version.clone(),
                target: wish.target.name.clone(),
                interface: errand.interface,
                size: source.size,
                sha256: source.sha256,
            }),
        }
    }
    Ok(pinned)
}

impl Pinned {
    fn lacks(&mut self, wish: &Wish<'_>, because: String) {
        let lack = Lack {
            name: wish.name.clone(),
            version: wish.version.clone(),
            path: wish.path.clone(),
            because,
            sources: wish.evidence.as_ref().and_then(|evidence| evidence.sources),
            is_published: false,
        };
        self.unpublished.lacks.entry(wish.target.name.clone()).or_default().push(lack);
    }
}

fn destination<'a>(wish: &Wish<'a>) -> Destination<'a> {
    Destination { platform: &wish.target.platform, abi: wish.abi }
}

/// What is to be downloaded for a wish, or why nothing is.
fn errand(registry: &Registry, wish: &Wish<'_>) -> Result<Errand, String> {
    let Some(evidence) = &wish.evidence else {
        return Err("it is a folder of the gateway, whose binaries nobody publishes".to_owned());
    };
    let Some(published) = &evidence.published else {
        return Err("neither prebuild-install nor node-pre-gyp downloads for it".to_owned());
    };
    let mirror = published.mirror(registry, wish.host);
    Ok(Errand {
        url: published.url(destination(wish), mirror.as_deref())?,
        interface: published.interface(destination(wish))?,
        place: published.place(destination(wish))?,
    })
}

/// What is at an address.
enum Archive {
    /// A file, now in the store.
    There(Source),
    /// Nothing: what the server answered.
    Absent(StatusCode),
}

/// Downloads each address once: targets share archives.
fn download(
    context: &Context,
    store: &Store,
    registry: &Registry,
    errands: &[(Wish<'_>, Errand)],
) -> Result<BTreeMap<Url, Archive>, PrebuiltError> {
    let named: BTreeMap<&Url, &str> =
        errands.iter().map(|(wish, errand)| (&errand.url, wish.name.as_str())).collect();
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let progress = context.reporter.count("Fetching", named.len() as u64);
    let downloads = stream::iter(named)
        .map(async |(url, name)| {
            let archive = match fetch::file(store, registry, name, url).await {
                Ok(source) => Archive::There(source),
                Err(error) => Archive::Absent(absence(&error).ok_or(error)?),
            };
            progress.advance(1);
            Ok((url.clone(), archive))
        })
        .buffer_unordered(AT_ONCE);
    context.block_on(downloads.try_collect())
}

/// The answer of a server that has no such file. Stores of objects say "forbidden" of what is not there.
fn absence(error: &PrebuiltError) -> Option<StatusCode> {
    const ANSWERS: [StatusCode; 3] =
        [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::GONE];
    match error {
        PrebuiltError::Registry(RegistryError::Fetch { source, .. }) => {
            source.status().filter(|status| ANSWERS.contains(status))
        }
        _ => None,
    }
}
