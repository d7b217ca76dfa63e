//! The files of a `.tar.zst`, written by several threads, each of which takes one frame after the other: all of them, or those
//! that an update lacks.
//!
//! Every byte of the tar stream is accounted for: a byte is either a file's, where the manifest says so, or part of a
//! header that says what the manifest does, or padding. So what any `tar` makes of the archive is what is written here.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sha2::{Digest as _, Sha256};

use super::decoders::{BESIDE_OTHERS, Decoders};
use super::entry::{Entry, Kind};
use super::error::Fault;
use super::frame::{self, Buffers, Content};
use super::fresh::Fresh;
use super::large::{self, LargeFile};
use super::listing::{Facts, Listing};
use super::seek_table::Span;
use super::seen::{Marks, Seen};
use super::source::FrameSource;
use super::tar_stream::TarStream;
use super::threads;
use crate::{Digest, Frame};

/// A thread is of no use without a decoder; frames with smaller windows are rare.
const USUAL_WINDOW: u64 = 4 << 20;
/// For reading back what was written.
const READ_BACK: usize = 128 << 10;

/// What is written, and from what.
pub(super) struct Task<'a> {
    pub(super) source: &'a dyn FrameSource,
    pub(super) listing: &'a Listing,
    /// The archive's own folder. Whoever did not come across it before takes that of the first entry.
    pub(super) root: &'a OnceLock<String>,
    pub(super) decoders: &'a Decoders,
    pub(super) fresh: &'a Fresh,
    /// Files that are there already.
    pub(super) done: &'a Marks,
}

/// Everything that threads share.
struct Work<'a> {
    task: &'a Task<'a>,
    seen: Seen<'a>,
    large: HashMap<usize, LargeFile>,
}

/// A frame to be written.
#[derive(Debug, Clone, Copy)]
struct Job {
    index: usize,
    span: Span,
    sha256: Digest,
    /// Where its content begins in the tar stream.
    start: u64,
    /// The first file, in the order of the stream, that ends after that or begins there.
    place: usize,
    /// Whether it has a part of a file that others have parts of, too.
    is_part: bool,
}

/// Writes all files and links that are listed, of all frames.
pub(super) fn write_all(task: &Task<'_>, threads: usize) -> Result<(), Fault> {
    let (mut jobs, large) = plan(task, |_| true)?;
    // Frames with parts of large files come first: their digest takes longest. Of the others the largest do, so that the
    // threads end at about the same time, and the largest decoders are made before smaller ones.
    jobs.sort_by_key(|job| (!job.is_part, Reverse(job.span.plain)));
    let work = Work { task, seen: Seen::new(task.listing), large };
    work.run(jobs, threads)?;
    work.seen.write_links(task.fresh)
}

/// Writes those files that are not there yet, of the frames that have their bytes, and says how many frames these were. Frames
/// are read in their order: perhaps they are still on their way.
pub(super) fn write_lacking(task: &Task<'_>, threads: usize) -> Result<usize, Fault> {
    let (jobs, large) = plan(task, |job| task.lacks_of(job))?;
    let count = jobs.len();
    let work = Work { task, seen: Seen::new(task.listing), large };
    work.run(jobs, threads)?;
    Ok(count)
}

/// Frames that nobody works on yet, in the order they are wanted. Of those that are decompressed into a file there is one at a time, and
/// meanwhile the other threads do the others, if there is memory for them.
struct Queue(Mutex<Waiting>);

struct Waiting {
    jobs: VecDeque<Job>,
    is_one_under_way: bool,
}

impl Queue {
    fn new(jobs: Vec<Job>) -> Self {
        Self(Mutex::new(Waiting { jobs: jobs.into(), is_one_under_way: false }))
    }

    /// The first that need not wait, if there is one. Whoever has one that others wait for does those as well.
    fn next(&self) -> Option<Job> {
        self.first(|_| true)
    }

    /// The first of those that are decompressed into a file.
    fn next_alone(&self) -> Option<Job> {
        self.first(Job::is_alone)
    }

    fn first(&self, is_wanted: impl Fn(&Job) -> bool) -> Option<Job> {
        let mut waiting = self.lock();
        let must_wait = waiting.is_one_under_way;
        let may_begin = |job: &Job| is_wanted(job) && !(must_wait && job.is_alone());
        let place = waiting.jobs.iter().position(may_begin)?;
        let job = waiting.jobs.remove(place)?;
        waiting.is_one_under_way |= job.is_alone();
        Some(job)
    }

