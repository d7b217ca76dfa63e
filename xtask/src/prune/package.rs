//! The packages of a tree, and what their package.json says.

use std::cell::OnceCell;

use gangway_artifact::BundlePath;
use serde_json::Value;

use super::error::PruneError;
use super::rules::Rules;
use crate::tree::{Node, Source, Tree};

/// The folder packages are in.
const MODULES: &str = "node_modules";

/// A package and its files; packages below it are not part of it.
pub(super) struct Package<'tree> {
    /// Its folder in the tree.
    pub(super) folder: &'tree str,
    /// The name it is installed under.
    pub(super) name: &'tree str,
    /// Its files, sorted.
    pub(super) files: Vec<PackageFile<'tree>>,
    manifest: OnceCell<Manifest>,
}

/// A file of a package.
#[derive(Clone, Copy)]
pub(super) struct PackageFile<'tree> {
    /// Its place in the tree.
    pub(super) path: &'tree BundlePath,
    /// Its place in the package.
    pub(super) inside: &'tree str,
    /// Its bytes.
    pub(super) source: &'tree Source,
}

/// What is needed of package.json.
#[derive(Default)]
pub(super) struct Manifest {
    /// Whether package.json could not be read; then everything may be loaded.
    is_unknown: bool,
    /// Files that someone may load by the package's name or a gateway by its own convention: relative, `*` as written.
    entrypoints: Vec<String>,
    /// Whether it depends on something that makes Node load TypeScript.
    pub(super) has_typescript_loader: bool,
}

/// The packages of a tree, sorted by folder: every package stands before those inside it.
pub(super) fn packages(tree: &Tree) -> Vec<Package<'_>> {
    let mut packages: Vec<Package<'_>> = Vec::new();
    // A path and those of nested packages are neighbours: a stack of open packages is enough.
    let mut open: Vec<usize> = Vec::new();
    for (path, node) in tree.iter() {
        let Node::File(source) = node else { continue };
        let Some((folder, name)) = owner(path.as_str()) else { continue };
        let is_other = |number: &usize| packages[*number].folder != folder;
        while open
            .last()
            .is_some_and(|number| is_other(number) && !is_below(folder, packages[*number].folder))
        {
            open.pop();
        }
        if open.last().is_none_or(is_other) {
            open.push(packages.len());
            packages.push(Package { folder, name, files: Vec::new(), manifest: OnceCell::new() });
        }
        let inside = &path.as_str()[folder.len() + 1..];
        let number = *open.last().expect("pushed above when there was none");
        packages[number].files.push(PackageFile { path, inside, source });
    }
    packages.sort_by_key(|package| package.folder);
    packages
}

/// The folder and name of the innermost package a path is in; a file that lies in no package has none.
pub(crate) fn owner(path: &str) -> Option<(&str, &str)> {
    let mut found = None;
    let mut start = 0;
    while let Some(offset) = path[start..].find(MODULES) {
        let modules = start + offset;
        start = modules + MODULES.len();
        let is_whole = (modules == 0 || path.as_bytes()[modules - 1] == b'/')
            && path.as_bytes().get(start) == Some(&b'/');
        if !is_whole {
            continue;
        }
        let rest = &path[start + 1..];
        let parts = if rest.starts_with('@') { 2 } else { 1 };
        // What is directly in `node_modules` or in a scope's folder belongs to no package.
        let Some((end, _)) = rest.match_indices('/').nth(parts - 1) else { continue };
        if !rest.starts_with('.') {
            found = Some((&path[..start + 1 + end], &rest[..end]));
        }
    }
    found
}

/// Whether a name ending in `.ts` is that of a declaration file, for instance `x.d.ts` or `x.d.css.ts`.
pub(super) fn is_declaration(name: &str) -> bool {
    name.contains(".d.")
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

impl Package<'_> {
    /// Its package.json. One that is missing or malformed says that everything may be loaded.
    pub(super) fn manifest(&self, rules: &Rules) -> Result<&Manifest, PruneError> {
        if self.manifest.get().is_none() {
            let manifest = match self.files.iter().find(|file| file.inside == "package.json") {
                Some(file) => Manifest::parse(&super::read(file.source)?, rules),
                None => None,
            };
            let _ = self.manifest.set(manifest.unwrap_or_else(Manifest::of_unknown));
        }
        Ok(self.manifest.get().expect("set above"))
    }
}

impl Manifest {
    fn of_unknown() -> Self {
        Self { is_unknown: true, has_typescript_loader: true, ..Self::default() }
    }

    fn parse(text: &[u8], rules: &Rules) -> Option<Self> {
        let Value::Object(keys) = serde_json::from_slice(text).ok()? else { return None };
        let mut manifest = Self::default();
        for (key, value) in &keys {
            match key.as_str() {
                "exports" | "imports" => manifest.add_exports(value, rules),
                "dependencies" | "optionalDependencies" => {
                    manifest.has_typescript_loader |=
                        rules.loaders.iter().any(|loader| value.get(loader).is_some());
                }
                key if key.starts_with('_') || rules.not_loaded.iter().any(|name| name == key) => {}
                _ => manifest.add_texts(value),
            }
        }
        Some(manifest)
    }

