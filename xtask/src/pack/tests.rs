//! Archives against readers that know nothing of how they were made.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::num::{NonZeroU32, NonZeroUsize};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};

use gangway_artifact::BundlePath;
use miette::Diagnostic as _;
use object_store::memory::InMemory;
use proptest::prelude::*;

use super::*;
use crate::report::Reporter;
use crate::shared_cache::{self, SharedCache};
use crate::store::Store;
use crate::tree::{Node, Source};

const FORMATS: [Format; 3] = [Format::TarZst, Format::TarGz, Format::Zip];

/// A tree and the folder its bytes are in.
struct Fixture {
    folder: Utf8PathBuf,
    tree: Tree,
    _guard: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let guard = tempfile::tempdir().expect("a temporary folder");
        let folder = Utf8PathBuf::from_path_buf(guard.path().to_owned()).expect("UTF-8");
        Self { folder, tree: Tree::default(), _guard: guard }
    }

    fn file(&mut self, path: &str, bytes: &[u8], executable: bool) {
        let source = self.folder.join(format!("source-{}", self.tree.len()));
        fs_err::write(&source, bytes).expect("a file");
        let size = bytes.len() as u64;
        let source = Source::new(source, size, executable, Digest::of(bytes));
        self.tree.insert(BundlePath::new(path).expect("plain"), Node::File(source));
    }

    fn link(&mut self, path: &str, target: &str) {
        let path = BundlePath::new(path).expect("plain");
        self.tree.insert(path, Node::Link(target.to_owned()));
    }

    fn context(&self, jobs: usize) -> Context {
        let cache = self.folder.join("cache");
        let mut context =
            Context::new(BTreeMap::new(), self.folder.clone(), cache, Reporter::silent());
        context.jobs = NonZeroUsize::new(jobs).expect("not zero");
        context
    }

    fn pack(&self, format: Format, jobs: usize) -> Packed {
        let out = self.folder.join(format!("out-{jobs}.{}", format.extension()));
        let manifest = self.manifest();
        write(
            &self.context(jobs),
            self.content("app-1.0.0", &manifest),
            small(format),
            known(None),
            &out,
        )
        .expect("it packs")
    }

    /// What the stage before would say of the tree.
    fn manifest(&self) -> Manifest {
        let (files, links) = listing(&self.tree);
        let manifest = serde_json::json!({
            "version": 1,
            "builder": "gangway 0.1.0",
            "app": { "name": "app", "version": "1.0.0" },
            "target": "linux-x64",
            "platform": { "os": "linux", "cpu": "x64", "libc": "glibc" },
            "entrypoints": [],
            "contract": gangway_artifact::Contract::default(),
            "unpacked_size": self.tree.size(),
            "files": files,
            "links": links,
        });
        serde_json::from_value(manifest).expect("as it should be")
    }

    fn content<'a>(&'a self, folder: &'a str, manifest: &'a Manifest) -> super::Content<'a> {
        super::Content { tree: &self.tree, manifest, folder }
    }
}

fn known(frames: Option<&FrameCache>) -> Known<'_> {
    static NATIVES: LazyLock<Natives> = LazyLock::new(Natives::default);
    Known { natives: &NATIVES, frames }
}

/// Small frames, so that small trees have several.
fn small(format: Format) -> Settings {
    let size = |bytes| NonZeroU32::new(bytes).expect("not zero");
    Settings {
        frame_size: size(10_000),
        large_file_size: size(5000),
        large_code_size: size(5000),
        large_frame_size: size(10_000),
        level: 3,
        code_level: 2,
        code_hash_log: Some(12),
        manifest_level: 1,
        ..Settings::new(format)
    }
}

/// A bit of everything.
fn various() -> Fixture {
    let mut fixture = Fixture::new();
    let long = |count: usize| vec!["d".repeat(count); 3].join("/");
    fixture.file("runtime/bin/node", &noise(34_567), true);
    fixture.file("app/empty", b"", false);
    fixture.file("app/naïve ☃.txt", b"words", false);
    fixture.file(&format!("app/{}/fits", long(40)), b"ustar", false);
    fixture.file(&format!("app/{}/long", long(100)), b"GNU", true);
    fixture.file(&format!("app/{}", "n".repeat(120)), b"GNU too", false);
    fixture.file("app/block", &noise(512), false);
    fixture.file("app/frame", &noise(10_000), false);
    for package in 0..12 {
        let text = format!("module.exports = {package};\n").repeat(100);
        fixture.file(&format!("app/node_modules/p{package}/index.js"), text.as_bytes(), false);
    }
    fixture.link("bin/app", "../app/cli");
    fixture.link("app/far", &format!("{}/long", long(100)));
    fixture
}

