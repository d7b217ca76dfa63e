//! A new version's folder, of files from wherever they come: kept ones of an installed version, the frames of an archive that
//! were fetched, a patch. What is right about each file is only what the manifest says, and the manifest is right if it has
//! the digest that somebody who is trusted named.
//!
//! Files may come in any order, and from each place as often as needed: whoever finds that a file of the installed version was
//! changed fetches it after all. Nothing is done before every file is there. Whatever fails, what was made is only good for
//! being thrown away.

use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError};

use super::decoders::Decoders;
use super::error::{ArchiveError, Attempt, Fault};
use super::frames::{self, Task};
use super::fresh::Fresh;
use super::installed::Installed;
use super::listing::Listing;
use super::patched::{self, PatchFile};
use super::seen::{self, Marks};
use super::source::FrameSource;
use super::{Memory, Options, keep, large};
use crate::delta::{Kept, Update};
use crate::{BundlePath, Digest, MANIFEST_FILE, Mode};

/// A version in the making. It is `<to>.partial`, which goes away with the value.
#[derive(Debug)]
pub struct Making {
    to: PathBuf,
    fresh: Fresh,
    listing: Listing,
    /// The archive's own folder, as soon as one of its entries was seen.
    root: OnceLock<String>,
    done: Marks,
    options: Options,
    /// Bytes of memory for decompressing.
    memory: u64,
    made: Made,
}

/// What a version was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The digest of its `manifest.json`.
    pub manifest: Digest,
    /// How many files it has, the manifest too.
    pub files: usize,
    /// How many symbolic links it has.
    pub links: usize,
    /// Bytes of all files but the manifest.
    pub bytes: u64,
    /// Files it has in common with the installed version, with two names.
    pub linked: u64,
    /// Files that share their bytes with those of the installed version on disk.
    pub cloned: u64,
    /// Files that were copied of the installed version.
    pub copied: u64,
    /// Files that a patch made.
    pub patched: u64,
    /// Frames that were read.
    pub frames: usize,
}

/// A version that is whole, and has not got its name yet: it can be tried. It goes away with the value.
#[derive(Debug)]
pub struct Prepared {
    to: PathBuf,
    fresh: Fresh,
    made: Made,
}

impl Making {
    /// Begins the version with this `manifest.json` at `to`, where nothing is, or an empty folder.
    ///
    /// # Errors
    /// When the manifest is not the expected one, or makes no sense, or nothing can be written there.
    pub fn begin(manifest: &[u8], to: &Path, options: &Options) -> Result<Self, ArchiveError> {
        begin(manifest, to, options).map_err(|fault| ArchiveError::new(Attempt::Make, to, fault))
    }

