//! A builder with a cache of its own, and trees made of texts.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::BundlePath;
use xtask::context::Context;
use xtask::report::Reporter;
use xtask::store::Store;
use xtask::tree::{Node, Tree};

/// A builder.
pub(crate) struct Builder {
    pub(crate) context: Context,
    pub(crate) store: Store,
    _folder: tempfile::TempDir,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let root = Utf8Path::from_path(folder.path()).expect("it is UTF-8").to_owned();
        let environment = BTreeMap::from([("SECRET_OF_THE_HOST".to_owned(), "hunter2".to_owned())]);
        let mut context =
            Context::new(environment, root.clone(), root.join("cache"), Reporter::silent());
        context.executable = Utf8PathBuf::from(env!("CARGO_BIN_EXE_gangway"));
        let store = Store::open(&context).expect("the cache is ours");
        Self { context, store, _folder: folder }
    }

    /// A tree of these files; a name with a `*` behind it is executable, a text with `->` before it is a link.
    pub(crate) fn tree(&self, files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            let name = path.trim_end_matches('*');
            let node = match text.strip_prefix("->") {
                Some(target) => Node::Link(target.to_owned()),
                None => {
                    let source = self.store.add_bytes(text.as_bytes(), name != *path);
                    Node::File(source.expect("there is room"))
                }
            };
            tree.insert(BundlePath::new(name).expect("plain"), node);
        }
        tree
    }
}

/// The text of a file in a tree.
pub(crate) fn text(tree: &Tree, path: &str) -> String {
    match tree.get(path) {
        Some(Node::File(source)) => fs_err::read_to_string(source.path()).expect("it is there"),
        other => panic!("{path}: {other:?}"),
    }
}

/// An error and everything below it, one per line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut rest = error.source();
    while let Some(error) = rest {
        text.push('\n');
        text.push_str(&error.to_string());
        rest = error.source();
    }
    text
}
