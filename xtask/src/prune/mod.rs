//! Pruning: what no runtime loads does not travel.
//!
//! Only dependencies are touched, that is, what lies in packages below a `node_modules`; the gateway's own files are
//! the business of `include` and `exclude`. What the rules are stands in `rules.toml`; the reasons, with figures, in
//! `docs/prune.md`. Licence texts stay whatever the rules say, and so does what the manifest keeps.
//!
//! [`apply`] decides first (`decide`: reads package.json of the packages in question, the heads of native files, and the
//! JavaScript of packages with tests) and then takes files out of the tree. Files in the store are never touched.

mod decide;
mod error;
mod native;
mod package;
mod references;
mod rules;

use std::fmt;

use gangway_artifact::Platform;
use globset::{GlobSet, GlobSetBuilder};
use indicatif::{DecimalBytes, HumanCount};

use crate::config::{self, Engine};
use crate::native::Natives;
use crate::tree::{Source, Tree};

pub use error::{Finding, PruneError};
pub(crate) use package::owner;
pub use rules::{Rule, rules};

/// What pruning took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The rules that are on, in order.
    pub rules: Vec<RuleSummary>,
    /// What in the manifest had no effect.
    pub findings: Vec<Finding>,
}

/// What one rule took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSummary {
    /// The rule's name.
    pub name: &'static str,
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Takes out of `tree`, whose paths are relative to the app's folder, what the rules find.
///
/// # Errors
/// When `config` names a rule that does not exist or has a malformed pattern, or a file cannot be read. The tree is then
/// as it was.
pub fn apply(
    tree: &mut Tree,
    config: &config::Prune,
    platform: &Platform,
    engine: Option<Engine>,
    natives: &Natives,
) -> Result<Summary, PruneError> {
    let switched_on = switches(config, engine)?;
    let keep = Keep::new(config)?;
    let removals = decide::decide(tree, &switched_on, &keep.all, platform, natives)?;
    let findings = keep.findings(config, tree);
    let mut summaries: Vec<_> =
        rules().iter().map(|rule| RuleSummary { name: rule.name, files: 0, bytes: 0 }).collect();
    for removal in &removals {
        summaries[removal.rule].files += 1;
        summaries[removal.rule].bytes += removal.bytes;
    }
    let mut removals = removals.into_iter().map(|removal| removal.path).peekable();
    tree.retain(|path, _| removals.next_if(|removed| removed == path).is_none());
    let rules = std::iter::zip(summaries, switched_on)
        .filter_map(|(summary, is_on)| is_on.then_some(summary))
        .collect();
    Ok(Summary { rules, findings })
}

/// Which rules are on, by number. A rule whose files the engine does load is off unless the manifest switches it on.
fn switches(config: &config::Prune, engine: Option<Engine>) -> Result<Vec<bool>, PruneError> {
    let mut switches: Vec<bool> =
        rules().iter().map(|rule| rule.default && rule.suits(engine)).collect();
    for (name, switch) in &config.rules {
        match rules().iter().position(|rule| rule.name == name) {
            Some(number) => switches[number] = switch.value,
            None => {
                return Err(PruneError::UnknownRule {
                    name: name.clone(),
                    help: nearest(name),
                    span: switch.span.clone(),
                });
            }
        }
    }
    Ok(switches)
}

fn nearest(name: &str) -> String {
    let names = || rules().iter().map(|rule| rule.name);
    let distance = |rule: &&str| strsim::damerau_levenshtein(rule, name);
    match names().min_by_key(distance).filter(|rule| distance(rule) <= 3) {
        Some(rule) => format!("did you mean `{rule}`?"),
        None => format!(
            "the rules are {}",
            Vec::from_iter(names().map(|name| format!("`{name}`"))).join(", ")
        ),
    }
}

/// The manifest's `keep` patterns: each as it is, and for a folder everything below it.
struct Keep {
    all: GlobSet,
    each: Vec<GlobSet>,
}

