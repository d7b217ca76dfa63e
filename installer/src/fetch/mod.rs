//! What the installer gets from elsewhere: a channel's metadata, manifests, archives or parts of them.
//!
//! A [`Place`] is an address or a folder; a [`Depot`] is an open one. Every file but a channel's metadata is named by that metadata with its size and
//! SHA-256 ([`NamedFile`]), and nothing else is ever handed out: not what a server that lies sends, nor what lies on the disk from an earlier attempt.
//! Of an [`Archive`] the frames are compared by whoever unpacks it, as their digests are in its manifest.
//!
//! What is tried again: connections that fail or go quiet, answers that break off, and the answers 408, 429 and 5xx. There is no limit on the time that
//! a download takes, only on how long nothing may come. Everything here blocks, and must not be called from the event loop.

mod archive;
mod client;
mod download;
mod error;
mod http;
mod journal;
mod meter;
mod patience;
mod pieces;
mod place;
mod remote;
mod requests;
mod scratch;
mod settings;

use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::delta::ranges::Range;
use gangway_artifact::trust::{self, NamedFile};

use crate::context::Context;
use crate::interruption::Interruption;
use http::Http;
use patience::Patience;

pub use archive::Archive;
pub use error::FetchError;
pub use meter::{Meter, Traffic};
pub use place::{Address, Place};
pub use settings::{ALLOW_HTTP, BASE_URL, PlainHttp, Proxies, RETRIES, Settings, TIMEOUT};

/// An open place: files of one release's folder.
#[derive(Debug)]
pub struct Depot {
    place: Place,
    source: Source,
    handle: tokio::runtime::Handle,
    interruption: Interruption,
}

#[derive(Debug)]
enum Source {
    Web(Arc<Http>),
    Folder(Utf8PathBuf),
}

/// Which parts of an archive are fetched before anybody asks for them. What is not among them is fetched when it is read.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// All of it, from the front.
    Everything,
    /// These.
    Ranges(&'a [Range]),
    /// None.
    Nothing,
}

impl Depot {
    /// Opens a place. Nothing is asked of a server yet.
    ///
    /// # Errors
    /// When a folder is not there, an address must not be used, or the settings make no sense.
    pub fn open(context: &Context, place: Place, settings: Settings) -> Result<Self, FetchError> {
        let handle = context.handle().clone();
        if matches!(&place, Place::Web(address) if address.is_encrypted())
            && context.now < SystemTime::UNIX_EPOCH
        {
            return Err(FetchError::NoClock);
        }
        let interruption = context.interruption.clone();
        let source = match &place {
            Place::Web(address) => {
                let http = Http::new(address.clone(), settings, interruption.clone())?;
                Source::Web(Arc::new(http))
            }
            Place::Folder(path) if path.is_dir() => Source::Folder(path.clone()),
            Place::Folder(path) => return Err(FetchError::NoFolder { path: path.clone() }),
        };
        Ok(Self { place, source, handle, interruption })
    }

    /// What was opened.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What went over the wire so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        match &self.source {
            Source::Web(http) => http.counter.traffic(),
            Source::Folder(_) => Traffic::default(),
        }
    }

    /// The bytes of a small file of which no digest is known. They are those of now: nobody on the way may answer with what they kept.
    ///
    /// # Errors
    /// When it cannot be had, or has more than `limit` bytes.
    pub fn read(&self, name: &str, limit: u64, meter: &dyn Meter) -> Result<Vec<u8>, FetchError> {
        check(name)?;
        match &self.source {
            Source::Web(http) => self.run(download::read(http, name, limit, meter)),
            Source::Folder(folder) => download::read_local(&folder.join(name), limit),
        }
    }

    /// Has the file at `to`, with the right bytes. One that is there already is not fetched again, and one that was fetched in part
    /// (`<to>.part`) only the rest of.
    ///
    /// # Errors
    /// When it cannot be had, or is not what it must be.
    pub fn fetch(
        &self,
        file: &NamedFile,
        to: &Utf8Path,
        meter: &dyn Meter,
    ) -> Result<(), FetchError> {
        check(&file.name)?;
        if download::is_there(file, to)? {
            meter.expect(file.size, file.size);
            return Ok(());
        }
        match &self.source {
            Source::Web(http) => self.run(download::fetch(http, file, to, meter)),
            Source::Folder(folder) => {
                let from = folder.join(&file.name);
                download::copy(&from, file, to, (meter, &self.interruption))
            }
        }
    }

    /// Opens an archive. What is fetched of it is kept in the file `scratch` until [`Archive::discard`], so that the next attempt need not fetch it
    /// again; a folder's archive is read where it is.
    ///
    /// # Errors
    /// When there is none in the folder, or the scratch file cannot be made. What a server says comes to those who read.
    pub fn archive(
        &self,
        file: &NamedFile,
        wanted: Wanted<'_>,
        scratch: &Utf8Path,
        meter: Arc<dyn Meter>,
    ) -> Result<Archive, FetchError> {
        check(&file.name)?;
        match &self.source {
            Source::Web(http) => {
                let http = Arc::clone(http);
                Archive::remote(http, self.handle.clone(), file, wanted, scratch, meter)
            }
            Source::Folder(folder) => {
                let interruption = self.interruption.clone();
                Archive::local(&folder.join(&file.name), file, wanted, (meter, interruption))
            }
        }
    }

    /// Runs network work to its end, or until it is interrupted.
    fn run<T>(&self, work: impl Future<Output = Result<T, FetchError>>) -> Result<T, FetchError> {
        self.handle.block_on(async {
            tokio::select! {
                biased;
                done = work => done,
                () = self.interruption.arrived() => Err(FetchError::Interrupted),
            }
        })
    }
}

/// Whoever names a file, it is in the folder.
fn check(name: &str) -> Result<(), FetchError> {
    match trust::file_fault(name) {
        Some(reason) => Err(FetchError::Name { name: name.to_owned(), reason }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