    fn done(&self, job: &Job) {
        if job.is_alone() {
            self.lock().is_one_under_way = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn is_alone(&self) -> bool {
        self.span.plain > BESIDE_OTHERS
    }
}

/// Which frame has what, and the files that several have. Only wanted frames, and files that are not there.
fn plan(
    task: &Task<'_>,
    is_wanted: impl Fn(&Job) -> bool,
) -> Result<(Vec<Job>, HashMap<usize, LargeFile>), Fault> {
    let Task { listing, fresh, done, .. } = task;
    let mut jobs = Vec::with_capacity(listing.frames.len());
    let mut large = HashMap::new();
    let mut start = 0_u64;
    for (index, frame) in listing.frames.iter().enumerate() {
        let Frame { offset, size: compressed, plain, sha256 } = *frame;
        let span = Span { offset, compressed, plain };
        let end = start + plain;
        let place = listing.place(start);
        // The files before and behind the frame's borders.
        let border = |position| {
            let place = listing.place(position);
            let file = (place < listing.ordered()).then(|| listing.in_order(place))?;
            (listing.facts(file).start() < position).then_some(file)
        };
        let crossing = border(end);
        if let Some(file) = crossing.filter(|file| !large.contains_key(file) && !done.has(*file)) {
            large.insert(file, LargeFile::create(fresh, listing.path(file), *listing.facts(file))?);
        }
        let is_part = crossing.is_some() || border(start).is_some();
        let job = Job { index, span, sha256, start, place, is_part };
        if is_wanted(&job) {
            jobs.push(job);
        }
        start = end;
    }
    let last = listing.ordered().checked_sub(1).map(|place| listing.in_order(place));
    match last.filter(|file| listing.facts(*file).end() > start) {
        Some(file) => {
            let reason = "it is said to be behind the last frame";
            Err(Fault::Listed { path: listing.path(file), reason })
        }
        None => Ok((jobs, large)),
    }
}

/// What a thread works with.
struct Hands {
    buffers: Buffers,
    read_back: Vec<u8>,
}

impl Task<'_> {
    /// Whether a frame has bytes of a file that is not there.
    fn lacks_of(&self, job: &Job) -> bool {
        let end = job.start + job.span.plain;
        let files = (job.place..self.listing.ordered()).map(|place| self.listing.in_order(place));
        files
            .take_while(|file| self.listing.facts(*file).start() < end)
            .any(|file| self.listing.facts(file).size > 0 && !self.done.has(file))
    }

    fn root_of(&self, entry: &Entry) -> &str {
        self.root.get_or_init(|| entry.name.split('/').next().unwrap_or_default().to_owned())
    }
}

impl Work<'_> {
    fn run(&self, jobs: Vec<Job>, threads: usize) -> Result<(), Fault> {
        let Task { decoders, fresh, .. } = self.task;
        if jobs.iter().any(Job::is_alone) {
            decoders.allow_large(fresh.scratch()?);
        }
        let threads = threads.min(jobs.len()).min(decoders.for_windows_of(USUAL_WINDOW)).max(1);
        let queue = Queue::new(jobs);
        let hands = || Hands { buffers: Buffers::new(), read_back: vec![0; READ_BACK] };
        if decoders.is_large_alone() {
            let mut hands = hands();
            while let Some(job) = queue.next_alone() {
                self.write_frame(&job, &mut hands, &AtomicBool::new(false))?;
                queue.done(&job);
            }
        }
        threads::share(threads, threads, hands, |hands, _, is_over| {
            while !is_over.load(Ordering::Relaxed)
                && let Some(job) = queue.next()
            {
                let written = self.write_frame(&job, hands, is_over);
                queue.done(&job);
                written.map_err(|fault| (job.index, fault))?;
            }
            Ok(())
        })
    }

    fn write_frame(&self, job: &Job, hands: &mut Hands, is_over: &AtomicBool) -> Result<(), Fault> {
        let Hands { buffers, read_back } = hands;
        let Task { source, decoders, .. } = *self.task;
        frame::check(source, job.index, job.span, job.sha256, buffers)?;
        let plain = Content::open(source, decoders, buffers, job.index, job.span)?;
        let (position, end) = (job.start, job.start + job.span.plain);
        let stream = TarStream { plain, position, end };
        let mut reading = Reading { work: self, stream, place: job.place, read_back };
        // Empty files at its beginning belong to the frame with their headers.
        while let Some((_, facts)) = reading.next_file()
            && facts.size == 0
            && facts.start() == position
        {
            reading.place += 1;
        }
        while reading.stream.position < end {
            if is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            match reading.next_file() {
                Some((file, facts)) if facts.start() <= reading.stream.position => {
                    reading.file(file, facts)?;
                }
                _ => reading.entry()?,
            }
        }
        reading.stream.plain.finish()
    }
}

