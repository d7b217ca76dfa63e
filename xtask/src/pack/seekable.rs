//! tar in the Zstandard Seekable Format: independent frames, and a table of them at the end.
//!
//! The table is a skippable frame, which every decoder passes over. Its format is that of the reference
//! implementation, `contrib/seekable_format` of zstd, with checksums.

use std::io::{self, Write};
use std::sync::Arc;

use ::zstd::bulk::Compressor;
use ::zstd::zstd_safe::CParameter;
use gangway_artifact::{BundlePath, Digest, Frame, HashingWriter};

use super::beginnings::Beginning;
use super::frame_cache::Compressed;
use super::large::{LargeFile, Part};
use super::settings::Sizes;
use super::stream::{self, Piece};
use super::{FrameCache, PackError, Work, Written, ahead, foreign, manifest, source};
use crate::buffers;

/// The largest window that a decoder keeps in memory when a bundle is unpacked: 16 MiB. Frames with a larger one, of at
/// most 128 MiB, which every decoder in use takes without being asked, are searched for far repetitions as well.
const WINDOW_LOG: u32 = 24;

/// The first bytes of the skippable frame that holds the table.
const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;

/// The last bytes of the table.
const TABLE_MAGIC: u32 = 0x8F92_EAB1;

/// The table's descriptor: its entries have checksums.
const WITH_CHECKSUMS: u8 = 0x80;

/// The shortest repetition that is looked for in the manifest. Most of it is hexadecimal digits that mean nothing: four or five that
/// stand somewhere else too cost more to point at than to write, which makes it 5 % larger.
const MANIFEST_MIN_MATCH: u32 = 6;

/// Writes the archive to `out`.
pub(super) fn write(
    work: &Work<'_, '_>,
    out: &mut HashingWriter<impl Write>,
) -> Result<Written, PackError> {
    let make = |piece: Piece<'_, '_>, tuning| {
        let plain = piece.plain(work)?;
        let mut frame = buffers::take(::zstd::zstd_safe::compress_bound(plain.len()));
        let compressed = compress(&plain, tuning, &mut frame);
        compressed.map_err(|error| work.compress_error(error))?;
        buffers::give_back(plain);
        Ok(frame)
    };
    let compress = |piece: Piece<'_, '_>| {
        let tuning = work.tuning(&piece)?;
        match work.known.frames {
            Some(cache) => cache.obtain(&key(&piece.key(), tuning), || make(piece, tuning)),
            None => Ok(Arc::new(Compressed::new(make(piece, tuning)?))),
        }
    };
    let is_counted = work.known.frames.is_some() && work.settings.takes_long();
    if let Some(cache) = work.known.frames.filter(|cache| is_counted || cache.is_shared()) {
        let pieces = stream::pieces(work)?;
        bring(work, cache, &pieces)?;
        if is_counted {
            ahead::compress(work, pieces, |piece| {
                let is_there = cache.has(&key(&piece.key(), work.tuning(&piece)?));
                if is_there { Ok(()) } else { compress(piece).map(drop) }
            })?;
        }
    }
    let is_kept = |part: &Part<'_>| {
        let has = |cache: &FrameCache| Ok(cache.has(&key(&part.key(), work.part_tuning(part)?)));
        work.known.frames.map_or(Ok(false), has)
    };
    let mut archive = Archive::new(work, out);
    let written = stream::write(work, is_kept, compress, |frame, file_bytes| {
        archive.add(frame)?;
        if !is_counted {
            work.progress.advance(file_bytes);
        }
        Ok(())
    });
    if let (Err(PackError::Damaged { path, .. }), Some(cache)) = (&written, work.known.frames) {
        forget(work, cache, path)?;
    }
    written?;
    let manifest = manifest::placed(work.manifest, work.entries, archive.frames.clone()).to_json();
    let ending = stream::ending(work, &manifest);
    if let Some(cache) = work.known.frames {
        bring(work, cache, &ending)?;
    }
    for piece in ending {
        archive.add(compress(piece)?)?;
    }
    Ok(Written { manifest, frames: archive.finish()? })
}

