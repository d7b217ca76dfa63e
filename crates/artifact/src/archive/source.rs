//! Where frames come from.

use std::fs::File;
use std::io;

/// Bytes that can be read at any place by several threads at the same time: an archive on disk, or the parts of one
/// that were fetched. Each byte of a frame is read twice, first to be checked, then to be decompressed.
pub trait FrameSource: Sync {
    /// How many bytes there are.
    ///
    /// # Errors
    /// When nobody can tell.
    fn length(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// When they cannot be read, or there are not as many.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Is told that the bytes of a frame are not those they should be, and says whether they are worth reading again: a source that fetched them may
    /// fetch them anew.
    ///
    /// # Errors
    /// When it knows why they are wrong.
    fn reject(&self, offset: u64, length: u64) -> io::Result<bool> {
        let _ = (offset, length);
        Ok(false)
    }
}

impl FrameSource for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let count = std::os::windows::fs::FileExt::seek_read(self, buffer, offset)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer = &mut buffer[count..];
            offset += count as u64;
        }
        Ok(())
    }
}

impl FrameSource for &[u8] {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let bytes = start.and_then(|start| self.get(start..start.checked_add(buffer.len())?));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
