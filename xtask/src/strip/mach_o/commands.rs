//! The load commands: where `__LINKEDIT` is, and which tables lie in it.
//!
//! A command that is not known here may hold an offset that would have to follow, so it is a reason to leave the file alone.

use std::ops::Range;

use goblin::mach::cputype::{CPU_TYPE_ARM64, CPU_TYPE_X86_64};
use goblin::mach::fat::{FAT_CIGAM, FAT_MAGIC};
use goblin::mach::header::{
    MH_BUNDLE, MH_CIGAM, MH_CIGAM_64, MH_DYLIB, MH_EXECUTE, MH_MAGIC, MH_MAGIC_64,
};
use goblin::mach::load_command as command;

use super::{index_at, number_at, wide_at};
use crate::strip::{MAX_PADDING, StripError, range};

const HEADER: usize = 32;
const SECTION: usize = 80;

/// Offsets have 32 bits, and what alignment adds must not be too much for them.
const MAX_SIZE: usize = 1 << 31;

/// More load commands than any real file has.
const MAX_COMMANDS: usize = 4096;

/// As `FAT_MAGIC`, with 64-bit offsets.
const FAT_MAGIC_64: u32 = 0xcafe_babf;

/// Of these goblin knows no names: the commands for the trie of exports and for chained fixups, which must be known.
const LC_DYLD_EXPORTS_TRIE: u32 = 0x8000_0033;
const LC_DYLD_CHAINED_FIXUPS: u32 = 0x8000_0034;

/// The load commands, as far as they say what lies where.
#[derive(Debug)]
pub(super) struct Commands {
    /// The bytes of `__LINKEDIT`, up to the end of the file.
    pub linkedit: Range<usize>,
    /// Where its load command is.
    pub linkedit_command: usize,
    /// Where the one of the symbol table is.
    pub symbols: usize,
    /// Where the one is that says which of them are what.
    pub dynamic_symbols: usize,
    /// The tables in `__LINKEDIT`, from front to back.
    pub tables: Vec<Table>,
    /// How large a page is in memory.
    pub page: usize,
}

/// A table in `__LINKEDIT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub holds: Holds,
    /// Where the load command has its offset.
    pub field: usize,
    pub offset: usize,
    /// In bytes.
    pub size: usize,
}

/// What is in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Symbols,
    Strings,
    Indirect,
    Signature,
    Other,
}

impl Table {
    pub(super) fn place(&self) -> Range<usize> {
        self.offset..self.offset + self.size
    }
}

impl Commands {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, StripError> {
        let page = page(bytes)?;
        if bytes.len() > MAX_SIZE {
            return Err(StripError::Unusual("it is larger than 2 GiB"));
        }
        let mut found = Found::default();
        let count = index_at(bytes, 16)?;
        let end = HEADER.saturating_add(index_at(bytes, 20)?);
        let mut place = HEADER;
        for _ in 0..count.min(MAX_COMMANDS) {
            let size = index_at(bytes, place + 4)?;
            if size < 8 || size > end.saturating_sub(place) || end > bytes.len() {
                return Err(StripError::Malformed("its load commands are longer than they may be"));
            }
            found.add(bytes, place, size)?;
            place += size;
        }
        if count > MAX_COMMANDS || place != end {
            return Err(StripError::Malformed("its load commands are not as many as it says"));
        }
        found.finish(bytes, page)
    }

    pub(super) fn signature(&self) -> Option<&Table> {
        self.table(Holds::Signature)
    }

    /// The table with symbols, with their names and so on: there is one of each at the most.
    pub(super) fn table(&self, holds: Holds) -> Option<&Table> {
        self.tables.iter().find(|table| table.holds == holds)
    }
}

