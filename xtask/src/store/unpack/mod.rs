//! Unpacking archives from strangers.
//!
//! Three rules keep an archive inside its folder whatever it holds. Every name becomes a [`BundlePath`] or is refused.
//! Links are never made here, only recorded (and refused when they lead out), so nothing can be written through one.
//! And what it may fill is bounded: entries, bytes of a file, bytes in all, bytes of one extended header; sizes count
//! as the headers state them, before anything is read.
//!
//! An archive with a `package.json` at its root is an npm package, and gets exactly what npm makes of it: links are
//! dropped, `.gitignore` becomes `.npmignore`. Others (runtimes) keep the links that stay inside. In both the first
//! component of every name is dropped, the last of several entries with one name counts, and of modes only
//! "executable or not" is kept. Owners, times and empty folders are not.

mod extended;
mod zip;

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write as _};

use camino::Utf8Path;
use gangway_artifact::{BundlePath, HashingReader, PathError};
use tar::EntryType;

use self::extended::Extended;
pub(crate) use self::zip::PROGRAM;
use super::UnpackError;
use super::index::{IndexedFile, IndexedLink};
use crate::mode;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Entries, of any kind.
    pub(super) entries: u64,
    /// Bytes of one file.
    pub(super) file: u64,
    /// Bytes of all entries.
    pub(super) total: u64,
    /// Bytes of one extended header.
    pub(super) header: u64,
    /// Memory the decompressor may take.
    pub(super) memory: u64,
}

/// Several times what the largest package we know of needs (a runtime: 3,000 entries, 200 MB; OpenClaw: 12,600 entries,
/// 95 MB). xz at its strongest setting asks for 65 MiB.
pub(super) const LIMITS: Limits =
    Limits { entries: 200_000, file: 2 << 30, total: 4 << 30, header: 1 << 20, memory: 256 << 20 };

/// What was unpacked, sorted by path.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub(super) files: Vec<IndexedFile>,
    pub(super) links: Vec<IndexedLink>,
}

/// Unpacks `archive` into the empty folder `into`.
pub(super) fn unpack(
    archive: &Utf8Path,
    into: &Utf8Path,
    limits: &Limits,
) -> Result<Unpacked, UnpackError> {
    let file = File::open(archive).map_err(UnpackError::Malformed)?;
    let mut file = BufReader::with_capacity(128 << 10, file);
    let mut unpacking = Unpacking::new(into, Budget { limits, entries: 0, total: 0 });
    let start = file.fill_buf().map_err(UnpackError::Malformed)?;
    if zip::is_zip(start) {
        zip::unpack(file, &mut unpacking)?;
        return unpacking.finish();
    }
    if zip::is_program(start) {
        zip::program(archive, &mut unpacking)?;
        return unpacking.finish();
    }
    let mut tar = tar::Archive::new(decompress(file, limits)?);
    let mut extended = Extended::default();
    // Raw: extended headers come as entries of their own, so that their size can be bounded.
    for entry in tar.entries().map_err(UnpackError::Malformed)?.raw(true) {
        let mut entry = entry.map_err(UnpackError::Malformed)?;
        let size = entry.size();
        unpacking.budget.spend(size)?;
        if extended.takes(&mut entry, limits)? {
            continue;
        }
        let headers = std::mem::take(&mut extended);
        let name = headers.name.unwrap_or_else(|| entry.path_bytes().into_owned());
        if headers.size.is_some_and(|stated| stated != size) {
            return Err(kind_error(&name, "a file with two sizes"));
        }
        let link = headers.link.or_else(|| entry.link_name_bytes().map(Into::into));
        unpacking.entry(&mut entry, &name, link)?;
    }
    unpacking.finish()
}

/// Tells the compression by its first bytes.
fn decompress(mut file: BufReader<File>, limits: &Limits) -> Result<Box<dyn Read>, UnpackError> {
    let start = file.fill_buf().map_err(UnpackError::Malformed)?;
    if start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(file)));
    }
    if start.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        let stream = liblzma::stream::Stream::new_stream_decoder(limits.memory, 0)
            .map_err(|error| UnpackError::Malformed(error.into()))?;
        return Ok(Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream)));
    }
    if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::Decoder::with_buffer(file).map_err(UnpackError::Malformed)?;
        let window = limits.memory.checked_ilog2().unwrap_or_default();
        decoder.window_log_max(window).map_err(UnpackError::Malformed)?;
        return Ok(Box::new(decoder));
    }
    if start.get(257..262) == Some(b"ustar") {
        return Ok(Box::new(file));
    }
    Err(UnpackError::UnknownFormat)
}

