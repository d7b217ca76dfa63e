//! Which packages lack native code on a target, and what the manifest says about it.
//!
//! A package needs native code on a target when it says that it has some (a claim in its [`Evidence`]), or when it has
//! some on a platform it is compared with: the one bundles are made on, and the others of the target's own system.
//! What it has is in the package itself or in one of its platform packages.

use std::collections::{BTreeMap, BTreeSet};

use gangway_artifact::{BundlePath, Platform, TargetName};

use super::NodeAbi;
use super::code::Fit;
use super::evidence::{Evidence, Library};
use super::prebuilt::Published;
use crate::closure::{Closure, Origin, Package};
use crate::config::{Addon, BuildSystem, InstallScript, Recipe, ScriptAction, Treatment};

/// A platform to compare with, and the names of the packages it gets.
#[derive(Debug, Clone)]
pub struct Reference {
    /// The platform.
    pub platform: Platform,
    /// Names of packages.
    pub packages: BTreeSet<String>,
}

/// What a target is, as far as addons care.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'plan> {
    /// Its name.
    pub target: &'plan TargetName,
    /// Its platform.
    pub platform: &'plan Platform,
    /// The interface of its runtime.
    pub abi: Option<NodeAbi>,
    /// Its packages.
    pub closure: &'plan Closure,
    /// What they are compared with.
    pub references: &'plan [Reference],
}

/// A package without native code for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its folder.
    pub path: BundlePath,
    /// What there is instead.
    pub because: String,
    /// What its sources are compiled with, if it brings any.
    pub sources: Option<BuildSystem>,
    /// Whether its binaries can be downloaded, for some targets at least.
    pub is_published: bool,
}

/// Something to do for one package on one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its folder.
    pub path: BundlePath,
    /// What is done.
    pub treatment: Treatment,
    /// What its sources are compiled with, if it brings any.
    pub sources: Option<BuildSystem>,
    /// Its platform packages that the target has: their folders.
    pub members: Vec<BundlePath>,
    /// Its own files of native code.
    pub binaries: Vec<BundlePath>,
    /// Whether the target can load what is there already.
    pub loads: bool,
    /// How its binaries are published, if they can be downloaded.
    pub published: Option<Published>,
}

impl Job {
    /// How it is built, if it is.
    #[must_use]
    pub fn recipe(&self) -> Option<&Recipe> {
        match &self.treatment {
            Treatment::Build(recipe) => Some(recipe),
            Treatment::Prebuilt { .. } | Treatment::Omit { .. } => None,
        }
    }

    /// Whether a binary is downloaded for it: what is there already needs none.
    #[must_use]
    pub fn is_downloaded(&self) -> bool {
        matches!(self.treatment, Treatment::Prebuilt { .. }) && !self.loads
    }
}

/// What is to be done on one target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What the manifest wants done.
    pub jobs: Vec<Job>,
    /// What it says nothing about.
    pub lacks: Vec<Lack>,
    /// What an install script is trusted to make; to be looked at when it has run.
    pub expected: Vec<Lack>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A package and what it brings.
struct Unit<'plan> {
    path: BundlePath,
    name: &'plan str,
    version: &'plan str,
    evidence: &'plan Evidence,
}

/// Decides about every package of one target.
#[must_use]
pub fn decide(
    setting: &Setting<'_>,
    library: &Library,
    addons: &[Addon],
    scripts: &[InstallScript],
) -> Decision {
    let units = units(setting.closure, library);
    let mut by_name: BTreeMap<&str, Vec<&Unit<'_>>> = BTreeMap::new();
    for unit in &units {
        by_name.entry(unit.name).or_default().push(unit);
    }
    // What stands for another package is judged with it.
    let members: BTreeSet<&str> = units
        .iter()
        .flat_map(|unit| unit.evidence.platform_packages.iter().map(String::as_str))
        .collect();
    let mut decision = Decision::default();
    for unit in units.iter().filter(|unit| !members.contains(unit.name)) {
        let present: Vec<&Unit<'_>> = unit
            .evidence
            .platform_packages
            .iter()
            .flat_map(|name| by_name.get(name.as_str()).into_iter().flatten().copied())
            .collect();
        let verdict = judge(setting, unit, &present);
        let entry = addons.iter().find(|addon| addon.is_about(unit.name, setting.target.as_str()));
        match (verdict, entry) {
            (verdict @ (Verdict::Loads | Verdict::Lacks(_)), Some(entry)) => {
                let loads = matches!(verdict, Verdict::Loads);
                decision.jobs.push(job(unit, &present, entry, loads));
            }
            (Verdict::Lacks(because), None) => {
                let lack = lack(unit, because);
                let is_run = scripts.iter().any(|script| {
                    script.package.value == unit.name && script.action == ScriptAction::Run
                });
                let list = if is_run { &mut decision.expected } else { &mut decision.lacks };
                list.push(lack);
            }
            (Verdict::FallsBack(package), _) => decision.notes.push(format!(
                "`{}` runs as WebAssembly (`{package}`) on {}: it has no native code for it",
                unit.name, setting.target
            )),
            (Verdict::Loads, None) | (Verdict::IsPlain, _) => {}
        }
    }
    decision
}

/// What a package is on a target.
enum Verdict {
    /// It has no native code, or none that this target would be expected to have.
    IsPlain,
    /// There is a binary it can load.
    Loads,
    /// There is none, and it runs as WebAssembly from this package.
    FallsBack(String),
    /// There is none.
    Lacks(String),
}

