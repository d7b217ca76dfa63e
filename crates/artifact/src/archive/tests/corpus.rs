//! Archives made to do harm, as files: `testdata/hostile`. Whoever changes a reader tries it with them, and so does a fuzzer.
//!
//! They are made here, and a test compares what is made with what is there: neither can change without the other. All of them want
//! something at a place named [`MARK`], outside of where they are unpacked, or are no bundle.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::{Value, json};
use tar::EntryType;

use super::sample::{Sample, assemble, compress, entry, header, whole, zeros};
use super::*;
use crate::archive::{Making, Prepared};

/// Nothing may ever have this name.
const MARK: &str = "gangway-was-here";

/// Archives by their names.
type Corpus = BTreeMap<String, Vec<u8>>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/hostile")
}

fn committed() -> Corpus {
    let entries = std::fs::read_dir(folder()).expect("it is part of the sources");
    entries
        .map(|entry| {
            let path = entry.expect("readable").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
            (name, std::fs::read(path).expect("readable"))
        })
        .collect()
}

fn corpus() -> Corpus {
    let mut corpus = Corpus::new();
    for add in [names, programs, links, kinds, spellings, sizes, structure, zips] {
        add(&mut corpus);
    }
    corpus
}

/// Adds an archive in both formats that are a stream of tar.
fn both(corpus: &mut Corpus, name: &str, sample: &Sample) {
    let manifest = |text: &str| text.to_owned();
    changed(corpus, name, sample, manifest);
}

/// The same, with something else in the place of its manifest.
fn changed(corpus: &mut Corpus, name: &str, sample: &Sample, change: impl Fn(&str) -> String) {
    let change = |text: Vec<u8>| change(std::str::from_utf8(&text).expect("JSON")).into_bytes();
    let zst = assemble(&sample.frames().0, &change(sample.text()), |_| {});
    let stream = sample.pieces.concat();
    let manifest = entry(&change(sample.unframed().to_json()));
    corpus.insert(format!("{name}.tar.zst"), zst);
    corpus.insert(format!("{name}.tar.gz"), gz(&[&stream[..], &manifest, &[0; 1024]].concat()));
}

fn gz(stream: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gz.write_all(stream).expect("memory");
    gz.finish().expect("memory")
}

fn base() -> Sample {
    let mut sample = Sample::default();
    sample.file("a.js", b"1");
    sample
}

/// An entry that the manifest does not list, between two that it does.
fn unlisted(bytes: &[u8]) -> Sample {
    let mut sample = base();
    sample.raw(bytes);
    sample.file("b.js", b"2");
    sample
}

fn of(kind: EntryType, name: &str, target: &str) -> Vec<u8> {
    header(name, kind, if kind == EntryType::Symlink { 0o777 } else { 0o644 }, 0, target)
}

