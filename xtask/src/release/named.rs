//! Which files releases have: those that the metadata names, and the patches that the lists among those name.

use std::collections::BTreeSet;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;
use gangway_artifact::delta::patch::Patches;
use gangway_artifact::trust::{Channel, NamedFile, Release, file_fault};

use super::ReleaseError;

/// Every file of these releases. Of patches those are known whose list is in the folder.
///
/// # Errors
/// When a list cannot be read.
pub fn by(folder: &Utf8Path, releases: &[Release]) -> Result<BTreeSet<String>, ReleaseError> {
    let mut names = BTreeSet::new();
    for release in releases {
        names.extend(release.installers.iter().map(|installer| installer.file.name.clone()));
        for bundle in &release.bundles {
            names.extend([bundle.archive.name.clone(), bundle.manifest.name.clone()]);
            if let Some(list) = &bundle.patches {
                names.insert(list.name.clone());
                names.extend(patches(folder, list)?);
            }
        }
    }
    Ok(names)
}

/// Files of releases that a channel named, and that no channel in the folder names now.
///
/// # Errors
/// When the folder cannot be read.
pub fn no_longer(folder: &Utf8Path, dropped: &[Release]) -> Result<BTreeSet<String>, ReleaseError> {
    let mut names = by(folder, dropped)?;
    if names.is_empty() {
        return Ok(names);
    }
    for entry in folder.read_dir_utf8().map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.into_path();
        if path.extension() != Some("json") {
            continue;
        }
        let bytes = fs_err::read(&path).map_err(failed(&path))?;
        // Manifests and lists of patches are no channels.
        if let Ok(channel) = Channel::from_json(&bytes) {
            for name in by(folder, &channel.releases)? {
                names.remove(&name);
            }
        }
    }
    Ok(names)
}

/// The patches in a list. One that is not what the metadata says, or not here, has none: its names are used to remove files.
fn patches(folder: &Utf8Path, list: &NamedFile) -> Result<Vec<String>, ReleaseError> {
    let path = folder.join(&list.name);
    let bytes = match fs_err::read(&path) {
        Ok(bytes) if Digest::of(&bytes) == list.sha256 => bytes,
        Ok(_) => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ReleaseError::Read { path, source }),
    };
    let patches =
        serde_json::from_slice::<Patches>(&bytes).map_or_else(|_| Vec::new(), |list| list.patches);
    let names = patches.into_iter().map(|patch| patch.name);
    Ok(names.filter(|name| file_fault(name).is_none()).collect())
}

fn failed(path: &Utf8Path) -> impl Fn(io::Error) -> ReleaseError {
    let path: Utf8PathBuf = path.to_owned();
    move |source| ReleaseError::Read { path: path.clone(), source }
}
