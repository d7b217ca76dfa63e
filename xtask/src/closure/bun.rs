//! `bun.lock`, lockfile versions 0 to 2, which differ in what Bun checks and not in what they say.
//!
//! The keys of `packages` are names with slashes between them: `a/b` lies in the `node_modules` of `a`, and `a` may be a
//! package of the workspace. So they become npm's keys, and all else is as with npm. The values are lists whose form
//! depends on where the package comes from. (Bun: `src/install/lockfile/bun.lock.zig`.)

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{Faults, Malformed, UnsupportedVersion};
use super::raw::{Entry, PatchFile, Unique};
use super::{ClosureError, package_lock, relaxed};

const NEWEST: u64 = 2;

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "lockfileVersion", default)]
    version: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    workspaces: Unique<Workspace>,
    #[serde(default)]
    packages: Unique<Vec<Value>>,
    #[serde(default)]
    patched_dependencies: BTreeMap<String, String>,
}

/// What both a workspace package and a package's information may have besides what npm has.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct More {
    optional_peers: Vec<String>,
    bundled: bool,
}

/// A package of the workspace, read twice.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
struct Workspace(Entry);

impl TryFrom<Value> for Workspace {
    type Error = serde_json::Error;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        entry(&value).map(Self)
    }
}

/// The entries of the lockfile `text`, with npm's keys.
pub(super) fn entries(
    text: &str,
    path: &Utf8Path,
    faults: &mut Faults,
) -> Result<BTreeMap<String, Entry>, ClosureError> {
    let document = parse(text, path)?;
    let mut entries = BTreeMap::new();
    let has_members = document.workspaces.0.len() > 1;
    for (folder, Workspace(mut entry)) in document.workspaces.0 {
        // What is needed to run is needed, whatever else it is for.
        let Entry { dependencies, optional_dependencies, dev_dependencies, .. } = &mut entry;
        dev_dependencies.retain(|name, _| {
            !dependencies.contains_key(name) && !optional_dependencies.contains_key(name)
        });
        if folder.is_empty() && has_members {
            entry.workspaces = json!(true);
        }
        entries.insert(folder, entry);
    }
    let keys = Keys::new(&document.packages.0);
    for (key, value) in &document.packages.0 {
        let mut entry = package(value).map_err(|reason| malformed(text, path, key, reason))?;
        if let (Some(name), Some(version)) = (&entry.name, &entry.version) {
            let patch = document.patched_dependencies.get(&format!("{name}@{version}"));
            entry.patch = patch.map(|path| PatchFile { path: path.clone(), sha256: None });
        }
        if let Some(folder) = entry.target().filter(|folder| !folder.is_empty()) {
            // Only workspaces are listed; of another folder nothing is known.
            entries.entry(folder.to_owned()).or_default();
        }
        entries.insert(keys.place(key), entry);
    }
    package_lock::refuse_bad_keys(&mut entries, faults);
    Ok(entries)
}

/// The patches that are named, whether or not something needs them.
pub(super) fn patch_files(text: &str, path: &Utf8Path) -> Result<Vec<Utf8PathBuf>, ClosureError> {
    let document = parse(text, path)?;
    Ok(document.patched_dependencies.into_values().map(Utf8PathBuf::from).collect())
}

fn parse(text: &str, path: &Utf8Path) -> Result<Document, ClosureError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let json = relaxed::to_json(text);
    let malformed = |error: serde_json::Error| Malformed::json(text, path, &error);
    let header: Header = serde_json::from_str(&json).map_err(malformed)?;
    if header.version.as_u64().is_none_or(|version| version > NEWEST) {
        let found = (!header.version.is_null()).then(|| header.version.to_string());
        let help = "a newer Bun wrote it: update Gangway to one that reads it, or write the lockfile with an older Bun";
        let readable = "versions 0 to 2";
        return Err(UnsupportedVersion::new(path, found.as_deref(), readable, help).into());
    }
    Ok(serde_json::from_str(&json).map_err(malformed)?)
}

/// Where a key's entry cannot be read.
fn malformed(text: &str, path: &Utf8Path, key: &str, reason: &str) -> Box<Malformed> {
    let quoted = format!("{}: [", json!(key));
    let line = text.lines().position(|line| line.trim_start().starts_with(&quoted));
    let column = line.and_then(|line| text.lines().nth(line)?.find(&quoted)).unwrap_or(0);
    let reason = format!("the entry `{}` {reason}", key.escape_debug());
    Malformed::at(text, path, (line.unwrap_or(0) + 1, column + 1), &reason)
}

fn entry(value: &Value) -> Result<Entry, serde_json::Error> {
    let mut entry = Entry::deserialize(value)?;
    let more = More::deserialize(value)?;
    let optional = more.optional_peers.into_iter().map(|name| (name, json!({"optional": true})));
    entry.peer_dependencies_meta = Value::Object(optional.collect());
    entry.in_bundle = more.bundled;
    Ok(entry)
}

