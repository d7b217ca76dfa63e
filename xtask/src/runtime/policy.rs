//! What a runtime is kept from picking up on a user's machine, read from `policy.toml` beside this file.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use gangway_artifact::{Environment, Os};
use serde::Deserialize;

use crate::config::{Engine, Runtime};

const TEXT: &str = include_str!("policy.toml");

static POLICIES: LazyLock<BTreeMap<String, Policy>> =
    LazyLock::new(|| toml::from_str(TEXT).expect("a test reads the built-in policies"));

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    arguments: Vec<String>,
    remove: Vec<String>,
    #[serde(default)]
    keep: Vec<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
}

fn policy(engine: Engine) -> &'static Policy {
    POLICIES.get(engine.as_str()).expect("a test asks for every engine")
}

/// The runtime's own arguments that come before everybody else's.
#[must_use]
pub fn arguments(engine: Engine, os: Os) -> Vec<String> {
    let null = if os == Os::Win32 { "NUL" } else { "/dev/null" };
    policy(engine).arguments.iter().map(|argument| argument.replace("{null}", null)).collect()
}

/// What becomes of the user's environment.
#[must_use]
pub fn environment(runtime: &Runtime) -> Environment {
    let Policy { remove, keep, set, .. } = policy(runtime.engine);
    Environment {
        remove: remove.clone(),
        keep: keep.iter().chain(&runtime.keep_environment).cloned().collect(),
        set: set.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_has_one_and_the_user_is_told() {
        const DOCS: &str =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/runtimes.md"));
        assert_eq!(POLICIES.len(), Engine::ALL.len());
        for engine in Engine::ALL {
            let Policy { arguments, remove, keep, set } = policy(engine);
            for name in arguments.iter().chain(remove).chain(keep).chain(set.keys()) {
                let name = name.split('{').next().expect("there is a first part");
                assert!(DOCS.contains(name), "docs/runtimes.md does not mention `{name}`");
            }
        }
    }

    #[test]
    fn the_empty_file_is_the_systems_own() {
        assert!(arguments(Engine::Bun, Os::Linux).contains(&"--config=/dev/null".to_owned()));
        assert!(arguments(Engine::Bun, Os::Win32).contains(&"--config=NUL".to_owned()));
        assert!(arguments(Engine::Node, Os::Linux).is_empty());
    }
}
