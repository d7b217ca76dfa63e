//! A finished bundle is unpacked into an empty folder and run.
//!
//! [`plan`] decides from the manifest what is tried, [`place`] where; [`execute`] takes the steps, and [`evidence`] writes down
//! what came of them. What cannot be tried is skipped with the reason and never counts as passed. Nothing of a
//! bundle runs on after its last step, on this machine or on a device.
//!
//! Deliberately absent: any change of the archive. What is known of a bundle is kept beside it.

pub mod device;
pub mod evidence;
pub mod execute;
pub mod host;
pub mod place;
pub mod plan;
mod running;

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_abi::Facts;
use gangway_artifact::{BundlePath, Digest, Fact, Manifest, Os};
use miette::Diagnostic;
use serde::Serialize;

use self::device::{Device, DeviceError};
use self::evidence::{EvidenceError, Subject};
use self::execute::{Outcome, Room, Tried};
use self::place::{Choice, Place};
use self::plan::{Action, Step};
use crate::context::Context;
use crate::unpacked::{self, UnpackedError};

/// Loads the addon that is named last. Every runtime reads CommonJS.
const LOADER: &str = "require(process.argv[process.argv.length - 1]);\n";

/// How a bundle is tried.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The address of a device to run it on.
    pub device: Option<String>,
    /// The command that leads into a system to run it in.
    pub inside: Option<String>,
}

/// Why a bundle could not be tried.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the transparent ones are the errors of the parts they name")]
pub enum SmokeError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Bundle(#[from] UnpackedError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Evidence(#[from] EvidenceError),
    /// A command without a word.
    #[error("the command of `{origin}` is empty")]
    #[diagnostic(help(
        "name a program that takes `--bind HOST:GUEST`, `--chdir FOLDER`, `--` and a program"
    ))]
    EmptyCommand { origin: String },
    /// A file of this machine.
    #[error("cannot make room for `{bundle}` in `{folder}`")]
    Room { bundle: Utf8PathBuf, folder: Utf8PathBuf, source: io::Error },
    /// A file of the bundle could not be read.
    #[error("cannot read `{path}`")]
    Read { path: Utf8PathBuf, source: io::Error },
}

/// A bundle that was tried.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it is: `<app> <version> for <target>`.
    pub bundle: String,
    /// The archive or folder.
    pub path: Utf8PathBuf,
    /// Where it ran: `native`, `emulated`, `other system`, `wine`, `device <address>` or `none`.
    pub kind: String,
    /// What a device said of itself.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub host: BTreeMap<String, String>,
    /// The steps, in the order they were taken.
    pub steps: Vec<Tried>,
    /// Where the evidence was written; there is none for a folder.
    pub evidence: Option<Utf8PathBuf>,
}

/// Tries a bundle: an archive, or the folder it was unpacked to.
///
/// # Errors
/// When it cannot be tried at all. What fails of the bundle itself is in the report.
pub fn run(context: &Context, path: &Utf8Path, options: &Options) -> Result<Report, SmokeError> {
    let manifest = unpacked::manifest(path)?;
    let bundle = format!("{} {} for {}", manifest.app.name, manifest.app.version, manifest.target);
    let spinner = context.reporter.spinner("Trying", bundle.clone());
    let say = |name: &str| spinner.message(format!("{bundle}: {name}"));
    let run = match &options.device {
        Some(address) => on_device(context, path, &manifest, address, say)?,
        None => match place::choose(context, &manifest, options)? {
            Choice::Nowhere(reason) => nowhere(&manifest, &reason),
            Choice::Native => here(context, path, &manifest, &Place::Native, say)?,
            Choice::Through(wrapper) => {
                here(context, path, &manifest, &Place::Through(wrapper), say)?
            }
        },
    };
    drop(spinner);
    let evidence = match path.is_dir() {
        true => None,
        false => Some(keep(path, &manifest, &run)?),
    };
    let Run { kind, host, steps } = run;
    Ok(Report { bundle, path: path.to_owned(), kind, host, steps, evidence })
}

impl Report {
    /// Whether something failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.outcome, Outcome::Failed { .. }))
    }

    /// For people: a line per step, and what was said where one failed.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines = vec![format!("{}: {}", self.bundle, self.kind)];
        for step in &self.steps {
            let Tried { name, seconds, outcome } = step;
            match outcome {
                Outcome::Passed { note } => {
                    let note = note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
                    lines.push(format!("   passed  {name}, {seconds:.1} s{note}"));
                }
                Outcome::Skipped { reason } => lines.push(format!("  skipped  {name}: {reason}")),
                Outcome::Failed { reason, said, log } => {
                    lines.push(format!("   FAILED  {name}: {reason}"));
                    lines.extend(said.iter().map(|line| format!("           | {line}")));
                    lines.extend(log.iter().map(|log| format!("           all of it: {log}")));
                }
            }
        }
        lines.extend(self.evidence.iter().map(|path| format!(" evidence  {path}")));
        lines.join("\n")
    }
}

