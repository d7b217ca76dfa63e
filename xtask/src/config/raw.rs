//! The keys as written.
//!
//! These types are the one list of what `gangway.toml` may hold: serde reads them, the JSON schema is made from them,
//! and `shape` compares a document with that schema. Their doc comments are what an editor shows, so they speak to
//! the person who writes a manifest. No `flatten`, `untagged` or `tag`: those lose the places of values.

use std::borrow::Cow;
use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use gangway_abi::check::Code;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use super::addons::{Action, BuildSystem};
use super::runtime::EngineWord;
use super::verify::Unknown;
use super::{Located, RuntimeSource, ScriptAction, ServiceKind};
use crate::pack::Compression;
use crate::prune;

/// The manifest of a gateway that Gangway bundles.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "gangway.toml")]
pub(super) struct Manifest {
    /// The format of this file: 1.
    #[schemars(extend("const" = 1), example = 1)]
    #[expect(dead_code, reason = "looked at before anything else is read")]
    pub(super) format: u32,
    /// What is bundled.
    pub(super) app: Located<App>,
    /// The JavaScript runtime that is shipped along.
    pub(super) runtime: Located<Runtime>,
    /// The programs people start; each becomes a file in `bin/`.
    #[schemars(length(min = 1))]
    pub(super) entrypoint: Located<Vec<Entrypoint>>,
    /// npm packages, laid out from a lockfile.
    pub(super) dependencies: Option<Located<Dependencies>>,
    /// What to do with a package that has install scripts. A package with scripts that is not named here is an error.
    #[serde(default)]
    pub(super) install_script: Vec<InstallScript>,
    /// What to do with a package's native code on targets that the package brings none for.
    #[serde(default)]
    pub(super) addon: Vec<Addon>,
    /// How the gateway is built before it is bundled.
    pub(super) build: Option<Build>,
    /// Programs for the build, by the name of their npm package, with an npm version range.
    #[serde(default)]
    #[schemars(example = BTreeMap::from([("esbuild", "0.28.2")]))]
    pub(super) tools: BTreeMap<Located<String>, Located<String>>,
    /// What is left out of the bundle.
    #[serde(default)]
    pub(super) prune: Prune,
    /// How archives are made.
    #[serde(default)]
    pub(super) archive: Archive,
    /// How to tell that the gateway is up.
    pub(super) health: Option<Health>,
    /// How strictly the native code is checked against what the targets promise.
    #[serde(default)]
    pub(super) verify: Verify,
    /// How a bundle is tried.
    pub(super) smoke: Option<Smoke>,
    /// What is different on one target, by the target's name.
    #[serde(default)]
    pub(super) target: BTreeMap<Located<String>, Target>,
    /// Processes that are shipped along, and addons of the workspace.
    #[serde(default)]
    pub(super) service: Vec<Located<Service>>,
    /// Folders of the app's own data, which an installer keeps before an update.
    #[serde(default)]
    pub(super) state: Vec<State>,
    /// Compiled models for TensorRT, and what they were made with: the files themselves do not say.
    #[serde(default)]
    pub(super) tensorrt_plan: Vec<TensorRtPlan>,
}

/// What is bundled.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct App {
    /// Names the archive and the folder it is installed to: lower-case letters, digits, `-`, `_` and `.`.
    #[schemars(example = "my-gateway")]
    pub(super) name: Located<String>,
    /// The version. Default: the one of package.json beside the manifest.
    #[schemars(example = "1.0.0")]
    pub(super) version: Option<Located<String>>,
    /// Globs of the gateway's own files to ship. Default: every file that .gitignore does not exclude.
    #[serde(default)]
    #[schemars(example = ["dist/**"])]
    pub(super) include: Vec<Located<String>>,
    /// Globs of own files not to ship.
    #[serde(default)]
    #[schemars(example = ["docs/**"])]
    pub(super) exclude: Vec<Located<String>>,
}

