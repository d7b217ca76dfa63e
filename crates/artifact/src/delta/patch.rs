//! Patches: everything that an update from one certain version must have, in one file.
//!
//! A publisher may put `<name>.from-<version>.patch` beside an archive, and lists them in `<name>.patches.json` ([`Patches`]). A patch holds the new manifest and
//! all files the old version lacks, each made of pieces of the old version: as `bsdiff` does it, which finds code again whose addresses
//! have moved. It begins with a [`Head`], which lists its steps; every step has a bounded size, so that a few dozen megabytes of memory
//! are enough for any file.
//!
//! Nothing in a patch is trusted: the manifest that comes of it must have the digest that the release's metadata says, and every
//! file the one in that manifest. [`edit`] takes any bytes and never reads or writes beyond what it is given.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{BundlePath, Digest, TargetName, json};

/// The version of both formats.
pub const PATCH_VERSION: u32 = 1;

/// The first bytes of a patch; the length of the head's frame follows, 4 bytes, little endian.
pub const PATCH_MAGIC: [u8; 8] = *b"gw-patch";

/// The most that one step takes of the old version, in bytes.
pub const MOST_OLD: u64 = 24 << 20;

/// The most that one step makes, in bytes.
pub const MOST_NEW: u64 = 8 << 20;

/// The most that the content of a step's frame has, in bytes.
pub const MOST_PLAIN: u64 = 24 << 20;

/// `<name>.patches.json`: the patches there are to one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patches {
    /// [`PATCH_VERSION`].
    pub version: u32,
    /// The app's name.
    pub app: String,
    /// The target.
    pub target: TargetName,
    /// The digest of the new version's `manifest.json`.
    pub to: Digest,
    /// The patches, sorted by the version they are from.
    pub patches: Vec<Patch>,
}

/// One patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// The version it starts from, for people.
    pub version: String,
    /// The digest of that version's `manifest.json`.
    pub from: Digest,
    /// The name of the file, beside this one.
    pub name: String,
    /// Its length.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

impl Patches {
    /// The text of the file, the same for the same value.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::to_lines(self)
    }

    /// The patch that starts from the version with this manifest.
    #[must_use]
    pub fn from(&self, manifest: &Digest) -> Option<&Patch> {
        self.patches.iter().find(|patch| patch.from == *manifest)
    }
}

/// What a patch begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`PATCH_VERSION`].
    pub version: u32,
    /// The digest of the old `manifest.json`.
    pub from: Digest,
    /// The digest of the new one.
    pub to: Digest,
    /// What follows, in order.
    pub steps: Vec<Step>,
}

/// A head that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum HeadError {
    /// It is damaged, or something else.
    #[error("it is not the head of a patch ({0})")]
    Syntax(#[from] serde_json::Error),
    /// It is of another time.
    #[error("its format is version {0}, and version {PATCH_VERSION} was expected")]
    Version(u32),
    /// More than any step may take, or make.
    #[error("step {step} is larger than steps are")]
    Size { step: usize },
    /// A file would have a hole, or be written twice.
    #[error("step {step} makes bytes {offset} and on of `{path}`, of which there are {expected}")]
    Order { step: usize, path: BundlePath, offset: u64, expected: u64 },
}

impl Head {
    /// Reads a head and makes sure that a reader with 64 MiB can follow it, writing every file from its beginning to its end.
    ///
    /// # Errors
    /// When it is none, or no builder made it.
    pub fn from_json(bytes: &[u8]) -> Result<Self, HeadError> {
        let head: Self = serde_json::from_slice(bytes)?;
        if head.version != PATCH_VERSION {
            return Err(HeadError::Version(head.version));
        }
        let mut written: HashMap<&BundlePath, u64> = HashMap::new();
        for (index, step) in head.steps.iter().enumerate() {
            let sum = |slices: &[Slice]| {
                slices.iter().try_fold(0, |sum: u64, slice| sum.checked_add(slice.size))
            };
            let fits = |size: Option<u64>, most| size.is_some_and(|size| size <= most);
            if !fits(sum(&step.old), MOST_OLD)
                || !fits(sum(&step.new), MOST_NEW)
                || !fits(Some(step.plain), MOST_PLAIN)
            {
                return Err(HeadError::Size { step: index });
            }
            for Slice { path, offset, size } in &step.new {
                let expected = written.entry(path).or_default();
                if offset != expected {
                    let (path, expected) = (path.clone(), *expected);
                    return Err(HeadError::Order { step: index, path, offset: *offset, expected });
                }
                *expected += size;
            }
        }
        Ok(head)
    }
}

/// One frame of a patch: it makes some bytes of the new version of some bytes of the old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The frame's length.
    pub size: u64,
    /// The length of its content, an [`edit`].
    pub plain: u64,
    /// What it is made of, one after the other; [`MOST_OLD`] bytes at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old: Vec<Slice>,
    /// What it makes, one after the other; [`MOST_NEW`] bytes at most. A file's slices come in order.
    pub new: Vec<Slice>,
}

