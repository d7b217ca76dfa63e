//! A folder and what takes its place, under another name beside it, change places.
//!
//! In one step where the file system has such a step, else in two, with an instant in which the folder is not there. Whoever was killed
//! can begin again: which file is which tells how far it came.

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;
use serde::{Deserialize, Serialize};

use super::error::SnapshotError;
use super::store::rename;
use super::{Checkpoint, system};

/// One folder's change of places.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Move {
    pub(super) path: Utf8PathBuf,
    /// What comes; nothing does where there is nothing to come.
    pub(super) new: Utf8PathBuf,
    pub(super) comes: bool,
    /// Which file `new` is, where that can be told.
    pub(super) identity: Option<(u64, u64)>,
    /// Where what is in place goes.
    pub(super) aside: Utf8PathBuf,
    /// The SHA-256 of the list of the copy's content; nothing where the folder was not there.
    pub(super) list: Option<Digest>,
}

impl Move {
    /// The way back, when this has come to its end: what went aside comes again, and what is in place goes to `aside`.
    pub(super) fn reversed(&self, aside: Utf8PathBuf) -> Self {
        let found = self.aside.symlink_metadata().ok();
        Self {
            path: self.path.clone(),
            new: self.aside.clone(),
            comes: found.is_some(),
            identity: found.and_then(|found| system::identity(&found)),
            aside,
            list: self.list,
        }
    }
}

/// Lets a folder and its copy change places, from wherever an earlier try was killed.
pub(super) fn switch(this: &Move, checkpoint: Checkpoint<'_>) -> Result<(), SnapshotError> {
    let Move { path, new, comes, aside, .. } = this;
    let is_there = |path: &Utf8Path| path.symlink_metadata().is_ok();
    if is_there(aside) {
        if is_there(new) {
            if is_there(path) {
                // Made by a program since the first of two steps.
                rename(path, &free(path, "made-during-rollback", ""))?;
            }
            rename(new, path)?;
        }
        return Ok(());
    }
    match (is_there(path), *comes && is_there(new)) {
        (false, true) => rename(new, path),
        (true, false) if !*comes => rename(path, aside),
        (true, true) => {
            if is_switched(this) {
                return rename(new, aside);
            }
            let exchanged = system::exchange(path.as_std_path(), new.as_std_path());
            let exchanged = exchanged.map_err(|source| SnapshotError::Move {
                from: new.clone(),
                to: path.clone(),
                source,
            })?;
            checkpoint("restore: between");
            if exchanged {
                return rename(new, aside);
            }
            rename(path, aside)?;
            checkpoint("restore: folder aside");
            rename(new, path)
        }
        // Nothing was there, and either nothing comes or it has come.
        (_, false) => Ok(()),
    }
}

/// Whether what comes is in place already.
fn is_switched(this: &Move) -> bool {
    let in_place = this.path.symlink_metadata().ok().and_then(|found| system::identity(&found));
    this.identity.is_some() && in_place == this.identity
}

/// Whether nothing in place was moved yet.
pub(super) fn is_untouched(this: &Move) -> bool {
    this.aside.symlink_metadata().is_err()
        && !is_switched(this)
        && (!this.comes || this.new.symlink_metadata().is_ok())
}

/// A name beside the folder that nothing has.
pub(super) fn free(path: &Utf8Path, what: &str, stamp: &str) -> Utf8PathBuf {
    let name = path.file_name().unwrap_or_default();
    let base = format!("{name}.{what}{}{stamp}", if stamp.is_empty() { "" } else { "-" });
    let numbered = (2..).map(|number| path.with_file_name(format!("{base}-{number}")));
    let mut all = std::iter::once(path.with_file_name(&base)).chain(numbered);
    all.find(|path| path.symlink_metadata().is_err()).expect("there are endless numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A restore of two steps, killed between them, on a file system that cannot exchange names.
    #[test]
    fn between_two_steps() {
        for made_since in [false, true] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let root = Utf8Path::from_path(folder.path()).expect("plain");
            let this = Move {
                path: root.join("claw"),
                new: root.join("claw.restored"),
                comes: true,
                identity: None,
                list: None,
                aside: root.join("claw.before"),
            };
            let make = |path: &Utf8Path, content: &str| {
                std::fs::create_dir(path).expect("ours");
                std::fs::write(path.join("file"), content).expect("ours");
            };
            make(&this.aside, "new");
            make(&this.new, "old");
            if made_since {
                make(&this.path, "made by a program");
            }
            for _ in 0..2 {
                switch(&this, &mut |_| {}).expect("ours");
                let read = |path: &Utf8Path| std::fs::read_to_string(path.join("file"));
                assert_eq!(read(&this.path).expect("in place"), "old");
                assert_eq!(read(&this.aside).expect("kept"), "new");
                let other = read(&root.join("claw.made-during-rollback")).ok();
                assert_eq!(other.as_deref(), made_since.then_some("made by a program"));
            }
        }
    }
}
