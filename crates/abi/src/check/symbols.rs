//! Check 7: symbols that nothing in the process defines.
//!
//! Every import of every file is looked for in the files of its process, the runtime among them. A symbol with a
//! version is promised by the library the version belongs to: the floors decide about those of the system. For what has
//! no version there is a table of the names that the C libraries define ([`system`]). What another file of the process
//! takes from the system, by a version, is there; and mangled names of C++ that are not the standard library's come from
//! no C library. Where other libraries of the system are loaded, or what opens a library is not known, a name that is
//! not found is unknown.
//! The functions of the host (`napi_*`, `uv_*`, `v8::`) are left to the checks of addons.

use std::collections::{HashMap, HashSet};

use super::bundle::{Bundle, Native};
use super::finding::some_of;
use super::process::{self, Process, Start};
use super::system::{self, Defined};
use super::{Code, Finding, Os, Verdict, c_library};
use crate::elf::Elf;
use crate::macho::{DependencyKind, Slice, Source};
use crate::node;
use crate::pe::{ImportedSymbol, Pe};

/// Further than libraries hand each other's symbols on.
const MAX_REEXPORTS: usize = 8;

/// A symbol that is not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undefined {
    /// Which process, by its place in the list.
    pub(super) process: usize,
    pub(super) file: usize,
    /// As C writes it: without the underscore of macOS.
    pub(super) name: String,
    /// The one library that must have it, when it is known and in the bundle.
    from: Option<usize>,
}

/// The contracts between an addon and its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Host {
    NodeApi,
    Engine,
    Libuv,
}

impl Undefined {
    /// Whose function it is by its name, when it is to be found in the host.
    pub(super) fn host(&self) -> Option<Host> {
        let name = self.name.as_str();
        if self.from.is_some() {
            None
        } else if name.starts_with("napi_") || name.starts_with("node_api_") {
            Some(Host::NodeApi)
        } else if name.starts_with("uv_") {
            Some(Host::Libuv)
        } else if name == "node_module_register" || node::is_engine(name) {
            Some(Host::Engine)
        } else {
            None
        }
    }
}

/// Everything that is not found, in every process.
pub(super) fn undefined(bundle: &Bundle<'_>, processes: &[Process]) -> Vec<Undefined> {
    let mut exports = Exports::default();
    let mut all = Vec::new();
    for (number, process) in processes.iter().enumerate() {
        let promised = promised(bundle, process);
        for file in process.own_files() {
            // What is not found may be in a library that is not found either, which is said already.
            if process.missing.iter().any(|missing| missing.file == file && !missing.delayed) {
                continue;
            }
            let mut search = Search { bundle, process, exports: &mut exports, promised: &promised };
            let names = match bundle.native(file) {
                Some(Native::Elf(elf)) => search.elf(elf),
                Some(Native::MachO(slice)) => search.macho(slice),
                Some(Native::Pe(pe)) => search.pe(pe),
                None => Vec::new(),
            };
            let undefined = |(name, from)| Undefined { process: number, file, name, from };
            all.extend(names.into_iter().map(undefined));
        }
    }
    all
}

pub(super) fn check(
    bundle: &Bundle<'_>,
    processes: &[Process],
    undefined: &[Undefined],
    findings: &mut Vec<Finding>,
) {
    let mut groups: HashMap<(usize, usize, Verdict, Reason), Vec<&str>> = HashMap::new();
    let loaded: Vec<HashSet<&str>> =
        processes.iter().map(|process| loaded(bundle, process)).collect();
    for symbol in undefined {
        let process = &processes[symbol.process];
        // The checks of addons speak of these; a plain library beside one is left to this check.
        let is_addon = bundle.native(symbol.file).is_some_and(|native| native.node().is_some());
        if symbol.host().is_some()
            && is_addon
            && process.start == Start::Addon
            && bundle.policy.runtime.is_some()
        {
            continue;
        }
        if let Some((verdict, reason)) = verdict(bundle, process, &loaded[symbol.process], symbol) {
            let key = (symbol.process, symbol.file, verdict, reason);
            groups.entry(key).or_default().push(&symbol.name);
        }
    }
    for ((process, file, verdict, reason), mut names) in groups {
        names.sort_unstable();
        names.dedup();
        findings.push(Finding {
            required: some_of(&names),
            offered: "no file of the process defines it".to_owned(),
            because: reason.told(),
            symptom: format!("symbol lookup error: undefined symbol: {}", names[0]),
            remedy: format!(
                "link the library that defines it, or bring it along; then load {} with LD_BIND_NOW=1",
                processes[process].described(bundle)
            ),
            ..Finding::new(Code::SymbolClosure, verdict, bundle.files[file], "undefined symbols")
        });
    }
}

