//! The peers: npm, pnpm and bun, at versions that are named here so that a table can be reproduced.

use camino::{Utf8Path, Utf8PathBuf};

use super::{BenchError, Contender};
use crate::config::Config;
use crate::context::Context;
use crate::fetch::{self, Place, Request};
use crate::layout::{self, Method};
use crate::plan;
use crate::registry::Registry;
use crate::store::Store;
use crate::target::Target;

const NPM: (&str, &str) = ("npm", "11.19.1");
const PNPM: (&str, &str) = ("pnpm", "10.34.9");
const BUN_VERSION: &str = "1.4.5";

/// The folders of the cache that have what was made; every run makes it again.
const MADE: [&str; 4] = ["bundles-v1", "derived-v1", "facts-v1", "frames-v1"];

/// The peers' programs, and a project for each of them.
#[derive(Debug)]
pub(super) struct Peers {
    folder: Utf8PathBuf,
    node: Utf8PathBuf,
    npm: Utf8PathBuf,
    pnpm: Utf8PathBuf,
    bun: Utf8PathBuf,
    path: String,
}

impl Peers {
    /// Fetches the programs and copies the gateway's package.json and lockfile into a project for each.
    pub(super) fn prepare(
        context: &Context,
        store: &Store,
        config: &Config,
        host: &Target,
        node: &Utf8Path,
        lockfile: &Utf8Path,
        folder: &Utf8Path,
    ) -> Result<Self, BenchError> {
        let bun = host.tool("bun")?;
        let program = |package: &str, version: &'static str| {
            program(context, store, config, package, version, folder)
        };
        let peers = Self {
            npm: program(NPM.0, NPM.1)?.join("bin/npm-cli.js"),
            pnpm: program(PNPM.0, PNPM.1)?.join("bin/pnpm.cjs"),
            bun: program(&bun.npm, BUN_VERSION)?.join(&bun.executable),
            node: node.to_owned(),
            path: format!("{}:/usr/bin:/bin", node.parent().expect("an executable is in a folder")),
            folder: folder.to_owned(),
        };
        for name in ["gangway", "npm", "pnpm", "bun", "tar"] {
            peers.project(name, config, lockfile)?;
        }
        peers.import(context)?;
        share_cache(&context.cache, &folder.join("cache"))
            .map_err(|source| BenchError::Prepare { path: folder.join("cache"), source })?;
        Ok(peers)
    }

    /// The same job for all: the production closure on disk, no scripts, everything in the caches.
    pub(super) fn layouts(&self, context: &Context, config: &Config) -> Vec<Contender> {
        let out = self.folder.join("gangway/node_modules");
        let gangway = Contender {
            steps: vec![vec![
                context.executable.to_string(),
                "layout".to_owned(),
                "--offline".to_owned(),
                format!("--manifest={}", config.path),
                format!("--out={}", self.folder.join("gangway")),
            ]],
            set_aside: vec![out],
            ..self.contender(context, "gangway", "gangway layout")
        };
        let bun = vec![
            self.bun.to_string(),
            "install".to_owned(),
            "--production".to_owned(),
            "--ignore-scripts".to_owned(),
            "--frozen-lockfile".to_owned(),
        ];
        let pnpm = self.script(
            &self.pnpm,
            &["install", "--prod", "--ignore-scripts", "--frozen-lockfile", "--offline"],
        );
        vec![
            gangway,
            self.layout(context, "bun", "bun install", bun),
            self.layout(context, "pnpm", "pnpm install", pnpm),
            self.layout(context, "npm", "npm ci", self.npm_ci()),
        ]
    }

    /// From lockfile to archive, runtime included.
    pub(super) fn bundles(
        &self,
        context: &Context,
        config: &Config,
        host: &Target,
    ) -> Vec<Contender> {
        let out = self.folder.join("out");
        let archive = self.folder.join("tar/all.tar.zst");
        let tar =
            ["tar", "--zstd", "-cf", archive.as_str(), "package.json", "node_modules", "node"];
        let copy = ["cp", self.node.as_str(), "node"];
        let owned = |step: &[&str]| step.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        vec![
            Contender {
                set_aside: vec![out.clone()],
                forget: self.made(),
                product: Some(self.archive(config, host)),
                ..self.again(context, config)
            },
            Contender {
                steps: vec![self.npm_ci(), owned(&copy), owned(&tar)],
                set_aside: vec![
                    self.folder.join("tar/node_modules"),
                    self.folder.join("tar/node"),
                    archive.clone(),
                ],
                product: Some(archive.clone()),
                ..self.contender(context, "tar", "npm ci + tar --zstd")
            },
        ]
    }

    /// Where the bench has its files.
    pub(super) fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// The bundle of the host's own target.
    pub(super) fn archive(&self, config: &Config, host: &Target) -> Utf8PathBuf {
        let name = plan::bundle_name(config, &host.name);
        self.folder.join("out").join(format!("{name}.tar.zst"))
    }

    /// The cache that Gangway is measured with.
    pub(super) fn cache(&self) -> Utf8PathBuf {
        self.folder.join("cache")
    }

    /// One target, and all there are.
    pub(super) fn targets(
        &self,
        context: &Context,
        config: &Config,
        host: &Target,
    ) -> Vec<Contender> {
        let contender = |name: String, arguments: &[&str]| {
            let mut contender = self.again(context, config);
            contender.steps[0].extend(arguments.iter().map(|&argument| argument.to_owned()));
            let (set_aside, forget) = (vec![self.folder.join("out")], self.made());
            Contender { name, set_aside, forget, ..contender }
        };
        let host = host.name.as_str();
        vec![
            contender(format!("gangway bundle --target {host}"), &["--target", host]),
            contender("gangway bundle --all".to_owned(), &["--all"]),
        ]
    }

    /// The bundle of the host's own target in another folder, with nothing packed before.
    pub(super) fn anew(
        &self,
        context: &Context,
        config: &Config,
        host: &Target,
        folder: &Utf8Path,
        compression: &str,
    ) -> Contender {
        let out = folder.join(compression);
        let mut contender = self.bundle(context, &config.path, &out);
        contender.steps[0].push(format!("--compression={compression}"));
        let name = self.archive(config, host);
        let product = Some(out.join(name.file_name().unwrap_or_default()));
        Contender { forget: self.made(), product, ..contender }
    }

    /// What is in the cache because it was made, not fetched.
    fn made(&self) -> Vec<Utf8PathBuf> {
        MADE.map(|name| self.cache().join(name)).to_vec()
    }

    /// The bundle of the run before, still there.
    pub(super) fn again(&self, context: &Context, config: &Config) -> Contender {
        self.bundle(context, &config.path, &self.folder.join("out"))
    }

    /// The same of a copy of the gateway's project, whose package.json is another one each time.
    pub(super) fn changed(&self, context: &Context, config: &Config, copy: &Utf8Path) -> Contender {
        let manifest = copy.join(config.path.file_name().unwrap_or_default());
        let longer = ["sh", "-c", "echo >> package.json"].map(str::to_owned).to_vec();
        let name = "gangway bundle, package.json changed".to_owned();
        let (before, folder) = (vec![longer], copy.to_owned());
        Contender { name, before, folder, ..self.bundle(context, &manifest, &copy.join("out")) }
    }

    fn bundle(&self, context: &Context, manifest: &Utf8Path, out: &Utf8Path) -> Contender {
        let step = vec![
            context.executable.to_string(),
            "bundle".to_owned(),
            "--offline".to_owned(),
            format!("--manifest={manifest}"),
            format!("--out={out}"),
        ];
        Contender { steps: vec![step], ..self.contender(context, "gangway", "gangway bundle") }
    }

    fn npm_ci(&self) -> Vec<String> {
        self.script(
            &self.npm,
            &[
                "ci",
                "--ignore-scripts",
                "--omit=dev",
                "--prefer-offline",
                "--no-audit",
                "--no-fund",
            ],
        )
    }

    /// A command of npm's.
    pub(super) fn npm(&self, arguments: &[&str]) -> Vec<String> {
        self.script(&self.npm, arguments)
    }

    fn script(&self, script: &Utf8Path, arguments: &[&str]) -> Vec<String> {
        let words =
            [self.node.as_str(), script.as_str()].into_iter().chain(arguments.iter().copied());
        words.map(str::to_owned).collect()
    }

    fn layout(&self, context: &Context, project: &str, name: &str, step: Vec<String>) -> Contender {
        let set_aside = vec![self.folder.join(project).join("node_modules")];
        Contender { steps: vec![step], set_aside, ..self.contender(context, project, name) }
    }

    /// A contender with a home of its own; only what a network needs is taken from the user's environment.
    pub(super) fn contender(&self, context: &Context, project: &str, name: &str) -> Contender {
        let home = self.folder.join("home").join(project);
        let mut environment: Vec<(String, String)> = context
            .environment
            .iter()
            .filter(|(name, _)| is_network_setting(name) || project == "gangway")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if project == "gangway" {
            environment.push(("GANGWAY_CACHE".to_owned(), self.cache().to_string()));
            // What others have compressed would not be measured.
            environment.push(("GANGWAY_SHARED_CACHE".to_owned(), String::new()));
        } else {
            environment.push(("HOME".to_owned(), home.to_string()));
            environment.push(("PATH".to_owned(), self.path.clone()));
        }
        Contender {
            name: name.to_owned(),
            before: Vec::new(),
            steps: Vec::new(),
            folder: self.folder.join(project),
            environment,
            set_aside: Vec::new(),
            forget: Vec::new(),
            product: None,
        }
    }

    fn project(&self, name: &str, config: &Config, lockfile: &Utf8Path) -> Result<(), BenchError> {
        let folder = self.folder.join(name);
        let prepare = || {
            fs_err::create_dir_all(self.folder.join("home").join(name))?;
            fs_err::create_dir_all(&folder)?;
            fs_err::copy(config.folder.join("package.json"), folder.join("package.json"))?;
            fs_err::copy(lockfile, folder.join("package-lock.json"))
        };
        prepare().map_err(|source| BenchError::Prepare { path: folder.clone(), source })?;
        Ok(())
    }

    /// pnpm and bun read lockfiles of their own; each makes one of npm's.
    fn import(&self, context: &Context) -> Result<(), BenchError> {
        let pnpm = self.script(&self.pnpm, &["import"]);
        let fill = self.script(&self.pnpm, &["fetch", "--prod"]);
        let bun = vec![
            self.bun.to_string(),
            "install".to_owned(),
            "--production".to_owned(),
            "--ignore-scripts".to_owned(),
        ];
        let contenders = [
            Contender { steps: vec![pnpm, fill], ..self.contender(context, "pnpm", "pnpm import") },
            Contender { steps: vec![bun], ..self.contender(context, "bun", "bun install") },
        ];
        for contender in &contenders {
            super::measure::once(contender)?;
        }
        Ok(())
    }
}

