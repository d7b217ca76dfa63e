//! npm's configuration: which files there are, what they say, and what the environment overrides.
//!
//! Registries, scopes and credentials are read by `deno_npmrc`. What it does not know (proxies, certificate
//! authorities, retries) is read here from the same texts. As in npm the environment (`npm_config_*`) comes before the
//! project's file, that before the user's, that before the global one.
//!
//! Deliberately absent: client certificates (`certfile`, `keyfile`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use deno_npmrc::{NpmRc, NpmRegistryUrl, RegistryConfig, ResolvedNpmRc};
use sys_traits::BaseEnvVar;
use url::Url;

use super::RegistryError;
use crate::context::Context;
use crate::http::Settings;

const FILE: &str = ".npmrc";
const PREFIX: &str = "npm_config_";

/// What npm would make of its configuration in a folder.
pub(super) struct Configuration {
    pub(super) registries: ResolvedNpmRc,
    pub(super) settings: Settings,
    /// The value of each setting, by its [`plain_name`].
    pub(super) named: BTreeMap<String, String>,
}

/// A setting's name without what npm's files and its variables write differently.
pub(super) fn plain_name(name: &str) -> String {
    name.replace('_', "-").to_lowercase()
}

/// Reads the files and the environment for a project in `folder`.
pub(super) fn load(context: &Context, folder: &Utf8Path) -> Result<Configuration, RegistryError> {
    let environment = Environment(&context.environment);
    let mut texts = Vec::new();
    for path in files(context, folder) {
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                // Each by itself, so that an error names the file.
                NpmRc::parse(&environment, &text)
                    .map_err(|source| RegistryError::Npmrc { path, source: source.into() })?;
                texts.push(text);
            }
            Err(error) if is_absent(&error) => {}
            Err(source) => return Err(RegistryError::Npmrc { path, source: source.into() }),
        }
    }
    let text = texts.join("\n");
    let mut npmrc = NpmRc::parse(&environment, &text).unwrap_or_default();
    let mut plain = plain_values(&text, &environment);
    // Addresses of registries have credentials behind them, which are nobody's setting.
    let is_setting = |name: &String| !name.starts_with("//");
    let last =
        |(name, values): (&String, &Vec<String>)| Some((plain_name(name), values.last()?.clone()));
    let mut named: BTreeMap<_, _> =
        plain.iter().filter(|(name, _)| is_setting(name)).filter_map(last).collect();
    for (key, value) in environment.overrides() {
        apply(&mut npmrc, &key, value);
        if is_setting(&key) {
            named.insert(plain_name(&key), value.to_owned());
        }
        plain.insert(key, vec![value.to_owned()]);
    }
    let default = Url::parse(deno_npmrc::NPM_DEFAULT_REGISTRY).expect("npm's own registry");
    let registries = npmrc
        .as_resolved(&NpmRegistryUrl { url: default, from_env: false })
        .map_err(|source| RegistryError::Address(source.into()))?;
    Ok(Configuration { registries, settings: settings(context, &plain), named })
}

/// The configuration files, weakest first.
fn files(context: &Context, folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let environment = Environment(&context.environment);
    let user = environment
        .npm("userconfig")
        .map(Utf8PathBuf::from)
        .or_else(|| context.home().map(|home| home.join(FILE)));
    let project = folder.join(FILE);
    let mut files: Vec<_> = global_file(context).into_iter().chain(user).collect();
    if !files.contains(&project) {
        files.push(project);
    }
    files
}

/// npm looks beside its own installation; without npm, the usual places are tried.
fn global_file(context: &Context) -> Option<Utf8PathBuf> {
    let environment = Environment(&context.environment);
    if let Some(path) = environment.npm("globalconfig") {
        return Some(path.into());
    }
    let below = |prefix: &Utf8Path| prefix.join("etc/npmrc");
    if let Some(prefix) = environment.npm("prefix").or_else(|| context.variable("PREFIX")) {
        return Some(below(Utf8Path::new(prefix)));
    }
    let node = context
        .variable("PATH")
        .into_iter()
        .flat_map(std::env::split_paths)
        .find_map(|folder| folder.join("node").canonicalize().ok())
        .and_then(|node| Utf8PathBuf::from_path_buf(node).ok());
    let prefix = node.as_deref().and_then(Utf8Path::parent).and_then(Utf8Path::parent);
    prefix
        .into_iter()
        .chain(["/usr/local", "/usr", "/"].map(Utf8Path::new))
        .map(below)
        .find(|path| path.is_file())
}

