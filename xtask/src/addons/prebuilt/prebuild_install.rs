//! What prebuild-install 7 downloads, by its `rc.js` and `util.js`.

use std::collections::BTreeMap;

use gangway_artifact::{Libc, Platform};
use serde_json::Value;

use super::super::NodeAbi;
use super::super::script;
use super::{Place, folder, napi_versions, newest_napi, no_napi};

/// The name of an archive where package.json gives none.
const PACKAGE_NAME: &str = "{name}-v{version}-{runtime}-v{abi}-{platform}{libc}-{arch}.tar.gz";

/// The short names of its options.
const ALIASES: &[(&str, &str)] =
    &[("t", "target"), ("r", "runtime"), ("p", "path"), ("d", "download"), ("a", "arch")];

/// A package that prebuild-install is called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrebuildInstall {
    name: String,
    version: String,
    /// `https://github.com/<owner>/<name>`
    repository: Option<String>,
    host: Option<String>,
    remote_path: Option<String>,
    package_name: Option<String>,
    module_name: Option<String>,
    napi_versions: Vec<u32>,
    /// `node` or `napi`; also `electron`, of which there is none here.
    runtime: String,
    /// A version of Node or Node-API, where it is not the newest that fits.
    target: Option<String>,
    tag_prefix: String,
    /// The whole address.
    download: Option<String>,
    path: String,
    configuration: &'static str,
}

impl PrebuildInstall {
    /// Reads a package.json and the arguments in its install script.
    pub(super) fn read(manifest: &Value, text: &str, arguments: &[String]) -> Self {
        let options = script::options(arguments, ALIASES);
        let option = |name: &str| options.get(name).cloned();
        let (config, binary) = (&manifest["config"], &manifest["binary"]);
        let set = |value: &Value| {
            let text = value.as_str().map(str::to_owned);
            let number = || value.as_u64().map(|number| number.to_string());
            text.or_else(number).filter(|text| !text.is_empty())
        };
        let own = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let repository = manifest["repository"].to_string();
        Self {
            name: own(&manifest["name"]),
            version: own(&manifest["version"]),
            repository: on_github(&repository).or_else(|| on_github(text)),
            host: set(&binary["host"]),
            remote_path: set(&binary["remote_path"]),
            package_name: set(&binary["package_name"]),
            module_name: set(&binary["module_name"]),
            napi_versions: napi_versions(manifest),
            runtime: option("runtime").or(set(&config["runtime"])).unwrap_or("node".to_owned()),
            target: option("target").or(set(&config["target"])),
            tag_prefix: option("tag-prefix").unwrap_or("v".to_owned()),
            download: option("download"),
            path: option("path").filter(|path| path != "true").unwrap_or_default(),
            configuration: match options.get("debug").map(String::as_str) {
                None | Some("false") => "Release",
                Some(_) => "Debug",
            },
        }
    }

    /// `node-v137`, `napi-v6`
    pub(super) fn interface(&self, abi: NodeAbi) -> Result<String, String> {
        Ok(format!("{}-v{}", self.runtime, self.abi(abi)?))
    }

    fn abi(&self, abi: NodeAbi) -> Result<String, String> {
        match (self.runtime.as_str(), &self.target) {
            ("napi", Some(version)) => Ok(version.clone()),
            ("napi", None) => newest_napi(&self.napi_versions, abi)
                .map(|version| version.to_string())
                .ok_or_else(|| no_napi(&self.napi_versions, abi)),
            ("node", None) => Ok(abi.modules.to_string()),
            ("node", Some(version)) => {
                NodeAbi::of("node", version).map(|abi| abi.modules.to_string()).ok_or_else(|| {
                    format!("its builds are for Node.js {version}, whose ABI is not known here")
                })
            }
            (runtime, _) => Err(format!("its builds are for `{runtime}`")),
        }
    }

    pub(super) fn url(
        &self,
        platform: &Platform,
        abi: NodeAbi,
        mirror: Option<&str>,
    ) -> Result<String, String> {
        let template = self.template(mirror).ok_or(
            "its package.json names neither a host of binaries nor a repository on GitHub",
        )?;
        Ok(expand(&template, &self.values(platform, abi)?))
    }

    pub(super) fn place(&self) -> Result<Place, String> {
        Ok(Place { folder: folder(&self.path)?, strip: 0 })
    }

    /// `npm_config_better_sqlite3_binary_host` and `..._binary_host_mirror`, as npm names its settings.
    pub(super) fn mirror_settings(&self) -> Vec<String> {
        let word = |char: char| if char.is_ascii_alphanumeric() { char } else { '_' };
        let name: String = self.name.chars().map(word).collect();
        let name = name.strip_prefix('_').unwrap_or(&name);
        vec![format!("{name}_binary_host"), format!("{name}_binary_host_mirror")]
    }