/// Bytes that do not compress, always the same.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// What an archive says is at one path: the mode, then the bytes of a file or the target of a link.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Folder,
    File(u32, Vec<u8>),
    Link(String),
}

/// The tree and the manifest as an archive must have them.
fn expected(tree: &Tree, packed: &Packed) -> BTreeMap<String, Found> {
    let mut found = BTreeMap::from([
        ("app-1.0.0".to_owned(), Found::Folder),
        ("app-1.0.0/manifest.json".to_owned(), Found::File(0o644, packed.manifest.clone())),
    ]);
    for (path, node) in tree.iter() {
        let mut parent = path.parent();
        while let Some(folder) = parent {
            found.insert(format!("app-1.0.0/{folder}"), Found::Folder);
            parent = folder.parent();
        }
        let node = match node {
            Node::File(source) => {
                let bytes = fs_err::read(source.path()).expect("it is there");
                Found::File(if source.executable { 0o755 } else { 0o644 }, bytes)
            }
            Node::Link(target) => Found::Link(target.clone()),
        };
        found.insert(format!("app-1.0.0/{path}"), node);
    }
    found
}

/// What is in an archive; nothing may be in it twice.
fn read(packed: &Packed, format: Format) -> BTreeMap<String, Found> {
    let file = fs_err::File::open(&packed.path).expect("it was written");
    match format {
        Format::TarZst => read_tar(::zstd::Decoder::new(file).expect("a decoder")),
        // This decoder stops after the first member, as some readers do.
        Format::TarGz => read_tar(flate2::read::GzDecoder::new(file)),
        Format::Zip => read_zip(file),
    }
}

fn read_tar(mut stream: impl std::io::Read) -> BTreeMap<String, Found> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("it decompresses");
    let mut found = BTreeMap::new();
    let mut archive = tar::Archive::new(&bytes[..]);
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let header = entry.header().clone();
        assert_eq!(header.mtime().expect("a time"), 499_162_500);
        assert_eq!((header.uid().expect("an owner"), header.gid().expect("a group")), (0, 0));
        assert_eq!((header.username(), header.groupname()), (Ok(Some("")), Ok(Some(""))));
        let path = String::from_utf8(entry.path_bytes().into_owned()).expect("UTF-8");
        let mode = header.mode().expect("a mode");
        let node = match header.entry_type() {
            tar::EntryType::Directory => {
                assert_eq!(mode, 0o755);
                assert!(path.ends_with('/'));
                Found::Folder
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name_bytes().expect("a target").into_owned();
                Found::Link(String::from_utf8(target).expect("UTF-8"))
            }
            _ => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).expect("it is whole");
                Found::File(mode, bytes)
            }
        };
        assert_eq!(found.insert(path.trim_end_matches('/').to_owned(), node), None);
    }
    assert!(bytes.ends_with(&[0; 1024]));
    assert_eq!(bytes.len() % 512, 0);
    found
}

fn read_zip(file: fs_err::File) -> BTreeMap<String, Found> {
    let mut archive = zip::ZipArchive::new(file).expect("a zip");
    let mut found = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).expect("an entry");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("it is whole");
        let modified = entry.last_modified().expect("a time");
        assert_eq!(modified.to_string(), "1985-10-26 08:15:00");
        let mode = entry.unix_mode().expect("a mode") & 0o777;
        let node = if entry.is_dir() {
            assert_eq!(mode, 0o755);
            Found::Folder
        } else if entry.is_symlink() {
            Found::Link(String::from_utf8(bytes).expect("UTF-8"))
        } else {
            Found::File(mode, bytes)
        };
        let name = entry.name().expect("UTF-8").trim_end_matches('/').to_owned();
        assert_eq!(found.insert(name, node), None);
    }
    found
}

#[test]
fn archives_hold_the_tree() {
    let fixture = various();
    for format in FORMATS {
        let packed = fixture.pack(format, 2);
        assert_eq!(read(&packed, format), expected(&fixture.tree, &packed), "{format:?}");
        let bytes = fs_err::read(&packed.path).expect("it was written");
        assert_eq!((packed.size, packed.sha256), (bytes.len() as u64, Digest::of(&bytes)));
    }
}