/// Missing, or below something that is no folder (`/dev/null` as a user's home, say).
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The context's environment, for `deno_npmrc`.
struct Environment<'context>(&'context BTreeMap<String, String>);

impl BaseEnvVar for Environment<'_> {
    fn base_env_var_os(&self, key: &OsStr) -> Option<OsString> {
        self.0.get(key.to_str()?).map(OsString::from)
    }
}

impl<'context> Environment<'context> {
    /// The value of one of npm's settings.
    fn npm(&self, key: &str) -> Option<&'context str> {
        self.overrides().find_map(|(name, value)| (name == key).then_some(value))
    }

    /// Every `npm_config_*` variable that is not empty, with the setting's name as in a file.
    fn overrides(&self) -> impl Iterator<Item = (String, &'context str)> + use<'context> {
        self.0.iter().filter(|(_, value)| !value.is_empty()).filter_map(|(name, value)| {
            let start = name.get(..PREFIX.len())?;
            let key = &name[PREFIX.len()..];
            let first = key.chars().next()?;
            start.eq_ignore_ascii_case(PREFIX).then(|| {
                // As npm does it: keys of one registry stay as they are, others lose case and underscores.
                let key = if key.starts_with("//") {
                    key.to_owned()
                } else {
                    let rest = key[first.len_utf8()..].replace('_', "-");
                    format!("{first}{rest}").to_lowercase()
                };
                (key, value.as_str())
            })
        })
    }
}

/// Puts one setting over what the files say.
fn apply(npmrc: &mut NpmRc, key: &str, value: &str) {
    if key == "registry" {
        npmrc.registry = Some(value.to_owned());
        return;
    }
    let Some((left, right)) = key.rsplit_once(':') else { return };
    if let (Some(scope), "registry") = (left.strip_prefix('@'), right) {
        npmrc.scope_registries.insert(scope.to_owned(), value.to_owned());
        return;
    }
    let Some(host) = left.strip_prefix("//") else { return };
    let known = npmrc.registry_configs.get(host).map(|config| RegistryConfig::clone(config));
    let mut config = known.unwrap_or_default();
    let field = match right {
        "_authToken" => &mut config.auth_token,
        "_auth" => &mut config.auth,
        "username" => &mut config.username,
        "_password" => &mut config.password,
        _ => return,
    };
    *field = Some(value.to_owned());
    npmrc.registry_configs.insert(host.to_owned(), Arc::new(config));
}

/// The settings that `deno_npmrc` does not know: `key = value` and `key[] = value`; of the former the last counts.
fn plain_values(text: &str, environment: &Environment<'_>) -> BTreeMap<String, Vec<String>> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with([';', '#', '[']) {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key.trim(), unquoted(value.trim())),
            None => (line, "true".to_owned()),
        };
        let value = expanded(&value, environment);
        match key.strip_suffix("[]") {
            Some(key) => values.entry(key.to_owned()).or_default().push(value),
            None => {
                values.insert(key.to_owned(), vec![value]);
            }
        }
    }
    values
}

/// A value without its quotes or without the comment behind it.
fn unquoted(value: &str) -> String {
    if value.starts_with('"')
        && let Ok(text) = serde_json::from_str(value)
    {
        return text;
    }
    if let Some(text) = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')) {
        return text.to_owned();
    }
    value.split([';', '#']).next().unwrap_or_default().trim().to_owned()
}

