//! ELF: Linux.
//!
//! Everything that program headers name is copied byte for byte; behind it follow the few sections that are worth keeping,
//! and a new section table. Tools that change finished programs (patchelf, as every wheel's libraries go through it)
//! append segments behind the symbols: those move towards the others (see `extents`), by offset alone. No address
//! changes, so neither do the dynamic table, relocations or code. Rewriting of those is deliberately absent.

mod extents;
mod payload;
#[cfg(test)]
mod tests;

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::header::{self, Header};
use goblin::elf::program_header::ProgramHeader;
use goblin::elf::section_header::{
    SHF_ALLOC, SHF_INFO_LINK, SHN_LORESERVE, SHT_GROUP, SHT_NOBITS, SHT_NOTE, SHT_NULL, SHT_REL,
    SHT_RELA, SHT_STRTAB, SHT_SYMTAB, SHT_SYMTAB_SHNDX, SectionHeader,
};

use self::extents::Extents;
use super::{MAX_PADDING, StripError, range};

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

const SECTION_NAMES: &str = ".shstrtab";

/// Takes symbols for debuggers out; says whether there were any.
pub(super) fn strip(bytes: &mut Vec<u8>) -> Result<bool, StripError> {
    let image = Image::parse(bytes)?;
    let extents = Extents::of(&image)?;
    payload::refuse(&image, &extents)?;
    let fates = image.fates(&extents)?;
    let Written { fields, rest } = image.write(&extents, &fates)?;
    if extents.end() + rest.len() >= bytes.len() {
        return Ok(false);
    }
    extents.close_up(bytes);
    for (place, field) in fields {
        bytes[place..place + field.len()].copy_from_slice(&field);
    }
    bytes.extend(rest);
    Ok(true)
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

/// What is new in a file without symbols.
struct Written {
    /// Fields of its headers that say where something is, by their places.
    fields: Vec<(usize, Vec<u8>)>,
    /// What is behind the extents.
    rest: Vec<u8>,
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
            return Err(StripError::Unknown);
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

    fn fates(&self, extents: &Extents) -> Result<Vec<Fate>, StripError> {
        let fate = |(number, (section, name)): (usize, (&SectionHeader, &&str))| {
            Ok(if number == 0 {
                Fate::Emptied
            } else if is_loaded(section) {
                Fate::Stays
            } else if number == usize::from(self.header.e_shstrndx)
                || is_for_debuggers(section, name)
            {
                Fate::Goes
            } else if !has_bytes(section)
                || extents.contain(&range(section.sh_offset, section.sh_size)?)?
            {
                Fate::Stays
            } else {
                Fate::Moves
            })
        };
        let named = std::iter::zip(&self.sections, &self.names).enumerate();
        let mut fates = named.map(fate).collect::<Result<Vec<_>, StripError>>()?;
        // Dynamic symbols refer to loaded sections by number, and their bytes must not change: so must no number.
        let last_loaded = self.sections.iter().rposition(is_loaded).unwrap_or(0);
        for fate in &mut fates[..=last_loaded] {
            if *fate == Fate::Goes {
                *fate = Fate::Emptied;
            }
        }
        Ok(fates)
    }

    fn write(&self, extents: &Extents, fates: &[Fate]) -> Result<Written, StripError> {
        let end = extents.end();
        let mut rest = Vec::new();
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
                pad(&mut rest, end, section.sh_addralign);
                section.sh_offset = (end + rest.len()) as u64;
                rest.extend_from_slice(bytes);
            } else {
                section.sh_offset = extents.moved(section.sh_offset);
            }
            table.push(section);
        }
        let name = add_name(&mut names, SECTION_NAMES);
        table.push(SectionHeader {
            sh_name: name,
            sh_type: SHT_STRTAB,
            sh_offset: (end + rest.len()) as u64,
            sh_size: names.len() as u64,
            sh_addralign: 1,
            ..SectionHeader::default()
        });
        rest.extend_from_slice(&names);
        pad(&mut rest, end, 8);
        let start = end + rest.len();
        for section in &table {
            self.put_section(&mut rest, section)?;
        }
        let mut fields = self.segment_fields(extents)?;
        fields.extend(self.header_fields(start, table.len())?);
        Ok(Written { fields, rest })
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

    /// Where each segment lies now.
    fn segment_fields(&self, extents: &Extents) -> Result<Vec<(usize, Vec<u8>)>, StripError> {
        if self.segments.is_empty() {
            return Ok(Vec::new());
        }
        let in_entry = match self.context.container {
            Container::Little => 4,
            Container::Big => 8,
        };
        let table = self.header.e_phoff;
        // Before 5.18, Linux tells a program that its table lies as far behind its first segment in memory as it does in the file.
        if extents.moved(table) != table {
            return Err(StripError::Unusual("the table of its segments lies behind its symbols"));
        }
        let size = ProgramHeader::size(self.context);
        let table = range(table, (size * self.segments.len()) as u64)?.start;
        let field = |(number, segment): (usize, &ProgramHeader)| {
            let place = table + number * size + in_entry;
            Ok((place, self.word(extents.moved(segment.p_offset))?))
        };
        self.segments.iter().enumerate().map(field).collect()
    }

    /// The three fields of the file header that say where the section table is.
    fn header_fields(
        &self,
        start: usize,
        count: usize,
    ) -> Result<[(usize, Vec<u8>); 3], StripError> {
        let (place, counts) = match self.context.container {
            Container::Little => (32, 48),
            Container::Big => (40, 60),
        };
        let count = u16::try_from(count).map_err(|_| StripError::Malformed("too many sections"))?;
        let number = |value: u16| match self.context.le {
            Endian::Little => value.to_le_bytes().to_vec(),
            Endian::Big => value.to_be_bytes().to_vec(),
        };
        let start = self.word(start as u64)?;
        Ok([(place, start), (counts, number(count)), (counts + 2, number(count - 1))])
    }

    fn word(&self, value: u64) -> Result<Vec<u8>, StripError> {
        let mut field = Vec::with_capacity(8);
        self.put_word(&mut field, value)?;
        Ok(field)
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

fn add_name(names: &mut Vec<u8>, name: &str) -> usize {
    let start = names.len();
    names.extend_from_slice(name.as_bytes());
    names.push(0);
    start
}

/// Fills `out`, which is written at `start`, up to a multiple of `alignment`; a file that claims more than a page gets a page.
fn pad(out: &mut Vec<u8>, start: usize, alignment: u64) {
    let alignment = usize::try_from(alignment).unwrap_or(MAX_PADDING).clamp(1, MAX_PADDING);
    out.resize((start + out.len()).next_multiple_of(alignment) - start, 0);
}
