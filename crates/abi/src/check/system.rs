//! What the C libraries of a system define, so that symbols without a version can be decided.
//!
//! `system.txt` has the names that glibc and musl define and the version each came with; `oracles/system.py` wrote it
//! from real libraries. It says nothing about releases newer than those it was written from, nor about C++'s names and
//! processors other than x86-64 and ARM64.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::Policy;
use crate::facts::Machine;
use crate::version::Version;

/// The newest releases in the table.
const NEWEST_GLIBC: &str = "2.41";
const NEWEST_MUSL: &str = "1.2.5";

/// Since then these are part of `libc.so.6`, whoever names them.
const MERGED_SINCE: &str = "2.34";
const MERGED: [&str; 4] = ["libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1"];

/// What the compiler's libraries load in turn.
const IMPLIED: [(&str, &[&str]); 2] = [
    ("libstdc++.so.6", &["libm.so.6", "libgcc_s.so.1", "libc.so.6"]),
    ("libgcc_s.so.1", &["libc.so.6"]),
];

/// Whether a name without a version is found in the system's libraries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Defined {
    /// On every system that is promised.
    Yes,
    /// Only on newer ones, from this version on.
    Since(Version),
    /// In a library that is not loaded.
    Elsewhere(&'static str),
    /// By none of them.
    Nowhere,
    /// The table does not tell.
    Unknown,
}

/// Looks a name up. `loaded` are the libraries that the process's files name.
pub(super) fn defines(policy: &Policy<'_>, loaded: &HashSet<&str>, name: &str) -> Defined {
    let (floor, newest) = match policy.is_musl() {
        true => (policy.musl.as_ref(), NEWEST_MUSL),
        false => (policy.glibc.as_ref(), NEWEST_GLIBC),
    };
    let newest = Version::parse(newest);
    let is_known = matches!(policy.machine, Machine::X64 | Machine::Arm64);
    let (Some(floor), true) = (floor, is_known && !name.starts_with("_Z")) else {
        return Defined::Unknown;
    };
    let table = if policy.is_musl() { &TABLE.musl } else { &TABLE.glibc };
    let fits = |entry: &&Entry| entry.machine.is_none_or(|machine| machine == policy.machine);
    let Some(entry) = table.get(name).and_then(|entries| entries.iter().find(fits)) else {
        return if Some(floor) <= newest.as_ref() { Defined::Nowhere } else { Defined::Unknown };
    };
    match &entry.since {
        Since::Always => {}
        Since::Hidden => return Defined::Unknown,
        // Between two releases of musl nobody looked.
        Since::Version(_) if policy.is_musl() && Some(floor) < newest.as_ref() => {
            return Defined::Unknown;
        }
        Since::Version(since) if since > floor => return Defined::Since(since.clone()),
        Since::Version(_) => {}
    }
    let is_merged = MERGED.contains(&entry.library)
        && Version::parse(MERGED_SINCE).is_some_and(|merged| *floor >= merged);
    match policy.is_musl() || is_merged || is_loaded(loaded, entry.library) {
        true => Defined::Yes,
        false => Defined::Elsewhere(entry.library),
    }
}

/// Whether all that is in a library of this name is in the table, or in a language's own names.
pub(super) fn covers(library: &str) -> bool {
    TABLE.libraries.contains(library)
}

fn is_loaded(loaded: &HashSet<&str>, library: &str) -> bool {
    // Who is loaded at all was loaded by it, and in a process with anything there is the C library.
    library.starts_with("ld-linux")
        || (library == "libc.so.6" && !loaded.is_empty())
        || loaded.contains(library)
        || IMPLIED.iter().any(|(by, all)| loaded.contains(by) && all.contains(&library))
}

struct Table {
    glibc: HashMap<&'static str, Vec<Entry>>,
    musl: HashMap<&'static str, Vec<Entry>>,
    libraries: HashSet<&'static str>,
}

struct Entry {
    library: &'static str,
    since: Since,
    /// `None`: for each that the table is about.
    machine: Option<Machine>,
}

enum Since {
    Always,
    /// Only for those who ask for a version.
    Hidden,
    Version(Version),
}

