//! Archives as they should be, and in every way as they should not.

#[cfg(unix)]
mod check;
mod corpus;
mod hostile;
mod large;
#[cfg(unix)]
mod update;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::sample::{Sample, whole};
use super::*;

fn options(threads: usize) -> Options {
    Options {
        threads: NonZeroUsize::new(threads).expect("not zero"),
        memory: USUAL_MEMORY,
        durability: Durability::Cached,
        manifest: None,
    }
}

/// Everything that is in a folder: what a file has and whether it can be run, or where a link leads.
fn tree(folder: &Path) -> BTreeMap<String, (bool, Vec<u8>)> {
    fn walk(folder: &Path, name: &str, found: &mut BTreeMap<String, (bool, Vec<u8>)>) {
        for entry in std::fs::read_dir(folder).expect("it is there") {
            let path = entry.expect("readable").path();
            let last = path.file_name().expect("it has one").to_str().expect("UTF-8");
            let name = format!("{name}{last}");
            let metadata = path.symlink_metadata().expect("it is there");
            if metadata.is_dir() {
                walk(&path, &format!("{name}/"), found);
            } else if metadata.is_symlink() {
                let target = path.read_link().expect("a link");
                found.insert(name, (false, target.to_str().expect("UTF-8").as_bytes().to_vec()));
            } else {
                let is_executable = is_executable(&metadata);
                found.insert(name, (is_executable, std::fs::read(&path).expect("readable")));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, "", &mut found);
    found
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o7777;
    assert!(matches!(mode, 0o644 | 0o755), "{mode:o}");
    mode == 0o755
}

/// An archive in a folder of its own, in which nothing else may ever be.
struct Place {
    root: tempfile::TempDir,
    archive: PathBuf,
    to: PathBuf,
}

impl Place {
    fn new(bytes: &[u8]) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        let (archive, to) = (root.path().join("a"), root.path().join("deep/to"));
        std::fs::write(&archive, bytes).expect("writable");
        std::fs::create_dir(root.path().join("deep")).expect("writable");
        Self { root, archive, to }
    }

    fn unpack(&self, threads: usize) -> Result<Unpacked, ArchiveError> {
        let unpacked = unpack(&self.archive, &self.to, &options(threads));
        let expected =
            if unpacked.is_ok() { vec!["a", "deep", "deep/to"] } else { vec!["a", "deep"] };
        assert_eq!(self.names(), expected, "what is outside, or was kept");
        unpacked
    }

    fn names(&self) -> Vec<String> {
        let list = |folder: &str| {
            let entries = std::fs::read_dir(self.root.path().join(folder)).expect("it is there");
            let name = |entry: std::fs::DirEntry| {
                format!("{folder}{}", entry.file_name().to_str().expect("UTF-8"))
            };
            entries.map(|entry| name(entry.expect("readable"))).collect::<Vec<_>>()
        };
        let mut names = [list(""), list("deep/")].concat();
        names.sort();
        names
    }

    fn clear(&self) {
        std::fs::remove_dir_all(&self.to).expect("it was unpacked");
    }
}

/// What is said of an archive that must not be taken, with one thread and with several.
fn refused(bytes: &[u8]) -> String {
    let place = Place::new(bytes);
    let said = |threads| {
        let error = place.unpack(threads).expect_err("it must not be taken");
        assert!(!error.help().is_empty());
        assert!(error.to_string().starts_with("cannot unpack `"), "{error}");
        error.source().expect("it says why").to_string()
    };
    let alone = said(1);
    // Several may find several things.
    said(3);
    alone
}

#[test]
fn every_format_becomes_the_tree() {
    let sample = whole();
    for (name, bytes) in [("zst", sample.zst()), ("gz", sample.gz()), ("zip", sample.zip())] {
        let place = Place::new(&bytes);
        for threads in [1, 2, 5] {
            let unpacked =
                place.unpack(threads).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            let found = tree(&place.to);
            let mut expected = sample.tree();
            let manifest = found.get(MANIFEST_FILE).expect("it is unpacked, too").clone();
            assert_eq!(unpacked.manifest, Digest::of(&manifest.1));
            expected.insert(MANIFEST_FILE.to_owned(), manifest);
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            assert!(found == expected, "{name}, {threads}: bytes or modes differ");
            assert_eq!(unpacked.root, "app");
            assert_eq!((unpacked.files, unpacked.links), (sample.files() + 1, 2));
            place.clear();
        }
        let manifest = manifest(&place.archive).expect("it has one");
        assert_eq!(manifest.files.len(), sample.files());
    }
}

/// What fuzzing begins with is read to its end: otherwise nothing would be found behind the first error.
#[test]
fn seeds_are_whole() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/unpack");
    let sample = whole();
    let stream = sample.stream();
    let read = |name| std::fs::read(seeds.join(name)).expect("it is there");
    Place::new(&read("whole.tar.zst")).unpack(1).expect("it is whole");
    assert!(read("stream.tar") == stream, "the format is another one: write it again");
}

