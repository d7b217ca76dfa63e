//! Making a version and having it take the place of another.
//!
//! [`make`] ends with a folder that is whole, on disk, tried, and used by nobody. From then on the journal has all that [`activate`] needs: whoever is
//! killed in it, the next command goes on with it. A version that is not well goes back the same way: `current` first.

use std::fmt::Write as _;

use camino::Utf8Path;

use super::journal::{Activation, Direction, Fault, Journal, Operation, Purpose};
use super::program::Prepared;
use super::state::State;
use super::{
    Layout, Locked, PrefixError, Slot, Trouble, current, durable, links, program, running, trees,
};
use crate::checkpoint::{self, Step};

/// What is asked of the world outside of the prefix. Everything can be asked again.
pub trait Outside {
    /// Makes everything but the folder of programs fit what is installed: the search path, completions.
    ///
    /// # Errors
    /// When that does not succeed.
    fn settle(&self, before: Option<&State>, after: Option<&State>) -> Result<(), Trouble>;

    /// Puts the app's own data back in place that has given way to that of a version which is not used after all.
    ///
    /// # Errors
    /// When that does not succeed.
    fn return_data(&self) -> Result<(), Trouble>;

    /// Starts again what is running, with the version that is used now.
    ///
    /// # Errors
    /// When that does not succeed.
    fn restart(&self, state: &State) -> Result<(), Trouble>;

    /// Whether the version in this folder, which was started again for this, is well.
    ///
    /// # Errors
    /// When it is not, or nobody can find out.
    fn health(&self, activation: &Activation, folder: &Utf8Path) -> Result<(), Failure>;
}

/// Why a version cannot take the place of another.
#[derive(Debug)]
pub struct Failure {
    fault: Fault,
    trouble: Trouble,
}

impl Failure {
    /// For `map_err`: what went wrong, and what is at fault.
    pub fn of<T: Into<Trouble>>(fault: Fault) -> impl FnOnce(T) -> Self {
        move |trouble| Self { fault, trouble: trouble.into() }
    }

    /// All of it in one line, for whoever hears of it later.
    fn reason(&self) -> String {
        let mut reason = self.trouble.to_string();
        let mut cause = self.trouble.source();
        while let Some(error) = cause {
            let _ = write!(reason, ": {error}");
            cause = error.source();
        }
        reason
    }
}

impl From<PrefixError> for Failure {
    fn from(error: PrefixError) -> Self {
        Self { fault: Fault::Machine, trouble: Box::new(error) }
    }
}

/// How a version is made.
pub struct Steps<Fill, Try, Name> {
    /// Makes everything of it, below another name than that of its folder, which is given.
    pub fill: Fill,
    /// Tries it.
    pub try_out: Try,
    /// Gives the folder its name; it is on disk before.
    pub name: Name,
}

