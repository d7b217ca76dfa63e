//! Runs the gateway's own build command.
//!
//! It works on a private copy of the gateway's files with the development closure beside them, inside the same fence as
//! install scripts: no network, nothing of the host's, always under the same path. Only the outputs that the manifest
//! names come back. They are kept under a key of everything that went in, so an unchanged gateway is not built again.
//!
//! Packages in `node_modules` are read-only, because they are links to the store. The `node_modules` folders themselves
//! can be written to: bundlers keep caches and temporary files there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use camino::Utf8PathBuf;
use gangway_artifact::{BundlePath, Digest};
use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::Serialize;

use crate::capture::{self, CaptureError, Changes};
use crate::config::{Build, Config};
use crate::confine::{Access, Confinement};
use crate::context::Context;
use crate::layout::{self, LayoutError, Method};
use crate::process::Command;
use crate::store::{Store, StoreError};
use crate::tree::Tree;
use crate::workshop::{Ground, Workshop, WorkshopError};

/// A program the command may call by name.
#[derive(Debug, Clone, Copy)]
pub struct Tool<'tool> {
    /// Its name; unique.
    pub name: &'tool str,
    /// All its files.
    pub tree: &'tool Tree,
    /// The folder in the tree that has the executables; empty for its root.
    pub programs: &'tool str,
}

/// What goes into a build.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'input> {
    /// The gateway's own files.
    pub app: &'input Tree,
    /// Its packages, those for development too, for the machine that builds.
    pub closure: &'input Tree,
    /// The pinned runtime and tools; the first one that has a program is the one that is called.
    pub tools: &'input [Tool<'input>],
}

/// What can go wrong with a build.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum BuildError {
    /// The command failed, or its fence did.
    #[error("the build of `{app}` failed")]
    #[diagnostic(help(
        "the command has no network and sees only the gateway's own files, its packages and the `[tools]`: a program that \
         is not found belongs into one of them"
    ))]
    Failed {
        /// The gateway.
        app: String,
        /// Why.
        source: Box<WorkshopError>,
    },
    /// The command succeeded and made something else.
    #[error("the build did not make `{output}`; {instead}")]
    #[diagnostic(help("name what the command makes, relative to the manifest"))]
    NoOutput {
        /// What is missing.
        output: BundlePath,
        /// What it made.
        instead: String,
        /// The manifest.
        #[source_code]
        manifest: Arc<NamedSource<String>>,
        /// Where it names the output.
        #[label("named here")]
        span: SourceSpan,
    },
    /// There is no place to run it in.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Workshop(#[from] WorkshopError),
    /// Its inputs could not be laid out.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Layout(#[from] LayoutError),
    /// Its outputs cannot be taken.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Capture(#[from] CaptureError),
    /// The store failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

/// Runs the build command and returns its outputs, under the paths they have in the gateway's folder.
///
/// # Errors
/// When the command fails or an output is not there afterwards.
pub fn run(
    context: &Context,
    store: &Store,
    config: &Config,
    build: &Build,
    inputs: Inputs<'_>,
    confinement: Confinement,
) -> Result<Tree, BuildError> {
    let key = key(build, inputs, confinement);
    if let Some(changes) = Changes::recall(store, &key)? {
        return Ok(changes.present);
    }
    let spinner = context.reporter.spinner("Building", build.command.join(" "));
    let mut workshop = Workshop::open(context, store, confinement, Ground::Copies)?;
    let access = lay_out(&workshop, inputs, confinement)?;
    let mut path = vec![workshop.seen("node_modules/.bin")];
    path.extend(inputs.tools.iter().map(|tool| seen(&workshop, tool)));
    let (program, args) =
        build.command.split_first().expect("a manifest with an empty command is refused");
    let command = Command::new(format!("build `{}`", config.app.name), program.as_str())
        .args(args)
        .current_dir(workshop.seen(""))
        .env("PATH", workshop.search_path(&path))
        .envs(build.env.clone());
    let access: Vec<_> = access.iter().map(|(path, access)| (path.as_str(), *access)).collect();
    let log = format!("build-{}", config.app.name);
    workshop.run(command, &access, &log).map_err(|source| BuildError::Failed {
        app: config.app.name.clone(),
        source: Box::new(source),
    })?;
    drop(spinner);
    let changes = take(store, config, build, inputs, &workshop)?;
    changes.remember(store, &key)?;
    context
        .reporter
        .done("Built", format!("{} ({} files)", config.app.name, changes.present.len()));
    Ok(changes.present)
}

