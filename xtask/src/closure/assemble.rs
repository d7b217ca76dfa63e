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
    let mut runs = closure
        .packages
        .par_iter()
        .map(|package| files(package, unpacked, folders))
        .collect::<Result<Vec<Run>, _>>()?;
    settle(closure, &mut runs)?;
    // Nearly sorted, and of two files with one path the later counts: a tree is built from that at once.
    let mut tree: Tree = runs.into_iter().flatten().collect();
    for link in &closure.links {
        make_way(&mut tree, &link.path)?;
        tree.insert(link.path.clone(), Node::Link(points_to(link)));
    }
    bins::place(closure, &mut tree)?;
    Ok(tree)
}

/// The files of one package, sorted by their paths in the whole tree; none of a bundled package, which came with its parent.
type Run = Vec<(BundlePath, Node)>;

fn files(
    package: &Package,
    unpacked: &BTreeMap<Integrity, Tree>,
    folders: &BTreeMap<Utf8PathBuf, Tree>,
) -> Result<Run, ClosureError> {
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
) -> Result<Run, ClosureError> {
    let mut run = Vec::with_capacity(files.len());
    for (path, node) in files.iter().filter(|(path, _)| wanted(path)) {
        run.push((place.join_path(path)?, node.clone()));
    }
    Ok(run)
}

/// Makes way for the packages inside others, and sees to it that those which came with their parent are there.
fn settle(closure: &Closure, runs: &mut [Run]) -> Result<(), ClosureError> {
    // Sorted by path, so that a package comes before those inside it.
    let mut earlier: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, package) in closure.packages.iter().enumerate() {
        let around: Vec<usize> =
            above(&package.path).filter_map(|folder| earlier.get(folder).copied()).collect();
        match &package.origin {
            // A folder in its own place may have others inside it.
            Origin::Folder { path } if package.path.as_str() == path.as_str() => {}
            Origin::Bundled => {
                let manifest = package.path.join("package.json")?;
                if !around.iter().any(|&run| position(&runs[run], manifest.as_str()).is_ok()) {
                    return Err(ClosureError::NotBundled { path: package.path.clone() });
                }
                continue;
            }
            _ => around.iter().for_each(|&run| cut_out(&mut runs[run], package.path.as_str())),
        }
        for folder in above(&package.path) {
            if around.iter().any(|&run| position(&runs[run], folder).is_ok()) {
                let path = BundlePath::new(folder)?;
                return Err(ClosureError::InTheWay { path, package: package.path.clone() });
            }
        }
        earlier.insert(package.path.as_str(), number);
    }
    Ok(())
}

/// The folders that `path` lies in, from the nearest.
fn above(path: &BundlePath) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path.as_str()), |path| path.rsplit_once('/').map(|(above, _)| above))
        .skip(1)
}

fn position(run: &Run, path: &str) -> Result<usize, usize> {
    run.binary_search_by(|(other, _)| other.as_str().cmp(path))
}

/// Takes out what is at `path` and below it.
fn cut_out(run: &mut Run, path: &str) {
    if let Ok(at) = position(run, path) {
        run.remove(at);
    }
    let folder = format!("{path}/");
    let start = position(run, &folder).unwrap_or_else(|at| at);
    let length = run[start..].partition_point(|(other, _)| other.as_str().starts_with(&folder));
    run.drain(start..start + length);
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
