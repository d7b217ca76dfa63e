//! npm registries: which one serves a package, how to log in to it, what versions there are.

mod error;
mod npmrc;
mod python;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use deno_npmrc::{RegistryConfig, ResolvedNpmRc};
use nodejs_semver::Version;
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::context::Context;
use crate::http::{Client, Downloaded, Get, Settings, redacted};
use crate::integrity::Integrity;

pub use error::RegistryError;
pub use python::Wheel;

/// The short form of a package's description: versions and their digests, without readmes.
const ABBREVIATED: &str =
    "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*; q=0.1";

/// npm's configuration as the gateway's folder sees it, and an HTTP client that follows it.
pub struct Registry {
    registries: ResolvedNpmRc,
    settings: Settings,
    /// Everything else that the files and the environment say.
    named: BTreeMap<String, String>,
    /// Made when it is first needed: reading the certificate authorities takes longer than finding that nothing is missing.
    client: OnceLock<Client>,
    offline: bool,
    /// What uv and pip are asked with, and where.
    environment: BTreeMap<String, String>,
    folder: Utf8PathBuf,
    python_index: OnceLock<Url>,
}

impl std::fmt::Debug for Registry {
    /// Without the credentials.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Registry").field("offline", &self.offline).finish_non_exhaustive()
    }
}

/// One published version of a package.
#[derive(Debug, Clone)]
pub struct Published {
    /// The version.
    pub version: Version,
    /// The tarball's digest.
    pub integrity: Integrity,
    /// The tarball's address.
    pub tarball: Url,
}

/// A version of a package whose tarball is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'request> {
    /// The package's name.
    pub name: &'request str,
    /// The exact version.
    pub version: &'request str,
    /// The tarball's address as a lockfile has it.
    pub resolved: Option<&'request Url>,
}

/// What a registry says about a package, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Description {
    #[serde(default)]
    versions: BTreeMap<String, DescribedVersion>,
}

#[derive(Debug, Deserialize)]
struct DescribedVersion {
    dist: Option<Distribution>,
}

#[derive(Debug, Deserialize)]
struct Distribution {
    integrity: Option<String>,
    tarball: Option<Url>,
}

impl Registry {
    /// Reads the `.npmrc` files that npm would read for a project in `folder`, and the environment.
    ///
    /// # Errors
    /// When one of them cannot be read or understood.
    pub fn load(context: &Context, folder: &Utf8Path) -> Result<Self, RegistryError> {
        let configuration = npmrc::load(context, folder)?;
        Ok(Self {
            registries: configuration.registries,
            settings: configuration.settings,
            named: configuration.named,
            client: OnceLock::new(),
            offline: context.offline,
            environment: context.environment.clone(),
            folder: folder.to_owned(),
            python_index: OnceLock::new(),
        })
    }

    /// A setting of npm's that is not empty, from its files or an `npm_config_*` variable. `-`, `_` and case are the same, as
    /// they are to the programs that npm hands its settings to.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        let value = self.named.get(&npmrc::plain_name(name))?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    fn client(&self) -> Result<&Client, RegistryError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::new(&self.settings).map_err(RegistryError::Client)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The versions of a package that have a digest, oldest first.
    ///
    /// # Errors
    /// When the registry does not know the package or cannot be asked.
    pub async fn versions(&self, package: &str) -> Result<Vec<Published>, RegistryError> {
        let description = self.describe(package).await?;
        let mut versions: Vec<_> = description
            .versions
            .into_iter()
            .filter_map(|(version, described)| {
                let dist = described.dist?;
                Some(Published {
                    version: Version::parse(version).ok()?,
                    integrity: dist.integrity?.parse().ok()?,
                    tarball: dist.tarball?,
                })
            })
            .collect();
        versions.sort_by(|left, right| left.version.cmp(&right.version));
        Ok(versions)
    }

