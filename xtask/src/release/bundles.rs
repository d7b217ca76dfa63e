//! The bundles of a release, each read and compared with what it says of itself.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::trust::{self, NamedFile};
use gangway_artifact::{Digest, Manifest, VerificationStatus, archive};
use rayon::prelude::*;

use super::ReleaseError;
use crate::context::Context;
use crate::delta::Bundle;

/// How the archive's name ends.
const ARCHIVE: &str = ".tar.zst";

/// A bundle that can be published.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The archive.
    pub archive: Utf8PathBuf,
    /// The copy of the manifest beside it.
    pub copy: Utf8PathBuf,
    /// What the archive says of itself.
    pub manifest: Manifest,
    /// How the channel will name it, without patches.
    pub entry: trust::Bundle,
}

/// What to do with a bundle that was not checked when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unverified {
    /// It is refused.
    Refused,
    /// It is published all the same.
    Allowed,
}

/// Reads bundles, which must be of one version of one app, and sorts them by their targets.
///
/// # Errors
/// When one of them is damaged, not checked, or does not belong to the others.
pub fn check(
    context: &Context,
    paths: &[Utf8PathBuf],
    unverified: Unverified,
) -> Result<Vec<Checked>, ReleaseError> {
    let progress = context.reporter.count("Checking", paths.len() as u64);
    let mut bundles = Vec::with_capacity(paths.len());
    for path in paths {
        progress.message(path.file_name().unwrap_or_default().to_owned());
        bundles.push(check_one(path, unverified)?);
        progress.advance(1);
    }
    bundles.sort_by(|one, other| one.manifest.target.cmp(&other.manifest.target));
    belong_together(&bundles)?;
    Ok(bundles)
}

fn check_one(path: &Utf8Path, unverified: Unverified) -> Result<Checked, ReleaseError> {
    let stem = path.as_str().strip_suffix(ARCHIVE);
    let stem = stem.ok_or_else(|| ReleaseError::Format { path: path.to_owned() })?;
    // Compares its end with itself; what is asked of it afterwards has answers.
    archive::manifest(path.as_std_path()).map_err(|error| ReleaseError::Archive { error })?;
    let Bundle { manifest, text, .. } = Bundle::open(path)?;
    let copy = Utf8PathBuf::from(format!("{stem}.manifest.json"));
    if fs_err::read(&copy).map_err(|source| read(&copy, source))? != text {
        return Err(ReleaseError::Copy { archive: path.to_owned(), copy });
    }
    if manifest.verification.status == VerificationStatus::Unverified
        && unverified == Unverified::Refused
    {
        return Err(ReleaseError::Unverified { path: path.to_owned() });
    }
    named(&manifest)?;
    check_frames(path, &manifest)?;
    let name = format!("{}-{}-{}", manifest.app.name, manifest.app.version, manifest.target);
    let entry = trust::Bundle {
        target: manifest.target.clone(),
        platform: manifest.platform,
        archive: named_file(format!("{name}{ARCHIVE}"), path)?,
        manifest: NamedFile {
            name: format!("{name}.manifest.json"),
            size: text.len() as u64,
            sha256: Digest::of(&text),
        },
        contract: manifest.contract.clone(),
        l4t: manifest.l4t.clone(),
        patches: None,
    };
    Ok(Checked { archive: path.to_owned(), copy, manifest, entry })
}

/// A file as metadata names it.
///
/// # Errors
/// When it cannot be read.
pub fn named_file(name: String, path: &Utf8Path) -> Result<NamedFile, ReleaseError> {
    let file = File::open(path).map_err(|source| read(path, source))?;
    let (sha256, size) = Digest::of_reader(file).map_err(|source| read(path, source))?;
    Ok(NamedFile { name, size, sha256 })
}

/// Whether names of files can be made of this.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || "._+-".contains(char);
    text.chars().all(plain) && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn named(manifest: &Manifest) -> Result<(), ReleaseError> {
    let app = &manifest.app;
    for (what, value) in [("the name of an app", app.name.as_str()), ("a version", &app.version)] {
        if !is_plain(value) {
            return Err(ReleaseError::Unnamable { what, value: value.to_owned() });
        }
    }
    Ok(())
}

/// Every byte an update may fetch is what the manifest says.
fn check_frames(path: &Utf8Path, manifest: &Manifest) -> Result<(), ReleaseError> {
    let file = File::open(path).map_err(|source| read(path, source))?;
    manifest.frames.par_iter().enumerate().try_for_each(|(index, frame)| {
        let damaged = || ReleaseError::Frame { path: path.to_owned(), frame: index };
        let length = usize::try_from(frame.size).map_err(|_| damaged())?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, frame.offset).map_err(|source| read(path, source))?;
        if Digest::of(&bytes) == frame.sha256 { Ok(()) } else { Err(damaged()) }
    })
}

fn belong_together(bundles: &[Checked]) -> Result<(), ReleaseError> {
    let name = |bundle: &Checked| {
        let app = &bundle.manifest.app;
        format!("{} {}", app.name, app.version)
    };
    for pair in bundles.windows(2) {
        let (expected, found) = (name(&pair[0]), name(&pair[1]));
        if expected != found {
            return Err(ReleaseError::Mixed { path: pair[1].archive.clone(), expected, found });
        }
        if pair[0].manifest.target == pair[1].manifest.target {
            return Err(ReleaseError::Twice {
                one: pair[0].archive.clone(),
                other: pair[1].archive.clone(),
                target: pair[0].manifest.target.clone(),
            });
        }
    }
    Ok(())
}

fn read(path: &Utf8Path, source: std::io::Error) -> ReleaseError {
    ReleaseError::Read { path: path.to_owned(), source }
}
