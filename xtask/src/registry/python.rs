//! A Python package index: which wheels a project has, and where they are.
//!
//! The index is the one that uv and pip are configured with, asked in this order: `UV_DEFAULT_INDEX`, `UV_INDEX_URL`,
//! `PIP_INDEX_URL`, pip's configuration files, uv's own answer (its files, or its default). No address stands here.
//! The answer may be JSON (PEP 691) or a page of links (PEP 503).

use camino::{Utf8Path, Utf8PathBuf};
use reqwest::header::HeaderValue;
use serde::Deserialize;
use url::Url;

use super::{Registry, RegistryError};
use crate::http::{Downloaded, Get, redacted};
use crate::integrity::Integrity;
use crate::process::Command;

/// One wheel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wheel {
    /// Its file name.
    pub file: String,
    /// Its SHA-256.
    pub integrity: Integrity,
    /// Where it is.
    pub url: Url,
}

const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, text/html; q=0.5";
const VARIABLES: [&str; 3] = ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"];

impl Registry {
    /// Every wheel of a project that has a digest and was not withdrawn.
    ///
    /// # Errors
    /// When there is no index, or it does not know the project.
    pub async fn wheels(&self, project: &str) -> Result<Vec<Wheel>, RegistryError> {
        let what = || format!("the list of wheels of `{project}`");
        self.online(what)?;
        let index = self.python_index()?;
        let mut place = index.clone();
        place.set_path(&format!("{}/{project}/", index.path().trim_end_matches('/')));
        let (url, authorization) = without_credentials(&place);
        let get = Get { url: url.clone(), accept: Some(ACCEPT), authorization };
        let bytes = self.client()?.bytes(&get).await.map_err(|source| RegistryError::Fetch {
            what: what(),
            registry: Some(redacted(&url)),
            source,
        })?;
        Ok(read(&String::from_utf8_lossy(&bytes), &url))
    }

    /// Downloads a wheel into the file `to`.
    ///
    /// # Errors
    /// When the index does not have it, or it cannot be had.
    pub async fn wheel(
        &self,
        file: &str,
        to: &Utf8Path,
        integrity: &Integrity,
    ) -> Result<(Url, Downloaded), RegistryError> {
        let project = file.split('-').next().unwrap_or(file).replace('_', "-");
        let wheels = self.wheels(&project).await?;
        let Some(wheel) = wheels.into_iter().find(|wheel| wheel.file == file) else {
            return Err(RegistryError::NoWheel { file: file.to_owned() });
        };
        let index = self.python_index()?;
        let same_host = index.host() == wheel.url.host() && index.port() == wheel.url.port();
        let authorization = without_credentials(index).1.filter(|_| same_host);
        let get = Get { url: wheel.url.clone(), accept: None, authorization };
        let got = self.client()?.download(&get, to, || integrity.hasher()).await;
        got.map(|got| (wheel.url, got)).map_err(|source| RegistryError::Fetch {
            what: format!("`{file}`"),
            registry: None,
            source,
        })
    }

    fn python_index(&self) -> Result<&Url, RegistryError> {
        if let Some(index) = self.python_index.get() {
            return Ok(index);
        }
        let text = self.configured_index()?;
        // uv's UV_DEFAULT_INDEX may have a name: `company=https://...`.
        let address = match text.split_once('=') {
            Some((name, address)) if !name.contains([':', '/']) => address,
            _ => &text,
        };
        let index = Url::parse(address.trim())
            .map_err(|source| RegistryError::PythonAddress(Box::new(source)))?;
        Ok(self.python_index.get_or_init(|| index))
    }

    fn configured_index(&self) -> Result<String, RegistryError> {
        let given = VARIABLES
            .iter()
            .find_map(|name| self.environment.get(*name).filter(|value| !value.is_empty()));
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let ask = |program: &str, words: &[&str]| {
            Command::new("ask for the configured Python package index", Utf8PathBuf::from(program))
                .args(words.iter().copied())
                .envs(self.environment.clone())
                .current_dir(self.folder.clone())
                .answer()
        };
        // A machine without pip, or a pip that is told nothing, says so with its status.
        if let Ok(answer) = ask("pip", &["config", "get", "global.index-url"])
            && !answer.trim().is_empty()
        {
            return Ok(answer.trim().to_owned());
        }
        let words = ["pip", "compile", "--quiet", "--no-header", "--emit-index-url", "-"];
        let answer = ask("uv", &words)
            .map_err(|source| RegistryError::NoPythonIndex { source: Box::new(source) })?;
        let found = answer.lines().find_map(|line| line.strip_prefix("--index-url "));
        found.map(|url| url.trim().to_owned()).ok_or(RegistryError::SilentPythonIndex)
    }
}

/// The address alone, and what its user and password become.
fn without_credentials(url: &Url) -> (Url, Option<HeaderValue>) {
    use base64::Engine as _;

    let mut plain = url.clone();
    if url.username().is_empty() {
        return (plain, None);
    }
    // Neither can fail: the URL has a host.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    let decode = |text: &str| {
        let pairs = url::form_urlencoded::parse(
            text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D").as_bytes(),
        )
        .next()
        .map(|(name, _)| name.into_owned());
        pairs.unwrap_or_default()
    };
    let pair = format!("{}:{}", decode(url.username()), decode(url.password().unwrap_or_default()));
    let text = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let mut value = HeaderValue::from_str(&text).ok();
    if let Some(value) = &mut value {
        value.set_sensitive(true);
    }
    (plain, value)
}

