//! Memory that is a file: for frames that refer to more of what they hold than may be taken of memory.
//!
//! Such a frame is decompressed into a file without a name, which is the decompressor's window at the same time. What
//! this process has of the file's pages is given back as it goes on, and the system writes them out when it needs their memory. The
//! file's bytes are written before they are memory, so that a full disk is an error and not a signal. Where the file system has no
//! such files, as some that are shared over a network, it is memory after all.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use memmap2::{MmapMut, MmapOptions};

use super::error::Fault;
use super::large::write_at;

/// A file that nobody else has, and where it is, for messages.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) file: File,
    pub(super) folder: PathBuf,
}

/// Bytes of it as memory.
pub(super) struct Mapped {
    map: MmapMut,
    #[cfg_attr(not(unix), expect(dead_code, reason = "only there pages are given back"))]
    is_file: bool,
}

impl Scratch {
    /// The first `length` bytes as memory. What is in it is left from before.
    pub(super) fn map(&self, length: usize) -> Result<Mapped, Fault> {
        self.grow(length as u64)
            .and_then(|()| self.mapped(length).or_else(|_| anonymous(length)))
            .map_err(|source| Fault::Write { path: self.folder.clone(), source })
    }

    fn grow(&self, length: u64) -> io::Result<()> {
        const ZEROS: &[u8] = &[0; 64 << 10];
        let mut end = self.file.metadata()?.len();
        while end < length {
            let left = usize::try_from(length - end).unwrap_or(usize::MAX);
            let zeros = &ZEROS[..left.min(ZEROS.len())];
            write_at(&self.file, zeros, end)?;
            end += zeros.len() as u64;
        }
        Ok(())
    }

    #[expect(unsafe_code, reason = "a file as memory cannot be had without")]
    fn mapped(&self, length: usize) -> io::Result<Mapped> {
        // SAFETY: the file is ours alone, because it lost its name when it was made (on Windows it is shared with nobody), so
        // nobody else changes or shortens it; and we do not while it is mapped: it only ever grows, before.
        let map = unsafe { MmapOptions::new().len(length).map_mut(&self.file)? };
        Ok(Mapped { map, is_file: true })
    }
}

fn anonymous(length: usize) -> io::Result<Mapped> {
    Ok(Mapped { map: MmapOptions::new().len(length).map_anon()?, is_file: false })
}

impl Mapped {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }

    /// Gives the pages back to the system, which has what is in them. On Windows it takes them when it wants them.
    #[cfg_attr(unix, expect(unsafe_code, reason = "it would lose what is in other memory"))]
    pub(super) fn let_go(&mut self) {
        #[cfg(unix)]
        if self.is_file {
            // SAFETY: nothing is borrowed of the memory now, and what is in it is not lost, because it is a shared file's.
            let let_go = unsafe { self.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            // It was advice.
            drop(let_go);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(file: File) -> Scratch {
        Scratch { file, folder: PathBuf::from("x") }
    }

    #[test]
    fn a_file_that_cannot_be_memory_will_do() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.as_file().set_len(100_000).expect("there is room");
        let scratch = scratch(File::open(file.path()).expect("it is there"));
        let mut mapped = scratch.map(100_000).expect("there is memory");
        mapped.bytes_mut().fill(7);
        mapped.let_go();
        assert!(mapped.bytes().iter().all(|byte| *byte == 7));
        // But it must be as long.
        let error = scratch.map(100_001).map(drop).expect_err("it cannot be written");
        assert_eq!(error.to_string(), "cannot write `x`");
    }

    #[test]
    fn what_is_let_go_is_still_there() {
        let scratch = scratch(tempfile::tempfile().expect("a temporary file"));
        for length in [1, 100_000, 3 << 20, 5000] {
            let mut mapped = scratch.map(length).expect("there is room");
            assert_eq!(mapped.bytes().len(), length);
            mapped.bytes_mut().fill(7);
            mapped.let_go();
            assert!(mapped.bytes().iter().all(|byte| *byte == 7));
        }
        // It was as large already.
        assert!(scratch.map(100_000).expect("it is there").bytes().iter().all(|byte| *byte == 7));
    }
}
