//! The runtime's part of the bundle: `runtime/bin/<engine>`, the shared libraries it brings to `runtime/lib`, its licence.
//!
//! Nothing else of its archive is taken: no headers, no npm. Where libraries come along, the executable is told where
//! they lie (see `runpath`), so that no variable has to, which every program it starts would inherit.

use camino::Utf8Path;
use gangway_artifact::{BundlePath, Os, PathError};
use globset::{Glob, GlobMatcher};

use super::{Materials, StageError};
use crate::buffers;
use crate::config::RuntimeSource;
use crate::lock::{Holds, LockedRuntime};
use crate::plan::TargetPlan;
use crate::runpath;
use crate::store::Store;
use crate::strip::{self, StripError};
use crate::target::{RuntimeBuild, RuntimePackage};
use crate::tree::{Node, Source, Tree};

/// What the run path of an executable in `runtime/bin` must be.
const LIBRARIES: &str = "$ORIGIN/../lib";

/// Adds everything of the runtime; returns the bytes saved by stripping.
pub(super) fn add(
    materials: &Materials<'_>,
    plan: &TargetPlan,
    locked: &LockedRuntime,
    executable: Source,
    tree: &mut Tree,
    warnings: &mut Vec<String>,
) -> Result<u64, StageError> {
    let asked = materials.config.runtime(&plan.target).expect("what is pinned was asked for");
    let package = plan.data.runtime(asked.engine).expect("the plan found it");
    let build = RuntimeSource::named(&locked.source).and_then(|source| package.build(source));
    add_license(materials, locked, build, tree, warnings)?;
    let libraries = libraries(materials, locked, package, build)?;
    let upstream = executable.size;
    let changes = Changes { strip: asked.strip && package.strip, run_path: !libraries.is_empty() };
    let shipped = changed(materials.store, executable, changes)?;
    let saved = upstream.saturating_sub(shipped.size);
    for (name, source) in libraries {
        tree.insert(BundlePath::new(format!("runtime/lib/{name}"))?, Node::File(source));
    }
    tree.insert(path(locked, plan.platform.os)?, Node::File(shipped.made_executable()));
    Ok(saved)
}

/// Where the executable is in the bundle.
pub(super) fn path(locked: &LockedRuntime, os: Os) -> Result<BundlePath, PathError> {
    let suffix = if os == Os::Win32 { ".exe" } else { "" };
    BundlePath::new(format!("runtime/bin/{}{suffix}", locked.engine))
}

fn add_license(
    materials: &Materials<'_>,
    locked: &LockedRuntime,
    build: Option<&RuntimeBuild>,
    tree: &mut Tree,
    warnings: &mut Vec<String>,
) -> Result<(), StageError> {
    let companion = locked.companion(Holds::License).map(|companion| &companion.integrity);
    let archive = materials.fetched.get(companion.unwrap_or(&locked.integrity));
    let pattern = build.and_then(|build| build.license.as_deref()).unwrap_or("LICENSE*");
    let pattern = matcher(pattern)?;
    let text = archive.and_then(|archive| {
        archive.files().find(|(path, _)| pattern.is_match(path.as_str())).map(|(_, source)| source)
    });
    match text {
        Some(text) => {
            let place = format!("licenses/{}@{}/LICENSE", locked.engine, locked.version);
            tree.insert(BundlePath::new(place)?, Node::File(text.clone()));
        }
        None => warnings.push(format!(
            "the licence text of {} {} is not in what {} serves: add it to the gateway's own files",
            locked.engine, locked.version, locked.source
        )),
    }
    Ok(())
}

/// The shared libraries that come along, by the names that programs ask for.
fn libraries(
    materials: &Materials<'_>,
    locked: &LockedRuntime,
    package: &RuntimePackage,
    build: Option<&RuntimeBuild>,
) -> Result<Vec<(String, Source)>, StageError> {
    let mut found = Vec::new();
    if let Some(files) = build.and_then(|build| build.libraries.as_deref()) {
        found.extend(matching(materials.fetched.get(&locked.integrity), files)?);
    }
    let companion = locked.companion(Holds::Libraries);
    if let (Some(companion), Some(libraries)) = (companion, &package.libraries) {
        for (name, source) in
            matching(materials.fetched.get(&companion.integrity), &libraries.files)?
        {
            for (pattern, asked_for) in &libraries.names {
                if matcher(pattern)?.is_match(&name) {
                    found.push((asked_for.clone(), source.clone()));
                }
            }
            let is_named = libraries
                .names
                .keys()
                .any(|pattern| matcher(pattern).is_ok_and(|pattern| pattern.is_match(&name)));
            if !is_named {
                found.push((name, source));
            }
        }
    }
    Ok(found)
}