/// What is left of the limits.
struct Budget<'limits> {
    limits: &'limits Limits,
    entries: u64,
    total: u64,
}

impl Budget<'_> {
    fn spend(&mut self, size: u64) -> Result<(), UnpackError> {
        let Limits { entries, file, total, .. } = *self.limits;
        self.entries += 1;
        self.total = self.total.saturating_add(size);
        let within = |what, value: u64, limit| {
            if value > limit { Err(UnpackError::TooLarge { what, limit }) } else { Ok(()) }
        };
        within("its number of entries", self.entries, entries)?;
        within("the size of one file in bytes", size, file)?;
        within("its unpacked size in bytes", self.total, total)
    }
}

const SPARSE: &str = "a sparse file";

/// The files written so far, and the links to decide on at the end.
struct Unpacking<'folder> {
    into: &'folder Utf8Path,
    budget: Budget<'folder>,
    files: BTreeMap<BundlePath, IndexedFile>,
    folders: HashSet<BundlePath>,
    links: Vec<IndexedLink>,
    /// Place and raw target.
    hard_links: Vec<(BundlePath, Vec<u8>)>,
    buffer: Vec<u8>,
}

impl<'folder> Unpacking<'folder> {
    fn new(into: &'folder Utf8Path, budget: Budget<'folder>) -> Self {
        Self {
            into,
            budget,
            files: BTreeMap::new(),
            folders: HashSet::new(),
            links: Vec::new(),
            hard_links: Vec::new(),
            buffer: vec![0; 256 << 10],
        }
    }

