//! Archives of finished programs and addons: `.tar.gz`, `.tar.xz`, `.tar.zst`, `.tar`, `.zip`; or a bare program.
//!
//! What it is, its first bytes say. Nothing is ever written under a name out of an archive: every file goes into the store by
//! its digest, and its name becomes a [`BundlePath`] or is refused.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _};

use camino::Utf8Path;
use gangway_artifact::{BundlePath, PathError};

use crate::store::{Store, StoreError};
use crate::tree::{Node, Source, Tree};

/// The most bytes that one archive may hold: some times what the largest service we know of has.
const LARGEST: u64 = 4 << 30;
/// The most entries.
const MOST: u64 = 200_000;
/// The longest target of a link, which a zip file has as content.
const LONGEST_LINK: u64 = 4096;

/// Why an archive cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is damaged, or cannot be read.
    #[error("it is damaged, or no archive")]
    Malformed(#[source] io::Error),
    /// A name no bundle can have.
    #[error("a file in it cannot be in a bundle")]
    Name(#[from] PathError),
    /// A link that leads out.
    #[error("the link `{path}` in it points to `{target}`, outside of the archive")]
    Link {
        /// The link.
        path: BundlePath,
        /// Where it points.
        target: String,
    },
    /// A device, a hard link, a socket.
    #[error("`{path}` in it is neither a file, a folder nor a symbolic link")]
    Kind {
        /// Its name.
        path: String,
    },
    /// More than any service has.
    #[error("it holds more than {LARGEST} bytes, or more than {MOST} entries")]
    TooLarge,
    /// The store refused it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything in the archive `file`; a bare program becomes a tree with that one file, called `name`.
///
/// # Errors
/// When it is damaged or hostile.
pub(crate) fn read(store: &Store, file: &Utf8Path, name: &str) -> Result<Tree, ArchiveError> {
    let mut reader =
        BufReader::with_capacity(128 << 10, File::open(file).map_err(ArchiveError::Malformed)?);
    let start = reader.fill_buf().map_err(ArchiveError::Malformed)?.to_vec();
    if start.starts_with(&[0x1f, 0x8b]) {
        return tar(store, flate2::bufread::MultiGzDecoder::new(reader));
    }
    if start.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        return tar(store, liblzma::bufread::XzDecoder::new(reader));
    }
    if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let reader = zstd::Decoder::with_buffer(reader).map_err(ArchiveError::Malformed)?;
        return tar(store, reader);
    }
    if start.starts_with(b"PK\x03\x04") {
        return zip(store, reader);
    }
    if start.get(257..262) == Some(b"ustar") {
        return tar(store, reader);
    }
    reader.rewind().map_err(ArchiveError::Malformed)?;
    let source = store.add_file(file, true)?;
    Ok(Tree::from_iter([(BundlePath::new(name)?, Node::File(source))]))
}

fn tar(store: &Store, reader: impl Read) -> Result<Tree, ArchiveError> {
    // Extended headers count too: they are read into memory.
    let mut archive = tar::Archive::new(reader.take(LARGEST));
    let mut tree = Tree::default();
    let mut budget = Budget::new(store)?;
    for entry in archive.entries().map_err(ArchiveError::Malformed)? {
        let mut entry = entry.map_err(ArchiveError::Malformed)?;
        budget.entry()?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind == tar::EntryType::XGlobalHeader {
            continue;
        }
        let path = place(&name)?;
        if kind.is_symlink() {
            let target = entry.link_name_bytes().unwrap_or_default();
            link(&mut tree, path, String::from_utf8_lossy(&target).into_owned())?;
        } else if kind.is_file() || kind == tar::EntryType::Continuous {
            let executable = entry.header().mode().map_err(ArchiveError::Malformed)? & 0o111 != 0;
            tree.insert(path, Node::File(budget.file(&mut entry, executable)?));
        } else {
            return Err(ArchiveError::Kind { path: name });
        }
    }
    Ok(tree)
}

fn zip(store: &Store, reader: BufReader<File>) -> Result<Tree, ArchiveError> {
    let malformed = |error: zip::result::ZipError| ArchiveError::Malformed(io::Error::other(error));
    let mut archive = zip::ZipArchive::new(reader).map_err(malformed)?;
    let mut tree = Tree::default();
    let mut budget = Budget::new(store)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(malformed)?;
        budget.entry()?;
        if entry.is_dir() {
            continue;
        }
        let path = place(&entry.name().map_err(malformed)?)?;
        let mode = entry.unix_mode().unwrap_or(0);
        if mode & 0o170_000 == 0o120_000 {
            let mut target = Vec::new();
            let mut text = entry.by_ref().take(LONGEST_LINK);
            text.read_to_end(&mut target).map_err(ArchiveError::Malformed)?;
            link(&mut tree, path, String::from_utf8_lossy(&target).into_owned())?;
        } else {
            tree.insert(path, Node::File(budget.file(&mut entry, mode & 0o111 != 0)?));
        }
    }
    Ok(tree)
}

