//! A version that is installed, to be read: by whoever keeps files of it for the next one, and by whoever checks it.
//!
//! Since it was installed anybody may have changed it. So no symbolic link in it is followed, whatever is no regular file is
//! not read, and what is read is no more than it should be.

use std::fs::{File, Metadata};
use std::io;

use sha2::{Digest as _, Sha256};

use super::source::FrameSource as _;
use crate::Digest;

#[cfg(not(unix))]
#[path = "installed/portable.rs"]
mod system;
#[cfg(unix)]
#[path = "installed/unix.rs"]
mod system;

pub(super) use system::{Installed, Near, link};

/// How much is read at once.
pub(super) const BUFFER: usize = 128 << 10;

impl Near<'_> {
    /// Opens a regular file of this size. Nothing: something else is in its place, or the size is another one.
    pub(super) fn file_of(
        &mut self,
        path: &str,
        size: u64,
    ) -> io::Result<Option<(File, Metadata)>> {
        let file = self.file(path)?;
        let found = file.metadata()?;
        let is_it = found.is_file() && found.len() == size;
        Ok(is_it.then_some((file, found)))
    }
}

/// Whether a file with these bits has the mode: whoever installed it may have taken the right to write from everybody.
#[cfg(unix)]
pub(super) fn is_mode(bits: u32, mode: crate::Mode) -> bool {
    bits == mode.bits() || bits == mode.bits() & 0o555
}

/// The digest of a file's first `size` bytes, each part of which is also given to `each`.
pub(super) fn digest(
    file: &File,
    size: u64,
    buffer: &mut [u8],
    mut each: impl FnMut(&[u8], u64) -> Result<(), super::Fault>,
) -> Result<io::Result<Digest>, super::Fault> {
    let mut hasher = Sha256::new();
    let mut at = 0;
    while at < size {
        let length = usize::try_from(size - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        let part = &mut buffer[..length];
        if let Err(error) = file.read_at(part, at) {
            return Ok(Err(error));
        }
        hasher.update(&*part);
        each(part, at)?;
        at += length as u64;
    }
    Ok(Ok(Digest::from_bytes(hasher.finalize().into())))
}
