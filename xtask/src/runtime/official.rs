//! The makers' own servers, or mirrors of them.
//!
//! Node: `index.json` lists the releases and the platforms each was built for; `v<version>/SHASUMS256.txt.asc` has the
//! digests, signed. Both formats are described in <https://github.com/nodejs/nodejs.org> (apps/site, "dist index").
//! Bun and Deno: GitHub's list of releases, and beside each archive its digest (`SHASUMS256.txt`, `<archive>.sha256sum`).
//! What `lock` has found so, everybody after it checks by digest.

use camino::{Utf8Path, Utf8PathBuf};
use nodejs_semver::Version;
use serde::Deserialize;
use url::Url;

use super::signature::{self, SignatureError};
use super::{Offer, RuntimeError};
use crate::config::{Engine, RuntimeSource};
use crate::context::Context;
use crate::integrity::Integrity;
use crate::registry::Registry;
use crate::target::RuntimeBuild;

/// Where the makers' own builds are served.
#[derive(Debug, Clone)]
pub struct Mirrors {
    node: Url,
    bun: Url,
    deno: Url,
    /// Where Bun's and Deno's releases are listed.
    bun_index: Url,
    deno_index: Url,
    /// Armored keys that may sign Node's digests besides those of Node's releasers.
    keys: String,
    /// What paths of the user's own files start from: the manifest's folder.
    folder: Utf8PathBuf,
}

/// A variable that names no URL, or no file.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum MirrorError {
    /// Not a URL.
    #[error("the environment variable `{variable}` is not an http or https URL: `{value}`")]
    #[diagnostic(help(
        "set it to the folder of the releases, for instance `{default}`, or unset it"
    ))]
    Address {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
        /// What it stands for.
        default: &'static str,
        /// Why it is none.
        source: Option<url::ParseError>,
    },
    /// The keys of a mirror that signs by itself.
    #[error("cannot read `{path}`, which `GANGWAY_NODE_KEYS` names")]
    Keys {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
}

const NODE: (&str, &str) = ("GANGWAY_NODE_MIRROR", "https://nodejs.org/dist/");
const BUN: (&str, &str) =
    ("GANGWAY_BUN_MIRROR", "https://github.com/oven-sh/bun/releases/download/");
const DENO: (&str, &str) =
    ("GANGWAY_DENO_MIRROR", "https://github.com/denoland/deno/releases/download/");
const BUN_INDEX: &str = "https://api.github.com/repos/oven-sh/bun/releases?per_page=100";
const DENO_INDEX: &str = "https://api.github.com/repos/denoland/deno/releases?per_page=100";
const KEYS: &str = "GANGWAY_NODE_KEYS";

impl Mirrors {
    /// The makers' servers, or what `GANGWAY_NODE_MIRROR` and its kin name instead.
    ///
    /// # Errors
    /// When a variable is not a URL we can fetch from.
    pub fn from_context(context: &Context, manifest: &Utf8Path) -> Result<Self, MirrorError> {
        let (bun, deno) = (folder(context, BUN)?, folder(context, DENO)?);
        // A mirror of a release page is a folder: its list is a file in it.
        let index = |(variable, _): (&str, &str), folder: &Url, default: &str| match context
            .variable(variable)
        {
            Some(_) => below(folder, "index.json"),
            None => Url::parse(default).expect("a URL"),
        };
        let keys = match context.variable(KEYS) {
            None => String::new(),
            Some(path) => std::fs::read_to_string(context.current_dir.join(path))
                .map_err(|source| MirrorError::Keys { path: path.to_owned(), source })?,
        };
        Ok(Self {
            node: folder(context, NODE)?,
            bun_index: index(BUN, &bun, BUN_INDEX),
            deno_index: index(DENO, &deno, DENO_INDEX),
            bun,
            deno,
            keys,
            folder: manifest.to_owned(),
        })
    }

    /// The address of a release's archive, or of a file beside it.
    #[must_use]
    pub fn archive(&self, engine: Engine, version: &str, file: &str) -> Url {
        match engine {
            Engine::Node => below(&self.node, &format!("v{version}/{file}")),
            Engine::Bun => below(&self.bun, &format!("bun-v{version}/{file}")),
            Engine::Deno => below(&self.deno, &format!("v{version}/{file}")),
        }
    }

