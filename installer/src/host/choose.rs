//! Which of a release's bundles is for this machine.
//!
//! Pure. In this order:
//!
//! 1. What `--target` names, and no other.
//! 2. Only bundles of the machine's system and processor. On a Mac or Windows with arm64 those for x86-64 come last, if the system translates them.
//! 3. On a Jetson a bundle whose target is for its release of L4T comes first. If there are bundles for a Jetson and none is for its
//!    release, nothing is guessed: CUDA and TensorRT change with it. Elsewhere bundles for a Jetson are none.
//! 4. The C library that the system's own programs use. A bundle for the other one is taken only where that one is installed as
//!    well, or where it asks for neither, and only after all of the system's own.
//! 5. Of those that are left the one that asks for most, if the machine has it: the nearest to the machine. One of which
//!    something cannot be told counts as one that runs.

use std::fmt::Write as _;

use gangway_artifact::trust::Bundle;
use gangway_artifact::{
    Cpu, Fact, L4tRange, Need, Os, Platform, TargetName, Unmet, Version, jetson,
};
use miette::Diagnostic;

use super::remedy::{self, remedy};
use super::{Kind, Machine};

/// What the user asked for.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// This target and no other.
    pub target: Option<TargetName>,
    /// Whether a bundle is taken that does not run here, as far as can be told.
    pub is_forced: bool,
}

/// The bundle for the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice<'a> {
    /// The bundle.
    pub bundle: &'a Bundle,
    /// What it needs and the machine does not have: only where it was forced, which is to be recorded.
    pub forced: Vec<Unmet>,
    /// What it needs and could not be told.
    pub unknown: Vec<Unmet>,
    /// Nearer ones that do not run here.
    pub passed_over: Vec<PassedOver<'a>>,
    /// Whether the system has to translate it.
    pub is_translated: bool,
}

/// A bundle that would have been nearer.
#[derive(Debug, Clone, PartialEq)]
pub struct PassedOver<'a> {
    /// Its target.
    pub target: &'a TargetName,
    /// What it needs and the machine does not have.
    pub unmet: Vec<Lacking>,
}

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

/// Chooses.
///
/// # Errors
/// When none of them runs here: with what the nearest one lacks, and what to do about it.
pub fn choose<'a>(
    bundles: &'a [Bundle],
    machine: &Machine,
    wish: &Wish,
) -> Result<Choice<'a>, Refusal> {
    let candidates = match &wish.target {
        Some(target) => vec![named(bundles, machine, target, wish.is_forced)?],
        None => candidates(bundles, machine)?,
    };
    let judged = candidates.into_iter().map(|candidate| Judged::new(candidate, machine));
    let mut passed_over: Vec<Judged<'a>> = Vec::new();
    for judged in judged {
        if judged.certain.is_empty() {
            return Ok(judged.chosen(passed_over));
        }
        passed_over.push(judged);
    }
    // The nearest is the one that lacks least; of several the first.
    let nearest = (0..passed_over.len()).min_by_key(|at| passed_over[*at].certain.len());
    let nearest =
        passed_over.swap_remove(nearest.expect("there is a candidate, or a refusal above"));
    match wish.is_forced {
        true => Ok(nearest.chosen(Vec::new())),
        false => Err(Refusal::Unmet {
            target: nearest.candidate.bundle.target.clone(),
            lacking: nearest.certain,
        }),
    }
}

/// A bundle that may be the one.
#[derive(Debug, Clone, Copy)]
struct Candidate<'a> {
    bundle: &'a Bundle,
    kind: Kind,
}

struct Judged<'a> {
    candidate: Candidate<'a>,
    certain: Vec<Lacking>,
    unknown: Vec<Unmet>,
}

impl<'a> Judged<'a> {
    fn new(candidate: Candidate<'a>, machine: &Machine) -> Self {
        let host = machine.host_for(&candidate.bundle.platform);
        let (certain, unknown): (Vec<_>, Vec<_>) =
            candidate.bundle.contract.unmet(&host).into_iter().partition(Unmet::is_certain);
        // The library itself is said to be missing as well.
        let certain = certain
            .into_iter()
            .filter(|unmet| !matches!(unmet.need, Need::LibraryVersion { .. }))
            .map(|unmet| Lacking { remedy: remedy(&unmet.need, machine), unmet });
        Self { candidate, certain: certain.collect(), unknown }
    }

