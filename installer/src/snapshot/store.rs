//! The copies there are: `snapshots/<version>/`, each with `snapshot.json`, a folder for each folder of the app's data, and
//! a list of what is in it.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{BundlePath, Digest};
use serde::{Deserialize, Serialize};

use super::error::SnapshotError;
use super::plan::Plan;
use super::{Checkpoint, listing, system, tree};
use crate::interruption::Interruption;

/// The version of the format this program reads and writes.
const VERSION: u32 = 1;

/// What describes a copy, inside of it.
const RECORD: &str = "snapshot.json";

/// A copy that is being made is named so, and its version.
const PARTIAL: &str = ".partial-";

/// A copy that is being replaced by a newer one of the same version.
const OLD: &str = ".old-";

/// Where copies are kept.
#[derive(Debug, Clone)]
pub struct Store {
    folder: Utf8PathBuf,
    interruption: Interruption,
}

/// A copy of the app's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    /// The version of the app that left the data so.
    pub of: String,
    /// When it was made, in seconds since the beginning of 1970, by this machine's clock.
    pub made: u64,
    /// What was copied.
    pub folders: Vec<Kept>,
}

/// The copy of one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// As the bundle named it.
    pub declared: String,
    /// Where it was.
    pub path: Utf8PathBuf,
    /// The SHA-256 of the list of its content; nothing where the folder was not there.
    pub list: Option<Digest>,
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of the files take no room, as they share it with the originals.
    pub shared: u64,
    /// What is no file, folder or link, and is not in the copy: the path and what it is.
    pub skipped: Vec<(String, String)>,
    /// What was changed while it was copied: programs were writing, and these may not fit together.
    pub changed: Vec<String>,
}

impl Store {
    /// The copies in `folder`, which need not be there.
    #[must_use]
    pub fn at(folder: Utf8PathBuf) -> Self {
        Self { folder, interruption: Interruption::default() }
    }

    /// The same, for a command that may be interrupted: a copy that is being made then is given up.
    #[must_use]
    pub fn interrupted_by(self, interruption: &Interruption) -> Self {
        Self { interruption: interruption.clone(), ..self }
    }

    /// Copies the app's data as the version `of` leaves it. An earlier copy for that version is replaced when this one is whole.
    ///
    /// # Errors
    /// When something cannot be read or written. Then there is no copy, and nothing else was changed.
    pub fn make(
        &self,
        plan: &Plan,
        of: &str,
        now: SystemTime,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Snapshot, SnapshotError> {
        checkpoint("snapshot: begin");
        // What is in the way of this one, its own steps tell.
        self.tidy();
        self.make_folder()?;
        let partial = self.folder.join(format!("{PARTIAL}{of}"));
        let made = self.fill(&partial, plan, of, now);
        if made.is_err() {
            // What matters is why it could not be made; the next command tidies.
            let _ = tree::remove(partial.as_std_path());
        }
        let snapshot = made?;
        checkpoint("snapshot: copied");
        let (place, old) = (self.folder.join(of), self.folder.join(format!("{OLD}{of}")));
        if place.symlink_metadata().is_ok() {
            rename(&place, &old)?;
            checkpoint("snapshot: old one aside");
        }
        rename(&partial, &place)?;
        system::flush_names(self.folder.as_std_path())
            .map_err(SnapshotError::write(&self.folder))?;
        checkpoint("snapshot: in place");
        tree::remove(old.as_std_path())?;
        Ok(snapshot)
    }

    /// The copy of the data as a version left it.
    ///
    /// # Errors
    /// When there is one and it cannot be read.
    pub fn get(&self, of: &str) -> Result<Option<Snapshot>, SnapshotError> {
        let path = self.folder.join(of);
        let text = match std::fs::read(path.join(RECORD)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(SnapshotError::read(path.join(RECORD).as_std_path()))?,
        };
        let damaged = |what: String| SnapshotError::Damaged { path: path.clone(), what };
        let snapshot: Snapshot =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        match snapshot.version {
            VERSION => Ok(Some(snapshot)),
            other => Err(damaged(format!("its format is version {other}"))),
        }
    }

    /// The versions there are copies for.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn versions(&self) -> Result<Vec<String>, SnapshotError> {
        let mut names = self.names()?;
        names.retain(|name| !name.starts_with('.') && self.folder.join(name).is_dir());
        Ok(names)
    }

