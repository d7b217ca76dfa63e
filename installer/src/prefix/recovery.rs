//! Going on after somebody was killed.
//!
//! What was being made is removed: nobody used it, and what was fetched for it lies in `downloads/`. What was being activated goes on
//! to its end, or further back if it was going back. Removing goes on.

use super::journal::{Journal, Operation, Purpose};
use super::transaction::{self, Outside};
use super::{Locked, PrefixError, Slot, program, trees, uninstall};
use crate::smoke;

/// What was found, and what became of it.
#[derive(Debug)]
pub enum Recovered {
    /// A version was being made. Nothing is left of it.
    Discarded(Slot),
    /// This version is used now.
    Finished(Slot, Purpose),
    /// A version was not well, or something else kept it from being used. The one before is used.
    WentBack {
        /// It.
        to: Slot,
        /// What it was wanted for.
        purpose: Purpose,
        /// What is to be said about it.
        error: Box<PrefixError>,
    },
    /// Old versions were being removed, and are gone.
    Cleaned,
    /// The app was being removed, and is gone, but for what cannot be removed of its data.
    Uninstalled(Vec<PrefixError>),
}

/// Finishes or undoes what somebody has begun, if anybody has.
///
/// # Errors
/// When that does not succeed; then nothing else can be done to the prefix.
pub fn recover(locked: &Locked, outside: &dyn Outside) -> Result<Option<Recovered>, PrefixError> {
    let layout = locked.layout();
    let trial = layout.trial();
    smoke::clear(&trial).map_err(PrefixError::io("remove", &trial))?;
    let Some(operation) = Journal::read(layout)? else {
        // Whoever was to put it in its place was killed before it was decided.
        program::discard_all(layout)?;
        trees::clear_remains(layout)?;
        trees::clear_forgotten(layout)?;
        return Ok(None);
    };
    let recovered = match operation {
        Operation::Make { slot } => {
            trees::remove(layout, &slot)?;
            program::discard_all(layout)?;
            Journal::close(layout)?;
            Recovered::Discarded(slot)
        }
        Operation::Activate(activation) => {
            let (to, purpose) = (activation.to.clone(), activation.purpose);
            match transaction::go_on(locked, *activation, outside) {
                Ok(()) => Recovered::Finished(to, purpose),
                Err(error) if error.is_taken_back() => {
                    Recovered::WentBack { to, purpose, error: Box::new(error) }
                }
                Err(error) => return Err(error),
            }
        }
        Operation::Remove { slots } => {
            transaction::remove(locked, slots)?;
            Recovered::Cleaned
        }
        Operation::Uninstall(leaving) => {
            Recovered::Uninstalled(uninstall::go_on(locked, &leaving, outside)?)
        }
    };
    trees::clear_remains(layout)?;
    trees::clear_forgotten(layout)?;
    Ok(Some(recovered))
}
