//! Whether the app's service is well after a version was switched to.
//!
//! It is the user's service at the manifest's port. Users may have told it another one: so it is asked before the switch too, and only
//! who answered then must answer afterwards. And an answer of the version from before, which nobody restarted, is none.

use std::time::{Duration, Instant};

use camino::Utf8Path;
use gangway_artifact::Health;
use gangway_artifact::trial::probe::{Address, End};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use crate::restart::processes;

/// How often is asked.
const STEP: Duration = Duration::from_millis(100);

/// What the service said before the switch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// It was well.
    Well,
    /// It was not, or is not where the manifest says, or nobody asked.
    #[default]
    Silent,
}

/// What follows for the version that was switched to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Stay,
    /// It stays, and nobody knows whether it is well: it was not to be reached before either.
    Unknown,
    /// The one before comes back.
    GoBack,
}

/// The service is not well.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("the service was not well within {seconds} s at port {port}: {reason}")]
pub struct HealthError {
    /// How long it had.
    pub seconds: u64,
    /// Where it was asked.
    pub port: u16,
    /// What it said last.
    pub reason: String,
}

/// Asks once, before the switch, if the manifest says where.
#[must_use]
pub fn before(health: Option<&Health>) -> Before {
    let is_well = health.is_some_and(|health| address(health).ask().is_ok());
    if is_well { Before::Well } else { Before::Silent }
}

/// Asks until the service is well, or `factor` times the manifest's time is up. `versions` is the folder of all versions, and `version`
/// the one that must answer. Returns how long it took.
///
/// # Errors
/// With what it said last.
pub fn after(
    health: &Health,
    versions: &Utf8Path,
    version: &str,
    factor: u32,
) -> Result<Duration, HealthError> {
    let time = Duration::from_secs(u64::from(health.timeout_seconds) * u64::from(factor.max(1)));
    let begin = Instant::now();
    loop {
        let answer = address(health).ask().and_then(|()| is_by(version, versions, health.port));
        match answer {
            Ok(()) => return Ok(begin.elapsed()),
            Err(reason) if begin.elapsed() >= time => {
                return Err(HealthError { seconds: time.as_secs(), port: health.port, reason });
            }
            Err(_) => std::thread::sleep(STEP),
        }
    }
}

/// What follows from both answers.
#[must_use]
pub fn verdict(before: Before, after: Result<&Duration, &HealthError>) -> Verdict {
    match (before, after) {
        (_, Ok(_)) => Verdict::Stay,
        (Before::Well, Err(_)) => Verdict::GoBack,
        (Before::Silent, Err(_)) => Verdict::Unknown,
    }
}

fn address(health: &Health) -> Address {
    Address { end: End::Port(health.port), path: Some(health.path.clone()) }
}

/// Who answers is of this version, as far as that can be told.
fn is_by(version: &str, versions: &Utf8Path, port: u16) -> Result<(), String> {
    let mut old = processes::of_app(versions).unwrap_or_default();
    old.retain(|process| process.version != version);
    match processes::listener(port, &old) {
        Some(process) => {
            Err(format!("version {} still answers, by process {}", process.version, process.id))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// A service that is well after so many questions.
    fn service(after: usize) -> Health {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || {
            for count in 0.. {
                let (mut stream, _) = listener.accept().expect("a client");
                let _ = stream.read(&mut [0; 512]);
                let status = if count < after { 503 } else { 200 };
                let _ = write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
            }
        });
        Health {
            entrypoint: "claw".parse().expect("a name"),
            port,
            path: "/h".into(),
            timeout_seconds: 0,
        }
    }

    #[test]
    fn it_has_its_time() {
        let versions = Utf8Path::new("/nowhere/versions");
        let mut health = service(2);
        let error = after(&health, versions, "2.0.0", 1).expect_err("it is not well yet");
        let told = error.to_string().replace(&health.port.to_string(), "PORT");
        insta::assert_snapshot!(told, @"the service was not well within 0 s at port PORT: `/h` answers with status 503");
        health.timeout_seconds = 60;
        after(&health, versions, "2.0.0", 1).expect("it is well at the third question");
        assert_eq!(before(Some(&health)), Before::Well);
        health.port = gangway_artifact::trial::probe::free_port().expect("there is one");
        assert_eq!(before(Some(&health)), Before::Silent);
        assert_eq!(before(None), Before::Silent);
    }

    #[test]
    fn who_was_not_to_be_reached_decides_nothing() {
        let ill = HealthError { seconds: 1, port: 1, reason: String::new() };
        assert_eq!(verdict(Before::Well, Err(&ill)), Verdict::GoBack);
        assert_eq!(verdict(Before::Silent, Err(&ill)), Verdict::Unknown);
        assert_eq!(verdict(Before::Silent, Ok(&Duration::ZERO)), Verdict::Stay);
    }
}
