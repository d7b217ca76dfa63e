//! Runs a program inside a fence: no network, and nothing to see or write but what it was given.
//!
//! The program gets a root folder of its own, made of the system's programs and libraries (read-only), fresh `/dev`,
//! `/proc`, and the folders of a [`Fence`]. The user's home, credentials, sockets and other processes do not exist
//! in there, and every path is the same on every machine, so what a program writes does not depend on where the
//! builder keeps its files.
//!
//! Two fences stand behind each other. Namespaces (user, mount, network, process, IPC, host name) are the first;
//! without them there is a [`ConfineError::Refused`], never a weaker run. Landlock is the second where the kernel has it.
//! Landlock alone is not enough: it covers neither `chmod` and `utime` nor most sockets.
//!
//! A namespace of users can only be made by a process with a single thread, so the builder starts itself again with
//! [`ARGUMENT`]; `main` must call [`entered`] before anything else. Nothing here is `unsafe`, hence no `fork`: the
//! chain is builder -> outer (makes the namespaces) -> inner (process 1 of its own process namespace: makes the root,
//! drops every right, waits) -> program. When any of them dies, all behind it are killed.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod linux;
#[cfg(target_os = "linux")]
mod mounts;

use std::ffi::OsString;
use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::layers::Layers;
use crate::process::{Command, Output, ProcessError};

/// The builder's hidden first argument.
pub const ARGUMENT: &str = "__confined";

/// The folders programs are looked for in, inside; every one of them is the system's.
pub const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// What a program may see and touch besides the system.
#[derive(Debug, Clone)]
pub struct Fence {
    scratch: Utf8PathBuf,
    mounts: Vec<Mount>,
}

/// A file or folder and its place inside.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mount {
    source: Shown,
    target: Utf8PathBuf,
    access: Access,
}

/// What is mounted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shown {
    /// A file or folder of the host.
    Host(Utf8PathBuf),
    /// An overlay.
    Layers(Layers),
    /// What an earlier mount shows at the same place.
    Again,
}

/// What a program may do with a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Look at it, and execute what is in it.
    Read,
    /// Whatever it likes.
    Write,
}

/// Whether a program may be run without a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// Not at all.
    Required,
    /// Without even trying to make one: `--unconfined-scripts`.
    Unconfined,
}

/// What the builder tells itself, in a file.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    /// The builder's process.
    parent: u32,
    /// An empty folder: the new root is mounted over it.
    root: Utf8PathBuf,
    /// Where a [`Refusal`] goes.
    report: Utf8PathBuf,
    mounts: Vec<Mount>,
    current_dir: Utf8PathBuf,
    /// The program and its arguments; nothing when the fence is only tried.
    words: Vec<String>,
}

/// Why the program was not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Refusal {
    /// There is no fence.
    Fence {
        /// What was tried: `unshare(CLONE_NEWUSER)`.
        step: String,
        /// The kernel's answer.
        reason: String,
    },
    /// The fence stands, but the program cannot be started; the number is the operating system's.
    Program(i32),
}

/// What can go wrong when a program is run inside a fence.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConfineError {
    /// There is no fence to be had, so the program was not run.
    #[error("this system does not let a program be fenced in: {step}: {reason}")]
    #[diagnostic(help("{help}"))]
    Refused {
        /// What was tried.
        step: String,
        /// The kernel's answer.
        reason: String,
        /// What to do about it.
        help: String,
    },
    /// The builder's side of the fence could not be made.
    #[error("cannot prepare the fence in `{path}`")]
    Prepare {
        /// The file or folder.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The program failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Process(#[from] ProcessError),
}

impl Fence {
    /// A fence with nothing inside. `scratch` is an empty folder on the host that outlives the runs.
    pub fn new(scratch: impl Into<Utf8PathBuf>) -> Self {
        Self { scratch: scratch.into(), mounts: Vec::new() }
    }

    /// Shows a file or folder of the host at `target`. Files to be written that have another hard link elsewhere can be
    /// altered there too: give away private copies only.
    #[must_use]
    pub fn show(
        self,
        source: impl Into<Utf8PathBuf>,
        target: impl Into<Utf8PathBuf>,
        access: Access,
    ) -> Self {
        self.mount(Shown::Host(source.into()), target, access)
    }

