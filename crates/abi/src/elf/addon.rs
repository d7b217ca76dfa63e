//! The parts of an ELF file that tell what an addon demands of its host.

use std::collections::HashMap;

use super::image::Image;
use super::{relocations, symbols};
use crate::node::{self, Code};

impl Code for Image<'_> {
    fn function(&self, name: &str) -> Option<(&[u8], usize)> {
        Some((self.bytes, symbols::place(self, name)?))
    }

    /// Pointers in data are written by relocations. Packed ones (`DT_RELR`) are not looked at: addons that register
    /// this way are older than those.
    fn module_version(&self) -> Option<u32> {
        let pointers: HashMap<usize, usize> = relocations::pointers(self)
            .filter_map(|relocation| {
                let place = self.offset(relocation.address)?;
                let addend = match relocation.addend {
                    Some(addend) => addend,
                    None => self.pointer(place)?,
                };
                let symbol = match relocation.symbol {
                    0 => 0,
                    number => symbols::address(self, number)?,
                };
                Some((place, self.offset(symbol.checked_add(addend)?)?))
            })
            .collect();
        let file = node::Struct {
            bytes: self.bytes,
            endian: self.endian(),
            width: self.width(),
            pointer: |place| pointers.get(&place).copied(),
        };
        // The first pointer of the structure stands behind two numbers and an empty field.
        let before = 8 + self.width();
        let mut places: Vec<usize> =
            pointers.keys().filter_map(|place| place.checked_sub(before)).collect();
        places.sort_unstable();
        node::find_module(&file, places.into_iter())
    }

    fn texts(&self) -> Vec<&[u8]> {
        self.data().collect()
    }
}
