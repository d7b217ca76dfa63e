//! Bringing a copy back, without losing what is in place.
//!
//! First a copy of the copy is made beside each folder, and compared with the list that was made with it. Until then the data in place
//! is not touched. Then each folder [changes places](super::exchange) with its copy. What is done is written down before it is done, and
//! says which file is which; so whoever comes after a kill knows where to go on.
//!
//! Data that is brought back for a version which is about to be used stays only with that one. Until it is known which version is used, what gave way lies
//! ready to [return](super::returning).

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Date, Digest};
use serde::{Deserialize, Serialize};

use super::error::SnapshotError;
use super::exchange::{Move, free, is_untouched, switch};
use super::store::{self, Kept, Snapshot, Store, rename};
use super::{Checkpoint, listing, system, tree};

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

/// How long data stays that is brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays<'a> {
    /// For good.
    Always,
    /// If this version comes to be used, named by its folder. [`Store::finish`] has to be asked when that is known.
    With(&'a str),
}

/// What became of a restore that had not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// It was taken back: nothing in place had been touched.
    TakenBack,
    /// It was brought to its end.
    Done(Restored),
    /// What had given way is in place again. For each folder in which something was written meanwhile it says where that is.
    Returned(Restored),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    pub(super) of: String,
    /// The folder of the version that has to be used, or nothing has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stays_with: Option<String>,
    /// What new names end with.
    pub(super) stamp: String,
    pub(super) phase: Phase,
    pub(super) moves: Vec<Move>,
    /// What was made beside folders, and is of no use any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) useless: Vec<Utf8PathBuf>,
}

/// What every version of a record says.
#[derive(Debug, Deserialize)]
struct Format {
    version: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// Only what is beside the folders was made.
    Copying,
    /// Folders change places.
    Switching,
    /// They have, and it is not known yet whether that stays.
    Waiting,
    /// They change places once more.
    Returning,
}

impl Record {
    /// Whether what was brought back stays, when the version in the folder `used` is the one that is used.
    fn stays(&self, used: Option<&str>) -> bool {
        let with = self.stays_with.as_deref();
        self.phase != Phase::Returning && with.is_none_or(|with| used == Some(with))
    }

    fn restored(&self) -> Restored {
        let folder = |this: &Move| {
            let aside = this.aside.symlink_metadata().is_ok().then(|| this.aside.clone());
            Replaced { path: this.path.clone(), aside }
        };
        Restored { of: self.of.clone(), folders: self.moves.iter().map(folder).collect() }
    }
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
        stays: Stays<'_>,
        now: SystemTime,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Restored, SnapshotError> {
        self.finish(None, checkpoint)?;
        let snapshot = self.get(of)?;
        let snapshot =
            snapshot.ok_or_else(|| SnapshotError::NoSnapshot { version: of.to_owned() })?;
        let mut record = self.planned(&snapshot, stays, now)?;
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
        if let Err(error) = self.switch_all(&record, checkpoint) {
            if record.moves.iter().all(is_untouched) {
                self.take_back(&record)?;
            }
            return Err(error);
        }
        checkpoint("restore: switched");
        match stays {
            Stays::Always => self.forget()?,
            Stays::With(_) => {
                record.phase = Phase::Waiting;
                self.note(&record)?;
                checkpoint("restore: waiting");
            }
        }
        Ok(record.restored())
    }

