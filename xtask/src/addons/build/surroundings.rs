//! What a package sees when it is built: itself, and the packages it depends on.
//!
//! Addons include headers of other packages (`node-addon-api`, `nan`), which their `binding.gyp` finds by asking Node.
//! Nothing else is laid out, so nothing else can have an effect that the key of the result does not know.

use std::collections::BTreeSet;

use gangway_artifact::BundlePath;
use serde_json::Value;

use crate::tree::{Node, Tree};

/// The part of `tree` that building the package in `folder` needs. What an earlier build left in the package is not in it.
pub(super) fn of(tree: &Tree, folder: &BundlePath) -> Tree {
    let mut found = BTreeSet::new();
    let mut queue = vec![folder.as_str().to_owned()];
    while let Some(next) = queue.pop() {
        if found.contains(&next) {
            continue;
        }
        for name in dependencies(tree, &next) {
            queue.extend(resolve(tree, &next, &name));
        }
        found.insert(next);
    }
    let build = format!("{folder}/build");
    let mut around = Tree::default();
    for package in &found {
        for (path, node) in tree.below(package) {
            let inside = path.below(package).unwrap_or_default();
            let is_nested = inside.starts_with("node_modules/");
            if !is_nested && path.below(&build).is_none() {
                around.insert(path.clone(), node.clone());
            }
        }
    }
    around
}

fn dependencies(tree: &Tree, folder: &str) -> Vec<String> {
    let Some(Node::File(source)) = tree.get(&format!("{folder}/package.json")) else {
        return Vec::new();
    };
    // What cannot be read here fails loudly when node-gyp looks for it.
    let text = std::fs::read(source.path()).unwrap_or_default();
    let manifest: Value = serde_json::from_slice(&text).unwrap_or_default();
    let names = ["dependencies", "optionalDependencies", "peerDependencies"];
    let names = names.iter().filter_map(|key| manifest[*key].as_object());
    names.flat_map(|names| names.keys().cloned()).collect()
}

/// The folder that Node finds a package in, asked from `folder`.
pub(super) fn resolve(tree: &Tree, folder: &str, name: &str) -> Option<String> {
    let mut above = Some(folder);
    while let Some(place) = above {
        let candidate = match place {
            "" => format!("node_modules/{name}"),
            place => format!("{place}/node_modules/{name}"),
        };
        if tree.has_folder(&candidate) {
            return Some(candidate);
        }
        above = match place {
            "" => None,
            place => Some(place.rsplit_once('/').map_or("", |(parent, _)| parent)),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::store::Store;
    use crate::testing::Sandbox;

    use super::*;

    #[test]
    fn itself_and_what_it_depends_on() {
        let sandbox = Sandbox::new();
        let store = Store::open(&sandbox.context(&[])).expect("a fresh folder");
        let mut tree = Tree::default();
        for (path, text) in [
            ("node_modules/a/package.json", r#"{"dependencies": {"b": "1", "c": "1"}}"#),
            ("node_modules/a/binding.gyp", "{}"),
            ("node_modules/a/build/Release/old.node", ""),
            ("node_modules/a/node_modules/b/package.json", r#"{"dependencies": {"a": "1"}}"#),
            ("node_modules/a/node_modules/d/package.json", "{}"),
            ("node_modules/b/package.json", "{}"),
            ("node_modules/c/package.json", "{}"),
            ("node_modules/c/c.h", ""),
            ("node_modules/other/package.json", "{}"),
            ("src/index.js", ""),
        ] {
            let source = store.add_bytes(text.as_bytes(), false).expect("writable");
            tree.insert(BundlePath::new(path).expect("plain"), Node::File(source));
        }
        let around = of(&tree, &BundlePath::new("node_modules/a").expect("plain"));
        let paths: Vec<_> = around.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "node_modules/a/binding.gyp",
                "node_modules/a/node_modules/b/package.json",
                "node_modules/a/package.json",
                "node_modules/c/c.h",
                "node_modules/c/package.json",
            ]
        );
    }
}
