//! The symbol table: local symbols first, then those that others may use, then those that others define.
//!
//! The loader finds imports in the last two groups by number, through the table of indirect symbols, so the numbers
//! there follow. A local symbol that this table names stays.

use std::collections::{BTreeMap, HashMap};

use super::commands::{Commands, Holds};
use super::{ALIGNMENT, index_at};
use crate::strip::StripError;

const ENTRY: usize = 16;

/// Bits of a symbol's type.
const FOR_DEBUGGERS: u8 = 0xe0;
const EXTERNAL: u8 = 0x01;
const KIND: u8 = 0x0e;

/// Another name for a symbol, which its value points at.
const INDIRECT: u8 = 0x0a;

/// Bits of an entry of the table of indirect symbols that name no symbol: it is local, or no symbol at all.
const NO_SYMBOL: u32 = 0xc000_0000;

const OUT_OF_ORDER: StripError = StripError::Unusual("its symbols are not in the usual order");

/// The symbol table and what belongs to it.
pub(super) struct Symbols<'a> {
    entries: &'a [u8],
    strings: &'a [u8],
    indirect: &'a [u8],
    /// How many are local, external and undefined.
    counts: [usize; 3],
}

/// The tables without what only debuggers read.
#[derive(Debug)]
pub(super) struct Kept {
    pub symbols: Vec<u8>,
    pub strings: Vec<u8>,
    pub indirect: Vec<u8>,
    pub counts: [usize; 3],
    /// Whether anything was left out.
    pub is_less: bool,
}

impl<'a> Symbols<'a> {
    pub(super) fn read(bytes: &'a [u8], commands: &Commands) -> Result<Self, StripError> {
        let content = |holds| -> &'a [u8] {
            commands.table(holds).filter(|it| it.size > 0).map_or(&[], |it| &bytes[it.place()])
        };
        let entries = content(Holds::Symbols);
        let field = |number: usize| index_at(bytes, commands.dynamic_symbols + 8 + 4 * number);
        let counts = [field(1)?, field(3)?, field(5)?];
        let [locals, external, undefined] = counts;
        let starts = [(field(0)?, 0, locals), (field(2)?, locals, external)];
        let starts = starts.into_iter().chain([(field(4)?, locals + external, undefined)]);
        // An empty group may begin anywhere.
        let is_ordered = starts.into_iter().all(|(is, is_to_be, size)| size == 0 || is == is_to_be);
        if !is_ordered || locals + external + undefined != entries.len() / ENTRY {
            return Err(OUT_OF_ORDER);
        }
        let (strings, indirect) = (content(Holds::Strings), content(Holds::Indirect));
        Ok(Self { entries, strings, indirect, counts })
    }

    /// Without local symbols and entries for debuggers.
    pub(super) fn external(&self) -> Result<Kept, StripError> {
        let [locals, external, undefined] = self.counts;
        let (local, others) = self.entries.split_at(ENTRY * locals);
        let is_external = |entry: &[u8]| entry[4] & FOR_DEBUGGERS == 0 && entry[4] & EXTERNAL != 0;
        if local.chunks_exact(ENTRY).any(is_external)
            || !others.chunks_exact(ENTRY).all(is_external)
        {
            return Err(OUT_OF_ORDER);
        }
        let (indirect, named) = self.indirect()?;
        let mut strings = Strings::new(self.strings);
        let mut symbols = Vec::with_capacity(ENTRY * named.len() + others.len());
        let named_entries = named.keys().map(|number| &local[ENTRY * number..][..ENTRY]);
        for entry in named_entries.chain(others.chunks_exact(ENTRY)) {
            let mut entry = entry.to_vec();
            let name = strings.add(index_at(&entry, 0)?)?;
            entry[..4].copy_from_slice(&name.to_le_bytes());
            if entry[4] & (FOR_DEBUGGERS | KIND) == INDIRECT {
                let name = u64::from(strings.add(index_at(&entry, 8)?)?);
                entry[8..].copy_from_slice(&name.to_le_bytes());
            }
            symbols.extend(entry);
        }
        let strings = strings.finish();
        let is_less = named.len() < locals && strings.len() <= self.strings.len();
        let counts = [named.len(), external, undefined];
        Ok(Kept { symbols, strings, indirect, counts, is_less })
    }

    /// The table of indirect symbols with new numbers, and the local symbols it names, each with its new number.
    fn indirect(&self) -> Result<(Vec<u8>, BTreeMap<usize, usize>), StripError> {
        let [locals, ..] = self.counts;
        let numbers: Vec<u32> = (self.indirect.chunks_exact(4))
            .map(|entry| u32::from_le_bytes(entry.try_into().expect("four bytes")))
            .collect();
        let symbol = |number: &u32| (number & NO_SYMBOL == 0).then_some(*number as usize);
        let mut named: BTreeMap<usize, usize> = numbers
            .iter()
            .filter_map(symbol)
            .filter(|one| *one < locals)
            .map(|it| (it, 0))
            .collect();
        for (new, number) in named.values_mut().enumerate() {
            *number = new;
        }
        let count = self.entries.len() / ENTRY;
        let mut indirect = Vec::with_capacity(self.indirect.len());
        for number in &numbers {
            let new = match symbol(number) {
                None => *number,
                Some(old) if old >= count => {
                    return Err(StripError::Malformed("an indirect symbol is none"));
                }
                Some(old) => {
                    let new =
                        named.get(&old).copied().unwrap_or_else(|| old - locals + named.len());
                    u32::try_from(new).expect("no number grows")
                }
            };
            indirect.extend(new.to_le_bytes());
        }
        Ok((indirect, named))
    }
}

/// A table of strings in the making.
struct Strings<'a> {
    old: &'a [u8],
    new: Vec<u8>,
    moved: HashMap<usize, u32>,
}

impl<'a> Strings<'a> {
    /// The number 0 says that there is no name. ld64 has a blank there, and the empty name behind it.
    fn new(old: &'a [u8]) -> Self {
        let start: &[u8] = if old.starts_with(b" \0") { b" \0" } else { b"\0" };
        Self { old, new: start.to_vec(), moved: HashMap::from([(0, 0)]) }
    }

    /// The new place of the name that was at `place`.
    fn add(&mut self, place: usize) -> Result<u32, StripError> {
        if let Some(moved) = self.moved.get(&place) {
            return Ok(*moved);
        }
        let name = self.old.get(place..).and_then(|rest| {
            let end = memchr::memchr(0, rest)?;
            Some(&rest[..=end])
        });
        let name = name.ok_or(StripError::Malformed("a symbol's name lies nowhere"))?;
        // Names may share their ends; more bytes than there were come from no linker.
        if self.new.len() + name.len() > self.old.len() {
            return Err(StripError::Unusual("its symbols share their names"));
        }
        let moved = u32::try_from(self.new.len()).expect("it is shorter than the old one");
        self.new.extend_from_slice(name);
        self.moved.insert(place, moved);
        Ok(moved)
    }

    fn finish(mut self) -> Vec<u8> {
        self.new.resize(self.new.len().next_multiple_of(ALIGNMENT), 0);
        self.new
    }
}
