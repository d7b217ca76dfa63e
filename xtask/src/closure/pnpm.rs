//! `pnpm-lock.yaml`, lockfile version 9.0.
//!
//! It says who needs whom and leaves the places to the installer: `importers` are the packages of the workspace,
//! `packages` what comes from elsewhere, and `snapshots` how a package is wired up, once for each set of peers it is used
//! with. Overrides, catalogs and package extensions are already applied in it. The layout is that of pnpm's
//! `node-linker=hoisted`, see [`super::hoist`]. (pnpm: `lockfile/utils`, `deps/path`.)

use std::collections::{BTreeMap, HashMap, VecDeque};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use serde_json::Value;

use super::error::{FaultKind, Faults, UnsupportedVersion};
use super::needs::{Need, Needs, Node};
use super::raw::{Entry, PatchFile};
use super::{ClosureError, Scope, yaml};

/// The keys of a lockfile that say what to install.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Lock {
    lockfile_version: Option<String>,
    /// Versions that replace what packages ask for.
    pub(super) overrides: BTreeMap<String, String>,
    patched_dependencies: BTreeMap<String, Value>,
    /// Set when a program of the user's may have changed what packages ask for.
    pub(super) pnpmfile_checksum: Option<String>,
    importers: BTreeMap<String, Importer>,
    packages: BTreeMap<String, PackageInfo>,
    snapshots: BTreeMap<String, Snapshot>,
}

/// A package of the workspace.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Importer {
    /// `dependencies`
    pub(super) dependencies: BTreeMap<String, Resolved>,
    /// `optionalDependencies`
    pub(super) optional_dependencies: BTreeMap<String, Resolved>,
    /// `devDependencies`
    pub(super) dev_dependencies: BTreeMap<String, Resolved>,
}

