//! What many binaries together need of a machine.

use std::collections::BTreeSet;

use crate::elf::VersionNeed;
use crate::facts::Facts;
use crate::version::Version;

/// `GLIBC_ABI_DT_RELR` has no number; the loader knows it since this version.
const RELR_SINCE: &str = "2.36";

/// What a machine must offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The newest version of glibc's own symbols.
    pub glibc: Option<Version>,
    /// The newest `GLIBCXX_` version of the system's libstdc++.
    pub libstdcxx: Option<Version>,
    /// Libraries that the machine must have.
    pub libraries: BTreeSet<String>,
}

impl Requirements {
    /// Adds the needs of one binary. `provided` are the names of the libraries that come along.
    pub fn add(&mut self, facts: &Facts, provided: &BTreeSet<String>) {
        for library in facts.libraries() {
            let name = library.rsplit('/').next().unwrap_or(library);
            if !provided.contains(&key(facts, name)) {
                self.libraries.insert(library.to_owned());
            }
        }
        let Facts::Elf(elf) = facts else { return };
        for need in elf.versions.iter().filter(|need| !need.weak) {
            if provided.contains(&need.file) {
                continue;
            }
            self.glibc = self.glibc.take().max(glibc(need));
            self.libstdcxx = self.libstdcxx.take().max(libstdcxx(need));
        }
    }
}

/// The names under which a loader finds this binary: its file's and the one it answers to.
pub fn provided_by(file_name: &str, facts: &Facts) -> Vec<String> {
    let own = match facts {
        Facts::Elf(elf) => elf.soname.as_deref(),
        Facts::MachO(macho) => macho.slices.iter().find_map(|slice| slice.install_name.as_deref()),
        Facts::Pe(pe) => pe.name.as_deref(),
        Facts::Archive(_) => None,
    };
    let own = own.map(|name| name.rsplit('/').next().unwrap_or(name));
    [Some(file_name), own].into_iter().flatten().map(|name| key(facts, name)).collect()
}

/// Windows does not look at the case of a library's name.
fn key(facts: &Facts, name: &str) -> String {
    match facts {
        Facts::Pe(_) => name.to_ascii_lowercase(),
        Facts::Elf(_) | Facts::MachO(_) | Facts::Archive(_) => name.to_owned(),
    }
}

fn glibc(need: &VersionNeed) -> Option<Version> {
    if !is_glibc(&need.file) {
        return None;
    }
    match need.version.strip_prefix("GLIBC_")? {
        "ABI_DT_RELR" => Version::parse(RELR_SINCE),
        version => Version::parse(version),
    }
}

fn libstdcxx(need: &VersionNeed) -> Option<Version> {
    if !need.file.starts_with("libstdc++.so.") {
        return None;
    }
    Version::parse(need.version.strip_prefix("GLIBCXX_")?)
}

/// Whether a file belongs to glibc. Others carry `GLIBC_` versions too: libgcc_s has a `GLIBC_2.0` even beside musl.
pub(crate) fn is_glibc(file: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::Elf;

    fn elf(needed: &[&str], versions: &[(&str, &str, bool)]) -> Facts {
        Facts::Elf(Elf {
            soname: Some("libme.so.1".to_owned()),
            needed: needed.iter().map(|name| (*name).to_owned()).collect(),
            versions: versions
                .iter()
                .map(|(file, version, weak)| VersionNeed::new(file, version, *weak))
                .collect(),
            ..Elf::default()
        })
    }

    fn folded(facts: &[Facts], provided: &[&str]) -> Requirements {
        let provided = provided.iter().map(|name| (*name).to_owned()).collect();
        let mut requirements = Requirements::default();
        for facts in facts {
            requirements.add(facts, &provided);
        }
        requirements
    }

    #[test]
    fn the_newest_version_counts() {
        let requirements = folded(
            &[
                elf(
                    &["libc.so.6"],
                    &[("libc.so.6", "GLIBC_2.4", false), ("libm.so.6", "GLIBC_2.28", false)],
                ),
                elf(
                    &["libstdc++.so.6"],
                    &[
                        ("libstdc++.so.6", "GLIBCXX_3.4.9", false),
                        ("libstdc++.so.6", "GLIBCXX_3.4.21", false),
                        ("libstdc++.so.6", "CXXABI_1.3.13", false),
                        ("libc.so.6", "GLIBC_PRIVATE", false),
                        ("libc.so.6", "GLIBC_2.38", true),
                    ],
                ),
            ],
            &[],
        );
        assert_eq!(requirements.glibc.expect("some").to_string(), "2.28");
        assert_eq!(requirements.libstdcxx.expect("some").to_string(), "3.4.21");
        assert_eq!(Vec::from_iter(requirements.libraries), ["libc.so.6", "libstdc++.so.6"]);
    }

    #[test]
    fn the_version_names_of_other_libraries_do_not() {
        let facts = elf(
            &["libgcc_s.so.1", "libc.musl-aarch64.so.1"],
            &[("libgcc_s.so.1", "GLIBC_2.0", false), ("libfoo.so", "GLIBC_2.99", false)],
        );
        assert_eq!(folded(&[facts], &[]).glibc, None);
    }

    #[test]
    fn relative_relocations_need_a_loader_that_knows_them() {
        let facts = elf(&[], &[("libc.so.6", "GLIBC_ABI_DT_RELR", false)]);
        assert_eq!(folded(&[facts], &[]).glibc.expect("some").to_string(), "2.36");
    }

    #[test]
    fn what_comes_along_is_not_needed() {
        let facts =
            elf(&["libme.so.1", "libstdc++.so.6"], &[("libstdc++.so.6", "GLIBCXX_3.4.32", false)]);
        assert_eq!(provided_by("me.so", &facts), ["me.so", "libme.so.1"]);
        let requirements = folded(&[facts], &["libme.so.1", "libstdc++.so.6"]);
        assert_eq!(requirements, Requirements::default());
    }
}
