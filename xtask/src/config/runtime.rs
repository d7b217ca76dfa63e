//! `[runtime]` and `[target.<name>.runtime]`: which JavaScript runtime each target gets, and from where.
//!
//! What a target says is laid over `[runtime]` here, once: everybody else asks [`Config::runtime`] for one target and
//! never merges. `--runtime` on the command line is one more such layer ([`Choice`]), so that no stage knows where a
//! wish came from. A gateway that is a native program itself (`engine = "none"`) has no [`Runtime`] at all.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;

use camino::Utf8PathBuf;
use gangway_artifact::TargetName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::{FaultKind, Faults};
use super::values::{empty, unique, variable_names, version_range};
use super::{Config, Located, raw};

/// What one target's bundle gets.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Which runtime.
    pub engine: Engine,
    /// Which versions of it will do.
    pub version: VersionRange,
    /// Where to get it, first choice first; never empty.
    pub sources: Vec<RuntimeSource>,
    /// The user's own executable or archive, relative to the manifest, where the source is [`RuntimeSource::File`].
    pub file: Option<Located<Utf8PathBuf>>,
    /// Whether symbols for debuggers are taken out where the platform allows it. Default: yes.
    pub strip: bool,
    /// Environment variables that reach the runtime although its policy removes them.
    pub keep_environment: Vec<String>,
}

/// Which versions of something will do, and who says so.
#[derive(Debug, Clone)]
pub struct VersionRange {
    /// The range.
    pub range: nodejs_semver::Range,
    /// As its author wrote it, for messages.
    pub written: String,
    /// Its place in the manifest; on the command line it has none.
    pub span: Option<Range<usize>>,
}

/// Every target's runtime: `[runtime]`, and the targets that say something else.
#[derive(Debug, Clone)]
pub struct Runtimes {
    default: Option<Runtime>,
    targets: BTreeMap<TargetName, Option<Runtime>>,
    chosen: Option<Choice>,
}

/// A JavaScript runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// Node.js
    Node,
    /// Bun
    Bun,
    /// Deno
    Deno,
}

/// What `engine` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum EngineWord {
    /// Node.js
    Node,
    /// Bun
    Bun,
    /// Deno
    Deno,
    /// No runtime: the gateway is a native program itself.
    None,
}

/// Who serves a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeSource {
    /// The maker's own server, or a mirror of it.
    Official,
    /// A package of the npm registry.
    Npm,
    /// A wheel of a Python package index.
    Pypi,
    /// A file of the user's: what `file` names.
    File,
}

/// What `--runtime` asks for: an engine, and versions of it.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Which runtime.
    pub engine: Engine,
    /// Which versions; none said: the manifest's, or any if the manifest has another runtime.
    pub version: Option<VersionRange>,
}

/// A word that is no choice of a runtime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// Not a runtime.
    #[error(
        "there is no runtime `{0}`; write `node`, `bun` or `deno`, or one with a range: `bun@^1.4`"
    )]
    Engine(String),
    /// Not a range.
    #[error("`{0}` is not an npm version range; write one such as `bun@^1.4`")]
    Range(String),
}

/// Where a runtime is looked for when nobody says otherwise.
const SOURCES: [RuntimeSource; 3] =
    [RuntimeSource::Official, RuntimeSource::Npm, RuntimeSource::Pypi];

impl Config {
    /// What a target's bundle gets; nothing if the gateway is a native program there.
    #[must_use]
    pub fn runtime(&self, target: &TargetName) -> Option<&Runtime> {
        self.runtimes.of(target)
    }

    /// The same manifest with another runtime on every target.
    pub fn choose_runtime(&mut self, choice: &Choice) {
        let targets = &mut self.runtimes.targets;
        for runtime in targets.values_mut().chain([&mut self.runtimes.default]) {
            *runtime = Some(choice.over(runtime.as_ref()));
        }
        self.runtimes.chosen = Some(choice.clone());
    }

    /// What `--runtime` said, for messages that name a command.
    #[must_use]
    pub fn chosen_runtime(&self) -> Option<&Choice> {
        self.runtimes.chosen.as_ref()
    }
}

impl Runtimes {
    /// Of a gateway that is a native program everywhere.
    #[must_use]
    pub fn none() -> Self {
        Self { default: None, targets: BTreeMap::new(), chosen: None }
    }

    fn of(&self, target: &TargetName) -> Option<&Runtime> {
        self.targets.get(target).unwrap_or(&self.default).as_ref()
    }

    /// What `[runtime]` itself says, and what each target has instead.
    pub(super) fn all(&self) -> impl Iterator<Item = Option<&Runtime>> {
        [&self.default].into_iter().chain(self.targets.values()).map(Option::as_ref)
    }
}

