//! Whether a lockfile is that of the package.json beside it: what `npm ci` and `--frozen-lockfile` refuse is refused here.
//!
//! npm is content when the locked version satisfies what package.json asks for now; pnpm and Bun want the same text, and
//! no dependency too many.

use std::collections::BTreeMap;

use nodejs_semver::{Range, Version};
use serde::Deserialize;

use super::error::{FaultKind, Faults};
use super::graph::Graph;
use super::pnpm;
use super::raw::{Entry, texts};
use super::{ClosureError, Format};

/// The dependencies of a package.json.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PackageJson {
    #[serde(deserialize_with = "texts")]
    dependencies: BTreeMap<String, String>,
    #[serde(deserialize_with = "texts")]
    optional_dependencies: BTreeMap<String, String>,
    #[serde(deserialize_with = "texts")]
    dev_dependencies: BTreeMap<String, String>,
    #[serde(deserialize_with = "texts")]
    peer_dependencies: BTreeMap<String, String>,
}

/// One list, as package.json and as the lockfile have it.
type Lists<'lists> =
    (&'static str, &'lists BTreeMap<String, String>, &'lists BTreeMap<String, String>);

/// Compares package.json with the entry of npm's or Bun's lockfile that is made of it.
pub(super) fn check(
    package_json: &str,
    entries: &BTreeMap<String, Entry>,
    graph: &Graph<'_>,
    member: &str,
    format: Format,
    faults: &mut Faults,
) -> Result<(), ClosureError> {
    let package = parse(package_json)?;
    let Some(locked) = entries.get(member) else { return Ok(()) };
    let is_satisfied = |name: &str, wanted: &str| {
        let found = graph.resolve(member, name).and_then(|key| entries[key].version.as_deref());
        let range = wanted.rsplit_once('@').filter(|_| wanted.starts_with("npm:"));
        let range = Range::parse(range.map_or(wanted, |(_, range)| range));
        match (range, found.map(Version::parse)) {
            (Ok(range), Some(Ok(version))) => range.satisfies(&version),
            _ => false,
        }
    };
    for (list, wanted, found) in
        package.lists(&locked.dependencies, &locked.optional_dependencies, &locked.dev_dependencies)
    {
        for (name, wanted) in wanted {
            let found = found.get(name);
            let fits = found == Some(wanted)
                || format == Format::Npm && found.is_some() && is_satisfied(name, wanted);
            if !fits {
                add(list, name, Some(wanted), found, faults);
            }
        }
        if format == Format::Bun {
            add_superfluous(list, wanted, found, faults);
        }
    }
    Ok(())
}

/// Compares package.json with the importer of pnpm's lockfile that is made of it.
pub(super) fn check_pnpm(
    package_json: &str,
    lock: &pnpm::Lock,
    member: &str,
    faults: &mut Faults,
) -> Result<(), ClosureError> {
    let package = parse(package_json)?;
    // What a program of the user's makes of package.json is not known here.
    let Some(importer) = lock.importer(member).filter(|_| lock.pnpmfile_checksum.is_none()) else {
        return Ok(());
    };
    let specifiers = |list: &BTreeMap<String, pnpm::Resolved>| -> BTreeMap<String, String> {
        list.iter().map(|(name, to)| (name.clone(), to.specifier.clone())).collect()
    };
    let locked = [
        specifiers(&importer.dependencies),
        specifiers(&importer.optional_dependencies),
        specifiers(&importer.dev_dependencies),
    ];
    for (list, wanted, found) in package.lists(&locked[0], &locked[1], &locked[2]) {
        for (name, wanted) in wanted {
            let found = found.get(name);
            if found != Some(wanted) && !is_overridden(lock, name, found) {
                add(list, name, Some(wanted), found, faults);
            }
        }
        // With `auto-install-peers` they are among the dependencies.
        let mut known = wanted.clone();
        if list == "dependencies" {
            known.extend(package.peer_dependencies.clone());
        }
        add_superfluous(list, &known, found, faults);
    }
    Ok(())
}

impl PackageJson {
    /// What is in several lists counts in the first of `optionalDependencies`, `dependencies` and `devDependencies`.
    fn lists<'lists>(
        &'lists self,
        dependencies: &'lists BTreeMap<String, String>,
        optional: &'lists BTreeMap<String, String>,
        development: &'lists BTreeMap<String, String>,
    ) -> [Lists<'lists>; 3] {
        [
            ("dependencies", &self.dependencies, dependencies),
            ("optionalDependencies", &self.optional_dependencies, optional),
            ("devDependencies", &self.dev_dependencies, development),
        ]
    }
}

fn parse(package_json: &str) -> Result<PackageJson, ClosureError> {
    let text = package_json.trim_start_matches('\u{feff}');
    let mut package: PackageJson = serde_json::from_str(text)
        .map_err(|error| ClosureError::PackageJson { reason: error.to_string() })?;
    let optional = &package.optional_dependencies;
    package.dependencies.retain(|name, _| !optional.contains_key(name));
    let PackageJson { dependencies, optional_dependencies, dev_dependencies, .. } = &mut package;
    dev_dependencies.retain(|name, _| {
        !dependencies.contains_key(name) && !optional_dependencies.contains_key(name)
    });
    Ok(package)
}

/// Whether what the lockfile has is the doing of an override.
fn is_overridden(lock: &pnpm::Lock, name: &str, found: Option<&String>) -> bool {
    let selects = |selector: &str| {
        let selector = selector.rsplit('>').next().unwrap_or(selector);
        let at = selector.get(1..).and_then(|rest| rest.find('@')).map(|at| at + 1);
        &selector[..at.unwrap_or(selector.len())] == name
    };
    lock.overrides.iter().filter(|(selector, _)| selects(selector)).any(
        |(_, version)| match found {
            Some(found) => found == version,
            None => version == "-",
        },
    )
}

fn add_superfluous(
    list: &'static str,
    wanted: &BTreeMap<String, String>,
    found: &BTreeMap<String, String>,
    faults: &mut Faults,
) {
    for (name, found) in found {
        if !wanted.contains_key(name) {
            add(list, name, None, Some(found), faults);
        }
    }
}

fn add(
    list: &'static str,
    name: &str,
    wanted: Option<&String>,
    found: Option<&String>,
    faults: &mut Faults,
) {
    let says = |text: Option<&String>| {
        text.map_or("does not have it".to_owned(), |text| format!("has `{}`", text.escape_debug()))
    };
    let (wanted, found) = (says(wanted), says(found));
    let name = name.escape_debug();
    let detail = format!("`{name}` in `{list}`: package.json {wanted}, the lockfile {found}");
    faults.add(FaultKind::Outdated, detail);
}
