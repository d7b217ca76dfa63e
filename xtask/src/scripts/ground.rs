//! Folders with a gateway's whole tree in links, for overlays to lie over.
//!
//! Linking tens of thousands of files takes the kernel longer than most scripts run, and the trees of two targets are
//! nearly the same. Nobody writes to a folder that lies below an overlay: so when one target is done with it, the next
//! only changes what is different.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use camino::Utf8Path;

use super::error::ScriptError;
use crate::layout::{self, Method};
use crate::store::Store;
use crate::tree::Tree;

/// How many times as long as it took to lay a folder out somebody waits for it. Another one has to be laid out and taken away
/// by all cores, and those are seldom idle meanwhile: other targets are packed.
const PATIENCE: u32 = 4;

/// The folders of one command.
///
/// Who finds none idle waits a few times as long as it took to lay one out, and only then lays out another: for short scripts
/// one folder will do, and long ones run at the same time.
#[derive(Debug, Default)]
pub struct Grounds {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Laid>,
    first: First,
}

/// How far the first folder is.
#[derive(Debug, Default, Clone, Copy)]
enum First {
    #[default]
    Missing,
    BeingLaid,
    /// It took this long.
    Laid(Duration),
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
        let found = self.idle_or_leave();
        let is_first = found.is_none() && matches!(self.state().first, First::BeingLaid);
        let start = Instant::now();
        let laid = found.map_or_else(|| anew(store), Ok).and_then(|laid| change(laid, tree));
        if is_first {
            let first = laid.as_ref().map_or(First::Missing, |_| First::Laid(start.elapsed()));
            self.state().first = first;
            self.changed.notify_all();
        }
        Ok(Ground { grounds: self, laid: Some(laid?) })
    }

    /// Removes the folders that are not in use.
    pub fn clear(&self) {
        let idle = std::mem::take(&mut self.state().idle);
        drop(idle);
    }

    /// A folder that is idle, or will soon be; `None` if the caller has to make one.
    fn idle_or_leave(&self) -> Option<Laid> {
        let mut state = self.state();
        let mut deadline = None;
        loop {
            if let Some(laid) = state.idle.pop() {
                return Some(laid);
            }
            let left = match state.first {
                First::Missing => {
                    state.first = First::BeingLaid;
                    return None;
                }
                First::BeingLaid => Duration::MAX,
                First::Laid(took) => {
                    let deadline =
                        *deadline.get_or_insert_with(|| Instant::now() + PATIENCE * took);
                    deadline.saturating_duration_since(Instant::now())
                }
            };
            if left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked left only whole folders here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.grounds.state().idle.extend(self.laid.take());
        self.grounds.changed.notify_one();
    }
}

fn anew(store: &Store) -> Result<Laid, ScriptError> {
    Ok(Laid { folder: store.temporary()?, tree: Tree::default() })
}

fn change(laid: Laid, tree: &Tree) -> Result<Laid, ScriptError> {
    layout::change(&laid.tree, tree, path(&laid), Method::Link)?;
    Ok(Laid { tree: tree.clone(), ..laid })
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
