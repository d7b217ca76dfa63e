//! Bytes of an ELF file that no header accounts for: padding, what tools leave behind, or a payload.

use std::cmp::Reverse;

use goblin::container::Container;
use goblin::elf::section_header::{SHN_LORESERVE, SHT_LOOS, SHT_NOBITS, SectionHeader};

use super::extents::Extents;
use super::{Image, has_bytes};
use crate::strip::{MAX_PADDING, StripError, range};

/// Between the extents and behind them there may be sections, the section table and padding. patchelf writes a new
/// section table to another place; the old one may lie there too.
pub(super) fn refuse(image: &Image<'_>, extents: &Extents) -> Result<(), StripError> {
    let table = SectionHeader::size(image.context) * image.sections.len();
    let mut known = vec![(range(image.header.e_shoff, table as u64)?, MAX_PADDING)];
    // Zeros before a segment are what its alignment takes, however many.
    known.extend(extents.places().map(|place| (place, usize::MAX)));
    let mut total = 0_usize;
    for section in image.sections.iter().filter(|section| has_bytes(section)) {
        let place = range(section.sh_offset, section.sh_size)?;
        if place.end > image.bytes.len() {
            return Err(StripError::Malformed("a segment or section lies outside the file"));
        }
        total = total.saturating_add(place.len());
        known.push((place, MAX_PADDING));
    }
    if total > image.bytes.len() {
        return Err(StripError::Malformed("its sections overlap"));
    }
    known.push((image.bytes.len()..image.bytes.len(), MAX_PADDING));
    // Of what begins at one place the extent counts: a section, or the section table, may be the first in a segment.
    known.sort_by_key(|(place, most)| (place.start, Reverse(*most)));
    let mut reached = 0;
    for (place, most) in known {
        if place.start > reached {
            let gap = &image.bytes[reached..place.start];
            let padding = &gap[old_section_table(image, reached, gap).unwrap_or(0)..];
            if padding.len() > most || padding.iter().any(|byte| *byte != 0) {
                return Err(StripError::Payload { offset: reached, size: gap.len() });
            }
        }
        reached = reached.max(place.end);
    }
    Ok(())
}

/// Where in the gap a section table ends with which it begins.
fn old_section_table(image: &Image<'_>, offset: usize, gap: &[u8]) -> Option<usize> {
    let size = SectionHeader::size(image.context);
    let alignment = match image.context.container {
        Container::Little => 4,
        Container::Big => 8,
    };
    let start = offset.next_multiple_of(alignment) - offset;
    let (padding, table) = gap.split_at_checked(start)?;
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let mut entries = table.chunks_exact(size);
    if !is_zero(padding) || !is_zero(entries.next()?) {
        return None;
    }
    let used = entries.take_while(|entry| !is_zero(entry)).count();
    let described =
        SectionHeader::parse(image.bytes, offset + start + size, used, image.context).ok()?;
    let is_table = used > 0 && described.iter().all(|section| is_plausible(image, section));
    is_table.then_some(start + (used + 1) * size)
}

fn is_plausible(image: &Image<'_>, section: &SectionHeader) -> bool {
    /// The highest of the types that the format itself numbers.
    const LAST_TYPE: u32 = 19;

    let is_inside = section.sh_type == SHT_NOBITS
        || range(section.sh_offset, section.sh_size)
            .is_ok_and(|place| place.end <= image.bytes.len());
    (section.sh_type <= LAST_TYPE || section.sh_type >= SHT_LOOS)
        && is_inside
        && section.sh_link < SHN_LORESERVE
        && (section.sh_addralign == 0 || section.sh_addralign.is_power_of_two())
}