    /// A small text at any URL (an index, a checksum list), with the client's proxies and retries.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn text(&self, url: &Url) -> Result<String, RegistryError> {
        let what = format!("`{}`", redacted(url));
        self.online(|| what.clone())?;
        let bytes = self
            .client()?
            .bytes(&self.get(url.clone(), None))
            .await
            .map_err(|source| RegistryError::Fetch { what, registry: None, source })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Downloads the tarball of a package version into the file `to`. Asks where the lockfile says, or where
    /// registries usually have it; if it is not there, asks the registry where it is.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn tarball(
        &self,
        wanted: Wanted<'_>,
        to: &Utf8Path,
        integrity: &Integrity,
    ) -> Result<(Url, Downloaded), RegistryError> {
        let Wanted { name, version, resolved } = wanted;
        let what = || format!("the tarball of `{name} {version}`");
        self.online(what)?;
        let failed = |source| RegistryError::Fetch {
            what: what(),
            registry: Some(redacted(self.registries.get_registry_url(name))),
            source,
        };
        let url = match resolved {
            Some(url) => self.registries.replace_tarball_url(url.clone(), name),
            None => self.usual_place(name, version),
        };
        let get = self.get(url.clone(), Some(name));
        let first = match self.client()?.download(&get, to, || integrity.hasher()).await {
            Ok(downloaded) => return Ok((url, downloaded)),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => error,
            Err(error) => return Err(failed(error)),
        };
        let mut description = self.describe(name).await.map_err(|_| failed(first))?;
        let published = description.versions.remove(version).and_then(|found| found.dist?.tarball);
        let Some(tarball) = published else {
            return Err(RegistryError::NoVersion {
                package: name.to_owned(),
                version: version.to_owned(),
                url: redacted(&self.place_of_description(name)),
            });
        };
        let url = self.registries.replace_tarball_url(tarball, name);
        let get = self.get(url.clone(), Some(name));
        let downloaded =
            self.client()?.download(&get, to, || integrity.hasher()).await.map_err(failed)?;
        Ok((url, downloaded))
    }

    /// Downloads any URL into the file `to`.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn download(
        &self,
        what: &str,
        url: &Url,
        to: &Utf8Path,
        integrity: &Integrity,
    ) -> Result<Downloaded, RegistryError> {
        let what = || format!("`{what}`");
        self.online(what)?;
        self.client()?
            .download(&self.get(url.clone(), None), to, || integrity.hasher())
            .await
            .map_err(|source| RegistryError::Fetch { what: what(), registry: None, source })
    }

    fn online(&self, what: impl FnOnce() -> String) -> Result<(), RegistryError> {
        if self.offline { Err(RegistryError::Offline { what: what() }) } else { Ok(()) }
    }

    async fn describe(&self, package: &str) -> Result<Description, RegistryError> {
        self.json(package, self.place_of_description(package)).await
    }

    async fn json<T: DeserializeOwned>(&self, package: &str, url: Url) -> Result<T, RegistryError> {
        let what = || format!("the list of versions of `{package}`");
        self.online(what)?;
        let shown = redacted(&url);
        let mut get = self.get(url, Some(package));
        get.accept = Some(ABBREVIATED);
        let bytes = self.client()?.bytes(&get).await.map_err(|source| RegistryError::Fetch {
            what: what(),
            registry: Some(redacted(self.registries.get_registry_url(package))),
            source,
        })?;
        serde_json::from_slice(&bytes).map_err(|source| RegistryError::Answer {
            package: package.to_owned(),
            url: shown,
            source,
        })
    }

    /// `<registry>/@scope%2fname`
    fn place_of_description(&self, package: &str) -> Url {
        self.below(package, &package.replace('/', "%2f"))
    }

    /// `<registry>/@scope/name/-/name-1.0.0.tgz`
    fn usual_place(&self, package: &str, version: &str) -> Url {
        let base = package.rsplit('/').next().unwrap_or(package);
        self.below(package, &format!("{package}/-/{base}-{version}.tgz"))
    }

    fn below(&self, package: &str, path: &str) -> Url {
        let mut url = self.registries.get_registry_url(package).clone();
        let path = format!("{}/{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    /// A request with the credentials that are configured for this address, and for no other.
    fn get(&self, url: Url, package: Option<&str>) -> Get {
        let config = match package {
            Some(package) => self.registries.tarball_config_for_package(&url, package),
            None => self.registries.tarball_config(&url),
        };
        let authorization = config.and_then(|config| authorization(config));
        Get { url, accept: None, authorization }
    }
}

/// What npm would send to a registry with this configuration.
fn authorization(config: &RegistryConfig) -> Option<HeaderValue> {
    let text = if let Some(token) = &config.auth_token {
        format!("Bearer {token}")
    } else if let Some(auth) = &config.auth {
        format!("Basic {auth}")
    } else {
        // npm keeps the password in base64.
        let (username, password) = (config.username.as_ref()?, config.password.as_ref()?);
        let password = String::from_utf8(STANDARD.decode(password).ok()?).ok()?;
        format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Sandbox, Server, told};

    fn registry(sandbox: &Sandbox, npmrc: &str) -> (Context, Registry) {
        sandbox.write(".npmrc", format!("{npmrc}\nfetch-retries=1\nfetch-retry-mintimeout=1\n"));
        let context = sandbox.context(&[]);
        let registry = Registry::load(&context, &sandbox.root).expect("sane settings");
        (context, registry)
    }

    fn description(server: &str) -> String {
        let integrity = Integrity::sha512(b"x");
        let version = |number: &str, dist: &str| format!(r#""{number}": {{"dist": {dist}}}"#);
        let tarball = format!(r#""tarball": "http://{server}/files/pkg.tgz""#);
        let good = format!(r#"{{"integrity": "{integrity}", {tarball}}}"#);
        format!(
            r#"{{"versions": {{{}, {}, {}, {}, {}}}}}"#,
            version("10.0.0", &good),
            version("9.0.0", &good),
            version("10.0.0-rc.1", &good),
            version("1.0.0", &format!(r#"{{"shasum": "abc", {tarball}}}"#)),
            version("2.0.0", "null"),
        )
    }

    #[test]
    fn scopes_and_tokens() {
        let public = Server::start(|_, _| Answer::ok("{}"));
        let private = Server::start(|_, _| Answer::ok("{}"));
        let sandbox = Sandbox::new();
        let npmrc = format!(
            "registry={}\n@own:registry={}npm\n//{}/npm/:_authToken=secret\n",
            public.url,
            private.url,
            private.host()
        );
        let (context, registry) = registry(&sandbox, &npmrc);
        for package in ["ws", "@other/ws", "@own/ws"] {
            context.block_on(registry.versions(package)).expect("it answers");
        }
        assert_eq!(public.targets(), ["/ws", "/@other%2fws"]);
        assert_eq!(private.targets(), ["/npm/@own%2fws"]);
        assert_eq!(private.seen()[0].headers["authorization"], "Bearer secret");
        assert_eq!(private.seen()[0].headers["accept"], ABBREVIATED);
        assert!(public.seen().iter().all(|seen| !seen.headers.contains_key("authorization")));
        assert!(!format!("{registry:?}").contains("secret"));
    }

    #[test]
    fn versions_with_a_digest_oldest_first() {
        let server = Server::start(|seen, _| Answer::ok(description(&seen.headers["host"])));
        let sandbox = Sandbox::new();
        let (context, registry) = registry(&sandbox, &format!("registry={}", server.url));
        let versions = context.block_on(registry.versions("pkg")).expect("it answers");
        let versions: Vec<_> = versions.iter().map(|found| found.version.to_string()).collect();
        assert_eq!(versions, ["9.0.0", "10.0.0-rc.1", "10.0.0"]);
    }

    fn tarball(
        context: &Context,
        registry: &Registry,
        wanted: Wanted<'_>,
    ) -> Result<Url, RegistryError> {
        let to = context.current_dir.join("tarball");
        let integrity = Integrity::sha512(b"");
        context.block_on(registry.tarball(wanted, &to, &integrity)).map(|(url, _)| url)
    }

    #[test]
    fn where_a_tarball_is() {
        let server = Server::start(|seen, _| match seen.target.as_str() {
            "/npm/@own%2fpkg" => Answer::ok(description(&seen.headers["host"])),
            "/npm/@own/pkg/-/pkg-10.0.0.tgz" => Answer::status(404),
            _ => Answer::ok("bytes"),
        });
        let sandbox = Sandbox::new();
        let (context, registry) = registry(&sandbox, &format!("registry={}npm/", server.url));
        let wanted = |name, version, resolved| Wanted { name, version, resolved };

        tarball(&context, &registry, wanted("pkg", "1.0.0", None)).expect("the usual place");
        assert_eq!(server.targets(), ["/npm/pkg/-/pkg-1.0.0.tgz"]);

        // npm's own registry in a lockfile means the configured one.
        let npm: Url = deno_npmrc::NPM_DEFAULT_REGISTRY.parse().expect("a URL");
        let resolved = npm.join("ws/-/ws-2.0.0.tgz").expect("a path");
        let got = tarball(&context, &registry, wanted("ws", "2.0.0", Some(&resolved)));
        assert_eq!(got.expect("it answers"), server.at("npm/ws/-/ws-2.0.0.tgz"));

        // Others are taken as they are.
        let resolved = server.at("mirror/x.tgz");
        tarball(&context, &registry, wanted("x", "3.0.0", Some(&resolved))).expect("it answers");
        assert_eq!(server.targets()[2..], ["/mirror/x.tgz"]);

        // Not in the usual place: the description knows.
        let got = tarball(&context, &registry, wanted("@own/pkg", "10.0.0", None));
        assert_eq!(got.expect("described"), server.at("files/pkg.tgz"));

        let wanted = wanted("@own/pkg", "10.0.1", None);
        let elsewhere = Server::start(|seen, _| match seen.target.as_str() {
            "/@own%2fpkg" => Answer::ok(description(&seen.headers["host"])),
            _ => Answer::status(404),
        });
        let (context, registry) = self::registry(&sandbox, &format!("registry={}", elsewhere.url));
        let error = tarball(&context, &registry, wanted).expect_err("no such version");
        insta::assert_snapshot!(told(&error, &elsewhere), @r"
        `http://127.0.0.1:port/@own%2fpkg` has no version 10.0.1 of `@own/pkg`
        help: it may have been withdrawn: choose another version and write the lockfile anew
        ");
    }

    #[test]
    fn messages() {
        let server = Server::start(|seen, _| match seen.target.as_str() {
            "/npm/locked" => Answer::status(401),
            "/npm/odd" => Answer::ok("<html>"),
            "/npm/busy" => Answer::status(502),
            _ => Answer::status(404),
        });
        let sandbox = Sandbox::new();
        let (context, registry) = registry(&sandbox, &format!("registry={}npm", server.url));
        let mut texts = Vec::new();
        for package in ["locked", "odd", "busy", "unknown"] {
            let error = context.block_on(registry.versions(package)).expect_err("refused");
            texts.push(told(&error, &server));
        }
        let wanted = Wanted { name: "unknown", version: "1.0.0", resolved: None };
        let error = tarball(&context, &registry, wanted).expect_err("refused");
        texts.push(told(&error, &server));
        let error = context.block_on(registry.text(&server.at("index"))).expect_err("refused");
        texts.push(told(&error, &server));
        insta::assert_snapshot!(texts.join("\n\n"), @r"
        cannot fetch the list of versions of `locked`
        because: `http://127.0.0.1:port/npm/locked` answered 401 Unauthorized
        help: log in with `npm login --registry=http://127.0.0.1:port/npm/`, or put `//127.0.0.1:port/npm/:_authToken=${NPM_TOKEN}` in .npmrc

        cannot understand what `http://127.0.0.1:port/npm/odd` says about `odd`
        because: expected value at line 1 column 1
        help: is this address an npm registry? Check `registry` in .npmrc

        cannot fetch the list of versions of `busy`
        because: `http://127.0.0.1:port/npm/busy` answered 502 Bad Gateway (2 attempts)
        help: try again later, or use another registry with `registry=https://...` in .npmrc

        cannot fetch the list of versions of `unknown`
        because: `http://127.0.0.1:port/npm/unknown` answered 404 Not Found
        help: check the name; a private package needs its registry (`@scope:registry=https://...`) and credentials in .npmrc

        cannot fetch the tarball of `unknown 1.0.0`
        because: `http://127.0.0.1:port/npm/unknown/-/unknown-1.0.0.tgz` answered 404 Not Found
        help: check the name; a private package needs its registry (`@scope:registry=https://...`) and credentials in .npmrc

        cannot fetch `http://127.0.0.1:port/index`
        because: `http://127.0.0.1:port/index` answered 404 Not Found
        help: check the address
        ");
    }

    #[test]
    fn nothing_is_asked_offline() {
        let server = Server::start(|_, _| Answer::ok("{}"));
        let sandbox = Sandbox::new();
        sandbox.write(".npmrc", format!("registry={}", server.url));
        let mut context = sandbox.context(&[]);
        context.offline = true;
        let registry = Registry::load(&context, &sandbox.root).expect("sane settings");
        let error = context.block_on(registry.versions("ws")).expect_err("offline");
        insta::assert_snapshot!(told(&error, &server), @r"
        cannot fetch the list of versions of `ws`: the network is off (`--offline`)
        help: run the command once without `--offline`
        ");
        assert!(context.block_on(registry.text(&server.url)).is_err());
        let wanted = Wanted { name: "ws", version: "1.0.0", resolved: None };
        assert!(tarball(&context, &registry, wanted).is_err());
        assert!(server.seen().is_empty());
    }

    #[test]
    fn ways_to_log_in() {
        let header = |config: &RegistryConfig| {
            authorization(config).map(|value| value.to_str().expect("ASCII").to_owned())
        };
        let text = |text: &str| Some(text.to_owned());
        let mut config = RegistryConfig::default();
        assert_eq!(header(&config), None);
        config.username = text("me");
        assert_eq!(header(&config), None);
        config.password = text(&STANDARD.encode("secret"));
        assert_eq!(header(&config), Some(format!("Basic {}", STANDARD.encode("me:secret"))));
        config.auth = text("YTpi");
        assert_eq!(header(&config), text("Basic YTpi"));
        config.auth_token = text("token");
        assert_eq!(header(&config), text("Bearer token"));
    }
}