/// Why a symbol is not found, or cannot be looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Reason {
    /// No library of the system has it.
    Nowhere,
    /// Only newer systems have it.
    Newer(String),
    /// Nothing in the process names the library that has it.
    NotLoaded(&'static str),
    /// The one library that must have it does not.
    Lacking,
    /// Whoever opens the file may have it.
    Opener,
    /// What the system's libraries export is not known.
    System,
}

impl Reason {
    fn told(&self) -> String {
        match self {
            Self::Nowhere => "no library of the system has such a name".to_owned(),
            Self::Newer(since) => format!("the system's C library has it since {since}"),
            Self::NotLoaded(library) => {
                format!("it is `{library}`'s, which no file of the process names")
            }
            Self::Lacking => "the library it is to come from does not have it".to_owned(),
            Self::Opener => {
                "nothing in the bundle needs this file; whoever opens it may have it".to_owned()
            }
            Self::System => {
                "a library of the system may have it; what those export is not known".to_owned()
            }
        }
    }
}

/// The names of all libraries that the files of a process ask for.
fn loaded<'a>(bundle: &Bundle<'a>, process: &Process) -> HashSet<&'a str> {
    let elves = process.files().filter_map(|file| bundle.elf(file));
    elves.flat_map(|elf| elf.needed.iter().map(String::as_str)).collect()
}

/// `None`: it is the system's.
fn verdict(
    bundle: &Bundle<'_>,
    process: &Process,
    loaded: &HashSet<&str>,
    symbol: &Undefined,
) -> Option<(Verdict, Reason)> {
    if symbol.from.is_some() {
        return Some((Verdict::Broken, Reason::Lacking));
    }
    if bundle.policy.os != Os::Linux {
        return Some((Verdict::Unknown, Reason::System));
    }
    let name = symbol.name.as_str();
    let is_known = |library: &str| {
        c_library::is_one(library)
            || system::covers(library)
            || process::named(bundle, process, library).is_some()
    };
    let reason = match system::defines(bundle.policy, loaded, name) {
        Defined::Yes => return None,
        Defined::Unknown if name.starts_with("_Z") && !is_standard(name) => Reason::Nowhere,
        Defined::Unknown => return Some((Verdict::Unknown, Reason::System)),
        Defined::Nowhere => Reason::Nowhere,
        Defined::Elsewhere(library) => Reason::NotLoaded(library),
        Defined::Since(since) => Reason::Newer(since.to_string()),
    };
    Some(if process.start == Start::Opened || !process.has_program {
        (Verdict::Unknown, Reason::Opener)
    } else if loaded.iter().all(|library| is_known(library)) {
        (Verdict::Broken, reason)
    } else {
        (Verdict::Unknown, Reason::System)
    })
}

/// Names of C++'s standard library and of its support: `std::`, `operator new`, `__cxxabiv1`, `__gnu_cxx`.
fn is_standard(name: &str) -> bool {
    let rest = name.trim_start_matches("_Z");
    let rest = ["TV", "TI", "TS", "TT", "GV"]
        .iter()
        .find_map(|kind| rest.strip_prefix(kind))
        .unwrap_or(rest);
    let rest = rest.strip_prefix('N').unwrap_or(rest);
    let rest = rest.strip_prefix('K').unwrap_or(rest);
    let known = ["S", "nw", "na", "dl", "da", "10__cxxabiv1", "9__gnu_cxx"];
    // Types without a name space of their own are the language's.
    known.iter().any(|start| rest.starts_with(start)) || rest.len() <= 2
}

