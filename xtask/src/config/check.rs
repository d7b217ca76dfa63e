//! The last pass: what the values mean.
//!
//! Each table has one function; what it cannot take it notes and leaves out, so that every fault is found in one
//! run. A [`Config`] is only made when nothing was noted.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use camino::Utf8Path;
use gangway_artifact::{AppName, ProgramName, TargetName};
use miette::NamedSource;

use super::addons::addons;
use super::dependencies::dependencies;
use super::error::{Fault, FaultKind, Faults};
use super::package_json::PackageJson;
use super::plans::plans;
use super::runtime::{TargetRuntime, runtimes};
use super::services::services;
use super::state::states;
use super::suggest::{listed, near};
use super::values::{
    bundle_path, empty, globs, is_version, misnamed, package_name, unique, url_path_fault,
    url_path_suggestion, variables, version_help, version_range, words,
};
use super::verify::verify;
use super::{
    App, Build, Config, ConfigError, Entrypoint, Health, InstallScript, Located, Prune, Runtimes,
    ScriptAction, Service, Smoke, Start, names, raw,
};

/// What stands beside the manifest.
pub(super) struct Beside<'file> {
    pub(super) folder: &'file Utf8Path,
    pub(super) package: Option<&'file PackageJson>,
}

/// Makes a [`Config`] of `manifest`.
///
/// # Errors
/// With everything that is wrong with its values.
pub(super) fn config(
    path: &Utf8Path,
    text: &Arc<NamedSource<String>>,
    manifest: raw::Manifest,
    beside: &Beside<'_>,
) -> Result<Config, ConfigError> {
    let mut faults = Faults::new(text);
    let app = app(manifest.app, beside, &mut faults);
    let (targets, overrides) = targets(manifest.target, &mut faults);
    let runtimes = runtimes(&manifest.runtime, overrides, &mut faults);
    let health =
        manifest.health.map(|health| self::health(health, &manifest.entrypoint.value, &mut faults));
    let programs: Vec<_> =
        manifest.entrypoint.value.iter().map(|entrypoint| entrypoint.name.clone()).collect();
    let services = services(manifest.service, &programs, &mut faults);
    spare_installer(app.as_ref(), &programs, &services, &mut faults);
    let smoke = smoke(manifest.smoke, health.is_some(), &services, &mut faults);
    let entrypoints = entrypoints(manifest.entrypoint, runtimes.as_ref(), &mut faults);
    let is_built = manifest.build.is_some();
    let dependencies = dependencies(manifest.dependencies, is_built, beside, &mut faults);
    let install_scripts = install_scripts(manifest.install_script, &mut faults);
    let addons = addons(manifest.addon, &mut faults);
    let build = manifest.build.map(|build| self::build(build, &mut faults));
    let tools = tools(manifest.tools, &mut faults);
    let prune =
        Prune { keep: globs(manifest.prune.keep, &mut faults), rules: manifest.prune.rules };
    let verify = verify(manifest.verify, &mut faults);
    let state = states(manifest.state, &mut faults);
    let plans = plans(manifest.tensorrt_plan, &mut faults);
    match (app, runtimes) {
        (Some(app), Some(runtimes)) if faults.is_empty() => Ok(Config {
            path: path.to_owned(),
            folder: beside.folder.to_owned(),
            source: Arc::clone(text),
            app,
            entrypoints,
            runtimes,
            dependencies,
            install_scripts,
            addons,
            build,
            tools,
            prune,
            compression: manifest.archive.compression,
            health,
            smoke,
            targets,
            services,
            verify,
            state,
            plans,
        }),
        _ => Err(faults.into_error()),
    }
}

/// The app's installer lies beside its programs.
fn spare_installer(
    app: Option<&App>,
    programs: &[Located<String>],
    services: &[Service],
    faults: &mut Faults,
) {
    let Some(app) = app.and_then(|app| app.name.parse::<AppName>().ok()) else { return };
    let installer = app.installer();
    let services = services.iter().filter(|service| service.is_process()).map(|it| &it.name);
    for name in programs.iter().chain(services) {
        if name.value.eq_ignore_ascii_case(&installer) {
            let reason = "the app's installer has that name";
            misnamed(("a program", "my-gateway"), name, reason, None, faults);
        }
    }
}