    /// A file of the user's, by its path from the manifest.
    #[must_use]
    pub fn file(&self, path: &str) -> Utf8PathBuf {
        self.folder.join(path)
    }

    /// Where the releases are listed.
    pub(super) fn index(&self, engine: Engine) -> Url {
        match engine {
            Engine::Node => below(&self.node, "index.json"),
            Engine::Bun => self.bun_index.clone(),
            Engine::Deno => self.deno_index.clone(),
        }
    }
}

fn folder(
    context: &Context,
    (variable, default): (&'static str, &'static str),
) -> Result<Url, MirrorError> {
    let value = context.variable(variable).unwrap_or(default);
    let fault =
        |source| MirrorError::Address { variable, value: value.to_owned(), default, source };
    let folder = if value.ends_with('/') { value.to_owned() } else { format!("{value}/") };
    let url = Url::parse(&folder).map_err(|source| fault(Some(source)))?;
    // `localhost:8080` is a URL as well, of the scheme `localhost`.
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(fault(None)) }
}

/// The releases that a list names for `build`'s platform.
pub(super) fn offers(
    engine: Engine,
    list: &str,
    build: &RuntimeBuild,
) -> Result<Vec<Offer>, String> {
    let versions = match engine {
        Engine::Node => node_versions(&parse_index(list)?, build.listed.as_deref()),
        Engine::Bun | Engine::Deno => release_versions(list, &build.archive)?,
    };
    let offer = |version: Version| Offer {
        source: RuntimeSource::Official,
        archive: build.archive.replace("{version}", &version.to_string()),
        version,
        integrity: None,
    };
    Ok(versions.into_iter().map(offer).collect())
}

/// The digest that the maker publishes for an archive.
pub(super) async fn digest(
    mirrors: &Mirrors,
    engine: Engine,
    offer: &Offer,
    registry: &Registry,
) -> Result<Integrity, RuntimeError> {
    let file = match engine {
        Engine::Node => "SHASUMS256.txt.asc".to_owned(),
        Engine::Bun => "SHASUMS256.txt".to_owned(),
        Engine::Deno => format!("{}.sha256sum", offer.archive),
    };
    let url = mirrors.archive(engine, &offer.version.to_string(), &file);
    let mut sums = registry.text(&url).await?;
    if engine == Engine::Node {
        let keys = format!("{}\n{}", signature::NODE, mirrors.keys);
        let refused = |source: SignatureError| RuntimeError::Signature { url: url.clone(), source };
        sums = signature::verified(&sums, &keys).map_err(refused)?;
    }
    find_digest(&sums, &offer.archive).ok_or_else(|| RuntimeError::Malformed {
        url,
        reason: format!("it has no digest of `{}`", offer.archive),
    })
}

#[derive(Debug, Deserialize)]
struct Release {
    version: String,
    files: Vec<String>,
}

fn parse_index(text: &str) -> Result<Vec<Release>, String> {
    serde_json::from_str(text).map_err(|error| format!("it is not a list of releases: {error}"))
}

/// The versions of Node that were built for a platform.
fn node_versions(releases: &[Release], platform: Option<&str>) -> Vec<Version> {
    releases
        .iter()
        .filter(|release| release.files.iter().any(|file| Some(file.as_str()) == platform))
        .filter_map(|release| Version::parse(release.version.trim_start_matches('v')).ok())
        .collect()
}

/// GitHub's word for a release; a mirror's list may leave out what is not needed here.
#[derive(Debug, Deserialize)]
struct GithubRelease {
    tag_name: String,
    #[serde(default)]
    prerelease: bool,
    #[serde(default)]
    draft: bool,
    assets: Option<Vec<Asset>>,
}

#[derive(Debug, Deserialize)]
struct Asset {
    name: String,
}

/// The versions with this archive, in a list as GitHub has it.
fn release_versions(list: &str, archive: &str) -> Result<Vec<Version>, String> {
    let releases: Vec<GithubRelease> = serde_json::from_str(list)
        .map_err(|error| format!("it is not a list of releases: {error}"))?;
    let has = |release: &GithubRelease| {
        let assets = release.assets.as_ref();
        assets.is_none_or(|assets| assets.iter().any(|asset| asset.name == archive))
    };
    Ok(releases
        .iter()
        .filter(|release| !release.prerelease && !release.draft && has(release))
        .filter_map(|release| {
            let version = release.tag_name.trim_start_matches("bun-").trim_start_matches('v');
            Version::parse(version).ok()
        })
        .collect())
}

