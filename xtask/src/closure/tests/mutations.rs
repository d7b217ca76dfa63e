//! Lockfiles that no npm wrote.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const LOCKFILES: [&str; 4] = [
    include_str!("../testdata/conflicts/package-lock.json"),
    include_str!("../testdata/platforms/package-lock.json"),
    include_str!("../testdata/tarball/package-lock.json"),
    include_str!("../testdata/workspaces/package-lock.json"),
];

#[derive(Debug, Clone)]
enum Mutation {
    Rename(Index, String),
    Field(Index, String, Value),
    Remove(Index),
}

fn key() -> impl Strategy<Value = String> {
    let parts =
        ["node_modules/", "a", "b", "@s/", "..", "/", ".bin", "semver", "packages/cli", "\u{1b}"];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..6)
        .prop_map(|parts| parts.concat())
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let fields = [
        "name",
        "version",
        "resolved",
        "integrity",
        "link",
        "inBundle",
        "dev",
        "optional",
        "os",
        "cpu",
        "libc",
        "bin",
        "engines",
        "dependencies",
        "peerDependencies",
        "workspaces",
    ];
    let field = prop::sample::select(fields.to_vec()).prop_map(str::to_owned);
    let value = prop_oneof![
        Just(Value::Null),
        Just(json!(true)),
        Just(json!(-1)),
        Just(json!(["linux", "!x64", 3])),
        Just(json!({"semver": "../..", "../x": "..\\y", "a": "*"})),
        Just(json!("packages/lib")),
        Just(json!("https://host.example/-/x.tgz")),
        Just(json!("git+ssh://git@github.com/#0387a73a4aa0f5041927f348b1ec478cd0507dea")),
        key().prop_map(|key| json!(key)),
        key().prop_map(|key| json!(format!("file:{key}"))),
    ];
    prop_oneof![
        (any::<Index>(), key()).prop_map(|(at, key)| Mutation::Rename(at, key)),
        (any::<Index>(), field, value)
            .prop_map(|(at, field, value)| Mutation::Field(at, field, value)),
        any::<Index>().prop_map(Mutation::Remove),
    ]
}

fn mutated(text: &str, mutations: Vec<Mutation>) -> String {
    let mut lock: Value = serde_json::from_str(text).expect("npm wrote it");
    let packages = lock["packages"].as_object_mut().expect("npm wrote it");
    for mutation in mutations {
        let keys: Vec<_> = packages.keys().cloned().collect();
        match mutation {
            _ if keys.is_empty() => {}
            Mutation::Rename(at, key) => {
                let entry = packages.remove(at.get(&keys)).expect("it has the key");
                packages.insert(key, entry);
            }
            Mutation::Field(at, field, value) => packages[at.get(&keys)][field] = value,
            Mutation::Remove(at) => {
                packages.remove(at.get(&keys));
            }
        }
    }
    lock.to_string()
}

/// What must hold of every closure, wherever it came from.
fn check(closure: &Closure) -> Result<(), TestCaseError> {
    let places: BTreeSet<_> = closure
        .packages
        .iter()
        .map(|p| &p.path)
        .chain(closure.links.iter().map(|l| &l.path))
        .collect();
    prop_assert_eq!(places.len(), closure.packages.len() + closure.links.len());
    for link in &closure.links {
        prop_assert!(places.contains(&link.folder), "{} leads nowhere", link.path);
    }

    let files = tree(&[
        "package.json",
        "cli.js",
        "bin/semver.js",
        "node_modules/a",
        "node_modules/b/package.json",
    ]);
    let mut unpacked = BTreeMap::new();
    let mut folders = BTreeMap::new();
    for package in &closure.packages {
        match &package.origin {
            Origin::Registry { integrity, .. }
            | Origin::Url { integrity, .. }
            | Origin::File { integrity, .. } => {
                unpacked.insert(integrity.clone(), files.clone());
            }
            Origin::Folder { path } => {
                folders.insert(path.clone(), files.clone());
            }
            Origin::Bundled => {}
        }
    }
    if let Ok(tree) = assemble(closure, &unpacked, &folders) {
        for (path, _) in tree.iter() {
            prop_assert!(!tree.has_folder(path.as_str()), "{path} is a file and a folder");
        }
    }
    Ok(())
}

