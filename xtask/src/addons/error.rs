//! What can go wrong with native addons.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use camino::Utf8PathBuf;
use gangway_artifact::TargetName;
use miette::{Diagnostic, NamedSource, SourceSpan};

use super::decide::Lack;
use super::prebuilt::PrebuiltError;
use crate::capture::CaptureError;
use crate::layout::LayoutError;
use crate::store::StoreError;
use crate::toolchain::ToolchainError;
use crate::workshop::WorkshopError;

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
    #[diagnostic(help("{}", .0.advice))]
    Lacking(Lacking),
    /// Sources that cannot be built for a target.
    #[error("cannot build {name} {version} for `{target}`: {reason}")]
    #[diagnostic(help(
        "leave `{target}` out of the `targets` of its `[[addon]]`, or say `action = \"omit\"` for it"
    ))]
    CannotBuild {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// The target.
        target: TargetName,
        /// Why not.
        reason: String,
    },
    /// Sources that do not compile, or a fence that failed.
    #[error("building {name} {version} for `{target}` failed")]
    #[diagnostic(help(
        "it has no network and may only write to its own folder; it needs `make` and Python 3, or CMake, on this machine. `env` in its \
         `[[addon]]` sets variables such as CXXFLAGS"
    ))]
    Build {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// The target.
        target: TargetName,
        /// Why.
        source: Box<WorkshopError>,
    },
    /// A binary that is downloaded.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Prebuilt(Box<PrebuiltError>),
    /// There are no compilers.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Toolchain(#[from] ToolchainError),
    /// There is no place to build in.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Workshop(#[from] WorkshopError),
    /// What is built could not be laid out.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Layout(#[from] LayoutError),
    /// What was made cannot be taken.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Capture(#[from] CaptureError),
    /// The store failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// An install script that did not make what it was trusted to make.
    #[error(
        "{package} has no native code for `{target}` although its install script has run: {because}"
    )]
    #[diagnostic(help(
        "install scripts run on this machine and for it: say in gangway.toml what to do instead\n\n{tables}"
    ))]
    ScriptMadeNone {
        /// The package and its version.
        package: String,
        /// The target.
        target: TargetName,
        /// What there is instead.
        because: String,
        /// The tables to paste.
        tables: String,
    },
}

impl From<PrebuiltError> for AddonError {
    fn from(error: PrebuiltError) -> Self {
        Self::Prebuilt(Box::new(error))
    }
}

/// What is missing on one target.
#[derive(Debug)]
pub struct Lacking {
    /// The target.
    pub target: TargetName,
    /// What it lacks.
    pub lacks: Vec<Lack>,
    /// The tables to paste, or where they are.
    advice: String,
}

impl Lacking {
    /// One for each target. The tables speak of all targets, so only the first has them.
    pub(super) fn of_all(targets: BTreeMap<TargetName, Vec<Lack>>) -> Vec<Self> {
        let tables = tables(&targets);
        let first = targets.keys().next().cloned();
        let advice = |target: &TargetName| match &first {
            Some(first) if first != target => format!("the tables to paste are those of `{first}`"),
            _ => format!(
                "decide for each in gangway.toml: `action = \"prebuilt\"` takes what its makers publish (`cargo xtask lock` pins it), `action = \
                 \"build\"` compiles its sources for the target, `action = \"omit\"` leaves its native code out\n\n{tables}"
            ),
        };
        let lacking = |(target, lacks)| Self { advice: advice(&target), target, lacks };
        targets.into_iter().map(lacking).collect()
    }

    fn message(&self) -> String {
        let mut text = match self.lacks.len() {
            1 => format!("a package has no native code for `{}`:", self.target),
            count => format!("{count} packages have no native code for `{}`:", self.target),
        };
        for Lack { name, version, because, .. } in &self.lacks {
            // A text in memory takes whatever is written to it.
            let _ = write!(text, "\n  {name} {version}: {because}");
        }
        text
    }
}

/// One table for each package, with what can be done for it.
pub(super) fn tables(targets: &BTreeMap<TargetName, Vec<Lack>>) -> String {
    let mut packages: BTreeMap<&str, (&Lack, Vec<&TargetName>)> = BTreeMap::new();
    for (target, lacks) in targets {
        for lack in lacks {
            let targets = &mut packages.entry(&lack.name).or_insert((lack, Vec::new())).1;
            // Several versions of it may lack the same.
            if targets.last() != Some(&target) {
                targets.push(target);
            }
        }
    }
    let table = |(name, (lack, targets)): (&str, (&Lack, Vec<&TargetName>))| {
        let targets: Vec<_> = targets.iter().map(|target| format!("\"{target}\"")).collect();
        let targets = targets.join(", ");
        format!("[[addon]]\npackage = \"{name}\"\ntargets = [{targets}]\n{}", ways(lack))
    };
    packages.into_iter().map(table).collect::<Vec<_>>().join("\n\n")
}

/// What can be done for a package: the first that works, and the others as comments to switch to.
fn ways(lack: &Lack) -> String {
    let mut ways = Vec::new();
    if lack.is_published {
        ways.push("action = \"prebuilt\"    # what its install script would download".to_owned());
    }
    if let Some(system) = lack.sources {
        ways.push(format!("action = \"build\"    # with {}", system.as_str()));
    }
    let none = if ways.is_empty() { "    # it has no `binding.gyp` to build" } else { "" };
    ways.push(format!(
        "action = \"omit\"{none}\nreason = \"\"    # why the gateway works without it"
    ));
    let first = ways.remove(0);
    let others = ways.iter().flat_map(|way| way.lines()).map(|line| format!("\n# {line}"));
    let or = if ways.is_empty() { "" } else { "; or" };
    format!("{first}{or}{}", others.collect::<String>())
}