/// The targets that are spoken of, and what is said of each runtime.
fn targets(
    tables: BTreeMap<Located<String>, raw::Target>,
    faults: &mut Faults,
) -> (Vec<Located<TargetName>>, Vec<TargetRuntime>) {
    let mut names = Vec::new();
    let mut runtimes = Vec::new();
    for (name, table) in tables {
        match name.value.parse::<TargetName>() {
            Ok(value) => {
                runtimes.extend(table.runtime.map(|runtime| (value.clone(), runtime)));
                names.push(Located { value, span: name.span });
            }
            Err(error) => {
                let kind = FaultKind::TargetName { name: name.value, reason: error.to_string() };
                let help = "`cargo xtask targets` lists the targets there are";
                faults.add(&name.span, kind, "no target's name").help(help);
            }
        }
    }
    (names, runtimes)
}

fn app(table: Located<raw::App>, beside: &Beside<'_>, faults: &mut Faults) -> Option<App> {
    let raw::App { name, version, include, exclude } = table.value;
    if let Some(reason) = AppName::fault(&name.value) {
        let suggestion = names::app_suggestion(&name.value);
        misnamed(("an app", "my-gateway"), &name, reason, suggestion.as_deref(), faults);
    }
    let version = match version {
        Some(version) => given_version(version, faults),
        None => package_version(&table.span, beside, faults),
    };
    let (include, exclude) = (globs(include, faults), globs(exclude, faults));
    Some(App { name: name.value, version: version?, include, exclude })
}

fn given_version(version: Located<String>, faults: &mut Faults) -> Option<String> {
    if is_version(&version.value) {
        return Some(version.value);
    }
    let kind = FaultKind::Version { text: version.value.clone() };
    faults.add(&version.span, kind, "not a version").help(version_help(&version.value));
    None
}

/// The version in package.json, for an `[app]` at `span` that has none.
fn package_version(
    span: &Range<usize>,
    beside: &Beside<'_>,
    faults: &mut Faults,
) -> Option<String> {
    let written = beside.package.and_then(|package| Some((package, package.version()?)));
    let Some((package, version)) = written else {
        let reason = match beside.package {
            Some(_) => "package.json beside it has none either",
            None => "there is no package.json beside it",
        };
        let help = "write `version = \"1.0.0\"` in `[app]`, for instance, or give package.json a `version`";
        faults.add(span, FaultKind::NoVersion, reason).help(help);
        return None;
    };
    if is_version(version) {
        return Some(version.to_owned());
    }
    let kind = FaultKind::Version { text: version.to_owned() };
    let mut fault = Fault::new(&package.text, package.place("version"), kind, "not a version");
    fault.help(format!("{}; or give `[app]` a `version` of its own", version_help(version)));
    faults.add_fault(fault);
    None
}

fn entrypoints(
    list: Located<Vec<raw::Entrypoint>>,
    runtimes: Option<&Runtimes>,
    faults: &mut Faults,
) -> Vec<Entrypoint> {
    if list.value.is_empty() {
        let help = "name at least one program:\n[[entrypoint]]\nname = \"my-gateway\"\n\
                    script = \"dist/main.js\"";
        empty("entrypoint", &list.span, help, faults);
    }
    // Folded, because macOS and Windows take `Gateway` and `gateway` for one file.
    let names = list.value.iter().map(|entrypoint| &entrypoint.name);
    unique("entrypoint", names, |name| name.to_lowercase(), faults);
    let interpreted = runtimes.is_none_or(|runtimes| runtimes.all().all(|one| one.is_some()));
    list.value
        .into_iter()
        .filter_map(|entrypoint| self::entrypoint(entrypoint, interpreted, faults))
        .collect()
}

