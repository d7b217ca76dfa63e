//! Files that a patch makes of those of an installed version: `docs/delta.md` is what a patch is.
//!
//! Memory is bounded by one step's content: what it is made of is read from the old files where an instruction asks for it, and what it
//! makes is written as it comes. Nothing in a patch is believed: every file that comes of it must have its digest.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::error::{ArchiveError, Attempt, Fault};
use super::fresh::Fresh;
use super::installed::{Installed, Near};
use super::large;
use super::listing::{Facts, Listing};
use super::seen::Marks;
use super::source::FrameSource;
use crate::delta::patch::{self, EditError, Head, PATCH_MAGIC, Part, Slice, Step};
use crate::{Digest, MANIFEST_FILE};

/// The most that the head of a patch may have, and the most of a manifest: both are held in memory.
const MOST_HEAD: u64 = 16 << 20;
const MOST_MANIFEST: u64 = 64 << 20;

/// How many bytes of the old version are read at once, and how many such parts are held.
const PAGE: u64 = 256 << 10;
const PAGES: usize = 16;

/// A patch, whose head was read.
pub struct PatchFile<'a> {
    source: &'a dyn FrameSource,
    head: Head,
    /// Where the first step's frame begins.
    start: u64,
}

impl std::fmt::Debug for PatchFile<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PatchFile").field("head", &self.head).finish_non_exhaustive()
    }
}

impl<'a> PatchFile<'a> {
    /// Reads the head of a patch; `name` is for messages.
    ///
    /// # Errors
    /// When it is none, or no builder made it.
    pub fn open(source: &'a dyn FrameSource, name: &Path) -> Result<Self, ArchiveError> {
        open(source).map_err(|fault| ArchiveError::new(Attempt::ReadPatch, name, fault))
    }

    /// The digest of the `manifest.json` it starts from.
    #[must_use]
    pub fn from(&self) -> Digest {
        self.head.from
    }

    /// The digest of the `manifest.json` it leads to.
    #[must_use]
    pub fn to(&self) -> Digest {
        self.head.to
    }

    /// The new version's `manifest.json`, made of that of the version installed at `old`. It has the digest [`Self::to`].
    ///
    /// # Errors
    /// When the patch is not one from that version, or damaged.
    pub fn manifest(&self, old: &Path) -> Result<Vec<u8>, ArchiveError> {
        self.make_manifest(old).map_err(|fault| ArchiveError::new(Attempt::ReadPatch, old, fault))
    }

    fn make_manifest(&self, old: &Path) -> Result<Vec<u8>, Fault> {
        let installed = self.check_old(old)?;
        let mut text = Vec::new();
        let is_manifest = |slice: &Slice| slice.path.as_str() == MANIFEST_FILE;
        let size =
            self.head.steps.iter().flat_map(|step| &step.new).filter(|slice| is_manifest(slice));
        let size = size.fold(0_u64, |sum, slice| sum.saturating_add(slice.size));
        if size > MOST_MANIFEST {
            return Err(Fault::Memory { needed: size, most: MOST_MANIFEST });
        }
        self.each_step(
            &installed,
            |step| step.new.iter().any(is_manifest),
            |slice, part| {
                if is_manifest(slice) {
                    text.extend_from_slice(part);
                }
                Ok(())
            },
        )?;
        let (expected, found) = (self.head.to, Digest::of(&text));
        if found == expected { Ok(text) } else { Err(Fault::ManifestDigest { expected, found }) }
    }

    /// The version at `old`, if it is the one that the patch starts from.
    fn check_old(&self, old: &Path) -> Result<Installed, Fault> {
        let read = |source| Fault::Old { path: old.join(MANIFEST_FILE), source };
        let installed = Installed::open(old).map_err(read)?;
        let file = installed.near().file(MANIFEST_FILE).map_err(read)?;
        let (found, _) = Digest::of_reader(file).map_err(read)?;
        let expected = self.head.from;
        if found == expected { Ok(installed) } else { Err(Fault::PatchFrom { expected, found }) }
    }

