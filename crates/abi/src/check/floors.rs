//! Checks 1 to 3: symbol versions against the oldest C and C++ libraries.
//!
//! A version means something only together with the library it is asked of: musl builds ask libgcc_s for `GLIBC_2.0`.
//! A library of the same name that the process finds in the bundle answers for itself.

use std::collections::BTreeMap;

use super::bundle::Bundle;
use super::process::{self, Process};
use super::{Code, File, Finding, Policy, Verdict};
use crate::elf::{Elf, VersionNeed};
use crate::version::Version;

/// What a symbol version demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Demand {
    /// This glibc.
    Glibc(Version),
    /// This libstdc++, as the number behind `GLIBCXX_`.
    Libstdcxx(Version),
    /// Relocations that only newer C libraries read.
    PackedRelocations,
    /// Something whose age is not known.
    Unknown(&'static str),
}

/// glibc and musl read packed relocations since these versions.
pub(super) const RELR_GLIBC: &str = "2.36";
pub(super) const RELR_MUSL: &str = "1.2.4";

/// `CXXABI_1.3.n`, and the first `GLIBCXX_3.4.m` beside it.
const CXXABI: [(u32, u32); 9] =
    [(7, 18), (8, 20), (9, 21), (10, 22), (11, 23), (12, 26), (13, 29), (14, 31), (15, 33)];

/// The first GCC of each `GLIBCXX_3.4.m`, which its libgcc_s has the version of.
const GCC: [(u32, u32); 9] =
    [(5, 21), (6, 22), (7, 23), (8, 25), (9, 26), (11, 29), (12, 30), (13, 31), (14, 33)];

pub(super) fn check(bundle: &Bundle<'_>, processes: &[Process], findings: &mut Vec<Finding>) {
    // Of all versions a file asks of one family, the newest says everything.
    let mut newest: BTreeMap<(usize, Code), (Version, &VersionNeed)> = BTreeMap::new();
    for process in processes {
        for at in process.own_files() {
            let Some(elf) = bundle.elf(at) else { continue };
            for need in elf.versions.iter().filter(|need| !need.weak) {
                if let Some(library) = process::named(bundle, process, &need.file) {
                    findings.extend(defined(bundle, bundle.files[at], library, need));
                    continue;
                }
                let (code, version) = match demand(need) {
                    Some(Demand::Glibc(version)) => (Code::GlibcFloor, version),
                    Some(Demand::Libstdcxx(version)) => (Code::LibstdcxxFloor, version),
                    Some(Demand::Unknown(reason)) => {
                        findings.extend(undecided(bundle, bundle.files[at], need, reason));
                        continue;
                    }
                    // Said of every file that has such relocations, by [`packed`].
                    Some(Demand::PackedRelocations) | None => continue,
                };
                let demanded = (version, need);
                let slot = newest.entry((at, code)).or_insert_with(|| demanded.clone());
                if *slot < demanded {
                    *slot = demanded;
                }
            }
        }
    }
    for ((at, code), (version, need)) in &newest {
        findings.extend(beyond(bundle.policy, bundle.files[*at], need, *code, version));
    }
    for (_, file, elf) in bundle.elves() {
        findings.extend(packed(bundle, file, elf));
    }
}

/// What a version of a system's library demands; `None` for one that every system has.
pub(super) fn demand(need: &VersionNeed) -> Option<Demand> {
    let version = need.version.as_str();
    let unknown = |reason| Some(Demand::Unknown(reason));
    if is_glibc(&need.file) {
        return match version.strip_prefix("GLIBC_") {
            Some("ABI_DT_RELR") => Some(Demand::PackedRelocations),
            Some("PRIVATE") => unknown("private symbols of glibc change with every release of it"),
            Some(number) => match Version::parse(number) {
                Some(number) => Some(Demand::Glibc(number)),
                None => unknown("no release of glibc is known for this version"),
            },
            None => unknown("glibc has no versions of this name"),
        };
    }
    if need.file.starts_with("libstdc++.so.") {
        if let Some(number) = version.strip_prefix("GLIBCXX_").and_then(Version::parse) {
            return Some(Demand::Libstdcxx(number));
        }
        return match version.strip_prefix("CXXABI_1.3") {
            Some("") => None,
            Some(minor) => match minor.strip_prefix('.').and_then(|minor| minor.parse().ok()) {
                Some(minor) if minor < CXXABI[0].0 => None,
                Some(minor) => beside(&CXXABI, minor),
                None => unknown("no release of libstdc++ is known for this version"),
            },
            // Of long ago: decimal and quadruple floats, transactions.
            None if matches!(version, "CXXABI_FLOAT128" | "CXXABI_TM_1" | "CXXABI_LDBL_1.3") => {
                None
            }
            None => unknown("no release of libstdc++ is known for this version"),
        };
    }
    if need.file.starts_with("libgcc_s.so") {
        let number = version.strip_prefix("GCC_").and_then(|text| text.split('.').next());
        return match number.and_then(|number| number.parse::<u32>().ok()) {
            Some(major) if major < GCC[0].0 => None,
            Some(major) => beside(&GCC, major),
            // What libgcc took over from glibc 2.0.
            None if version.starts_with("GLIBC_") => None,
            None => unknown("no release of libgcc is known for this version"),
        };
    }
    // Of GCC 4.8 and 4.9.
    if need.file == "libatomic.so.1" && matches!(version, "LIBATOMIC_1.0" | "LIBATOMIC_1.1") {
        return None;
    }
    unknown("nothing is known of this library's versions")
}

