//! What a folder holds, as text: a line for each entry, sorted. Two folders hold the same when their lists are the same.

use std::path::Path;

use camino::Utf8Path;
use gangway_artifact::Digest;

use super::error::SnapshotError;
use super::{system, tree};

/// The line of a folder.
pub(super) fn folder(mode: &str, path: &Path) -> String {
    format!("d {mode} {}", tree::shown(path))
}

/// The line of a link.
pub(super) fn link(path: &Path, target: &Path) -> String {
    format!("l {} -> {}", tree::shown(path), tree::shown(target))
}

/// The line of a file, whose `content` is that of [`content`].
pub(super) fn file(content: &str, path: &Path) -> String {
    format!("f {content} {}", tree::shown(path))
}

/// What the line of a file says of it, whichever of its names it is.
pub(super) fn content(mode: &str, size: u64, digest: Digest) -> String {
    format!("{mode} {size} {digest}")
}

/// One text of many lines.
pub(super) fn text(listing: &[String]) -> String {
    listing.iter().flat_map(|line| [line, "\n"]).collect()
}

/// The list of a folder as it is now.
pub(super) fn of(root: &Path) -> Result<String, SnapshotError> {
    let mut listing = Vec::new();
    let mut failed = None;
    let own = root.symlink_metadata().map_err(SnapshotError::read(root))?;
    listing.push(folder(&system::mode(&own), Path::new("")));
    tree::walk(root, &[], |path, metadata| {
        let full = root.join(path);
        let line = if metadata.is_dir() {
            Ok(folder(&system::mode(metadata), path))
        } else if metadata.is_symlink() {
            std::fs::read_link(&full).map(|target| link(path, &target))
        } else if metadata.is_file() {
            let read = system::open(&full).and_then(Digest::of_reader);
            read.map(|(digest, size)| file(&content(&system::mode(metadata), size, digest), path))
        } else {
            return;
        };
        match line {
            Ok(line) => listing.push(line),
            Err(error) => failed = Some(SnapshotError::read(&full)(error)),
        }
    })?;
    listing.sort_unstable();
    failed.map_or_else(|| Ok(text(&listing)), Err)
}

/// The first line in which two lists differ: that of the file `then`, and one of now.
pub(super) fn difference(then: &Utf8Path, now: &str) -> Option<String> {
    let then = std::fs::read_to_string(then).ok()?;
    let mut both = (then.lines().map(Some).chain(std::iter::repeat(None)))
        .zip(now.lines().map(Some).chain(std::iter::repeat(None)))
        .take(then.lines().count().max(now.lines().count()));
    let (then, now) = both.find(|(then, now)| then != now)?;
    let shown = |line: Option<&str>| line.map_or("nothing".to_owned(), |line| format!("`{line}`"));
    Some(format!("{} was {}", shown(now), shown(then)))
}
