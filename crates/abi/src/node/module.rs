//! Finds the structure that an old-style addon hands to `node_module_register`.
//!
//! It has no name. What gives it away is its shape: a version, flags, an empty handle, the name of the source file it
//! was compiled from, one or two functions, the addon's name.

use crate::fields::{Endian, name_at, u32_at};

use super::MODULES;

/// How a file holds structures and pointers.
pub(crate) struct Struct<'a, F> {
    /// The whole file.
    pub(crate) bytes: &'a [u8],
    /// The order of its bytes.
    pub(crate) endian: Endian,
    /// How many bytes a pointer takes.
    pub(crate) width: usize,
    /// Where in the file the pointer at a place of the file points; `None` when there is none.
    pub(crate) pointer: F,
}

/// The version in the first of these places that has the shape.
pub(crate) fn find<F: Fn(usize) -> Option<usize>>(
    file: &Struct<'_, F>,
    mut places: impl Iterator<Item = usize>,
) -> Option<u32> {
    places.find_map(|place| version(file, place))
}

fn version<F: Fn(usize) -> Option<usize>>(file: &Struct<'_, F>, place: usize) -> Option<u32> {
    const MAX_FLAGS: u32 = 0xf;
    let version = u32_at(file.bytes, place, file.endian).filter(|value| MODULES.contains(value))?;
    let flags = u32_at(file.bytes, place.checked_add(4)?, file.endian)?;
    let field = |number: usize| place.checked_add(8)?.checked_add(number.checked_mul(file.width)?);
    let text = |number: usize| name_at(file.bytes, (file.pointer)(field(number)?)?);
    let handle = file.bytes.get(field(0)?..field(1)?)?;
    if flags > MAX_FLAGS || handle.iter().any(|byte| *byte != 0) {
        return None;
    }
    let source = text(1)?;
    let is_source = [&b".cc"[..], b".cpp", b".cxx", b".c", b".mm", b".c++", b".C"]
        .iter()
        .any(|end| source.ends_with(end));
    let has_function = [2, 3].iter().any(|number| field(*number).and_then(&file.pointer).is_some());
    let name = text(4)?;
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    (is_source && has_function && is_name).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A structure at 16, texts behind it, pointers that are plain offsets.
    fn file(version: u32, source: &str) -> Vec<u8> {
        let mut bytes = vec![0; 16];
        bytes.extend(version.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        let name = 80 + source.len() as u64 + 1;
        for pointer in [0, 80, 8, 0, name, 0, 0] {
            bytes.extend(pointer.to_le_bytes());
        }
        assert_eq!(bytes.len(), 80);
        bytes.extend(source.bytes());
        bytes.extend(b"\0addon\0");
        bytes
    }

    fn found(bytes: &[u8]) -> Option<u32> {
        let pointer = |place: usize| {
            let target = u32_at(bytes, place, Endian::Little)?;
            usize::try_from(target).ok().filter(|target| *target > 0)
        };
        let file = Struct { bytes, endian: Endian::Little, width: 8, pointer };
        find(&file, (0..bytes.len()).step_by(8))
    }

    #[test]
    fn its_shape_gives_it_away() {
        assert_eq!(found(&file(115, "../src/addon.cc")), Some(115));
        assert_eq!(found(&file(7, "../src/addon.cc")), None);
        assert_eq!(found(&file(115, "a picture")), None);
        assert_eq!(found(&file(115, "../src/addon.cc")[..90]), None);
    }
}
