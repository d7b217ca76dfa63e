//! Reads an archive as an updater does: the manifest from its end, then the frames that hold what is wanted.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::delta::patch::Slice;
use gangway_artifact::{BundlePath, Digest, Frames, MANIFEST_FILE, Manifest};

use super::UpdateError;

/// A frame that holds more is not one of ours: they are cut at 16 MiB, and the manifest of a million files has 200 MB.
const LARGEST_FRAME: u64 = 1 << 30;

/// The end of the seek table: the number of frames, a byte, and these four.
const FOOTER: u64 = 9;
const TABLE_MAGIC: u32 = 0x8F92_EAB1;

/// Unpacked frames that are kept: files that follow each other are in the same one, or the next.
const KEPT: usize = 2;

/// One version of a bundle: an archive, or its manifest alone.
#[derive(Debug)]
pub struct Bundle {
    /// Where it is.
    pub path: Utf8PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The bytes of `manifest.json`.
    pub text: Vec<u8>,
    archive: Option<(File, u64)>,
}

impl Bundle {
    /// Opens an archive or a manifest.
    ///
    /// # Errors
    /// When it is neither, or damaged.
    pub fn open(path: &Utf8Path) -> Result<Self, UpdateError> {
        let read = |source| UpdateError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(read)?;
        let mut start = Vec::new();
        file.by_ref().take(4).read_to_end(&mut start).map_err(read)?;
        file.rewind().map_err(read)?;
        let (text, archive) = match start.as_slice() {
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let size = file.seek(SeekFrom::End(0)).map_err(read)?;
                (Tail { path, file: &file, size }.manifest()?, Some((file, size)))
            }
            [b'{', ..] => {
                let mut text = Vec::new();
                file.take(LARGEST_FRAME).read_to_end(&mut text).map_err(read)?;
                (text, None)
            }
            [0x1f, 0x8b, ..] | b"PK\x03\x04" => {
                return Err(UpdateError::NoFrames { path: path.to_owned() });
            }
            _ => return Err(UpdateError::Format { path: path.to_owned() }),
        };
        let manifest = Manifest::from_json(&text)
            .map_err(|source| UpdateError::Manifest { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), manifest, text, archive })
    }

    /// The digest of its manifest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.text)
    }

    /// The archive's length; of a manifest alone, about what it must be.
    ///
    /// # Errors
    /// When its frames make no sense.
    pub fn size(&self) -> Result<u64, UpdateError> {
        Ok(self.frames()?.size() + self.tail_size()?)
    }

    /// How many bytes stand behind the frames with the files: what an updater reads first. Of a manifest alone, about that.
    ///
    /// # Errors
    /// When its frames make no sense.
    pub fn tail_size(&self) -> Result<u64, UpdateError> {
        let frames = self.frames()?;
        match &self.archive {
            Some((_, size)) => size.checked_sub(frames.size()).ok_or_else(|| {
                let what = "it is shorter than its manifest says";
                UpdateError::Damaged { path: self.path.clone(), what }
            }),
            None => {
                let compressed = zstd::bulk::compress(&self.text, 10);
                let manifest = compressed.map_err(UpdateError::Compress)?.len() as u64;
                Ok(manifest + 12 * frames.list().len() as u64)
            }
        }
    }

    /// Whether there is an archive.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.archive.is_some()
    }

    /// Opens the archive for its files.
    ///
    /// # Errors
    /// When there is none, or its manifest makes no sense.
    pub fn reader(&self) -> Result<Reader<'_>, UpdateError> {
        let missing = || UpdateError::NoArchive { path: self.path.clone() };
        let (file, _) = self.archive.as_ref().ok_or_else(missing)?;
        Ok(Reader { bundle: self, file, frames: self.frames()?, kept: Vec::new() })
    }

    fn frames(&self) -> Result<Frames<'_>, UpdateError> {
        Frames::of(&self.manifest)
            .map_err(|source| UpdateError::Frames { path: self.path.clone(), source })
    }
}

/// Reads the files of an archive.
#[derive(Debug)]
pub struct Reader<'a> {
    bundle: &'a Bundle,
    file: &'a File,
    frames: Frames<'a>,
    /// The last frames that were unpacked.
    kept: Vec<(usize, Vec<u8>)>,
}

