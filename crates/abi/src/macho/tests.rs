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

/// A file of these load commands, and what they point at behind them.
fn file(commands: &[Vec<u32>], behind: &[u8]) -> Vec<u8> {
    let count = u32::try_from(commands.len()).expect("few");
    let words: Vec<u32> = commands.concat();
    let size = u32::try_from(words.len() * 4).expect("small");
    let mut bytes = b"\xcf\xfa\xed\xfe".to_vec();
    for field in [CPU_TYPE_ARM64, 0, MH_BUNDLE, count, size, 0x80, 0] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes.resize(DATA, 0);
    bytes.extend(behind);
    bytes
}

/// Where what the commands point at starts.
const DATA: usize = 0x100;

fn one(bytes: &[u8]) -> Slice {
    read(bytes).expect("well formed").slices.remove(0)
}

#[test]
fn chained_fixups_hide_no_import() {
    let data = u32::try_from(DATA).expect("small");
    // Two symbols: a function of the host, and one the second library may lack.
    let mut behind = Vec::new();
    for (name, description) in [(1_u32, 0xfe00_u16), (21, 0x0240)] {
        behind.extend(name.to_le_bytes());
        behind.extend([N_UNDEFINED_EXTERNAL, 0]);
        behind.extend(description.to_le_bytes());
        behind.extend(0_u64.to_le_bytes());
    }
    behind.extend(b"\0_napi_add_finalizer\0_maybe\0");
    let commands = [
        vec![0x8000_0034, 16, data, 0],
        vec![0x2, 24, data, 2, data + 32, 32],
        vec![0x32, 24, 1, 0x000d_0500, 0x000e_0000, 0],
    ];
    let slice = one(&file(&commands, &behind));
    assert!(slice.chained_fixups);
    let import = |name: &str, weak, source| MachOImport { name: name.into(), weak, source };
    assert_eq!(
        slice.imports,
        [
            import("_napi_add_finalizer", false, Source::Anywhere),
            import("_maybe", true, Source::Dependency(1)),
        ]
    );
    assert_eq!(slice.macos().expect("said").to_string(), "13.5");
    assert_eq!(slice.node.expect("it imports Node-API").node_api.expect("so").imported, Some(5));
}

const N_UNDEFINED_EXTERNAL: u8 = 1;

mod signed {
    use sha2::{Digest as _, Sha256};

    use super::*;

    const PAGE: usize = 4096;
    const PAGES: usize = 3;
    const LIMIT: usize = 2 * PAGE + 100;
    const ENTITLED: &str = "<dict><key>com.apple.security.cs.disable-library-validation</key>\
        <true/><key>other</key><false/></dict>";

    fn be(fields: &[u32]) -> Vec<u8> {
        fields.iter().flat_map(|field| field.to_be_bytes()).collect()
    }

    fn word(length: usize) -> u32 {
        u32::try_from(length).expect("small")
    }

    /// A signed file whose digests are its own; the flags are those of the code directory.
    fn signed(flags: u32) -> Vec<u8> {
        let mut bytes = file(&[vec![0x1d, 16, word(LIMIT), 0x1000]], b"");
        bytes.resize(LIMIT, 0x55);
        let mut entitlements = be(&[0xfade_7171, word(8 + ENTITLED.len())]);
        entitlements.extend(ENTITLED.bytes());
        let (identifier, team) = (88, 88 + 4);
        let digests = team + 6 + 5 * 32;
        let size = digests + PAGES * 32;
        let mut directory = be(&[0xfade_0c02, word(size), 0x2_0400, flags, word(digests)]);
        directory.extend(be(&[identifier, 5, word(PAGES), word(LIMIT), 0x2002_000c, 0, 0]));
        directory.extend(be(&[word(team), 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        directory.extend(b"abc\0TEAM1\0");
        directory.extend(Sha256::digest(&entitlements));
        directory.resize(digests, 0);
        bytes.chunks(PAGE).for_each(|page| directory.extend(Sha256::digest(page)));
        assert_eq!(directory.len(), size);
        let first = 12 + 2 * 8;
        let mut blob = be(&[0xfade_0cc0, 0x1000, 2, 0, first, 5, first + word(size)]);
        blob.extend(directory);
        blob.extend(entitlements);
        blob.resize(0x1000, 0);
        bytes.extend(blob);
        bytes
    }

    fn pages(bytes: &[u8]) -> Pages {
        match one(bytes).signature {
            Signature::Present(signature) => signature.pages,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_signature_says() {
        let Signature::Present(signature) = one(&signed(0x1_0002)).signature else {
            panic!("it is signed")
        };
        assert_eq!((&*signature.identifier, signature.team.as_deref()), ("abc", Some("TEAM1")));
        assert_eq!((signature.signer, signature.hardened()), (Signer::AdHoc, true));
        assert!(signature.disables_library_validation());
        assert_eq!(signature.entitlements.len(), 1);
        assert_eq!(signature.pages, Pages::Intact);
        let linker = one(&signed(0x2_0002)).signature;
        assert!(
            matches!(linker, Signature::Present(signature) if signature.signer == Signer::Linker)
        );
    }

    #[test]
    fn the_first_page_that_was_changed_is_named() {
        for (place, page) in [(DATA, 0), (PAGE, 1), (LIMIT - 1, 2)] {
            let mut bytes = signed(2);
            bytes[place] ^= 1;
            assert_eq!(pages(&bytes), Pages::Broken(page));
        }
    }

    #[test]
    fn bytes_that_no_digest_covers_are_told() {
        let mut bytes = signed(2);
        let blob = bytes.split_off(LIMIT);
        bytes.resize(LIMIT + 64, 0x66);
        bytes.extend(blob);
        // The signature moves, and the first page with the command that says where it is.
        bytes[40..44].copy_from_slice(&word(LIMIT + 64).to_le_bytes());
        let digest = Sha256::digest(&bytes[..PAGE]);
        let digests = LIMIT + 64 + 28 + 98 + 5 * 32;
        bytes[digests..digests + 32].copy_from_slice(&digest);
        assert_eq!(pages(&bytes), Pages::Uncovered(LIMIT as u64));
    }

    #[test]
    fn a_signature_that_cannot_be_is_a_state_of_its_own() {
        let malformed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = signed(2);
            change(&mut bytes);
            matches!(one(&bytes).signature, Signature::Malformed(_))
        };
        assert!(malformed(&|bytes| bytes.truncate(LIMIT + 10)));
        assert!(malformed(&|bytes| bytes[LIMIT] = 0));
        assert!(malformed(&|bytes| bytes[LIMIT + 11] = 200));
        // The entitlements are not the ones that were signed.
        let entitlements = LIMIT + 28 + 98 + 8 * 32 + 20;
        assert!(malformed(&|bytes| bytes[entitlements] ^= 1));
        // More pages than there are.
        assert!(malformed(&|bytes| bytes[LIMIT + 28 + 31] = 9));
    }
}
