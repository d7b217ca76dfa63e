//! nodejs.org, or a mirror of it.
//!
//! `index.json` lists the releases and the platforms each was built for; `v<version>/SHASUMS256.txt` has the digests.
//! Both formats are described in <https://github.com/nodejs/nodejs.org> (apps/site, "dist index"). The list's
//! signature (`SHASUMS256.txt.sig`) is not checked here: what `lock` once took in good faith, everybody after it checks by digest.

use nodejs_semver::{Range, Version};
use serde::Deserialize;
use url::Url;

use super::{Miss, Offer, RuntimeError};
use crate::config::{Engine, RuntimeSource};
use crate::context::Context;
use crate::integrity::Integrity;
use crate::registry::Registry;
use crate::target::RuntimeBuild;

/// Where the makers' own builds are served.
#[derive(Debug, Clone)]
pub struct Mirrors {
    node: Url,
}

/// A variable that names no URL.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the environment variable `{VARIABLE}` is not an http or https URL: `{value}`")]
#[diagnostic(help(
    "set it to the folder that holds `index.json`, for instance `{DEFAULT}`, or unset it"
))]
pub struct MirrorError {
    value: String,
    source: Option<url::ParseError>,
}

const VARIABLE: &str = "GANGWAY_NODE_MIRROR";
const DEFAULT: &str = "https://nodejs.org/dist/";

impl Mirrors {
    /// The makers' servers, or what `GANGWAY_NODE_MIRROR` names instead.
    ///
    /// # Errors
    /// When the variable is not a URL we can fetch from.
    pub fn from_context(context: &Context) -> Result<Self, MirrorError> {
        let value = context.variable(VARIABLE).unwrap_or(DEFAULT);
        let folder = if value.ends_with('/') { value.to_owned() } else { format!("{value}/") };
        let node = Url::parse(&folder)
            .map_err(|source| MirrorError { value: value.to_owned(), source: Some(source) })?;
        // `localhost:8080` is a URL as well, of the scheme `localhost`.
        if !matches!(node.scheme(), "http" | "https") {
            return Err(MirrorError { value: value.to_owned(), source: None });
        }
        Ok(Self { node })
    }

    /// The address of a release's archive.
    #[must_use]
    pub fn archive(&self, engine: Engine, version: &str, file: &str) -> Url {
        match engine {
            Engine::Node | Engine::Bun | Engine::Deno => {
                below(&self.node, &format!("v{version}/{file}"))
            }
        }
    }
}

/// The newest release in the range that was built for `platform`.
pub(super) async fn newest(
    mirrors: &Mirrors,
    build: &RuntimeBuild,
    range: &Range,
    registry: &Registry,
) -> Result<Result<Offer, Miss>, RuntimeError> {
    let platform = build.listed.as_deref().unwrap_or_default();
    let index = below(&mirrors.node, "index.json");
    let releases = parse_index(&registry.text(&index).await?)
        .map_err(|reason| RuntimeError::Malformed { url: index.clone(), reason })?;
    let Some(version) = pick(&releases, platform, range) else {
        return Ok(Err(format!("`{index}` lists no such release for {platform}")));
    };
    let archive = build.archive.replace("{version}", &version.to_string());
    let sums = below(&mirrors.node, &format!("v{version}/SHASUMS256.txt"));
    let text = registry.text(&sums).await?;
    let integrity = find_digest(&text, &archive).ok_or_else(|| RuntimeError::Malformed {
        url: sums,
        reason: format!("it has no digest of `{archive}`"),
    })?;
    Ok(Ok(Offer { source: RuntimeSource::Official, version, archive, integrity }))
}

#[derive(Debug, Deserialize)]
struct Release {
    version: String,
    files: Vec<String>,
}

fn parse_index(text: &str) -> Result<Vec<Release>, String> {
    serde_json::from_str(text).map_err(|error| format!("it is not a list of releases: {error}"))
}

fn pick(releases: &[Release], platform: &str, range: &Range) -> Option<Version> {
    releases
        .iter()
        .filter(|release| release.files.iter().any(|file| file == platform))
        .filter_map(|release| Version::parse(release.version.trim_start_matches('v')).ok())
        .filter(|version| range.satisfies(version))
        .max()
}

/// The digest of `file` in lines of `<64 hexadecimal digits>  <file>`, as `sha256sum` writes them.
fn find_digest(sums: &str, file: &str) -> Option<Integrity> {
    let line = sums.lines().find(|line| line.split_ascii_whitespace().nth(1) == Some(file))?;
    let mut digest = [0; 32];
    hex::decode_to_slice(line.split_ascii_whitespace().next()?, &mut digest).ok()?;
    Some(Integrity::from_sha256(digest))
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

    fn picked(range: &str) -> Option<String> {
        let releases = parse_index(INDEX).expect("well formed");
        pick(&releases, "linux-x64", &Range::parse(range).expect("a range"))
            .map(|version| version.to_string())
    }

    #[test]
    fn the_newest_that_was_built_for_the_platform() {
        assert_eq!(picked("^24.0.0").as_deref(), Some("24.18.0"));
        assert_eq!(picked("24.9.0"), None, "not built for linux-x64");
        assert_eq!(picked(">=24.16.0 <25 || >=26.1.0").as_deref(), Some("26.1.0"));
        assert_eq!(picked("^20"), None);
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
        let any = Range::parse("*").expect("a range");
        let picked = pick(&releases, "linux-x64", &any).map(|version| version.to_string());
        assert_eq!(picked.as_deref(), Some("24.1.0"));
    }

    fn mirrors(value: &str) -> Result<Mirrors, MirrorError> {
        Mirrors::from_context(&Sandbox::new().context(&[(VARIABLE, value)]))
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
            let _ = parse_index(&text);
            let _ = find_digest(&sums, "-");
        }

        #[test]
        fn no_pin_leads_off_the_mirror(version in "[0-9]{1,2}\\.0\\.0", file in "\\PC{0,40}") {
            let url = mirrors("http://127.0.0.1/dist").expect("a URL").archive(Engine::Node, &version, &file);
            prop_assert_eq!(url.host_str(), Some("127.0.0.1"));
        }
    }
}
