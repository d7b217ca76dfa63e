//! A program of a bundle while it runs, and after: nothing that it started may stay behind.

use std::io::{self, Write as _};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::trial::{self, Ending};

use super::place::{Place, Program};
use crate::process;

/// How often is looked whether something has happened.
pub(super) const STEP: Duration = Duration::from_millis(30);

/// The signal that asks a program to end.
pub(super) const TERM: i32 = 15;

/// A program that was started. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// Shells add 128 to the number of a signal.
    is_told_by_a_shell: bool,
    log: Utf8PathBuf,
}

impl Running {
    /// Starts it; what it says goes to the file `log`.
    pub(super) fn start(place: &Place, program: Program<'_>, log: &Utf8Path) -> io::Result<Self> {
        let file = std::fs::File::create(log)?;
        let mut command = place.command(program);
        command.stdout(file.try_clone()?).stderr(file);
        let child = command.spawn()?;
        let is_told_by_a_shell = matches!(place, Place::Device(_));
        Ok(Self { child, is_told_by_a_shell, log: log.to_owned() })
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> io::Result<Option<Ending>> {
        Ok(self.child.try_wait()?.map(|status| self.ending(status)))
    }

    /// How it ended, or nothing when the time is up.
    pub(super) fn wait(&mut self, time: Duration) -> io::Result<Option<Ending>> {
        let start = Instant::now();
        loop {
            match self.ended()? {
                None if start.elapsed() < time => std::thread::sleep(STEP),
                ended => return Ok(ended),
            }
        }
    }

    /// Asks it to end.
    pub(super) fn ask_to_end(&mut self) -> io::Result<()> {
        if let Some(runner) = &mut self.child.stdin {
            return runner.write_all(b"TERM\n").and_then(|()| runner.flush());
        }
        terminate(&self.child)
    }

    /// The last lines of what it said.
    pub(super) fn said(&self) -> Vec<String> {
        trial::last_lines(self.log.as_std_path())
    }

    fn ending(&self, status: ExitStatus) -> Ending {
        match process::ending(status).into() {
            Ending::Exit(code) if self.is_told_by_a_shell && (129..160).contains(&code) => {
                Ending::Signal(code - 128)
            }
            ending => ending,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        drop(self.child.stdin.take());
        if !self.is_told_by_a_shell || !matches!(self.wait(Duration::from_secs(5)), Ok(Some(_))) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
fn terminate(child: &Child) -> io::Result<()> {
    let id = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let id = id.expect("a child has an id");
    Ok(rustix::process::kill_process(id, rustix::process::Signal::TERM)?)
}

#[cfg(not(unix))]
fn terminate(_: &Child) -> io::Result<()> {
    Err(io::Error::other("there are no signals here"))
}

/// Kills every process that has to do with one of the folders, which nobody else may know of: children of a program that went into
/// a session of their own are found by their file, their arguments, their variables or the folder they are in.
#[cfg(target_os = "linux")]
pub(super) fn end_all(folders: &[&Utf8Path]) {
    // Some may start another one while they are being ended.
    for _ in 0..20 {
        let found = about(folders);
        if found.is_empty() {
            return;
        }
        for id in found.into_iter().filter_map(rustix::process::Pid::from_raw) {
            // It has ended by itself, or is not ours to end.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        }
        std::thread::sleep(STEP);
    }
}

#[cfg(target_os = "linux")]
fn about(folders: &[&Utf8Path]) -> Vec<i32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mentions = |bytes: &[u8]| {
        folders
            .iter()
            .any(|folder| memchr::memmem::find(bytes, folder.as_str().as_bytes()).is_some())
    };
    let ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id: &i32| {
        let at = |name: &str| format!("/proc/{id}/{name}");
        let link = |name: &str| {
            std::fs::read_link(at(name))
                .is_ok_and(|path| mentions(path.as_os_str().as_encoded_bytes()))
        };
        let file = |name: &str| std::fs::read(at(name)).is_ok_and(|bytes| mentions(&bytes));
        *id != own && (link("exe") || link("cwd") || file("cmdline") || file("environ"))
    })
    .collect()
}

/// Elsewhere only what shows the folder in its command line is found.
#[cfg(not(target_os = "linux"))]
pub(super) fn end_all(folders: &[&Utf8Path]) {
    for folder in folders {
        // No process left, or no such program: nothing more can be done.
        let _ = std::process::Command::new("pkill").args(["-9", "-f", folder.as_str()]).status();
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    fn start(sandbox: &Sandbox, script: &str) -> Running {
        let args = ["-c".to_owned(), script.to_owned()];
        let env = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
        let program = Program {
            folders: &[],
            home: &sandbox.root,
            program: "/bin/sh".into(),
            args: &args,
            env: &env,
        };
        Running::start(&Place::Native, program, &sandbox.root.join("log")).expect("a shell")
    }

    #[test]
    fn how_it_ends_is_told() {
        let sandbox = Sandbox::new();
        let mut running = start(&sandbox, "echo one; echo two >&2; kill -SEGV $$");
        let ending = running.wait(Duration::from_secs(60)).expect("ours").expect("it ends");
        assert_eq!(ending.to_string(), "it was killed by signal 11 (SIGSEGV)");
        assert_eq!(running.said(), ["one", "two"]);
        let mut running = start(&sandbox, "exit 3");
        let ending = running.wait(Duration::from_secs(60)).expect("ours").expect("it ends");
        assert_eq!(ending.to_string(), "it ended with status 3");
    }

    #[test]
    fn it_is_asked_before_it_is_killed() {
        let sandbox = Sandbox::new();
        let mut running =
            start(&sandbox, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done");
        while running.said().is_empty() {
            std::thread::sleep(STEP);
        }
        assert_eq!(running.wait(Duration::ZERO).expect("ours"), None);
        running.ask_to_end().expect("it runs");
        let ending = running.wait(Duration::from_secs(60)).expect("ours").expect("it ends");
        assert_eq!(
            (&*ending.to_string(), running.said().as_slice()),
            ("it ended with status 0", &["up".to_owned(), "bye".to_owned()][..])
        );
    }

    #[test]
    fn nothing_stays_behind() {
        let sandbox = Sandbox::new();
        let mut running = start(
            &sandbox,
            "setsid sleep 1000 & setsid sh -c 'cd /; exec sleep 1000' & echo up; wait",
        );
        while running.said().is_empty() {
            std::thread::sleep(STEP);
        }
        running.child.kill().expect("it runs");
        // The second one is in another folder and session; its HOME tells.
        end_all(&[&sandbox.root]);
        assert_eq!(about(&[&sandbox.root]), Vec::<i32>::new());
    }
}
