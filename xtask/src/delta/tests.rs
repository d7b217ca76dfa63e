//! Updates between archives that were really packed: what a plan or a patch names is enough to have the new version.

use std::collections::{BTreeMap, HashSet};

use camino::Utf8Path;
use gangway_artifact::delta::patch::{self, Head, PATCH_MAGIC, Patches, Slice};
use gangway_artifact::delta::ranges::Costs;
use gangway_artifact::delta::{self, Keeping, Update};
use gangway_artifact::{BundlePath, Contract, Digest, Frames, Manifest, Mode};
use proptest::prelude::*;

use super::*;
use crate::commands::delta::{Options, run};
use crate::context::Context;
use crate::native::Natives;
use crate::pack::{self, Content, Format, Known, Settings};
use crate::testing::Sandbox;
use crate::tree::{Node, Source, Tree};

/// Path, content, whether it is executable.
type Files = Vec<(String, Vec<u8>, bool)>;

/// Packs `files` with frames of 8,000 bytes, and opens the archive.
fn packed(context: &Context, sandbox: &Sandbox, version: &str, files: &Files) -> Bundle {
    let mut tree = Tree::default();
    for (index, (path, content, executable)) in files.iter().enumerate() {
        let source = sandbox.write(&format!("{version}/{index}"), content);
        let source = Source::new(source, content.len() as u64, *executable, Digest::of(content));
        tree.insert(BundlePath::new(path.as_str()).expect("plain"), Node::File(source));
    }
    let (files, links) = pack::listing(&tree);
    let manifest = serde_json::json!({
        "version": 1, "builder": "gangway 0.1.0", "app": { "name": "app", "version": version },
        "target": "linux-x64", "platform": { "os": "linux", "cpu": "x64", "libc": "glibc" },
        "entrypoints": [], "contract": Contract::default(),
        "unpacked_size": tree.size(), "files": files, "links": links,
    });
    let manifest: Manifest = serde_json::from_value(manifest).expect("as it should be");
    let content = Content { tree: &tree, manifest: &manifest, folder: "app" };
    let size = |bytes| std::num::NonZeroU32::new(bytes).expect("not zero");
    let settings = Settings {
        frame_size: size(8000),
        large_file_size: size(4000),
        large_code_size: size(4000),
        large_frame_size: size(8000),
        level: 3,
        ..Settings::new(Format::TarZst)
    };
    let known = Known { natives: &Natives::default(), frames: None };
    let out = sandbox.root.join(format!("app-{version}.tar.zst"));
    let packed = pack::write(context, content, settings, known, &out).expect("it packs");
    let bundle = Bundle::open(&out).expect("it was just made");
    assert_eq!(bundle.text, packed.manifest);
    assert_eq!(bundle.size().expect("it makes sense"), packed.size);
    bundle
}

fn contents(files: &Files) -> BTreeMap<&str, (&[u8], bool)> {
    files.iter().map(|(path, content, mode)| (path.as_str(), (&content[..], *mode))).collect()
}

/// The new version's files: made of the old ones, and of nothing of the new archive but the planned ranges.
fn updated(old: &Files, archive: &Utf8Path, plan: &Update<'_>, new: &Manifest) -> Files {
    let old = contents(old);
    let bytes = fs_err::read(archive).expect("it was written");
    let frames = Frames::of(new).expect("it makes sense");
    let mut plain: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    for range in &plan.ranges {
        let at = usize::try_from(range.offset).expect("small");
        let mut answer = &bytes[at..at + usize::try_from(range.size).expect("small")];
        for index in range.frames.clone() {
            let frame = frames.list()[index];
            let content = answer.split_off(..usize::try_from(frame.size).expect("small"));
            let content = content.expect("the range holds its frames");
            assert_eq!(Digest::of(content), frame.sha256);
            plain.insert(index, zstd::decode_all(content).expect("a whole frame"));
        }
        assert!(answer.is_empty());
    }
    let mut files = Files::new();
    for kept in &plan.kept {
        let (content, mode) = old[kept.from.path.as_str()];
        let mode = match kept.keeping() {
            Keeping::Link => mode,
            Keeping::Copy => kept.file.mode == Mode::Executable,
        };
        files.push((kept.file.path.to_string(), content.to_vec(), mode));
    }
    for file in &plan.fetched {
        let mut content = Vec::new();
        for piece in frames.pieces(file) {
            let at = usize::try_from(piece.offset).expect("small");
            let length = usize::try_from(piece.length).expect("small");
            content.extend_from_slice(&plain[&piece.frame][at..at + length]);
        }
        files.push((file.path.to_string(), content, file.mode == Mode::Executable));
    }
    files.sort();
    files
}