/// What each file offers, collected when it is first asked for.
#[derive(Default)]
struct Exports<'a> {
    sets: HashMap<usize, HashSet<&'a str>>,
}

impl<'a> Exports<'a> {
    fn has(&mut self, bundle: &Bundle<'a>, file: usize, name: &str) -> bool {
        let set = self.sets.entry(file).or_insert_with(|| match bundle.native(file) {
            Some(Native::Elf(elf)) => elf.exports.iter().map(|export| &*export.name).collect(),
            Some(Native::MachO(slice)) => slice.exports.iter().map(|name| &**name).collect(),
            Some(Native::Pe(pe)) => pe.exports.iter().map(|name| &**name).collect(),
            None => HashSet::new(),
        });
        set.contains(name)
    }
}

struct Search<'s, 'a> {
    bundle: &'s Bundle<'a>,
    process: &'s Process,
    exports: &'s mut Exports<'a>,
    promised: &'s HashSet<&'a str>,
}

/// What the files of a process take from libraries of the system by a version: those have it, or nothing starts.
fn promised<'a>(bundle: &Bundle<'a>, process: &Process) -> HashSet<&'a str> {
    let mut names = HashSet::new();
    for elf in process.files().filter_map(|file| bundle.elf(file)) {
        let of_system: Vec<bool> = elf
            .versions
            .iter()
            .map(|need| !need.weak && process::named(bundle, process, &need.file).is_none())
            .collect();
        let is_of_system = |version: Option<u16>| {
            version.is_some_and(|at| of_system.get(usize::from(at)) == Some(&true))
        };
        let imports = elf.imports.iter().filter(|import| is_of_system(import.version));
        names.extend(imports.map(|import| &*import.name));
    }
    names
}

type Names = Vec<(String, Option<usize>)>;

impl Search<'_, '_> {
    fn in_process(&mut self, name: &str) -> bool {
        let Self { bundle, process, exports, .. } = self;
        process.files().any(|file| exports.has(bundle, file, name))
    }

    fn elf(&mut self, elf: &Elf) -> Names {
        let mut names = Names::new();
        for import in elf.imports.iter().filter(|import| !import.weak) {
            if self.promised.contains(&*import.name) || self.in_process(&import.name) {
                continue;
            }
            let need = elf.version_of(import).filter(|_| !self.bundle.policy.is_musl());
            match need.map(|need| process::named(self.bundle, self.process, &need.file)) {
                // The floor decides.
                Some(None) => {}
                Some(from @ Some(_)) => names.push((import.name.to_string(), from)),
                None => names.push((import.name.to_string(), None)),
            }
        }
        names
    }

    fn macho(&mut self, slice: &Slice) -> Names {
        let mut names = Names::new();
        for import in slice.imports.iter().filter(|import| !import.weak) {
            let plain = import.name.strip_prefix('_').unwrap_or(&import.name).to_owned();
            match import.source {
                Source::Own => {}
                Source::Program | Source::Anywhere => {
                    if !self.in_process(&import.name) {
                        names.push((plain, None));
                    }
                }
                Source::Dependency(number) => {
                    let dependency = slice.dependencies.get(usize::from(number));
                    let Some(dependency) =
                        dependency.filter(|one| one.kind != DependencyKind::Weak)
                    else {
                        continue;
                    };
                    let file = process::named(self.bundle, self.process, &dependency.name);
                    if let Some(file) = file
                        && !self.reexports(file, &import.name, MAX_REEXPORTS)
                    {
                        names.push((plain, Some(file)));
                    }
                }
            }
        }
        names
    }

    /// Whether a library has a symbol, or hands on those of one that may have it.
    fn reexports(&mut self, file: usize, name: &str, depth: usize) -> bool {
        if depth == 0 || self.exports.has(self.bundle, file, name) {
            return true;
        }
        let Some(slice) = self.bundle.slice(file) else { return true };
        let mut handed_on =
            slice.dependencies.iter().filter(|one| one.kind == DependencyKind::Reexported);
        handed_on.any(|one| match process::named(self.bundle, self.process, &one.name) {
            Some(file) => self.reexports(file, name, depth - 1),
            None => true,
        })
    }