fn entrypoint(
    table: raw::Entrypoint,
    interpreted: bool,
    faults: &mut Faults,
) -> Option<Entrypoint> {
    let raw::Entrypoint { name, script, program, service, args, runtime_args } = table;
    if let Some(reason) = ProgramName::fault(&name.value) {
        let suggestion = names::program_suggestion(&name.value);
        misnamed(("a program", "my-gateway"), &name, reason, suggestion.as_deref(), faults);
    }
    let args = words("args", args, faults);
    if script.is_none()
        && let Some(first) = runtime_args.first()
    {
        let kind = FaultKind::Ineffective { key: "runtime-args", beside: "a native program" };
        faults.add(&first.span, kind, "no runtime").help("write them in `args`");
    }
    let runtime_args = words("runtime-args", runtime_args, faults);
    let start = match (script, program, service) {
        (Some(script), None, None) => {
            if !interpreted {
                let kind = FaultKind::NoInterpreter { name: name.value.clone() };
                let help = "name a native program (`program = \"...\"` or `service = \"...\"`), or give \
                            every target an `engine`";
                faults.add(&script.span, kind, "a script").help(help);
            }
            Start::Script(bundle_path(script, faults)?)
        }
        (None, Some(program), None) => Start::Program(bundle_path(program, faults)?),
        (None, None, Some(service)) => Start::Service(service),
        (None, None, None) => return start_fault(&name, "starts nothing", faults),
        _ => return start_fault(&name, "starts more than one thing", faults),
    };
    Some(Entrypoint { name: name.value, start, args, runtime_args })
}

fn start_fault<T>(name: &Located<String>, reason: &'static str, faults: &mut Faults) -> Option<T> {
    let kind = FaultKind::Start { name: name.value.clone(), reason };
    let help = "write one of `script = \"dist/main.js\"`, `program = \"dist/gateway\"` and \
                `service = \"indexer\"`";
    faults.add(&name.span, kind, "this one").help(help);
    None
}

fn install_scripts(list: Vec<raw::InstallScript>, faults: &mut Faults) -> Vec<InstallScript> {
    let packages = list.iter().map(|script| &script.package);
    unique("install script of", packages, Clone::clone, faults);
    list.into_iter().map(|script| install_script(script, faults)).collect()
}

fn install_script(table: raw::InstallScript, faults: &mut Faults) -> InstallScript {
    let raw::InstallScript { package, action, writes, env } = table;
    package_name(&package, faults);
    if action == ScriptAction::Ignore {
        let places = [
            ("writes", writes.as_ref().map(|writes| &writes.span)),
            ("env", env.as_ref().map(|env| &env.span)),
        ];
        for (key, span) in places {
            let Some(span) = span else { continue };
            let help = format!("take `{key}` out, or write `action = \"run\"`");
            faults
                .add(
                    span,
                    FaultKind::Ineffective { key, beside: "`action = \"ignore\"`" },
                    "nothing runs",
                )
                .help(help);
        }
    }
    let writes = writes.map(|writes| writes.value).unwrap_or_default();
    let writes =
        writes.into_iter().filter_map(|path| Some(bundle_path(path, faults)?.value)).collect();
    let env = variables(env.map(|env| env.value).unwrap_or_default(), faults);
    InstallScript { package, action, writes, env }
}

fn build(table: raw::Build, faults: &mut Faults) -> Build {
    let raw::Build { command, outputs, env } = table;
    command_line("build.command", &command, faults);
    if outputs.value.is_empty() {
        let help = "name what the command makes, such as `outputs = [\"dist\"]`; \
                    nothing else of it is bundled";
        empty("build.outputs", &outputs.span, help, faults);
    }
    let command = words("command", command.value, faults);
    let outputs: Vec<_> =
        outputs.value.into_iter().filter_map(|output| bundle_path(output, faults)).collect();
    for output in &outputs {
        if output.value.components().next() == Some("node_modules") {
            let kind = FaultKind::Output { path: output.value.as_str().to_owned() };
            let help = "`node_modules` is laid out from the lockfile; let the command write \
                        elsewhere, such as to `dist`";
            faults.add(&output.span, kind, "comes from the lockfile").help(help);
        }
    }
    unique("build output", &outputs, |path| path.as_str().to_owned(), faults);
    Build { command, outputs, env: variables(env, faults) }
}