/// The digest of `file` in a list that the maker's release scripts write.
fn find_digest(sums: &str, file: &str) -> Option<Integrity> {
    let mut digest = [0; 32];
    hex::decode_to_slice(listed(sums, file).or_else(|| shown(sums, file))?, &mut digest).ok()?;
    Some(Integrity::from_sha256(digest))
}

/// In lines of `<64 hexadecimal digits>  <file>`, as `sha256sum` writes them.
fn listed<'sums>(sums: &'sums str, file: &str) -> Option<&'sums str> {
    // `sha256sum` marks a file it read as bytes with a star.
    let names = |line: &&str| {
        line.split_ascii_whitespace().nth(1).map(|name| name.trim_start_matches('*')) == Some(file)
    };
    sums.lines().find(names)?.split_ascii_whitespace().next()
}

/// In lines `Hash : <64 hexadecimal digits>` and `Path : <folder>\<file>`: Deno's archives for Windows are hashed with
/// PowerShell's `Get-FileHash | Format-List` (`.github/workflows/ci.ts` in Deno's repository, "Pre-release (windows)").
fn shown<'sums>(sums: &'sums str, file: &str) -> Option<&'sums str> {
    let value = |name: &str| {
        let mut fields = sums.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.trim() == name).map(|(_, value)| value.trim())
    };
    let path = value("Path")?;
    (path.rsplit(['\\', '/']).next() == Some(file)).then(|| value("Hash"))?
}

