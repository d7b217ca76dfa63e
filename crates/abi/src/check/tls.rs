//! Check 10: thread-local storage that has to be in the block laid out at start.
//!
//! A program's own libraries are laid out with it. What is opened later gets what glibc keeps in reserve; musl keeps
//! nothing.

use super::bundle::Bundle;
use super::process::{Process, Start};
use super::{Code, Finding, Verdict};
use crate::elf::Elf;

/// What glibc keeps for libraries that are opened later and want it: 512 bytes that anyone may have
/// (`glibc.rtld.optional_static_tls`), within this much in all. Tried with Node 24 and Bun 1.4 under 2.31, 2.36 and
/// 2.41: the first library to ask gets 1664 bytes, and is refused from 1728 on.
const RESERVE: u64 = 512;
const MOST: u64 = 1664;

pub(super) fn check(bundle: &Bundle<'_>, processes: &[Process], findings: &mut Vec<Finding>) {
    let mut wants: Vec<(usize, u64, u32)> = processes
        .iter()
        .filter(|process| process.start != Start::Program)
        .flat_map(Process::own_files)
        .filter_map(|at| {
            let elf = bundle.elf(at)?;
            is_static(elf).then_some((at, elf.tls.size, elf.tls.static_relocations))
        })
        .collect();
    wants.sort_unstable();
    wants.dedup();
    let sum: u64 = wants.iter().fold(0, |sum, (_, size, _)| sum.saturating_add(*size));
    let is_musl = bundle.policy.is_musl();
    for (at, size, relocations) in wants {
        let (verdict, because) = match is_musl {
            true if relocations > 0 => {
                (Verdict::Broken, "musl gives no such storage to what is opened later")
            }
            true => {
                (Verdict::Unknown, "it says that it needs such storage, and no relocation uses it")
            }
            false if size > MOST => (Verdict::Broken, "it is more than glibc keeps in reserve"),
            false if sum > RESERVE => (
                Verdict::Unknown,
                "all such libraries together want more than glibc keeps for them; which are loaded, and \
                 in which order, is not known",
            ),
            false => continue,
        };
        findings.push(Finding {
            required: format!("{size} bytes of static storage, {sum} with its siblings"),
            offered: if is_musl { "none".to_owned() } else { format!("{RESERVE} bytes") },
            because: because.to_owned(),
            symptom: match is_musl {
                true => "initial-exec TLS resolves to dynamic definition",
                false => "cannot allocate memory in static TLS block",
            }
            .to_owned(),
            remedy:
                "compile it without `-ftls-model=initial-exec`; or have the program itself link it"
                    .to_owned(),
            ..Finding::new(Code::StaticTls, verdict, bundle.files[at], "thread-local storage")
        });
    }
}

/// Storage of its own that only works in that block. The relocations alone may be for another library's.
fn is_static(elf: &Elf) -> bool {
    elf.tls.size > 0 && (elf.tls.is_static || elf.tls.static_relocations > 0)
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::testing::{Bench, elf};
    use super::*;
    use crate::facts::{Facts, Kind};

    fn wanting(size: u64) -> Facts {
        elf(|elf| (elf.tls.size, elf.tls.is_static, elf.tls.static_relocations) = (size, true, 1))
    }

    #[test]
    fn reserves() {
        let verdicts =
            |bench: Bench, size| bench.file("a.node", Role::Addon, wanting(size)).verdicts();
        let found = |verdict| vec![(Code::StaticTls, verdict)];
        assert_eq!(verdicts(Bench::linux(), 64), []);
        assert_eq!(verdicts(Bench::linux(), 1000), found(Verdict::Unknown));
        assert_eq!(verdicts(Bench::linux(), 4096), found(Verdict::Broken));
        assert_eq!(verdicts(Bench::musl(), 64), found(Verdict::Broken));
        assert_eq!(verdicts(Bench::musl(), 0), []);
    }

    #[test]
    fn siblings_share_and_programs_bring_their_own() {
        let two = Bench::linux().file("a.node", Role::Addon, wanting(300)).file(
            "b.node",
            Role::Addon,
            wanting(300),
        );
        assert_eq!(two.verdicts(), [(Code::StaticTls, Verdict::Unknown); 2]);
        let program = elf(|elf| {
            (elf.kind, elf.tls.size, elf.tls.is_static) = (Kind::Executable, 9000, true);
        });
        assert_eq!(Bench::linux().file("a", Role::Program, program).codes(), []);
    }
}