/// Lockfiles without places of their own, or with those of Bun, and the gateway's folder.
const OTHERS: [(&str, &str, &str); 4] = [
    ("pnpm-lock.yaml", include_str!("../testdata/pnpm-mixed/pnpm-lock.yaml"), ""),
    ("pnpm-lock.yaml", include_str!("../testdata/pnpm-workspace/pnpm-lock.yaml"), "apps/gateway"),
    ("bun.lock", include_str!("../testdata/bun-mixed/bun.lock"), ""),
    ("bun.lock", include_str!("../testdata/bun-workspace/bun.lock"), "apps/gateway"),
];

const PATCH: &str = include_str!("../testdata/pnpm-workspace/patches/is-number@6.0.0.patch");

/// What somebody may do to a line, or to a merge.
#[derive(Debug, Clone)]
enum Edit {
    Insert(Index, String),
    RemoveLine(Index),
    CopyLine(Index, Index),
    SwapWords(Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), "[\"'{}\\[\\]():,a@&*/.\u{e9}\n -]{0,3}")
            .prop_map(|(at, text)| Edit::Insert(at, text)),
        any::<Index>().prop_map(Edit::RemoveLine),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Edit::CopyLine(from, to)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Edit::SwapWords(from, to)),
    ]
}

fn edited(text: &str, edits: Vec<Edit>) -> String {
    let mut text = text.to_owned();
    for edit in edits {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        if lines.is_empty() {
            return text;
        }
        text = match edit {
            Edit::Insert(at, insert) => {
                let at = text.floor_char_boundary(at.index(text.len()));
                let end = text.ceil_char_boundary(at + 1);
                let mut text = text.clone();
                text.replace_range(at..end, &insert);
                text
            }
            Edit::RemoveLine(at) => {
                lines.remove(at.index(lines.len()));
                lines.concat()
            }
            Edit::CopyLine(from, to) => {
                lines.insert(to.index(lines.len()), lines[from.index(lines.len())]);
                lines.concat()
            }
            Edit::SwapWords(from, to) => {
                let words: Vec<_> = text.split_whitespace().collect();
                let (from, to) = (from.get(&words), to.get(&words));
                text.replacen(from, to, 3)
            }
        };
    }
    text
}

proptest! {
    #[test]
    fn of_other_formats(
        (file, lock, member) in prop::sample::select(OTHERS.to_vec()),
        edits in prop::collection::vec(edit(), 1..6),
        development: bool,
    ) {
        let scope = if development { Scope::Development } else { Scope::Production };
        let text = edited(lock, edits);
        let path = Utf8Path::new(file);
        let patches = patch_files(&text, path).unwrap_or_default();
        let patches = patches.into_iter().map(|path| (path, PATCH.to_owned())).collect();
        let project = Project {
            lockfile: path,
            text: &text,
            member: Utf8Path::new(member),
            package_json: Some(r#"{"dependencies": {"debug": "4.3.4"}}"#),
            patches: &patches,
        };
        match project.closure(&LINUX, scope) {
            Ok(closure) => check(&closure)?,
            Err(error) => prop_assert!(!rendered(&error).is_empty()),
        }
        let project = Project { package_json: None, ..project };
        match project.closure(&LINUX, scope) {
            Ok(closure) => check(&closure)?,
            Err(error) => prop_assert!(!rendered(&error).is_empty()),
        }
    }

    #[test]
    fn of_values(
        lock in prop::sample::select(LOCKFILES.to_vec()),
        mutations in prop::collection::vec(mutation(), 1..5),
        development: bool,
    ) {
        let scope = if development { Scope::Development } else { Scope::Production };
        if let Ok(closure) = read(&mutated(lock, mutations), lockfile(), &LINUX, scope) {
            check(&closure)?;
        }
    }

    #[test]
    fn of_bytes(
        lock in prop::sample::select(LOCKFILES.to_vec()),
        edits in prop::collection::vec((any::<Index>(), "[\"{}:,a/.\u{e9}\n]{0,3}"), 1..4),
    ) {
        let mut text = lock.to_owned();
        for (at, insert) in edits {
            let at = text.floor_char_boundary(at.index(text.len()));
            let end = text.ceil_char_boundary(at + 1);
            text.replace_range(at..end, &insert);
        }
        match read(&text, lockfile(), &LINUX, Scope::Production) {
            Ok(closure) => check(&closure)?,
            Err(error) => prop_assert!(!rendered(&error).is_empty()),
        }
    }
}
