//! The tar stream, piece by piece: the entries of the tree, then the manifest, then the end.

mod proof;

use gangway_artifact::{Digest, Hasher};

use super::cut::{self, Frame};
use super::entry::{Entry, Kind};
use super::large::{self, Part};
use super::source::{self, Verified};
use super::{PackError, Work, header, pipeline};
use crate::buffers;

pub(super) use proof::pieces;

/// A piece of the stream that is compressed by itself.
#[derive(Debug)]
pub(super) struct Piece<'plan, 'tree> {
    content: Content<'plan, 'tree>,
}

#[derive(Debug)]
enum Content<'plan, 'tree> {
    /// Entries whose files the worker reads itself.
    Entries(&'plan [Entry<'tree>], LargeFiles),
    /// A part of a large file, and its bytes if they were read for it: a digest can only be made of a file's parts in
    /// their order.
    Part { part: Part<'tree>, plain: Option<Vec<u8>> },
    /// The manifest's entry.
    Manifest(Vec<u8>),
    /// What stands after the last entry.
    End,
}

/// Whether the bytes of large files are in a piece that has their headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LargeFiles {
    Included,
    Elsewhere,
}

impl LargeFiles {
    /// How many bytes of the file that `entry` is are in a piece with it.
    fn bytes(self, entry: &Entry<'_>) -> u64 {
        if entry.is_large && self == Self::Elsewhere { 0 } else { entry.file_size() }
    }
}

/// Makes the tar stream up to the manifest, has each piece of it compressed by `compress` and gives the results to `take`, in order, each with the number of bytes of
/// files that are in it.
/// `is_kept` says of a part of a large file whether `compress` will not need its bytes.
pub(super) fn write<C: Send>(
    work: &Work<'_, '_>,
    is_kept: impl Fn(&Part<'_>) -> Result<bool, PackError> + Send,
    compress: impl Fn(Piece<'_, '_>) -> Result<C, PackError> + Sync,
    mut take: impl FnMut(C, u64) -> Result<(), PackError>,
) -> Result<(), PackError> {
    let frames = cut::frames(work.entries, work.sizes(), work.shared);
    let mut reading = Reading { work, open: None, is_kept };
    let jobs = frames.into_iter().map(|frame| reading.piece(&frame));
    let work_on = |piece: Piece<'_, '_>| {
        let file_bytes = piece.file_bytes();
        Ok((compress(piece)?, file_bytes))
    };
    pipeline::run(work.threads, jobs, work_on, |(compressed, file_bytes)| {
        take(compressed, file_bytes)
    })
}

/// The rest of the stream, when everything that the manifest tells of is written.
pub(super) fn ending<'plan>(work: &Work<'_, '_>, manifest: &[u8]) -> [Piece<'plan, 'plan>; 2] {
    let mut plain = header::blocks(&Entry::manifest(work.folder, manifest));
    plain.extend_from_slice(manifest);
    plain.resize(plain.len() + header::padding(manifest.len() as u64), 0);
    [Content::Manifest(plain), Content::End].map(|content| Piece { content })
}

impl Piece<'_, '_> {
    /// The digest of all that decides the piece's bytes.
    pub(super) fn key(&self) -> Digest {
        match &self.content {
            Content::Entries(entries, large) => {
                let mut text = Hasher::default();
                text.update("entries\n");
                for entry in *entries {
                    text.update(header::blocks(entry));
                    if let Kind::File(_, source) = entry.kind
                        && large.bytes(entry) == source.size
                    {
                        text.update(source.sha256.to_string());
                    }
                }
                text.finish().0
            }
            Content::Part { part, .. } => part.key(),
            Content::Manifest(plain) => Digest::of([&b"manifest\n"[..], plain].concat()),
            Content::End => Digest::of("end\n"),
        }
    }

    /// Whether it is the manifest.
    pub(super) fn is_manifest(&self) -> bool {
        matches!(self.content, Content::Manifest(_))
    }

    /// The part of a large file it is, if it is one.
    pub(super) fn part(&self) -> Option<&Part<'_>> {
        match &self.content {
            Content::Part { part, .. } => Some(part),
            Content::Entries(..) | Content::Manifest(_) | Content::End => None,
        }
    }

    /// Whether it is of large files only.
    pub(super) fn is_large(&self) -> bool {
        matches!(self.content, Content::Part { .. } | Content::Entries(_, LargeFiles::Included))
    }

    /// The piece's bytes.
    pub(super) fn plain(self, work: &Work<'_, '_>) -> Result<Vec<u8>, PackError> {
        let room = work.room(self.size());
        match self.content {
            Content::Entries(entries, large) => render(entries, large, buffers::take(room)),
            Content::Part { plain: Some(plain), .. } | Content::Manifest(plain) => Ok(plain),
            Content::Part { part, plain: None } => part.read_alone(),
            Content::End => Ok(vec![0; 2 * header::BLOCK]),
        }
    }

    /// How many of its bytes are bytes of files.
    pub(super) fn file_bytes(&self) -> u64 {
        match &self.content {
            Content::Entries(entries, large) => {
                entries.iter().map(|entry| large.bytes(entry)).sum()
            }
            Content::Part { part, .. } => part.length,
            Content::Manifest(_) | Content::End => 0,
        }
    }
}

/// Frames become pieces.
struct Reading<'work, 'tree, F> {
    work: &'work Work<'work, 'tree>,
    /// The large file whose parts are being read.
    open: Option<Verified<'tree>>,
    is_kept: F,
}

impl<'tree, F> Reading<'_, 'tree, F>
where
    F: Fn(&Part<'_>) -> Result<bool, PackError>,
{
    fn piece<'plan>(
        &mut self,
        frame: &Frame<'plan, 'tree>,
    ) -> Result<Piece<'plan, 'tree>, PackError> {
        let content = match *frame {
            Frame::Entries(entries) => Content::Entries(entries, LargeFiles::Elsewhere),
            Frame::Together(entries) => Content::Entries(entries, LargeFiles::Included),
            Frame::Part(part) => {
                let plain = self.read(part)?;
                Content::Part { part, plain }
            }
        };
        Ok(Piece { content })
    }

    /// The bytes of a part, unless none of its file is needed.
    fn read(&mut self, part: Part<'tree>) -> Result<Option<Vec<u8>>, PackError> {
        let mut file = match self.open.take() {
            Some(file) => file,
            // A file that is opened is read to its end, so an unopened one is at its first part or wholly kept.
            None if part.offset > 0 || self.keeps_all(part)? => return Ok(None),
            None => Verified::open(part.file.path, part.file.source)?,
        };
        let size = part.length + part.padding() as u64;
        let mut plain = buffers::take(self.work.room(size));
        file.read(part.length, &mut plain)?;
        if part.is_last() {
            file.finish()?;
            part.pad(&mut plain);
        } else {
            self.open = Some(file);
        }
        Ok(Some(plain))
    }

    fn keeps_all(&self, first: Part<'tree>) -> Result<bool, PackError> {
        for part in large::parts(first.file, self.work.sizes().large_frame) {
            if !(self.is_kept)(&part)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The part of the stream that `entries` are.
fn render(
    entries: &[Entry<'_>],
    large: LargeFiles,
    mut plain: Vec<u8>,
) -> Result<Vec<u8>, PackError> {
    for entry in entries {
        plain.extend_from_slice(&header::blocks(entry));
        if let Kind::File(path, source) = entry.kind
            && large.bytes(entry) == source.size
        {
            source::read(path, source, &mut plain)?;
            plain.resize(plain.len() + header::padding(source.size), 0);
        }
    }
    Ok(plain)
}
