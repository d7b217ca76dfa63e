//! Who depends on whom: the edges npm draws between the entries of a lockfile.
//!
//! A lockfile names dependencies, not where they lie; npm finds them as Node.js would, by walking up. The edges decide
//! what goes with an optional package that is left out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::location::{self, Location};
use super::raw::Entry;

/// The entries and their edges.
pub(super) struct Graph<'lock> {
    entries: &'lock BTreeMap<String, Entry>,
    edges: Vec<Edge<'lock>>,
    out: HashMap<&'lock str, Vec<usize>>,
    into: HashMap<&'lock str, Vec<usize>>,
}

/// One dependency, and the entry it means.
pub(super) struct Edge<'lock> {
    from: &'lock str,
    /// The entry.
    pub(super) to: &'lock str,
    /// What the dependant calls it.
    pub(super) name: &'lock str,
    specifier: &'lock str,
    /// Why it is there.
    pub(super) kind: EdgeKind,
}

/// Which list of a package.json a dependency is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EdgeKind {
    /// `dependencies`, or what npm adds for a workspace.
    Regular,
    /// `optionalDependencies`
    Optional,
    /// `devDependencies`, of the project or a folder.
    Development,
    /// `peerDependencies`
    Peer,
    /// `peerDependencies` that may be missing.
    OptionalPeer,
}

impl EdgeKind {
    /// Whether the dependant does without it.
    pub(super) fn is_optional(self) -> bool {
        matches!(self, Self::Optional | Self::OptionalPeer)
    }
}

impl<'lock> Graph<'lock> {
    /// Draws the edges.
    pub(super) fn new(entries: &'lock BTreeMap<String, Entry>) -> Self {
        let mut graph =
            Self { entries, edges: Vec::new(), out: HashMap::new(), into: HashMap::new() };
        for (key, entry) in entries {
            // Dependencies belong to what a link means, not to the link.
            if !entry.link {
                for (name, (specifier, kind)) in dependencies(key, entry) {
                    if let Some(to) = graph.resolve(key, name) {
                        graph.add(Edge { from: key, to, name, specifier, kind });
                    }
                }
            }
            if entry.link && is_workspace(entries, key) {
                let name = location::name(key).unwrap_or(key);
                let kind = EdgeKind::Regular;
                graph.add(Edge { from: "", to: key, name, specifier: "file:", kind });
            }
        }
        graph
    }

    fn add(&mut self, edge: Edge<'lock>) {
        let index = self.edges.len();
        self.out.entry(edge.from).or_default().push(index);
        self.into.entry(edge.to).or_default().push(index);
        self.edges.push(edge);
    }

    /// The entry that `name` means to the code in `from`.
    pub(super) fn resolve(&self, from: &str, name: &str) -> Option<&'lock str> {
        let mut at = from;
        loop {
            let candidate = if at.is_empty() {
                format!("node_modules/{name}")
            } else {
                format!("{at}/node_modules/{name}")
            };
            if let Some((key, _)) = self.entries.get_key_value(&candidate) {
                return Some(key);
            }
            // The next folder up that is an entry; a folder outside the project never reaches the project.
            at = loop {
                at = match at.rsplit_once('/') {
                    Some((parent, _)) => parent,
                    None if at.is_empty() || at == ".." => return None,
                    None => "",
                };
                if at.is_empty() || self.entries.contains_key(at) {
                    break at;
                }
            };
        }
    }

    /// How the dependants of `key` ask for it.
    pub(super) fn specifiers(&self, key: &str) -> impl Iterator<Item = &'lock str> {
        self.edges_into(key).map(|edge| edge.specifier)
    }

    fn edges_into(&self, key: &str) -> impl Iterator<Item = &Edge<'lock>> {
        self.into.get(key).into_iter().flatten().map(|index| &self.edges[*index])
    }

    /// What `key` depends on, as far as the lockfile has it.
    pub(super) fn edges_out(&self, key: &str) -> impl Iterator<Item = &Edge<'lock>> {
        self.out.get(key).into_iter().flatten().map(|index| &self.edges[*index])
    }

    /// What has to go when the optional package `key` does: everything up to the optional dependency that brings it
    /// in, and everything only these need. `gone` went before. (npm: arborist's `optional-set.js`.)
    pub(super) fn optional_set(
        &self,
        key: &'lock str,
        gone: &BTreeSet<&'lock str>,
    ) -> BTreeSet<&'lock str> {
        let mut core = BTreeSet::from([key]);
        let mut queue = vec![key];
        while let Some(key) = queue.pop() {
            for edge in self.edges_into(key) {
                if !edge.kind.is_optional() && core.insert(edge.from) {
                    queue.push(edge.from);
                }
            }
        }
        let counts = |edge: &Edge<'_>| !core.contains(edge.to) && !gone.contains(edge.from);
        let mut set = core.clone();
        let mut queue: Vec<_> = core.iter().copied().collect();
        while let Some(key) = queue.pop() {
            for edge in self.edges_out(key) {
                if counts(edge) && set.insert(edge.to) {
                    queue.push(edge.to);
                }
            }
        }
        loop {
            let needed: Vec<_> = set
                .iter()
                .copied()
                .filter(|key| {
                    self.edges_into(key).any(|edge| counts(edge) && !set.contains(edge.from))
                })
                .collect();
            if needed.is_empty() {
                return set;
            }
            for key in needed {
                set.remove(key);
            }
        }
    }
}

/// What an entry depends on: name to specifier and list. Where a name is in several lists, the
/// last one npm reads counts.
fn dependencies<'lock>(
    key: &str,
    entry: &'lock Entry,
) -> BTreeMap<&'lock str, (&'lock str, EdgeKind)> {
    let mut all = BTreeMap::new();
    for (name, specifier) in &entry.peer_dependencies {
        let is_optional = entry.has_optional_peer(name);
        let kind = if is_optional { EdgeKind::OptionalPeer } else { EdgeKind::Peer };
        all.insert(name.as_str(), (specifier.as_str(), kind));
    }
    let installed = matches!(location::parse(key), Ok(Location::Installed { .. }));
    let own_development = (!installed).then_some(&entry.dev_dependencies);
    let lists = [
        (Some(&entry.dependencies), EdgeKind::Regular),
        (Some(&entry.optional_dependencies), EdgeKind::Optional),
        (own_development, EdgeKind::Development),
    ];
    for (list, kind) in lists {
        for (name, specifier) in list.into_iter().flatten() {
            all.insert(name, (specifier, kind));
        }
    }
    all
}

/// Whether `key` is a link that npm made for a workspace.
fn is_workspace(entries: &BTreeMap<String, Entry>, key: &str) -> bool {
    let project_has_some = entries.get("").is_some_and(|project| !project.workspaces.is_null());
    project_has_some && matches!(location::parse(key), Ok(Location::Installed { parent: "", .. }))
}
