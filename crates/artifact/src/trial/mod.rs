//! What is tried of a bundle, decided from its manifest, and what counts as well.
//!
//! The builder tries a bundle before it is published and the installer before a version is switched to. Both take the same
//! steps, with the same words for what is filled in, and ask in the same way ([`probe`]). Here nothing is started.
//! A step that cannot be taken is there all the same, with the reason: nothing is left out in silence.

mod ending;
pub mod probe;

use std::collections::BTreeMap;
use std::time::Duration;

pub use ending::{Ending, last_lines};

use crate::{Manifest, Os, ServiceHealth};

/// What stands for a free port in arguments and variables.
const PORT: &str = "{port}";

/// What stands for the empty folder that a program starts in.
const HOME: &str = "{home}";

/// What is tried of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Each entrypoint says its version; not that of the health, which is tried by it and need not know one.
    pub entrypoints: Vec<Step>,
    /// Each service becomes well.
    pub services: Vec<Step>,
    /// The gateway becomes well.
    pub gateway: Step,
}

/// One thing to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is called in reports and in the evidence: the same for the same bundle, wherever it runs.
    pub name: String,
    /// What is done.
    pub action: Action,
}

/// What is done in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The program is run and ends with 0.
    Run(Start),
    /// The program is started, becomes well, and ends when it is asked to.
    Serve(Start, Probe),
    /// Nothing, for this reason.
    Skip(String),
}

/// A program of the bundle and what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The program: a path in the bundle.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// How long it may take to end, or to become well.
    pub timeout: Duration,
}

/// How a program that runs is asked whether it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// At a port, by the path of a GET request, or by connecting alone.
    Port {
        /// The port; none where a free one is told to the program.
        fixed: Option<u16>,
        /// The path.
        path: Option<String>,
    },
    /// At a Unix socket.
    Socket {
        /// The socket: absolute, or relative to the folder the program starts in.
        socket: String,
        /// The path of a GET request.
        path: Option<String>,
    },
    /// By another program that ends with 0.
    Command {
        /// The program: a path in the bundle.
        program: String,
        /// Its arguments.
        args: Vec<String>,
    },
}

/// Everything to try. Every program has `factor` times its time.
#[must_use]
pub fn of(manifest: &Manifest, factor: u32) -> Trial {
    let times = Times { factor };
    let suffix = if manifest.platform.os == Os::Win32 { ".exe" } else { "" };
    let program = |name: &str| format!("bin/{name}{suffix}");
    Trial {
        entrypoints: entrypoints(manifest, times, program),
        services: services(manifest, times, program),
        gateway: gateway(manifest, times, program),
    }
}

/// Puts what is known while it runs into an argument or variable.
#[must_use]
pub fn filled(text: &str, port: Option<u16>, home: &str) -> String {
    let text = text.replace(HOME, home);
    match port {
        Some(port) => text.replace(PORT, &port.to_string()),
        None => text,
    }
}

#[derive(Clone, Copy)]
struct Times {
    factor: u32,
}

impl Times {
    fn seconds(self, seconds: u32) -> Duration {
        Duration::from_secs(u64::from(seconds) * u64::from(self.factor))
    }
}

fn entrypoints(manifest: &Manifest, times: Times, program: impl Fn(&str) -> String) -> Vec<Step> {
    let timeout = times.seconds(manifest.smoke.timeout_seconds);
    let gateway = manifest.health.as_ref().map(|health| &health.entrypoint);
    let others = manifest.entrypoints.iter().filter(|this| Some(&this.name) != gateway);
    let step = |name: &str| {
        let args = manifest.smoke.version_args.clone();
        let action = match args.is_empty() {
            true => Action::Skip("`version-args` in [smoke] is empty".to_owned()),
            false => Action::Run(Start { program: program(name), args, timeout }),
        };
        let words = format!("{name} {}", manifest.smoke.version_args.join(" "));
        Step { name: words.trim_end().to_owned(), action }
    };
    others.map(|entrypoint| step(entrypoint.name.as_str())).collect()
}

fn services(manifest: &Manifest, times: Times, program: impl Fn(&str) -> String) -> Vec<Step> {
    let steps = manifest.services.iter().map(|service| {
        let given = manifest.smoke.service_args.get(service.name.as_str());
        let args = given.cloned().unwrap_or_default();
        let program = program(service.name.as_str());
        let action = match &service.health {
            None => Action::Skip("its [[service]] has no `health` to ask for".to_owned()),
            Some(health) => match service_probe(health, &args, &program, manifest.platform.os) {
                Ok(probe) => {
                    let timeout = times.seconds(health.timeout_seconds);
                    Action::Serve(Start { program, args, timeout }, probe)
                }
                Err(reason) => Action::Skip(reason),
            },
        };
        Step { name: format!("service {}", service.name), action }
    });
    steps.collect()
}

fn gateway(manifest: &Manifest, times: Times, program: impl Fn(&str) -> String) -> Step {
    let Some(health) = &manifest.health else {
        return Step {
            name: "gateway".to_owned(),
            action: Action::Skip("the manifest has no [health] to ask for".to_owned()),
        };
    };
    let args = manifest.smoke.gateway_args.clone();
    let probe = Probe::Port {
        fixed: fixed(health.port, &args, &manifest.smoke.env),
        path: Some(health.path.clone()),
    };
    let timeout = times.seconds(health.timeout_seconds);
    let start = Start { program: program(health.entrypoint.as_str()), args, timeout };
    Step { name: format!("gateway {}", health.path), action: Action::Serve(start, probe) }
}

fn fixed(port: u16, args: &[String], env: &BTreeMap<String, String>) -> Option<u16> {
    let is_told = args.iter().chain(env.values()).any(|text| text.contains(PORT));
    (!is_told).then_some(port)
}

fn service_probe(
    health: &ServiceHealth,
    args: &[String],
    program: &str,
    os: Os,
) -> Result<Probe, String> {
    match (&health.socket, health.port) {
        (Some(_), _) if os == Os::Win32 => {
            Err("its health is asked at a Unix socket, and Windows has none".to_owned())
        }
        (Some(socket), _) => {
            Ok(Probe::Socket { socket: socket.clone(), path: health.path.clone() })
        }
        (None, Some(port)) => Ok(Probe::Port {
            fixed: fixed(port, args, &BTreeMap::new()),
            path: health.path.clone(),
        }),
        (None, None) => {
            Ok(Probe::Command { program: program.to_owned(), args: health.command.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in() {
        assert_eq!(filled("{home}/x:{port}", Some(80), "/h"), "/h/x:80");
        assert_eq!(filled("{port}", None, "/h"), "{port}");
    }

    #[test]
    fn a_manifest_that_says_nothing() {
        let trial = of(&crate::manifest::tests::smallest(), 1);
        assert_eq!((trial.entrypoints.len(), trial.services.len()), (0, 0));
        let reason = "the manifest has no [health] to ask for".to_owned();
        assert_eq!(trial.gateway.action, Action::Skip(reason));
    }
}
