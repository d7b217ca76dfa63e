//! Sessions, signals, and what left its session.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use camino::Utf8Path;
use gangway_artifact::trial::Ending;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// A program and what it started.
#[derive(Debug)]
pub(in super::super) struct Whole(Pid);

impl Whole {
    /// Asks all of it to end; false where that cannot be asked.
    pub(super) fn ask_to_end(&self) -> bool {
        rustix::process::kill_process_group(self.0, Signal::TERM).is_ok()
    }

    /// Ends all of it.
    pub(super) fn kill(&self) {
        // The first one is not waited for before this, so no other group can have its number.
        let _ = rustix::process::kill_process_group(self.0, Signal::KILL);
    }
}

/// Starts a program in a session of its own, away from the terminal.
pub(super) fn spawn(command: &mut Command) -> io::Result<(Child, Whole)> {
    // SAFETY: both are system calls and nothing else, so they may be made between fork and exec.
    #[expect(unsafe_code, reason = "what a child does before it is another program")]
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            die_with_parent()
        });
    }
    let child = command.spawn()?;
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    Ok((child, Whole(id.expect("a child has an id"))))
}

/// A kill of the installer is one of this process too.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Elsewhere no system call says so.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn die_with_parent() -> io::Result<()> {
    Ok(())
}

/// How it ended, if it did. It is not waited for: its number, and that of its group, stay its own.
pub(super) fn ended(child: &mut Child) -> io::Result<Option<Ending>> {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let id = id.expect("a child has an id");
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let Some(status) = rustix::process::waitid(WaitId::Pid(id), options)? else { return Ok(None) };
    Ok(Some(match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ending::Exit(code),
        (None, Some(signal)) => Ending::Signal(signal),
        (None, None) => return Ok(None),
    }))
}

/// Makes a folder that only its owner sees, with those it is in.
pub(in super::super) fn make_private(folder: &Utf8Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Kills every process that has to do with a folder, which nobody else may know of: children of a program that went into a session of
/// their own are found by their file, their arguments, their variables or the folder they are in.
#[cfg(target_os = "linux")]
pub(in super::super) fn end_all(folder: &Utf8Path) {
    // Some may start another one while they are being ended.
    for _ in 0..20 {
        let found = about(folder);
        if found.is_empty() {
            return;
        }
        for id in found.into_iter().filter_map(Pid::from_raw) {
            // It has ended by itself, or is not ours to end.
            let _ = rustix::process::kill_process(id, Signal::KILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[cfg(target_os = "linux")]
fn about(folder: &Utf8Path) -> Vec<i32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id: &i32| {
        let at = |name: &str| format!("/proc/{id}/{name}");
        let is_below =
            |name: &str| std::fs::read_link(at(name)).is_ok_and(|path| path.starts_with(folder));
        let is_told = || {
            let environment = std::fs::read(at("environ"));
            environment.is_ok_and(|texts| is_home(&texts, folder.as_str().as_bytes()))
        };
        *id != own && (is_below("exe") || is_below("cwd") || is_told())
    })
    .collect()
}

/// Whether an environment, of which each variable ends with a NUL, has a home below this folder.
#[cfg(target_os = "linux")]
fn is_home(variables: &[u8], folder: &[u8]) -> bool {
    const NAMES: [&[u8]; 3] = [b"HOME=", b"TMPDIR=", b"XDG_DATA_HOME="];
    variables.split(|byte| *byte == 0).any(|variable| {
        let value = NAMES.iter().find_map(|name| variable.strip_prefix(*name));
        let below = value.and_then(|value| value.strip_prefix(folder));
        below.is_some_and(|below| below.starts_with(b"/"))
    })
}

/// Elsewhere the environment of other processes is not to be had.
#[cfg(not(target_os = "linux"))]
pub(in super::super) fn end_all(_: &Utf8Path) {}
