//! Which entries of a lockfile a host gets.
//!
//! The same steps as `npm ci`, in the same order: what is optional and for another host goes, with all that only it
//! needs; then what is only for development, if that is not wanted. A package inside one that went goes too.

use std::collections::{BTreeMap, BTreeSet};

use super::Scope;
use super::error::{FaultKind, Faults};
use super::gate::{self, Host};
use super::graph::Graph;
use super::raw::Entry;

/// What is left out.
pub(super) struct Absent<'lock> {
    /// For another host, or only needed by what is.
    pub(super) gated: BTreeSet<&'lock str>,
    /// Only for development.
    omitted: BTreeSet<&'lock str>,
}

impl<'lock> Absent<'lock> {
    /// Decides about every entry; a package that is needed and for another platform is a fault.
    pub(super) fn find(
        entries: &'lock BTreeMap<String, Entry>,
        graph: &Graph<'lock>,
        host: Host<'_>,
        scope: Scope,
        faults: &mut Faults,
    ) -> Self {
        let omitted = entries
            .iter()
            .filter(|(key, entry)| {
                let entry = meant(entries, entry);
                // `devOptional` is what a development and an optional package need, each for itself: without
                // development dependencies the optional one still needs it.
                scope == Scope::Production && entry.dev && !key.is_empty()
            })
            .map(|(key, _)| key.as_str())
            .collect();
        let mut absent = Self { gated: BTreeSet::new(), omitted };
        for (key, entry) in entries {
            let entry = meant(entries, entry);
            let fits = gate::is_for_platform(entry, host.platform);
            let runs = fits && gate::is_for_node(entry, host.node);
            let required = || !absent.omitted.contains(key.as_str());
            if !entry.optional {
                if !fits && required() {
                    faults.add(FaultKind::platform(host.platform), wish(key, entry));
                }
            } else if !runs && !absent.gated.contains(key.as_str()) {
                let set = graph.optional_set(key, &absent.gated);
                if set.contains("") {
                    // The lockfile calls it optional, and yet the project cannot do without it.
                    faults.add(FaultKind::platform(host.platform), wish(key, entry));
                } else {
                    absent.gated.extend(set);
                }
            }
        }
        absent
    }

    /// Whether an entry is left out for its own sake.
    pub(super) fn has(&self, key: &str) -> bool {
        self.gated.contains(key) || self.omitted.contains(key)
    }
}

/// The entry whose flags and wishes count: for a link, that of the folder it means.
fn meant<'lock>(entries: &'lock BTreeMap<String, Entry>, entry: &'lock Entry) -> &'lock Entry {
    entry.target().and_then(|target| entries.get(target)).unwrap_or(entry)
}

fn wish(key: &str, entry: &Entry) -> String {
    let key = if key.is_empty() { "the project itself" } else { key };
    let version = entry.version.as_deref().unwrap_or("");
    format!("`{key}` {version} wants {}", gate::wishes(entry))
}