fn tools(
    table: raw::Variables,
    faults: &mut Faults,
) -> BTreeMap<String, Located<nodejs_semver::Range>> {
    let mut tools = BTreeMap::new();
    for (name, range) in table {
        package_name(&name, faults);
        if let Some(range) = version_range(range, faults) {
            tools.insert(name.value, range);
        }
    }
    tools
}

fn health(table: raw::Health, entrypoints: &[raw::Entrypoint], faults: &mut Faults) -> Health {
    let raw::Health { entrypoint, port, path, timeout_seconds } = table;
    let known = || entrypoints.iter().map(|entrypoint| entrypoint.name.value.as_str());
    if !known().any(|name| name == entrypoint.value) {
        let all = format!("known entrypoints: {}", listed(known()));
        let help = match near(&entrypoint.value, known()) {
            Some(near) => format!("did you mean {}?\n{all}", listed([near])),
            None => all,
        };
        let kind = FaultKind::UnknownEntrypoint { name: entrypoint.value.clone() };
        faults.add(&entrypoint.span, kind, "no such entrypoint").help(help);
    }
    if let Some(reason) = url_path_fault(&path.value) {
        let kind = FaultKind::UrlPath { path: path.value.clone(), reason };
        let help = format!("write `path = \"{}\"`", url_path_suggestion(&path.value));
        faults.add(&path.span, kind, reason).help(help);
    }
    Health { entrypoint, port, path: path.value, timeout_seconds }
}

fn smoke(
    table: Option<raw::Smoke>,
    has_health: bool,
    services: &[Service],
    faults: &mut Faults,
) -> Smoke {
    let Some(table) = table else { return Smoke::default() };
    if let Some(first) = table.gateway_args.first().filter(|_| !has_health) {
        let kind = FaultKind::Ineffective {
            key: "smoke.gateway-args",
            beside: "no [health], which names the gateway's entrypoint",
        };
        faults.add(&first.span, kind, "given to nothing").help("add a [health] table");
    }
    let known = || services.iter().filter(|this| this.is_process()).map(|this| &*this.name.value);
    let mut service_args = BTreeMap::new();
    for (name, args) in table.service_args {
        if !known().any(|known| known == name.value) {
            let help = match near(&name.value, known()) {
                Some(near) => format!("did you mean {}?", listed([near])),
                None => "write the `name` of a [[service]]".to_owned(),
            };
            let kind = FaultKind::UnknownService { name: name.value.clone() };
            faults.add(&name.span, kind, "no such service").help(help);
        }
        service_args.insert(name.value, words("smoke.service-args", args, faults));
    }
    Smoke {
        version_args: match table.version_args {
            Some(args) => words("smoke.version-args", args, faults),
            None => Smoke::default().version_args,
        },
        gateway_args: words("smoke.gateway-args", table.gateway_args, faults),
        service_args,
        env: variables(table.env, faults),
        timeout_seconds: table.timeout_seconds,
    }
}

/// Notes a command that is none, or that waits for a shell to take it apart.
pub(super) fn command_line(
    key: &'static str,
    command: &Located<Vec<Located<String>>>,
    faults: &mut Faults,
) {
    match command.value.as_slice() {
        [] => empty(
            key,
            &command.span,
            "name the program first: `command = [\"esbuild\", ...]`",
            faults,
        ),
        [program, ..] if program.value.trim().is_empty() => {
            empty(key, &program.span, "the first word is the program's name", faults);
        }
        [line] if line.value.contains(' ') => {
            let words: Vec<_> = line.value.split_whitespace().collect();
            let kind = FaultKind::CommandLine { command: line.value.escape_debug().to_string() };
            let help = format!("write `command = {}`", toml::Value::from(words));
            faults.add(&line.span, kind, "program and arguments in one string").help(help);
        }
        _ => {}
    }
}
