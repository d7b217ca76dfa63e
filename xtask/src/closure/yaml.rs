//! YAML within bounds: a lockfile has no anchors and is not deep, so one that is was not written by a package manager.

use camino::Utf8Path;
use serde::Deserialize;
use serde_saphyr::options::DuplicateKeyPolicy;

use super::error::Malformed;

/// The YAML documents of `text`.
pub(super) fn documents<'de, T: Deserialize<'de>>(
    text: &'de str,
    path: &Utf8Path,
) -> Result<Vec<T>, Box<Malformed>> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_nodes: 4_000_000,
            max_events: 8_000_000,
            max_anchors: 0,
            max_aliases: 0,
            max_documents: 4,
        },
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let place = error.location().map_or((1, 1), |location| {
            let number = |number: u64| usize::try_from(number).unwrap_or(1).max(1);
            (number(location.line()), number(location.column()))
        });
        let full = error.without_snippet().to_string();
        Malformed::at(text, path, place, reason(&full))
    })
}

/// What the reader says is wrong, without what it says to programmers and without the place.
fn reason(full: &str) -> &str {
    if full.starts_with("budget breached") {
        return "it has anchors, or is deeper or larger than a lockfile can be";
    }
    let line = full.lines().next().unwrap_or_default();
    let end =
        [" at line ", ", set DuplicateKeyPolicy"].into_iter().filter_map(|end| line.find(end));
    &line[..end.min().unwrap_or(line.len())]
}