#[test]
fn an_empty_tree_is_an_archive() {
    let fixture = Fixture::new();
    for format in FORMATS {
        let packed = fixture.pack(format, 1);
        assert_eq!(read(&packed, format), expected(&fixture.tree, &packed));
    }
}

#[test]
fn bytes_do_not_depend_on_threads_or_on_the_sources() {
    let (one, other) = (various(), various());
    for (number, (_, source)) in other.tree.files().enumerate() {
        let mode = [0o600, 0o777, 0o444][number % 3];
        fs_err::set_permissions(source.path(), Permissions::from_mode(mode)).expect("ours");
        let file = fs_err::OpenOptions::new().append(true).open(source.path());
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
        // A file that may only be read keeps its time.
        if let Ok(file) = file {
            file.file().set_modified(time).expect("ours");
        }
    }
    for format in FORMATS {
        let first = fixture_digest(&one, format, 1);
        for jobs in [2, 7] {
            assert_eq!(fixture_digest(&one, format, jobs), first, "{format:?}, {jobs} jobs");
        }
        assert_eq!(fixture_digest(&other, format, 2), first, "{format:?}, other sources");
    }
}

fn fixture_digest(fixture: &Fixture, format: Format, jobs: usize) -> Digest {
    fixture.pack(format, jobs).sha256
}

#[test]
fn the_seek_table_leads_to_every_frame() {
    let fixture = various();
    let packed = fixture.pack(Format::TarZst, 2);
    let bytes = fs_err::read(&packed.path).expect("it was written");
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));

    let end = bytes.len();
    assert_eq!(number(end - 4), 0x8F92_EAB1);
    assert_eq!(bytes[end - 5], 0x80);
    let count = number(end - 9) as usize;
    assert_eq!(count, packed.frames);
    let table = end - 9 - 12 * count;
    assert_eq!(number(table - 8), 0x184D_2A5E);
    assert_eq!(number(table - 4) as usize, end - table);

    let (mut at, mut stream) = (0, Vec::new());
    for index in 0..count {
        let entry = table + 12 * index;
        let (compressed, plain) = (number(entry) as usize, number(entry + 4) as usize);
        let frame = &bytes[at..at + compressed];
        stream.extend(::zstd::bulk::decompress(frame, plain).expect("a whole frame"));
        assert_eq!(frame[compressed - 4..], bytes[entry + 8..entry + 12], "the checksum");
        at += compressed;
    }
    assert_eq!(at, table - 8);
    let whole = ::zstd::decode_all(&bytes[..]).expect("a decoder passes over the table");
    assert!(whole == stream);
}

/// Reads an archive as the specification says an update does: the manifest from the end, then every file by its place.
fn read_by_the_manifest(packed: &Packed) {
    let bytes = fs_err::read(&packed.path).expect("it was written");
    let manifest = Manifest::from_json(&packed.manifest).expect("ours");
    let frames = gangway_artifact::Frames::of(&manifest).expect("it makes sense");
    let plain: Vec<Vec<u8>> = (frames.list().iter())
        .map(|frame| {
            let start = usize::try_from(frame.offset).expect("small");
            let content = &bytes[start..start + usize::try_from(frame.size).expect("small")];
            assert_eq!(Digest::of(content), frame.sha256);
            ::zstd::bulk::decompress(content, usize::try_from(frame.plain).expect("small"))
                .expect("a whole frame")
        })
        .collect();
    for file in &manifest.files {
        let mut content = Vec::new();
        for piece in frames.pieces(file) {
            let start = usize::try_from(piece.offset).expect("small");
            let length = usize::try_from(piece.length).expect("small");
            content.extend_from_slice(&plain[piece.frame][start..start + length]);
        }
        assert_eq!(Digest::of(content), file.sha256, "{}", file.path);
    }
    let stream: u64 = plain.iter().map(|plain| plain.len() as u64).sum();
    assert_eq!(frames.plain_size(), stream);
    // One more frame has the manifest alone, the last one the end of the stream.
    assert_eq!(packed.frames, frames.list().len() + 2);
    let rest = &bytes[usize::try_from(frames.size()).expect("small")..];
    let manifest_size = ::zstd::zstd_safe::find_frame_compressed_size(rest).expect("a frame");
    let manifest = ::zstd::decode_all(&rest[..manifest_size]).expect("a whole frame");
    assert!(manifest[512..].starts_with(&packed.manifest));
    assert_eq!(manifest.len(), 512 + packed.manifest.len().next_multiple_of(512));
}

