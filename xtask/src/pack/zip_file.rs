//! ZIP with Deflate, for people whose system opens nothing else.
//!
//! Entries are compressed by the threads and put together in order. Modes and links are those of Unix; unpackers on
//! Windows pass over them.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use zip::result::{ZipError, ZipResult};
use zip::write::{PreparedZipFile, SimpleFileOptions, ZipFileBuilder};
use zip::{CompressionMethod, DateTime, System, ZipWriter};

use super::cut::{self, Frame};
use super::entry::{Entry, Kind};
use super::source::Verified;
use super::{PackError, Work, Written, pipeline};

/// One entry, ready to be put into the archive.
enum Ready<'plan> {
    /// Its name.
    Folder(&'plan str),
    /// Its name and its target.
    Link(&'plan str, &'plan str),
    /// What was made of it, and its size before if it counts as progress.
    File(PreparedZipFile, u64),
}

/// Writes the archive to `out`.
pub(super) fn write(work: &Work<'_, '_>, out: &File) -> Result<Written, PackError> {
    let parts: Vec<&[Entry<'_>]> = cut::frames(work.entries, work.sizes(), work.shared)
        .into_iter()
        .filter_map(|frame| match frame {
            Frame::Entries(entries) | Frame::Together(entries) => Some(entries),
            Frame::Part { .. } => None,
        })
        .collect();
    let frames = parts.len() + 1;
    let failure = Failure::default();
    let disk = Disk { file: BufWriter::new(out), failure: &failure };
    let mut archive = ZipWriter::new(disk);
    let write_error = |error| work.write_error(io_error(error));
    let prepare = |part| prepare_all(work, part);
    pipeline::run(work.threads, parts.into_iter().map(Ok), prepare, |ready| {
        for entry in ready {
            put(&mut archive, entry, work).map_err(write_error)?;
        }
        failure.check().map_err(|error| work.write_error(error))
    })?;
    let manifest = work.manifest.to_json();
    let last = [Entry::manifest(work.folder, &manifest)];
    for entry in prepare_all(work, &last)? {
        put(&mut archive, entry, work).map_err(write_error)?;
    }
    failure.check().map_err(|error| work.write_error(error))?;
    let mut disk = archive.finish().map_err(write_error)?;
    disk.flush().and_then(|()| failure.check()).map_err(|error| work.write_error(error))?;
    Ok(Written { manifest, frames })
}

/// The first error of the disk.
#[derive(Default)]
struct Failure {
    happened: Cell<bool>,
    error: Cell<Option<io::Error>>,
}

impl Failure {
    /// `attempt`'s result, or `instead` once something has failed.
    fn guard<T>(&self, instead: T, attempt: impl FnOnce() -> io::Result<T>) -> T {
        if self.happened.get() {
            return instead;
        }
        attempt().unwrap_or_else(|error| {
            self.happened.set(true);
            self.error.set(Some(error));
            instead
        })
    }

    fn check(&self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }
}

/// A file that keeps its errors to itself. A `ZipWriter` that is dropped tries to finish the archive, and prints what
/// hinders it; so after the first error everything seems to succeed, and goes nowhere.
struct Disk<'plan> {
    file: BufWriter<&'plan File>,
    failure: &'plan Failure,
}

impl Write for Disk<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.failure.guard(bytes.len(), || self.file.write(bytes)))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.failure.guard((), || self.file.flush());
        Ok(())
    }
}

impl Seek for Disk<'_> {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        Ok(self.failure.guard(0, || self.file.seek(place)))
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        // Unlike `seek`, this does not write out what is buffered.
        Ok(self.failure.guard(0, || self.file.stream_position()))
    }
}

/// Adds an entry that is ready.
fn put(archive: &mut ZipWriter<Disk<'_>>, entry: Ready<'_>, work: &Work<'_, '_>) -> ZipResult<()> {
    match entry {
        Ready::Folder(name) => archive.add_directory(name, options(work, 0o755)),
        Ready::Link(name, target) => archive.add_symlink(name, target, options(work, 0o777)),
        Ready::File(file, size) => {
            work.progress.advance(size);
            archive.add_prepared_file(file)
        }
    }
}

/// What a thread does with a part.
fn prepare_all<'plan>(
    work: &Work<'_, '_>,
    part: &'plan [Entry<'_>],
) -> Result<Vec<Ready<'plan>>, PackError> {
    part.iter().map(|entry| prepare(work, entry)).collect()
}

fn prepare<'plan>(work: &Work<'_, '_>, entry: &'plan Entry<'_>) -> Result<Ready<'plan>, PackError> {
    let (path, source) = match entry.kind {
        Kind::Folder => return Ok(Ready::Folder(&entry.name)),
        Kind::Link(target) => return Ok(Ready::Link(&entry.name, target)),
        Kind::Manifest(bytes) => {
            let compress = || {
                let mut builder = ZipFileBuilder::new(&entry.name, options(work, 0o644))?;
                builder.write_all(bytes)?;
                builder.finish()
            };
            let prepared = compress().map_err(|error| work.compress_error(io_error(error)))?;
            return Ok(Ready::File(prepared, 0));
        }
        Kind::File(path, source) => (path, source),
    };
    let mode = if source.executable { 0o755 } else { 0o644 };
    let zip_error = |error| work.compress_error(io_error(error));
    let mut builder = ZipFileBuilder::new(&entry.name, options(work, mode)).map_err(zip_error)?;
    let mut file = Verified::open(path, source)?;
    let mut left = source.size;
    let mut bytes = Vec::new();
    while left > 0 {
        let length = left.min(work.sizes().frame);
        bytes.clear();
        file.read(length, &mut bytes)?;
        builder.write_all(&bytes).map_err(|error| work.compress_error(error))?;
        left -= length;
    }
    file.finish()?;
    Ok(Ready::File(builder.finish().map_err(zip_error)?, source.size))
}

fn options(work: &Work<'_, '_>, mode: u32) -> SimpleFileOptions {
    // The same moment as `MODIFIED`; ZIP's times have no zone.
    let modified = DateTime::from_date_and_time(1985, 10, 26, 8, 15, 0).expect("it is a date");
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(i64::from(work.settings.level.min(9))))
        .last_modified_time(modified)
        .unix_permissions(mode)
        .system(System::Unix)
}

fn io_error(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        other => io::Error::other(other),
    }
}