/// The wheels an index names, whichever of its two forms it answers in.
fn read(answer: &str, base: &Url) -> Vec<Wheel> {
    let files = match serde_json::from_str::<Project>(answer) {
        Ok(project) => project.files.into_iter().filter_map(File::plain).collect(),
        Err(_) => links(answer),
    };
    files
        .into_iter()
        .filter(|(file, ..)| file.ends_with(".whl"))
        .filter_map(|(file, url, digest)| {
            let mut sha256 = [0; 32];
            hex::decode_to_slice(digest, &mut sha256).ok()?;
            let integrity = Integrity::from_sha256(sha256);
            Some(Wheel { file, integrity, url: base.join(&url).ok()? })
        })
        .collect()
}

#[derive(Deserialize)]
struct Project {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    yanked: serde_json::Value,
}

impl File {
    /// Name, address and SHA-256; nothing of a file that was withdrawn. The reason for that may be any text.
    fn plain(self) -> Option<(String, String, String)> {
        let stays = matches!(self.yanked, serde_json::Value::Null | serde_json::Value::Bool(false));
        let digest = self.hashes.get("sha256").cloned()?;
        stays.then_some((self.filename, self.url, digest))
    }
}

/// The links of a page, as `<a href="...#sha256=...">name</a>`.
fn links(page: &str) -> Vec<(String, String, String)> {
    page.split("<a ")
        .skip(1)
        .filter_map(|part| {
            let (tag, rest) = part.split_once('>')?;
            if tag.contains("data-yanked") {
                return None;
            }
            let href = tag.split_once("href=\"")?.1.split_once('"')?.0.replace("&amp;", "&");
            let (url, digest) = href.split_once("#sha256=")?;
            let name = rest.split_once("</a>")?.0.trim();
            Some((name.to_owned(), url.to_owned(), digest.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::context::Context;
    use crate::testing::{Answer, Sandbox, Server};

    fn base() -> Url {
        Url::parse("http://127.0.0.1/simple/p/").expect("a URL")
    }

    #[test]
    fn both_forms_say_the_same() {
        let digest = "a".repeat(64);
        let page = format!(
            r#"<a href="../../f/p-1-py3-none-any.whl#sha256={digest}" data-requires-python="&gt;=3">p-1-py3-none-any.whl</a>
            <a href="../../f/p-1.tar.gz#sha256={digest}">p-1.tar.gz</a>
            <a data-yanked="bad" href="../../f/p-2-py3-none-any.whl#sha256={digest}">p-2-py3-none-any.whl</a>
            <a href="../../f/p-3-py3-none-any.whl">p-3-py3-none-any.whl</a>"#
        );
        let json = format!(
            r#"{{"meta": {{"api-version": "1.0"}}, "files": [
            {{"filename": "p-1-py3-none-any.whl", "url": "../../f/p-1-py3-none-any.whl", "hashes": {{"sha256": "{digest}"}}}},
            {{"filename": "p-2-py3-none-any.whl", "url": "x", "hashes": {{"sha256": "{digest}"}}, "yanked": "bad"}},
            {{"filename": "p-3-py3-none-any.whl", "url": "x", "hashes": {{}}}}]}}"#
        );
        let expected = Wheel {
            file: "p-1-py3-none-any.whl".to_owned(),
            integrity: Integrity::from_sha256([0xaa; 32]),
            url: Url::parse("http://127.0.0.1/f/p-1-py3-none-any.whl").expect("a URL"),
        };
        assert_eq!(read(&page, &base()), std::slice::from_ref(&expected));
        assert_eq!(read(&json, &base()), [expected]);
    }

    fn asked(context: &Context, sandbox: &Sandbox) -> Result<Vec<Wheel>, RegistryError> {
        let registry = Registry::load(context, &sandbox.root).expect("sane settings");
        context.block_on(registry.wheels("some-project"))
    }

    #[test]
    fn credentials_are_sent_and_not_shown() {
        let server = Server::start(|_, _| Answer::ok(r#"{"files": []}"#));
        let url = server.url.as_str().replace("http://", "http://user:p%40ss@");
        let sandbox = Sandbox::new();
        let index = format!("company={url}simple");
        let context = sandbox.context(&[("UV_DEFAULT_INDEX", &index)]);
        asked(&context, &sandbox).expect("it answers");
        assert_eq!(server.targets(), ["/simple/some-project/"]);
        assert_eq!(server.seen()[0].headers["authorization"], "Basic dXNlcjpwQHNz");
    }

    #[test]
    fn nobody_to_ask() {
        let sandbox = Sandbox::new();
        let context = sandbox.context(&[("PATH", "/nowhere")]);
        let error = asked(&context, &sandbox).expect_err("neither pip nor uv");
        assert_eq!(error.to_string(), "cannot tell which Python package index to ask");
    }

    proptest! {
        #[test]
        fn what_an_index_says_is_read_or_passed_over(answer in "(<a |href=\"|#sha256=|\"|>|</a>|[a-f0-9]{1,8}|\\PC){0,40}") {
            let _ = read(&answer, &base());
        }
    }
}