    fn pe(&mut self, pe: &Pe) -> Names {
        let mut names = Names::new();
        let host = pe.host.as_ref().map(|host| &*host.library);
        for import in &pe.imports {
            let from = match host == Some(&*import.library) {
                true if self.process.has_program => None,
                true => Some(None),
                false => Some(process::named(self.bundle, self.process, &import.library)),
            };
            for symbol in &import.symbols {
                match (symbol, from) {
                    // A library of the system, or a host that nobody knows.
                    (_, Some(None)) => {}
                    (ImportedSymbol::Name(name), Some(Some(file))) => {
                        if !self.exports.has(self.bundle, file, name) {
                            names.push((name.to_string(), Some(file)));
                        }
                    }
                    (ImportedSymbol::Name(name), None) => {
                        let program = self.process.loaded[0].file;
                        if !self.exports.has(self.bundle, program, name) {
                            names.push((name.to_string(), None));
                        }
                    }
                    (ImportedSymbol::Ordinal(number), Some(Some(file))) => {
                        let (first, count) =
                            self.bundle.pe(file).map_or((0, 0), |pe| pe.export_ordinals);
                        if u32::from(*number).checked_sub(first).is_none_or(|at| at >= count) {
                            names.push((format!("#{number}"), Some(file)));
                        }
                    }
                    (ImportedSymbol::Ordinal(_), None) => {}
                }
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::testing::{Bench, elf, imports, macho, offers, owned, pe};
    use super::*;
    use crate::facts::{Facts, Kind};
    use crate::macho::{Dependency, MachOImport};
    use crate::pe::PeImport;

    fn program(exports: &[&str]) -> Facts {
        elf(|elf| {
            elf.kind = Kind::Executable;
            elf.exports = offers(exports);
        })
    }

    fn addon(names: &[&str], needed: &[&str]) -> Facts {
        elf(|elf| {
            elf.imports = imports(names);
            elf.needed = owned(needed);
            elf.runpath = owned(&["$ORIGIN"]);
        })
    }

    fn verdicts(bench: Bench, facts: Facts) -> Vec<(Code, Verdict)> {
        bench
            .file("bin/node", Role::Runtime, program(&["from_host"]))
            .file("a/a.node", Role::Addon, facts)
            .file("a/libb.so", Role::Library, elf(|elf| elf.exports = offers(&["from_sibling"])))
            .verdicts()
    }

    #[test]
    fn the_whole_process_is_searched() {
        let facts = addon(&["from_host", "from_sibling"], &["libb.so"]);
        assert_eq!(verdicts(Bench::linux(), facts), []);
    }

    #[test]
    fn names_decide_what_the_system_could_have() {
        let unknown = [(Code::SymbolClosure, Verdict::Unknown)];
        let broken = [(Code::SymbolClosure, Verdict::Broken)];
        assert_eq!(verdicts(Bench::linux(), addon(&["nowhere"], &["libc.so.6"])), broken);
        assert_eq!(verdicts(Bench::linux(), addon(&["nowhere"], &["libz.so.1"])), unknown);
        assert_eq!(verdicts(Bench::linux(), addon(&["malloc"], &["libc.so.6"])), []);
        assert_eq!(verdicts(Bench::linux(), addon(&["sqrt"], &["libc.so.6"])), broken);
        assert_eq!(verdicts(Bench::linux(), addon(&["sqrt"], &["libm.so.6"])), []);
        assert_eq!(verdicts(Bench::linux(), addon(&["arc4random"], &["libc.so.6"])), broken);
        assert_eq!(verdicts(Bench::linux(), addon(&["_ZN3foo3barEv"], &["libc.so.6"])), broken);
        assert_eq!(verdicts(Bench::linux(), addon(&["_ZN3foo3barEv"], &["libz.so.1"])), unknown);
        assert_eq!(verdicts(Bench::linux(), addon(&["_ZNSt6chrono3nowEv"], &[])), unknown);
        assert_eq!(verdicts(Bench::musl(), addon(&["malloc"], &[])), []);
        assert_eq!(verdicts(Bench::musl(), addon(&["__memcpy_chk"], &[])), broken);
    }

    #[test]
    fn what_the_program_has_from_the_system_is_there() {
        let codes = |version| {
            let program = elf(|elf| {
                elf.kind = Kind::Executable;
                elf.imports = imports(&["dlopen"]);
                elf.imports[0].version = version;
                elf.versions = vec![crate::VersionNeed::new("libc.so.6", "GLIBC_2.2.5", false)];
                elf.needed = owned(&["libz.so.1"]);
            });
            Bench::linux()
                .file("bin/node", Role::Runtime, program)
                .file("a.node", Role::Addon, addon(&["dlopen"], &[]))
                .codes()
        };
        assert_eq!(codes(Some(0)), []);
        assert_eq!(codes(None), [Code::SymbolClosure; 2]);
    }

    #[test]
    fn a_library_beside_an_addon_may_want_what_its_host_lacks() {
        let mut bench = Bench::linux()
            .file("bin/node", Role::Runtime, program(&[]))
            .file("a.node", Role::Addon, addon(&[], &["libx.so"]))
            .file("libx.so", Role::Library, addon(&["uv_run"], &[]));
        bench.policy.runtime = Some(super::super::RuntimeFacts {
            engine: super::super::RuntimeEngine::Deno,
            version: "2".to_owned(),
            modules: 147,
            node_api: 10,
        });
        assert_eq!(bench.verdicts(), [(Code::SymbolClosure, Verdict::Broken)]);
    }

    #[test]
    fn weak_symbols_may_be_missing() {
        let facts = elf(|elf| {
            elf.imports = imports(&["_ITM_registerTMCloneTable"]);
            elf.imports[0].weak = true;
        });
        assert_eq!(verdicts(Bench::linux(), facts), []);
    }

    #[test]
    fn a_library_of_macos_must_have_what_is_asked_of_it() {
        let codes = |name: &str| {
            let addon = macho(|slice| {
                slice.dependencies = vec![Dependency {
                    name: "@loader_path/libx.dylib".to_owned(),
                    kind: DependencyKind::Required,
                    compatibility: crate::Version::of(1, 0, 0),
                }];
                slice.imports = vec![MachOImport {
                    name: name.into(),
                    weak: false,
                    source: Source::Dependency(0),
                }];
            });
            let library = macho(|slice| slice.exports = vec!["_there".into()]);
            Bench::macos()
                .file("a/a.node", Role::Addon, addon)
                .file("a/libx.dylib", Role::Library, library)
                .verdicts()
        };
        assert_eq!(codes("_there"), []);
        assert_eq!(codes("_gone"), [(Code::SymbolClosure, Verdict::Broken)]);
    }

    #[test]
    fn names_and_numbers_of_windows() {
        let codes = |symbol: ImportedSymbol| {
            let addon = pe(|pe| {
                pe.imports = vec![PeImport {
                    library: "x.dll".into(),
                    delayed: false,
                    symbols: vec![symbol],
                }];
            });
            let library = pe(|pe| {
                pe.exports = vec!["there".into()];
                pe.export_ordinals = (5, 2);
            });
            Bench::windows()
                .file("a/a.node", Role::Addon, addon)
                .file("a/X.dll", Role::Library, library)
                .codes()
        };
        assert_eq!(codes(ImportedSymbol::Name("there".into())), []);
        assert_eq!(codes(ImportedSymbol::Name("gone".into())), [Code::SymbolClosure]);
        assert_eq!(codes(ImportedSymbol::Ordinal(6)), []);
        assert_eq!(codes(ImportedSymbol::Ordinal(7)), [Code::SymbolClosure]);
        assert_eq!(codes(ImportedSymbol::Ordinal(4)), [Code::SymbolClosure]);
    }
}
