//! `.zip`: the directory at its end names every entry, the manifest too.
//!
//! The crate that reads it holds the whole directory in memory, some 400 bytes an entry: this format alone needs more
//! memory for more files.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use sha2::{Digest as _, Sha256};
use zip::ZipArchive;
use zip::read::ZipFile;

use super::entry::{Entry, Kind};
use super::error::Fault;
use super::fresh::Fresh;
use super::listing::Listing;
use super::seen::{Marks, Seen};
use super::{Memory, Tell, frames, large, root_of};
use crate::{BundlePath, Digest, MANIFEST_FILE};

/// A Unix file's kind, in its mode.
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

/// An archive whose directory was read.
pub(super) struct Opened<'a> {
    archive: ZipArchive<BufReader<&'a File>>,
    pub(super) listing: Listing,
    pub(super) root: String,
}

/// Reads the manifest, whose bytes are given to `tell`.
pub(super) fn open<'a>(
    archive: &'a File,
    memory: Memory,
    tell: Tell<'_>,
) -> Result<Opened<'a>, Fault> {
    let mut archive = ZipArchive::new(BufReader::new(archive)).map_err(failure)?;
    if archive.has_duplicate_names() {
        return Err(Fault::Twice { name: "an entry".to_owned() });
    }
    let names = archive.file_names().filter_map(Result::ok);
    let found = names.filter(|name| root_of(name).is_some()).min_by_key(|name| name.len());
    let name = found.map(std::borrow::Cow::into_owned).ok_or(Fault::NoManifest)?;
    let root = root_of(&name).ok_or(Fault::NoManifest)?.to_owned();
    let text = archive.by_name(&name).map_err(failure)?;
    let mut text = Told { text, tell, fault: None };
    let listing = Listing::read(&mut text, memory.for_listing());
    let listing = match text.fault.take() {
        Some(fault) => return Err(fault),
        None => listing?,
    };
    drop(text);
    Ok(Opened { archive, listing, root })
}

/// Tells of every byte that is read.
struct Told<'a, 'b, R: Read + Seek> {
    text: ZipFile<'a, R>,
    tell: Tell<'b>,
    fault: Option<Fault>,
}

impl<R: Read + Seek> Read for Told<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.text.read(buffer)?;
        (self.tell)(&buffer[..count]).map_err(|fault| {
            self.fault = Some(fault);
            io::Error::from(io::ErrorKind::InvalidData)
        })?;
        Ok(count)
    }
}

impl Opened<'_> {
    /// Writes everything but the manifest.
    pub(super) fn write(mut self, fresh: &Fresh) -> Result<(), Fault> {
        let seen = Seen::new(&self.listing);
        let files = Marks::new(self.listing.files.len());
        for index in 0..self.archive.len() {
            let mut file = self.archive.by_index(index).map_err(failure)?;
            let entry = entry(&mut file)?;
            let Kind::File { .. } = entry.kind else {
                seen.see(&entry, &self.root)?;
                continue;
            };
            let path = entry.path(&self.root)?;
            if path == MANIFEST_FILE {
                continue;
            }
            let unlisted = || Fault::Unlisted { name: entry.name.clone() };
            let number = self.listing.files.find(path).ok_or_else(unlisted)?;
            if !files.mark(number) {
                return Err(Fault::Twice { name: entry.name });
            }
            let facts = self.listing.facts(number);
            frames::check_header(&entry, &self.root, path, facts)?;
            let made = fresh.file(path, facts.mode)?;
            let digest = copy(&mut file, facts.size, path, &made, fresh)?;
            large::check(path, facts, digest)?;
            fresh.close(path, &made)?;
        }
        if let Some(file) = files.missing(self.listing.files.len()) {
            return Err(Fault::Missing { path: self.listing.path(file) });
        }
        seen.write_links(fresh)
    }
}

/// Writes what a file has, which is as much as was listed.
fn copy(
    from: &mut impl Read,
    expected: u64,
    path: &str,
    to: &File,
    fresh: &Fresh,
) -> Result<Digest, Fault> {
    let mut buffer = vec![0; 64 << 10];
    let (mut hasher, mut offset) = (Sha256::new(), 0);
    loop {
        let count = from.read(&mut buffer).map_err(Fault::stream)?;
        if count == 0 && offset == expected {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        let found = offset + count as u64;
        if count == 0 || found > expected {
            return Err(Fault::Size { path: path.to_owned(), expected, found });
        }
        hasher.update(&buffer[..count]);
        let written = large::write_at(to, &buffer[..count], offset);
        written.map_err(|error| fresh.failed(path, error))?;
        offset = found;
    }
}

fn entry<R: Read + Seek>(file: &mut ZipFile<'_, R>) -> Result<Entry, Fault> {
    let name = std::str::from_utf8(file.name_raw()).map(str::to_owned).map_err(|_| {
        Fault::Header { position: file.header_start(), reason: "its name is not UTF-8" }
    })?;
    let found = file.unix_mode().unwrap_or_default();
    let (bits, is_folder) = (found & 0o7777, name.ends_with('/'));
    let kind = match found & KIND {
        FOLDER if is_folder && bits != 0o755 => {
            return Err(Fault::Mode { path: name, expected: 0o755, found: bits });
        }
        FOLDER if is_folder => Kind::Folder,
        LINK if !is_folder => {
            let mut target = String::new();
            let most = BundlePath::MAX_LENGTH as u64 + 1;
            file.take(most).read_to_string(&mut target).map_err(Fault::stream)?;
            Kind::Link { target }
        }
        REGULAR if !is_folder => Kind::File { size: file.size(), mode: bits },
        _ => return Err(Fault::Kind { name, found: "something else" }),
    };
    let name = name.trim_end_matches('/').to_owned();
    Ok(Entry { name, kind })
}

fn failure(error: zip::result::ZipError) -> Fault {
    Fault::Stream { source: error.into() }
}