/// A file's entry, with the two bytes `x\n`.
fn small(name: &str, mode: u32) -> Vec<u8> {
    let mut bytes = header(name, EntryType::Regular, mode, 2, "");
    bytes.extend_from_slice(b"x\n");
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Names that lead elsewhere: of entries, and also in the manifest.
fn names(corpus: &mut Corpus) {
    for (kind, name) in [
        ("climbs", format!("app/../../{MARK}")),
        ("climbs-far", format!("{}{MARK}", "../".repeat(40))),
        ("climbs-late", format!("app/a/b/../../../../{MARK}")),
        ("is-absolute", format!("/tmp/{MARK}")),
        ("is-in-another-folder", format!("other/{MARK}")),
        ("has-two-slashes", format!("app//{MARK}")),
        ("has-a-dot", format!("app/./{MARK}")),
        ("has-backslashes", format!("app\\..\\..\\{MARK}")),
        ("is-on-a-drive", format!("C:\\{MARK}")),
        ("is-a-device-path", format!("\\\\?\\C:\\{MARK}")),
    ] {
        both(corpus, &format!("name-{kind}"), &unlisted(&small(&name, 0o644)));
    }
    for (kind, path) in [
        ("climbs", format!("../../{MARK}")),
        ("climbs-late", format!("a/../../../{MARK}")),
        ("is-absolute", format!("/tmp/{MARK}")),
        ("has-backslashes", format!("a\\\\..\\\\..\\\\{MARK}")),
        ("is-a-stream", format!("a.js:{MARK}")),
        ("is-on-a-drive", format!("C:/{MARK}")),
        ("has-a-line-feed", format!("a\\n{MARK}")),
        ("has-a-zero", format!("a\\u0000{MARK}")),
        ("is-empty", String::new()),
        ("is-too-long", format!("{}{MARK}", "a/".repeat(520))),
    ] {
        let mut sample = base();
        sample.raw(&small(&format!("app/{}", path.replace("\\\\", "\\")), 0o644));
        changed(corpus, &format!("path-{kind}"), &sample, |text| {
            text.replace("\"path\":\"a.js\"", &format!("\"path\":\"{path}\""))
        });
    }
    let mut name = small("app/xxxx", 0o644);
    for (kind, bytes) in [("overlong", &b"app/\xc0\xae\xc0\xae"[..]), ("latin", b"app/caf\xe9")] {
        name[..100].fill(0);
        name[..bytes.len()].copy_from_slice(bytes);
        checksum(&mut name[..512]);
        both(corpus, &format!("name-is-not-utf-8-{kind}"), &unlisted(&name));
    }
}

/// Programs whose names lead elsewhere: whoever installs joins them to the user's folders.
fn programs(corpus: &mut Corpus) {
    let far = "../".repeat(40);
    for (kind, names) in [
        ("climbs", vec![format!("../../{MARK}")]),
        ("climbs-far", vec![format!("{far}tmp/{MARK}")]),
        ("climbs-and-hides", vec![format!("../../.config/autostart/{MARK}.desktop")]),
        ("is-absolute", vec![format!("/tmp/{MARK}")]),
        ("has-backslashes", vec![format!("..\\..\\{MARK}")]),
        ("is-on-a-drive", vec![format!("C:{MARK}")]),
        ("is-a-stream", vec![format!("app:{MARK}")]),
        ("is-a-folder", vec!["..".to_owned()]),
        ("is-empty", vec![String::new()]),
        ("is-a-device", vec!["nul".to_owned()]),
        ("is-too-long", vec![MARK.repeat(5)]),
        ("is-the-installer", vec!["app-installer".to_owned()]),
        ("is-there-twice", vec!["app".to_owned(), "App".to_owned()]),
    ] {
        let entry = |name: &String| json!({"name": name, "script": "a.js"});
        let entries: Vec<_> = names.iter().map(entry).collect();
        said(corpus, &format!("program-{kind}"), |manifest| {
            manifest["entrypoints"] = entries.into();
        });
    }
    said(corpus, "program-of-a-service-climbs", |manifest| {
        manifest["services"] = json!([{"name": format!("../../{MARK}"), "kind": "rust"}]);
    });
    said(corpus, "program-that-is-asked-climbs", |manifest| {
        let name = format!("../../{MARK}");
        manifest["health"] =
            json!({"entrypoint": name, "port": 1, "path": "/", "timeout_seconds": 1});
    });
    said(corpus, "app-climbs", |manifest| manifest["app"]["name"] = format!("../{MARK}").into());
}

/// An archive with something else said in its manifest.
fn said(corpus: &mut Corpus, name: &str, change: impl FnOnce(&mut Value) + Clone) {
    changed(corpus, name, &base(), |text| {
        let mut manifest = serde_json::from_str(text).expect("JSON");
        change.clone()(&mut manifest);
        manifest.to_string()
    });
}

/// Links out, and over, and ways through them.
fn links(corpus: &mut Corpus) {
    for (kind, target) in [
        ("climbs", format!("../../{MARK}")),
        ("is-absolute", format!("/tmp/{MARK}")),
        ("climbs-after-a-name", format!("a/../../../{MARK}")),
        ("has-backslashes", format!("..\\..\\{MARK}")),
        ("is-empty", String::new()),
    ] {
        let mut sample = base();
        sample.link("link", &target);
        both(corpus, &format!("link-{kind}"), &sample);
        both(
            corpus,
            &format!("link-{kind}-unlisted"),
            &unlisted(&of(EntryType::Symlink, "app/link", &target)),
        );
    }
    let through =
        [of(EntryType::Symlink, "app/d", "../.."), small(&format!("app/d/{MARK}"), 0o644)];
    both(corpus, "link-with-a-file-behind-it", &unlisted(&through.concat()));
    let mut sample = base();
    sample.link("d", "c");
    sample.file(&format!("d/{MARK}"), b"x");
    both(corpus, "link-that-is-a-folder", &sample);
    let over = of(EntryType::Symlink, "app/a.js", &format!("../../{MARK}"));
    both(corpus, "link-over-a-file", &unlisted(&over));
    both(corpus, "link-in-place-of-the-bundle", &unlisted(&of(EntryType::Symlink, "app", "/tmp")));
    let manifest = of(EntryType::Symlink, "app/manifest.json", &format!("/tmp/{MARK}"));
    both(corpus, "link-in-place-of-the-manifest", &unlisted(&manifest));
    for (kind, target) in [
        ("outside", "/etc/passwd"),
        ("climbs", "../a"),
        ("inside", "app/a.js"),
        ("itself", "app/c"),
    ] {
        both(
            corpus,
            &format!("hard-link-{kind}"),
            &unlisted(&of(EntryType::Link, "app/c", target)),
        );
    }
}

/// What is neither file nor folder nor link, and modes that nobody gives.
fn kinds(corpus: &mut Corpus) {
    for (name, kind) in [
        ("device-of-characters", EntryType::Char),
        ("device-of-blocks", EntryType::Block),
        ("pipe", EntryType::Fifo),
        ("contiguous", EntryType::Continuous),
        ("sparse", EntryType::GNUSparse),
        ("unknown", EntryType::new(b'Z')),
    ] {
        both(corpus, &format!("kind-{name}"), &unlisted(&of(kind, "app/c", "")));
    }
    for (name, kind) in [("for-one", EntryType::XHeader), ("for-all", EntryType::XGlobalHeader)] {
        let record = format!("path=../../{MARK}\n");
        let record = format!("{} {record}", record.len() + 3);
        let mut bytes = header("app/x", kind, 0o644, record.len() as u64, "");
        bytes.extend_from_slice(record.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        both(
            corpus,
            &format!("kind-extended-{name}"),
            &unlisted(&[bytes, small("app/c", 0o644)].concat()),
        );
    }
    for mode in [0o4644, 0o4755, 0o2755, 0o1755, 0o666, 0o777, 0o600] {
        let mut sample = base();
        let piece = sample.pieces.last_mut().expect("there is one");
        let at = piece.len() - 1024;
        piece.splice(at..at + 512, header("app/a.js", EntryType::Regular, mode, 1, ""));
        both(corpus, &format!("mode-{mode:o}"), &sample);
    }
    changed(corpus, "mode-4755-in-the-manifest", &base(), |text| {
        text.replace("\"mode\":\"644\"", "\"mode\":\"4755\"")
    });
    let folder = |mode| header("app/d/", EntryType::Directory, mode, 0, "");
    both(corpus, "mode-1777-of-a-folder", &unlisted(&folder(0o1777)));
    both(corpus, "mode-0-of-a-folder", &unlisted(&folder(0)));
}

/// Names that are one name, or none, where the bundle is for.
fn spellings(corpus: &mut Corpus) {
    let mut two = |kind: &str, os: &str, first: &str, second: &str| {
        let mut sample = Sample::default();
        sample.file(first, b"1");
        sample.file(second, b"2");
        sample.manifest.platform.os = serde_json::from_value(os.into()).expect("one of them");
        both(corpus, &format!("{kind}-{os}"), &sample);
    };
    for os in ["darwin", "win32"] {
        two("spelling-case", os, "a/File.js", "a/file.js");
        two("spelling-case-of-a-folder", os, "A", "a/x");
        two("spelling-accent", os, "caf\u{e9}.js", "cafe\u{301}.js");
        two("spelling-accents-in-another-order", os, "a\u{323}\u{307}", "a\u{307}\u{323}");
        two("spelling-case-of-an-accent", os, "CAF\u{c9}.js", "cafe\u{301}.js");
        two("spelling-sharp-s", os, "stra\u{df}e.js", "STRASSE.js");
        two("spelling-kelvin", os, "\u{212a}.js", "k.js");
        two("spelling-unseen", os, "a.js", "a\u{200d}.js");
        two("spelling-manifest", os, "Manifest.json", "a.js");
    }
    for (kind, name) in [
        ("device", "nul.txt"),
        ("device-in-a-folder", "con/a.js"),
        ("device-with-a-space", "aux .js"),
        ("device-with-a-small-number", "COM\u{b9}"),
        ("console", "CONOUT$"),
        ("dot-at-the-end", "x."),
        ("space-at-the-end", "x "),
        ("question-mark", "b?"),
        ("pipe", "b|c"),
    ] {
        two(&format!("reserved-{kind}"), "win32", "a.js", name);
    }
}

/// Sizes that nobody has.
fn sizes(corpus: &mut Corpus) {
    let huge = |size| header("app/c", EntryType::Regular, 0o644, size, "");
    both(corpus, "size-8-gib", &unlisted(&huge((8 << 30) - 1)));
    both(corpus, "size-in-binary", &unlisted(&huge(u64::MAX >> 1)));
    let digits = |size: &[u8; 12]| {
        let mut bytes = huge(0);
        bytes[124..136].copy_from_slice(size);
        checksum(&mut bytes);
        bytes
    };
    both(corpus, "size-that-overflows", &unlisted(&digits(&[0xff; 12])));
    both(corpus, "size-that-is-no-number", &unlisted(&digits(b"99999999999\0")));
    both(corpus, "size-that-is-negative", &unlisted(&digits(b"-0000000001\0")));
    for (kind, size) in [("huge", "18446744073709551615"), ("negative", "-1"), ("fraction", "1.5")]
    {
        changed(corpus, &format!("size-{kind}-in-the-manifest"), &base(), |text| {
            text.replace("\"size\":1,", &format!("\"size\":{size},"))
        });
    }
    for (kind, field, number) in [
        ("content", "\"plain\":", "9999999999999999999"),
        ("frame", "\"size\":1", "8446744073709551615"),
        ("block", "\"block\":", "4294967295"),
    ] {
        let changed = replaced(&base(), field, number);
        corpus.insert(format!("size-huge-{kind}-in-the-manifest.tar.zst"), changed);
    }
    for (kind, said) in [("truth", Some(256 << 20)), ("lie", Some(2048))] {
        let mut sample = base();
        sample.parts("b", &[0; 4096], Mode::Plain, 2048);
        sample.compressed.insert(sample.pieces.len() - 2, zeros(256 << 20, said));
        corpus.insert(format!("bomb-that-says-{kind}.tar.zst"), sample.zst());
    }
    let mut sample = base();
    sample.cut();
    sample.raw(&[0; 1024]);
    let mut window = zeros(1024, Some(1024));
    window[5] = 15 << 3;
    sample.compressed.insert(1, window);
    corpus.insert("window-of-32-mib.tar.zst".to_owned(), sample.zst());
}

/// A manifest with a number in the place of the first one behind a text.
fn replaced(sample: &Sample, field: &str, number: &str) -> Vec<u8> {
    let text = String::from_utf8(sample.text()).expect("JSON");
    let at = text.find(field).expect("it has it") + field.len();
    let rest = text[at..].trim_start_matches(|character: char| character.is_ascii_digit());
    assemble(&sample.frames().0, format!("{}{number}{rest}", &text[..at]).as_bytes(), |_| {})
}

/// What is there twice, is missing, is elsewhere.
fn structure(corpus: &mut Corpus) {
    both(corpus, "twice-a-file", &unlisted(&small("app/a.js", 0o644)));
    both(corpus, "twice-the-folder", &unlisted(&of_folder("app/")));
    both(corpus, "twice-the-manifest", &unlisted(&small("app/manifest.json", 0o644)));
    let mut sample = base();
    sample.manifest.files.push(sample.manifest.files[0].clone());
    both(corpus, "twice-in-the-manifest", &sample);
    let long = |kind, text: &[u8]| {
        let mut bytes = header("././@LongLink", kind, 0o644, text.len() as u64, "");
        bytes.extend_from_slice(text);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    };
    let name = |text: &[u8]| long(EntryType::GNULongName, text);
    let target = |text: &[u8]| long(EntryType::GNULongLink, text);
    let file = || small("app/c", 0o644);
    for (kind, bytes) in [
        ("climbs", [name(format!("app/../../{MARK}\0").as_bytes()), file()].concat()),
        ("has-a-zero", [name(format!("app/a.js\0{MARK}\0").as_bytes()), file()].concat()),
        ("is-there-twice", [name(b"app/a.js\0"), name(b"app/c\0"), file()].concat()),
        ("is-too-long", [name(&[b'a'; 4000]), file()].concat()),
        ("is-for-nothing", name(b"app/c\0")),
        (
            "target-climbs",
            [target(b"../../..\0"), of(EntryType::Symlink, "app/c", "a.js")].concat(),
        ),
        ("target-of-a-file", [target(b"a.js\0"), file()].concat()),
    ] {
        both(corpus, &format!("long-name-{kind}"), &unlisted(&bytes));
    }
    let mut sum = file();
    sum[0] = b'b';
    both(corpus, "header-with-another-checksum", &unlisted(&sum));
    both(corpus, "zeros-before-the-end", &unlisted(&[0; 1024]));
    let mut padded = base();
    *padded.pieces.last_mut().and_then(|piece| piece.last_mut()).expect("padding") = 1;
    both(corpus, "padding-that-is-something", &padded);
    changed(corpus, "manifest-that-is-none", &base(), |_| "[]".to_owned());
    let stream = Sample::stream(&base());
    corpus.insert("end-is-missing.tar.gz".to_owned(), gz(&stream[..stream.len() - 1024]));
    let more = small(&format!("../{MARK}"), 0o644);
    corpus.insert("after-the-end.tar.gz".to_owned(), gz(&[&stream[..], &more].concat()));
    corpus.insert("another-behind-it.tar.gz".to_owned(), [gz(&stream), gz(&more)].concat());
    corpus.insert("after-the-end.tar.zst".to_owned(), [base().zst(), compress(&more)].concat());
    let (mut frames, manifest) = whole().frames();
    frames.swap(0, 1);
    let swapped = assemble(&frames, &manifest.to_json(), |_| {});
    corpus.insert("frames-in-another-order.tar.zst".to_owned(), swapped);
    let elsewhere = base().zst_with(|_| {}, |table| table[0][0] = u32::MAX);
    corpus.insert("seek-table-that-lies.tar.zst".to_owned(), elsewhere);
    let bytes = base().zst();
    corpus.insert("half-of-one.tar.zst".to_owned(), bytes[..bytes.len() / 2].to_vec());
}

fn of_folder(name: &str) -> Vec<u8> {
    header(name, EntryType::Directory, 0o755, 0, "")
}

/// The names in the directory of a `.zip` and before each of its files.
fn zips(corpus: &mut Corpus) {
    let zip = base().zip();
    let named = |old: &str, new: &str| {
        assert_eq!(old.len(), new.len());
        let (mut bytes, mut at) = (zip.clone(), 0);
        while let Some(found) =
            bytes[at..].windows(old.len()).position(|part| part == old.as_bytes())
        {
            at += found;
            bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
        }
        bytes
    };
    for (kind, new) in [
        ("climbs", "../../xx"),
        ("is-absolute", "/tmp/xxx"),
        ("has-backslashes", "..\\..\\xx"),
        ("is-on-a-drive", "C:\\xxxxx"),
        ("is-another", "app/b.js"),
        ("is-the-manifest-of-another", "ap2/a.js"),
        ("has-a-zero", "app/a\0js"),
    ] {
        corpus.insert(format!("zip-name-{kind}.zip"), named("app/a.js", new));
    }
    let directory = zip.windows(4).position(|part| part == b"PK\x01\x02").expect("it has one");
    let mut two = named("app/a.js", "app/b.js");
    two[..directory].copy_from_slice(&zip[..directory]);
    corpus.insert("zip-two-names.zip".to_owned(), two);
    let entry = directory
        + zip[directory..].windows(8).position(|part| part == b"app/a.js").expect("it has")
        - 46;
    let with = |from: usize, bytes: &[u8]| {
        let mut zip = zip.clone();
        zip[entry + from..entry + from + bytes.len()].copy_from_slice(bytes);
        zip
    };
    corpus.insert("zip-setuid.zip".to_owned(), with(40, &[0xed, 0x89]));
    corpus.insert("zip-link.zip".to_owned(), with(40, &[0xff, 0xa1]));
    corpus.insert("zip-device.zip".to_owned(), with(40, &[0xa4, 0x61]));
    corpus.insert("zip-size.zip".to_owned(), with(24, &[0xfe, 0xff, 0xff, 0xff]));
    corpus.insert("zip-place.zip".to_owned(), with(42, &[0xfe, 0xff, 0xff, 0x7f]));
    corpus.insert("zip-encrypted.zip".to_owned(), with(8, &[1]));
}

/// Makes a header's checksum right.
fn checksum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[test]
fn what_is_there_is_what_is_made() {
    let (made, committed) = (corpus(), committed());
    let names = |corpus: &Corpus| corpus.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&made), names(&committed), "make them anew: `write_the_corpus`");
    for (name, bytes) in &made {
        assert!(committed[name] == *bytes, "`{name}` is another one: `write_the_corpus`");
    }
}

