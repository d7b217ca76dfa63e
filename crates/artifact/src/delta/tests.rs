//! Plans for small and for arbitrary bundles.

use proptest::prelude::*;

use super::*;
use crate::{App, Frame};

fn file(path: &str, content: &str, mode: Mode, block: u32) -> File {
    let path = BundlePath::new(path).expect("plain");
    let (size, sha256) = (content.len() as u64, Digest::of(content));
    File { path, size, mode, block: Some(block), sha256 }
}

/// A manifest of these files, a block each, with frames of `step` blocks.
fn manifest(files: &[(&str, &str, Mode)], step: u64) -> Manifest {
    let blocks = files.len() as u64;
    let count = blocks.div_ceil(step).max(1);
    let frames = (0..count)
        .map(|index| {
            let sha256 = Digest::of(index.to_string());
            Frame { offset: index * 100, size: 100, plain: step * crate::BLOCK, sha256 }
        })
        .collect();
    let mut files: Vec<_> = (0..)
        .zip(files)
        .map(|(block, (path, content, mode))| file(path, content, *mode, block))
        .collect();
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Manifest { frames, files, ..crate::manifest::tests::smallest() }
}

fn describe(update: &Update<'_>) -> String {
    let mut lines = Vec::new();
    for kept in &update.kept {
        lines.push(format!("{:?} {} from {}", kept.keeping(), kept.file.path, kept.from.path));
    }
    lines.extend(update.fetched.iter().map(|file| format!("fetch {}", file.path)));
    lines.extend(update.ranges.iter().map(|range| {
        format!("bytes {} + {}, frames {:?}", range.offset, range.size, range.frames)
    }));
    lines.join("\n")
}

#[test]
fn what_becomes_of_each_file() {
    use Mode::{Executable, Plain};
    let old = manifest(
        &[
            ("app/changed", "old", Plain),
            ("app/gone", "gone", Plain),
            ("app/moved-from", "moved", Plain),
            ("app/same", "same", Plain),
            ("app/twin", "same", Plain),
            ("bin/run", "#!", Plain),
            ("bin/other", "both", Executable),
            ("bin/both", "both", Plain),
        ],
        2,
    );
    let new = manifest(
        &[
            ("app/changed", "new", Plain),
            ("app/moved-to", "moved", Plain),
            ("app/same", "same", Plain),
            ("app/third", "same", Plain),
            ("bin/both", "both", Executable),
            ("bin/run", "#!", Executable),
            ("app/empty", "", Plain),
            ("app/new", "another", Plain),
        ],
        2,
    );
    let update = plan(&old, &new, Costs { request: 50 }).expect("they fit");
    insta::assert_snapshot!(describe(&update), @"
    Link app/moved-to from app/moved-from
    Link app/same from app/same
    Link app/third from app/same
    Link bin/both from bin/other
    Copy bin/run from bin/run
    fetch app/changed
    fetch app/empty
    fetch app/new
    bytes 0 + 100, frames 0..1
    bytes 300 + 100, frames 3..4
    ");
    assert_eq!(update.bytes(), 200);
    let update = plan(&old, &new, Costs { request: 500 }).expect("they fit");
    assert_eq!((update.ranges.len(), update.bytes(), update.ranges[0].unwanted), (1, 400, 200));
}

#[test]
fn what_is_no_update() {
    let one = manifest(&[], 1);
    let app = App { name: "other".parse().expect("a name"), ..one.app.clone() };
    let other_app = Manifest { app, ..one.clone() };
    let target = "linux-arm64".parse().expect("a name");
    let other_target = Manifest { target, ..one.clone() };
    let no_frames = Manifest { frames: Vec::new(), ..one.clone() };
    let said = |new: &Manifest| plan(&one, new, Costs::default()).expect_err("no").to_string();
    insta::assert_snapshot!(said(&other_app), @"the old version is of `a`, the new one of `other`");
    insta::assert_snapshot!(said(&other_target), @"the old version is for `linux-x64`, the new one for `linux-arm64`");
    insta::assert_snapshot!(said(&no_frames), @"the new version's manifest cannot be followed: it lists no frames, as that of a `.tar.gz` or `.zip`");
    // The old one is only asked for digests.
    assert!(plan(&no_frames, &one, Costs::default()).is_ok());
}

prop_compose! {
    fn any_files()(files in prop::collection::btree_map("[a-f]", ("[a-f]{0,2}", any::<bool>()), 0..6))
        -> Vec<(String, String, Mode)> {
        files.into_iter().map(|(path, (content, mode))| (path, content, Mode::of(mode))).collect()
    }
}

proptest! {
    #[test]
    fn every_file_is_kept_or_fetched(
        old in any_files(), new in any_files(), step in 1..4_u64, request in 0..300_u64,
    ) {
        let manifest_of = |files: &[(String, String, Mode)], step| {
            let files: Vec<_> = (files.iter())
                .map(|(path, text, mode)| (path.as_str(), text.as_str(), *mode))
                .collect();
            manifest(&files, step)
        };
        let (old, new) = (manifest_of(&old, 1), manifest_of(&new, step));
        let update = plan(&old, &new, Costs { request }).expect("they fit");

        let mut all: Vec<_> = update.kept.iter().map(|kept| &kept.file.path)
            .chain(update.fetched.iter().map(|file| &file.path)).collect();
        all.sort();
        prop_assert!(all.into_iter().eq(new.files.iter().map(|file| &file.path)));
        for kept in &update.kept {
            prop_assert_eq!((kept.file.sha256, kept.file.size), (kept.from.sha256, kept.from.size));
            prop_assert!(old.files.contains(kept.from));
            let has_its_like = old.files.iter()
                .any(|file| file.sha256 == kept.file.sha256 && file.mode == kept.file.mode);
            prop_assert_eq!(kept.keeping() == Keeping::Link, has_its_like);
        }
        let frames = Frames::of(&new).expect("they fit");
        for file in &update.fetched {
            prop_assert!(old.files.iter().all(|other| other.sha256 != file.sha256));
            for piece in frames.pieces(file) {
                let holders = update.ranges.iter().filter(|range| range.frames.contains(&piece.frame));
                prop_assert_eq!(holders.count(), 1);
            }
        }
        let needed = |index: &usize| update.fetched.iter()
            .any(|file| frames.pieces(file).any(|piece| piece.frame == *index));
        for range in &update.ranges {
            let size: u64 = range.frames.clone().filter(needed).map(|index| frames.list()[index].size).sum();
            prop_assert_eq!(range.size - range.unwanted, size);
        }
    }
}
