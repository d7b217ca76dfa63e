//! Folders with a gateway's whole tree in links, for overlays to lie over.
//!
//! Linking tens of thousands of files takes the kernel longer than most scripts run, and the trees of two targets are
//! nearly the same. Nobody writes to a folder that lies below an overlay: so when one target is done with it, the next
//! only changes what is different.

use std::sync::{Mutex, PoisonError};

use camino::Utf8Path;

use super::error::ScriptError;
use crate::layout::{self, Method};
use crate::store::Store;
use crate::tree::Tree;

/// The folders of one command.
#[derive(Debug, Default)]
pub struct Grounds {
    idle: Mutex<Vec<Laid>>,
}

/// A folder in use. It goes back when it is dropped.
#[derive(Debug)]
pub(super) struct Ground<'grounds> {
    grounds: &'grounds Grounds,
    laid: Option<Laid>,
}

/// A folder and what is in it.
#[derive(Debug)]
struct Laid {
    folder: tempfile::TempDir,
    tree: Tree,
}

impl Grounds {
    /// A folder with `tree` in it, below the store's temporary ones.
    ///
    /// # Errors
    /// When it cannot be laid out.
    pub(super) fn lay(&self, store: &Store, tree: &Tree) -> Result<Ground<'_>, ScriptError> {
        let laid = match self.idle().pop() {
            Some(laid) => laid,
            None => Laid { folder: store.temporary()?, tree: Tree::default() },
        };
        layout::change(&laid.tree, tree, path(&laid), Method::Link)?;
        let laid = Laid { tree: tree.clone(), ..laid };
        Ok(Ground { grounds: self, laid: Some(laid) })
    }

    /// Removes the folders that are not in use.
    pub fn clear(&self) {
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Laid>> {
        // A thread that panicked left only whole folders here.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ground<'_> {
    /// Where it is.
    pub(super) fn folder(&self) -> &Utf8Path {
        path(self.laid.as_ref().expect("it is here until it is dropped"))
    }
}

impl Drop for Ground<'_> {
    fn drop(&mut self) {
        self.grounds.idle().extend(self.laid.take());
    }
}

fn path(laid: &Laid) -> &Utf8Path {
    Utf8Path::from_path(laid.folder.path()).expect("the cache has a UTF-8 name")
}

#[cfg(test)]
mod tests {
    use gangway_artifact::BundlePath;

    use super::*;
    use crate::testing::{Sandbox, contents};
    use crate::tree::Node;

    #[test]
    fn the_next_target_gets_the_same_folder_with_its_own_tree() {
        let sandbox = Sandbox::new();
        let store = Store::open(&sandbox.context(&[])).expect("a fresh folder");
        let file = |text: &str| Node::File(store.add_bytes(text.as_bytes(), false).expect("ours"));
        let tree = |own: &str| -> Tree {
            [("shared", file("shared")), (own, file(own))]
                .map(|(path, node)| (BundlePath::new(path).expect("plain"), node))
                .into_iter()
                .collect()
        };
        let names = |folder: &Utf8Path| -> Vec<String> { contents(folder).into_keys().collect() };
        let grounds = Grounds::default();
        let one = grounds.lay(&store, &tree("one")).expect("there is room");
        let two = grounds.lay(&store, &tree("two")).expect("there is room");
        assert_eq!(names(one.folder()), ["one", "shared"]);
        assert_eq!(names(two.folder()), ["shared", "two"]);
        let place = two.folder().to_owned();
        drop(two);
        let three = grounds.lay(&store, &tree("three")).expect("there is room");
        assert_eq!(three.folder(), place);
        assert_eq!(names(&place), ["shared", "three"]);
        drop((one, three));
        grounds.clear();
        assert!(!place.exists());
    }
}
