//! Large files, which have frames to themselves.
//!
//! A native program may hold data that its builds for other platforms hold as well. It is cut out, and its frames are
//! known by what is in it and not by the file: they are compressed once for all of them.

use gangway_artifact::{BundlePath, Digest};

use super::source::Verified;
use super::{PackError, header};
use crate::native::SharedData;
use crate::tree::Source;

/// A file that has frames to itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct LargeFile<'tree> {
    pub(super) path: &'tree BundlePath,
    pub(super) source: &'tree Source,
    /// What other builds of it hold as well: within the file, in its order, without overlaps.
    pub(super) shared: &'tree [SharedData],
}

/// What is one frame of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'tree> {
    pub(super) file: LargeFile<'tree>,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// The parts of a file, in order: those of shared data for themselves, and what is between them.
pub(super) fn parts(file: LargeFile<'_>, frame_size: u64) -> impl Iterator<Item = Part<'_>> {
    let size = file.source.size;
    let borders = (file.shared.iter()).flat_map(|data| [data.offset, data.offset + data.length]);
    let starts = std::iter::once(0).chain(borders.clone());
    let sections = starts.zip(borders.chain([size]));
    sections.flat_map(move |(start, end)| {
        (0..(end - start).div_ceil(frame_size)).map(move |index| {
            let offset = start + index * frame_size;
            Part { file, offset, length: frame_size.min(end - offset) }
        })
    })
}

impl Part<'_> {
    /// The digest of all that decides the frame's bytes.
    pub(super) fn key(&self) -> Digest {
        let Self { file: LargeFile { source, .. }, offset, length } = self;
        Digest::of(match self.shared_data() {
            Some(data) => format!("shared\n{} {} {length}", data.sha256, offset - data.offset),
            None => format!("part\n{} {offset} {length} {}", source.sha256, source.size),
        })
    }

    /// The data it is a part of, if other builds hold it as well. Padding is not part of it, so the last bytes of a file
    /// are only the file's.
    pub(super) fn shared_data(&self) -> Option<SharedData> {
        let is_in = |data: &&SharedData| {
            (data.offset..data.offset + data.length).contains(&self.offset) && !self.is_last()
        };
        self.file.shared.iter().find(is_in).copied()
    }

    /// Whether it is the file's last one.
    pub(super) fn is_last(&self) -> bool {
        self.offset + self.length == self.file.source.size
    }

    /// Appends the padding after a file's last part.
    pub(super) fn pad(&self, plain: &mut Vec<u8>) {
        if self.is_last() {
            plain.resize(plain.len() + header::padding(self.file.source.size), 0);
        }
    }

    /// Reads the whole file for one part of it: only so can its digest be checked.
    pub(super) fn read_alone(&self) -> Result<Vec<u8>, PackError> {
        let mut file = Verified::open(self.file.path, self.file.source)?;
        let mut plain = Vec::new();
        file.skip(self.offset)?;
        file.read(self.length, &mut plain)?;
        file.skip(self.file.source.size - self.offset - self.length)?;
        file.finish()?;
        self.pad(&mut plain);
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 100;

    /// Offsets, lengths and keys of the parts of a file of 1000 bytes with this name and data.
    fn described(file: &str, shared: &[(u64, u64)]) -> Vec<(u64, u64, Digest)> {
        let path = BundlePath::new("x").expect("plain");
        let source = Source::new("/dev/null", 1000, true, Digest::of(file));
        let data = |&(offset, length)| SharedData {
            offset,
            length,
            sha256: Digest::of(format!("data of {length}")),
        };
        let shared: Vec<_> = shared.iter().map(data).collect();
        let file = LargeFile { path: &path, source: &source, shared: &shared };
        parts(file, FRAME).map(|part| (part.offset, part.length, part.key())).collect()
    }

    #[test]
    fn parts_cover_the_file_and_end_where_shared_data_does() {
        let cases: [&[(u64, u64)]; 8] = [
            &[],
            &[(0, 1000)],
            &[(0, 1)],
            &[(999, 1)],
            &[(130, 250)],
            &[(10, 30), (130, 250)],
            &[(10, 120), (130, 250)],
            &[(0, 10), (10, 20), (700, 300)],
        ];
        for shared in cases {
            let parts = described("a", shared);
            let mut end = 0;
            for (offset, length, _) in &parts {
                assert_eq!(*offset, end);
                assert!((1..=FRAME).contains(length));
                end += length;
            }
            assert_eq!(end, 1000);
            for border in shared.iter().flat_map(|(offset, length)| [*offset, offset + length]) {
                assert!(
                    border == 1000 || parts.iter().any(|(offset, ..)| *offset == border),
                    "no cut at {border}"
                );
            }
        }
    }

    #[test]
    fn shared_data_has_the_same_keys_in_every_file() {
        let one = described("one", &[(10, 60), (130, 250)]);
        let other = described("other", &[(470, 250), (800, 60)]);
        let keys = |parts: &[(u64, u64, Digest)], from: u64| -> Vec<Digest> {
            (parts.iter())
                .filter(|(offset, ..)| (from..from + 250).contains(offset))
                .map(|(.., key)| *key)
                .collect()
        };
        assert_eq!(keys(&one, 130), keys(&other, 470));
        assert_eq!(keys(&one, 130).len(), 3);
        let common = one.iter().filter(|(.., key)| other.iter().any(|(.., same)| same == key));
        assert_eq!(common.count(), 4, "nothing else is taken for the same");
    }

    #[test]
    fn the_padding_at_the_end_belongs_to_the_file() {
        let (one, other) = (described("one", &[(950, 50)]), described("other", &[(950, 50)]));
        assert_ne!(one.last(), other.last());
    }
}
