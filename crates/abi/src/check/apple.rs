//! Checks 27, 29 and 30: the oldest macOS, code signatures, and who loads whose code.

use super::bundle::{Bundle, Native};
use super::process::Process;
use super::{Code, File, Finding, Policy, Verdict};
use crate::facts::Machine;
use crate::macho::{CodeSignature, Pages, Signature, Signer, Slice};

pub(super) fn check(bundle: &Bundle<'_>, processes: &[Process], findings: &mut Vec<Finding>) {
    for (_, file, native) in bundle.natives() {
        let Native::MachO(slice) = native else { continue };
        findings.extend(minimum(bundle.policy, file, slice));
        findings.extend(signature(bundle.policy, file, slice));
    }
    for process in processes.iter().filter(|process| process.has_program) {
        findings.extend(teams(bundle, process));
    }
}

fn minimum(policy: &Policy<'_>, file: &File<'_>, slice: &Slice) -> Option<Finding> {
    let (verdict, required, because) = match (slice.macos(), &policy.macos) {
        (Some(needed), Some(floor)) if needed <= floor => return None,
        (Some(needed), Some(_)) => {
            (Verdict::Broken, format!("macOS {needed}"), "it was built for that and newer ones")
        }
        (Some(needed), None) => (
            Verdict::Unknown,
            format!("macOS {needed}"),
            "the target does not say its oldest macOS",
        ),
        (None, _) => (
            Verdict::Unknown,
            "a macOS that is not written".to_owned(),
            "it does not say for which macOS it was built",
        ),
    };
    Some(Finding {
        required,
        offered: policy.macos.as_ref().map_or("?".to_owned(), |floor| format!("macOS {floor}")),
        because: because.to_owned(),
        symptom: "Symbol not found ... (built for macOS ... which is newer than running OS)"
            .to_owned(),
        remedy:
            "build it with a lower MACOSX_DEPLOYMENT_TARGET, take an older release, or raise the \
                 target's baseline"
                .to_owned(),
        ..Finding::new(Code::MacosMinimum, verdict, file, "macOS")
    })
}

fn signature(policy: &Policy<'_>, file: &File<'_>, slice: &Slice) -> Option<Finding> {
    let (verdict, because) = match &slice.signature {
        Signature::Absent if policy.machine == Machine::Arm64 => {
            (Verdict::Broken, "Apple's processors run nothing without a signature".to_owned())
        }
        Signature::Absent => return None,
        Signature::Malformed(reason) => {
            (Verdict::Broken, format!("its signature cannot be read: {reason}"))
        }
        Signature::Present(signature) => match signature.pages {
            Pages::Intact => return None,
            Pages::Broken(page) => (
                Verdict::Broken,
                format!("page {page} is not what was signed: the file was changed since"),
            ),
            Pages::Uncovered(from) => (
                Verdict::Unknown,
                format!("the signature ends at byte {from}, before the code does"),
            ),
            Pages::Unknown(kind) => (
                Verdict::Unknown,
                format!("its digests are of a kind ({kind}) that is not known here"),
            ),
        },
    };
    Some(Finding {
        required: "a code signature over the file as it is".to_owned(),
        because,
        symptom: "Killed: 9 (exit status 137), without a word".to_owned(),
        remedy: "sign it again, after everything that changes it; an ad-hoc signature will do"
            .to_owned(),
        ..Finding::new(Code::CodeSignature, verdict, file, "signature")
    })
}