    /// Gives what the steps make to `each`, with the slice it is of; those that are not wanted are passed over.
    fn each_step(
        &self,
        installed: &Installed,
        is_wanted: impl Fn(&Step) -> bool,
        mut each: impl FnMut(&Slice, &[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut at = self.start;
        let mut buffer = Vec::new();
        for (index, step) in self.head.steps.iter().enumerate() {
            if is_wanted(step) {
                let edit = self.content(index, step, at)?;
                let mut old = OldBytes::new(installed.near(), &step.old);
                let mut new = NewBytes { slices: &step.new, done: 0 };
                let size = step.new.iter().map(|slice| slice.size).sum();
                patch::follow(&edit, old.size, size, |part| match part {
                    Part::Copied(bytes) => new.write(bytes, &mut each),
                    Part::Added { at, bytes } => {
                        for (index, bytes) in bytes.chunks(64 << 10).enumerate() {
                            buffer.resize(bytes.len(), 0);
                            old.read(&mut buffer, at + (index as u64 * (64 << 10)))?;
                            for (old, add) in buffer.iter_mut().zip(bytes) {
                                *old = old.wrapping_add(*add);
                            }
                            new.write(&buffer, &mut each)?;
                        }
                        Ok(())
                    }
                })?;
            }
            at += step.size;
        }
        Ok(())
    }

    /// The content of a step's frame.
    fn content(&self, index: usize, step: &Step, at: u64) -> Result<Vec<u8>, Fault> {
        // The head was checked: the content is no more than steps have.
        let plain = usize::try_from(step.plain).unwrap_or(usize::MAX);
        let most = zstd::zstd_safe::compress_bound(plain) as u64;
        let frame = if step.size > most { None } else { Some(read(self.source, at, step.size)?) };
        frame.and_then(|frame| unpack(&frame, step.plain)).ok_or_else(|| Fault::Patch {
            reason: format!("step {index} cannot be decompressed to {plain} bytes"),
        })
    }
}

/// Writes the files of a patch, and says how many they are.
pub(super) fn write(
    patch: &PatchFile<'_>,
    old: &Path,
    listing: &Listing,
    fresh: &Fresh,
    done: &Marks,
) -> Result<u64, Fault> {
    let installed = patch.check_old(old)?;
    let mut growing: HashMap<usize, Growing> = HashMap::new();
    let mut count = 0;
    patch.each_step(
        &installed,
        |_| true,
        |slice, bytes| {
            let path = slice.path.as_str();
            // It was needed before everything else.
            if path == MANIFEST_FILE {
                return Ok(());
            }
            let index = listing.files.find(path);
            let index = index.ok_or_else(|| Fault::Unlisted { name: path.to_owned() })?;
            if done.has(index) {
                return Err(Fault::Twice { name: path.to_owned() });
            }
            let file = match growing.entry(index) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    let facts = *listing.facts(index);
                    let file = fresh.file(path, facts.mode)?;
                    entry.insert(Growing { file, facts, hasher: Sha256::new(), at: 0 })
                }
            };
            if file.add(path, bytes, fresh)? {
                growing.remove(&index);
                done.mark(index);
                count += 1;
            }
            Ok(())
        },
    )?;
    match growing.iter().next() {
        None => Ok(count),
        Some((index, file)) => {
            let (path, expected) = (listing.path(*index), file.facts.size);
            Err(Fault::Size { path, expected, found: file.at })
        }
    }
}

/// A file that a patch makes, from its beginning to its end.
struct Growing {
    file: File,
    facts: Facts,
    hasher: Sha256,
    at: u64,
}

impl Growing {
    /// Adds the next bytes; says whether they were the last ones, and the file is right.
    fn add(&mut self, path: &str, bytes: &[u8], fresh: &Fresh) -> Result<bool, Fault> {
        let end = self.at + bytes.len() as u64;
        if end > self.facts.size {
            let path = path.to_owned();
            return Err(Fault::Size { path, expected: self.facts.size, found: end });
        }
        self.hasher.update(bytes);
        let written = large::write_at(&self.file, bytes, self.at);
        written.map_err(|error| fresh.failed(path, error))?;
        self.at = end;
        if end < self.facts.size {
            return Ok(false);
        }
        let found = std::mem::take(&mut self.hasher).finalize();
        large::check(path, &self.facts, Digest::from_bytes(found.into()))?;
        fresh.close(path, &self.file)?;
        Ok(true)
    }
}

/// What a step makes, divided among its slices.
struct NewBytes<'a> {
    slices: &'a [Slice],
    /// How much of the first one is made.
    done: u64,
}

impl NewBytes<'_> {
    fn write(
        &mut self,
        mut bytes: &[u8],
        each: &mut impl FnMut(&Slice, &[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let [slice, rest @ ..] = self.slices else {
                return Err(Fault::Patch { reason: "a step makes too much".to_owned() });
            };
            let left = slice.size - self.done;
            if left == 0 {
                (self.slices, self.done) = (rest, 0);
                continue;
            }
            let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (part, more) = bytes.split_at(count);
            each(slice, part)?;
            self.done += count as u64;
            bytes = more;
        }
        Ok(())
    }
}

/// What a step starts from: slices of old files, one after the other, of which a few parts are held.
struct OldBytes<'a> {
    near: Near<'a>,
    slices: &'a [Slice],
    /// Where each slice begins.
    starts: Vec<u64>,
    size: u64,
    pages: Vec<Option<(u64, Vec<u8>)>>,
    /// The slice whose file was opened last.
    open: Option<(usize, File)>,
}

