//! The rules, read from `rules.toml` beside this file.

use std::sync::LazyLock;

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use serde::Deserialize;

use crate::config::Engine;

const TEXT: &str = include_str!("rules.toml");

/// One rule, as a person may switch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name in `[prune]`.
    pub name: &'static str,
    /// What it takes, in a few words.
    pub description: &'static str,
    /// Whether it is on when the manifest says nothing.
    pub default: bool,
    /// The runtimes that never load such files; empty: none does.
    pub engines: &'static [String],
}

impl Rule {
    /// Whether what it takes is of no use to this runtime. Without a runtime nothing is loaded at all.
    #[must_use]
    pub fn suits(&self, engine: Option<Engine>) -> bool {
        let named = |engine: Engine| self.engines.iter().any(|name| name == engine.as_str());
        self.engines.is_empty() || engine.is_none_or(named)
    }
}

/// Every rule, in the order in which they are asked.
#[must_use]
pub fn rules() -> &'static [Rule] {
    &RULES.public
}

pub(super) static RULES: LazyLock<Rules> =
    LazyLock::new(|| Rules::parse(TEXT).expect("a test reads the built-in rules"));

/// All of `rules.toml`, ready for use.
pub(super) struct Rules {
    public: Vec<Rule>,
    pub(super) checks: Vec<Check>,
    /// The `files` of all rules; `rule_of` says whose each glob is.
    names: GlobSet,
    rule_of: Vec<usize>,
    pub(super) compiled: GlobSet,
    pub(super) for_agents: Vec<String>,
    pub(super) loaders: Vec<String>,
    pub(super) not_loaded: Vec<String>,
    pub(super) conditions: Vec<String>,
    exceptions: Vec<Exception>,
}

/// How a rule decides.
pub(super) struct Check {
    pub(super) test: Test,
    pub(super) folders: Vec<String>,
}

/// The code behind a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Test {
    Name,
    Root,
    Docs,
    Native,
    Typescript,
    Foreign,
    Tests,
}

struct Exception {
    rules: Vec<usize>,
    packages: Vec<GlobMatcher>,
    files: GlobSet,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRules {
    compiled: Vec<String>,
    for_agents: Vec<String>,
    typescript_loaders: Vec<String>,
    rule: Vec<RawRule>,
    package_json: RawPackageJson,
    exception: Vec<RawException>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    name: String,
    description: String,
    default: bool,
    test: Test,
    #[serde(default)]
    engines: Vec<String>,
    files: Vec<String>,
    #[serde(default)]
    folders: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawPackageJson {
    not_loaded: Vec<String>,
    conditions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawException {
    rules: Vec<String>,
    packages: Vec<String>,
    files: Vec<String>,
    #[expect(
        dead_code,
        reason = "it is for the reader of the file, and no exception goes without"
    )]
    reason: String,
}

/// What is wrong with the rules as data; only a change to `rules.toml` can cause it.
#[derive(Debug, thiserror::Error)]
pub(super) enum RulesError {
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    #[error(transparent)]
    Glob(#[from] globset::Error),
    #[error("an exception names the rule `{0}`, which does not exist")]
    UnknownRule(String),
}

impl Rules {
    fn parse(text: &str) -> Result<Self, RulesError> {
        let raw: RawRules = toml::from_str(text)?;
        let mut names = GlobSetBuilder::new();
        let mut rule_of = Vec::new();
        for (number, rule) in raw.rule.iter().enumerate() {
            for glob in &rule.files {
                names.add(Glob::new(glob)?);
                rule_of.push(number);
            }
        }
        let exceptions = raw
            .exception
            .iter()
            .map(|one| Exception::parse(one, &raw.rule))
            .collect::<Result<_, _>>()?;
        let leaked = |text: &String| -> &'static str { text.clone().leak() };
        Ok(Self {
            public: raw
                .rule
                .iter()
                .map(|rule| Rule {
                    name: leaked(&rule.name),
                    description: leaked(&rule.description),
                    default: rule.default,
                    engines: rule.engines.clone().leak(),
                })
                .collect(),
            checks: raw
                .rule
                .into_iter()
                .map(|rule| Check { test: rule.test, folders: rule.folders })
                .collect(),
            names: names.build()?,
            rule_of,
            compiled: set(&raw.compiled)?,
            for_agents: raw.for_agents,
            loaders: raw.typescript_loaders,
            not_loaded: raw.package_json.not_loaded,
            conditions: raw.package_json.conditions,
            exceptions,
        })
    }

