//! Whether bytes are those of a piece: told by what is known of the piece, without rendering it.
//!
//! A frame that comes from elsewhere is taken only when it holds exactly what would have been compressed here. Of small
//! files the digests are known; a part of a large file is compared with the file.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use gangway_artifact::Digest;

use super::{Content, LargeFiles, Part, Piece, cut, header};
use crate::pack::cut::Frame;
use crate::pack::entry::{Entry, Kind};
use crate::pack::{PackError, Work};

/// Every piece of the stream up to the manifest, and the bytes of none.
pub(in crate::pack) fn pieces<'plan, 'tree>(
    work: &Work<'plan, 'tree>,
) -> Result<Vec<Piece<'plan, 'tree>>, PackError> {
    let piece = |frame| {
        let content = match frame {
            Frame::Entries(entries) => Content::Entries(entries, LargeFiles::Elsewhere),
            Frame::Together(entries) => Content::Entries(entries, LargeFiles::Included),
            Frame::Part(part) => Content::Part { part, plain: None },
        };
        Piece { content }
    };
    let frames = cut::frames(work.entries, work.sizes(), work.shared);
    Ok(frames.into_iter().map(piece).collect())
}

impl Piece<'_, '_> {
    /// How many bytes it has.
    pub(in crate::pack) fn size(&self) -> u64 {
        match &self.content {
            Content::Entries(entries, large) => {
                entries.iter().map(|entry| size_of(entry, *large)).sum()
            }
            Content::Part { part, .. } => part.length + part.padding() as u64,
            Content::Manifest(whole) => whole.len() as u64,
            Content::End => 2 * header::BLOCK as u64,
        }
    }

    /// Whether `plain` is what it holds.
    pub(in crate::pack) fn is(&self, plain: &[u8]) -> bool {
        match &self.content {
            Content::Entries(entries, large) => are(entries, *large, plain),
            // What cannot be read is told by whoever makes the frame.
            Content::Part { part, .. } => part.is(plain).unwrap_or(false),
            Content::Manifest(whole) => plain == whole,
            Content::End => plain.len() == 2 * header::BLOCK && is_zero(plain),
        }
    }
}

fn size_of(entry: &Entry<'_>, large: LargeFiles) -> u64 {
    let bytes = large.bytes(entry);
    header::length(entry) + bytes + header::padding(bytes) as u64
}

fn are(entries: &[Entry<'_>], large: LargeFiles, mut plain: &[u8]) -> bool {
    for entry in entries {
        let Some(rest) = plain.strip_prefix(&header::blocks(entry)[..]) else { return false };
        plain = rest;
        if let Kind::File(_, source) = entry.kind
            && large.bytes(entry) == source.size
        {
            let Ok(size) = usize::try_from(source.size) else { return false };
            let padding = header::padding(source.size);
            let Some((file, rest)) = plain.split_at_checked(size) else { return false };
            let Some((zeros, rest)) = rest.split_at_checked(padding) else { return false };
            if Digest::of(file) != source.sha256 || !is_zero(zeros) {
                return false;
            }
            plain = rest;
        }
    }
    plain.is_empty()
}

impl Part<'_> {
    pub(in crate::pack) fn padding(&self) -> usize {
        if self.is_last() { header::padding(self.file.source.size) } else { 0 }
    }

    fn is(&self, plain: &[u8]) -> io::Result<bool> {
        let Ok(length) = usize::try_from(self.length) else { return Ok(false) };
        let Some((mut part, zeros)) = plain.split_at_checked(length) else { return Ok(false) };
        if zeros.len() != self.padding() || !is_zero(zeros) {
            return Ok(false);
        }
        let mut file = File::open(self.file.source.path())?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut buffer = [0; 64 << 10];
        while !part.is_empty() {
            let chunk = &mut buffer[..part.len().min(64 << 10)];
            file.read_exact(chunk)?;
            let (now, later) = part.split_at(chunk.len());
            if now != chunk {
                return Ok(false);
            }
            part = later;
        }
        Ok(true)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
