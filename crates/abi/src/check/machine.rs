//! Check 15: files for another system or processor.
//!
//! What has to run and cannot is broken. A program that nobody is known to start may be for a platform that its package
//! serves as well, and a library counts only if a loader would take it.

use super::bundle::Bundle;
use super::{Code, File, Finding, Os, Role, Verdict};
use crate::facts::{Facts, Kind, Machine};

pub(super) fn check(bundle: &Bundle<'_>, findings: &mut Vec<Finding>) {
    findings.extend((0..bundle.files.len()).filter_map(|at| judge(bundle, at)));
}

fn judge(bundle: &Bundle<'_>, at: usize) -> Option<Finding> {
    let file = bundle.files[at];
    let policy = bundle.policy;
    let (format, os) = match file.facts {
        Facts::Elf(elf) if !matches!(elf.kind, Kind::Executable | Kind::Library) => return None,
        Facts::Elf(elf) if !matches!(elf.os_abi, 0 | 3) => ("ELF for another system", None),
        Facts::Elf(_) => ("ELF", Some(Os::Linux)),
        Facts::MachO(_) => ("Mach-O", Some(Os::MacOs)),
        Facts::Pe(_) => ("PE", Some(Os::Windows)),
        Facts::Archive(_) => return None,
    };
    let machines = file.facts.machines();
    // A .NET assembly names none.
    let fits = machines.contains(&policy.machine) || machines.is_empty();
    let is_foreign = os != Some(policy.os);
    if !is_foreign && (fits || is_emulated(policy.os, policy.machine, file, &machines)) {
        return None;
    }
    let is_spare = file.role == Role::Addon && bundle.has_addon_beside(at);
    let verdict = match file.role {
        Role::Addon if is_spare => Verdict::Advice,
        Role::Runtime | Role::Launcher | Role::Service | Role::Addon => Verdict::Broken,
        Role::Program if !is_foreign => Verdict::Unknown,
        Role::Program | Role::Library => Verdict::Advice,
    };
    Some(Finding {
        required: format!("{format} on {}", names(&machines)),
        offered: format!("{} on {}", container(policy.os), names(&[policy.machine])),
        because: match verdict {
            Verdict::Broken => "it is loaded or started on this target",
            Verdict::Unknown => "whether anything starts it here is not known",
            Verdict::Advice if is_spare => "its package has an addon for the target beside it",
            Verdict::Advice => "no loader of the target takes it",
        }
        .to_owned(),
        symptom: match policy.os {
            Os::Linux => "wrong ELF class, invalid ELF header, or Exec format error",
            Os::MacOs => "incompatible architecture, or Bad CPU type in executable",
            Os::Windows => "%1 is not a valid Win32 application",
        }
        .to_owned(),
        remedy: "take the package's build for this target, or leave the file out".to_owned(),
        ..Finding::new(Code::Machine, verdict, file, format)
    })
}

/// Programs for a lesser processor that the system runs nevertheless: never libraries, which join a process.
fn is_emulated(os: Os, machine: Machine, file: &File<'_>, machines: &[Machine]) -> bool {
    let is_program = match file.facts {
        Facts::Pe(pe) => pe.kind == Kind::Executable,
        Facts::Elf(_) | Facts::MachO(_) | Facts::Archive(_) => false,
    };
    let runs: &[Machine] = match (os, machine) {
        (Os::Windows, Machine::X64) => &[Machine::X86],
        (Os::Windows, Machine::Arm64) => &[Machine::X86, Machine::X64],
        _ => &[],
    };
    is_program && machines.iter().any(|machine| runs.contains(machine))
}

fn container(os: Os) -> &'static str {
    match os {
        Os::Linux => "ELF",
        Os::MacOs => "Mach-O",
        Os::Windows => "PE",
    }
}

fn names(machines: &[Machine]) -> String {
    let name = |machine: &Machine| match machine {
        Machine::X86 => "x86".to_owned(),
        Machine::X64 => "x64".to_owned(),
        Machine::Arm => "arm".to_owned(),
        Machine::Arm64 => "arm64".to_owned(),
        Machine::Riscv => "riscv".to_owned(),
        Machine::Loong => "loong".to_owned(),
        Machine::Ppc64 => "ppc64".to_owned(),
        Machine::S390 => "s390".to_owned(),
        Machine::Mips => "mips".to_owned(),
        Machine::Other(number) => format!("machine {number}"),
    };
    let names: Vec<String> = machines.iter().map(name).collect();
    if names.is_empty() { "any processor".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, elf, macho, pe};
    use super::*;

    #[test]
    fn what_must_run_must_fit() {
        let other = || elf(|elf| elf.machine = Machine::Arm64);
        for (role, verdict) in [
            (Role::Addon, Verdict::Broken),
            (Role::Service, Verdict::Broken),
            (Role::Program, Verdict::Unknown),
            (Role::Library, Verdict::Advice),
        ] {
            let bench = Bench::linux().file("x", role, other());
            assert_eq!(bench.verdicts(), [(Code::Machine, verdict)], "{role:?}");
        }
        let bench = Bench::linux().file("x.dylib", Role::Library, macho(|_| {}));
        assert_eq!(bench.verdicts(), [(Code::Machine, Verdict::Advice)]);
        let bench = Bench::linux().file("bsd", Role::Service, elf(|elf| elf.os_abi = 9));
        assert!(bench.verdicts().contains(&(Code::Machine, Verdict::Broken)));
    }

    #[test]
    fn a_package_for_many_platforms() {
        let addon = || elf(|elf| elf.node = Some(super::super::testing::node_api()));
        let bench = Bench::linux().file("p/bsd.node", Role::Addon, elf(|elf| elf.os_abi = 9)).file(
            "p/mac.node",
            Role::Addon,
            macho(|_| {}),
        );
        assert_eq!(bench.verdicts(), [(Code::Machine, Verdict::Broken); 2]);
        let mut bench = bench.file("p/here.node", Role::Addon, addon());
        bench.policy.runtime = None;
        let codes = bench.verdicts();
        assert_eq!(codes.iter().filter(|one| **one == (Code::Machine, Verdict::Advice)).count(), 2);
    }

    #[test]
    fn windows_starts_smaller_programs() {
        let facts = |kind| pe(|pe| (pe.machine, pe.kind) = (Some(Machine::X86), kind));
        let bench = Bench::windows().file("a.exe", Role::Program, facts(Kind::Executable));
        assert_eq!(bench.codes(), []);
        let bench = Bench::windows().file("a.node", Role::Addon, facts(Kind::Library));
        assert_eq!(bench.codes(), [Code::Machine]);
    }
}
