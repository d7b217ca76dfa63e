//! Checks 16 and 33: what a file loads while it runs, as far as its text tells, and code that is packed.

use super::bundle::{Bundle, name};
use super::finding::some_of;
use super::{Code, Finding, Verdict};

pub(super) fn check(bundle: &Bundle<'_>, findings: &mut Vec<Finding>) {
    for (_, file, elf) in bundle.elves() {
        if !elf.opens_libraries() {
            continue;
        }
        let is_there = |library: &str| {
            bundle.policy.has(library)
                || bundle.elves().any(|(_, other, elf)| {
                    name(other.path) == library || elf.soname.as_deref() == Some(library)
                })
        };
        let absent: Vec<&String> =
            elf.mentioned.iter().filter(|library| !is_there(library)).collect();
        if absent.is_empty() {
            continue;
        }
        findings.push(Finding {
            required: some_of(&absent),
            offered: "neither the bundle nor every system of the target has them".to_owned(),
            because: "it can open libraries, and these names stand in it".to_owned(),
            symptom: "a feature is missing, often without a word".to_owned(),
            remedy: "bring along those that matter, or see that it does without".to_owned(),
            ..Finding::new(Code::OpenedLibraries, Verdict::Advice, file, "names of libraries")
        });
    }
    for (_, file, _) in bundle.natives() {
        let Some(payload) = file.facts.payload() else { continue };
        let verdict = if payload.opens_libraries { Verdict::Unknown } else { Verdict::Advice };
        findings.push(Finding {
            required: "whatever its packed code needs".to_owned(),
            offered: "nothing that can be compared".to_owned(),
            because: format!(
                "{} % of it look compressed{}",
                payload.percent,
                match verdict {
                    Verdict::Unknown => ", and it opens libraries: what it unpacks was not read",
                    Verdict::Broken | Verdict::Advice =>
                        "; data may be, code would have to be unpacked first",
                }
            ),
            symptom: "any of the other checks' errors".to_owned(),
            remedy: "load it on the oldest system, or take a release that is not packed".to_owned(),
            ..Finding::new(Code::OpaquePayload, verdict, file, "payload")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::testing::{Bench, elf, imports, owned};
    use super::*;
    use crate::payload::Payload;

    #[test]
    fn names_in_the_text() {
        let codes = |import: &str, mentioned: &[&str]| {
            let facts = elf(|elf| {
                elf.imports = imports(&[import]);
                elf.imports[0].weak = true;
                elf.mentioned = owned(mentioned);
            });
            let other = elf(|elf| elf.soname = Some("libhere.so.1".to_owned()));
            Bench::linux()
                .file("a.so", Role::Library, facts)
                .file("b.so", Role::Library, other)
                .codes()
        };
        assert_eq!(codes("dlopen", &["libz.so.1", "libhere.so.1"]), []);
        assert_eq!(codes("dlopen", &["libcuda.so.1"]), [Code::OpenedLibraries]);
        assert_eq!(codes("puts", &["libcuda.so.1"]), []);
    }

    #[test]
    fn packed_code() {
        for (opens_libraries, verdict) in [(true, Verdict::Unknown), (false, Verdict::Advice)] {
            let payload = Some(Payload { percent: 80, opens_libraries });
            let bench =
                Bench::linux().file("a.node", Role::Addon, elf(|elf| elf.payload = payload));
            assert_eq!(bench.verdicts(), [(Code::OpaquePayload, verdict)]);
        }
    }
}
