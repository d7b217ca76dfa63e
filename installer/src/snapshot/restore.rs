//! Bringing a copy back, without losing what is in place.
//!
//! First a copy of the copy is made beside each folder, and compared with the list that was made with it. Until then the data in place
//! is not touched. Then each folder changes places with its copy: in one step where the file system has such a step, else in two, with an
//! instant in which the folder is not there. What is done is written down before it is done, and says which file
//! is which; so whoever comes after a kill knows where to go on.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Date, Digest};
use serde::{Deserialize, Serialize};

use super::error::SnapshotError;
use super::store::{self, Kept, Snapshot, Store, lines, rename};
use super::{Checkpoint, system, tree};

/// What is being done, for whoever comes after a kill.
const RECORD: &str = ".restore.json";

/// The version of the record's format.
const VERSION: u32 = 1;

/// A copy was brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The version that left the data so.
    pub of: String,
    /// Each folder of the copy.
    pub folders: Vec<Replaced>,
}

/// A folder of the app's data that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// The folder.
    pub path: Utf8PathBuf,
    /// Where what was in place is now; nothing where there was none.
    pub aside: Option<Utf8PathBuf>,
}

/// What became of a restore that was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// It was taken back: nothing in place had been touched.
    TakenBack,
    /// It was brought to its end.
    Done(Restored),
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    of: String,
    phase: Phase,
    moves: Vec<Move>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// Only what is beside the folders was made.
    Copying,
    /// Folders change places.
    Switching,
}

/// One folder's change of places.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Move {
    path: Utf8PathBuf,
    /// What comes; nothing does where the folder was not there when the copy was made.
    new: Utf8PathBuf,
    comes: bool,
    /// Which file `new` is, where that can be told.
    identity: Option<(u64, u64)>,
    /// Where what is in place goes.
    aside: Utf8PathBuf,
}

impl Store {
    /// Puts the data back in place as the version `of` left it. What is in place is moved aside.
    ///
    /// # Errors
    /// When there is no such copy, it is damaged, or there is no room. Then nothing in place was changed. When a folder
    /// cannot be moved after another one was, [`Store::finish`] goes on.
    pub fn restore(
        &self,
        of: &str,
        now: SystemTime,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Restored, SnapshotError> {
        self.finish(checkpoint)?;
        let snapshot = self.get(of)?;
        let snapshot =
            snapshot.ok_or_else(|| SnapshotError::NoSnapshot { version: of.to_owned() })?;
        let mut record = self.planned(&snapshot, now)?;
        self.note(&record)?;
        checkpoint("restore: planned");
        if let Err(error) = self.copy_all(&snapshot, &mut record) {
            self.take_back(&record)?;
            return Err(error);
        }
        checkpoint("restore: copied");
        record.phase = Phase::Switching;
        self.note(&record)?;
        checkpoint("restore: switching");
        let restored = self.switch_all(&record, checkpoint);
        if restored.is_err() && record.moves.iter().all(is_untouched) {
            self.take_back(&record)?;
        }
        restored
    }

    /// Ends or takes back a restore that was killed, and removes what else was half made.
    ///
    /// # Errors
    /// When a folder cannot be moved, still.
    pub fn finish(&self, checkpoint: Checkpoint<'_>) -> Result<Option<Finished>, SnapshotError> {
        self.tidy()?;
        let path = self.folder().join(RECORD);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(SnapshotError::read(path.as_std_path()))?,
        };
        let damaged = |what: String| SnapshotError::Damaged { path: path.clone(), what };
        let record: Record =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if record.version != VERSION {
            return Err(damaged(format!("its format is version {}", record.version)));
        }
        match record.phase {
            Phase::Copying => self.take_back(&record).map(|()| Some(Finished::TakenBack)),
            Phase::Switching => {
                let restored = self.switch_all(&record, checkpoint)?;
                Ok(Some(Finished::Done(restored)))
            }
        }
    }

    fn planned(&self, snapshot: &Snapshot, now: SystemTime) -> Result<Record, SnapshotError> {
        let stamp = stamp(now);
        let mut moves = Vec::new();
        for (index, kept) in snapshot.folders.iter().enumerate() {
            let (copy, _) = self.place(&snapshot.of, index);
            if let Some(reason) = fixed(&kept.path) {
                return Err(SnapshotError::Fixed { path: kept.path.clone(), reason, copy });
            }
            moves.push(Move {
                path: kept.path.clone(),
                new: free(&kept.path, "restored", &stamp),
                comes: kept.list.is_some(),
                identity: None,
                aside: free(&kept.path, "before-rollback", &stamp),
            });
        }
        Ok(Record { version: VERSION, of: snapshot.of.clone(), phase: Phase::Copying, moves })
    }

    fn copy_all(&self, snapshot: &Snapshot, record: &mut Record) -> Result<(), SnapshotError> {
        let kept = snapshot.folders.iter().enumerate();
        for ((index, kept), to) in kept.zip(&mut record.moves) {
            let Some(list) = kept.list else { continue };
            self.copy(&snapshot.of, index, kept, list, to)?;
        }
        Ok(())
    }

