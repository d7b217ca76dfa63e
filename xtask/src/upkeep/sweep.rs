//! Removes what is to go.
//!
//! Under the lock of the gate no builder begins. Those at work were asked before for what they may use; what was used
//! since the survey stays. Things lose their names there and then, which takes a moment, and their bytes afterwards.

use camino::Utf8Path;

use super::plan::{self, Limits, Plan};
use super::survey::{self, Item, State, Survey};
use super::{UpkeepError, check};
use crate::context::Context;
use crate::store::{self, Store};

/// What was, or would be, removed.
#[derive(Debug)]
pub struct Swept {
    /// What went.
    pub plan: Plan,
    /// How many builders were at work.
    pub at_work: usize,
    /// What was left alone.
    pub foreign: Vec<String>,
}

/// Whether things are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earnest {
    /// They are.
    Earnest,
    /// It is only said what would be.
    Rehearsal,
}

/// Removes what is over the limits.
///
/// # Errors
/// When the cache cannot be read or written.
pub fn run(context: &Context, limits: Limits, earnest: Earnest) -> Result<Swept, UpkeepError> {
    let store = Store::open(context)?;
    let _looking = context.reporter.spinner("Looking", "through the cache");
    let Survey { items, in_progress, foreign } = survey::of(store.root(), context.now)?;
    let grave = store.temporary()?;
    let gate = store.close_gate()?;
    let at_work = gate.at_work.len();
    let survey = Survey { items, in_progress, foreign: Vec::new() };
    let mut plan = plan::of(survey, limits, context.now, &gate.at_work);
    if earnest == Earnest::Earnest {
        let (doomed, used): (Vec<_>, Vec<_>) =
            plan.doomed.into_iter().partition(|(item, _)| is_unchanged(item));
        plan.left += used.iter().map(|(item, _)| item.bytes).sum::<u64>();
        for (item, _) in &doomed {
            store.bury(&item.path, &grave)?;
        }
        plan.doomed = doomed;
    }
    drop(gate);
    Ok(Swept { plan, at_work, foreign })
}

/// Whether nobody used it since it was surveyed.
fn is_unchanged(item: &Item) -> bool {
    let index = store::check::index_of(&item.path);
    let told_by: &Utf8Path = if index.is_file() { &index } else { &item.path };
    match item.state {
        State::OldFormat | State::Workplace => true,
        State::Good | State::Orphan => told_by
            .symlink_metadata()
            .and_then(|found| found.modified())
            .is_ok_and(|used| used == item.used),
    }
}

/// Removes what was found to be damaged.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_damaged(store: &Store, damaged: &[check::Damaged]) -> Result<(), UpkeepError> {
    let grave = store.temporary()?;
    for damaged in damaged {
        store.bury(&damaged.remove, &grave)?;
    }
    Ok(())
}