/// The libstdc++ that came out with this number or after it.
fn beside(table: &[(u32, u32)], number: u32) -> Option<Demand> {
    let minor = table.iter().find(|(other, _)| *other >= number).map(|(_, minor)| *minor);
    Some(minor.map_or(Demand::Unknown("it is newer than every release that is known"), |minor| {
        Demand::Libstdcxx(Version::of(3, 4, minor))
    }))
}

/// Whether a file belongs to glibc. Others carry `GLIBC_` versions too: libgcc_s has a `GLIBC_2.0` even beside musl.
pub(super) fn is_glibc(file: &str) -> bool {
    let name = file.split(".so").next().unwrap_or(file);
    matches!(
        name,
        "libc"
            | "libm"
            | "libmvec"
            | "libpthread"
            | "libdl"
            | "librt"
            | "libutil"
            | "libresolv"
            | "libanl"
            | "libnsl"
            | "libcrypt"
            | "libthread_db"
            | "libBrokenLocale"
    ) || name.starts_with("ld-linux")
        || name == "ld64"
        || name == "ld"
}

/// `None`: the closure says already that the library is not there, or versions are not looked at.
fn undecided(
    bundle: &Bundle<'_>,
    file: &File<'_>,
    need: &VersionNeed,
    reason: &str,
) -> Option<Finding> {
    (!bundle.policy.is_musl() && bundle.policy.has(&need.file)).then(|| Finding {
        required: format!("`{}` of `{}`", need.version, need.file),
        because: reason.to_owned(),
        remedy: "load it on the oldest system, or bring the library along".to_owned(),
        ..Finding::new(family(&need.file), Verdict::Unknown, file, &need.version)
    })
}

fn family(file: &str) -> Code {
    match file {
        file if is_glibc(file) => Code::GlibcFloor,
        file if file.starts_with("libstdc++") || file.starts_with("libgcc") => Code::LibstdcxxFloor,
        _ => Code::SymbolClosure,
    }
}

fn beyond(
    policy: &Policy<'_>,
    file: &File<'_>,
    need: &VersionNeed,
    code: Code,
    version: &Version,
) -> Option<Finding> {
    let (what, floor) = match code {
        Code::GlibcFloor => ("glibc", policy.glibc.as_ref()),
        _ => ("GLIBCXX", policy.libstdcxx.as_ref()),
    };
    // musl does not look at versions.
    if policy.is_musl() || floor.is_some_and(|floor| version <= floor) {
        return None;
    }
    let verdict = if floor.is_some() { Verdict::Broken } else { Verdict::Unknown };
    let library = &need.file;
    Some(Finding {
        required: format!("{what} {version}"),
        offered: floor
            .map_or("nothing that is known".to_owned(), |floor| format!("{what} {floor}")),
        because: match floor {
            Some(_) => format!("it takes `{}` from `{library}`", need.version),
            None => format!("the target does not say which `{library}` its oldest system has"),
        },
        symptom: format!(
            "{library}: version `{}' not found (required by {})",
            need.version, file.path
        ),
        remedy: "build it on an older system or with zig for this floor, take an older release of \
                 the package, or raise the target's baseline"
            .to_owned(),
        ..Finding::new(code, verdict, file, &need.version)
    })
}

/// A version asked of a library in the bundle.
fn defined(
    bundle: &Bundle<'_>,
    file: &File<'_>,
    library: usize,
    need: &VersionNeed,
) -> Option<Finding> {
    if bundle.policy.is_musl() {
        return None;
    }
    let (elf, offered) = (bundle.elf(library)?, bundle.files[library]);
    // A library without any versions gives what it has, with a warning.
    if elf.definitions.is_empty() || elf.definitions.contains(&need.version) {
        return None;
    }
    Some(Finding {
        required: format!("`{}` of `{}`", need.version, need.file),
        offered: format!("`{}`, which does not define it", offered.path),
        because: "the bundle's own library is found before the system's".to_owned(),
        symptom: format!("{}: version `{}' not found", need.file, need.version),
        remedy: format!("ship a newer `{}`", need.file),
        ..Finding::new(family(&need.file), Verdict::Broken, file, &need.version)
    })
}

