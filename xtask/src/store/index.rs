//! The index of an entry: what an archive held, in a form that is read without being parsed.
//!
//! A gateway's closure has hundreds of indexes with tens of thousands of files, and all of them are read before the first
//! file is linked. So the form is binary: records of a fixed size, and one text with all the names, which the tree's
//! sources go on sharing. A checksum at the end finds what a disk or an interrupted write did to it. It is no defence
//! against malice; but names are checked again when they are read, so an index can never lead out of its entry.
//!
//! All numbers are little-endian:
//!
//! ```text
//! "gangway index 2\n"
//! u32   length of the boot text     u32  files     u32  links     u32  length of the names
//! boot text
//! names: of the files, then for each link its name and its target, with nothing between them
//! each file: u16 length of its name, u8 executable, u64 size, 32 bytes SHA-256
//! each link: u16 length of its name, u32 length of its target
//! u32   CRC-32 of everything before
//! ```

use camino::Utf8Path;
use gangway_artifact::{BundlePath, Digest};

use crate::tree::{Folder, Node, Tree};

const MAGIC: &[u8] = b"gangway index 2\n";

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexedFile {
    pub(super) path: BundlePath,
    pub(super) size: u64,
    pub(super) executable: bool,
    pub(super) sha256: Digest,
}

/// A symbolic link of the archive. It is made only when a tree is laid out, never in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexedLink {
    pub(super) path: BundlePath,
    pub(super) target: String,
}

/// What an index says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// The run of the machine the entry was written in; empty where the system does not name it.
    pub(super) boot: String,
    pub(super) tree: Tree,
}

/// The index of an archive that was unpacked in the run `boot` of the machine.
pub(super) fn encode(boot: &str, files: &[IndexedFile], links: &[IndexedLink]) -> Vec<u8> {
    let mut names = String::new();
    let mut records = Vec::new();
    for file in files {
        names.push_str(file.path.as_str());
        records.extend(name_length(&file.path).to_le_bytes());
        records.push(u8::from(file.executable));
        records.extend(file.size.to_le_bytes());
        records.extend(file.sha256.as_bytes());
    }
    for link in links {
        names.push_str(link.path.as_str());
        names.push_str(&link.target);
        records.extend(name_length(&link.path).to_le_bytes());
        records.extend(count(link.target.len()).to_le_bytes());
    }
    let mut bytes = MAGIC.to_vec();
    for number in [boot.len(), files.len(), links.len(), names.len()] {
        bytes.extend(count(number).to_le_bytes());
    }
    bytes.extend(boot.as_bytes());
    bytes.extend(names.as_bytes());
    bytes.extend(records);
    bytes.extend(checksum(&bytes).to_le_bytes());
    bytes
}

/// Reads an index of the files in `folder`; `None` if it is not exactly what [`encode`] wrote.
pub(super) fn decode(bytes: &[u8], folder: &Utf8Path) -> Option<Decoded> {
    let (content, sum) = bytes.split_last_chunk()?;
    if checksum(content) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut rest = Rest(content.strip_prefix(MAGIC)?);
    let (boot, files, links) = (rest.count()?, rest.count()?, rest.count()?);
    let names = rest.count()?;
    let boot = std::str::from_utf8(rest.take(boot)?).ok()?.to_owned();
    let names = Folder::new(folder, std::str::from_utf8(rest.take(names)?).ok()?);

    // A count is believed only as far as there are bytes for it; the smallest record has six.
    let mut nodes = Vec::with_capacity(files.saturating_add(links).min(rest.0.len() / 6));
    let mut at = 0;
    for _ in 0..files {
        let name = at..at + usize::from(rest.u16()?);
        let executable = match rest.array()? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let size = u64::from_le_bytes(rest.array()?);
        let sha256 = Digest::from_bytes(rest.array()?);
        let path = BundlePath::new(names.names().get(name.clone())?).ok()?;
        at = name.end;
        nodes.push((path, Node::File(names.source(name, size, executable, sha256)?)));
    }
    for _ in 0..links {
        let name = at..at + usize::from(rest.u16()?);
        let target = name.end..name.end + rest.count()?;
        at = target.end;
        let path = BundlePath::new(names.names().get(name)?).ok()?;
        nodes.push((path, Node::Link(names.names().get(target)?.to_owned())));
    }
    let is_all = rest.0.is_empty() && at == names.names().len();
    is_all.then(|| Decoded { boot, tree: Tree::from_iter(nodes) })
}