/// What an archive may still hold, and the way of its files into the store: by the disk, since one of them may be larger than
/// the memory there is.
struct Budget<'store> {
    store: &'store Store,
    folder: tempfile::TempDir,
    bytes: u64,
    entries: u64,
}

impl<'store> Budget<'store> {
    fn new(store: &'store Store) -> Result<Self, StoreError> {
        Ok(Self { store, folder: store.temporary()?, bytes: LARGEST, entries: MOST })
    }

    fn entry(&mut self) -> Result<(), ArchiveError> {
        self.entries = self.entries.checked_sub(1).ok_or(ArchiveError::TooLarge)?;
        Ok(())
    }

    fn file(&mut self, from: &mut impl Read, executable: bool) -> Result<Source, ArchiveError> {
        let folder =
            Utf8Path::from_path(self.folder.path()).expect("the store's folders are UTF-8");
        let path = folder.join("file");
        let mut file = File::create(&path).map_err(ArchiveError::Malformed)?;
        let mut from = from.take(self.bytes + 1);
        let size = io::copy(&mut from, &mut file).map_err(ArchiveError::Malformed)?;
        self.bytes = self.bytes.checked_sub(size).ok_or(ArchiveError::TooLarge)?;
        Ok(self.store.add_file(&path, executable)?)
    }
}

fn place(name: &str) -> Result<BundlePath, PathError> {
    let mut name = name;
    while let Some(rest) = name.strip_prefix("./") {
        name = rest;
    }
    BundlePath::new(name)
}

fn link(tree: &mut Tree, path: BundlePath, target: String) -> Result<(), ArchiveError> {
    if !path.holds_link_to(&target) {
        return Err(ArchiveError::Link { path, target });
    }
    tree.insert(path, Node::Link(target));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    /// A tarball with a program, a link to it and a text.
    fn tarball(link: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, mode, bytes) in [("./bin/x", 0o755, &b"#!"[..]), ("README", 0o600, b"hi")] {
            let mut header = tar::Header::new_ustar();
            header.set_mode(mode);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, bytes).expect("memory");
        }
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "bin/y", link).expect("memory");
        builder.into_inner().expect("memory")
    }

    fn taken(bytes: &[u8]) -> Result<Vec<String>, ArchiveError> {
        let sandbox = Sandbox::new();
        let store = Store::open(&sandbox.context(&[])).expect("there is room");
        let file = sandbox.write("archive", bytes);
        let tree = read(&store, &file, "x.exe")?;
        let line = |(path, node): (&BundlePath, &Node)| match node {
            Node::File(source) => format!("{path} {} {}", source.size, source.executable),
            Node::Link(target) => format!("{path} -> {target}"),
        };
        Ok(tree.iter().map(line).collect())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn every_format_says_what_it_is() {
        let tar = tarball("x");
        let expected = ["README 2 false", "bin/x 2 true", "bin/y -> x"];
        let mut xz = Vec::new();
        io::copy(&mut liblzma::read::XzEncoder::new(&tar[..], 1), &mut xz).expect("memory");
        let zstd = zstd::encode_all(&tar[..], 1).expect("memory");
        for bytes in [gzip(&tar), xz, zstd, tar] {
            assert_eq!(taken(&bytes).expect("sound"), expected);
        }
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file("bin/x", options.unix_permissions(0o755)).expect("memory");
        io::Write::write_all(&mut zip, b"#!").expect("memory");
        let zip = zip.finish().expect("memory").into_inner();
        assert_eq!(taken(&zip).expect("sound"), ["bin/x 2 true"]);
        assert_eq!(taken(b"MZ program").expect("sound"), ["x.exe 10 true"]);
    }

    #[test]
    fn nothing_leads_out() {
        assert!(matches!(taken(&tarball("../../etc/passwd")), Err(ArchiveError::Link { .. })));
        let mut tar = tarball("x");
        // `README` becomes `../EAD`; the checksum says so.
        let at = tar.windows(6).position(|name| name == b"README").expect("it is there");
        tar[at..at + 6].copy_from_slice(b"../EAD");
        let sum: u32 = tar[at..at + 512]
            .iter()
            .enumerate()
            .map(|(index, byte)| if (148..156).contains(&index) { 32 } else { u32::from(*byte) })
            .sum();
        tar[at + 148..at + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert!(matches!(taken(&tar), Err(ArchiveError::Name(_))));
        let cut = gzip(&tarball("x"));
        assert!(matches!(taken(&cut[..cut.len() / 2]), Err(ArchiveError::Malformed(_))));
    }
}
