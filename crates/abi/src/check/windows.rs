//! Check 32: the oldest Windows. Microsoft's C++ runtime (31) is a question of the closure.
//!
//! Linkers write a version into every file, and Windows refuses what asks for a newer one; but they write an old one
//! whatever is used (Node 26 says 6.0). So functions that are known to be newer are looked for as well.

use super::bundle::{Bundle, Native};
use super::{Code, File, Finding, Verdict};
use crate::pe::{ImportedSymbol, Pe};
use crate::version::Version;

/// Functions, and the first Windows that has them, by Microsoft's documents.
const SINCE: [(&str, &str); 14] = [
    ("AppPolicyGetProcessTerminationMethod", "10.0.14393"),
    ("ClosePseudoConsole", "10.0.17763"),
    ("CreateFile2", "6.2"),
    ("CreateFile3", "10.0.26100"),
    ("CreatePseudoConsole", "10.0.17763"),
    ("GetMachineTypeAttributes", "10.0.22000"),
    ("GetSystemTimePreciseAsFileTime", "6.2"),
    ("GetTempPath2A", "10.0.20348"),
    ("GetTempPath2W", "10.0.20348"),
    ("IsWow64Process2", "10.0.10586"),
    ("MapViewOfFile3", "10.0.17134"),
    ("SetThreadDescription", "10.0.14393"),
    ("VirtualAlloc2", "10.0.17134"),
    ("WaitOnAddress", "6.2"),
];

pub(super) fn check(bundle: &Bundle<'_>, findings: &mut Vec<Finding>) {
    let floor = bundle.policy.windows.as_ref();
    for (_, file, native) in bundle.natives() {
        let Native::Pe(pe) = native else { continue };
        for (what, needed, is_delayed) in demands(pe) {
            if floor.is_some_and(|floor| needed <= *floor) {
                continue;
            }
            let verdict = match floor {
                Some(_) if !is_delayed => Verdict::Broken,
                Some(_) | None => Verdict::Unknown,
            };
            findings.push(finding(file, &what, &needed, floor, verdict));
        }
    }
}

/// The newest Windows that a file is known to need.
pub(super) fn minimum(pe: &Pe) -> Option<Version> {
    demands(pe).into_iter().filter(|(_, _, delayed)| !delayed).map(|(_, needed, _)| needed).max()
}

/// What asks for which Windows, and whether only when it is first used.
fn demands(pe: &Pe) -> Vec<(String, Version, bool)> {
    let mut demands = vec![("subsystem version".to_owned(), pe.subsystem_version.clone(), false)];
    for import in &pe.imports {
        // Part of Windows since 10; before that it was an update.
        if import.library.to_ascii_lowercase().starts_with("api-ms-win-crt-") {
            demands.push(("universal C runtime".to_owned(), Version::of(10, 0, 0), import.delayed));
        }
        for symbol in &import.symbols {
            let ImportedSymbol::Name(name) = symbol else { continue };
            let place = SINCE.binary_search_by(|(other, _)| (*other).cmp(name));
            let since = place.ok().and_then(|place| Version::parse(SINCE[place].1));
            demands.extend(since.map(|since| (name.to_string(), since, import.delayed)));
        }
    }
    demands
}

fn finding(
    file: &File<'_>,
    what: &str,
    needed: &Version,
    floor: Option<&Version>,
    verdict: Verdict,
) -> Finding {
    Finding {
        required: format!("Windows {needed}"),
        offered: floor.map_or("?".to_owned(), |floor| format!("Windows {floor}")),
        because: match (verdict, floor) {
            (_, None) => "the target does not say its oldest Windows",
            (Verdict::Broken, _) => "older ones do not have it, and Windows looks before anything runs",
            _ => "older ones do not have it; it is looked for when it is first used",
        }
        .to_owned(),
        symptom: "The specified procedure could not be found, or the entry point is not located in the DLL"
            .to_owned(),
        remedy: "look the function up while running, take an older release, or raise the target's baseline"
            .to_owned(),
        ..Finding::new(Code::WindowsMinimum, verdict, file, what)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::testing::{Bench, pe};
    use super::*;
    use crate::pe::PeImport;

    #[test]
    fn the_table_is_sorted() {
        assert!(SINCE.is_sorted());
        assert!(SINCE.iter().all(|(_, since)| Version::parse(since).is_some()));
    }

    #[test]
    fn newer_functions() {
        let verdicts = |name: &str, delayed, floor: Option<&str>| {
            let facts = pe(|pe| {
                pe.imports = vec![PeImport {
                    library: "kernel32.dll".into(),
                    delayed,
                    symbols: vec![ImportedSymbol::Name(name.into())],
                }];
            });
            let mut bench = Bench::windows().file("a.dll", Role::Library, facts);
            bench.policy.windows = floor.and_then(Version::parse);
            bench.verdicts()
        };
        let (code, old) = (Code::WindowsMinimum, Some("10.0.17763"));
        assert_eq!(verdicts("CreateFileW", false, old), []);
        assert_eq!(verdicts("CreatePseudoConsole", false, old), []);
        assert_eq!(verdicts("GetTempPath2W", false, old), [(code, Verdict::Broken)]);
        assert_eq!(verdicts("GetTempPath2W", true, old), [(code, Verdict::Unknown)]);
        assert_eq!(verdicts("CreateFileW", false, None), [(code, Verdict::Unknown)]);
    }

    #[test]
    fn what_the_linker_wrote() {
        let facts = pe(|pe| pe.subsystem_version = Version::of(11, 0, 0));
        let bench = Bench::windows().file("a.dll", Role::Library, facts);
        assert_eq!(bench.verdicts(), [(Code::WindowsMinimum, Verdict::Broken)]);
    }
}
