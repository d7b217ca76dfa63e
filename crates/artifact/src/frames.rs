//! Where the files of a bundle are in its archive.
//!
//! The manifest of a `.tar.zst` lists the Zstandard frames that hold the plain tar stream, and for every file the block of that
//! stream its bytes begin in. [`Frames`] can only be made of a list that makes sense, so whoever has one may follow it.

use serde::{Deserialize, Serialize};

use crate::{BundlePath, Digest, File, Manifest};

/// tar is made of blocks of this size.
pub const BLOCK: u64 = 512;

/// The longest that an archive, or what is in it, may be.
const LONGEST: u64 = 1 << 53;

/// A Zstandard frame of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Where it begins in the archive.
    pub offset: u64,
    /// Its length in the archive.
    pub size: u64,
    /// The length of what is in it.
    pub plain: u64,
    /// The digest of the frame's own bytes, compressed.
    pub sha256: Digest,
}

/// A manifest's frames, checked: one follows the other without a gap, and all together hold every file.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    frames: &'a [Frame],
    /// Where each one's content begins in the plain stream, and at last the stream's length.
    starts: Vec<u64>,
}

/// A part of a file, as one frame has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The frame's index.
    pub frame: usize,
    /// Where the part begins in the frame's content.
    pub offset: u64,
    /// Its length.
    pub length: u64,
}

/// What a manifest says of its archive makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum FrameError {
    /// It is one of an archive without frames.
    #[error("it lists no frames, as that of a `.tar.gz` or `.zip`")]
    None,
    /// There is a gap, or an overlap.
    #[error(
        "frame {index} is said to begin at byte {found}, and the one before ends at {expected}"
    )]
    Gap { index: usize, found: u64, expected: u64 },
    /// It is empty, or larger than anything.
    #[error("frame {index} is said to have {size} bytes, {plain} when unpacked")]
    Size { index: usize, size: u64, plain: u64 },
    /// A file is said to be outside.
    #[error("`{path}` is not in the frames: it is said to have {size} bytes and to begin in {}", named(*.block))]
    Outside { path: BundlePath, size: u64, block: Option<u32> },
}

fn named(block: Option<u32>) -> String {
    block.map_or_else(|| "no block".to_owned(), |block| format!("block {block}"))
}

impl<'a> Frames<'a> {
    /// The frames of `manifest`.
    ///
    /// # Errors
    /// When it has none, or they are not a whole that holds its files.
    pub fn of(manifest: &'a Manifest) -> Result<Self, FrameError> {
        let frames = Self::new(&manifest.frames)?;
        for file in &manifest.files {
            let end = Self::start(file).and_then(|start| start.checked_add(file.size));
            if end.is_none_or(|end| end > frames.plain_size()) {
                let File { path, size, block, .. } = file.clone();
                return Err(FrameError::Outside { path, size, block });
            }
        }
        Ok(frames)
    }

    fn new(frames: &'a [Frame]) -> Result<Self, FrameError> {
        if frames.is_empty() {
            return Err(FrameError::None);
        }
        let mut starts = Vec::with_capacity(frames.len() + 1);
        let (mut offset, mut start) = (0, 0);
        for (index, frame) in frames.iter().enumerate() {
            let Frame { size, plain, .. } = *frame;
            if frame.offset != offset {
                return Err(FrameError::Gap { index, found: frame.offset, expected: offset });
            }
            if size == 0 || plain == 0 || size > LONGEST - offset || plain > LONGEST - start {
                return Err(FrameError::Size { index, size, plain });
            }
            starts.push(start);
            offset += size;
            start += plain;
        }
        starts.push(start);
        Ok(Self { frames, starts })
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &'a [Frame] {
        self.frames
    }

