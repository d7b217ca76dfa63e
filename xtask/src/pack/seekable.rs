//! tar in the Zstandard Seekable Format: independent frames, and a table of them at the end.
//!
//! The table is a skippable frame, which every decoder passes over. Its format is that of the reference
//! implementation, `contrib/seekable_format` of zstd, with checksums.

use std::io::{self, Write};
use std::sync::Arc;

use ::zstd::bulk::Compressor;
use ::zstd::zstd_safe::CParameter;
use gangway_artifact::Digest;

use super::stream::{self, LargeFile, Piece};
use super::{FrameCache, PackError, Work, source};
use crate::buffers;

/// No decoder needs more memory for its window: 16 MiB, a whole frame. Every decoder in use takes up to 128 MiB without
/// being asked.
const WINDOW_LOG: u32 = 24;

/// The first bytes of the skippable frame that holds the table.
const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;

/// The last bytes of the table.
const TABLE_MAGIC: u32 = 0x8F92_EAB1;

/// The table's descriptor: its entries have checksums.
const WITH_CHECKSUMS: u8 = 0x80;

/// Writes the archive to `out` and returns the number of frames.
pub(super) fn write(work: &Work<'_, '_>, mut out: impl Write) -> Result<usize, PackError> {
    let mut entries = Vec::new();
    let make = |piece: Piece<'_, '_>, level| {
        let plain = piece.plain(work)?;
        let mut frame = buffers::take(::zstd::zstd_safe::compress_bound(plain.len()));
        let compressed = compress(&plain, level, &mut frame);
        compressed.map_err(|error| work.compress_error(error))?;
        buffers::give_back(plain);
        Ok(frame)
    };
    let compress = |piece: Piece<'_, '_>| {
        let level = work.level(piece.large_file())?;
        match work.known.frames {
            Some(cache) => cache.obtain(&key(&piece.key(), level), || make(piece, level)),
            None => make(piece, level).map(Arc::new),
        }
    };
    let is_kept = |file: LargeFile<'_>, part: &Digest| {
        let has = |cache: &FrameCache| Ok(cache.has(&key(part, work.level(Some(file))?)));
        work.known.frames.map_or(Ok(false), has)
    };
    let count = stream::write(work, is_kept, compress, |frame| {
        entries.push(entry(&frame));
        out.write_all(&frame).map_err(|error| work.write_error(error))?;
        FrameCache::give_back(frame);
        Ok(())
    })?;
    out.write_all(&table(&entries)).map_err(|error| work.write_error(error))?;
    Ok(count)
}

impl Work<'_, '_> {
    /// The level for a part of this file, or else for a piece with many.
    fn level(&self, large: Option<LargeFile<'_>>) -> Result<i32, PackError> {
        let Some(LargeFile { path, source }) = large else { return Ok(self.settings.level.into()) };
        let identity = self.known.natives.identity(source);
        let is_code = identity.map_err(|error| source::read_error(path, source, error))?.is_some();
        Ok(i32::from(if is_code { self.settings.code_level } else { self.settings.level }))
    }
}

/// The key of a frame: its content, and everything the compressor is told.
fn key(content: &Digest, level: i32) -> Digest {
    let version = ::zstd::zstd_safe::version_string();
    Digest::of(format!("zstd {version} level {level} window {WINDOW_LOG} checksum\n{content}"))
}

/// One frame, for which there is room in `frame`. The compressor is a new one each time: one that is used again salts its hash tables with what it did
/// before, and the bytes would depend on which thread did what.
fn compress(plain: &[u8], level: i32, frame: &mut Vec<u8>) -> io::Result<()> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.compress_to_buffer(plain, frame)?;
    Ok(())
}

/// A frame's entry in the table: its size, its content's, and the low half of its content's XXH64, which is also what
/// a frame ends with.
fn entry(frame: &[u8]) -> [u8; 12] {
    let plain = ::zstd::zstd_safe::get_frame_content_size(frame).ok().flatten();
    let plain = usize::try_from(plain.unwrap_or_default()).unwrap_or_default();
    let mut entry = [0; 12];
    entry[..4].copy_from_slice(&four_bytes(frame.len()));
    entry[4..8].copy_from_slice(&four_bytes(plain));
    entry[8..].copy_from_slice(&frame[frame.len() - 4..]);
    entry
}

/// The table as a skippable frame.
fn table(entries: &[[u8; 12]]) -> Vec<u8> {
    let content = entries.concat();
    let count = four_bytes(entries.len());
    let length = four_bytes(content.len() + 9);
    [
        &SKIPPABLE_MAGIC.to_le_bytes()[..],
        &length,
        &content,
        &count,
        &[WITH_CHECKSUMS],
        &TABLE_MAGIC.to_le_bytes(),
    ]
    .concat()
}

fn four_bytes(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("frames are smaller than 4 GiB, and there are fewer").to_le_bytes()
}
