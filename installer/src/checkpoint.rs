//! Instants at which a test kills the installer, to see what a power failure leaves, or interrupts it.
//!
//! They are named in every build and do something only with the feature `checkpoints`, which no release has: then the
//! process ends like one that was killed when it reaches the one that `GANGWAY_KILL_AT` names, as `switched`, or
//! `written:3` for the third time. Where `GANGWAY_INTERRUPT_AT` names it, it gets the signal of a Ctrl-C.

use std::fmt;

macro_rules! steps {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal),* $(,)?) => {
        /// An instant between two changes to the disk.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Step {
            $($(#[doc = $doc])* $name,)*
        }

        impl Step {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

steps! {
    /// A file's new content lies beside it.
    Written = "written",
    /// A file has its new content.
    Replaced = "replaced",
    /// The prefix is locked.
    Locked = "locked",
    /// The journal says that a version is being made.
    Begun = "begun",
    /// Some of its bytes have come.
    Arrived = "arrived",
    /// It is known what has to come.
    Planned = "planned",
    /// What it has in common with the installed one is there.
    Kept = "kept",
    /// Everything is there, in a folder without its name.
    Filled = "filled",
    /// It has been tried.
    Tried = "tried",
    /// Its folder has its name.
    Made = "made",
    /// The app's data is being copied, or brought back.
    Snapshot = "snapshot",
    /// What was fetched for it is gone.
    Discarded = "discarded",
    /// The journal says that it is to be the current one.
    Decided = "decided",
    /// `current` leads to it.
    Switched = "switched",
    /// The programs in the folder of programs are its.
    Linked = "linked",
    /// The installer itself is the new one.
    ProgramReplaced = "program-replaced",
    /// Everything outside of the prefix is as it should be.
    Settled = "settled",
    /// What runs was started again.
    Restarted = "restarted",
    /// It is well.
    Well = "well",
    /// `state.json` says that it is installed.
    Recorded = "recorded",
    /// The journal says that the version before shall be the current one again.
    Turned = "turned",
    /// `current` leads to the version before.
    SwitchedBack = "switched-back",
    /// Everything is as it was before.
    Undone = "undone",
    /// A version's folder has the name of one that is being removed.
    Condemned = "condemned",
    /// A version's folder is gone.
    Removed = "removed",
    /// The journal says nothing any more.
    Closed = "closed",
    /// The journal says that everything is to be removed.
    Leaving = "leaving",
    /// The app's programs are gone from the folder of programs.
    Unlinked = "unlinked",
    /// `current` is gone.
    Unset = "unset",
    /// All versions are gone.
    Emptied = "emptied",
    /// `state.json` is gone.
    Forgotten = "forgotten",
    /// The installer itself is gone.
    ProgramRemoved = "program-removed",
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Is called when `step` is reached.
#[cfg(not(feature = "checkpoints"))]
pub(crate) fn reached(_step: Step) {}

/// Is called when `step` is reached.
#[cfg(feature = "checkpoints")]
pub(crate) fn reached(step: Step) {
    use std::sync::atomic::{AtomicUsize, Ordering};

    static TIMES: [AtomicUsize; Step::ALL.len()] = [const { AtomicUsize::new(0) }; Step::ALL.len()];

    let times = TIMES[step as usize].fetch_add(1, Ordering::Relaxed) + 1;
    let is_wanted = |variable: &str| {
        let Ok(wanted) = std::env::var(variable) else { return false };
        let (name, count) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        name == step.as_str() && count == times.to_string()
    };
    if is_wanted("GANGWAY_KILL_AT") {
        die();
    }
    if is_wanted("GANGWAY_INTERRUPT_AT") {
        interrupt();
    }
}

#[cfg(all(feature = "checkpoints", unix))]
fn interrupt() {
    let done =
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT);
    done.expect("every process may signal itself");
}

#[cfg(all(feature = "checkpoints", windows))]
fn interrupt() {}

#[cfg(all(feature = "checkpoints", unix))]
#[expect(unsafe_code, reason = "nothing safe ends a process so that nothing of it is run any more")]
fn die() {
    // SAFETY: it takes two numbers.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        std::thread::park();
    }
}

#[cfg(all(feature = "checkpoints", windows))]
fn die() {
    std::process::abort();
}
