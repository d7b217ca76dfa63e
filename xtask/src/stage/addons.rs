//! Addons that are downloaded, and those that are compiled while a bundle is staged.

use super::{Materials, StageError, executable};
use crate::addons::build;
use crate::addons::prebuilt::{self, Supply};
use crate::integrity::Integrity;
use crate::plan::TargetPlan;
use crate::tree::Tree;

/// Puts the downloads in their places, and compiles what the manifest wants compiled.
pub(super) fn build(
    materials: &Materials<'_>,
    plan: &TargetPlan,
    app: &mut Tree,
) -> Result<(), StageError> {
    let jobs = &materials.addons[&plan.target].jobs;
    let Materials { store, lock, config, .. } = *materials;
    prebuilt::place(&Supply { store, lock, manifest: &config.path }, &plan.setting(), jobs, app)?;
    let jobs: Vec<_> = jobs.iter().filter_map(|job| Some((job, job.recipe()?))).collect();
    let Some(runtime) = plan.script_runtime.as_ref().filter(|_| !jobs.is_empty()) else {
        return Ok(());
    };
    let archive = |integrity: &Integrity| {
        materials.fetched.get(integrity).map(build::headers).unwrap_or_default()
    };
    let own = plan.runtime.as_ref();
    let mut headers = own.map(|own| archive(&own.integrity)).unwrap_or_default();
    // Windows' archives have none; those of one version are the same everywhere.
    if headers.is_empty() && own.is_some_and(|own| own.version == runtime.version) {
        headers = archive(&runtime.integrity);
    }
    let node = executable(materials, runtime)?;
    let Materials { context, store, confinement, .. } = *materials;
    let bench = build::Bench {
        context,
        store,
        confinement,
        node: &node,
        npm: &materials.fetched[build::integrity()],
        headers: &headers,
        target: &plan.data,
    };
    for (job, recipe) in jobs {
        build::run(&bench, job, recipe, app)?;
    }
    Ok(())
}