    fn chosen(self, passed_over: Vec<Judged<'a>>) -> Choice<'a> {
        let passed = |judged: Judged<'a>| PassedOver {
            target: &judged.candidate.bundle.target,
            unmet: judged.certain,
        };
        Choice {
            bundle: self.candidate.bundle,
            forced: self.certain.into_iter().map(|lacking| lacking.unmet).collect(),
            unknown: self.unknown,
            passed_over: passed_over.into_iter().map(passed).collect(),
            is_translated: self.candidate.kind == Kind::Translated,
        }
    }
}

/// The one that was asked for. Its release of L4T is the user's word.
fn named<'a>(
    bundles: &'a [Bundle],
    machine: &Machine,
    target: &TargetName,
    is_forced: bool,
) -> Result<Candidate<'a>, Refusal> {
    let bundle = bundles.iter().find(|bundle| bundle.target == *target);
    let bundle = bundle
        .ok_or_else(|| Refusal::Target { target: target.clone(), targets: targets(bundles) })?;
    let own = match &machine.host.platform {
        Fact::Is(platform) => platform,
        Fact::Absent | Fact::Unknown if is_forced => {
            return Ok(Candidate { bundle, kind: Kind::Same });
        }
        Fact::Absent | Fact::Unknown => return Err(Refusal::Machine { targets: targets(bundles) }),
    };
    match (kind(bundle, machine), is_forced) {
        (Some(kind), _) => Ok(Candidate { bundle, kind }),
        (None, true) => Ok(Candidate { bundle, kind: Kind::Same }),
        (None, false) => Err(Refusal::OtherPlatform {
            target: target.clone(),
            platform: words(&bundle.platform),
            machine: words(own),
        }),
    }
}

/// Those that may be the one, the best first; never none.
fn candidates<'a>(bundles: &'a [Bundle], machine: &Machine) -> Result<Vec<Candidate<'a>>, Refusal> {
    let own = match &machine.host.platform {
        Fact::Is(platform) => platform,
        Fact::Absent | Fact::Unknown => return Err(Refusal::Machine { targets: targets(bundles) }),
    };
    let fitting = bundles
        .iter()
        .filter_map(|bundle| Some(Candidate { bundle, kind: kind(bundle, machine)? }));
    let (for_jetsons, plain): (Vec<_>, Vec<_>) =
        fitting.partition(|candidate| releases(candidate.bundle).is_some());
    let for_this = match (&machine.host.l4t, for_jetsons.is_empty()) {
        (Fact::Absent, _) | (_, true) => Vec::new(),
        (l4t, false) => for_release(l4t, &for_jetsons, &plain)?,
    };
    if for_this.is_empty() && plain.is_empty() {
        return Err(Refusal::Platform {
            platform: words(own),
            reason: reason(own, machine),
            targets: targets(bundles),
        });
    }
    let mut candidates = sorted(&for_this);
    candidates.extend(sorted(&plain));
    Ok(candidates)
}

/// Those for the Jetson's release.
fn for_release<'a>(
    l4t: &Fact<Version>,
    for_jetsons: &[Candidate<'a>],
    plain: &[Candidate<'a>],
) -> Result<Vec<Candidate<'a>>, Refusal> {
    let found = match l4t {
        Fact::Is(release) => Some(release),
        Fact::Absent | Fact::Unknown => None,
    };
    let is_for = |candidate: &&Candidate<'a>| {
        let range = releases(candidate.bundle);
        found.zip(range).is_some_and(|(release, range)| range.contains(release))
    };
    let for_this: Vec<_> = for_jetsons.iter().filter(is_for).copied().collect();
    if !for_this.is_empty() {
        return Ok(for_this);
    }
    let range = |candidate: &Candidate<'a>| {
        Some((candidate.bundle.target.clone(), releases(candidate.bundle)?.clone()))
    };
    Err(Refusal::L4t {
        found: found.cloned(),
        ranges: for_jetsons.iter().filter_map(range).collect(),
        generic: plain.first().map(|candidate| candidate.bundle.target.clone()),
    })
}