/// Everything the outputs depend on; the system's own programs aside.
fn key(build: &Build, inputs: Inputs<'_>, confinement: Confinement) -> String {
    #[derive(Serialize)]
    struct Key<'input> {
        command: &'input [String],
        env: &'input BTreeMap<String, String>,
        outputs: Vec<&'input BundlePath>,
        app: Digest,
        closure: Digest,
        tools: Vec<(&'input str, &'input str, Digest)>,
        is_confined: bool,
    }
    let tool = |tool: &Tool<'_>| capture::fingerprint(tool.tree);
    let key = Key {
        command: &build.command,
        env: &build.env,
        outputs: build.outputs.iter().map(|output| &output.value).collect(),
        app: capture::fingerprint(inputs.app),
        closure: capture::fingerprint(inputs.closure),
        tools: inputs.tools.iter().map(|this| (this.name, this.programs, tool(this))).collect(),
        is_confined: confinement == Confinement::Required,
    };
    let text = serde_json::to_vec(&key).expect("texts and digests have a JSON form");
    format!("app-build-v1 {}", Digest::of(text))
}

fn seen(workshop: &Workshop<'_>, tool: &Tool<'_>) -> Utf8PathBuf {
    match tool.programs {
        "" => workshop.seen_tools(tool.name),
        programs => workshop.seen_tools(tool.name).join(programs),
    }
}

/// Writes everything out, and says what the command may do with it: whatever it likes with copies, nothing with links to
/// the store.
fn lay_out(
    workshop: &Workshop<'_>,
    inputs: Inputs<'_>,
    confinement: Confinement,
) -> Result<Vec<(String, Access)>, BuildError> {
    let shared = match confinement {
        Confinement::Required => Method::Link,
        Confinement::Unconfined => Method::Copy,
    };
    let (mut packages, mut own) = (inputs.closure.clone(), inputs.closure.clone());
    packages.retain(|path, _| package_entry(path).is_some());
    own.retain(|path, _| package_entry(path).is_none());
    own.extend(inputs.app.clone());
    // What the gateway's folder has at the path of a package is not what the lockfile says.
    own.retain(|path, _| package_entry(path).is_none());
    layout::write(&own, &workshop.app(), Method::Copy)?;
    layout::write(&packages, &workshop.app(), shared)?;
    for tool in inputs.tools {
        layout::write(tool.tree, &workshop.tools().join(tool.name), shared)?;
    }
    let entries: BTreeSet<&str> =
        packages.files().filter_map(|(path, _)| package_entry(path)).collect();
    let mut access = vec![(String::new(), Access::Write)];
    access.extend(entries.into_iter().map(|entry| (entry.to_owned(), Access::Read)));
    Ok(access)
}

/// What is directly in the outermost `node_modules` folder on the way to `path`.
fn package_entry(path: &BundlePath) -> Option<&str> {
    let text = path.as_str();
    let start = match text.strip_prefix("node_modules/") {
        Some(_) => "node_modules/".len(),
        None => text.find("/node_modules/")? + "/node_modules/".len(),
    };
    let end = text[start..].find('/').map_or(text.len(), |length| start + length);
    Some(&text[..end])
}

fn take(
    store: &Store,
    config: &Config,
    build: &Build,
    inputs: Inputs<'_>,
    workshop: &Workshop<'_>,
) -> Result<Changes, BuildError> {
    let outputs: Vec<&str> = build.outputs.iter().map(|output| output.value.as_str()).collect();
    let nothing = Tree::default();
    let changes = capture::changes(store, &workshop.app(), &nothing, &outputs)?;
    for output in &build.outputs {
        let path = output.value.as_str();
        if changes.present.get(path).is_none() && !changes.present.has_folder(path) {
            return Err(BuildError::NoOutput {
                output: output.value.clone(),
                instead: instead(store, inputs, workshop)?,
                manifest: Arc::clone(&config.source),
                span: output.span.clone().into(),
            });
        }
    }
    Ok(changes)
}

/// What the command did make.
fn instead(
    store: &Store,
    inputs: Inputs<'_>,
    workshop: &Workshop<'_>,
) -> Result<String, BuildError> {
    const SHOWN: usize = 20;
    let mut before = inputs.closure.clone();
    before.extend(inputs.app.clone());
    let changes = capture::changes(store, &workshop.app(), &before, &[""])?;
    let made: Vec<_> = changes.present.iter().map(|(path, _)| format!("`{path}`")).collect();
    Ok(match made.len() {
        0 => "it made nothing".to_owned(),
        count if count > SHOWN => {
            format!("it made {} and {} more files", made[..SHOWN].join(", "), count - SHOWN)
        }
        _ => format!("it made {}", made.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_outermost_node_modules() {
        for (path, entry) in [
            ("node_modules/ws/index.js", Some("node_modules/ws")),
            ("node_modules/@s/x/node_modules/y/a.js", Some("node_modules/@s")),
            ("node_modules/.bin/tsc", Some("node_modules/.bin")),
            ("packages/a/node_modules/b/c.js", Some("packages/a/node_modules/b")),
            ("src/node_modules.ts", None),
            ("my_node_modules/x", None),
            ("src/index.ts", None),
        ] {
            let path = BundlePath::new(path).expect("plain");
            assert_eq!(package_entry(&path), entry, "{path}");
        }
    }
}