impl Reader<'_> {
    /// The bytes of all `slices`, one after the other.
    ///
    /// # Errors
    /// When the archive is not what its manifest says.
    pub fn read(&mut self, slices: &[Slice]) -> Result<Vec<u8>, UpdateError> {
        let mut bytes = Vec::new();
        for slice in slices {
            self.append(slice, &mut bytes)?;
        }
        Ok(bytes)
    }

    fn append(&mut self, slice: &Slice, bytes: &mut Vec<u8>) -> Result<(), UpdateError> {
        let wrong = || self.wrong(&slice.path);
        let before = bytes.len() as u64;
        let (from, to) = (slice.offset, slice.offset + slice.size);
        if slice.path.as_str() == MANIFEST_FILE {
            let part = range(from, to).and_then(|range| self.bundle.text.get(range));
            bytes.extend_from_slice(part.ok_or_else(wrong)?);
            return Ok(());
        }
        let files = &self.bundle.manifest.files;
        let found = files.binary_search_by(|file| file.path.cmp(&slice.path));
        let file = &files[found.map_err(|_| wrong())?];
        let mut start = 0;
        for piece in self.frames.pieces(file).collect::<Vec<_>>() {
            let end = start + piece.length;
            if start < to && from < end {
                let first = piece.offset + from.max(start) - start;
                let last = piece.offset + to.min(end) - start;
                let plain = self.frame(piece.frame)?;
                let part = range(first, last).and_then(|range| plain.get(range));
                bytes.extend_from_slice(part.unwrap_or_default());
            }
            start = end;
        }
        if bytes.len() as u64 != before + slice.size {
            return Err(self.wrong(&slice.path));
        }
        Ok(())
    }

    fn frame(&mut self, index: usize) -> Result<&[u8], UpdateError> {
        if let Some(at) = self.kept.iter().position(|(kept, _)| *kept == index) {
            return Ok(&self.kept[at].1);
        }
        let damaged = |what| UpdateError::Damaged { path: self.bundle.path.clone(), what };
        let frame = self.frames.list()[index];
        let bytes = read_at(&self.bundle.path, self.file, frame.offset, frame.size)?;
        if Digest::of(&bytes) != frame.sha256 {
            return Err(damaged("a frame is not what the manifest says"));
        }
        let plain = unpack(&bytes, frame.plain).ok_or_else(|| damaged("a frame cannot be read"))?;
        self.kept.truncate(KEPT - 1);
        self.kept.insert(0, (index, plain));
        Ok(&self.kept[0].1)
    }

    fn wrong(&self, file: &BundlePath) -> UpdateError {
        UpdateError::Content { path: self.bundle.path.clone(), file: file.clone() }
    }
}

/// The end of an archive.
struct Tail<'a> {
    path: &'a Utf8Path,
    file: &'a File,
    size: u64,
}

impl Tail<'_> {
    /// The bytes of the manifest, which is alone in the last frame but one.
    fn manifest(&self) -> Result<Vec<u8>, UpdateError> {
        let footer = self.read_back(self.size, FOOTER)?;
        let [a, b, c, d, _, magic @ ..] = *footer.as_array::<9>().ok_or_else(|| self.bad())?;
        if u32::from_le_bytes(magic) != TABLE_MAGIC {
            let what = "it does not end with a table of its frames";
            return Err(UpdateError::Damaged { path: self.path.to_owned(), what });
        }
        let count = u64::from(u32::from_le_bytes([a, b, c, d]));
        // Of the last two frames, and the head of the table, which is a frame of its own.
        let table = self.size.checked_sub(FOOTER + 12 * count).ok_or_else(|| self.bad())?;
        let last_two = self.read_back(self.size - FOOTER, 24)?;
        let number = |at: usize| {
            let bytes = last_two.get(at..at + 4).and_then(|bytes| bytes.first_chunk());
            bytes.map(|bytes| u64::from(u32::from_le_bytes(*bytes))).ok_or_else(|| self.bad())
        };
        let (size, plain, end) = (number(0)?, number(4)?, number(12)?);
        let after = table.checked_sub(8 + end).ok_or_else(|| self.bad())?;
        let entry = unpack(&self.read_back(after, size)?, plain).ok_or_else(|| self.bad())?;
        content(&entry).ok_or_else(|| self.bad())
    }

    fn read_back(&self, end: u64, size: u64) -> Result<Vec<u8>, UpdateError> {
        let start = end.checked_sub(size).ok_or_else(|| self.bad())?;
        read_at(self.path, self.file, start, size)
    }

    fn bad(&self) -> UpdateError {
        let what = "its end is not as `cargo xtask bundle` makes it";
        UpdateError::Damaged { path: self.path.to_owned(), what }
    }
}

/// What is in a tar of one entry, if that is the manifest.
fn content(entry: &[u8]) -> Option<Vec<u8>> {
    let mut archive = tar::Archive::new(entry);
    let mut entry = archive.entries().ok()?.next()?.ok()?;
    let is_manifest = entry.path_bytes().ends_with(format!("/{MANIFEST_FILE}").as_bytes());
    let mut text = Vec::new();
    entry.read_to_end(&mut text).ok().filter(|_| is_manifest).map(|_| text)
}

fn unpack(frame: &[u8], plain: u64) -> Option<Vec<u8>> {
    let capacity = usize::try_from(plain).ok().filter(|_| plain <= LARGEST_FRAME)?;
    let bytes = zstd::bulk::decompress(frame, capacity).ok()?;
    (bytes.len() == capacity).then_some(bytes)
}

fn read_at(path: &Utf8Path, file: &File, offset: u64, size: u64) -> Result<Vec<u8>, UpdateError> {
    let read = |source| UpdateError::Read { path: path.to_owned(), source };
    let length = usize::try_from(size).ok().filter(|_| size <= LARGEST_FRAME);
    let length = length.ok_or_else(|| read(io::ErrorKind::FileTooLarge.into()))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset).map_err(read)?;
    Ok(bytes)
}

fn range(from: u64, to: u64) -> Option<std::ops::Range<usize>> {
    Some(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
}
