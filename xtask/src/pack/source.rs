//! Reads the files of a tree, and makes sure they are what they were.

use std::io::{self, Read as _};

use gangway_artifact::{BundlePath, Hasher};

use super::PackError;
use crate::tree::Source;

/// A file that is being read; [`finish`](Self::finish) checks its digest.
#[derive(Debug)]
pub(super) struct Verified<'tree> {
    path: &'tree BundlePath,
    source: &'tree Source,
    file: fs_err::File,
    hasher: Hasher,
}

/// How much is read before it is hashed: it is still near the processor then.
const STEP: u64 = 256 << 10;

impl<'tree> Verified<'tree> {
    pub(super) fn open(path: &'tree BundlePath, source: &'tree Source) -> Result<Self, PackError> {
        let file =
            fs_err::File::open(source.path()).map_err(|error| read_error(path, source, error))?;
        Ok(Self { path, source, file, hasher: Hasher::default() })
    }

    /// Appends the next `length` bytes to `bytes`.
    pub(super) fn read(&mut self, length: u64, bytes: &mut Vec<u8>) -> Result<(), PackError> {
        bytes.reserve(usize::try_from(length).unwrap_or(0));
        let mut left = length;
        while left > 0 {
            let start = bytes.len();
            // Without the wrapper, which would have the room cleared first.
            let count = (self.file.file())
                .take(left.min(STEP))
                .read_to_end(bytes)
                .map_err(|error| read_error(self.path, self.source, error))?;
            if count == 0 {
                return Err(damaged(self.path, self.source));
            }
            self.hasher.update(&bytes[start..]);
            left -= count as u64;
        }
        Ok(())
    }

    /// Passes over the next `length` bytes; they count for the digest.
    pub(super) fn skip(&mut self, length: u64) -> Result<(), PackError> {
        let mut bytes = Vec::new();
        let mut left = length;
        while left > 0 {
            bytes.clear();
            let step = left.min(STEP);
            self.read(step, &mut bytes)?;
            left -= step;
        }
        Ok(())
    }

    /// Makes sure that this was all and that it was right.
    pub(super) fn finish(mut self) -> Result<(), PackError> {
        let more =
            self.file.read(&mut [0]).map_err(|error| read_error(self.path, self.source, error))?;
        let (found, _) = self.hasher.finish();
        let is_right = more == 0 && found == self.source.sha256;
        if is_right { Ok(()) } else { Err(damaged(self.path, self.source)) }
    }
}

/// Appends a whole file to `bytes`.
pub(super) fn read(
    path: &BundlePath,
    source: &Source,
    bytes: &mut Vec<u8>,
) -> Result<(), PackError> {
    let mut file = Verified::open(path, source)?;
    file.read(source.size, bytes)?;
    file.finish()
}

pub(super) fn read_error(path: &BundlePath, source: &Source, error: io::Error) -> PackError {
    PackError::Read { path: path.clone(), source_path: source.path(), error }
}

fn damaged(path: &BundlePath, source: &Source) -> PackError {
    PackError::Damaged { path: path.clone(), source_path: source.path(), expected: source.sha256 }
}
