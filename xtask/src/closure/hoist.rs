//! Places for packages of which only is known who needs whom: as flat as the versions allow.
//!
//! What every package must find, walking up from where it lies, is exactly what the lockfile says it needs. The
//! project's own needs come to the top, then of every other name the package that most others need; the rest goes as
//! far up as it can without standing in the way of what somebody else finds higher up. (pnpm with
//! `node-linker=hoisted`, npm and Bun do the same, and differ in which of two equally good packages is at the top.)
//!
//! Folders of the user's are copied to where they are needed, like packages; or, where the project itself contains them,
//! they stay in their place and links lead to them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::error::{FaultKind, Faults};
use super::needs::{Need, Needs};
use super::raw::Entry;

/// A lockfile that asks for more is made to: nothing real comes near.
const MOST_PLACES: usize = 100_000;
const DEEPEST: usize = 40;

/// What becomes of folders of the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folders {
    /// They are copied into `node_modules`.
    Copied,
    /// Those below the lockfile's folder stay there, and are linked.
    Linked,
}

/// Entries with places, as npm's lockfile would have them. Whether each is optional is found out anew.
pub(super) fn places(
    needs: &Needs,
    folders: Folders,
    faults: &mut Faults,
) -> BTreeMap<String, Entry> {
    let mut tree = Hoist::new(needs, folders);
    tree.fill_the_top();
    while let Some(index) = tree.queue.pop_front() {
        let node = &needs.nodes[tree.places[index].node];
        for (name, need) in &node.needs {
            tree.place(index, name, *need);
        }
        if tree.is_too_much() {
            faults.add(FaultKind::Endless, format!("`{}`", node.key.escape_debug()));
            return BTreeMap::new();
        }
    }
    let places = tree.places;
    entries(needs, &places)
}

/// Stands for a package that is no node: it came in another's tarball.
const BUNDLED: usize = usize::MAX;

/// A package at a place.
struct Place<'needs> {
    node: usize,
    /// The place whose `node_modules` it lies in; the project lies in none.
    parent: Option<usize>,
    key: String,
    depth: usize,
    is_link: bool,
    inside: HashMap<&'needs str, usize>,
}

struct Hoist<'needs> {
    needs: &'needs Needs,
    places: Vec<Place<'needs>>,
    queue: VecDeque<usize>,
    /// Names that something at or below a place finds above it.
    passing: HashSet<(usize, &'needs str)>,
    /// The folders that are linked.
    linked: HashSet<usize>,
    deepest: usize,
}

impl<'needs> Hoist<'needs> {
    fn new(needs: &'needs Needs, folders: Folders) -> Self {
        let mut hoist = Self {
            needs,
            places: Vec::new(),
            queue: VecDeque::from([0]),
            passing: HashSet::new(),
            linked: HashSet::new(),
            deepest: 0,
        };
        hoist.add(0, None, String::new(), false);
        if folders == Folders::Linked {
            hoist.link_folders();
        }
        hoist
    }

    /// Gives the folders below the lockfile's their places: one may be in another, which is then passed on the way up.
    fn link_folders(&mut self) {
        let nodes = self.needs.nodes.iter().enumerate().skip(1);
        let mut folders: Vec<(&str, usize)> = nodes
            .filter_map(|(node, folder)| Some((folder.folder.as_deref()?, node)))
            .filter(|(folder, _)| !folder.starts_with("../"))
            .collect();
        folders.sort_unstable();
        for (folder, node) in folders {
            let outer = |place: &usize| {
                let rest = folder.strip_prefix(&self.places[*place].key);
                rest.is_some_and(|rest| rest.starts_with('/'))
            };
            let parent = (1..self.places.len()).rev().find(outer);
            let place = self.add(node, Some(parent.unwrap_or(0)), folder.to_owned(), false);
            self.linked.insert(node);
            self.queue.push_back(place);
        }
    }

    fn add(&mut self, node: usize, parent: Option<usize>, key: String, is_link: bool) -> usize {
        let depth = parent.map_or(0, |parent| self.places[parent].depth + 1);
        self.deepest = self.deepest.max(depth);
        self.places.push(Place { node, parent, key, depth, is_link, inside: HashMap::new() });
        self.places.len() - 1
    }

