//! Takes symbols for debuggers out of ELF programs and libraries, for every processor and without a tool.
//!
//! binutils and LLVM do the same, but the first is built for one processor at a time, the second is not on every
//! machine, and both give other bytes with the next version. Here everything that program headers name stays where it
//! is, byte for byte; behind it follow the few sections that are worth keeping, and a new section table. What a loader
//! looks at is therefore not changed at all.
//!
//! Files that hold more than an ELF file should (an appended payload, as `AppImage`s and compiled scripts have it) are
//! refused: such programs look for the payload at the end of the file. Relocatable objects and core dumps are refused
//! as well. Rewriting of the dynamic table is deliberately absent.

use std::ops::Range;

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::header::{self, Header};
use goblin::elf::program_header::ProgramHeader;
use goblin::elf::section_header::{
    SHF_ALLOC, SHF_INFO_LINK, SHN_LORESERVE, SHT_GROUP, SHT_NOBITS, SHT_NOTE, SHT_NULL, SHT_REL,
    SHT_RELA, SHT_STRTAB, SHT_SYMTAB, SHT_SYMTAB_SHNDX, SectionHeader,
};
use miette::Diagnostic;

use crate::buffers;

/// How a section that only debuggers, profilers and linkers read is called; other sections that are not loaded stay.
const FOR_DEBUGGERS: &[&str] = &[
    ".debug",
    ".zdebug",
    ".stab",
    ".gdb_index",
    ".gnu_debug",
    ".gnu.debuglto_",
    ".gnu.build.attributes",
    ".gnu.lto_",
    ".gnu.warning",
    ".annobin",
    ".comment",
    ".GCC.command.line",
    ".llvm",
];

/// Goes up whenever the same input gives other bytes: part of the key under which results are kept.
pub const REVISION: u32 = 1;

/// The most that padding between two sections comes to; more is a payload.
const MAX_PADDING: usize = 4096;

const SECTION_NAMES: &str = ".shstrtab";

/// Why a file was left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum StripError {
    /// Another format.
    #[error("it is not an ELF file")]
    NotElf,
    /// Not a program or a library.
    #[error("it is neither a program nor a shared library")]
    NotLinked,
    /// Numbers in it contradict each other.
    #[error("its ELF headers are malformed: {0}")]
    Malformed(&'static str),
    /// Bytes that belong to no section and no segment.
    #[error("it carries {size} bytes at offset {offset} that no ELF header accounts for")]
    Payload {
        /// Where they start.
        offset: usize,
        /// How many they are.
        size: usize,
    },
}

/// The file without symbols for debuggers; as it was when there is nothing to take out.
///
/// # Errors
/// When it is not an ELF program or library, is malformed, or carries a payload.
pub fn strip(bytes: &[u8]) -> Result<Vec<u8>, StripError> {
    let image = Image::parse(bytes)?;
    let end = image.end_of_segments()?;
    image.refuse_payload(end)?;
    let fates = image.fates(end);
    let stripped = image.write(end, &fates)?;
    Ok(if stripped.len() < bytes.len() { stripped } else { bytes.to_vec() })
}

/// An ELF file, taken apart.
struct Image<'a> {
    bytes: &'a [u8],
    header: Header,
    context: Ctx,
    segments: Vec<ProgramHeader>,
    sections: Vec<SectionHeader>,
    names: Vec<&'a str>,
}

/// What becomes of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is described again; its bytes are where they were.
    Stays,
    /// It is described again; its bytes move.
    Moves,
    /// Its number is still used, its description is emptied.
    Emptied,
    /// It goes.
    Goes,
}

