//! An archive on a server, read while it is fetched.
//!
//! What is wanted is fetched by several requests at a time, from the front; what a reader waits for comes first. So whoever unpacks it decides the order,
//! and never waits for bytes that it does not need. All bytes go to a scratch file, from which they are read as often as anybody likes.
//!
//! Bytes that are no good are fetched again, once a reader rejects them: an earlier attempt may have left them, or a network may have damaged them.
//! A server that knows no ranges is asked for everything, and what is not wanted of it is kept as well: it cannot be asked for later.

use std::io;
use std::sync::Arc;

use camino::Utf8Path;
use gangway_artifact::archive::FrameSource;
use gangway_artifact::trust::NamedFile;
use tokio::runtime::Handle;

use super::error::Told;
use super::http::Http;
use super::pieces::{Here, Pieces, Spot};
use super::place::redacted;
use super::requests::Shared;
use super::scratch::Scratch;
use super::{FetchError, Meter, Wanted, journal};

/// The archive's end, which has its seek table, is fetched at once.
const END: u64 = 64 << 10;
/// How often bytes are fetched again that were no good: those of an earlier attempt, and once more.
const MOST_REJECTIONS: u32 = 2;

/// An archive on a server.
pub(super) struct Remote {
    shared: Arc<Shared>,
    /// Whether anything is there from an earlier attempt.
    pub(super) is_resumed: bool,
}

impl Remote {
    pub(super) fn open(
        http: Arc<Http>,
        handle: Handle,
        archive: &NamedFile,
        wanted: Wanted<'_>,
        scratch: &Utf8Path,
        meter: Arc<dyn Meter>,
    ) -> Result<Self, FetchError> {
        let scratch = Scratch::open(scratch)?;
        let mut pieces = Pieces::new(archive.size, http.settings.request);
        adopt(&mut pieces, &scratch, archive)?;
        let present = pieces.present();
        meter.expect(present, present);
        let shared = Shared::new(http, handle, archive, scratch, pieces, meter);
        let remote = Self { shared, is_resumed: present > 0 };
        remote.want(wanted);
        Ok(remote)
    }

    /// Fetches these as well.
    pub(super) fn want(&self, wanted: Wanted<'_>) {
        let mut state = self.shared.lock();
        let added = match wanted {
            Wanted::Everything => state.pieces.want(0, self.shared.archive.size),
            Wanted::Ranges(ranges) => (ranges.iter())
                .map(|range| {
                    state.pieces.want(range.offset, range.offset.saturating_add(range.size))
                })
                .sum(),
            Wanted::Nothing => 0,
        };
        self.shared.meter.expect(added, 0);
        self.shared.start_workers(&mut state);
    }

    /// Forgets the archive's last bytes, if they may be from an earlier attempt: those with the manifest have no digest that is known before it is read. Says
    /// whether it is worth reading them again.
    pub(super) fn forget_end(&self) -> bool {
        let shared = &self.shared;
        let end = shared.archive.size;
        let start = end.saturating_sub(shared.http.settings.request.max(END));
        let mut state = shared.lock();
        while state.failure.is_none() && state.pieces.is_busy(start, end) {
            state = shared.await_change(state);
        }
        if !self.is_resumed || state.failure.is_some() {
            return false;
        }
        shared.meter.again(state.pieces.reject(start, end));
        true
    }

    /// Waits until there are bytes at `offset`; at most `wanted` are needed.
    fn wait(&self, offset: u64, wanted: u64) -> Result<Spot, Told> {
        let shared = &self.shared;
        let mut state = shared.lock();
        loop {
            match state.pieces.here(offset) {
                Here::Filled(spot) => return Ok(spot),
                Here::Coming(begin) => {
                    if !state.urgent.contains(&begin) {
                        state.urgent.push(begin);
                    }
                }
                Here::Unknown(until) => {
                    let size = shared.archive.size;
                    let start =
                        if size - offset <= END { size.saturating_sub(END) } else { offset };
                    let most = wanted.max(shared.http.settings.request);
                    let end = until.min(offset.saturating_add(most));
                    let added = state.pieces.want(start, end);
                    shared.meter.expect(added, 0);
                    continue;
                }
            }
            if let Some(told) = &state.failure {
                return Err(told.clone());
            }
            shared.start_workers(&mut state);
            state = shared.await_change(state);
        }
    }

    /// Removes what was fetched.
    pub(super) fn discard(self) -> Result<(), FetchError> {
        let path = self.shared.scratch.path.clone();
        drop(self);
        for path in [journal::path(&path), path] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FetchError::Write { path, source: error });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl FrameSource for Remote {
    fn length(&self) -> io::Result<u64> {
        Ok(self.shared.archive.size)
    }

    fn read_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.shared.archive.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.shared.http.interruption.signal().is_some() {
            return Err(Told::interrupted().into());
        }
        while !buffer.is_empty() {
            let spot = self.wait(offset, buffer.len() as u64)?;
            let length = usize::try_from(spot.length).unwrap_or(usize::MAX).min(buffer.len());
            let (now, later) = buffer.split_at_mut(length);
            self.shared.scratch.read(now, spot.place)?;
            offset += length as u64;
            buffer = later;
        }
        Ok(())
    }

    fn reject(&self, offset: u64, length: u64) -> io::Result<bool> {
        let shared = &self.shared;
        let end = offset.saturating_add(length);
        let mut state = shared.lock();
        while state.failure.is_none() && state.pieces.is_busy(offset, end) {
            state = shared.await_change(state);
        }
        if let Some(told) = &state.failure {
            return Err(told.clone().into());
        }
        let times = state.rejections.entry(offset).or_default();
        *times += 1;
        if *times > MOST_REJECTIONS {
            let url = redacted(&shared.url);
            return Err(Told(Arc::new(FetchError::Changed { url, offset, length })).into());
        }
        shared.meter.again(state.pieces.reject(offset, end));
        Ok(true)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.tasks.drain(..).for_each(|task| task.abort());
        self.shared.save(&mut state);
    }
}

/// Takes over what an earlier attempt left.
fn adopt(pieces: &mut Pieces, scratch: &Scratch, archive: &NamedFile) -> Result<(), FetchError> {
    let is_adopted = match journal::load(&scratch.path, archive) {
        Some(kept) => pieces.adopt(&kept, scratch.length()?),
        None => false,
    };
    if is_adopted { Ok(()) } else { scratch.clear() }
}
