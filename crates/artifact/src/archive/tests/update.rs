//! Versions made of an installed one: the same as if they were unpacked, whatever became of the installed one.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::Mutex;

use super::*;
use crate::BundlePath;
use crate::delta;
use crate::delta::patch::{Head, Instruction, PATCH_MAGIC, PATCH_VERSION, Slice, Step, write};
use crate::delta::ranges::{Costs, Range};

/// Small enough that what lies between two frames is not fetched.
const COSTS: Costs = Costs { request: 10 };

/// Path, content, whether it is executable.
type Files = Vec<(String, Vec<u8>, bool)>;

/// A bundle of these files, cut every so many of them; large ones are cut, too.
fn bundle(files: &Files, every: usize) -> Sample {
    let mut sample = Sample::default();
    for (index, (path, content, is_executable)) in files.iter().enumerate() {
        let mode = if *is_executable { Mode::Executable } else { Mode::Plain };
        let part = if content.len() > 2048 { 1024 } else { usize::MAX };
        sample.parts(path, content, mode, part);
        if index % every == 0 {
            sample.cut();
        }
    }
    if let Some((path, ..)) = files.first() {
        sample.link("bin/first", &format!("../{path}"));
    }
    sample
}

/// An archive of which only some parts are there.
struct Parts<'a> {
    bytes: &'a [u8],
    ranges: Vec<Range>,
}

impl FrameSource for Parts<'_> {
    fn length(&self) -> std::io::Result<u64> {
        panic!("nobody knows how long it is")
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        let end = offset + buffer.len() as u64;
        let has = |range: &Range| range.offset <= offset && end <= range.offset + range.size;
        assert!(self.ranges.iter().any(has), "bytes {offset} to {end} were not fetched");
        self.bytes.read_at(buffer, offset)
    }
}

/// The version that is installed, and the one it becomes.
struct Machine {
    root: tempfile::TempDir,
    /// Where the new version is made.
    to: PathBuf,
    old: Manifest,
    new: Manifest,
    new_text: Vec<u8>,
    archive: Vec<u8>,
    /// What the new one is when it is unpacked.
    expected: BTreeMap<String, (bool, Vec<u8>)>,
}

impl Machine {
    fn new(old: &Sample, new: &Sample) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        let install = |sample: &Sample, name: &str| {
            let bytes = sample.zst();
            let source: &dyn FrameSource = &bytes.as_slice();
            let to = root.path().join(name);
            unpack_frames(source, Path::new(name), &to, &options(2)).expect("it is whole");
            (sample.frames().1, bytes)
        };
        let (old, _) = install(old, "old");
        let (new_manifest, archive) = install(new, "new");
        let expected = tree(&root.path().join("new"));
        std::fs::remove_dir_all(root.path().join("new")).expect("it was unpacked");
        let to = root.path().join("new");
        Self { root, to, old, new: new_manifest, new_text: new.text(), archive, expected }
    }

    fn old(&self) -> PathBuf {
        self.root.path().join("old")
    }

    fn to(&self) -> PathBuf {
        self.to.clone()
    }

    /// Updates as an installer does, and says what was made of what, and what was found to be changed.
    fn update(&self, threads: usize) -> (Made, Vec<BundlePath>) {
        let before = inodes(&self.old());
        let mut plan = delta::plan(&self.old, &self.new, COSTS).expect("they fit");
        let options = Options { manifest: Some(Digest::of(&self.new_text)), ..options(threads) };
        let mut making =
            Making::begin(&self.new_text, &self.to(), &options).expect("it can be made");
        let changed = making.keep(&plan.kept, &self.old()).expect("it can be written");
        let mut lost = changed.clone();
        loop {
            plan = delta::plan_without(&self.old, &self.new, &lost, COSTS).expect("they fit");
            let more = making.keep(&plan.kept, &self.old()).expect("it can be written");
            if more.is_empty() {
                break;
            }
            lost.extend(more);
        }
        let source = Parts { bytes: &self.archive, ranges: plan.ranges };
        making.fetch(&source).expect("everything was fetched");
        let prepared = making.finish().expect("everything is there");
        assert_eq!(prepared.folder(), self.to().with_file_name("new.partial"));
        assert!(!self.to().exists());
        let made = prepared.finish().expect("nothing is in its place");
        assert!(tree(&self.to()) == self.expected, "it is something else than unpacked");
        assert!(inodes(&self.old()) == before, "the old version was changed");
        (made, lost)
    }
}