fn below(folder: &Url, path: &str) -> Url {
    folder.join(path).expect("a version and a file name make a path")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Sandbox;

    const INDEX: &str = r#"[
        {"version":"v26.1.0","date":"2026-04-01","files":["linux-x64","osx-arm64-tar"],"lts":false},
        {"version":"v24.9.0","date":"2025-09-25","files":["linux-arm64"],"lts":false},
        {"version":"v24.18.0","date":"2026-03-01","files":["linux-x64"],"lts":"Krypton"},
        {"version":"v24.2.0","date":"2025-06-09","files":["linux-x64"],"lts":false}]"#;

    fn build(archive: &str, listed: Option<&str>) -> RuntimeBuild {
        RuntimeBuild {
            archive: archive.to_owned(),
            listed: listed.map(str::to_owned),
            tag: None,
            executable: "bin/node".to_owned(),
            license: None,
            license_package: None,
            libraries: None,
        }
    }

    fn offered(engine: Engine, list: &str, build: &RuntimeBuild) -> Vec<String> {
        let offers = offers(engine, list, build).expect("well formed");
        offers.into_iter().map(|offer| format!("{} {}", offer.version, offer.archive)).collect()
    }

    #[test]
    fn what_was_built_for_the_platform() {
        let node = build("node-v{version}-linux-x64.tar.xz", Some("linux-x64"));
        assert_eq!(
            offered(Engine::Node, INDEX, &node),
            [
                "26.1.0 node-v26.1.0-linux-x64.tar.xz",
                "24.18.0 node-v24.18.0-linux-x64.tar.xz",
                "24.2.0 node-v24.2.0-linux-x64.tar.xz",
            ]
        );
        let mac = build("node-v{version}-darwin-arm64.tar.xz", Some("osx-arm64-tar"));
        assert_eq!(offered(Engine::Node, INDEX, &mac), ["26.1.0 node-v26.1.0-darwin-arm64.tar.xz"]);
    }

    #[test]
    fn release_pages() {
        let list = r#"[{"tag_name": "bun-v1.4.5", "assets": [{"name": "bun-linux-x64.zip"}]},
            {"tag_name": "bun-v1.4.4", "assets": [{"name": "bun-darwin-x64.zip"}]},
            {"tag_name": "bun-v1.5.0", "prerelease": true, "assets": []},
            {"tag_name": "canary"}, {"tag_name": "bun-v1.4.3"}]"#;
        let bun = build("bun-linux-x64.zip", None);
        assert_eq!(
            offered(Engine::Bun, list, &bun),
            ["1.4.5 bun-linux-x64.zip", "1.4.3 bun-linux-x64.zip"]
        );
        let deno = build("deno-x86_64-unknown-linux-gnu.zip", None);
        assert_eq!(
            offered(Engine::Deno, r#"[{"tag_name": "v2.9.5"}]"#, &deno),
            ["2.9.5 deno-x86_64-unknown-linux-gnu.zip"]
        );
    }

    #[test]
    fn a_digest_is_found_by_the_whole_name() {
        let sums = format!(
            "{}  node-v1.2.3-linux-x64.tar.xz.asc\n{}  node-v1.2.3-linux-x64.tar.xz\n",
            "a".repeat(64),
            "b".repeat(64)
        );
        assert_eq!(
            find_digest(&sums, "node-v1.2.3-linux-x64.tar.xz").map(|found| found.key()),
            Some(format!("sha256-{}", "b".repeat(64)))
        );
        assert_eq!(find_digest(&sums, "node-v1.2.3-linux-arm64.tar.xz"), None);
        assert_eq!(find_digest("xyz  file\n", "file"), None);
        assert_eq!(find_digest(&format!("{}  file\n", "a".repeat(63)), "file"), None);
    }

    #[test]
    fn a_digest_as_powershell_shows_it() {
        let shown = format!(
            "\r\nAlgorithm : SHA256\r\nHash      : {}\r\nPath      : D:\\a\\deno\\target\\release\\deno-x86_64-pc-windows-msvc.zip\r\n\r\n",
            "AB".repeat(32)
        );
        assert_eq!(
            find_digest(&shown, "deno-x86_64-pc-windows-msvc.zip").map(|found| found.key()),
            Some(format!("sha256-{}", "ab".repeat(32)))
        );
        assert_eq!(find_digest(&shown, "deno-aarch64-pc-windows-msvc.zip"), None);
        assert_eq!(find_digest(&shown, "release"), None);
    }

    #[test]
    fn an_index_that_is_none() {
        for text in ["", "<html>", "{}", r#"[{"version":"v1.0.0"}]"#] {
            let reason = parse_index(text).expect_err(text);
            assert!(reason.starts_with("it is not a list of releases: "), "{reason}");
        }
    }

    #[test]
    fn releases_with_strange_versions_are_passed_over() {
        let index = r#"[{"version":"vNext","files":["linux-x64"]},{"version":"24.1.0","files":["linux-x64"]}]"#;
        let releases = parse_index(index).expect("well formed");
        let versions = node_versions(&releases, Some("linux-x64"));
        assert_eq!(versions, [Version::from((24_u64, 1_u64, 0_u64))]);
    }

    fn mirrors(value: &str) -> Result<Mirrors, MirrorError> {
        let sandbox = Sandbox::new();
        Mirrors::from_context(&sandbox.context(&[(NODE.0, value)]), &sandbox.root)
    }

    #[test]
    fn archives_are_below_the_mirror() {
        for (value, expected) in [
            ("", "https://nodejs.org/dist/v24.1.0/a.tar.xz"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v24.1.0/a.tar.xz"),
            ("http://127.0.0.1/node/dist", "http://127.0.0.1/node/dist/v24.1.0/a.tar.xz"),
            ("http://127.0.0.1/node/dist/", "http://127.0.0.1/node/dist/v24.1.0/a.tar.xz"),
        ] {
            let mirrors = mirrors(value).expect("a URL");
            assert_eq!(mirrors.archive(Engine::Node, "24.1.0", "a.tar.xz").as_str(), expected);
        }
    }

    #[test]
    fn a_mirror_that_nothing_can_be_fetched_from() {
        for value in ["dist", "localhost:8080", "file:///srv/dist", "mailto:a@example.com"] {
            let error = mirrors(value).expect_err(value);
            assert_eq!(
                error.to_string(),
                format!(
                    "the environment variable `GANGWAY_NODE_MIRROR` is not an http or https URL: `{value}`"
                )
            );
        }
    }

    proptest! {
        /// These texts come from a server.
        #[test]
        fn what_a_server_says_is_taken_or_refused(text in "\\PC{0,60}", sums in "[0-9a-g \n-]{0,200}") {
            let _ = (parse_index(&text), release_versions(&text, "a.zip"));
            let _ = find_digest(&sums, "-");
        }

        #[test]
        fn no_pin_leads_off_the_mirror(version in "[0-9]{1,2}\\.0\\.0", file in "\\PC{0,40}") {
            let url = mirrors("http://127.0.0.1/dist").expect("a URL").archive(Engine::Node, &version, &file);
            prop_assert_eq!(url.host_str(), Some("127.0.0.1"));
        }
    }
}
