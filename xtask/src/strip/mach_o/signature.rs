//! Code signatures without an identity: a list of digests, one per page, as linkers write it.
//!
//! macOS on arm64 runs nothing without one. Whoever changes the file can make it anew, because it says nothing of who
//! signed; all else in it (the name, flags, the place of the code) stays as it was. A signature with a certificate, a
//! team or entitlements is somebody's word for exactly these bytes, and a reason to leave them alone.
//!
//! All numbers are big-endian.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::strip::StripError;

const SUPER_BLOB: u32 = 0xfade_0cc0;
const CODE_DIRECTORY: u32 = 0xfade_0c02;

const AD_HOC: u32 = 0x2;

const SHA_256: [u8; 2] = [32, 2];

const DIGEST: usize = 32;

/// The first version with `scatterOffset`, and the last one whose fields are known here.
const VERSIONS: std::ops::RangeInclusive<u32> = 0x2_0100..=0x2_0500;

const UNKNOWN: StripError = StripError::Signed("its form is not known here");

/// A signature without an identity.
#[derive(Debug)]
pub(super) struct AdHoc {
    blob: Vec<u8>,
    /// What its size in the load command is a multiple of.
    alignment: usize,
    directory: Range<usize>,
    /// How much of the directory is before the digests of pages.
    head: usize,
    page: usize,
}

impl AdHoc {
    /// The signature at `place` of a file.
    pub(super) fn read(file: &[u8], place: Range<usize>) -> Result<Self, StripError> {
        let bytes = &file[place.clone()];
        if number(bytes, 0)? != SUPER_BLOB {
            return Err(UNKNOWN);
        }
        let length = number(bytes, 4)? as usize;
        let (blob, padding) = bytes.split_at_checked(length).ok_or(UNKNOWN)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(UNKNOWN);
        }
        let alignment = if padding.len() < 8 { 8 } else { 16 };
        let directory = directory(blob)?;
        let (head, page) = layout(&blob[directory.clone()], place.start)?;
        Ok(Self { blob: blob.to_vec(), alignment, directory, head, page })
    }

    /// How long the signature of that many bytes is, with padding.
    pub(super) fn size(&self, code: usize) -> usize {
        let digests = code.div_ceil(self.page) * DIGEST;
        let other = self.blob.len() - self.directory.len() + self.head;
        (other + digests).next_multiple_of(self.alignment)
    }

    /// The signature of `code`: everything in front of it.
    pub(super) fn of(&self, code: &[u8]) -> Vec<u8> {
        let pages = code.len().div_ceil(self.page);
        let length = self.head + pages * DIGEST;
        let mut blob = self.blob[..self.directory.start + self.head].to_vec();
        for page in code.chunks(self.page) {
            blob.extend_from_slice(&Sha256::digest(page));
        }
        blob.extend_from_slice(&self.blob[self.directory.end..]);
        let size = blob.len();
        put(&mut blob, 4, size);
        for entry in (12..).step_by(8).take(self.count()) {
            let offset = number(&blob, entry + 4).expect("it was read before") as usize;
            if offset >= self.directory.end {
                put(&mut blob, entry + 4, offset - self.directory.len() + length);
            }
        }
        let directory = &mut blob[self.directory.start..];
        put(directory, 4, length);
        put(directory, 28, pages);
        put(directory, 32, code.len());
        blob
    }

    fn count(&self) -> usize {
        number(&self.blob, 8).expect("it was read before") as usize
    }
}

/// Where the one code directory is, when all else is empty.
fn directory(blob: &[u8]) -> Result<Range<usize>, StripError> {
    let count = number(blob, 8)? as usize;
    let mut parts = Vec::new();
    let mut found = None;
    for entry in (12..).step_by(8).take(count) {
        let start = number(blob, entry + 4)? as usize;
        let length = number(blob, start.saturating_add(4))? as usize;
        let part =
            start..start.checked_add(length).filter(|end| *end <= blob.len()).ok_or(UNKNOWN)?;
        parts.push(part.clone());
        if number(blob, start)? == CODE_DIRECTORY {
            if number(blob, entry)? != 0 || found.replace(part).is_some() {
                return Err(StripError::Signed("it has several lists of digests"));
            }
        } else if !is_empty(&blob[part]) {
            return Err(StripError::Signed("it holds a certificate, requirements or entitlements"));
        }
    }
    parts.push(0..12 + 8 * count);
    parts.sort_by_key(|part| part.start);
    if parts.windows(2).any(|pair| pair[0].end > pair[1].start) {
        return Err(UNKNOWN);
    }
    found.ok_or(UNKNOWN)
}

/// A header and, for requirements, a count of none.
fn is_empty(part: &[u8]) -> bool {
    (8..=12).contains(&part.len()) && part[8..].iter().all(|byte| *byte == 0)
}

/// How much is before the digests of pages, and the size of a page.
fn layout(directory: &[u8], code: usize) -> Result<(usize, usize), StripError> {
    let version = number(directory, 8)?;
    if !VERSIONS.contains(&version) {
        return Err(UNKNOWN);
    }
    // Each since a version: `scatterOffset`, `teamOffset`, both halves of `codeLimit64`, `preEncryptOffset`.
    let optional = [(0x2_0100, 44), (0x2_0200, 48), (0x2_0300, 56), (0x2_0300, 60), (0x2_0500, 92)];
    for (since, field) in optional {
        if version >= since && number(directory, field)? != 0 {
            return Err(StripError::Signed("it names a team, or more than one piece of code"));
        }
    }
    if number(directory, 12)? & AD_HOC == 0 {
        return Err(StripError::Signed("it is somebody's"));
    }
    let Some(&[size, kind, _, bits]) = directory.get(36..40) else { return Err(UNKNOWN) };
    let head = number(directory, 16)? as usize;
    let page = 1_usize << bits.min(31);
    let pages = code.div_ceil(page);
    if [size, kind] != SHA_256
        || !(12..=16).contains(&bits)
        || number(directory, 28)? as usize != pages
        || number(directory, 32)? as usize != code
        || head.checked_add(pages * DIGEST) != Some(directory.len())
    {
        return Err(UNKNOWN);
    }
    Ok((head, page))
}

fn number(bytes: &[u8], place: usize) -> Result<u32, StripError> {
    let field = place.checked_add(4).and_then(|end| bytes.get(place..end));
    field.and_then(|field| field.try_into().ok()).map(u32::from_be_bytes).ok_or(UNKNOWN)
}

fn put(bytes: &mut [u8], place: usize, value: usize) {
    let value = u32::try_from(value).expect("a signature is shorter than its code");
    bytes[place..place + 4].copy_from_slice(&value.to_be_bytes());
}
