//! Checks 13 and 14: the processor.
//!
//! Files can be marked with the x86-64 level they need, and glibc refuses those on a lesser processor. Most are not
//! marked, and instructions are not looked at: one statement for the whole bundle says so.

use super::bundle::Bundle;
use super::{Code, Cpu, Finding, Verdict};

pub(super) fn check(bundle: &Bundle<'_>, findings: &mut Vec<Finding>) {
    let mut unmarked = 0_usize;
    for (_, _, native) in bundle.natives() {
        let marked = match native {
            super::bundle::Native::Elf(elf) => elf.properties.x86_level,
            super::bundle::Native::MachO(_) | super::bundle::Native::Pe(_) => None,
        };
        unmarked += usize::from(marked.is_none());
    }
    let level = match bundle.policy.cpu {
        Cpu::X86(level) => level,
        Cpu::Arm(major, minor) => {
            let offered = format!("ARMv{major}.{minor}-A");
            findings.extend(unseen(Code::ArmFeatures, unmarked, offered));
            return;
        }
        Cpu::Other => return,
    };
    for (_, file, elf) in bundle.elves() {
        let Some(needed) = elf.properties.x86_level.filter(|needed| *needed > level) else {
            continue;
        };
        findings.push(Finding {
            required: format!("x86-64-v{needed}"),
            offered: format!("x86-64-v{level}"),
            because: "it is marked so, and glibc does not load it on a lesser processor".to_owned(),
            symptom: "CPU ISA level is lower than required, or Illegal instruction".to_owned(),
            remedy: "compile it for the level of the target (`-march=x86-64`), or take a `baseline` build"
                .to_owned(),
            ..Finding::new(Code::X86Level, Verdict::Broken, file, "level")
        });
    }
    findings.extend(unseen(Code::X86Level, unmarked, format!("x86-64-v{level}")));
}

fn unseen(code: Code, files: usize, offered: String) -> Option<Finding> {
    (files > 0).then(|| Finding {
        required: format!("the instructions of {files} files that carry no mark"),
        offered,
        because:
            "instructions are not looked at: code that picks them while it runs looks the same as \
                  code that does not"
                .to_owned(),
        symptom: "Illegal instruction".to_owned(),
        remedy: "run the bundle on the least processor, or under an emulation of it".to_owned(),
        ..Finding::bundle(code, Verdict::Unknown, "instructions")
    })
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::testing::{Bench, elf};
    use super::*;

    #[test]
    fn marks_decide_and_their_absence_is_told_once() {
        let bench = |level: Option<u8>| {
            let facts = || elf(|elf| elf.properties.x86_level = level);
            let mut bench = Bench::linux().file("a.so", Role::Library, facts()).file(
                "b.so",
                Role::Library,
                facts(),
            );
            bench.policy.cpu = Cpu::X86(2);
            bench.verdicts()
        };
        assert_eq!(bench(Some(2)), []);
        assert_eq!(bench(Some(3)), [(Code::X86Level, Verdict::Broken); 2]);
        assert_eq!(bench(None), [(Code::X86Level, Verdict::Unknown)]);
    }

    #[test]
    fn features_of_arm_are_not_seen() {
        let mut bench =
            Bench::linux().file("a.so", Role::Library, elf(|elf| elf.properties.x86_level = None));
        bench.policy.cpu = Cpu::Arm(8, 2);
        assert_eq!(bench.verdicts(), [(Code::ArmFeatures, Verdict::Unknown)]);
    }
}