/// A frame that is being written.
struct Reading<'a, 'b> {
    work: &'a Work<'a>,
    stream: TarStream<Content<'b>>,
    /// The next file, in the order of the stream.
    place: usize,
    read_back: &'a mut Vec<u8>,
}

impl Reading<'_, '_> {
    fn next_file(&self) -> Option<(usize, Facts)> {
        let listing = self.work.task.listing;
        let file = (self.place < listing.ordered()).then(|| listing.in_order(self.place))?;
        Some((file, *listing.facts(file)))
    }

    /// Reads the headers of an entry: of a folder, a link, or the file that is next. There is a block at least before
    /// the beginning of each file, and what ends where a file begins must be its headers: so none is without.
    fn entry(&mut self) -> Result<(), Fault> {
        let position = self.stream.position;
        let Some(entry) = self.stream.entry()? else {
            let reason = "there are zeros, and its end comes later";
            return Err(Fault::Header { position, reason });
        };
        let next = self.next_file();
        let is_file = matches!(entry.kind, Kind::File { .. });
        if let Some((file, facts)) = next
            && (self.stream.position > facts.start()
                || (self.stream.position == facts.start()) != is_file)
        {
            let expected = format!("the file `{}`", self.work.task.listing.path(file));
            return Err(Fault::Entry { position, expected, found: entry.describe() });
        }
        match next {
            Some((file, facts)) if is_file => self.file_entry(&entry, file, facts),
            _ => self.work.seen.see(&entry, self.work.task.root_of(&entry)),
        }
    }

    /// Takes the headers of a file, which is made right away if it is empty.
    fn file_entry(&mut self, entry: &Entry, file: usize, facts: Facts) -> Result<(), Fault> {
        let path = self.work.task.listing.path(file);
        check_header(entry, self.work.task.root_of(entry), &path, &facts)?;
        if facts.size == 0 {
            if !self.work.task.done.has(file) {
                write_empty(self.work.task.fresh, &path, &facts)?;
            }
            self.place += 1;
        }
        Ok(())
    }

    /// Writes the bytes of a file, as far as they are in this frame.
    fn file(&mut self, file: usize, facts: Facts) -> Result<(), Fault> {
        let until = facts.end().min(self.stream.end);
        match self.work.large.get(&file) {
            Some(large) => {
                let (from, to) = (self.stream.position - facts.start(), until - facts.start());
                let mut hasher = large.begin(from);
                self.bytes(&large.path, &large.file, from, until, hasher.as_mut())?;
                large.end(self.work.task.fresh, (from, to), hasher, self.read_back)?;
            }
            None if self.work.task.done.has(file) => self.stream.bytes(until, |_| Ok(()))?,
            None => {
                let path = self.work.task.listing.path(file);
                let made = self.work.task.fresh.file(&path, facts.mode)?;
                let mut hasher = Sha256::new();
                self.bytes(&path, &made, 0, until, Some(&mut hasher))?;
                large::check(&path, &facts, Digest::from_bytes(hasher.finalize().into()))?;
                self.work.task.fresh.close(&path, &made)?;
            }
        }
        self.place += 1;
        if until == facts.end() { self.stream.padding(facts.size) } else { Ok(()) }
    }

    fn bytes(
        &mut self,
        path: &str,
        file: &std::fs::File,
        mut offset: u64,
        until: u64,
        mut hasher: Option<&mut Sha256>,
    ) -> Result<(), Fault> {
        let fresh = self.work.task.fresh;
        self.stream.bytes(until, |bytes| {
            if let Some(hasher) = &mut hasher {
                hasher.update(bytes);
            }
            large::write_at(file, bytes, offset).map_err(|error| fresh.failed(path, error))?;
            offset += bytes.len() as u64;
            Ok(())
        })
    }
}

/// Makes an empty file.
pub(super) fn write_empty(fresh: &Fresh, path: &str, facts: &Facts) -> Result<(), Fault> {
    large::check(path, facts, Digest::of(b""))?;
    let made = fresh.file(path, facts.mode)?;
    fresh.close(path, &made)
}

/// Whether a header says of a file what the manifest does.
pub(super) fn check_header(
    entry: &Entry,
    root: &str,
    path: &str,
    facts: &Facts,
) -> Result<(), Fault> {
    let found = entry.path(root)?;
    let Kind::File { size, mode } = entry.kind else {
        return Err(Fault::Unlisted { name: entry.name.clone() });
    };
    if found != path {
        return Err(Fault::Unlisted { name: entry.name.clone() });
    }
    let path = path.to_owned();
    if size != facts.size {
        return Err(Fault::Size { path, expected: facts.size, found: size });
    }
    let expected = facts.mode.bits();
    if mode != expected {
        return Err(Fault::Mode { path, expected, found: mode });
    }
    Ok(())
}
