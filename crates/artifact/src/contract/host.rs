//! A machine, as far as contracts ask about it, and which needs it does not meet.

use std::collections::BTreeSet;
use std::fmt;

use super::{Contract, Need, Nvidia};
use crate::{Platform, PythonVersion, Version};

/// Something about a machine that may not be known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fact<T> {
    /// It could not be told.
    #[default]
    Unknown,
    /// The machine has none.
    Absent,
    /// What it has.
    Is(T),
}

impl<T> Fact<T> {
    /// The same, lent.
    pub fn as_ref(&self) -> Fact<&T> {
        match self {
            Self::Unknown => Fact::Unknown,
            Self::Absent => Fact::Absent,
            Self::Is(value) => Fact::Is(value),
        }
    }

    /// What is made of it, if there is something.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Unknown => Fact::Unknown,
            Self::Absent => Fact::Absent,
            Self::Is(value) => Fact::Is(make(value)),
        }
    }

    /// The value, if there is one.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Unknown | Self::Absent => None,
        }
    }
}

impl<T> From<Option<T>> for Fact<T> {
    /// Without a value it is unknown.
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Unknown, Self::Is)
    }
}

/// A machine. Plain data: who detects it fills in what can be told, and leaves the rest unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// What it is.
    pub platform: Fact<Platform>,
    /// Its glibc.
    pub glibc: Fact<Version>,
    /// The newest `GLIBCXX_` of its libstdc++.
    pub libstdcxx: Fact<Version>,
    /// Its musl.
    pub musl: Fact<Version>,
    /// Its Linux.
    pub kernel: Fact<Version>,
    /// The x86-64 level of its processor.
    pub x86_64_level: Fact<u8>,
    /// Its memory page in bytes.
    pub page_size: Fact<u64>,
    /// Its macOS.
    pub macos: Fact<Version>,
    /// Its Windows, with the build.
    pub windows: Fact<Version>,
    /// Which of the libraries that were looked for are there.
    pub libraries: Fact<BTreeSet<String>>,
    /// Its release of L4T.
    pub l4t: Fact<Version>,
    /// Its CUDA.
    pub cuda: Fact<Version>,
    /// Its cuDNN.
    pub cudnn: Fact<Version>,
    /// Its TensorRT.
    pub tensorrt: Fact<Version>,
    /// The compute capability of its graphics chip.
    pub chip: Fact<Version>,
    /// The minor versions of Python it has.
    pub python: Fact<BTreeSet<PythonVersion>>,
    /// Free bytes where the bundle would be installed.
    pub free: Fact<u64>,
}

/// A need, held against a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What is needed.
    pub need: Need,
    /// What there is and will do, or what there is instead.
    pub answer: Result<String, Found>,
}

/// A need, and what the machine has instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// What is needed.
    pub need: Need,
    /// What there is.
    pub found: Found,
}

/// What a machine has where it does not have what is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It could not be told: the need may be met.
    Unknown,
    /// Nothing of the kind.
    Nothing,
    /// Something that does not do.
    Other(String),
}

impl Unmet {
    /// Whether the need is not met for sure.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.found != Found::Unknown
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "it needs {}", self.need)?;
        match &self.found {
            Found::Unknown => formatter.write_str(", and what the machine has could not be told"),
            Found::Nothing => formatter.write_str(", and the machine has none"),
            Found::Other(found) => write!(formatter, ", and the machine has {found}"),
        }
    }
}

impl Contract {
    /// Every need, and whether the machine meets it.
    #[must_use]
    pub fn judge(&self, host: &Host) -> Vec<Judged> {
        let look = |need: Need| Judged { answer: answer(&need, host), need };
        self.needs().into_iter().map(look).collect()
    }

    /// The needs that the machine does not meet, and those of which that cannot be told. None: the bundle runs there, as
    /// far as its files can say.
    #[must_use]
    pub fn unmet(&self, host: &Host) -> Vec<Unmet> {
        let unmet = |Judged { need, answer }| answer.err().map(|found| Unmet { need, found });
        self.judge(host).into_iter().filter_map(unmet).collect()
    }
}

/// What there is, or what there is instead of what is needed.
fn answer(need: &Need, host: &Host) -> Result<String, Found> {
    let newer = |fact: &Fact<Version>, needed: &Version| told(fact, |has| has >= needed);
    let same = |fact: &Fact<Version>, major: u32| told(fact, |has| has.major() == major);
    match need {
        Need::Glibc(needed) => newer(&host.glibc, needed),
        Need::Libstdcxx(needed) => newer(&host.libstdcxx, needed),
        Need::Musl(needed) => newer(&host.musl, needed),
        Need::Kernel(needed) => newer(&host.kernel, needed),
        Need::MacOs(needed) => newer(&host.macos, needed),
        Need::Windows(needed) => newer(&host.windows, needed),
        Need::X8664Level(level) => {
            shown(&host.x86_64_level, |has| has >= level, |has| format!("x86-64-v{has}"))
        }
        Need::PageSize(largest) => shown(
            &host.page_size,
            |has| has <= largest,
            |has| format!("pages of {} KiB", has / 1024),
        ),
        Need::Library(library) => match &host.libraries {
            Fact::Unknown => Err(Found::Unknown),
            Fact::Is(there) if there.contains(library) => Ok("it is there".to_owned()),
            Fact::Is(_) | Fact::Absent => Err(Found::Nothing),
        },
        // Which versions a library has stands in the library; only its presence is looked at.
        Need::LibraryVersion { library, .. } => match &host.libraries {
            Fact::Is(there) if !there.contains(library) => Err(Found::Nothing),
            _ => Ok("its versions were not looked at".to_owned()),
        },
        Need::L4t(range) => told(&host.l4t, |has| range.contains(has)),
        Need::Cuda(major) => same(&host.cuda, *major),
        Need::Cudnn(major) => same(&host.cudnn, *major),
        Need::TensorRt(major) => same(&host.tensorrt, *major),
        Need::Chip { sm, ptx } => {
            let code = Nvidia { sm: sm.clone(), ptx: ptx.clone(), ..Nvidia::default() };
            told(&host.chip, |chip| code.runs_on(chip))
        }
        Need::Python { python, .. } => shown(
            &host.python,
            |has| has.iter().any(|version| python.versions.contains(*version)),
            |has| {
                let versions: Vec<_> = has.iter().map(ToString::to_string).collect();
                versions.join(", ")
            },
        ),
        Need::Disk(bytes) => {
            shown(&host.free, |free| free >= bytes, |free| format!("{} MiB left", free / (1 << 20)))
        }
    }
}

