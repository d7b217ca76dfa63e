//! A whole bundle of whatever can be read, judged against what several targets promise.

#![no_main]

use gangway_abi::check::{
    self, Cpu, File, Gpu, Input, Link, Os, Policy, Role, RuntimeEngine, RuntimeFacts,
};
use gangway_abi::{CLibrary, Facts, Machine, Version};
use libfuzzer_sys::fuzz_target;

/// What stands between two files of an input.
const BORDER: &[u8] = b"\0FILE\0";

/// Where they are taken to be, and what for.
const PLACES: [(&str, Role); 5] = [
    ("runtime/bin/node", Role::Runtime),
    ("app/a/a.abi137.node", Role::Addon),
    ("app/a/lib/libstdc++.so.6", Role::Library),
    ("app/a/b.node", Role::Addon),
    ("services/c", Role::Service),
];

fuzz_target!(|bytes: &[u8]| {
    // The last byte, so that a file by itself is an input.
    let Some(choice) = bytes.last() else { return };
    let facts = read(bytes);
    let files: Vec<File<'_>> = facts
        .iter()
        .zip(PLACES)
        .map(|(facts, (path, role))| File { path, owner: Some("p"), role, facts })
        .collect();
    let links = [Link { path: "app/a/lib/libb.so", target: "../../a/b.node" }];
    let report = check::check(
        &Input { files: &files, links: &links, plans: &[] },
        &policy(*choice, files.first().map(|file| file.facts)),
    );
    // The worst stands first.
    assert!(report.findings.is_sorted());
});

fn read(mut bytes: &[u8]) -> Vec<Facts> {
    let mut all = Vec::new();
    while all.len() < PLACES.len() && !bytes.is_empty() {
        let end = bytes.windows(BORDER.len()).position(|part| part == BORDER);
        let (file, rest) = match end {
            Some(end) => (&bytes[..end], &bytes[end + BORDER.len()..]),
            None => (bytes, &[][..]),
        };
        all.extend(gangway_abi::read(file));
        bytes = rest;
    }
    all
}

/// For the system and the processor of the first file, so that there is something to judge.
fn policy(choice: u8, first: Option<&Facts>) -> Policy<'static> {
    let machine = first.and_then(|facts| facts.machines().first().copied());
    let os = match first {
        Some(Facts::MachO(_)) => Os::MacOs,
        Some(Facts::Pe(_)) => Os::Windows,
        Some(Facts::Elf(_) | Facts::Archive(_)) | None => Os::Linux,
    };
    let is_musl = choice & 1 != 0;
    let engine = [RuntimeEngine::Node, RuntimeEngine::Bun, RuntimeEngine::Deno, RuntimeEngine::Node]
        [usize::from(choice >> 1) % 4];
    Policy {
        c_library: Some(if is_musl { CLibrary::Musl } else { CLibrary::Glibc }),
        glibc: Version::parse("2.28"),
        libstdcxx: Version::parse("3.4.24"),
        musl: Version::parse("1.2.4"),
        macos: Version::parse("13.5"),
        windows: Version::parse("10.0.17763"),
        page_size: if choice & 8 == 0 { 4096 } else { 65536 },
        cpu: if choice & 16 == 0 { Cpu::X86(1) } else { Cpu::Arm(8, 2) },
        gpu: (choice & 32 != 0).then(|| Gpu { sm: vec![72, 87], ..Gpu::default() }),
        runtime: (choice & 64 == 0).then(|| RuntimeFacts {
            engine,
            version: "24.21.0".to_owned(),
            modules: 137,
            node_api: 10,
        }),
        ..Policy::new(os, machine.unwrap_or(Machine::X64), &|library| library.starts_with("libc"))
    }
}