#[test]
fn the_manifest_leads_to_every_file() {
    read_by_the_manifest(&various().pack(Format::TarZst, 2));
}

#[test]
fn other_formats_have_no_places() {
    for format in [Format::TarGz, Format::Zip] {
        let packed = various().pack(format, 2);
        let manifest = Manifest::from_json(&packed.manifest).expect("ours");
        assert!(manifest.frames.is_empty());
        assert!(manifest.files.iter().all(|file| file.block.is_none()));
    }
}

#[test]
fn large_files_have_the_same_frames_in_every_archive() {
    let fixture = various();
    let frames = |folder: &str| {
        let out = fixture.folder.join("x.tar.zst");
        let manifest = fixture.manifest();
        let content = fixture.content(folder, &manifest);
        write(&fixture.context(2), content, small(Format::TarZst), known(None), &out)
            .expect("it packs");
        fs_err::read(out).expect("it was written")
    };
    let (one, other) = (frames("app-1.0.0"), frames("app-2.0.0-rc.1"));
    // The runtime's first frame is not to be compressed, so its bytes stand in it.
    let part = &noise(10_000)[..];
    for archive in [one, other] {
        let at =
            archive.windows(part.len()).position(|window| window == part).expect("it is there");
        let frame = archive[..at].windows(4).rposition(|window| window == [0x28, 0xb5, 0x2f, 0xfd]);
        assert!(at - frame.expect("a frame begins") < 24, "the frame begins with the file");
    }
}

/// A program of this machine's kind with ICU's data and a long text in Base64 in it, `before` bytes of its own before them and
/// some between and after.
fn program(before: usize) -> Vec<u8> {
    const ITEM: u32 = 15_000;
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16..20].copy_from_slice(&[3, 0, 62, 0]);
    let own = u8::try_from(before % 256).expect("a remainder");
    bytes.extend(noise(before).iter().map(|byte| byte ^ own));
    bytes.extend([32, 0, 0xda, 0x27].into_iter().chain([0; 8]));
    bytes.extend(b"CmnD".iter().chain(&[0; 16]));
    bytes.extend(3_u32.to_le_bytes());
    for item in 0..3 {
        bytes.extend([[0; 4], (28 + ITEM * item).to_le_bytes()].concat());
    }
    bytes.extend(noise(2 * ITEM as usize).iter().rev());
    bytes.extend(noise(ITEM as usize + before / 3).iter().map(|byte| byte ^ own));
    bytes.push(b'"');
    bytes.extend((b'0'..=b'z').filter(u8::is_ascii_alphanumeric).cycle().take(1_050_000));
    bytes.push(b'"');
    bytes.extend(noise(before / 3).iter().map(|byte| byte ^ own));
    bytes
}

#[test]
fn data_that_builds_for_all_platforms_hold_has_the_same_frames() {
    let frames = |before: usize| {
        let mut fixture = Fixture::new();
        fixture.file("runtime/bin/node", &program(before), true);
        let (packed, _) = pack_cached(&fixture, "out.tar.zst");
        let packed = packed.expect("it packs");
        assert_eq!(read(&packed, Format::TarZst), expected(&fixture.tree, &packed));
        let manifest = Manifest::from_json(&packed.manifest).expect("its own");
        let frames: Vec<_> =
            manifest.frames.iter().map(|frame| (frame.plain, frame.sha256)).collect();
        frames
    };
    let (one, other) = (frames(20_000), frames(31_234));
    let common: Vec<_> =
        one.iter().filter(|frame| other.contains(frame)).map(|(plain, _)| *plain).collect();
    // The archive's own folder; ICU's data, from its header to its last item; the text.
    assert_eq!(common, [&[512, 10_000, 10_000, 10_000, 60][..], &[10_000; 105]].concat());
}

