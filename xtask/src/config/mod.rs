//! `gangway.toml`, the manifest of a gateway, format 1.
//!
//! It is read in three passes. `shape` compares the document with the schema and finds every unknown key, missing
//! key and wrong type at once. `raw` is what serde then sees: the keys as written, with their places in the text.
//! `check` turns them into the types below: validated once, so nothing later has to doubt them. Values that a later
//! stage may still find fault with (a file that is not in the closure, say) keep their place, so that the message
//! can show the line.
//!
//! Nothing of the gateway is read but the manifest, the `package.json` beside it, and what declares a workspace above
//! it: whether scripts, packages and build outputs exist is known to the stages that make them.

mod addons;
mod check;
mod dependencies;
pub(crate) mod document;
mod error;
mod load;
mod names;
mod package_json;
mod plans;
mod raw;
mod runtime;
mod schema;
mod services;
mod shape;
mod state;
mod suggest;
#[cfg(test)]
mod tests;
mod values;
mod verify;
mod workspace;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{BundlePath, TargetName};
use miette::NamedSource;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::pack::Compression;

pub use addons::{Addon, BuildSystem, Recipe, Treatment};
pub use error::{ConfigError, Fault, FaultKind};
pub use load::{find, load};
pub use plans::TensorRtPlan;
pub use runtime::{Choice, ChoiceError, Engine, Runtime, RuntimeSource, Runtimes, VersionRange};
pub use schema::schema;
pub use services::{
    BuildCommand, CargoPackage, HealthProbe, NapiPackage, Prebuilt, PrebuiltPlace, PythonService,
    PythonStart, Service, ServiceHealth, ServiceKind, ServiceSource,
};
pub use state::State;
pub(crate) use suggest::near;
pub use verify::{Allow, Unknown, Verify};

/// The manifest's file name.
pub const FILE_NAME: &str = "gangway.toml";

/// The format this program reads.
pub const FORMAT: i64 = 1;

/// A validated manifest.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it was read from.
    pub path: Utf8PathBuf,
    /// The folder it is in; every relative path in it starts there.
    pub folder: Utf8PathBuf,
    /// Its text, for messages that show a line.
    pub source: Arc<NamedSource<String>>,
    /// `[app]`
    pub app: App,
    /// `[[entrypoint]]`, at least one, names unique.
    pub entrypoints: Vec<Entrypoint>,
    /// `[runtime]` and `[target.<name>.runtime]`; see [`Config::runtime`].
    pub runtimes: Runtimes,
    /// `[dependencies]`; a gateway without dependencies has none.
    pub dependencies: Option<Dependencies>,
    /// `[[install-script]]`, packages unique.
    pub install_scripts: Vec<InstallScript>,
    /// `[[addon]]`; no two speak of the same package and target.
    pub addons: Vec<Addon>,
    /// `[build]`
    pub build: Option<Build>,
    /// `[tools]`: npm version ranges of pinned tools, by name.
    pub tools: BTreeMap<String, Located<nodejs_semver::Range>>,
    /// `[prune]`
    pub prune: Prune,
    /// `[archive]`: `compression`
    pub compression: Compression,
    /// `[health]`
    pub health: Option<Health>,
    /// `[smoke]`
    pub smoke: Smoke,
    /// Every target that a `[target.<name>]` speaks of.
    pub targets: Vec<Located<TargetName>>,
    /// `[[service]]`, names unique and none an entrypoint's.
    pub services: Vec<Service>,
    /// `[verify]`
    pub verify: Verify,
    /// `[[state]]`, paths unique.
    pub state: Vec<State>,
    /// `[[tensorrt-plan]]`
    pub plans: Vec<TensorRtPlan>,
}

/// A value and where it stands in the manifest's text (bytes). Values are compared and sorted without their place.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Range<usize>,
}

/// `[app]`
#[derive(Debug, Clone)]
pub struct App {
    /// Lower-case letters, digits, `-`, `_` and `.`; names the archive.
    pub name: String,
    /// The version; when the manifest gives none, that of package.json beside it.
    pub version: String,
    /// Globs of the gateway's own files to ship, relative to the manifest. Empty: every file that `.gitignore` does not exclude.
    pub include: Vec<Located<String>>,
    /// Globs of own files not to ship.
    pub exclude: Vec<Located<String>>,
}

/// `[[entrypoint]]`
#[derive(Debug, Clone)]
pub struct Entrypoint {
    /// The program's name in `bin/`.
    pub name: String,
    /// What is started.
    pub start: Start,
    /// Arguments before the user's.
    pub args: Vec<String>,
    /// Arguments of the runtime before the script.
    pub runtime_args: Vec<String>,
}

/// What an entrypoint starts.
#[derive(Debug, Clone)]
pub enum Start {
    /// A script, by the runtime; relative to the manifest (`node_modules/...` is the closure).
    Script(Located<BundlePath>),
    /// A native program among the gateway's own files, relative to the manifest.
    Program(Located<BundlePath>),
    /// The program of a `[[service]]`.
    Service(Located<String>),
}

