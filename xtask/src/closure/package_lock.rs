//! `package-lock.json` and `npm-shrinkwrap.json`, lockfile versions 2 and 3; and what all lockfiles with npm's kind of
//! keys have in common.
//!
//! Version 2 tells everything twice, for npm 6; only `packages` is read.

use std::collections::BTreeMap;

use camino::Utf8Path;

use super::ClosureError;
use super::error::{FaultKind, Faults};
use super::location::{self, Location};
use super::raw::{self, Entry};

/// The entries of the lockfile `text`.
pub(super) fn entries(
    text: &str,
    path: &Utf8Path,
    faults: &mut Faults,
) -> Result<BTreeMap<String, Entry>, ClosureError> {
    let mut entries = raw::parse(text, path)?;
    refuse_bad_keys(&mut entries, faults);
    Ok(entries)
}

/// Takes out the entries with a key that is no place npm would install to.
pub(super) fn refuse_bad_keys(entries: &mut BTreeMap<String, Entry>, faults: &mut Faults) {
    let links: Vec<_> =
        entries.iter().filter(|(_, entry)| entry.link).map(|(key, _)| format!("{key}/")).collect();
    entries.retain(|key, entry| {
        let reason = match location::parse(key) {
            Err(reason) => reason,
            Ok(Location::Project | Location::Folder) if entry.link => {
                "a link must lie in a `node_modules`"
            }
            Ok(_) if links.iter().any(|link| key.starts_with(link)) => "it lies below a link",
            Ok(_) => return true,
        };
        faults.add(FaultKind::Path, format!("`{}`: {reason}", key.escape_debug()));
        false
    });
}
