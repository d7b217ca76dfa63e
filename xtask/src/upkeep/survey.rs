//! What is in the cache.
//!
//! Only folders with names that Gangway gives are looked into. A folder that is a link leads out of the cache: what is
//! there is not ours to remove.

use std::collections::{BTreeMap, HashSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;

use super::UpkeepError;
use crate::commands::bundle;
use crate::native::FactsCache;
use crate::{pack, store};

/// A part of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
}

/// How a bucket is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Files in folders of two digits.
    ShardedFiles,
    /// Unpacked archives in folders of two digits.
    ShardedEntries,
    /// Files.
    Files,
    /// Folders or files that programs work in: they leave no time of their use.
    Workplaces,
    /// One such folder: what is in it belongs together.
    Workplace,
}

/// Every bucket of today's formats.
pub(super) const BUCKETS: [Bucket; 12] = [
    Bucket { name: store::PACKAGES, shape: Shape::ShardedEntries },
    Bucket { name: store::BLOBS, shape: Shape::ShardedFiles },
    Bucket { name: pack::FRAMES, shape: Shape::ShardedFiles },
    Bucket { name: store::DERIVED, shape: Shape::Files },
    Bucket { name: bundle::RECORDS, shape: Shape::Files },
    Bucket { name: FactsCache::BUCKET, shape: Shape::Files },
    Bucket { name: "cargo-v1", shape: Shape::Workplaces },
    Bucket { name: "toolchain-v1", shape: Shape::Workplaces },
    Bucket { name: "zig-v1", shape: Shape::Workplace },
    Bucket { name: "zigbuild-v1", shape: Shape::Workplace },
    Bucket { name: "logs", shape: Shape::Workplaces },
    Bucket { name: "smoke", shape: Shape::Workplaces },
];

/// A temporary file that is older was left by somebody who was killed: they live for milliseconds.
const TEMPORARY: Duration = Duration::from_secs(60 * 60);

/// Something that is removed as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The folder of the cache it is in.
    pub bucket: String,
    /// Where it is.
    pub path: Utf8PathBuf,
    /// What it takes on the disk, in bytes.
    pub bytes: u64,
    /// When it was last used.
    pub used: SystemTime,
    /// What is known of it.
    pub state: State,
}

/// What is known of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It may be of use.
    Good,
    /// It may be of use, and nobody says when it was: programs work in it.
    Workplace,
    /// Of a format that this builder does not read any more.
    OldFormat,
    /// It cannot be of use to anybody: what it belongs to is gone, or it was never finished.
    Orphan,
}

/// What is in the cache.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Everything that can be removed.
    pub items: Vec<Item>,
    /// Work in progress, in bytes.
    pub in_progress: u64,
    /// Folders of newer builders, of other programs, and links: they are left alone.
    pub foreign: Vec<String>,
}

/// Lists what is in the cache at `root`.
///
/// # Errors
/// When a folder cannot be read.
pub fn of(root: &Utf8Path, now: SystemTime) -> Result<Survey, UpkeepError> {
    let mut survey = Survey::default();
    for path in list(root)? {
        let name = path.file_name().unwrap_or_default();
        let known = BUCKETS.iter().find(|bucket| bucket.name == name);
        let is_link = path.is_symlink();
        match known {
            _ if is_link => survey.foreign.push(name.to_owned()),
            Some(bucket) => survey.items.extend(bucket.items(&path, now)?),
            None if name == "tmp" => {
                // Not the folders of the sessions themselves: one is that of whoever asks.
                for session in list(&path)? {
                    let work = list(&session)?;
                    survey.in_progress += work.iter().map(|path| size(path)).sum::<u64>();
                }
            }
            None if is_old(name) => {
                survey.items.push(whole(name, path.clone(), State::OldFormat));
            }
            None => survey.foreign.push(name.to_owned()),
        }
    }
    // Of files that are elsewhere nobody knows here which there are.
    if !survey.foreign.iter().any(|name| name == store::BLOBS) {
        mark_orphans(&mut survey.items);
    }
    Ok(survey)
}

impl Survey {
    /// What all of it takes on the disk, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.in_progress + self.items.iter().map(|item| item.bytes).sum::<u64>()
    }

    /// The items of each bucket.
    #[must_use]
    pub fn buckets(&self) -> BTreeMap<&str, Vec<&Item>> {
        let mut buckets: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
        for item in &self.items {
            buckets.entry(&item.bucket).or_default().push(item);
        }
        buckets
    }
}

impl Bucket {
    fn items(self, path: &Utf8Path, now: SystemTime) -> Result<Vec<Item>, UpkeepError> {
        let places = match self.shape {
            Shape::Files | Shape::Workplaces => list(path)?,
            Shape::Workplace => vec![path.to_owned()],
            Shape::ShardedFiles | Shape::ShardedEntries => {
                let shards = list(path)?;
                let lists: Result<Vec<_>, _> = shards.par_iter().map(|shard| list(shard)).collect();
                lists?.concat()
            }
        };
        Ok(places.into_par_iter().filter_map(|place| self.item(place, now)).collect())
    }