/// Of every file its inode, mode, time and content, by which a change would be seen.
fn inodes(folder: &Path) -> BTreeMap<PathBuf, (u64, u32, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("it is there") {
            let path = entry.expect("readable").path();
            let metadata = path.symlink_metadata().expect("it is there");
            if metadata.is_dir() {
                folders.push(path);
            } else {
                let content = if metadata.is_file() {
                    std::fs::read(&path).unwrap_or_default()
                } else {
                    vec![]
                };
                found.insert(path, (metadata.ino(), metadata.mode(), metadata.mtime(), content));
            }
        }
    }
    found
}

fn files(list: &[(&str, &str)]) -> Files {
    list.iter()
        .map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec(), false))
        .collect()
}

fn inode(path: &Path) -> u64 {
    path.symlink_metadata().expect("it is there").ino()
}

#[test]
fn what_is_the_same_is_linked() {
    let old =
        files(&[("a/same", "same"), ("a/changed", "old"), ("a/moved", "moved"), ("a/mode", "m")]);
    let mut new =
        files(&[("a/same", "same"), ("a/changed", "new"), ("b/moved", "moved"), ("e", "")]);
    new.push(("a/mode".to_owned(), b"m".to_vec(), true));
    let machine = Machine::new(&bundle(&old, 1), &bundle(&new, 1));
    let (made, changed) = machine.update(2);
    assert_eq!(changed, []);
    assert_eq!((made.linked, made.cloned + made.copied, made.frames), (2, 1, 1));
    let (old, new) = (machine.old(), machine.to());
    assert_eq!(inode(&old.join("a/same")), inode(&new.join("a/same")));
    assert_eq!(inode(&old.join("a/moved")), inode(&new.join("b/moved")));
    assert_ne!(inode(&old.join("a/mode")), inode(&new.join("a/mode")));
    assert_eq!(new.join("a/mode").metadata().expect("there").mode() & 0o7777, 0o755);
    assert_eq!(old.join("a/mode").metadata().expect("there").mode() & 0o7777, 0o644);
    assert_eq!(new.join("a/mode").metadata().expect("there").mtime(), 499_162_500);
}

#[test]
fn a_first_version_is_fetched() {
    let sample = whole();
    let machine = Machine::new(&Sample::default(), &sample);
    for threads in [1, 3] {
        let mut making =
            Making::begin(&machine.new_text, &machine.to(), &options(threads)).expect("free");
        let plan = delta::whole(&machine.new, COSTS).expect("it makes sense");
        let source = Parts { bytes: &machine.archive, ranges: plan.ranges };
        making.fetch(&source).expect("all of it was fetched");
        let made = making.finish().and_then(Prepared::finish).expect("all is there");
        assert_eq!(
            (made.files, made.links, made.bytes),
            (sample.files() + 1, 2, machine.new.unpacked_size)
        );
        assert!(tree(&machine.to()) == machine.expected);
        std::fs::remove_dir_all(machine.to()).expect("it was made");
    }
}

/// Everything that may become of an installed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Content,
    Longer,
    Shorter,
    Gone,
    Mode,
    Setuid,
    Time,
    Link,
    Folder,
    Pipe,
    Unreadable,
    Parent,
}

const DAMAGES: [Damage; 12] = [
    Damage::Content,
    Damage::Longer,
    Damage::Shorter,
    Damage::Gone,
    Damage::Mode,
    Damage::Setuid,
    Damage::Time,
    Damage::Link,
    Damage::Folder,
    Damage::Pipe,
    Damage::Unreadable,
    Damage::Parent,
];