#[test]
fn tar_reads_it() {
    let fixture = various();
    for (format, decompress) in [(Format::TarZst, None), (Format::TarGz, Some("-z"))] {
        let packed = fixture.pack(format, 2);
        let unpacked = fixture.folder.join(format!("unpacked-{}", format.extension()));
        fs_err::create_dir(&unpacked).expect("a folder");
        let mut tar =
            (Command::new("tar").arg("-x").args(decompress).args(["-C", unpacked.as_str()]))
                .stdin(Stdio::piped())
                .spawn()
                .expect("tar is on every Unix");
        let bytes = fs_err::read(&packed.path).expect("it was written");
        let bytes = match format {
            Format::TarZst => ::zstd::decode_all(&bytes[..]).expect("it decompresses"),
            Format::TarGz | Format::Zip => bytes,
        };
        tar.stdin.take().expect("it is piped").write_all(&bytes).expect("it reads");
        assert!(tar.wait().expect("it ends").success());
        for (path, node) in expected(&fixture.tree, &packed) {
            let path = unpacked.join(path);
            let meta = fs_err::symlink_metadata(&path).expect("it was unpacked");
            match node {
                Found::Folder => assert!(meta.is_dir()),
                Found::File(mode, bytes) => {
                    assert_eq!(meta.permissions().mode() & 0o111, mode & 0o111, "{path}");
                    assert_eq!(fs_err::read(&path).expect("readable"), bytes, "{path}");
                }
                Found::Link(target) => {
                    assert_eq!(path.read_link_utf8().expect("a link"), target);
                }
            }
        }
    }
}

/// The error of packing `fixture`, and proof that nothing was left.
fn failure(fixture: &Fixture, format: Format) -> PackError {
    let out = fixture.folder.join("out/archive");
    let manifest = fixture.manifest();
    let content = fixture.content("app", &manifest);
    let error = write(&fixture.context(2), content, small(format), known(None), &out)
        .expect_err("it fails");
    assert_eq!(fixture.folder.join("out").read_dir_utf8().expect("it was made").count(), 0);
    error
}

#[test]
fn a_damaged_source_is_found() {
    let damages: [fn(&mut Vec<u8>); 3] =
        [|bytes| bytes[0] ^= 1, |bytes| bytes.truncate(3), |bytes| bytes.push(0)];
    for format in FORMATS {
        for path in ["runtime/bin/node", "app/naïve ☃.txt", "app/node_modules/p3/index.js"] {
            for damage in damages {
                let fixture = various();
                let Some(Node::File(source)) = fixture.tree.get(path) else { panic!("a file") };
                let mut bytes = fs_err::read(source.path()).expect("it is there");
                damage(&mut bytes);
                fs_err::write(source.path(), bytes).expect("ours");
                match failure(&fixture, format) {
                    PackError::Damaged { path: found, source_path, .. } => {
                        assert_eq!((found.as_str(), &source_path), (path, &source.path()));
                    }
                    other => panic!("{format:?}, {path}: {other}"),
                }
            }
        }
    }
}

#[test]
fn nothing_is_kept_of_a_damaged_source() {
    let fixture = various();
    let whole = fixture.pack(Format::TarZst, 2);
    let Some(Node::File(source)) = fixture.tree.get("runtime/bin/node") else { panic!("a file") };
    let bytes = fs_err::read(source.path()).expect("it is there");
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fs_err::write(source.path(), damaged).expect("ours");
        let (failed, _) = pack_cached(&fixture, "damaged.tar.zst");
        assert!(matches!(failed, Err(PackError::Damaged { .. })), "{at}");
        fs_err::write(source.path(), &bytes).expect("ours");
        let (again, _) = pack_cached(&fixture, "again.tar.zst");
        assert_eq!(again.expect("it packs").sha256, whole.sha256, "{at}");
        fs_err::remove_dir_all(fixture.folder.join("cache/frames-v1")).expect("it is there");
    }
}

