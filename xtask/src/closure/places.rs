//! Where each entry of a lockfile goes in the bundle.
//!
//! Almost always to the path that is its key. The exception are folders outside the project (`file:../x`): npm links
//! to them, but a link may not lead out of a bundle. The first link to such a folder is replaced by the folder itself,
//! with the packages in its own `node_modules`; further links to it lead there.

use std::collections::{BTreeMap, VecDeque};

use gangway_artifact::BundlePath;

use super::FolderLink;
use super::error::{FaultKind, Faults};
use super::graph::Graph;
use super::location::{self, Location};
use super::raw::Entry;
use super::select::Absent;

/// The outcome.
#[derive(Default)]
pub(super) struct Places<'lock> {
    /// The packages inside a `node_modules`: key to path.
    pub(super) installed: BTreeMap<&'lock str, BundlePath>,
    /// The folders that something links to: key to path.
    pub(super) folders: BTreeMap<&'lock str, BundlePath>,
    /// The links.
    pub(super) links: Vec<FolderLink>,
}

struct Search<'search, 'lock> {
    entries: &'lock BTreeMap<String, Entry>,
    areas: BTreeMap<&'lock str, Vec<&'lock str>>,
    absent: &'search Absent<'lock>,
    faults: &'search mut Faults,
    queue: VecDeque<&'lock str>,
    places: Places<'lock>,
}

/// Walks from the project along the links, so that only what something leads to has a place.
pub(super) fn find<'lock>(
    entries: &'lock BTreeMap<String, Entry>,
    absent: &Absent<'lock>,
    faults: &mut Faults,
) -> Places<'lock> {
    let mut areas: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for key in entries.keys() {
        if matches!(location::parse(key), Ok(Location::Installed { .. })) {
            areas.entry(location::area(key)).or_default().push(key.as_str());
        }
    }
    let queue = VecDeque::from([""]);
    let mut search = Search { entries, areas, absent, faults, queue, places: Places::default() };
    while let Some(area) = search.queue.pop_front() {
        search.area(area);
    }
    search.places
}

impl<'lock> Search<'_, 'lock> {
    /// Gives a place to everything in the `node_modules` of the project or of one folder.
    fn area(&mut self, area: &'lock str) {
        // Sorted by key, so a package comes after the one it lies in.
        for key in self.areas.remove(area).unwrap_or_default() {
            let Ok(Location::Installed { parent, .. }) = location::parse(key) else { continue };
            let below_absent = self.entries.contains_key(parent)
                && parent != area
                && !self.places.installed.contains_key(parent);
            if below_absent || self.absent.has(key) {
                continue;
            }
            let place = match self.places.folders.get(area) {
                Some(folder) => folder.join(key[area.len()..].trim_start_matches('/')),
                None => BundlePath::new(key),
            };
            let place = match place {
                Ok(place) => place,
                Err(error) => {
                    self.faults.add(FaultKind::Path, format!("`{key}`: {}", error.reason));
                    continue;
                }
            };
            let entry = &self.entries[key];
            match entry.target() {
                Some(target) => self.link(key, target, place),
                None => {
                    self.places.installed.insert(key, place);
                }
            }
        }
    }

    fn link(&mut self, key: &'lock str, target: &str, place: BundlePath) {
        let found = self.entries.get_key_value(target).filter(|(_, entry)| !entry.link);
        let Some((target, _)) = found else {
            let target = target.escape_debug();
            self.faults.add(FaultKind::Link, format!("`{key}`, which links to `{target}`"));
            return;
        };
        let target = target.as_str();
        if target.is_empty() {
            self.faults.add(FaultKind::LinkToProject, format!("`{key}`"));
            return;
        }
        if let Some(folder) = self.places.folders.get(target) {
            self.places.links.push(FolderLink { path: place, folder: folder.clone() });
            return;
        }
        match BundlePath::new(target) {
            Ok(folder) => {
                self.places.links.push(FolderLink { path: place, folder: folder.clone() });
                if matches!(location::parse(target), Ok(Location::Folder)) {
                    self.places.folders.insert(target, folder);
                    self.queue.push_back(target);
                }
            }
            Err(_) if matches!(location::parse(target), Ok(Location::Folder)) => {
                self.places.folders.insert(target, place);
                self.queue.push_back(target);
            }
            Err(_) => {
                self.faults.add(FaultKind::Link, format!("`{key}`, which links to `{target}`"));
            }
        }
    }
}

/// What folders outside the project need and would not find in the bundle: npm leaves their dependencies to
/// whoever works there.
pub(super) fn check_outside(
    entries: &BTreeMap<String, Entry>,
    graph: &Graph<'_>,
    places: &Places<'_>,
    faults: &mut Faults,
) {
    for (key, place) in &places.folders {
        let entry = &entries[*key];
        if !key.starts_with("../") {
            continue;
        }
        for name in entry.dependencies.keys() {
            let own = graph.resolve(key, name).is_some();
            let around =
                place.parent().is_some_and(|above| graph.resolve(above.as_str(), name).is_some());
            if !own && !around && !entry.optional_dependencies.contains_key(name) {
                faults.add(FaultKind::OutsideDependency, format!("`{name}`, for `{key}`"));
            }
        }
    }
}
