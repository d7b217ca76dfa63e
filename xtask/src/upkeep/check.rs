//! Reads every byte of the cache and compares it with its digest.

use std::collections::BTreeMap;
use std::sync::Mutex;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;
use rayon::prelude::*;

use super::survey::{self, Item, State};
use super::{UpkeepError, sweep};
use crate::commands::bundle::Bundle;
use crate::context::Context;
use crate::native::FactsCache;
use crate::store::{self, Store};
use crate::{commands, native, pack};

/// Something that is not what its name or its index says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Damaged {
    /// The file that is wrong.
    pub path: Utf8PathBuf,
    /// What goes with it.
    pub remove: Utf8PathBuf,
}

/// What came of reading everything.
#[derive(Debug, Default, serde::Serialize)]
pub struct Checked {
    /// How many things of each bucket were read.
    pub entries: BTreeMap<String, u64>,
    /// Bytes on the disk of what was read.
    pub bytes: u64,
    /// What was damaged, and is removed.
    pub damaged: Vec<Damaged>,
}

/// Reads everything that has a digest, and removes what is damaged.
///
/// # Errors
/// When the cache cannot be read or written.
pub fn run(context: &Context) -> Result<Checked, UpkeepError> {
    let store = Store::open(context)?;
    let survey = survey::of(store.root(), context.now)?;
    let has_digests = |item: &Item| match item.state {
        State::Good => true,
        // An archive without its index.
        State::Orphan => item.bucket == store::PACKAGES,
        State::Workplace | State::OldFormat => false,
    };
    let items: Vec<_> = survey.items.into_iter().filter(has_digests).collect();
    let progress =
        context.reporter.bytes("Reading", items.iter().map(|item| item.bytes).sum::<u64>());
    let damaged = Mutex::new(Vec::new());
    items.par_iter().for_each(|item| {
        if let Err(path) = is_whole(item, store.root()) {
            // A builder that removed it meanwhile did no damage.
            if item.path.symlink_metadata().is_ok() {
                let found = Damaged { path, remove: item.path.clone() };
                damaged.lock().expect("pushing does not panic").push(found);
            }
        }
        progress.advance(item.bytes);
    });
    let mut checked = Checked::default();
    for item in &items {
        *checked.entries.entry(item.bucket.clone()).or_default() += 1;
        checked.bytes += item.bytes;
    }
    checked.damaged = damaged.into_inner().expect("pushing does not panic");
    checked.damaged.sort();
    sweep::remove_damaged(&store, &checked.damaged)?;
    Ok(checked)
}

/// An error is the file that is wrong.
fn is_whole(item: &Item, root: &Utf8Path) -> Result<(), Utf8PathBuf> {
    let path = &item.path;
    let name = path.file_name().unwrap_or_default();
    let bytes = || std::fs::read(path).ok();
    let key = || name.parse::<Digest>().ok();
    let is_whole = match item.bucket.as_str() {
        store::PACKAGES => return store::check::entry(path),
        store::BLOBS => {
            let found = std::fs::File::open(path).and_then(Digest::of_reader);
            found.is_ok_and(|(found, _)| name.trim_end_matches("-x") == found.to_string())
        }
        pack::FRAMES => {
            let frame = key().zip(bytes()).and_then(|(key, bytes)| pack::open_frame(&key, bytes));
            frame.is_some()
        }
        store::DERIVED => {
            let record = bytes().and_then(|bytes| store::check::record(name, &bytes));
            record.is_some_and(|record| {
                let (blob, size) = record.blob;
                let blob = root.join(store::BLOBS).join(&blob[..2]).join(blob);
                // A file that is gone or cut off makes the record worthless; the file itself is read by its own name.
                blob.symlink_metadata().is_ok_and(|found| found.len() == size)
            })
        }
        FactsCache::BUCKET => {
            key().zip(bytes()).is_some_and(|(key, bytes)| native::facts_are_whole(key, &bytes))
        }
        commands::bundle::RECORDS => {
            bytes().is_some_and(|bytes| serde_json::from_slice::<Bundle>(&bytes).is_ok())
        }
        _ => true,
    };
    if is_whole { Ok(()) } else { Err(path.clone()) }
}