/// What is written, and what was.
struct Archive<'work, 'plan, 'tree, W> {
    work: &'work Work<'plan, 'tree>,
    out: &'work mut HashingWriter<W>,
    /// The frames so far.
    beginning: Beginning,
    frames: Vec<Frame>,
    checksums: Vec<[u8; 4]>,
}

impl<'work, 'plan, 'tree, W: Write> Archive<'work, 'plan, 'tree, W> {
    fn new(work: &'work Work<'plan, 'tree>, out: &'work mut HashingWriter<W>) -> Self {
        let (frames, checksums) = (Vec::new(), Vec::new());
        Self { work, out, beginning: Beginning::none(), frames, checksums }
    }

    /// Appends a frame.
    fn add(&mut self, frame: Arc<Compressed>) -> Result<(), PackError> {
        let Compressed { bytes, sha256 } = &*frame;
        let plain = ::zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
        // The low half of the content's XXH64 is what a frame ends with.
        let (Some(plain), Some(checksum)) = (plain, bytes.last_chunk()) else {
            return Err(self.work.compress_error(io::ErrorKind::InvalidData.into()));
        };
        let offset = self.frames.last().map_or(0, |last| last.offset + last.size);
        self.frames.push(Frame { offset, size: bytes.len() as u64, plain, sha256: *sha256 });
        self.checksums.push(*checksum);
        self.append(bytes, sha256).map_err(|error| self.work.write_error(error))?;
        Compressed::give_back(frame);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8], sha256: &Digest) -> io::Result<()> {
        self.beginning = self.beginning.and(sha256);
        let Some(beginnings) = self.work.known.frames.and_then(FrameCache::beginnings) else {
            return self.out.write_all(bytes);
        };
        if let Some(hashed) = beginnings.hasher(self.beginning) {
            return self.out.write_hashed(bytes, hashed);
        }
        self.out.write_all(bytes)?;
        beginnings.keep(self.beginning, self.out.hasher().clone());
        Ok(())
    }

    /// Appends the table, and says how many frames there are.
    fn finish(self) -> Result<usize, PackError> {
        let table = table(&self.frames, &self.checksums);
        self.out.write_all(&table).map_err(|error| self.work.write_error(error))?;
        Ok(self.frames.len())
    }
}

/// What the compressor is told of one piece.
#[derive(Debug, Clone, Copy)]
struct Tuning {
    level: i32,
    window_log: u32,
    /// Where it is not the level's own, as the next.
    min_match: Option<u32>,
    hash_log: Option<u32>,
}

impl Tuning {
    /// Whether far repetitions are looked for as well.
    fn is_long(self) -> bool {
        self.window_log > WINDOW_LOG
    }
}

/// Forgets the frames of a large file. It is read once, so that it is damaged shows at its end: by then the frames of its first
/// parts are kept, under keys that say that they are whole.
fn forget(work: &Work<'_, '_>, cache: &FrameCache, path: &BundlePath) -> Result<(), PackError> {
    for piece in stream::pieces(work)? {
        if piece.part().is_some_and(|part| part.file.path == path) {
            cache.forget(&key(&piece.key(), work.tuning(&piece)?));
        }
    }
    Ok(())
}

/// Has the frames that others have made brought here, as far as they are what would be made here.
fn bring(
    work: &Work<'_, '_>,
    cache: &FrameCache,
    pieces: &[Piece<'_, '_>],
) -> Result<(), PackError> {
    if !cache.is_shared() {
        return Ok(());
    }
    let mut wanted = Vec::new();
    for piece in pieces {
        let tuning = work.tuning(piece)?;
        let key = key(&piece.key(), tuning);
        if !cache.has(&key) {
            wanted.push((key, (piece, tuning.window_log)));
        }
    }
    cache.bring(wanted, |(piece, window_log), frame| {
        foreign::is_frame_of(frame, piece, *window_log)
    });
    Ok(())
}