/// Makes the folder of a version. When any step fails nothing is left of it but what was fetched.
///
/// # Errors
/// When a step does, or something cannot be written.
pub fn make<T, U, E: From<PrefixError>>(
    locked: &Locked,
    app: &str,
    slot: &Slot,
    steps: Steps<
        impl FnOnce(&Utf8Path) -> Result<T, E>,
        impl FnOnce(&T) -> Result<(), E>,
        impl FnOnce(T) -> Result<U, E>,
    >,
) -> Result<U, E> {
    let layout = locked.layout();
    Journal::begin(layout, &Operation::Make { slot: slot.clone() })?;
    checkpoint::reached(Step::Begun);
    let made = (|| {
        durable::create_folders(&layout.versions())?;
        let filled = (steps.fill)(&layout.version(slot))?;
        checkpoint::reached(Step::Filled);
        (steps.try_out)(&filled)?;
        checkpoint::reached(Step::Tried);
        let made = (steps.name)(filled)?;
        checkpoint::reached(Step::Made);
        Ok(made)
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
) -> Result<Prepared, PrefixError> {
    program::prepare(locked.layout(), app, from, expected)
}

/// Removes the installer's program that lies ready, as it is not to take the place of the one that is there.
///
/// # Errors
/// When it cannot be removed.
pub fn discard_program(locked: &Locked, app: &str) -> Result<(), PrefixError> {
    program::discard(locked.layout(), app)
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
/// When the version is not well, or something else keeps it from being used; then everything is as it was before. And when that cannot be written: then
/// the next command goes on with it.
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
    mut activation: Activation,
    outside: &dyn Outside,
) -> Result<(), PrefixError> {
    let failure = match &activation.direction {
        Direction::Back { reason, fault } => {
            Failure::of(*fault)(miette::MietteDiagnostic::new(reason.clone()))
        }
        Direction::Forward => match forward(locked, &activation, outside) {
            Ok(()) => return finish(locked, activation),
            Err(failure) => {
                turn(locked, &mut activation, &failure)?;
                failure
            }
        },
    };
    Err(go_back(locked, &activation, outside, failure))
}

fn forward(locked: &Locked, activation: &Activation, outside: &dyn Outside) -> Result<(), Failure> {
    let (layout, after) = (locked.layout(), &activation.after);
    let before = activation.before.as_ref();
    current::switch(layout, &activation.to)?;
    checkpoint::reached(Step::Switched);
    program::place(layout, &after.app)?;
    checkpoint::reached(Step::ProgramReplaced);
    links::change(layout, before, Some(after))?;
    checkpoint::reached(Step::Linked);
    outside.settle(before, Some(after)).map_err(Failure::of(Fault::Machine))?;
    checkpoint::reached(Step::Settled);
    if !activation.is_switch() {
        return Ok(());
    }
    outside.restart(after).map_err(Failure::of(Fault::Restart))?;
    checkpoint::reached(Step::Restarted);
    outside.health(activation, &layout.version(&activation.to))?;
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
    activation: &mut Activation,
    failure: &Failure,
) -> Result<(), PrefixError> {
    activation.direction = Direction::Back { reason: failure.reason(), fault: failure.fault };
    Journal::begin(locked.layout(), &Operation::Activate(Box::new(activation.clone())))?;
    checkpoint::reached(Step::Turned);
    Ok(())
}

/// Makes everything as it was, and returns what is to be said about it.
fn go_back(
    locked: &Locked,
    activation: &Activation,
    outside: &dyn Outside,
    failure: Failure,
) -> PrefixError {
    let name = |slot: &Slot| {
        let state = [Some(&activation.after), activation.before.as_ref()].into_iter().flatten();
        state.filter_map(|state| state.of(slot)).map(|one| one.version.clone()).next()
    };
    let version = name(&activation.to).unwrap_or_else(|| activation.to.to_string());
    let back = activation.from.as_ref().map(|slot| name(slot).unwrap_or_else(|| slot.to_string()));
    match undo(locked, activation, outside, &failure) {
        Ok((Fault::Version, None)) => {
            PrefixError::Unwell { version, back, trouble: failure.trouble }
        }
        Ok((_, None)) => PrefixError::Undone(failure.trouble),
        Ok((fault, Some(trouble))) => PrefixError::Stopped {
            fault,
            version,
            reason: failure.reason().into(),
            back: back.unwrap_or_default(),
            trouble,
        },
        Err(trouble) => PrefixError::Back { version, trouble },
    }
}

/// Takes every step back, and says what is at fault after all. That the version before cannot be started again keeps no step from being taken: it is
/// returned as well.
fn undo(
    locked: &Locked,
    activation: &Activation,
    outside: &dyn Outside,
    failure: &Failure,
) -> Result<(Fault, Option<Trouble>), Trouble> {
    let (layout, after) = (locked.layout(), &activation.after);
    let before = activation.before.as_ref();
    match &activation.from {
        Some(from) => current::switch(layout, from)?,
        None => current::clear(layout)?,
    }
    checkpoint::reached(Step::SwitchedBack);
    links::change(layout, Some(after), before)?;
    outside.settle(Some(after), before)?;
    // Nobody else brings data back.
    if activation.purpose == Purpose::Rollback {
        outside.return_data()?;
    }
    let fault = if activation.is_switch() { failure.fault } else { Fault::Machine };
    let (mut fault, mut stopped) = (fault, None);
    if let Some(before) = before {
        if activation.is_switch() {
            (fault, stopped) = start_again(layout, activation, before, (outside, fault));
        }
        let mut before = before.clone();
        // It only ever moves forward.
        if program::is_placed(layout, &after.app) {
            before.installer = after.installer;
        }
        if let (Fault::Version, Some(tried)) = (fault, after.of(&activation.to)) {
            before.refuse(tried, failure.reason());
        }
        before.write(layout)?;
    } else {
        program::remove(layout, &after.app)?;
        State::remove(layout)?;
    }
    checkpoint::reached(Step::Undone);
    let slots = if activation.is_new { vec![activation.to.clone()] } else { Vec::new() };
    remove(locked, slots)?;
    // Whether it lies ready tells which one is in place, as long as somebody may have to go on with this. What is left of it the next command removes.
    let _ = program::discard(layout, &after.app);
    Ok((fault, stopped))
}

/// Starts the version before again, if what runs was touched. Says what is at fault, now that the command was run with both versions; and why it failed again.
fn start_again(
    layout: &Layout,
    activation: &Activation,
    before: &State,
    (outside, fault): (&dyn Outside, Fault),
) -> (Fault, Option<Trouble>) {
    let is_touched =
        || layout.running().exists() || running::slots(layout).contains(&activation.to);
    if fault == Fault::Machine && !is_touched() {
        return (fault, None);
    }
    let named = &activation.after.restart;
    let mut before = before.clone();
    if before.restart.is_empty() {
        // It was named for this change.
        before.restart.clone_from(named);
    }
    match outside.restart(&before) {
        Ok(()) if fault == Fault::Restart && before.restart == *named => (Fault::Version, None),
        done => (fault, done.err()),
    }
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
            // What cannot be removed now is removed another time: the version that is used is none the worse for it.
            let _ = trees::remove(layout, &slot);
        }
    }
    Journal::close(layout)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;

    use camino::Utf8PathBuf;

    use super::super::recovery::{self, Recovered};
    use super::super::state::tests::{installed, slot, state};
    use super::super::{Waiting, present};
    use super::*;
    use crate::health::Before;

    /// A world in which some versions are not well, and some commands fail.
    #[derive(Default)]
    struct Fake {
        unwell: Vec<&'static str>,
        cannot_restart: Vec<&'static str>,
        cannot_settle: Vec<&'static str>,
        did: RefCell<Vec<String>>,
    }

    impl Fake {
        fn say(&self, what: &str, slot: &str, fails: &[&str]) -> Result<(), Trouble> {
            self.did.borrow_mut().push(format!("{what} {slot}"));
            if fails.contains(&slot) {
                return Err(Box::new(miette::MietteDiagnostic::new(format!(
                    "{what} of {slot} failed"
                ))));
            }
            Ok(())
        }
    }

    impl Outside for Fake {
        fn settle(&self, _: Option<&State>, after: Option<&State>) -> Result<(), Trouble> {
            self.say("settle", after.map_or("nothing", used), &self.cannot_settle)
        }

        fn return_data(&self) -> Result<(), Trouble> {
            self.did.borrow_mut().push("return data".to_owned());
            Ok(())
        }

        fn restart(&self, state: &State) -> Result<(), Trouble> {
            let done = self.say("restart", used(state), &self.cannot_restart);
            self.did.borrow_mut().last_mut().expect("this").push_str(&called(&state.restart));
            done
        }

        fn health(&self, activation: &Activation, folder: &Utf8Path) -> Result<(), Failure> {
            assert!(folder.ends_with(activation.to.as_str()));
            // Who was not to be reached before decides nothing.
            let unwell = if activation.service == Before::Well { &self.unwell[..] } else { &[] };
            let said = self.say("health", activation.to.as_str(), unwell);
            said.map_err(Failure::of(Fault::Version))
        }
    }

    fn called(restart: &[String]) -> String {
        restart.iter().map(|word| format!(" by {word}")).collect()
    }

    fn used(state: &State) -> &str {
        state.installed.last().expect("there is one").slot.as_str()
    }

    struct World {
        _folder: tempfile::TempDir,
        layout: Layout,
        bin_dir: Utf8PathBuf,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let root = Utf8Path::from_path(folder.path()).expect("UTF-8").to_owned();
            let layout = Layout::new(root.join("prefix"));
            Self { _folder: folder, layout, bin_dir: root.join("bin") }
        }

        fn lock(&self) -> Locked {
            Locked::take(&self.layout, Waiting::Never, "test", &|_| {}).expect("nobody has it")
        }

        fn make(&self, locked: &Locked, name: &str) {
            let fill = |folder: &Utf8Path| {
                fs::create_dir_all(folder.join("bin")).expect("writable");
                fs::write(folder.join("bin/app"), name).expect("writable");
                Ok::<_, PrefixError>(())
            };
            let program = self.layout.prefix().with_file_name("installer");
            fs::write(&program, "installer").expect("writable");
            prepare_program(locked, "app", &program, None).expect("writable");
            let steps = Steps { fill, try_out: |(): &()| Ok(()), name: |()| Ok(()) };
            make(locked, "app", &slot(name), steps).expect("nothing is wrong");
        }

        fn activation(&self, name: &str, before: Option<&State>) -> Activation {
            let from = current::read(&self.layout).expect("it leads to a version");
            let mut after = before.cloned().unwrap_or_else(|| state(&[]));
            after.bin_dir.clone_from(&self.bin_dir);
            Activation {
                purpose: Purpose::Advance,
                to: slot(name),
                is_new: true,
                before: before.cloned(),
                after: after.using(installed(name), from.as_ref()),
                from,
                direction: Direction::Forward,
                service: Before::Well,
                remove: Vec::new(),
            }
        }

        fn state(&self) -> Option<State> {
            State::read(&self.layout).expect("readable")
        }

        /// What the program in the search path is.
        fn app(&self) -> Option<String> {
            fs::read_to_string(self.bin_dir.join("app")).ok()
        }

        fn is_idle(&self) -> bool {
            Journal::read(&self.layout).expect("readable").is_none()
        }
    }

    fn version(world: &World, locked: &Locked, name: &str, fake: &Fake) -> Result<(), PrefixError> {
        world.make(locked, name);
        let before = world.state();
        activate(locked, world.activation(name, before.as_ref()), fake)
    }

    #[test]
    fn a_version_that_is_not_well_goes_back() {
        let world = World::new();
        let locked = world.lock();
        version(&world, &locked, "1.0.0", &Fake::default()).expect("well");
        let fake = Fake { unwell: vec!["2.0.0"], ..Fake::default() };
        let error = version(&world, &locked, "2.0.0", &fake).expect_err("not well");
        assert!(
            matches!(&error, PrefixError::Unwell { back: Some(back), .. } if back == "1.0.0"),
            "{error:?}"
        );
        assert_eq!(
            *fake.did.borrow(),
            ["settle 2.0.0", "restart 2.0.0", "health 2.0.0", "settle 1.0.0", "restart 1.0.0"]
        );
        assert_eq!(world.app().as_deref(), Some("1.0.0"));
        assert_eq!(present(&world.layout).expect("readable"), [slot("1.0.0")]);
        assert!(world.is_idle());
        let state = world.state().expect("it is installed");
        assert_eq!(used(&state), "1.0.0");
        let refused: Vec<_> =
            state.refused.iter().map(|one| (&one.version[..], &one.reason[..])).collect();
        assert_eq!(refused, [("2.0.0", "health of 2.0.0 failed")]);
        // Once it is well it is taken like any other.
        version(&world, &locked, "2.0.0", &Fake::default()).expect("well");
        assert_eq!(world.state().expect("it is installed").refused, []);
    }

    #[test]
    fn a_first_version_that_is_not_well_leaves_nothing() {
        let world = World::new();
        let locked = world.lock();
        let fake = Fake { unwell: vec!["1.0.0"], ..Fake::default() };
        let error = version(&world, &locked, "1.0.0", &fake).expect_err("not well");
        assert!(matches!(error, PrefixError::Unwell { back: None, .. }), "{error:?}");
        super::super::uninstall::leave_nothing(&world.layout).expect("removable");
        assert!(!world.layout.prefix().exists());
        assert_eq!(fs::read_dir(&world.bin_dir).expect("it was made").count(), 0);
    }

    /// What cannot be taken back now is taken back by the next command.
    #[test]
    fn going_back_goes_on() {
        let world = World::new();
        let locked = world.lock();
        version(&world, &locked, "1.0.0", &Fake::default()).expect("well");
        let fake = Fake { unwell: vec!["2.0.0"], cannot_settle: vec!["1.0.0"], ..Fake::default() };
        let error = version(&world, &locked, "2.0.0", &fake).expect_err("not well");
        assert!(matches!(error, PrefixError::Back { .. }), "{error:?}");
        assert_eq!(world.app().as_deref(), Some("1.0.0"), "it is used whatever else is wrong");
        assert!(!world.is_idle());
        let error = recovery::recover(&locked, &fake).expect_err("it still fails");
        assert!(matches!(error, PrefixError::Back { .. }), "{error:?}");
        let recovered = recovery::recover(&locked, &Fake::default()).expect("nothing fails");
        let Some(Recovered::WentBack { error, .. }) = recovered else { panic!("{recovered:?}") };
        assert_eq!(error.to_string(), "version 2.0.0 is not well, and version 1.0.0 is used again");
        assert!(world.is_idle());
        assert_eq!(present(&world.layout).expect("readable"), [slot("1.0.0")]);
    }

    /// Whatever cannot be written: it is told as it is, nothing that runs is touched, and the version is taken again.
    #[test]
    fn what_cannot_be_written_is_not_the_versions_fault() {
        let world = World::new();
        let locked = world.lock();
        version(&world, &locked, "1.0.0", &Fake::default()).expect("well");
        let file = world.bin_dir.with_file_name("file");
        fs::write(&file, "").expect("writable");
        let activation = || {
            world.make(&locked, "2.0.0");
            let mut activation = world.activation("2.0.0", world.state().as_ref());
            activation.after.bin_dir.clone_from(&file);
            activation
        };
        let check = || {
            assert_eq!(world.app().as_deref(), Some("1.0.0"));
            assert_eq!(present(&world.layout).expect("readable"), [slot("1.0.0")]);
            assert!(world.is_idle());
            assert_eq!(world.state().expect("it is installed").refused, []);
        };
        let fake = Fake::default();
        let error = activate(&locked, activation(), &fake).expect_err("there is no such folder");
        assert!(matches!(error, PrefixError::Undone(_)), "{error:?}");
        assert_eq!(error.to_string(), format!("cannot write `{file}/app`"));
        let code = miette::Diagnostic::code(&error).map(|code| code.to_string());
        assert_eq!(code.as_deref(), Some("installer::files"));
        assert_eq!(*fake.did.borrow(), ["settle 1.0.0"]);
        check();
        // Nor is it where somebody else ends it.
        let fake = Fake { cannot_settle: vec!["1.0.0"], ..Fake::default() };
        let error = activate(&locked, activation(), &fake).expect_err("neither way");
        assert!(matches!(error, PrefixError::Back { .. }), "{error:?}");
        let recovered = recovery::recover(&locked, &Fake::default()).expect("nothing fails");
        let Some(Recovered::WentBack { error, .. }) = recovered else { panic!("{recovered:?}") };
        assert!(matches!(*error, PrefixError::Undone(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot write `{file}/app`: ")), "{text}");
        check();
    }

    /// The command that starts again what runs fails: whose fault that is, the version before tells.
    #[test]
    fn a_restart_that_fails() {
        let known = [Vec::new(), vec!["old".to_owned()], vec!["new".to_owned()]];
        for (before, after, cannot_restart, expected) in [
            (2, 2, vec!["2.0.0"], Fault::Version),
            (0, 2, vec!["2.0.0"], Fault::Version),
            (1, 2, vec!["2.0.0"], Fault::Restart),
            (2, 2, vec!["2.0.0", "1.0.0"], Fault::Restart),
        ] {
            let world = World::new();
            let locked = world.lock();
            version(&world, &locked, "1.0.0", &Fake::default()).expect("well");
            world.make(&locked, "2.0.0");
            let mut activation = world.activation("2.0.0", world.state().as_ref());
            let old = activation.before.as_mut().expect("it is installed");
            old.restart.clone_from(&known[before]);
            activation.after.restart.clone_from(&known[after]);
            let fake = Fake { cannot_restart, ..Fake::default() };
            let error = activate(&locked, activation, &fake).expect_err("it fails");
            let told = match &error {
                PrefixError::Unwell { .. } => Fault::Version,
                PrefixError::Undone(_) => Fault::Restart,
                PrefixError::Stopped { fault, .. } => *fault,
                _ => panic!("{error:?}"),
            };
            assert_eq!(told, expected, "{error}");
            let state = world.state().expect("it is installed");
            assert_eq!(state.refused.len(), usize::from(expected == Fault::Version), "{error}");
            assert_eq!(state.restart, known[before]);
            let by = if before == 0 { after } else { before };
            let last = fake.did.borrow().last().cloned().expect("something was done");
            assert_eq!(last, format!("restart 1.0.0{}", called(&known[by])));
        }
    }

    /// As where only more versions are kept, or links are mended: whoever goes on with that touches nothing that runs, and refuses nothing.
    #[test]
    fn the_version_that_is_used_stays() {
        let ill = || Direction::Back { reason: "it is ill".to_owned(), fault: Fault::Version };
        for direction in [Direction::Forward, ill()] {
            let world = World::new();
            let locked = world.lock();
            version(&world, &locked, "1.0.0", &Fake::default()).expect("well");
            let before = world.state();
            let mut activation = world.activation("1.0.0", before.as_ref());
            let is_forward = direction == Direction::Forward;
            (activation.is_new, activation.direction) = (false, direction);
            Journal::begin(&world.layout, &Operation::Activate(Box::new(activation)))
                .expect("writable");
            let (unwell, cannot_restart) = (vec!["1.0.0"], vec!["1.0.0"]);
            let fake = Fake { unwell, cannot_restart, ..Fake::default() };
            let recovered = recovery::recover(&locked, &fake).expect("nothing fails");
            assert_eq!(*fake.did.borrow(), ["settle 1.0.0"], "{recovered:?}");
            match recovered {
                Some(Recovered::Finished(..)) => assert!(is_forward),
                Some(Recovered::WentBack { error, .. }) => {
                    assert!(matches!(*error, PrefixError::Undone(_)), "{error:?}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(world.state().expect("it is installed").refused, []);
            assert_eq!(world.app().as_deref(), Some("1.0.0"));
            assert!(world.is_idle());
        }
    }

    /// The installer that came with a version goes with it, if it was not in place yet.
    #[test]
    fn an_installer_that_lies_ready_goes() {
        let world = World::new();
        let locked = world.lock();
        version(&world, &locked, "1.0.0", &Fake::default()).expect("well");
        let program = world.layout.program("app");
        fs::remove_file(&program).expect("it is there");
        fs::create_dir(&program).expect("writable");
        world.make(&locked, "2.0.0");
        let mut activation = world.activation("2.0.0", world.state().as_ref());
        activation.after.installer = Some(gangway_artifact::Digest::of("installer"));
        let error = activate(&locked, activation, &Fake::default()).expect_err("a folder is there");
        assert!(matches!(error, PrefixError::Undone(_)), "{error:?}");
        let names = world.layout.installer().read_dir_utf8().expect("it is there");
        let names: Vec<_> = names.map(|entry| entry.expect("ours").path().to_owned()).collect();
        assert_eq!(names, [program]);
        assert_eq!(world.state().expect("it is installed").installer, None);
    }

    /// A command that fails does not keep everything else from being done, now or ever.
    #[test]
    fn what_cannot_be_started_again_is_said() {
        let world = World::new();
        let locked = world.lock();
        version(&world, &locked, "1.0.0", &Fake::default()).expect("well");
        let fake = Fake { unwell: vec!["2.0.0"], cannot_restart: vec!["1.0.0"], ..Fake::default() };
        let error = version(&world, &locked, "2.0.0", &fake).expect_err("not well");
        insta::assert_snapshot!(error, @"version 2.0.0 is not well (health of 2.0.0 failed), and version 1.0.0 is used again, but could not be started again");
        assert_eq!(world.app().as_deref(), Some("1.0.0"));
        assert!(world.is_idle());
        assert_eq!(world.state().expect("it is installed").refused.len(), 1);
    }

    #[test]
    fn what_cannot_be_made_or_tried_leaves_nothing() {
        let world = World::new();
        let locked = world.lock();
        let io = || PrefixError::io("write", "x".into())(std::io::ErrorKind::StorageFull.into());
        let fill = |fails: bool| {
            move |folder: &Utf8Path| {
                fs::create_dir_all(folder.join("a/b")).expect("writable");
                if fails { Err(io()) } else { Ok(()) }
            }
        };
        let slot = slot("1.0.0");
        let steps = Steps {
            fill: fill(true),
            try_out: |(): &()| Ok(()),
            name: |()| Ok::<_, PrefixError>(()),
        };
        make(&locked, "app", &slot, steps).expect_err("it cannot be made");
        let steps = Steps { fill: fill(false), try_out: |(): &()| Err(io()), name: |()| Ok(()) };
        make(&locked, "app", &slot, steps).expect_err("it does not run");
        assert!(world.is_idle());
        assert_eq!(present(&world.layout).expect("readable"), []);
    }

    #[test]
    fn what_nobody_knows_of_is_removed() {
        let world = World::new();
        let locked = world.lock();
        version(&world, &locked, "1.0.0", &Fake::default()).expect("well");
        for name in ["0.9.0", "2.0.0.partial", "0.8.0.removed"] {
            fs::create_dir_all(world.layout.versions().join(name).join("a")).expect("writable");
        }
        assert!(recovery::recover(&locked, &Fake::default()).expect("nothing fails").is_none());
        let left = world.layout.versions().read_dir_utf8().expect("it is there");
        let left: Vec<_> =
            left.map(|entry| entry.expect("readable").file_name().to_owned()).collect();
        assert_eq!(left, ["1.0.0"]);
    }

    /// What an update would remove and somebody made the current one again by hand, stays.
    #[test]
    fn what_is_used_is_never_removed() {
        let world = World::new();
        let locked = world.lock();
        version(&world, &locked, "1.0.0", &Fake::default()).expect("well");
        remove(&locked, vec![slot("1.0.0")]).expect("nothing is wrong");
        assert_eq!(world.app().as_deref(), Some("1.0.0"));
    }
}
