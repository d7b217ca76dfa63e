//! The entries of an archive, in order.
//!
//! What the bundles of all platforms have in common stands first, then what is for one platform, and at last what describes
//! the bundle (see [`Part`]): so the frames of what stands first are the same for all of them. Inside a part, files and links come by
//! package, and within one by extension and name: what is alike stands together, where a compressor finds it. Large files, which
//! are not compressed together with small ones, stand behind those, the largest first. A folder
//! comes right before the first entry in it, the archive's own folder first of all, so an unpacker always has the folder.
//! Last of all comes the manifest, which is made when everything else is packed.

use std::cmp::Reverse;
use std::collections::HashSet;

use gangway_artifact::{BundlePath, MANIFEST_FILE};

use super::PackError;
use super::part::{Part, Parts, group};
use super::settings::Sizes;
use crate::native::Natives;
use crate::tree::{Node, Source, Tree};

/// One entry.
#[derive(Debug)]
pub(super) struct Entry<'tree> {
    /// Its path in the archive, without a slash at the end.
    pub(super) name: String,
    /// How much of `name` is the archive's own folder.
    folder: usize,
    /// Where it stands.
    pub(super) part: Part,
    /// Whether it is a file that has frames to itself, or shares one with others that are large.
    pub(super) is_large: bool,
    /// Whether it is native code.
    pub(super) is_code: bool,
    /// What it is.
    pub(super) kind: Kind<'tree>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'tree> {
    Folder,
    File(&'tree BundlePath, &'tree Source),
    /// The bytes of the manifest.
    Manifest(&'tree [u8]),
    Link(&'tree str),
}

impl<'tree> Entry<'tree> {
    fn new(folder: &str, path: &str, part: Part, kind: Kind<'tree>) -> Self {
        Self {
            name: format!("{folder}/{path}"),
            folder: folder.len() + 1,
            part,
            is_large: false,
            is_code: false,
            kind,
        }
    }

    /// The last entry, which [`list`] does not have: it tells where the others are.
    pub(super) fn manifest(folder: &str, bytes: &'tree [u8]) -> Self {
        Self::new(folder, MANIFEST_FILE, Part::Description, Kind::Manifest(bytes))
    }

    /// Its path in the bundle; empty for the archive's own folder.
    pub(super) fn path(&self) -> &str {
        self.name.get(self.folder..).unwrap_or_default()
    }

    /// The bytes of the file it stands for, if it does.
    pub(super) fn file_size(&self) -> u64 {
        match self.kind {
            Kind::File(_, source) => source.size,
            Kind::Manifest(bytes) => bytes.len() as u64,
            Kind::Folder | Kind::Link(_) => 0,
        }
    }

    /// The outermost npm package it belongs to, or else its first folder.
    pub(super) fn group(&self) -> &str {
        group(self.path())
    }
}

/// What entries are put in order by.
type Place<'tree> =
    (Part, &'tree str, bool, bool, Reverse<u64>, &'tree str, &'tree str, &'tree str);

/// Part, group, whether it is native code, whether it is large, the size of a large file, the largest of them first, extension, name, path. A
/// leading dot begins a name, not an extension.
fn place<'tree>(
    path: &'tree BundlePath,
    node: &Node,
    parts: &Parts<'_>,
    sizes: Sizes,
) -> Place<'tree> {
    let (text, name) = (path.as_str(), path.name());
    let is_code = parts.is_code(text);
    let size = match node {
        Node::File(source) => Some(source.size).filter(|size| sizes.is_large(*size, is_code)),
        Node::Link(_) => None,
    };
    let dot = name.rfind('.').filter(|dot| *dot > 0);
    let extension = dot.map_or("", |dot| &name[dot..]);
    let large = Reverse(size.unwrap_or(0));
    (parts.part(text), group(text), is_code, size.is_some(), large, extension, name, text)
}

/// The entries of `tree` below one folder, all but the manifest's.
///
/// # Errors
/// When the tree contradicts itself or has something where the manifest belongs, a file cannot be read, or `folder` is not a plain name.
pub(super) fn list<'tree>(
    tree: &'tree Tree,
    folder: &str,
    natives: &Natives,
    sizes: Sizes,
) -> Result<Vec<Entry<'tree>>, PackError> {
    if folder.contains('/') || BundlePath::new(folder).is_err() {
        return Err(PackError::Folder { name: folder.to_owned() });
    }
    if tree.get(MANIFEST_FILE).is_some() || tree.has_folder(MANIFEST_FILE) {
        return Err(PackError::Taken);
    }
    let mut entries = Vec::with_capacity(tree.len() + tree.len() / 4);
    let parts = Parts::of(tree, natives)?;
    let (name, part) = (folder.to_owned(), Part::Portable);
    entries.push(Entry { name, folder: folder.len(), ..Entry::new("", "", part, Kind::Folder) });
    let mut folders = HashSet::new();
    let mut nodes: Vec<_> =
        tree.iter().map(|(path, node)| (place(path, node, &parts, sizes), path, node)).collect();
    nodes.sort_unstable_by_key(|(place, ..)| *place);
    for ((part, _, is_code, is_large, ..), path, node) in nodes {
        for (end, _) in path.as_str().match_indices('/') {
            let parent = &path.as_str()[..end];
            if folders.insert(parent) {
                refuse_node_at(tree, parent, path)?;
                entries.push(Entry::new(folder, parent, part, Kind::Folder));
            }
        }
        let kind = match node {
            Node::File(source) => Kind::File(path, source),
            Node::Link(target) if stays_inside(path, target) => Kind::Link(target),
            Node::Link(target) => {
                return Err(PackError::Escapes { path: path.clone(), target: target.clone() });
            }
        };
        entries.push(Entry { is_large, is_code, ..Entry::new(folder, path.as_str(), part, kind) });
    }
    Ok(entries)
}

