//! Where things are in an ELF file: program headers, the dynamic table, addresses and sections.

use goblin::container::{Container, Ctx};
use goblin::elf::dynamic::{self, Dyn, Dynamic};
use goblin::elf::header::Header;
use goblin::elf::program_header::{PF_X, PT_LOAD, ProgramHeader};

use crate::fields::{self, Endian, index, name_at, u16_at, u32_at, u64_at};
use crate::instructions::Region;
use crate::node::MAX_PARTS;

/// More segments than any program has; a core dump can have more.
const MAX_SEGMENTS: usize = 512;

/// More sections than any real binary has.
const MAX_SECTIONS: usize = 65_536;

pub(crate) struct Image<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) header: Header,
    pub(crate) context: Ctx,
    pub(crate) segments: Vec<ProgramHeader>,
    pub(crate) dynamic: Vec<Dyn>,
    strings: Option<(usize, u64)>,
}

impl<'a> Image<'a> {
    /// Header and segments only.
    pub(crate) fn headers(bytes: &'a [u8]) -> Option<Self> {
        let header = goblin::elf::Elf::parse_header(bytes).ok()?;
        let context = Ctx::new(header.container().ok()?, header.endianness().ok()?);
        let count = usize::from(header.e_phnum).min(MAX_SEGMENTS);
        let segments = if count == 0 {
            Vec::new()
        } else {
            ProgramHeader::parse(bytes, index(header.e_phoff)?, count, context).ok()?
        };
        Some(Self { bytes, header, context, segments, dynamic: Vec::new(), strings: None })
    }

    /// The dynamic table; `None` when there is one that cannot be read.
    pub(crate) fn read_dynamic(&mut self) -> Option<()> {
        let Some(dynamic) = Dynamic::parse(self.bytes, &self.segments, self.context).ok()? else {
            return Some(());
        };
        self.dynamic = dynamic.dyns;
        if let Some(address) = self.value(dynamic::DT_STRTAB) {
            let size = self.value(dynamic::DT_STRSZ).unwrap_or(u64::MAX);
            self.strings = Some((self.offset(address)?, size));
        }
        Some(())
    }

    /// The first value of a tag of the dynamic table.
    pub(crate) fn value(&self, tag: u64) -> Option<u64> {
        self.dynamic.iter().find(|entry| entry.d_tag == tag).map(|entry| entry.d_val)
    }

    /// Where in the file a string of the dynamic string table starts.
    pub(crate) fn string(&self, offset: u64) -> Option<usize> {
        let (start, size) = self.strings?;
        (offset < size).then_some(())?;
        start.checked_add(index(offset)?)
    }

