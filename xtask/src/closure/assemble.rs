//! From packages to a tree.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use gangway_artifact::BundlePath;
use rayon::prelude::*;

use super::{Closure, ClosureError, FolderLink, Origin, Package, bins};
use crate::integrity::Integrity;
use crate::tree::{Node, Tree};

/// The tree that npm would lay out: every package in its place, the links to folders, and `.bin`. Paths are relative
/// to the lockfile's folder.
///
/// `unpacked` has the tree of every tarball; `folders` that of every [`Origin::Folder`], by its path, of which a
/// `node_modules` of its own is passed over: what belongs there is in the closure.
///
/// What a tarball brings in its `node_modules` stays, except where the lockfile puts a package of its own: there
/// npm mixes the two, which wins depends on its timing; here the lockfile does.
///
/// Programs are marked as executable; before the tree is written out, [`super::settle_programs`] has to see to it that
/// their files are.
///
/// # Errors
/// When a tree is missing, or when a tarball stands in the way of what the lockfile asks for.
pub fn assemble(
    closure: &Closure,
    unpacked: &BTreeMap<Integrity, Tree>,
    folders: &BTreeMap<Utf8PathBuf, Tree>,
) -> Result<Tree, ClosureError> {
    let mut tree = Tree::default();
    // Sorted by path, so that a package comes before those inside it.
    let placed: Vec<Result<Placed, ClosureError>> =
        closure.packages.par_iter().map(|package| files(package, unpacked, folders)).collect();
    for (package, placed) in closure.packages.iter().zip(placed) {
        place(&mut tree, package, placed?)?;
    }
    for link in &closure.links {
        make_way(&mut tree, &link.path)?;
        tree.insert(link.path.clone(), Node::Link(points_to(link)));
    }
    bins::place(closure, &mut tree)?;
    Ok(tree)
}

/// The files of one package under their paths in the whole tree; none of a bundled package, which came with its parent.
type Placed = Vec<(BundlePath, Node)>;

fn files(
    package: &Package,
    unpacked: &BTreeMap<Integrity, Tree>,
    folders: &BTreeMap<Utf8PathBuf, Tree>,
) -> Result<Placed, ClosureError> {
    match &package.origin {
        Origin::Registry { integrity, .. }
        | Origin::Url { integrity, .. }
        | Origin::File { integrity, .. } => {
            let Some(files) = unpacked.get(integrity) else {
                let (name, version) = (package.name.clone(), package.version.clone());
                return Err(ClosureError::NotUnpacked { name, version });
            };
            copies(&package.path, files, |_| true)
        }
        Origin::Folder { path } => {
            let Some(files) = folders.get(path) else {
                return Err(ClosureError::NoFolder { path: path.clone() });
            };
            copies(&package.path, files, |file| file.components().next() != Some("node_modules"))
        }
        Origin::Bundled => Ok(Vec::new()),
    }
}

fn copies(
    place: &BundlePath,
    files: &Tree,
    wanted: impl Fn(&BundlePath) -> bool,
) -> Result<Placed, ClosureError> {
    files
        .iter()
        .filter(|(path, _)| wanted(path))
        .map(|(path, node)| Ok((place.join_path(path)?, node.clone())))
        .collect()
}

fn place(tree: &mut Tree, package: &Package, placed: Placed) -> Result<(), ClosureError> {
    match &package.origin {
        // A folder in its own place may have others inside it.
        Origin::Folder { path } if package.path.as_str() == path.as_str() => {
            check_above(tree, &package.path)?;
        }
        Origin::Bundled => {
            let manifest = package.path.join("package.json")?;
            if tree.get(manifest.as_str()).is_none() {
                return Err(ClosureError::NotBundled { path: package.path.clone() });
            }
        }
        _ => make_way(tree, &package.path)?,
    }
    for (path, node) in placed {
        tree.insert(path, node);
    }
    Ok(())
}

/// Takes out what a tarball put at `path`.
fn make_way(tree: &mut Tree, path: &BundlePath) -> Result<(), ClosureError> {
    clear(tree, path.as_str());
    check_above(tree, path)
}

/// Fails if one of the folders above `path` is not a folder.
fn check_above(tree: &Tree, path: &BundlePath) -> Result<(), ClosureError> {
    let mut above = path.parent();
    while let Some(folder) = above {
        if tree.get(folder.as_str()).is_some() {
            return Err(ClosureError::InTheWay { path: folder, package: path.clone() });
        }
        above = folder.parent();
    }
    Ok(())
}

/// Takes out what is at `path` and below it.
pub(super) fn clear(tree: &mut Tree, path: &str) {
    tree.remove(path);
    let below: Vec<_> = tree.below(path).map(|(path, _)| path.clone()).collect();
    for path in below {
        tree.remove(path.as_str());
    }
}

/// From a link's own folder to the folder it means.
fn points_to(link: &FolderLink) -> String {
    let from: Vec<_> = link.path.components().collect();
    let to: Vec<_> = link.folder.components().collect();
    let from = &from[..from.len() - 1];
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut steps = vec![".."; from.len() - common];
    steps.extend(&to[common..]);
    steps.join("/")
}
