//! `[[service]]`: processes that are shipped along, and addons of the workspace.
//!
//! All kinds share one table with optional keys; which of them a kind reads and needs is a list below, so a key that
//! would do nothing is a fault, not a silence.

use std::collections::BTreeMap;
use std::ops::Range;

use camino::Utf8PathBuf;
use gangway_artifact::{BundlePath, ProgramName, PythonVersions, TargetName};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::check::command_line;
use super::error::{FaultKind, Faults};
use super::suggest::listed;
use super::values::{
    bundle_path, empty, globs, misnamed, unique, url_path_fault, url_path_suggestion, variables,
    words,
};
use super::{Located, names, raw};
use crate::services::python::range;

/// `[[service]]`
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name: the folder in `services/` and the program in `bin/`.
    pub name: Located<String>,
    /// Where it comes from.
    pub source: ServiceSource,
    /// Arguments before the user's.
    pub args: Vec<String>,
    /// Environment variables it is started with.
    pub env: BTreeMap<String, String>,
    /// How to tell that it is up.
    pub health: Option<ServiceHealth>,
}

/// What a service is made of.
#[derive(Debug, Clone)]
pub enum ServiceSource {
    /// A program of a Cargo package.
    Rust(CargoPackage),
    /// What a command makes.
    Command(BuildCommand),
    /// A finished program for each target.
    Prebuilt(Prebuilt),
    /// A program in Python with its wheels.
    Python(PythonService),
    /// A Node-API addon of the workspace, made by a Cargo package. It is no process: it becomes a file of the app.
    Napi(NapiPackage),
}

/// `kind` in `[[service]]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceKind {
    /// A program of a Cargo package, built for the target.
    Rust,
    /// What a build command makes: C, C++, Go, CMake, CUDA.
    Command,
    /// A finished program for each target: a file, or a URL that the lock pins.
    Prebuilt,
    /// A program in Python, with wheels from a requirements lock.
    Python,
    /// A Node-API addon made by a Cargo package.
    Napi,
}

/// A Cargo package and what of it is built.
#[derive(Debug, Clone)]
pub struct CargoPackage {
    /// The folder with `Cargo.toml`, relative to the manifest; empty for the manifest's own.
    pub path: Utf8PathBuf,
    /// The package; needed where the folder is a workspace without one.
    pub package: Option<String>,
    /// The program; needed where the package has several.
    pub bin: Option<String>,
}

/// `kind = "command"`
#[derive(Debug, Clone)]
pub struct BuildCommand {
    /// Program and arguments; no shell reads them.
    pub command: Vec<String>,
    /// Globs of the files the command gets, relative to the manifest.
    pub inputs: Vec<Located<String>>,
    /// Programs it calls that are not the system's.
    pub programs: Vec<String>,
    /// Variables for the command, besides those it is told.
    pub build_env: BTreeMap<String, String>,
    /// The program among what it makes; without one, the service's name.
    pub program: Option<BundlePath>,
}

/// `kind = "prebuilt"`
#[derive(Debug, Clone)]
pub struct Prebuilt {
    /// A file or a URL for each target.
    pub targets: BTreeMap<TargetName, Located<PrebuiltPlace>>,
    /// The program inside an archive; without one, the service's name.
    pub program: Option<BundlePath>,
}

/// Where a finished program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrebuiltPlace {
    /// A file, relative to the manifest.
    File(BundlePath),
    /// A URL; the lock pins what is there.
    Url(Url),
}

/// `kind = "python"`
#[derive(Debug, Clone)]
pub struct PythonService {
    /// The folder with the service's own files, relative to the manifest, if it has any.
    pub path: Option<Located<BundlePath>>,
    /// The requirements lock, relative to the manifest.
    pub requirements: Located<BundlePath>,
    /// The versions of Python it runs under: `>=3.10`.
    pub python: PythonVersions,
    /// What runs.
    pub start: PythonStart,
}

/// What of a Python service runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PythonStart {
    /// As `python -m` does.
    Module(String),
    /// A file, relative to `path`.
    Script(BundlePath),
}

/// `kind = "napi"`
#[derive(Debug, Clone)]
pub struct NapiPackage {
    /// The package.
    pub package: CargoPackage,
    /// Where the addon goes in the app; `{platform}` becomes `linux-x64-gnu` and the like.
    pub output: Option<Located<String>>,
}

