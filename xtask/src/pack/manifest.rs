//! What the manifest says of a tree.

use gangway_artifact::{File, Link, MANIFEST_FILE, Manifest};

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
                let mode = if source.executable { "755" } else { "644" };
                let (size, sha256) = (source.size, source.sha256);
                files.push(File { path, size, mode: mode.to_owned(), sha256 });
            }
            Node::Link(target) => links.push(Link { path, target: target.clone() }),
        }
    }
    (files, links)
}

/// The content of `manifest.json`, in the archive and beside it.
#[must_use]
pub fn manifest_bytes(manifest: &Manifest) -> Vec<u8> {
    manifest.to_json()
}

#[cfg(test)]
mod tests {
    use gangway_artifact::{BundlePath, Digest};

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
            .map(|file| (file.path.as_str(), file.size, file.mode.as_str(), file.sha256))
            .collect();
        assert_eq!(
            files,
            [
                ("app/manifest.json", 5, "644", Digest::of("app's")),
                ("bin/app", 8, "755", Digest::of("launcher")),
            ]
        );
        assert_eq!(links, [Link { path: path("bin/alias"), target: "app".to_owned() }]);
    }
}