    /// Takes in one entry that is not an extended header.
    fn entry<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        name: &[u8],
        link: Option<Vec<u8>>,
    ) -> Result<(), UnpackError> {
        let kind = entry.header().entry_type();
        let Some(path) = place(name)? else { return Ok(()) };
        match kind {
            EntryType::Directory => Ok(()),
            // Before POSIX a folder was a file whose name ends with a slash.
            EntryType::Regular if name.ends_with(b"/") => Ok(()),
            EntryType::Regular | EntryType::Continuous => {
                let mode = entry.header().mode().map_err(UnpackError::Malformed)?;
                let size = entry.size();
                self.write(path, entry, size, mode & 0o111 != 0)
            }
            EntryType::Symlink => {
                let target = link.unwrap_or_default();
                let target = String::from_utf8(target).map_err(|error| UnpackError::Link {
                    path: path.to_string(),
                    target: String::from_utf8_lossy(error.as_bytes()).into_owned(),
                })?;
                self.links.push(IndexedLink { path, target });
                Ok(())
            }
            EntryType::Link => {
                self.hard_links.push((path, link.unwrap_or_default()));
                Ok(())
            }
            EntryType::Char | EntryType::Block => Err(kind_error(name, "a device")),
            EntryType::Fifo => Err(kind_error(name, "a named pipe")),
            EntryType::GNUSparse => Err(kind_error(name, SPARSE)),
            _ => Err(kind_error(name, "of an unknown kind")),
        }
    }

    /// Writes a file and hashes it on the way.
    fn write(
        &mut self,
        path: BundlePath,
        from: impl Read,
        size: u64,
        executable: bool,
    ) -> Result<(), UnpackError> {
        self.make_parents(&path)?;
        let place = self.into.join(path.as_str());
        if self.files.remove(&path).is_some() {
            fs::remove_file(&place).map_err(write_error(&place))?;
        }
        let mut file = File::create_new(&place).map_err(write_error(&place))?;
        let mut from = HashingReader::new(from);
        loop {
            let count = fill(&mut from, &mut self.buffer).map_err(UnpackError::Malformed)?;
            if count == 0 {
                break;
            }
            file.write_all(&self.buffer[..count]).map_err(write_error(&place))?;
        }
        let (sha256, length) = from.finish();
        if length != size {
            return Err(UnpackError::Truncated(path.to_string()));
        }
        mode::set(&file, executable).map_err(write_error(&place))?;
        self.files.insert(path.clone(), IndexedFile { path, size, executable, sha256 });
        Ok(())
    }

    /// Makes the folders above `path`, and sees to it that nothing is a file and a folder.
    fn make_parents(&mut self, path: &BundlePath) -> Result<(), UnpackError> {
        if self.folders.contains(path) {
            return Err(UnpackError::Conflict(path.to_string()));
        }
        let mut missing = Vec::new();
        let mut next = path.parent();
        while let Some(folder) = next {
            if self.folders.contains(&folder) {
                break;
            }
            if self.files.contains_key(&folder) {
                return Err(UnpackError::Conflict(folder.to_string()));
            }
            next = folder.parent();
            missing.push(folder);
        }
        for folder in missing.into_iter().rev() {
            let place = self.into.join(folder.as_str());
            fs::create_dir(&place).map_err(write_error(&place))?;
            self.folders.insert(folder);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Unpacked, UnpackError> {
        if self.files.contains_key("package.json") {
            self.links.clear();
            self.rename_gitignores()?;
        } else {
            self.copy_hard_links()?;
            self.check_links()?;
        }
        if self.files.is_empty() {
            return Err(UnpackError::Empty);
        }
        Ok(Unpacked { files: self.files.into_values().collect(), links: self.links })
    }

    /// As npm does it: a `.npmignore` beside it wins.
    fn rename_gitignores(&mut self) -> Result<(), UnpackError> {
        let found: Vec<_> =
            self.files.keys().filter(|path| path.name() == ".gitignore").cloned().collect();
        for path in found {
            let Some(mut file) = self.files.remove(&path) else { continue };
            let from = self.into.join(path.as_str());
            let renamed = match path.parent() {
                Some(parent) => parent.join(".npmignore"),
                None => BundlePath::new(".npmignore"),
            }
            .map_err(UnpackError::Name)?;
            if self.files.contains_key(&renamed) {
                fs::remove_file(&from).map_err(write_error(&from))?;
                continue;
            }
            fs::rename(&from, self.into.join(renamed.as_str())).map_err(write_error(&from))?;
            file.path = renamed.clone();
            self.files.insert(renamed, file);
        }
        Ok(())
    }

    /// A hard link becomes a file of its own: what shares an inode in the store must be the same path.
    fn copy_hard_links(&mut self) -> Result<(), UnpackError> {
        for (path, target) in std::mem::take(&mut self.hard_links) {
            let outside = || UnpackError::Link {
                path: path.to_string(),
                target: String::from_utf8_lossy(&target).into_owned(),
            };
            let original = place(&target).ok().flatten().ok_or_else(outside)?;
            let original = self.files.get(&original).ok_or_else(outside)?;
            if self.files.contains_key(&path) {
                return Err(UnpackError::Conflict(path.to_string()));
            }
            let (size, executable) = (original.size, original.executable);
            self.budget.spend(size)?;
            let from = self.into.join(original.path.as_str());
            let from = File::open(&from).map_err(write_error(&from))?;
            self.write(path, from, size, executable)?;
        }
        Ok(())
    }

    fn check_links(&mut self) -> Result<(), UnpackError> {
        self.links.sort_by(|left, right| left.path.cmp(&right.path));
        let places: HashSet<_> = self.links.iter().map(|link| link.path.clone()).collect();
        if places.len() != self.links.len() {
            return Err(UnpackError::Conflict("a link".to_owned()));
        }
        for link in &self.links {
            if !link.path.holds_link_to(&link.target) {
                return Err(UnpackError::Link {
                    path: link.path.to_string(),
                    target: link.target.clone(),
                });
            }
            let taken = self.folders.contains(&link.path) || self.files.contains_key(&link.path);
            let above = std::iter::successors(link.path.parent(), BundlePath::parent)
                .any(|folder| self.files.contains_key(&folder) || places.contains(&folder));
            if taken || above {
                return Err(UnpackError::Conflict(link.path.to_string()));
            }
        }
        Ok(())
    }
}

/// Where an entry of this name belongs; nowhere if it is the archive's top folder itself.
fn place(name: &[u8]) -> Result<Option<BundlePath>, UnpackError> {
    let bad = |reason| {
        let path = String::from_utf8_lossy(name).into_owned();
        UnpackError::Name(PathError { path, reason })
    };
    let name = str::from_utf8(name).map_err(|_| bad("it is not UTF-8"))?;
    if name.starts_with('/') {
        return Err(bad("it is absolute"));
    }
    let Some((top, rest)) = name.split_once('/') else { return Ok(None) };
    let parts: Vec<_> = rest.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if top == ".." || parts.contains(&"..") {
        return Err(bad("it leads out of the archive with `..`"));
    }
    if parts.is_empty() {
        return Ok(None);
    }
    BundlePath::new(parts.join("/")).map(Some).map_err(UnpackError::Name)
}

/// Reads until `buffer` is full or nothing comes.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn kind_error(name: &[u8], kind: &'static str) -> UnpackError {
    UnpackError::Kind { path: String::from_utf8_lossy(name).into_owned(), kind }
}

