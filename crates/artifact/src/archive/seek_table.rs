//! The seek table at the end of an archive in the Zstandard Seekable Format.
//!
//! Read here and not by the crate `zeekstd`: the table is a dozen numbers of which none is believed, and what that crate
//! is for, a reader over all frames in one stream, cannot check a frame before it decompresses it.

use super::error::Fault;
use super::source::FrameSource;

/// The first bytes of the skippable frame that holds the table.
const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
/// The last bytes of the table.
const TABLE_MAGIC: u32 = 0x8F92_EAB1;
/// The descriptor: entries have checksums.
const WITH_CHECKSUMS: u8 = 0x80;
/// Bytes of an entry, and of the checksum at its end.
const ENTRY: u64 = 12;
const CHECKSUM: usize = 4;
/// What stands before the entries, and what after them.
const HEAD: u64 = 8;
const FOOT: u64 = 9;

/// A frame's magic number, its shortest header, an empty block and a checksum.
const SHORTEST: u64 = 4 + 2 + 3 + CHECKSUM as u64;

/// The most frames of an archive: the reference implementation's own limit.
const MOST_FRAMES: u64 = 0x800_0000;

/// One frame's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Where it begins in the archive.
    pub(super) offset: u64,
    /// Its bytes in the archive.
    pub(super) compressed: u64,
    /// Its bytes, decompressed.
    pub(super) plain: u64,
}

/// The last frames of an archive, which is all that is needed before the manifest was read. All entries are checked: they
/// fill the archive from its first byte to the table.
pub(super) struct SeekTable {
    /// How many frames there are, without the table itself.
    pub(super) count: u64,
    /// Where the entries begin.
    entries: u64,
}

impl SeekTable {
    /// Finds the table at the end of `source`.
    pub(super) fn find(source: &dyn FrameSource) -> Result<Self, Fault> {
        let length = source.length().map_err(Fault::read)?;
        let start = length.checked_sub(FOOT).ok_or(Fault::NoSeekTable)?;
        let mut foot = [0; FOOT as usize];
        source.read_at(&mut foot, start).map_err(Fault::read)?;
        let [count @ .., descriptor, _, _, _, _] = foot;
        if number(&foot[5..]) != u64::from(TABLE_MAGIC) {
            return Err(Fault::NoSeekTable);
        }
        let count = number(&count);
        if descriptor != WITH_CHECKSUMS {
            let (expected, found) = (u64::from(WITH_CHECKSUMS), u64::from(descriptor));
            return Err(Fault::SeekTable { field: "a descriptor of", expected, found });
        }
        // It cannot be too large to be counted: the number of frames has 32 bits.
        let size = HEAD + count * ENTRY + FOOT;
        if count > MOST_FRAMES || size > length {
            let expected = MOST_FRAMES.min(length.saturating_sub(HEAD + FOOT) / ENTRY);
            return Err(Fault::SeekTable {
                field: "a number of frames of",
                expected,
                found: count,
            });
        }
        let table = Self { count, entries: length - size + HEAD };
        table.check_head(source, length - size, size)?;
        Ok(table)
    }

    fn check_head(&self, source: &dyn FrameSource, start: u64, size: u64) -> Result<(), Fault> {
        let mut head = [0; HEAD as usize];
        source.read_at(&mut head, start).map_err(Fault::read)?;
        let check = |field, found, expected| match found == expected {
            true => Ok(()),
            false => Err(Fault::SeekTable { field, expected, found }),
        };
        check("that it begins with", number(&head[..4]), u64::from(SKIPPABLE_MAGIC))?;
        check("a size of", number(&head[4..]), size - HEAD)
    }

    /// The last frame but one, by its number, which nothing is compared with: its content must be known to be right.
    pub(super) fn last_but_one(&self, source: &dyn FrameSource) -> Result<(usize, Span), Fault> {
        let few =
            || Fault::SeekTable { field: "a number of frames of", expected: 2, found: self.count };
        let index = self.count.checked_sub(2).ok_or_else(few)?;
        let mut bytes = [0; 2 * ENTRY as usize];
        source.read_at(&mut bytes, self.entries + index * ENTRY).map_err(Fault::read)?;
        let (one, other) = bytes.split_at(ENTRY as usize);
        let (compressed, plain) = (number(&one[..4]), number(&one[4..8]));
        let after = compressed + number(&other[..4]);
        let frame = usize::try_from(index).unwrap_or(usize::MAX);
        match (self.entries - HEAD).checked_sub(after) {
            Some(offset) if compressed >= SHORTEST => {
                Ok((frame, Span { offset, compressed, plain }))
            }
            _ => Err(Fault::FramePlace { frame, offset: 0, length: compressed }),
        }
    }

    /// Calls `each` with every frame's place, in order. The checksums are compared with those at the frames' ends.
    pub(super) fn spans(
        &self,
        source: &dyn FrameSource,
        mut each: impl FnMut(usize, Span) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        const AT_ONCE: u64 = 1024;
        let end = self.entries - HEAD;
        let mut offset = 0_u64;
        let mut index = 0;
        while index < self.count {
            let some = AT_ONCE.min(self.count - index);
            let mut bytes = vec![0; usize::try_from(some * ENTRY).expect("a few kilobytes")];
            source.read_at(&mut bytes, self.entries + index * ENTRY).map_err(Fault::read)?;
            for entry in bytes.chunks_exact(ENTRY as usize) {
                let (compressed, plain) = (number(&entry[..4]), number(&entry[4..8]));
                let span = Span { offset, compressed, plain };
                offset += compressed;
                let frame = usize::try_from(index).unwrap_or(usize::MAX);
                if compressed < SHORTEST || offset > end {
                    return Err(Fault::FramePlace {
                        frame,
                        offset: span.offset,
                        length: compressed,
                    });
                }
                let mut checksum = [0; CHECKSUM];
                source.read_at(&mut checksum, offset - CHECKSUM as u64).map_err(Fault::read)?;
                if checksum != entry[8..] {
                    return Err(Fault::FrameChecksum { frame });
                }
                each(frame, span)?;
                index += 1;
            }
        }
        // The frames fill what is before the table.
        match offset == end {
            true => Ok(()),
            false => Err(Fault::SeekTable {
                field: "a size of all frames of",
                expected: end,
                found: offset,
            }),
        }
    }
}

/// Four bytes, little endian.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
