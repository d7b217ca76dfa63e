//! `.tar.gz`: one stream from front to back, with the manifest as its last entry. It is read twice, because no file is written
//! before it is known to be listed.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use super::entry::Kind;
use super::error::Fault;
use super::fresh::Fresh;
use super::listing::Listing;
use super::seen::{Marks, Seen};
use super::tar_stream::{Plain, TarStream, Text};
use super::{Memory, Tell, frames, large, root_of};
use crate::{Digest, MANIFEST_FILE};

const BUFFER: usize = 256 << 10;

/// The decompressed stream.
struct Inflated<'a> {
    decoder: MultiGzDecoder<BufReader<&'a File>>,
    buffer: Vec<u8>,
    held: std::ops::Range<usize>,
}

impl<'a> Inflated<'a> {
    fn open(mut archive: &'a File) -> Result<TarStream<Self>, Fault> {
        archive.rewind().map_err(Fault::read)?;
        let decoder = MultiGzDecoder::new(BufReader::with_capacity(BUFFER, archive));
        let plain = Self { decoder, buffer: vec![0; BUFFER], held: 0..0 };
        Ok(TarStream { plain, position: 0, end: u64::MAX })
    }
}

impl Plain for Inflated<'_> {
    fn peek(&mut self, least: usize) -> Result<&[u8], Fault> {
        if self.held.len() < least {
            self.buffer.copy_within(self.held.clone(), 0);
            self.held = 0..self.held.len();
            while self.held.len() < least {
                match self.decoder.read(&mut self.buffer[self.held.end..]).map_err(Fault::stream)? {
                    0 => break,
                    count => self.held.end += count,
                }
            }
        }
        Ok(&self.buffer[self.held.clone()])
    }

    fn skip(&mut self, count: usize) {
        self.held.start += count;
    }

    fn too_short(&self) -> Fault {
        Fault::Stream { source: std::io::ErrorKind::UnexpectedEof.into() }
    }
}

/// Finds the manifest and reads it; its bytes are given to `tell`.
pub(super) fn open(
    archive: &File,
    memory: Memory,
    tell: Tell<'_>,
) -> Result<(String, Listing), Fault> {
    let mut stream = Inflated::open(archive)?;
    while let Some(entry) = stream.entry()? {
        let Kind::File { size, .. } = entry.kind else { continue };
        if let Some(root) = root_of(&entry.name) {
            let text = Text::new(&mut stream, size, tell);
            let listing = text.read(|text| Listing::read(text, memory.for_listing()))?;
            return Ok((root.to_owned(), listing));
        }
        let until = stream.position.saturating_add(size);
        stream.bytes(until, |_| Ok(()))?;
        stream.padding(size)?;
    }
    Err(Fault::NoManifest)
}

/// Writes everything but the manifest.
pub(super) fn write(
    archive: &File,
    listing: &Listing,
    root: &str,
    fresh: &Fresh,
) -> Result<(), Fault> {
    let mut stream = Inflated::open(archive)?;
    let seen = Seen::new(listing);
    let files = Marks::new(listing.files.len());
    while let Some(entry) = stream.entry()? {
        let Kind::File { size, .. } = entry.kind else {
            seen.see(&entry, root)?;
            continue;
        };
        let path = entry.path(root)?;
        let until = stream.position.saturating_add(size);
        if path == MANIFEST_FILE {
            stream.bytes(until, |_| Ok(()))?;
        } else {
            let unlisted = || Fault::Unlisted { name: entry.name.clone() };
            let file = listing.files.find(path).ok_or_else(unlisted)?;
            let facts = listing.facts(file);
            if !files.mark(file) {
                return Err(Fault::Twice { name: entry.name });
            }
            frames::check_header(&entry, root, path, facts)?;
            let made = fresh.file(path, facts.mode)?;
            let (mut hasher, mut offset) = (Sha256::new(), 0);
            stream.bytes(until, |bytes| {
                hasher.update(bytes);
                let written = large::write_at(&made, bytes, offset);
                offset += bytes.len() as u64;
                written.map_err(|error| fresh.failed(path, error))
            })?;
            large::check(path, facts, Digest::from_bytes(hasher.finalize().into()))?;
            fresh.close(path, &made)?;
        }
        stream.padding(size)?;
    }
    finish(&mut stream)?;
    if let Some(file) = files.missing(listing.files.len()) {
        return Err(Fault::Missing { path: listing.path(file) });
    }
    seen.write_links(fresh)
}

/// After the first block of zeros comes another one, and nothing else.
fn finish(stream: &mut TarStream<Inflated<'_>>) -> Result<(), Fault> {
    match (stream.entry()?, stream.plain.peek(1)?) {
        (None, []) => Ok(()),
        _ => Err(Fault::Trailing),
    }
}