/// `[dependencies]`
#[derive(Debug, Clone)]
pub struct Dependencies {
    /// The lockfile, relative to the manifest. Default: the one beside it, or that of the workspace the gateway is a
    /// package of; its span is then that of `[dependencies]`, or empty.
    pub lockfile: Located<Utf8PathBuf>,
    /// The manifest's folder as seen from the lockfile's; empty if it is the same or not below it.
    pub member: Utf8PathBuf,
}

/// `[[install-script]]`
#[derive(Debug, Clone)]
pub struct InstallScript {
    /// The package's name; every version of it.
    pub package: Located<String>,
    /// What to do with its scripts.
    pub action: ScriptAction,
    /// Folders besides the package's own that `run` may write to, relative to the manifest's folder (`node_modules/.prisma`).
    pub writes: Vec<BundlePath>,
    /// Environment variables for `run`.
    pub env: BTreeMap<String, String>,
}

/// What to do with a package's install scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptAction {
    /// Run them at bundle time, confined.
    Run,
    /// Leave them out.
    Ignore,
}

/// `[build]`
#[derive(Debug, Clone)]
pub struct Build {
    /// Program and arguments; no shell.
    pub command: Vec<String>,
    /// Files and folders the command makes, relative to the manifest.
    pub outputs: Vec<Located<BundlePath>>,
    /// Environment variables for the command.
    pub env: BTreeMap<String, String>,
}

/// `[prune]`
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// Rules switched on or off, by name; see `crate::prune::rules`.
    pub rules: BTreeMap<String, Located<bool>>,
    /// Globs that no rule may take, relative to the app's folder.
    pub keep: Vec<Located<String>>,
}

/// `[health]`
#[derive(Debug, Clone)]
pub struct Health {
    /// The entrypoint that serves it.
    pub entrypoint: Located<String>,
    /// The TCP port on the loopback interface.
    pub port: u16,
    /// The path, starting with `/`.
    pub path: String,
    /// How long a start may take, in seconds. Default: 60.
    pub timeout_seconds: u32,
}

/// `[smoke]`: `{port}` stands for a free port, `{home}` for an empty folder.
#[derive(Debug, Clone)]
pub struct Smoke {
    /// What each entrypoint is run with. Default: `--version`.
    pub version_args: Vec<String>,
    /// Arguments for the entrypoint of `[health]`, after its own.
    pub gateway_args: Vec<String>,
    /// Arguments for each service, after its own.
    pub service_args: BTreeMap<String, Vec<String>>,
    /// Environment variables for all of them.
    pub env: BTreeMap<String, String>,
    /// How long a program may take that has no time of its own, in seconds. Default: 60.
    pub timeout_seconds: u32,
}

impl Default for Smoke {
    fn default() -> Self {
        Self {
            version_args: vec!["--version".to_owned()],
            gateway_args: Vec::new(),
            service_args: BTreeMap::new(),
            env: BTreeMap::new(),
            timeout_seconds: 60,
        }
    }
}

impl Config {
    /// The folder whose `.npmrc` counts: the workspace's, for one package of it.
    #[must_use]
    pub fn npmrc_folder(&self) -> Utf8PathBuf {
        match &self.dependencies {
            Some(found) if !found.member.as_str().is_empty() => {
                let lockfile = self.folder.join(&found.lockfile.value);
                lockfile.parent().map_or_else(|| self.folder.clone(), Utf8Path::to_owned)
            }
            _ => self.folder.clone(),
        }
    }

    /// A value as its author wrote it, for messages: `^24` rather than `>=24.0.0 <25.0.0-0`.
    #[must_use]
    pub fn written<'config, T>(&'config self, located: &'config Located<T>) -> &'config str {
        let text = self.source.inner().get(located.span.clone()).unwrap_or_default();
        text.trim_matches(['"', '\''])
    }

    /// Notes every `[target.<name>]`, and every target of a `[[verify.allow]]`, whose target is not among `known`: which there are is not known to the manifest.
    ///
    /// # Errors
    /// With each of them at its place.
    pub fn check_targets(&self, known: &[&str]) -> Result<(), ConfigError> {
        let mut faults = error::Faults::new(&self.source);
        let allowances = self.verify.allow.iter().flat_map(|allow| &allow.targets);
        let plans = self.plans.iter().flat_map(|plan| &plan.targets);
        for target in self.targets.iter().chain(allowances).chain(plans) {
            let name = target.value.as_str();
            if known.contains(&name) {
                continue;
            }
            let all = format!("known targets: {}", suggest::listed(known.iter().copied()));
            let help = match suggest::near(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?\n{all}"),
                None => all,
            };
            let kind = FaultKind::UnknownTarget { name: name.to_owned() };
            faults.add(&target.span, kind, "no such target").help(help);
        }
        if faults.is_empty() { Ok(()) } else { Err(faults.into_error()) }
    }
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Located<T> {}

impl<T: PartialOrd> PartialOrd for Located<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl<T: Ord> Ord for Located<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.value.cmp(&other.value)
    }
}

/// The manifest that `docs/manifest.md` begins with.
#[cfg(test)]
fn example() -> &'static str {
    const REFERENCE: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/manifest.md"));
    let (_, rest) = REFERENCE.split_once("```toml\n").expect("it begins with a manifest");
    rest.split_once("```").expect("the block ends").0
}
