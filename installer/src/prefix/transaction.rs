//! Making a version and having it take the place of another.
//!
//! [`make`] ends with a folder that is whole, on disk, tried, and used by nobody. From then on the journal has all that [`activate`] needs: whoever is
//! killed in it, the next command goes on with it. A version that is not well goes back the same way: `current` first.

use camino::Utf8Path;

use super::journal::{Activation, Direction, Journal, Operation};
use super::state::{Refused, State};
use super::{Locked, PrefixError, Slot, Trouble, current, durable, links, program, running, trees};
use crate::checkpoint::{self, Step};

/// What is asked of the world outside of the prefix. Everything can be asked again.
pub trait Outside {
    /// Makes everything but the folder of programs fit what is installed: the search path, completions.
    ///
    /// # Errors
    /// When that does not succeed.
    fn settle(&self, before: Option<&State>, after: Option<&State>) -> Result<(), Trouble>;

    /// Starts again what is running, with the version that is used now.
    ///
    /// # Errors
    /// When that does not succeed.
    fn restart(&self, state: &State) -> Result<(), Trouble>;

    /// Whether the version in this folder, which was started again, is well.
    ///
    /// # Errors
    /// When it is not.
    fn health(&self, state: &State, folder: &Utf8Path) -> Result<(), Trouble>;
}

/// Makes the folder of a version with `fill`, and tries it with `trial`. When either fails nothing is left of it.
///
/// # Errors
/// When either does, or something cannot be written.
pub fn make<T, E: From<PrefixError>>(
    locked: &Locked,
    app: &str,
    slot: &Slot,
    fill: impl FnOnce(&Utf8Path) -> Result<T, E>,
    trial: impl FnOnce(&Utf8Path, &T) -> Result<(), E>,
) -> Result<T, E> {
    let layout = locked.layout();
    Journal::begin(layout, &Operation::Make { slot: slot.clone() })?;
    checkpoint::reached(Step::Begun);
    let made = (|| {
        durable::create_folders(&layout.versions())?;
        let folder = layout.version(slot);
        let filled = fill(&folder)?;
        trees::seal(layout, slot)?;
        checkpoint::reached(Step::Made);
        trial(&folder, &filled)?;
        checkpoint::reached(Step::Tried);
        Ok(filled)
    })();
    if made.is_err() {
        // Why it failed is what counts; what is left now the next command removes.
        let _ = discard(locked, app, slot);
    }
    made
}

/// Lays the installer's program ready that takes its place along with the next version: the file `from`.
///
/// # Errors
/// When it is not what was expected, or cannot be written.
pub fn prepare_program(
    locked: &Locked,
    app: &str,
    from: &Utf8Path,
    expected: Option<gangway_artifact::Digest>,
) -> Result<(), PrefixError> {
    program::prepare(locked.layout(), app, from, expected)
}

/// Removes what [`make`] made.
///
/// # Errors
/// When it cannot be removed.
pub fn discard(locked: &Locked, app: &str, slot: &Slot) -> Result<(), PrefixError> {
    let layout = locked.layout();
    trees::remove(layout, slot)?;
    program::discard(layout, app)?;
    Journal::close(layout)
}

/// Has the activation remove what is more than is kept. What runs stays.
pub fn prune(locked: &Locked, activation: &mut Activation) {
    let running = running::slots(locked.layout());
    activation.remove = activation.after.prune(&activation.to, |slot| running.contains(slot));
}

/// Does what the activation says.
///
/// # Errors
/// When the version is not well; then everything is as it was before. And when something cannot be written: then the next command goes on with it.
pub fn activate(
    locked: &Locked,
    activation: Activation,
    outside: &dyn Outside,
) -> Result<(), PrefixError> {
    let operation = Operation::Activate(Box::new(activation));
    Journal::begin(locked.layout(), &operation)?;
    checkpoint::reached(Step::Decided);
    let Operation::Activate(activation) = operation else { unreachable!("it was just made") };
    go_on(locked, *activation, outside)
}

/// Goes on with an activation that the journal has.
pub(super) fn go_on(
    locked: &Locked,
    activation: Activation,
    outside: &dyn Outside,
) -> Result<(), PrefixError> {
    if let Direction::Back { reason } = &activation.direction {
        let trouble: Trouble = Box::new(miette::MietteDiagnostic::new(reason.clone()));
        return Err(go_back(locked, &activation, outside, trouble));
    }
    match forward(locked, &activation, outside) {
        Ok(()) => finish(locked, activation),
        Err(trouble) => {
            let turned = turn(locked, activation, trouble.as_ref());
            match turned {
                Ok(activation) => Err(go_back(locked, &activation, outside, trouble)),
                Err(error) => Err(error),
            }
        }
    }
}

