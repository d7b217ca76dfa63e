//! Archives of bundles, read and unpacked: `docs/format.md` is what they are, `docs/unpack.md` what is made of them. [`Making`] makes a
//! version of parts: of an installed one, of frames that were fetched, of a patch; [`check()`] compares an installed one with its manifest.
//!
//! Whoever made an archive is a stranger. So nothing in it is believed before it was compared with something else: the seek
//! table with the manifest, each frame's bytes with their digest before they are decompressed, each header of tar with
//! what the manifest says of that place, each file with its digest. Whose manifest it is, is not asked here: name its digest.
//!
//! Nothing is written that the manifest does not list, nothing outside of the folder that was named, and nothing stays when
//! anything is wrong. Memory is bounded ([`Options::memory`]), and so is what a bomb can put on the disk: what the manifest
//! promises, before it ends with an error.

mod check;
mod decoders;
mod entry;
mod error;
mod frame;
mod frames;
mod fresh;
mod gzip;
mod installed;
mod keep;
mod large;
mod listing;
mod making;
mod patched;
mod paths;
#[cfg(any(test, feature = "testing"))]
#[path = "tests/sample.rs"]
pub mod sample;
mod scratch;
mod seek_table;
mod seekable;
mod seen;
mod source;
mod tar_stream;
#[cfg(test)]
mod tests;
mod threads;
mod zip_file;

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::num::NonZeroUsize;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::{BundlePath, Digest, MANIFEST_FILE, Manifest, ManifestError, Mode};
use listing::Listing;

pub use check::{Difference, Kind, What, check};
pub use error::{ArchiveError, Attempt, Fault};
pub use fresh::Durability;
pub use making::{Made, Making, Prepared, patch_into, update};
pub use patched::PatchFile;
pub use source::FrameSource;

/// How an archive is unpacked.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many threads do it, at most; `.tar.zst` only.
    pub threads: NonZeroUsize,
    /// How much memory it may take, in bytes, with that of the program itself. Less than 48 MiB is too little for any.
    pub memory: u64,
    /// Whether it is on disk when it is done.
    pub durability: Durability,
    /// The digest that `manifest.json` must have, from somebody who is trusted.
    pub manifest: Option<Digest>,
}

/// What is enough memory for two hundred thousand files.
pub const USUAL_MEMORY: u64 = 64 << 20;

/// An archive that was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The name of its own folder, of which nothing is made.
    pub root: String,
    /// How many files there are, the manifest too.
    pub files: usize,
    /// How many symbolic links there are.
    pub links: usize,
    /// Bytes of all files but the manifest.
    pub bytes: u64,
    /// How many frames were read, but for those of the manifest and the end; a `.tar.gz` and a `.zip` have none.
    pub frames: usize,
    /// The digest of `manifest.json`.
    pub manifest: Digest,
}

/// Unpacks the bundle in the archive to the folder `to`, which must not exist or be empty: its files are directly in it.
///
/// # Errors
/// When anything at all is wrong. Nothing is left of it then.
pub fn unpack(archive: &Path, to: &Path, options: &Options) -> Result<Unpacked, ArchiveError> {
    let failed = |fault| ArchiveError::new(Attempt::Unpack, archive, fault);
    let file = File::open(archive).map_err(Fault::read).map_err(failed)?;
    let format = Format::of(&file).map_err(failed)?;
    unpack_as(format, &file, to, options).map_err(failed)
}

/// Unpacks a `.tar.zst` that need not be one file; see [`unpack`]. `name` is for messages.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_frames(
    source: &dyn FrameSource,
    name: &Path,
    to: &Path,
    options: &Options,
) -> Result<Unpacked, ArchiveError> {
    unpack_seekable(source, to, options)
        .map_err(|fault| ArchiveError::new(Attempt::Unpack, name, fault))
}

/// The manifest in an archive.
///
/// # Errors
/// When it is none, or there is none in it.
pub fn manifest(archive: &Path) -> Result<Manifest, ArchiveError> {
    let failed = |fault| ArchiveError::new(Attempt::ReadManifest, archive, fault);
    manifest_of(archive).map_err(failed)
}

/// The manifest of a `.tar.zst`, its text first, of which only the end is read: what an update begins with where the copy beside
/// the archive is not wanted. `name` is for messages.
///
/// # Errors
/// When there is none, or it has not the digest that the options say, or takes half the memory they allow.
pub fn read_manifest(
    source: &dyn FrameSource,
    name: &Path,
    options: &Options,
) -> Result<(Vec<u8>, Manifest), ArchiveError> {
    let read = || {
        let text = seekable::manifest(source, options.memory / 2)?;
        let found = Digest::of(&text);
        if let Some(expected) = options.manifest.filter(|expected| *expected != found) {
            return Err(Fault::ManifestDigest { expected, found });
        }
        let manifest = parse(&text)?;
        Ok((text, manifest))
    };
    read().map_err(|fault| ArchiveError::new(Attempt::ReadManifest, name, fault))
}

/// Is given the bytes of a manifest while it is read.
type Tell<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Fault>;

/// How memory is divided.
#[derive(Debug, Clone, Copy)]
struct Memory(u64);

impl Memory {
    /// The program, its threads and their buffers: the builder has 20 MiB before it does anything.
    const PROGRAM: u64 = 24 << 20;

