//! The runtime's part of the bundle: `runtime/bin/<engine>`, the shared libraries it brings to `runtime/lib`, its licence.
//!
//! Nothing else of its archive is taken: no headers, no npm. Where libraries come along, the executable is told where
//! they lie (see `runpath`), so that no variable has to, which every program it starts would inherit.

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
    let mut shipped = match asked.strip && package.strip {
        true => stripped(materials.store, &executable)?,
        false => executable,
    };
    let saved = upstream.saturating_sub(shipped.size);
    if !libraries.is_empty() {
        shipped = with_run_path(materials.store, &shipped)?;
    }
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

/// The executable without symbols for debuggers, or as it is when there are none.
fn stripped(store: &Store, executable: &Source) -> Result<Source, StageError> {
    // What stays as it is is kept as an empty file: a copy would be a hundred megabytes.
    let made = derived(store, executable, &format!("strip-{}", strip::REVISION), |path, bytes| {
        match strip::strip(bytes) {
            Ok(stripped) => Ok(stripped.unwrap_or_default()),
            // Its maker's word for these bytes, or a form that nothing is known of: it runs as it is.
            Err(reason @ (StripError::Signed(_) | StripError::Unusual(_))) => {
                tracing::debug!(%path, %reason, "its symbols stay");
                Ok(Vec::new())
            }
            Err(source) => Err(StageError::Strip { path, source }),
        }
    })?;
    Ok(if made.size == 0 { executable.clone() } else { made })
}

fn with_run_path(store: &Store, executable: &Source) -> Result<Source, StageError> {
    derived(
        store,
        executable,
        &format!("runpath-{}-{LIBRARIES}", runpath::REVISION),
        |path, bytes| {
            runpath::set(bytes, LIBRARIES).map_err(|source| StageError::RunPath { path, source })
        },
    )
}

/// What `make` makes of an executable, kept under `what` and its digest.
fn derived(
    store: &Store,
    executable: &Source,
    what: &str,
    make: impl FnOnce(camino::Utf8PathBuf, &[u8]) -> Result<Vec<u8>, StageError>,
) -> Result<Source, StageError> {
    store.derived(&format!("{what}-{}", executable.sha256), true, || {
        let path = executable.path();
        match buffers::read(&path) {
            Ok(bytes) => {
                let made = make(path, &bytes);
                buffers::give_back(bytes);
                made
            }
            Err(source) => Err(StageError::Read { path, source }),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    #[test]
    fn what_cannot_be_stripped_is_shipped_as_it_is_or_refused() {
        let sandbox = Sandbox::new();
        let store = Store::open(&sandbox.context(&[])).expect("a fresh folder");
        let kept = |bytes: &[u8]| {
            let executable = store.add_bytes(bytes, true).expect("writable");
            stripped(&store, &executable).map(|made| made == executable)
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
        let without = stripped(&store, &executable).expect("an ordinary program");
        assert!(without.size > 0 && without.size < executable.size);
        // There is nothing left to take out.
        let again = stripped(&store, &without).expect("an ordinary program");
        assert_eq!(again, without);
    }
}
