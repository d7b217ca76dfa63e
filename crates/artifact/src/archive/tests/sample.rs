//! Archives made piece by piece, so that any piece can be a wrong one. Whoever tests something that unpacks has them too.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::Range;

use tar::{EntryType, Header};

use crate::{BundlePath, Digest, File, Frame, Link, MANIFEST_FILE, Manifest, Mode};

const SMALLEST: &str = r#"{"version":1,"builder":"gangway 0.1.0","app":{"name":"app","version":"1.0.0"},"target":"linux-x64","platform":{"os":"linux","cpu":"x64","libc":"glibc"},"entrypoints":[],"contract":{"disk":{"unpacked":0,"installed":0}},"unpacked_size":0,"files":[],"links":[]}"#;

/// An archive in the making.
#[derive(Clone)]
pub struct Sample {
    /// The tar stream up to the manifest, as it is cut.
    pub pieces: Vec<Vec<u8>>,
    /// What it says of itself.
    pub manifest: Manifest,
    contents: BTreeMap<String, (bool, Vec<u8>)>,
    /// What zstd makes of a piece is something else.
    pub compressed: BTreeMap<usize, Vec<u8>>,
    folders: Vec<String>,
}

impl Default for Sample {
    fn default() -> Self {
        let manifest = Manifest::from_json(SMALLEST.as_bytes()).expect("it is one");
        let mut sample = Self {
            pieces: vec![Vec::new()],
            manifest,
            contents: BTreeMap::new(),
            compressed: BTreeMap::new(),
            folders: Vec::new(),
        };
        sample.raw(&header("app/", EntryType::Directory, 0o755, 0, ""));
        sample
    }
}

/// The headers of an entry.
pub fn header(name: &str, kind: EntryType, mode: u32, size: u64, target: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, text) in [(EntryType::GNULongLink, target), (EntryType::GNULongName, name)] {
        if text.len() > 100 {
            let mut long = plain("././@LongLink", kind, 0o644, text.len() as u64 + 1, "");
            long.extend_from_slice(text.as_bytes());
            long.resize(
                long.len().next_multiple_of(512).max(long.len() + 1).next_multiple_of(512),
                0,
            );
            bytes.extend(long);
        }
    }
    bytes.extend(plain(
        &name[..name.len().min(100)],
        kind,
        mode,
        size,
        &target[..target.len().min(100)],
    ));
    bytes
}

fn plain(name: &str, kind: EntryType, mode: u32, size: u64, target: &str) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(499_162_500);
    let ustar = header.as_ustar_mut().expect("it was made as one");
    ustar.name[..name.len()].copy_from_slice(name.as_bytes());
    ustar.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    header.as_bytes().to_vec()
}

