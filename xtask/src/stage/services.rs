//! The services of a bundle: `services/<name>/`, and addons of the workspace in `app/`.

use std::collections::BTreeMap;

use gangway_artifact::{BundlePath, PythonProgram, Service, ServiceHealth};

use super::{Materials, StageError, place};
use crate::config::{self, HealthProbe};
use crate::plan::TargetPlan;
use crate::services::{Bench, Made};
use crate::tree::Tree;

/// A service that is a process, and its files.
pub(super) type Process<'a> = (&'a config::Service, Made);

/// The services that are processes, in the manifest's order, and the files of those that are addons.
pub(super) fn make<'a>(
    materials: &Materials<'a>,
    plan: &TargetPlan,
) -> Result<(Vec<Process<'a>>, Tree), StageError> {
    let Materials { context, config, store, confinement, services, lock, .. } = *materials;
    let bench = Bench { context, config, store, sources: services, confinement };
    let (mut processes, mut addons) = (Vec::new(), Tree::default());
    for service in &config.services {
        let made = crate::services::make(bench, service, lock, &plan.data)?;
        if service.is_process() {
            processes.push((service, made));
        } else {
            addons.extend(made.tree);
        }
    }
    Ok((processes, addons))
}

/// What a bundle says of its services, and how those in Python are started.
#[derive(Debug, Default)]
pub(super) struct Added {
    pub(super) services: Vec<Service>,
    pub(super) python: BTreeMap<String, PythonProgram>,
}

/// `services/<name>/`; returns what is said of each, sorted by name.
pub(super) fn add(
    processes: Vec<Process<'_>>,
    tree: &mut Tree,
    warnings: &mut Vec<String>,
) -> Result<Added, StageError> {
    let mut added = Added::default();
    for (service, made) in processes {
        let name = &service.name.value;
        let folder = BundlePath::new(format!("services/{name}"))?;
        let program = made.program.map(|program| folder.join_path(&program)).transpose()?;
        place(tree, folder.as_str(), made.tree)?;
        warnings.extend(made.warnings);
        added.services.push(Service {
            name: name.parse().expect("the configuration has no other names"),
            kind: service.kind().as_str().to_owned(),
            program,
            python: made.python.as_ref().map(|python| python.versions),
            args: service.args.clone(),
            env: service.env.clone(),
            health: service.health.as_ref().map(service_health),
        });
        added.python.extend(made.python.map(|python| (name.clone(), python)));
    }
    added.services.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(added)
}

fn service_health(health: &config::ServiceHealth) -> ServiceHealth {
    let nothing =
        ServiceHealth { timeout_seconds: health.timeout_seconds, ..ServiceHealth::default() };
    match health.probe.clone() {
        HealthProbe::Socket { socket, path } => {
            ServiceHealth { socket: Some(socket), path, ..nothing }
        }
        HealthProbe::Port { port, path } => ServiceHealth { port: Some(port), path, ..nothing },
        HealthProbe::Command(command) => ServiceHealth { command, ..nothing },
    }
}
