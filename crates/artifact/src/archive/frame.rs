//! The content of one frame, as a stream.
//!
//! First the frame's bytes are checked against their digest, then they are decompressed: the decompressor only ever sees
//! what the builder made. They are read twice for that, from the system's cache the second time, and take no memory.

use super::decoders::{self, Decoder, Decoders, Step};
use super::error::Fault;
use super::seek_table::Span;
use super::source::FrameSource;
use super::tar_stream::Plain;
use crate::Digest;
use sha2::{Digest as _, Sha256};

/// How much is read at once, and how much of the content is held.
const COMPRESSED: usize = 128 << 10;
const PLAIN: usize = 256 << 10;

/// Buffers of one thread.
pub(super) struct Buffers {
    compressed: Vec<u8>,
    plain: Vec<u8>,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self { compressed: vec![0; COMPRESSED], plain: vec![0; PLAIN] }
    }
}

/// A frame that is being decompressed.
pub(super) struct Content<'a> {
    index: usize,
    span: Span,
    source: &'a dyn FrameSource,
    decoders: &'a Decoders,
    /// Given back with the frame.
    decoder: Option<Decoder>,
    buffers: &'a mut Buffers,
    /// Compressed bytes: how many were read, and the part of the buffer that was not yet decompressed.
    read: u64,
    ready: std::ops::Range<usize>,
    /// The part of the content that was not yet taken: in the buffer, or in the decoder's own memory, which has all of it.
    held: std::ops::Range<usize>,
    /// How much of the content was decompressed.
    made: u64,
    is_over: bool,
}

/// Checks that a frame's bytes are those that were listed.
pub(super) fn check(
    source: &dyn FrameSource,
    index: usize,
    span: Span,
    expected: Digest,
    buffers: &mut Buffers,
) -> Result<(), Fault> {
    let Span { offset, compressed: length, .. } = span;
    loop {
        let found = digest(source, span, buffers)?;
        if found == expected {
            return Ok(());
        }
        if !source.reject(offset, length).map_err(Fault::read)? {
            return Err(Fault::FrameDigest { frame: index, offset, length, expected, found });
        }
    }
}

fn digest(source: &dyn FrameSource, span: Span, buffers: &mut Buffers) -> Result<Digest, Fault> {
    let mut hasher = Sha256::new();
    let mut read = 0;
    while read < span.compressed {
        let chunk = chunk(&mut buffers.compressed, span.compressed - read);
        source.read_at(chunk, span.offset + read).map_err(Fault::read)?;
        hasher.update(&*chunk);
        read += chunk.len() as u64;
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

fn chunk(buffer: &mut [u8], left: u64) -> &mut [u8] {
    let length = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
    &mut buffer[..length]
}

impl<'a> Content<'a> {
    /// Begins with a frame. Waits for memory.
    pub(super) fn open(
        source: &'a dyn FrameSource,
        decoders: &'a Decoders,
        buffers: &'a mut Buffers,
        index: usize,
        span: Span,
    ) -> Result<Self, Fault> {
        let head =
            chunk(&mut buffers.compressed, span.compressed.min(decoders::LONGEST_HEADER as u64));
        source.read_at(head, span.offset).map_err(Fault::read)?;
        let decoder = Some(decoders.take(index, head, span.plain)?);
        Ok(Self {
            index,
            span,
            source,
            decoders,
            decoder,
            buffers,
            read: 0,
            ready: 0..0,
            held: 0..0,
            made: 0,
            is_over: false,
        })
    }

    /// Ends the frame, of which all was taken.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        match self.peek(1)?.len() {
            0 => Ok(()),
            _ => Err(self.too_long()),
        }
    }

    fn own_memory(&self) -> Option<&[u8]> {
        self.decoder.as_ref()?.content()
    }

    fn too_long(&self) -> Fault {
        Fault::FrameTooLong { frame: self.index, expected: self.span.plain }
    }

    /// Decompresses some more behind what is held.
    fn decompress(&mut self) -> Result<(), Fault> {
        if self.ready.is_empty() && self.read < self.span.compressed {
            let chunk = chunk(&mut self.buffers.compressed, self.span.compressed - self.read);
            self.source.read_at(chunk, self.span.offset + self.read).map_err(Fault::read)?;
            self.read += chunk.len() as u64;
            self.ready = 0..chunk.len();
        }
        let decoder = self.decoder.as_mut().expect("it is given back when this ends");
        let input = &self.buffers.compressed[self.ready.clone()];
        // A decoder with memory of its own has no use for the buffer.
        let room = self.buffers.plain.get_mut(self.held.end..).unwrap_or_default();
        let Step { taken, made, is_over } = decoder.decompress(self.index, input, room)?;
        self.ready.start += taken;
        self.held.end += made;
        self.made += made as u64;
        if self.made > self.span.plain {
            return Err(self.too_long());
        }
        if is_over {
            self.is_over = true;
            if !self.ready.is_empty() || self.read < self.span.compressed {
                let reason = "it ends before its last byte".to_owned();
                return Err(Fault::Frame { frame: self.index, reason });
            }
            if self.made != self.span.plain {
                return Err(self.too_short());
            }
        } else if taken == 0 && made == 0 && self.read == self.span.compressed {
            let reason = "it goes on after its last byte".to_owned();
            return Err(Fault::Frame { frame: self.index, reason });
        }
        Ok(())
    }
}

impl Plain for Content<'_> {
    fn peek(&mut self, least: usize) -> Result<&[u8], Fault> {
        if self.held.len() < least {
            if self.own_memory().is_none() {
                self.buffers.plain.copy_within(self.held.clone(), 0);
                self.held = 0..self.held.len();
            }
            while self.held.len() < least && !self.is_over {
                self.decompress()?;
            }
        }
        let held = self.held.clone();
        Ok(&self.own_memory().unwrap_or(&self.buffers.plain)[held])
    }

    fn skip(&mut self, count: usize) {
        self.held.start += count;
    }

    fn too_short(&self) -> Fault {
        let (expected, found) = (self.span.plain, self.made);
        Fault::FrameTooShort { frame: self.index, expected, found }
    }
}

impl Drop for Content<'_> {
    fn drop(&mut self) {
        if let Some(decoder) = self.decoder.take() {
            self.decoders.give_back(decoder);
        }
    }
}
