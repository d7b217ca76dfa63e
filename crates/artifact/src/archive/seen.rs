//! What was come across of an archive, so that nothing is there twice, and nothing is missing.

use std::sync::atomic::{AtomicU64, Ordering};

use super::entry::{Entry, Kind};
use super::error::Fault;
use super::fresh::Fresh;
use super::listing::Listing;

/// The folders and links that were seen, by any thread.
pub(super) struct Seen<'a> {
    listing: &'a Listing,
    links: Marks,
    /// The last one is the archive's own.
    folders: Marks,
}

/// A number of things, each of which is to be marked once.
#[derive(Debug)]
pub(super) struct Marks(Vec<AtomicU64>);

impl Marks {
    pub(super) fn new(count: usize) -> Self {
        Self((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Marks one; says whether it is the first time.
    pub(super) fn mark(&self, index: usize) -> bool {
        let bit = 1 << (index % 64);
        self.0[index / 64].fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Whether one is marked.
    pub(super) fn has(&self, index: usize) -> bool {
        self.0[index / 64].load(Ordering::Relaxed) & 1 << (index % 64) != 0
    }

    /// The first of `count` that is not marked.
    pub(super) fn missing(&self, count: usize) -> Option<usize> {
        (0..count).find(|index| !self.has(*index))
    }
}

impl<'a> Seen<'a> {
    pub(super) fn new(listing: &'a Listing) -> Self {
        let links = Marks::new(listing.links.len());
        Self { listing, links, folders: Marks::new(listing.folders.len() + 1) }
    }

    /// Notes a folder or link, in the archive's folder `root`.
    pub(super) fn see(&self, entry: &Entry, root: &str) -> Result<(), Fault> {
        let unlisted = || Fault::Unlisted { name: entry.name.clone() };
        let path = entry.path(root)?;
        let is_first = match &entry.kind {
            Kind::Folder if path.is_empty() => self.folders.mark(self.listing.folders.len()),
            Kind::Folder => {
                self.folders.mark(self.listing.folders.find(path).ok_or_else(unlisted)?)
            }
            Kind::Link { target } => {
                let link = self.listing.links.find(path).ok_or_else(unlisted)?;
                let expected = self.listing.target(link);
                if target != expected {
                    let (path, expected) = (path.to_owned(), expected.to_owned());
                    return Err(Fault::LinkTarget { path, expected, found: target.clone() });
                }
                self.links.mark(link)
            }
            Kind::File { .. } => return Err(unlisted()),
        };
        match is_first {
            true => Ok(()),
            false => Err(Fault::Twice { name: entry.name.clone() }),
        }
    }

    /// Makes the links, when all files are written.
    pub(super) fn write_links(&self, fresh: &Fresh) -> Result<(), Fault> {
        let Listing { links, folders, .. } = self.listing;
        let mut path = String::new();
        if let Some(link) = self.links.missing(links.len()) {
            links.read(link, &mut path);
            return Err(Fault::Missing { path });
        }
        if let Some(folder) = self.folders.missing(folders.len()) {
            folders.read(folder, &mut path);
            return Err(Fault::Missing { path });
        }
        write_links(self.listing, fresh)
    }
}

/// Makes all links.
pub(super) fn write_links(listing: &Listing, fresh: &Fresh) -> Result<(), Fault> {
    let mut fault = None;
    listing.links.each(|link, path| {
        if fault.is_none() {
            fault = fresh.link(path, listing.target(link)).err();
        }
    });
    fault.map_or(Ok(()), Err)
}
