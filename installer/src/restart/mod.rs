//! The programs of the app that run while it is updated.
//!
//! A program that runs keeps the version it was started from. Who supervises it (systemd, launchd, a container) is the user's choice,
//! so the user says once how it is restarted: `--restart-command "systemctl --user restart claw"`. No shell reads that; [`words()`] takes it
//! apart. Where nothing of the app runs, nothing is restarted: what was stopped stays stopped.

pub mod processes;
mod words;

use std::fs::File;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use miette::Diagnostic;

use self::processes::Process;
use crate::context::Context;
use crate::fetch::BASE_URL;

pub use self::words::{WordsError, line, words};

/// How long a command may take. systemd itself gives a service a minute and a half to stop.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// How much of what a command said is shown.
const SHOWN_LINES: usize = 10;

/// Commands that restart a service with one word, and the word that stops it. The word must stand alone, and once.
const STOPS: &[(&str, &str, &str)] = &[
    ("systemctl", "restart", "stop"),
    ("systemctl", "try-restart", "stop"),
    ("service", "restart", "stop"),
    ("rc-service", "restart", "stop"),
    ("supervisorctl", "restart", "stop"),
    ("docker", "restart", "stop"),
    ("podman", "restart", "stop"),
    ("pm2", "restart", "stop"),
    ("brew", "restart", "stop"),
];

/// What is done about what runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing runs, so there is nothing to restart, and nobody to ask whether it is well.
    Nothing,
    /// This command is run.
    Run(Vec<String>),
    /// The user restarts these, which nobody told how.
    Tell(Vec<Process>),
}

/// Why a service was not restarted.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum RestartError {
    /// There is no such program.
    #[error("cannot start `{command}`")]
    #[diagnostic(help("give another one with `--restart-command`"))]
    Start { command: String, source: io::Error },
    /// It failed.
    #[error("`{command}` {ending}{said}")]
    #[diagnostic(help("{help}"))]
    Failed { command: String, ending: String, said: String, help: String },
}

/// Decides what is done when `version` was switched to. `running` are the app's programs that run, if that can be told.
#[must_use]
pub fn plan(command: Option<&[String]>, running: Option<&[Process]>, version: &str) -> Plan {
    match (running, command) {
        (Some([]), _) | (None, None) => Plan::Nothing,
        (_, Some(command)) => Plan::Run(command.to_owned()),
        (Some(running), None) => {
            let old: Vec<_> =
                running.iter().filter(|process| process.version != version).cloned().collect();
            if old.is_empty() { Plan::Nothing } else { Plan::Tell(old) }
        }
    }
}

/// The command that stops what `restart` restarts, where that is known. After it, `restart` starts it again.
#[must_use]
pub fn stop_command(restart: &[String]) -> Option<Vec<String>> {
    let program = Utf8Path::new(restart.first()?).file_stem()?;
    let known = STOPS.iter().filter(|(name, ..)| *name == program);
    known.into_iter().find_map(|(_, word, stop)| {
        let mut found = restart.iter().enumerate().skip(1).filter(|(_, this)| this == word);
        let (at, _) = found.next()?;
        // It may be the service's name as well.
        if found.next().is_some() || *word == "try-restart" {
            return None;
        }
        let mut stopped = restart.to_owned();
        stopped[at] = (*stop).to_owned();
        Some(stopped)
    })
}

