//! Where the tar stream is cut into frames.
//!
//! A cut depends on what lies around it and on nothing before, so a change moves the cuts near it only, and frames
//! further on are the same as in the bundle before. Cuts are never made because of the number of threads.
//!
//! - A large file has frames to itself, which begin with its first byte: the header, which names
//!   the path, is in the frame before. So a runtime's frames are the same in all bundles that have it. [`large`] says
//!   where such a file is cut.
//! - Unless there are several beside each other in one package, none of them native code: they have one frame together if it is
//!   not too large. Two bundles of one program, such as a server and its worker, are the same for the most part.
//! - A frame has entries of one part of the archive only.
//! - Elsewhere a frame ends between half and the whole of the frame size: before another package if there is a
//!   choice, and then before the entry whose path has the lowest digest.

use std::cmp::Reverse;
use std::collections::HashMap;

use gangway_artifact::Digest;

use super::entry::{Entry, Kind};
use super::header;
use super::large::{self, LargeFile, Part};
use super::settings::Sizes;
use crate::native::SharedData;

/// What is compressed together.
#[derive(Debug)]
pub(super) enum Frame<'plan, 'tree> {
    /// Entries with their bytes; of a large file at the end only the headers.
    Entries(&'plan [Entry<'tree>]),
    /// Large files with their headers and bytes.
    Together(&'plan [Entry<'tree>]),
    /// The next bytes of a large file.
    Part(Part<'tree>),
}

/// Divides `entries`; what stands after them is no affair of this module. `shared` has the data in large files that
/// other builds of them hold as well, by the digests of the files.
pub(super) fn frames<'plan, 'tree>(
    entries: &'plan [Entry<'tree>],
    sizes: Sizes,
    shared: &'tree HashMap<Digest, Vec<SharedData>>,
) -> Vec<Frame<'plan, 'tree>> {
    let mut frames = Vec::new();
    for part in entries.chunk_by(|one, next| one.part == next.part) {
        let mut rest = part;
        while !rest.is_empty() {
            let (run, others) = match together(rest, sizes) {
                0 => {
                    let run = rest.split_at(run(rest, sizes));
                    small(run.0, sizes, &mut frames);
                    alone(run.0, sizes, shared, &mut frames);
                    run
                }
                count => {
                    let run = rest.split_at(count);
                    frames.push(Frame::Together(run.0));
                    run
                }
            };
            debug_assert!(!run.is_empty());
            rest = others;
        }
    }
    frames
}

/// How many large files at the beginning of `entries` have a frame together: none, or at least two.
fn together(entries: &[Entry<'_>], sizes: Sizes) -> usize {
    let Some(first) = entries.first() else { return 0 };
    let mut size = 0;
    let fits = |entry: &&Entry<'_>| {
        size += header::length(entry);
        size += entry.file_size().next_multiple_of(header::BLOCK as u64);
        size <= sizes.large_frame
    };
    let are_alike =
        |entry: &&Entry<'_>| entry.is_large && !entry.is_code && entry.group() == first.group();
    match entries.iter().take_while(are_alike).take_while(fits).count() {
        1 => 0,
        count => count,
    }
}

/// How many of `entries` come before the next cut that must be: up to a large file, with its headers, or up to several together.
fn run(entries: &[Entry<'_>], sizes: Sizes) -> usize {
    let large = entries.iter().position(|entry| entry.is_large);
    match large {
        Some(at) if together(&entries[at..], sizes) > 0 => at,
        Some(at) => at + 1,
        None => entries.len(),
    }
}

/// The frames of `run`, but for the bytes of a large file at its end.
fn small<'plan, 'tree>(
    run: &'plan [Entry<'tree>],
    sizes: Sizes,
    frames: &mut Vec<Frame<'plan, 'tree>>,
) {
    let mut rest = run;
    while !rest.is_empty() {
        let (frame, others) = rest.split_at(cut(rest, sizes.frame));
        frames.push(Frame::Entries(frame));
        rest = others;
    }
}