    /// A name of the dynamic string table.
    pub(crate) fn name(&self, offset: u64) -> Option<&'a [u8]> {
        name_at(self.bytes, self.string(offset)?)
    }

    pub(crate) fn segment(&self, kind: u32) -> Option<&ProgramHeader> {
        self.segments.iter().find(|segment| segment.p_type == kind)
    }

    /// The bytes of a segment that are in the file.
    pub(crate) fn segment_bytes(&self, segment: &ProgramHeader) -> Option<&'a [u8]> {
        let start = index(segment.p_offset)?;
        self.bytes.get(start..start.checked_add(index(segment.p_filesz)?)?)
    }

    /// Where in the file the bytes at a virtual address are.
    pub(crate) fn offset(&self, address: u64) -> Option<usize> {
        self.segments
            .iter()
            .filter(|segment| segment.p_type == PT_LOAD)
            .find_map(|segment| {
                let within = address.checked_sub(segment.p_vaddr)?;
                (within < segment.p_filesz).then(|| segment.p_offset.checked_add(within)).flatten()
            })
            .and_then(index)
    }

    pub(crate) fn endian(&self) -> Endian {
        match self.context.le {
            goblin::container::Endian::Little => Endian::Little,
            goblin::container::Endian::Big => Endian::Big,
        }
    }

    pub(crate) fn half(&self, offset: usize) -> Option<u16> {
        u16_at(self.bytes, offset, self.endian())
    }

    pub(crate) fn word(&self, offset: usize) -> Option<u32> {
        u32_at(self.bytes, offset, self.endian())
    }

    /// A number as wide as an address.
    pub(crate) fn pointer(&self, offset: usize) -> Option<u64> {
        match self.context.container {
            Container::Little => self.word(offset).map(u64::from),
            Container::Big => u64_at(self.bytes, offset, self.endian()),
        }
    }

    /// How many bytes an address takes.
    pub(crate) fn width(&self) -> usize {
        if self.context.container.is_big() { 8 } else { 4 }
    }

    /// What can hold constants: the segments without code, or all of them when one segment holds both (older linkers).
    pub(crate) fn data(&self) -> impl Iterator<Item = &'a [u8]> {
        let is_constant =
            |segment: &&ProgramHeader| segment.p_type == PT_LOAD && segment.p_flags & 3 == 0;
        let separate = self.segments.iter().filter(is_constant).count() > 0;
        self.segments
            .iter()
            .filter(move |segment| {
                segment.p_type == PT_LOAD && !(separate && segment.p_flags & PF_X != 0)
            })
            .take(MAX_PARTS)
            .filter_map(|segment| self.segment_bytes(segment))
    }

    /// The bytes of the section with this name.
    pub(crate) fn section(&self, name: &[u8]) -> Option<&'a [u8]> {
        let find = |section: &Section| {
            let offset = self.section_name(section)?;
            (name_at(self.bytes, offset)? == name).then_some(())
        };
        let section = self.sections().find(|section| find(section).is_some())?;
        let start = index(section.offset)?;
        self.bytes.get(start..start.checked_add(index(section.size)?)?)
    }

    /// The code: the sections that say they are, or the segments of a file without sections.
    pub(crate) fn code(&self) -> Vec<Region<'a>> {
        const SHT_NOBITS: u32 = 8;
        const SHF_EXECINSTR: u64 = 4;
        let region = |address: u64, offset: u64, size: u64| {
            let start = index(offset)?;
            let bytes = self.bytes.get(start..start.checked_add(index(size)?)?)?;
            Some(Region { address, bytes })
        };
        let is_code =
            |section: &Section| section.kind != SHT_NOBITS && section.flags & SHF_EXECINSTR != 0;
        let sections = self.sections().filter(is_code);
        let said: Vec<Region<'a>> = sections
            .filter_map(|section| region(section.address, section.offset, section.size))
            .collect();
        if !said.is_empty() {
            return said;
        }
        self.segments
            .iter()
            .filter(|segment| segment.p_type == PT_LOAD && segment.p_flags & PF_X != 0)
            .filter_map(|segment| region(segment.p_vaddr, segment.p_offset, segment.p_filesz))
            .collect()
    }

    /// The size of the section of this kind that starts at this place in the file.
    pub(crate) fn section_size(&self, kind: u32, start: usize) -> Option<u64> {
        self.sections()
            .find(|section| section.kind == kind && index(section.offset) == Some(start))
            .map(|section| section.size)
    }

    fn section_name(&self, section: &Section) -> Option<usize> {
        let names = self.read_section(usize::from(self.header.e_shstrndx))?;
        index(names.offset)?.checked_add(fields::wide(section.name))
    }

    fn sections(&self) -> impl Iterator<Item = Section> + '_ {
        let count = usize::from(self.header.e_shnum).min(MAX_SECTIONS);
        (0..count).map_while(|number| self.read_section(number))
    }

    fn read_section(&self, number: usize) -> Option<Section> {
        let size = usize::from(self.header.e_shentsize);
        let start = index(self.header.e_shoff)?.checked_add(number.checked_mul(size)?)?;
        let width = self.width();
        let field = |place: usize| self.pointer(start.checked_add(8 + place * width)?);
        Some(Section {
            name: self.word(start)?,
            kind: self.word(start.checked_add(4)?)?,
            flags: field(0)?,
            address: field(1)?,
            offset: field(2)?,
            size: field(3)?,
        })
    }
}

struct Section {
    name: u32,
    kind: u32,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
}