    /// The project's needs, and of every other name what most need.
    fn fill_the_top(&mut self) {
        let needs = self.needs;
        let mut wanted: BTreeMap<&str, BTreeMap<usize, usize>> = BTreeMap::new();
        for (name, need) in needs.nodes.iter().flat_map(|node| &node.needs) {
            *wanted.entry(name).or_default().entry(need.node).or_default() += 1;
        }
        let met = met(needs);
        for (name, nodes) in wanted {
            let own = needs.nodes[0].needs.get(name).map(|need| need.node);
            // Of equals the one that is met first.
            let most = nodes.iter().max_by_key(|(node, count)| (**count, Reverse(met[**node])));
            if let Some(node) = own.or(most.map(|(node, _)| *node)) {
                self.put(0, name, node);
            }
        }
    }

    /// Sees to it that the package at `from` finds `need` under `name`.
    fn place(&mut self, from: usize, name: &'needs str, need: Need) {
        let (above, found) = self.find(from, name);
        let target = match found {
            Some((at, node)) if node == need.node => at,
            _ => {
                let free = |at: &&usize| {
                    let own = self.needs.nodes[self.places[**at].node].needs.get(name);
                    !self.passing.contains(&(**at, name))
                        && own.is_none_or(|own| own.node == need.node)
                };
                // Its own `node_modules` always is: everything in there is placed after this.
                let target = above.iter().rev().find(free).copied().unwrap_or(from);
                self.put(target, name, need.node);
                target
            }
        };
        for at in above.into_iter().take_while(|at| *at != target) {
            self.passing.insert((at, name));
        }
    }

    /// The places from `from` upwards that know no `name`, and the first that does, with what it knows.
    fn find(&self, from: usize, name: &str) -> (Vec<usize>, Option<(usize, usize)>) {
        let mut above = Vec::new();
        let mut next = Some(from);
        while let Some(at) = next {
            if let Some(child) = self.places[at].inside.get(name) {
                return (above, Some((at, self.places[*child].node)));
            }
            if self.bundles(at, name) {
                return (above, Some((at, BUNDLED)));
            }
            above.push(at);
            next = self.places[at].parent;
        }
        (above, None)
    }

    /// Whether the tarball of the package at a place brings along something of that name.
    fn bundles(&self, at: usize, name: &str) -> bool {
        let inside = &self.needs.nodes[self.places[at].node].inside;
        inside.iter().any(|(key, _)| key.strip_prefix("node_modules/") == Some(name))
    }

    fn put(&mut self, at: usize, name: &'needs str, node: usize) {
        let parent = &self.places[at].key;
        let key = match parent.is_empty() {
            true => format!("node_modules/{name}"),
            false => format!("{parent}/node_modules/{name}"),
        };
        let is_link = self.linked.contains(&node);
        let place = self.add(node, Some(at), key, is_link);
        self.places[at].inside.insert(name, place);
        if !is_link {
            self.queue.push_back(place);
        }
    }

    fn is_too_much(&self) -> bool {
        self.places.len() > MOST_PLACES || self.deepest > DEEPEST
    }
}

/// When each node is met on a walk from the project that goes deep first, as that of pnpm's layout does.
fn met(needs: &Needs) -> Vec<usize> {
    let mut met = vec![usize::MAX; needs.nodes.len()];
    let (mut queue, mut count) = (vec![0], 0);
    while let Some(index) = queue.pop() {
        if met[index] != usize::MAX {
            continue;
        }
        met[index] = count;
        count += 1;
        let needs = &needs.nodes[index].needs;
        // What is optional comes last; the stack turns the order around.
        for is_optional in [true, false] {
            let some = needs.values().rev().filter(|need| need.is_optional == is_optional);
            queue.extend(some.map(|need| need.node));
        }
    }
    met
}

fn entries(needs: &Needs, places: &[Place<'_>]) -> BTreeMap<String, Entry> {
    let required = needs.required();
    let mut entries = BTreeMap::new();
    for place in places {
        let node = &needs.nodes[place.node];
        let mut entry = node.entry.clone();
        (entry.dev, entry.in_bundle, entry.optional) = (false, false, !required[place.node]);
        if let Some(folder) = &node.folder {
            if place.is_link {
                entry = Entry { link: true, resolved: Some(folder.clone()), ..Entry::default() };
            } else if place.key != *folder {
                entry.resolved = Some(format!("file:{folder}"));
            }
        }
        for (inner, bundled) in &node.inside {
            let mut bundled = bundled.clone();
            (bundled.dev, bundled.optional) = (false, entry.optional);
            entries.insert(format!("{}/{inner}", place.key), bundled);
        }
        entries.insert(place.key.clone(), entry);
    }
    entries
}
