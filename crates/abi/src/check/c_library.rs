//! Check 4: files that were linked with another C library than the target's.
//!
//! glibc's loader does not find musl's library, nor the other way round. musl answers for `libc.so.6` itself, but it has
//! neither glibc's loader nor the functions that check lengths (`__memcpy_chk`).

use super::bundle::Bundle;
use super::{Code, File, Finding, Verdict};
use crate::elf::{CLibrary, Elf};

pub(super) fn check(bundle: &Bundle<'_>, findings: &mut Vec<Finding>) {
    let Some(expected) = bundle.policy.c_library else { return };
    for (at, file, elf) in bundle.elves() {
        if let Some(found) = elf.c_library().filter(|found| *found != expected) {
            let has_variant = bundle.has_addon_beside(at);
            findings.push(judge(file, elf, found, expected, has_variant));
        }
    }
}

/// Whether a library's name says that it is a C library or its loader: this check looks after those.
pub(super) fn is_one(library: &str) -> bool {
    library == "libc.so"
        || library.starts_with("libc.so.")
        || library.starts_with("libc.musl-")
        || library.starts_with("ld-linux")
        || library.starts_with("ld-musl-")
        || library == "liblog.so"
}

fn judge(
    file: &File<'_>,
    elf: &Elf,
    found: CLibrary,
    expected: CLibrary,
    has_variant: bool,
) -> Finding {
    let may_load = expected == CLibrary::Musl && found == CLibrary::Glibc && !needs_glibc(elf);
    let (verdict, because) = match (has_variant, may_load) {
        (true, _) => {
            (Verdict::Advice, "its package has an addon for the target's C library beside it")
        }
        (_, true) => (
            Verdict::Unknown,
            "musl takes the name `libc.so.6` for its own; whether it has every function is not known",
        ),
        _ => (Verdict::Broken, "the loader of one does not find the library of the other"),
    };
    Finding {
        required: name(found).to_owned(),
        offered: name(expected).to_owned(),
        because: because.to_owned(),
        symptom: match (&elf.interpreter, expected) {
            (Some(interpreter), _) => format!("{interpreter}: No such file or directory"),
            (None, CLibrary::Musl) => "Error relocating: symbol not found".to_owned(),
            (None, _) => {
                "libc.so: invalid ELF header, or cannot open shared object file".to_owned()
            }
        },
        remedy: format!("take the package's build for {}, or leave the file out", name(expected)),
        is_heuristic: verdict == Verdict::Advice,
        ..Finding::new(Code::CLibrary, verdict, file, name(found))
    }
}

fn needs_glibc(elf: &Elf) -> bool {
    let is_checked = |name: &str| name.starts_with("__") && name.ends_with("_chk");
    elf.interpreter.is_some()
        || elf.needed.iter().any(|name| name.starts_with("ld-linux"))
        || elf.imports.iter().any(|import| !import.weak && is_checked(&import.name))
}

fn name(library: CLibrary) -> &'static str {
    match library {
        CLibrary::Glibc => "glibc",
        CLibrary::Musl => "musl",
        CLibrary::Bionic => "Android's C library",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::testing::{Bench, elf, needing, owned};
    use super::*;

    #[test]
    fn musl_under_glibc() {
        let facts = needing(&["libc.musl-x86_64.so.1"], &[]);
        let bench = Bench::linux().file("a.node", Role::Addon, facts);
        assert_eq!(bench.said(), ["broken c-library a.node musl: musl / glibc"]);
    }

    #[test]
    fn glibc_under_musl() {
        let plain = needing(&["libc.so.6"], &[]);
        let bench = Bench::musl().file("a.node", Role::Addon, plain);
        assert_eq!(bench.verdicts(), [(Code::CLibrary, Verdict::Unknown)]);
        let program = elf(|elf| {
            elf.kind = crate::facts::Kind::Executable;
            elf.interpreter = Some("/lib64/ld-linux-x86-64.so.2".to_owned());
            elf.needed = owned(&["libc.so.6"]);
        });
        let bench = Bench::musl().file("bin/a", Role::Program, program);
        assert_eq!(bench.verdicts(), [(Code::CLibrary, Verdict::Broken)]);
    }

    #[test]
    fn the_target_s_own_is_fine_and_none_is_too() {
        for needed in [&["libc.so.6"][..], &[]] {
            let bench = Bench::linux().file("a.so", Role::Library, needing(needed, &[]));
            assert_eq!(bench.codes(), []);
        }
    }
}
