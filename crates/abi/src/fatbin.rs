//! CUDA's container of code for several graphics cards (section `.nv_fatbin`).
//!
//! NVIDIA documents no layout; this one was measured on what nvcc writes: containers one after another, each a header
//! and entries, each entry a header and code that may be compressed. Headers never are.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::fields::{Endian, index, u16_at, u32_at, u64_at};

const MAGIC: [u8; 4] = [0x50, 0xed, 0x55, 0xba];

/// More entries than any real library has.
const MAX_ENTRIES: usize = 1 << 20;

/// Code for a graphics card that is somewhere in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GpuCode {
    /// In which form.
    pub kind: GpuCodeKind,
    /// The compute capability it was made for, without the dot: 87 for 8.7.
    pub arch: u32,
}

/// The form of code for graphics cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GpuCodeKind {
    /// Assembly text that the driver compiles: for this capability and all later ones.
    Ptx,
    /// Machine code: for this capability, and later ones of the same generation.
    Elf,
}

/// Every form and capability in a section, without repetition.
pub(crate) fn read(section: &[u8]) -> Vec<GpuCode> {
    let mut found = BTreeSet::new();
    let mut left = MAX_ENTRIES;
    let mut rest = section;
    // Between containers is padding.
    while let Some(start) = memchr::memmem::find(rest, &MAGIC) {
        let container = &rest[start..];
        let end = entries(container, &mut left, &mut found).unwrap_or(MAGIC.len());
        rest = container.get(end..).unwrap_or_default();
        if left == 0 {
            break;
        }
    }
    found.into_iter().collect()
}

/// Reads one container and says where it ends.
fn entries(container: &[u8], left: &mut usize, found: &mut BTreeSet<GpuCode>) -> Option<usize> {
    let little = Endian::Little;
    let header = usize::from(u16_at(container, 6, little)?);
    let end = header.checked_add(index(u64_at(container, 8, little)?)?)?;
    container.get(..end).filter(|_| header >= 16)?;
    let mut start = header;
    while start < end && *left > 0 {
        *left -= 1;
        let field = |place: usize| u32_at(container, start.checked_add(place)?, little);
        let kind = match u16_at(container, start, little)? {
            1 => Some(GpuCodeKind::Ptx),
            2 => Some(GpuCodeKind::Elf),
            _ => None,
        };
        let size = u64_at(container, start.checked_add(8)?, little)?;
        if let Some(kind) = kind {
            found.insert(GpuCode { kind, arch: field(28)? });
        }
        let length = index(u64::from(field(4)?).checked_add(size)?)?;
        start = start.checked_add(length).filter(|_| length > 0)?;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn container(entries: &[(u16, u32)]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0, 16, 0]);
        bytes.extend((entries.len() as u64 * 72).to_le_bytes());
        for (kind, arch) in entries {
            let mut entry = [0_u8; 72];
            entry[..2].copy_from_slice(&kind.to_le_bytes());
            entry[4..8].copy_from_slice(&64_u32.to_le_bytes());
            entry[8..16].copy_from_slice(&8_u64.to_le_bytes());
            entry[28..32].copy_from_slice(&arch.to_le_bytes());
            bytes.extend(entry);
        }
        bytes
    }

    #[test]
    fn every_container_is_read() {
        let mut section = container(&[(2, 87), (1, 87), (9, 1)]);
        section.extend([0; 24]);
        section.extend(container(&[(2, 72), (2, 87)]));
        let found: Vec<_> = read(&section).iter().map(|code| (code.kind, code.arch)).collect();
        assert_eq!(found, [(GpuCodeKind::Ptx, 87), (GpuCodeKind::Elf, 72), (GpuCodeKind::Elf, 87)]);
    }

    #[test]
    fn a_container_that_is_cut_off_hides_nothing_behind_it() {
        let mut section = container(&[(2, 50)]);
        section[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        section.extend(container(&[(2, 72)]));
        assert_eq!(read(&section), [GpuCode { kind: GpuCodeKind::Elf, arch: 72 }]);
    }

    proptest! {
        #[test]
        fn damage_is_survived(changes in prop::collection::vec((0_usize..180, any::<u8>()), 1..8)) {
            let mut bytes = [container(&[(2, 87)]), container(&[(1, 90)])].concat();
            for (place, value) in changes {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = value;
                }
            }
            let _ = read(&bytes);
        }
    }
}