    /// How many bytes of the archive they are; the frame with the manifest follows.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frames.last().map_or(0, |last| last.offset + last.size)
    }

    /// How many bytes of the tar stream are in them.
    #[must_use]
    pub fn plain_size(&self) -> u64 {
        self.starts.last().copied().unwrap_or_default()
    }

    /// Where the content of a frame begins in the plain stream.
    #[must_use]
    pub fn plain_start(&self, frame: usize) -> u64 {
        self.starts[frame]
    }

    /// The parts of `file`, one of the manifest these frames are of, in order; an empty file has none.
    pub fn pieces(&self, file: &File) -> impl Iterator<Item = Piece> + use<'_, 'a> {
        let start = Self::start(file).unwrap_or_default();
        let end = start + file.size;
        let first = self.starts.partition_point(|other| *other <= start).saturating_sub(1);
        let within = self.starts[first..].windows(2).enumerate();
        within
            .map(move |(index, bounds)| {
                let from = start.max(bounds[0]);
                let to = end.min(bounds[1]);
                Piece {
                    frame: first + index,
                    offset: from.saturating_sub(bounds[0]),
                    length: to.saturating_sub(from),
                }
            })
            .take_while(|piece| piece.length > 0)
    }

    fn start(file: &File) -> Option<u64> {
        file.block.map(|block| u64::from(block) * BLOCK)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Mode;

    fn frames(sizes: &[(u64, u64)]) -> Vec<Frame> {
        let mut offset = 0;
        let frame = |&(size, plain)| {
            offset += size;
            Frame { offset: offset - size, size, plain, sha256: Digest::of("") }
        };
        sizes.iter().map(frame).collect()
    }

    fn file(block: Option<u32>, size: u64) -> File {
        let path = BundlePath::new("app/a").expect("plain");
        File { path, size, mode: Mode::Plain, block, sha256: Digest::of("") }
    }

    fn manifest(frames: Vec<Frame>, files: Vec<File>) -> Manifest {
        Manifest { frames, files, ..crate::manifest::tests::smallest() }
    }

    #[test]
    fn what_makes_no_sense() {
        let said = |frames, file| {
            Frames::of(&manifest(frames, vec![file])).expect_err("it makes no sense").to_string()
        };
        let whole = frames(&[(10, 1024), (20, 512)]);
        let mut gap = whole.clone();
        gap[1].offset = 11;
        let fits = file(Some(1), 1024);
        assert!(Frames::of(&manifest(whole.clone(), vec![fits.clone()])).is_ok());
        insta::assert_snapshot!(said(vec![], fits.clone()), @"it lists no frames, as that of a `.tar.gz` or `.zip`");
        insta::assert_snapshot!(said(gap, fits.clone()), @"frame 1 is said to begin at byte 11, and the one before ends at 10");
        insta::assert_snapshot!(said(frames(&[(10, 0)]), fits.clone()), @"frame 0 is said to have 10 bytes, 0 when unpacked");
        insta::assert_snapshot!(said(frames(&[(u64::MAX, 1)]), fits), @"frame 0 is said to have 18446744073709551615 bytes, 1 when unpacked");
        insta::assert_snapshot!(said(whole.clone(), file(Some(2), 513)), @"`app/a` is not in the frames: it is said to have 513 bytes and to begin in block 2");
        insta::assert_snapshot!(said(whole.clone(), file(Some(u32::MAX), u64::MAX)), @"`app/a` is not in the frames: it is said to have 18446744073709551615 bytes and to begin in block 4294967295");
        insta::assert_snapshot!(said(whole, file(None, 1)), @"`app/a` is not in the frames: it is said to have 1 bytes and to begin in no block");
    }

    #[test]
    fn the_pieces_of_a_file() {
        let manifest = manifest(frames(&[(1, 1024), (1, 600), (1, 424), (1, 512)]), vec![]);
        let frames = Frames::of(&manifest).expect("it makes sense");
        let pieces = |block, size| -> Vec<_> {
            let pieces = frames.pieces(&file(Some(block), size));
            pieces.map(|piece| (piece.frame, piece.offset, piece.length)).collect()
        };
        assert_eq!(pieces(1, 10), [(0, 512, 10)]);
        assert_eq!(pieces(1, 1200), [(0, 512, 512), (1, 0, 600), (2, 0, 88)]);
        assert_eq!(pieces(2, 600), [(1, 0, 600)]);
        assert_eq!(pieces(3, 1), [(1, 512, 1)]);
        assert_eq!(pieces(4, 512), [(3, 0, 512)]);
        assert_eq!(pieces(1, 0), []);
        // At the end of everything, where an empty file may be said to be.
        assert_eq!(pieces(5, 0), []);
        assert_eq!((frames.size(), frames.plain_size(), frames.plain_start(2)), (4, 2560, 1624));
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_file(
            sizes in prop::collection::vec((1..9_u64, 1..3000_u64), 1..8),
            block in 0..40_u32,
            size in 0..9000_u64,
        ) {
            let file = file(Some(block), size);
            let manifest = manifest(frames(&sizes), vec![file.clone()]);
            let total: u64 = sizes.iter().map(|(_, plain)| plain).sum();
            let start = u64::from(block) * BLOCK;
            let Ok(frames) = Frames::of(&manifest) else {
                prop_assert!(start + size > total);
                return Ok(());
            };
            let mut at = start;
            for piece in frames.pieces(&file) {
                prop_assert_eq!(frames.plain_start(piece.frame) + piece.offset, at);
                prop_assert!(piece.length > 0);
                prop_assert!(piece.offset + piece.length <= frames.list()[piece.frame].plain);
                at += piece.length;
            }
            prop_assert_eq!(at, start + size);
        }
    }
}