/// Some bytes of one file; `manifest.json` is a file too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// The file.
    pub path: BundlePath,
    /// Where they begin; from its beginning if left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: u64,
    /// How many they are.
    pub size: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An edit that cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the patch is damaged: {0}")]
pub struct EditError(&'static str);

impl EditError {
    /// What is wrong with it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        self.0
    }
}

/// One instruction: add `add` bytes to as many old ones, then take `copy` bytes as they are, then move on in the old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// How many old bytes something is added to.
    pub add: u64,
    /// How many bytes are new.
    pub copy: u64,
    /// How far the next old byte is from the last one that was used.
    pub seek: i64,
}

/// Writes an edit: the lengths of the instructions and of what they add, 4 bytes each; then the instructions, what they add, what they copy.
///
/// The three are apart because each is unlike the others, which compresses better.
#[must_use]
pub fn write(instructions: &[Instruction], adds: &[u8], copies: &[u8]) -> Vec<u8> {
    let mut codes = Vec::with_capacity(4 * instructions.len());
    for instruction in instructions {
        put(&mut codes, instruction.add);
        put(&mut codes, instruction.copy);
        // The sign is the lowest bit, so that what is near zero is short.
        put(
            &mut codes,
            (instruction.seek.cast_unsigned() << 1) ^ (instruction.seek >> 63).cast_unsigned(),
        );
    }
    let length =
        |bytes: &[u8]| u32::try_from(bytes.len()).expect("steps are a few megabytes").to_le_bytes();
    [&length(&codes)[..], &length(adds), &codes, adds, copies].concat()
}

/// Follows the edit `bytes` and makes `size` bytes of `old`.
///
/// # Errors
/// When the edit is not one for these bytes. That it comes to an end does not mean that the result is right.
pub fn edit(old: &[u8], bytes: &[u8], size: usize) -> Result<Vec<u8>, EditError> {
    let mut new = Vec::with_capacity(size);
    follow(bytes, old.len() as u64, size as u64, |part| {
        match part {
            Part::Copied(bytes) => new.extend_from_slice(bytes),
            Part::Added { at, bytes } => {
                let base = usize::try_from(at).ok().and_then(|at| old.get(at..));
                let base = base.ok_or(EditError("it adds to nothing"))?;
                new.extend(base.iter().zip(bytes).map(|(old, add)| old.wrapping_add(*add)));
            }
        }
        Ok::<_, EditError>(())
    })?;
    Ok(new)
}

/// Some of what an edit makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// As many old bytes, from `at` on, each of them plus one of these.
    Added {
        /// Where the first of the old bytes is.
        at: u64,
        /// What is added.
        bytes: &'a [u8],
    },
    /// These bytes.
    Copied(&'a [u8]),
}

