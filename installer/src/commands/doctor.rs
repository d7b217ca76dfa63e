//! `doctor`: what this machine is, and what the app needs of it.

use std::process::ExitCode;

use gangway_artifact::trust::Bundle;
use gangway_artifact::{Contract, Manifest};

use super::advance::read_manifest;
use super::{CommandError, Run, Status};
use crate::cli::Doctor;
use crate::doctor::{self, Patient};
use crate::host::choose::{Wish, choose};
use crate::host::{self, Asked};
use crate::prefix::state::State;
use crate::prefix::{Layout, current};

/// Examines this machine: for what is installed, or for what would be; if neither is known, only what it is.
pub(super) fn doctor(run: &Run<'_>, options: &Doctor) -> Result<ExitCode, CommandError> {
    let origin = &options.origin;
    let layout = run.found().ok();
    let state = layout.as_ref().and_then(|layout| State::read(layout).ok().flatten());
    let is_about_another = origin.from.is_some()
        || origin.version.is_some()
        || origin.channel.is_some()
        || origin.target.is_some();
    let installed = layout.as_ref().filter(|_| !is_about_another).and_then(installed);
    let forced =
        layout.as_ref().zip(state.as_ref()).filter(|_| installed.is_some()).and_then(forced);
    let offered = match (&installed, is_about_another) {
        (None, true) => Some(offered(run, options, state.as_ref())?),
        (None, false) => offered(run, options, state.as_ref()).ok(),
        (Some(_), _) => None,
    };
    let contract: Option<&Contract> = (installed.as_ref().map(|manifest| &manifest.contract))
        .or(offered.as_ref().map(|(_, _, bundle)| &bundle.contract));
    let prefix = layout.as_ref().map_or(run.context.current_dir.as_path(), Layout::prefix);
    let asked = Asked::about(contract, prefix);
    let machine = host::detect(run.context, &asked);
    let app = offered.as_ref().map(|(name, version, _)| gangway_artifact::App {
        name: name.parse().expect("a channel's app has no other name"),
        version: version.clone(),
    });
    let of_offered = offered.as_ref().zip(app.as_ref()).map(|((_, _, bundle), app)| Patient {
        app,
        target: &bundle.target,
        platform: &bundle.platform,
        contract: &bundle.contract,
    });
    let patient = installed.as_ref().map(Patient::of).or(of_offered);
    let mut report = doctor::examine(&machine, patient);
    report.warnings.extend(
        forced
            .unwrap_or_default()
            .iter()
            .map(|unmet| format!("it was installed with `--force`, which overruled that {unmet}")),
    );
    run.reporter.result(&report, &doctor::text(&machine, &report));
    Ok(if report.passes { ExitCode::SUCCESS } else { ExitCode::from(Status::Machine as u8) })
}

/// The manifest of the version that is used.
fn installed(layout: &Layout) -> Option<Manifest> {
    let slot = current::read(layout).ok().flatten()?;
    read_manifest(&layout.version(&slot)).ok()
}

/// What was overruled when that version was installed.
fn forced((layout, state): (&Layout, &State)) -> Option<Vec<String>> {
    let slot = current::read(layout).ok().flatten()?;
    Some(state.of(&slot)?.forced.clone())
}

/// The bundle that would be installed: the app, the version, the bundle.
fn offered(
    run: &Run<'_>,
    options: &Doctor,
    state: Option<&State>,
) -> Result<(String, String, Bundle), CommandError> {
    let origin = &options.origin;
    let releases = run.releases(origin.from.as_deref(), origin.channel.as_deref(), state)?;
    let release = releases.release(origin.version.as_deref())?;
    let contracts = release.bundles.iter().map(|bundle| &bundle.contract);
    let prefix = run.prefix_for(&releases.channel.app)?.prefix().to_owned();
    let machine = host::detect(run.context, &Asked::about(contracts, prefix));
    let target = match origin.target.as_deref().filter(|name| *name != "auto") {
        Some(name) => {
            Some(name.parse().map_err(|_| CommandError::Target { name: name.to_owned() })?)
        }
        None => None,
    };
    let wish = Wish { target, is_forced: true };
    let version = release.version.clone();
    let choice = choose(&release.bundles, &machine, &wish).map_err(|refusal| {
        CommandError::Machine { version: version.clone(), refusal: Box::new(refusal) }
    })?;
    Ok((releases.channel.app.clone(), version, choice.bundle.clone()))
}
