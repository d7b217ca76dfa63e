//! From a lockfile to a closure: the reader of its format, then the same for all.
//!
//! Every reader makes entries with npm's kind of keys: where a package lies says who finds it. What is wrong with single
//! packages is gathered and told at once.
//!
//! The gateway may be one package of a workspace, and the lockfile in a folder above. Then the bundle's application
//! folder is the gateway's own, and gets a `node_modules` with what it needs and nothing else, laid out anew; other
//! packages of the workspace are copied into it.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{BundlePath, Digest};

use super::error::{FaultKind, Faults, format_of};
use super::fit;
use super::gate::Host;
use super::graph::Graph;
use super::hoist::{self, Folders};
use super::location::{self, Location};
use super::needs::{self, OptionalPeers};
use super::patch::Patch;
use super::places::Places;
use super::raw::{Entry, PatchFile};
use super::select::Absent;
use super::{
    Closure, ClosureError, Format, Origin, Package, Scope, bins, bun, origin, package_lock, places,
    pnpm,
};

/// A lockfile, and what has to be read beside it.
#[derive(Debug, Clone, Copy)]
pub struct Project<'text> {
    /// The lockfile's path; its name says which format it has.
    pub lockfile: &'text Utf8Path,
    /// Its text.
    pub text: &'text str,
    /// The gateway's folder as seen from the lockfile's; empty if it is the same.
    pub member: &'text Utf8Path,
    /// The gateway's package.json, to be compared with the lockfile.
    pub package_json: Option<&'text str>,
    /// The texts of [`patch_files`].
    pub patches: &'text BTreeMap<Utf8PathBuf, String>,
}

/// Reads the lockfile of the project in its own folder; see [`Project::closure`].
///
/// # Errors
/// When it is not a lockfile we read, or when something in it cannot be bundled safely.
pub fn read<'host>(
    text: &str,
    path: &Utf8Path,
    host: impl Into<Host<'host>>,
    scope: Scope,
) -> Result<Closure, ClosureError> {
    let (member, patches) = (Utf8Path::new(""), BTreeMap::new());
    let project = Project { lockfile: path, text, member, package_json: None, patches: &patches };
    project.closure(host, scope)
}

/// The patches that a lockfile applies to packages, relative to its folder.
///
/// # Errors
/// When it is not a lockfile we read.
pub fn patch_files(text: &str, path: &Utf8Path) -> Result<Vec<Utf8PathBuf>, ClosureError> {
    match format_of(path) {
        Format::Npm => Ok(Vec::new()),
        Format::Pnpm => pnpm::patch_files(text, path),
        Format::Bun => bun::patch_files(text, path),
    }
}

