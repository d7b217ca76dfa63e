//! What of an ELF file tells something about the machine it lies on: the loader it asks for, the symbol versions it has.
//!
//! Much less than `gangway-abi` reads, which looks at what a bundle's files need and brings a parser for every format. Bytes are read
//! where they are said to be, a bounded number of them, and nothing is believed: a table that lies elsewhere than in the file is none.

use std::io::{Read, Seek, SeekFrom};

/// More than real files have.
const SEGMENTS: u16 = 512;
const TABLE: u64 = 1 << 20;
const TEXTS: u64 = 16 << 20;
const DEFINITIONS: usize = 4096;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_VERDEF: u64 = 0x6fff_fffc;

/// An ELF file, its headers read.
#[derive(Debug)]
pub struct Elf<R> {
    file: R,
    /// 32 or 64.
    pub bits: u8,
    /// The processor's number in ELF.
    pub machine: u16,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

impl<R: Read + Seek> Elf<R> {
    /// Reads the headers; nothing if it is something else, or for a processor that writes its numbers the other way round.
    pub fn read(mut file: R) -> Option<Self> {
        let head = at(&mut file, 0, 64)?;
        if head.get(..4)? != b"\x7fELF" || *head.get(5)? != 1 {
            return None;
        }
        let bits = match head.get(4)? {
            1 => 32,
            2 => 64,
            _ => return None,
        };
        let machine = u16::from_le_bytes(head.get(18..20)?.try_into().ok()?);
        let (table, size_at) = match bits {
            64 => (long(&head, 32)?, 54),
            _ => (word(&head, 28)?, 42),
        };
        let size = u64::from(short(&head, size_at)?);
        let count = short(&head, size_at + 2)?.min(SEGMENTS);
        let bytes = at(&mut file, table, (size * u64::from(count)).min(TABLE))?;
        let segments = (0..usize::from(count))
            .filter_map(|number| segment(bytes.get(number * usize::try_from(size).ok()?..)?, bits))
            .collect();
        Some(Self { file, bits, machine, segments })
    }

    /// The loader that the file asks for.
    pub fn interpreter(&mut self) -> Option<String> {
        let segment = *self.segments.iter().find(|segment| segment.kind == PT_INTERP)?;
        let bytes = at(&mut self.file, segment.offset, segment.size.min(4096))?;
        text(&bytes, 0)
    }

    /// The names of the symbol versions that the file defines.
    pub fn versions(&mut self) -> Vec<String> {
        self.read_versions().unwrap_or_default()
    }

    fn read_versions(&mut self) -> Option<Vec<String>> {
        let dynamic = self.dynamic()?;
        let entry = |tag| dynamic.iter().find(|(is, _)| *is == tag).map(|(_, value)| *value);
        let (texts, size) = (self.offset(entry(DT_STRTAB)?)?, entry(DT_STRSZ)?.min(TEXTS));
        let definitions = self.offset(entry(DT_VERDEF)?)?;
        let texts = at(&mut self.file, texts, size)?;
        let table = at(&mut self.file, definitions, TABLE)?;
        let mut names = Vec::new();
        let mut place = 0usize;
        for _ in 0..DEFINITIONS {
            let Some((first, next)) = word(&table, place + 12).zip(word(&table, place + 16)) else {
                break;
            };
            // The first name is the version's own, those behind it are the ones it follows.
            let name = usize::try_from(first).ok().and_then(|first| word(&table, place + first));
            names.extend(name.and_then(|name| text(&texts, usize::try_from(name).ok()?)));
            if next == 0 {
                break;
            }
            place += usize::try_from(next).ok()?;
        }
        Some(names)
    }

    fn dynamic(&mut self) -> Option<Vec<(u64, u64)>> {
        let segment = *self.segments.iter().find(|segment| segment.kind == PT_DYNAMIC)?;
        let bytes = at(&mut self.file, segment.offset, segment.size.min(TABLE))?;
        let entries = match self.bits {
            64 => bytes
                .chunks_exact(16)
                .filter_map(|entry| Some((long(entry, 0)?, long(entry, 8)?)))
                .collect(),
            _ => bytes
                .chunks_exact(8)
                .filter_map(|entry| Some((word(entry, 0)?, word(entry, 4)?)))
                .collect(),
        };
        Some(entries)
    }

    /// Where in the file an address is.
    fn offset(&self, address: u64) -> Option<u64> {
        let holds = |segment: &&Segment| {
            segment.kind == PT_LOAD
                && address.checked_sub(segment.address).is_some_and(|into| into < segment.size)
        };
        let segment = self.segments.iter().find(holds)?;
        segment.offset.checked_add(address - segment.address)
    }
}

fn segment(bytes: &[u8], bits: u8) -> Option<Segment> {
    let kind = u32::try_from(word(bytes, 0)?).ok()?;
    let (offset, address, size) = match bits {
        64 => (long(bytes, 8)?, long(bytes, 16)?, long(bytes, 32)?),
        _ => (word(bytes, 4)?, word(bytes, 8)?, word(bytes, 16)?),
    };
    Some(Segment { kind, offset, address, size })
}

/// At most `size` bytes from this place on; fewer where the file ends.
fn at<R: Read + Seek>(file: &mut R, offset: u64, size: u64) -> Option<Vec<u8>> {
    file.seek(SeekFrom::Start(offset)).ok()?;
    let mut bytes = Vec::new();
    file.by_ref().take(size).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn text(bytes: &[u8], place: usize) -> Option<String> {
    let bytes = bytes.get(place..)?;
    let end = bytes.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(&bytes[..end]).ok().map(str::to_owned)
}

fn short(bytes: &[u8], place: usize) -> Option<u16> {
    let bytes = bytes.get(place..place.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn word(bytes: &[u8], place: usize) -> Option<u64> {
    let bytes = bytes.get(place..place.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?).into())
}

fn long(bytes: &[u8], place: usize) -> Option<u64> {
    let bytes = bytes.get(place..place.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::super::testing::library;
    use super::*;

    #[test]
    fn a_library_with_versions() {
        let bytes = library(183, &["libx.so.1", "GLIBC_2.17", "GLIBC_2.35"]);
        let mut elf = Elf::read(Cursor::new(bytes)).expect("it is one");
        assert_eq!((elf.bits, elf.machine), (64, 183));
        assert_eq!(elf.versions(), ["libx.so.1", "GLIBC_2.17", "GLIBC_2.35"]);
        assert_eq!(elf.interpreter(), None);
    }

    /// The test program itself is one, with the loader of this machine.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_program_of_this_machine() {
        let file = std::fs::File::open("/proc/self/exe").expect("it runs");
        let mut elf = Elf::read(file).expect("it is one");
        assert_eq!(elf.bits, 64);
        assert!(elf.interpreter().is_none_or(|loader| loader.starts_with('/')));
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut file = b"\x7fELF\x02\x01\x01".to_vec();
            file.extend(bytes);
            if let Some(mut elf) = Elf::read(Cursor::new(file)) {
                let _ = (elf.versions(), elf.interpreter());
            }
        }

        #[test]
        fn whatever_is_damaged(place in 0usize..900, byte in any::<u8>(), cut in 0usize..900) {
            let mut file = library(62, &["libx.so.1", "GLIBC_2.17"]);
            let length = file.len();
            file[place % length] = byte;
            for end in [cut % length, length] {
                if let Some(mut elf) = Elf::read(Cursor::new(file[..end].to_vec())) {
                    let _ = (elf.versions(), elf.interpreter());
                }
            }
        }
    }
}