    /// Removes the copies for all versions but these.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn keep_only(&self, versions: &[&str]) -> Result<Vec<String>, SnapshotError> {
        let mut gone = self.versions()?;
        gone.retain(|version| !versions.contains(&version.as_str()));
        for version in &gone {
            let aside = self.folder.join(format!("{PARTIAL}{version}"));
            // In one step, so that none is found that is half removed.
            tree::remove(aside.as_std_path())?;
            rename(&self.folder.join(version), &aside)?;
            tree::remove(aside.as_std_path())?;
        }
        Ok(gone)
    }

    /// Removes what a killed command left half made, and puts back what it was about to replace. What that does not succeed with is returned.
    pub fn tidy(&self) -> Vec<SnapshotError> {
        let names = match self.names() {
            Ok(names) => names,
            Err(error) => return vec![error],
        };
        let tidy = |name: String| {
            let path = self.folder.join(&name);
            match name.strip_prefix(OLD).map(|version| self.folder.join(version)) {
                Some(place) if place.symlink_metadata().is_err() => rename(&path, &place),
                None if !name.starts_with(PARTIAL) => Ok(()),
                _ => tree::remove(path.as_std_path()),
            }
        };
        names.into_iter().filter_map(|name| tidy(name).err()).collect()
    }

    /// The folder of the copies.
    pub(super) fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// Where the copy of a version's folder is, and its list.
    pub(super) fn place(&self, of: &str, index: usize) -> (Utf8PathBuf, Utf8PathBuf) {
        let folder = self.folder.join(of);
        (folder.join(index.to_string()), folder.join(format!("{index}.list")))
    }

    /// Copies a folder, unless that is interrupted.
    pub(super) fn copy_tree(
        &self,
        from: &Path,
        to: &Path,
        exclude: &[BundlePath],
    ) -> Result<tree::Copied, SnapshotError> {
        tree::copy(from, to, exclude, &self.interruption)
    }

    pub(super) fn make_folder(&self) -> Result<(), SnapshotError> {
        if self.folder.is_dir() {
            return Ok(());
        }
        if let Some(parent) = self.folder.parent() {
            std::fs::create_dir_all(parent).map_err(SnapshotError::write(parent))?;
        }
        // The app's data may hold secrets: nobody else looks in here.
        system::create_folder(self.folder.as_std_path()).map_err(SnapshotError::write(&self.folder))
    }

    fn fill(
        &self,
        partial: &Utf8Path,
        plan: &Plan,
        of: &str,
        now: SystemTime,
    ) -> Result<Snapshot, SnapshotError> {
        system::create_folder(partial.as_std_path()).map_err(SnapshotError::write(partial))?;
        let mut folders = Vec::new();
        for (index, folder) in plan.folders.iter().enumerate() {
            let mut kept = Kept {
                declared: folder.declared.clone(),
                path: folder.path.clone(),
                list: None,
                files: 0,
                bytes: 0,
                shared: 0,
                skipped: Vec::new(),
                changed: Vec::new(),
            };
            if folder.content.is_some() {
                let to = partial.join(index.to_string());
                let from = folder.path.as_std_path();
                let copied = self.copy_tree(from, to.as_std_path(), &folder.exclude)?;
                let list = listing::text(&copied.listing);
                write(&partial.join(format!("{index}.list")), list.as_bytes())?;
                kept.list = Some(Digest::of(&list));
                (kept.files, kept.bytes, kept.shared) = (copied.files, copied.bytes, copied.shared);
                let skipped = copied.skipped.into_iter();
                kept.skipped = skipped.map(|(path, why)| (path, why.to_owned())).collect();
                kept.changed = copied.changed.into_iter().collect();
            }
            folders.push(kept);
        }
        let made = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let snapshot = Snapshot { version: VERSION, of: of.to_owned(), made, folders };
        let text = serde_json::to_vec_pretty(&snapshot).expect("it is plain data");
        write(&partial.join(RECORD), &text)?;
        system::flush(partial.as_std_path()).map_err(SnapshotError::write(partial))?;
        Ok(snapshot)
    }

    fn names(&self) -> Result<Vec<String>, SnapshotError> {
        let read = |error| SnapshotError::read(self.folder.as_std_path())(error);
        let entries = match self.folder.read_dir_utf8() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(read)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(read)?.file_name().to_owned());
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Writes a file that was not there, and sees that it is on the disk.
pub(super) fn write(path: &Utf8Path, content: &[u8]) -> Result<(), SnapshotError> {
    let written = system::create(path.as_std_path()).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(SnapshotError::write(path))
}

pub(super) fn rename(from: &Utf8Path, to: &Utf8Path) -> Result<(), SnapshotError> {
    std::fs::rename(from, to).map_err(|source| SnapshotError::Move {
        from: from.to_owned(),
        to: to.to_owned(),
        source,
    })
}