    /// Brings a restore to its end that was killed, or that waited for which version is used: `used` names its folder. Removes what else was half made.
    ///
    /// # Errors
    /// When a folder cannot be moved, still.
    pub fn finish(
        &self,
        used: Option<&str>,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Option<Finished>, SnapshotError> {
        // What is left of copies takes room, and is in nobody's way.
        self.tidy();
        let Some(record) = self.record()? else { return Ok(None) };
        let done = match record.phase {
            Phase::Copying => {
                self.take_back(&record)?;
                return Ok(Some(Finished::TakenBack));
            }
            Phase::Switching | Phase::Waiting if !record.stays(used) => {
                Finished::Returned(self.give_back(record, checkpoint)?)
            }
            Phase::Switching => {
                self.switch_all(&record, checkpoint)?;
                checkpoint("restore: switched");
                Finished::Done(record.restored())
            }
            Phase::Waiting => Finished::Done(record.restored()),
            Phase::Returning => Finished::Returned(self.go_on_giving_back(record, checkpoint)?),
        };
        self.forget()?;
        Ok(Some(done))
    }

    /// Whether a restore has not come to its end.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.folder().join(RECORD).is_file()
    }

    /// Whether [`Store::finish`] would put back in place what has given way.
    ///
    /// # Errors
    /// When what is being done cannot be read.
    pub fn is_to_return(&self, used: Option<&str>) -> Result<bool, SnapshotError> {
        let record = self.record()?;
        Ok(record.is_some_and(|record| record.phase != Phase::Copying && !record.stays(used)))
    }

    /// What says what is being brought back, where it is damaged: then nobody can bring it to its end.
    ///
    /// # Errors
    /// When it cannot be read, or is of a newer installer.
    pub fn damaged_record(&self) -> Result<Option<Utf8PathBuf>, SnapshotError> {
        match self.record() {
            Err(SnapshotError::Record { path, .. }) => Ok(Some(path)),
            read => read.map(|_| None),
        }
    }

    fn planned(
        &self,
        snapshot: &Snapshot,
        stays: Stays<'_>,
        now: SystemTime,
    ) -> Result<Record, SnapshotError> {
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
                list: kept.list,
            });
        }
        let stays_with = match stays {
            Stays::Always => None,
            Stays::With(version) => Some(version.to_owned()),
        };
        let (of, phase, useless) = (snapshot.of.clone(), Phase::Copying, Vec::new());
        Ok(Record { version: VERSION, of, stays_with, stamp, phase, moves, useless })
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
        let copied = self.copy_tree(from.as_std_path(), to.new.as_std_path(), &[])?;
        let text = listing::text(&copied.listing);
        if Digest::of(&text) != list {
            let what = listing::difference(&list_file, &text)
                .unwrap_or_else(|| "its list was changed".into());
            return Err(SnapshotError::Damaged { path: from, what });
        }
        debug_assert_eq!(copied.files, kept.files, "the lists are the same");
        system::flush(to.new.as_std_path()).map_err(SnapshotError::write(&to.new))?;
        let metadata = to.new.symlink_metadata().map_err(SnapshotError::write(&to.new))?;
        to.identity = system::identity(&metadata);
        Ok(())
    }

    pub(super) fn switch_all(
        &self,
        record: &Record,
        checkpoint: Checkpoint<'_>,
    ) -> Result<(), SnapshotError> {
        for this in &record.moves {
            switch(this, checkpoint)?;
            if let Some(parent) = this.path.parent() {
                system::flush_names(parent.as_std_path()).map_err(SnapshotError::write(parent))?;
            }
        }
        Ok(())
    }

    /// Removes what was made beside the folders.
    fn take_back(&self, record: &Record) -> Result<(), SnapshotError> {
        for this in &record.moves {
            tree::remove(this.new.as_std_path())?;
        }
        self.forget()
    }

    /// What is being done, if anything is.
    fn record(&self) -> Result<Option<Record>, SnapshotError> {
        let path = self.folder().join(RECORD);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(SnapshotError::read(path.as_std_path()))?,
        };
        let damaged = |error: serde_json::Error| SnapshotError::Record {
            path: path.clone(),
            what: error.to_string(),
        };
        // What else is in a newer one, nobody knows.
        let Format { version } = serde_json::from_slice(&text).map_err(damaged)?;
        if version > VERSION {
            let path = path.clone();
            return Err(SnapshotError::Newer { path, found: version, known: VERSION });
        }
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    pub(super) fn note(&self, record: &Record) -> Result<(), SnapshotError> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
