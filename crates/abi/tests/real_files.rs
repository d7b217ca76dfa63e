//! The traps that real addons set, each on a published one (`testdata/README.md`).

use gangway_abi::check::{File, Input, Os, Policy, Role};
use gangway_abi::{
    CLibrary, Declared, Elf, Facts, Machine, ModulesSource, NodeClass, Registration, Relro,
    Signature, Source, Stack, Version, VersionNeed, check, modules_in_name, read,
};
use proptest::prelude::*;

const MIXED: &[u8] = include_bytes!("../testdata/msgpackr-extract-linux-arm64-abi115-musl.node");
const PLAIN: &[u8] = include_bytes!("../testdata/msgpackr-extract-linux-x64-napi-glibc.node");
const MACOS: &[u8] = include_bytes!("../testdata/bufferutil-darwin-x64.node");

fn elf(bytes: &[u8]) -> Elf {
    match read(bytes) {
        Some(Facts::Elf(elf)) => elf,
        other => panic!("{other:?}"),
    }
}

fn pairs(elf: &Elf) -> Vec<(&str, &str)> {
    elf.versions.iter().map(|need| (&*need.file, &*need.version)).collect()
}

#[test]
fn glibc_in_a_name_is_not_always_glibc() {
    let elf = elf(MIXED);
    assert_eq!(pairs(&elf), [("libstdc++.so.6", "GLIBCXX_3.4"), ("libgcc_s.so.1", "GLIBC_2.0")]);
    assert_eq!(elf.c_library(), Some(CLibrary::Musl));
    let facts = Facts::Elf(elf);
    let file = File { path: "a.node", owner: None, role: Role::Addon, facts: &facts };
    let policy = Policy::new(Os::Linux, Machine::Arm64, &|_| false);
    let needs = check(&Input { files: &[file], ..Input::default() }, &policy).demands.all();
    assert_eq!(needs.glibc, None);
    assert_eq!(needs.libstdcxx, Version::parse("3.4"));
}

#[test]
fn the_registration_is_not_the_class() {
    let node = elf(MIXED).node.expect("an addon");
    assert_eq!(node.registrations, [Registration::NodeApiExport]);
    assert_eq!(node.class(), NodeClass::Engine);
    let engine = node.engine.expect("it calls V8");
    assert!(engine.imports.iter().any(|name| name == "_ZN2v87Isolate10GetCurrentEv"));
    // Nothing in the file tells for which version; the name does.
    assert_eq!(engine.modules.map(|(_, source): (u32, ModulesSource)| source), None);
    assert_eq!(modules_in_name("node.abi115.musl.node"), Some(115));
    let api = node.node_api.expect("it imports Node-API too");
    assert_eq!((api.declared, api.imported), (Declared::Level(8), Some(1)));
}

#[test]
fn versions_belong_to_libraries_and_to_symbols() {
    let elf = elf(PLAIN);
    assert!(pairs(&elf).contains(&("ld-linux-x86-64.so.2", "GLIBC_2.3")));
    let import = elf.imports.iter().find(|import| &*import.name == "__tls_get_addr");
    let need: Option<&VersionNeed> = import.and_then(|import| elf.version_of(import));
    assert_eq!(need.map(|need| &*need.file), Some("ld-linux-x86-64.so.2"));
    let host = elf.imports.iter().find(|import| &*import.name == "napi_get_cb_info");
    assert_eq!(host.expect("a Node-API addon").version, None);
    assert!(elf.exports.iter().any(|export| &*export.name == "napi_register_module_v1"));
    assert_eq!(elf.node.expect("an addon").class(), NodeClass::NodeApi);
}

#[test]
fn what_the_loader_protects() {
    let elf = elf(PLAIN);
    assert_eq!((elf.stack, elf.relro, elf.text_relocations), (Stack::Data, Relro::Partial, false));
    assert!(!elf.loads.is_empty());
    assert!(elf.loads.iter().all(|load| !(load.writable && load.executable)));
    assert!(elf.loads.iter().all(|load| load.offset % load.align == load.address % load.align));
}

#[test]
fn an_addon_of_macos() {
    let Some(Facts::MachO(macho)) = read(MACOS) else { panic!("it is one") };
    let [slice] = &macho.slices[..] else { panic!("it is thin") };
    assert_eq!(slice.macos(), Version::parse("10.7").as_ref());
    assert_eq!(
        slice.required().collect::<Vec<_>>(),
        ["/usr/lib/libc++.1.dylib", "/usr/lib/libSystem.B.dylib"]
    );
    let of = |name: &str| slice.imports.iter().find(|import| &*import.name == name);
    assert_eq!(of("_napi_module_register").expect("it calls it").source, Source::Anywhere);
    assert_eq!(of("___stack_chk_fail").expect("of the system").source, Source::Dependency(1));
    let node = slice.node.as_ref().expect("an addon");
    assert_eq!(node.registrations, [Registration::NodeApiCall]);
    assert_eq!(slice.signature, Signature::Absent);
    assert_eq!(slice.unread, []);
}

#[test]
fn facts_are_the_same_after_storing() {
    for bytes in [MIXED, PLAIN, MACOS] {
        let facts = read(bytes).expect("real files");
        let stored = serde_json::to_vec(&facts).expect("plain data");
        assert_eq!(serde_json::from_slice::<Facts>(&stored).expect("just written"), facts);
    }
}

#[test]
fn a_table_that_is_gone_is_told() {
    // The file ends before its symbols do, and still says that it has some.
    let facts = read(&PLAIN[..0x700]).map(|facts| facts.unread().collect::<Vec<_>>());
    assert!(facts.is_none_or(|unread| !unread.is_empty()));
}

proptest! {
    #[test]
    fn damage_is_survived(
        file in prop::sample::select(vec![MIXED, PLAIN, MACOS]),
        changes in prop::collection::vec((0_usize..9072, any::<u8>()), 1..8),
        end in prop::option::of(0_usize..9072),
    ) {
        let mut bytes = file.to_vec();
        for (place, value) in changes {
            bytes[place] = value;
        }
        bytes.truncate(end.unwrap_or(file.len()));
        let _ = read(&bytes);
    }
}