/// The size of a page on the file's processor.
fn page(bytes: &[u8]) -> Result<usize, StripError> {
    let magic = number_at(bytes, 0)?;
    match magic {
        MH_MAGIC_64 => {}
        MH_MAGIC | MH_CIGAM | MH_CIGAM_64 => {
            return Err(StripError::Unusual(
                "its numbers are not of 64 bits in little-endian order",
            ));
        }
        _ if [FAT_MAGIC, FAT_CIGAM, FAT_MAGIC_64].contains(&magic.swap_bytes()) => {
            return Err(StripError::Unusual("it is for several processors"));
        }
        _ => return Err(StripError::Unknown),
    }
    if ![MH_EXECUTE, MH_DYLIB, MH_BUNDLE].contains(&number_at(bytes, 12)?) {
        return Err(StripError::NotLinked);
    }
    match number_at(bytes, 4)? {
        CPU_TYPE_X86_64 => Ok(0x1000),
        CPU_TYPE_ARM64 => Ok(0x4000),
        _ => Err(StripError::Unusual("its processor is not known here")),
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    linkedit: Option<(usize, Range<usize>)>,
    /// Where the other segments end.
    end: usize,
    symbols: Option<usize>,
    dynamic_symbols: Option<usize>,
    tables: Vec<Table>,
}

impl Found {
    fn add(&mut self, bytes: &[u8], place: usize, size: usize) -> Result<(), StripError> {
        let least = |least: usize| match size >= least {
            true => Ok(()),
            false => Err(StripError::Malformed("a load command is cut short")),
        };
        match number_at(bytes, place)? {
            command::LC_SEGMENT_64 => {
                least(72)?;
                self.add_segment(bytes, place, size)
            }
            command::LC_SYMTAB => {
                least(24)?;
                only(&mut self.symbols, place)?;
                self.add_counted(bytes, Holds::Symbols, place + 8, 16)?;
                self.add_counted(bytes, Holds::Strings, place + 16, 1)
            }
            command::LC_DYSYMTAB => {
                least(80)?;
                only(&mut self.dynamic_symbols, place)?;
                for counts in [36, 44, 52, 68, 76] {
                    if number_at(bytes, place + counts)? != 0 {
                        return Err(StripError::Unusual("it has tables of an old linker"));
                    }
                }
                self.add_counted(bytes, Holds::Indirect, place + 56, 4)
            }
            command::LC_DYLD_INFO | command::LC_DYLD_INFO_ONLY => {
                least(48)?;
                (0..5).try_for_each(|number| {
                    self.add_counted(bytes, Holds::Other, place + 8 + 8 * number, 1)
                })
            }
            command::LC_CODE_SIGNATURE => {
                least(16)?;
                self.add_counted(bytes, Holds::Signature, place + 8, 1)
            }
            command::LC_SEGMENT_SPLIT_INFO
            | command::LC_FUNCTION_STARTS
            | command::LC_DATA_IN_CODE
            | command::LC_DYLIB_CODE_SIGN_DRS
            | command::LC_LINKER_OPTIMIZATION_HINT
            | LC_DYLD_EXPORTS_TRIE
            | LC_DYLD_CHAINED_FIXUPS => {
                least(16)?;
                self.add_counted(bytes, Holds::Other, place + 8, 1)
            }
            kind if is_without_offset(kind) => Ok(()),
            _ => Err(StripError::Unusual("it has a load command that is not known here")),
        }
    }

    fn add_segment(&mut self, bytes: &[u8], place: usize, size: usize) -> Result<(), StripError> {
        let sections = index_at(bytes, place + 64)?;
        if sections > (size - 72) / SECTION {
            return Err(StripError::Malformed("a segment has more sections than fit in"));
        }
        for number in 0..sections {
            if number_at(bytes, place + 72 + SECTION * number + 60)? != 0 {
                return Err(StripError::Unusual("its sections have relocations"));
            }
        }
        let content = range(wide_at(bytes, place + 40)?, wide_at(bytes, place + 48)?)?;
        if content.end > bytes.len() {
            return Err(StripError::Malformed("a segment lies outside the file"));
        }
        if bytes[place + 8..place + 24] == *b"__LINKEDIT\0\0\0\0\0\0" {
            if sections > 0 {
                return Err(StripError::Unusual("`__LINKEDIT` has sections"));
            }
            only(&mut self.linkedit, (place, content))
        } else {
            if !content.is_empty() {
                self.end = self.end.max(content.end);
            }
            Ok(())
        }
    }

    /// A table by its offset and, behind it, the number of its entries.
    fn add_counted(
        &mut self,
        bytes: &[u8],
        holds: Holds,
        field: usize,
        entry: usize,
    ) -> Result<(), StripError> {
        let (offset, count) = (index_at(bytes, field)?, index_at(bytes, field + 4)?);
        let size = count.checked_mul(entry).filter(|size| offset.checked_add(*size).is_some());
        let size = size.ok_or(StripError::Malformed("an offset is larger than any file"))?;
        self.tables.push(Table { holds, field, offset, size });
        Ok(())
    }

    fn finish(mut self, bytes: &[u8], page: usize) -> Result<Commands, StripError> {
        const NONE: StripError =
            StripError::Unusual("it has no symbol table, or not where others have it");
        let (linkedit_command, linkedit) = self.linkedit.ok_or(NONE)?;
        let (symbols, dynamic_symbols) = self.symbols.zip(self.dynamic_symbols).ok_or(NONE)?;
        if self.end > linkedit.start {
            return Err(StripError::Unusual("`__LINKEDIT` is not the last segment"));
        }
        if linkedit.end < bytes.len() {
            let size = bytes.len() - linkedit.end;
            return Err(StripError::Payload { offset: linkedit.end, size });
        }
        self.tables.sort_by_key(|table| (table.offset, table.size));
        refuse_payload(bytes, &linkedit, &self.tables)?;
        let last = self.tables.iter().rfind(|table| table.size > 0);
        let signatures = self.tables.iter().filter(|table| table.holds == Holds::Signature);
        let is_signed_last = last.is_some_and(|last| last.holds == Holds::Signature);
        if signatures.count() != usize::from(is_signed_last) {
            return Err(StripError::Unusual("its code signature is not behind everything else"));
        }
        let tables = self.tables;
        Ok(Commands { linkedit, linkedit_command, symbols, dynamic_symbols, tables, page })
    }
}

/// In `__LINKEDIT` there are tables and the padding between them; nothing else.
fn refuse_payload(
    bytes: &[u8],
    linkedit: &Range<usize>,
    tables: &[Table],
) -> Result<(), StripError> {
    let mut reached = linkedit.start;
    let places = tables.iter().filter(|table| table.size > 0).map(Table::place);
    for place in places.chain(std::iter::once(linkedit.end..linkedit.end)) {
        if place.start < reached || place.end > linkedit.end {
            return Err(StripError::Malformed("what its load commands name overlaps"));
        }
        let gap = &bytes[reached..place.start];
        if gap.len() > MAX_PADDING || gap.iter().any(|byte| *byte != 0) {
            return Err(StripError::Payload { offset: reached, size: gap.len() });
        }
        reached = place.end;
    }
    Ok(())
}

fn only<T>(slot: &mut Option<T>, value: T) -> Result<(), StripError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(StripError::Malformed("two load commands say the same")),
    }
}