    /// The rules whose names of files match, in order.
    pub(super) fn matching(&self, file_name: &str, found: &mut Vec<usize>) {
        // Globs without regard to case would all become regular expressions; these are table look-ups.
        self.names.matches_into(file_name.to_ascii_lowercase(), found);
        for number in found.iter_mut() {
            *number = self.rule_of[*number];
        }
        found.sort_unstable();
        found.dedup();
    }

    /// Whether a rule's names of files match.
    pub(super) fn matches(&self, rule: usize, file_name: &str) -> bool {
        let mut found = Vec::new();
        self.matching(file_name, &mut found);
        found.contains(&rule)
    }

    /// Whether an exception spares this file of a package from a rule.
    pub(super) fn spares(&self, rule: usize, package: &str, file: &str) -> bool {
        self.exceptions.iter().any(|exception| {
            exception.rules.contains(&rule)
                && exception.packages.iter().any(|glob| glob.is_match(package))
                && exception.files.is_match(file)
        })
    }
}

impl Exception {
    fn parse(raw: &RawException, rules: &[RawRule]) -> Result<Self, RulesError> {
        let number = |name: &String| {
            let place = rules.iter().position(|rule| rule.name == *name);
            place.ok_or_else(|| RulesError::UnknownRule(name.clone()))
        };
        Ok(Self {
            rules: raw.rules.iter().map(number).collect::<Result<_, _>>()?,
            packages: raw
                .packages
                .iter()
                .map(|glob| Ok(path_glob(glob)?.compile_matcher()))
                .collect::<Result<_, globset::Error>>()?,
            files: set(&raw.files)?,
        })
    }
}

fn set(globs: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(path_glob(glob)?);
    }
    set.build()
}

/// A glob on a whole path, where `*` stays within a component.
pub(super) fn path_glob(glob: &str) -> Result<globset::Glob, globset::Error> {
    GlobBuilder::new(glob).literal_separator(true).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_are_well_formed() {
        let rules = Rules::parse(TEXT).expect("they parse");
        let on: Vec<_> =
            rules.public.iter().filter(|rule| rule.default).map(|rule| rule.name).collect();
        assert_eq!(
            on,
            [
                "declarations",
                "source-maps",
                "native-sources",
                "foreign-prebuilds",
                "typescript-sources",
                "tests",
                "package-docs"
            ]
        );
    }

    #[test]
    fn globs_are_in_lower_case() {
        let raw: RawRules = toml::from_str(TEXT).expect("they parse");
        for glob in raw.rule.iter().flat_map(|rule| &rule.files) {
            assert_eq!(*glob, glob.to_ascii_lowercase());
        }
    }

    #[test]
    fn names_find_their_rules_in_order() {
        let names = |file: &str| {
            let mut found = Vec::new();
            RULES.matching(file, &mut found);
            found.into_iter().map(|number| rules()[number].name).collect::<Vec<_>>()
        };
        assert_eq!(names("index.d.ts"), ["declarations", "typescript-sources"]);
        assert_eq!(names("style.d.css.ts"), ["declarations", "typescript-sources"]);
        assert_eq!(names("index.d.mts.map"), ["declarations"]);
        for map in ["index.js.map", "parser.wasm.map"] {
            assert_eq!(names(map), ["source-maps"]);
        }
        assert_eq!(names("tile.map"), Vec::<&str>::new());
        assert_eq!(names("asm.S"), ["native-sources"]);
        assert_eq!(names("libfoo.so.1"), ["foreign-prebuilds"]);
        assert_eq!(names("a.test.ts"), ["typescript-sources", "tests"]);
        assert_eq!(names("ReadMe.md"), ["package-docs"]);
        assert_eq!(names("SKILL.md"), Vec::<&str>::new());
    }

    #[test]
    fn exceptions_are_of_a_rule_a_package_and_a_file() {
        let declarations = 0;
        assert!(RULES.spares(declarations, "typescript", "lib/lib.es5.d.ts"));
        assert!(!RULES.spares(declarations, "typescript", "lib/typescript.d.ts"));
        assert!(!RULES.spares(declarations, "typescript-eslint", "lib/lib.es5.d.ts"));
        assert!(RULES.spares(declarations, "@scope/maker", "dist/templates/app/env.d.ts"));
        assert!(!RULES.spares(declarations, "sdk", "resources/skills/index.d.ts"));
        assert!(!RULES.spares(declarations, "openclaw", "docs/env.d.ts"));
    }

    #[test]
    fn an_exception_of_no_rule_is_refused() {
        let broken = TEXT.replace("rules = [\"declarations\"]", "rules = [\"declaration\"]");
        assert!(matches!(Rules::parse(&broken), Err(RulesError::UnknownRule(_))));
    }
}
