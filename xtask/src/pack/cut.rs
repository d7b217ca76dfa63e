//! Where the tar stream is cut into frames.
//!
//! A cut depends on what lies around it and on nothing before, so a change moves the cuts near it only, and frames
//! further on are the same as in the bundle before. Cuts are never made because of the number of threads.
//!
//! - A file of at least half a frame has frames to itself, which begin with its first byte: the header, which names
//!   the path, is in the frame before. So a runtime's frames are the same in all bundles that have it. [`large`] says
//!   where such a file is cut.
//! - A frame has entries of one part of the archive only.
//! - Elsewhere a frame ends between half and the whole of the frame size: before another package if there is a
//!   choice, and then before the entry whose path has the lowest digest.

use std::cmp::Reverse;
use std::collections::HashMap;

use gangway_artifact::Digest;

use super::entry::{Entry, Kind};
use super::header;
use super::large::{self, LargeFile, Part};
use crate::native::SharedData;

/// What is compressed together.
#[derive(Debug)]
pub(super) enum Frame<'plan, 'tree> {
    /// Entries with their bytes; of a large file at the end only the headers.
    Entries(&'plan [Entry<'tree>]),
    /// The next bytes of a large file.
    Part(Part<'tree>),
}

/// Divides `entries`; what stands after them is no affair of this module. `shared` has the data in large files that
/// other builds of them hold as well, by the digests of the files.
pub(super) fn frames<'plan, 'tree>(
    entries: &'plan [Entry<'tree>],
    frame_size: u64,
    shared: &HashMap<Digest, SharedData>,
) -> Vec<Frame<'plan, 'tree>> {
    let mut frames = Vec::new();
    let sections = entries.chunk_by(|one, next| one.part == next.part);
    let runs = sections.flat_map(|part| part.split_inclusive(|entry| is_large(entry, frame_size)));
    for run in runs {
        let mut rest = run;
        while !rest.is_empty() {
            let (frame, others) = rest.split_at(cut(rest, frame_size));
            frames.push(Frame::Entries(frame));
            rest = others;
        }
        if let Some(Entry { kind: Kind::File(path, source), .. }) =
            run.last().filter(|entry| is_large(entry, frame_size))
        {
            let shared = shared.get(&source.sha256).copied();
            let file = LargeFile { path, source, shared };
            frames.extend(large::parts(file, frame_size).map(Frame::Part));
        }
    }
    frames
}

/// Whether an entry's bytes have frames to themselves.
pub(super) fn is_large(entry: &Entry<'_>, frame_size: u64) -> bool {
    entry.file_size() > 0 && entry.file_size() >= frame_size / 2
}

/// How many of `entries` the next frame takes; at least one.
fn cut(entries: &[Entry<'_>], frame_size: u64) -> usize {
    let mut size = 0;
    let mut fitting = 1;
    let mut best = None;
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 && size <= frame_size {
            fitting = index;
        }
        if index > 0 && size >= frame_size / 2 && size <= frame_size {
            let is_border = entries[index - 1].group() != entry.group();
            let rank = (Reverse(is_border), Digest::of(entry.path()));
            if best.as_ref().is_none_or(|(lowest, _)| rank < *lowest) {
                best = Some((rank, index));
            }
        }
        size += stream_size(entry, frame_size);
        if size > frame_size && index > 0 {
            return best.map_or(fitting, |(_, index)| index);
        }
    }
    entries.len()
}

/// The bytes an entry adds to the stream before any frame of its own.
fn stream_size(entry: &Entry<'_>, frame_size: u64) -> u64 {
    let headers = header::blocks(entry).len() as u64;
    if is_large(entry, frame_size) {
        return headers;
    }
    headers + entry.file_size() + header::padding(entry.file_size()) as u64
}

#[cfg(test)]
mod tests {
    use gangway_artifact::BundlePath;

    use super::*;
    use crate::pack::entry;
    use crate::tree::{Node, Source, Tree};

    const FRAME: u64 = 64 << 10;