/// The JavaScript runtime that is shipped along.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Runtime {
    /// Which runtime; `none` for a gateway that is a native program itself.
    #[schemars(example = &"node")]
    pub(super) engine: EngineWord,
    /// An npm version range; the lock pins one version of it. Required, unless `engine` is `none`.
    #[schemars(example = ">=24.16.0 <25")]
    pub(super) version: Option<Located<String>>,
    /// Where to get it, first choice first.
    #[schemars(extend("default" = ["official", "npm", "pypi"]), length(min = 1), example = ["official", "npm"])]
    pub(super) sources: Option<Located<Vec<Located<RuntimeSource>>>>,
    /// An executable or archive of one's own instead of a source, relative to the manifest.
    #[schemars(with = "Option<String>", example = "vendor/node")]
    pub(super) file: Option<Located<Utf8PathBuf>>,
    /// Whether symbols for debuggers are taken out of the runtime where the platform allows it. Default: true.
    #[schemars(extend("default" = true))]
    pub(super) strip: Option<bool>,
    /// Environment variables of the user that reach the runtime although Gangway would remove them.
    #[serde(default)]
    #[schemars(example = ["NODE_OPTIONS"])]
    pub(super) keep_environment: Vec<Located<String>>,
}

/// What is different on one target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Target {
    /// The runtime of this target; what is not said here is as in `[runtime]`, if the engine is the same.
    pub(super) runtime: Option<Located<TargetRuntime>>,
}

/// The runtime of one target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TargetRuntime {
    /// Which runtime.
    #[schemars(example = &"bun")]
    pub(super) engine: Option<EngineWord>,
    /// An npm version range.
    #[schemars(example = "^1.4")]
    pub(super) version: Option<Located<String>>,
    /// Where to get it, first choice first.
    #[schemars(length(min = 1), example = ["npm"])]
    pub(super) sources: Option<Located<Vec<Located<RuntimeSource>>>>,
    /// An executable or archive of one's own, relative to the manifest.
    #[schemars(with = "Option<String>", example = "vendor/node")]
    pub(super) file: Option<Located<Utf8PathBuf>>,
    /// Whether symbols for debuggers are taken out.
    pub(super) strip: Option<bool>,
}

/// A program people start.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Entrypoint {
    /// The program's name in `bin/`.
    #[schemars(example = "my-gateway")]
    pub(super) name: Located<String>,
    /// The script to run, relative to the manifest; `node_modules/...` is a package of the lockfile.
    #[schemars(example = "dist/main.js")]
    pub(super) script: Option<Located<String>>,
    /// A native program to run instead of a script: one of the gateway's own files or build outputs, relative to the manifest.
    #[schemars(example = &"dist/gateway")]
    pub(super) program: Option<Located<String>>,
    /// The `[[service]]` whose program this is, instead of a script.
    #[schemars(example = &"indexer")]
    pub(super) service: Option<Located<String>>,
    /// Arguments before the user's.
    #[serde(default)]
    #[schemars(example = ["gateway", "run"])]
    pub(super) args: Vec<Located<String>>,
    /// Arguments of the runtime, before the script.
    #[serde(default)]
    #[schemars(example = ["--max-old-space-size=4096"])]
    pub(super) runtime_args: Vec<Located<String>>,
}

/// npm packages, laid out from a lockfile.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Dependencies {
    /// A lockfile of npm, pnpm or Bun, relative to the manifest. Default: the one beside the manifest, or that of the workspace.
    #[schemars(with = "Option<String>", example = "package-lock.json")]
    pub(super) lockfile: Option<Located<Utf8PathBuf>>,
}

/// What to do with the install scripts of one package.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct InstallScript {
    /// The package's name; every version of it.
    #[schemars(example = &"esbuild")]
    pub(super) package: Located<String>,
    /// What to do with its scripts.
    #[schemars(example = &"run")]
    pub(super) action: ScriptAction,
    /// Folders besides the package's own that `run` may write to, relative to the manifest.
    #[schemars(example = ["node_modules/.prisma"])]
    pub(super) writes: Option<Located<Vec<Located<String>>>>,
    /// Environment variables for `run`.
    #[schemars(example = BTreeMap::from([("KEY", "value")]))]
    pub(super) env: Option<Located<Variables>>,
}

