//! Licence texts: which files they are, and a copy of each where a person looks for them.
//!
//! `licenses/<package>@<version>/<file>` is the same source as the file in the package; `licenses/index.json` says for
//! every package which licence it declares and which texts it brings. A package without a text is listed as such: that
//! is for a person to know, not for a builder to mend.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use gangway_artifact::{BundlePath, PathError};
use miette::Diagnostic;
use serde::Serialize;
use serde_json::Value;

use crate::closure::{Closure, Package};
use crate::tree::{Node, Source, Tree};

/// The folder in the bundle.
pub const FOLDER: &str = "licenses";

/// The version of `index.json`.
const INDEX_VERSION: u32 = 1;

/// How the names of licence texts start, in lower case.
const STARTS: &[&str] = &[
    "licence",
    "license",
    "unlicense",
    "unlicence",
    "copying",
    "copyright",
    "notice",
    "patents",
    "thirdparty",
    "third-party",
    "third_party",
    "mit-license",
    "apache-license",
    "bsd-license",
    "gpl-license",
    "eula",
    "authors",
];

/// Extensions of files that are code or data, whatever their name starts with.
const CODE: &[&str] = &[
    "js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "map", "json", "c", "cc", "cpp", "h",
    "hpp", "py", "rb", "go", "rs", "css", "scss", "node", "so", "dll", "wasm", "png", "svg",
];

/// The collected texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licenses {
    /// Where each text goes in the bundle, and its bytes; sorted.
    pub files: Vec<(BundlePath, Source)>,
    /// The content of `licenses/index.json`.
    pub index: Index,
}

/// `licenses/index.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Index {
    /// The format's version.
    pub version: u32,
    /// Every package, sorted by name and version.
    pub packages: Vec<Entry>,
}

/// What is known of a package's licence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What its package.json declares; an SPDX expression when its author was careful.
    pub license: Option<String>,
    /// Its texts in the bundle; empty when it brings none.
    pub files: Vec<BundlePath>,
}

/// What can go wrong when licences are collected.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum LicensesError {
    /// A package.json that cannot be read.
    #[error("cannot read `{path}` for the licence of `{package}`")]
    Read {
        /// The package.
        package: String,
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A name or version no path can hold.
    #[error("the licence of `{package}` has no place in the bundle")]
    Place {
        /// The package.
        package: String,
        /// Why.
        source: PathError,
    },
}

/// Whether a file is a licence text, by its path: such files are never pruned.
#[must_use]
pub fn is_license(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or(path).to_ascii_lowercase();
    if name.rsplit_once('.').is_some_and(|(_, extension)| CODE.contains(&extension)) {
        return false;
    }
    STARTS.iter().any(|start| name.starts_with(start))
        || name.contains(".license")
        || name.contains(".licence")
        || name.ends_with("-license")
        || parts.next().is_some_and(|folder| matches!(folder, "LICENSES" | "licenses" | "licences"))
}

/// Collects the licence texts of every package of `closure`, which lies in `tree`.
///
/// # Errors
/// When a package.json cannot be read, or a package's name makes no path.
pub fn collect(closure: &Closure, tree: &Tree) -> Result<Licenses, LicensesError> {
    let mut files: BTreeMap<BundlePath, Source> = BTreeMap::new();
    let mut entries: BTreeMap<(String, String), Entry> = BTreeMap::new();
    for package in &closure.packages {
        let key = (package.name.clone(), package.version.clone());
        let texts = texts(package, tree)?;
        let entry = match entries.entry(key) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Entry {
                name: package.name.clone(),
                version: package.version.clone(),
                license: declared(package, tree)?,
                files: Vec::new(),
            }),
        };
        for (place, source) in texts {
            let place = free(&files, place, &source);
            if files.insert(place.clone(), source).is_none() {
                entry.files.push(place);
            }
        }
    }
    let mut packages = Vec::from_iter(entries.into_values());
    for package in &mut packages {
        package.files.sort();
    }
    let index = Index { version: INDEX_VERSION, packages };
    Ok(Licenses { files: files.into_iter().collect(), index })
}

impl Index {
    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("texts and numbers only");
        text.push('\n');
        text
    }

    /// The packages that bring no text.
    pub fn without_text(&self) -> impl Iterator<Item = &Entry> {
        self.packages.iter().filter(|entry| entry.files.is_empty())
    }
}

/// The texts of a package that is no npm package, for instance the runtime: those of `files` that are licences, under
/// `licenses/<name>@<version>/`.
///
/// # Errors
/// When the name or version makes no path.
pub fn of_component(
    name: &str,
    version: &str,
    files: &Tree,
) -> Result<Vec<(BundlePath, Source)>, LicensesError> {
    let licences = files.files().filter(|(path, _)| is_license(path.as_str()));
    licences
        .map(|(path, source)| Ok((place(name, version, path.as_str())?, source.clone())))
        .collect()
}

fn texts(package: &Package, tree: &Tree) -> Result<Vec<(BundlePath, Source)>, LicensesError> {
    let mut texts = Vec::new();
    for (path, node) in tree.below(package.path.as_str()) {
        let Node::File(source) = node else { continue };
        let inside = path.below(package.path.as_str()).expect("the tree was asked for these");
        let is_nested = inside.starts_with("node_modules/") || inside.contains("/node_modules/");
        if !is_nested && is_license(inside) {
            texts.push((place(&package.name, &package.version, inside)?, source.clone()));
        }
    }
    Ok(texts)
}

fn place(name: &str, version: &str, file: &str) -> Result<BundlePath, LicensesError> {
    BundlePath::new(format!("{FOLDER}/{name}@{version}/{file}"))
        .map_err(|source| LicensesError::Place { package: format!("{name}@{version}"), source })
}