impl Choice {
    fn over(&self, runtime: Option<&Runtime>) -> Runtime {
        let same = runtime.filter(|runtime| runtime.engine == self.engine);
        let version = self.version.clone().or_else(|| same.map(|same| same.version.clone()));
        Runtime {
            engine: self.engine,
            version: version.unwrap_or_else(VersionRange::any),
            sources: same.map_or_else(|| SOURCES.to_vec(), |same| same.sources.clone()),
            file: same.and_then(|same| same.file.clone()),
            strip: runtime.is_none_or(|runtime| runtime.strip),
            keep_environment: runtime.map_or_else(Vec::new, |it| it.keep_environment.clone()),
        }
    }
}

impl VersionRange {
    fn any() -> Self {
        Self { range: nodejs_semver::Range::any(), written: "*".to_owned(), span: None }
    }

    fn parse(text: &str) -> Option<Self> {
        let range = nodejs_semver::Range::parse(text).ok().filter(|_| !text.trim().is_empty())?;
        Some(Self { range, written: text.to_owned(), span: None })
    }

    /// Whether `version` is in it. What is not a version never is.
    #[must_use]
    pub fn allows(&self, version: &str) -> bool {
        nodejs_semver::Version::parse(version).is_ok_and(|version| self.range.satisfies(&version))
    }
}

impl FromStr for Choice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let (name, range) = match text.split_once('@') {
            Some((name, range)) => (name, Some(range)),
            None => (text, None),
        };
        let engine = Engine::ALL
            .into_iter()
            .find(|engine| engine.as_str() == name)
            .ok_or_else(|| ChoiceError::Engine(name.to_owned()))?;
        let version = range
            .map(|range| {
                VersionRange::parse(range).ok_or_else(|| ChoiceError::Range(range.to_owned()))
            })
            .transpose()?;
        Ok(Self { engine, version })
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.version {
            Some(version) => write!(formatter, "{}@{}", self.engine.as_str(), version.written),
            None => formatter.write_str(self.engine.as_str()),
        }
    }
}

impl Engine {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Node, Self::Bun, Self::Deno];

    /// Its name in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Bun => "bun",
            Self::Deno => "deno",
        }
    }

    /// The engine of this name, as locks have it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.as_str() == name)
    }
}

impl EngineWord {
    fn engine(self) -> Option<Engine> {
        match self {
            Self::Node => Some(Engine::Node),
            Self::Bun => Some(Engine::Bun),
            Self::Deno => Some(Engine::Deno),
            Self::None => None,
        }
    }
}

impl RuntimeSource {
    /// Its name in manifests and locks.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Official => "official",
            Self::Npm => "npm",
            Self::Pypi => "pypi",
            Self::File => "file",
        }
    }

    /// The source of this name, as locks have it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Official, Self::Npm, Self::Pypi, Self::File]
            .into_iter()
            .find(|source| source.as_str() == name)
    }
}

/// A target, and what its `runtime` says.
pub(super) type TargetRuntime = (TargetName, Located<raw::TargetRuntime>);

/// Makes what every target gets of `[runtime]` and `[target.<name>.runtime]`.
pub(super) fn runtimes(
    table: &Located<raw::Runtime>,
    targets: Vec<TargetRuntime>,
    faults: &mut Faults,
) -> Option<Runtimes> {
    let keep_environment = variable_names(table.value.keep_environment.clone(), faults);
    let base = Layer::of(table);
    let default = base.runtime(None, &keep_environment, "[runtime]", faults);
    let mut overridden = BTreeMap::new();
    for (name, table) in targets {
        let header = format!("[target.{name}.runtime]");
        let runtime = Layer::over(&table).runtime(Some(&base), &keep_environment, &header, faults);
        overridden.extend(runtime.map(|runtime| (name, runtime)));
    }
    Some(Runtimes { default: default?, targets: overridden, chosen: None })
}

/// What one table says.
#[derive(Clone)]
struct Layer {
    span: Range<usize>,
    engine: Option<EngineWord>,
    version: Option<Located<String>>,
    sources: Option<Located<Vec<Located<RuntimeSource>>>>,
    file: Option<Located<Utf8PathBuf>>,
    strip: Option<bool>,
}

impl Layer {
    fn of(table: &Located<raw::Runtime>) -> Self {
        let raw::Runtime { engine, version, sources, file, strip, .. } = &table.value;
        Self {
            span: table.span.clone(),
            engine: Some(*engine),
            version: version.clone(),
            sources: sources.clone(),
            file: file.clone(),
            strip: *strip,
        }
    }