    fn template(&self, mirror: Option<&str>) -> Option<String> {
        if let Some(download) = &self.download {
            return Some(download.clone());
        }
        if let Some(mirror) = mirror {
            // A mirror that ends with a slash is the same one.
            return Some(format!(
                "{}/{{tag_prefix}}{{version}}/{PACKAGE_NAME}",
                mirror.trim_end_matches('/')
            ));
        }
        if let Some(host) = &self.host {
            let name = self.package_name.as_deref().unwrap_or(PACKAGE_NAME);
            let parts = [Some(host.as_str()), self.remote_path.as_deref(), Some(name)];
            let parts: Vec<_> = parts.into_iter().flatten().map(trimmed).collect();
            return Some(
                parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"),
            );
        }
        let repository = self.repository.as_ref()?;
        Some(format!("{repository}/releases/download/{{tag_prefix}}{{version}}/{PACKAGE_NAME}"))
    }

    /// What stands in a template. JavaScript writes `undefined` for what is not there, and so does this.
    fn values(
        &self,
        platform: &Platform,
        abi: NodeAbi,
    ) -> Result<BTreeMap<&'static str, String>, String> {
        const NOTHING: &str = "undefined";
        let part = |separator: char, number: usize| {
            self.version.split(separator).nth(number).unwrap_or(NOTHING).to_owned()
        };
        let name = match self.name.strip_prefix('@').and_then(|name| name.split_once('/')) {
            Some((_, own)) => own,
            None => &self.name,
        };
        let libc = match platform.libc {
            Some(Libc::Musl) => Libc::Musl.as_str(),
            Some(Libc::Glibc) | None => "",
        };
        Ok(BTreeMap::from([
            ("name", name.to_owned()),
            ("package_name", name.to_owned()),
            ("version", self.version.clone()),
            ("major", part('.', 0)),
            ("minor", part('.', 1)),
            ("patch", part('.', 2)),
            ("prerelease", part('-', 1)),
            ("build", part('+', 1)),
            ("abi", self.abi(abi)?),
            ("node_abi", abi.modules.to_string()),
            ("runtime", self.runtime.clone()),
            ("platform", platform.os.as_str().to_owned()),
            ("arch", platform.cpu.as_str().to_owned()),
            ("libc", libc.to_owned()),
            ("configuration", self.configuration.to_owned()),
            ("module_name", self.module_name.clone().unwrap_or(NOTHING.to_owned())),
            ("tag_prefix", self.tag_prefix.clone()),
        ]))
    }
}

/// Puts values for `{key}`, which may have blanks around the key. An unknown key stays.
fn expand(template: &str, values: &BTreeMap<&str, String>) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let known =
            after.split_once('}').and_then(|(key, tail)| Some((values.get(key.trim())?, tail)));
        match known {
            Some((value, tail)) => {
                text.push_str(value);
                rest = tail;
            }
            None => {
                text.push('{');
                rest = after;
            }
        }
    }
    text + rest
}

/// Without one `./` or `/` in front and one `/` behind.
fn trimmed(part: &str) -> &str {
    let part = part.strip_prefix("./").or_else(|| part.strip_prefix('/')).unwrap_or(part);
    part.strip_suffix('/').unwrap_or(part)
}

/// The first repository on GitHub that a text names: `github.com/<owner>/<name>`, or with a colon.
fn on_github(text: &str) -> Option<String> {
    text.match_indices("github.com").find_map(|(place, found)| {
        let before = text[..place].chars().next_back();
        if before.is_some_and(|char| char.is_ascii_alphanumeric() || char == '_') {
            return None;
        }
        let path = text[place + found.len()..].strip_prefix([':', '/'])?;
        let (owner, rest) = path.split_once(['/', '"'])?;
        let is_whole = path.as_bytes().get(owner.len()) == Some(&b'/');
        let name = rest.split(['/', '"']).next()?;
        let is_named = is_whole && !owner.is_empty() && !name.is_empty();
        let name = name.strip_suffix(".git").unwrap_or(name);
        is_named.then(|| format!("https://github.com/{owner}/{name}"))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repositories_on_github() {
        for (text, expected) in [
            (
                r#"{"url":"git://github.com/WiseLibs/better-sqlite3.git"}"#,
                "https://github.com/WiseLibs/better-sqlite3",
            ),
            (r#""git@github.com:a/b.git""#, "https://github.com/a/b"),
            (r#""https://github.com/a/b/issues""#, "https://github.com/a/b"),
            (r#""https://github.com/a" "https://www.github.com/c/d""#, "https://github.com/c/d"),
            (r#""https://mygithub.com/a/b""#, ""),
            ("null", ""),
        ] {
            assert_eq!(on_github(text).unwrap_or_default(), expected, "{text}");
        }
    }

    #[test]
    fn templates() {
        let values = BTreeMap::from([("a", "1".to_owned()), ("b", "{a}".to_owned())]);
        assert_eq!(expand("{a}/{ b }/{c}/{", &values), "1/{a}/{c}/{");
        assert_eq!(trimmed("./a/b/"), "a/b");
        assert_eq!(trimmed("/a"), "a");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[a-z/:.\"{}github.com é]{0,60}") {
            on_github(&text);
            expand(&text, &BTreeMap::from([("a", String::new())]));
        }
    }
}