impl Damage {
    /// Does it to a file that is not empty; says whether there was anything to be done.
    fn do_to(self, path: &Path) -> bool {
        if !path.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() > 0) {
            return false;
        }
        let content = std::fs::read(path).expect("readable");
        let mode =
            |bits| std::fs::set_permissions(path, Permissions::from_mode(bits)).expect("ours");
        let aside = path.with_extension("aside");
        match self {
            Self::Content => {
                let mut other = content.clone();
                other[0] ^= 1;
                std::fs::write(path, other).expect("writable");
            }
            Self::Longer => std::fs::write(path, [&content[..], b"x"].concat()).expect("writable"),
            Self::Shorter => std::fs::write(path, &content[1..]).expect("writable"),
            Self::Gone => std::fs::remove_file(path).expect("writable"),
            Self::Mode => mode(0o666),
            Self::Setuid => mode(0o4755),
            Self::Unreadable => mode(0o000),
            Self::Time => {
                let file = std::fs::OpenOptions::new().append(true).open(path).expect("writable");
                file.set_modified(std::time::SystemTime::now()).expect("ours");
            }
            // The bytes it leads to are right, and still it is not followed.
            Self::Link => {
                std::fs::rename(path, &aside).expect("writable");
                symlink(&aside, path).expect("writable");
            }
            Self::Folder => {
                std::fs::remove_file(path).expect("writable");
                std::fs::create_dir(path).expect("writable");
            }
            Self::Pipe => {
                std::fs::remove_file(path).expect("writable");
                rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o644.into()).expect("writable");
            }
            Self::Parent => {
                let parent = path.parent().expect("it has one");
                let aside = parent.with_extension("elsewhere");
                if parent.is_symlink() || parent.ends_with("old") {
                    return false;
                }
                std::fs::rename(parent, &aside).expect("writable");
                symlink(&aside, parent).expect("writable");
            }
        }
        true
    }

    /// Whether the bytes are still to be had, and only a second name for the file is refused.
    fn is_slight(self) -> bool {
        matches!(self, Self::Mode | Self::Setuid | Self::Time)
            || (self == Self::Unreadable && rustix::process::geteuid().is_root())
    }
}

#[test]
fn what_was_damaged_is_not_linked() {
    let old = files(&[("a/same", "same"), ("b/other", "other")]);
    let new = files(&[("a/same", "same"), ("b/other", "other"), ("c", "new")]);
    for damage in DAMAGES {
        let machine = Machine::new(&bundle(&old, 1), &bundle(&new, 1));
        let path = machine.old().join("a/same");
        assert!(damage.do_to(&path));
        let (made, changed) = machine.update(1);
        let expected = if damage.is_slight() { vec![] } else { vec!["a/same"] };
        let changed: Vec<&str> = changed.iter().map(BundlePath::as_str).collect();
        assert_eq!(changed, expected, "{damage:?}");
        assert_eq!(made.linked, 1, "{damage:?}");
        assert_eq!(made.cloned + made.copied, u64::from(damage.is_slight()), "{damage:?}");
        if path.is_file() {
            assert_ne!(path.metadata().expect("there").ino(), inode(&machine.to().join("a/same")));
        }
    }
}

/// What cannot be linked is cloned on btrfs and XFS, and copied elsewhere.
#[cfg(target_os = "linux")]
#[test]
fn what_has_another_mode_is_cloned_where_that_can_be() {
    let old = files(&[("run", "#!/bin/sh\n")]);
    let new = vec![("run".to_owned(), b"#!/bin/sh\n".to_vec(), true)];
    let machine = Machine::new(&bundle(&old, 1), &bundle(&new, 1));
    let open = |name| std::fs::File::open(machine.root.path().join(name)).expect("it is there");
    let other = std::fs::File::create(machine.root.path().join("clone")).expect("writable");
    let can_clone = rustix::fs::ioctl_ficlone(&other, open("old/run")).is_ok();
    let (made, _) = machine.update(1);
    let expected = if can_clone { (0, 1, 0) } else { (0, 0, 1) };
    assert_eq!((made.linked, made.cloned, made.copied), expected);
    std::fs::write(machine.old().join("run"), "other").expect("writable");
    assert_eq!(std::fs::read(machine.to().join("run")).expect("made"), b"#!/bin/sh\n");
}