/// What to do with the native code of one package.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Addon {
    /// The package's name; every version of it.
    #[schemars(example = &"better-sqlite3")]
    pub(super) package: Located<String>,
    /// What to do.
    #[schemars(example = &"build")]
    pub(super) action: Action,
    /// The targets this is about. Default: all.
    #[schemars(length(min = 1), example = ["linux-arm64-musl"])]
    pub(super) targets: Option<Located<Vec<Located<String>>>>,
    /// With `prebuilt`: where to download from, in place of the package's own host.
    #[schemars(example = &"https://mirror.example.com/better-sqlite3")]
    pub(super) host: Option<Located<String>>,
    /// With `omit`: why the gateway works without it.
    #[schemars(example = &"only the voice plug-in loads it, and that is off")]
    pub(super) reason: Option<Located<String>>,
    /// With `build`: what compiles it. Default: what the package has files for.
    #[schemars(example = &"node-gyp")]
    pub(super) system: Option<Located<BuildSystem>>,
    /// With `build`: environment variables for it.
    #[schemars(example = BTreeMap::from([("CXXFLAGS", "-O3")]))]
    pub(super) env: Option<Located<Variables>>,
}

/// How the gateway is built before it is bundled.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Build {
    /// The program and its arguments, each a string of its own; no shell reads them.
    #[schemars(length(min = 1), example = ["esbuild", "src/main.ts", "--bundle", "--outdir=dist"])]
    pub(super) command: Located<Vec<Located<String>>>,
    /// Files and folders the command makes, relative to the manifest.
    #[schemars(length(min = 1), example = ["dist"])]
    pub(super) outputs: Located<Vec<Located<String>>>,
    /// Environment variables for the command.
    #[serde(default)]
    #[schemars(example = BTreeMap::from([("NODE_ENV", "production")]))]
    pub(super) env: Variables,
}

/// What is left out of the bundle.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Prune {
    /// Rules to switch off, or on.
    #[serde(default)]
    #[schemars(schema_with = "prune_rules")]
    pub(super) rules: BTreeMap<String, Located<bool>>,
    /// Globs of files that no rule may take, relative to the app's folder.
    #[serde(default)]
    #[schemars(example = ["node_modules/foo/**/*.map"])]
    pub(super) keep: Vec<Located<String>>,
}

/// How archives are made.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Archive {
    /// What counts when a `.tar.zst` is compressed: the time it takes, or the archive's size.
    #[serde(default)]
    pub(super) compression: Compression,
}

/// How to tell that the gateway is up: a GET request to the loopback interface.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Health {
    /// The entrypoint that serves it.
    #[schemars(example = "my-gateway")]
    pub(super) entrypoint: Located<String>,
    /// The TCP port.
    #[schemars(range(min = 1), example = 8080)]
    pub(super) port: u16,
    /// The path, starting with `/`.
    #[schemars(example = "/health")]
    pub(super) path: Located<String>,
    /// How long a start may take, in seconds.
    #[serde(default = "a_minute")]
    #[schemars(range(min = 1, max = 3600), example = 60)]
    pub(super) timeout_seconds: u32,
}

/// How strictly the native code is checked against what the targets promise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Verify {
    /// What becomes of a bundle of which something cannot be told.
    #[serde(default)]
    #[schemars(extend("default" = "warn"), example = &"deny")]
    pub(super) unknown: Unknown,
    /// Findings that do not count.
    #[serde(default)]
    pub(super) allow: Vec<Allow>,
}

/// Findings that do not count, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Allow {
    /// The check: `cargo xtask verify` names it with each finding.
    #[schemars(schema_with = "codes", example = &"glibc-floor")]
    pub(super) code: Located<String>,
    /// A glob over places in the bundle.
    #[schemars(example = "app/node_modules/@scope/screen-driver/**")]
    pub(super) path: Located<String>,
    /// What of the file, as the finding names it. Default: everything.
    #[schemars(example = &"libX11.so.6")]
    pub(super) subject: Option<Located<String>>,
    /// The targets this is about. Default: all.
    #[schemars(length(min = 1), example = ["linux-x64"])]
    pub(super) targets: Option<Located<Vec<Located<String>>>>,
    /// Why it is no harm.
    #[schemars(length(min = 1), example = &"only the desktop plug-in loads it, and servers have no desktop")]
    pub(super) reason: Located<String>,
    /// The last day on which this counts: a date without quotes.
    #[schemars(with = "String", extend("format" = "date"), example = "2027-06-30")]
    pub(super) expires: Located<toml::value::Datetime>,
}

