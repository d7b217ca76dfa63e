//! The steps of a trial, taken one after the other.
//!
//! Nothing is chosen here but free ports. No step begins before everything that the one before started is gone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::trial::probe::{self, Address, End};
use gangway_artifact::trial::{Action, Ending, Probe, Start, Step, filled};

use super::running::{self, Running, STEP};
use super::{Outcome, Tried, surroundings};
use crate::context::Context;

/// How long a program may take to end by itself before it is ended. It is not judged by that.
const GOODBYE: Duration = Duration::from_secs(5);

/// Where a version is tried.
pub(super) struct Room<'a> {
    /// What the user's environment is.
    pub(super) context: &'a Context,
    /// The version's folder.
    pub(super) bundle: &'a Utf8Path,
    /// The folder of homes and logs.
    pub(super) scratch: &'a Utf8Path,
    /// The manifest's variables for all programs.
    pub(super) env: &'a BTreeMap<String, String>,
}

/// Takes one step.
pub(super) fn step(room: &Room<'_>, number: usize, step: &Step) -> Tried {
    let begin = Instant::now();
    let home = room.scratch.join(number.to_string());
    let taken = Taken { room, home: &home, log: room.scratch.join(format!("{number}.log")) };
    let outcome = match &step.action {
        Action::Skip(reason) => Outcome::Skipped { reason: reason.clone() },
        Action::Run(start) => taken.run(start),
        Action::Serve(start, probe) => taken.serve(start, probe),
    };
    running::end_all(room.scratch);
    Tried { name: step.name.clone(), seconds: begin.elapsed().as_secs_f64(), outcome }
}

struct Taken<'a> {
    room: &'a Room<'a>,
    home: &'a Utf8Path,
    log: Utf8PathBuf,
}

impl Taken<'_> {
    fn run(&self, start: &Start) -> Outcome {
        let mut running = match self.start(&start.program, &start.args, None, &self.log) {
            Ok(running) => running,
            Err(outcome) => return outcome,
        };
        match running.wait(start.timeout) {
            Ok(Some(Ending::Exit(0))) => Outcome::Passed,
            Ok(Some(ending)) => failed(ending.to_string(), &running),
            Ok(None) => {
                failed(format!("it did not end within {} s", start.timeout.as_secs()), &running)
            }
            Err(error) => failed(format!("it was lost ({error})"), &running),
        }
    }

    fn serve(&self, start: &Start, probe: &Probe) -> Outcome {
        let port = match probe {
            Probe::Port { fixed: Some(port), .. } if !probe::is_free(*port) => {
                let reason = format!(
                    "port {port} is taken, maybe by the version that runs, and the manifest lets it have no other one"
                );
                return Outcome::Skipped { reason };
            }
            Probe::Socket { socket, .. } if socket.starts_with('/') => {
                let reason = format!("`{socket}` may be that of the version that runs");
                return Outcome::Skipped { reason };
            }
            Probe::Port { fixed: Some(port), .. } => Some(*port),
            _ => match probe::free_port() {
                Ok(port) => Some(port),
                Err(error) => return unable("find a free port", &error),
            },
        };
        let mut running = match self.start(&start.program, &start.args, port, &self.log) {
            Ok(running) => running,
            Err(outcome) => return outcome,
        };
        let becomes_well = match self.address(probe, port) {
            Some(address) => becomes_well(&mut running, start.timeout, || address.ask()),
            None => self.commanded(&mut running, probe, start.timeout),
        };
        match becomes_well {
            Err(reason) => failed(reason, &running),
            Ok(()) => {
                running.end(GOODBYE);
                Outcome::Passed
            }
        }
    }

    /// Asks a program's own command, each time as a process of its own.
    fn commanded(
        &self,
        running: &mut Running,
        probe: &Probe,
        timeout: Duration,
    ) -> Result<(), String> {
        let Probe::Command { program, args } = probe else {
            return Err("there is nothing to ask".to_owned());
        };
        let log = self.log.with_extension("health.log");
        becomes_well(running, timeout, || {
            let mut asking = self
                .start(program, args, None, &log)
                .map_err(|_| "its health command does not start".to_owned())?;
            match asking.wait(timeout) {
                Ok(Some(Ending::Exit(0))) => Ok(()),
                Ok(Some(ending)) => Err(format!("its health command: {ending}")),
                _ => Err("its health command does not end".to_owned()),
            }
        })
    }

    fn address(&self, probe: &Probe, port: Option<u16>) -> Option<Address> {
        let (end, path) = match probe {
            Probe::Port { path, .. } => (End::Port(port?), path),
            Probe::Socket { socket, path } => (End::Socket(self.home.join(socket).into()), path),
            Probe::Command { .. } => return None,
        };
        Some(Address { end, path: path.clone() })
    }

    fn start(
        &self,
        program: &str,
        args: &[String],
        port: Option<u16>,
        log: &Utf8Path,
    ) -> Result<Running, Outcome> {
        let fill = |text: &String| filled(text, port, self.home.as_str());
        let given = self.room.env.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
        let environment = &self.room.context.environment;
        let found = surroundings::of(environment, &given, self.home, cfg!(windows));
        for folder in &found.folders {
            running::make_private(folder).map_err(|error| unable("make a folder", &error))?;
        }
        let program = self.room.bundle.join(program);
        let args: Vec<String> = args.iter().map(fill).collect();
        let interruption = &self.room.context.interruption;
        Running::start(&program, &args, &found.variables, self.home, (log, interruption))
            .map_err(|error| unable("start it", &error))
    }
}

fn unable(what: &str, error: &std::io::Error) -> Outcome {
    Outcome::Failed { reason: format!("could not {what}: {error}"), said: Vec::new() }
}

fn failed(reason: String, running: &Running) -> Outcome {
    Outcome::Failed { reason, said: running.said() }
}

/// Asks again and again, until the answer is good, the program has ended or the time is up.
fn becomes_well(
    running: &mut Running,
    timeout: Duration,
    mut ask: impl FnMut() -> Result<(), String>,
) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        let answer = ask();
        match running.ended() {
            Ok(Some(ending)) => return Err(format!("{ending} before it was well")),
            Err(error) => return Err(format!("it was lost ({error})")),
            Ok(None) => {}
        }
        match answer {
            Ok(()) => return Ok(()),
            Err(last) if begin.elapsed() >= timeout => {
                return Err(format!("it was not well within {} s: {last}", timeout.as_secs()));
            }
            Err(_) => std::thread::sleep(STEP),
        }
    }
}