    fn copy(
        &self,
        of: &str,
        index: usize,
        kept: &Kept,
        list: Digest,
        to: &mut Move,
    ) -> Result<(), SnapshotError> {
        if let Some(parent) = to.path.parent() {
            std::fs::create_dir_all(parent).map_err(SnapshotError::write(parent))?;
        }
        let (from, list_file) = self.place(of, index);
        let copied = tree::copy(from.as_std_path(), to.new.as_std_path(), &[])?;
        let text = lines(&copied.listing);
        if Digest::of(&text) != list {
            let what =
                difference(&list_file, &text).unwrap_or_else(|| "its list was changed".into());
            return Err(SnapshotError::Damaged { path: from, what });
        }
        debug_assert_eq!(copied.files, kept.files, "the lists are the same");
        system::flush(to.new.as_std_path()).map_err(SnapshotError::write(&to.new))?;
        let metadata = to.new.symlink_metadata().map_err(SnapshotError::write(&to.new))?;
        to.identity = system::identity(&metadata);
        Ok(())
    }

    fn switch_all(
        &self,
        record: &Record,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Restored, SnapshotError> {
        let mut folders = Vec::new();
        for this in &record.moves {
            switch(this, checkpoint)?;
            if let Some(parent) = this.path.parent() {
                system::flush_names(parent.as_std_path()).map_err(SnapshotError::write(parent))?;
            }
            let aside = this.aside.symlink_metadata().is_ok().then(|| this.aside.clone());
            folders.push(Replaced { path: this.path.clone(), aside });
        }
        checkpoint("restore: switched");
        self.forget()?;
        Ok(Restored { of: record.of.clone(), folders })
    }

    /// Removes what was made beside the folders.
    fn take_back(&self, record: &Record) -> Result<(), SnapshotError> {
        for this in &record.moves {
            tree::remove(this.new.as_std_path())?;
        }
        self.forget()
    }

    fn note(&self, record: &Record) -> Result<(), SnapshotError> {
        let path = self.folder().join(RECORD);
        let partial = self.folder().join(format!("{RECORD}.partial"));
        tree::remove(partial.as_std_path())?;
        let text = serde_json::to_vec_pretty(record).expect("it is plain data");
        store::write(&partial, &text)?;
        rename(&partial, &path)?;
        system::flush_names(self.folder().as_std_path())
            .map_err(SnapshotError::write(self.folder()))
    }

    fn forget(&self) -> Result<(), SnapshotError> {
        tree::remove(self.folder().join(RECORD).as_std_path())
    }
}

/// Lets a folder and its copy change places, from wherever an earlier try was killed.
fn switch(this: &Move, checkpoint: Checkpoint<'_>) -> Result<(), SnapshotError> {
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

fn is_untouched(this: &Move) -> bool {
    this.aside.symlink_metadata().is_err()
        && !is_switched(this)
        && (!this.comes || this.new.symlink_metadata().is_ok())
}

/// A name beside the folder that nothing has.
fn free(path: &Utf8Path, what: &str, stamp: &str) -> Utf8PathBuf {
    let name = path.file_name().unwrap_or_default();
    let base = format!("{name}.{what}{}{stamp}", if stamp.is_empty() { "" } else { "-" });
    let numbered = (2..).map(|number| path.with_file_name(format!("{base}-{number}")));
    let mut all = std::iter::once(path.with_file_name(&base)).chain(numbered);
    all.find(|path| path.symlink_metadata().is_err()).expect("there are endless numbers")
}

/// `2026-11-21-200312`, in UTC.
fn stamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{}-{hour:02}{minute:02}{second:02}", Date::from_unix(seconds))
}

/// Why a folder cannot be moved, if so.
#[cfg(unix)]
fn fixed(path: &Utf8Path) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;
    let device = |path: &Path| path.symlink_metadata().ok().map(|found| found.dev());
    let own = device(path.as_std_path())?;
    let is_mounted = path.parent().and_then(|parent| device(parent.as_std_path())) != Some(own);
    is_mounted.then_some("a file system is mounted there")
}

#[cfg(not(unix))]
fn fixed(_: &Utf8Path) -> Option<&'static str> {
    None
}

/// The first line in which the copy is another than it was.
fn difference(list: &Utf8Path, now: &str) -> Option<String> {
    let then = std::fs::read_to_string(list).ok()?;
    let mut both = (then.lines().map(Some).chain(std::iter::repeat(None)))
        .zip(now.lines().map(Some).chain(std::iter::repeat(None)))
        .take(then.lines().count().max(now.lines().count()));
    let (then, now) = both.find(|(then, now)| then != now)?;
    let shown = |line: Option<&str>| line.map_or("nothing".to_owned(), |line| format!("`{line}`"));
    Some(format!("{} was {}", shown(now), shown(then)))
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

    #[test]
    fn times_are_named() {
        let at = |seconds| stamp(UNIX_EPOCH + std::time::Duration::from_secs(seconds));
        assert_eq!(
            (at(0).as_str(), at(951_827_696).as_str()),
            ("1970-01-01-000000", "2000-02-29-123456")
        );
        assert_eq!(stamp(UNIX_EPOCH - std::time::Duration::from_secs(1)), "1970-01-01-000000");
    }
}