fn told(fact: &Fact<Version>, does: impl Fn(&Version) -> bool) -> Result<String, Found> {
    shown(fact, does, ToString::to_string)
}

fn shown<T>(
    fact: &Fact<T>,
    does: impl Fn(&T) -> bool,
    show: impl Fn(&T) -> String,
) -> Result<String, Found> {
    match fact {
        Fact::Unknown => Err(Found::Unknown),
        Fact::Absent => Err(Found::Nothing),
        Fact::Is(value) if does(value) => Ok(show(value)),
        Fact::Is(value) => Err(Found::Other(show(value))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Disk, L4tRange, Python};
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect(text)
    }

    fn is(text: &str) -> Fact<Version> {
        Fact::Is(version(text))
    }

    /// What a bundle for JetPack 6 with a service that uses TensorRT needs.
    fn jetson() -> Contract {
        Contract {
            glibc: Some(version("2.35")),
            libstdcxx: Some(version("3.4.30")),
            kernel: Some(version("3.7")),
            page_size: Some(65536),
            libraries: BTreeMap::from([
                ("libatomic.so.1".to_owned(), BTreeSet::from(["LIBATOMIC_1.0".to_owned()])),
                ("libnvinfer.so.10".to_owned(), BTreeSet::new()),
            ]),
            nvidia: Some(Nvidia {
                l4t: Some(L4tRange { first: version("36.4"), last: version("36.5") }),
                cuda: Some(12),
                cudnn: None,
                tensorrt: Some(10),
                sm: BTreeSet::from([version("8.7")]),
                ptx: BTreeSet::new(),
            }),
            python: BTreeMap::from([(
                "vision".to_owned(),
                Python {
                    versions: crate::PythonVersions::exactly("3.10".parse().expect("a version")),
                    native: true,
                },
            )]),
            disk: Disk::of([100 << 20], 0),
            ..Contract::default()
        }
    }

    fn orin() -> Host {
        Host {
            glibc: is("2.35"),
            libstdcxx: is("3.4.30"),
            kernel: is("5.15.148"),
            page_size: Fact::Is(4096),
            libraries: Fact::Is(
                ["libatomic.so.1", "libnvinfer.so.10"].map(str::to_owned).into_iter().collect(),
            ),
            l4t: is("36.4.3"),
            cuda: is("12.6.68"),
            tensorrt: is("10.3.0"),
            chip: is("8.7"),
            python: Fact::Is(BTreeSet::from(["3.10".parse().expect("a version")])),
            free: Fact::Is(1 << 30),
            ..Host::default()
        }
    }

    #[test]
    fn a_machine_that_has_everything() {
        assert_eq!(jetson().unmet(&orin()), []);
    }

    #[test]
    fn every_need_that_is_not_met() {
        let xavier = Host {
            glibc: is("2.31"),
            libstdcxx: Fact::Unknown,
            kernel: is("3.4"),
            page_size: Fact::Is(131_072),
            libraries: Fact::Is(BTreeSet::new()),
            l4t: is("35.6.1"),
            cuda: is("11.4"),
            tensorrt: Fact::Absent,
            chip: is("7.2"),
            python: Fact::Is(BTreeSet::from(["3.8".parse().expect("a version")])),
            free: Fact::Is(5 << 20),
            ..Host::default()
        };
        let unmet = jetson().unmet(&xavier);
        let texts: Vec<_> = unmet.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "it needs glibc 2.35 or newer, and the machine has 2.31",
                "it needs libstdc++ GLIBCXX_3.4.30 or newer, and what the machine has could not be told",
                "it needs Linux 3.7 or newer, and the machine has 3.4",
                "it needs memory pages at most 64 KiB, and the machine has pages of 128 KiB",
                "it needs libatomic.so.1, and the machine has none",
                "it needs libatomic.so.1 LIBATOMIC 1.0 or newer, and the machine has none",
                "it needs libnvinfer.so.10, and the machine has none",
                "it needs L4T 36.4 to 36.5, and the machine has 35.6.1",
                "it needs CUDA 12.x, and the machine has 11.4",
                "it needs TensorRT 10.x, and the machine has none",
                "it needs graphics chip 8.7, and the machine has 7.2",
                "it needs Python for `vision` 3.10, CPython, and the machine has 3.8",
                "it needs disk 100 MiB, and the machine has 5 MiB left",
            ]
        );
        assert_eq!(unmet.iter().filter(|unmet| !unmet.is_certain()).count(), 1);
    }

    #[test]
    fn what_is_not_known_is_not_met() {
        let unmet = jetson().unmet(&Host::default());
        assert!(unmet.len() > 10);
        assert!(unmet.iter().all(|unmet| !unmet.is_certain()));
    }
}
