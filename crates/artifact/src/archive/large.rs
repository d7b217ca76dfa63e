//! Files that are in several frames.
//!
//! Each thread writes its part where it belongs, but a digest is made of bytes in their order. So a part that is next in
//! order is hashed while it is written, and any other one when those before it are: then it is read back, from the system's
//! cache, by the thread that is there. No part is held in memory, and no thread waits.

use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use super::error::Fault;
use super::fresh::Fresh;
use super::listing::Facts;
use super::source::FrameSource as _;
use crate::Digest;

/// A file that several threads write.
pub(super) struct LargeFile {
    pub(super) path: String,
    pub(super) file: File,
    facts: Facts,
    state: Mutex<State>,
}

struct State {
    /// Nobody hashes if it is here; up to where it has come.
    hasher: Option<(Sha256, u64)>,
    /// Parts that are written and not hashed: where they begin, and where they end.
    written: Vec<(u64, u64)>,
}

impl State {
    /// The hasher and the part that is next in order, if both are there.
    fn take_next(&mut self) -> Option<(Sha256, u64, u64)> {
        let (_, next) = self.hasher.as_ref()?;
        let index = self.written.iter().position(|(from, _)| from == next)?;
        let (from, to) = self.written.swap_remove(index);
        self.hasher.take().map(|(hasher, _)| (hasher, from, to))
    }
}

impl LargeFile {
    pub(super) fn create(fresh: &Fresh, path: String, facts: Facts) -> Result<Self, Fault> {
        let file = fresh.file(&path, facts.mode)?;
        let state = State { hasher: Some((Sha256::new(), 0)), written: Vec::new() };
        Ok(Self { path, file, facts, state: Mutex::new(state) })
    }

    /// Begins the part at `offset`: who gets the hasher hashes the part while writing it.
    pub(super) fn begin(&self, offset: u64) -> Option<Sha256> {
        self.lock().hasher.take_if(|(_, next)| *next == offset).map(|(hasher, _)| hasher)
    }

    /// Ends a part that is written. Whoever ends the last one knows the file's digest.
    pub(super) fn end(
        &self,
        fresh: &Fresh,
        (from, to): (u64, u64),
        hashed: Option<Sha256>,
        buffer: &mut [u8],
    ) -> Result<(), Fault> {
        let mut state = self.lock();
        match hashed {
            Some(hasher) => state.hasher = Some((hasher, to)),
            None => state.written.push((from, to)),
        }
        // Whoever has the hasher looks again when done.
        while let Some((mut hasher, from, to)) = state.take_next() {
            drop(state);
            self.read_back(fresh, from, to, &mut hasher, buffer)?;
            state = self.lock();
            state.hasher = Some((hasher, to));
        }
        let is_whole = matches!(&state.hasher, Some((_, next)) if *next == self.facts.size);
        match state.hasher.take_if(|_| is_whole) {
            Some((hasher, _)) => {
                drop(state);
                let found = Digest::from_bytes(hasher.finalize().into());
                check(&self.path, &self.facts, found)?;
                fresh.close(&self.path, &self.file)
            }
            None => Ok(()),
        }
    }

    fn read_back(
        &self,
        fresh: &Fresh,
        from: u64,
        to: u64,
        hasher: &mut Sha256,
        buffer: &mut [u8],
    ) -> Result<(), Fault> {
        let mut at = from;
        while at < to {
            let length =
                usize::try_from(to - at).map_or(buffer.len(), |left| left.min(buffer.len()));
            let read = self.file.read_at(&mut buffer[..length], at);
            read.map_err(|error| fresh.failed(&self.path, error))?;
            hasher.update(&buffer[..length]);
            at += length as u64;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file has the digest it should have.
pub(super) fn check(path: &str, facts: &Facts, found: Digest) -> Result<(), Fault> {
    if found == facts.sha256 {
        return Ok(());
    }
    Err(Fault::FileDigest { path: path.to_owned(), expected: facts.sha256, found })
}

/// Writes bytes at a place of a file.
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
    }
    #[cfg(windows)]
    {
        let (mut bytes, mut offset) = (bytes, offset);
        while !bytes.is_empty() {
            let count = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
            bytes = &bytes[count..];
            offset += count as u64;
        }
        Ok(())
    }
}
