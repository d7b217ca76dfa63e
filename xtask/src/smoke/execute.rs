//! The steps of a plan, taken one after the other.
//!
//! Nothing is chosen here but free ports. Each step has an empty folder and a log of its own, and no step begins before
//! everything that the one before started is gone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::trial::probe::{self, Address, End};
use gangway_artifact::trial::{Ending, Probe, Start, filled};
use serde::Serialize;

use super::place::{Place, Program};
use super::plan::{Action, Step};
use super::running::{self, Running, STEP, TERM};

/// How long a program may take to end after it was asked to.
const GOODBYE: Duration = Duration::from_secs(30);

/// A step that was taken, or was not.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    /// What it is called.
    pub name: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// It went well.
    Passed {
        /// What was not tried of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// It did not.
    Failed {
        /// Why.
        reason: String,
        /// The last lines of what was said.
        said: Vec<String>,
        /// Everything that was said.
        #[serde(skip_serializing_if = "Option::is_none")]
        log: Option<Utf8PathBuf>,
    },
    /// It was not tried.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// Where a bundle is tried, with everything brought there. Paths are those that programs see.
#[derive(Debug)]
pub struct Room<'a> {
    /// Where.
    pub place: &'a Place,
    /// The bundle's folder.
    pub bundle: Utf8PathBuf,
    /// Whether that folder was made for this run, and nobody else has to do with it.
    pub is_own: bool,
    /// The folder of empty folders, made for this run.
    pub homes: Utf8PathBuf,
    /// The script that loads an addon.
    pub loader: Utf8PathBuf,
    /// The runtime and what it is given before a script.
    pub runtime: Option<(String, Vec<String>)>,
    /// Variables for all programs.
    pub env: BTreeMap<String, String>,
    /// Whether programs there can be asked to end.
    pub has_signals: bool,
    /// Where logs are kept, on this machine.
    pub logs: Utf8PathBuf,
    /// Sockets of this machine for those of a device.
    pub sockets: Utf8PathBuf,
}

/// Takes one step. Its log is removed when it passed.
#[must_use]
pub fn step(room: &Room<'_>, number: usize, step: &Step) -> Tried {
    let begin = Instant::now();
    let log = room.logs.join(format!("{number:02}-{}.log", file_name(&step.name)));
    let home = room.homes.join(number.to_string());
    let taken = Taken { room, log: &log, home: &home };
    let outcome = match &step.action {
        Action::Skip(reason) => Outcome::Skipped { reason: reason.clone() },
        Action::Run(start) => taken.run(&start.program, &start.args, start.timeout),
        Action::Load { addon, timeout } => taken.load(addon.as_str(), *timeout),
        Action::Serve(start, probe) => taken.serve(start, probe),
    };
    if !matches!(room.place, Place::Device(_)) {
        // In a folder of the user's the same bundle may be running for its own sake; what was started here has a home below
        // a folder of this run.
        let own = [Some(&room.homes), Some(&room.bundle).filter(|_| room.is_own)];
        running::end_all(&own.into_iter().flatten().map(AsRef::as_ref).collect::<Vec<_>>());
    }
    if !matches!(outcome, Outcome::Failed { .. }) {
        // There is none where nothing was started.
        let _ = fs_err::remove_file(&log);
    }
    Tried { name: step.name.clone(), seconds: begin.elapsed().as_secs_f64(), outcome }
}

#[derive(Clone, Copy)]
struct Taken<'a> {
    room: &'a Room<'a>,
    log: &'a Utf8Path,
    home: &'a Utf8Path,
}