/// `${NAME}` replaced; as it is if there is no such variable.
fn expanded(value: &str, environment: &Environment<'_>) -> String {
    let mut result = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else { break };
        result.push_str(before);
        match environment.0.get(name) {
            Some(value) => result.push_str(value),
            None => result.push_str(&format!("${{{name}}}")),
        }
        rest = tail;
    }
    result + rest
}

/// How to connect. npm's own settings come before the variables that every program knows.
fn settings(context: &Context, npm: &BTreeMap<String, Vec<String>>) -> Settings {
    let one = |key: &str| {
        let value = npm.get(key)?.last()?.as_str();
        Some(value).filter(|value| !matches!(*value, "" | "null" | "false" | "undefined"))
    };
    let variable = |name: &str| {
        context.variable(name).or_else(|| context.variable(&name.to_uppercase())).map(str::to_owned)
    };
    let milliseconds = |key: &str| Some(Duration::from_millis(one(key)?.parse().ok()?));
    let owned = |value: Option<&str>| value.map(str::to_owned);
    let own_proxy = owned(one("https-proxy").or_else(|| one("proxy")));
    let any_proxy = || variable("all_proxy");
    let verify =
        npm.get("strict-ssl").and_then(|values| values.last()).is_none_or(|value| value != "false");
    if !verify {
        context.reporter.warn(
            "npm's setting strict-ssl=false is honoured: servers are not authenticated and may read your registry credentials. Archives are still checked against the lockfile. Better name your certificate authority with cafile=...",
        );
    }
    let mut authorities: Vec<_> = npm
        .get("ca")
        .into_iter()
        .flatten()
        .map(|pem| pem.replace("\\n", "\n").into_bytes())
        .collect();
    authorities.retain(|pem| pem.starts_with(b"-----BEGIN"));
    let files =
        [one("cafile"), context.variable("NODE_EXTRA_CA_CERTS"), context.variable("SSL_CERT_FILE")];
    for file in files.into_iter().flatten() {
        match std::fs::read(context.current_dir.join(file)) {
            Ok(pem) if !authorities.contains(&pem) => authorities.push(pem),
            Ok(_) => {}
            Err(error) => context
                .reporter
                .warn(format_args!("cannot read the certificate authorities in {file}: {error}")),
        }
    }
    let usual = Settings::default();
    Settings {
        http_proxy: own_proxy.clone().or_else(|| variable("http_proxy")).or_else(any_proxy),
        https_proxy: own_proxy.or_else(|| variable("https_proxy")).or_else(any_proxy),
        no_proxy: owned(one("noproxy").or_else(|| one("no-proxy")))
            .or_else(|| variable("no_proxy")),
        authorities,
        verify_certificates: verify,
        retries: one("fetch-retries").and_then(|count| count.parse().ok()).unwrap_or(usual.retries),
        first_pause: milliseconds("fetch-retry-mintimeout").unwrap_or(usual.first_pause),
        longest_pause: milliseconds("fetch-retry-maxtimeout").unwrap_or(usual.longest_pause),
        connecting: usual.connecting,
        silence: milliseconds("fetch-timeout").unwrap_or(usual.silence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    #[test]
    fn project_before_user_before_global_and_the_environment_before_all() {
        let sandbox = Sandbox::new();
        sandbox.write("global-npmrc", "registry=http://global/\nnoproxy=global\nproxy=http://p/\n");
        sandbox
            .write("home/.npmrc", "registry=http://user/\nnoproxy=user\n@b:registry=http://b/\n");
        let folder = sandbox.root.join("project");
        let registry = |environment: &[(&str, &str)]| {
            let context = sandbox.context(environment);
            let found = load(&context, &folder).expect("sane files");
            let registry = found.registries.get_registry_url("x").to_string();
            let scope = found.registries.get_registry_url("@b/x").to_string();
            (registry, scope, found.settings.no_proxy, found.settings.https_proxy)
        };
        let told = |registry: &str, no_proxy: &str| {
            let text = str::to_owned;
            (text(registry), text("http://b/"), Some(text(no_proxy)), Some(text("http://p/")))
        };
        assert_eq!(registry(&[]), told("http://user/", "user"));
        sandbox.write("project/.npmrc", "registry = \"http://project\"\n");
        assert_eq!(registry(&[]), told("http://project/", "user"));
        let environment = [("npm_config_registry", "http://env/"), ("NPM_CONFIG_NOPROXY", "env")];
        assert_eq!(registry(&environment), told("http://env/", "env"));
    }

    #[test]
    fn credentials_by_file_and_environment() {
        let sandbox = Sandbox::new();
        let folder = &sandbox.root;
        sandbox.write(".npmrc", "//a/npm/:_authToken=${TOKEN}\n//b/:username=me\n");
        let context = sandbox
            .context(&[("TOKEN", "from the environment"), ("npm_config_//b/:_password", "cHc=")]);
        let found = load(&context, folder).expect("sane files").registries;
        let config = |url: &str| found.tarball_config(&url.parse().expect(url)).cloned();
        let a = config("http://a/npm/x/-/x-1.0.0.tgz").expect("configured");
        assert_eq!(a.auth_token.as_deref(), Some("from the environment"));
        let b = config("http://b/x/-/x-1.0.0.tgz").expect("configured");
        assert_eq!((b.username.as_deref(), b.password.as_deref()), (Some("me"), Some("cHc=")));
        assert_eq!(config("http://a/other/x.tgz"), None);
        assert_eq!(config("http://a:8080/npm/x.tgz"), None);
        assert_eq!(config("http://ab/npm/x.tgz"), None);
    }

    #[test]
    fn connections() {
        let sandbox = Sandbox::new();
        let pem = sandbox.write("ca.pem", "-----BEGIN CERTIFICATE-----\n");
        sandbox.write(
            ".npmrc",
            "; comment\n[section]\nhttps-proxy = 'http://${USER}@proxy'\nstrict-ssl = false ; comment\n\
             ca[]=\"-----BEGIN one\\nx\"\nca[]=null\nfetch-retries=7\nfetch-retry-mintimeout=20\n",
        );
        let context = sandbox.context(&[
            ("USER", "me"),
            ("HTTP_PROXY", "http://unused"),
            ("NO_PROXY", "localhost"),
            ("NODE_EXTRA_CA_CERTS", pem.as_str()),
            ("SSL_CERT_FILE", "not/there.pem"),
        ]);
        let settings = load(&context, &sandbox.root).expect("sane files").settings;
        assert_eq!(settings.https_proxy.as_deref(), Some("http://me@proxy"));
        assert_eq!(settings.http_proxy.as_deref(), Some("http://me@proxy"));
        assert_eq!(settings.no_proxy.as_deref(), Some("localhost"));
        assert!(!settings.verify_certificates);
        assert_eq!((settings.retries, settings.first_pause.as_millis()), (7, 20));
        let authorities: Vec<_> =
            settings.authorities.iter().map(|pem| String::from_utf8_lossy(pem)).collect();
        assert_eq!(authorities, ["-----BEGIN one\nx", "-----BEGIN CERTIFICATE-----\n"]);
    }

    #[test]
    fn proxies_of_the_environment() {
        let sandbox = Sandbox::new();
        let settings = |environment: &[(&str, &str)]| {
            let found = load(&sandbox.context(environment), &sandbox.root).expect("no files");
            (found.settings.http_proxy, found.settings.https_proxy)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(settings(&[]), (None, None));
        assert_eq!(settings(&[("https_proxy", "http://s")]), (None, some("http://s")));
        assert_eq!(
            settings(&[("ALL_PROXY", "socks5://a"), ("HTTP_PROXY", "http://h")]),
            (some("http://h"), some("socks5://a"))
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let sandbox = Sandbox::new();
        std::fs::create_dir(sandbox.root.join(".npmrc")).expect("writable");
        let error = load(&sandbox.context(&[]), &sandbox.root).err().expect("a folder is no file");
        assert!(error.to_string().contains("/.npmrc`"), "{error}");
    }
}