    fn tree(files: &[(&str, u64)]) -> Tree {
        let mut tree = Tree::default();
        for (path, size) in files {
            let source = Source::new("/dev/null", *size, false, Digest::of(""));
            tree.insert(BundlePath::new(*path).expect("plain"), Node::File(source));
        }
        tree
    }

    /// `packages` packages of `files` files each, a few kilobytes every one.
    fn packages(packages: usize, files: usize) -> Vec<(String, u64)> {
        (0..packages)
            .flat_map(|package| {
                (0..files).map(move |file| {
                    let size = 1000 + (package * 37 + file * 101) as u64 % 3000;
                    (format!("app/node_modules/p{package:03}/f{file}.js"), size)
                })
            })
            .collect()
    }

    /// The first path and the size of every frame of entries.
    fn describe(files: &[(String, u64)]) -> Vec<(String, u64)> {
        let files: Vec<_> = files.iter().map(|(path, size)| (path.as_str(), *size)).collect();
        let tree = tree(&files);
        let entries =
            entry::list(&tree, "app", &crate::native::Natives::default()).expect("a plain tree");
        (frames(&entries, FRAME, &HashMap::new()).iter())
            .filter_map(|frame| match frame {
                Frame::Entries(entries) => {
                    let size = entries.iter().map(|entry| stream_size(entry, FRAME)).sum();
                    Some((entries[0].path().to_owned(), size))
                }
                Frame::Part(_) => None,
            })
            .collect()
    }

    #[test]
    fn frames_have_their_size() {
        let frames = describe(&packages(100, 7));
        let (_, full) = frames.split_last().expect("there are some");
        for (path, size) in full {
            assert!((FRAME / 2..=FRAME).contains(size), "{path}: {size}");
        }
    }

    #[test]
    fn every_entry_is_in_one_frame() {
        let files = packages(50, 3);
        let files: Vec<_> = files.iter().map(|(path, size)| (path.as_str(), *size)).collect();
        let tree = tree(&files);
        let entries =
            entry::list(&tree, "app", &crate::native::Natives::default()).expect("a plain tree");
        let frames = frames(&entries, FRAME, &HashMap::new());
        let framed = frames.iter().flat_map(|frame| match frame {
            Frame::Entries(entries) => *entries,
            Frame::Part(_) => &[],
        });
        assert!(framed.map(Entry::path).eq(entries.iter().map(Entry::path)));
    }

    #[test]
    fn cuts_are_at_packages() {
        let frames = describe(&packages(100, 7));
        assert!(frames.len() > 20, "{frames:?}");
        for (path, _) in &frames[1..] {
            assert_eq!(path.split('/').count(), 3, "{path} is not a package's folder");
        }
    }

    #[test]
    fn a_change_moves_only_the_cuts_near_it() {
        let before = packages(200, 5);
        let mut after = before.clone();
        after.insert(30, ("app/node_modules/p005/new.js".to_owned(), 9000));
        let (before, after) = (describe(&before), describe(&after));
        let common = before.iter().filter(|frame| after.contains(frame)).count();
        assert!(common * 10 >= before.len() * 8, "{common} of {}", before.len());
    }

    #[test]
    fn large_files_have_frames_to_themselves() {
        let tree = tree(&[("a", 10), ("runtime/node", 2 * FRAME + 5), ("z", FRAME / 2), ("zz", 1)]);
        let entries =
            entry::list(&tree, "app", &crate::native::Natives::default()).expect("a plain tree");
        let described: Vec<_> = (frames(&entries, FRAME, &HashMap::new()).iter())
            .map(|frame| match frame {
                Frame::Entries(entries) => format!("{} entries", entries.len()),
                Frame::Part(part) => format!("{} of {}", part.length, part.file.path),
            })
            .collect();
        assert_eq!(
            described,
            [
                "3 entries",
                "65536 of runtime/node",
                "65536 of runtime/node",
                "5 of runtime/node",
                "2 entries",
                "32768 of z",
                "1 entries",
            ]
        );
    }
}
