//! An archive, wherever it is, for whoever unpacks it.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use camino::Utf8Path;
use gangway_artifact::archive::FrameSource;
use gangway_artifact::trust::NamedFile;
use tokio::runtime::Handle;

use super::error::Told;
use super::http::Http;
use super::remote::Remote;
use super::{FetchError, Meter, Wanted};
use crate::interruption::Interruption;

/// An archive that is read while it is fetched, or where it is.
pub struct Archive(Kind);

enum Kind {
    Remote(Remote),
    Local(Local),
}

impl Archive {
    pub(super) fn remote(
        http: Arc<Http>,
        handle: Handle,
        file: &NamedFile,
        wanted: Wanted<'_>,
        scratch: &Utf8Path,
        meter: Arc<dyn Meter>,
    ) -> Result<Self, FetchError> {
        Remote::open(http, handle, file, wanted, scratch, meter).map(Kind::Remote).map(Self)
    }

    pub(super) fn local(
        path: &Utf8Path,
        file: &NamedFile,
        wanted: Wanted<'_>,
        (meter, interruption): (Arc<dyn Meter>, Interruption),
    ) -> Result<Self, FetchError> {
        let local = Local::open(path, file, meter, interruption)?;
        local.want(wanted);
        Ok(Self(Kind::Local(local)))
    }

    /// Fetches these parts as well, before anybody asks for them.
    pub fn want(&self, wanted: Wanted<'_>) {
        match &self.0 {
            Kind::Remote(remote) => remote.want(wanted),
            Kind::Local(local) => local.want(wanted),
        }
    }

    /// Whether some of it is from an earlier attempt. Frames that are no good are fetched again by themselves; when something else is wrong with the
    /// archive, it is worth [discarding](Self::discard) it and trying again.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        matches!(&self.0, Kind::Remote(remote) if remote.is_resumed)
    }

    /// Forgets the archive's end, with its manifest, if it may be from an earlier attempt and no good. Says whether it is worth reading it again.
    #[must_use]
    pub fn forget_end(&self) -> bool {
        matches!(&self.0, Kind::Remote(remote) if remote.forget_end())
    }

    /// Removes what was fetched of it. Otherwise it stays, for the next attempt.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(self) -> Result<(), FetchError> {
        match self.0 {
            Kind::Remote(remote) => remote.discard(),
            Kind::Local(_) => Ok(()),
        }
    }
}

impl FrameSource for Archive {
    fn length(&self) -> io::Result<u64> {
        match &self.0 {
            Kind::Remote(remote) => remote.length(),
            Kind::Local(local) => Ok(local.size),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.0 {
            Kind::Remote(remote) => remote.read_at(buffer, offset),
            Kind::Local(local) => local.read_at(buffer, offset),
        }
    }

    fn reject(&self, offset: u64, length: u64) -> io::Result<bool> {
        match &self.0 {
            Kind::Remote(remote) => remote.reject(offset, length),
            Kind::Local(_) => Ok(false),
        }
    }
}

/// An archive in a folder.
struct Local {
    file: File,
    size: u64,
    meter: Arc<dyn Meter>,
    interruption: Interruption,
    /// A bit for each block that was read, so that none is counted twice.
    seen: Vec<AtomicU64>,
}

/// What is counted at once.
const BLOCK: u64 = 64 << 10;

impl Local {
    fn open(
        path: &Utf8Path,
        file: &NamedFile,
        meter: Arc<dyn Meter>,
        interruption: Interruption,
    ) -> Result<Self, FetchError> {
        let failed = |source| FetchError::Read { path: path.to_owned(), source };
        let open = File::open(path).map_err(failed)?;
        let (found, expected) = (open.metadata().map_err(failed)?.len(), file.size);
        if found != expected {
            return Err(FetchError::Size { url: path.to_string(), expected, found });
        }
        let words = usize::try_from(expected.div_ceil(BLOCK * 64)).unwrap_or_default();
        let seen = std::iter::repeat_with(AtomicU64::default).take(words).collect();
        Ok(Self { file: open, size: expected, meter, interruption, seen })
    }

    fn want(&self, wanted: Wanted<'_>) {
        let bytes = match wanted {
            Wanted::Everything => self.size,
            Wanted::Ranges(ranges) => ranges.iter().map(|range| range.size).sum(),
            Wanted::Nothing => 0,
        };
        self.meter.expect(bytes, 0);
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.interruption.signal().is_some() {
            return Err(Told::interrupted().into());
        }
        FrameSource::read_at(&self.file, buffer, offset)?;
        let end = offset + buffer.len() as u64;
        let blocks = offset / BLOCK..end.div_ceil(BLOCK);
        let new: u64 = blocks.map(|block| self.see(block)).sum();
        if new > 0 {
            self.meter.advance(new);
        }
        Ok(())
    }

    /// The bytes of a block that was not seen before.
    fn see(&self, block: u64) -> u64 {
        let Some(word) = usize::try_from(block / 64).ok().and_then(|word| self.seen.get(word))
        else {
            return 0;
        };
        let bit = 1 << (block % 64);
        match word.fetch_or(bit, Ordering::Relaxed) & bit {
            0 => BLOCK.min(self.size - block * BLOCK),
            _ => 0,
        }
    }
}