#[cfg(target_os = "linux")]
#[test]
fn another_file_system_gets_copies() {
    let old = files(&[("a/same", "same"), ("b/other", "other")]);
    let new = files(&[("a/same", "same"), ("b/moved", "other"), ("c", "new")]);
    for (damage, expected) in [(None, vec![]), (Some(Damage::Content), vec!["a/same"])] {
        let mut machine = Machine::new(&bundle(&old, 1), &bundle(&new, 1));
        let elsewhere = tempfile::tempdir_in("/dev/shm").expect("memory is a file system");
        machine.to = elsewhere.path().join("new");
        let device = |path: &Path| path.metadata().expect("it is there").dev();
        assert_ne!(device(elsewhere.path()), device(machine.root.path()), "they are one");
        assert!(damage.is_none_or(|damage| damage.do_to(&machine.old().join("a/same"))));
        let (made, changed) = machine.update(2);
        let changed: Vec<&str> = changed.iter().map(BundlePath::as_str).collect();
        assert_eq!(changed, expected);
        assert_eq!((made.linked, made.copied), (0, 2 - expected.len() as u64));
        assert_eq!(names(elsewhere.path()), ["new"]);
    }
}

/// 65,000 names are the most on ext4; where a file may have more than these, one more is no fault.
#[test]
fn a_file_with_too_many_names_is_copied() {
    let old = files(&[("a/same", "same"), ("b/other", "other")]);
    let new = files(&[("a/same", "same"), ("b/other", "other"), ("c", "new")]);
    let machine = Machine::new(&bundle(&old, 1), &bundle(&new, 1));
    let (file, folder) = (machine.old().join("a/same"), machine.root.path().join("names"));
    std::fs::create_dir(&folder).expect("writable");
    let link = |name: u32| std::fs::hard_link(&file, folder.join(name.to_string()));
    let is_full = (0..65_100).any(|name| link(name).is_err());
    let (made, changed) = machine.update(1);
    assert_eq!(changed, []);
    let copies = u64::from(is_full);
    assert_eq!((made.linked, made.cloned + made.copied), (2 - copies, copies));
    assert_eq!(inode(&file) == inode(&machine.to().join("a/same")), !is_full);
}

#[test]
fn a_twin_stands_in_for_a_damaged_file() {
    let old = files(&[("a/one", "same"), ("a/two", "same")]);
    let machine = Machine::new(&bundle(&old, 1), &bundle(&files(&[("a/one", "same")]), 1));
    assert!(Damage::Content.do_to(&machine.old().join("a/one")));
    let (made, changed) = machine.update(1);
    assert_eq!(changed.iter().map(BundlePath::as_str).collect::<Vec<_>>(), ["a/one"]);
    assert_eq!((made.linked, made.frames), (1, 0));
    assert_eq!(inode(&machine.old().join("a/two")), inode(&machine.to().join("a/one")));
}

