//! Whatever the facts: no panic, and the order of files is of no consequence.

use proptest::prelude::*;

use super::testing::{Bench, elf, imports, macho, offers, pe};
use super::*;
use crate::elf::{Load, Stack, VersionNeed};
use crate::facts::{Kind, Machine, Part};
use crate::node::{Declared, Engine, ModulesSource, NodeApi, NodeFacts, Registration};
use crate::pe::{DelayHook, HostImport, ImportedSymbol, PeImport};

/// Few names, so that they meet.
fn library() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "libc.so.6",
        "libc.so",
        "libx.so.1",
        "liby.so",
        "libgomp.so.1",
        "libcuda.so.1",
        "node.exe",
        "x.dll",
        "@rpath/libx.dylib",
        "@loader_path/liby.so",
        "/usr/lib/libz.dylib",
        "",
        "/",
        "a/b",
    ])
    .prop_map(str::to_owned)
}

fn folder() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "$ORIGIN",
        "$ORIGIN/..",
        "${ORIGIN}/../lib",
        "$ORIGIN/../../..",
        "",
        "/opt",
        "@loader_path",
        "@executable_path/..",
        "ü",
    ])
    .prop_map(str::to_owned)
}

fn symbol() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "malloc",
        "_ZN2v85ValueE",
        "_ZN3fooE",
        "napi_create_int32",
        "uv_run",
        "dlopen",
        "_Z",
        "",
        "__memcpy_chk",
        "ü",
    ])
}

fn version() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "GLIBC_2.34",
        "GLIBC_PRIVATE",
        "GLIBC_ABI_DT_RELR",
        "GLIBCXX_3.4.99",
        "CXXABI_1.3.99",
        "CXXABI_1.3.",
        "GCC_99.0.0",
        "GCC_",
        "X_1",
        "",
    ])
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Executable, Kind::Library, Kind::Object, Kind::Other])
}

fn node() -> impl Strategy<Value = Option<NodeFacts>> {
    prop::option::of(
        (any::<u32>(), any::<bool>(), prop::option::of(any::<u32>()), symbol()).prop_map(
            |(level, is_engine, modules, name)| NodeFacts {
                registrations: vec![Registration::NodeApiExport],
                node_api: (level % 3 > 0).then_some(NodeApi {
                    declared: Declared::Level(level),
                    imported: modules,
                    mentioned: modules,
                    unknown: Vec::new(),
                }),
                engine: is_engine.then(|| Engine {
                    modules: modules.map(|modules| (modules, ModulesSource::Export)),
                    imports: vec![name.to_owned()],
                }),
                libuv: vec![name.to_owned()],
            },
        ),
    )
}

fn linux() -> impl Strategy<Value = Facts> {
    let lists = (
        prop::collection::vec(library(), 0..4),
        prop::collection::vec(folder(), 0..3),
        prop::collection::vec(folder(), 0..2),
        prop::collection::vec((library(), version(), any::<bool>()), 0..4),
        prop::collection::vec(symbol(), 0..4),
        prop::collection::vec(symbol(), 0..4),
    );
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u8>(), any::<bool>());
    (lists, numbers, kind(), node(), prop::option::of(library())).prop_map(
        |((needed, rpath, runpath, versions, wants, has), numbers, kind, node, soname)| {
            elf(|elf| {
                (elf.needed, elf.rpath, elf.runpath) = (needed, rpath, runpath);
                elf.versions = versions
                    .iter()
                    .map(|(file, version, weak)| VersionNeed::new(file, version, *weak))
                    .collect();
                (elf.imports, elf.exports) = (imports(&wants), offers(&has));
                for (place, import) in elf.imports.iter_mut().enumerate() {
                    import.version = u16::try_from(place * 2).ok();
                }
                (elf.kind, elf.node, elf.soname) = (kind, node, soname);
                let (offset, address, align, small, flag) = numbers;
                let [readable, writable, executable] = [true, flag, flag];
                elf.loads = vec![Load { offset, address, align, readable, writable, executable }];
                (elf.tls.size, elf.tls.is_static, elf.relr) = (offset, flag, flag);
                elf.tls.static_relocations = u32::from(small);
                elf.properties.x86_level = (small > 9).then_some(small);
                elf.stack = if flag { Stack::Unsaid } else { Stack::Executable };
                elf.os_abi = small % 4;
                elf.unread = vec![Part::Symbols];
                elf.mentioned = vec!["libq.so".to_owned()];
            })
        },
    )
}

