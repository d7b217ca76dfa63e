//! tar, read from front to back: entries, and the bytes of files.

use super::entry::{self, Entry, Names, Told};
use super::error::Fault;
use crate::BLOCK;

/// Decompressed bytes, of which a few are held.
pub(super) trait Plain {
    /// What comes next: at least `least` bytes of it, unless it ends before. `least` is 64 KiB at most.
    fn peek(&mut self, least: usize) -> Result<&[u8], Fault>;

    /// Moves on; not further than what was seen.
    fn skip(&mut self, count: usize);

    /// What is wrong when it ends too early.
    fn too_short(&self) -> Fault;
}

/// A part of a tar stream.
pub(super) struct TarStream<P> {
    pub(super) plain: P,
    /// Where in the whole stream this is.
    pub(super) position: u64,
    /// Where this part ends.
    pub(super) end: u64,
}

impl<P: Plain> TarStream<P> {
    /// The headers of the next entry, or `None` for a block of zeros.
    pub(super) fn entry(&mut self) -> Result<Option<Entry>, Fault> {
        let mut names = Names::default();
        loop {
            let position = self.position;
            let mut block = [0; BLOCK as usize];
            self.take(&mut block)?;
            match names.header(&block, position)? {
                Told::Long(long, size) => {
                    let mut name = vec![0; usize::try_from(size).unwrap_or_default()];
                    self.take(&mut name)?;
                    self.padding(size)?;
                    names.add(long, &name, position)?;
                }
                _ if names.are_pending() => {
                    return Err(Fault::Header { position, reason: "a long name is for nothing" });
                }
                Told::Entry(entry) => return Ok(Some(entry)),
                Told::End => return Ok(None),
            }
        }
    }

    /// Gives the bytes up to `until` to `each`, and for how many there are of it.
    pub(super) fn bytes(
        &mut self,
        until: u64,
        mut each: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        while self.position < until {
            let left = usize::try_from(until - self.position).unwrap_or(usize::MAX);
            // A small file is written at once.
            let held = self.plain.peek(left.min(64 << 10))?;
            let bytes = &held[..left.min(held.len())];
            if bytes.is_empty() {
                return Err(self.plain.too_short());
            }
            each(bytes)?;
            let count = bytes.len();
            self.plain.skip(count);
            self.position += count as u64;
        }
        Ok(())
    }

    /// The zeros after `length` bytes.
    pub(super) fn padding(&mut self, length: u64) -> Result<(), Fault> {
        let position = self.position;
        let mut zeros = [0; BLOCK as usize];
        let zeros = &mut zeros[..usize::try_from(entry::padding(length)).unwrap_or_default()];
        self.take(zeros)?;
        match zeros.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(Fault::Header { position, reason: "what fills a block is not zeros" }),
        }
    }

    /// Fills `bytes`: a header or padding, which is never divided among frames.
    pub(super) fn take(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        if self.end - self.position < bytes.len() as u64 {
            let reason = "a frame ends inside of it";
            return Err(Fault::Header { position: self.position, reason });
        }
        let held = self.plain.peek(bytes.len())?;
        let Some(held) = held.get(..bytes.len()) else { return Err(self.plain.too_short()) };
        bytes.copy_from_slice(held);
        self.plain.skip(bytes.len());
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// The next bytes of a stream as a reader of text takes them. What is wrong with the stream is kept apart, because such a
/// reader does not hand it on.
pub(super) struct Text<'a, P> {
    stream: &'a mut TarStream<P>,
    until: u64,
    fault: Option<Fault>,
    /// Is told of every byte.
    each: &'a mut dyn FnMut(&[u8]) -> Result<(), Fault>,
}

impl<'a, P: Plain> Text<'a, P> {
    pub(super) fn new(
        stream: &'a mut TarStream<P>,
        length: u64,
        each: &'a mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Self {
        let until = stream.position.saturating_add(length);
        Self { stream, until, fault: None, each }
    }

    /// What `read` makes of the text, all of which it must take.
    pub(super) fn read<T>(
        mut self,
        read: impl FnOnce(&mut dyn std::io::Read) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let made = read(&mut self);
        match self.fault.take() {
            Some(fault) => Err(fault),
            None => made,
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        if self.stream.position >= self.until || buffer.is_empty() {
            return Ok(0);
        }
        let left = usize::try_from(self.until - self.stream.position).unwrap_or(usize::MAX);
        let held = self.stream.plain.peek(1)?;
        let count = held.len().min(buffer.len()).min(left);
        if count == 0 {
            return Err(self.stream.plain.too_short());
        }
        buffer[..count].copy_from_slice(&held[..count]);
        (self.each)(&buffer[..count])?;
        self.stream.plain.skip(count);
        self.stream.position += count as u64;
        Ok(count)
    }
}

impl<P: Plain> std::io::Read for Text<'_, P> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.fill(buffer).map_err(|fault| {
            self.fault = Some(fault);
            std::io::ErrorKind::InvalidData.into()
        })
    }
}
