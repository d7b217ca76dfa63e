//! Reads the files of a tree, and makes sure they are what they were.

use std::io::{self, Read as _};

use gangway_artifact::{BundlePath, HashingReader};

use super::PackError;
use crate::tree::Source;

/// A file that is being read; [`finish`](Self::finish) checks its digest.
#[derive(Debug)]
pub(super) struct Verified<'tree> {
    path: &'tree BundlePath,
    source: &'tree Source,
    reader: HashingReader<fs_err::File>,
}

impl<'tree> Verified<'tree> {
    pub(super) fn open(path: &'tree BundlePath, source: &'tree Source) -> Result<Self, PackError> {
        let file =
            fs_err::File::open(source.path()).map_err(|error| read_error(path, source, error))?;
        Ok(Self { path, source, reader: HashingReader::new(file) })
    }

    /// Appends the next `length` bytes to `bytes`.
    pub(super) fn read(&mut self, length: u64, bytes: &mut Vec<u8>) -> Result<(), PackError> {
        bytes.reserve(usize::try_from(length).unwrap_or(0));
        let count = (&mut self.reader)
            .take(length)
            .read_to_end(bytes)
            .map_err(|error| read_error(self.path, self.source, error))?;
        if (count as u64) < length { Err(damaged(self.path, self.source)) } else { Ok(()) }
    }

    /// Passes over the next `length` bytes; they count for the digest.
    pub(super) fn skip(&mut self, length: u64) -> Result<(), PackError> {
        let count = io::copy(&mut (&mut self.reader).take(length), &mut io::sink())
            .map_err(|error| read_error(self.path, self.source, error))?;
        if count < length { Err(damaged(self.path, self.source)) } else { Ok(()) }
    }

    /// Makes sure that this was all and that it was right.
    pub(super) fn finish(mut self) -> Result<(), PackError> {
        let more = self
            .reader
            .read(&mut [0])
            .map_err(|error| read_error(self.path, self.source, error))?;
        let (found, _) = self.reader.finish();
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
