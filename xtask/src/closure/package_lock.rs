//! `package-lock.json` and `npm-shrinkwrap.json`, lockfile versions 2 and 3.
//!
//! Version 2 tells everything twice, for npm 6; only `packages` is read. What is wrong with single packages is
//! gathered and told at once.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::BundlePath;

use super::error::{FaultKind, Faults};
use super::gate::Host;
use super::graph::Graph;
use super::location::{self, Location};
use super::places::Places;
use super::raw::{self, Entry};
use super::select::Absent;
use super::{Closure, ClosureError, Origin, Package, Scope, bins, origin, places};

/// Reads the lockfile `text`, found at `path`, for one platform, or for a [`Host`] that also has a Node.js version.
///
/// # Errors
/// When it is not a lockfile we read, or when something in it cannot be bundled safely.
pub fn read<'host>(
    text: &str,
    path: &Utf8Path,
    host: impl Into<Host<'host>>,
    scope: Scope,
) -> Result<Closure, ClosureError> {
    let mut entries = raw::parse(text, path)?;
    let mut faults = Faults::default();
    refuse_bad_keys(&mut entries, &mut faults);
    let graph = Graph::new(&entries);
    let absent = Absent::find(&entries, &graph, host.into(), scope, &mut faults);
    let places = places::find(&entries, &absent, &mut faults);
    places::check_outside(&entries, &graph, &places, &mut faults);
    let packages = packages(&entries, &graph, &places, &mut faults);
    faults.into_result(path)?;

    let mut closure = Closure { packages, links: places.links, gated: Vec::new() };
    closure.packages.sort_by(|a, b| a.path.cmp(&b.path));
    closure.links.sort_by(|a, b| a.path.cmp(&b.path));
    closure.gated = absent.gated.iter().filter_map(|key| BundlePath::new(*key).ok()).collect();
    Ok(closure)
}

/// Takes out the entries with a key that is no place npm would install to.
fn refuse_bad_keys(entries: &mut BTreeMap<String, Entry>, faults: &mut Faults) {
    let links: Vec<_> =
        entries.iter().filter(|(_, entry)| entry.link).map(|(key, _)| format!("{key}/")).collect();
    entries.retain(|key, entry| {
        let reason = match location::parse(key) {
            Err(reason) => reason,
            Ok(Location::Project | Location::Folder) if entry.link => {
                "a link must lie in a `node_modules`"
            }
            Ok(_) if links.iter().any(|link| key.starts_with(link)) => "it lies below a link",
            Ok(_) => return true,
        };
        faults.add(FaultKind::Path, format!("`{}`: {reason}", key.escape_debug()));
        false
    });
}

/// Everything that has a place, except the links.
fn packages(
    entries: &BTreeMap<String, Entry>,
    graph: &Graph<'_>,
    places: &Places<'_>,
    faults: &mut Faults,
) -> Vec<Package> {
    let mut packages = Vec::new();
    for (key, place) in &places.folders {
        let origin = Origin::Folder { path: Utf8PathBuf::from(*key) };
        packages.push(package(key, &entries[*key], place, origin));
    }
    for (key, place) in &places.installed {
        let entry = &entries[*key];
        let origin = if is_bundled(entries, key, entry) {
            Ok(Origin::Bundled)
        } else {
            origin::of(key, entry, graph)
        };
        match origin {
            Ok(origin) => packages.push(package(key, entry, place, origin)),
            Err((kind, detail)) => {
                let version = entry.version.as_deref().unwrap_or("without a version");
                faults.add(kind, format!("`{key}` {version}{detail}"));
            }
        }
    }
    packages
}

/// Whether the bytes are in another package's tarball. What the project or a folder bundles is installed as usual,
/// so that it can be bundled when they are packed.
fn is_bundled(entries: &BTreeMap<String, Entry>, key: &str, entry: &Entry) -> bool {
    let Ok(Location::Installed { parent, .. }) = location::parse(key) else { return false };
    let in_package = matches!(location::parse(parent), Ok(Location::Installed { .. }));
    entry.in_bundle && in_package && entries.contains_key(parent)
}

fn package(key: &str, entry: &Entry, place: &BundlePath, origin: Origin) -> Package {
    let folder = location::name(key).or_else(|| key.rsplit('/').next()).unwrap_or(key);
    let name = entry.name.clone().unwrap_or_else(|| folder.to_owned());
    Package {
        path: place.clone(),
        version: entry.version.clone().unwrap_or_default(),
        origin,
        has_install_script: entry.has_install_script,
        bins: bins::normalise(&entry.bin, &name),
        engines: entry.engines.clone(),
        name,
    }
}
