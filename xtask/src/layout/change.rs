//! Makes one laid-out tree into another: what both have stays as it is.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use camino::Utf8Path;

use super::{LayoutError, Method, write};
use crate::tree::Tree;

/// Makes `folder`, where nothing but `from` was laid out, what [`write()`] would make of `to`. After an error the folder is
/// neither.
///
/// # Errors
/// When something cannot be made or taken away.
pub fn change(
    from: &Tree,
    to: &Tree,
    folder: &Utf8Path,
    method: Method,
) -> Result<(), LayoutError> {
    let mut left = BTreeSet::new();
    let is_gone = |path: &str, node| to.get(path) != Some(node);
    for (path, _) in from.iter().filter(|(path, node)| is_gone(path.as_str(), *node)) {
        let place = folder.join(path.as_str());
        fs::remove_file(&place).map_err(|source| LayoutError::Remove { path: place, source })?;
        left.extend(path.as_str().rsplit_once('/').map(|(parent, _)| parent));
    }
    for path in left {
        remove_empty(folder, path)?;
    }
    let is_new = |path: &str, node| from.get(path) != Some(node);
    let new = to.iter().filter(|(path, node)| is_new(path.as_str(), *node));
    write(&new.map(|(path, node)| (path.clone(), node.clone())).collect(), folder, method)
}

/// Takes a folder away that has nothing left in it, and those above that it leaves empty.
fn remove_empty(folder: &Utf8Path, path: &str) -> Result<(), LayoutError> {
    let mut path = Some(path);
    while let Some(inside) = path {
        let place = folder.join(inside);
        match fs::remove_dir(&place) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => break,
            // With a folder above it that was empty.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(LayoutError::Remove { path: place, source }),
        }
        path = inside.rsplit_once('/').map(|(parent, _)| parent);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gangway_artifact::BundlePath;
    use proptest::prelude::*;

    use super::*;
    use crate::store::Store;
    use crate::testing::{Sandbox, contents};
    use crate::tree::Node;

    /// Paths that are files in one tree and folders in another.
    fn nodes() -> impl Strategy<Value = BTreeMap<&'static str, u8>> {
        const PATHS: &[&str] = &["a", "a/b", "a/b/c", "a/d", "e/f", "e/f/g", "h"];
        prop::collection::btree_map(prop::sample::select(PATHS), 0_u8..3, 0..6)
    }

    fn tree(store: &Store, nodes: &BTreeMap<&str, u8>) -> Tree {
        let is_folder =
            |path: &str| nodes.keys().any(|other| other.starts_with(&format!("{path}/")));
        let files = nodes.iter().filter(|(path, _)| !is_folder(path)).map(|(path, kind)| {
            let node = match kind {
                0 => Node::Link("somewhere".to_owned()),
                kind => Node::File(store.add_bytes(&[*kind], *kind == 1).expect("writable")),
            };
            (BundlePath::new(*path).expect("plain"), node)
        });
        files.collect()
    }

    /// Files, links and folders.
    fn everything(folder: &Utf8Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir_utf8().expect("ours") {
                let entry = entry.expect("ours");
                if entry.file_type().expect("ours").is_dir() {
                    folders.push(entry.path().to_owned());
                    found.push(format!("{}/", entry.path()));
                }
            }
        }
        found.sort();
        found
    }

    proptest! {
        #[test]
        fn it_is_as_if_laid_out_anew(first in nodes(), second in nodes(), third in nodes()) {
            let sandbox = Sandbox::new();
            let store = Store::open(&sandbox.context(&[])).expect("a fresh folder");
            let trees = [first, second, third].map(|nodes| tree(&store, &nodes));
            let folder = sandbox.root.join("tree");
            write(&trees[0], &folder, Method::Link).expect("writable");
            for pair in trees.windows(2) {
                change(&pair[0], &pair[1], &folder, Method::Link).expect("writable");
            }
            let fresh = sandbox.root.join("fresh");
            write(&trees[2], &fresh, Method::Link).expect("writable");
            prop_assert_eq!(contents(&folder), contents(&fresh));
            let folders = everything(&fresh).into_iter();
            let folders: Vec<_> = folders.map(|path| path.replace("/fresh/", "/tree/")).collect();
            prop_assert_eq!(everything(&folder), folders);
        }
    }

    #[test]
    fn what_should_be_there_and_is_not_is_told() {
        let sandbox = Sandbox::new();
        let store = Store::open(&sandbox.context(&[])).expect("a fresh folder");
        let tree = tree(&store, &[("a", 1)].into());
        let folder = sandbox.root.join("tree");
        let error = change(&tree, &Tree::default(), &folder, Method::Link).expect_err("gone");
        assert_eq!(error.to_string(), format!("cannot take away `{folder}/a`"));
    }
}