#[test]
fn update_in_one_step() {
    let old = files(&[("a/same", "same"), ("a/changed", "old")]);
    let new = files(&[("a/same", "same"), ("a/changed", "new")]);
    let machine = Machine::new(&bundle(&old, 1), &bundle(&new, 1));
    let run = || {
        let plan = delta::plan(&machine.old, &machine.new, COSTS).expect("they fit");
        let source = Parts { bytes: &machine.archive, ranges: plan.ranges.clone() };
        update(&source, &machine.new_text, &machine.old(), &plan, &machine.to(), &options(2))
    };
    assert!(Damage::Content.do_to(&machine.old().join("a/same")));
    let error = run().map(|_| ()).expect_err("a file was changed");
    assert!(matches!(&*error.fault, Fault::Changed { paths } if paths.len() == 1), "{error:?}");
    insta::assert_snapshot!(error.fault, @"`a/same` of the installed version was changed");
    assert_eq!(names(machine.root.path()), ["old"]);
    std::fs::write(machine.old().join("a/same"), "same").expect("writable");
    let prepared = run().expect("it is right again");
    assert_eq!(names(machine.root.path()), ["new.partial", "old"]);
    drop(prepared);
    assert_eq!(names(machine.root.path()), ["old"]);
    run().and_then(Prepared::finish).expect("nothing is in its place");
    assert!(tree(&machine.to()) == machine.expected);
    let error = run().map(|_| ()).expect_err("it is there already");
    assert!(matches!(*error.fault, Fault::Exists { .. }), "{error:?}");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("it is there");
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string());
    let mut names: Vec<String> = names.map(|name| name.expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn what_is_missing_is_told() {
    let new = files(&[("a", "1"), ("b", "2")]);
    let machine = Machine::new(&Sample::default(), &bundle(&new, 1));
    let begin = || Making::begin(&machine.new_text, &machine.to(), &options(1)).expect("free");
    let error = begin().finish().map(|_| ()).expect_err("nothing is there");
    insta::assert_snapshot!(error.fault, @"`a` is neither kept nor fetched nor in a patch");
    // No version is installed.
    let plan = delta::plan(&machine.new, &machine.new, COSTS).expect("they fit");
    let changed = begin().keep(&plan.kept, &machine.root.path().join("none")).expect("told");
    assert_eq!(changed.len(), 2);
    // A plan for another version.
    let mut other = machine.new.clone();
    other.files[0].sha256 = Digest::of("other");
    let plan = delta::plan(&other, &other, COSTS).expect("they fit");
    let error = begin().keep(&plan.kept, &machine.old()).expect_err("another plan");
    insta::assert_snapshot!(error.fault, @"the plan has `a`, and `manifest.json` has it not, or otherwise");
    let expected = Options { manifest: Some(Digest::of("other")), ..options(1) };
    let error = Making::begin(&machine.new_text, &machine.to(), &expected).expect_err("another");
    assert!(matches!(*error.fault, Fault::ManifestDigest { .. }));
    assert_eq!(names(machine.root.path()), ["old"]);
}

#[test]
fn frames_that_were_damaged_on_the_way() {
    let machine = Machine::new(&Sample::default(), &whole());
    let plan = delta::whole(&machine.new, Costs { request: 0 }).expect("it makes sense");
    let frames = plan.ranges.iter().flat_map(|range| &machine.new.frames[range.frames.clone()]);
    for frame in frames {
        for at in [frame.offset, frame.offset + frame.size - 1] {
            let mut bytes = machine.archive.clone();
            bytes[usize::try_from(at).expect("small")] ^= 1;
            let mut making =
                Making::begin(&machine.new_text, &machine.to(), &options(2)).expect("free");
            let error = making.fetch(&bytes.as_slice()).expect_err("a byte is another one");
            assert!(matches!(*error.fault, Fault::FrameDigest { .. }), "{error:?}");
            // Nothing is believed to be there because it was begun.
            assert!(making.finish().is_err());
            assert_eq!(names(machine.root.path()), ["old"]);
        }
    }
}

/// A manifest that nobody vouched for is as hostile as an archive.
#[test]
fn manifests_that_lie_about_frames() {
    let sample = whole();
    let machine = Machine::new(&Sample::default(), &sample);
    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = machine.new.clone();
        change(&mut manifest);
        let text = manifest.to_json();
        let made = Making::begin(&text, &machine.to(), &options(2)).and_then(|mut making| {
            making.fetch(&machine.archive.as_slice())?;
            making.finish()
        });
        let error = made.map(|_| ()).expect_err("it lies");
        assert_eq!(names(machine.root.path()), ["old"]);
        error.fault.to_string()
    };
    insta::assert_snapshot!(with(&|manifest| manifest.frames[0].offset = 1), @"frame 0 is said to have 184 bytes from byte 1, which cannot be");
    insta::assert_snapshot!(with(&|manifest| manifest.frames[0].plain = u64::MAX), @"its `manifest.json` says a size of all frames of 18446744073709551615, and 111008 was expected");
    insta::assert_snapshot!(with(&|manifest| manifest.frames[1].size = u64::MAX), @"frame 1 is said to have 18446744073709551615 bytes from byte 184, which cannot be");
    insta::assert_snapshot!(with(&|manifest| manifest.frames.clear()), @"its `manifest.json` is not in order: `last`: it is said to be behind the last frame");
    insta::assert_snapshot!(with(&|manifest| manifest.frames[1].plain += 1), @"frame 1 holds 10240 bytes, and 10241 were expected");
    insta::assert_snapshot!(with(&|manifest| manifest.files[2].mode = Mode::Executable), @"`a/two.js` has the mode 644, and 755 was expected");
    insta::assert_snapshot!(with(&|manifest| {
        for file in &mut manifest.files {
            file.block = None;
        }
    }), @"`a/one.js` is neither kept nor fetched nor in a patch");
}