/// Follows the edit `bytes`, which makes `size` bytes of `old_size` ones, and gives every part of what it makes to `each`, in order. No part is of
/// old bytes that there are not.
///
/// # Errors
/// As [`edit`], and those of `each`.
pub fn follow<E: From<EditError>>(
    bytes: &[u8],
    old_size: u64,
    size: u64,
    mut each: impl FnMut(Part<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let (codes_size, rest) = length(bytes)?;
    let (adds_size, rest) = length(rest)?;
    let short = EditError("it ends too soon");
    let (mut codes, rest) = rest.split_at_checked(codes_size).ok_or(short)?;
    let (mut adds, mut copies) = rest.split_at_checked(adds_size).ok_or(short)?;
    let (mut at, mut left) = (0_u64, size);
    while !codes.is_empty() {
        let add = take_code(&mut codes)?;
        let copy = take_code(&mut codes)?;
        let seek = take_code(&mut codes)?;
        let seek = (seek >> 1).cast_signed() ^ -(seek & 1).cast_signed();
        let made = add.checked_add(copy).filter(|made| *made <= left);
        left -= made.ok_or(EditError("it makes too much"))?;
        let end = at.checked_add(add).filter(|end| *end <= old_size);
        let end = end.ok_or(EditError("it adds to nothing"))?;
        each(Part::Added { at, bytes: take(&mut adds, add)? })?;
        each(Part::Copied(take(&mut copies, copy)?))?;
        let next = end.checked_add_signed(seek).filter(|next| *next <= i64::MAX as u64);
        at = next.ok_or(EditError("it leads out of the old version"))?;
    }
    if left == 0 && adds.is_empty() && copies.is_empty() {
        Ok(())
    } else {
        Err(EditError("it makes something else").into())
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> Result<&'a [u8], EditError> {
    let taken = usize::try_from(count).ok().and_then(|count| bytes.split_off(..count));
    taken.ok_or(EditError("it ends too soon"))
}

fn length(bytes: &[u8]) -> Result<(usize, &[u8]), EditError> {
    let (length, rest) = bytes.split_first_chunk().ok_or(EditError("it has no beginning"))?;
    let length = usize::try_from(u32::from_le_bytes(*length));
    Ok((length.map_err(|_| EditError("it is too long"))?, rest))
}

/// Seven bits a byte, the lowest first; the high bit says that more follow.
fn put(codes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        codes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    codes.push((number & 0x7f) as u8);
}

fn take_code(codes: &mut &[u8]) -> Result<u64, EditError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = codes.split_off_first().ok_or(EditError("an instruction is cut off"))?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(EditError("a number is too large"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step(add: u64, copy: u64, seek: i64) -> Instruction {
        Instruction { add, copy, seek }
    }

    #[test]
    fn adds_copies_and_seeks() {
        let bytes = write(&[step(3, 2, -2), step(2, 0, 0)], &[0, 1, 255, 0, 0], b"xy");
        assert_eq!(edit(b"abcd", &bytes, 7), Ok(b"acbxybc".to_vec()));
    }

    #[test]
    fn a_head_is_bounded() {
        let slice = |offset: u64, size: u64| serde_json::json!({ "path": "a", "offset": offset, "size": size });
        let said = |version: u32, plain: u64, old: &[(u64, u64)], new: &[(u64, u64)]| {
            let slices = |slices: &[(u64, u64)]| -> Vec<_> {
                slices.iter().map(|(offset, size)| slice(*offset, *size)).collect()
            };
            let head = serde_json::json!({
                "version": version, "from": Digest::of("a"), "to": Digest::of("b"),
                "steps": [{ "size": 1, "plain": plain, "old": slices(old), "new": slices(new) }],
            });
            let text = serde_json::to_vec(&head).expect("JSON");
            Head::from_json(&text).map_or_else(|error| error.to_string(), |_| "fine".to_owned())
        };
        assert_eq!(said(1, 1, &[(7, MOST_OLD)], &[(0, 5), (5, MOST_NEW - 5)]), "fine");
        insta::assert_snapshot!(said(2, 1, &[], &[]), @"its format is version 2, and version 1 was expected");
        insta::assert_snapshot!(said(1, MOST_PLAIN + 1, &[], &[]), @"step 0 is larger than steps are");
        assert_eq!(said(1, 1, &[(0, MOST_OLD), (0, 1)], &[]), said(1, MOST_PLAIN + 1, &[], &[]));
        assert_eq!(said(1, 1, &[], &[(0, u64::MAX), (0, 1)]), said(1, MOST_PLAIN + 1, &[], &[]));
        insta::assert_snapshot!(said(1, 1, &[], &[(0, 5), (4, 5)]), @"step 0 makes bytes 4 and on of `a`, of which there are 5");
        assert!(matches!(Head::from_json(b"[]"), Err(HeadError::Syntax(_))));
    }

    #[test]
    fn an_edit_is_exactly_that() {
        let good = write(&[step(3, 2, 0)], &[0; 3], b"xy");
        assert!(edit(b"abc", &good, 5).is_ok());
        for cut in 0..good.len() {
            assert!(edit(b"abc", &good[..cut], 5).is_err(), "{cut}");
        }
        for (old, size) in [(&b"ab"[..], 5), (b"abc", 4), (b"abc", 6), (b"abc", 0)] {
            assert!(edit(old, &good, size).is_err());
        }
        assert!(edit(b"abc", &[&good[..], b"z"].concat(), 5).is_err());
        for seek in [i64::MIN, -4, i64::MAX] {
            let bytes = write(&[step(3, 0, seek), step(0, 2, 0)], &[0; 3], b"xy");
            assert!(edit(b"abc", &bytes, 5).is_err(), "{seek}");
        }
        let huge = write(&[step(u64::MAX, 2, 0)], &[], b"xy");
        assert!(edit(b"abc", &huge, 5).is_err());
    }

    proptest! {
        #[test]
        fn numbers_come_back(number: u64, seek: i64) {
            let mut codes = Vec::new();
            put(&mut codes, number);
            prop_assert_eq!(take_code(&mut codes.as_slice()), Ok(number));
            let bytes = write(&[step(0, 0, seek)], &[], &[]);
            // Only where it leads matters to `edit`.
            prop_assert_eq!(edit(b"", &bytes, 0).is_ok(), seek >= 0 && isize::try_from(seek).is_ok());
        }

        #[test]
        fn any_bytes_are_an_edit_or_an_error(
            old in prop::collection::vec(any::<u8>(), 0..20),
            codes in prop::collection::vec(0..20_u8, 0..12),
            tail in prop::collection::vec(any::<u8>(), 0..40),
            adds in 0..20_u32,
            size in 0..40_usize,
        ) {
            let lengths = [u32::try_from(codes.len()).expect("small").to_le_bytes(), adds.to_le_bytes()];
            let bytes = [lengths.as_flattened(), &codes, &tail].concat();
            if let Ok(new) = edit(&old, &bytes, size) {
                prop_assert_eq!(new.len(), size);
            }
        }
    }
}