    /// Nothing if it is gone meanwhile.
    fn item(self, path: Utf8PathBuf, now: SystemTime) -> Option<Item> {
        let meta = path.symlink_metadata().ok()?;
        Some(match self.shape {
            Shape::Workplaces | Shape::Workplace => whole(self.name, path, State::Workplace),
            Shape::ShardedEntries => {
                let index = store::check::index_of(&path).symlink_metadata();
                let state = if index.is_ok() { State::Good } else { State::Orphan };
                let used = modified(&index.unwrap_or(meta));
                Item { bucket: self.name.to_owned(), bytes: size(&path), path, used, state }
            }
            Shape::Files | Shape::ShardedFiles => {
                let used = modified(&meta);
                let is_temporary = path.file_name().is_some_and(|name| name.starts_with('.'));
                let is_left = now.duration_since(used).is_ok_and(|since| since > TEMPORARY);
                let state = match (is_temporary, is_left) {
                    (true, true) => State::Orphan,
                    (true, false) => State::Workplace,
                    (false, _) => State::Good,
                };
                Item { bucket: self.name.to_owned(), path, bytes: on_disk(&meta), used, state }
            }
        })
    }
}

/// Records whose file is gone.
fn mark_orphans(items: &mut [Item]) {
    let blobs: HashSet<String> = items
        .iter()
        .filter(|item| item.bucket == store::BLOBS)
        .filter_map(|item| item.path.file_name().map(str::to_owned))
        .collect();
    items
        .par_iter_mut()
        .filter(|item| item.bucket == store::DERIVED && item.state == State::Good)
        .for_each(|item| {
            let name = item.path.file_name().unwrap_or_default();
            let record = std::fs::read(&item.path).ok();
            let record = record.and_then(|bytes| store::check::record(name, &bytes));
            // A damaged one is told by whoever looks for damage.
            if record.is_some_and(|record| !blobs.contains(&record.blob.0)) {
                item.state = State::Orphan;
            }
        });
}

/// Whether it is a bucket of an earlier format: `name-v1` where there is `name-v2` now.
fn is_old(name: &str) -> bool {
    let number = |name: &str| -> Option<(String, u32)> {
        let (base, number) = name.rsplit_once("-v")?;
        Some((base.to_owned(), number.parse().ok()?))
    };
    let Some((base, found)) = number(name) else { return false };
    BUCKETS
        .iter()
        .filter_map(|bucket| number(bucket.name))
        .any(|(own, current)| own == base && found < current)
}

fn whole(bucket: &str, path: Utf8PathBuf, state: State) -> Item {
    let bytes = size(&path);
    Item { bucket: bucket.to_owned(), used: newest(&path), bytes, path, state }
}

/// What is in a folder; nothing if it is none.
fn list(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, UpkeepError> {
    let error = |source| UpkeepError::List { path: folder.to_owned(), source };
    match folder.read_dir_utf8() {
        Err(source)
            if [std::io::ErrorKind::NotADirectory, std::io::ErrorKind::NotFound]
                .contains(&source.kind()) =>
        {
            Ok(Vec::new())
        }
        Err(source) => Err(error(source)),
        Ok(entries) => {
            let mut paths = entries
                .map(|entry| entry.map(camino::Utf8DirEntry::into_path))
                .collect::<Result<Vec<_>, _>>()
                .map_err(error)?;
            paths.sort();
            Ok(paths)
        }
    }
}

/// What something takes on the disk with all that is in it. What cannot be read counts for nothing.
fn size(path: &Utf8Path) -> u64 {
    let Ok(meta) = path.symlink_metadata() else { return 0 };
    let inside = match meta.is_dir() {
        true => list(path).unwrap_or_default().iter().map(|path| size(path)).sum(),
        false => 0,
    };
    on_disk(&meta) + inside
}

/// When something below was last written.
fn newest(path: &Utf8Path) -> SystemTime {
    let Ok(meta) = path.symlink_metadata() else { return SystemTime::UNIX_EPOCH };
    let below = match meta.is_dir() {
        true => list(path).unwrap_or_default().iter().map(|path| newest(path)).max(),
        false => None,
    };
    below.unwrap_or(SystemTime::UNIX_EPOCH).max(modified(&meta))
}

fn on_disk(meta: &Metadata) -> u64 {
    /// The unit of `stat`, whatever the file system's is.
    const BLOCK: u64 = 512;
    meta.blocks() * BLOCK
}

fn modified(meta: &Metadata) -> SystemTime {
    meta.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_formats_are_told_by_their_numbers() {
        for (name, expected) in [
            ("packages-v1", true),
            ("packages-v2", false),
            ("packages-v3", false),
            ("blobs-v0", true),
            ("blobs-v1", false),
            ("photos-v0", false),
            ("packages", false),
            ("packages-vx", false),
        ] {
            assert_eq!(is_old(name), expected, "{name}");
        }
    }
}