/// Check 2.
fn packed(bundle: &Bundle<'_>, file: &File<'_>, elf: &Elf) -> Option<Finding> {
    let policy = bundle.policy;
    let asks = elf.versions.iter().any(|need| demand(need) == Some(Demand::PackedRelocations));
    // A static program relocates itself.
    let is_static = elf.needed.is_empty() && elf.interpreter.is_none() && elf.versions.is_empty();
    if !asks && (!elf.relr || (is_static && elf.kind == crate::facts::Kind::Executable)) {
        return None;
    }
    let (name, since, floor) = match policy.is_musl() {
        true => ("musl", RELR_MUSL, policy.musl.as_ref()),
        false => ("glibc", RELR_GLIBC, policy.glibc.as_ref()),
    };
    if floor.is_some_and(|floor| Version::parse(since).is_some_and(|since| since <= *floor)) {
        return None;
    }
    let verdict = if floor.is_some() { Verdict::Broken } else { Verdict::Unknown };
    Some(Finding {
        required: format!("{name} {since}"),
        offered: floor
            .map_or("nothing that is known".to_owned(), |floor| format!("{name} {floor}")),
        because: "its relocations are packed (DT_RELR), and older loaders do not unpack them"
            .to_owned(),
        symptom: match asks {
            true => "libc.so.6: version `GLIBC_ABI_DT_RELR' not found".to_owned(),
            false => "a crash at the first pointer that was not relocated".to_owned(),
        },
        remedy: "link it with `-Wl,-z,nopack-relative-relocs`".to_owned(),
        ..Finding::new(Code::PackedRelocations, verdict, file, "DT_RELR")
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, elf, needing};
    use super::super::{Code, Role};
    use super::*;

    fn said(versions: &[(&str, &str, bool)]) -> Vec<String> {
        let facts = needing(&["libc.so.6", "libstdc++.so.6", "libgcc_s.so.1"], versions);
        Bench::linux().file("a.node", Role::Addon, facts).said()
    }

    #[test]
    fn versions_beyond_the_floor() {
        assert_eq!(
            said(&[
                ("libc.so.6", "GLIBC_2.28", false),
                ("libm.so.6", "GLIBC_2.34", false),
                ("libc.so.6", "GLIBC_2.30", false),
                ("libc.so.6", "GLIBC_2.38", true),
                ("libstdc++.so.6", "GLIBCXX_3.4.24", false),
                ("libstdc++.so.6", "CXXABI_1.3.13", false),
            ]),
            [
                "broken glibc-floor a.node GLIBC_2.34: glibc 2.34 / glibc 2.28",
                "broken libstdcxx-floor a.node CXXABI_1.3.13: \
                 GLIBCXX 3.4.29 / GLIBCXX 3.4.24",
            ]
        );
    }

    #[test]
    fn a_name_of_glibc_in_another_library() {
        assert_eq!(said(&[("libgcc_s.so.1", "GLIBC_2.0", false)]), [""; 0]);
        assert_eq!(said(&[("libgcc_s.so.1", "GCC_4.2.0", false)]), [""; 0]);
        assert_eq!(said(&[("libgcc_s.so.1", "GCC_12.0.0", false)]).len(), 1);
    }

    #[test]
    fn what_has_no_number_is_unknown() {
        assert_eq!(
            said(&[("libc.so.6", "GLIBC_PRIVATE", false)]),
            ["unknown glibc-floor a.node GLIBC_PRIVATE: `GLIBC_PRIVATE` of `libc.so.6` / "]
        );
    }

    #[test]
    fn a_floor_that_is_not_given_decides_nothing() {
        let facts = needing(&["libc.so.6"], &[("libc.so.6", "GLIBC_2.4", false)]);
        let mut bench = Bench::linux().file("a.node", Role::Addon, facts);
        bench.policy.glibc = None;
        assert_eq!(
            bench.said(),
            ["unknown glibc-floor a.node GLIBC_2.4: glibc 2.4 / nothing that is known"]
        );
    }

    #[test]
    fn packed_relocations() {
        let facts = needing(&["libc.so.6"], &[("libc.so.6", "GLIBC_ABI_DT_RELR", false)]);
        let bench = Bench::linux().file("a.node", Role::Addon, facts);
        assert_eq!(bench.codes(), [Code::PackedRelocations]);
        let mut bench = Bench::musl().file("a.node", Role::Addon, elf(|elf| elf.relr = true));
        assert_eq!(bench.codes(), []);
        bench.policy.musl = Version::parse("1.2.3");
        assert_eq!(bench.codes(), [Code::PackedRelocations]);
    }

    #[test]
    fn a_library_of_the_bundle_answers_for_itself() {
        let addon = |version: &str| {
            let mut facts = needing(&["libstdc++.so.6"], &[("libstdc++.so.6", version, false)]);
            if let crate::Facts::Elf(elf) = &mut facts {
                elf.runpath = vec!["$ORIGIN/lib".to_owned()];
            }
            facts
        };
        let library = || {
            elf(|elf| {
                elf.soname = Some("libstdc++.so.6".to_owned());
                elf.definitions = vec!["GLIBCXX_3.4.32".to_owned()];
            })
        };
        let codes = |version| {
            Bench::linux()
                .file("a/a.node", Role::Addon, addon(version))
                .file("a/lib/libstdc++.so.6", Role::Library, library())
                .codes()
        };
        assert_eq!(codes("GLIBCXX_3.4.32"), []);
        assert_eq!(codes("GLIBCXX_3.4.33"), [Code::LibstdcxxFloor]);
    }
}
