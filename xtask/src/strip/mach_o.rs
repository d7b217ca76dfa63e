//! Mach-O: macOS.
//!
//! Symbols lie in `__LINKEDIT`, the last segment, which the loader maps but reads by the tables that load commands name.
//! Local symbols and entries for debuggers leave the symbol table, their names the table of strings, and what is behind
//! moves forward. Every other segment stays byte for byte but for the load commands. A program finds symbols while it
//! runs by the trie of exports, which is not touched, so addons find what they found before.
//!
//! A code signature covers all of that. One without an identity is made anew (see `signature`); a file that somebody
//! signed is left as it is, as are universal files and whatever is not understood to the last byte.

mod commands;
mod signature;
mod symbols;
#[cfg(test)]
mod tests;

use self::commands::{Commands, Holds, Table};
use self::signature::AdHoc;
use self::symbols::{Kept, Symbols};
use super::StripError;

/// What ld64 aligns the tables of `__LINKEDIT` to, and the signature.
const ALIGNMENT: usize = 8;
const SIGNATURE_ALIGNMENT: usize = 16;

/// Takes local symbols and entries for debuggers out; says whether there were any.
pub(super) fn strip(bytes: &mut Vec<u8>) -> Result<bool, StripError> {
    let commands = Commands::read(bytes)?;
    let signature = match commands.signature() {
        Some(table) => Some((table, AdHoc::read(bytes, table.place())?)),
        None => None,
    };
    let kept = Symbols::read(bytes, &commands)?.external()?;
    if !kept.is_less {
        return Ok(false);
    }
    let Tables { content, places } = tables(bytes, &commands, &kept);
    let end = commands.linkedit.start + content.len();
    let with_signature = match &signature {
        Some((_, signature)) => {
            let start = end.next_multiple_of(SIGNATURE_ALIGNMENT);
            start + signature.size(start)
        }
        None => end,
    };
    if with_signature >= bytes.len() {
        return Ok(false);
    }
    bytes.truncate(commands.linkedit.start);
    bytes.extend(content);
    places.into_iter().for_each(|(field, place)| put(bytes, field, place));
    put_counts(&commands, &kept, bytes);
    match signature {
        Some((table, signature)) => sign(&commands, table.field, &signature, bytes),
        None => put_size(&commands, end, bytes),
    }
    Ok(true)
}

/// What `__LINKEDIT` is to hold.
struct Tables {
    /// Everything but the signature.
    content: Vec<u8>,
    /// Where each table is in the file, by the field of a load command that says so.
    places: Vec<(usize, usize)>,
}

fn tables(bytes: &[u8], commands: &Commands, kept: &Kept) -> Tables {
    let first = commands.linkedit.start;
    let mut content = Vec::new();
    let mut reached = first;
    let mut moves = Vec::new();
    let tables = commands.tables.iter().filter(|table| table.holds != Holds::Signature);
    for table in tables.clone().filter(|table| table.size > 0) {
        // Before the first table that got shorter everything stays, however it is aligned.
        let end = first + content.len();
        let start = if end != reached { end.next_multiple_of(ALIGNMENT) } else { table.offset };
        content.resize(start - first, 0);
        content.extend_from_slice(match table.holds {
            Holds::Symbols => &kept.symbols,
            Holds::Strings => &kept.strings,
            Holds::Indirect => &kept.indirect,
            Holds::Other | Holds::Signature => &bytes[table.place()],
        });
        moves.push((table.offset, start));
        reached = table.place().end;
    }
    let end = first + content.len();
    let place = |table: &Table| {
        // An empty one keeps pointing at what comes next.
        let next = moves.get(moves.partition_point(|(old, _)| *old < table.offset));
        (table.field, next.map_or(end, |(_, new)| *new))
    };
    let places = tables.filter(|table| table.offset >= first).map(place).collect();
    Tables { content, places }
}

fn put_counts(commands: &Commands, kept: &Kept, out: &mut [u8]) {
    let [locals, external, undefined] = kept.counts;
    let (table, dynamic) = (commands.symbols, commands.dynamic_symbols);
    put(out, table + 12, locals + external + undefined);
    put(out, table + 20, kept.strings.len());
    let groups = [0, locals, locals, external, locals + external, undefined];
    for (number, value) in groups.into_iter().enumerate() {
        put(out, dynamic + 8 + 4 * number, value);
    }
}

/// Adds the signature, which the load command with its place at `field` names.
fn sign(commands: &Commands, field: usize, signature: &AdHoc, out: &mut Vec<u8>) {
    let start = out.len().next_multiple_of(SIGNATURE_ALIGNMENT);
    out.resize(start, 0);
    let size = signature.size(start);
    // The load commands are signed too, so they are final before.
    put(out, field, start);
    put(out, field + 4, size);
    put_size(commands, start + size, out);
    let signature = signature.of(out);
    out.extend_from_slice(&signature);
    out.resize(start + size, 0);
}

/// How long `__LINKEDIT` is, in the file that ends with it and in memory.
fn put_size(commands: &Commands, end: usize, out: &mut [u8]) {
    let size = end - commands.linkedit.start;
    let field = commands.linkedit_command;
    put_wide(out, field + 32, size.next_multiple_of(commands.page));
    put_wide(out, field + 48, size);
}

/// A number where there was one before.
fn put(out: &mut [u8], place: usize, value: usize) {
    let value = u32::try_from(value).expect("files are not as large as that");
    out[place..place + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_wide(out: &mut [u8], place: usize, value: usize) {
    out[place..place + 8].copy_from_slice(&(value as u64).to_le_bytes());
}

fn number_at(bytes: &[u8], place: usize) -> Result<u32, StripError> {
    let field = place.checked_add(4).and_then(|end| bytes.get(place..end));
    let field = field.and_then(|field| field.try_into().ok());
    field.map(u32::from_le_bytes).ok_or(StripError::Malformed("a load command is cut short"))
}

fn index_at(bytes: &[u8], place: usize) -> Result<usize, StripError> {
    number_at(bytes, place).map(|number| number as usize)
}

fn wide_at(bytes: &[u8], place: usize) -> Result<u64, StripError> {
    let (low, high) = (number_at(bytes, place)?, number_at(bytes, place.saturating_add(4))?);
    Ok(u64::from(high) << 32 | u64::from(low))
}
