//! The gateway's own files: what lies beside the manifest and belongs into the bundle.
//!
//! Without `include` that is every file `.gitignore` does not exclude, less what is Gangway's or npm's own
//! (`node_modules`, the manifest and its lock). What the build command makes is never among them: a stale
//! output of yesterday must not reach a bundle. Symbolic links may only point inside the folder.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{BundlePath, Digest, PathError};
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use ignore::WalkBuilder;
use miette::Diagnostic;
use rayon::prelude::*;

use crate::closure::{Closure, Origin};
use crate::config::{self, Config, Located};
use crate::lock;
use crate::mode;
use crate::plan::Plan;
use crate::tree::{Node, Source, Tree};

mod outer;
mod packed;

use outer::OuterRules;
use packed::Packed;

/// An own file that cannot be taken.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum OwnFilesError {
    /// The folder could not be read.
    #[error("cannot list the gateway's files in `{folder}`")]
    List {
        /// The folder.
        folder: Utf8PathBuf,
        /// Why not.
        source: ignore::Error,
    },
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A name that no bundle can hold.
    #[error("`{path}` cannot be in a bundle")]
    #[diagnostic(help("rename it, or leave it out with `exclude` in [app]"))]
    Name {
        /// The file.
        path: String,
        /// Why not.
        source: Option<PathError>,
    },
    /// A link that leads elsewhere.
    #[error("the link `{path}` points to `{target}`, outside the gateway's folder")]
    #[diagnostic(help("copy what it points to, or leave the link out with `exclude` in [app]"))]
    Link {
        /// The link.
        path: Utf8PathBuf,
        /// Where it points.
        target: Utf8PathBuf,
    },
    /// An `include` that matches no file.
    #[error("`include` in [app] of `{manifest}` names `{pattern}`, and no file matches it")]
    #[diagnostic(help(
        "patterns are relative to the manifest's folder and match whole paths: `dist/**`, `*.json`"
    ))]
    Unmatched {
        /// The manifest.
        manifest: Utf8PathBuf,
        /// The pattern.
        pattern: String,
    },
}

/// Everything of the user's own that goes into a bundle, or into making it. Read once, so that every stage sees the same.
#[derive(Debug, Default)]
pub struct OwnFiles {
    /// What is shipped: `include` less `exclude`.
    pub shipped: Tree,
    /// What the build command may read; empty without one.
    pub sources: Tree,
    /// Folders that the closure refers to, by their path from the lockfile.
    pub folders: BTreeMap<Utf8PathBuf, Tree>,
}

/// Which of the files beside the manifest to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selection {
    /// `include` less `exclude`.
    Shipped,
    /// Everything `.gitignore` does not exclude.
    Sources,
}

impl OwnFiles {
    /// Reads what the plan needs; `base` is the lockfile's folder, `skip` are folders that hold bundles, not sources.
    ///
    /// # Errors
    /// When a file cannot be read or must not be in a bundle.
    pub fn collect(
        config: &Config,
        plan: &Plan,
        base: &Utf8Path,
        skip: &[Utf8PathBuf],
    ) -> Result<Self, OwnFilesError> {
        let closures = plan.targets.iter().map(|target| &target.closure);
        let closures = closures.chain(plan.build.iter().map(|build| &build.closure));
        Ok(Self {
            shipped: collect(config, Selection::Shipped, skip)?,
            sources: match plan.build {
                Some(_) => collect(config, Selection::Sources, skip)?,
                None => Tree::default(),
            },
            folders: Self::folders(base, closures)?,
        })
    }