fn forward(locked: &Locked, activation: &Activation, outside: &dyn Outside) -> Result<(), Trouble> {
    let (layout, after) = (locked.layout(), &activation.after);
    let before = activation.before.as_ref();
    current::switch(layout, &activation.to)?;
    checkpoint::reached(Step::Switched);
    program::place(layout, &after.app)?;
    checkpoint::reached(Step::ProgramReplaced);
    links::change(layout, before, Some(after))?;
    checkpoint::reached(Step::Linked);
    outside.settle(before, Some(after))?;
    checkpoint::reached(Step::Settled);
    outside.restart(after)?;
    checkpoint::reached(Step::Restarted);
    outside.health(after, &layout.version(&activation.to))?;
    checkpoint::reached(Step::Well);
    Ok(())
}

fn finish(locked: &Locked, activation: Activation) -> Result<(), PrefixError> {
    let layout = locked.layout();
    activation.after.write(layout)?;
    checkpoint::reached(Step::Recorded);
    remove(locked, activation.remove)
}

/// Says that it goes back from here.
fn turn(
    locked: &Locked,
    mut activation: Activation,
    trouble: &dyn miette::Diagnostic,
) -> Result<Activation, PrefixError> {
    let reason = trouble.to_string();
    let tried = activation.after.of(&activation.to);
    if let (Some(before), Some(tried)) = (&mut activation.before, tried) {
        let (version, manifest) = (tried.version.clone(), tried.manifest);
        before.refused.retain(|refused| refused.manifest != manifest);
        before.refused.push(Refused { version, manifest, reason: reason.clone() });
    }
    activation.direction = Direction::Back { reason };
    Journal::begin(locked.layout(), &Operation::Activate(Box::new(activation.clone())))?;
    checkpoint::reached(Step::Turned);
    Ok(activation)
}

/// Makes everything as it was, and returns what is to be said about it.
fn go_back(
    locked: &Locked,
    activation: &Activation,
    outside: &dyn Outside,
    trouble: Trouble,
) -> PrefixError {
    let name = |slot: &Slot| {
        let state = [Some(&activation.after), activation.before.as_ref()].into_iter().flatten();
        state.filter_map(|state| state.of(slot)).map(|one| one.version.clone()).next()
    };
    let version = name(&activation.to).unwrap_or_else(|| activation.to.to_string());
    let back = activation.from.as_ref().map(|slot| name(slot).unwrap_or_else(|| slot.to_string()));
    match undo(locked, activation, outside) {
        Ok(()) => PrefixError::Unwell { version, back, trouble },
        Err(trouble) => PrefixError::Back { version, trouble },
    }
}

fn undo(locked: &Locked, activation: &Activation, outside: &dyn Outside) -> Result<(), Trouble> {
    let (layout, after) = (locked.layout(), &activation.after);
    let before = activation.before.as_ref();
    match &activation.from {
        Some(from) => current::switch(layout, from)?,
        None => current::clear(layout)?,
    }
    checkpoint::reached(Step::SwitchedBack);
    links::change(layout, Some(after), before)?;
    outside.settle(Some(after), before)?;
    if let Some(before) = before {
        outside.restart(before)?;
        before.write(layout)?;
    } else {
        program::remove(layout, &after.app)?;
        durable::remove(&layout.state())?;
    }
    checkpoint::reached(Step::Undone);
    let slots = if activation.is_new { vec![activation.to.clone()] } else { Vec::new() };
    Ok(remove(locked, slots)?)
}

/// Removes folders that nobody uses, and says that nothing is going on any more.
pub(super) fn remove(locked: &Locked, slots: Vec<Slot>) -> Result<(), PrefixError> {
    let layout = locked.layout();
    if slots.is_empty() {
        return Journal::close(layout);
    }
    Journal::begin(layout, &Operation::Remove { slots: slots.clone() })?;
    for slot in slots {
        // The last fence: whatever somebody wrote into the journal, what is used stays.
        if current::read(layout)?.as_ref() != Some(&slot) {
            trees::remove(layout, &slot)?;
        }
    }
    Journal::close(layout)
}