impl Keep {
    fn new(config: &config::Prune) -> Result<Self, PruneError> {
        let mut all = GlobSetBuilder::new();
        let mut each = Vec::new();
        for pattern in &config.keep {
            let fault = |source| PruneError::BadGlob {
                glob: pattern.value.clone(),
                span: pattern.span.clone(),
                source,
            };
            let written = pattern.value.trim_start_matches("./").trim_end_matches('/');
            let mut one = GlobSetBuilder::new();
            for text in [written.to_owned(), format!("{written}/**")] {
                let glob = rules::path_glob(&text).map_err(fault)?;
                all.add(glob.clone());
                one.add(glob);
            }
            each.push(one.build().map_err(fault)?);
        }
        let all = all.build().expect("each of them was built alone");
        Ok(Self { all, each })
    }

    /// The patterns that no file of a dependency matches.
    fn findings(&self, config: &config::Prune, tree: &Tree) -> Vec<Finding> {
        let is_dependency =
            |path: &str| path.starts_with("node_modules/") || path.contains("/node_modules/");
        std::iter::zip(&config.keep, &self.each)
            .filter(|(_, globs)| {
                !tree
                    .files()
                    .any(|(path, _)| is_dependency(path.as_str()) && globs.is_match(path.as_str()))
            })
            .map(|(pattern, _)| Finding::KeepsNothing {
                glob: pattern.value.clone(),
                span: pattern.span.clone(),
            })
            .collect()
    }
}

/// All of a file of the tree.
fn read(source: &Source) -> Result<Vec<u8>, PruneError> {
    fs_err::read(source.path())
        .map_err(|error| PruneError::Read { path: source.path(), source: error })
}