/// Load commands that name nothing in `__LINKEDIT`.
fn is_without_offset(kind: u32) -> bool {
    /// goblin has no name for it: the triple, as newer linkers write it.
    const LC_TARGET_TRIPLE: u32 = 0x39;

    matches!(
        kind,
        command::LC_UNIXTHREAD
            | command::LC_MAIN
            | command::LC_UUID
            | command::LC_RPATH
            | command::LC_ID_DYLIB
            | command::LC_LOAD_DYLIB
            | command::LC_LOAD_WEAK_DYLIB
            | command::LC_REEXPORT_DYLIB
            | command::LC_LAZY_LOAD_DYLIB
            | command::LC_LOAD_UPWARD_DYLIB
            | command::LC_ID_DYLINKER
            | command::LC_LOAD_DYLINKER
            | command::LC_DYLD_ENVIRONMENT
            | command::LC_SUB_FRAMEWORK
            | command::LC_SUB_UMBRELLA
            | command::LC_SUB_CLIENT
            | command::LC_SUB_LIBRARY
            | command::LC_ROUTINES_64
            | command::LC_VERSION_MIN_MACOSX
            | command::LC_BUILD_VERSION
            | command::LC_SOURCE_VERSION
            | command::LC_LINKER_OPTION
            | LC_TARGET_TRIPLE
    )
}
