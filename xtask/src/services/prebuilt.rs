//! Finished programs: files beside the manifest, and downloads that the lock pins.

use gangway_artifact::{BundlePath, Digest};

use super::{Bench, Made, ServiceError, archive, key, program_name, settle};
use crate::capture::Changes;
use crate::config::{Config, Prebuilt, PrebuiltPlace, Service, ServiceSource};
use crate::context::Context;
use crate::http::redacted;
use crate::lock::{Lock, LockedService};
use crate::mode;
use crate::registry::Registry;
use crate::store::Store;
use crate::target::Target;
use crate::tree::{Node, Source, Tree};

/// The files beside the manifest, by their paths in it.
pub(super) fn files(
    config: &Config,
    service: &Service,
    prebuilt: &Prebuilt,
) -> Result<Tree, ServiceError> {
    let mut tree = Tree::default();
    for place in prebuilt.targets.values() {
        let PrebuiltPlace::File(path) = &place.value else { continue };
        let file = config.folder.join(path.as_str());
        let read = || {
            let opened = std::fs::File::open(&file)?;
            let executable = mode::is_executable(&opened.metadata()?);
            let (sha256, size) = Digest::of_reader(opened)?;
            Ok(Source::new(file.clone(), size, executable, sha256))
        };
        let source = read().map_err(|source| ServiceError::File {
            service: service.name.value.clone(),
            manifest: config.source.clone(),
            span: place.span.clone().into(),
            source,
        })?;
        tree.insert(path.clone(), Node::File(source));
    }
    Ok(tree)
}

/// The programs of all services that are downloaded for a target: the service and the URL.
pub fn finished<'config>(
    config: &'config Config,
    target: &'config Target,
) -> impl Iterator<Item = (&'config Service, &'config url::Url)> {
    config.services.iter().filter_map(|service| match &service.source {
        ServiceSource::Prebuilt(prebuilt) => match &prebuilt.targets.get(&target.name)?.value {
            PrebuiltPlace::Url(url) => Some((service, url)),
            PrebuiltPlace::File(_) => None,
        },
        _ => None,
    })
}

/// Downloads a program to pin it.
///
/// # Errors
/// When it cannot be had.
pub fn pin(
    context: &Context,
    store: &Store,
    registry: &Registry,
    (service, url): (&Service, &url::Url),
    target: &Target,
) -> Result<LockedService, ServiceError> {
    if context.offline {
        return Err(ServiceError::Offline { url: redacted(url) });
    }
    let source = download(context, store, registry, service, url)?;
    Ok(LockedService {
        name: service.name.value.clone(),
        target: target.name.clone(),
        url: url.to_string(),
        size: source.size,
        sha256: source.sha256,
    })
}

fn download(
    context: &Context,
    store: &Store,
    registry: &Registry,
    service: &Service,
    url: &url::Url,
) -> Result<Source, ServiceError> {
    context.block_on(crate::fetch::file(store, registry, &service.name.value, url))
}

/// What is to be downloaded for the target.
pub(super) fn wanted<'a>(
    config: &Config,
    service: &Service,
    prebuilt: &'a Prebuilt,
    lock: &'a Lock,
    target: &Target,
) -> Result<Option<(&'a url::Url, &'a LockedService)>, ServiceError> {
    match of_target(config, service, prebuilt, target)? {
        PrebuiltPlace::Url(url) => Ok(Some((url, locked(config, service, lock, target, url)?))),
        PrebuiltPlace::File(_) => Ok(None),
    }
}

/// Has the pinned program in the store.
pub(super) fn fetch(
    context: &Context,
    store: &Store,
    registry: &Registry,
    service: &Service,
    (url, locked): (&url::Url, &LockedService),
) -> Result<(), ServiceError> {
    if store.added(locked.sha256, locked.size, false).is_some() {
        return Ok(());
    }
    if context.offline {
        return Err(ServiceError::Offline { url: redacted(url) });
    }
    let source = download(context, store, registry, service, url)?;
    if source.sha256 == locked.sha256 {
        return Ok(());
    }
    let (found, pinned) = (source.sha256.to_string(), locked.sha256.to_string());
    Err(ServiceError::Digest { url: redacted(url), found, pinned })
}

/// Whether there is a program for the target, pinned where it is a download.
pub(super) fn check(
    config: &Config,
    service: &Service,
    prebuilt: &Prebuilt,
    lock: &Lock,
    target: &Target,
) -> Result<(), ServiceError> {
    if let PrebuiltPlace::Url(url) = of_target(config, service, prebuilt, target)? {
        locked(config, service, lock, target, url)?;
    }
    Ok(())
}

fn of_target<'config>(
    config: &Config,
    service: &Service,
    prebuilt: &'config Prebuilt,
    target: &Target,
) -> Result<&'config PrebuiltPlace, ServiceError> {
    match prebuilt.targets.get(&target.name) {
        Some(place) => Ok(&place.value),
        None => Err(ServiceError::NoPrebuilt {
            service: service.name.value.clone(),
            target: target.name.clone(),
            manifest: config.source.clone(),
            span: service.name.span.clone().into(),
        }),
    }
}

/// The program's tree, out of its archive.
pub(super) fn make(
    bench: Bench<'_>,
    service: &Service,
    prebuilt: &Prebuilt,
    lock: &Lock,
    target: &Target,
) -> Result<Made, ServiceError> {
    let name = service.name.value.clone();
    let file = match of_target(bench.config, service, prebuilt, target)? {
        PrebuiltPlace::File(path) => {
            let Some(Node::File(source)) = bench.sources.get(service).tree.get(path.as_str())
            else {
                unreachable!("every file of the manifest was read")
            };
            bench.store.add_file(&source.path(), false)?
        }
        PrebuiltPlace::Url(url) => {
            let locked = locked(bench.config, service, lock, target, url)?;
            let source = bench.store.added(locked.sha256, locked.size, false);
            source.ok_or_else(|| ServiceError::Offline { url: redacted(url) })?
        }
    };
    let bare = prebuilt.program.as_ref().map_or(name.as_str(), BundlePath::as_str);
    let bare = program_name(bare, target);
    let key = key("prebuilt", &format!("{} {bare}", file.sha256));
    let tree = match Changes::recall(bench.store, &key)? {
        Some(changes) => changes.present,
        None => {
            let present = archive::read(bench.store, &file.path(), &bare).map_err(|source| {
                ServiceError::Archive { service: name, source: Box::new(source) }
            })?;
            let changes = Changes { present, removed: Vec::new() };
            changes.remember(bench.store, &key)?;
            changes.present
        }
    };
    settle(service, target, prebuilt.program.as_ref(), tree)
}

fn locked<'lock>(
    config: &Config,
    service: &Service,
    lock: &'lock Lock,
    target: &Target,
    url: &url::Url,
) -> Result<&'lock LockedService, ServiceError> {
    lock.service(&service.name.value, &target.name, url).map_err(|reason| ServiceError::NotPinned {
        service: service.name.value.clone(),
        target: target.name.clone(),
        reason,
        manifest: config.path.clone(),
    })
}