/// The manifest and the files that a patch makes of the old version.
fn patched(old: &Bundle, old_files: &Files, bytes: &[u8]) -> BTreeMap<BundlePath, Vec<u8>> {
    let old_files = contents(old_files);
    let bytes = bytes.strip_prefix(&PATCH_MAGIC).expect("it begins so");
    let (length, rest) = bytes.split_first_chunk().expect("four bytes");
    let (head, mut rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
    let head = zstd::decode_all(head).expect("a frame");
    let head = Head::from_json(&head).expect("a head");
    assert_eq!(head.from, old.digest());
    let mut made: BTreeMap<BundlePath, Vec<u8>> = BTreeMap::new();
    for step in head.steps {
        let bytes = |slice: &Slice| {
            let whole = match slice.path.as_str() {
                "manifest.json" => &old.text[..],
                path => old_files[path].0,
            };
            let at = usize::try_from(slice.offset).expect("small");
            whole[at..at + usize::try_from(slice.size).expect("small")].to_vec()
        };
        let from: Vec<u8> = step.old.iter().flat_map(bytes).collect();
        let frame = rest.split_off(..usize::try_from(step.size).expect("small"));
        let edit = zstd::decode_all(frame.expect("it is there")).expect("a frame");
        assert_eq!(edit.len() as u64, step.plain);
        let size: u64 = step.new.iter().map(|slice| slice.size).sum();
        assert!(from.len() as u64 <= patch::MOST_OLD && size <= patch::MOST_NEW);
        let new = patch::edit(&from, &edit, usize::try_from(size).expect("small"));
        let mut new = &new.expect("it fits")[..];
        for Slice { path, offset, size } in step.new {
            let content = made.entry(path).or_default();
            assert_eq!(content.len() as u64, offset);
            let part = new.split_off(..usize::try_from(size).expect("small"));
            content.extend_from_slice(part.expect("it is there"));
        }
    }
    assert!(rest.is_empty());
    made
}

/// Text that compresses somewhat, different for every `seed`.
fn text(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut words = Vec::with_capacity(length + 12);
    while words.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        words.extend_from_slice(format!("{:x} ", state >> 44).as_bytes());
    }
    words.truncate(length);
    words
}

fn check(old_files: &Files, new_files: &Files, request: u64) {
    let sandbox = Sandbox::new();
    let context = sandbox.context(&[]);
    let old = packed(&context, &sandbox, "1.0.0", old_files);
    let new = packed(&context, &sandbox, "1.0.1", new_files);
    let plan = delta::plan(&old.manifest, &new.manifest, Costs { request }).expect("they fit");
    let mut expected = new_files.clone();
    expected.sort();
    let made = updated(old_files, &new.path, &plan, &new.manifest);
    assert!(made == expected, "the plan does not make the new version");

    let bytes = make(&context, &old, &new, &plan).expect("both are archives");
    let made = patched(&old, old_files, &bytes);
    assert_eq!(made[&BundlePath::new("manifest.json").expect("plain")], new.text);
    for file in plan.fetched.iter().filter(|file| file.size > 0) {
        assert_eq!(Digest::of(&made[&file.path]), file.sha256, "{}", file.path);
    }
    let fetched: HashSet<_> = plan.fetched.iter().map(|file| &file.path).collect();
    assert!(made.keys().all(|path| fetched.contains(path) || path.as_str() == "manifest.json"));
}

