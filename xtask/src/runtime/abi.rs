//! What runtimes offer to addons, read from `abi.toml` beside this file. Of a version that is not in it nothing is known.

use std::sync::LazyLock;

use nodejs_semver::Version;
use serde::{Deserialize, Deserializer, de};

const TEXT: &str = include_str!("abi.toml");

static TABLE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(TEXT).expect("a test reads the built-in table"));

/// What a runtime offers to addons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeAbi {
    /// `process.versions.modules`
    pub modules: u32,
    /// `process.versions.napi`
    pub napi: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    runtime: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    engine: String,
    #[serde(deserialize_with = "version")]
    since: Version,
    #[serde(deserialize_with = "version")]
    before: Version,
    modules: u32,
    node_api: u32,
}

impl NodeAbi {
    /// That of a runtime; `None` for one that nobody here has heard of.
    #[must_use]
    pub fn of(engine: &str, version: &str) -> Option<Self> {
        let version = Version::parse(version).ok()?;
        let is_it = |entry: &&Entry| {
            entry.engine == engine && entry.since <= version && version < entry.before
        };
        let entry = TABLE.runtime.iter().find(is_it)?;
        Some(Self { modules: entry.modules, napi: entry.node_api })
    }
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
    Version::parse(String::deserialize(deserializer)?).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes() {
        let of = |engine, version| NodeAbi::of(engine, version).map(|abi| (abi.modules, abi.napi));
        for (engine, version, abi) in [
            ("node", "24.21.0", Some((137, 10))),
            ("node", "22.13.1", Some((127, 9))),
            ("node", "22.14.0", Some((127, 10))),
            ("node", "26.0.0", Some((147, 10))),
            ("bun", "1.4.5", Some((147, 10))),
            ("deno", "2.9.6", Some((147, 10))),
            // Nobody looked at these.
            ("bun", "1.2.0", None),
            ("deno", "3.0.0", None),
            ("node", "99.0.0", None),
            ("node", "24", None),
            ("goja", "24.21.0", None),
        ] {
            assert_eq!(of(engine, version), abi, "{engine} {version}");
        }
    }

    #[test]
    fn entries_do_not_overlap() {
        for (index, entry) in TABLE.runtime.iter().enumerate() {
            assert!(entry.since < entry.before, "{entry:?}");
            for other in &TABLE.runtime[..index] {
                let is_apart = other.engine != entry.engine
                    || other.before <= entry.since
                    || entry.before <= other.since;
                assert!(is_apart, "{other:?} and {entry:?}");
            }
        }
    }
}
