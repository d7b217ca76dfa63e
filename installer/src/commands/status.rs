//! `status`: what is installed, and what is going on.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use serde::Serialize;

use super::{CommandError, Run};
use crate::fetch::Place;
use crate::prefix::current;
use crate::prefix::journal::{Journal, Operation};
use crate::prefix::state::{Refused, State};
use crate::snapshot::Store;

/// What is to be said.
#[derive(Debug, Serialize)]
struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    prefix: Utf8PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bin_dir: Option<Utf8PathBuf>,
    programs: Vec<String>,
    /// What the version that is used needs, was not there, and was overruled.
    forced: Vec<String>,
    refused: Vec<Refused>,
    /// What was begun and has not come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    unfinished: Option<String>,
}

/// Says what is installed. Nothing is changed.
pub(super) fn status(run: &Run<'_>) -> Result<ExitCode, CommandError> {
    let layout = run.found()?;
    let is_data_moving = Store::at(layout.snapshots()).is_unfinished();
    let data = is_data_moving.then(|| "bringing back the app's data".to_owned());
    let unfinished = Journal::read(&layout)?.map(|operation| describe(&operation)).or(data);
    let state = State::read(&layout)?;
    let used = current::read(&layout)?;
    let version = |slot| Some(state.as_ref()?.of(slot)?.version.clone());
    let installed = state.as_ref().zip(used.as_ref()).and_then(|(state, slot)| state.of(slot));
    let status = Status {
        used: used.as_ref().map(|slot| version(slot).unwrap_or_else(|| slot.to_string())),
        previous: state.as_ref().and_then(|state| version(state.previous.as_ref()?)),
        prefix: layout.prefix().to_owned(),
        unfinished,
        app: state.as_ref().map(|state| state.app.clone()),
        channel: state.as_ref().map(|state| state.channel.clone()),
        base: state.as_ref().and_then(|state| shown(run, &state.base)),
        bin_dir: state.as_ref().map(|state| state.bin_dir.clone()),
        programs: state.as_ref().map(|state| state.programs.clone()).unwrap_or_default(),
        forced: installed.map(|installed| installed.forced.clone()).unwrap_or_default(),
        refused: state.map(|state: State| state.refused).unwrap_or_default(),
    };
    run.reporter.result(&status, &status.text());
    Ok(ExitCode::SUCCESS)
}

/// Where releases come from, without the password or the signature: what is printed here is what people show to others.
fn shown(run: &Run<'_>, base: &str) -> Option<String> {
    Place::parse(base, &run.context.current_dir).ok().map(|place| place.to_string())
}

fn describe(operation: &Operation) -> String {
    match operation {
        Operation::Make { slot } => format!("making version {slot}: it is removed and made again"),
        Operation::Activate(activation) => format!("changing to version {}", activation.to),
        Operation::Remove { .. } => "removing old versions".to_owned(),
        Operation::Uninstall(_) => "removing the app".to_owned(),
    }
}

impl Status {
    fn text(&self) -> String {
        let programs = self.programs.join(", ");
        let refused: Vec<String> = self.refused.iter().map(|one| one.version.clone()).collect();
        let refused = Some(refused.join(", ")).filter(|list| !list.is_empty());
        let forced = Some(self.forced.join("; ")).filter(|list| !list.is_empty());
        let lines = [
            ("app", self.app.as_deref()),
            ("version", self.used.as_deref()),
            ("before", self.previous.as_deref()),
            ("channel", self.channel.as_deref()),
            ("from", self.base.as_deref()),
            ("prefix", Some(self.prefix.as_str())),
            ("programs", Some(programs.as_str()).filter(|programs| !programs.is_empty())),
            ("in", self.bin_dir.as_deref().map(camino::Utf8Path::as_str)),
            ("forced", forced.as_deref()),
            ("not taken", refused.as_deref()),
            ("unfinished", self.unfinished.as_deref()),
        ];
        let line = |(name, value): (&str, Option<&str>)| Some(format!("{name:<11} {}", value?));
        let mut lines: Vec<String> = lines.into_iter().filter_map(line).collect();
        if self.unfinished.is_some() {
            lines.push("The next command that changes anything finishes or undoes it.".to_owned());
        }
        lines.join("\n")
    }
}