/// `[service.health]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceHealth {
    /// What is asked.
    pub probe: HealthProbe,
    /// How long a start may take, in seconds.
    pub timeout_seconds: u32,
}

/// How a service is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthProbe {
    /// A connection to a Unix socket, with a GET request where there is a path.
    Socket {
        /// The socket's path.
        socket: String,
        /// The path of the request.
        path: Option<String>,
    },
    /// A connection to a port of the loopback interface, with a GET request where there is a path.
    Port {
        /// The TCP port.
        port: u16,
        /// The path of the request.
        path: Option<String>,
    },
    /// A program that ends with 0: arguments for the service's own program.
    Command(Vec<String>),
}

impl ServiceKind {
    /// Its word in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Command => "command",
            Self::Prebuilt => "prebuilt",
            Self::Python => "python",
            Self::Napi => "napi",
        }
    }

    /// The keys it must have.
    fn needed(self) -> &'static [&'static str] {
        match self {
            Self::Rust | Self::Napi => &[],
            Self::Command => &["command", "inputs"],
            Self::Prebuilt => &["targets"],
            Self::Python => &["requirements", "python"],
        }
    }

    /// The keys it may have besides; `name` and `kind` aside.
    fn known(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["path", "package", "bin", "args", "env", "health"],
            Self::Command => &["programs", "build-env", "program", "args", "env", "health"],
            Self::Prebuilt => &["program", "args", "env", "health"],
            Self::Python => &["path", "module", "script", "args", "env", "health"],
            Self::Napi => &["path", "package", "output"],
        }
    }
}

impl Service {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> ServiceKind {
        match self.source {
            ServiceSource::Rust(_) => ServiceKind::Rust,
            ServiceSource::Command(_) => ServiceKind::Command,
            ServiceSource::Prebuilt(_) => ServiceKind::Prebuilt,
            ServiceSource::Python(_) => ServiceKind::Python,
            ServiceSource::Napi(_) => ServiceKind::Napi,
        }
    }

    /// Whether it is a process, with a folder and a program of its own.
    #[must_use]
    pub fn is_process(&self) -> bool {
        !matches!(self.source, ServiceSource::Napi(_))
    }
}

/// Takes the tables; `entrypoints` are the names that are taken already.
pub(super) fn services(
    list: Vec<Located<raw::Service>>,
    entrypoints: &[Located<String>],
    faults: &mut Faults,
) -> Vec<Service> {
    let names = list.iter().map(|service| &service.value.name);
    unique("service", names, |name| name.to_lowercase(), faults);
    for service in &list {
        let name = &service.value.name;
        let taken = entrypoints.iter().find(|entrypoint| {
            service.value.kind != ServiceKind::Napi
                && entrypoint.value.to_lowercase() == name.value.to_lowercase()
        });
        if let Some(entrypoint) = taken {
            let kind = FaultKind::Duplicate { what: "program", name: name.value.clone() };
            let fault = faults.add(&name.span, kind, "a service of that name");
            fault.also(entrypoint.span.clone(), "an entrypoint of that name");
            fault.help("both become files in `bin/`: give one of them another name");
        }
    }
    list.into_iter().filter_map(|service| self::service(service, faults)).collect()
}

fn service(table: Located<raw::Service>, faults: &mut Faults) -> Option<Service> {
    let Located { value: table, span } = table;
    if let Some(reason) = ProgramName::fault(&table.name.value) {
        let suggestion = names::program_suggestion(&table.name.value);
        misnamed(("a service", "indexer"), &table.name, reason, suggestion.as_deref(), faults);
    }
    fit(&table, &span, faults);
    let kind = table.kind;
    let raw::Service { name, args, env, health, .. } = table.clone();
    let source = match kind {
        ServiceKind::Rust => Some(ServiceSource::Rust(cargo_package(table, faults))),
        ServiceKind::Command => build_command(table, faults).map(ServiceSource::Command),
        ServiceKind::Prebuilt => Some(ServiceSource::Prebuilt(prebuilt(table, faults))),
        ServiceKind::Python => python(table, &span, faults).map(ServiceSource::Python),
        ServiceKind::Napi => {
            let output = table.output.clone();
            if let Some(output) = &output {
                let sample = output.value.replace("{platform}", "linux-x64-gnu");
                bundle_path(Located { value: sample, span: output.span.clone() }, faults);
            }
            let package = cargo_package(table, faults);
            Some(ServiceSource::Napi(NapiPackage { package, output }))
        }
    };
    let args = words("args", args.map(|args| args.value).unwrap_or_default(), faults);
    let env = variables(env.map(|env| env.value).unwrap_or_default(), faults);
    let health = health.and_then(|health| self::health(health, faults));
    Some(Service { name, source: source?, args, env, health })
}