impl Taken<'_> {
    fn run(self, program: &str, args: &[String], timeout: Duration) -> Outcome {
        match self.start(program, args, None, self.log) {
            Err(outcome) => outcome,
            Ok(running) => self.ends_well(running, timeout),
        }
    }

    fn load(self, addon: &str, timeout: Duration) -> Outcome {
        let Some((runtime, before)) = &self.room.runtime else {
            return Outcome::Skipped { reason: "the bundle has no runtime to load it".to_owned() };
        };
        let addon = self.room.bundle.join(addon);
        let words = [self.room.loader.as_str(), addon.as_str()].map(str::to_owned);
        let args: Vec<String> = before.iter().cloned().chain(words).collect();
        self.run(runtime, &args, timeout)
    }

    fn ends_well(self, mut running: Running, timeout: Duration) -> Outcome {
        match running.wait(timeout) {
            Ok(Some(Ending::Exit(0))) => Outcome::Passed { note: None },
            Ok(Some(ending)) => self.failed(ending.to_string(), &running),
            Ok(None) => {
                self.failed(format!("it did not end within {} s", timeout.as_secs()), &running)
            }
            Err(error) => self.failed(format!("it was lost ({error})"), &running),
        }
    }

    fn serve(self, start: &Start, probe: &Probe) -> Outcome {
        let port = match probe {
            Probe::Port { fixed: Some(port), .. } if self.is_taken(*port) => {
                let reason = format!(
                    "port {port} of this machine is taken; `{{port}}` in [smoke] lets it have another one"
                );
                return Outcome::Skipped { reason };
            }
            Probe::Port { fixed: Some(port), .. } => Some(*port),
            _ => match probe::free_port() {
                Ok(port) => Some(port),
                Err(error) => return self.unable("find a free port", &error),
            },
        };
        let mut running = match self.start(&start.program, &start.args, port, self.log) {
            Ok(running) => running,
            Err(outcome) => return outcome,
        };
        let becomes_well = match probe {
            Probe::Command { program, args } => {
                self.commanded(&mut running, program, args, start.timeout)
            }
            _ => match self.address(probe, port) {
                Ok(address) => becomes_well(&mut running, start.timeout, || address.ask()),
                Err(reason) => Err(reason),
            },
        };
        match becomes_well {
            Err(reason) => self.failed(reason, &running),
            Ok(()) if !self.room.has_signals => Outcome::Passed {
                note: Some(
                    "how it ends was not tried: this system has no signal for it".to_owned(),
                ),
            },
            Ok(()) => self.ends_when_asked(running),
        }
    }

    fn ends_when_asked(self, mut running: Running) -> Outcome {
        if let Err(error) = running.ask_to_end() {
            return self.failed(format!("it could not be asked to end ({error})"), &running);
        }
        match running.wait(GOODBYE) {
            // Who does not care about the signal ends by it, and that is an end.
            Ok(Some(Ending::Exit(0) | Ending::Signal(TERM))) => Outcome::Passed { note: None },
            Ok(Some(ending)) => {
                let reason = format!("it was well, and SIGTERM did not end it cleanly: {ending}");
                self.failed(reason, &running)
            }
            Ok(None) => {
                let seconds = GOODBYE.as_secs();
                self.failed(
                    format!("it was well, and ran on for {seconds} s after SIGTERM"),
                    &running,
                )
            }
            Err(error) => self.failed(format!("it was lost ({error})"), &running),
        }
    }

    /// Asks a program's own command, each time as a process of its own.
    fn commanded(
        self,
        running: &mut Running,
        program: &str,
        args: &[String],
        timeout: Duration,
    ) -> Result<(), String> {
        let log = self.log.with_extension("health.log");
        let asked = becomes_well(running, timeout, || {
            let mut asking = match self.start(program, args, None, &log) {
                Ok(asking) => asking,
                Err(_) => return Err("its health command does not start".to_owned()),
            };
            match asking.wait(timeout) {
                Ok(Some(Ending::Exit(0))) => Ok(()),
                Ok(Some(ending)) => Err(format!("its health command: {ending}")),
                _ => Err("its health command does not end".to_owned()),
            }
        });
        let _ = fs_err::remove_file(&log);
        asked
    }

    /// Where this machine asks, which on a device is the end of a tunnel.
    fn address(self, probe: &Probe, port: Option<u16>) -> Result<Address, String> {
        let failed = |error: super::device::DeviceError| error.to_string();
        match (probe, self.room.place) {
            (Probe::Port { path, .. }, Place::Device(device)) => {
                let there = port.unwrap_or_default();
                let here = probe::free_port().map_err(|error| error.to_string())?;
                device.forward(&format!("127.0.0.1:{here}:127.0.0.1:{there}")).map_err(failed)?;
                Ok(Address { end: End::Port(here), path: path.clone() })
            }
            (Probe::Port { path, .. }, _) => {
                Ok(Address { end: End::Port(port.unwrap_or_default()), path: path.clone() })
            }
            (Probe::Socket { socket, path }, Place::Device(device)) => {
                let there = self.home.join(socket);
                let here = self.room.sockets.join(self.home.file_name().unwrap_or_default());
                device.forward(&format!("{here}:{there}")).map_err(failed)?;
                Ok(Address { end: End::Socket(here.into()), path: path.clone() })
            }
            (Probe::Socket { socket, path }, _) => {
                Ok(Address { end: End::Socket(self.home.join(socket).into()), path: path.clone() })
            }
            (Probe::Command { .. }, _) => Err("a command has no address".to_owned()),
        }
    }

    fn is_taken(self, port: u16) -> bool {
        !matches!(self.room.place, Place::Device(_)) && !probe::is_free(port)
    }

    fn start(
        self,
        program: &str,
        args: &[String],
        port: Option<u16>,
        log: &Utf8Path,
    ) -> Result<Running, Outcome> {
        if !matches!(self.room.place, Place::Device(_)) {
            fs_err::create_dir_all(self.home)
                .map_err(|error| self.unable("make a folder", &error))?;
        }
        let fill = |text: &String| filled(text, port, self.home.as_str());
        let args: Vec<String> = args.iter().map(fill).collect();
        let env: Vec<(String, String)> =
            self.room.env.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
        let program = Program {
            folders: &[&self.room.bundle, &self.room.homes],
            home: self.home,
            program: &self.room.bundle.join(program),
            args: &args,
            env: &env,
        };
        Running::start(self.room.place, program, log)
            .map_err(|error| self.unable("start it", &error))
    }

    fn unable(self, what: &str, error: &std::io::Error) -> Outcome {
        let reason = format!("could not {what}: {error}");
        Outcome::Failed { reason, said: Vec::new(), log: None }
    }

    fn failed(self, reason: String, running: &Running) -> Outcome {
        Outcome::Failed { reason, said: running.said(), log: Some(self.log.to_owned()) }
    }
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
            Ok(Some(ending)) => {
                return Err(format!("{ending} before it was well"));
            }
            Err(error) => return Err(format!("it was lost ({error})")),
            Ok(None) => {}
        }
        match answer {
            Ok(()) => return Ok(()),
            Err(last) if begin.elapsed() >= timeout => {
                return Err(format!("it was not well within {} s: {last}", timeout.as_secs()));
            }
            Err(_) => std::thread::sleep(STEP * 3),
        }
    }
}

fn file_name(name: &str) -> String {
    let plain =
        |letter: char| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' };
    let text: String = name.chars().map(plain).collect();
    // The end of a path says more than its beginning.
    text[text.len().saturating_sub(60)..].trim_matches('-').to_owned()
}