    fn for_listing(self) -> u64 {
        self.0.saturating_sub(Self::PROGRAM + decoders::LARGEST)
    }

    fn for_decoders(self, listing: &Listing) -> u64 {
        self.0.saturating_sub(Self::PROGRAM + listing.memory())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Zst,
    Gz,
    Zip,
}

impl Format {
    /// By its first bytes.
    fn of(mut archive: &File) -> Result<Self, Fault> {
        let mut start = Vec::new();
        archive.take(4).read_to_end(&mut start).map_err(Fault::read)?;
        archive.rewind().map_err(Fault::read)?;
        match start.as_slice() {
            [0x28, 0xb5, 0x2f, 0xfd] => Ok(Self::Zst),
            [0x1f, 0x8b, ..] => Ok(Self::Gz),
            b"PK\x03\x04" => Ok(Self::Zip),
            _ => Err(Fault::Format),
        }
    }
}

fn unpack_as(format: Format, file: &File, to: &Path, options: &Options) -> Result<Unpacked, Fault> {
    if format == Format::Zst {
        return unpack_seekable(file, to, options);
    }
    let memory = Memory(options.memory);
    let mut writing = Writing::begin(to, options)?;
    match format {
        Format::Zip => {
            let opened = zip_file::open(file, memory, &mut |bytes| writing.add(bytes))?;
            let unpacked = writing.manifest(&opened.root, &opened.listing)?;
            opened.write(&writing.fresh)?;
            writing.finish(unpacked)
        }
        Format::Gz | Format::Zst => {
            let (root, listing) = gzip::open(file, memory, &mut |bytes| writing.add(bytes))?;
            let unpacked = writing.manifest(&root, &listing)?;
            gzip::write(file, &listing, &root, &writing.fresh)?;
            writing.finish(unpacked)
        }
    }
}

fn unpack_seekable(
    source: &dyn FrameSource,
    to: &Path,
    options: &Options,
) -> Result<Unpacked, Fault> {
    let memory = Memory(options.memory);
    let mut writing = Writing::begin(to, options)?;
    let opened = seekable::open(source, memory, &mut |bytes| writing.add(bytes))?;
    let unpacked = writing.manifest(&opened.root, &opened.listing)?;
    opened.write(&writing.fresh, memory, options.threads.get())?;
    writing.finish(unpacked)
}

/// A folder in the making, and the manifest that is written to it while it is read.
struct Writing {
    fresh: fresh::Fresh,
    file: File,
    length: u64,
    hasher: Sha256,
    expected: Option<Digest>,
}

impl Writing {
    fn begin(to: &Path, options: &Options) -> Result<Self, Fault> {
        let fresh = fresh::Fresh::create(to, options.durability)?;
        let file = fresh.file(MANIFEST_FILE, Mode::Plain)?;
        Ok(Self { fresh, file, length: 0, hasher: Sha256::new(), expected: options.manifest })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.hasher.update(bytes);
        let written = large::write_at(&self.file, bytes, self.length);
        self.length += bytes.len() as u64;
        written.map_err(|error| self.fresh.failed(MANIFEST_FILE, error))
    }

    /// Ends the manifest, and says what there will be if all goes well.
    fn manifest(&mut self, root: &str, listing: &Listing) -> Result<Unpacked, Fault> {
        self.fresh.close(MANIFEST_FILE, &self.file)?;
        let found = Digest::from_bytes(std::mem::take(&mut self.hasher).finalize().into());
        if let Some(expected) = self.expected.filter(|expected| *expected != found) {
            return Err(Fault::ManifestDigest { expected, found });
        }
        Ok(Unpacked {
            root: root.to_owned(),
            files: listing.files.len() + 1,
            links: listing.links.len(),
            bytes: listing.size,
            frames: listing.frames.len(),
            manifest: found,
        })
    }

    fn finish(self, unpacked: Unpacked) -> Result<Unpacked, Fault> {
        self.fresh.finish()?;
        Ok(unpacked)
    }
}

fn manifest_of(archive: &Path) -> Result<Manifest, Fault> {
    /// Whoever wants the whole manifest in memory has it.
    const MEMORY: Memory = Memory(u64::MAX);
    let file = File::open(archive).map_err(Fault::read)?;
    let mut bytes = Vec::new();
    let mut tell = |more: &[u8]| {
        bytes.extend_from_slice(more);
        Ok(())
    };
    match Format::of(&file)? {
        Format::Zst => drop(seekable::open(&file, MEMORY, &mut tell)?),
        Format::Gz => drop(gzip::open(&file, MEMORY, &mut tell)?),
        Format::Zip => drop(zip_file::open(&file, MEMORY, &mut tell)?),
    }
    parse(&bytes)
}

fn parse(text: &[u8]) -> Result<Manifest, Fault> {
    Manifest::from_json(text).map_err(|error| match error {
        ManifestError::Version(found) => Fault::Version { found },
        ManifestError::Syntax(error) => Fault::Manifest { reason: error.to_string() },
        ManifestError::Programs(error) => Fault::Manifest { reason: error.to_string() },
    })
}

/// The archive's own folder, if `name` is that of the manifest in it.
fn root_of(name: &str) -> Option<&str> {
    let root = name.strip_suffix(MANIFEST_FILE)?.strip_suffix('/')?;
    (!root.contains('/') && BundlePath::new(root).is_ok()).then_some(root)
}
