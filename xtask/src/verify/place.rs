//! What a file is for and which package it came with, told from its place in the bundle.

use std::collections::BTreeMap;

use gangway_abi::check::Role;
use gangway_abi::{Facts, Kind};
use serde::Deserialize;

use super::input::Contents;
use crate::tree::{Node, Tree};

/// What a file is for.
pub(super) fn role(path: &str, facts: &Facts, contents: &Contents<'_>) -> Role {
    if contents.runtime.as_ref().is_some_and(|runtime| runtime.path.as_str() == path) {
        return Role::Runtime;
    }
    if let Some(role) = contents.programs.get(path) {
        return *role;
    }
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if folder == "bin" {
        return Role::Launcher;
    }
    match name.rsplit_once('.') {
        Some((_, extension)) if extension.eq_ignore_ascii_case("node") => Role::Addon,
        _ if is_program(facts) => Role::Program,
        _ => Role::Library,
    }
}

fn is_program(facts: &Facts) -> bool {
    match facts {
        Facts::Elf(elf) => elf.kind == Kind::Executable,
        Facts::MachO(macho) => macho.slices.iter().any(|slice| slice.kind == Kind::Executable),
        Facts::Pe(pe) => pe.kind == Kind::Executable,
        Facts::Archive(_) => false,
    }
}

/// Who owns the files of one tree; packages are asked for their versions once.
#[derive(Debug)]
pub(super) struct Owners<'a> {
    tree: &'a Tree,
    versions: BTreeMap<String, Option<String>>,
}

impl<'a> Owners<'a> {
    pub(super) fn new(tree: &'a Tree) -> Self {
        Self { tree, versions: BTreeMap::new() }
    }

    /// The package a file came with, as `argon2 0.44.0`; the service, as `services/words`; or the runtime.
    pub(super) fn of(&mut self, path: &str) -> Option<String> {
        let Some((folder, name)) = package(path) else {
            return part(path);
        };
        let tree = self.tree;
        let version =
            self.versions.entry(folder.to_owned()).or_insert_with(|| version(tree, folder));
        Some(match version {
            Some(version) => format!("{name} {version}"),
            None => name.to_owned(),
        })
    }
}

/// The folder and the name of the innermost npm package that a path is in.
fn package(path: &str) -> Option<(&str, &str)> {
    const MODULES: &str = "node_modules/";
    let starts = path.match_indices(MODULES).filter_map(|(at, found)| {
        let is_folder = at == 0 || path[..at].ends_with('/');
        is_folder.then_some(at + found.len())
    });
    // From the innermost outwards: `node_modules/.bin` holds no package.
    starts.collect::<Vec<_>>().into_iter().rev().find_map(|start| {
        let rest = &path[start..];
        let mut ends = rest.match_indices('/').map(|(at, _)| at);
        let first = ends.next()?;
        let end = if rest.starts_with('@') { ends.next()? } else { first };
        (!rest.starts_with('.')).then_some((&path[..start + end], &rest[..end]))
    })
}

/// The part of the bundle that a path outside of packages is in.
fn part(path: &str) -> Option<String> {
    let mut parts = path.split('/');
    match (parts.next()?, parts.next()) {
        ("services", Some(name)) if parts.next().is_some() => Some(format!("services/{name}")),
        ("runtime", Some(_)) => Some("runtime".to_owned()),
        _ => None,
    }
}

#[derive(Deserialize)]
struct PackageJson {
    version: Option<String>,
}

/// What the package says of its version, if its package.json is in the tree and is one.
fn version(tree: &Tree, folder: &str) -> Option<String> {
    let Some(Node::File(source)) = tree.get(&format!("{folder}/package.json")) else {
        return None;
    };
    let text = std::fs::read(source.path()).ok()?;
    serde_json::from_slice::<PackageJson>(&text).ok()?.version
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;
    use crate::tree::Source;
    use gangway_artifact::{BundlePath, Digest};

    #[test]
    fn owners_are_told_from_places() {
        let sandbox = Sandbox::new();
        let mut tree = Tree::default();
        for (path, text) in [
            ("app/node_modules/a/package.json", r#"{"version":"1.0.0"}"#),
            ("app/node_modules/a/node_modules/@s/b/package.json", r#"{"version":"2.0.0"}"#),
            ("app/node_modules/c/package.json", "not JSON"),
        ] {
            let file = sandbox.write(path, text);
            let source = Source::new(file, text.len() as u64, false, Digest::of(text));
            tree.insert(BundlePath::new(path).expect("plain"), Node::File(source));
        }
        let mut owners = Owners::new(&tree);
        for (path, owner) in [
            ("app/node_modules/a/build/x.node", Some("a 1.0.0")),
            ("app/node_modules/a/node_modules/@s/b/x.node", Some("@s/b 2.0.0")),
            ("app/node_modules/.pnpm/a@1.0.0/node_modules/a/x.node", Some("a")),
            ("app/node_modules/c/x.node", Some("c")),
            ("app/node_modules/a/node_modules/.bin/x", Some("a 1.0.0")),
            ("app/node_modules/@s/x.node", None),
            ("app/not_node_modules/a/x.node", None),
            ("node_modules/d/x.node", Some("d")),
            ("services/words/words", Some("services/words")),
            ("services/words", None),
            ("runtime/bin/node", Some("runtime")),
            ("bin/gateway", None),
        ] {
            assert_eq!(owners.of(path).as_deref(), owner, "{path}");
        }
    }
}