fn matching(archive: Option<&Tree>, pattern: &str) -> Result<Vec<(String, Source)>, StageError> {
    let pattern = matcher(pattern)?;
    Ok(archive
        .into_iter()
        .flat_map(Tree::files)
        .filter(|(path, _)| pattern.is_match(path.as_str()))
        .map(|(path, source)| (path.name().to_owned(), source.clone()))
        .collect())
}

fn matcher(pattern: &str) -> Result<GlobMatcher, StageError> {
    Glob::new(pattern)
        .map(|glob| glob.compile_matcher())
        .map_err(|source| StageError::Pattern { glob: pattern.to_owned(), source })
}

/// What is done to an executable.
#[derive(Debug, Clone, Copy)]
struct Changes {
    /// Whether symbols for debuggers go.
    strip: bool,
    /// Whether it is told where [`LIBRARIES`] are.
    run_path: bool,
}

/// The executable with these changes, or as it is when none of them makes a difference.
fn changed(store: &Store, executable: Source, changes: Changes) -> Result<Source, StageError> {
    let mut recipe = Vec::new();
    if changes.strip {
        recipe.push(format!("strip-{}", strip::REVISION));
    }
    if changes.run_path {
        recipe.push(format!("runpath-{}-{LIBRARIES}", runpath::REVISION));
    }
    if recipe.is_empty() {
        return Ok(executable);
    }
    // Together: to read, keep and hash a hundred megabytes once more takes longer than either.
    recipe.push(executable.sha256.to_string());
    let made = store.derived(&recipe.join("-"), true, || {
        let path = executable.path();
        let mut bytes = buffers::read(&path)
            .map_err(|source| StageError::Read { path: path.clone(), source })?;
        // What stays as it is is kept as an empty file: a copy would be a hundred megabytes.
        if !change(&mut bytes, changes, &path)? {
            bytes.clear();
        }
        Ok::<_, StageError>(bytes)
    })?;
    Ok(if made.size == 0 { executable } else { made })
}

/// Says whether anything changed.
fn change(bytes: &mut Vec<u8>, changes: Changes, path: &Utf8Path) -> Result<bool, StageError> {
    let mut is_other = false;
    if changes.strip {
        is_other = match strip::strip(bytes) {
            Ok(is_less) => is_less,
            // Its maker's word for these bytes, or a form that nothing is known of: it runs as it is.
            Err(reason @ (StripError::Signed(_) | StripError::Unusual(_))) => {
                tracing::debug!(%path, %reason, "its symbols stay");
                false
            }
            Err(source) => return Err(StageError::Strip { path: path.to_owned(), source }),
        };
    }
    if changes.run_path {
        runpath::set(bytes, LIBRARIES)
            .map_err(|source| StageError::RunPath { path: path.to_owned(), source })?;
        is_other = true;
    }
    Ok(is_other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    const STRIP: Changes = Changes { strip: true, run_path: false };

    #[test]
    fn what_cannot_be_stripped_is_shipped_as_it_is_or_refused() {
        let sandbox = Sandbox::new();
        let store = Store::open(&sandbox.context(&[])).expect("a fresh folder");
        let kept = |bytes: &[u8]| {
            let executable = store.add_bytes(bytes, true).expect("writable");
            changed(&store, executable.clone(), STRIP).map(|made| made == executable)
        };
        let universal = b"\xca\xfe\xba\xbe\0\0\0\x02 and more";
        // Made, and found made.
        for _ in 0..2 {
            assert!(matches!(kept(universal), Ok(true)));
        }
        assert!(matches!(kept(b"#!/bin/sh"), Err(StageError::Strip { .. })));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_is_shipped_without_symbols() {
        let sandbox = Sandbox::new();
        let store = Store::open(&sandbox.context(&[])).expect("a fresh folder");
        let own = std::env::current_exe().expect("tests run from a file");
        let own = fs_err::read(own).expect("readable");
        let executable = store.add_bytes(&own, true).expect("writable");
        let without = changed(&store, executable.clone(), STRIP).expect("an ordinary program");
        assert!(without.size > 0 && without.size < executable.size);
        // There is nothing left to take out.
        let again = changed(&store, without.clone(), STRIP).expect("an ordinary program");
        assert_eq!(again, without);
        let none = Changes { strip: false, run_path: false };
        assert_eq!(changed(&store, executable.clone(), none).expect("nothing is done"), executable);
    }
}