fn apple() -> impl Strategy<Value = Facts> {
    let names = prop::collection::vec(library(), 0..4);
    (names, prop::collection::vec(folder(), 0..3), symbol(), any::<u8>(), kind(), node()).prop_map(
        |(names, rpaths, symbol, number, kind, node)| {
            macho(|slice| {
                slice.install_name = names.first().cloned();
                slice.dependencies = names
                    .into_iter()
                    .map(|name| crate::Dependency {
                        name,
                        kind: crate::DependencyKind::Reexported,
                        compatibility: Version::of(1, 0, 0),
                    })
                    .collect();
                let source = crate::Source::Dependency(number);
                slice.imports =
                    vec![crate::MachOImport { name: symbol.into(), weak: false, source }];
                (slice.rpaths, slice.kind, slice.node) = (rpaths, kind, node);
            })
        },
    )
}

fn windows() -> impl Strategy<Value = Facts> {
    (library(), symbol(), any::<u16>(), any::<bool>(), kind(), node()).prop_map(
        |(library, symbol, number, delayed, kind, node)| {
            pe(|pe| {
                let name = ImportedSymbol::Name(symbol.into());
                let symbols = vec![name, ImportedSymbol::Ordinal(number)];
                pe.host = (number % 3 == 0).then(|| HostImport {
                    library: library.as_str().into(),
                    hook: DelayHook::Unseen,
                });
                pe.imports = vec![PeImport { library: library.into(), delayed, symbols }];
                pe.export_ordinals = (u32::MAX, u32::from(number));
                (pe.kind, pe.node) = (kind, node);
                pe.machine = (number % 5 > 0).then_some(Machine::X64);
            })
        },
    )
}

fn file() -> impl Strategy<Value = (Role, Facts)> {
    let roles =
        [Role::Runtime, Role::Launcher, Role::Addon, Role::Library, Role::Program, Role::Service];
    (prop::sample::select(roles.to_vec()), prop_oneof![4 => linux(), 2 => apple(), 2 => windows()])
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]/(libx.so.1|liby.so|x.dll|libx.dylib|a-137.node|node.exe)",
        "[a-c]{0,2}(/[a-c.]{1,2}){0,2}",
    ]
}

proptest! {
    #[test]
    fn files_in_any_order_give_one_report(
        files in prop::collection::btree_map(path(), file(), 0..8),
        order in any::<prop::sample::Index>(),
        link in prop::option::of((
            prop::sample::select(vec!["a", "a/libx.so.1", "b/loop", ""]),
            prop::sample::select(vec!["../b", "libx.so.1", "loop", "../../..", "/", ""]),
        )),
        base in 0_usize..4,
        modules in prop::option::of(0_u32..200),
    ) {
        let mut bench = match base {
            0 => Bench::linux(),
            1 => Bench::musl(),
            2 => Bench::macos(),
            _ => Bench::windows(),
        };
        bench.policy.cpu = Cpu::X86(1);
        bench.policy.gpu = Some(Gpu { sm: vec![87], ..Gpu::default() });
        bench.policy.runtime = modules.map(|modules| RuntimeFacts {
            engine: [RuntimeEngine::Node, RuntimeEngine::Bun, RuntimeEngine::Deno][base % 3],
            version: "1".to_owned(),
            modules,
            node_api: 10,
        });
        bench.links = Vec::from_iter(link);
        bench.files = files.into_iter().map(|(path, (role, facts))| (path, role, facts)).collect();
        let report = bench.report();
        if !bench.files.is_empty() {
            let place = order.index(bench.files.len());
            bench.files.rotate_left(place);
            bench.files.reverse();
        }
        prop_assert_eq!(&bench.report(), &report);
        prop_assert!(report.findings.is_sorted());
    }
}