impl<'a> Image<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, StripError> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err(StripError::NotElf);
        }
        let header = goblin::elf::Elf::parse_header(bytes)
            .map_err(|_| StripError::Malformed("the file header is cut short"))?;
        if !matches!(header.e_type, header::ET_EXEC | header::ET_DYN) {
            return Err(StripError::NotLinked);
        }
        let context = match (header.container(), header.endianness()) {
            (Ok(container), Ok(endian)) => Ctx::new(container, endian),
            _ => return Err(StripError::Malformed("unknown class or byte order")),
        };
        if header.e_shnum == 0 || u32::from(header.e_shnum) >= SHN_LORESERVE {
            return Err(StripError::Malformed("it has no section table of a usual size"));
        }
        if usize::from(header.e_shentsize) != SectionHeader::size(context)
            || usize::from(header.e_phentsize) != ProgramHeader::size(context)
        {
            return Err(StripError::Malformed("table entries of an unusual size"));
        }
        let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let (phoff, phnum) = (place(header.e_phoff), usize::from(header.e_phnum));
        let segments = ProgramHeader::parse(bytes, phoff, phnum, context)
            .map_err(|_| StripError::Malformed("the program headers lie outside the file"))?;
        let (shoff, shnum) = (place(header.e_shoff), usize::from(header.e_shnum));
        let sections = SectionHeader::parse(bytes, shoff, shnum, context)
            .map_err(|_| StripError::Malformed("the section table lies outside the file"))?;
        let mut image = Self { bytes, header, context, segments, sections, names: Vec::new() };
        image.names = image.section_names()?;
        Ok(image)
    }

    fn section_names(&self) -> Result<Vec<&'a str>, StripError> {
        let malformed = StripError::Malformed("the sections have no names");
        let table =
            self.sections.get(usize::from(self.header.e_shstrndx)).ok_or(malformed.clone())?;
        let table =
            self.bytes.get(range(table.sh_offset, table.sh_size)?).ok_or(malformed.clone())?;
        let name = |section: &SectionHeader| {
            let rest = table.get(section.sh_name..)?;
            let end = rest.iter().position(|byte| *byte == 0)?;
            std::str::from_utf8(&rest[..end]).ok()
        };
        self.sections.iter().map(|section| name(section).ok_or(malformed.clone())).collect()
    }

    /// Where the part of the file ends that program headers name.
    fn end_of_segments(&self) -> Result<usize, StripError> {
        let mut end = usize::from(self.header.e_ehsize).max(Header::size(self.context));
        let table = ProgramHeader::size(self.context) * self.segments.len();
        end = end.max(range(self.header.e_phoff, table as u64)?.end);
        for segment in self.segments.iter().filter(|segment| segment.p_filesz > 0) {
            end = end.max(range(segment.p_offset, segment.p_filesz)?.end);
        }
        for section in
            self.sections.iter().filter(|section| is_loaded(section) && has_bytes(section))
        {
            end = end.max(range(section.sh_offset, section.sh_size)?.end);
        }
        if end > self.bytes.len() {
            return Err(StripError::Malformed("a segment or section lies outside the file"));
        }
        Ok(end)
    }

    /// Behind the segments there may be sections, the section table and padding; nothing else.
    fn refuse_payload(&self, end: usize) -> Result<(), StripError> {
        let table = SectionHeader::size(self.context) * self.sections.len();
        let mut known = vec![range(self.header.e_shoff, table as u64)?];
        let mut total = 0_usize;
        for section in self.sections.iter().filter(|section| has_bytes(section)) {
            let place = range(section.sh_offset, section.sh_size)?;
            if place.end > self.bytes.len() {
                return Err(StripError::Malformed("a segment or section lies outside the file"));
            }
            total = total.saturating_add(place.len());
            known.push(place);
        }
        if total > self.bytes.len() {
            return Err(StripError::Malformed("its sections overlap"));
        }
        known.push(self.bytes.len()..self.bytes.len());
        known.sort_by_key(|place| place.start);
        let mut reached = end;
        for place in known {
            if place.start > reached {
                let gap = &self.bytes[reached..place.start];
                if gap.len() > MAX_PADDING || gap.iter().any(|byte| *byte != 0) {
                    return Err(StripError::Payload { offset: reached, size: gap.len() });
                }
            }
            reached = reached.max(place.end);
        }
        Ok(())
    }

    fn fates(&self, end: usize) -> Vec<Fate> {
        let mut fates: Vec<Fate> = (self.sections.iter().zip(&self.names).enumerate())
            .map(|(number, (section, name))| {
                let place = usize::try_from(section.sh_offset).unwrap_or(usize::MAX);
                if number == 0 {
                    Fate::Emptied
                } else if is_loaded(section) {
                    Fate::Stays
                } else if number == usize::from(self.header.e_shstrndx)
                    || is_for_debuggers(section, name)
                {
                    Fate::Goes
                } else if place < end || !has_bytes(section) {
                    Fate::Stays
                } else {
                    Fate::Moves
                }
            })
            .collect();
        // Dynamic symbols refer to loaded sections by number, and their bytes must not change: so must no number.
        let last_loaded = self.sections.iter().rposition(is_loaded).unwrap_or(0);
        for fate in &mut fates[..=last_loaded] {
            if *fate == Fate::Goes {
                *fate = Fate::Emptied;
            }
        }
        fates
    }

    fn write(&self, end: usize, fates: &[Fate]) -> Result<Vec<u8>, StripError> {
        // It rarely gets longer, and growing would copy a hundred megabytes.
        let mut out = buffers::take(self.bytes.len());
        out.extend_from_slice(&self.bytes[..end]);
        let numbers = numbers(fates);
        let mut names = vec![0];
        let mut table = Vec::new();
        for (number, (section, fate)) in self.sections.iter().zip(fates).enumerate() {
            match fate {
                Fate::Goes => continue,
                Fate::Emptied => {
                    table.push(SectionHeader { sh_addralign: 0, ..SectionHeader::default() });
                    continue;
                }
                Fate::Stays | Fate::Moves => {}
            }
            let mut section = section.clone();
            section.sh_name = add_name(&mut names, self.names[number]);
            section.sh_link = renumber(section.sh_link, &numbers);
            if refers_by_info(&section) {
                section.sh_info = renumber(section.sh_info, &numbers);
            }
            if *fate == Fate::Moves {
                let bytes = &self.bytes[range(section.sh_offset, section.sh_size)?];
                pad(&mut out, section.sh_addralign);
                section.sh_offset = out.len() as u64;
                out.extend_from_slice(bytes);
            }
            table.push(section);
        }
        let name = add_name(&mut names, SECTION_NAMES);
        table.push(SectionHeader {
            sh_name: name,
            sh_type: SHT_STRTAB,
            sh_offset: out.len() as u64,
            sh_size: names.len() as u64,
            sh_addralign: 1,
            ..SectionHeader::default()
        });
        out.extend_from_slice(&names);
        pad(&mut out, 8);
        let start = out.len();
        for section in &table {
            self.put_section(&mut out, section)?;
        }
        self.put_header(&mut out, start, table.len())?;
        Ok(out)
    }

    /// One entry of the section table; the fields have the width of an address except these.
    fn put_section(&self, out: &mut Vec<u8>, section: &SectionHeader) -> Result<(), StripError> {
        let name = u32::try_from(section.sh_name).expect("the name table was just written");
        self.put_half_word(out, name);
        self.put_half_word(out, section.sh_type);
        for field in [section.sh_flags, section.sh_addr, section.sh_offset, section.sh_size] {
            self.put_word(out, field)?;
        }
        self.put_half_word(out, section.sh_link);
        self.put_half_word(out, section.sh_info);
        self.put_word(out, section.sh_addralign)?;
        self.put_word(out, section.sh_entsize)
    }

    /// The three fields of the file header that say where the section table is.
    fn put_header(&self, out: &mut [u8], start: usize, count: usize) -> Result<(), StripError> {
        let (place, counts) = match self.context.container {
            Container::Little => (32, 48),
            Container::Big => (40, 60),
        };
        let mut field = Vec::new();
        self.put_word(&mut field, start as u64)?;
        out[place..place + field.len()].copy_from_slice(&field);
        let count = u16::try_from(count).map_err(|_| StripError::Malformed("too many sections"))?;
        for (position, value) in [count, count - 1].into_iter().enumerate() {
            let bytes = match self.context.le {
                Endian::Little => value.to_le_bytes(),
                Endian::Big => value.to_be_bytes(),
            };
            let place = counts + 2 * position;
            out[place..place + 2].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn put_half_word(&self, out: &mut Vec<u8>, value: u32) {
        out.extend(match self.context.le {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        });
    }

    fn put_word(&self, out: &mut Vec<u8>, value: u64) -> Result<(), StripError> {
        match (self.context.container, self.context.le) {
            (Container::Big, Endian::Little) => out.extend(value.to_le_bytes()),
            (Container::Big, Endian::Big) => out.extend(value.to_be_bytes()),
            (Container::Little, _) => {
                let value = u32::try_from(value)
                    .map_err(|_| StripError::Malformed("an offset does not fit its class"))?;
                self.put_half_word(out, value);
            }
        }
        Ok(())
    }
}

/// The new number of every section that still has one; the section table's first entry is no section.
fn numbers(fates: &[Fate]) -> Vec<Option<u32>> {
    let mut next = 0;
    let mut number = |fate: &Fate| {
        let number = next;
        next += u32::from(*fate != Fate::Goes);
        matches!(fate, Fate::Stays | Fate::Moves).then_some(number)
    };
    fates.iter().map(&mut number).collect()
}

fn renumber(old: u32, numbers: &[Option<u32>]) -> u32 {
    let number = usize::try_from(old).ok().and_then(|old| numbers.get(old).copied().flatten());
    number.unwrap_or(0)
}

fn refers_by_info(section: &SectionHeader) -> bool {
    matches!(section.sh_type, SHT_REL | SHT_RELA)
        || section.sh_flags & u64::from(SHF_INFO_LINK) != 0
}

fn is_loaded(section: &SectionHeader) -> bool {
    section.sh_flags & u64::from(SHF_ALLOC) != 0
}

fn has_bytes(section: &SectionHeader) -> bool {
    !matches!(section.sh_type, SHT_NOBITS | SHT_NULL)
}

/// Whether a section that is not loaded is of no use where the program runs.
fn is_for_debuggers(section: &SectionHeader, name: &str) -> bool {
    let kind = section.sh_type;
    matches!(kind, SHT_SYMTAB | SHT_SYMTAB_SHNDX | SHT_GROUP | SHT_REL | SHT_RELA | SHT_NULL)
        || (kind == SHT_STRTAB && name == ".strtab")
        || (kind == SHT_NOTE && name.starts_with(".note.stapsdt"))
        || FOR_DEBUGGERS.iter().any(|start| name.starts_with(start))
}

fn range(start: u64, size: u64) -> Result<Range<usize>, StripError> {
    let place = |offset: u64| usize::try_from(offset).ok();
    let end = start.checked_add(size).and_then(place);
    match (place(start), end) {
        (Some(start), Some(end)) => Ok(start..end),
        _ => Err(StripError::Malformed("an offset is larger than any file")),
    }
}

fn add_name(names: &mut Vec<u8>, name: &str) -> usize {
    let start = names.len();
    names.extend_from_slice(name.as_bytes());
    names.push(0);
    start
}

/// Fills up to a multiple of `alignment`; a file that claims more than a page gets a page.
fn pad(out: &mut Vec<u8>, alignment: u64) {
    let alignment = usize::try_from(alignment).unwrap_or(MAX_PADDING).clamp(1, MAX_PADDING);
    out.resize(out.len().next_multiple_of(alignment), 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECTION: usize = 64;

    /// A section of a made-up library: name, type, flags, link, info, bytes.
    type Made = (&'static str, u32, u32, u32, u32, &'static [u8]);

    /// A 64-bit little-endian library: one segment over the headers and all loaded sections, the others behind it.
    fn library(sections: &[Made]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        let mut names = vec![0];
        let mut table = vec![0; SECTION];
        let mut segment_end = bytes.len();
        let names_at = sections.len() + 1;
        for (name, kind, flags, link, info, content) in
            sections.iter().copied().chain([(".shstrtab", SHT_STRTAB, 0, 0, 0, &b""[..])])
        {
            let mut entry = Vec::new();
            let name = u32::try_from(add_name(&mut names, name)).expect("short");
            let content =
                if table.len() / SECTION == names_at { names.clone() } else { content.to_vec() };
            for field in [name, kind] {
                entry.extend(field.to_le_bytes());
            }
            for field in [u64::from(flags), 0, bytes.len() as u64, content.len() as u64] {
                entry.extend(field.to_le_bytes());
            }
            for field in [link, info] {
                entry.extend(field.to_le_bytes());
            }
            for field in [1_u64, 0] {
                entry.extend(field.to_le_bytes());
            }
            table.extend(entry);
            bytes.extend(content);
            if flags & SHF_ALLOC != 0 {
                segment_end = bytes.len();
            }
        }
        let start = bytes.len() as u64;
        bytes.extend(&table);
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        let mut put =
            |place: usize, field: &[u8]| bytes[place..place + field.len()].copy_from_slice(field);
        for (place, field) in [(16, 3_u16), (18, 62), (52, 64), (54, 56), (56, 1), (58, 64)] {
            put(place, &field.to_le_bytes());
        }
        put(60, &u16::try_from(table.len() / SECTION).expect("few").to_le_bytes());
        put(62, &u16::try_from(names_at).expect("few").to_le_bytes());
        put(32, &64_u64.to_le_bytes());
        put(40, &start.to_le_bytes());
        put(64, &1_u32.to_le_bytes());
        put(64 + 32, &(segment_end as u64).to_le_bytes());
        bytes
    }

    const TEXT: Made = (".text", 1, SHF_ALLOC, 0, 0, b"code");
    const SYMBOLS: Made =
        (".symtab", SHT_SYMTAB, 0, 3, 0, b"symbols symbols symbols symbols symbols symbols");
    const STRINGS: Made =
        (".strtab", SHT_STRTAB, 0, 0, 0, b"strings strings strings strings strings strings");
    const UNKNOWN: Made = (".mine", 1, 0, 0, 0, b"mine");

    fn sections(bytes: &[u8]) -> Vec<(&str, u32, u32, &[u8])> {
        let image = Image::parse(bytes).expect("well formed");
        let content = |section: &SectionHeader| {
            &bytes[range(section.sh_offset, section.sh_size).expect("well formed")]
        };
        std::iter::zip(&image.sections, &image.names)
            .map(|(section, name)| (*name, section.sh_link, section.sh_info, content(section)))
            .collect()
    }

    #[test]
    fn symbols_go_and_unknown_sections_stay() {
        let stripped = strip(&library(&[TEXT, SYMBOLS, STRINGS, UNKNOWN])).expect("well formed");
        let left: Vec<_> =
            sections(&stripped).iter().map(|(name, .., content)| (*name, *content)).collect();
        assert_eq!(
            left,
            [
                ("", &b""[..]),
                (".text", b"code"),
                (".mine", b"mine"),
                (".shstrtab", b"\0.text\0.mine\0.shstrtab\0"),
            ]
        );
        assert_eq!(strip(&stripped).expect("well formed"), stripped);
    }

    #[test]
    fn references_follow_the_new_numbers() {
        let relocations: Made = (".rela.text", SHT_RELA, SHF_ALLOC, 2, 5, b"rela");
        let image = library(&[SYMBOLS, TEXT, relocations, STRINGS, (".m1", 1, 0, 5, 0, b"1")]);
        let stripped = strip(&image).expect("well formed");
        let left = sections(&stripped);
        // The symbol table stood before loaded sections: its number stays in use.
        assert_eq!(
            left.iter().map(|(name, ..)| *name).collect::<Vec<_>>(),
            ["", "", ".text", ".rela.text", ".m1", ".shstrtab"]
        );
        assert_eq!((left[3].1, left[3].2), (2, 4));
        assert_eq!(left[4].1, 4);
    }

    #[test]
    fn payloads_are_refused() {
        let mut appended = library(&[TEXT, SYMBOLS, STRINGS]);
        appended.extend(b"payload");
        let size = appended.len();
        assert_eq!(strip(&appended), Err(StripError::Payload { offset: size - 7, size: 7 }));
        // Bytes that no section covers: the symbols' section shrinks by four.
        let mut hidden = library(&[TEXT, SYMBOLS, STRINGS]);
        let entry = hidden.len() - SECTION * 3;
        hidden[entry + 32] -= 4;
        assert!(matches!(strip(&hidden), Err(StripError::Payload { size: 4, .. })));
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(strip(b"#!/bin/sh"), Err(StripError::NotElf));
        assert!(matches!(strip(b"\x7fELF"), Err(StripError::Malformed(_))));
        let mut object = library(&[TEXT]);
        object[16] = 1;
        assert_eq!(strip(&object), Err(StripError::NotLinked));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_very_program_still_runs() {
        use std::os::unix::fs::PermissionsExt;
        use std::process::Command;

        let path = std::env::current_exe().expect("tests run from a file");
        let bytes = fs_err::read(&path).expect("readable");
        let stripped = strip(&bytes).expect("an ordinary program");
        assert!(stripped.len() < bytes.len() * 9 / 10, "{} of {}", stripped.len(), bytes.len());
        let (before, after) =
            (Image::parse(&bytes).expect("fine"), Image::parse(&stripped).expect("fine"));
        assert_eq!(before.segments, after.segments);
        for segment in &before.segments {
            let place = range(segment.p_offset, segment.p_filesz).expect("inside");
            let differs = std::iter::zip(&bytes[place.clone()], &stripped[place.clone()])
                .position(|(old, new)| old != new)
                .map(|offset| place.start + offset);
            // The first segment covers the file header, which now says where the new section table is.
            assert!(differs.is_none_or(|offset| (40..64).contains(&offset)), "{differs:?}");
        }
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let copy = folder.path().join("stripped");
        fs_err::write(&copy, &stripped).expect("writable");
        fs_err::set_permissions(&copy, PermissionsExt::from_mode(0o755)).expect("ours");
        let list = |program: &std::path::Path| {
            Command::new(program).arg("--list").output().expect("it starts").stdout
        };
        assert_eq!(list(&copy), list(&path));
    }

    proptest! {
        #[test]
        fn damage_is_survived(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            keep in any::<prop::sample::Index>(),
        ) {
            let mut bytes = library(&[TEXT, SYMBOLS, STRINGS, UNKNOWN]);
            for (place, value) in changes {
                *place.get_mut(&mut bytes) = value;
            }
            if let Ok(stripped) = strip(&bytes) {
                prop_assert!(stripped.len() <= bytes.len());
            }
            let _ = strip(&bytes[..keep.index(bytes.len())]);
        }

        #[test]
        fn noise_is_survived(noise in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = strip(&[&b"\x7fELF\x02\x01\x01"[..], &noise].concat());
        }
    }
}
