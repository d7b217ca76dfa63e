//! What can be wrong with a lockfile.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{BundlePath, PathError, Platform};
use miette::{Diagnostic, NamedSource, SourceSpan};
use serde_json::Value;

use super::{Format, gate};
use crate::store::StoreError;

/// What can be wrong with a lockfile, or with laying it out.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ClosureError {
    /// It is not JSON or YAML, or not that of a lockfile.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Malformed(#[from] Box<Malformed>),
    /// It is too old or too new.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Version(#[from] UnsupportedVersion),
    /// It has the right version, but no packages.
    #[error("`{path}` has no `packages`")]
    #[diagnostic(help("write it anew with `{rewrite}`"))]
    NoPackages {
        /// The lockfile.
        path: Utf8PathBuf,
        /// The command that does.
        rewrite: &'static str,
    },
    /// The gateway is not a package of the workspace that the lockfile is for.
    #[error("`{path}` does not have the workspace package `{member}`, which the manifest is in")]
    #[diagnostic(help(
        "it has {}\nadd the folder to the workspace and run `{rewrite}`, or name the gateway's own lockfile with `lockfile` in [dependencies]", listed(.known)
    ))]
    NotAMember {
        /// The lockfile.
        path: Utf8PathBuf,
        /// The gateway's folder from there.
        member: Utf8PathBuf,
        /// The packages that it has.
        known: Vec<String>,
        /// The command that writes it anew.
        rewrite: &'static str,
    },
    /// The package.json is not one.
    #[error("cannot compare the lockfile with `package.json`: {reason}")]
    #[diagnostic(help("mend package.json until `npm pkg get name` works beside it"))]
    PackageJson {
        /// Why not.
        reason: String,
    },
    /// A package cannot be changed as its patch says.
    #[error("cannot apply the patch `{patch}` to `{file}` of `{package}`: {reason}")]
    #[diagnostic(help(
        "the patch was made for other contents: make it anew with the package manager's `patch` command, for the version that the lockfile has"
    ))]
    Patch {
        /// The patch, relative to the lockfile.
        patch: Utf8PathBuf,
        /// The package's place.
        package: BundlePath,
        /// What could not be patched.
        file: String,
        /// Why not.
        reason: String,
    },
    /// Packages in it cannot be bundled.
    #[error("`{path}` has {count} {} that cannot be bundled", if *.count == 1 { "entry" } else { "entries" })]
    Faults {
        /// The lockfile.
        path: Utf8PathBuf,
        /// How many.
        count: usize,
        /// Which, by what is wrong with them.
        #[related]
        faults: Vec<Fault>,
    },
    /// A package was not fetched before the tree was assembled.
    #[error("`{name}` {version} was not unpacked before the dependencies were laid out")]
    NotUnpacked {
        /// The package.
        name: String,
        /// Its version.
        version: String,
    },
    /// A folder was not read before the tree was assembled.
    #[error(
        "the folder `{path}`, which the lockfile links to, was not read before the dependencies were laid out"
    )]
    NoFolder {
        /// The folder, relative to the lockfile.
        path: Utf8PathBuf,
    },
    /// A package does not contain what the lockfile says it bundles.
    #[error(
        "`{path}` is marked as bundled in the lockfile, but is not in the tarball of the package around it"
    )]
    #[diagnostic(help(
        "write its entry anew: remove it from the lockfile and run `npm install --package-lock-only`"
    ))]
    NotBundled {
        /// The bundled package.
        path: BundlePath,
    },
    /// A tarball has a file where the lockfile needs a folder.
    #[error("`{path}` is a file in a tarball, but the lockfile puts `{package}` below it")]
    InTheWay {
        /// The file or link.
        path: BundlePath,
        /// The package.
        package: BundlePath,
    },
    /// A path cannot be in a bundle.
    #[error("cannot lay out the dependencies")]
    Path(#[from] PathError),
    /// A program of a package cannot be read.
    #[error("cannot read the program `{path}`")]
    Program {
        /// Its file in the store.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A package's own package.json cannot be read.
    #[error("cannot read `{path}`")]
    Manifest {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store cannot take a mended program.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

/// A lockfile that is not JSON or YAML, or not that of a lockfile.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot read `{path}`: {reason} at line {line}, column {column}")]
pub struct Malformed {
    path: Utf8PathBuf,
    reason: String,
    line: usize,
    column: usize,
    #[source_code]
    text: Option<NamedSource<String>>,
    #[label("here")]
    place: Option<SourceSpan>,
    #[help]
    help: String,
}

/// A lockfile version that is not read.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("`{path}` has lockfile version {found}; {readable} can be read")]
pub struct UnsupportedVersion {
    path: Utf8PathBuf,
    found: String,
    readable: &'static str,
    #[help]
    help: &'static str,
}

/// One thing that is wrong with some packages.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{kind}:{}", lines(.entries))]
#[diagnostic(help("{}", kind.help(*.format)))]
pub struct Fault {
    kind: FaultKind,
    format: Format,
    entries: Vec<String>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FaultKind {
    /// A key or a `file:` path that would lead astray.
    Path,
    /// A link to nothing.
    Link,
    /// A link to the project's own folder.
    LinkToProject,
    /// Needed, and for another platform; holds the target's.
    Platform(String),
    /// A registry package or local tarball without integrity.
    NoIntegrity,
    /// A registry package without version.
    NoVersion,
    /// An integrity that cannot be checked.
    BadIntegrity,
    /// A URL without integrity.
    UnverifiedUrl,
    /// A git commit without integrity.
    UnverifiedGit,
    /// A git commit on a host that makes no tarballs we know of.
    UnhostedGit,
    /// A `resolved` we do not know.
    UnknownSource,
    /// A dependency of a folder outside the project.
    OutsideDependency,
    /// A package that others need, and that has no entry.
    Missing,
    /// A patch that is not there.
    NoPatch,
    /// A patch that is not the one of the lockfile.
    OtherPatch,
    /// A dependency that package.json has otherwise.
    Outdated,
    /// Packages that would need each other without end in folders.
    Endless,
}

/// Everything that is wrong, gathered.
#[derive(Debug, Default)]
pub(super) struct Faults(BTreeMap<FaultKind, Vec<String>>);

impl Malformed {
    /// From serde's error about the JSON `text`.
    pub(super) fn json(text: &str, path: &Utf8Path, error: &serde_json::Error) -> Box<Self> {
        let full = error.to_string();
        let reason = full.rsplit_once(" at line ").map_or(full.as_str(), |(reason, _)| reason);
        Self::at(text, path, (error.line(), error.column()), reason)
    }

    /// At a line and a column, both counted from one.
    pub(super) fn at(
        text: &str,
        path: &Utf8Path,
        (line, column): (usize, usize),
        reason: &str,
    ) -> Box<Self> {
        let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let shown = text[start..].lines().next().unwrap_or("");
        let rewrite = format_of(path).rewrite();
        let help = if text.lines().any(|line| line.starts_with("<<<<<<< ")) {
            format!("a merge left conflict markers; `{rewrite}` resolves them")
        } else {
            format!("write it anew with `{rewrite}`")
        };
        // A file of one endless line would fill the screen.
        let text = (shown.len() < 400).then(|| NamedSource::new(path, text.to_owned()));
        let place = text.is_some().then(|| {
            let offset = shown.floor_char_boundary(column.saturating_sub(1).min(shown.len()));
            SourceSpan::from((start + offset, usize::from(offset < shown.len())))
        });
        let (path, reason) = (path.to_owned(), reason.to_owned());
        Box::new(Self { path, reason, line, column, text, place, help })
    }
}

impl UnsupportedVersion {
    /// From what stands in `lockfileVersion` of npm's.
    pub(super) fn npm(path: &Utf8Path, found: &Value) -> Self {
        let help = match found.as_u64() {
            None | Some(0 | 1) => {
                "npm 6 or older wrote it; run `npm install --package-lock-only` with npm 7 or newer"
            }
            Some(_) => "run `npm install --package-lock-only --lockfile-version 3`",
        };
        let found = if found.is_null() { "none".to_owned() } else { format!("`{found}`") };
        Self { path: path.to_owned(), found, readable: "versions 2 and 3", help }
    }

    /// From what stands there in a lockfile of pnpm or Bun.
    pub(super) fn new(
        path: &Utf8Path,
        found: Option<&str>,
        readable: &'static str,
        help: &'static str,
    ) -> Self {
        let found = found.map_or("none".to_owned(), |found| format!("`{}`", found.escape_debug()));
        Self { path: path.to_owned(), found, readable, help }
    }
}

/// The format of a lockfile that may be called anything.
pub(super) fn format_of(path: &Utf8Path) -> Format {
    path.file_name().and_then(Format::of).unwrap_or_default()
}

impl Faults {
    /// Adds one entry.
    pub(super) fn add(&mut self, kind: FaultKind, entry: String) {
        self.0.entry(kind).or_default().push(entry);
    }

    /// All of them as one error, if there are any.
    pub(super) fn into_result(self, path: &Utf8Path) -> Result<(), ClosureError> {
        let count = self.0.values().map(Vec::len).sum();
        if count == 0 {
            return Ok(());
        }
        let faults = self
            .0
            .into_iter()
            .map(|(kind, entries)| Fault { kind, format: format_of(path), entries })
            .collect();
        Err(ClosureError::Faults { path: path.to_owned(), count, faults })
    }
}

impl FaultKind {
    /// For the platform that packages are not for.
    pub(super) fn platform(platform: &Platform) -> Self {
        Self::Platform(gate::describe(platform))
    }

    fn help(&self, format: Format) -> String {
        let (manager, rewrite) = (format.manager(), format.rewrite());
        match self {
            Self::Path => format!(
                "{manager} writes no such entries; if you do not know where they come from, do not trust this lockfile"
            ),
            Self::Link | Self::Missing => format!("write the lockfile anew with `{rewrite}`"),
            Self::LinkToProject => {
                "remove the dependency on the project itself; a package can import itself by its name through `exports`".to_owned()
            }
            Self::Platform(_) => {
                "make it an optional dependency if the gateway can do without it, or leave this target out".to_owned()
            }
            Self::NoIntegrity | Self::NoVersion | Self::BadIntegrity => format!(
                "remove these entries from the lockfile and run `{rewrite}`, which writes them anew"
            ),
            Self::UnverifiedUrl => match format {
                Format::Npm => "npm records the integrity when it downloads the tarball: remove the entry and run `npm install`; or publish the package to a registry, or vendor the tarball and depend on it as `file:`".to_owned(),
                Format::Pnpm | Format::Bun => "publish the package to a registry, or vendor the tarball and depend on it as `file:`".to_owned(),
            },
            Self::UnverifiedGit | Self::UnhostedGit => {
                "depend on the URL of a release tarball, so that its integrity is recorded; or publish the package to a registry, or pack it with `npm pack` and depend on the tarball as `file:`".to_owned()
            }
            Self::UnknownSource => {
                "depend on a registry version, a tarball's URL, or a `file:`".to_owned()
            }
            Self::OutsideDependency => {
                "npm installs nothing for folders that it links to outside the project: move the folder into the project, or put `install-links=true` into `.npmrc` and write the lockfile anew".to_owned()
            }
            Self::NoPatch => "put the file back, or remove the patch and write the lockfile anew".to_owned(),
            Self::OtherPatch => format!("the patch was changed after the lockfile was written: run `{rewrite}`"),
            Self::Outdated => format!("run `{rewrite}`, and commit the lockfile"),
            Self::Endless => "packages that need different versions of each other in a circle have no end in folders; choose versions with overrides so that they agree".to_owned(),
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Path => "these are not places a package can have",
            Self::Link => "links lead to folders that the lockfile does not have",
            Self::LinkToProject => "links lead to the project itself",
            Self::Platform(platform) => {
                return write!(formatter, "packages are not for the target ({platform})");
            }
            Self::NoIntegrity => "packages have no integrity",
            Self::NoVersion => "packages have no version",
            Self::BadIntegrity => "packages have an integrity that cannot be checked",
            Self::UnverifiedUrl => "packages from URLs have no integrity",
            Self::UnverifiedGit => "packages from git have no integrity",
            Self::UnhostedGit => "packages come from git servers that make no tarballs",
            Self::UnknownSource => "packages come from sources that are not known",
            Self::OutsideDependency => {
                "folders outside the project need packages that the lockfile does not have"
            }
            Self::Missing => "packages are needed that the lockfile does not have",
            Self::NoPatch => "patches are missing",
            Self::OtherPatch => "patches are not those that the lockfile names",
            Self::Outdated => "`package.json` and the lockfile disagree",
            Self::Endless => "packages cannot be laid out in folders",
        })
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "no workspace packages".to_owned(),
        names => format!("`{}`", names.join("`, `")),
    }
}

fn lines(entries: &[String]) -> String {
    entries.iter().map(|entry| format!("\n  {entry}")).collect()
}