    /// Reads the folders that closures refer to: workspaces and `file:` dependencies.
    ///
    /// # Errors
    /// When a file cannot be read or must not be in a bundle.
    pub fn folders<'closure>(
        base: &Utf8Path,
        closures: impl IntoIterator<Item = &'closure Closure>,
    ) -> Result<BTreeMap<Utf8PathBuf, Tree>, OwnFilesError> {
        let mut folders = BTreeMap::new();
        for package in closures.into_iter().flat_map(|closure| &closure.packages) {
            if let Origin::Folder { path } = &package.origin {
                folders.insert(path.clone(), folder(&base.join(path))?);
            }
        }
        Ok(folders)
    }

    /// Lists and hashes the files beside the manifest that match one of `globs`, whatever `.gitignore` says.
    ///
    /// # Errors
    /// When a file cannot be read, or a glob matches none.
    pub fn matching(
        config: &Config,
        globs: &[Located<String>],
        skip: &[Utf8PathBuf],
    ) -> Result<Tree, OwnFilesError> {
        let patterns = Patterns::of(globs);
        let skip = skip.iter().filter_map(|folder| within(&config.folder, folder)).collect();
        let mut files = walk(&config.folder, skip, false)?;
        files.retain(|(path, _)| patterns.matches(path));
        patterns.all_used(config, &files)?;
        hash(&config.folder, files)
    }

    /// Lists and hashes everything below `folder` that `.gitignore` does not exclude.
    ///
    /// # Errors
    /// When a file cannot be read or must not be in a bundle.
    pub fn below(folder: &Utf8Path, skip: &[Utf8PathBuf]) -> Result<Tree, OwnFilesError> {
        let skip = skip.iter().filter_map(|inner| within(folder, inner)).collect();
        hash(folder, walk(folder, skip, true)?)
    }

    /// Every tree, in a fixed order.
    pub fn trees(&self) -> impl Iterator<Item = &Tree> {
        [&self.shipped, &self.sources].into_iter().chain(self.folders.values())
    }
}

/// Lists and hashes files beside the manifest; paths are relative to its folder.
fn collect(
    config: &Config,
    selection: Selection,
    skip: &[Utf8PathBuf],
) -> Result<Tree, OwnFilesError> {
    let (include, exclude) = match selection {
        Selection::Shipped => (config.app.include.as_slice(), config.app.exclude.as_slice()),
        Selection::Sources => Default::default(),
    };
    let (include, exclude) = (Patterns::of(include), Patterns::of(exclude));
    let outputs = config.build.iter().flat_map(|build| &build.outputs);
    let outputs = outputs.map(|output| Utf8PathBuf::from(output.value.as_str()));
    let skip = skip.iter().filter_map(|folder| within(&config.folder, folder));
    let skip = skip.chain(outputs).collect();
    let mut files = walk(&config.folder, skip, include.is_empty())?;
    if include.is_empty() {
        let outer = OuterRules::of(config);
        files.retain(|(path, _)| !outer.exclude(path));
    }
    files.retain(|(path, _)| {
        let chosen = include.is_empty() || include.matches(path);
        chosen
            && !exclude.matches(path)
            && !matches!(path.as_str(), config::FILE_NAME | lock::FILE_NAME)
    });
    include.all_used(config, &files)?;
    hash(&config.folder, files)
}

fn hash(folder: &Utf8Path, files: Vec<(String, Utf8PathBuf)>) -> Result<Tree, OwnFilesError> {
    files
        .into_par_iter()
        .map(|(path, file)| match BundlePath::new(path.clone()) {
            Ok(place) => {
                let node = read(folder, &place, file)?;
                Ok((place, node))
            }
            Err(source) => Err(OwnFilesError::Name { path, source: Some(source) }),
        })
        .collect::<Result<Vec<_>, _>>()
        .map(Tree::from_iter)
}

/// Lists and hashes a folder that the gateway depends on (a workspace, a `file:` dependency): what its package.json
/// lists under `files`, or else everything. `.gitignore` has no say: it names what is built, and that is what is needed.
fn folder(folder: &Utf8Path) -> Result<Tree, OwnFilesError> {
    let mut files = walk(folder, Vec::new(), false)?;
    if let Some(packed) = Packed::of(folder) {
        files.retain(|(path, _)| packed.has(path));
    }
    hash(folder, files)
}

/// The path of `inner` in `folder`, however the two are spelled. What is not there, or elsewhere, has none.
fn within(folder: &Utf8Path, inner: &Utf8Path) -> Option<Utf8PathBuf> {
    let (folder, inner) = (folder.canonicalize_utf8().ok()?, inner.canonicalize_utf8().ok()?);
    inner.strip_prefix(folder).ok().map(Utf8Path::to_owned)
}