#[test]
fn errors_name_both_places() {
    let mut fixture = Fixture::new();
    fixture.file("app/cli.js", b"one", false);
    fs_err::write(fixture.folder.join("source-0"), "two").expect("ours");
    let error = failure(&fixture, Format::TarZst);
    let text = format!("{error}\n{}", error.help().expect("it has one"));
    insta::assert_snapshot!(text.replace(fixture.folder.as_str(), "STORE"), @"
    cannot pack `app/cli.js`: `STORE/source-0` was changed since it was stored
    its SHA-256 is no longer 7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed; something wrote to the cache, or the disk fails
    ");

    fs_err::remove_file(fixture.folder.join("source-0")).expect("ours");
    let error = failure(&fixture, Format::Zip);
    insta::assert_snapshot!(error.to_string().replace(fixture.folder.as_str(), "STORE"), @"cannot read `STORE/source-0` to pack it as `app/cli.js`");
}

/// Packs `fixture` with the frames in its cache folder.
fn pack_cached(fixture: &Fixture, name: &str) -> (Result<Packed, PackError>, (u64, u64)) {
    pack_cached_as(fixture, name, small(Format::TarZst), 2)
}

fn pack_cached_as(
    fixture: &Fixture,
    name: &str,
    settings: Settings,
    jobs: usize,
) -> (Result<Packed, PackError>, (u64, u64)) {
    let context = fixture.context(jobs);
    let store = crate::store::Store::open(&context).expect("a fresh folder");
    let cache = FrameCache::open(&store, false).expect("the store is there");
    let out = fixture.folder.join(name);
    let manifest = fixture.manifest();
    let content = fixture.content("app-1.0.0", &manifest);
    let packed = write(&context, content, settings, known(Some(&cache)), &out);
    (packed, cache.bytes())
}

#[test]
fn of_several_archives_each_has_its_own_digest() {
    let mut fixture = various();
    let context = fixture.context(2);
    let store = crate::store::Store::open(&context).expect("a fresh folder");
    let cache = FrameCache::open(&store, true).expect("the store is there");
    let mut digests = Vec::new();
    for name in ["first", "second", "third"] {
        let manifest = fixture.manifest();
        let content = fixture.content("app-1.0.0", &manifest);
        let out = fixture.folder.join(format!("{name}.tar.zst"));
        let settings = small(Format::TarZst);
        let packed = write(&context, content, settings, known(Some(&cache)), &out);
        let packed = packed.expect("it packs");
        let bytes = fs_err::read(&out).expect("it is there");
        assert_eq!(
            (packed.sha256, packed.size),
            (Digest::of(&bytes), bytes.len() as u64),
            "{name}"
        );
        digests.push(packed.sha256);
        // The second is the same, the third begins the same and ends another way.
        if name == "second" {
            fixture.file("licenses/z/LICENSE", b"another text", false);
        }
    }
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[1], digests[2]);
}

#[test]
fn what_was_compressed_once_is_not_read_again() {
    let fixture = various();
    let plain = fixture.pack(Format::TarZst, 2);
    let (first, (compressed, reused)) = pack_cached(&fixture, "first.tar.zst");
    assert!(compressed > 0 && reused < compressed);
    for (_, source) in fixture.tree.files() {
        fs_err::remove_file(source.path()).expect("ours");
    }
    let (second, (compressed, reused)) = pack_cached(&fixture, "second.tar.zst");
    assert!(compressed == 0 && reused > 0);
    for packed in [first, second] {
        assert_eq!(packed.expect("it packs").sha256, plain.sha256, "the cache changes no byte");
    }
}

#[test]
fn frames_are_kept_for_what_the_compressor_was_told() {
    let mut fixture = Fixture::new();
    // Repetitions of all distances, so that every setting finds others.
    let repeating = |length: usize| -> Vec<u8> {
        noise(length).iter().flat_map(|byte| [*byte, byte ^ 0x55, byte / 3, 7]).collect()
    };
    fixture.file("runtime/bin/node", &[&program(0)[..64], &repeating(9000)].concat(), true);
    fixture.file("app/index.js", &repeating(2000), false);
    fixture.file("app/large.js", &repeating(9000), false);
    let usual = small(Format::TarZst);
    let manifest = fixture.manifest();
    let digest = |settings, frames| {
        let out = fixture.folder.join("out.tar.zst");
        let content = fixture.content("app-1.0.0", &manifest);
        let context = fixture.context(2);
        write(&context, content, settings, known(frames), &out).expect("it packs").sha256
    };
    let others = [
        Settings { level: 9, ..usual },
        Settings { code_level: 9, ..usual },
        Settings { code_hash_log: Some(6), ..usual },
        Settings { manifest_level: 9, ..usual },
    ];
    let store = crate::store::Store::open(&fixture.context(2)).expect("a fresh folder");
    let cache = FrameCache::open(&store, false).expect("the store is there");
    let first = digest(usual, Some(&cache));
    for settings in others {
        let other = digest(settings, Some(&cache));
        assert_ne!(other, first, "{settings:?}");
        assert_eq!(other, digest(settings, None), "{settings:?}");
    }
}