impl<'a> OldBytes<'a> {
    fn new(near: Near<'a>, slices: &'a [Slice]) -> Self {
        let mut size = 0;
        let mut starts = Vec::with_capacity(slices.len());
        for slice in slices {
            starts.push(size);
            size += slice.size;
        }
        Self { near, slices, starts, size, pages: vec![None; PAGES], open: None }
    }

    /// Fills `buffer` with the bytes from `at` on, of which there are enough.
    fn read(&mut self, buffer: &mut [u8], mut at: u64) -> Result<(), Fault> {
        let mut filled = 0;
        while filled < buffer.len() {
            let (page, offset) = (at / PAGE, usize::try_from(at % PAGE).unwrap_or_default());
            let bytes = &self.page(page)?[offset..];
            let count = bytes.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&bytes[..count]);
            filled += count;
            at += count as u64;
        }
        Ok(())
    }

    fn page(&mut self, number: u64) -> Result<&[u8], Fault> {
        let place = usize::try_from(number).unwrap_or_default() % PAGES;
        if self.pages[place].as_ref().is_none_or(|(held, _)| *held != number) {
            let (start, end) = (number * PAGE, ((number + 1) * PAGE).min(self.size));
            let mut bytes = self.pages[place].take().map(|(_, bytes)| bytes).unwrap_or_default();
            bytes.resize(usize::try_from(end - start).unwrap_or_default(), 0);
            self.fill(&mut bytes, start)?;
            self.pages[place] = Some((number, bytes));
        }
        Ok(self.pages[place].as_ref().map_or(&[], |(_, bytes)| bytes))
    }

    fn fill(&mut self, mut buffer: &mut [u8], mut at: u64) -> Result<(), Fault> {
        // The last slice that begins there or before; of several, all but that one are empty.
        let mut index = self.starts.partition_point(|start| *start <= at).saturating_sub(1);
        while !buffer.is_empty() {
            let slice = &self.slices[index];
            let within = at - self.starts[index];
            let left = usize::try_from(slice.size - within).unwrap_or(usize::MAX);
            let (part, rest) = buffer.split_at_mut(left.min(buffer.len()));
            if !part.is_empty() {
                let read = |source| Fault::Old { path: slice.path.as_str().into(), source };
                if self.open.as_ref().is_none_or(|(open, _)| *open != index) {
                    self.open = Some((index, self.near.file(slice.path.as_str()).map_err(read)?));
                }
                if let Some((_, file)) = &self.open {
                    let from = slice.offset.saturating_add(within);
                    file.read_at(part, from).map_err(read)?;
                }
            }
            at += part.len() as u64;
            buffer = rest;
            index += 1;
        }
        Ok(())
    }
}

fn open(source: &dyn FrameSource) -> Result<PatchFile<'_>, Fault> {
    const FIXED: u64 = PATCH_MAGIC.len() as u64 + 4;
    let none = |reason: &str| Fault::Patch { reason: reason.to_owned() };
    let length = source.length().map_err(Fault::read)?;
    if length < FIXED {
        return Err(none("it is too short"));
    }
    let fixed = read(source, 0, FIXED)?;
    let Some(size) = fixed.strip_prefix(&PATCH_MAGIC).and_then(|rest| rest.first_chunk()) else {
        return Err(none("it does not begin as one"));
    };
    let size = u64::from(u32::from_le_bytes(*size));
    if size > MOST_HEAD || size > length - FIXED {
        return Err(none("its head is too long"));
    }
    let head = read(source, FIXED, size)?;
    let plain = zstd::zstd_safe::get_frame_content_size(&head).ok().flatten();
    let plain = plain.filter(|plain| *plain <= MOST_HEAD);
    let head = plain.and_then(|plain| unpack(&head, plain));
    let head = head.ok_or_else(|| none("its head cannot be decompressed"))?;
    let head = Head::from_json(&head).map_err(|error| none(&error.to_string()))?;
    let start = FIXED + size;
    let end = head.steps.iter().try_fold(start, |end, step| end.checked_add(step.size));
    match end {
        Some(end) if end == length => Ok(PatchFile { source, head, start }),
        _ => Err(none("it has not the length that its head says")),
    }
}

fn read(source: &dyn FrameSource, at: u64, size: u64) -> Result<Vec<u8>, Fault> {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    source.read_at(&mut bytes, at).map_err(Fault::read)?;
    Ok(bytes)
}

/// The content of a frame, if it is of that size.
fn unpack(frame: &[u8], plain: u64) -> Option<Vec<u8>> {
    let size = usize::try_from(plain).ok()?;
    let bytes = zstd::bulk::decompress(frame, size).ok()?;
    (bytes.len() == size).then_some(bytes)
}

impl From<EditError> for Fault {
    fn from(error: EditError) -> Self {
        Self::Patch { reason: error.reason().to_owned() }
    }
}