    /// Takes files of the version installed at `old`, and returns which of its files have been changed since: whoever wants
    /// the new ones that were to be made of these plans anew without them, and calls this again, or fetches them.
    ///
    /// # Errors
    /// When the new version cannot be written.
    pub fn keep(&mut self, kept: &[Kept<'_>], old: &Path) -> Result<Vec<BundlePath>, ArchiveError> {
        self.keep_of(kept, old).map_err(|fault| self.failed(fault))
    }

    /// Takes the files that are not there yet of an archive, from those frames that have them. No other byte is read, and
    /// frames are read in their order: `source` may wait for each until it is there.
    ///
    /// # Errors
    /// When anything is wrong with these frames, or the new version cannot be written.
    pub fn fetch(&mut self, source: &dyn FrameSource) -> Result<(), ArchiveError> {
        self.fetch_from(source).map_err(|fault| self.failed(fault))
    }

    /// Takes the files that are in a patch for the version installed at `old`.
    ///
    /// # Errors
    /// When anything is wrong with the patch, or it is of other versions, or the new version cannot be written.
    pub fn patch(&mut self, patch: &PatchFile<'_>, old: &Path) -> Result<(), ArchiveError> {
        self.patch_with(patch, old).map_err(|fault| self.failed(fault))
    }

    /// Ends it: every file must be there.
    ///
    /// # Errors
    /// When one is not, or a link cannot be made.
    pub fn finish(self) -> Result<Prepared, ArchiveError> {
        match self.write_links() {
            Ok(()) => Ok(Prepared { to: self.to, fresh: self.fresh, made: self.made }),
            Err(fault) => Err(self.failed(fault)),
        }
    }

    fn failed(&self, fault: Fault) -> ArchiveError {
        ArchiveError::new(Attempt::Make, &self.to, fault)
    }

    fn keep_of(&mut self, kept: &[Kept<'_>], old: &Path) -> Result<Vec<BundlePath>, Fault> {
        let mut wanted = Vec::with_capacity(kept.len());
        let mut indices = Vec::with_capacity(kept.len());
        for kept in kept {
            let index = self.index_of(kept.file.path.as_str())?;
            let facts = self.listing.facts(index);
            if (facts.sha256, facts.size, facts.mode)
                != (kept.file.sha256, kept.file.size, kept.file.mode)
            {
                return Err(Fault::Plan { path: kept.file.path.to_string() });
            }
            if !self.done.has(index) {
                wanted.push(*kept);
                indices.push(index);
            }
        }
        let Ok(installed) = Installed::open(old) else {
            return Ok(changed(wanted.into_iter().map(|kept| kept.from.path.clone()).collect()));
        };
        let threads = self.options.threads.get();
        let done = |index: usize| {
            self.done.mark(indices[index]);
        };
        let keep = keep::all(&self.fresh, &installed, &wanted, threads, done)?;
        self.made.linked += keep.linked.into_inner();
        self.made.cloned += keep.cloned.into_inner();
        self.made.copied += keep.copied.into_inner();
        Ok(changed(keep.changed.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    fn fetch_from(&mut self, source: &dyn FrameSource) -> Result<(), Fault> {
        let Self { listing, root, fresh, done, options, .. } = self;
        let decoders = &Decoders::new(self.memory);
        let task = Task { source, listing, root, decoders, fresh, done };
        self.made.frames += frames::write_lacking(&task, options.threads.get())?;
        for place in 0..listing.ordered() {
            done.mark(listing.in_order(place));
        }
        Ok(())
    }

    fn patch_with(&mut self, patch: &PatchFile<'_>, old: &Path) -> Result<(), Fault> {
        if patch.to() != self.made.manifest {
            let (expected, found) = (self.made.manifest, patch.to());
            return Err(Fault::PatchTo { expected, found });
        }
        let Self { listing, fresh, done, .. } = self;
        self.made.patched += patched::write(patch, old, listing, fresh, done)?;
        Ok(())
    }

    fn index_of(&self, path: &str) -> Result<usize, Fault> {
        let unlisted = || Fault::Plan { path: path.to_owned() };
        self.listing.files.find(path).ok_or_else(unlisted)
    }

    fn write_links(&self) -> Result<(), Fault> {
        let mut path = String::new();
        if let Some(file) = self.done.missing(self.listing.files.len()) {
            self.listing.files.read(file, &mut path);
            return Err(Fault::Lacking { path });
        }
        seen::write_links(&self.listing, &self.fresh)
    }
}

impl Prepared {
    /// Where it is until it is finished.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.fresh.partial()
    }

    /// What it was made of.
    #[must_use]
    pub fn made(&self) -> &Made {
        &self.made
    }

    /// Gives it its name; it is on disk before, if that is what the options say.
    ///
    /// # Errors
    /// When something came to be there meanwhile, or the system fails.
    pub fn finish(self) -> Result<Made, ArchiveError> {
        let Self { to, fresh, made } = self;
        match fresh.finish() {
            Ok(()) => Ok(made),
            Err(fault) => Err(ArchiveError::new(Attempt::Make, &to, fault)),
        }
    }
}

/// Makes the version with this `manifest.json` of the one installed at `old`, as `plan` says, and of an archive of which
/// `source` has what the plan fetches.
///
/// # Errors
/// [`Fault::Changed`] when a file that was to be kept is not what it was; nothing was fetched then. As [`Making`] otherwise.
pub fn update(
    source: &dyn FrameSource,
    manifest: &[u8],
    old: &Path,
    plan: &Update<'_>,
    to: &Path,
    options: &Options,
) -> Result<Prepared, ArchiveError> {
    let mut making = Making::begin(manifest, to, options)?;
    making.keep_all(plan, old)?;
    making.fetch(source)?;
    making.finish()
}

/// Makes a version of the one installed at `old` and a patch from it. `plan` is the update that the patch was made for.
///
/// # Errors
/// As [`update`].
pub fn patch_into(
    patch: &PatchFile<'_>,
    manifest: &[u8],
    old: &Path,
    plan: &Update<'_>,
    to: &Path,
    options: &Options,
) -> Result<Prepared, ArchiveError> {
    let mut making = Making::begin(manifest, to, options)?;
    making.keep_all(plan, old)?;
    making.patch(patch, old)?;
    making.finish()
}

impl Making {
    fn keep_all(&mut self, plan: &Update<'_>, old: &Path) -> Result<(), ArchiveError> {
        let paths = self.keep(&plan.kept, old)?;
        if paths.is_empty() { Ok(()) } else { Err(self.failed(Fault::Changed { paths })) }
    }
}

fn begin(manifest: &[u8], to: &Path, options: &Options) -> Result<Making, Fault> {
    let found = Digest::of(manifest);
    if let Some(expected) = options.manifest.filter(|expected| *expected != found) {
        return Err(Fault::ManifestDigest { expected, found });
    }
    let memory = Memory(options.memory);
    let listing = Listing::read(manifest, memory.for_listing())?;
    listing.check_frames()?;
    let fresh = Fresh::create(to, options.durability)?;
    let file = fresh.file(MANIFEST_FILE, Mode::Plain)?;
    large::write_at(&file, manifest, 0).map_err(|error| fresh.failed(MANIFEST_FILE, error))?;
    fresh.close(MANIFEST_FILE, &file)?;
    let done = Marks::new(listing.files.len());
    let mut path = String::new();
    for index in 0..listing.files.len() {
        let facts = listing.facts(index);
        if facts.size == 0 {
            listing.files.read(index, &mut path);
            frames::write_empty(&fresh, &path, facts)?;
            done.mark(index);
        }
    }
    let made = Made {
        manifest: found,
        files: listing.files.len() + 1,
        links: listing.links.len(),
        bytes: listing.size,
        linked: 0,
        cloned: 0,
        copied: 0,
        patched: 0,
        frames: 0,
    };
    // Whoever plans an update has the text of one manifest, and both of them as values, which take about as much each.
    let memory = memory.for_decoders(&listing).saturating_sub(3 * manifest.len() as u64);
    let (to, root, options) = (to.to_owned(), OnceLock::new(), *options);
    Ok(Making { to, fresh, listing, root, done, options, memory, made })
}

/// Sorted, each one once: several new files may be made of one.
fn changed(mut paths: Vec<BundlePath>) -> Vec<BundlePath> {
    paths.sort();
    paths.dedup();
    paths
}
