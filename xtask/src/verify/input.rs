//! From a tree to what the checks look at: the native files with their facts, and the links.

use std::collections::BTreeMap;
use std::sync::Arc;

use gangway_abi::Facts;
use gangway_abi::check::{File, Input, Link, Plan, Role};
use gangway_artifact::{BundlePath, Manifest, TensorRtPlan};
use rayon::prelude::*;

use super::VerifyError;
use super::place::{self, Owners};
use super::plans;
use crate::native::Natives;
use crate::tree::{Node, Source, Tree};

/// A tree, and what is known of it besides its files.
#[derive(Debug, Clone)]
pub struct Contents<'a> {
    /// The files.
    pub tree: &'a Tree,
    /// The runtime inside.
    pub runtime: Option<Shipped>,
    /// Programs that are started by name, and what for.
    pub programs: BTreeMap<String, Role>,
    /// What is said of compiled models for TensorRT.
    pub plans: Vec<TensorRtPlan>,
}

/// The JavaScript runtime of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipped {
    /// `node`, `bun` or `deno`.
    pub engine: String,
    /// The exact version; `None` if nobody says.
    pub version: Option<String>,
    /// The executable.
    pub path: BundlePath,
}

impl<'a> Contents<'a> {
    /// Of a tree that has a manifest.
    #[must_use]
    pub fn described(tree: &'a Tree, manifest: &Manifest) -> Self {
        let runtime = manifest.runtime.as_ref().map(|runtime| Shipped {
            engine: runtime.engine.clone(),
            version: Some(runtime.version.clone()),
            path: runtime.path.clone(),
        });
        let started = manifest.entrypoints.iter().filter_map(|entrypoint| {
            Some((entrypoint.program.as_ref()?.to_string(), Role::Launcher))
        });
        let services = manifest
            .services
            .iter()
            .filter_map(|service| Some((service.program.as_ref()?.to_string(), Role::Service)));
        let plans = manifest.tensorrt_plans.clone();
        Self { tree, runtime, programs: started.chain(services).collect(), plans }
    }

    /// Of a tree without one: the runtime is where bundles have it, if it is there.
    #[must_use]
    pub fn undescribed(tree: &'a Tree) -> Self {
        let runtime = ["node", "bun", "deno"].into_iter().find_map(|engine| {
            let places = [format!("runtime/bin/{engine}"), format!("runtime/bin/{engine}.exe")];
            let (path, _) = places
                .iter()
                .find_map(|place| tree.files().find(|(path, _)| path.as_str() == place))?;
            Some(Shipped { engine: engine.to_owned(), version: None, path: path.clone() })
        });
        Self { tree, runtime, programs: BTreeMap::new(), plans: Vec::new() }
    }
}

/// What was read of a tree.
#[derive(Debug)]
pub(super) struct Read<'a> {
    files: Vec<ReadFile<'a>>,
    links: Vec<(&'a str, &'a str)>,
    plans: Vec<plans::Found<'a>>,
}

#[derive(Debug)]
struct ReadFile<'a> {
    path: &'a str,
    owner: Option<String>,
    role: Role,
    facts: Arc<Facts>,
}

impl Read<'_> {
    /// Hands the content on as the checks want it.
    pub(super) fn with_input<T>(&self, look: impl FnOnce(Input<'_>) -> T) -> T {
        let files: Vec<File<'_>> = self
            .files
            .iter()
            .map(|file| File {
                path: file.path,
                owner: file.owner.as_deref(),
                role: file.role,
                facts: &file.facts,
            })
            .collect();
        let links: Vec<Link<'_>> =
            self.links.iter().map(|(path, target)| Link { path, target }).collect();
        let plans: Vec<Plan<'_>> = self.plans.iter().map(plans::Found::as_plan).collect();
        look(Input { files: &files, links: &links, plans: &plans })
    }
}

/// Reads every distinct binary of a tree, in parallel.
pub(super) fn read<'a>(
    contents: &Contents<'a>,
    natives: &Natives,
) -> Result<Read<'a>, VerifyError> {
    let tree = contents.tree;
    let sources: Vec<(&BundlePath, &Source)> = tree.files().collect();
    let mut distinct: Vec<&Source> = sources.iter().map(|(_, source)| *source).collect();
    distinct.sort_unstable_by_key(|source| source.sha256);
    distinct.dedup_by_key(|source| source.sha256);
    // The largest first: the last one to be done should be a small one.
    distinct.sort_by_key(|source| std::cmp::Reverse(source.size));
    let facts = distinct
        .into_par_iter()
        .with_max_len(1)
        .filter_map(|source| match natives.facts(source) {
            Ok(facts) => facts.map(|facts| Ok((source.sha256, facts))),
            Err(error) => Some(Err(VerifyError::Read { path: source.path(), source: error })),
        })
        .collect::<Result<std::collections::HashMap<_, _>, _>>()?;
    let mut owners = Owners::new(tree);
    let plans = plans::find(tree, &contents.plans, &mut owners)?;
    let files = sources.into_iter().filter_map(|(path, source)| {
        let facts = facts.get(&source.sha256)?.clone();
        let path = path.as_str();
        let role = place::role(path, &facts, contents);
        Some(ReadFile { path, owner: owners.of(path), role, facts })
    });
    let files = files.collect();
    let links = tree.iter().filter_map(|(path, node)| match node {
        Node::Link(target) => Some((path.as_str(), target.as_str())),
        Node::File(_) => None,
    });
    Ok(Read { files, links: links.collect(), plans })
}