/// The releases of L4T that a bundle is for.
fn releases(bundle: &Bundle) -> Option<&L4tRange> {
    let needed = bundle.contract.nvidia.as_ref().and_then(|nvidia| nvidia.l4t.as_ref());
    bundle.l4t.as_ref().or(needed)
}

/// How they go together; one that brings nothing of a C library and asks for none does with any.
fn kind(bundle: &Bundle, machine: &Machine) -> Option<Kind> {
    let contract = &bundle.contract;
    let is_static =
        contract.glibc.is_none() && contract.musl.is_none() && contract.libraries.is_empty();
    match machine.kind_of(&bundle.platform) {
        Kind::Foreign if is_static && machine.is_alike(&bundle.platform) => Some(Kind::OtherLibc),
        Kind::Foreign => None,
        kind => Some(kind),
    }
}

/// The best fit first, then what asks for most, then by name.
fn sorted<'a>(candidates: &[Candidate<'a>]) -> Vec<Candidate<'a>> {
    let needs: Vec<Vec<Need>> =
        candidates.iter().map(|candidate| needs(candidate.bundle)).collect();
    let holds = |one: &[Need], other: &[Need]| {
        other.iter().all(|need| one.iter().any(|holds| need.follows_from(holds)))
    };
    let score = |at: usize| {
        let below =
            needs.iter().filter(|other| holds(&needs[at], other) && !holds(other, &needs[at]));
        std::cmp::Reverse(below.count())
    };
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|at| {
        (candidates[*at].kind, score(*at), candidates[*at].bundle.target.clone())
    });
    order.into_iter().map(|at| candidates[at]).collect()
}

/// What it asks for, its releases of L4T too. Room on the disk says nothing about how near it is.
fn needs(bundle: &Bundle) -> Vec<Need> {
    let needs = bundle.contract.needs().into_iter();
    let needs = needs.filter(|need| !matches!(need, Need::Disk(_) | Need::L4t(_)));
    needs.chain(releases(bundle).cloned().map(Need::L4t)).collect()
}