impl Project<'_> {
    /// What the gateway needs on one platform, or on a [`Host`] that also has a Node.js version.
    ///
    /// # Errors
    /// When it is not a lockfile we read, when it does not fit package.json, or when something in it cannot be bundled
    /// safely.
    pub fn closure<'host>(
        &self,
        host: impl Into<Host<'host>>,
        scope: Scope,
    ) -> Result<Closure, ClosureError> {
        let format = format_of(self.lockfile);
        let mut faults = Faults::default();
        let entries = match format {
            Format::Npm => {
                let entries = package_lock::entries(self.text, self.lockfile, &mut faults)?;
                self.with_places(entries, scope, &mut faults)?
            }
            Format::Bun => {
                let entries = bun::entries(self.text, self.lockfile, &mut faults)?;
                self.with_places(entries, scope, &mut faults)?
            }
            Format::Pnpm => {
                let lock = pnpm::Lock::parse(self.text, self.lockfile)?;
                let member = self.member_of(&lock.members())?;
                if let Some(text) = self.package_json {
                    fit::check_pnpm(text, &lock, member, &mut faults)?;
                }
                let needs = lock.needs(member, scope, &mut faults);
                let folders = if member.is_empty() { Folders::Linked } else { Folders::Copied };
                let mut entries = hoist::places(&needs, folders, &mut faults);
                package_lock::refuse_bad_keys(&mut entries, &mut faults);
                entries
            }
        };
        let mut closure = self.finish(&entries, host.into(), scope, faults)?;
        closure.is_bare = format != Format::Npm;
        Ok(closure)
    }

    /// Chooses from a lockfile that has places what the gateway needs.
    fn with_places(
        &self,
        entries: BTreeMap<String, Entry>,
        scope: Scope,
        faults: &mut Faults,
    ) -> Result<BTreeMap<String, Entry>, ClosureError> {
        let format = format_of(self.lockfile);
        let folder = |key: &&String| matches!(location::parse(key), Ok(Location::Folder));
        let has_workspaces = entries.get("").is_some_and(|root| !root.workspaces.is_null());
        let members: Vec<&str> = match has_workspaces {
            true => entries.keys().filter(folder).map(String::as_str).collect(),
            false => Vec::new(),
        };
        let member = self.member_of(&members)?;
        let graph = Graph::new(&entries);
        if let Some(text) = self.package_json {
            fit::check(text, &entries, &graph, member, format, faults)?;
        }
        if format == Format::Npm && member.is_empty() {
            return Ok(entries);
        }
        if !entries.contains_key(member) {
            return Ok(entries);
        }
        let peers = match format {
            Format::Bun => OptionalPeers::Follow,
            Format::Npm | Format::Pnpm => OptionalPeers::Count,
        };
        let reached = needs::reach(&entries, &graph, member, scope, peers, faults);
        if !member.is_empty() {
            return Ok(hoist::places(&reached.needs, Folders::Copied, faults));
        }
        let required: BTreeMap<String, bool> = reached
            .needs
            .nodes
            .iter()
            .map(|node| node.key.clone())
            .zip(reached.needs.required())
            .collect();
        let mut entries = entries;
        entries.retain(|key, _| reached.keys.contains(key));
        for (key, entry) in &mut entries {
            entry.optional = required.get(key).is_some_and(|required| !required);
        }
        Ok(entries)
    }

    /// Which of the lockfile's `members` the gateway is; empty if it is the project itself.
    fn member_of(&self, members: &[&str]) -> Result<&str, ClosureError> {
        let member = self.member.as_str();
        if member.is_empty() || member.starts_with("..") || members.contains(&member) {
            return Ok(if member.starts_with("..") { "" } else { member });
        }
        if members.is_empty() {
            return Ok("");
        }
        Err(ClosureError::NotAMember {
            path: self.lockfile.to_owned(),
            member: self.member.to_owned(),
            known: members.iter().map(|&member| member.to_owned()).collect(),
            rewrite: format_of(self.lockfile).rewrite(),
        })
    }

    /// The end of every way: gates, places, origins.
    fn finish(
        &self,
        entries: &BTreeMap<String, Entry>,
        host: Host<'_>,
        scope: Scope,
        mut faults: Faults,
    ) -> Result<Closure, ClosureError> {
        let graph = Graph::new(entries);
        let absent = Absent::find(entries, &graph, host, scope, &mut faults);
        let places = places::find(entries, &absent, &mut faults);
        places::check_outside(entries, &graph, &places, &mut faults);
        let packages = packages(entries, &graph, &places, &mut faults);
        let patches = self.patches(entries, &places, &mut faults);
        faults.into_result(self.lockfile)?;

        let links = places.links;
        let mut closure = Closure { packages, links, patches, ..Closure::default() };
        closure.packages.sort_by(|a, b| a.path.cmp(&b.path));
        closure.links.sort_by(|a, b| a.path.cmp(&b.path));
        closure.gated = absent.gated.iter().filter_map(|key| BundlePath::new(*key).ok()).collect();
        Ok(closure)
    }

    /// The patches of the packages that have a place.
    fn patches(
        &self,
        entries: &BTreeMap<String, Entry>,
        places: &Places<'_>,
        faults: &mut Faults,
    ) -> BTreeMap<BundlePath, Patch> {
        let mut patches = BTreeMap::new();
        for (key, place) in &places.installed {
            let Some(PatchFile { path, sha256 }) = &entries[*key].patch else { continue };
            let name = format!("`{}`, for `{key}`", path.escape_debug());
            match self.patches.get(Utf8Path::new(path)) {
                None => faults.add(FaultKind::NoPatch, name),
                Some(text) if !is_digest_of(sha256.as_deref(), text) => {
                    faults.add(FaultKind::OtherPatch, name);
                }
                Some(text) => {
                    patches.insert(place.clone(), Patch::new(path.into(), text.clone()));
                }
            }
        }
        patches
    }
}

/// pnpm takes the digest of a patch as it would be with the line ends of Unix. Other digests are of old versions of
/// pnpm, and not compared.
fn is_digest_of(sha256: Option<&str>, text: &str) -> bool {
    match sha256 {
        Some(sha256) if sha256.len() == 64 => {
            Digest::of(text.replace("\r\n", "\n")).to_string() == sha256
        }
        _ => true,
    }
}

/// Everything that has a place, except the links.
fn packages(
    entries: &BTreeMap<String, Entry>,
    graph: &Graph<'_>,
    places: &Places<'_>,
    faults: &mut Faults,
) -> Vec<Package> {
    let mut packages = Vec::new();
    for (key, place) in &places.folders {
        let origin = Origin::Folder { path: Utf8PathBuf::from(*key) };
        packages.push(package(key, &entries[*key], place, origin));
    }
    for (key, place) in &places.installed {
        let entry = &entries[*key];
        let origin = if is_bundled(entries, key, entry) {
            Ok(Origin::Bundled)
        } else {
            origin::of(key, entry, graph)
        };
        match origin {
            Ok(origin) => packages.push(package(key, entry, place, origin)),
            Err((kind, detail)) => {
                let version = entry.version.as_deref().unwrap_or("without a version");
                faults.add(kind, format!("`{key}` {version}{detail}"));
            }
        }
    }
    packages
}

/// Whether the bytes are in another package's tarball. What the project or a folder bundles is installed as usual,
/// so that it can be bundled when they are packed.
fn is_bundled(entries: &BTreeMap<String, Entry>, key: &str, entry: &Entry) -> bool {
    let Ok(Location::Installed { parent, .. }) = location::parse(key) else { return false };
    let in_package = matches!(location::parse(parent), Ok(Location::Installed { .. }));
    entry.in_bundle && in_package && entries.contains_key(parent)
}

fn package(key: &str, entry: &Entry, place: &BundlePath, origin: Origin) -> Package {
    let folder = location::name(key).or_else(|| key.rsplit('/').next()).unwrap_or(key);
    let name = entry.name.clone().unwrap_or_else(|| folder.to_owned());
    Package {
        path: place.clone(),
        version: entry.version.clone().unwrap_or_default(),
        origin,
        has_install_script: entry.has_install_script,
        bins: bins::normalise(&entry.bin, &name),
        engines: entry.engines.clone(),
        name,
    }
}