/// What came of it, wherever that was.
struct Run {
    kind: String,
    host: BTreeMap<String, String>,
    steps: Vec<Tried>,
}

fn nowhere(manifest: &Manifest, reason: &str) -> Run {
    let steps = plan::steps(manifest, &BTreeMap::new(), plan::Pace::Own);
    let skipped = steps.into_iter().map(|step| Tried {
        name: step.name,
        seconds: 0.0,
        outcome: Outcome::Skipped { reason: reason.to_owned() },
    });
    Run { kind: "none".to_owned(), host: BTreeMap::new(), steps: skipped.collect() }
}

/// The folders of one run on this machine. They go with the value.
struct Folders {
    /// The bundle, and everything large.
    unpacked: Option<tempfile::TempDir>,
    /// Empty folders: their paths are short, as those of sockets must be.
    small: tempfile::TempDir,
    bundle: Utf8PathBuf,
    /// Of this run alone: another one may try the same bundle at the same time. It stays if there is something in it.
    logs: Utf8PathBuf,
}

impl Drop for Folders {
    fn drop(&mut self) {
        // Only empty folders can be removed so.
        let _ = fs_err::remove_dir(&self.logs);
    }
}

impl Folders {
    fn make(context: &Context, path: &Utf8Path, manifest: &Manifest) -> Result<Self, SmokeError> {
        let large = context.cache.join("smoke");
        let room =
            |source| SmokeError::Room { bundle: path.to_owned(), folder: large.clone(), source };
        let name = format!("{}-{}-{}", manifest.app.name, manifest.app.version, manifest.target);
        let all_logs = large.join("logs");
        fs_err::create_dir_all(&all_logs).map_err(room)?;
        let logs = tempfile::Builder::new().prefix(&format!("{name}.")).tempdir_in(&all_logs);
        let logs = Utf8PathBuf::from_path_buf(logs.map_err(room)?.keep());
        let logs = logs.expect("the cache's path is UTF-8");
        let small = tempfile::tempdir().map_err(room)?;
        let (unpacked, bundle) = if path.is_dir() {
            (None, path.canonicalize_utf8().map_err(room)?)
        } else {
            let folder = tempfile::Builder::new().tempdir_in(&large).map_err(room)?;
            let into = Utf8Path::from_path(folder.path()).expect("the cache's path is UTF-8");
            let bundle = into.join("bundle");
            unpacked::unpack(context, path, &bundle)?;
            (Some(folder), bundle)
        };
        Ok(Self { unpacked, small, bundle, logs })
    }

    fn small(&self) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.small.path().to_owned()).unwrap_or_else(|_| "/tmp".into())
    }
}

fn here(
    context: &Context,
    path: &Utf8Path,
    manifest: &Manifest,
    place: &Place,
    say: impl Fn(&str),
) -> Result<Run, SmokeError> {
    let folders = Folders::make(context, path, manifest)?;
    let small = folders.small();
    let loader = small.join("load.cjs");
    fs_err::write(&loader, LOADER).map_err(|source| SmokeError::Room {
        bundle: path.to_owned(),
        folder: small.clone(),
        source,
    })?;
    let room = Room {
        place,
        bundle: folders.bundle.clone(),
        is_own: folders.unpacked.is_some(),
        homes: small.clone(),
        loader,
        runtime: runtime(manifest),
        env: manifest.smoke.env.clone(),
        has_signals: manifest.platform.os != Os::Win32,
        logs: folders.logs.clone(),
        sockets: small,
    };
    let steps = plan::steps(manifest, &addons(&folders.bundle, manifest)?, place.pace());
    Ok(Run { kind: place.kind(), host: BTreeMap::new(), steps: take(&room, &steps, say) })
}

fn on_device(
    context: &Context,
    path: &Utf8Path,
    manifest: &Manifest,
    address: &str,
    say: impl Fn(&str),
) -> Result<Run, SmokeError> {
    say("connecting");
    let device = Device::connect(context, address)?;
    let libraries: Vec<&str> = manifest.contract.libraries.keys().map(String::as_str).collect();
    let (host, told) = host::read(&device.probe(&libraries)?);
    let kind = format!("device {}", device.name());
    let contract = contract(manifest, &host);
    if matches!(contract.outcome, Outcome::Failed { .. }) {
        let skipped = nowhere(manifest, "the device does not meet the contract").steps;
        let steps = std::iter::once(contract).chain(skipped).collect();
        return Ok(Run { kind, host: told, steps });
    }
    let folders = Folders::make(context, path, manifest)?;
    say("copying");
    device.copy(&folders.bundle, "bundle")?;
    device.write("load.cjs", LOADER)?;
    let remote = device.folder().to_owned();
    let place = Place::Device(Box::new(device));
    let room = Room {
        place: &place,
        bundle: remote.join("bundle"),
        is_own: true,
        homes: remote.join("h"),
        loader: remote.join("load.cjs"),
        runtime: runtime(manifest),
        env: manifest.smoke.env.clone(),
        has_signals: true,
        logs: folders.logs.clone(),
        sockets: folders.small(),
    };
    let steps = plan::steps(manifest, &addons(&folders.bundle, manifest)?, place.pace());
    let mut tried = vec![contract];
    tried.extend(take(&room, &steps, say));
    Ok(Run { kind, host: told, steps: tried })
}

