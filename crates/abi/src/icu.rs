//! ICU's common data inside a program: the tables of languages and time zones that every JavaScript runtime brings.
//!
//! They are the same bytes in all builds of one version, whatever the platform: 33 MB in Node 24. Who knows where they
//! are can keep, compress and send them once.
//!
//! The format is ICU's own, `udata.h` (`UDataInfo`) and `ucmndata.h` (`UDataOffsetTOC`): a header with the format's name
//! `CmnD`, then a table of contents with the places of the items, counted from the table's beginning.

use std::ops::Range;

use memchr::memmem;

use crate::fields::{Endian, u16_at, u32_at, wide};

/// The name of the format, at this place in the header.
const NAME: (usize, &[u8]) = (12, b"CmnD");

/// Two bytes in every header of ICU's data, at this place.
const MAGIC: (usize, [u8; 2]) = (2, [0xda, 0x27]);

/// The place of the byte that is 0 in data of little-endian processors, which are all that are left.
const IS_BIG_ENDIAN: usize = 8;

/// More items than any data has: Node's has 4305.
const MAX_ITEMS: u32 = 1 << 16;

/// Where ICU's common data lies in a file: from its header to its last item, whose length the data does not say.
///
/// The first one, should there be several.
#[must_use]
pub fn icu_data(bytes: &[u8]) -> Option<Range<usize>> {
    let (name_at, name) = NAME;
    memmem::find_iter(bytes, name).find_map(|name| data_at(bytes, name.checked_sub(name_at)?))
}

fn data_at(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let data = &bytes[start..];
    let (magic_at, magic) = MAGIC;
    if !data.get(magic_at..)?.starts_with(&magic) || *data.get(IS_BIG_ENDIAN)? != 0 {
        return None;
    }
    let contents = usize::from(u16_at(data, 0, Endian::Little)?);
    let count = u32_at(data, contents, Endian::Little)?;
    if !(2..=MAX_ITEMS).contains(&count) {
        return None;
    }
    // Each item has two numbers: where its name is, and where its bytes are.
    let item = |index: u32| u32_at(data, contents + 8 + 8 * wide(index), Endian::Little);
    let mut last = item(0)?;
    for index in 1..count {
        let next = item(index)?;
        if next <= last {
            return None;
        }
        last = next;
    }
    let end = start.checked_add(contents)?.checked_add(wide(last))?;
    (end <= bytes.len()).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Data with items of these lengths, and where its last one begins.
    fn data(lengths: &[u32]) -> (Vec<u8>, usize) {
        let mut bytes = vec![0; 32];
        bytes[..4].copy_from_slice(&[32, 0, 0xda, 0x27]);
        bytes[12..16].copy_from_slice(b"CmnD");
        let count = u32::try_from(lengths.len()).expect("few");
        bytes.extend(count.to_le_bytes());
        let mut place = 4 + 8 * count;
        let mut last = 0;
        for length in lengths {
            bytes.extend(0_u32.to_le_bytes());
            bytes.extend(place.to_le_bytes());
            (last, place) = (place, place + length);
        }
        bytes.resize(32 + wide(place), 0x55);
        (bytes, 32 + wide(last))
    }

    #[test]
    fn data_is_found_where_it_is() {
        let (data, end) = data(&[10, 20, 30]);
        let file = [&b"machine code, CmnD in a text"[..], &data, b"more"].concat();
        assert_eq!(icu_data(&file), Some(28..28 + end));
        assert_eq!(icu_data(&data), Some(0..end));
    }

    #[test]
    fn what_only_looks_like_it_is_none() {
        let (good, _) = data(&[10, 20, 30]);
        let changed = |place: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[place] = value;
            icu_data(&bytes)
        };
        assert_eq!(changed(0, 32), icu_data(&good));
        for (place, value) in [(2, 0), (8, 1), (12, b'c'), (32, 1), (32, 200), (34, 9), (40, 60)] {
            assert_eq!(changed(place, value), None, "{value} at {place}");
        }
        assert_eq!(icu_data(&data(&[10]).0), None);
        assert_eq!(icu_data(&data(&[10, 0, 10]).0), None);
    }

    proptest! {
        #[test]
        fn damage_leads_nowhere_else(cut in 0_usize..200, place in 0_usize..200, value: u8) {
            let (mut bytes, _) = data(&[10, 20, 30]);
            bytes.truncate(cut.max(1));
            let place = place % bytes.len();
            bytes[place] = value;
            if let Some(found) = icu_data(&bytes) {
                prop_assert!(found.start < found.end && found.end <= bytes.len());
            }
        }
    }
}