/// A hardened program loads nothing that its own team did not sign, unless it says otherwise.
fn teams(bundle: &Bundle<'_>, process: &Process) -> Vec<Finding> {
    let program = process.loaded[0].file;
    let Some(Signature::Present(signed)) = bundle.slice(program).map(|slice| &slice.signature)
    else {
        return Vec::new();
    };
    if !signed.hardened() || signed.disables_library_validation() {
        return Vec::new();
    }
    let judge = |at: usize| {
        let slice = bundle.slice(at).filter(|_| at != program)?;
        if is_same_team(signed, &slice.signature) {
            return None;
        }
        Some(Finding {
            required: format!(
                "the signature of team {}",
                signed.team.as_deref().unwrap_or("(none)")
            ),
            offered: "another signature, or none of a team".to_owned(),
            because: format!(
                "`{}` is hardened and does not disable library validation",
                bundle.files[program].path
            ),
            symptom:
                "code signature not valid for use in process: mapping process and mapped file have \
                      different Team IDs"
                    .to_owned(),
            remedy: "sign both with one certificate, or the program with the entitlement \
                     `com.apple.security.cs.disable-library-validation`"
                .to_owned(),
            ..Finding::new(Code::TeamId, Verdict::Broken, bundle.files[at], "team")
        })
    };
    process.own_files().filter_map(judge).collect()
}

fn is_same_team(program: &CodeSignature, library: &Signature) -> bool {
    match library {
        Signature::Present(library) => {
            library.signer == Signer::Certificate
                && library.team.is_some()
                && library.team == program.team
        }
        Signature::Absent | Signature::Malformed(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::testing::{Bench, macho};
    use super::*;
    use crate::facts::Kind;
    use crate::version::Version;

    fn verdicts(change: impl FnOnce(&mut Slice)) -> Vec<(Code, Verdict)> {
        Bench::macos().file("a.dylib", Role::Library, macho(change)).verdicts()
    }

    fn signed(change: impl FnOnce(&mut CodeSignature)) -> impl FnOnce(&mut Slice) {
        |slice| {
            if let Signature::Present(signature) = &mut slice.signature {
                change(signature);
            }
        }
    }

    #[test]
    fn the_oldest_macos() {
        let newer = |slice: &mut Slice| slice.targets[0].minimum = Version::of(14, 0, 0);
        assert_eq!(verdicts(|_| {}), []);
        assert_eq!(verdicts(newer), [(Code::MacosMinimum, Verdict::Broken)]);
        assert_eq!(
            verdicts(|slice| slice.targets.clear()),
            [(Code::MacosMinimum, Verdict::Unknown)]
        );
    }

    #[test]
    fn signatures() {
        let found = |verdict| vec![(Code::CodeSignature, verdict)];
        assert_eq!(verdicts(|slice| slice.signature = Signature::Absent), found(Verdict::Broken));
        assert_eq!(
            verdicts(|slice| slice.signature = Signature::Malformed("x".to_owned())),
            found(Verdict::Broken)
        );
        assert_eq!(verdicts(signed(|it| it.pages = Pages::Broken(3))), found(Verdict::Broken));
        assert_eq!(verdicts(signed(|it| it.pages = Pages::Unknown(9))), found(Verdict::Unknown));
    }

    #[test]
    fn older_processors_need_no_signature() {
        let intel = macho(|slice| {
            (slice.machine, slice.signature) = (Machine::X64, Signature::Absent);
        });
        let mut bench = Bench::macos().file("a.dylib", Role::Library, intel);
        bench.policy.machine = Machine::X64;
        assert_eq!(bench.codes(), []);
    }

    #[test]
    fn a_hardened_program_is_choosy() {
        const HARDENED: u32 = 0x1_0000;
        let codes = |entitlements: &[&str], team: Option<&str>| {
            let program = macho(|slice| {
                slice.kind = Kind::Executable;
                signed(|it| {
                    (it.flags, it.signer) = (HARDENED, Signer::Certificate);
                    it.team = Some("T".to_owned());
                    it.entitlements = entitlements.iter().map(|name| (*name).to_owned()).collect();
                })(slice);
            });
            let addon = macho(signed(|it| {
                it.team = team.map(str::to_owned);
                it.signer = if team.is_some() { Signer::Certificate } else { Signer::AdHoc };
            }));
            Bench::macos()
                .file("bin/node", Role::Runtime, program)
                .file("a.node", Role::Addon, addon)
                .codes()
        };
        assert_eq!(codes(&[], None), [Code::TeamId]);
        assert_eq!(codes(&[], Some("T")), []);
        assert_eq!(codes(&["com.apple.security.cs.disable-library-validation"], None), []);
    }
}
