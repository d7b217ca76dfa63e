//! The contract: what a bundle needs of a machine.
//!
//! It is computed from the files of the bundle, not from what its target promises: a bundle for a target whose oldest
//! system has glibc 2.28 may need no more than 2.17, and then runs on more machines than it was made for. What a program
//! asks for only while it runs is not in it: libraries it may try to open, features of the kernel it can do without.
//!
//! A contract is broken down into [`Need`]s, and everything that is decided about it is decided on those: whether a
//! [`Host`] meets them, and whether one contract asks for more than another.

mod host;
mod need;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{PythonVersions, Version};

pub use host::{Fact, Found, Host, Judged, Unmet};
pub use need::{Need, is_musls};

/// What a bundle needs of a machine. What is left out is not needed, or cannot be told from files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// The oldest glibc, for instance `2.28`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glibc: Option<Version>,
    /// The oldest libstdc++ of the system, as the number behind `GLIBCXX_`: `3.4.24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libstdcxx: Option<Version>,
    /// The oldest musl. Its symbols have no versions, so most of what is newer goes unseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub musl: Option<Version>,
    /// The oldest Linux that a file is marked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Version>,
    /// The x86-64 level that a file is marked for, 1 to 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x86_64_level: Option<u8>,
    /// The largest memory page, in bytes, with which a machine can map every file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u64>,
    /// The oldest macOS, for instance `13.5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macos: Option<Version>,
    /// The oldest Windows with its build: `10.0.17763`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Version>,
    /// The system's shared libraries by the name that programs ask for, and the symbol versions asked of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub libraries: BTreeMap<String, BTreeSet<String>>,
    /// What is needed of NVIDIA's hardware and software.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvidia: Option<Nvidia>,
    /// The system's Python, by the service that runs under it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub python: BTreeMap<String, Python>,
    /// Room on the disk.
    pub disk: Disk,
}

/// What is needed of NVIDIA's hardware and software.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nvidia {
    /// The releases of L4T that have these libraries; only in bundles for a Jetson.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l4t: Option<L4tRange>,
    /// The major version of CUDA: its libraries change their names with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuda: Option<u32>,
    /// The major version of cuDNN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cudnn: Option<u32>,
    /// The major version of TensorRT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensorrt: Option<u32>,
    /// The compute capabilities there is machine code for, for instance `8.7`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sm: BTreeSet<Version>,
    /// The compute capabilities there is assembly (PTX) for; it serves those and all higher ones.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ptx: BTreeSet<Version>,
}

/// First and last release of L4T; `36.4.3` belongs to `36.4`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct L4tRange {
    /// The first.
    pub first: Version,
    /// The last.
    pub last: Version,
}

/// The Python that a service needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Python {
    /// The minor versions that will do.
    pub versions: PythonVersions,
    /// Whether its packages hold compiled code: then it must be CPython for the bundle's processor, with the global lock.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub native: bool,
}

/// Room on the disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// All files together.
    pub unpacked: u64,
    /// What they take when they are installed: whole blocks of 4 KiB for each file, folder and link.
    pub installed: u64,
}

impl Disk {
    /// The block that file systems hand out.
    pub const BLOCK: u64 = 4096;

    /// The room that files of these sizes take, and this many folders and links.
    pub fn of(sizes: impl IntoIterator<Item = u64>, others: u64) -> Self {
        let start = Self { unpacked: 0, installed: others * Self::BLOCK };
        sizes.into_iter().fold(start, |sum, size| Self {
            unpacked: sum.unpacked + size,
            installed: sum.installed + size.next_multiple_of(Self::BLOCK),
        })
    }
}

impl L4tRange {
    /// Whether a release is one of them.
    #[must_use]
    pub fn contains(&self, release: &Version) -> bool {
        self.first <= *release && release.cut_like(&self.last) <= self.last
    }
}

impl Nvidia {
    /// Whether a chip of this compute capability runs some of the code; where there is none, every chip does.
    #[must_use]
    pub fn runs_on(&self, chip: &Version) -> bool {
        let has_code = !self.sm.is_empty() || !self.ptx.is_empty();
        !has_code || self.sm.contains(chip) || self.ptx.iter().any(|ptx| ptx <= chip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect(text)
    }

    #[test]
    fn a_contract_is_read_back() {
        let contract = Contract {
            glibc: Some(version("2.28")),
            x86_64_level: Some(2),
            page_size: Some(65536),
            libraries: BTreeMap::from([(
                "libatomic.so.1".to_owned(),
                BTreeSet::from(["LIBATOMIC_1.0".to_owned()]),
            )]),
            nvidia: Some(Nvidia {
                l4t: Some(L4tRange { first: version("36.4"), last: version("36.5") }),
                cuda: Some(12),
                sm: BTreeSet::from([version("8.7")]),
                ..Nvidia::default()
            }),
            python: BTreeMap::from([(
                "vision".to_owned(),
                Python {
                    versions: PythonVersions::exactly("3.10".parse().expect("a version")),
                    native: true,
                },
            )]),
            disk: Disk::of([1, 4096, 4097], 2),
            ..Contract::default()
        };
        let text = serde_json::to_string(&contract).expect("it has a JSON form");
        assert_eq!(
            text,
            r#"{"glibc":"2.28","x86_64_level":2,"page_size":65536,"libraries":{"libatomic.so.1":["LIBATOMIC_1.0"]},"nvidia":{"l4t":{"first":"36.4","last":"36.5"},"cuda":12,"sm":["8.7"]},"python":{"vision":{"versions":{"first":"3.10","last":"3.10"},"native":true}},"disk":{"unpacked":8194,"installed":24576}}"#
        );
        assert_eq!(serde_json::from_str::<Contract>(&text).expect("its own text"), contract);
        let wrong = text.replace("2.28", "2.x");
        assert!(serde_json::from_str::<Contract>(&wrong).is_err(), "versions are read");
    }

    #[test]
    fn releases_of_a_jetson() {
        let range = L4tRange { first: version("35.2"), last: version("35.6") };
        let held = ["35.1", "35.2", "35.2.1", "35.6.4", "35.7", "36.4"]
            .map(|release| range.contains(&version(release)));
        assert_eq!(held, [false, true, true, true, false, false]);
    }

    #[test]
    fn code_for_chips() {
        let nvidia = |sm: &[&str], ptx: &[&str]| Nvidia {
            sm: sm.iter().map(|text| version(text)).collect(),
            ptx: ptx.iter().map(|text| version(text)).collect(),
            ..Nvidia::default()
        };
        assert!(nvidia(&[], &[]).runs_on(&version("8.7")));
        assert!(nvidia(&["7.2", "8.7"], &[]).runs_on(&version("8.7")));
        assert!(!nvidia(&["7.2"], &["11.0"]).runs_on(&version("8.7")));
        assert!(nvidia(&["7.2"], &["7.2"]).runs_on(&version("8.7")));
    }
}
