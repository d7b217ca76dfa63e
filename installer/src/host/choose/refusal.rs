//! Why there is no bundle for a machine, in words for people.

use std::fmt::Write as _;

use gangway_artifact::{Cpu, L4tRange, Os, Platform, TargetName, Unmet, Version, jetson};
use miette::Diagnostic;

use super::super::{Machine, remedy};

/// A need that is not met, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The need, and what there is.
    pub unmet: Unmet,
    /// One line.
    pub remedy: String,
}

/// Why there is no bundle for the machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum Refusal {
    /// Nothing is known of such machines.
    #[error("this machine is of no kind that there are bundles for")]
    Machine { targets: Vec<TargetName> },
    /// Nothing for its platform.
    #[error("there is no bundle for this machine, which is {platform}{}", because(.reason))]
    Platform { platform: String, reason: Option<String>, targets: Vec<TargetName> },
    /// There is no such target.
    #[error("there is no bundle for `{target}`")]
    Target { target: TargetName, targets: Vec<TargetName> },
    /// The target that was asked for is for other machines.
    #[error("the bundle for `{target}` is for {platform}, and this machine is {machine}")]
    OtherPlatform { target: TargetName, platform: String, machine: String },
    /// A Jetson that no bundle is for.
    #[error("{}", l4t_message(.found, .ranges))]
    L4t { found: Option<Version>, ranges: Vec<(TargetName, L4tRange)>, generic: Option<TargetName> },
    /// The machine lacks something.
    #[error("{}", unmet_message(.target, .lacking))]
    Unmet { target: TargetName, lacking: Vec<Lacking> },
}

/// A platform for people: `Linux on arm64 with glibc`.
#[must_use]
pub fn words(platform: &Platform) -> String {
    let os = match platform.os {
        Os::Linux => "Linux",
        Os::Darwin => "macOS",
        Os::Win32 => "Windows",
    };
    let cpu = match platform.cpu {
        Cpu::X64 => "x86-64",
        Cpu::Arm64 => "arm64",
    };
    match platform.libc {
        Some(libc) => format!("{os} on {cpu} with {}", libc.as_str()),
        None if platform.os == Os::Linux => format!("{os} on {cpu} without a C library for it"),
        None => format!("{os} on {cpu}"),
    }
}

/// Why a machine has no C library, where that can be told.
pub(super) fn reason(own: &Platform, machine: &Machine) -> Option<String> {
    if own.os != Os::Linux {
        return None;
    }
    match (&machine.glibc_elsewhere, machine.userland_bits) {
        (Some(place), _) => Some(format!("its programs have their glibc in `{place}`")),
        (None, Some(32)) => {
            Some("its kernel is one of 64 bits and its programs are of 32".to_owned())
        }
        _ => None,
    }
}

fn because(reason: &Option<String>) -> String {
    reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"))
}

fn l4t_message(found: &Option<Version>, ranges: &[(TargetName, L4tRange)]) -> String {
    let ranges: Vec<_> = ranges
        .iter()
        .map(|(target, range)| format!("`{target}` for {} to {}", range.first, range.last))
        .collect();
    let ranges = ranges.join(", ");
    match found {
        Some(release) => {
            let name = jetson::jetpack(release).map_or(String::new(), |name| format!(" ({name})"));
            format!("no bundle is for this Jetson's L4T {release}{name}; there are {ranges}")
        }
        None => format!(
            "this is a Jetson, and its release of L4T could not be told from `/etc/nv_tegra_release`; there are {ranges}"
        ),
    }
}

fn unmet_message(target: &TargetName, lacking: &[Lacking]) -> String {
    let mut text = format!("the bundle for `{target}` does not run on this machine");
    for Lacking { unmet, .. } in lacking {
        let _ = write!(text, "\n  {unmet}");
    }
    text
}

impl Diagnostic for Refusal {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        let list = |targets: &[TargetName]| -> String {
            let names: Vec<_> = targets.iter().map(|target| format!("`{target}`")).collect();
            format!("there are {}", names.join(", "))
        };
        let text = match self {
            Self::Machine { targets } => {
                format!("{}; name one with `--target`, and `--force`", list(targets))
            }
            Self::Platform { targets, .. } | Self::Target { targets, .. } => list(targets),
            Self::OtherPlatform { .. } => {
                "leave `--target` out, and the one for this machine is taken".to_owned()
            }
            Self::L4t { ranges, generic, .. } => {
                let names =
                    ranges.iter().map(|(_, range)| remedy::system(&range.first, &range.last));
                let other = generic.as_ref().map_or(String::new(), |target| {
                    format!(", or take the one that is not for a Jetson: `--target {target}`")
                });
                format!("install {}{other}", names.collect::<Vec<_>>().join(" or "))
            }
            Self::Unmet { lacking, .. } => {
                let lines = lacking
                    .iter()
                    .map(|Lacking { unmet, remedy }| format!("{}: {remedy}", unmet.need.subject()));
                lines.collect::<Vec<_>>().join("\n")
            }
        };
        Some(Box::new(text))
    }
}