fn targets(bundles: &[Bundle]) -> Vec<TargetName> {
    bundles.iter().map(|bundle| bundle.target.clone()).collect()
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
fn reason(own: &Platform, machine: &Machine) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use gangway_artifact::trust::NamedFile;
    use gangway_artifact::{Contract, Digest, Disk, Host, Libc, Nvidia};

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect("a version")
    }

    fn platform(os: Os, cpu: Cpu, libc: Option<Libc>) -> Platform {
        Platform { os, cpu, libc }
    }

    const ARM: Platform = Platform { os: Os::Linux, cpu: Cpu::Arm64, libc: Some(Libc::Glibc) };
    const X64: Platform = Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Glibc) };
    const MUSL: Platform = Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Musl) };

    fn bundle(target: &str, platform: Platform, contract: Contract) -> Bundle {
        let file = || NamedFile { name: "x".to_owned(), size: 1, sha256: Digest::of("x") };
        Bundle {
            target: target.parse().expect("a name"),
            platform,
            archive: file(),
            manifest: file(),
            contract,
            l4t: None,
            patches: None,
        }
    }

    fn range(first: &str, last: &str) -> L4tRange {
        L4tRange { first: version(first), last: version(last) }
    }

    fn glibc(floor: &str) -> Contract {
        let libraries = [
            ("libc.so.6", format!("GLIBC_{floor}")),
            ("libatomic.so.1", "LIBATOMIC_1.0".to_owned()),
        ];
        Contract {
            glibc: Some(version(floor)),
            libraries: libraries.map(|(name, asked)| (name.to_owned(), [asked].into())).into(),
            disk: Disk::of([1 << 20], 0),
            ..Contract::default()
        }
    }

    fn musl() -> Contract {
        Contract {
            musl: Some(version("1.2.4")),
            libraries: BTreeMap::from([("libc.musl-x86_64.so.1".to_owned(), BTreeSet::new())]),
            ..Contract::default()
        }
    }

    fn with_tensorrt(l4t: L4tRange, major: u32) -> Contract {
        Contract {
            nvidia: Some(Nvidia { l4t: Some(l4t), tensorrt: Some(major), ..Nvidia::default() }),
            ..glibc("2.30")
        }
    }

    /// What a release of a gateway with JetPack's libraries offers.
    fn release() -> Vec<Bundle> {
        vec![
            bundle("jetson", ARM, with_tensorrt(range("36.4", "36.5"), 10)),
            bundle("jetson-jp5", ARM, with_tensorrt(range("35.2", "35.6"), 8)),
            bundle("jetson-jp7", ARM, with_tensorrt(range("38.2", "39.2"), 10)),
            bundle("linux-arm64", ARM, glibc("2.28")),
            bundle("linux-x64", X64, glibc("2.28")),
            bundle("linux-x64-musl", MUSL, musl()),
            bundle(
                "macos-arm64",
                platform(Os::Darwin, Cpu::Arm64, None),
                Contract { macos: Some(version("13.5")), ..Contract::default() },
            ),
            bundle(
                "windows-x64",
                platform(Os::Win32, Cpu::X64, None),
                Contract { x86_64_level: Some(2), page_size: Some(4096), ..Contract::default() },
            ),
        ]
    }

    fn machine(platform: Platform, host: Host) -> Machine {
        let libraries = ["libatomic.so.1", "libc.musl-x86_64.so.1"].map(str::to_owned);
        let host = Host {
            platform: Fact::Is(platform),
            libraries: Fact::Is(libraries.into()),
            free: Fact::Is(1 << 30),
            page_size: Fact::Is(4096),
            ..host
        };
        Machine { host, prefix: "/opt/a".into(), ..Machine::default() }
    }

    fn linux(platform: Platform, floor: &str) -> Machine {
        machine(
            platform,
            Host { glibc: Fact::Is(version(floor)), l4t: Fact::Absent, ..Host::default() },
        )
    }

    fn orin(l4t: Fact<Version>) -> Machine {
        let host = Host {
            glibc: Fact::Is(version("2.35")),
            l4t,
            tensorrt: Fact::Is(version("10.3.0")),
            ..Host::default()
        };
        machine(ARM, host)
    }

    fn chosen(bundles: &[Bundle], machine: &Machine) -> String {
        match choose(bundles, machine, &Wish::default()) {
            Ok(choice) => choice.bundle.target.to_string(),
            Err(refusal) => told(&refusal),
        }
    }

    fn told(refusal: &Refusal) -> String {
        let help = refusal.help().map_or(String::new(), |help| format!("\nhelp: {help}"));
        format!("{refusal}{help}")
    }

    #[test]
    fn the_machines_own() {
        let release = release();
        assert_eq!(chosen(&release, &linux(X64, "2.31")), "linux-x64");
        assert_eq!(chosen(&release, &linux(ARM, "2.35")), "linux-arm64");
        let alpine =
            Host { glibc: Fact::Absent, musl: Fact::Is(version("1.2.5")), ..Host::default() };
        assert_eq!(chosen(&release, &machine(MUSL, alpine)), "linux-x64-musl");
        let mac = Host { macos: Fact::Is(version("15.1")), ..Host::default() };
        let mac = machine(platform(Os::Darwin, Cpu::Arm64, None), mac);
        assert_eq!(chosen(&release, &mac), "macos-arm64");
    }

    #[test]
    fn jetsons_by_their_release() {
        let release = release();
        assert_eq!(chosen(&release, &orin(Fact::Is(version("36.4.3")))), "jetson");
        assert_eq!(chosen(&release, &orin(Fact::Is(version("39.2")))), "jetson-jp7");
        // One that is not NVIDIA's system, on a Jetson's chip.
        assert_eq!(chosen(&release, &orin(Fact::Absent)), "linux-arm64");
        // Where no bundle is for a Jetson at all, its release does not matter.
        assert_eq!(chosen(&release[3..], &orin(Fact::Is(version("99.1")))), "linux-arm64");
        // Without NVIDIA's libraries the contract names no release, and the target's counts.
        let mut plain =
            vec![bundle("jetson", ARM, glibc("2.34")), bundle("linux-arm64", ARM, glibc("2.28"))];
        plain[0].l4t = Some(range("36.4", "36.5"));
        assert_eq!(chosen(&plain, &orin(Fact::Is(version("36.4.3")))), "jetson");
        assert_eq!(chosen(&plain, &linux(ARM, "2.39")), "linux-arm64");
    }

    #[test]
    fn a_jetson_that_nobody_knows() {
        let release = release();
        insta::assert_snapshot!(chosen(&release, &orin(Fact::Is(version("36.3")))), @"
        no bundle is for this Jetson's L4T 36.3 (JetPack 6.0); there are `jetson` for 36.4 to 36.5, `jetson-jp5` for 35.2 to 35.6, `jetson-jp7` for 38.2 to 39.2
        help: install JetPack 6.1-6.2 (L4T 36.4 to 36.5) or JetPack 5.1 (L4T 35.2 to 35.6) or JetPack 7.0-7.1 up to JetPack 7.2 (L4T 38.2 to 39.2), or take the one that is not for a Jetson: `--target linux-arm64`
        ");
        insta::assert_snapshot!(chosen(&release, &orin(Fact::Is(version("40.1")))), @"
        no bundle is for this Jetson's L4T 40.1; there are `jetson` for 36.4 to 36.5, `jetson-jp5` for 35.2 to 35.6, `jetson-jp7` for 38.2 to 39.2
        help: install JetPack 6.1-6.2 (L4T 36.4 to 36.5) or JetPack 5.1 (L4T 35.2 to 35.6) or JetPack 7.0-7.1 up to JetPack 7.2 (L4T 38.2 to 39.2), or take the one that is not for a Jetson: `--target linux-arm64`
        ");
        insta::assert_snapshot!(chosen(&release, &orin(Fact::Unknown)), @"
        this is a Jetson, and its release of L4T could not be told from `/etc/nv_tegra_release`; there are `jetson` for 36.4 to 36.5, `jetson-jp5` for 35.2 to 35.6, `jetson-jp7` for 38.2 to 39.2
        help: install JetPack 6.1-6.2 (L4T 36.4 to 36.5) or JetPack 5.1 (L4T 35.2 to 35.6) or JetPack 7.0-7.1 up to JetPack 7.2 (L4T 38.2 to 39.2), or take the one that is not for a Jetson: `--target linux-arm64`
        ");
        let wish = Wish { target: Some("linux-arm64".parse().expect("a name")), is_forced: false };
        let asked = orin(Fact::Is(version("40.1")));
        let choice = choose(&release, &asked, &wish).expect("it was asked for");
        assert_eq!(choice.bundle.target.as_str(), "linux-arm64");
    }

    #[test]
    fn a_jetson_without_tensorrt_gets_what_runs() {
        let mut bare = orin(Fact::Is(version("36.4.3")));
        bare.host.tensorrt = Fact::Absent;
        let release = release();
        let choice = choose(&release, &bare, &Wish::default()).expect("one runs");
        assert_eq!(choice.bundle.target.as_str(), "linux-arm64");
        assert_eq!(choice.passed_over.len(), 1);
        let lacking = &choice.passed_over[0].unmet[0];
        assert_eq!(lacking.unmet.to_string(), "it needs TensorRT 10.x, and the machine has none");
        assert!(lacking.remedy.contains("nvidia-jetpack"));
    }

    #[test]
    fn what_asks_for_more_is_nearer() {
        let fast = Contract { x86_64_level: Some(3), ..glibc("2.28") };
        let bundles = [
            bundle("a-plain", X64, glibc("2.28")),
            bundle("b-new", X64, glibc("2.36")),
            bundle("c-fast", X64, fast),
        ];
        let with = |floor, level| {
            let mut machine = linux(X64, floor);
            machine.host.x86_64_level = Fact::Is(level);
            chosen(&bundles, &machine)
        };
        assert_eq!(with("2.36", 2), "b-new");
        assert_eq!(with("2.31", 3), "c-fast");
        assert_eq!(with("2.31", 2), "a-plain");
    }

    /// musl is never chosen where glibc does, and otherwise only where it is installed.
    #[test]
    fn the_other_c_library() {
        let release = release();
        let mut both = linux(X64, "2.31");
        both.host.musl = Fact::Is(version("1.2.5"));
        assert_eq!(chosen(&release, &both), "linux-x64");
        both.host.glibc = Fact::Is(version("2.17"));
        assert_eq!(chosen(&release, &both), "linux-x64-musl");
        // One that brings nothing of either runs everywhere.
        let native = [bundle("linux-x64-musl", MUSL, Contract::default())];
        assert_eq!(chosen(&native, &linux(X64, "2.17")), "linux-x64-musl");
        // A library of the system's glibc is none for musl.
        let mut asks = release[5].clone();
        asks.contract.libraries.insert("libatomic.so.1".to_owned(), BTreeSet::new());
        let refused = choose(&[asks], &both, &Wish::default()).expect_err("it lacks one");
        assert!(refused.to_string().contains("libatomic.so.1"), "{refused}");
    }

    #[test]
    fn a_system_that_is_too_old() {
        let mut old = linux(X64, "2.17");
        old.system.families = vec!["centos".to_owned(), "rhel".to_owned()];
        old.host.libraries = Fact::Is(BTreeSet::new());
        let refusal = choose(&release(), &old, &Wish::default()).expect_err("it is too old");
        insta::assert_snapshot!(told(&refusal), @"
        the bundle for `linux-x64` does not run on this machine
          it needs glibc 2.28 or newer, and the machine has 2.17
          it needs libatomic.so.1, and the machine has none
        help: glibc: it comes with the system: RHEL 8, Debian 10 and newer have glibc 2.28
        libatomic.so.1: `sudo dnf install libatomic`
        ");
        let release = release();
        let wish = Wish { target: None, is_forced: true };
        let choice = choose(&release, &old, &wish).expect("it was forced");
        assert_eq!(choice.bundle.target.as_str(), "linux-x64");
        assert_eq!(choice.forced.len(), 2, "what was overridden is recorded");
    }

    #[test]
    fn nothing_for_the_platform() {
        let mut pi = machine(
            platform(Os::Linux, Cpu::Arm64, None),
            Host { glibc: Fact::Absent, musl: Fact::Absent, l4t: Fact::Absent, ..Host::default() },
        );
        pi.userland_bits = Some(32);
        insta::assert_snapshot!(chosen(&release(), &pi), @"
        there is no bundle for this machine, which is Linux on arm64 without a C library for it: its kernel is one of 64 bits and its programs are of 32
        help: there are `jetson`, `jetson-jp5`, `jetson-jp7`, `linux-arm64`, `linux-x64`, `linux-x64-musl`, `macos-arm64`, `windows-x64`
        ");
        insta::assert_snapshot!(chosen(&release(), &Machine::default()), @"
        this machine is of no kind that there are bundles for
        help: there are `jetson`, `jetson-jp5`, `jetson-jp7`, `linux-arm64`, `linux-x64`, `linux-x64-musl`, `macos-arm64`, `windows-x64`; name one with `--target`, and `--force`
        ");
        let wish =
            |target: &str| Wish { target: Some(target.parse().expect("a name")), is_forced: false };
        let of = |target| {
            told(&choose(&release(), &linux(X64, "2.31"), &wish(target)).expect_err("not here"))
        };
        insta::assert_snapshot!(of("windows-x64"), @"
        the bundle for `windows-x64` is for Windows on x86-64, and this machine is Linux on x86-64 with glibc
        help: leave `--target` out, and the one for this machine is taken
        ");
        insta::assert_snapshot!(of("linux-riscv"), @"
        there is no bundle for `linux-riscv`
        help: there are `jetson`, `jetson-jp5`, `jetson-jp7`, `linux-arm64`, `linux-x64`, `linux-x64-musl`, `macos-arm64`, `windows-x64`
        ");
    }

    #[test]
    fn what_the_system_translates() {
        let mut windows = machine(platform(Os::Win32, Cpu::Arm64, None), Host::default());
        let release = release();
        assert!(chosen(&release, &windows).starts_with("there is no bundle for this machine"));
        windows.translates = BTreeSet::from([Cpu::X64]);
        let choice = choose(&release, &windows, &Wish::default()).expect("it is translated");
        assert_eq!((choice.bundle.target.as_str(), choice.is_translated), ("windows-x64", true));
        let mut both = release.clone();
        both.push(bundle(
            "windows-arm64",
            platform(Os::Win32, Cpu::Arm64, None),
            Contract::default(),
        ));
        assert_eq!(chosen(&both, &windows), "windows-arm64");
    }

    #[test]
    fn what_cannot_be_told_does_not_refuse() {
        let mut unsure = linux(X64, "2.31");
        unsure.host.free = Fact::Unknown;
        let release = release();
        let choice = choose(&release, &unsure, &Wish::default()).expect("it may run");
        assert_eq!(choice.unknown.len(), 1);
    }
}