/// What is asked for, and what it means.
#[derive(Debug, Deserialize)]
pub(super) struct Resolved {
    /// What stands in package.json.
    pub(super) specifier: String,
    version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PackageInfo {
    resolution: Resolution,
    version: Option<String>,
    engines: BTreeMap<String, String>,
    os: Vec<String>,
    cpu: Vec<String>,
    libc: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Resolution {
    integrity: Option<String>,
    tarball: Option<String>,
    directory: Option<String>,
    repo: Option<String>,
    commit: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Snapshot {
    dependencies: BTreeMap<String, String>,
    optional_dependencies: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    lockfile_version: Option<String>,
}

/// The patches that are named, whether or not something needs them.
pub(super) fn patch_files(text: &str, path: &Utf8Path) -> Result<Vec<Utf8PathBuf>, ClosureError> {
    let lock = Lock::parse(text, path)?;
    let files = lock.patched_dependencies.values();
    let files = files.filter_map(|patched| Some(Utf8PathBuf::from(patched["path"].as_str()?)));
    Ok(files.collect())
}

impl Lock {
    /// Reads the lockfile `text`.
    pub(super) fn parse(text: &str, path: &Utf8Path) -> Result<Self, ClosureError> {
        let headers: Vec<Header> = yaml::documents(text, path)?;
        let found = headers.last().and_then(|header| header.lockfile_version.as_deref());
        if found != Some("9.0") {
            let is_old = found.is_none_or(|found| {
                found
                    .split('.')
                    .next()
                    .and_then(|major| major.parse().ok())
                    .is_none_or(|major: u64| major < 9)
            });
            let help = if is_old {
                "an older pnpm wrote it; run `pnpm install --lockfile-only` with pnpm 9 or 10"
            } else {
                "a newer pnpm wrote it: update Gangway to one that reads it, or run `pnpm install --lockfile-only` with pnpm 10"
            };
            return Err(UnsupportedVersion::new(path, found, "version 9.0", help).into());
        }
        // A first document may hold what pnpm itself needs.
        Ok(yaml::documents(text, path)?.pop().unwrap_or_default())
    }

    /// The folders of the workspace's packages, without that of the lockfile.
    pub(super) fn members(&self) -> Vec<&str> {
        self.importers.keys().map(String::as_str).filter(|folder| *folder != ".").collect()
    }

    /// The package of the workspace in the folder `member`.
    pub(super) fn importer(&self, member: &str) -> Option<&Importer> {
        self.importers.get(if member.is_empty() { "." } else { member })
    }

    /// What the package of the workspace in the folder `member` needs.
    pub(super) fn needs(&self, member: &str, scope: Scope, faults: &mut Faults) -> Needs {
        let (indices, queue) = (HashMap::new(), VecDeque::new());
        let needs = Needs::default();
        let mut walk = Walk { lock: self, project: member, scope, indices, needs, queue, faults };
        walk.folder(member);
        while let Some(index) = walk.queue.pop_front() {
            walk.follow(index);
        }
        walk.needs
    }

    fn patch(&self, snapshot: &str, package: &str) -> Option<PatchFile> {
        let hash = snapshot.split_once("(patch_hash=")?.1.split(')').next()?;
        let mut patches = self.patched_dependencies.values();
        let by_hash = patches.find(|patched| patched["hash"] == hash);
        let by_hash = by_hash.and_then(|patched| Some(patched["path"].as_str()?.to_owned()));
        // Without its file it is reported as missing, under the name it is known by.
        let path = by_hash.unwrap_or_else(|| format!("the patch of {package}"));
        Some(PatchFile { path, sha256: Some(hash.to_owned()) })
    }
}

struct Walk<'walk> {
    lock: &'walk Lock,
    project: &'walk str,
    scope: Scope,
    indices: HashMap<String, usize>,
    needs: Needs,
    queue: VecDeque<usize>,
    faults: &'walk mut Faults,
}

impl Walk<'_> {
    fn add(&mut self, key: String, make: impl FnOnce() -> Node) -> usize {
        if let Some(index) = self.indices.get(&key) {
            return *index;
        }
        let index = self.needs.nodes.len();
        self.needs.nodes.push(Node { key: key.clone(), ..make() });
        self.indices.insert(key, index);
        self.queue.push_back(index);
        index
    }

    /// The node of a folder of the user's: a package of the workspace, or one of which nothing is known.
    fn folder(&mut self, folder: &str) -> usize {
        let entry = self.lock.importer(folder).map(Importer::entry).unwrap_or_default();
        let folder = folder.to_owned();
        self.add(format!("link:{folder}"), || Node {
            entry,
            folder: Some(folder),
            ..Node::default()
        })
    }

    fn follow(&mut self, index: usize) {
        let key = self.needs.nodes[index].key.clone();
        let lock = self.lock;
        let mut needs: BTreeMap<&str, (&str, bool)> = BTreeMap::new();
        if let Some(folder) = key.strip_prefix("link:") {
            let Some(importer) = lock.importer(folder) else { return };
            let development = match self.scope {
                Scope::Development => Some(&importer.dev_dependencies),
                Scope::Production => None,
            };
            let lists = [
                (development, false),
                (Some(&importer.optional_dependencies), true),
                (Some(&importer.dependencies), false),
            ];
            for (list, is_optional) in lists {
                let named = list.into_iter().flatten();
                needs.extend(
                    named.map(|(name, to)| (name.as_str(), (to.version.as_str(), is_optional))),
                );
            }
        } else if let Some(snapshot) = lock.snapshots.get(&key) {
            let lists = [(&snapshot.optional_dependencies, true), (&snapshot.dependencies, false)];
            for (list, is_optional) in lists {
                needs.extend(
                    list.iter().map(|(name, to)| (name.as_str(), (to.as_str(), is_optional))),
                );
            }
        }
        for (name, (reference, is_optional)) in needs {
            if let Some(node) = self.target(&key, name, reference) {
                let need = Need { node, is_optional };
                self.needs.nodes[index].needs.insert(name.to_owned(), need);
            }
        }
    }

    /// What `reference` means in the package `from`, which knows it as `name`.
    fn target(&mut self, from: &str, name: &str, reference: &str) -> Option<usize> {
        let shown = from.strip_prefix("link:").map_or(from, |folder| match folder {
            "" => "the project",
            folder => folder,
        });
        if let Some(link) = reference.strip_prefix("link:") {
            // Links of packages start at the lockfile's folder, those of the workspace's packages at their own.
            let base = from.strip_prefix("link:").unwrap_or("");
            let Some(folder) = joined(base, link) else {
                let detail =
                    format!("`{}`, which links to `{}`", shown.escape_debug(), link.escape_debug());
                self.faults.add(FaultKind::Link, detail);
                return None;
            };
            if folder == self.project || folder.is_empty() {
                self.faults.add(
                    FaultKind::LinkToProject,
                    format!("`{name}`, in `{}`", shown.escape_debug()),
                );
                return None;
            }
            return Some(self.folder(&folder));
        }
        let key = snapshot_key(name, reference);
        let package = without_suffix(&key);
        let Some(info) = self.lock.packages.get(package) else {
            let detail = format!("`{}`, for `{}`", key.escape_debug(), shown.escape_debug());
            self.faults.add(FaultKind::Missing, detail);
            return None;
        };
        let lock = self.lock;
        let (package, snapshot) = (package.to_owned(), lock.snapshots.get(&key));
        Some(self.add(key.clone(), || {
            let mut entry = info.entry(&package, snapshot);
            entry.patch = lock.patch(&key, &package);
            let folder = info.resolution.directory.is_some();
            // A copy of a folder, as of a package; its own place is not linked.
            if folder {
                entry.resolved =
                    info.resolution.directory.as_ref().map(|path| format!("file:{path}"));
            }
            Node { entry, ..Node::default() }
        }))
    }
}

impl Importer {
    fn entry(&self) -> Entry {
        let texts = |list: &BTreeMap<String, Resolved>| {
            list.iter().map(|(name, to)| (name.clone(), to.specifier.clone())).collect()
        };
        Entry {
            dependencies: texts(&self.dependencies),
            optional_dependencies: texts(&self.optional_dependencies),
            dev_dependencies: texts(&self.dev_dependencies),
            ..Entry::default()
        }
    }
}

impl PackageInfo {
    fn entry(&self, package: &str, snapshot: Option<&Snapshot>) -> Entry {
        let at =
            package.get(1..).and_then(|rest| rest.find('@')).map_or(package.len(), |at| at + 1);
        let (name, source) = (&package[..at], package.get(at + 1..).unwrap_or(""));
        let version =
            self.version.clone().or_else(|| (!source.contains(':')).then(|| source.to_owned()));
        Entry {
            name: Some(name.to_owned()),
            version,
            resolved: self.resolution.resolved(),
            integrity: self.resolution.integrity.clone(),
            engines: self.engines.clone(),
            os: self.os.clone(),
            cpu: self.cpu.clone(),
            libc: self.libc.clone(),
            dependencies: snapshot
                .map(|snapshot| snapshot.dependencies.clone())
                .unwrap_or_default(),
            optional_dependencies: snapshot
                .map(|snapshot| snapshot.optional_dependencies.clone())
                .unwrap_or_default(),
            ..Entry::default()
        }
    }
}

impl Resolution {
    /// The same in npm's words.
    fn resolved(&self) -> Option<String> {
        if let (Some(repository), Some(commit)) = (&self.repo, &self.commit) {
            let repository = repository.strip_prefix("git+").unwrap_or(repository);
            return Some(format!("git+{repository}#{commit}"));
        }
        match (&self.tarball, self.kind.as_deref()) {
            (Some(tarball), _) => Some(tarball.clone()),
            (None, None | Some("tarball" | "directory")) => None,
            (None, Some(kind)) => Some(format!("{kind}:")),
        }
    }
}

/// The key of `snapshots` for a dependency: `1.2.3` is of the package that has its name, an alias says its own.
fn snapshot_key(name: &str, reference: &str) -> String {
    let is_key = match reference.find('@') {
        _ if reference.starts_with('@') => true,
        None => false,
        Some(at) => !reference[..at].contains([':', '(']),
    };
    if is_key { reference.to_owned() } else { format!("{name}@{reference}") }
}

/// A key of `packages`: that of the snapshot without its peers and its patch.
fn without_suffix(key: &str) -> &str {
    let mut end = key.len();
    while key[..end].ends_with(')') {
        let mut depth = 0_usize;
        let open = key[..end].char_indices().rev().find(|(_, character)| {
            match character {
                ')' => depth += 1,
                '(' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        match open {
            Some((open, _)) => end = open,
            None => return key,
        }
    }
    &key[..end]
}

/// `link` from the folder `base`, both relative to the lockfile's.
fn joined(base: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    if link.starts_with('/') || link.contains('\\') {
        return None;
    }
    for part in base.split('/').chain(link.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_snapshots() {
        assert_eq!(snapshot_key("ms", "2.0.0"), "ms@2.0.0");
        assert_eq!(snapshot_key("ms", "2.0.0(a@1.0.0)"), "ms@2.0.0(a@1.0.0)");
        assert_eq!(snapshot_key("old", "ms@2.0.0"), "ms@2.0.0");
        assert_eq!(snapshot_key("old", "@s/ms@2.0.0(a@1.0.0)"), "@s/ms@2.0.0(a@1.0.0)");
        let url = "https://user@host.example/x.tgz";
        assert_eq!(snapshot_key("x", url), format!("x@{url}"));
        assert_eq!(snapshot_key("y", &format!("x@{url}")), format!("x@{url}"));
        assert_eq!(snapshot_key("x", "file:../x"), "x@file:../x");
    }

    #[test]
    fn keys_of_packages() {
        assert_eq!(without_suffix("a@1.0.0"), "a@1.0.0");
        assert_eq!(without_suffix("a@1.0.0(b@2.0.0(c@3.0.0))(d@4.0.0)"), "a@1.0.0");
        assert_eq!(without_suffix("a@1.0.0(patch_hash=x)(b@1.0.0)"), "a@1.0.0");
        assert_eq!(without_suffix("a@file:x(1).tgz"), "a@file:x(1).tgz");
        assert_eq!(without_suffix("a)"), "a)");
        assert_eq!(without_suffix(")"), ")");
    }

    #[test]
    fn links() {
        assert_eq!(joined("apps/gateway", "../../packages/lib").as_deref(), Some("packages/lib"));
        assert_eq!(joined("", "packages/lib").as_deref(), Some("packages/lib"));
        assert_eq!(joined("a", "../../x").as_deref(), Some("../x"));
        assert_eq!(joined("a", "..").as_deref(), Some(""));
        assert_eq!(joined("a", "/etc"), None);
    }
}