/// As for releases.
#[test]
fn large_files_of_a_package_are_compressed_together() {
    let mut fixture = various();
    for name in ["server.mjs", "worker.mjs", "z.mjs"] {
        fixture.file(&format!("app/node_modules/p3/dist/{name}"), &noise(9000), false);
    }
    let size = NonZeroU32::new(40_000).expect("not zero");
    let settings = Settings { large_frame_size: size, ..small(Format::TarZst) };
    let apart = fixture.pack(Format::TarZst, 2);
    let manifest = fixture.manifest();
    let content = fixture.content("app-1.0.0", &manifest);
    let out = fixture.folder.join("together.tar.zst");
    let together = write(&fixture.context(3), content, settings, known(None), &out);
    let together = together.expect("it packs");
    assert!(together.size + 2 * 8900 < apart.size, "{} of {}", together.size, apart.size);
    assert_eq!(read(&together, Format::TarZst), expected(&fixture.tree, &together));
    read_by_the_manifest(&together);

    // With a cache the largest are compressed first, in any number of threads.
    for jobs in [1, 4] {
        let cached = |name| pack_cached_as(&fixture, name, settings, jobs);
        let (first, (compressed, _)) = cached("first.tar.zst");
        assert!(compressed > 0);
        let (second, (again, _)) = cached("second.tar.zst");
        assert_eq!(again, 0);
        for packed in [first, second] {
            assert_eq!(packed.expect("it packs").sha256, together.sha256);
        }
        fs_err::remove_dir_all(fixture.folder.join("cache")).expect("ours");
    }
}

