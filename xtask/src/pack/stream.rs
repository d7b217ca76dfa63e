//! The tar stream, frame by frame.

use std::vec;

use super::cut::{self, Frame};
use super::entry::{Entry, Kind};
use super::source::Verified;
use super::{PackError, Work, header, pipeline, source};

/// A frame's bytes before and after compression.
struct Block<C> {
    /// How many of the plain bytes are bytes of files.
    file_bytes: u64,
    compressed: C,
}

/// Makes the tar stream, has each frame of it compressed by `compress` and gives the results to `take`, in order.
/// Returns the number of frames.
pub(super) fn write<C: Send>(
    work: &Work<'_, '_>,
    compress: impl Fn(&[u8]) -> Result<C, PackError> + Sync,
    mut take: impl FnMut(C) -> Result<(), PackError>,
) -> Result<usize, PackError> {
    let frame_size = work.frame_size();
    let frames = cut::frames(work.entries, frame_size);
    let count = frames.len();
    let jobs = Jobs { frames: frames.into_iter(), open: None };
    let work_on = |job| {
        let (plain, file_bytes) = match job {
            Job::Entries(entries) => render(entries, frame_size)?,
            Job::Bytes { plain, file_bytes } => (plain, file_bytes),
        };
        Ok(Block { file_bytes, compressed: compress(&plain)? })
    };
    pipeline::run(work.threads, jobs, work_on, |block| {
        take(block.compressed)?;
        work.progress.advance(block.file_bytes);
        Ok(())
    })?;
    Ok(count)
}

/// What a worker gets.
enum Job<'plan, 'tree> {
    /// Entries whose files it reads itself.
    Entries(&'plan [Entry<'tree>]),
    /// Bytes that were read for it: a digest can only be made of a large file's parts in their order.
    Bytes { plain: Vec<u8>, file_bytes: u64 },
}

/// Frames become jobs.
struct Jobs<'plan, 'tree> {
    frames: vec::IntoIter<Frame<'plan, 'tree>>,
    /// The large file whose parts are being read, and how much of it is left.
    open: Option<(Verified<'tree>, u64)>,
}

impl<'plan, 'tree> Iterator for Jobs<'plan, 'tree> {
    type Item = Result<Job<'plan, 'tree>, PackError>;

    fn next(&mut self) -> Option<Self::Item> {
        let job = match self.frames.next()? {
            Frame::Entries(entries) => Ok(Job::Entries(entries)),
            Frame::End => Ok(Job::Bytes { plain: vec![0; 2 * header::BLOCK], file_bytes: 0 }),
            Frame::Part { path, source, length } => self
                .open
                .take()
                .map_or_else(|| Ok((Verified::open(path, source)?, source.size)), Ok)
                .and_then(|(file, left)| self.part(file, left, length, source.size)),
        };
        Some(job)
    }
}

impl<'plan, 'tree> Jobs<'plan, 'tree> {
    /// Reads the next part of `file`, of whose `size` bytes `left` are left.
    fn part(
        &mut self,
        mut file: Verified<'tree>,
        left: u64,
        length: u64,
        size: u64,
    ) -> Result<Job<'plan, 'tree>, PackError> {
        let mut plain = Vec::new();
        file.read(length, &mut plain)?;
        if left > length {
            self.open = Some((file, left - length));
        } else {
            file.finish()?;
            plain.resize(plain.len() + header::padding(size), 0);
        }
        Ok(Job::Bytes { plain, file_bytes: length })
    }
}

/// The part of the stream that `entries` are, and how many bytes of files are in it.
fn render(entries: &[Entry<'_>], frame_size: u64) -> Result<(Vec<u8>, u64), PackError> {
    let mut plain = Vec::new();
    let mut file_bytes = 0;
    for entry in entries {
        plain.extend_from_slice(&header::blocks(entry));
        if let Kind::File(path, source) = entry.kind
            && !cut::is_large(entry, frame_size)
        {
            source::read(path, source, &mut plain)?;
            plain.resize(plain.len() + header::padding(source.size), 0);
            file_bytes += source.size;
        }
    }
    Ok((plain, file_bytes))
}