/// A folder of the app's own data. An installer copies it before another version may change it, and a rollback brings it back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct State {
    /// Where it is: below `~`, `$XDG_DATA_HOME`, `$XDG_STATE_HOME`, `$XDG_CONFIG_HOME`, `$XDG_CACHE_HOME`, `/var/lib`, `/srv` or `/etc`.
    #[schemars(example = &"~/.my-gateway")]
    pub(super) path: Located<String>,
    /// Where it is on macOS. Default: `path`.
    #[schemars(example = &"~/Library/Application Support/my-gateway")]
    pub(super) macos: Option<Located<String>>,
    /// Where it is on Windows: also below `%APPDATA%`, `%LOCALAPPDATA%` or `%PROGRAMDATA%`. Default: `path`.
    #[schemars(example = &"%APPDATA%/my-gateway")]
    pub(super) windows: Option<Located<String>>,
    /// The environment variable with which a user puts it elsewhere.
    #[schemars(example = &"MY_GATEWAY_HOME")]
    pub(super) variable: Option<Located<String>>,
    /// Files and folders in it that are not kept: what the app makes anew.
    #[serde(default)]
    #[schemars(example = ["logs"])]
    pub(super) exclude: Vec<Located<String>>,
    /// How large it may be to be copied, in millions of bytes; a larger one is left to the user.
    #[serde(default = "limit_mb")]
    #[schemars(range(min = 1, max = 1_000_000), example = 2000)]
    pub(super) limit_mb: u32,
}

/// Compiled models for TensorRT: each runs with the very TensorRT and chip that it was made with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TensorRtPlan {
    /// A glob over places in the bundle.
    #[schemars(example = "services/vision/*.engine")]
    pub(super) path: Located<String>,
    /// The version of TensorRT that made them.
    #[schemars(example = "10.3.0")]
    pub(super) tensorrt: Located<String>,
    /// The compute capability of the chip they were made for.
    #[schemars(example = "8.7")]
    pub(super) sm: Located<String>,
    /// The targets this is about. Default: all.
    #[schemars(length(min = 1), example = ["jetson"])]
    pub(super) targets: Option<Located<Vec<Located<String>>>>,
}

/// How a bundle is tried: what its programs are started with. `{port}` stands for a free port, `{home}` for an empty folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Smoke {
    /// What each entrypoint is run with, to end with 0; nothing: they are not run so. Default: `["--version"]`.
    #[schemars(extend("default" = ["--version"]), example = ["--version"])]
    pub(super) version_args: Option<Vec<Located<String>>>,
    /// Arguments for the entrypoint of `[health]`, after its own.
    #[serde(default)]
    #[schemars(example = ["--port", "{port}"])]
    pub(super) gateway_args: Vec<Located<String>>,
    /// Arguments for each service, after its own, by the service's name.
    #[serde(default)]
    #[schemars(example = BTreeMap::from([("indexer", ["--socket", "run/indexer.sock"])]))]
    pub(super) service_args: BTreeMap<Located<String>, Vec<Located<String>>>,
    /// Environment variables for all of them.
    #[serde(default)]
    #[schemars(example = BTreeMap::from([("MY_GATEWAY_HOME", "{home}")]))]
    pub(super) env: Variables,
    /// How long a program may take that has no time of its own in `[health]`, in seconds.
    #[serde(default = "a_minute")]
    #[schemars(range(min = 1, max = 3600), example = 60)]
    pub(super) timeout_seconds: u32,
}