impl Sample {
    /// Bytes of the stream as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.pieces.last_mut().expect("there is one").extend_from_slice(bytes);
    }

    /// Begins another frame.
    pub fn cut(&mut self) {
        self.pieces.push(Vec::new());
    }

    fn position(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// The entries of the folders above, where there were none.
    fn folders(&mut self, path: &str) {
        for (end, _) in path.match_indices('/') {
            let folder = &path[..end];
            if !self.folders.iter().any(|other| other == folder) {
                self.raw(&header(&format!("app/{folder}/"), EntryType::Directory, 0o755, 0, ""));
                self.folders.push(folder.to_owned());
            }
        }
    }

    /// A file in one frame.
    pub fn file(&mut self, path: &str, bytes: &[u8]) {
        self.parts(path, bytes, Mode::Plain, usize::MAX);
    }

    /// A file that is cut after its headers, and every so many bytes.
    pub fn parts(&mut self, path: &str, bytes: &[u8], mode: Mode, part: usize) {
        self.folders(path);
        let bits = if mode == Mode::Plain { 0o644 } else { 0o755 };
        let size = bytes.len() as u64;
        self.raw(&header(&format!("app/{path}"), EntryType::Regular, bits, size, ""));
        let block = u32::try_from(self.position() / 512).expect("small");
        if part < bytes.len() {
            self.cut();
        }
        for (index, part) in bytes.chunks(part).enumerate() {
            if index > 0 {
                self.cut();
            }
            self.raw(part);
        }
        self.raw(&vec![0; bytes.len().next_multiple_of(512) - bytes.len()]);
        if part < bytes.len() {
            self.cut();
        }
        let sha256 = Digest::of(bytes);
        let name = BundlePath::new(path).expect("plain");
        self.manifest.files.push(File { path: name, size, mode, block: Some(block), sha256 });
        self.manifest.unpacked_size += size;
        self.contents.insert(path.to_owned(), (mode == Mode::Executable, bytes.to_vec()));
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.folders(path);
        self.raw(&header(&format!("app/{path}"), EntryType::Symlink, 0o777, 0, target));
        let name = BundlePath::new(path).expect("plain");
        self.manifest.links.push(Link { path: name, target: target.to_owned() });
        self.contents.insert(path.to_owned(), (false, target.as_bytes().to_vec()));
    }

    /// What is to become of it: what each file has and whether it can be run, and where each link leads.
    pub fn tree(&self) -> BTreeMap<String, (bool, Vec<u8>)> {
        self.contents.clone()
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.manifest.files.len()
    }

    /// The frames of the stream, compressed, and the manifest that lists them.
    pub fn frames(&self) -> (Vec<Vec<u8>>, Manifest) {
        let pieces = self.pieces.iter().enumerate().filter(|(_, piece)| !piece.is_empty());
        let frames: Vec<Vec<u8>> = pieces
            .map(|(index, piece)| {
                self.compressed.get(&index).cloned().unwrap_or_else(|| compress(piece))
            })
            .collect();
        let plain = self.pieces.iter().map(Vec::len).filter(|length| *length > 0);
        let mut offset = 0;
        let mut manifest = self.manifest.clone();
        manifest.frames = (frames.iter().zip(plain))
            .map(|(frame, plain)| {
                let (size, plain) = (frame.len() as u64, plain as u64);
                offset += size;
                Frame { offset: offset - size, size, plain, sha256: Digest::of(frame) }
            })
            .collect();
        manifest.files.sort_by(|one, other| one.path.cmp(&other.path));
        manifest.links.sort_by(|one, other| one.path.cmp(&other.path));
        (frames, manifest)
    }

    /// The text of the manifest in the `.tar.zst`.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        self.frames().1.to_json()
    }

    /// The archive.
    pub fn zst(&self) -> Vec<u8> {
        self.zst_with(|_| {}, |_| {})
    }

    /// With a manifest and a seek table that say something else.
    pub fn zst_with(
        &self,
        manifest: impl FnOnce(&mut Manifest),
        table: impl FnOnce(&mut Vec<[u32; 3]>),
    ) -> Vec<u8> {
        let (frames, mut listed) = self.frames();
        manifest(&mut listed);
        assemble(&frames, &listed.to_json(), table)
    }

    /// Which bytes of it are those of the manifest's frame and the last one.
    pub fn unlisted(&self) -> Range<usize> {
        let (frames, manifest) = self.frames();
        let start: usize = frames.iter().map(Vec::len).sum();
        let end = compress(&entry(&manifest.to_json())).len() + compress(&[0; 1024]).len();
        start..start + end
    }

    /// The manifest of formats without frames.
    pub(super) fn unframed(&self) -> Manifest {
        let (_, mut manifest) = self.frames();
        manifest.frames.clear();
        manifest.files.iter_mut().for_each(|file| file.block = None);
        manifest
    }

    /// The tar stream of a format without frames.
    pub fn stream(&self) -> Vec<u8> {
        [&self.pieces.concat()[..], &entry(&self.unframed().to_json()), &[0; 1024]].concat()
    }

    /// The same as a `.tar.gz`.
    pub fn gz(&self) -> Vec<u8> {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&self.stream()).expect("memory");
        gz.finish().expect("memory")
    }

    /// The same as a `.zip`.
    pub fn zip(&self) -> Vec<u8> {
        use zip::write::SimpleFileOptions;
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
        let mode = |bits| options.unix_permissions(bits);
        zip.add_directory("app/", mode(0o755)).expect("memory");
        for folder in &self.folders {
            zip.add_directory(format!("app/{folder}/"), mode(0o755)).expect("memory");
        }
        for (path, (is_executable, bytes)) in &self.contents {
            if self.manifest.links.iter().any(|link| link.path.as_str() == path) {
                let target = std::str::from_utf8(bytes).expect("UTF-8");
                zip.add_symlink(format!("app/{path}"), target, mode(0o777)).expect("memory");
                continue;
            }
            let bits = if *is_executable { 0o755 } else { 0o644 };
            zip.start_file(format!("app/{path}"), mode(bits)).expect("memory");
            zip.write_all(bytes).expect("memory");
        }
        zip.start_file(format!("app/{MANIFEST_FILE}"), mode(0o644)).expect("memory");
        zip.write_all(&self.unframed().to_json()).expect("memory");
        zip.finish().expect("memory").into_inner()
    }
}

