//! What a project needs: the packages of a lockfile that can be reached from it, whatever the lockfile is like.
//!
//! A gateway that is one package of many gets only what it depends on itself, directly or through other packages of the
//! workspace. Lockfiles that say where everything lies (npm, Bun) are walked along the edges of their [`Graph`]; pnpm's,
//! which says only who needs whom, is turned into [`Needs`] by its reader. [`super::hoist`] gives them places.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::Scope;
use super::error::{FaultKind, Faults};
use super::graph::{EdgeKind, Graph};
use super::location::{self, Location};
use super::raw::Entry;

/// Packages and who needs which; the first is the project.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// The packages.
    pub(super) nodes: Vec<Node>,
}

/// One package.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Its key in the lockfile.
    pub(super) key: String,
    /// What the lockfile says of it.
    pub(super) entry: Entry,
    /// What it needs, by the name it is known under.
    pub(super) needs: BTreeMap<String, Need>,
    /// What lies in its own tarball: the key relative to its own, and the entry.
    pub(super) inside: Vec<(String, Entry)>,
    /// The folder it is, if it is one of the user's.
    pub(super) folder: Option<String>,
}

/// One need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    /// The index of the node that is meant.
    pub(super) node: usize,
    /// Whether it may be missing.
    pub(super) is_optional: bool,
}

/// What of a lockfile with places a project needs.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// The packages.
    pub(super) needs: Needs,
    /// The keys of all that is needed: packages, what is inside them, links.
    pub(super) keys: BTreeSet<String>,
}

/// Which peer dependencies bring a package in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionalPeers {
    /// Those that may be missing do so too, as with npm.
    Count,
    /// Those that may be missing are only used when something else brings them in, as with Bun.
    Follow,
}

impl Needs {
    /// Which nodes the project cannot do without: by index.
    pub(super) fn required(&self) -> Vec<bool> {
        let mut required = vec![false; self.nodes.len()];
        let mut queue = vec![0];
        while let Some(index) = queue.pop() {
            if std::mem::replace(&mut required[index], true) {
                continue;
            }
            let needs = self.nodes[index].needs.values();
            queue.extend(needs.filter(|need| !need.is_optional).map(|need| need.node));
        }
        required
    }
}

/// Walks from the entry `project`.
pub(super) fn reach(
    entries: &BTreeMap<String, Entry>,
    graph: &Graph<'_>,
    project: &str,
    scope: Scope,
    peers: OptionalPeers,
    faults: &mut Faults,
) -> Reached {
    let mut walk = Walk {
        entries,
        graph,
        project,
        indices: HashMap::new(),
        reached: Reached::default(),
        queue: VecDeque::new(),
        faults,
    };
    walk.node(project);
    let wanted = |kind: EdgeKind| match kind {
        EdgeKind::Development => scope == Scope::Development,
        EdgeKind::OptionalPeer => peers == OptionalPeers::Count,
        EdgeKind::Regular | EdgeKind::Optional | EdgeKind::Peer => true,
    };
    while let Some(index) = walk.queue.pop_front() {
        walk.follow(index, wanted);
    }
    if peers == OptionalPeers::Follow {
        walk.add_peers_that_are_there();
    }
    walk.reached
}

struct Walk<'walk, 'lock> {
    entries: &'lock BTreeMap<String, Entry>,
    graph: &'walk Graph<'lock>,
    project: &'walk str,
    indices: HashMap<String, usize>,
    reached: Reached,
    queue: VecDeque<usize>,
    faults: &'walk mut Faults,
}

