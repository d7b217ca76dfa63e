//! What can go wrong with native addons.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use camino::Utf8PathBuf;
use gangway_artifact::TargetName;
use miette::{Diagnostic, NamedSource, SourceSpan};

use super::decide::Lack;
use crate::config::BuildSystem;

/// What can go wrong with native addons.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum AddonError {
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A table about a package that no target has.
    #[error("`[[addon]]` names `{package}`, and no package of the lockfile has that name")]
    #[diagnostic(help("{help}"))]
    NoPackage {
        /// The name.
        package: String,
        /// What it may be.
        help: String,
        /// The manifest.
        #[source_code]
        code: Arc<NamedSource<String>>,
        /// The name's place.
        #[label("no such package")]
        span: SourceSpan,
    },
    /// A table about a target there is not.
    #[error("`[[addon]]` names the target `{target}`, which there is not")]
    #[diagnostic(help("{help}"))]
    NoTarget {
        /// The name.
        target: String,
        /// What it may be.
        help: String,
        /// The manifest.
        #[source_code]
        code: Arc<NamedSource<String>>,
        /// The name's place.
        #[label("no such target")]
        span: SourceSpan,
    },
    /// Packages without native code for a target.
    #[error("{}", .0.message())]
    #[diagnostic(help("{}", .0.help()))]
    Lacking(Lacking),
    /// An install script that did not make what it was trusted to make.
    #[error(
        "{name} {version} has no native code for `{target}` although its install script has run: {because}"
    )]
    #[diagnostic(help(
        "install scripts run on this machine and for it: say in gangway.toml what to do instead\n\n{tables}"
    ))]
    ScriptMadeNone {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// The target.
        target: TargetName,
        /// What there is instead.
        because: String,
        /// The tables to paste.
        tables: String,
    },
}

/// Everything that is missing, on all targets.
#[derive(Debug)]
pub struct Lacking {
    /// By target.
    pub targets: BTreeMap<TargetName, Vec<Lack>>,
}

impl Lacking {
    fn message(&self) -> String {
        let count: usize = self.targets.values().map(Vec::len).sum();
        let what = match (count, self.targets.len()) {
            (1, _) => "a package has no native code for its target".to_owned(),
            (_, 1) => format!("{count} packages have no native code for their target"),
            (_, targets) => {
                let names = self.by_package().len();
                let packages = if names == 1 { "package has" } else { "packages have" };
                format!("{names} {packages} no native code for some of {targets} targets")
            }
        };
        let mut text = format!("{what}:");
        for (target, lacks) in &self.targets {
            // A text in memory takes whatever is written to it.
            let _ = write!(text, "\n  {target}");
            for Lack { name, version, because, .. } in lacks {
                let _ = write!(text, "\n    {name} {version}: {because}");
            }
        }
        text
    }

    fn help(&self) -> String {
        format!(
            "decide for each in gangway.toml: `action = \"prebuilt\"` takes the binary its makers publish (`cargo xtask lock` \
             pins it), `action = \"build\"` compiles its sources for the target, `action = \"omit\"` leaves its native \
             code out and says why the gateway works without{}",
            self.tables()
        )
    }

    /// One table for each package, with what can be done for it.
    #[must_use]
    pub fn tables(&self) -> String {
        let mut tables = String::new();
        for (name, (lack, targets)) in self.by_package() {
            let targets: Vec<_> = targets.iter().map(|target| format!("\"{target}\"")).collect();
            let _ = write!(
                tables,
                "\n\n[[addon]]\npackage = \"{name}\"\ntargets = [{}]\n{}",
                targets.join(", "),
                ways(lack)
            );
        }
        tables
    }

    fn by_package(&self) -> BTreeMap<&str, (&Lack, Vec<&TargetName>)> {
        let mut packages: BTreeMap<&str, (&Lack, Vec<&TargetName>)> = BTreeMap::new();
        for (target, lacks) in &self.targets {
            for lack in lacks {
                let targets = &mut packages.entry(&lack.name).or_insert((lack, Vec::new())).1;
                // Several versions of it may lack the same.
                if targets.last() != Some(&target) {
                    targets.push(target);
                }
            }
        }
        packages
    }
}

/// What can be done for a package: the first that works, and the others as comments to switch to.
fn ways(lack: &Lack) -> String {
    let mut ways = Vec::new();
    if lack.is_published {
        ways.push("action = \"prebuilt\"".to_owned());
    }
    if let Some(system) = lack.sources {
        ways.push(format!("action = \"build\"             # with {}", system.as_str()));
    }
    ways.push(
        "action = \"omit\"\nreason = \"\"                  # why the gateway works without it"
            .to_owned(),
    );
    let others = ways.iter().skip(1).flat_map(|way| way.lines()).map(|line| format!("\n# {line}"));
    let mut text = ways[0].clone();
    text.extend(others);
    let cannot = match (lack.is_published, lack.sources.map(BuildSystem::as_str)) {
        (false, None) => {
            "\n# neither prebuilt nor build: it names no downloads, and brings no sources"
        }
        (false, Some(_)) => "\n# not prebuilt: it names no downloads",
        (true, None) => "\n# not build: it brings no sources",
        (true, Some(_)) => "",
    };
    text.push_str(cannot);
    text
}
