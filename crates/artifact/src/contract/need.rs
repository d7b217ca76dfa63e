//! One thing that a contract asks for.

use std::collections::BTreeSet;
use std::fmt;

use super::{Contract, L4tRange, Nvidia, Python};
use crate::Version;

/// One thing that a contract asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// glibc, this one or a newer one.
    Glibc(Version),
    /// libstdc++, this one or a newer one.
    Libstdcxx(Version),
    /// musl, this one or a newer one.
    Musl(Version),
    /// Linux, this one or a newer one.
    Kernel(Version),
    /// A processor of this x86-64 level or a higher one.
    X8664Level(u8),
    /// Memory pages of at most so many bytes.
    PageSize(u64),
    /// macOS, this one or a newer one.
    MacOs(Version),
    /// Windows, this one or a newer one.
    Windows(Version),
    /// A shared library.
    Library(String),
    /// A shared library with symbols of this version: `LIBATOMIC_` and `1.2`.
    LibraryVersion {
        /// The library.
        library: String,
        /// What stands before the number.
        family: String,
        /// The newest asked for.
        version: Version,
    },
    /// A Jetson with one of these releases.
    L4t(L4tRange),
    /// CUDA of this major version.
    Cuda(u32),
    /// cuDNN of this major version.
    Cudnn(u32),
    /// TensorRT of this major version.
    TensorRt(u32),
    /// A graphics chip that one of these is for.
    Chip {
        /// Machine code for these compute capabilities.
        sm: BTreeSet<Version>,
        /// Assembly for these and higher ones.
        ptx: BTreeSet<Version>,
    },
    /// The system's Python, for a service.
    Python {
        /// The service.
        service: String,
        /// Which one.
        python: Python,
    },
    /// Room on the disk, in bytes.
    Disk(u64),
}

impl Contract {
    /// Everything it asks for, in the order a person would look at it.
    ///
    /// What follows from another need is not repeated: libraries that belong to glibc come with it, and symbol versions of
    /// libstdc++ are told by its number.
    #[must_use]
    pub fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        needs.extend(self.glibc.clone().map(Need::Glibc));
        needs.extend(self.libstdcxx.clone().map(Need::Libstdcxx));
        needs.extend(self.musl.clone().map(Need::Musl));
        needs.extend(self.kernel.clone().map(Need::Kernel));
        needs.extend(self.x86_64_level.map(Need::X8664Level));
        needs.extend(self.page_size.map(Need::PageSize));
        needs.extend(self.macos.clone().map(Need::MacOs));
        needs.extend(self.windows.clone().map(Need::Windows));
        for (library, versions) in &self.libraries {
            self.library(library, versions, &mut needs);
        }
        needs.extend(self.nvidia.iter().flat_map(nvidia));
        needs.extend(
            self.python.iter().map(|(service, python)| Need::Python {
                service: service.clone(),
                python: *python,
            }),
        );
        needs.push(Need::Disk(self.disk.installed));
        needs
    }

    fn library(&self, library: &str, versions: &BTreeSet<String>, needs: &mut Vec<Need>) {
        let told = |version: &str| {
            (self.glibc.is_some() && version.starts_with("GLIBC_"))
                || (self.libstdcxx.is_some()
                    && (version.starts_with("GLIBCXX_") || version.starts_with("CXXABI_")))
        };
        let is_glibcs =
            self.glibc.is_some() && versions.iter().any(|version| version.starts_with("GLIBC_"));
        if is_glibcs || (self.musl.is_some() && is_musls(library)) {
            return;
        }
        needs.push(Need::Library(library.to_owned()));
        let numbered = versions.iter().filter(|version| !told(version)).filter_map(|version| {
            let (family, number) = version.split_at(version.rfind('_')? + 1);
            Some((family.to_owned(), number.parse::<Version>().ok()?))
        });
        let mut newest: std::collections::BTreeMap<String, Version> =
            std::collections::BTreeMap::new();
        for (family, version) in numbered {
            let slot = newest.entry(family).or_insert_with(|| version.clone());
            if version > *slot {
                *slot = version;
            }
        }
        needs.extend(newest.into_iter().map(|(family, version)| Need::LibraryVersion {
            library: library.to_owned(),
            family,
            version,
        }));
    }
}

/// Whether musl takes a name for itself, whatever files there are: `libc.so` and `libc.musl-x86_64.so.1` are its loader.
#[must_use]
pub fn is_musls(library: &str) -> bool {
    const OWN: [&str; 8] =
        ["ld-musl-", "libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet."];
    OWN.iter().any(|start| library.starts_with(start))
}