impl Walk<'_, '_> {
    /// The node of the entry `key`, with what its tarball brings along.
    fn node(&mut self, key: &str) -> usize {
        if let Some(index) = self.indices.get(key) {
            return *index;
        }
        let entry = self.entries[key].clone();
        let index = self.reached.needs.nodes.len();
        let is_folder = matches!(location::parse(key), Ok(Location::Folder));
        let mut node = Node { key: key.to_owned(), entry, ..Node::default() };
        node.folder = is_folder.then(|| key.to_owned());
        if matches!(location::parse(key), Ok(Location::Installed { .. })) {
            for inner in inside(self.entries, key) {
                self.reached.keys.insert(inner.to_owned());
                node.inside.push((inner[key.len() + 1..].to_owned(), self.entries[inner].clone()));
            }
        }
        self.reached.keys.insert(key.to_owned());
        self.reached.needs.nodes.push(node);
        self.indices.insert(key.to_owned(), index);
        self.queue.push_back(index);
        index
    }

    fn follow(&mut self, index: usize, wanted: impl Fn(EdgeKind) -> bool) {
        for (name, to, kind) in self.edges(index) {
            if !wanted(kind) {
                continue;
            }
            if let Some(target) = self.target(&to) {
                let node = self.node(&target);
                self.reached.keys.insert(to);
                self.need(index, name, Need { node, is_optional: kind.is_optional() });
            }
        }
    }

    /// What a need that was not followed means, where it is there for other reasons.
    fn add_peers_that_are_there(&mut self) {
        for index in 0..self.reached.needs.nodes.len() {
            for (name, to, kind) in self.edges(index) {
                let known = self.target(&to).and_then(|target| self.indices.get(&target).copied());
                if let (EdgeKind::OptionalPeer, Some(node)) = (kind, known) {
                    self.need(index, name, Need { node, is_optional: true });
                }
            }
        }
    }

    fn need(&mut self, index: usize, name: String, need: Need) {
        let needs = &mut self.reached.needs.nodes[index].needs;
        let known = needs.entry(name).or_insert(need);
        if known.node == need.node {
            known.is_optional &= need.is_optional;
        }
    }

    /// The edges of a node and of what is inside it, as far as they lead out.
    fn edges(&self, index: usize) -> Vec<(String, String, EdgeKind)> {
        let node = &self.reached.needs.nodes[index];
        let inside = node.inside.iter().map(|(inner, _)| format!("{}/{inner}", node.key));
        let keys: Vec<String> = std::iter::once(node.key.clone()).chain(inside).collect();
        let edges = keys.iter().flat_map(|key| self.graph.edges_out(key));
        edges
            .filter(|edge| !keys[1..].iter().any(|key| key == edge.to))
            .map(|edge| (edge.name.to_owned(), edge.to.to_owned(), edge.kind))
            .collect()
    }

    /// The entry that `to` means; a link's folder.
    fn target(&mut self, to: &str) -> Option<String> {
        let target = match self.entries[to].target() {
            None => to,
            Some(folder) => folder,
        };
        let exists = self.entries.get(target).is_some_and(|entry| !entry.link);
        if target == self.project && exists {
            self.faults.add(FaultKind::LinkToProject, format!("`{to}`"));
            return None;
        }
        if !exists || target.is_empty() {
            let target = target.escape_debug();
            self.faults.add(FaultKind::Link, format!("`{to}`, which links to `{target}`"));
            return None;
        }
        Some(target.to_owned())
    }
}

/// The keys of what the tarball of the package `key` brings along, and of what lies in that.
fn inside<'lock>(
    entries: &'lock BTreeMap<String, Entry>,
    key: &'lock str,
) -> impl Iterator<Item = &'lock str> {
    let below = format!("{key}/node_modules/");
    let mut bundled: Vec<String> = Vec::new();
    let candidates = entries.range(below.clone()..);
    candidates.take_while(move |(inner, _)| inner.starts_with(&below)).filter_map(
        move |(inner, entry)| {
            let within = bundled.iter().any(|outer| inner.starts_with(outer.as_str()));
            let direct = matches!(
                location::parse(inner), Ok(Location::Installed { parent, .. }) if parent == key
            );
            if direct && entry.in_bundle {
                bundled.push(format!("{inner}/"));
                return Some(inner.as_str());
            }
            within.then_some(inner.as_str())
        },
    )
}