fn write_error(path: &Utf8Path) -> impl FnOnce(io::Error) -> UnpackError {
    move |source| UnpackError::Write { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use gangway_artifact::Digest;
    use proptest::prelude::*;

    use super::*;
    use crate::store::sample::{self, Entry};

    const SMALL: Limits =
        Limits { entries: 20, file: 10_000, total: 30_000, header: 2_000, memory: 256 << 20 };

    /// Unpacks an archive of these bytes and hands over the folder it went to.
    fn unpacked(archive: &[u8]) -> (tempfile::TempDir, Result<Unpacked, UnpackError>) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        fs::write(root.join("archive"), archive).expect("writable");
        let into = root.join("deep/down/into");
        fs::create_dir_all(&into).expect("writable");
        let result = unpack(&root.join("archive"), &into, &SMALL);
        (folder, result)
    }

    fn listing(unpacked: &Unpacked) -> Vec<&str> {
        unpacked.files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn an_npm_package() {
        let archive = sample::tgz(&[
            Entry::file("package/package.json", "{}"),
            Entry::folder("package/empty/"),
            Entry::file("package/lib/.gitignore", "x"),
            Entry::file("package/.gitignore", "loses"),
            Entry::file("package/.npmignore", "wins"),
            Entry::executable("package/bin//./run", "#!"),
            Entry::link("package/link", "package.json"),
            Entry::file("stray", "no folder above"),
            Entry::file("package/twice", "first, and longer"),
            Entry::executable("other-top/twice", "second"),
        ]);
        let (folder, result) = unpacked(&archive);
        let unpacked = result.expect("an ordinary package");
        assert_eq!(
            listing(&unpacked),
            [".npmignore", "bin/run", "lib/.npmignore", "package.json", "twice"]
        );
        assert!(unpacked.links.is_empty());
        let into = folder.path().join("deep/down/into");
        assert_eq!(fs::read(into.join(".npmignore")).expect("there"), b"wins");
        let twice = &unpacked.files[4];
        assert_eq!((twice.size, twice.executable), (6, true));
        assert_eq!(twice.sha256, Digest::of("second"));
        for file in &unpacked.files {
            let found = fs::metadata(into.join(file.path.as_str())).expect("there");
            assert_eq!(found.len(), file.size);
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let expected = if file.executable { 0o755 } else { 0o644 };
                assert_eq!(found.permissions().mode() & 0o7777, expected, "{}", file.path);
            }
        }
    }

    #[test]
    fn a_runtime_keeps_its_links() {
        let entries = [
            Entry::file("node-v1/lib/npm/cli.js", "cli"),
            Entry::link("node-v1/bin/npm", "../lib/npm/cli.js"),
            Entry::hard_link("node-v1/bin/copy", "node-v1/lib/npm/cli.js"),
        ];
        for archive in [sample::tgz(&entries), sample::txz(&entries), sample::tar(&entries)] {
            let (folder, result) = unpacked(&archive);
            let unpacked = result.expect("an ordinary archive");
            assert_eq!(listing(&unpacked), ["bin/copy", "lib/npm/cli.js"]);
            assert_eq!(unpacked.links[0].path.as_str(), "bin/npm");
            assert_eq!(unpacked.links[0].target, "../lib/npm/cli.js");
            // Links are data: none is made in the store.
            assert!(!folder.path().join("deep/down/into/bin/npm").is_symlink());
        }
    }

    #[test]
    fn long_names() {
        let long = format!("package/{}/file", ["folder-of-twenty-chr"; 12].join("/"));
        let pax = sample::tgz(&[Entry::pax("path", &long), Entry::file("package/short", "x")]);
        let gnu = sample::tgz(&[Entry::long_name(&long), Entry::file("package/short", "x")]);
        for archive in [pax, gnu] {
            let (_folder, result) = unpacked(&archive);
            let path = long.strip_prefix("package/").expect("as made");
            assert_eq!(listing(&result.expect("an ordinary archive")), [path]);
        }
    }

    /// Every hostile archive is refused, and nothing appears outside the folder it was to go to.
    #[test]
    fn hostile_archives() {
        let big = "x".repeat(10_001);
        let many: Vec<_> = (0..21).map(|n| Entry::file(&format!("p/{n}"), "")).collect();
        let third = "x".repeat(9_000);
        let heavy: Vec<_> = (0..4).map(|n| Entry::file(&format!("p/{n}"), &third)).collect();
        let mut copies = vec![Entry::file("p/file", &third)];
        copies.extend((0..4).map(|n| Entry::hard_link(&format!("p/{n}"), "p/file")));
        let escaping = |name: &str| vec![Entry::file(name, "owned")];
        let cases: Vec<(&str, &str, Vec<Entry>)> = vec![
            ("Name", "dots", escaping("package/../../escaped")),
            ("Name", "dots at the top", escaping("../escaped")),
            ("Name", "dots in the middle", escaping("package/a/../../../escaped")),
            ("Name", "absolute", escaping("/escaped")),
            ("Name", "backslash", escaping("package/..\\..\\escaped")),
            ("Name", "drive", escaping("package/C:/escaped")),
            ("Name", "control", escaping("package/a\u{1b}[2Jb")),
            (
                "Name",
                "by pax",
                vec![Entry::pax("path", "p/../../escaped"), Entry::file("p/x", "x")],
            ),
            (
                "Name",
                "by long name",
                vec![Entry::long_name("p/../../escaped"), Entry::file("p/x", "x")],
            ),
            (
                "Link",
                "absolute link",
                vec![Entry::file("p/f", ""), Entry::link("p/l", "/etc/passwd")],
            ),
            (
                "Link",
                "escaping link",
                vec![Entry::file("p/f", ""), Entry::link("p/l", "../escaped")],
            ),
            (
                "Link",
                "link that climbs through another",
                vec![
                    Entry::file("p/a/b/f", ""),
                    Entry::link("p/a/b/root", "../.."),
                    Entry::link("p/out", "a/b/root/.."),
                ],
            ),
            (
                "Link",
                "through a link",
                vec![Entry::link("p/a", "../.."), Entry::file("p/a/escaped", "owned")],
            ),
            (
                "Conflict",
                "through a link inside",
                vec![
                    Entry::file("p/b/f", ""),
                    Entry::link("p/a", "b"),
                    Entry::file("p/a/escaped", "owned"),
                ],
            ),
            (
                "Link",
                "hard link",
                vec![Entry::file("p/f", ""), Entry::hard_link("p/l", "/etc/passwd")],
            ),
            (
                "Link",
                "hard link up",
                vec![Entry::file("p/f", ""), Entry::hard_link("p/l", "p/../../x")],
            ),
            ("Link", "hard link to nothing", vec![Entry::hard_link("p/l", "p/f")]),
            ("Kind", "device", vec![Entry::kind("p/null", b'3')]),
            ("Kind", "block device", vec![Entry::kind("p/disk", b'4')]),
            ("Kind", "pipe", vec![Entry::kind("p/pipe", b'6')]),
            ("Kind", "sparse", vec![Entry::kind("p/sparse", b'S')]),
            ("Kind", "unknown", vec![Entry::kind("p/what", b'Q')]),
            ("Conflict", "file and folder", vec![Entry::file("p/a", ""), Entry::file("p/a/b", "")]),
            ("Conflict", "folder and file", vec![Entry::file("p/a/b", ""), Entry::file("p/a", "")]),
            ("TooLarge", "large file", vec![Entry::file("p/big", &big)]),
            ("TooLarge", "many entries", many),
            ("TooLarge", "large in all", heavy),
            ("TooLarge", "large by hard links", copies),
            (
                "TooLarge",
                "large header",
                vec![Entry::long_name(&"p/".repeat(1_001)), Entry::file("p/x", "")],
            ),
            ("Kind", "two sizes", vec![Entry::pax("size", "0"), Entry::file("p/x", "content")]),
            (
                "Name",
                "long path",
                vec![Entry::long_name(&"p/".repeat(520)), Entry::file("p/x", "x")],
            ),
            ("Empty", "nothing", vec![]),
        ];
        for (expected, name, entries) in cases {
            let (folder, result) = unpacked(&sample::tgz(&entries));
            let found = format!("{:?}", result.expect_err(name));
            assert!(found.starts_with(expected), "{name}: {found}");
            let outside: Vec<_> = ["", "deep", "deep/down"]
                .iter()
                .flat_map(|below| fs::read_dir(folder.path().join(below)).expect("there"))
                .map(|entry| entry.expect("there").file_name())
                .filter(|name| {
                    !["archive", "deep", "down", "into"].map(AsRef::as_ref).contains(&&**name)
                })
                .collect();
            assert!(outside.is_empty(), "{name}: {outside:?}");
        }
    }

    #[test]
    fn damaged_archives() {
        let whole = sample::tgz(&[Entry::file("package/package.json", &"{} ".repeat(900))]);
        let plain = sample::tar(&[Entry::file("package/package.json", &"{} ".repeat(900))]);
        for archive in [&whole[..whole.len() / 2], &plain[..1024], b"PK\x03\x04", b"<html>", b""] {
            assert!(unpacked(archive).1.is_err());
        }
    }

    #[test]
    fn messages() {
        let message = |entries: &[Entry]| {
            let error = unpacked(&sample::tgz(entries)).1.expect_err("hostile");
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            format!("{error}{}", source.unwrap_or_default())
        };
        insta::assert_snapshot!(
            message(&[Entry::file("package/../../x", "")]),
            @"it holds a file with a name that is not allowed: `package/../../x` is not a path inside a bundle: it leads out of the archive with `..`"
        );
        insta::assert_snapshot!(
            message(&[Entry::link("p/l", "/etc/passwd")]),
            @"its link `l` points to `/etc/passwd`, which is not inside the archive"
        );
        insta::assert_snapshot!(
            message(&[Entry::file("p/big", &"x".repeat(10_001))]),
            @"it is larger than allowed: the size of one file in bytes is more than 10000"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the names and kinds: what is accepted lies inside, is a plain file and is listed.
        #[test]
        fn nothing_leads_out(
            parts in prop::collection::vec(
                ("[a./]{1,8}", "[a./]{0,8}", prop::sample::select(vec![b'0', b'0', b'1', b'2', b'5'])),
                0..8,
            )
        ) {
            let entries: Vec<_> = parts
                .iter()
                .map(|(name, target, kind)| Entry::raw(&format!("p/{name}"), target, *kind, ""))
                .collect();
            let (folder, result) = unpacked(&sample::tgz(&entries));
            prop_assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 2);
            prop_assert_eq!(fs::read_dir(folder.path().join("deep/down")).expect("there").count(), 1);
            if let Ok(unpacked) = result {
                let into = folder.path().join("deep/down/into");
                for file in &unpacked.files {
                    let found = fs::symlink_metadata(into.join(file.path.as_str())).expect("there");
                    prop_assert!(found.is_file());
                }
                for link in &unpacked.links {
                    prop_assert!(link.path.holds_link_to(&link.target));
                }
            }
        }

        /// Noise never panics.
        #[test]
        fn noise(mut bytes in prop::collection::vec(any::<u8>(), 0..2048), gzip: bool) {
            if gzip {
                bytes = sample::gzip(&bytes);
            }
            let _ = unpacked(&bytes).1;
        }
    }
}