/// A process that is shipped along, or an addon of the workspace.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Service {
    /// Its name: the folder in `services/` and the program in `bin/`.
    #[schemars(example = &"indexer")]
    pub(super) name: Located<String>,
    /// Where it comes from.
    #[schemars(example = &"rust")]
    pub(super) kind: ServiceKind,
    /// `rust`, `napi`: the folder with Cargo.toml. `python`: that with the service's own files. Relative to the manifest.
    #[schemars(example = "services/indexer")]
    pub(super) path: Option<Located<String>>,
    /// `rust`, `napi`: the Cargo package. Default: the one in `path`.
    #[schemars(example = &"indexer")]
    pub(super) package: Option<Located<String>>,
    /// `rust`: the package's program. Default: its only one, or the one named as the service.
    #[schemars(example = &"indexer")]
    pub(super) bin: Option<Located<String>>,
    /// `command`: the program and its arguments, each a string of its own; no shell reads them.
    #[schemars(length(min = 1), example = ["make", "install"])]
    pub(super) command: Option<Located<Vec<Located<String>>>>,
    /// `command`: globs of the files it gets, relative to the manifest.
    #[schemars(length(min = 1), example = ["native/**"])]
    pub(super) inputs: Option<Located<Vec<Located<String>>>>,
    /// `command`: programs it calls that are not in the system's folders; they are looked for on the PATH.
    #[schemars(example = ["cmake", "ninja"])]
    pub(super) programs: Option<Located<Vec<Located<String>>>>,
    /// `command`: variables for the command, besides those it is told.
    #[schemars(example = BTreeMap::from([("CGO_ENABLED", "1")]))]
    pub(super) build_env: Option<Located<Variables>>,
    /// `command`, `prebuilt`: the program among what is made or unpacked. Default: the service's name.
    #[schemars(example = "bin/indexer")]
    pub(super) program: Option<Located<String>>,
    /// `prebuilt`: for each target a file relative to the manifest, or a URL that the lock pins.
    #[schemars(example = BTreeMap::from([("linux-x64", "prebuilt/linux-x64/indexer")]))]
    pub(super) targets: Option<Located<BTreeMap<Located<String>, Located<String>>>>,
    /// `python`: the requirements lock, relative to the manifest.
    #[schemars(example = "service/requirements.txt")]
    pub(super) requirements: Option<Located<String>>,
    /// `python`: the versions of Python it runs under.
    #[schemars(example = ">=3.10")]
    pub(super) python: Option<Located<String>>,
    /// `python`: the module to run.
    #[schemars(example = &"indexer")]
    pub(super) module: Option<Located<String>>,
    /// `python`: the file to run, relative to `path`.
    #[schemars(example = "main.py")]
    pub(super) script: Option<Located<String>>,
    /// `napi`: where the addon goes in the app. Default: `<name>.{platform}.node`.
    #[schemars(example = "native/index.{platform}.node")]
    pub(super) output: Option<Located<String>>,
    /// Arguments before the user's.
    #[schemars(example = ["--listen", "127.0.0.1:8081"])]
    pub(super) args: Option<Located<Vec<Located<String>>>>,
    /// Environment variables it is started with, where the user has not set them.
    #[schemars(example = BTreeMap::from([("LOG", "info")]))]
    pub(super) env: Option<Located<Variables>>,
    /// How to tell that it is up.
    pub(super) health: Option<Located<ServiceHealth>>,
}

/// How to tell that a service is up: by its socket, its port or a command of its own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ServiceHealth {
    /// A Unix socket to connect to: absolute, or relative to the folder the service is started in.
    #[schemars(example = "run/indexer.sock")]
    pub(super) socket: Option<Located<String>>,
    /// A TCP port of the loopback interface to connect to.
    #[schemars(range(min = 1), example = 8081)]
    pub(super) port: Option<u16>,
    /// The path of a GET request to the socket or port. Default: to connect is enough.
    #[schemars(example = "/health")]
    pub(super) path: Option<Located<String>>,
    /// Arguments for the service's own program, which ends with 0 when all is well.
    #[schemars(length(min = 1), example = ["--health"])]
    pub(super) command: Option<Located<Vec<Located<String>>>>,
    /// How long a start may take, in seconds.
    #[serde(default = "a_minute")]
    #[schemars(range(min = 1, max = 3600), example = 60)]
    pub(super) timeout_seconds: u32,
}

/// Environment variables.
pub(super) type Variables = BTreeMap<Located<String>, Located<String>>;

fn limit_mb() -> u32 {
    gangway_artifact::State::LIMIT_MB
}

fn a_minute() -> u32 {
    60
}

/// The names of the checks, so that editors can complete them.
fn codes(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    schemars::json_schema!({ "type": "string", "enum": names })
}

/// One switch per rule, so that editors can complete their names.
fn prune_rules(_: &mut SchemaGenerator) -> Schema {
    let switch = |rule: &prune::Rule| {
        let schema = serde_json::json!({ "type": "boolean", "description": rule.description, "default": rule.default });
        (rule.name.to_owned(), schema)
    };
    let properties: serde_json::Map<_, _> = prune::rules().iter().map(switch).collect();
    schemars::json_schema!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), value: spanned.into_inner() })
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
