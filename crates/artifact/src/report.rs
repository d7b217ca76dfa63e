//! What is said of a bundle: the one form in which the builder's checks and the installer's doctor print it.
//!
//! The builder holds a bundle's files against what its target promises, the doctor holds the bundle's contract against the machine it
//! stands on. Whoever reads the one reads the other: the checks have the same names and numbers, and a finding the same fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{App, Contract, Need, TargetName, Verification};

/// The version of the format this crate reads and writes.
pub const REPORT_VERSION: u32 = 1;

/// What is said of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report<N = Contract> {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Whose bundle it is, if it says so; nothing where there is none and only the machine was looked at.
    pub app: Option<App>,
    /// The target it is for.
    pub target: Option<TargetName>,
    /// Whether nothing stands against it.
    pub passes: bool,
    /// What was found, the worst first. A doctor says what is met as well.
    pub findings: Vec<Finding>,
    /// What the bundle needs of a machine.
    pub needs: Option<N>,
    /// The machine, where one was looked at: a fact that is `null` is something it has not, one that is not there could not be told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub machine: BTreeMap<String, serde_json::Value>,
    /// What the bundle says of its check when it was made.
    pub verification: Option<Verification>,
    /// What a person should know besides.
    pub warnings: Vec<String>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// The check's number; only those of the builder have one.
    pub number: Option<u8>,
    /// The check's name.
    pub code: String,
    /// The file; empty where it is about the bundle as a whole.
    pub path: String,
    /// The package the file came with.
    pub owner: Option<String>,
    /// What it is about: a library, a symbol, a version.
    pub subject: String,
    /// What is needed.
    pub required: String,
    /// What there is.
    pub offered: String,
    /// How one follows from the other, or why it cannot be told.
    pub because: String,
    /// What a user would see.
    pub symptom: String,
    /// The way out, in one line.
    pub remedy: String,
    /// Whether signs were read rather than rules applied.
    pub is_heuristic: bool,
    /// Whether it stands against the bundle.
    pub fails: bool,
    /// Why it does not, where somebody answers for it.
    pub allowed: Option<String>,
}

/// How bad a finding is; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It does not run there.
    Broken,
    /// It cannot be told.
    Unknown,
    /// It runs, and could be better.
    Advice,
    /// What is needed is there. Only a doctor says so.
    Met,
}

impl Need {
    /// The name of the check that a builder makes of the same, and its number where there is one.
    #[must_use]
    pub fn check(&self) -> (&'static str, Option<u8>) {
        match self {
            Self::Glibc(_) => ("glibc-floor", Some(1)),
            Self::Libstdcxx(_) => ("libstdcxx-floor", Some(3)),
            Self::Musl(_) => ("c-library", Some(4)),
            Self::Library(_) | Self::LibraryVersion { .. } => ("library-closure", Some(5)),
            Self::PageSize(_) => ("page-size", Some(11)),
            Self::X8664Level(_) => ("x86-64-level", Some(13)),
            Self::L4t(_) | Self::Cuda(_) | Self::Cudnn(_) => ("cuda-libraries", Some(19)),
            Self::TensorRt(_) => ("cuda-libraries", Some(19)),
            Self::Chip { .. } => ("gpu-architecture", Some(20)),
            Self::MacOs(_) => ("macos-minimum", Some(27)),
            Self::Windows(_) => ("windows-minimum", Some(32)),
            Self::Kernel(_) => ("kernel", None),
            Self::Python { .. } => ("python", None),
            Self::Disk(_) => ("disk", None),
        }
    }
}