/// Two packages of one name and version may differ (patched, bundled): the second text gets a number.
fn free(files: &BTreeMap<BundlePath, Source>, place: BundlePath, source: &Source) -> BundlePath {
    let is_free =
        |place: &BundlePath| files.get(place).is_none_or(|there| there.sha256 == source.sha256);
    let numbered = |number: u32| BundlePath::new(format!("{place}.{number}")).ok();
    if is_free(&place) {
        return place;
    }
    let free = (2..1000).filter_map(numbered).find(is_free);
    free.unwrap_or(place)
}

/// What package.json declares: a text, or the older `{"type": ...}` or a list of those.
fn declared(package: &Package, tree: &Tree) -> Result<Option<String>, LicensesError> {
    let Some(Node::File(source)) = tree.get(&format!("{}/package.json", package.path)) else {
        return Ok(None);
    };
    let text = fs_err::read(source.path()).map_err(|error| LicensesError::Read {
        package: package.name.clone(),
        path: source.path(),
        source: error,
    })?;
    let Ok(manifest) = serde_json::from_slice::<Value>(&text) else { return Ok(None) };
    Ok(expression(&manifest["license"]).or_else(|| expression(&manifest["licenses"])))
}

fn expression(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(_) => value["type"].as_str().map(str::to_owned),
        Value::Array(choices) => {
            let names: Vec<_> = choices.iter().filter_map(expression).collect();
            (!names.is_empty()).then(|| names.join(" OR "))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use gangway_artifact::Digest;

    use super::*;
    use crate::closure::Origin;

    #[test]
    fn licence_texts_have_many_names() {
        for path in [
            "LICENSE",
            "LICENCE.md",
            "license.txt",
            "LICENSE-MIT",
            "LICENSE.BSD",
            "UNLICENSE",
            "COPYING.LESSER",
            "NOTICE",
            "NOTICE.md",
            "MIT-LICENSE.txt",
            "ThirdPartyNotices.txt",
            "THIRD_PARTY_NOTICES.md",
            "dist/index.js.LICENSE.txt",
            "lib/webp_codec.LICENSE",
            "LICENSES/Apache-2.0.txt",
            "font.woff2.license",
            "AUTHORS",
            "PATENTS",
        ] {
            assert!(is_license(path), "{path}");
        }
        for path in [
            "license.js",
            "lib/license_header.js",
            "licenses.d.ts",
            "notice.js.map",
            "README.md",
            "lib/copying.cjs",
            "licenses/index.json",
            "my-license-checker/index.html",
        ] {
            assert!(!is_license(path), "{path}");
        }
    }

    fn source(folder: &Utf8Path, text: &str) -> Source {
        let sha256 = Digest::of(text);
        let path = folder.join(sha256.to_string().replace(':', "-"));
        fs_err::write(&path, text).expect("writable");
        Source::new(path, text.len() as u64, false, sha256)
    }

    fn package(path: &str, name: &str) -> Package {
        Package {
            path: BundlePath::new(path).expect("plain"),
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            origin: Origin::Bundled,
            has_install_script: false,
            bins: BTreeMap::new(),
            engines: BTreeMap::new(),
        }
    }

    #[test]
    fn every_package_is_listed() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let folder = Utf8Path::from_path(folder.path()).expect("plain");
        let mut tree = Tree::default();
        for (path, text) in [
            ("node_modules/a/LICENSE", "text of a"),
            ("node_modules/a/package.json", r#"{"license": "MIT"}"#),
            ("node_modules/a/vendor/LICENSE", "text of a part"),
            (
                "node_modules/a/node_modules/@s/b/package.json",
                r#"{"licenses": [{"type": "MIT"}, {"type": "ISC"}]}"#,
            ),
            ("node_modules/c/node_modules/a/LICENSE", "another text of a"),
            ("node_modules/d/node_modules/a/LICENSE", "text of a"),
        ] {
            tree.insert(BundlePath::new(path).expect("plain"), Node::File(source(folder, text)));
        }
        let packages = vec![
            package("node_modules/a", "a"),
            package("node_modules/a/node_modules/@s/b", "@s/b"),
            package("node_modules/c/node_modules/a", "a"),
            package("node_modules/d/node_modules/a", "a"),
        ];
        let closure = Closure { packages, ..Closure::default() };
        let licenses = collect(&closure, &tree).expect("readable");
        insta::assert_snapshot!(licenses.index.to_json(), @r#"
        {
          "version": 1,
          "packages": [
            {
              "name": "@s/b",
              "version": "1.0.0",
              "license": "MIT OR ISC",
              "files": []
            },
            {
              "name": "a",
              "version": "1.0.0",
              "license": "MIT",
              "files": [
                "licenses/a@1.0.0/LICENSE",
                "licenses/a@1.0.0/LICENSE.2",
                "licenses/a@1.0.0/vendor/LICENSE"
              ]
            }
          ]
        }
        "#);
        assert_eq!(
            licenses.files.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
            [
                "licenses/a@1.0.0/LICENSE",
                "licenses/a@1.0.0/LICENSE.2",
                "licenses/a@1.0.0/vendor/LICENSE"
            ]
        );
        assert_eq!(
            licenses.index.without_text().map(|entry| &entry.name).collect::<Vec<_>>(),
            ["@s/b"]
        );
    }

    #[test]
    fn a_component_has_a_folder_of_its_own() {
        let mut files = Tree::default();
        for path in ["LICENSE", "README.md", "bin/node"] {
            let source = Source::new(path, 0, false, Digest::of(b""));
            files.insert(BundlePath::new(path).expect("plain"), Node::File(source));
        }
        let licences = of_component("node", "24.21.0", &files).expect("plain");
        let places: Vec<_> = licences.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(places, ["licenses/node@24.21.0/LICENSE"]);
    }
}