/// Files and links below `folder`, by their path in it; `skip` are paths in it too.
fn walk(
    folder: &Utf8Path,
    skip: Vec<Utf8PathBuf>,
    ignore_rules: bool,
) -> Result<Vec<(String, Utf8PathBuf)>, OwnFilesError> {
    let root = folder.to_owned();
    let walker = WalkBuilder::new(folder)
        .standard_filters(false)
        .git_ignore(ignore_rules)
        .require_git(false)
        .sort_by_file_name(std::cmp::Ord::cmp)
        .filter_entry(move |entry| {
            let path = entry.path().strip_prefix(&root).unwrap_or(entry.path());
            !skip.iter().any(|skipped| path == skipped)
                && !matches!(entry.file_name().to_str(), Some("node_modules" | ".git"))
        })
        .build();
    let mut found = Vec::new();
    for entry in walker {
        let entry =
            entry.map_err(|source| OwnFilesError::List { folder: folder.to_owned(), source })?;
        if entry.file_type().is_none_or(|kind| kind.is_dir()) {
            continue;
        }
        let path = Utf8PathBuf::from_path_buf(entry.into_path()).map_err(|path| {
            OwnFilesError::Name { path: path.display().to_string(), source: None }
        })?;
        let relative = path.strip_prefix(folder).unwrap_or(&path).as_str().replace('\\', "/");
        found.push((relative, path));
    }
    Ok(found)
}

fn read(folder: &Utf8Path, place: &BundlePath, path: Utf8PathBuf) -> Result<Node, OwnFilesError> {
    let failed = |source| OwnFilesError::Read { path: path.clone(), source };
    let metadata = fs_err::symlink_metadata(&path).map_err(failed)?;
    if metadata.is_symlink() {
        let target = path.read_link_utf8().map_err(failed)?;
        let inside = path.parent().unwrap_or(folder).join(&target);
        let real = inside.canonicalize_utf8().map_err(failed)?;
        let root = folder.canonicalize_utf8().map_err(failed)?;
        // Its text must stay inside too: in the bundle the folder has another name, and may lie anywhere.
        if !place.holds_link_to(target.as_str()) || !real.starts_with(&root) {
            return Err(OwnFilesError::Link { path, target });
        }
        return Ok(Node::Link(target.into_string()));
    }
    let file = fs_err::File::open(&path).map_err(failed)?;
    let (sha256, size) = Digest::of_reader(file).map_err(failed)?;
    Ok(Node::File(Source::new(path, size, mode::is_executable(&metadata), sha256)))
}

struct Patterns {
    texts: Vec<String>,
    set: GlobSet,
}

impl Patterns {
    fn of(patterns: &[Located<String>]) -> Self {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let glob = GlobBuilder::new(&pattern.value).literal_separator(true).build();
            set.add(glob.expect("the manifest's globs were checked when it was read"));
        }
        let texts = patterns.iter().map(|pattern| pattern.value.clone()).collect();
        Self { texts, set: set.build().expect("each glob was built before") }
    }

    fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    fn matches(&self, path: &str) -> bool {
        self.set.is_match(path)
    }

    /// Build outputs are not there yet, so a pattern may be meant for them only.
    fn all_used(
        &self,
        config: &Config,
        taken: &[(String, Utf8PathBuf)],
    ) -> Result<(), OwnFilesError> {
        let mut used = vec![false; self.texts.len()];
        for (path, _) in taken {
            for index in self.set.matches(path) {
                used[index] = true;
            }
        }
        let outputs = config.build.iter().flat_map(|build| &build.outputs);
        let outputs: Vec<&str> = outputs.map(|output| output.value.as_str()).collect();
        let unused = self.texts.iter().zip(used).find(|(pattern, used)| {
            !used && !outputs.iter().any(|output| may_match_in(pattern, output))
        });
        match unused {
            None => Ok(()),
            Some((pattern, _)) => Err(OwnFilesError::Unmatched {
                manifest: config.path.clone(),
                pattern: pattern.clone(),
            }),
        }
    }
}

/// Whether a pattern could match `folder` or something below it, whatever that will hold.
fn may_match_in(pattern: &str, folder: &str) -> bool {
    let mut names = folder.split('/');
    for part in pattern.split('/') {
        let Some(name) = names.next() else { return true };
        // A part that is no glob by itself is half of a `{a/b,c}`: it may match anything.
        let other = Glob::new(part).is_ok_and(|glob| !glob.compile_matcher().is_match(name));
        match part {
            "**" => return true,
            _ if other => return false,
            _ => {}
        }
    }
    names.next().is_none()
}

#[cfg(test)]
mod tests;