    fn add_exports(&mut self, value: &Value, rules: &Rules) {
        match value {
            Value::String(path) => self.add(path),
            Value::Array(choices) => {
                choices.iter().for_each(|choice| self.add_exports(choice, rules));
            }
            Value::Object(keys) => {
                for (key, value) in keys {
                    let is_subpath = key.starts_with('.') || key.starts_with('#');
                    if is_subpath || rules.conditions.iter().any(|name| name == key) {
                        self.add_exports(value, rules);
                    }
                }
            }
            _ => {}
        }
    }

    fn add_texts(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add(text),
            Value::Array(values) => values.iter().for_each(|value| self.add_texts(value)),
            Value::Object(keys) => keys.values().for_each(|value| self.add_texts(value)),
            _ => {}
        }
    }

    fn add(&mut self, path: &str) {
        let path = path.trim_start_matches("./").trim_start_matches('/');
        self.entrypoints.push(path.trim_end_matches('/').to_owned());
    }

    /// Whether an entry point is in this folder, or is the folder.
    pub(super) fn leads_into(&self, folder: &str) -> bool {
        self.is_unknown
            || self.entrypoints.iter().any(|path| path == folder || is_below(path, folder))
    }

    /// Whether an entry point is this file, with or without its extension.
    pub(super) fn names(&self, file: &str) -> bool {
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        self.is_unknown || self.entrypoints.iter().any(|path| path == file || path == stem)
    }

    /// Whether an entry point is TypeScript.
    pub(super) fn names_typescript(&self) -> bool {
        let mut names = self.entrypoints.iter().map(|path| {
            let name = path.rsplit('/').next().unwrap_or(path);
            let is_source = [".ts", ".mts", ".cts", ".tsx"].iter().any(|end| name.ends_with(end));
            is_source && !is_declaration(name)
        });
        self.is_unknown || names.any(|is_source| is_source)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::RULES;
    use super::*;

    fn manifest(text: &str) -> Manifest {
        Manifest::parse(text.as_bytes(), &RULES).expect("an object")
    }

    #[test]
    fn a_path_has_the_innermost_package() {
        for (path, expected) in [
            ("node_modules/a/index.js", Some(("node_modules/a", "a"))),
            ("node_modules/@s/a/lib/x.js", Some(("node_modules/@s/a", "@s/a"))),
            ("node_modules/a/node_modules/b/x.js", Some(("node_modules/a/node_modules/b", "b"))),
            ("packages/p/node_modules/c/x.js", Some(("packages/p/node_modules/c", "c"))),
            ("node_modules/a/my_node_modules/x.js", Some(("node_modules/a", "a"))),
            ("node_modules/.bin/x", None),
            ("node_modules/.package-lock.json", None),
            ("node_modules/@s/x.js", None),
            ("src/index.js", None),
        ] {
            assert_eq!(owner(path), expected, "{path}");
        }
    }

    #[test]
    fn files_around_a_nested_package_stay_together() {
        let mut tree = Tree::default();
        for path in [
            "node_modules/a/a.js",
            "node_modules/a/node_modules/b/x.js",
            "node_modules/a/package.json",
            "node_modules/ab/x.js",
        ] {
            let path = BundlePath::new(path).expect("plain");
            let source = Source::new("none", 1, false, gangway_artifact::Digest::of(b""));
            tree.insert(path, Node::File(source));
        }
        let found: Vec<_> =
            packages(&tree).iter().map(|package| (package.folder, package.files.len())).collect();
        assert_eq!(
            found,
            [("node_modules/a", 2), ("node_modules/a/node_modules/b", 1), ("node_modules/ab", 1)]
        );
    }

    #[test]
    fn entry_points_are_what_someone_loads() {
        let manifest = manifest(
            r#"{
                "main": "./lib/index", "bin": {"x": "test/cli.js"}, "types": "./tests/types.d.ts",
                "files": ["test"], "scripts": {"test": "test/run.js"}, "testling": {"files": "test/all.js"},
                "exports": {".": {"@me/source": "./src/index.ts", "types": "./x.d.ts", "default": "./lib/index.js"},
                            "./tests/*": "./tests/*.js"}
            }"#,
        );
        assert!(manifest.names("lib/index.js"));
        assert!(manifest.leads_into("test"));
        assert!(manifest.leads_into("tests"));
        assert!(!manifest.leads_into("src"));
        assert!(!manifest.names_typescript());
        assert!(!manifest.has_typescript_loader);
    }

    #[test]
    fn a_gateways_plugin_may_be_typescript() {
        assert!(manifest(r#"{"openclaw": {"extensions": ["./index.ts"]}}"#).names_typescript());
        assert!(manifest(r#"{"exports": {"bun": "./src/index.ts"}}"#).names_typescript());
        assert!(manifest(r#"{"dependencies": {"jiti": "^2"}}"#).has_typescript_loader);
        assert!(!manifest(r#"{"main": "x.d.ts", "source": "x.ts"}"#).names_typescript());
    }
}
