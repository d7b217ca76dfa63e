//! Mach-O files as a whole.

use proptest::prelude::*;

use super::*;
use crate::facts;

fn thin(cpu: u32, library: &str) -> Vec<u8> {
    let mut bytes = b"\xcf\xfa\xed\xfe".to_vec();
    let size = u32::try_from((24 + library.len() + 8) & !7).expect("short");
    for field in [cpu, 0, MH_BUNDLE, 1, size, 0, 0, 0xc, size, 24, 0, 0, 0] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(library.as_bytes());
    bytes.resize(32 + size as usize, 0);
    bytes
}

#[test]
fn reads_a_bundle() {
    let bytes = thin(CPU_TYPE_ARM64, "/usr/lib/libSystem.B.dylib");
    let facts = facts::read(&bytes).expect("well formed");
    assert_eq!(facts.libraries().collect::<Vec<_>>(), ["/usr/lib/libSystem.B.dylib"]);
    let identity = facts::identify(&bytes).expect("well formed");
    assert_eq!(identity.machines, [Machine::Arm64]);
    assert_eq!(identity.kind, Kind::Library);
}

#[test]
fn reads_every_slice_of_a_fat_file() {
    let slices = [thin(CPU_TYPE_X86_64, "a.dylib"), thin(CPU_TYPE_ARM64, "b.dylib")];
    let mut bytes = b"\xca\xfe\xba\xbe\0\0\0\x02".to_vec();
    for (position, (cpu, slice)) in
        [CPU_TYPE_X86_64, CPU_TYPE_ARM64].iter().zip(&slices).enumerate()
    {
        let offset = u32::try_from(256 * (position + 1)).expect("small");
        let size = u32::try_from(slice.len()).expect("small");
        for field in [*cpu, 0, offset, size, 8] {
            bytes.extend(field.to_be_bytes());
        }
    }
    for (position, slice) in slices.iter().enumerate() {
        bytes.resize(256 * (position + 1), 0);
        bytes.extend(slice);
    }
    let facts = facts::read(&bytes).expect("well formed");
    assert_eq!(facts.machines(), [Machine::X64, Machine::Arm64]);
    assert_eq!(facts.libraries().collect::<Vec<_>>(), ["a.dylib", "b.dylib"]);
    assert_eq!(facts::identify(&bytes).expect("well formed").machines, facts.machines());
}

proptest! {
    #[test]
    fn damage_is_survived(changes in prop::collection::vec((0_usize..80, any::<u8>()), 1..8)) {
        let mut bytes = thin(CPU_TYPE_ARM64, "/usr/lib/libSystem.B.dylib");
        for (place, value) in changes {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
        let _ = (facts::read(&bytes), facts::identify(&bytes));
    }
}
