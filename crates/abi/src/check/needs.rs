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

/// What each file of a bundle needs of a machine. Together they are the bundle's [`Needs`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Demands {
    parts: Vec<Part>,
}

/// What one file needs, in one of the processes it is loaded in or by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Part {
    file: String,
    /// The files that are started or opened, and load it.
    by: BTreeSet<String>,
    /// Whether it counts whatever can be done without.
    stays: bool,
    needs: Needs,
}

impl Demands {
    /// What all files together need.
    #[must_use]
    pub fn all(&self) -> Needs {
        self.without(&BTreeSet::new())
    }

    /// What is needed by an app that goes on where these files cannot be loaded. What only they would have loaded is not
    /// needed then either.
    ///
    /// A runtime, a launcher, a service and what they load are needed all the same: nothing goes on without. So are the level of the
    /// processor and the chips that a file has code for: a file is loaded without them, and fails when it is used.
    #[must_use]
    pub fn without(&self, files: &BTreeSet<&str>) -> Needs {
        let is_left = |part: &&Part| {
            let is_out = |file: &String| files.contains(file.as_str());
            part.stays || !(is_out(&part.file) || part.by.iter().all(is_out))
        };
        let mut needs = Needs::default();
        for part in self.parts.iter().filter(is_left) {
            needs.add(&part.needs);
        }
        needs
    }
}

impl Needs {
    fn add(&mut self, other: &Self) {
        newest(&mut self.glibc, other.glibc.as_ref());
        newest(&mut self.libstdcxx, other.libstdcxx.as_ref());
        newest(&mut self.musl, other.musl.as_ref());
        newest(&mut self.kernel, other.kernel.as_ref());
        newest(&mut self.macos, other.macos.as_ref());
        newest(&mut self.windows, other.windows.as_ref());
        self.x86_level = self.x86_level.max(other.x86_level);
        self.page_size = self.page_size.into_iter().chain(other.page_size).min();
        for (library, versions) in &other.libraries {
            self.libraries.entry(library.clone()).or_default().extend(versions.iter().cloned());
        }
        self.gpu.extend(&other.gpu);
    }
}

/// `spare` are the files that nothing loads.
pub(super) fn demands(
    bundle: &Bundle<'_>,
    processes: &[Process],
    spare: &BTreeSet<String>,
) -> Demands {
    let is_used = |at: usize| !spare.contains(bundle.files[at].path);
    let mut loaders: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut demands = Demands::default();
    for process in processes {
        let root = process.root();
        for at in process.own_files() {
            loaders.entry(at).or_default().push(root);
            if is_used(root) {
                demands.parts.push(part(bundle, at, &[root], loaded(bundle, process, at)));
            }
        }
    }
    for (at, _, native) in bundle.natives().filter(|(at, _, _)| is_used(*at)) {
        let itself = [at];
        let by = loaders.get(&at).map_or(&itself[..], Vec::as_slice);
        demands.parts.push(part(bundle, at, by, marks(native)));
        let level = is_essential(bundle, at).then(|| cpu::level(native)).flatten();
        let used = when_used(native, level);
        demands.parts.push(Part { stays: true, ..part(bundle, at, by, used) });
    }
    demands
}

fn part(bundle: &Bundle<'_>, at: usize, by: &[usize], needs: Needs) -> Part {
    let path = |at: &usize| bundle.files[*at].path.to_owned();
    Part {
        file: path(&at),
        by: by.iter().map(path).collect(),
        stays: by.iter().any(|root| is_essential(bundle, *root)),
        needs,
    }
}

/// Without these nothing runs at all; of the rest, most is done without where it cannot be loaded.
fn is_essential(bundle: &Bundle<'_>, at: usize) -> bool {
    matches!(bundle.files[at].role, Role::Runtime | Role::Launcher | Role::Service)
}

