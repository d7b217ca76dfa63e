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

mod candidates;
mod refusal;
#[cfg(test)]
mod tests;

use gangway_artifact::trust::Bundle;
use gangway_artifact::{Need, TargetName, Unmet};

use self::candidates::{Candidate, candidates, named};
use super::remedy::remedy;
use super::{Kind, Machine};

pub use self::refusal::{Lacking, Refusal, words};

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