impl Work<'_, '_> {
    fn tuning(&self, piece: &Piece<'_, '_>) -> Result<Tuning, PackError> {
        if let Some(part) = piece.part() {
            return self.part_tuning(part);
        }
        let (level, min_match) = match piece.is_manifest() {
            true => (self.settings.manifest_level, Some(MANIFEST_MIN_MATCH)),
            false => (self.settings.level, None),
        };
        let window_log = self.window_log(piece.is_large());
        Ok(Tuning { level: level.into(), window_log, min_match, hash_log: None })
    }

    fn part_tuning(&self, part: &Part<'_>) -> Result<Tuning, PackError> {
        let window_log = self.window_log(true);
        let (level, hash_log) = match self.is_code(part)? {
            true => (self.settings.code_level, self.settings.code_hash_log.map(u32::from)),
            false => (self.settings.level, None),
        };
        Ok(Tuning { level: level.into(), window_log, min_match: None, hash_log })
    }

    fn is_code(&self, part: &Part<'_>) -> Result<bool, PackError> {
        // Data that is shared is no code, and is compressed once for many.
        if part.shared_data().is_some() {
            return Ok(false);
        }
        let LargeFile { path, source, .. } = part.file;
        let identity = self.known.natives.identity(source);
        Ok(identity.map_err(|error| source::read_error(path, source, error))?.is_some())
    }

    /// The window of a whole frame, but not a smaller one than all decoders have.
    fn window_log(&self, is_large: bool) -> u32 {
        let Sizes { frame, large_frame, .. } = self.sizes();
        let size = if is_large { large_frame } else { frame };
        size.next_power_of_two().ilog2().max(WINDOW_LOG)
    }
}

/// The key of a frame: its content, and everything the compressor is told.
fn key(content: &Digest, tuning: Tuning) -> Digest {
    let Tuning { level, window_log, min_match, hash_log } = tuning;
    let version = ::zstd::zstd_safe::version_string();
    let long = if tuning.is_long() { " long" } else { "" };
    let min_match = min_match.map_or_else(String::new, |length| format!(" match {length}"));
    let hash_log = hash_log.map_or_else(String::new, |log| format!(" hash {log}"));
    Digest::of(format!(
        "zstd {version} level {level} window {window_log}{long}{min_match}{hash_log} checksum\n{content}"
    ))
}

/// One frame, for which there is room in `frame`. The compressor is a new one each time: one that is used again salts its hash tables with what it did
/// before, and the bytes would depend on which thread did what.
fn compress(plain: &[u8], tuning: Tuning, frame: &mut Vec<u8>) -> io::Result<()> {
    let mut compressor = Compressor::new(tuning.level)?;
    compressor.set_parameter(CParameter::WindowLog(tuning.window_log))?;
    if tuning.is_long() {
        compressor.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
    }
    if let Some(length) = tuning.min_match {
        compressor.set_parameter(CParameter::MinMatch(length))?;
    }
    if let Some(log) = tuning.hash_log {
        compressor.set_parameter(CParameter::HashLog(log))?;
    }
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.compress_to_buffer(plain, frame)?;
    Ok(())
}

/// The table as a skippable frame.
fn table(frames: &[Frame], checksums: &[[u8; 4]]) -> Vec<u8> {
    let mut content = Vec::with_capacity(12 * frames.len());
    for (frame, checksum) in frames.iter().zip(checksums) {
        content.extend_from_slice(&four_bytes(frame.size));
        content.extend_from_slice(&four_bytes(frame.plain));
        content.extend_from_slice(checksum);
    }
    let count = four_bytes(frames.len() as u64);
    let length = four_bytes(content.len() as u64 + 9);
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

fn four_bytes(number: u64) -> [u8; 4] {
    u32::try_from(number).expect("frames are smaller than 4 GiB, and there are fewer").to_le_bytes()
}
