//! A tree of files that need not be on disk yet.
//!
//! Stages decide on a [`Tree`] (what goes where, and from which file of the store) and only write it out when a
//! program must see it. Nothing in a tree is ever changed in place: a stage that alters a file puts another
//! source under the same path. That is what keeps the store whole.

mod source;

use std::collections::BTreeMap;

use gangway_artifact::BundlePath;

pub use source::{Folder, Source};

/// Files and links by path; folders are implied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<BundlePath, Node>,
}

/// What is at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A regular file.
    File(Source),
    /// A symbolic link and where it points, relative to its folder.
    Link(String),
}

impl Tree {
    /// Puts `node` at `path` and returns what was there.
    pub fn insert(&mut self, path: BundlePath, node: Node) -> Option<Node> {
        self.nodes.insert(path, node)
    }

    /// What is at `path`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Whether `path` names a folder, that is, something is below it.
    #[must_use]
    pub fn has_folder(&self, path: &str) -> bool {
        self.below(path).next().is_some()
    }

    /// Everything, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&BundlePath, &Node)> {
        self.nodes.iter()
    }

    /// The regular files, sorted by path.
    pub fn files(&self) -> impl Iterator<Item = (&BundlePath, &Source)> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::File(source) => Some((path, source)),
            Node::Link(_) => None,
        })
    }

    /// Everything below the folder `path`, sorted.
    pub fn below<'tree>(
        &'tree self,
        path: &str,
    ) -> impl Iterator<Item = (&'tree BundlePath, &'tree Node)> {
        let start = format!("{path}/");
        self.nodes
            .range::<str, _>((
                std::ops::Bound::Included(start.as_str()),
                std::ops::Bound::Unbounded,
            ))
            .take_while(move |(path, _)| path.as_str().starts_with(&start))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Keeps what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&BundlePath, &Node) -> bool) {
        self.nodes.retain(|path, node| keep(path, node));
    }

    /// Takes out what is at `path`.
    pub fn remove(&mut self, path: &str) -> Option<Node> {
        self.nodes.remove(path)
    }

    /// Adds everything of `other`; where both have a path, `other` wins.
    pub fn extend(&mut self, mut other: Self) {
        // Putting two maps together is building one anew: at once, where most of it is new.
        if self.len() < other.len() {
            self.nodes.append(&mut other.nodes);
        } else {
            self.nodes.extend(other.nodes);
        }
    }

    /// The number of files and links.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Bytes of all regular files.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files().map(|(_, source)| source.size).sum()
    }
}

impl IntoIterator for Tree {
    type Item = (BundlePath, Node);
    type IntoIter = std::collections::btree_map::IntoIter<BundlePath, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.nodes.into_iter()
    }
}

impl FromIterator<(BundlePath, Node)> for Tree {
    fn from_iter<I: IntoIterator<Item = (BundlePath, Node)>>(nodes: I) -> Self {
        Self { nodes: nodes.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for path in paths {
            tree.insert(BundlePath::new(*path).expect("plain"), Node::Link("x".to_owned()));
        }
        tree
    }

    #[test]
    fn of_two_trees_the_second_wins() {
        let tree = |paths: &[&str], target: &str| -> Tree {
            let path = |path: &&str| BundlePath::new(*path).expect("plain");
            paths.iter().map(|name| (path(name), Node::Link(target.to_owned()))).collect()
        };
        for (one, other) in [(&["a", "b"][..], &["b"][..]), (&["b"], &["b", "c"])] {
            let mut both = tree(one, "first");
            both.extend(tree(other, "second"));
            assert_eq!(both.get("b"), Some(&Node::Link("second".to_owned())));
            let mut names = [one, other].concat();
            names.sort_unstable();
            names.dedup();
            assert!(both.iter().map(|(path, _)| path.as_str()).eq(names));
        }
    }

    #[test]
    fn below_is_a_folder_not_a_prefix() {
        let tree = tree(&["a/b", "a-b/c", "a.b", "a/c/d"]);
        let below: Vec<_> = tree.below("a").map(|(path, _)| path.as_str()).collect();
        assert_eq!(below, ["a/b", "a/c/d"]);
        assert!(tree.has_folder("a/c"));
        assert!(!tree.has_folder("a/b"));
    }
}