    /// Shows an overlay at `target`. What is written to it goes into its upper folder, whatever the lower one is linked to.
    #[must_use]
    pub fn show_layers(
        self,
        layers: Layers,
        target: impl Into<Utf8PathBuf>,
        access: Access,
    ) -> Self {
        self.mount(Shown::Layers(layers), target, access)
    }

    /// Gives another access to a folder that an earlier mount shows. No part of `target` may be a link.
    #[must_use]
    pub fn change_access(self, target: impl Into<Utf8PathBuf>, access: Access) -> Self {
        self.mount(Shown::Again, target, access)
    }

    fn mount(mut self, source: Shown, target: impl Into<Utf8PathBuf>, access: Access) -> Self {
        self.mounts.push(Mount { source, target: target.into(), access });
        self
    }

    /// Runs `command` inside; its paths and its folder are those inside. Later mounts lie over earlier ones.
    ///
    /// # Errors
    /// When the kernel has no such fence for us, or the command fails.
    pub fn run(&self, context: &Context, command: &Command) -> Result<Output, ConfineError> {
        let words = command.words().map(str::to_owned).collect();
        let folder = command.folder().unwrap_or(Utf8Path::new("/"));
        self.order(context, command, words, folder)
    }

    fn order(
        &self,
        context: &Context,
        command: &Command,
        words: Vec<String>,
        folder: &Utf8Path,
    ) -> Result<Output, ConfineError> {
        let prepare = |path: &Utf8Path, done: std::io::Result<()>| {
            done.map_err(|source| ConfineError::Prepare { path: path.to_owned(), source })
        };
        let root = self.scratch.join("root");
        let report = self.scratch.join("refusal.json");
        let order_file = self.scratch.join("order.json");
        let order = Order {
            parent: std::process::id(),
            root: root.clone(),
            report: report.clone(),
            mounts: self.mounts.clone(),
            current_dir: folder.to_owned(),
            words,
        };
        prepare(&root, std::fs::create_dir_all(&root))?;
        prepare(&report, std::fs::write(&report, ""))?;
        let text = serde_json::to_vec(&order).expect("it is made of texts and numbers");
        prepare(&order_file, std::fs::write(&order_file, text))?;
        let launched =
            command.through(&context.executable, vec![ARGUMENT.to_owned(), order_file.to_string()]);
        let result = launched.run();
        let refusal = std::fs::read(&report);
        let refusal = refusal.map_err(|source| ConfineError::Prepare { path: report, source })?;
        match (serde_json::from_slice::<Refusal>(&refusal), result) {
            (Ok(Refusal::Fence { step, reason }), Err(_)) => {
                Err(ConfineError::Refused { step, reason, help: linux::help() })
            }
            (Ok(Refusal::Program(code)), Err(_)) => {
                Err(command.cannot_start(std::io::Error::from_raw_os_error(code)).into())
            }
            (_, result) => Ok(result?),
        }
    }
}

/// Tries whether programs can be fenced in, without running one.
///
/// # Errors
/// When the kernel refuses; the message says what, and where to allow it.
pub fn probe(context: &Context, scratch: &Utf8Path) -> Result<(), ConfineError> {
    let command = Command::new("try whether programs can be fenced in", "");
    Fence::new(scratch).order(context, &command, Vec::new(), Utf8Path::new("/"))?;
    Ok(())
}

/// Tries whether programs can be fenced in and be given an overlay there. `layers` are empty ones, made where those to be
/// used will be: not every file system can carry them.
///
/// # Errors
/// When the kernel refuses one or the other.
pub fn probe_layers(
    context: &Context,
    scratch: &Utf8Path,
    layers: Layers,
) -> Result<(), ConfineError> {
    let command = Command::new("try whether programs can be given an overlay", "");
    Fence::new(scratch).show_layers(layers, "/layers", Access::Write).order(
        context,
        &command,
        Vec::new(),
        Utf8Path::new("/"),
    )?;
    Ok(())
}

/// The other end of [`Fence::run`]: when the arguments are [`ARGUMENT`] and an order, follows it and returns the exit
/// status to end with. Must be called while the process has a single thread.
pub fn entered(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.into_iter().skip(1);
    if args.next()? != ARGUMENT {
        return None;
    }
    Some(linux::enter(args.collect()))
}
