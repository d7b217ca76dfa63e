//! Bundles that were made before: an archive or a folder becomes a tree, compared with its manifest if it has one.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{BundlePath, Digest, MANIFEST_FILE, Manifest};
use rayon::prelude::*;

use super::VerifyError;
use crate::context::Context;
use crate::mode;
use crate::pack;
use crate::store::Store;
use crate::tree::{Node, Source, Tree};
use crate::unpacked;

/// A bundle as files.
#[derive(Debug)]
pub struct Opened {
    /// The files.
    pub tree: Tree,
    /// What it says of itself; a folder need not say anything.
    pub manifest: Option<Manifest>,
    /// Where an archive was unpacked.
    _folder: Option<tempfile::TempDir>,
}

/// Opens a bundle: an archive of any format, or a folder.
///
/// # Errors
/// When it is none, is damaged, or is not what its manifest says.
pub fn open(context: &Context, path: &Utf8Path, store: &Store) -> Result<Opened, VerifyError> {
    let opened = match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => folder(path)?,
        // It was compared with its manifest when it was unpacked.
        Ok(_) => return archive(context, path, store),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(VerifyError::Nothing { path: path.to_owned() });
        }
        Err(source) => return Err(VerifyError::Read { path: path.to_owned(), source }),
    };
    if let Some(manifest) = &opened.manifest {
        let differences = differences(&opened.tree, manifest);
        if !differences.is_empty() {
            return Err(VerifyError::Differs { path: path.to_owned(), differences });
        }
    }
    Ok(opened)
}

fn archive(context: &Context, path: &Utf8Path, store: &Store) -> Result<Opened, VerifyError> {
    let folder = store.temporary()?;
    let to = Utf8Path::from_path(folder.path()).expect("the cache's path is UTF-8");
    let (tree, manifest) = unpacked::tree(context, path, &to.join("bundle"))?;
    Ok(Opened { tree, manifest: Some(manifest), _folder: Some(folder) })
}

fn folder(path: &Utf8Path) -> Result<Opened, VerifyError> {
    let mut found = Found::default();
    found.walk(path, "")?;
    let unnamed = |source| VerifyError::Path { folder: path.to_owned(), source };
    let files = found.files.into_par_iter().with_max_len(64).map(|(name, file)| {
        let name = BundlePath::new(name).map_err(unnamed)?;
        Ok::<_, VerifyError>((name, Node::File(source(file)?)))
    });
    let mut tree = files.collect::<Result<Vec<_>, _>>()?.into_iter().collect::<Tree>();
    for (name, target) in found.links {
        tree.insert(BundlePath::new(name).map_err(unnamed)?, Node::Link(target));
    }
    let manifest = manifest(&tree)?;
    Ok(Opened { tree, manifest, _folder: None })
}

/// What lies in a folder, by name.
#[derive(Default)]
struct Found {
    files: Vec<(String, Utf8PathBuf)>,
    links: Vec<(String, String)>,
}

impl Found {
    fn walk(&mut self, folder: &Utf8Path, name: &str) -> Result<(), VerifyError> {
        let unreadable = |source| VerifyError::Read { path: folder.to_owned(), source };
        for entry in folder.read_dir_utf8().map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = entry.file_type().map_err(unreadable)?;
            let slash = if name.is_empty() { "" } else { "/" };
            let name = format!("{name}{slash}{}", entry.file_name());
            let path = entry.into_path();
            if kind.is_dir() {
                self.walk(&path, &name)?;
            } else if kind.is_symlink() {
                let target = path.read_link_utf8();
                let target =
                    target.map_err(|source| VerifyError::Read { path: path.clone(), source })?;
                self.links.push((name, target.into_string()));
            } else if kind.is_file() {
                self.files.push((name, path));
            }
        }
        Ok(())
    }
}

fn source(path: Utf8PathBuf) -> Result<Source, VerifyError> {
    let read = || {
        let file = std::fs::File::open(&path)?;
        let executable = mode::is_executable(&file.metadata()?);
        let (sha256, size) = Digest::of_reader(file)?;
        Ok((size, executable, sha256))
    };
    match read() {
        Ok((size, executable, sha256)) => Ok(Source::new(path, size, executable, sha256)),
        Err(source) => Err(VerifyError::Read { path, source }),
    }
}

/// The bundle's manifest. Other programs have files of this name too.
fn manifest(tree: &Tree) -> Result<Option<Manifest>, VerifyError> {
    let Some(Node::File(source)) = tree.get(MANIFEST_FILE) else { return Ok(None) };
    let path = source.path();
    let text =
        std::fs::read(&path).map_err(|source| VerifyError::Read { path: path.clone(), source })?;
    let is_ours = serde_json::from_slice::<serde_json::Value>(&text).is_ok_and(|value| {
        value["builder"].as_str().is_some_and(|builder| builder.starts_with("gangway "))
    });
    if !is_ours {
        return Ok(None);
    }
    let manifest = serde_json::from_slice(&text);
    manifest.map(Some).map_err(|source| VerifyError::Manifest { path, source })
}

/// What is not as the manifest says, one line each.
fn differences(tree: &Tree, manifest: &Manifest) -> Vec<String> {
    let (files, links) = pack::listing(tree);
    let mut differences = Vec::new();
    let found: BTreeMap<_, _> = files.iter().map(|file| (&file.path, file)).collect();
    let known: BTreeSet<_> = manifest.files.iter().map(|file| &file.path).collect();
    for listed in &manifest.files {
        match found.get(&listed.path) {
            None => differences.push(format!("`{}` is missing", listed.path)),
            Some(file) if file.sha256 != listed.sha256 => differences.push(format!(
                "`{}` has the SHA-256 {}, not {}",
                listed.path, file.sha256, listed.sha256
            )),
            // Only Unix keeps modes.
            Some(file) if cfg!(unix) && file.mode != listed.mode => differences
                .push(format!("`{}` has the mode {}, not {}", listed.path, file.mode, listed.mode)),
            Some(_) => {}
        }
    }
    let others = files.iter().filter(|file| !known.contains(&file.path));
    differences.extend(others.map(|file| format!("`{}` is not in the manifest", file.path)));
    if links != manifest.links {
        differences.push("its symbolic links are others".to_owned());
    }
    differences
}

#[cfg(test)]
mod tests;
