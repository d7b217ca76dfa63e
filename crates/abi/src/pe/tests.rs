//! PE files as a whole.

use proptest::prelude::*;

use super::*;
use crate::facts::{self, Facts};

/// A DLL that imports `a.dll` and delay-loads `node.exe`.
fn dll(clr: u32) -> Vec<u8> {
    let mut bytes = vec![0; 0x400];
    let mut put = |offset: usize, field: &[u8]| {
        bytes[offset..offset + field.len()].copy_from_slice(field);
    };
    put(0, b"MZ");
    put(0x3c, &0x80_u32.to_le_bytes());
    put(0x80, b"PE\0\0");
    put(0x84, &COFF_MACHINE_X86_64.to_le_bytes());
    put(0x86, &1_u16.to_le_bytes());
    put(0x94, &240_u16.to_le_bytes());
    put(0x96, &IMAGE_FILE_DLL.to_le_bytes());
    put(0x98, &0x20b_u16.to_le_bytes());
    put(0x98 + 108, &16_u32.to_le_bytes());
    let directories = 0x98 + 112;
    put(directories + 8 * IMPORTS, &0x1000_u32.to_le_bytes());
    put(directories + 8 * DELAY_IMPORTS, &0x1080_u32.to_le_bytes());
    put(directories + 8 * CLR_HEADER, &clr.to_le_bytes());
    let section = 0x98 + 240;
    for (offset, field) in [(12, 0x1000_u32), (16, 0x200), (20, 0x200)] {
        put(section + offset, &field.to_le_bytes());
    }
    put(0x200, &0x1140_u32.to_le_bytes());
    put(0x200 + 12, &0x1100_u32.to_le_bytes());
    put(0x280, &1_u32.to_le_bytes());
    put(0x280 + 4, &0x1110_u32.to_le_bytes());
    put(0x280 + 16, &0x1160_u32.to_le_bytes());
    put(0x300, b"a.dll\0");
    put(0x310, b"node.exe\0");
    put(0x340, &0x1180_u64.to_le_bytes());
    put(0x348, &((1_u64 << 63) | 7).to_le_bytes());
    put(0x360, &0x1190_u64.to_le_bytes());
    put(0x380, b"\0\0LoadLibraryA\0");
    put(0x390, b"\0\0napi_add_finalizer\0");
    bytes
}

#[test]
fn reads_imports_and_delay_imports() {
    let facts = facts::read(&dll(0)).expect("well formed");
    assert_eq!(facts.libraries().collect::<Vec<_>>(), ["a.dll", "node.exe"]);
    assert_eq!(facts.machines(), [Machine::X64]);
    assert_eq!(facts::identify(&dll(0)).expect("well formed").kind, Kind::Library);
    let Facts::Pe(pe) = facts else { panic!("it is one") };
    let name = |name: &str| ImportedSymbol::Name(name.into());
    assert_eq!(pe.imports[0].symbols, [name("LoadLibraryA"), ImportedSymbol::Ordinal(7)]);
    assert_eq!(pe.imports[1].symbols, [name("napi_add_finalizer")]);
    assert_eq!([pe.imports[0].delayed, pe.imports[1].delayed], [false, true]);
    assert!(pe.opens_libraries());
    assert_eq!(pe.unread, []);
}

#[test]
fn an_addon_reaches_its_host_by_delay_import() {
    let Some(Facts::Pe(pe)) = facts::read(&dll(0)) else { panic!("it is one") };
    let node = pe.node.expect("it imports Node-API");
    assert_eq!(node.node_api.expect("only that").imported, Some(5));
    assert_eq!(pe.host.expect("node.exe").hook, DelayHook::Unseen);
    // The name that the hook of node-gyp compares with.
    let mut hooked = dll(0);
    hooked.extend(b"\0node.exe\0");
    let Some(Facts::Pe(pe)) = facts::read(&hooked) else { panic!("it is one") };
    assert_eq!(pe.host.expect("node.exe").hook, DelayHook::Likely);
}

#[test]
fn a_table_that_is_nowhere_is_told() {
    let mut bytes = dll(0);
    bytes[0x280 + 16..0x280 + 20].copy_from_slice(&0x00ff_ffff_u32.to_le_bytes());
    let Some(Facts::Pe(pe)) = facts::read(&bytes) else { panic!("it is one") };
    assert_eq!(pe.unread, [Part::DelayImports]);
    assert_eq!(pe.imports.len(), 1);
}

#[test]
fn an_assembly_has_no_processor() {
    assert_eq!(facts::identify(&dll(0x1180)).expect("well formed").machines, []);
}

proptest! {
    #[test]
    fn damage_is_survived(changes in prop::collection::vec((0_usize..0x400, any::<u8>()), 1..8)) {
        let mut bytes = dll(0);
        for (place, value) in changes {
            bytes[place] = value;
        }
        let _ = (facts::read(&bytes), facts::identify(&bytes));
    }
}
