//! Checks 17 and 34: libraries that get into each other's way in one process.
//!
//! The runtime and all addons are one process. Whether a gateway loads all of them is not known.

use std::collections::{BTreeMap, BTreeSet};

use super::bundle::{Bundle, Native, name};
use super::finding::some_of;
use super::process::{Process, Start};
use super::{Code, Finding, Verdict};

/// OpenMP runtimes by the beginnings of their names.
const OPENMP: [&str; 5] = ["libgomp", "libomp", "libiomp", "vcomp", "libomp140"];

pub(super) fn check(bundle: &Bundle<'_>, processes: &[Process], findings: &mut Vec<Finding>) {
    for group in groups(bundle, processes) {
        openmp(bundle, &group, findings);
        sonames(bundle, &group.files, findings);
    }
}

/// Files that can be in memory together, and the libraries of the system beside them.
#[derive(Default)]
struct Group {
    files: BTreeSet<usize>,
    system: BTreeSet<String>,
}

fn groups(bundle: &Bundle<'_>, processes: &[Process]) -> Vec<Group> {
    let mut addons = Group::default();
    let mut groups = Vec::new();
    for process in processes {
        let mut alone = Group::default();
        let group = if process.start == Start::Addon { &mut addons } else { &mut alone };
        group.files.extend(process.files());
        group.system.extend(process.system.iter().map(|(_, library)| library.clone()));
        let is_runtime = bundle.files[process.root()].role == super::Role::Runtime;
        if process.start == Start::Program && !is_runtime {
            groups.push(alone);
        }
    }
    groups.push(addons);
    groups
}

fn openmp(bundle: &Bundle<'_>, group: &Group, findings: &mut Vec<Finding>) {
    let is_openmp = |name: &str| {
        let name = name.to_ascii_lowercase();
        OPENMP.iter().any(|start| name.starts_with(start))
    };
    let files: Vec<usize> =
        group.files.iter().copied().filter(|at| is_openmp(name(bundle.files[*at].path))).collect();
    let system: Vec<&str> =
        group.system.iter().map(|library| name(library)).filter(|name| is_openmp(name)).collect();
    if files.len() + system.len() < 2 {
        return;
    }
    let paths: Vec<&str> = files.iter().map(|at| bundle.files[*at].path).chain(system).collect();
    for at in &files {
        findings.push(Finding {
            required: "to be the only OpenMP runtime".to_owned(),
            offered: some_of(&paths),
            because:
                "each has threads and settings of its own; together they want too many of both"
                    .to_owned(),
            symptom: "OMP: Error #15, cannot allocate memory in static TLS block, or a crash"
                .to_owned(),
            remedy: "let all that use OpenMP link one and the same copy".to_owned(),
            ..Finding::new(Code::OpenMp, Verdict::Unknown, bundle.files[*at], "OpenMP")
        });
    }
}

fn sonames(bundle: &Bundle<'_>, files: &BTreeSet<usize>, findings: &mut Vec<Finding>) {
    // musl does not look at these names.
    if bundle.policy.is_musl() {
        return;
    }
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for at in files {
        let soname = match bundle.native(*at) {
            Some(Native::Elf(elf)) if elf.kind == crate::Kind::Library => elf.soname.clone(),
            Some(Native::Pe(pe)) if pe.node.is_none() && pe.kind == crate::Kind::Library => {
                Some(name(bundle.files[*at].path).to_ascii_lowercase())
            }
            _ => None,
        };
        if let Some(soname) = soname {
            by_name.entry(soname).or_default().push(*at);
        }
    }
    for (soname, places) in by_name {
        let first = bundle.files[places[0]];
        if places.iter().all(|at| bundle.files[*at].facts == first.facts) {
            continue;
        }
        // Addons are opened by path: that they share a name is of no consequence unless something needs it.
        let is_needed = files.iter().any(|at| needs(bundle, *at, &soname));
        if !is_needed {
            continue;
        }
        let paths: Vec<&str> = places.iter().map(|at| bundle.files[*at].path).collect();
        for at in &places {
            findings.push(Finding {
                required: format!("to be the only `{soname}`"),
                offered: some_of(&paths),
                because: "the loader takes whichever is loaded first for all who ask by this name"
                    .to_owned(),
                symptom: "symbol lookup error, or a crash, depending on the order".to_owned(),
                remedy: "ship one of them, or give each a name of its own".to_owned(),
                ..Finding::new(Code::DuplicateSoname, Verdict::Unknown, bundle.files[*at], &soname)
            });
        }
    }
}

fn needs(bundle: &Bundle<'_>, file: usize, soname: &str) -> bool {
    match bundle.native(file) {
        Some(Native::Elf(elf)) => elf.needed.iter().any(|needed| needed == soname),
        Some(Native::Pe(pe)) => {
            pe.imports.iter().any(|import| import.library.eq_ignore_ascii_case(soname))
        }
        Some(Native::MachO(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::testing::{Bench, elf, owned};
    use super::*;
    use crate::facts::Facts;

    fn addon(needed: &str) -> Facts {
        elf(|elf| {
            elf.needed = owned(&[needed]);
            elf.runpath = owned(&["$ORIGIN"]);
        })
    }

    fn library(soname: &str, definition: &str) -> Facts {
        elf(|elf| {
            elf.soname = Some(soname.to_owned());
            elf.definitions = owned(&[definition]);
        })
    }

    #[test]
    fn one_name_for_two_libraries() {
        let codes = |first, second| {
            Bench::linux()
                .file("a/a.node", Role::Addon, addon("libx.so.1"))
                .file("a/libx.so.1", Role::Library, library("libx.so.1", first))
                .file("b/b.node", Role::Addon, addon("libx.so.1"))
                .file("b/libx.so.1", Role::Library, library("libx.so.1", second))
                .codes()
        };
        assert_eq!(codes("X_1", "X_1"), []);
        assert_eq!(codes("X_1", "X_2"), [Code::DuplicateSoname; 2]);
    }

    #[test]
    fn two_runtimes_of_openmp() {
        let bench = |second: &str| {
            Bench::linux()
                .file("a/a.node", Role::Addon, addon("libgomp-1a2b.so.1"))
                .file("a/libgomp-1a2b.so.1", Role::Library, library("libgomp-1a2b.so.1", "G"))
                .file("b/b.node", Role::Addon, addon(second))
                .file(&format!("b/{second}"), Role::Library, library(second, "G"))
                .codes()
        };
        assert_eq!(bench("libomp.so.5"), [Code::OpenMp; 2]);
        assert_eq!(bench("libx.so.5"), []);
    }
}