#[test]
fn the_manifest_is_read_from_the_end() {
    struct End<'a>(&'a [u8], u64, Mutex<usize>);
    impl FrameSource for End<'_> {
        fn length(&self) -> std::io::Result<u64> {
            Ok(self.0.len() as u64)
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
            assert!(offset >= self.1, "byte {offset} is one of a file's frame");
            *self.2.lock().expect("nobody panicked") += 1;
            self.0.read_at(buffer, offset)
        }
    }
    let (sample, name) = (whole(), Path::new("fetched"));
    let (bytes, (_, manifest)) = (sample.zst(), sample.frames());
    let start = u64::try_from(sample.unlisted().start).expect("small");
    let source = End(&bytes, start, Mutex::new(0));
    let (text, found) = read_manifest(&source, name, &options(1)).expect("it is whole");
    assert_eq!((text, found), (sample.text(), manifest));
    assert!(*source.2.lock().expect("nobody panicked") < 10);

    let other = Options { manifest: Some(Digest::of("other")), ..options(1) };
    let error = read_manifest(&source, name, &other).expect_err("another one");
    assert!(matches!(*error.fault, Fault::ManifestDigest { .. }));
    let little = Options { memory: 1000, ..options(1) };
    let error = read_manifest(&source, name, &little).expect_err("too large");
    assert!(matches!(*error.fault, Fault::Memory { .. }), "{error:?}");
    for length in (0..bytes.len()).rev().step_by(7) {
        let half: &dyn FrameSource = &&bytes[..length];
        read_manifest(half, name, &options(1)).expect_err("it is not whole");
    }
}

/// A patch that copies everything but what is added to the old manifest.
fn patch(machine: &Machine, steps: &Steps) -> Vec<u8> {
    let old = std::fs::read(machine.old().join(MANIFEST_FILE)).expect("installed");
    patch_of(&old, &machine.new_text, steps)
}

fn patch_of(old: &[u8], new: &[u8], steps: &Steps) -> Vec<u8> {
    let compress = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).expect("memory");
    let frames: Vec<Vec<u8>> = steps.iter().map(|(.., edit)| compress(edit)).collect();
    let list = steps.iter().zip(&frames).map(|((old, new, edit), frame)| Step {
        size: frame.len() as u64,
        plain: edit.len() as u64,
        old: old.clone(),
        new: new.clone(),
    });
    let (from, to) = (Digest::of(old), Digest::of(new));
    let head = Head { version: PATCH_VERSION, from, to, steps: list.collect() };
    let head = compress(&serde_json::to_vec(&head).expect("JSON"));
    let length = u32::try_from(head.len()).expect("small").to_le_bytes();
    [&PATCH_MAGIC[..], &length, &head, &frames.concat()].concat()
}

/// Of what, to what, by which edit.
type Steps = Vec<(Vec<Slice>, Vec<Slice>, Vec<u8>)>;

fn slice(path: &str, offset: usize, size: usize) -> Slice {
    let path = BundlePath::new(path).expect("plain");
    Slice { path, offset: offset as u64, size: size as u64 }
}

/// The edit that makes `new` of `old`, by adding as far as both go.
fn edit(old: &[u8], new: &[u8]) -> Vec<u8> {
    let add = old.len().min(new.len());
    let adds: Vec<u8> = old.iter().zip(new).map(|(old, new)| new.wrapping_sub(*old)).collect();
    let step = Instruction { add: add as u64, copy: (new.len() - add) as u64, seek: 0 };
    write(&[step], &adds, &new[add..])
}

/// A machine, and the steps of a patch for it: the manifest with half of the large file, the other half, an empty slice.
fn patched() -> (Machine, Steps) {
    let (old, new, steps) = versions(600_000);
    (Machine::new(&old, &new), steps)
}

