//! The parts of a PE file that tell what an addon demands of its host.

use super::{Image, exports};
use crate::fields::{Endian, u64_at, wide};
use crate::node::{self, Code};

impl Code for Image<'_> {
    fn function(&self, name: &str) -> Option<(&[u8], usize)> {
        Some((self.bytes, exports::place(self, name)?))
    }

    fn module_version(&self) -> Option<u32> {
        let width = if self.header.is_wide { 8 } else { 4 };
        let pointer = |place: usize| match self.header.is_wide {
            true => self.offset_of(u64_at(self.bytes, place, Endian::Little)?),
            false => self.offset_of(u64::from(self.word(place)?)),
        };
        let file = node::Struct { bytes: self.bytes, endian: Endian::Little, width, pointer };
        let writable = self.sections.iter().filter(|section| section.is_writable());
        let places = writable.take(node::MAX_PARTS).flat_map(|section| {
            let size = self.section_bytes(section).map_or(0, <[u8]>::len);
            (0..size).step_by(width).map(move |within| wide(section.offset).saturating_add(within))
        });
        // Sections that share bytes would be searched several times.
        node::find_module(&file, places.take(self.bytes.len() / width))
    }

    fn texts(&self) -> Vec<&[u8]> {
        self.sections
            .iter()
            .filter(|section| !section.is_code())
            .filter_map(|section| self.section_bytes(section))
            .take(node::MAX_PARTS)
            .collect()
    }
}
