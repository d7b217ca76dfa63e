//! The parts of a Mach-O file that tell what an addon demands of its host.

use super::{Image, exports};
use crate::fields::{u32_at, u64_at};
use crate::node::{self, Code};

impl Code for Image<'_> {
    fn function(&self, name: &str) -> Option<(&[u8], usize)> {
        Some((self.bytes, exports::place(self, &format!("_{name}"))?))
    }

    fn module_version(&self) -> Option<u32> {
        let width = if self.header.is_wide { 8 } else { 4 };
        let file = node::Struct {
            bytes: self.bytes,
            endian: self.header.endian,
            width,
            pointer: |place| self.target(place),
        };
        let writable = self.segments.iter().filter(|segment| segment.is_writable);
        let places = writable.take(node::MAX_PARTS).flat_map(|segment| {
            let size = self.segment_bytes(segment).map_or(0, <[u8]>::len);
            let start = usize::try_from(segment.offset).unwrap_or(usize::MAX);
            (0..size).step_by(width).map(move |within| start.saturating_add(within))
        });
        // Segments that share bytes would be searched several times.
        node::find_module(&file, places.take(self.bytes.len() / width))
    }

    fn texts(&self) -> Vec<&[u8]> {
        self.segments
            .iter()
            .filter(|segment| !segment.is_writable && segment.name.starts_with(b"__TEXT\0"))
            .filter_map(|segment| self.segment_bytes(segment))
            .take(node::MAX_PARTS)
            .collect()
    }
}

impl Image<'_> {
    /// Where in the file a pointer points. Chained fixups keep other things in its upper bits, and count from the start
    /// of the image.
    pub(super) fn target(&self, place: usize) -> Option<usize> {
        const CHAINED: u64 = (1 << 36) - 1;
        if !self.header.is_wide {
            return self.offset(u64::from(u32_at(self.bytes, place, self.header.endian)?));
        }
        let raw = u64_at(self.bytes, place, self.header.endian).filter(|raw| *raw != 0)?;
        let chained = raw & CHAINED;
        self.offset(raw)
            .or_else(|| self.offset(self.base()?.checked_add(chained)?))
            .or_else(|| self.offset(chained))
    }
}
