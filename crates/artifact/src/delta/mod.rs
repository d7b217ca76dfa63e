//! Updates: what a machine has already, and which bytes it must fetch.
//!
//! [`plan`] compares the manifest of the installed version with that of the new one. A file whose digest the machine has stays and is linked; of
//! all others the frames are fetched that hold them ([`ranges`]). Where the publisher made a [`patch`] from the installed version, and it is smaller
//! than all that, it is fetched instead. Nothing here reads or fetches anything.

pub mod patch;
pub mod ranges;

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{BundlePath, Digest, File, FrameError, Frames, Manifest, Mode};
use ranges::{Costs, Range};

/// What becomes of every file of the new version.
#[derive(Debug, Clone)]
pub struct Update<'a> {
    /// Files the machine has, sorted by path.
    pub kept: Vec<Kept<'a>>,
    /// Files whose bytes it lacks, sorted by path.
    pub fetched: Vec<&'a File>,
    /// The parts of the archive these are in, in order.
    pub ranges: Vec<Range>,
}

/// A file of the new version that the old one has too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept<'a> {
    /// The new file.
    pub file: &'a File,
    /// One of the old version with the same bytes.
    pub from: &'a File,
}

/// How a kept file comes to its new place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// As a hard link: nothing about it changes but perhaps its name.
    Link,
    /// As a copy: its mode is another one, and a link would change the old version's.
    Copy,
}

/// Two versions between which there is no update.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum DeltaError {
    /// They are of two apps.
    #[error("the old version is of `{old}`, the new one of `{new}`")]
    App { old: String, new: String },
    /// They are for two platforms.
    #[error("the old version is for `{old}`, the new one for `{new}`")]
    Target { old: String, new: String },
    /// Nothing says where the new files are.
    #[error("the new version's manifest cannot be followed: {0}")]
    Frames(#[from] FrameError),
}

/// Plans the update from `old` to `new`.
///
/// # Errors
/// When they are not versions of one bundle, or the new one's files have no places.
pub fn plan<'a>(
    old: &'a Manifest,
    new: &'a Manifest,
    costs: Costs,
) -> Result<Update<'a>, DeltaError> {
    plan_without(old, new, &[], costs)
}

/// As [`plan`], for a machine on which the files `lost` of the old version are something else, or gone.
///
/// # Errors
/// As [`plan`].
pub fn plan_without<'a>(
    old: &'a Manifest,
    new: &'a Manifest,
    lost: &[BundlePath],
    costs: Costs,
) -> Result<Update<'a>, DeltaError> {
    if old.app.name != new.app.name {
        let (old, new) = (old.app.name.to_string(), new.app.name.to_string());
        return Err(DeltaError::App { old, new });
    }
    if old.target != new.target {
        let (old, new) = (old.target.to_string(), new.target.to_string());
        return Err(DeltaError::Target { old, new });
    }
    of(Some(&There::new(old, lost)), new, costs)
}

/// Plans the installation of `new` on a machine that has nothing of it.
///
/// # Errors
/// When its files have no places.
pub fn whole(new: &Manifest, costs: Costs) -> Result<Update<'_>, DeltaError> {
    of(None, new, costs)
}

fn of<'a>(
    there: Option<&There<'a>>,
    new: &'a Manifest,
    costs: Costs,
) -> Result<Update<'a>, DeltaError> {
    let frames = Frames::of(new)?;
    let mut update = Update { kept: Vec::new(), fetched: Vec::new(), ranges: Vec::new() };
    for file in &new.files {
        match there.and_then(|there| there.find(file)) {
            Some(from) => update.kept.push(Kept { file, from }),
            None => update.fetched.push(file),
        }
    }
    let wanted: BTreeSet<usize> = (update.fetched.iter())
        .flat_map(|file| frames.pieces(file))
        .map(|piece| piece.frame)
        .collect();
    update.ranges = ranges::coalesce(&frames, wanted, costs);
    Ok(update)
}

impl Update<'_> {
    /// How many bytes of the archive are fetched, those in between that nobody wants too.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.size).sum()
    }
}

impl Kept<'_> {
    /// How it comes to its new place.
    #[must_use]
    pub fn keeping(&self) -> Keeping {
        if self.file.mode == self.from.mode { Keeping::Link } else { Keeping::Copy }
    }
}

/// The old version's files.
struct There<'a> {
    by_path: HashMap<&'a BundlePath, &'a File>,
    by_content: HashMap<(Digest, Mode), &'a File>,
}

impl<'a> There<'a> {
    fn new(old: &'a Manifest, lost: &[BundlePath]) -> Self {
        let lost: HashSet<&BundlePath> = lost.iter().collect();
        let files = || old.files.iter().filter(|file| !lost.contains(&file.path));
        // Of several that are alike, the first: plans are the same every time.
        let contents = files().rev().map(|file| ((file.sha256, file.mode), file));
        Self {
            by_path: files().map(|file| (&file.path, file)).collect(),
            by_content: contents.collect(),
        }
    }

    /// The one with the same bytes that is best to have: at the same place, or else with the same mode.
    fn find(&self, file: &File) -> Option<&'a File> {
        let same = |other: &&File| other.sha256 == file.sha256 && other.size == file.size;
        let at_its_place = self.by_path.get(&file.path).copied().filter(same);
        if let Some(found) = at_its_place.filter(|found| found.mode == file.mode) {
            return Some(found);
        }
        let other_mode = Mode::of(file.mode == Mode::Plain);
        let with = |mode| self.by_content.get(&(file.sha256, mode)).copied().filter(same);
        with(file.mode).or(at_its_place).or_else(|| with(other_mode))
    }
}

#[cfg(test)]
mod tests;