/// Runs a command and waits until it ends, and returns what it said. What it starts lives on. `scratch` is a folder for what it says.
///
/// # Errors
/// When it cannot be started, fails, or does not end.
pub fn run(
    context: &Context,
    command: &[String],
    scratch: &Utf8Path,
    patience: Duration,
) -> Result<String, RestartError> {
    let shown = line(command);
    let start = |source| RestartError::Start { command: shown.clone(), source };
    let [program, args @ ..] = command else {
        return Err(start(io::Error::other("it has no words")));
    };
    // A file and no pipe: what it starts keeps it open, and must not be waited for.
    fs_err::create_dir_all(scratch).map_err(start)?;
    let log = scratch.join("restart.log");
    let file = File::create(&log).map_err(start)?;
    let mut process = Command::new(program);
    process.args(args).env_clear().envs(&context.environment).stdin(Stdio::null());
    // What it starts has its environment for as long as it runs.
    process.env_remove(BASE_URL);
    process.envs(runtime_dir(context, program));
    process.stdout(file.try_clone().map_err(start)?).stderr(file);
    let mut child = process.spawn().map_err(start)?;
    let begin = Instant::now();
    let status = loop {
        match child.try_wait().map_err(start)? {
            Some(status) => break Some(status),
            None if begin.elapsed() >= patience => break None,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let ending = match status {
        Some(status) if status.success() => {
            let said = last_lines(&log);
            // Who still writes to it does so to no name.
            let _ = std::fs::remove_file(&log);
            return Ok(said.join("\n"));
        }
        Some(status) => format!("ended with {status}"),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            format!("did not end within {} s", patience.as_secs())
        }
    };
    let said = said(&log);
    let _ = std::fs::remove_file(&log);
    let help = help(command);
    Err(RestartError::Failed { command: shown, ending, said, help })
}

/// systemd's user services are reached by way of a folder that sessions over ssh and sudo do not always name.
#[cfg(unix)]
fn runtime_dir(context: &Context, program: &str) -> Option<(&'static str, String)> {
    const NAME: &str = "XDG_RUNTIME_DIR";
    if Utf8Path::new(program).file_name() != Some("systemctl") || context.variable(NAME).is_some() {
        return None;
    }
    let folder = format!("/run/user/{}", rustix::process::getuid().as_raw());
    Utf8Path::new(&folder).is_dir().then_some((NAME, folder))
}

#[cfg(not(unix))]
fn runtime_dir(_: &Context, _: &str) -> Option<(&'static str, String)> {
    None
}

fn help(command: &[String]) -> String {
    let is = |word: &str| command.iter().any(|this| this == word);
    if is("--user") && command[0].ends_with("systemctl") {
        return "a user's services run without a session only after `loginctl enable-linger`; try the command by hand".to_owned();
    }
    "try the command by hand; another one is given with `--restart-command`".to_owned()
}

/// What it said, as it is shown.
fn said(log: &Utf8Path) -> String {
    let last = last_lines(log);
    if last.is_empty() { String::new() } else { format!("; it said:\n  | {}", last.join("\n  | ")) }
}

fn last_lines(log: &Utf8Path) -> Vec<String> {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    let plain =
        |line: &&str| line.chars().filter(|letter| !letter.is_control()).take(300).collect();
    last.iter().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        words(text).expect(text)
    }

    fn process(version: &str) -> Process {
        Process { id: 7, version: version.to_owned(), program: "/x".into() }
    }

    #[test]
    fn what_is_done() {
        let command = split("systemctl restart claw");
        let run = Plan::Run(command.clone());
        let old = [process("1.0.0")];
        assert_eq!(plan(Some(&command), Some(&[]), "2.0.0"), Plan::Nothing);
        assert_eq!(plan(None, Some(&[]), "2.0.0"), Plan::Nothing);
        assert_eq!(plan(Some(&command), Some(&old), "2.0.0"), run);
        assert_eq!(plan(Some(&command), None, "2.0.0"), run, "where it cannot be told");
        assert_eq!(plan(None, Some(&old), "2.0.0"), Plan::Tell(old.to_vec()));
        assert_eq!(plan(None, Some(&old), "1.0.0"), Plan::Nothing);
    }

    #[test]
    fn how_it_is_stopped() {
        let of = |text| stop_command(&split(text)).map(|words| line(&words));
        let stopped = of("systemctl --user restart claw.service");
        assert_eq!(stopped.as_deref(), Some("systemctl --user stop claw.service"));
        assert_eq!(
            of("/usr/sbin/service claw restart").as_deref(),
            Some("/usr/sbin/service claw stop")
        );
        for unknown in [
            "systemctl try-restart claw",
            "service restart restart",
            "launchctl kickstart -k gui/501/claw",
            "sh -c restart",
            "docker ps",
        ] {
            assert_eq!(of(unknown), None, "{unknown}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_command_is_run() {
        use std::collections::BTreeMap;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8Path::from_path(folder.path()).expect("plain");
        let path = ("PATH".to_owned(), "/usr/bin:/bin".to_owned());
        let base = (BASE_URL.to_owned(), "https://me:word@host/releases".to_owned());
        let environment = BTreeMap::from([path, base]);
        let context = Context::new(environment, root.to_owned(), root.to_owned());
        let run = |text: &str, patience| {
            let command = split(text);
            super::run(&context, &command, &root.join("scratch"), patience)
        };
        // What it starts holds its output, and is not waited for.
        let said = run("sh -c 'sleep 2 & echo started'", PATIENCE).expect("it ends well");
        assert_eq!(said, "started");
        assert_eq!(root.join("scratch").read_dir().expect("there").count(), 0);
        let said = run("sh -c 'echo [$GANGWAY_BASE_URL]'", PATIENCE).expect("it ends well");
        assert_eq!(said, "[]");
        let error = run("sh -c 'echo no such unit >&2; exit 5'", PATIENCE).expect_err("it fails");
        insta::assert_snapshot!(error, @r"
        `sh -c 'echo no such unit >&2; exit 5'` ended with exit status: 5; it said:
          | no such unit
        ");
        let error = run("sleep 1000", Duration::ZERO).expect_err("it is late");
        assert_eq!(error.to_string(), "`sleep 1000` did not end within 0 s");
        let error = run("no-such-program-here", PATIENCE).expect_err("there is none");
        assert!(matches!(error, RestartError::Start { .. }));
    }
}