    fn over(table: &Located<raw::TargetRuntime>) -> Self {
        let raw::TargetRuntime { engine, version, sources, file, strip } = &table.value;
        Self {
            span: table.span.clone(),
            engine: *engine,
            version: version.clone(),
            sources: sources.clone(),
            file: file.clone(),
            strip: *strip,
        }
    }

    /// The runtime this table asks for, with what it does not say taken from `base`. `None` when something is wrong.
    fn runtime(
        &self,
        base: Option<&Self>,
        keep_environment: &[String],
        header: &str,
        faults: &mut Faults,
    ) -> Option<Option<Runtime>> {
        let word = self.engine.or_else(|| base?.engine)?;
        // What is said of one engine is no advice for another.
        let base = base.filter(|base| base.engine == Some(word));
        let Some(engine) = word.engine() else {
            self.refuse_details(faults);
            return Some(None);
        };
        let strip = self.strip.or_else(|| base?.strip).unwrap_or(true);
        let (file, sources) = self.places(base, faults);
        let version = self.version.as_ref().or_else(|| base?.version.as_ref());
        let Some(version) = version else {
            let what = format!("key `version` in `{header}`");
            let fault = faults.add(&self.span, FaultKind::Missing { what }, "`version` is missing");
            fault.help(format!(
                "write a line such as `version = \"{}\"` in `{header}`",
                engine.example()
            ));
            return None;
        };
        let written = version.value.clone();
        let Located { value: range, span } = version_range(version.clone(), faults)?;
        if file.is_some() && nodejs_semver::Version::parse(&written).is_err() {
            let kind = FaultKind::FileVersion { written };
            let help =
                "a file of your own has one version: write it in full, for instance \"24.21.0\"";
            faults.add(&span, kind, "more than one version").help(help);
            return None;
        }
        let version = VersionRange { range, written, span: Some(span) };
        let keep_environment = keep_environment.to_vec();
        Some(Some(Runtime { engine, version, sources, file, strip, keep_environment }))
    }

    /// The file and the sources: a table that names one of them has no use for the other one's default.
    fn places(
        &self,
        base: Option<&Self>,
        faults: &mut Faults,
    ) -> (Option<Located<Utf8PathBuf>>, Vec<RuntimeSource>) {
        if let (Some(_), Some(sources)) = (&self.file, &self.sources) {
            let kind = FaultKind::Ineffective { key: "sources", beside: "`file`" };
            let help = "take `sources` out: the file is the only source";
            faults.add(&sources.span, kind, "nothing is looked for").help(help);
        }
        let speaker = match base {
            Some(base) if self.file.is_none() && self.sources.is_none() => base,
            _ => self,
        };
        match (&speaker.file, &speaker.sources) {
            (Some(file), _) => (Some(file.clone()), vec![RuntimeSource::File]),
            (None, Some(sources)) => (None, listed(sources, faults)),
            (None, None) => (None, SOURCES.to_vec()),
        }
    }

    /// Without a runtime there is nothing to say about one.
    fn refuse_details(&self, faults: &mut Faults) {
        let places = [
            ("version", self.version.as_ref().map(|version| &version.span)),
            ("sources", self.sources.as_ref().map(|sources| &sources.span)),
            ("file", self.file.as_ref().map(|file| &file.span)),
        ];
        for (key, span) in places {
            let Some(span) = span else { continue };
            let kind = FaultKind::Ineffective { key, beside: "`engine = \"none\"`" };
            faults.add(span, kind, "there is no runtime").help(format!("take `{key}` out"));
        }
    }
}

fn listed(
    sources: &Located<Vec<Located<RuntimeSource>>>,
    faults: &mut Faults,
) -> Vec<RuntimeSource> {
    if sources.value.is_empty() {
        let help =
            "leave the line out for the default: `sources = [\"official\", \"npm\", \"pypi\"]`";
        empty("runtime.sources", &sources.span, help, faults);
    }
    unique("runtime source", &sources.value, |source| source.as_str(), faults);
    for source in sources.value.iter().filter(|source| source.value == RuntimeSource::File) {
        let kind = FaultKind::Ineffective { key: "file", beside: "`sources`" };
        let help = "name the file instead of the sources: `file = \"vendor/node\"`";
        faults.add(&source.span, kind, "which file?").help(help);
    }
    sources.value.iter().map(|source| source.value).collect()
}

impl Engine {
    /// A range somebody may want.
    fn example(self) -> &'static str {
        match self {
            Self::Node => ">=24.16.0 <25",
            Self::Bun => "^1.4",
            Self::Deno => "^2.9",
        }
    }
}
