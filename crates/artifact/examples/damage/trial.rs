//! What must hold of any bytes whatever: nothing is kept of a bad archive, manifest or patch, and nothing is outside.
//!
//! For the fuzz targets, which have this file too, and for damaged copies.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use gangway_artifact::archive::{self, Durability, Options, PatchFile, Prepared};
use gangway_artifact::delta::{self, ranges::Costs};
use gangway_artifact::{Digest, MANIFEST_FILE, Manifest};

/// Two versions of a bundle.
const OLD: &[u8] = include_bytes!("../../testdata/update/old.tar.zst");
const NEW: &[u8] = include_bytes!("../../testdata/update/new.tar.zst");

const OPTIONS: Options = Options {
    threads: NonZeroUsize::MIN,
    memory: 48 << 20,
    durability: Durability::Cached,
    manifest: None,
};

/// A folder of this process, which is there.
pub(crate) fn place(name: &str) -> PathBuf {
    let root = std::env::temp_dir().join(format!("gangway-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&root).expect("temporary folders are writable");
    root
}

/// Unpacks `bytes` as a whole archive, and as the tar stream of a `.tar.gz`, in which no digest stands before its entries. There
/// is nothing in `root`, and nothing stays.
pub(crate) fn unpack(bytes: &[u8], root: &Path) {
    let to = root.join("to");
    let mut gz = GzEncoder::new(Vec::new(), Compression::none());
    let gz = gz.write_all(bytes).and_then(|()| gz.finish()).expect("memory");
    for (name, bytes) in [("whole", bytes), ("gz", &gz)] {
        let archive = root.join(name);
        std::fs::write(&archive, bytes).expect("writable");
        let unpacked = archive::unpack(&archive, &to, &OPTIONS);
        std::fs::remove_file(&archive).expect("it was written");
        if unpacked.is_ok() {
            std::fs::remove_dir_all(&to).expect("it was unpacked");
        }
        let left = std::fs::read_dir(root).expect("it is there").count();
        assert_eq!(left, 0, "something was kept, or is outside: {unpacked:?}");
    }
}

/// Makes a version of an installed one, of `bytes` as a patch or as the new `manifest.json`. It is what its manifest lists, and the installed
/// one is what it was. There is nothing in `root` but that one.
pub(crate) fn update(bytes: &[u8], root: &Path) {
    let (old, to) = (root.join("old"), root.join("to"));
    if !old.exists() {
        archive::unpack_frames(&OLD, Path::new("old"), &old, &OPTIONS).expect("it is whole");
    }
    let text = std::fs::read(old.join(MANIFEST_FILE)).expect("it is installed");
    let installed = Manifest::from_json(&text).expect("it was unpacked");
    let made = attempt(bytes, &old, &installed, &to);
    if let Ok(Some((manifest, digest))) = &made {
        let found = archive::check(&to, manifest, *digest, NonZeroUsize::MIN).expect("it is there");
        assert!(found.is_empty(), "it is not what its manifest lists: {found:?}");
        std::fs::remove_dir_all(&to).expect("it was made");
    }
    let names: Vec<_> = std::fs::read_dir(root).expect("it is there").flatten().collect();
    assert_eq!(names.len(), 1, "something was kept, or is outside: {names:?} {made:?}");
    let found = archive::check(&old, &installed, Digest::of(&text), NonZeroUsize::MIN);
    assert!(found.is_ok_and(|found| found.is_empty()), "the installed version is another one");
}

/// What was made of it. Nothing: there was nothing to begin with.
fn attempt(
    bytes: &[u8],
    old: &Path,
    installed: &Manifest,
    to: &Path,
) -> Result<Option<(Manifest, Digest)>, archive::ArchiveError> {
    let patch = PatchFile::open(&bytes, Path::new("patch")).ok();
    let text = match &patch {
        // One that does not make the manifest is tried with the right one, so that the rest of it is seen.
        Some(patch) => patch.manifest(old).or_else(|_| {
            archive::read_manifest(&NEW, Path::new("new"), &OPTIONS).map(|(text, _)| text)
        })?,
        None => bytes.to_vec(),
    };
    let Ok(manifest) = Manifest::from_json(&text) else { return Ok(None) };
    let Ok(plan) = delta::plan(installed, &manifest, Costs::default()) else { return Ok(None) };
    let prepared = match &patch {
        Some(patch) => archive::patch_into(patch, &text, old, &plan, to, &OPTIONS),
        None => archive::update(&NEW, &text, old, &plan, to, &OPTIONS),
    };
    prepared.and_then(Prepared::finish)?;
    Ok(Some((manifest, Digest::of(&text))))
}