fn nvidia(nvidia: &Nvidia) -> Vec<Need> {
    let mut needs = Vec::new();
    needs.extend(nvidia.l4t.clone().map(Need::L4t));
    needs.extend(nvidia.cuda.map(Need::Cuda));
    needs.extend(nvidia.cudnn.map(Need::Cudnn));
    needs.extend(nvidia.tensorrt.map(Need::TensorRt));
    if !nvidia.sm.is_empty() || !nvidia.ptx.is_empty() {
        needs.push(Need::Chip { sm: nvidia.sm.clone(), ptx: nvidia.ptx.clone() });
    }
    needs
}

impl Need {
    /// What it is about, in a word or two; needs of two contracts about the same have the same.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Glibc(_) => "glibc".to_owned(),
            Self::Libstdcxx(_) => "libstdc++".to_owned(),
            Self::Musl(_) => "musl".to_owned(),
            Self::Kernel(_) => "Linux".to_owned(),
            Self::X8664Level(_) => "processor".to_owned(),
            Self::PageSize(_) => "memory pages".to_owned(),
            Self::MacOs(_) => "macOS".to_owned(),
            Self::Windows(_) => "Windows".to_owned(),
            Self::Library(library) => library.clone(),
            Self::LibraryVersion { library, family, .. } => {
                format!("{library} {}", family.trim_end_matches('_'))
            }
            Self::L4t(_) => "L4T".to_owned(),
            Self::Cuda(_) => "CUDA".to_owned(),
            Self::Cudnn(_) => "cuDNN".to_owned(),
            Self::TensorRt(_) => "TensorRT".to_owned(),
            Self::Chip { .. } => "graphics chip".to_owned(),
            Self::Python { service, .. } => format!("Python for `{service}`"),
            Self::Disk(_) => "disk".to_owned(),
        }
    }

    /// What is asked of it, to be read after [`Need::subject`].
    #[must_use]
    pub fn demand(&self) -> String {
        match self {
            Self::Glibc(version)
            | Self::Musl(version)
            | Self::Kernel(version)
            | Self::MacOs(version)
            | Self::Windows(version)
            | Self::LibraryVersion { version, .. } => format!("{version} or newer"),
            Self::Libstdcxx(version) => format!("GLIBCXX_{version} or newer"),
            Self::X8664Level(level) => format!("x86-64-v{level} or higher"),
            Self::PageSize(bytes) => format!("at most {} KiB", bytes / 1024),
            Self::Library(_) => "the library".to_owned(),
            Self::L4t(range) => format!("{} to {}", range.first, range.last),
            Self::Cuda(major) | Self::Cudnn(major) | Self::TensorRt(major) => format!("{major}.x"),
            Self::Chip { sm, ptx } => {
                let exact = sm.iter().map(ToString::to_string);
                let upward = ptx.iter().min().map(|ptx| format!("{ptx} or higher"));
                exact.chain(upward).collect::<Vec<_>>().join(", ")
            }
            Self::Python { python, .. } => {
                let kind = if python.native { ", CPython" } else { "" };
                format!("{}{kind}", python.versions.to_string().trim_start_matches("Python "))
            }
            Self::Disk(bytes) => format!("{} MiB", bytes.div_ceil(1 << 20)),
        }
    }

    /// Whether every machine that meets `other` meets this one too.
    #[must_use]
    pub fn follows_from(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Glibc(one), Self::Glibc(other))
            | (Self::Libstdcxx(one), Self::Libstdcxx(other))
            | (Self::Musl(one), Self::Musl(other))
            | (Self::Kernel(one), Self::Kernel(other))
            | (Self::MacOs(one), Self::MacOs(other))
            | (Self::Windows(one), Self::Windows(other)) => one <= other,
            (Self::X8664Level(one), Self::X8664Level(other)) => one <= other,
            (Self::PageSize(one), Self::PageSize(other)) => one >= other,
            (Self::Disk(one), Self::Disk(other)) => one <= other,
            (Self::L4t(one), Self::L4t(other)) => {
                one.first <= other.first && other.last <= one.last
            }
            (
                Self::LibraryVersion { library, family, version },
                Self::LibraryVersion { library: library2, family: family2, version: other },
            ) => library == library2 && family == family2 && version <= other,
            (Self::Chip { sm, ptx }, Self::Chip { sm: other_sm, ptx: other_ptx }) => {
                let serves = |chip| sm.contains(chip) || ptx.iter().any(|ptx| ptx <= chip);
                other_sm.iter().all(serves)
                    && other_ptx.iter().all(|chip| ptx.iter().any(|ptx| ptx <= chip))
            }
            (
                Self::Python { service, python },
                Self::Python { service: other_service, python: other },
            ) => {
                let upto = match (python.versions.last, other.versions.last) {
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some(one), Some(other)) => one >= other,
                };
                service == other_service
                    && python.versions.first <= other.versions.first
                    && upto
                    && (other.native || !python.native)
            }
            (one, other) => one == other,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(library) => formatter.write_str(library),
            _ => write!(formatter, "{} {}", self.subject(), self.demand()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Disk;
    use super::*;
    use std::collections::BTreeMap;

    fn version(text: &str) -> Version {
        text.parse().expect(text)
    }

    fn strings(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_follows_is_not_repeated() {
        let contract = Contract {
            glibc: Some(version("2.28")),
            libstdcxx: Some(version("3.4.21")),
            libraries: BTreeMap::from([
                ("libatomic.so.1".to_owned(), strings(&["LIBATOMIC_1.0", "LIBATOMIC_1.2"])),
                ("libc.so.6".to_owned(), strings(&["GLIBC_2.17", "GLIBC_2.28"])),
                ("libstdc++.so.6".to_owned(), strings(&["CXXABI_1.3", "GLIBCXX_3.4.21"])),
            ]),
            disk: Disk::of([10 << 20], 0),
            ..Contract::default()
        };
        let texts: Vec<_> = contract.needs().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "glibc 2.28 or newer",
                "libstdc++ GLIBCXX_3.4.21 or newer",
                "libatomic.so.1",
                "libatomic.so.1 LIBATOMIC 1.2 or newer",
                "libstdc++.so.6",
                "disk 10 MiB",
            ]
        );
    }

    #[test]
    fn the_names_of_musl_are_no_files() {
        let contract = Contract {
            musl: Some(version("1.2.4")),
            libraries: ["libc.musl-x86_64.so.1", "libc.so", "libcrypto.so.3"]
                .map(|name| (name.to_owned(), BTreeSet::new()))
                .into(),
            ..Contract::default()
        };
        let texts: Vec<_> = contract.needs().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["musl 1.2.4 or newer", "libcrypto.so.3", "disk 0 MiB"]);
    }

    /// musl's libgcc has symbols whose versions are called after glibc.
    #[test]
    fn a_version_called_glibc_is_not_glibc() {
        let contract = Contract {
            libraries: BTreeMap::from([("libgcc_s.so.1".to_owned(), strings(&["GLIBC_2.0"]))]),
            ..Contract::default()
        };
        assert_eq!(contract.needs()[0], Need::Library("libgcc_s.so.1".to_owned()));
        assert_eq!(contract.needs()[1].to_string(), "libgcc_s.so.1 GLIBC 2.0 or newer");
    }

    #[test]
    fn which_need_holds_another() {
        let glibc = |text| Need::Glibc(version(text));
        assert!(glibc("2.28").follows_from(&glibc("2.31")));
        assert!(!glibc("2.31").follows_from(&glibc("2.28")));
        assert!(!glibc("2.28").follows_from(&Need::Musl(version("2.31"))));
        assert!(Need::PageSize(65536).follows_from(&Need::PageSize(4096)));
        assert!(!Need::PageSize(4096).follows_from(&Need::PageSize(65536)));
        let l4t = |first, last| Need::L4t(L4tRange { first: version(first), last: version(last) });
        assert!(l4t("36.3", "36.5").follows_from(&l4t("36.4", "36.5")));
        assert!(!l4t("36.4", "36.5").follows_from(&l4t("36.3", "36.5")));
        let chip = |sm: &[&str], ptx: &[&str]| Need::Chip {
            sm: sm.iter().map(|text| version(text)).collect(),
            ptx: ptx.iter().map(|text| version(text)).collect(),
        };
        assert!(chip(&["7.2", "8.7"], &[]).follows_from(&chip(&["8.7"], &[])));
        assert!(chip(&[], &["7.2"]).follows_from(&chip(&["8.7"], &["8.0"])));
        assert!(!chip(&["8.7"], &[]).follows_from(&chip(&["7.2", "8.7"], &[])));
        assert!(!chip(&["8.7"], &[]).follows_from(&chip(&[], &["8.7"])));
        let python = |range: (&str, Option<&str>), native| Need::Python {
            service: "s".to_owned(),
            python: Python {
                versions: crate::PythonVersions {
                    first: range.0.parse().expect("a version"),
                    last: range.1.map(|last| last.parse().expect("a version")),
                },
                native,
            },
        };
        assert!(python(("3.8", None), false).follows_from(&python(("3.10", Some("3.10")), true)));
        assert!(!python(("3.10", Some("3.10")), false).follows_from(&python(("3.8", None), false)));
        assert!(!python(("3.8", None), true).follows_from(&python(("3.8", None), false)));
    }
}
