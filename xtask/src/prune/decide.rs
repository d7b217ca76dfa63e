//! Decides which files go. Reads, but changes nothing.

use std::collections::BTreeSet;

use gangway_artifact::{BundlePath, Platform};
use globset::GlobSet;
use rayon::prelude::*;

use super::error::PruneError;
use super::native;
use super::package::{Package, PackageFile, is_declaration, packages};
use super::references;
use super::rules::{RULES, Test};
use crate::licenses::is_license;
use crate::native::Natives;
use crate::tree::Tree;

/// A file to take out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Removal {
    pub(super) path: BundlePath,
    pub(super) bytes: u64,
    /// The number of the rule that takes it.
    pub(super) rule: usize,
}

/// What goes, sorted by path.
pub(super) fn decide(
    tree: &Tree,
    switched_on: &[bool],
    keep: &GlobSet,
    platform: &Platform,
    natives: &Natives,
) -> Result<Vec<Removal>, PruneError> {
    let packages = packages(tree);
    let decision = Decision { switched_on, keep, platform, natives };
    let per_package: Vec<Findings<'_>> = packages
        .into_par_iter()
        .map(|package| decision.package(&package))
        .collect::<Result<_, _>>()?;
    // Packages inside a folder of tests are part of the tests.
    let mut removals = Vec::new();
    let mut test_folders: BTreeSet<String> = BTreeSet::new();
    for findings in per_package {
        let surrounding = findings.tests_rule.filter(|_| {
            let mut folders =
                findings.folder.match_indices('/').map(|(end, _)| &findings.folder[..end]);
            folders.any(|folder| test_folders.contains(folder))
        });
        test_folders.extend(findings.test_folders);
        for (file, rule) in findings.files {
            let Some(rule) = rule.or(surrounding.filter(|_| decision.may_go(&file))) else {
                continue;
            };
            removals.push(Removal { path: file.path.clone(), bytes: file.source.size, rule });
        }
    }
    removals.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    Ok(removals)
}

/// What was found in one package.
struct Findings<'tree> {
    folder: &'tree str,
    /// Its files and the rule that takes each.
    files: Vec<(PackageFile<'tree>, Option<usize>)>,
    /// Its folders of tests that go, from the tree's root.
    test_folders: Vec<String>,
    /// The number of the rule about tests, when it is on.
    tests_rule: Option<usize>,
}

struct Decision<'run> {
    switched_on: &'run [bool],
    keep: &'run GlobSet,
    platform: &'run Platform,
    natives: &'run Natives,
}