#[test]
fn frames_that_are_in_memory() {
    let sample = whole();
    let (bytes, place) = (sample.zst(), Place::new(b""));
    let source: &dyn FrameSource = &bytes.as_slice();
    unpack_frames(source, Path::new("fetched"), &place.to, &options(2)).expect("whole");
    assert_eq!(tree(&place.to).len(), sample.tree().len() + 1);
    place.clear();
    let half: &dyn FrameSource = &&bytes[..bytes.len() / 2];
    let error = unpack_frames(half, Path::new("fetched"), &place.to, &options(2));
    let error = error.expect_err("half of it");
    insta::assert_snapshot!(error, @"cannot unpack `fetched`");
    assert_eq!(place.names(), ["a", "deep"]);
}

#[test]
fn the_manifest_that_is_expected() {
    let place = Place::new(&whole().zst());
    let right = place.unpack(2).expect("whole").manifest;
    place.clear();
    let expecting = |digest| Options { manifest: Some(digest), ..options(2) };
    unpack(&place.archive, &place.to, &expecting(right)).expect("it is the one");
    place.clear();
    let error = unpack(&place.archive, &place.to, &expecting(Digest::of("other")));
    let error = error.expect_err("it is another one");
    assert!(
        matches!(*error.fault, Fault::ManifestDigest { found, .. } if found == right),
        "{error:?}"
    );
    assert_eq!(place.names(), ["a", "deep"]);
}

#[test]
fn memory_is_limited() {
    let mut sample = Sample::default();
    sample.file("app.js", b"");
    sample.cut();
    for index in 0..20_000 {
        sample.file(&format!("a/{index:06}.js"), b"x");
    }
    let place = Place::new(&sample.zst());
    let little = Options { memory: 41 << 20, ..options(2) };
    let error = unpack(&place.archive, &place.to, &little).expect_err("too little");
    assert!(matches!(*error.fault, Fault::Memory { .. }), "{error:?}");
    assert_eq!(place.names(), ["a", "deep"]);
    place.unpack(2).expect("the usual is enough");
}

/// The property of everything that is damaged: an error, or exactly what was meant.
fn survives(place: &Place, expected: &BTreeMap<String, (bool, Vec<u8>)>, damaged: &[u8]) -> bool {
    std::fs::write(&place.archive, damaged).expect("writable");
    match place.unpack(2) {
        Err(_) => false,
        Ok(_) => {
            assert!(tree(&place.to) == *expected, "what was unpacked is something else");
            place.clear();
            true
        }
    }
}

fn unpacked(bytes: &[u8]) -> (Place, BTreeMap<String, (bool, Vec<u8>)>) {
    let place = Place::new(bytes);
    place.unpack(1).expect("whole");
    let expected = tree(&place.to);
    place.clear();
    (place, expected)
}

#[test]
fn every_byte_counts() {
    let sample = whole();
    let bytes = sample.zst();
    let (place, expected) = unpacked(&bytes);
    // The frames whose bytes the manifest cannot have digests of. What zstd does not look at may be anything there.
    let unlisted = sample.unlisted();
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1 << (position % 8);
        if survives(&place, &expected, &damaged) {
            assert!(unlisted.contains(&position), "byte {position} of {}", bytes.len());
        }
    }
}

#[test]
fn every_length_counts() {
    let sample = whole();
    for bytes in [sample.zst(), sample.gz(), sample.zip()] {
        let (place, expected) = unpacked(&bytes);
        for length in (0..bytes.len()).rev().step_by(13) {
            assert!(!survives(&place, &expected, &bytes[..length]), "{length} of {}", bytes.len());
        }
    }
}

#[test]
fn nothing_comes_after_the_end() {
    let sample = whole();
    for bytes in [sample.zst(), sample.gz()] {
        for more in [&b"\0"[..], b"more", &[0; 512], &bytes] {
            refused(&[&bytes, more].concat());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damage_of_any_kind(
        format in 0..3_usize,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        (from, to, length) in any::<(prop::sample::Index, prop::sample::Index, u8)>(),
        is_moved: bool,
    ) {
        let sample = whole();
        let bytes = [Sample::zst, Sample::gz, Sample::zip][format](&sample);
        let (place, expected) = unpacked(&bytes);
        let mut damaged = bytes.clone();
        if is_moved {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let length = usize::from(length).min(bytes.len() - from.max(to));
            damaged.copy_within(from..from + length, to);
        } else {
            for (position, value) in damage {
                damaged[position.index(bytes.len())] = value;
            }
        }
        survives(&place, &expected, &damaged);
    }
}
