//! Archives that somebody made to do harm, or to say something else than they are.

use tar::EntryType;

use super::sample::{Sample, assemble, compress, header, whole, zeros};
use super::{Place, options, refused};
use crate::archive::{Fault, unpack};
use crate::{BundlePath, Digest, File, Manifest, Mode};

fn file(name: &str, size: u64) -> Vec<u8> {
    header(name, EntryType::Regular, 0o644, size, "")
}

/// An archive with one more entry, of which the manifest says nothing.
fn with(headers: &[u8]) -> String {
    let mut sample = Sample::default();
    sample.file("a.js", b"1");
    sample.raw(headers);
    sample.cut();
    sample.file("b.js", b"2");
    let said = refused(&sample.zst());
    // A format that is read from front to back says the same.
    assert_eq!(refused(&sample.gz()), said);
    said
}

#[test]
fn entries_of_other_kinds() {
    let of = |kind, mode, target| with(&header("app/c", kind, mode, 0, target));
    insta::assert_snapshot!(of(EntryType::Link, 0o644, "app/a.js"), @"`app/c` is a hard link, and bundles have files, folders and symbolic links only");
    insta::assert_snapshot!(of(EntryType::Char, 0o644, ""), @"`app/c` is a device, and bundles have files, folders and symbolic links only");
    insta::assert_snapshot!(of(EntryType::Fifo, 0o644, ""), @"`app/c` is a pipe, and bundles have files, folders and symbolic links only");
    insta::assert_snapshot!(of(EntryType::XHeader, 0o644, ""), @"`app/c` is an extended header, and bundles have files, folders and symbolic links only");
    insta::assert_snapshot!(of(EntryType::new(b'Z'), 0o644, ""), @"`app/c` is of a kind that nobody knows, and bundles have files, folders and symbolic links only");
    insta::assert_snapshot!(of(EntryType::Directory, 0o755, ""), @"`app/c` is in the archive, and not in its `manifest.json`");
    insta::assert_snapshot!(of(EntryType::Directory, 0o777, ""), @"`app/c` has the mode 777, and 755 was expected");
    insta::assert_snapshot!(of(EntryType::Symlink, 0o777, "a.js"), @"`app/c` is in the archive, and not in its `manifest.json`");
}

#[test]
fn entries_elsewhere() {
    let link = |name, target| header(name, EntryType::Symlink, 0o777, 0, target);
    for headers in [
        link("../../out", "x"),
        link("/tmp/out", "x"),
        link("app/../../out", "x"),
        link("other/out", "x"),
        link("app", "/etc"),
        header("../", EntryType::Directory, 0o755, 0, ""),
        header("app/../x/", EntryType::Directory, 0o755, 0, ""),
    ] {
        let said = with(&headers);
        assert!(said.ends_with("is in the archive, and not in its `manifest.json`"), "{said}");
    }
    // The archive's own folder twice.
    insta::assert_snapshot!(with(&header("app/", EntryType::Directory, 0o755, 0, "")), @"`app` is in the archive twice");
}