impl Decision<'_> {
    fn package<'tree>(&self, package: &Package<'tree>) -> Result<Findings<'tree>, PruneError> {
        let traits = Traits::of(package);
        let mut named = Vec::new();
        let mut files = Vec::with_capacity(package.files.len());
        for file in &package.files {
            named.clear();
            RULES.matching(file.path.name(), &mut named);
            let rule = self.rule_for(package, file, &named, &traits)?;
            files.push((*file, rule.filter(|_| self.may_go(file))));
        }
        let tests_rule = RULES.checks.iter().position(|check| check.test == Test::Tests);
        let tests_rule = tests_rule.filter(|rule| self.switched_on[*rule]);
        let test_folders = match tests_rule {
            Some(rule) => self.take_tests(package, rule, &mut files)?,
            None => Vec::new(),
        };
        Ok(Findings { folder: package.folder, files, test_folders, tests_rule })
    }

    /// The first rule that takes a file; `named` are the rules whose names of files match. Tests are not looked for yet:
    /// whether they are used shows when all files are known.
    fn rule_for(
        &self,
        package: &Package<'_>,
        file: &PackageFile<'_>,
        named: &[usize],
        traits: &Traits,
    ) -> Result<Option<usize>, PruneError> {
        for (number, check) in RULES.checks.iter().enumerate() {
            let is_named = named.contains(&number);
            let is_asked = is_named || !check.folders.is_empty();
            if !is_asked || !self.switched_on[number] {
                continue;
            }
            let is_at_root = is_named && !file.inside.contains('/');
            let goes = match check.test {
                Test::Name => is_named,
                Test::Docs => is_at_root && !traits.has_docs_to_read,
                Test::Root => {
                    is_at_root || check.folders.iter().any(|folder| is_below(file.inside, folder))
                }
                Test::Native => is_named && traits.is_compiled,
                Test::Typescript => {
                    let is_source = is_named && !is_declaration(file.path.name());
                    is_source && !self.may_load_typescript(package)?
                }
                Test::Foreign => {
                    let (platform, natives) = (self.platform, self.natives);
                    native::is_foreign(file, is_named, &check.folders, platform, natives)?
                }
                Test::Tests => false,
            };
            if goes && !RULES.spares(number, package.name, file.inside) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn may_go(&self, file: &PackageFile<'_>) -> bool {
        let never = file.inside == "package.json" || is_license(file.inside);
        !never && !self.keep.is_match(file.path.as_str())
    }

    fn may_load_typescript(&self, package: &Package<'_>) -> Result<bool, PruneError> {
        let manifest = package.manifest(&RULES)?;
        Ok(manifest.has_typescript_loader || manifest.names_typescript())
    }

    /// Takes the tests that nothing refers to, and says which of them are folders.
    fn take_tests<'tree>(
        &self,
        package: &Package<'tree>,
        rule: usize,
        files: &mut [(PackageFile<'tree>, Option<usize>)],
    ) -> Result<Vec<String>, PruneError> {
        let test_of = |file: &PackageFile<'tree>| {
            TestFile::of(file, rule).filter(|_| !RULES.spares(rule, package.name, file.inside))
        };
        let left = files.iter().filter(|(_, taken)| taken.is_none());
        let mut tests: BTreeSet<_> = left.filter_map(|(file, _)| test_of(file)).collect();
        if tests.is_empty() {
            return Ok(Vec::new());
        }
        let manifest = package.manifest(&RULES)?;
        tests.retain(|test| match test {
            TestFile::Below(folder) => !manifest.leads_into(folder),
            TestFile::Alone(file) => !manifest.names(file),
        });
        let places: Vec<&str> = tests.iter().map(TestFile::place).collect();
        let others = package
            .files
            .iter()
            .filter(|file| !test_of(file).is_some_and(|test| tests.contains(&test)));
        let referred = references::referred(others, &places)?;
        tests.retain(|test| !referred.contains(test.place()));
        for (file, taken) in files.iter_mut().filter(|(_, taken)| taken.is_none()) {
            if test_of(file).is_some_and(|test| tests.contains(&test)) && self.may_go(file) {
                *taken = Some(rule);
            }
        }
        let folders = tests.iter().filter_map(|test| match test {
            TestFile::Below(folder) => Some(format!("{}/{folder}", package.folder)),
            TestFile::Alone(_) => None,
        });
        Ok(folders.collect())
    }
}

/// What the files of a package tell of it.
struct Traits {
    /// Its C and C++ is compiled.
    is_compiled: bool,
    /// Its README is the only place of its licence, or agents read it.
    has_docs_to_read: bool,
}

impl Traits {
    fn of(package: &Package<'_>) -> Self {
        let has = |test: &dyn Fn(&PackageFile<'_>) -> bool| package.files.iter().any(test);
        let is_for_agents =
            |file: &PackageFile<'_>| RULES.for_agents.iter().any(|name| name == file.path.name());
        let is_license_text =
            |file: &PackageFile<'_>| !file.inside.contains('/') && is_license(file.inside);
        Self {
            is_compiled: has(&|file| RULES.compiled.is_match(file.path.name())),
            has_docs_to_read: has(&is_for_agents) || !has(&is_license_text),
        }
    }
}

/// How a file is part of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TestFile<'tree> {
    /// It lies below this folder of tests, the outermost.
    Below(&'tree str),
    /// Its own name says so.
    Alone(&'tree str),
}

impl<'tree> TestFile<'tree> {
    fn of(file: &PackageFile<'tree>, rule: usize) -> Option<Self> {
        let folders = &RULES.checks[rule].folders;
        let ends = file.inside.match_indices('/').map(|(end, _)| end);
        let mut start = 0;
        for end in ends {
            if folders.iter().any(|folder| *folder == file.inside[start..end]) {
                return Some(Self::Below(&file.inside[..end]));
            }
            start = end + 1;
        }
        RULES.matches(rule, file.path.name()).then_some(Self::Alone(file.inside))
    }

    fn place(&self) -> &'tree str {
        match self {
            Self::Below(place) | Self::Alone(place) => place,
        }
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
