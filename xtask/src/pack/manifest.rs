//! What the manifest says of a tree, and of the archive that holds it.

use std::collections::HashMap;

use gangway_artifact::{BLOCK, BundlePath, File, Frame, Link, MANIFEST_FILE, Manifest, Mode};

use super::entry::{Entry, Kind};
use super::header;
use crate::tree::{Node, Tree};

/// Every file and every link of `tree` as the manifest lists them: sorted, and without the manifest itself, which
/// cannot hold its own digest.
#[must_use]
pub fn listing(tree: &Tree) -> (Vec<File>, Vec<Link>) {
    let (mut files, mut links) = (Vec::new(), Vec::new());
    for (path, node) in tree.iter().filter(|(path, _)| path.as_str() != MANIFEST_FILE) {
        let path = path.clone();
        match node {
            Node::File(source) => {
                let (size, sha256) = (source.size, source.sha256);
                let mode = Mode::of(source.executable);
                files.push(File { path, size, mode, block: None, sha256 });
            }
            Node::Link(target) => links.push(Link { path, target: target.clone() }),
        }
    }
    (files, links)
}

/// The manifest with what is known when all `entries` are packed: the frames, and where in the stream each file is.
pub(super) fn placed(manifest: &Manifest, entries: &[Entry<'_>], frames: Vec<Frame>) -> Manifest {
    let blocks = blocks(entries);
    let mut placed = Manifest { frames, ..manifest.clone() };
    for file in &mut placed.files {
        file.block = blocks.get(&file.path).copied();
    }
    placed
}

/// The blocks of the tar stream that the files begin in.
fn blocks<'tree>(entries: &[Entry<'tree>]) -> HashMap<&'tree BundlePath, u32> {
    let mut blocks = HashMap::with_capacity(entries.len());
    let mut at = 0;
    for entry in entries {
        at += header::length(entry);
        if let Kind::File(path, _) = entry.kind {
            let block = u32::try_from(at / BLOCK).expect("no bundle has 2 TiB");
            blocks.insert(path, block);
        }
        at += entry.file_size().next_multiple_of(BLOCK);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use gangway_artifact::Digest;

    use super::*;
    use crate::tree::Source;

    #[test]
    fn everything_but_the_manifest() {
        let path = |text: &str| BundlePath::new(text).expect("plain");
        let file = |bytes: &str, executable| {
            let size = bytes.len() as u64;
            Node::File(Source::new("x", size, executable, Digest::of(bytes)))
        };
        let mut tree = Tree::default();
        tree.insert(path("manifest.json"), file("{}", false));
        tree.insert(path("app/manifest.json"), file("app's", false));
        tree.insert(path("bin/app"), file("launcher", true));
        tree.insert(path("bin/alias"), Node::Link("app".to_owned()));

        let (files, links) = listing(&tree);
        let files: Vec<_> = (files.iter())
            .map(|file| (file.path.as_str(), file.size, file.mode, file.sha256))
            .collect();
        assert_eq!(
            files,
            [
                ("app/manifest.json", 5, Mode::Plain, Digest::of("app's")),
                ("bin/app", 8, Mode::Executable, Digest::of("launcher")),
            ]
        );
        assert_eq!(links, [Link { path: path("bin/alias"), target: "app".to_owned() }]);
    }
}