/// The bytes that are still to be read.
struct Rest<'bytes>(&'bytes [u8]);

impl<'bytes> Rest<'bytes> {
    fn take(&mut self, length: usize) -> Option<&'bytes [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

fn name_length(path: &BundlePath) -> u16 {
    u16::try_from(path.as_str().len()).expect("a path in a bundle has at most 1024 bytes")
}

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("an archive's limits are far below this")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> BundlePath {
        BundlePath::new(text).expect("plain")
    }

    fn file(name: &str) -> IndexedFile {
        let size = name.len() as u64;
        IndexedFile {
            path: path(name),
            size,
            executable: size.is_multiple_of(2),
            sha256: Digest::of(name),
        }
    }

    fn link(name: &str, target: &str) -> IndexedLink {
        IndexedLink { path: path(name), target: target.to_owned() }
    }

    fn sample() -> Vec<u8> {
        let files = [file("lib/a.js"), file("lib/\u{2603}"), file("x")];
        encode("a run", &files, &[link("bin/npm", "../lib/a.js"), link("bin/x", "npm")])
    }

    /// With a checksum that is right, so that what lies behind it is tested too.
    fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.extend(checksum(&bytes).to_le_bytes());
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        let decoded = decode(&sample(), Utf8Path::new("/store/files")).expect("it is whole");
        assert_eq!(decoded.boot, "a run");
        let found: Vec<_> = decoded
            .tree
            .iter()
            .map(|(path, node)| match node {
                Node::File(source) => {
                    format!("{path}: {} {} {}", source.path(), source.size, source.executable)
                }
                Node::Link(target) => format!("{path} -> {target}"),
            })
            .collect();
        assert_eq!(
            found,
            [
                "bin/npm -> ../lib/a.js",
                "bin/x -> npm",
                "lib/a.js: /store/files/lib/a.js 8 true",
                "lib/\u{2603}: /store/files/lib/\u{2603} 7 false",
                "x: /store/files/x 1 false",
            ]
        );
        let digests: Vec<_> = decoded
            .tree
            .files()
            .map(|(path, source)| (Digest::of(path.as_str()), source.sha256))
            .collect();
        assert!(digests.iter().all(|(expected, found)| expected == found));
        let nothing = decode(&encode("", &[], &[]), Utf8Path::new("/")).expect("it is whole");
        assert_eq!(nothing, Decoded { boot: String::new(), tree: Tree::default() });
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_entry() {
        let mut bytes = encode("", &[file("aa/bb")], &[]);
        bytes.truncate(bytes.len() - 4);
        let at = bytes.windows(5).position(|window| window == b"aa/bb").expect("its name");
        assert!(decode(&summed(bytes.clone()), Utf8Path::new("/")).is_some());
        bytes[at..at + 2].copy_from_slice(b"..");
        assert_eq!(decode(&summed(bytes), Utf8Path::new("/")), None);
    }

    proptest! {
        #[test]
        fn any_damage_is_found(at in any::<prop::sample::Index>(), bits in 1_u8..) {
            let mut bytes = sample();
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
            prop_assert_eq!(decode(&bytes, Utf8Path::new("/")), None);
        }

        #[test]
        fn half_an_index_is_none(length in any::<prop::sample::Index>(), more in any::<u8>()) {
            let bytes = sample();
            prop_assert_eq!(decode(&bytes[..length.index(bytes.len())], Utf8Path::new("/")), None);
            let longer = [bytes.as_slice(), &[more]].concat();
            prop_assert_eq!(decode(&longer, Utf8Path::new("/")), None);
        }

        /// Whatever it holds, it is refused or read, without a panic and without asking for more memory than its size.
        #[test]
        fn noise_with_a_right_checksum(
            at in any::<prop::sample::Index>(),
            noise in prop::collection::vec(any::<u8>(), 1..20),
            cut in 0..30_usize,
        ) {
            let mut bytes = sample();
            bytes.truncate(bytes.len() - 4 - cut);
            let at = at.index(bytes.len());
            let length = noise.len().min(bytes.len() - at);
            bytes[at..at + length].copy_from_slice(&noise[..length]);
            if let Some(decoded) = decode(&summed(bytes), Utf8Path::new("/store")) {
                for (_, source) in decoded.tree.files() {
                    prop_assert!(source.path().starts_with("/store"));
                }
            }
        }
    }
}