static TABLE: LazyLock<Table> = LazyLock::new(|| read(include_str!("system.txt")));

/// A section for each library, and in it a line for each name: the name, since when, on which processor.
fn read(text: &'static str) -> Table {
    let (mut glibc, mut musl) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
    let (mut libraries, mut library) = (HashSet::new(), "");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            library = name;
            libraries.insert(name);
            continue;
        }
        let mut words = line.split(' ');
        let Some(name) = words.next() else { continue };
        let since = match words.next() {
            None | Some("-") => Since::Always,
            Some(number) => Version::parse(number).map_or(Since::Hidden, Since::Version),
        };
        let machine = words.next().map(|cpu| match cpu {
            "x64" => Machine::X64,
            _ => Machine::Arm64,
        });
        let entries = if library == "musl" { &mut musl } else { &mut glibc };
        entries.entry(name).or_default().push(Entry { library, since, machine });
    }
    Table { glibc, musl, libraries }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    fn asked(policy: &Policy<'_>, loaded: &[&'static str], name: &str) -> Defined {
        defines(policy, &loaded.iter().copied().collect(), name)
    }

    #[test]
    fn names_have_a_library_and_an_age() {
        let mut policy = Bench::linux().policy;
        let all = &["libc.so.6", "libm.so.6"];
        assert_eq!(asked(&policy, all, "malloc"), Defined::Yes);
        assert_eq!(asked(&policy, all, "sqrt"), Defined::Yes);
        assert_eq!(asked(&policy, &["libstdc++.so.6"], "sqrt"), Defined::Yes, "libstdc++ loads it");
        assert_eq!(asked(&policy, &["libc.so.6"], "sqrt"), Defined::Elsewhere("libm.so.6"));
        assert_eq!(asked(&policy, all, "arc4random"), Defined::Since(Version::of(2, 36, 0)));
        assert_eq!(asked(&policy, all, "no_such_function"), Defined::Nowhere);
        assert_eq!(asked(&policy, all, "_ZSt4cout"), Defined::Unknown);
        assert_eq!(asked(&policy, all, "dlopen"), Defined::Elsewhere("libdl.so.2"));
        policy.glibc = Version::parse("2.36");
        assert_eq!(asked(&policy, all, "dlopen"), Defined::Yes, "it is a part of libc by then");
        assert_eq!(asked(&policy, all, "arc4random"), Defined::Yes);
        policy.glibc = Version::parse("2.99");
        assert_eq!(asked(&policy, all, "no_such_function"), Defined::Unknown);
        policy.glibc = None;
        assert_eq!(asked(&policy, all, "malloc"), Defined::Unknown);
    }

    #[test]
    fn processors_differ() {
        let mut policy = Bench::linux().policy;
        assert_eq!(asked(&policy, &["libc.so.6"], "arch_prctl"), Defined::Yes);
        policy.machine = Machine::Arm64;
        assert_eq!(asked(&policy, &["libc.so.6"], "arch_prctl"), Defined::Nowhere);
        policy.machine = Machine::S390;
        assert_eq!(asked(&policy, &["libc.so.6"], "arch_prctl"), Defined::Unknown);
    }

    #[test]
    fn musl_has_names_of_its_own() {
        let mut policy = Bench::musl().policy;
        assert_eq!(asked(&policy, &[], "sqrt"), Defined::Yes);
        assert_eq!(asked(&policy, &[], "open64"), Defined::Yes, "its loader knows the old names");
        assert_eq!(asked(&policy, &[], "__memcpy_chk"), Defined::Nowhere);
        assert_eq!(
            asked(&policy, &[], "statx"),
            Defined::Unknown,
            "of 1.2.5, and 1.2.4 is promised"
        );
        policy.musl = Version::parse("1.2.5");
        assert_eq!(asked(&policy, &[], "statx"), Defined::Yes);
    }

    #[test]
    fn the_table_is_whole() {
        for library in ["libc.so.6", "libm.so.6", "libpthread.so.0", "libgcc_s.so.1", "musl"] {
            assert!(covers(library), "{library}");
        }
        assert!(!covers("libz.so.1"));
        assert!(TABLE.glibc.len() > 3000 && TABLE.musl.len() > 1500);
    }
}