#[test]
fn a_release_with_a_bit_of_everything() {
    let file = |path: &str, content: Vec<u8>, mode| (path.to_owned(), content, mode);
    let mut runtime = text(1, 9 << 20);
    let mut old: Files = (0..30)
        .map(|index| file(&format!("app/node_modules/p{index}/a.js"), text(index, 3000), false))
        .collect();
    old.push(file("runtime/node", runtime.clone(), true));
    old.push(file("bin/run", b"#!/bin/sh".to_vec(), false));
    old.push(file("app/dist/chunk-aaaa.js", text(100, 5000), false));
    let mut new = old.clone();
    runtime.splice(5000..5100, text(2, 250));
    new[30].1 = runtime;
    new[31].2 = true;
    new[32] = file("app/dist/chunk-bbbb.js", [text(100, 5000), text(9, 40)].concat(), false);
    new[7].1[50] ^= 1;
    new.remove(3);
    new.push(file("app/new.js", text(200, 700), false));
    new.push(file("app/empty.js", Vec::new(), false));
    check(&old, &new, 64 << 10);
}

#[test]
fn what_can_be_named() {
    let sandbox = Sandbox::new();
    let context = sandbox.context(&[]);
    let files: Files = vec![("app/a.js".to_owned(), text(1, 20_000), false)];
    let bundle = packed(&context, &sandbox, "1.0.0", &files);
    let alone = sandbox.write("app.manifest.json", &bundle.text);
    let alone = Bundle::open(&alone).expect("it is one");
    assert_eq!((alone.digest(), &alone.manifest), (bundle.digest(), &bundle.manifest));
    assert!(
        alone.size().expect("it makes sense").abs_diff(bundle.size().expect("so does it")) < 200
    );

    let archive = fs_err::read(&bundle.path).expect("it was written");
    let said = |name: &str, bytes: &[u8]| {
        let error = Bundle::open(&sandbox.write(name, bytes)).expect_err(name);
        let help =
            miette::Diagnostic::help(&error).map_or_else(String::new, |help| help.to_string());
        format!("{error}\n{help}").replace(sandbox.root.as_str(), "~")
    };
    insta::assert_snapshot!(said("a.txt", b"hello"), @"
    `~/a.txt` is neither an archive nor a manifest
    name a `.tar.zst` that `cargo xtask bundle` made, or the `.manifest.json` beside it
    ");
    insta::assert_snapshot!(said("a.tar.gz", &[0x1f, 0x8b, 8, 0]), @"
    `~/a.tar.gz` can only be read from its beginning, so no part of it can be fetched
    updates are for `.tar.zst`; make one with `cargo xtask bundle --format tar.zst`
    ");
    insta::assert_snapshot!(said("x.json", br#"{"version": 2}"#), @"
    cannot take the manifest of `~/x.json`: its format is version 2, and version 1 was expected
    it was made by another version of Gangway: bundle it anew with this one
    ");
    insta::assert_snapshot!(said("cut.tar.zst", &archive[..archive.len() - 1]), @"
    `~/cut.tar.zst` is damaged, or no bundle: it does not end with a table of its frames
    bundle it anew, or fetch it again
    ");
    insta::assert_snapshot!(said("plain.tar.zst", &zstd::encode_all(&b"x"[..], 1).expect("memory")), @"
    `~/plain.tar.zst` is damaged, or no bundle: it does not end with a table of its frames
    bundle it anew, or fetch it again
    ");
    let error = alone.reader().expect_err("it has no files").to_string();
    insta::assert_snapshot!(error.replace(sandbox.root.as_str(), "~"), @"a patch cannot be made from `~/app.manifest.json`: it is a manifest alone");
    // Nothing in the end of an archive makes the reader do anything but say so.
    for at in archive.len() - 200..archive.len() {
        let mut damaged = archive.clone();
        damaged[at] ^= 0x55;
        let _ = Bundle::open(&sandbox.write("damaged.tar.zst", damaged));
    }
    // A frame that was changed is found by its digest.
    let mut damaged = archive.clone();
    damaged[300] ^= 1;
    let damaged = Bundle::open(&sandbox.write("frame.tar.zst", damaged)).expect("its end is whole");
    let path = BundlePath::new("app/a.js").expect("plain");
    let whole = Slice { path, offset: 0, size: 20_000 };
    let error = damaged.reader().expect("an archive").read(&[whole]).expect_err("it is damaged");
    insta::assert_snapshot!(error.to_string().replace(sandbox.root.as_str(), "~"), @"`~/frame.tar.zst` is damaged, or no bundle: a frame is not what the manifest says");
}

#[test]
fn patches_are_listed() {
    let sandbox = Sandbox::new();
    let context = sandbox.context(&[]);
    let file = |text| vec![("app/a.js".to_owned(), text, false)];
    let one = packed(&context, &sandbox, "1.0.0", &file(text(1, 20_000)));
    let two = packed(&context, &sandbox, "1.1.0", &file([text(1, 20_000), text(2, 500)].concat()));
    let new = packed(&context, &sandbox, "1.2.0", &file([text(1, 20_000), text(2, 900)].concat()));
    let folder = sandbox.root.join("patches");
    let options = Options { patches: Some(folder.clone()), ..Options::default() };
    for old in [&two, &one, &two] {
        let cost = run(&context, &old.path, &new.path, &options).expect("it pays");
        let patch = cost.patch.expect("it was asked for");
        assert!(patch.size < cost.download);
        let bytes = fs_err::read(patch.path.expect("it pays")).expect("it was written");
        assert_eq!(bytes.len() as u64, patch.size);
    }
    let list = folder.join("app-1.2.0-linux-x64.patches.json");
    let there = fs_err::read(&list).expect("it was written");
    let there: Patches = serde_json::from_slice(&there).expect("a list");
    let names: Vec<_> = there.patches.iter().map(|patch| patch.name.as_str()).collect();
    assert_eq!(
        names,
        ["app-1.2.0-linux-x64.from-1.0.0.patch", "app-1.2.0-linux-x64.from-1.1.0.patch"]
    );
    for old in [&one, &two] {
        let patch = there.from(&old.digest()).expect("it is listed");
        let bytes = fs_err::read(folder.join(&patch.name)).expect("it was written");
        assert_eq!(Digest::of(&bytes), patch.sha256);
    }
    assert_eq!((there.to, there.from(&new.digest())), (new.digest(), None));

    // Nothing but the manifest is fetched either way, and a patch takes a request more.
    let other =
        packed(&context, &sandbox, "2.0.0", &file([text(1, 20_000), text(3, 100)].concat()));
    let costs = Costs { request: 1 << 30 };
    let dear = Options { costs, ..options.clone() };
    let cost = run(&context, &new.path, &new.path, &dear).expect("a plan");
    assert_eq!(cost.patch.expect("it was asked for").path, None);
    fs_err::write(folder.join("app-2.0.0-linux-x64.patches.json"), "[").expect("ours");
    let error = run(&context, &one.path, &other.path, &options).expect_err("it is no list");
    insta::assert_snapshot!(error.to_string().replace(sandbox.root.as_str(), "~"), @"`~/patches/app-2.0.0-linux-x64.patches.json` is not a list of patches");
    let alone = sandbox.write("1.0.0.manifest.json", &one.text);
    let error = run(&context, &alone, &new.path, &options).expect_err("it has no files");
    insta::assert_snapshot!(error.to_string().replace(sandbox.root.as_str(), "~"), @"a patch cannot be made from `~/1.0.0.manifest.json`: it is a manifest alone");
}

prop_compose! {
    fn any_files()(files in prop::collection::btree_map(
        "(a|node_modules/[pq]|r)/[a-d]", (0..6_u64, 0..20_000_usize, any::<bool>()), 0..10,
    )) -> Files {
        files.into_iter().map(|(path, (seed, length, mode))| (path, text(seed, length), mode)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_update_gives_the_new_version(
        old in any_files(), new in any_files(), request in 0..20_000_u64, common in 0..10_usize,
    ) {
        let mut new = new;
        new.retain(|(path, ..)| old.iter().take(common).all(|(other, ..)| other != path));
        new.extend(old.iter().take(common).cloned());
        check(&old, &new, request);
    }
}
