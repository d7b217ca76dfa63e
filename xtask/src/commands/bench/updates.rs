//! What an update downloads: a file of the app, a dependency, or the runtime changed; beside zsync and beside patches of whole archives.
//!
//! Bytes and no times: they are the same on every machine, and what counts on the user's. The old and the new version are bundled for this, with the manifest and
//! the lockfile changed as a developer would; only the changed source file is one of the packed tree, because the gateway's own files are a package's.

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{App, BundlePath, Manifest};
use serde_json::Value;

use super::measure::{self, Contender};
use super::peers::Peers;
use super::range_server::RangeServer;
use super::{BenchError, table};
use crate::commands::delta;
use crate::config::Config;
use crate::context::Context;
use crate::native::Natives;
use crate::pack::{self, Content, Format, Known, Settings};
use crate::registry::Registry;
use crate::store::Store;
use crate::target::Target;
use crate::toolchain;
use crate::tree::{Node, Tree};
use crate::verify;

/// The dependency that is bumped: one with files of its own and nothing native.
const BUMPED: &str = "ws";

/// The runtimes: a release of Node, and the patch release that followed it.
const NODES: [&str; 2] = ["24.18.0", "24.18.1"];

/// One change between two releases.
struct Change {
    name: String,
    old: Utf8PathBuf,
    new: Utf8PathBuf,
}

/// One row: what each way downloads.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) full: u64,
    pub(super) ways: Vec<(&'static str, Option<u64>)>,
}

/// Makes the versions and says what each update costs.
pub(super) fn run(
    context: &Context,
    config: &Config,
    host: &Target,
    peers: &Peers,
    store: &Store,
) -> Result<String, BenchError> {
    let bench = Bench { context, config, host, peers, store };
    let mut rows = Vec::new();
    for change in bench.changes()? {
        let spinner = context.reporter.spinner("Updating", change.name.clone());
        rows.push(bench.row(&change)?);
        drop(spinner);
    }
    Ok(table::updates("Updates: bytes to download", &rows))
}

/// The gateway, and a next version of it with one changed file: archives with their manifests beside them.
pub(super) fn two_versions(
    context: &Context,
    config: &Config,
    host: &Target,
    peers: &Peers,
    store: &Store,
) -> Result<[Utf8PathBuf; 2], BenchError> {
    let bench = Bench { context, config, host, peers, store };
    let old = bench.bundle(&bench.project("base", |_| Ok(()))?)?;
    let new = bench.with_a_changed_file(&old, &format!("{}-next", config.app.version))?;
    Ok([old, new])
}

/// A copy of the gateway's project, to be changed.
pub(super) fn copy(
    context: &Context,
    config: &Config,
    host: &Target,
    peers: &Peers,
    store: &Store,
) -> Result<Utf8PathBuf, BenchError> {
    Bench { context, config, host, peers, store }.project("changed", |_| Ok(()))
}

struct Bench<'a> {
    context: &'a Context,
    config: &'a Config,
    host: &'a Target,
    peers: &'a Peers,
    store: &'a Store,
}

