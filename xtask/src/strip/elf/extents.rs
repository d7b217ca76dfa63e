//! Which stretches of an ELF file its headers keep in it, and where each one lies when what is between them is gone.
//!
//! An extent moves by a multiple of the largest alignment in it, so every offset stays congruent to its address, and
//! everything in it moves alike, so a segment stays where it is in the one that loads it.

use std::ops::Range;

use goblin::elf::header::Header;
use goblin::elf::program_header::ProgramHeader;

use super::{Image, has_bytes, is_loaded};
use crate::strip::{StripError, range};

/// No system has smaller pages, and a file that claims less means it.
const PAGE: usize = 4096;

/// The extents of a file from front to back: at least one, with bytes between every two of them.
#[derive(Debug)]
pub(super) struct Extents(Vec<Extent>);

#[derive(Debug)]
struct Extent {
    old: Range<usize>,
    /// By how much it moves towards the front.
    shift: usize,
}

impl Extents {
    /// The file header, the program headers, the segments, and loaded sections that lie in none.
    pub(super) fn of(image: &Image<'_>) -> Result<Self, StripError> {
        let header = usize::from(image.header.e_ehsize).max(Header::size(image.context));
        let mut places: Vec<_> = std::iter::once(0..header).collect();
        if !image.segments.is_empty() {
            let table = ProgramHeader::size(image.context) * image.segments.len();
            places.push(range(image.header.e_phoff, table as u64)?);
        }
        for segment in image.segments.iter().filter(|segment| segment.p_filesz > 0) {
            places.push(range(segment.p_offset, segment.p_filesz)?);
        }
        for section in
            image.sections.iter().filter(|section| is_loaded(section) && has_bytes(section))
        {
            places.push(range(section.sh_offset, section.sh_size)?);
        }
        if places.iter().any(|place| place.end > image.bytes.len()) {
            return Err(StripError::Malformed("a segment or section lies outside the file"));
        }
        let mut extents = Self(merged(places));
        extents.close_gaps(&alignments(image, &extents)?);
        Ok(extents)
    }

    fn close_gaps(&mut self, alignments: &[usize]) {
        let mut end = 0;
        for (extent, alignment) in std::iter::zip(&mut self.0, alignments) {
            extent.shift = (extent.old.start - end) / alignment * alignment;
            end = extent.old.end - extent.shift;
        }
    }

    /// Where they are.
    pub(super) fn places(&self) -> impl Iterator<Item = Range<usize>> {
        self.0.iter().map(|extent| extent.old.clone())
    }

    /// Whether `place` is inside one of them, and so moves with it.
    pub(super) fn contain(&self, place: &Range<usize>) -> Result<bool, StripError> {
        let number = self.number(place.start as u64);
        let extent = &self.0[number].old;
        let reaches_next = self.0.get(number + 1).is_some_and(|next| next.old.start < place.end);
        if place.start < extent.end && place.end > extent.end || reaches_next {
            return Err(StripError::Malformed("a section lies half inside a segment"));
        }
        Ok(place.end <= extent.end)
    }

    /// The new place of what was at `offset`: it goes with the extent it is in or behind.
    pub(super) fn moved(&self, offset: u64) -> u64 {
        offset - self.0[self.number(offset)].shift as u64
    }

    /// Where the last one ends when all are at their new places.
    pub(super) fn end(&self) -> usize {
        self.0.last().map_or(0, |last| last.old.end - last.shift)
    }

    /// Moves them to their new places; what is behind the last one goes.
    pub(super) fn close_up(&self, bytes: &mut Vec<u8>) {
        let mut end = 0;
        // None moves towards the end, so what is overwritten has moved before, or is in none.
        for Extent { old, shift } in &self.0 {
            let start = old.start - shift;
            bytes[end..start].fill(0);
            bytes.copy_within(old.clone(), start);
            end = start + old.len();
        }
        bytes.truncate(end);
    }

    /// The first one begins at 0, so there is always one.
    fn number(&self, offset: u64) -> usize {
        self.0.partition_point(|extent| extent.old.start as u64 <= offset) - 1
    }
}

fn merged(mut places: Vec<Range<usize>>) -> Vec<Extent> {
    places.sort_by_key(|place| place.start);
    let mut merged: Vec<Extent> = Vec::new();
    for place in places {
        match merged.last_mut() {
            Some(last) if place.start <= last.old.end => {
                last.old.end = last.old.end.max(place.end);
            }
            _ => merged.push(Extent { old: place, shift: 0 }),
        }
    }
    merged
}

/// What each extent must move by a multiple of. A segment without bytes in the file counts too: loaders look at its
/// offset all the same.
fn alignments(image: &Image<'_>, extents: &Extents) -> Result<Vec<usize>, StripError> {
    let mut alignments = vec![PAGE; extents.0.len()];
    for segment in &image.segments {
        let alignment = usize::try_from(segment.p_align.max(1))
            .ok()
            .filter(|alignment| alignment.is_power_of_two())
            .ok_or(StripError::Malformed("an alignment is not a power of two"))?;
        let most = &mut alignments[extents.number(segment.p_offset)];
        *most = alignment.max(*most);
    }
    Ok(alignments)
}
