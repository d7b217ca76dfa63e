//! The tar stream, piece by piece: the entries of the tree, then the manifest, then the end.

mod proof;

use gangway_artifact::Digest;

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
    frame_size: u64,
}

#[derive(Debug)]
enum Content<'plan, 'tree> {
    /// Entries whose files the worker reads itself.
    Entries(&'plan [Entry<'tree>]),
    /// A part of a large file, and its bytes if they were read for it: a digest can only be made of a file's parts in
    /// their order.
    Part { part: Part<'tree>, plain: Option<Vec<u8>> },
    /// The manifest's entry.
    Manifest(Vec<u8>),
    /// What stands after the last entry.
    End,
}

/// Makes the tar stream up to the manifest, has each piece of it compressed by `compress` and gives the results to `take`, in order.
/// `is_kept` says of a part of a large file whether `compress` will not need its bytes.
pub(super) fn write<C: Send>(
    work: &Work<'_, '_>,
    is_kept: impl Fn(&Part<'_>) -> Result<bool, PackError> + Send,
    compress: impl Fn(Piece<'_, '_>) -> Result<C, PackError> + Sync,
    mut take: impl FnMut(C) -> Result<(), PackError>,
) -> Result<(), PackError> {
    let frames = cut::frames(work.entries, work.frame_size(), &work.shared_data()?);
    let mut reading = Reading { work, open: None, is_kept };
    let jobs = frames.into_iter().map(|frame| reading.piece(&frame));
    let work_on = |piece: Piece<'_, '_>| {
        let file_bytes = piece.file_bytes();
        Ok((compress(piece)?, file_bytes))
    };
    pipeline::run(work.threads, jobs, work_on, |(compressed, file_bytes)| {
        take(compressed)?;
        work.progress.advance(file_bytes);
        Ok(())
    })
}

/// The rest of the stream, when everything that the manifest tells of is written.
pub(super) fn ending<'plan>(work: &Work<'_, '_>, manifest: &[u8]) -> [Piece<'plan, 'plan>; 2] {
    let mut plain = header::blocks(&Entry::manifest(work.folder, manifest));
    plain.extend_from_slice(manifest);
    plain.resize(plain.len() + header::padding(manifest.len() as u64), 0);
    let frame_size = work.frame_size();
    [Content::Manifest(plain), Content::End].map(|content| Piece { content, frame_size })
}

impl Piece<'_, '_> {
    /// The digest of all that decides the piece's bytes.
    pub(super) fn key(&self) -> Digest {
        match &self.content {
            Content::Entries(entries) => {
                let mut text = b"entries\n".to_vec();
                for entry in *entries {
                    text.extend_from_slice(&header::blocks(entry));
                    if let Kind::File(_, source) = entry.kind
                        && !cut::is_large(entry, self.frame_size)
                    {
                        text.extend_from_slice(source.sha256.to_string().as_bytes());
                    }
                }
                Digest::of(text)
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
            Content::Entries(_) | Content::Manifest(_) | Content::End => None,
        }
    }

    /// The piece's bytes.
    pub(super) fn plain(self, work: &Work<'_, '_>) -> Result<Vec<u8>, PackError> {
        match self.content {
            Content::Entries(entries) => {
                render(entries, self.frame_size, buffers::take(work.frame_room()))
            }
            Content::Part { plain: Some(plain), .. } | Content::Manifest(plain) => Ok(plain),
            Content::Part { part, plain: None } => part.read_alone(),
            Content::End => Ok(vec![0; 2 * header::BLOCK]),
        }
    }

    /// How many of its bytes are bytes of files.
    fn file_bytes(&self) -> u64 {
        match &self.content {
            Content::Entries(entries) => entries
                .iter()
                .filter(|entry| !cut::is_large(entry, self.frame_size))
                .map(Entry::file_size)
                .sum(),
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
            Frame::Entries(entries) => Content::Entries(entries),
            Frame::Part(part) => {
                let plain = self.read(part)?;
                Content::Part { part, plain }
            }
        };
        Ok(Piece { content, frame_size: self.work.frame_size() })
    }

    /// The bytes of a part, unless none of its file is needed.
    fn read(&mut self, part: Part<'tree>) -> Result<Option<Vec<u8>>, PackError> {
        let mut file = match self.open.take() {
            Some(file) => file,
            // A file that is opened is read to its end, so an unopened one is at its first part or wholly kept.
            None if part.offset > 0 || self.keeps_all(part)? => return Ok(None),
            None => Verified::open(part.file.path, part.file.source)?,
        };
        let mut plain = buffers::take(self.work.frame_room());
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
        for part in large::parts(first.file, self.work.frame_size()) {
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
    frame_size: u64,
    mut plain: Vec<u8>,
) -> Result<Vec<u8>, PackError> {
    for entry in entries {
        plain.extend_from_slice(&header::blocks(entry));
        if let Kind::File(path, source) = entry.kind
            && !cut::is_large(entry, frame_size)
        {
            source::read(path, source, &mut plain)?;
            plain.resize(plain.len() + header::padding(source.size), 0);
        }
    }
    Ok(plain)
}
