//! What packages say of themselves, where the lockfile does not: their programs, install scripts and engines.
//!
//! npm copies these from every package.json into its lockfile. pnpm and Bun read them when they install; so does this,
//! from what was unpacked. (npm: `@npmcli/node-gyp` and arborist's `node.js` for what counts as an install script.)

use std::borrow::Cow;
use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use rayon::prelude::*;
use serde_json::Value;

use super::{Closure, ClosureError, Origin, Package, bins};
use crate::integrity::Integrity;
use crate::tree::{Node, Tree};

/// The closure with everything a lockfile of npm would say of its packages.
///
/// # Errors
/// When a package.json cannot be read.
pub fn described<'closure>(
    closure: &'closure Closure,
    unpacked: &BTreeMap<Integrity, Tree>,
    folders: &BTreeMap<Utf8PathBuf, Tree>,
) -> Result<Cow<'closure, Closure>, ClosureError> {
    if !closure.is_bare {
        return Ok(Cow::Borrowed(closure));
    }
    let mut closure = closure.clone();
    closure.is_bare = false;
    closure.packages.par_iter_mut().try_for_each(|package| {
        let tree = match &package.origin {
            Origin::Registry { integrity, .. }
            | Origin::Url { integrity, .. }
            | Origin::File { integrity, .. } => unpacked.get(integrity),
            Origin::Folder { path } => folders.get(path),
            // Its own package.json is in another's tarball, and nothing of it is run.
            Origin::Bundled => None,
        };
        tree.map_or(Ok(()), |tree| describe(package, tree))
    })?;
    Ok(Cow::Owned(closure))
}

fn describe(package: &mut Package, tree: &Tree) -> Result<(), ClosureError> {
    let Some(Node::File(source)) = tree.get("package.json") else { return Ok(()) };
    let path = source.path();
    let text =
        std::fs::read_to_string(&path).map_err(|source| ClosureError::Manifest { path, source })?;
    // A package without a package.json that can be read has no programs; what needs it says so when it runs.
    let Ok(manifest) = serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) else {
        return Ok(());
    };
    if let (Origin::Folder { .. }, Some(name)) = (&package.origin, manifest["name"].as_str()) {
        name.clone_into(&mut package.name);
    }
    if package.version.is_empty() {
        package.version = manifest["version"].as_str().unwrap_or_default().to_owned();
    }
    if package.bins.is_empty() {
        package.bins = bins::normalise(&manifest["bin"], &package.name);
    }
    if package.engines.is_empty() {
        let engines = manifest["engines"].as_object().into_iter().flatten();
        let text =
            |(name, range): (&String, &Value)| Some((name.clone(), range.as_str()?.to_owned()));
        package.engines = engines.filter_map(text).collect();
    }
    package.has_install_script |= has_install_script(&manifest, tree);
    Ok(())
}

/// npm runs `node-gyp` for a package with a `binding.gyp` that says nothing else.
fn has_install_script(manifest: &Value, tree: &Tree) -> bool {
    let has = |name: &str| manifest["scripts"][name].as_str().is_some_and(|text| !text.is_empty());
    let is_built = tree.get("binding.gyp").is_some()
        && !has("install")
        && !has("preinstall")
        && manifest["gypfile"] != Value::Bool(false);
    is_built || ["preinstall", "install", "postinstall"].into_iter().any(has)
}