/// Makes a cache that has what the other has, but for what is made: that would have to be thrown away.
fn share_cache(of: &Utf8Path, cache: &Utf8Path) -> std::io::Result<()> {
    fs_err::create_dir_all(cache)?;
    for entry in of.read_dir_utf8()? {
        let entry = entry?;
        if !MADE.contains(&entry.file_name()) && entry.file_name() != "tmp" {
            layout::make_link(entry.path().as_str(), &cache.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Fetches a package and lays it out; the store's own files are not for running scripts from.
fn program(
    context: &Context,
    store: &Store,
    config: &Config,
    package: &str,
    version: &'static str,
    folder: &Utf8Path,
) -> Result<Utf8PathBuf, BenchError> {
    let registry = Registry::load(context, &config.folder)?;
    let published = context.block_on(registry.versions(package))?;
    let published = published
        .into_iter()
        .find(|published| published.version.to_string() == version)
        .ok_or_else(|| BenchError::NoPeer { package: package.to_owned(), version })?;
    let request = Request {
        what: format!("{package} {version}"),
        integrity: published.integrity.clone(),
        place: Place::Registry {
            name: package.to_owned(),
            version: version.to_owned(),
            resolved: None,
        },
    };
    let mut fetched = fetch::all(context, store, &registry, &[request])?;
    let tree = fetched.remove(&published.integrity).unwrap_or_default();
    let place = folder.join("peers").join(package.replace('/', "+"));
    layout::write(&tree, &place, Method::Link)?;
    Ok(place)
}

fn is_network_setting(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("_proxy")
        || name.ends_with("_ca_certs")
        || name.starts_with("ssl_cert")
        || name.starts_with("npm_config_")
}