fn judge(setting: &Setting<'_>, unit: &Unit<'_>, present: &[&Unit<'_>]) -> Verdict {
    let Setting { platform, abi, references, .. } = setting;
    let evidence = unit.evidence;
    let loads = |unit: &&Unit<'_>| unit.evidence.usable(platform, *abi).is_some();
    // A platform package without any binary has its code in another form: a script, or a file only it can read.
    let is_opaque = |unit: &&Unit<'_>| unit.evidence.binaries.is_empty();
    let stands_in = |unit: &&Unit<'_>| Some(unit.name) == evidence.fallback.as_deref();
    if loads(&unit) {
        return Verdict::Loads;
    }
    if present.iter().any(|unit| !stands_in(unit) && (loads(unit) || is_opaque(unit))) {
        return Verdict::Loads;
    }
    let has_elsewhere = references.iter().any(|reference| {
        let has = |name: &String| reference.packages.contains(name);
        let fits = |code: &super::Code| code.fit(&reference.platform) == Fit::Own;
        evidence.platform_packages.iter().any(has)
            || evidence.binaries.iter().any(|binary| fits(&binary.code))
    });
    if evidence.claim.is_none() && !has_elsewhere {
        return Verdict::IsPlain;
    }
    match present.iter().find(|unit| stands_in(unit)) {
        Some(package) => Verdict::FallsBack(package.name.to_owned()),
        None => Verdict::Lacks(because(setting, unit, present)),
    }
}

/// What there is instead of a binary for the target.
fn because(setting: &Setting<'_>, unit: &Unit<'_>, present: &[&Unit<'_>]) -> String {
    let Setting { platform, abi, .. } = setting;
    let members: Vec<String> = present
        .iter()
        .filter_map(|member| {
            let unfit = member.evidence.binaries.first()?.unfit(platform, *abi)?;
            Some(format!("`{}` is {unfit}", member.name))
        })
        .collect();
    if !members.is_empty() {
        return members.join(", ");
    }
    let binaries = &unit.evidence.binaries;
    let mut unfit: Vec<String> =
        binaries.iter().filter_map(|binary| binary.unfit(platform, *abi)).collect();
    // The reason that is nearest to what is wanted says most: a file of the right platform for another Node.
    if let Some(near) = binaries.iter().find(|binary| binary.code.fit(platform) == Fit::Own)
        && let Some(reason) = near.unfit(platform, *abi)
    {
        return format!("`{}` is {reason}", near.path);
    }
    unfit.sort();
    unfit.dedup();
    match (unit.evidence.platform_packages.len(), unfit.as_slice(), &unit.evidence.claim) {
        (0, [], Some(claim)) => format!("no binary is in it; {claim}"),
        (0, [only], _) => format!("its native code is {only}"),
        (0, unfit, _) => {
            let platforms: Vec<_> =
                unfit.iter().map(|text| text.trim_start_matches("made for ")).collect();
            format!("its native code is made for {}", platforms.join(", "))
        }
        (1, ..) => "its one platform package is for another".to_owned(),
        (count, ..) => format!("none of its {count} platform packages is for it"),
    }
}

fn lack(unit: &Unit<'_>, because: String) -> Lack {
    Lack {
        name: unit.name.to_owned(),
        version: unit.version.to_owned(),
        path: unit.path.clone(),
        because,
        sources: unit.evidence.sources,
        is_published: unit.evidence.published.is_some(),
    }
}

fn job(unit: &Unit<'_>, present: &[&Unit<'_>], entry: &Addon, loads: bool) -> Job {
    let inside = |path: &str| unit.path.join(path).ok();
    Job {
        name: unit.name.to_owned(),
        version: unit.version.to_owned(),
        path: unit.path.clone(),
        treatment: entry.treatment.clone(),
        sources: unit.evidence.sources,
        members: present.iter().map(|member| member.path.clone()).collect(),
        binaries: unit.evidence.binaries.iter().filter_map(|binary| inside(&binary.path)).collect(),
        loads,
        published: unit.evidence.published.clone(),
    }
}

/// Every package of the closure, and those that came in a tarball without the lockfile knowing.
fn units<'plan>(closure: &'plan Closure, library: &'plan Library) -> Vec<Unit<'plan>> {
    let listed: BTreeMap<&str, &Package> =
        closure.packages.iter().map(|package| (package.path.as_str(), package)).collect();
    let mut units = Vec::new();
    for package in &closure.packages {
        let found = match &package.origin {
            Origin::Registry { integrity, .. }
            | Origin::Url { integrity, .. }
            | Origin::File { integrity, .. } => library.archive(integrity),
            Origin::Folder { path } => library.folder(path),
            // It is found with the tarball it came in.
            Origin::Bundled => None,
        };
        for (folder, evidence) in found.into_iter().flatten() {
            if folder.is_empty() {
                let (name, version) = (package.name.as_str(), package.version.as_str());
                units.push(Unit { path: package.path.clone(), name, version, evidence });
                continue;
            }
            let Ok(path) = package.path.join(folder) else { continue };
            let known = listed.get(path.as_str());
            // The lockfile puts another package there.
            if known.is_some_and(|known| known.origin != Origin::Bundled)
                || matches!(package.origin, Origin::Folder { .. })
            {
                continue;
            }
            let (name, version) = (evidence.name.as_str(), evidence.version.as_str());
            units.push(Unit { path, name, version, evidence });
        }
    }
    units
}