#[test]
#[ignore = "writes them anew: `cargo test -p gangway-artifact --features archive -- --ignored write_the_corpus`"]
fn write_the_corpus() {
    let folder = folder();
    std::fs::remove_dir_all(&folder).expect("it is part of the sources");
    std::fs::create_dir(&folder).expect("writable");
    for (name, bytes) in corpus() {
        std::fs::write(folder.join(name), bytes).expect("writable");
    }
}

#[test]
fn all_of_them_are_refused() {
    let corpus = committed();
    assert!(corpus.len() > 100, "there are only {}", corpus.len());
    let mut taken = Vec::new();
    for (name, bytes) in &corpus {
        let place = Place::new(bytes);
        for threads in [1, 3] {
            match place.unpack(threads).map_err(|error| error.fault) {
                // That is what the file system said, and another one says something else.
                Ok(_) => place.clear(),
                Err(fault) if !matches!(*fault, Fault::Write { .. } | Fault::Occupied { .. }) => {
                    continue;
                }
                Err(_) => {}
            }
            taken.push(name);
        }
        assert!(std::fs::read(&place.archive).expect("it stays") == *bytes, "{name}");
        assert!(!Path::new("/tmp").join(MARK).exists(), "{name}");
    }
    assert!(taken.is_empty(), "{taken:?}");
}

