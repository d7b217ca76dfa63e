//! Native addons: every target gets a binary it can load for every package that needs one, or there is no bundle.
//!
//! [`Library`] is what packages bring, read once from their files; [`decide()`] compares it with a target and with what
//! the manifest says; [`apply()`] does that to a target's tree. Where something is missing and the manifest is silent, one
//! error names every package on every target with the ways out.
//!
//! The folder's files: `code` (what a file runs on), `names`, `abi` and `script` (what texts tell), `evidence`, `decide`, `apply`; and
//! where binaries come from that are not there: `prebuilt` (downloads), `build` (sources).

mod abi;
mod apply;
pub mod build;
mod code;
mod decide;
mod error;
mod evidence;
mod names;
pub mod prebuilt;
mod script;

use std::collections::BTreeMap;

use gangway_artifact::TargetName;

pub use apply::apply;
pub use code::{Code, Fit, is_script};
pub use decide::{Decision, Job, Lack, Reference, Setting, decide};
use error::tables;
pub use error::{AddonError, Lacking};
pub use evidence::{Evidence, Library, Unreadable};

use crate::config::Config;
use crate::native::Natives;
use crate::plan::TargetPlan;
pub use crate::runtime::NodeAbi;
use crate::target::Targets;
use crate::tree::Tree;

/// What was decided about several targets.
#[derive(Debug, Default)]
pub struct Decisions {
    /// About those that can be bundled.
    pub decisions: BTreeMap<TargetName, Decision>,
    /// Why the others cannot.
    pub failures: BTreeMap<TargetName, AddonError>,
}

/// Decides about every target; `library` has what the packages bring. The first failure has the tables for all.
pub fn decide_all<'plan>(
    config: &Config,
    targets: impl IntoIterator<Item = &'plan TargetPlan>,
    library: &Library,
) -> Decisions {
    let mut decided = Decisions::default();
    let mut lacking = BTreeMap::new();
    for plan in targets {
        let decision = decide(&plan.setting(), library, &config.addons, &config.install_scripts);
        match decision.lacks.is_empty() {
            true => drop(decided.decisions.insert(plan.target.clone(), decision)),
            false => drop(lacking.insert(plan.target.clone(), decision.lacks)),
        }
    }
    decided.failures = Lacking::of_all(lacking)
        .into_iter()
        .map(|lacking| (lacking.target.clone(), AddonError::Lacking(lacking)))
        .collect();
    decided
}

/// Looks at what install scripts were trusted to make in `tree`.
///
/// # Errors
/// When a package still has nothing that the target can load.
pub fn check_scripts(
    plan: &TargetPlan,
    expected: &[Lack],
    tree: &Tree,
    natives: &Natives,
) -> Result<(), AddonError> {
    let abi = plan.setting().abi;
    for lack in expected {
        let folder = lack.path.as_str();
        let package: Tree = tree
            .below(folder)
            .filter_map(|(path, node)| Some((path.below(folder)?.parse().ok()?, node.clone())))
            .collect();
        let made = Evidence::of(&package, natives)
            .map_err(|Unreadable { path, source }| AddonError::Read { path, source })?;
        let loads = |evidence: &Evidence| evidence.usable(&plan.platform, abi).is_some();
        if !made.get("").is_some_and(loads) {
            return Err(AddonError::ScriptMadeNone {
                package: format!("{} {}", lack.name, lack.version),
                target: plan.target.clone(),
                because: lack.because.clone(),
                tables: tables(&[(plan.target.clone(), vec![lack.clone()])].into()),
            });
        }
    }
    Ok(())
}

/// Whether every target that an `[[addon]]` names is one.
///
/// # Errors
/// With the first that is none.
pub fn check_targets(config: &Config, targets: &Targets) -> Result<(), AddonError> {
    for name in config.addons.iter().flat_map(|addon| &addon.targets) {
        if let Err(error) = targets.find(&name.value) {
            return Err(AddonError::NoTarget {
                target: name.value.clone(),
                help: miette::Diagnostic::help(&error)
                    .map_or_else(String::new, |help| help.to_string()),
                code: config.source.clone(),
                span: name.span.clone().into(),
            });
        }
    }
    Ok(())
}

/// Whether every `[[addon]]` is about a package that some platform gets.
///
/// # Errors
/// With the first that is about none.
pub fn check_packages(config: &Config, targets: &[TargetPlan]) -> Result<(), AddonError> {
    let names = |plan: &TargetPlan| -> Vec<String> {
        let gated = plan
            .closure
            .gated
            .iter()
            .filter_map(|path| Some(path.as_str().rsplit_once("node_modules/")?.1.to_owned()));
        let placed = plan.closure.packages.iter().map(|package| package.name.clone());
        let elsewhere = plan.references.iter().flat_map(|reference| reference.packages.clone());
        placed.chain(gated).chain(elsewhere).collect()
    };
    let known: std::collections::BTreeSet<String> = targets.iter().flat_map(names).collect();
    for addon in &config.addons {
        let name = &addon.package;
        if known.contains(&name.value) {
            continue;
        }
        let nearest = known.iter().max_by(|a, b| {
            strsim::jaro_winkler(a, &name.value).total_cmp(&strsim::jaro_winkler(b, &name.value))
        });
        let help = match nearest {
            Some(near) if strsim::jaro_winkler(near, &name.value) > 0.8 => {
                format!("did you mean `{near}`?")
            }
            _ => "take the table out, or name a package that the lockfile has".to_owned(),
        };
        return Err(AddonError::NoPackage {
            package: name.value.clone(),
            help,
            code: config.source.clone(),
            span: name.span.clone().into(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
