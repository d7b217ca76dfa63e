//! What is in a downloaded archive, and whether it may lie in the package.
//!
//! An archive only brings what a package lacks. It cannot lead out of the package's folder, reach into packages inside of it,
//! or replace a file that the lockfile's own digest speaks for, unless that is native code, which is what it is there for.

use gangway_artifact::{BundlePath, TargetName};

use super::super::decide::Job;
use super::super::evidence::{Evidence, Unreadable};
use super::{Destination, Place, PrebuiltError};
use crate::capture::Changes;
use crate::native::Natives;
use crate::services::archive;
use crate::store::Store;
use crate::tree::{Node, Source, Tree};

/// Whose binary it is, for messages.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    /// The package and its version.
    pub(super) package: String,
    /// The target.
    pub(super) target: TargetName,
}

impl Owner {
    pub(super) fn new(name: &str, version: &str, target: &TargetName) -> Self {
        Self { package: format!("{name} {version}"), target: target.clone() }
    }

    pub(super) fn unusable(&self, reason: String) -> PrebuiltError {
        let Self { package, target } = self.clone();
        PrebuiltError::Unusable { package, target, reason }
    }

    fn intrudes(&self, path: &str, reason: &'static str) -> PrebuiltError {
        let Self { package, target } = self.clone();
        PrebuiltError::Intrudes { package, target, path: path.to_owned(), reason }
    }
}

/// The files of an archive by their paths in the package.
pub(super) fn files(
    store: &Store,
    archive: &Source,
    place: &Place,
    owner: &Owner,
) -> Result<Tree, PrebuiltError> {
    let key = format!("addon-archive-v1 {}", archive.sha256);
    let unpacked = match Changes::recall(store, &key)? {
        Some(changes) => changes.present,
        None => {
            let refused = |source| PrebuiltError::Archive {
                package: owner.package.clone(),
                target: owner.target.clone(),
                source: Box::new(source),
            };
            let present = archive::read(store, &archive.path(), "download").map_err(refused)?;
            let changes = Changes { present, removed: Vec::new() };
            changes.remember(store, &key)?;
            changes.present
        }
    };
    let mut files = Tree::default();
    for (path, node) in unpacked {
        let inside: Vec<&str> = path.components().skip(place.strip).collect();
        if inside.is_empty() {
            continue;
        }
        let inside = [place.folder.as_str(), &inside.join("/")].join("/");
        let inside = BundlePath::new(inside.trim_start_matches('/'))
            .map_err(|_| owner.intrudes(path.as_str(), "which no bundle can have"))?;
        if inside.components().any(|part| part == "node_modules") {
            return Err(owner.intrudes(inside.as_str(), "which is in another package"));
        }
        if let Node::Link(target) = &node
            && !inside.holds_link_to(target)
        {
            return Err(owner.intrudes(inside.as_str(), "a link that leads out of the package"));
        }
        files.insert(inside, node);
    }
    Ok(files)
}

/// Why `destination` could not load any addon among `files`; `None` if it can.
pub(super) fn unfit(
    files: &Tree,
    destination: Destination<'_>,
) -> Result<Option<String>, PrebuiltError> {
    let read = Evidence::of(files, &Natives::default())
        .map_err(|Unreadable { path, source }| PrebuiltError::Read { path, source })?;
    let binaries = read.values().flat_map(|evidence| &evidence.binaries);
    let mut unfit = None;
    for addon in binaries.filter(|binary| binary.path.ends_with(".node")) {
        match addon.unfit(destination.platform, destination.abi) {
            None => return Ok(None),
            Some(reason) => unfit = unfit.or(Some(format!("`{}` in it is {reason}", addon.path))),
        }
    }
    Ok(Some(unfit.unwrap_or("no addon is in it".to_owned())))
}

/// Puts the files into the package of `job`.
pub(super) fn put(
    files: Tree,
    job: &Job,
    owner: &Owner,
    tree: &mut Tree,
) -> Result<(), PrebuiltError> {
    for (inside, node) in files {
        let refused = |reason| owner.intrudes(inside.as_str(), reason);
        let path = job.path.join_path(&inside).map_err(|_| refused("which no bundle can have"))?;
        let is_replaced = match (tree.get(path.as_str()), &node) {
            (None, _) => false,
            (Some(Node::File(old)), Node::File(new)) => old.sha256 != new.sha256,
            (Some(old), new) => old != new,
        };
        if is_replaced && !job.binaries.contains(&path) {
            return Err(refused("which the package has itself"));
        }
        let mut above = path.parent();
        while let Some(folder) = above {
            if tree.get(folder.as_str()).is_some() {
                return Err(refused("below what is no folder"));
            }
            above = folder.parent();
        }
        if tree.has_folder(path.as_str()) {
            return Err(refused("which is a folder of the package"));
        }
        tree.insert(path, node);
    }
    Ok(())
}