/// Two versions with a large file of so many bytes, and the steps from one to the other.
fn versions(length: u32) -> (Sample, Sample, Steps) {
    let large = |byte: u8| (0..length).map(|at| (at >> 8) as u8 ^ byte).collect::<Vec<_>>();
    let half = length as usize / 2;
    let mut old = files(&[("a/same", "same"), ("b", "x")]);
    old.push(("large".to_owned(), large(0), true));
    let mut new = files(&[("a/same", "same"), ("c", "new"), ("empty", "")]);
    new.push(("large".to_owned(), large(7), true));
    let (old, new) = (bundle(&old, 1), bundle(&new, 1));
    let (old_text, new_text) = (old.text(), new.text());
    let (before, after) = (large(0), large(7));
    let steps = vec![
        (
            vec![
                slice(MANIFEST_FILE, 0, old_text.len()),
                slice("b", 0, 0),
                slice("large", 5, half),
            ],
            vec![
                slice(MANIFEST_FILE, 0, new_text.len()),
                slice("empty", 0, 0),
                slice("large", 0, half),
            ],
            edit(
                &[&old_text[..], &before[5..half + 5]].concat(),
                &[&new_text[..], &after[..half]].concat(),
            ),
        ),
        (
            vec![slice("large", half, half), slice("b", 0, 1)],
            vec![slice("large", half, half), slice("c", 0, 3)],
            edit(&[&before[half..], b"x"].concat(), &[&after[half..], b"new"].concat()),
        ),
    ];
    (old, new, steps)
}

fn apply(machine: &Machine, bytes: &[u8]) -> Result<Made, ArchiveError> {
    let source: &dyn FrameSource = &bytes;
    let patch = PatchFile::open(source, Path::new("fetched"))?;
    let text = patch.manifest(&machine.old())?;
    assert_eq!(Digest::of(&text), patch.to());
    let manifest = Manifest::from_json(&text).expect("it has the right digest");
    let plan = delta::plan(&machine.old, &manifest, COSTS).expect("they fit");
    patch_into(&patch, &text, &machine.old(), &plan, &machine.to(), &options(2))
        .and_then(Prepared::finish)
}

#[test]
fn a_patch_becomes_the_tree() {
    let (machine, steps) = patched();
    let bytes = patch(&machine, &steps);
    let made = apply(&machine, &bytes).expect("it is right");
    assert_eq!((made.linked, made.patched, made.frames), (1, 2, 0));
    assert!(tree(&machine.to()) == machine.expected);
    std::fs::remove_dir_all(machine.to()).expect("it was made");
    for length in (0..bytes.len()).rev().step_by(11) {
        apply(&machine, &bytes[..length]).expect_err("it is cut off");
        assert_eq!(names(machine.root.path()), ["old"]);
    }
    let large = machine.old().join("large");
    let content = std::fs::read(&large).expect("installed");
    std::fs::write(&large, [&content[..200_000], b"x", &content[200_001..]].concat())
        .expect("writable");
    let error = apply(&machine, &bytes).expect_err("it starts from something else");
    assert!(matches!(*error.fault, Fault::FileDigest { .. }), "{error:?}");
    assert!(Damage::Content.do_to(&machine.old().join(MANIFEST_FILE)));
    let error = apply(&machine, &bytes).expect_err("it starts from another version");
    assert!(matches!(*error.fault, Fault::PatchFrom { .. }), "{error:?}");
    assert_eq!(names(machine.root.path()), ["old"]);
}