/// What a loader must find of the system for a file, in this process.
fn loaded(bundle: &Bundle<'_>, process: &Process, at: usize) -> Needs {
    let mut needs = Needs::default();
    let system = process.system.iter().map(|(file, library)| (*file, library));
    let missing = process.missing.iter().map(|missing| (missing.file, &missing.library));
    for (_, library) in system.chain(missing).filter(|(file, _)| *file == at) {
        let library = match bundle.policy.os {
            Os::Windows => library.to_ascii_lowercase(),
            Os::Linux | Os::MacOs => library.clone(),
        };
        needs.libraries.entry(library).or_default();
    }
    if let Some(elf) = bundle.elf(at) {
        versions(&mut needs, bundle, process, elf);
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

/// What a loader reads in a file about the machine it is for.
fn marks(native: Native<'_>) -> Needs {
    let mut needs = Needs::default();
    match native {
        Native::Elf(elf) => {
            needs.kernel.clone_from(&elf.properties.linux);
            if elf.relr && elf.c_library() == Some(CLibrary::Musl) {
                needs.musl = Version::parse(RELR_MUSL);
            }
            let is_mapped = elf.kind == Kind::Library || elf.interpreter.is_some();
            needs.page_size = elf.loads.iter().map(|load| load.align).min().filter(|_| is_mapped);
        }
        Native::MachO(slice) => needs.macos = slice.macos().cloned(),
        Native::Pe(pe) => needs.windows = super::windows::minimum(pe),
    }
    needs
}

/// What a file needs after it was loaded; `level` is that of its instructions, where they are looked at.
fn when_used(native: Native<'_>, level: Option<u8>) -> Needs {
    let mut needs = Needs { x86_level: level, ..Needs::default() };
    match native {
        Native::Elf(elf) => {
            needs.x86_level = needs.x86_level.max(elf.properties.x86_level);
            needs.gpu.extend(&elf.gpu);
        }
        Native::Pe(pe) => needs.gpu.extend(&pe.gpu),
        Native::MachO(_) => {}
    }
    needs
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
            .demands
            .all();
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
        let needs =
            Bench::macos().file("a.dylib", Role::Library, macho(|_| {})).report().demands.all();
        assert_eq!(needs.macos, Version::parse("11.0"));
        let facts = pe(|pe| {
            pe.imports = vec![PeImport {
                library: "KERNEL32.dll".into(),
                delayed: false,
                symbols: vec![ImportedSymbol::Name("CreatePseudoConsole".into())],
            }];
        });
        let needs = Bench::windows().file("a.dll", Role::Library, facts).report().demands.all();
        assert_eq!(needs.windows, Version::parse("10.0.17763"));
        assert_eq!(Vec::from_iter(needs.libraries.into_keys()), ["kernel32.dll"]);
    }

    /// Two addons, one with a library of its own; what each needs says where it comes from.
    fn desktop() -> Bench {
        let with = |needed: &[&str], glibc: &str, kernel: &str| {
            let mut facts = needing(needed, &[("libc.so.6", glibc, false)]);
            if let crate::Facts::Elf(elf) = &mut facts {
                elf.runpath = vec!["$ORIGIN".to_owned()];
                elf.properties.linux = Version::parse(kernel);
            }
            facts
        };
        let own = elf(|elf| {
            elf.soname = Some("libown.so".to_owned());
            elf.needed = owned(&["libxi.so"]);
            elf.properties.linux = Version::parse("5.10");
            elf.properties.x86_level = Some(3);
        });
        Bench::linux()
            .file(
                "p/desk.node",
                Role::Addon,
                with(&["libx11.so", "libown.so"], "GLIBC_2.34", "4.0"),
            )
            .file("p/libown.so", Role::Library, own)
            .file("q/b.node", Role::Addon, with(&["libc.so.6"], "GLIBC_2.17", "3.2"))
    }

    fn told(needs: &Needs) -> String {
        let version = |version: &Option<Version>| {
            version.as_ref().map_or("-".to_owned(), ToString::to_string)
        };
        let libraries: Vec<_> = needs.libraries.keys().map(String::as_str).collect();
        let (glibc, kernel) = (version(&needs.glibc), version(&needs.kernel));
        format!("{glibc} {kernel} {:?} {}", needs.x86_level, libraries.join(" "))
    }

    #[test]
    fn what_can_be_done_without_needs_nothing() {
        let demands = desktop().report().demands;
        let without = |files: &[&str]| told(&demands.without(&files.iter().copied().collect()));
        assert_eq!(without(&[]), "2.34 5.10 Some(3) libc.so.6 libx11.so libxi.so");
        // The library is loaded for the addon alone. What a processor must have is no question of loading.
        assert_eq!(without(&["p/desk.node"]), "2.17 3.2 Some(3) libc.so.6");
        assert_eq!(without(&["p/libown.so"]), "2.34 4.0 Some(3) libc.so.6 libx11.so");
        let all = ["p/desk.node", "p/libown.so", "q/b.node"];
        assert_eq!(without(&all), "- - Some(3) ");
    }

    #[test]
    fn nothing_goes_on_without_a_runtime() {
        let node = elf(|elf| {
            elf.kind = Kind::Executable;
            elf.needed = owned(&["libown.so"]);
            elf.runpath = vec!["$ORIGIN/../p".to_owned()];
        });
        let demands = desktop().file("runtime/node", Role::Runtime, node).report().demands;
        let all = ["p/desk.node", "p/libown.so", "q/b.node", "runtime/node"];
        let needs = demands.without(&BTreeSet::from(all));
        assert_eq!(told(&needs), "- 5.10 Some(3) libxi.so");
    }
}