#[test]
fn every_kept_frame_may_be_damaged() {
    let fixture = various();
    let (whole, _) = pack_cached(&fixture, "whole.tar.zst");
    let whole = whole.expect("it packs");
    let frames = fixture.folder.join("cache/frames-v1");
    let paths: Vec<_> = frames
        .read_dir_utf8()
        .expect("there are some")
        .flat_map(|shard| shard.expect("readable").path().read_dir_utf8().expect("a shard"))
        .map(|frame| frame.expect("readable").into_path())
        .collect();
    assert!(paths.len() > 3, "{paths:?}");
    for path in paths {
        let mut bytes = fs_err::read(&path).expect("ours");
        bytes[0] ^= 1;
        fs_err::write(&path, bytes).expect("ours");
        let (again, (compressed, _)) = pack_cached(&fixture, "again.tar.zst");
        assert_eq!(again.expect("it packs").sha256, whole.sha256);
        assert!(compressed > 0, "{path} was made anew");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told() {
    let fixture = various();
    let manifest = fixture.manifest();
    for format in FORMATS {
        let entries = entry::list(&fixture.tree, "app", &Natives::default(), small(format).sizes())
            .expect("a plain tree");
        let full = std::fs::OpenOptions::new().read(true).write(true).open("/dev/full");
        let full = full.expect("Linux has it");
        let work = Work {
            folder: "app",
            entries: &entries,
            manifest: &manifest,
            settings: small(format),
            known: known(None),
            shared: &HashMap::new(),
            threads: NonZeroUsize::MIN,
            progress: Reporter::silent().bytes("Packing", 0),
            out: "out/a".into(),
        };
        let error = match format {
            Format::TarZst => seekable::write(&work, &mut HashingWriter::new(&full)),
            Format::TarGz => gzip::write(&work, &full),
            Format::Zip => zip_file::write(&work, &full),
        }
        .expect_err("nothing can be written there");
        let help = error.help().expect("it has one").to_string();
        assert_eq!(error.to_string(), "cannot write `out/a`", "{format:?}");
        assert_eq!(help, "free some space there, or choose another output folder", "{format:?}");
    }
}

#[test]
fn an_archive_that_is_there_stays_when_the_next_one_fails() {
    let fixture = various();
    let packed = fixture.pack(Format::Zip, 2);
    let Some(Node::File(source)) = fixture.tree.get("app/block") else { panic!("a file") };
    fs_err::write(source.path(), "damage").expect("ours");
    let context = fixture.context(2);
    let manifest = fixture.manifest();
    let content = fixture.content("app-1.0.0", &manifest);
    let again = write(&context, content, small(Format::Zip), known(None), &packed.path);
    assert!(matches!(again, Err(PackError::Damaged { .. })));
    let bytes = fs_err::read(&packed.path).expect("it is still there");
    assert_eq!(Digest::of(bytes), packed.sha256);
}

prop_compose! {
    /// A path of a few components that often share folders, and sometimes are long or not ASCII.
    fn any_path()(parts in prop::collection::vec("[ab.☃]{1,3}|node_modules|@s|[a-z]{90,130}", 1..5)) -> String {
        parts.join("/")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_tree_comes_back(
        nodes in prop::collection::vec((any_path(), 0..30_000_usize, any::<bool>(), any::<bool>()), 0..12),
        jobs in 1..4_usize,
    ) {
        let mut fixture = Fixture::new();
        for (path, size, executable, is_link) in nodes {
            let Ok(checked) = BundlePath::new(&path) else { continue };
            let is_below_a_file = std::iter::successors(checked.parent(), BundlePath::parent)
                .any(|parent| fixture.tree.get(parent.as_str()).is_some());
            if is_below_a_file || fixture.tree.has_folder(&path) || fixture.tree.get(&path).is_some() {
                continue;
            }
            if is_link {
                fixture.link(&path, "a/☃");
            } else {
                fixture.file(&path, &noise(size), executable);
            }
        }
        for format in FORMATS {
            let packed = fixture.pack(format, jobs);
            prop_assert_eq!(read(&packed, format), expected(&fixture.tree, &packed));
            if format == Format::TarZst {
                read_by_the_manifest(&packed);
            }
        }
    }
}

/// Packs the fixture as a machine with an empty cache of its own, and says how many bytes of frames it compressed.
fn packed_elsewhere(
    fixture: &Fixture,
    machine: &str,
    service: &Arc<InMemory>,
) -> (Vec<u8>, u64, shared_cache::Use) {
    let mut context = fixture.context(2);
    context.cache = fixture.folder.join(machine);
    let store = Store::open(&context).expect("a fresh folder");
    let shared = SharedCache::in_memory(&context, service, &[]);
    let frames = FrameCache::open(&store, false).expect("the store is there");
    let frames = frames.shared_with(Some(shared.clone()));
    let out = fixture.folder.join(format!("{machine}.tar.zst"));
    let settings = small(Format::TarZst);
    let manifest = fixture.manifest();
    let content = fixture.content("app-1.0.0", &manifest);
    write(&context, content, settings, known(Some(&frames)), &out).expect("it packs");
    (fs_err::read(out).expect("it was written"), frames.bytes().0, shared.finish())
}

#[test]
fn another_machine_compresses_nothing() {
    let fixture = various();
    let service = Arc::new(InMemory::new());
    let (first, compressed, used) = packed_elsewhere(&fixture, "a", &service);
    assert!(compressed > 0 && used.sent > 4, "{used:?}");
    let (second, compressed, used) = packed_elsewhere(&fixture, "b", &service);
    assert_eq!((compressed, used.damaged, used.sent), (0, 0, 0), "{used:?}");
    assert!(used.found > 4, "{used:?}");
    assert!(first == second);
}

/// Whoever can write to the shared cache can make seals when there is no key.
#[test]
fn forged_frames_are_found_out() {
    let fixture = various();
    let service = Arc::new(InMemory::new());
    let (honest, ..) = packed_elsewhere(&fixture, "a", &service);
    let context = fixture.context(2);
    let cache = SharedCache::in_memory(&context, &service, &[]);
    let forge = |forged: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        for object in cache.list().expect("in memory") {
            cache.replace(&object.name, |frame| {
                let plain = ::zstd::decode_all(frame).expect("it is a frame");
                let mut compressor = ::zstd::bulk::Compressor::new(1).expect("a level");
                compressor
                    .set_parameter(::zstd::zstd_safe::CParameter::ChecksumFlag(true))
                    .expect("a parameter");
                compressor.compress(&forged(plain)).expect("it fits")
            });
        }
    };
    let count = cache.list().expect("in memory").len() as u64;
    let forgeries: [&dyn Fn(Vec<u8>) -> Vec<u8>; 4] = [
        &|mut plain| {
            let last = plain.len() - 1;
            plain[last] ^= 1;
            plain
        },
        &|mut plain| {
            plain[0] ^= 1;
            plain
        },
        &|plain| [plain, vec![0; 512]].concat(),
        &|_| vec![0; 1 << 26],
    ];
    for (number, forged) in forgeries.into_iter().enumerate() {
        forge(forged);
        let (archive, compressed, used) =
            packed_elsewhere(&fixture, &format!("forged-{number}"), &service);
        assert!(archive == honest, "forgery {number}");
        assert!(compressed > 0);
        assert_eq!((used.found, used.damaged, used.sent), (0, count, count), "forgery {number}");
        // They were replaced.
        let (archive, compressed, used) =
            packed_elsewhere(&fixture, &format!("after-{number}"), &service);
        assert!(archive == honest, "forgery {number}");
        assert_eq!((compressed, used.damaged), (0, 0), "forgery {number}");
    }
}