impl Summary {
    /// What all rules took together.
    #[must_use]
    pub fn total(&self) -> RuleSummary {
        RuleSummary {
            name: "total",
            files: self.rules.iter().map(|rule| rule.files).sum(),
            bytes: self.rules.iter().map(|rule| rule.bytes).sum(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        let lines: Vec<_> = (self.rules.iter().chain([&total]))
            .map(|rule| {
                let bytes = DecimalBytes(rule.bytes).to_string();
                (rule.name, HumanCount(rule.files).to_string(), bytes)
            })
            .collect();
        let widest = |column: fn(&(&str, String, String)) -> usize| lines.iter().map(column).max();
        let names = widest(|line| line.0.len()).unwrap_or(0);
        let counts = widest(|line| line.1.len()).unwrap_or(0);
        let sizes = widest(|line| line.2.len()).unwrap_or(0);
        for (number, (name, count, size)) in lines.iter().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            write!(formatter, "{end}{name:names$}  {count:>counts$} files  {size:>sizes$}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use camino::Utf8Path;
    use gangway_artifact::{BundlePath, Cpu, Digest, Libc, Os};
    use miette::{GraphicalReportHandler, GraphicalTheme, NamedSource};

    use super::*;
    use crate::config::Located;
    use crate::tree::Node;

    const LINUX: Platform = Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Glibc) };

    /// A tree whose files exist, in a folder that goes away with it.
    struct Stage {
        folder: tempfile::TempDir,
        tree: Tree,
    }

    impl Stage {
        fn new(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().expect("a folder for temporary files");
            let mut stage = Self { folder, tree: Tree::default() };
            for (path, text) in files {
                stage.add(path, text.as_bytes());
            }
            stage
        }

        fn add(&mut self, path: &str, bytes: &[u8]) {
            let folder = Utf8Path::from_path(self.folder.path()).expect("plain");
            let file = folder.join(self.tree.len().to_string());
            fs_err::write(&file, bytes).expect("writable");
            let source = Source::new(file, bytes.len() as u64, false, Digest::of(bytes));
            self.tree.insert(BundlePath::new(path).expect("plain"), Node::File(source));
        }

        /// Prunes, and lists what went with the rule that took it.
        fn pruned(&mut self, config: &config::Prune) -> String {
            let before = self.tree.clone();
            let keep = Keep::new(config).expect("fine");
            let switches = switches(config, Some(Engine::Node)).expect("fine");
            let removals =
                decide::decide(&before, &switches, &keep.all, &LINUX, &Natives::default())
                    .expect("readable");
            apply(&mut self.tree, config, &LINUX, Some(Engine::Node), &Natives::default())
                .expect("readable");
            let gone = before.iter().filter(|(path, _)| self.tree.get(path.as_str()).is_none());
            let mut list = String::new();
            for ((path, _), removal) in std::iter::zip(gone, &removals) {
                assert_eq!(*path, removal.path);
                let _ = writeln!(list, "{:18} {path}", rules()[removal.rule].name);
            }
            list
        }
    }

    fn defaults() -> config::Prune {
        config::Prune::default()
    }

    fn keeping(globs: &[&str]) -> config::Prune {
        let located = |glob: &&str| Located { value: (*glob).to_owned(), span: 8..8 + glob.len() };
        config::Prune { keep: globs.iter().map(located).collect(), ..defaults() }
    }

    fn switching(name: &str, is_on: bool) -> config::Prune {
        let switch = Located { value: is_on, span: 14..14 + name.len() };
        config::Prune { rules: [(name.to_owned(), switch)].into(), ..defaults() }
    }

    /// The first 20 bytes of an ELF file for this machine.
    fn elf(machine: u8) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[16] = 3;
        bytes[18] = machine;
        bytes
    }

    #[test]
    fn the_rules_at_work() {
        let mut stage = Stage::new(&[
            ("src/index.d.ts", ""),
            ("src/test/a.test.js", ""),
            ("node_modules/.package-lock.json", "{}"),
            ("node_modules/a/package.json", r#"{"main": "index.js"}"#),
            ("node_modules/a/index.js", "require('./lib/x')"),
            ("node_modules/a/index.d.ts", ""),
            ("node_modules/a/index.js.map", ""),
            ("node_modules/a/lib/x.ts", ""),
            ("node_modules/a/lib/x.test.js", ""),
            ("node_modules/a/lib/y.h", ""),
            ("node_modules/a/test/index.js", ""),
            ("node_modules/a/test/LICENSE", ""),
            ("node_modules/a/test/node_modules/b/index.js", ""),
            ("node_modules/a/README.md", ""),
            ("node_modules/addon/binding.gyp", ""),
            ("node_modules/addon/src/a.cc", ""),
            ("node_modules/addon/src/license.h", ""),
            ("node_modules/addon/prebuilds/win32-x64/readme.txt", ""),
            ("node_modules/addon/prebuilds/linux-x64/readme.txt", ""),
            ("packages/p/node_modules/c/package.json", "{}"),
            ("packages/p/node_modules/c/index.d.ts", ""),
        ]);
        insta::assert_snapshot!(stage.pruned(&defaults()), @"
        declarations       node_modules/a/index.d.ts
        source-maps        node_modules/a/index.js.map
        tests              node_modules/a/lib/x.test.js
        typescript-sources node_modules/a/lib/x.ts
        tests              node_modules/a/test/index.js
        tests              node_modules/a/test/node_modules/b/index.js
        native-sources     node_modules/addon/binding.gyp
        foreign-prebuilds  node_modules/addon/prebuilds/win32-x64/readme.txt
        native-sources     node_modules/addon/src/a.cc
        native-sources     node_modules/addon/src/license.h
        declarations       packages/p/node_modules/c/index.d.ts
        ");
        assert_eq!(stage.pruned(&defaults()), "");
    }

    #[test]
    fn tests_that_are_used_stay() {
        let mut stage = Stage::new(&[
            ("node_modules/named/package.json", r#"{"exports": {"./test": "./test/index.js"}}"#),
            ("node_modules/named/test/index.js", ""),
            ("node_modules/used/package.json", "{}"),
            ("node_modules/used/lib/a.js", "export * from '../test/util.js'"),
            ("node_modules/used/test/util.js", ""),
            ("node_modules/used/tests/other.js", "require('../test/util.js')"),
            ("node_modules/unknown/test/index.js", ""),
            ("node_modules/docs/package.json", "{}"),
            ("node_modules/docs/docs/test/page.md", ""),
            ("node_modules/docs/skills/x/tests/run.js", ""),
        ]);
        insta::assert_snapshot!(stage.pruned(&defaults()), @"tests              node_modules/used/tests/other.js");
    }

    #[test]
    fn typescript_that_is_loaded_stays() {
        let mut stage = Stage::new(&[
            ("node_modules/plugin/package.json", r#"{"openclaw": {"extensions": ["./index.ts"]}}"#),
            ("node_modules/plugin/index.ts", ""),
            ("node_modules/plugin/lib/more.ts", ""),
            ("node_modules/loader/package.json", r#"{"dependencies": {"jiti": "2"}}"#),
            ("node_modules/loader/index.mts", ""),
            ("node_modules/typescript/package.json", "{}"),
            ("node_modules/typescript/lib/lib.es5.d.ts", ""),
            ("node_modules/typescript/lib/typescript.d.ts", ""),
        ]);
        insta::assert_snapshot!(stage.pruned(&defaults()), @"
        declarations       node_modules/typescript/lib/typescript.d.ts
        ");
    }

    #[test]
    fn readmes_that_someone_reads_stay() {
        let mut stage = Stage::new(&[
            ("node_modules/plain/LICENSE", ""),
            ("node_modules/plain/README.md", ""),
            ("node_modules/plain/lib/README.md", ""),
            ("node_modules/unlicensed/README.md", ""),
            ("node_modules/agents/LICENSE", ""),
            ("node_modules/agents/README.md", ""),
            ("node_modules/agents/skills/x/SKILL.md", ""),
        ]);
        insta::assert_snapshot!(stage.pruned(&defaults()), @"package-docs       node_modules/plain/README.md");
    }

    #[test]
    fn headers_decide_over_names() {
        let mut stage = Stage::new(&[
            ("node_modules/a/prebuilds/win32-x64/notes.json", "{}"),
            ("node_modules/a/assets/encoding.so", "\0asm\u{1}\0\0\0"),
        ]);
        stage.add("node_modules/a/prebuilds/win32-x64/really-linux.node", &elf(62));
        stage.add("node_modules/a/prebuilds/linux-x64/really-arm.node", &elf(183));
        stage.add("node_modules/a/lib/arm.so.1", &elf(183));
        stage.add("node_modules/a/lib/own.so.1", &elf(62));
        insta::assert_snapshot!(stage.pruned(&defaults()), @"
        foreign-prebuilds  node_modules/a/lib/arm.so.1
        foreign-prebuilds  node_modules/a/prebuilds/linux-x64/really-arm.node
        foreign-prebuilds  node_modules/a/prebuilds/win32-x64/notes.json
        ");
    }

    #[test]
    fn what_the_manifest_keeps_stays() {
        let files = [
            ("node_modules/a/package.json", "{}"),
            ("node_modules/a/index.d.ts", ""),
            ("node_modules/a/lib/x.d.ts", ""),
            ("node_modules/b/index.d.ts", ""),
        ];
        let mut stage = Stage::new(&files);
        stage.pruned(&keeping(&["node_modules/a", "node_modules/*/index.d.ts"]));
        assert_eq!(stage.tree.len(), 4);
        let mut stage = Stage::new(&files);
        assert_eq!(stage.pruned(&switching("declarations", false)), "");
    }

    #[test]
    fn the_summary_is_a_table() {
        let mut stage = Stage::new(&[("node_modules/a/index.d.ts", "12345")]);
        let summary = apply(
            &mut stage.tree,
            &switching("tooling", true),
            &LINUX,
            Some(Engine::Node),
            &Natives::default(),
        )
        .expect("fine");
        insta::assert_snapshot!(summary, @"
        declarations        1 files  5 B
        source-maps         0 files  0 B
        native-sources      0 files  0 B
        foreign-prebuilds   0 files  0 B
        typescript-sources  0 files  0 B
        tests               0 files  0 B
        package-docs        0 files  0 B
        tooling             0 files  0 B
        total               1 files  5 B
        ");
    }

    fn rendered(text: &str, error: impl miette::Diagnostic + Send + Sync + 'static) -> String {
        let report = miette::Report::new(error)
            .with_source_code(NamedSource::new("gangway.toml", text.to_owned()));
        let mut rendered = String::new();
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
            .render_report(&mut rendered, report.as_ref())
            .expect("a string takes everything");
        rendered
    }

    #[test]
    fn a_rule_that_is_none_is_an_error() {
        let error = apply(
            &mut Tree::default(),
            &switching("declaration", true),
            &LINUX,
            Some(Engine::Node),
            &Natives::default(),
        );
        insta::assert_snapshot!(rendered("[prune.rules]\ndeclaration = true\n", error.expect_err("unknown")), @"
         × there is no prune rule `declaration`
          ╭─[gangway.toml:2:1]
        1 │ [prune.rules]
        2 │ declaration = true
          · ─────┬─────
          ·      ╰── not a rule
          ╰────
         help: did you mean `declarations`?
        ");
        let error = apply(
            &mut Tree::default(),
            &switching("everything", true),
            &LINUX,
            Some(Engine::Node),
            &Natives::default(),
        );
        insta::assert_snapshot!(rendered("[prune.rules]\neverything = true\n", error.expect_err("unknown")), @"
         × there is no prune rule `everything`
          ╭─[gangway.toml:2:1]
        1 │ [prune.rules]
        2 │ everything = true
          · ─────┬────
          ·      ╰── not a rule
          ╰────
         help: the rules are `declarations`, `source-maps`, `native-sources`, `foreign-prebuilds`, `typescript-sources`, `tests`, `package-docs`, `tooling`
        ");
    }

    #[test]
    fn a_pattern_that_is_none_is_an_error() {
        let error = apply(
            &mut Tree::default(),
            &keeping(&["a/{b"]),
            &LINUX,
            Some(Engine::Node),
            &Natives::default(),
        );
        insta::assert_snapshot!(rendered("keep = ['a/{b']\n", error.expect_err("malformed")), @"
         × cannot read the pattern `a/{b`
         ╰─▶ error parsing glob 'a/{b': unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)
          ╭─[gangway.toml:1:9]
        1 │ keep = ['a/{b']
          ·         ──┬─
          ·           ╰── not a pattern
          ╰────
        ");
    }

    #[test]
    fn a_pattern_that_keeps_nothing_is_worth_a_word() {
        let mut stage = Stage::new(&[("node_modules/a/index.d.ts", ""), ("src/b.d.ts", "")]);
        let summary = apply(
            &mut stage.tree,
            &keeping(&["src/*.d.ts"]),
            &LINUX,
            Some(Engine::Node),
            &Natives::default(),
        )
        .expect("fine");
        let [finding] = &summary.findings[..] else { panic!("{:?}", summary.findings) };
        insta::assert_snapshot!(rendered("keep = ['src/*.d.ts']\n", finding.clone()), @"
         ⚠ the pattern `src/*.d.ts` keeps nothing: no file of a dependency matches it
          ╭─[gangway.toml:1:9]
        1 │ keep = ['src/*.d.ts']
          ·         ─────┬────
          ·              ╰── matches nothing
          ╰────
         help: patterns start at the app's folder, as in `node_modules/ws/**`; only dependencies are pruned
        ");
    }
}