#[test]
fn patches_that_lie() {
    let (machine, steps) = patched();
    let with = |change: &dyn Fn(&mut Steps)| {
        let mut steps = steps.clone();
        change(&mut steps);
        let error = apply(&machine, &patch(&machine, &steps)).expect_err("it lies");
        assert_eq!(names(machine.root.path()), ["old"]);
        error.fault.to_string()
    };
    insta::assert_snapshot!(with(&|steps| steps[1].1[1].path = BundlePath::new("d").expect("plain")), @"`d` is in the archive, and not in its `manifest.json`");
    insta::assert_snapshot!(with(&|steps| steps[1].1[1].path = BundlePath::new("a/same").expect("plain")), @"`a/same` is in the archive twice");
    insta::assert_snapshot!(with(&|steps| steps[1].0[0].path = BundlePath::new("none").expect("plain")), @"cannot read `none` of the installed version");
    insta::assert_snapshot!(with(&|steps| steps[1].0[0].offset = u64::MAX), @"cannot read `large` of the installed version");
    insta::assert_snapshot!(with(&|steps| steps[1].0.truncate(1)), @"the patch is damaged: it adds to nothing");
    insta::assert_snapshot!(with(&|steps| drop(steps[1].1.pop())), @"the patch is damaged: it makes too much");
    insta::assert_snapshot!(with(&|steps| drop(steps.pop())), @"`large` has 300000 bytes, and `manifest.json` says 600000");
    insta::assert_snapshot!(with(&|steps| steps.swap(0, 1)), @"the patch is damaged: step 0 makes bytes 300000 and on of `large`, of which there are 0");
    insta::assert_snapshot!(with(&|steps| steps[1].2.truncate(10)), @"the patch is damaged: it ends too soon");
}

/// What fuzzing updates begins with, as files.
fn seeds() -> [(PathBuf, Vec<u8>); 4] {
    let place = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let (old, new, steps) = versions(6000);
    let text = new.text();
    let patch = patch_of(&old.text(), &text, &steps);
    [
        (place("testdata/update/old.tar.zst"), old.zst()),
        (place("testdata/update/new.tar.zst"), new.zst()),
        (place("../../fuzz/seeds/update/manifest.json"), text),
        (place("../../fuzz/seeds/update/new.patch"), patch),
    ]
}

#[test]
fn seeds_are_what_is_made() {
    for (place, made) in seeds() {
        let found = std::fs::read(&place).expect("it is part of the sources");
        assert!(found == made, "`{}` is another one: `write_the_seeds`", place.display());
    }
    let (old, new, steps) = versions(6000);
    let machine = Machine::new(&old, &new);
    let made = apply(&machine, &patch(&machine, &steps)).expect("it is right");
    assert_eq!((made.linked, made.patched), (1, 2));
}

#[test]
#[ignore = "writes them anew: `cargo test -p gangway-artifact --features archive -- --ignored write_the_seeds`"]
fn write_the_seeds() {
    for (place, made) in seeds() {
        std::fs::write(place, made).expect("writable");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_update_is_what_unpacking_makes(
        old in tree_of_files(),
        new in tree_of_files(),
        (old_every, new_every, threads) in (1..4_usize, 1..4_usize, 1..4_usize),
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0..DAMAGES.len()), 0..4),
    ) {
        let machine = Machine::new(&bundle(&old, old_every), &bundle(&new, new_every));
        let mut damaged = BTreeSet::new();
        for (index, damage) in damages {
            if !old.is_empty() {
                let path = machine.old().join(&old[index.index(old.len())].0);
                if DAMAGES[damage].do_to(&path) && let Ok(found) = path.symlink_metadata() {
                    damaged.insert(found.ino());
                }
            }
        }
        // One that was damaged twice may be gone, and its number be another file's.
        let there: BTreeSet<u64> = inodes(&machine.old()).values().map(|found| found.0).collect();
        damaged.retain(|inode| there.contains(inode));
        machine.update(threads);
        for (path, (inode, ..)) in inodes(&machine.to()) {
            prop_assert!(!damaged.contains(&inode), "{}", path.display());
        }
    }
}

/// A few files in a few folders, many of which have the same bytes.
fn tree_of_files() -> impl Strategy<Value = Files> {
    let name = (0..4_usize, 0..5_usize).prop_map(|(folder, name)| {
        format!("{}f{name}", ["", "a/", "a/b/", "node_modules/@c/"][folder])
    });
    let content = prop_oneof![
        (0..4_u8).prop_map(|byte| vec![byte; 10]),
        (0..3_u8).prop_map(|byte| [vec![byte; 1500], super::sample::noise(3000)].concat()),
        prop::collection::vec(any::<u8>(), 0..700),
    ];
    prop::collection::btree_map(name, (content, any::<bool>()), 0..12).prop_map(|files| {
        files.into_iter().map(|(path, (content, mode))| (path, content, mode)).collect()
    })
}
