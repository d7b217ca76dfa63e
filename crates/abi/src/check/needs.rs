//! What a bundle needs of a machine: the content of its contract. Computed from the files, not from the target's wishes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::bundle::{Bundle, Native};
use super::floors::{self, Demand, RELR_GLIBC, RELR_MUSL};
use super::process::{self, Process};
use super::{Os, Role, cpu};
use crate::elf::{CLibrary, Elf};
use crate::facts::Kind;
use crate::fatbin::GpuCode;
use crate::version::Version;

/// What all files of a bundle together need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// The newest glibc that a symbol asks for.
    pub glibc: Option<Version>,
    /// The newest libstdc++ of the system, as the number behind `GLIBCXX_`.
    pub libstdcxx: Option<Version>,
    /// The oldest musl, as far as it can be told: musl's symbols have no versions.
    pub musl: Option<Version>,
    /// The newest Linux that a file is marked for. What a program asks of the kernel while it runs is not seen.
    pub kernel: Option<Version>,
    /// The highest x86-64 level that a file is marked for, or that a program which nothing runs without was compiled for.
    pub x86_level: Option<u8>,
    /// The smallest alignment of segments on Linux: machines with larger pages cannot map them.
    pub page_size: Option<u64>,
    /// The newest macOS that a file was built for.
    pub macos: Option<Version>,
    /// The newest Windows that is known to have all functions; the major, minor and build number.
    pub windows: Option<Version>,
    /// The libraries of the system, and the versions that are asked of each.
    pub libraries: BTreeMap<String, BTreeSet<String>>,
    /// Code for graphics chips: a machine needs one that some of it fits.
    pub gpu: BTreeSet<GpuCode>,
}

/// `spare` are the files that nothing loads.
pub(super) fn fold(bundle: &Bundle<'_>, processes: &[Process], spare: &BTreeSet<String>) -> Needs {
    let mut needs = Needs::default();
    let is_used = |at: usize| !spare.contains(bundle.files[at].path);
    for process in processes.iter().filter(|process| is_used(process.root())) {
        let system = process.system.iter().map(|(_, library)| library);
        let missing = process.missing.iter().map(|missing| &missing.library);
        for library in system.chain(missing) {
            let library = match bundle.policy.os {
                Os::Windows => library.to_ascii_lowercase(),
                Os::Linux | Os::MacOs => library.clone(),
            };
            needs.libraries.entry(library).or_default();
        }
        for elf in process.own_files().filter_map(|at| bundle.elf(at)) {
            versions(&mut needs, bundle, process, elf);
        }
    }
    for (_, file, native) in bundle.natives().filter(|(at, _, _)| is_used(*at)) {
        // Without these nothing runs at all; of the rest, most is done without where it cannot be loaded.
        if matches!(file.role, Role::Runtime | Role::Launcher | Role::Service) {
            needs.x86_level = needs.x86_level.max(cpu::level(native));
        }
        match native {
            Native::Elf(elf) => marks(&mut needs, elf),
            Native::MachO(slice) => newest(&mut needs.macos, slice.macos()),
            Native::Pe(pe) => {
                needs.gpu.extend(&pe.gpu);
                newest(&mut needs.windows, super::windows::minimum(pe).as_ref());
            }
        }
    }
    needs
}

fn versions(needs: &mut Needs, bundle: &Bundle<'_>, process: &Process, elf: &Elf) {
    for need in elf.versions.iter().filter(|need| !need.weak) {
        if process::named(bundle, process, &need.file).is_some() {
            continue;
        }
        let versions = needs.libraries.entry(need.file.clone()).or_default();
        versions.insert(need.version.clone());
        match floors::demand(need) {
            Some(Demand::Glibc(version)) => newest(&mut needs.glibc, Some(&version)),
            Some(Demand::Libstdcxx(version)) => newest(&mut needs.libstdcxx, Some(&version)),
            Some(Demand::PackedRelocations) => {
                newest(&mut needs.glibc, Version::parse(RELR_GLIBC).as_ref());
            }
            Some(Demand::Unknown(_)) | None => {}
        }
    }
}

fn marks(needs: &mut Needs, elf: &Elf) {
    newest(&mut needs.kernel, elf.properties.linux.as_ref());
    needs.x86_level = needs.x86_level.max(elf.properties.x86_level);
    needs.gpu.extend(&elf.gpu);
    if elf.relr && elf.c_library() == Some(CLibrary::Musl) {
        newest(&mut needs.musl, Version::parse(RELR_MUSL).as_ref());
    }
    let is_mapped = elf.kind == Kind::Library || elf.interpreter.is_some();
    let smallest = elf.loads.iter().map(|load| load.align).min().filter(|_| is_mapped);
    needs.page_size = match (needs.page_size, smallest) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
}

fn newest(slot: &mut Option<Version>, version: Option<&Version>) {
    if version > slot.as_ref() {
        *slot = version.cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, elf, macho, needing, owned, pe};
    use super::*;
    use crate::fatbin::GpuCodeKind;
    use crate::pe::{ImportedSymbol, PeImport};

    #[test]
    fn the_newest_of_everything() {
        let addon = needing(
            &["libc.so.6"],
            &[
                ("libc.so.6", "GLIBC_2.17", false),
                ("libc.so.6", "GLIBC_2.99", true),
                ("libstdc++.so.6", "CXXABI_1.3.9", false),
            ],
        );
        let gpu = GpuCode { kind: GpuCodeKind::Ptx, arch: 72 };
        let other = elf(|elf| {
            elf.needed = owned(&["libx.so.1"]);
            elf.properties.linux = Version::parse("4.18");
            elf.loads[0].align = 4096;
            elf.gpu = vec![gpu];
        });
        let needs = Bench::linux()
            .file("a.node", Role::Addon, addon)
            .file("b.so", Role::Library, other)
            .report()
            .needs;
        assert_eq!(needs.glibc, Version::parse("2.17"));
        assert_eq!(needs.libstdcxx, Version::parse("3.4.21"));
        assert_eq!(needs.kernel, Version::parse("4.18"));
        assert_eq!(needs.page_size, Some(4096));
        assert_eq!(needs.gpu, BTreeSet::from([gpu]));
        assert_eq!(
            needs.libraries,
            BTreeMap::from([
                ("libc.so.6".to_owned(), BTreeSet::from(["GLIBC_2.17".to_owned()])),
                ("libstdc++.so.6".to_owned(), BTreeSet::from(["CXXABI_1.3.9".to_owned()])),
                ("libx.so.1".to_owned(), BTreeSet::new()),
            ])
        );
    }

    #[test]
    fn other_systems() {
        let needs = Bench::macos().file("a.dylib", Role::Library, macho(|_| {})).report().needs;
        assert_eq!(needs.macos, Version::parse("11.0"));
        let facts = pe(|pe| {
            pe.imports = vec![PeImport {
                library: "KERNEL32.dll".into(),
                delayed: false,
                symbols: vec![ImportedSymbol::Name("CreatePseudoConsole".into())],
            }];
        });
        let needs = Bench::windows().file("a.dll", Role::Library, facts).report().needs;
        assert_eq!(needs.windows, Version::parse("10.0.17763"));
        assert_eq!(Vec::from_iter(needs.libraries.into_keys()), ["kernel32.dll"]);
    }
}
