//! Checks 8 and 9: what a file asks of the loader's protections, and goes without.

use super::bundle::{Bundle, Native};
use super::{Code, File, Finding, Verdict};
use crate::elf::{Elf, Relro, Stack};
use crate::facts::{Kind, Machine};
use crate::pe::Pe;

pub(super) fn check(bundle: &Bundle<'_>, findings: &mut Vec<Finding>) {
    for (_, file, native) in bundle.natives() {
        match native {
            Native::Elf(elf) => {
                findings.extend(stack(bundle, file, elf));
                findings.extend(hardening(file, elf));
            }
            Native::Pe(pe) => findings.extend(windows(file, pe)),
            Native::MachO(_) => {}
        }
    }
}

/// glibc refuses libraries that want an executable stack since 2.41, and every target promises newer systems as well.
fn stack(bundle: &Bundle<'_>, file: &File<'_>, elf: &Elf) -> Option<Finding> {
    let is_asked = match elf.stack {
        Stack::Executable => true,
        Stack::Unsaid => matches!(elf.machine, Machine::X86 | Machine::X64 | Machine::Arm),
        Stack::Data => false,
    };
    // Without code there is nothing that could run on it.
    if !is_asked || elf.loads.is_empty() {
        return None;
    }
    let is_refused = elf.kind == Kind::Library && !bundle.policy.is_musl();
    Some(Finding {
        required: match elf.stack {
            Stack::Unsaid => "an executable stack, by saying nothing of it",
            Stack::Executable | Stack::Data => "an executable stack",
        }
        .to_owned(),
        offered: "stacks that hold data only".to_owned(),
        because: match is_refused {
            true => "glibc 2.41 and newer do not load such a library into a running program",
            false => "it weakens every thread of the process; hardened systems refuse it",
        }
        .to_owned(),
        symptom: "cannot enable executable stack as shared object requires: Invalid argument"
            .to_owned(),
        remedy:
            "link it with `-Wl,-z,noexecstack`, or clear the flag with `patchelf --clear-execstack`"
                .to_owned(),
        ..Finding::new(
            Code::ExecutableStack,
            if is_refused { Verdict::Broken } else { Verdict::Advice },
            file,
            "stack",
        )
    })
}

fn hardening(file: &File<'_>, elf: &Elf) -> Vec<Finding> {
    let mut lacks = Vec::new();
    if elf.loads.iter().any(|load| load.writable && load.executable) {
        lacks.push("a segment can be both written and run");
    }
    match elf.relro {
        Relro::None => lacks.push("its tables stay writable (no RELRO)"),
        Relro::Partial => lacks.push("its table of functions stays writable (no BIND_NOW)"),
        Relro::Full => {}
    }
    let text = elf.text_relocations.then(|| Finding {
        required: "writing into code while it is loaded".to_owned(),
        offered: "code that cannot be written, under SELinux and its kin".to_owned(),
        because: "it has relocations in its code (DT_TEXTREL)".to_owned(),
        symptom: "cannot restore segment prot after reloc: Permission denied".to_owned(),
        remedy: "compile it as position-independent code (`-fPIC`)".to_owned(),
        ..Finding::new(Code::Hardening, Verdict::Unknown, file, "text relocations")
    });
    text.into_iter().chain(advice(file, &lacks, "link it with `-Wl,-z,relro,-z,now`")).collect()
}

fn windows(file: &File<'_>, pe: &Pe) -> Option<Finding> {
    let mut lacks = Vec::new();
    if !pe.relocatable() {
        lacks.push("its place in memory is always the same (no DYNAMIC_BASE)");
    }
    if !pe.no_execute() {
        lacks.push("its data can be run (no NX_COMPAT)");
    }
    if pe.writable_code {
        lacks.push("a section can be both written and run");
    }
    advice(file, &lacks, "link it with `/DYNAMICBASE /NXCOMPAT`")
}

fn advice(file: &File<'_>, lacks: &[&str], remedy: &str) -> Option<Finding> {
    (!lacks.is_empty()).then(|| Finding {
        required: "nothing more: it runs".to_owned(),
        because: lacks.join("; "),
        symptom: "none; a flaw in it is easier to exploit".to_owned(),
        remedy: remedy.to_owned(),
        ..Finding::new(Code::Hardening, Verdict::Advice, file, "protections")
    })
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::testing::{Bench, elf, pe};
    use super::*;

    #[test]
    fn stacks() {
        let verdicts = |bench: Bench, stack, kind| {
            let facts = elf(|elf| (elf.stack, elf.kind) = (stack, kind));
            bench.file("a", Role::Library, facts).verdicts()
        };
        let found = |verdict| vec![(Code::ExecutableStack, verdict)];
        let library = Kind::Library;
        assert_eq!(verdicts(Bench::linux(), Stack::Executable, library), found(Verdict::Broken));
        assert_eq!(verdicts(Bench::linux(), Stack::Unsaid, library), found(Verdict::Broken));
        assert_eq!(verdicts(Bench::musl(), Stack::Executable, library), found(Verdict::Advice));
        assert_eq!(
            verdicts(Bench::linux(), Stack::Executable, Kind::Executable),
            found(Verdict::Advice)
        );
        assert_eq!(verdicts(Bench::linux(), Stack::Data, library), []);
    }

    #[test]
    fn protections() {
        let facts = elf(|elf| (elf.relro, elf.text_relocations) = (Relro::Partial, true));
        let bench = Bench::linux().file("a.so", Role::Library, facts);
        assert_eq!(
            bench.verdicts(),
            [(Code::Hardening, Verdict::Unknown), (Code::Hardening, Verdict::Advice)]
        );
        let bench = Bench::windows().file("a.dll", Role::Library, pe(|pe| pe.characteristics = 0));
        assert_eq!(bench.verdicts(), [(Code::Hardening, Verdict::Advice)]);
    }
}