/// The frames of a large file at the end of `run`.
fn alone<'plan, 'tree>(
    run: &'plan [Entry<'tree>],
    sizes: Sizes,
    shared: &'tree HashMap<Digest, Vec<SharedData>>,
    frames: &mut Vec<Frame<'plan, 'tree>>,
) {
    if let Some(Entry { kind: Kind::File(path, source), .. }) =
        run.last().filter(|entry| entry.is_large)
    {
        let shared = shared.get(&source.sha256).map_or(&[][..], Vec::as_slice);
        let file = LargeFile { path, source, shared };
        frames.extend(large::parts(file, sizes.large_frame).map(Frame::Part));
    }
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
        size += stream_size(entry);
        if size > frame_size && index > 0 {
            return best.map_or(fitting, |(_, index)| index);
        }
    }
    entries.len()
}

/// The bytes an entry adds to the stream before any frame of its own.
fn stream_size(entry: &Entry<'_>) -> u64 {
    let headers = header::length(entry);
    if entry.is_large {
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
    const SIZES: Sizes = Sizes {
        frame: FRAME,
        large_file: FRAME / 2,
        large_code: FRAME / 2,
        large_frame: 3 * FRAME,
    };

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
        let entries = entry::list(&tree, "app", &crate::native::Natives::default(), SIZES)
            .expect("a plain tree");
        let shared = HashMap::new();
        (frames(&entries, SIZES, &shared).iter())
            .filter_map(|frame| match frame {
                Frame::Entries(entries) => {
                    let size = entries.iter().map(|entry| stream_size(entry)).sum();
                    Some((entries[0].path().to_owned(), size))
                }
                Frame::Together(_) | Frame::Part(_) => None,
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
        let entries = entry::list(&tree, "app", &crate::native::Natives::default(), SIZES)
            .expect("a plain tree");
        let shared = HashMap::new();
        let frames = frames(&entries, SIZES, &shared);
        let framed = frames.iter().flat_map(|frame| match frame {
            Frame::Entries(entries) | Frame::Together(entries) => *entries,
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

    /// What each frame has.
    fn frames_of(files: &[(&str, u64)], sizes: Sizes) -> Vec<String> {
        let tree = tree(files);
        let entries = entry::list(&tree, "app", &crate::native::Natives::default(), sizes)
            .expect("a plain tree");
        let describe = |frame: &Frame<'_, '_>| match frame {
            Frame::Entries(entries) => format!("{} entries", entries.len()),
            Frame::Together(entries) => {
                let names: Vec<_> = entries.iter().map(Entry::path).collect();
                format!("all of {}", names.join(", "))
            }
            Frame::Part(part) => format!("{} of {}", part.length, part.file.path),
        };
        let shared = HashMap::new();
        frames(&entries, sizes, &shared).iter().map(describe).collect()
    }

    #[test]
    fn large_files_have_frames_to_themselves() {
        let files = [("a", 10), ("runtime/node", 2 * FRAME + 5), ("z", FRAME / 2), ("zz", 1)];
        let sizes = Sizes { large_frame: FRAME, ..SIZES };
        assert_eq!(
            frames_of(&files, sizes),
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
        assert_eq!(frames_of(&files, SIZES)[1], "131077 of runtime/node");
    }

    #[test]
    fn large_files_of_a_package_have_one_frame_together_while_they_fit() {
        let files = [
            ("app/p.js", FRAME),
            ("app/q.js", FRAME + 1),
            ("app/r.js", FRAME / 2),
            ("app/s.js", 10),
            ("app/t.js", FRAME / 2),
            // As large as the rest of a frame with its header, and then too large by one byte.
            ("b/u", 2 * FRAME - 1024),
            ("b/v", FRAME),
            ("c/w", 2 * FRAME - 1023),
            ("c/x", FRAME),
        ];
        assert_eq!(
            frames_of(&files, SIZES),
            [
                // The archive's folder, the package's, and what is small in it.
                "3 entries",
                "all of app/q.js, app/p.js, app/r.js",
                "1 entries",
                "32768 of app/t.js",
                "1 entries",
                "all of b/u, b/v",
                "2 entries",
                "130049 of c/w",
                "1 entries",
                "65536 of c/x",
            ]
        );
    }
}