/// The manifest's entry.
pub fn entry(manifest: &[u8]) -> Vec<u8> {
    let name = format!("app/{MANIFEST_FILE}");
    let mut bytes = header(&name, EntryType::Regular, 0o644, manifest.len() as u64, "");
    bytes.extend_from_slice(manifest);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// The archive of these frames.
pub fn assemble(
    frames: &[Vec<u8>],
    manifest: &[u8],
    table: impl FnOnce(&mut Vec<[u32; 3]>),
) -> Vec<u8> {
    assemble_all(frames, &[compress(&entry(manifest)), compress(&[0; 1024])], table)
}

/// The archive of these frames and the two last ones.
pub(super) fn assemble_all(
    frames: &[Vec<u8>],
    last: &[Vec<u8>; 2],
    table: impl FnOnce(&mut Vec<[u32; 3]>),
) -> Vec<u8> {
    let frames: Vec<&Vec<u8>> = frames.iter().chain(last).collect();
    let small = |number: usize| u32::try_from(number).expect("small");
    let mut entries = Vec::new();
    for frame in &frames {
        let plain = zstd::zstd_safe::get_frame_content_size(frame).expect("a frame");
        let checksum = frame[frame.len() - 4..].try_into().expect("four");
        let plain = u32::try_from(plain.unwrap_or(0)).unwrap_or(u32::MAX);
        entries.push([small(frame.len()), plain, u32::from_le_bytes(checksum)]);
    }
    table(&mut entries);
    let mut bytes: Vec<u8> = frames.into_iter().flatten().copied().collect();
    bytes.extend(0x184D_2A5E_u32.to_le_bytes());
    bytes.extend(small(entries.len() * 12 + 9).to_le_bytes());
    bytes.extend(entries.iter().flatten().flat_map(|number| number.to_le_bytes()));
    bytes.extend(small(entries.len()).to_le_bytes());
    bytes.push(0x80);
    bytes.extend(0x8F92_EAB1_u32.to_le_bytes());
    bytes
}

/// A frame of these bytes.
pub fn compress(plain: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(3).expect("memory");
    compressor.include_checksum(true).expect("allowed");
    compressor.compress(plain).expect("memory")
}

/// A frame whose content is `length` zeros, and says or does not say so.
#[cfg(test)]
pub(super) fn zeros(length: u64, said: Option<u64>) -> Vec<u8> {
    const BLOCK: u64 = 128 << 10;
    let mut frame = 0xFD2F_B528_u32.to_le_bytes().to_vec();
    frame.push(if said.is_some() { 0xc0 } else { 0 });
    // A window of 8 MiB.
    frame.push(13 << 3);
    frame.extend(said.iter().flat_map(|said| said.to_le_bytes()));
    let blocks = length.div_ceil(BLOCK);
    for block in 1..=blocks {
        let size = if block == blocks { length - (blocks - 1) * BLOCK } else { BLOCK };
        let header = size << 3 | 1 << 1 | u64::from(block == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// Bytes that do not compress, always the same.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A bit of everything.
pub fn whole() -> Sample {
    let mut sample = Sample::default();
    let long = ["d".repeat(60), "e".repeat(60), "f".repeat(60)].join("/");
    sample.file("a/one.js", b"module.exports = 1;\n");
    sample.file("a/two.js", &b"module.exports = 2;\n".repeat(40));
    sample.file("a/empty", b"");
    sample.cut();
    sample.file("b/empty", b"");
    sample.file("b/naïve ☃.txt", b"words");
    sample.file(&format!("{long}/long"), b"GNU");
    sample.file("b/block", &[7; 512]);
    sample.parts("runtime/bin/node", &noise(2 * 512 + 100), Mode::Executable, 512);
    sample.parts("runtime/lib.so", &noise(4096)[3072..], Mode::Plain, 512);
    sample.link("bin/app", "../a/one.js");
    sample.link("bin/far", &format!("../{long}/long"));
    sample.file("last", b"");
    sample
}