impl Bench<'_> {
    fn changes(&self) -> Result<Vec<Change>, BenchError> {
        let base = self.bundle(&self.project("base", |_| Ok(()))?)?;
        let mut changes = vec![Change {
            name: "one changed file".to_owned(),
            new: self.with_a_changed_file(&base, &self.config.app.version)?,
            old: base.clone(),
        }];
        if let Some((from, version, new)) = self.bumped()? {
            let name = format!("{BUMPED} {from} -> {version}");
            changes.push(Change { name, old: base, new });
        }
        let [old, new] = NODES.map(|version| self.with_node(version));
        let name = format!("Node {} -> {}", NODES[0], NODES[1]);
        changes.push(Change { name, old: old?, new: new? });
        Ok(changes)
    }

    /// A copy of the gateway's project, changed.
    fn project(
        &self,
        name: &str,
        change: impl FnOnce(&Utf8Path) -> std::io::Result<()>,
    ) -> Result<Utf8PathBuf, BenchError> {
        let folder = self.peers.folder().join("updates").join(name);
        let prepare = || {
            fs_err::create_dir_all(&folder)?;
            for entry in self.config.folder.read_dir_utf8()? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    fs_err::copy(entry.path(), folder.join(entry.file_name()))?;
                }
            }
            change(&folder)
        };
        prepare().map_err(|source| BenchError::Prepare { path: folder.clone(), source })?;
        Ok(folder)
    }

    /// The archive of a project.
    fn bundle(&self, folder: &Utf8Path) -> Result<Utf8PathBuf, BenchError> {
        let arguments = ["bundle", "--out", "out", "--target", self.host.name.as_str()];
        self.gangway(&arguments, folder)?;
        let archive = self.peers.archive(self.config, self.host);
        Ok(folder.join("out").join(archive.file_name().unwrap_or_default()))
    }

    fn gangway(&self, arguments: &[&str], folder: &Utf8Path) -> Result<(), BenchError> {
        let words = [self.context.executable.as_str()].into_iter().chain(arguments.iter().copied());
        let contender = self.peers.contender(self.context, "gangway", "gangway");
        let steps = vec![words.map(str::to_owned).collect()];
        measure::once(&Contender { steps, folder: folder.to_owned(), ..contender })?;
        Ok(())
    }

    fn with_node(&self, version: &str) -> Result<Utf8PathBuf, BenchError> {
        let folder = self.project(&format!("node-{version}"), |folder| {
            let path = folder.join("gangway.toml");
            let text = fs_err::read_to_string(&path)?;
            let mut manifest: toml::Table = text.parse().map_err(std::io::Error::other)?;
            if let Some(runtime) = manifest.get_mut("runtime").and_then(toml::Value::as_table_mut) {
                runtime.insert("version".to_owned(), version.into());
            }
            fs_err::write(path, manifest.to_string())
        })?;
        self.gangway(&["lock", "--target", self.host.name.as_str()], &folder)?;
        self.bundle(&folder)
    }

    /// The version before, the one after, and the archive; nothing for a gateway without this dependency.
    fn bumped(&self) -> Result<Option<(String, String, Utf8PathBuf)>, BenchError> {
        let registry = Registry::load(self.context, &self.config.folder)?;
        let published = self.context.block_on(registry.versions(BUMPED))?;
        let key = format!("node_modules/{BUMPED}");
        let lockfile = self.config.folder.join("package-lock.json");
        let Ok(text) = fs_err::read_to_string(lockfile) else { return Ok(None) };
        let mut lock: Value = serde_json::from_str(&text).unwrap_or_default();
        let Some(from) = lock["packages"][&key]["version"].as_str().map(str::to_owned) else {
            return Ok(None);
        };
        let major = |version: &str| version.split('.').next().map(str::to_owned);
        let later = published.iter().filter(|published| {
            let version = published.version.to_string();
            major(&version) == major(&from) && version != from
        });
        let Some(to) = later.max_by(|one, other| one.version.cmp(&other.version)) else {
            return Ok(None);
        };
        let package = &mut lock["packages"][&key];
        package["version"] = to.version.to_string().into();
        package["integrity"] = to.integrity.to_string().into();
        if let Some(package) = package.as_object_mut() {
            package.remove("resolved");
        }
        let folder = self.project("bumped", |folder| {
            fs_err::write(folder.join("package-lock.json"), lock.to_string())
        })?;
        Ok(Some((from, to.version.to_string(), self.bundle(&folder)?)))
    }

    /// The archive of the same tree with a line more in one of the gateway's own files.
    fn with_a_changed_file(
        &self,
        base: &Utf8Path,
        version: &str,
    ) -> Result<Utf8PathBuf, BenchError> {
        let opened = verify::open::open(self.context, base, self.store)?;
        let Some(manifest) = opened.manifest else {
            return Err(BenchError::Bundle { path: base.to_owned() });
        };
        let mut tree: Tree = opened.tree;
        tree.remove(gangway_artifact::MANIFEST_FILE);
        let path =
            source_file(&manifest).ok_or_else(|| BenchError::Bundle { path: base.to_owned() })?;
        let Some(Node::File(source)) = tree.get(path.as_str()) else {
            return Err(BenchError::Bundle { path: base.to_owned() });
        };
        let prepare = |source| BenchError::Prepare { path: base.to_owned(), source };
        let mut text = fs_err::read(source.path()).map_err(prepare)?;
        text.extend_from_slice(b"\n// one line more\n");
        tree.insert(path, Node::File(self.store.add_bytes(&text, false)?));
        let (files, links) = pack::listing(&tree);
        let app = App { version: version.to_owned(), ..manifest.app };
        let manifest = Manifest { app, files, links, unpacked_size: tree.size(), ..manifest };
        let content = Content { tree: &tree, manifest: &manifest, folder: &self.config.app.name };
        let known = Known { natives: &Natives::default(), frames: None };
        let out = base.with_file_name("changed.tar.zst");
        let settings = Settings::new(Format::TarZst);
        let packed = pack::write(self.context, content, settings, known, &out)?;
        let beside = base.with_file_name("changed.manifest.json");
        fs_err::write(beside, packed.manifest).map_err(prepare)?;
        Ok(out)
    }

    fn row(&self, change: &Change) -> Result<Row, BenchError> {
        let folder = self.peers.folder().join("updates/patches");
        let options = delta::Options { patches: Some(folder), ..delta::Options::default() };
        let cost = delta::run(self.context, &change.old, &change.new, &options)?;
        let ways = vec![
            ("gangway, frames", Some(cost.download)),
            ("gangway, patch", cost.patch.map(|patch| patch.size)),
            ("zsync", self.zsync(change)?),
            ("zstd --patch-from", self.patch_from(change)?),
        ];
        Ok(Row { name: change.name.clone(), full: cost.full, ways })
    }

    /// What zsync fetches of the new archive, with its own list of checksums; nothing where it is not installed.
    fn zsync(&self, change: &Change) -> Result<Option<u64>, BenchError> {
        let has = |tool| toolchain::on_path(self.context, tool).is_some();
        if !(has("zsync") && has("zsyncmake")) {
            return Ok(None);
        }
        let folder = change.new.parent().expect("it is in a folder").to_owned();
        let prepare = |source| BenchError::Prepare { path: folder.clone(), source };
        let server = RangeServer::start(&folder).map_err(prepare)?;
        let name = change.new.file_name().unwrap_or_default();
        let list = folder.join(format!("{name}.zsync"));
        let url = format!("{}{name}", server.url());
        self.tool(&["zsyncmake", "-u", &url, "-o", list.as_str(), change.new.as_str()], &folder)?;
        let out = folder.join("by-zsync");
        let list_url = format!("{}{name}.zsync", server.url());
        self.tool(
            &["zsync", "-q", "-i", change.old.as_str(), "-o", out.as_str(), &list_url],
            &folder,
        )?;
        Ok(Some(server.sent()))
    }

    /// The size of zstd's patch between the plain tars.
    fn patch_from(&self, change: &Change) -> Result<Option<u64>, BenchError> {
        if toolchain::on_path(self.context, "zstd").is_none() {
            return Ok(None);
        }
        let folder = change.new.parent().expect("it is in a folder").to_owned();
        let (old, new, patch) =
            (folder.join("old.tar"), folder.join("new.tar"), folder.join("zstd.patch"));
        for (archive, plain) in [(&change.old, &old), (&change.new, &new)] {
            self.tool(
                &["zstd", "-q", "-d", "-f", archive.as_str(), "-o", plain.as_str()],
                &folder,
            )?;
        }
        let from = format!("--patch-from={old}");
        self.tool(
            &["zstd", "-q", "-f", "--long=31", &from, new.as_str(), "-o", patch.as_str()],
            &folder,
        )?;
        let size = patch
            .metadata()
            .map_err(|source| BenchError::Prepare { path: patch.clone(), source })?
            .len();
        for plain in [old, new, patch] {
            fs_err::remove_file(&plain)
                .map_err(|source| BenchError::Prepare { path: plain.clone(), source })?;
        }
        Ok(Some(size))
    }

    /// Runs a peer's tool. A proxy for the network is none for this machine.
    fn tool(&self, words: &[&str], folder: &Utf8Path) -> Result<(), BenchError> {
        let mut contender = self.peers.contender(self.context, "gangway", words[0]);
        contender.environment.retain(|(name, _)| name == "PATH");
        let steps = vec![words.iter().map(|&word| word.to_owned()).collect()];
        measure::once(&Contender { steps, folder: folder.to_owned(), ..contender })?;
        Ok(())
    }
}

/// A script of the gateway's own: of those in the package that has most of them, the one of middle size.
fn source_file(manifest: &Manifest) -> Option<BundlePath> {
    let mut packages: std::collections::BTreeMap<&str, Vec<(u64, &BundlePath)>> =
        Default::default();
    for file in &manifest.files {
        if file.path.as_str().ends_with(".js") {
            packages
                .entry(pack::group(file.path.as_str()))
                .or_default()
                .push((file.size, &file.path));
        }
    }
    let mut largest = packages.into_values().max_by_key(Vec::len)?;
    largest.sort();
    largest.get(largest.len() / 2).map(|(_, path)| (*path).clone())
}