/// Whoever installs of a manifest's copy and some frames looks at less of an archive. What comes of it is what the manifest lists.
#[test]
fn nothing_else_is_installed_of_them() {
    for (name, bytes) in committed() {
        let (place, source) = (Place::new(&bytes), bytes.as_slice());
        let installed =
            read_manifest(&source, Path::new(&name), &options(1)).and_then(|(text, manifest)| {
                let mut making = Making::begin(&text, &place.to, &options(2))?;
                making.fetch(&source)?;
                making.finish().and_then(Prepared::finish)?;
                Ok((text, manifest))
            });
        let Ok((text, manifest)) = installed else {
            assert_eq!(place.names(), ["a", "deep"], "{name}");
            continue;
        };
        assert_eq!(place.names(), ["a", "deep", "deep/to"], "{name}");
        let mut found = tree(&place.to);
        assert!(found.remove(MANIFEST_FILE).is_some_and(|(_, content)| content == text), "{name}");
        for file in &manifest.files {
            let (_, content) = found.remove(file.path.as_str()).expect("it is listed");
            assert_eq!(Digest::of(content), file.sha256, "{name}");
        }
        for link in &manifest.links {
            let (_, target) = found.remove(link.path.as_str()).expect("it is listed");
            assert_eq!(target, link.target.as_bytes(), "{name}");
        }
        assert!(found.is_empty(), "{name}: {found:?}");
    }
}