/// What the bundle needs, held against what the machine has, before anything is copied to it.
fn contract(manifest: &Manifest, host: &gangway_artifact::Host) -> Tried {
    let unmet = manifest.contract.unmet(host);
    let (certain, unknown): (Vec<_>, Vec<_>) = unmet.iter().partition(|unmet| unmet.is_certain());
    let mut reasons: Vec<String> = certain.iter().map(ToString::to_string).collect();
    match &host.platform {
        Fact::Is(platform) if *platform != manifest.platform => {
            reasons.insert(0, "it is for another platform than the machine's".to_owned());
        }
        Fact::Is(_) => {}
        Fact::Unknown | Fact::Absent => {
            reasons.insert(0, "the machine is of no platform that Gangway knows".to_owned());
        }
    }
    let outcome = match (reasons.is_empty(), unknown.is_empty()) {
        (false, _) => Outcome::Failed {
            reason: "the machine does not meet it".to_owned(),
            said: reasons,
            log: None,
        },
        (true, true) => Outcome::Passed { note: None },
        (true, false) => {
            let needs: Vec<_> = unknown.iter().map(|unmet| unmet.need.subject()).collect();
            Outcome::Passed { note: Some(format!("could not be told: {}", needs.join(", "))) }
        }
    };
    Tried { name: "contract".to_owned(), seconds: 0.0, outcome }
}

fn take(room: &Room<'_>, steps: &[Step], say: impl Fn(&str)) -> Vec<Tried> {
    let numbered = steps.iter().enumerate();
    numbered
        .map(|(number, step)| {
            if !matches!(step.action, Action::Skip(_)) {
                say(&step.name);
            }
            execute::step(room, number, step)
        })
        .collect()
}

/// The runtime, and what it is given before a script.
fn runtime(manifest: &Manifest) -> Option<(String, Vec<String>)> {
    let runtime = manifest.runtime.as_ref()?;
    let before: &[&str] = match runtime.engine.as_str() {
        "deno" => &["run", "--allow-all"],
        _ => &[],
    };
    let before = before.iter().map(|word| (*word).to_owned()).collect();
    Some((runtime.path.to_string(), before))
}

/// The addons of the bundle, with what their bytes say.
fn addons(
    folder: &Utf8Path,
    manifest: &Manifest,
) -> Result<BTreeMap<BundlePath, Option<Facts>>, SmokeError> {
    let addons = manifest.files.iter().filter(|file| file.path.as_str().ends_with(".node"));
    let read = |path: &BundlePath| {
        let file = folder.join(path.as_str());
        let bytes =
            fs_err::read(&file).map_err(|source| SmokeError::Read { path: file, source })?;
        Ok((path.clone(), gangway_abi::read(&bytes)))
    };
    addons.map(|file| read(&file.path)).collect()
}

fn keep(archive: &Utf8Path, manifest: &Manifest, run: &Run) -> Result<Utf8PathBuf, SmokeError> {
    let read = |source| SmokeError::Read { path: archive.to_owned(), source };
    let file = fs_err::File::open(archive).map_err(read)?;
    let (sha256, _) = Digest::of_reader(file).map_err(read)?;
    // The manifest is written the same way whoever writes it.
    let subject = Subject { archive, sha256, manifest_sha256: Digest::of(manifest.to_json()) };
    let path = evidence::place(archive);
    evidence::add(&path, evidence::statement(subject, &run.kind, &run.host, &run.steps))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_for_people() {
        let tried = |name: &str, outcome| Tried { name: name.to_owned(), seconds: 1.25, outcome };
        let report = Report {
            bundle: "a 1.0.0 for linux-x64".to_owned(),
            path: "/o/a.tar.zst".into(),
            kind: "native".to_owned(),
            host: BTreeMap::new(),
            steps: vec![
                tried("a --version", Outcome::Passed { note: None }),
                tried("service s", Outcome::Passed { note: Some("half".to_owned()) }),
                tried("load x.node", Outcome::Skipped { reason: "not here".to_owned() }),
                tried(
                    "load y.node",
                    Outcome::Failed {
                        reason: "it was killed by signal 11 (SIGSEGV)".to_owned(),
                        said: vec!["one".to_owned(), "two".to_owned()],
                        log: Some("/c/y.log".into()),
                    },
                ),
            ],
            evidence: Some("/o/a.evidence.json".into()),
        };
        assert!(report.has_failed());
        insta::assert_snapshot!(report.table(), @"
        a 1.0.0 for linux-x64: native
           passed  a --version, 1.2 s
           passed  service s, 1.2 s (half)
          skipped  load x.node: not here
           FAILED  load y.node: it was killed by signal 11 (SIGSEGV)
                   | one
                   | two
                   all of it: /c/y.log
         evidence  /o/a.evidence.json
        ");
    }
}
