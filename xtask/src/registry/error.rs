//! What can go wrong with a registry.

use camino::Utf8PathBuf;
use miette::Diagnostic;
use reqwest::StatusCode;

use crate::http::HttpError;

/// What can go wrong with a registry.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum RegistryError {
    /// A configuration file cannot be read or understood.
    #[error("cannot read npm's configuration `{path}`")]
    Npmrc {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A registry's address is no URL.
    #[error("npm's configuration names a registry that is not a URL")]
    #[diagnostic(help("write it as `registry=https://host/path/` in .npmrc"))]
    Address(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No client.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Client(HttpError),
    /// The network must not be used.
    #[error("cannot fetch {what}: the network is off (`--offline`)")]
    #[diagnostic(help("run the command once without `--offline`"))]
    Offline {
        /// What was asked for.
        what: String,
    },
    /// The registry did not give it.
    #[error("cannot fetch {what}")]
    #[diagnostic(help("{}", advice(source, registry.as_deref())))]
    Fetch {
        /// What was asked for.
        what: String,
        /// The registry's address, if it was one that was asked.
        registry: Option<String>,
        /// What happened.
        source: HttpError,
    },
    /// The registry's answer is not what registries say.
    #[error("cannot understand what `{url}` says about `{package}`")]
    #[diagnostic(help("is this address an npm registry? Check `registry` in .npmrc"))]
    Answer {
        /// The package.
        package: String,
        /// The address asked.
        url: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Neither uv nor pip is there, or neither answers.
    #[error("cannot tell which Python package index to ask")]
    #[diagnostic(help("install uv, or name the index in UV_DEFAULT_INDEX"))]
    NoPythonIndex {
        /// What uv said.
        source: Box<crate::process::ProcessError>,
    },
    /// uv said nothing of an index.
    #[error("uv names no Python package index")]
    #[diagnostic(help("name the index in UV_DEFAULT_INDEX"))]
    SilentPythonIndex,
    /// The index is no URL.
    #[error("the configured Python package index is not a URL")]
    #[diagnostic(help(
        "write it as `https://host/path/simple` in UV_DEFAULT_INDEX or pip's `index-url`"
    ))]
    PythonAddress(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A wheel that is not there any more.
    #[error("the Python package index has no `{file}`")]
    #[diagnostic(help("it may have been withdrawn: run `cargo xtask lock --update`"))]
    NoWheel {
        /// The wheel.
        file: String,
    },
    /// Not there, or withdrawn.
    #[error("`{url}` has no version {version} of `{package}`")]
    #[diagnostic(help(
        "it may have been withdrawn: choose another version and write the lockfile anew"
    ))]
    NoVersion {
        /// The package.
        package: String,
        /// The version.
        version: String,
        /// The address asked.
        url: String,
    },
}

/// What a user can do about a failed request.
fn advice(error: &HttpError, registry: Option<&str>) -> String {
    let Some(status) = error.status() else {
        let own = miette::Diagnostic::help(error).map(|help| help.to_string());
        return own.unwrap_or_else(|| "run again".to_owned());
    };
    match (status, registry) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(registry)) => {
            let key = registry.split_once(':').map_or(registry, |(_scheme, rest)| rest);
            format!(
                "log in with `npm login --registry={registry}`, or put `{key}:_authToken=${{NPM_TOKEN}}` in .npmrc"
            )
        }
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None) => {
            "the server wants credentials: put `//host/path/:_authToken=${TOKEN}` for it in .npmrc"
                .to_owned()
        }
        (StatusCode::NOT_FOUND | StatusCode::GONE, Some(_)) => {
            "check the name; a private package needs its registry (`@scope:registry=https://...`) and credentials in .npmrc".to_owned()
        }
        (StatusCode::NOT_FOUND | StatusCode::GONE, None) => "check the address".to_owned(),
        (StatusCode::PROXY_AUTHENTICATION_REQUIRED, _) => {
            "the proxy wants credentials: `https-proxy=http://user:password@host:port` in .npmrc, or HTTPS_PROXY".to_owned()
        }
        (_, Some(_)) => {
            "try again later, or use another registry with `registry=https://...` in .npmrc".to_owned()
        }
        (_, None) => "try again later".to_owned(),
    }
}