fn refuse_node_at(tree: &Tree, folder: &str, below: &BundlePath) -> Result<(), PackError> {
    if tree.get(folder).is_none() {
        return Ok(());
    }
    let path = BundlePath::new(folder).expect("part of a path in a tree, cut at a slash");
    Err(PackError::NotAFolder { path, below: below.clone() })
}

/// Whether a link at `path` means something in the bundle.
fn stays_inside(path: &BundlePath, target: &str) -> bool {
    let mut depth = path.components().count() - 1;
    if target.is_empty() || target.starts_with('/') || target.contains(['\\', '\0']) {
        return false;
    }
    target.split('/').all(|part| match part {
        "" | "." => true,
        ".." => {
            let is_inside = depth > 0;
            depth = depth.saturating_sub(1);
            is_inside
        }
        _ => {
            depth += 1;
            true
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { frame: 1000, large_file: 500, large_code: 500, large_frame: 1000 };

    fn link(tree: &mut Tree, path: &str, target: &str) {
        let path = BundlePath::new(path).expect("plain");
        tree.insert(path, Node::Link(target.to_owned()));
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut tree = Tree::default();
        for path in ["a/b/c", "a-b/c", "a.txt", "z"] {
            link(&mut tree, path, "x");
        }
        let entries = list(&tree, "app-1.0.0", &Natives::default(), SIZES).expect("a plain tree");
        let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "app-1.0.0",
                "app-1.0.0/a",
                "app-1.0.0/a/b",
                "app-1.0.0/a/b/c",
                "app-1.0.0/a-b",
                "app-1.0.0/a-b/c",
                "app-1.0.0/a.txt",
                "app-1.0.0/z",
            ]
        );
        assert_eq!(entries[0].path(), "");
        assert_eq!(entries[2].path(), "a/b");
    }

    #[test]
    fn what_is_alike_stands_together() {
        let mut tree = Tree::default();
        for path in [
            "app/node_modules/a/x/index.js",
            "app/node_modules/a/index.js",
            "app/node_modules/a/package.json",
            "app/node_modules/a/x/package.json",
            "app/node_modules/a/x/.npmrc",
            "app/node_modules/a/x/a.js",
            "app/node_modules/b/index.js",
            "app/main.js",
        ] {
            link(&mut tree, path, "x");
        }
        let entries = list(&tree, "r", &Natives::default(), SIZES).expect("a plain tree");
        let links = entries.iter().filter(|entry| matches!(entry.kind, Kind::Link(_)));
        let names: Vec<_> = links.map(Entry::path).collect();
        assert_eq!(
            names,
            [
                "app/main.js",
                "app/node_modules/a/x/.npmrc",
                "app/node_modules/a/x/a.js",
                "app/node_modules/a/index.js",
                "app/node_modules/a/x/index.js",
                "app/node_modules/a/package.json",
                "app/node_modules/a/x/package.json",
                "app/node_modules/b/index.js",
            ]
        );
    }

    #[test]
    fn a_file_is_no_folder() {
        let mut tree = Tree::default();
        link(&mut tree, "a/b", "x");
        link(&mut tree, "a/b/c", "x");
        let error = list(&tree, "app", &Natives::default(), SIZES).expect_err("`a/b` is both");
        insta::assert_snapshot!(error, @"cannot pack `a/b/c`: `a/b` is not a folder");
    }

    #[test]
    fn links_stay_inside() {
        let path = BundlePath::new("a/b/link").expect("plain");
        for target in ["x", "../x", "../../x", "./x/../../..", "..", "x//y"] {
            assert!(stays_inside(&path, target), "{target}");
        }
        for target in ["", "/x", "../../../x", "../../../a/b/x", "x/../../../../a", "..\\x", "x\0"]
        {
            assert!(!stays_inside(&path, target), "{target}");
        }
        let mut tree = Tree::default();
        link(&mut tree, "bin/x", "../../etc/passwd");
        let error = list(&tree, "app", &Natives::default(), SIZES).expect_err("it leads out");
        insta::assert_snapshot!(error, @"cannot pack the link `bin/x`: it leads out of the bundle, to `../../etc/passwd`");
    }

    #[test]
    fn the_manifest_has_its_place_to_itself() {
        for path in ["manifest.json", "manifest.json/x"] {
            let mut tree = Tree::default();
            link(&mut tree, path, "x");
            let error =
                list(&tree, "app", &Natives::default(), SIZES).expect_err("it is there already");
            assert_eq!(error.to_string(), "the tree has a `manifest.json` already");
        }
    }

    #[test]
    fn the_folder_has_a_plain_name() {
        for name in ["", "a/b", "..", "/", "a\\b"] {
            assert!(
                matches!(
                    list(&Tree::default(), name, &Natives::default(), SIZES),
                    Err(PackError::Folder { .. })
                ),
                "{name}"
            );
        }
    }
}