/// Notes keys that the kind does not read, and those that it misses.
fn fit(table: &raw::Service, span: &Range<usize>, faults: &mut Faults) {
    let kind = table.kind;
    let given = given(table);
    for (key, span) in &given {
        if !kind.needed().contains(key) && !kind.known().contains(key) {
            let fault = FaultKind::NotForKind { key, kind: kind.as_str() };
            let keys = kind.needed().iter().chain(kind.known()).copied();
            let help = format!("a service of this kind has these keys: {}", listed(keys));
            faults.add(span, fault, "not read").help(help);
        }
    }
    for key in kind.needed() {
        if !given.iter().any(|(given, _)| given == key) {
            let what = format!("key `{key}` of a service of the kind `{}`", kind.as_str());
            let label = format!("`{key}` is missing");
            let help = format!("write a line such as `{}`", example(key));
            faults.add(span, FaultKind::Missing { what }, label).help(help);
        }
    }
}

/// The keys that are written, and where.
fn given(table: &raw::Service) -> Vec<(&'static str, Range<usize>)> {
    fn at<T>(
        key: &'static str,
        value: Option<&Located<T>>,
    ) -> Option<(&'static str, Range<usize>)> {
        value.map(|value| (key, value.span.clone()))
    }
    [
        at("path", table.path.as_ref()),
        at("package", table.package.as_ref()),
        at("bin", table.bin.as_ref()),
        at("command", table.command.as_ref()),
        at("inputs", table.inputs.as_ref()),
        at("programs", table.programs.as_ref()),
        at("build-env", table.build_env.as_ref()),
        at("program", table.program.as_ref()),
        at("targets", table.targets.as_ref()),
        at("requirements", table.requirements.as_ref()),
        at("python", table.python.as_ref()),
        at("module", table.module.as_ref()),
        at("script", table.script.as_ref()),
        at("output", table.output.as_ref()),
        at("args", table.args.as_ref()),
        at("env", table.env.as_ref()),
        at("health", table.health.as_ref()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn example(key: &str) -> &'static str {
    match key {
        "command" => "command = [\"make\", \"install\"]",
        "inputs" => "inputs = [\"native/**\"]",
        "targets" => "targets = { linux-x64 = \"prebuilt/linux-x64/indexer\" }",
        "requirements" => "requirements = \"service/requirements.txt\"",
        _ => "python = \">=3.10\"",
    }
}

fn cargo_package(table: raw::Service, faults: &mut Faults) -> CargoPackage {
    let path = match &table.path {
        Some(path) => folder(path, faults),
        None => Utf8PathBuf::new(),
    };
    let text = |value: Option<Located<String>>| value.map(|value| value.value);
    CargoPackage { path, package: text(table.package), bin: text(table.bin) }
}

/// A folder that may lie beside the manifest's own: a workspace keeps its packages where it likes.
fn folder(path: &Located<String>, faults: &mut Faults) -> Utf8PathBuf {
    let folder = Utf8PathBuf::from(&path.value);
    if folder.is_absolute() {
        let kind = FaultKind::Absolute { path: folder.clone() };
        let help = "write the path from this manifest's folder, such as \"services/indexer\"";
        faults.add(&path.span, kind, "only right on one machine").help(help);
    }
    if path.value == "." { Utf8PathBuf::new() } else { folder }
}

fn build_command(table: raw::Service, faults: &mut Faults) -> Option<BuildCommand> {
    let (command, inputs) = (table.command?, table.inputs?);
    command_line("service.command", &command, faults);
    if inputs.value.is_empty() {
        let help = "name the files the command reads, such as `inputs = [\"native/**\"]`";
        empty("service.inputs", &inputs.span, help, faults);
    }
    let list = |list: Option<Located<Vec<Located<String>>>>| {
        list.map(|list| list.value).unwrap_or_default()
    };
    Some(BuildCommand {
        command: words("command", command.value, faults),
        inputs: globs(inputs.value, faults),
        programs: words("programs", list(table.programs), faults),
        build_env: variables(table.build_env.map(|env| env.value).unwrap_or_default(), faults),
        program: table.program.and_then(|program| Some(bundle_path(program, faults)?.value)),
    })
}

fn prebuilt(table: raw::Service, faults: &mut Faults) -> Prebuilt {
    let mut targets = BTreeMap::new();
    for (name, place) in table.targets.map(|targets| targets.value).unwrap_or_default() {
        let target = match name.value.parse::<TargetName>() {
            Ok(target) => target,
            Err(_) => {
                let reason = "no target has such a name";
                misnamed(("a target", "linux-x64"), &name, reason, None, faults);
                continue;
            }
        };
        let span = place.span.clone();
        let value = match Url::parse(&place.value) {
            Ok(url) if matches!(url.scheme(), "https" | "http") => Some(PrebuiltPlace::Url(url)),
            _ => bundle_path(place, faults).map(|path| PrebuiltPlace::File(path.value)),
        };
        targets.extend(value.map(|value| (target, Located { value, span })));
    }
    let program = table.program.and_then(|program| Some(bundle_path(program, faults)?.value));
    Prebuilt { targets, program }
}

fn python(table: raw::Service, span: &Range<usize>, faults: &mut Faults) -> Option<PythonService> {
    let start = match (table.module, table.script) {
        (Some(module), None) => Some(PythonStart::Module(module.value)),
        (None, Some(script)) => {
            bundle_path(script, faults).map(|script| PythonStart::Script(script.value))
        }
        (given, _) => {
            let what = "`module` or `script` of a service of the kind `python`".to_owned();
            let at = given.map_or_else(|| span.clone(), |module| module.span);
            let help = "write one of the two: `module = \"indexer\"` runs as `python -m indexer`, `script = \"main.py\"` a file";
            faults.add(&at, FaultKind::Missing { what }, "one of the two").help(help);
            None
        }
    };
    let path = table.path.and_then(|path| bundle_path(path, faults));
    let requirements = bundle_path(table.requirements?, faults);
    let python = table.python?;
    let versions = range::parse(&python.value).map_err(|error| {
        let kind =
            FaultKind::PythonVersions { text: python.value.clone(), reason: error.to_string() };
        faults.add(&python.span, kind, "here").help(range::HELP);
    });
    let (requirements, versions) = (requirements?, versions.ok()?);
    Some(PythonService { path, requirements, python: versions, start: start? })
}

fn health(table: Located<raw::ServiceHealth>, faults: &mut Faults) -> Option<ServiceHealth> {
    let raw::ServiceHealth { socket, port, path, command, timeout_seconds } = table.value;
    if let Some(path) = &path
        && let Some(reason) = url_path_fault(&path.value)
    {
        let kind = FaultKind::UrlPath { path: path.value.clone(), reason };
        let help = format!("write \"{}\"", url_path_suggestion(&path.value));
        faults.add(&path.span, kind, reason).help(help);
    }
    let path = path.map(|path| path.value);
    let probe = match (socket, port, command) {
        (Some(socket), None, None) => HealthProbe::Socket { socket: socket.value, path },
        (None, Some(port), None) => HealthProbe::Port { port, path },
        (None, None, Some(command)) if path.is_none() => {
            HealthProbe::Command(words("health.command", command.value, faults))
        }
        _ => {
            let what = "what to ask: one of `socket`, `port` and `command`".to_owned();
            let help = "write `socket = \"run/indexer.sock\"` or `port = 8081`, with a `path` where it speaks HTTP, or `command = [\"--health\"]`";
            faults.add(&table.span, FaultKind::Missing { what }, "one of the three").help(help);
            return None;
        }
    };
    Some(ServiceHealth { probe, timeout_seconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, ConfigError};
    use crate::testing::{Sandbox, rendered};

    const HEAD: &str = "format = 1\n[app]\nname = \"a\"\nversion = \"1.0.0\"\n[runtime]\nengine = \"node\"\nversion = \"24\"\n[[entrypoint]]\nname = \"gateway\"\nscript = \"a.js\"\n";

    fn read(services: &str) -> Result<Vec<Service>, ConfigError> {
        let sandbox = Sandbox::new();
        let path = sandbox.write("gangway.toml", format!("{HEAD}{services}"));
        Ok(config::load(&path)?.services)
    }

    fn refused(services: &str) -> String {
        let text = rendered(&read(services).expect_err("it should be refused"));
        // The manifest's folder is another one in every run.
        let lines = text.lines().filter(|line| !line.contains("gangway.toml"));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn two_of_one_name_show_both_places() {
        let two = "[[service]]\nname = \"x\"\nkind = \"rust\"\n[[service]]\nname = \"X\"\nkind = \"napi\"\n";
        let text = refused(two);
        assert!(text.contains("service `x` appears twice"), "{text}");
        assert!(text.contains("first here") && text.contains("again here"), "{text}");
        let text = refused("[[service]]\nname = \"Gateway\"\nkind = \"rust\"\n");
        assert!(text.contains("program `Gateway` appears twice"), "{text}");
        assert!(text.contains("an entrypoint of that name"), "{text}");
        // An addon is no program.
        assert!(read("[[service]]\nname = \"gateway\"\nkind = \"napi\"\n").is_ok());
    }

    #[test]
    fn keys_of_another_kind_and_missing_ones() {
        let text = refused("[[service]]\nname = \"x\"\nkind = \"rust\"\ncommand = [\"make\"]\n");
        assert!(text.contains("`command` is no key of a service of the kind `rust`"), "{text}");
        assert!(text.contains("`path`, `package`, `bin`, `args`, `env` and `health`"), "{text}");
        let text = refused("[[service]]\nname = \"x\"\nkind = \"command\"\n");
        assert!(
            text.contains("missing key `command` of a service of the kind `command`"),
            "{text}"
        );
        assert!(text.contains("missing key `inputs` of a service"), "{text}");
        let text = refused(
            "[[service]]\nname = \"x\"\nkind = \"python\"\nrequirements = \"r.txt\"\npython = \">=3.10\"\n",
        );
        assert!(text.contains("missing `module` or `script`"), "{text}");
        let text = refused("[[service]]\nname = \"x\"\nkind = \"rsut\"\n");
        assert!(text.contains("unknown value `rsut` of `service.kind`"), "{text}");
    }

    #[test]
    fn health_asks_one_thing() {
        let of = |health: &str| {
            read(&format!("[[service]]\nname = \"x\"\nkind = \"rust\"\nhealth = {health}\n"))
        };
        let probe = |health| {
            let mut services = of(health).expect("valid");
            services.remove(0).health.expect("written").probe
        };
        let path = Some("/health".to_owned());
        assert_eq!(
            probe("{ socket = \"x.sock\", path = \"/health\" }"),
            HealthProbe::Socket { socket: "x.sock".to_owned(), path: path.clone() }
        );
        assert_eq!(probe("{ port = 1, path = \"/health\" }"), HealthProbe::Port { port: 1, path });
        assert_eq!(probe("{ command = [\"-v\"] }"), HealthProbe::Command(vec!["-v".to_owned()]));
        for wrong in ["{}", "{ socket = \"a\", port = 1 }", "{ command = [\"a\"], path = \"/\" }"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(of("{ port = 1, path = \"health\" }").is_err());
    }

    #[test]
    fn a_prebuilt_place_is_a_file_or_a_url() {
        let services = read(
            "[[service]]\nname = \"x\"\nkind = \"prebuilt\"\n[service.targets]\nlinux-x64 = \"a/b\"\njetson = \"https://example.com/x.zip\"\n",
        );
        let services = services.expect("valid");
        let ServiceSource::Prebuilt(prebuilt) = &services[0].source else { panic!("another kind") };
        let kinds: Vec<_> = prebuilt
            .targets
            .values()
            .map(|place| matches!(place.value, PrebuiltPlace::Url(_)))
            .collect();
        assert_eq!(kinds, [true, false]);
        let escape =
            "[[service]]\nname = \"x\"\nkind = \"prebuilt\"\ntargets = { linux-x64 = \"../b\" }\n";
        assert!(refused(escape).contains(".."));
    }
}