/// One value of `packages`: `["name@where", ...]`.
fn package(value: &[Value]) -> Result<Entry, &'static str> {
    let is = value.first().and_then(Value::as_str).ok_or("begins without a name")?;
    let at = is.get(1..).and_then(|rest| rest.find('@')).ok_or("has no version")? + 1;
    let (name, source) = (&is[..at], &is[at + 1..]);
    let information = value.iter().find(|part| part.is_object());
    let mut entry = match information {
        Some(information) => entry(information).map_err(|_| "has information of a wrong type")?,
        None => Entry::default(),
    };
    entry.name = Some(name.to_owned());
    let text = |index: usize| value.get(index).and_then(Value::as_str).map(str::to_owned);
    let integrity = value.iter().skip(2).rev().find_map(Value::as_str);
    let is_integrity = |text: &&str| text.contains('-') && text.starts_with("sha");
    entry.integrity = integrity.filter(is_integrity).map(str::to_owned);
    if let Some(folder) = source.strip_prefix("workspace:").or(source.strip_prefix("link:")) {
        entry = Entry { name: entry.name, link: true, ..Entry::default() };
        entry.resolved = Some(folder.trim_start_matches("./").to_owned());
    } else if source.starts_with("root:") {
        entry = Entry { name: entry.name, link: true, ..Entry::default() };
        entry.resolved = Some(String::new());
    } else if let Some(repository) = source.strip_prefix("github:") {
        entry.resolved = Some(format!("git+https://github.com/{repository}"));
    } else if let Some(folder) = source.strip_prefix("file:") {
        entry.resolved = Some(format!("file:{}", folder.trim_start_matches("./")));
    } else if source.contains("://") || source.starts_with("git") {
        entry.resolved = Some(source.to_owned());
    } else if information.is_some() && value.get(1) == information {
        entry.resolved = Some(format!("file:{}", source.trim_start_matches("./")));
    } else {
        entry.version = Some(source.to_owned());
        entry.resolved = text(1).filter(|url| !url.is_empty());
    }
    Ok(entry)
}

/// How Bun's keys become places.
struct Keys<'lock> {
    /// The folders of workspace packages, by their keys.
    folders: BTreeMap<&'lock str, &'lock str>,
}

impl<'lock> Keys<'lock> {
    fn new(packages: &'lock BTreeMap<String, Vec<Value>>) -> Self {
        let folder = |value: &'lock [Value]| {
            let (_, folder) = value.first()?.as_str()?.split_once("@workspace:")?;
            Some(folder)
        };
        let folders =
            packages.iter().filter_map(|(key, value)| Some((key.as_str(), folder(value)?)));
        Self { folders: folders.collect() }
    }

    fn place(&self, key: &str) -> String {
        let (mut place, mut at) = (String::new(), 0);
        while at < key.len() {
            if let Some(folder) = at.checked_sub(1).and_then(|end| self.folders.get(&key[..end])) {
                place = (*folder).to_owned();
            }
            let rest = &key[at..];
            let scope =
                if rest.starts_with('@') { rest.find('/').map_or(0, |at| at + 1) } else { 0 };
            let end = rest[scope..].find('/').map_or(rest.len(), |at| scope + at);
            if !place.is_empty() {
                place.push('/');
            }
            place.push_str("node_modules/");
            place.push_str(&rest[..end]);
            at += end + 1;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let packages = [("@me/lib".to_owned(), vec![json!("@me/lib@workspace:packages/lib")])];
        let packages = BTreeMap::from(packages);
        let keys = Keys::new(&packages);
        assert_eq!(keys.place("a"), "node_modules/a");
        assert_eq!(keys.place("a/@s/b/c"), "node_modules/a/node_modules/@s/b/node_modules/c");
        assert_eq!(keys.place("@me/lib"), "node_modules/@me/lib");
        assert_eq!(keys.place("@me/lib/@s/b"), "packages/lib/node_modules/@s/b");
        assert_eq!(keys.place("@me"), "node_modules/@me");
        assert_eq!(keys.place("a//b"), "node_modules/a/node_modules//node_modules/b");
    }

    #[test]
    fn sources() {
        let of = |value: Value| {
            let entry = package(value.as_array().expect("a list")).expect("can be read");
            let Entry { version, resolved, integrity, link, .. } = entry;
            (version, resolved, integrity, link)
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            of(json!(["@s/a@1.0.0", "", {}, "sha512-x"])),
            (text("1.0.0"), None, text("sha512-x"), false)
        );
        assert_eq!(
            of(json!(["a@https://host.example/a.tgz", {}, "sha512-x"])),
            (None, text("https://host.example/a.tgz"), text("sha512-x"), false)
        );
        assert_eq!(
            of(json!(["a@vendor/a.tgz", {}, "sha512-x"])),
            (None, text("file:vendor/a.tgz"), text("sha512-x"), false)
        );
        assert_eq!(
            of(json!(["a@github:user/a#0387a73", {}, "user-a-0387a73"])),
            (None, text("git+https://github.com/user/a#0387a73"), None, false)
        );
        assert_eq!(of(json!(["a@workspace:packages/a"])), (None, text("packages/a"), None, true));
        assert_eq!(of(json!(["a@file:../a", {}])), (None, text("file:../a"), None, false));
        for wrong in [json!([]), json!([1]), json!(["a"]), json!([""])] {
            package(wrong.as_array().expect("a list")).expect_err("is none");
        }
    }
}