#[test]
fn a_file_that_is_not_listed() {
    let more = |name| {
        let mut sample = Sample::default();
        sample.file("a.js", b"1");
        sample.cut();
        let (before, listed) = (sample.pieces.clone(), sample.manifest.clone());
        sample.file("x", b"2");
        let named = [file(name, 1), sample.pieces.last().expect("one")[512..].to_vec()].concat();
        sample.pieces = before;
        sample.manifest = listed;
        sample.raw(&named);
        [refused(&sample.zst()), refused(&sample.gz())]
    };
    insta::assert_debug_snapshot!(more("app/x"), @r#"
[
    "`app/x` is in the archive, and not in its `manifest.json`",
    "`app/x` is in the archive, and not in its `manifest.json`",
]
"#);
    insta::assert_debug_snapshot!(more("app/../../out"), @r#"
[
    "`app/../../out` is in the archive, and not in its `manifest.json`",
    "`app/../../out` is in the archive, and not in its `manifest.json`",
]
"#);
    // And one that is, a second time.
    insta::assert_debug_snapshot!(more("app/a.js"), @r#"
[
    "`app/a.js` is in the archive, and not in its `manifest.json`",
    "`app/a.js` is in the archive twice",
]
"#);
}

#[test]
fn headers_that_say_something_else() {
    let whole = || {
        let mut sample = Sample::default();
        sample.file("a/run", b"12345");
        sample.link("bin/run", "../a/run");
        sample
    };
    let changed = |from: &[u8], to: &[u8]| {
        let mut sample = whole();
        let piece = &mut sample.pieces[0];
        let at = piece.windows(from.len()).position(|part| part == from).expect("it is there");
        piece.splice(at..at + from.len(), to.iter().copied());
        refused(&sample.zst())
    };
    let run = |mode, size| header("app/a/run", EntryType::Regular, mode, size, "");
    let link = |name, target| header(name, EntryType::Symlink, 0o777, 0, target);
    let of_link = link("app/bin/run", "../a/run");
    insta::assert_snapshot!(changed(&run(0o644, 5), &run(0o4755, 5)), @"`a/run` has the mode 4755, and 644 was expected");
    insta::assert_snapshot!(changed(&run(0o644, 5), &run(0o644, 6)), @"`a/run` has 6 bytes, and `manifest.json` says 5");
    insta::assert_snapshot!(changed(&run(0o644, 5), &file("app/a/walk", 5)), @"`app/a/walk` is in the archive, and not in its `manifest.json`");
    insta::assert_snapshot!(changed(&run(0o644, 5), &link("app/a/run", "/etc/passwd")), @"at byte 1024 of its content `manifest.json` has the file `a/run`, and the archive has the link `app/a/run`");
    insta::assert_snapshot!(changed(&of_link, &link("app/bin/run", "../../../etc/passwd")), @"the link `bin/run` leads to `../../../etc/passwd`, and `manifest.json` says `../a/run`");
    insta::assert_snapshot!(changed(&of_link, &link("app/bin/run", "../a/ran")), @"the link `bin/run` leads to `../a/ran`, and `manifest.json` says `../a/run`");
    insta::assert_snapshot!(changed(&of_link, &file("app/bin/run", 0)), @"`app/bin/run` is in the archive, and not in its `manifest.json`");
    insta::assert_snapshot!(changed(&of_link, &[]), @"`bin/run` is in its `manifest.json`, and not in the archive");
    insta::assert_snapshot!(changed(&of_link, &[0; 512]), @"at byte 2560 of its content there is no header of tar: there are zeros, and its end comes later");
    insta::assert_snapshot!(changed(&of_link, &[7; 512]), @"at byte 2560 of its content there is no header of tar: it is not one of ustar");
    insta::assert_snapshot!(changed(b"12345", b"12346"), @"`a/run` has the SHA-256 34d128f5b3dede622e107438fbefabdf0519ebab21ac7b6f2075f974d09ce524, and `manifest.json` says 5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5");
    insta::assert_snapshot!(changed(b"12345\0", b"12345x"), @"at byte 1541 of its content there is no header of tar: what fills a block is not zeros");
    let mut sum = run(0o644, 5);
    sum[0] = b'b';
    insta::assert_snapshot!(changed(&run(0o644, 5), &sum), @"at byte 1024 of its content there is no header of tar: its checksum is wrong");
}

fn lying(change: impl FnOnce(&mut Manifest)) -> String {
    let mut sample = Sample::default();
    sample.file("a/one.js", b"1");
    sample.file("a/two.js", b"22");
    sample.cut();
    sample.file("b", b"333");
    sample.link("bin/one", "../a/one.js");
    refused(&sample.zst_with(change, |_| {}))
}

fn path(text: &str) -> BundlePath {
    BundlePath::new(text).expect("plain")
}

#[test]
fn manifests_that_lie_about_files() {
    insta::assert_snapshot!(lying(|manifest| manifest.files[0].size += 1), @"its `manifest.json` says an `unpacked_size` of 6, and 7 was expected");
    insta::assert_snapshot!(lying(|manifest| manifest.unpacked_size += 1), @"its `manifest.json` says an `unpacked_size` of 7, and 6 was expected");
    insta::assert_snapshot!(lying(|manifest| {
        manifest.files[0].size += 1;
        manifest.unpacked_size += 1;
    }), @"`a/one.js` has 1 bytes, and `manifest.json` says 2");
    insta::assert_snapshot!(lying(|manifest| {
        manifest.files[0].size = u64::MAX;
        manifest.files[1].size = 2;
    }), @"its `manifest.json` is not in order: `a/two.js`: it is too large");
    insta::assert_snapshot!(lying(|manifest| manifest.files[0].mode = Mode::Executable), @"`a/one.js` has the mode 644, and 755 was expected");
    insta::assert_snapshot!(lying(|manifest| manifest.files[0].sha256 = Digest::of("2")), @"`a/one.js` has the SHA-256 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b, and `manifest.json` says d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35");
    insta::assert_snapshot!(lying(|manifest| manifest.files[0].path = path("a/other.js")), @"`app/a/one.js` is in the archive, and not in its `manifest.json`");
    insta::assert_snapshot!(lying(|manifest| manifest.files[0].block = Some(0)), @"its `manifest.json` is not in order: `a/one.js`: it is said to be where something else is");
    insta::assert_snapshot!(lying(|manifest| manifest.files[0].block = Some(u32::MAX)), @"its `manifest.json` is not in order: `a/one.js`: it is said to be behind the last frame");
    insta::assert_snapshot!(lying(|manifest| manifest.files[0].block = None), @"its `manifest.json` is not in order: `a/two.js`: it and other files differ in whether their place is known");
    insta::assert_snapshot!(lying(|manifest| {
        for file in &mut manifest.files {
            file.block = None;
        }
    }), @"`app/a/one.js` is in the archive, and not in its `manifest.json`");
    insta::assert_snapshot!(lying(|manifest| manifest.files.swap(0, 1)), @"its `manifest.json` is not in order: `a/one.js`: it is not after the file before it");
    insta::assert_snapshot!(lying(|manifest| manifest.files[1] = manifest.files[0].clone()), @"its `manifest.json` is not in order: `a/one.js`: it is not after the file before it");
    insta::assert_snapshot!(lying(|manifest| {
        let file = File { path: path("manifest.json"), ..manifest.files[2].clone() };
        manifest.files.push(file);
    }), @"its `manifest.json` is not in order: `manifest.json`: it cannot be one of its own files");
    // More files than there are.
    insta::assert_snapshot!(lying(|manifest| {
        let file = File { path: path("c"), size: 0, block: Some(9), ..manifest.files[2].clone() };
        manifest.files.push(file);
    }), @"at byte 4096 of its content `manifest.json` has the file `c`, and the archive has the folder `app/bin`");
    insta::assert_snapshot!(lying(|manifest| {
        manifest.files.pop();
        manifest.unpacked_size -= 3;
    }), @"`app/b` is in the archive, and not in its `manifest.json`");
}

#[test]
fn manifests_that_lie_about_other_things() {
    insta::assert_snapshot!(lying(|manifest| manifest.version = 2), @"its `manifest.json` is of format 2, and 1 was expected");
    insta::assert_snapshot!(lying(|manifest| manifest.links[0].target = "../b".to_owned()), @"the link `bin/one` leads to `../a/one.js`, and `manifest.json` says `../b`");
    insta::assert_snapshot!(lying(|manifest| manifest.links[0].target = "../../../b".to_owned()), @"the link `bin/one` leads out of the bundle, to `../../../b`");
    insta::assert_snapshot!(lying(|manifest| manifest.links[0].target = "/etc/passwd".to_owned()), @"the link `bin/one` leads out of the bundle, to `/etc/passwd`");
    insta::assert_snapshot!(lying(|manifest| manifest.links[0].path = path("b")), @"the link `b` leads out of the bundle, to `../a/one.js`");
    insta::assert_snapshot!(lying(|manifest| manifest.links[0].path = path("b/c")), @"its `manifest.json` is not in order: `b`: it is both of a folder, a file and a link");
    insta::assert_snapshot!(lying(|manifest| manifest.links[0].path = path("a/two")), @"`app/bin` is in the archive, and not in its `manifest.json`");
    insta::assert_snapshot!(lying(|manifest| {
        let mut link = manifest.links[0].clone();
        link.path = path("bin/two");
        manifest.links.push(link);
    }), @"`bin/two` is in its `manifest.json`, and not in the archive");
    insta::assert_snapshot!(lying(|manifest| manifest.frames[0].offset = 1), @"its seek table and its `manifest.json` differ about frame 0");
    insta::assert_snapshot!(lying(|manifest| manifest.frames[1].size += 1), @"its seek table and its `manifest.json` differ about frame 1");
    insta::assert_snapshot!(lying(|manifest| manifest.frames[1].sha256 = Digest::of("")), @"frame 1, 134 bytes from byte 141, has the SHA-256 23066bb99965423fd8f1fb50339160e2d92dff56f904a262a846c92f60fb94cf, and `manifest.json` says e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    insta::assert_snapshot!(lying(|manifest| manifest.frames.swap(0, 1)), @"its seek table and its `manifest.json` differ about frame 0");
    insta::assert_snapshot!(lying(|manifest| manifest.frames.truncate(1)), @"its `manifest.json` says a number of frames of 1, and 2 was expected");
    insta::assert_snapshot!(lying(|manifest| manifest.frames.clear()), @"its `manifest.json` says a number of frames of 0, and 2 was expected");
}

/// Manifests that this crate cannot make.
#[test]
fn manifests_that_are_none() {
    let (frames, manifest) = whole().frames();
    let text = String::from_utf8(manifest.to_json()).expect("JSON is UTF-8");
    let with = |text: &str| refused(&assemble(&frames, text.as_bytes(), |_| {}));
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        with(&text.replacen(from, to, 1))
    };
    insta::assert_snapshot!(with(""), @"its `manifest.json` cannot be read: EOF while parsing a value at line 1 column 0");
    insta::assert_snapshot!(with("{"), @"its `manifest.json` cannot be read: EOF while parsing an object at line 1 column 1");
    insta::assert_snapshot!(with("[1]"), @"its `manifest.json` cannot be read: invalid type: sequence, expected a bundle's manifest at line 1 column 1");
    insta::assert_snapshot!(with("{} more"), @"its `manifest.json` cannot be read: trailing characters at line 1 column 4");
    insta::assert_snapshot!(changed("\"a/empty\"", "\"../out\""), @"its `manifest.json` cannot be read: `../out` is not a path inside a bundle: it leads out of the bundle with `..` at line 34 column 21");
    insta::assert_snapshot!(changed("\"a/empty\"", "\"/out\""), @"its `manifest.json` cannot be read: `/out` is not a path inside a bundle: it is absolute at line 34 column 19");
    insta::assert_snapshot!(changed("\"a/empty\"", "\"a\\\\..\\\\..\\\\out\""), @r#"its `manifest.json` cannot be read: `a\\..\\..\\out` is not a path inside a bundle: it contains a backslash at line 34 column 29"#);
    insta::assert_snapshot!(changed("\"mode\":\"644\"", "\"mode\":\"4755\""), @"its `manifest.json` cannot be read: unknown variant `4755`, expected `644` or `755` at line 34 column 44");
    insta::assert_snapshot!(changed("\"version\": 1", "\"version\": 1, \"files\": [], \"files\": []"), @"its `manifest.json` cannot be read: a list is there twice at line 2 column 40");
    insta::assert_snapshot!(changed("\"size\":", "\"size\":-"), @"its `manifest.json` cannot be read: invalid value: integer `-184`, expected u64 at line 23 column 28");
}

/// What some systems cannot have, or take for one.
#[test]
fn names_that_are_others_elsewhere() {
    let on = |os: &str, first: &str, second: &str| {
        let mut sample = Sample::default();
        sample.file(first, b"1");
        sample.file(second, b"2");
        sample.manifest.platform.os = serde_json::from_value(os.into()).expect("one of them");
        sample.zst()
    };
    for os in ["darwin", "win32"] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused(&on(os, "a/File.js", "a/file.js")), @"`a/File.js` and `a/file.js` differ in case or Unicode form only, and would be one file");
            insta::assert_snapshot!(refused(&on(os, "a/x", "A")), @"`A` and `a` differ in case or Unicode form only, and would be one file");
        }
        Place::new(&on(os, "a/x", "A/y")).unpack(1).expect("a folder of two spellings is one");
    }
    insta::assert_snapshot!(refused(&on("win32", "a/nul.txt", "b")), @"its `manifest.json` is not in order: `a/nul.txt`: the name is that of a device");
    insta::assert_snapshot!(refused(&on("win32", "a/x.", "b")), @"its `manifest.json` is not in order: `a/x.`: a name must not end with a dot or a space");
    insta::assert_snapshot!(refused(&on("win32", "a/b?", "b")), @r#"its `manifest.json` is not in order: `a/b?`: a name must not have any of < > " | ? *"#);
    #[cfg(target_os = "linux")]
    Place::new(&on("linux", "a/aux", "a/AUX")).unpack(1).expect("nobody minds");
}

#[test]
fn swapped_frames() {
    let sample = whole();
    let (frames, manifest) = sample.frames();
    let expected = manifest.to_json();
    for one in 0..frames.len() {
        for other in 0..one {
            let mut swapped = frames.clone();
            swapped.swap(one, other);
            // With a seek table that fits them.
            let said = refused(&assemble(&swapped, &expected, |_| {}));
            assert!(said.contains("frame"), "{said}");
        }
    }
    // One that is gone, and one that is there twice.
    refused(&assemble(&frames[1..], &expected, |_| {}));
    refused(&assemble(&[&frames[..1], &frames].concat(), &expected, |_| {}));
    // Even if the manifest lists them so, the content is not where it should be.
    let mut swapped = sample;
    swapped.pieces.swap(1, 2);
    let said = refused(&swapped.zst());
    assert!(said.contains("at byte "), "{said}");
}

#[test]
fn seek_tables_that_lie() {
    let with = |change: fn(&mut Vec<[u32; 3]>)| refused(&whole().zst_with(|_| {}, change));
    insta::assert_snapshot!(with(|table| table[0][0] += 1), @"its seek table has another checksum for frame 0 than the frame");
    insta::assert_snapshot!(with(|table| {
        table[0][0] -= 1;
        table[1][0] += 1;
    }), @"its seek table has another checksum for frame 0 than the frame");
    insta::assert_snapshot!(with(|table| table[1][0] = u32::MAX), @"frame 1 is said to have 4294967295 bytes from byte 184, which cannot be");
    insta::assert_snapshot!(with(|table| table[1][0] = 0), @"frame 1 is said to have 0 bytes from byte 184, which cannot be");
    insta::assert_snapshot!(with(|table| table[1][1] += 1), @"its seek table and its `manifest.json` differ about frame 1");
    insta::assert_snapshot!(with(|table| table[1][1] = u32::MAX), @"its seek table and its `manifest.json` differ about frame 1");
    insta::assert_snapshot!(with(|table| table[1][2] ^= 1), @"its seek table has another checksum for frame 1 than the frame");
    insta::assert_snapshot!(with(|table| table.swap(0, 1)), @"its seek table has another checksum for frame 0 than the frame");
    insta::assert_snapshot!(with(|table| *table = table.split_off(1)), @"its seek table has another checksum for frame 0 than the frame");
    insta::assert_snapshot!(with(|table| table.push([0, 0, 0])), @"frame 11 is said to have 0 bytes from byte 4435, which cannot be");
    insta::assert_snapshot!(with(Vec::clear), @"its seek table says a size of all frames of 0, and 4435 was expected");
    let last = |table: &mut Vec<[u32; 3]>, by: u32| {
        let end = table.len() - 1;
        table[end - 1][1] = table[end - 1][1].wrapping_add(by);
    };
    // The frame of the manifest says itself how long it is.
    for by in [1, 512, 0u32.wrapping_sub(1), 0u32.wrapping_sub(512), 1 << 30] {
        refused(&whole().zst_with(|_| {}, |table| last(table, by)));
    }
    // The numbers around the entries.
    let bytes = whole().zst();
    let changed = |from_end: usize, value: u32| {
        let mut bytes = bytes.clone();
        let at = bytes.len() - from_end;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        refused(&bytes)
    };
    insta::assert_snapshot!(changed(4, 7), @"its last bytes are not those of a seek table: it ends too early, or is not a bundle");
    insta::assert_snapshot!(changed(9, 0), @"its seek table says that it begins with 1024, and 407710302 was expected");
    insta::assert_snapshot!(changed(9, 1), @"its seek table says that it begins with 4096, and 407710302 was expected");
    insta::assert_snapshot!(changed(9, u32::MAX), @"its seek table says a number of frames of 4294967295, and 380 was expected");
    insta::assert_snapshot!(changed(9, 0x0800_0000), @"its seek table says a number of frames of 134217728, and 380 was expected");
}

/// A frame of ten gigabytes in the place of a small one.
fn bomb(said: Option<u64>) -> Sample {
    let mut sample = Sample::default();
    sample.file("a", &[0; 1024]);
    sample.parts("b", &[0; 4096], Mode::Plain, 2048);
    let index = sample.pieces.len() - 2;
    sample.compressed.insert(index, zeros(10 << 30, said));
    sample
}

#[test]
fn bombs() {
    // The seek table and the manifest say what the small one would have.
    let of = |said| {
        bomb(said).zst_with(
            |_| {},
            |table| {
                for entry in table.iter_mut().filter(|entry| entry[0] > 10_000) {
                    entry[1] = 2048;
                }
            },
        )
    };
    insta::assert_snapshot!(refused(&of(Some(10 << 30))), @"frame 2 holds more than the 2048 bytes it should");
    insta::assert_snapshot!(refused(&of(Some(2048))), @"frame 2 holds more than the 2048 bytes it should");
    // One that all tell the truth about, as far as its size can be told: nobody listed that many files.
    let honest = bomb(Some(10 << 30)).zst_with(
        |manifest| {
            for frame in &mut manifest.frames {
                if frame.size > 10_000 {
                    frame.plain = u64::from(u32::MAX);
                }
            }
        },
        |_| {},
    );
    insta::assert_snapshot!(refused(&honest), @"its `manifest.json` says a size of all frames of 4294971903, and 20480 was expected");
}

#[test]
fn a_bomb_in_the_place_of_the_manifest() {
    let (frames, _) = whole().frames();
    let frames: Vec<Vec<u8>> =
        [frames, vec![zeros(4 << 30, Some(4 << 30)), compress(&[0; 1024])]].concat();
    let bytes = assemble(&frames, b"{}", |_| {});
    // Without the two frames that were added.
    let count = frames.len();
    let end: usize = frames.iter().map(Vec::len).sum();
    let table = &bytes[bytes.len() - 9 - 12 * (count + 2)..][..12 * count];
    let number = |number: usize| u32::try_from(number).expect("small").to_le_bytes();
    let bytes = [
        &bytes[..end],
        &0x184D_2A5E_u32.to_le_bytes(),
        &number(12 * count + 9),
        table,
        &number(count),
        &[0x80],
        &0x8F92_EAB1_u32.to_le_bytes(),
    ]
    .concat();
    insta::assert_snapshot!(refused(&bytes), @"there is no `manifest.json` in it");
}

#[test]
fn a_window_that_is_too_large() {
    let mut sample = whole();
    let mut frame = zeros(1024, Some(1024));
    frame[5] = 15 << 3;
    sample.pieces.push(vec![0; 1024]);
    sample.compressed.insert(sample.pieces.len() - 1, frame);
    insta::assert_snapshot!(refused(&sample.zst()), @"frame 9 needs a window of 33554432 bytes, and 16777216 is the most");
}

#[test]
fn places_that_are_taken() {
    let place = Place::new(&whole().zst());
    std::fs::write(&place.to, "mine").expect("writable");
    let error = unpack(&place.archive, &place.to, &options(1)).expect_err("it is taken");
    assert!(matches!(*error.fault, Fault::Exists { .. }), "{error:?}");
    assert_eq!(std::fs::read(&place.to).expect("it stays"), b"mine");
    let error = unpack(&place.root.path().join("none"), &place.to, &options(1));
    assert!(matches!(*error.expect_err("there is none").fault, Fault::Read { .. }));
}
