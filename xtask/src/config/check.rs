//! The last pass: what the values mean.
//!
//! Each table has one function; what it cannot take it notes and leaves out, so that every fault is found in one
//! run. A [`Config`] is only made when nothing was noted.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use camino::Utf8Path;
use miette::NamedSource;

use super::dependencies::dependencies;
use super::error::{Fault, FaultKind, Faults};
use super::package_json::PackageJson;
use super::suggest::{listed, near};
use super::values::{
    bundle_path, empty, globs, is_version, misnamed, package_name, unique, url_path_fault,
    url_path_suggestion, variables, version_help, version_range, words,
};
use super::{
    App, Build, Config, ConfigError, Entrypoint, Health, InstallScript, Located, Prune, Runtime,
    RuntimeSource, ScriptAction, names, raw,
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
    let runtime = runtime(manifest.runtime, &mut faults);
    let health =
        manifest.health.map(|health| self::health(health, &manifest.entrypoint.value, &mut faults));
    let entrypoints = entrypoints(manifest.entrypoint, &mut faults);
    let is_built = manifest.build.is_some();
    let dependencies = dependencies(manifest.dependencies, is_built, beside, &mut faults);
    let install_scripts = install_scripts(manifest.install_script, &mut faults);
    let build = manifest.build.map(|build| self::build(build, &mut faults));
    let tools = tools(manifest.tools, &mut faults);
    let prune =
        Prune { keep: globs(manifest.prune.keep, &mut faults), rules: manifest.prune.rules };
    match (app, runtime) {
        (Some(app), Some(runtime)) if faults.is_empty() => Ok(Config {
            path: path.to_owned(),
            folder: beside.folder.to_owned(),
            source: Arc::clone(text),
            app,
            entrypoints,
            runtime,
            dependencies,
            install_scripts,
            build,
            tools,
            prune,
            health,
        }),
        _ => Err(faults.into_error()),
    }
}

fn app(table: Located<raw::App>, beside: &Beside<'_>, faults: &mut Faults) -> Option<App> {
    let raw::App { name, version, include, exclude } = table.value;
    if let Some(reason) = names::app_fault(&name.value) {
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

fn runtime(table: raw::Runtime, faults: &mut Faults) -> Option<Runtime> {
    let raw::Runtime { engine, version, sources, strip } = table;
    let sources = match sources {
        Some(sources) => runtime_sources(&sources, faults),
        None => vec![RuntimeSource::Official, RuntimeSource::Npm],
    };
    Some(Runtime { engine, version: version_range(version, faults)?, sources, strip })
}

fn runtime_sources(
    sources: &Located<Vec<Located<RuntimeSource>>>,
    faults: &mut Faults,
) -> Vec<RuntimeSource> {
    if sources.value.is_empty() {
        let help = "leave the line out for the default: `sources = [\"official\", \"npm\"]`";
        empty("runtime.sources", &sources.span, help, faults);
    }
    unique("runtime source", &sources.value, |source| source.as_str(), faults);
    sources.value.iter().map(|source| source.value).collect()
}

fn entrypoints(list: Located<Vec<raw::Entrypoint>>, faults: &mut Faults) -> Vec<Entrypoint> {
    if list.value.is_empty() {
        let help = "name at least one program:\n[[entrypoint]]\nname = \"my-gateway\"\n\
                    script = \"dist/main.js\"";
        empty("entrypoint", &list.span, help, faults);
    }
    // Folded, because macOS and Windows take `Gateway` and `gateway` for one file.
    let names = list.value.iter().map(|entrypoint| &entrypoint.name);
    unique("entrypoint", names, |name| name.to_lowercase(), faults);
    list.value.into_iter().filter_map(|entrypoint| self::entrypoint(entrypoint, faults)).collect()
}

fn entrypoint(table: raw::Entrypoint, faults: &mut Faults) -> Option<Entrypoint> {
    let raw::Entrypoint { name, script, args, runtime_args } = table;
    if let Some(reason) = names::program_fault(&name.value) {
        let suggestion = names::program_suggestion(&name.value);
        misnamed(("a program", "my-gateway"), &name, reason, suggestion.as_deref(), faults);
    }
    let args = words("args", args, faults);
    let runtime_args = words("runtime-args", runtime_args, faults);
    let script = bundle_path(script, faults)?;
    Some(Entrypoint { name: name.value, script, args, runtime_args })
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
            faults.add(span, FaultKind::Ineffective { key }, "nothing runs").help(help);
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
    match command.value.as_slice() {
        [] => empty(
            "build.command",
            &command.span,
            "name the program first: `command = [\"esbuild\", ...]`",
            faults,
        ),
        [program, ..] if program.value.trim().is_empty() => {
            empty("build.command", &program.span, "the first word is the program's name", faults);
        }
        [line] if line.value.contains(' ') => {
            let words: Vec<_> = line.value.split_whitespace().collect();
            let kind = FaultKind::CommandLine { command: line.value.escape_debug().to_string() };
            let help = format!("write `command = {}`", toml::Value::from(words));
            faults.add(&line.span, kind, "program and arguments in one string").help(help);
        }
        _ => {}
    }
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
