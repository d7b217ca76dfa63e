//! `.tar.zst`: the manifest is found from the end, and everything else is as it says.

use std::io::Read;
use std::sync::OnceLock;

use super::decoders::{self, Decoders};
use super::entry::Kind;
use super::error::Fault;
use super::frame::{Buffers, Content};
use super::frames::Task;
use super::fresh::Fresh;
use super::listing::Listing;
use super::seek_table::{SeekTable, Span};
use super::seen::Marks;
use super::source::FrameSource;
use super::tar_stream::{Plain as _, TarStream, Text};
use super::{Memory, Tell, frames, root_of};
use crate::{BLOCK, MANIFEST_FILE};

/// The frames after those that the manifest lists: its own, and that with the end of the stream.
const UNLISTED: usize = 2;

/// What an archive is, as far as it is known before its files are unpacked.
pub(super) struct Opened<'a> {
    source: &'a dyn FrameSource,
    pub(super) listing: Listing,
    /// The archive's own folder.
    pub(super) root: String,
    decoders: Decoders,
}

/// Reads the manifest, whose bytes are given to `tell`, and compares the seek table with it.
pub(super) fn open<'a>(
    source: &'a dyn FrameSource,
    memory: Memory,
    tell: Tell<'_>,
) -> Result<Opened<'a>, Fault> {
    let table = SeekTable::find(source)?;
    let count = usize::try_from(table.count).unwrap_or(usize::MAX);
    let mut last = [None; UNLISTED];
    table.spans(source, |_, span| {
        last.rotate_left(1);
        last[UNLISTED - 1] = Some(span);
        Ok(())
    })?;
    let [Some(manifest), Some(end)] = last else {
        let (expected, found) = (UNLISTED as u64, table.count);
        return Err(Fault::SeekTable { field: "a number of frames of", expected, found });
    };
    let decoders = Decoders::new(decoders::LARGEST);
    let (root, listing) =
        read_manifest(source, &decoders, (count - UNLISTED, manifest), memory, tell)?;
    compare(source, &table, &listing)?;
    check_end(source, &decoders, (count - 1, end))?;
    Ok(Opened { source, listing, root, decoders })
}

impl Opened<'_> {
    /// Writes everything but the manifest.
    pub(super) fn write(&self, fresh: &Fresh, memory: Memory, threads: usize) -> Result<(), Fault> {
        let Self { source, listing, root, decoders } = self;
        decoders.limit(memory.for_decoders(listing));
        let (root, done) = (OnceLock::from(root.clone()), Marks::new(listing.files.len()));
        let task = Task { source: *source, listing, root: &root, decoders, fresh, done: &done };
        frames::write_all(&task, threads)
    }
}

/// The bytes of the manifest, of which no more than `most` are taken. Nothing but the archive's end is read.
pub(super) fn manifest(source: &dyn FrameSource, most: u64) -> Result<Vec<u8>, Fault> {
    let table = SeekTable::find(source)?;
    let (index, span) = table.last_but_one(source)?;
    let decoders = Decoders::new(decoders::LARGEST);
    let mut bytes = Vec::new();
    read_entry(source, &decoders, (index, span), &mut |_| Ok(()), |text, size| {
        if size > most {
            return Err(Fault::Memory { needed: size, most });
        }
        text.read_to_end(&mut bytes).map_err(Fault::stream).map(drop)
    })?;
    Ok(bytes)
}

fn read_manifest(
    source: &dyn FrameSource,
    decoders: &Decoders,
    frame: (usize, Span),
    memory: Memory,
    tell: Tell<'_>,
) -> Result<(String, Listing), Fault> {
    let read = |text: &mut dyn Read, _| Listing::read(text, memory.for_listing());
    read_entry(source, decoders, frame, tell, read)
}

/// The archive's own folder, and what `read` makes of the text of the manifest, which must be alone in its frame.
fn read_entry<T>(
    source: &dyn FrameSource,
    decoders: &Decoders,
    (index, span): (usize, Span),
    tell: Tell<'_>,
    read: impl FnOnce(&mut dyn Read, u64) -> Result<T, Fault>,
) -> Result<(String, T), Fault> {
    let mut buffers = Buffers::new();
    let plain = Content::open(source, decoders, &mut buffers, index, span)?;
    let mut stream = TarStream { plain, position: 0, end: span.plain };
    let entry = stream.entry()?.ok_or(Fault::NoManifest)?;
    let Kind::File { size, mode } = entry.kind else { return Err(Fault::NoManifest) };
    let root = root_of(&entry.name).ok_or(Fault::NoManifest)?.to_owned();
    if mode != 0o644 {
        let path = MANIFEST_FILE.to_owned();
        return Err(Fault::Mode { path, expected: 0o644, found: mode });
    }
    let made = Text::new(&mut stream, size, tell).read(|text| read(text, size))?;
    stream.padding(size)?;
    match stream.position {
        position if position == span.plain => stream.plain.finish()?,
        position => {
            return Err(Fault::FrameTooLong { frame: index, expected: position });
        }
    }
    Ok((root, made))
}

/// The seek table and the manifest say the same, and no more than the listed files can take.
fn compare(source: &dyn FrameSource, table: &SeekTable, listing: &Listing) -> Result<(), Fault> {
    let expected = table.count - UNLISTED as u64;
    if listing.frames.len() as u64 != expected {
        let found = listing.frames.len() as u64;
        return Err(Fault::Total { field: "a number of frames of", expected, found });
    }
    let mut plain = 0;
    table.spans(source, |index, span| {
        let Some(frame) = listing.frames.get(index) else { return Ok(()) };
        plain += span.plain;
        let Span { offset, compressed, plain } = span;
        match (frame.offset, frame.size, frame.plain) == (offset, compressed, plain) {
            true => Ok(()),
            false => Err(Fault::FrameDiffers { frame: index }),
        }
    })?;
    match listing.longest_stream() {
        most if plain > most => {
            Err(Fault::Total { field: "a size of all frames of", expected: most, found: plain })
        }
        _ => Ok(()),
    }
}

fn check_end(
    source: &dyn FrameSource,
    decoders: &Decoders,
    (index, span): (usize, Span),
) -> Result<(), Fault> {
    const END: u64 = 2 * BLOCK;
    if span.plain != END {
        return Err(Fault::SeekTable {
            field: "a size of the last frame of",
            expected: END,
            found: span.plain,
        });
    }
    let mut buffers = Buffers::new();
    let mut content = Content::open(source, decoders, &mut buffers, index, span)?;
    let held = content.peek(END as usize)?;
    if held.iter().any(|byte| *byte != 0) {
        return Err(Fault::Frame { frame: index, reason: "it is not the end of a tar".to_owned() });
    }
    let count = held.len();
    content.skip(count);
    content.finish()
}
