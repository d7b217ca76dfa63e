//! The services of a bundle: `services/<name>/`, and addons of the workspace in `app/`.

use gangway_artifact::{BundlePath, Service, ServiceHealth};

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

/// `services/<name>/`; returns what is said of each, sorted by name.
pub(super) fn add(
    processes: Vec<Process<'_>>,
    tree: &mut Tree,
) -> Result<Vec<Service>, StageError> {
    let mut services = Vec::new();
    for (service, made) in processes {
        let name = &service.name.value;
        let folder = BundlePath::new(format!("services/{name}"))?;
        let program = made.program.map(|program| folder.join_path(&program)).transpose()?;
        place(tree, folder.as_str(), made.tree)?;
        services.push(Service {
            name: name.clone(),
            kind: service.kind().as_str().to_owned(),
            program,
            args: service.args.clone(),
            env: service.env.clone(),
            health: service.health.as_ref().map(service_health),
        });
    }
    services.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(services)
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
