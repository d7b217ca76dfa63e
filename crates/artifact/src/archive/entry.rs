//! Headers of tar: what stands before each entry's bytes.
//!
//! Only what `docs/format.md` has is taken: ustar, and GNU's entries for long names. Whatever else a header may say, in
//! particular that its entry is a hard link or a device, is an error and not passed over, so that no other reader of
//! the same archive makes something else of it.

use tar::{EntryType, Header};

use super::error::Fault;
use crate::{BLOCK, BundlePath};

/// A block of tar, as long as one.
pub(super) type Block = [u8; BLOCK as usize];

/// The longest content of an entry that tells a long name: the archive's folder, a path, and a zero byte.
const LONGEST_NAME: u64 = 2 * BundlePath::MAX_LENGTH as u64 + 2;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path in the archive, without a slash at the end.
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File { size: u64, mode: u32 },
    Link { target: String },
}

/// What one header says.
#[derive(Debug)]
pub(super) enum Told {
    /// An entry.
    Entry(Entry),
    /// Its content is a name or target of the next entry, so many bytes.
    Long(Long, u64),
    /// It is all zeros: the end.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Long {
    Name,
    Target,
}

/// What was told of the next entry.
#[derive(Debug, Default)]
pub(super) struct Names {
    name: Option<String>,
    target: Option<String>,
}

impl Names {
    /// Whether an entry must follow.
    pub(super) fn are_pending(&self) -> bool {
        self.name.is_some() || self.target.is_some()
    }

    /// Takes the content of a long entry.
    pub(super) fn add(&mut self, long: Long, content: &[u8], position: u64) -> Result<(), Fault> {
        let fault = |reason| Fault::Header { position, reason };
        let text = content.strip_suffix(b"\0").unwrap_or(content);
        let text = std::str::from_utf8(text).map_err(|_| fault("a long name is not UTF-8"))?;
        let place = match long {
            Long::Name => &mut self.name,
            Long::Target => &mut self.target,
        };
        match place.replace(text.to_owned()) {
            None => Ok(()),
            Some(_) => Err(fault("two long names follow each other")),
        }
    }

    /// Reads a header that begins at `position`.
    pub(super) fn header(&mut self, block: &Block, position: u64) -> Result<Told, Fault> {
        let fault = |reason| Fault::Header { position, reason };
        if block.iter().all(|byte| *byte == 0) {
            return Ok(Told::End);
        }
        let header = Header::from_byte_slice(block);
        if header.as_ustar().is_none() && header.as_gnu().is_none() {
            return Err(fault("it is not one of ustar"));
        }
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| match at {
                148..156 => u32::from(b' '),
                _ => u32::from(*byte),
            })
            .sum();
        if header.cksum().ok() != Some(sum) {
            return Err(fault("its checksum is wrong"));
        }
        let size = header.entry_size().map_err(|_| fault("its size is no number"))?;
        let mode = header.mode().map_err(|_| fault("its mode is no number"))?;
        let kind = header.entry_type();
        if let Some(long) = long(kind) {
            return match size > LONGEST_NAME {
                true => Err(fault("a name is too long")),
                false => Ok(Told::Long(long, size)),
            };
        }
        let name = match self.name.take() {
            Some(name) => name,
            None => text(&header.path_bytes()).ok_or_else(|| fault("its name is not UTF-8"))?,
        };
        let named = header.link_name_bytes().unwrap_or_default();
        let target = match self.target.take() {
            Some(target) => target,
            None => text(&named).ok_or_else(|| fault("its target is not UTF-8"))?,
        };
        let kind = match kind {
            EntryType::Regular => Kind::File { size, mode },
            EntryType::Directory if mode != 0o755 => {
                return Err(Fault::Mode { path: name, expected: 0o755, found: mode });
            }
            EntryType::Directory if size == 0 => Kind::Folder,
            EntryType::Symlink if size == 0 => Kind::Link { target },
            EntryType::Directory | EntryType::Symlink => {
                return Err(fault("only files have bytes"));
            }
            other => return Err(Fault::Kind { name, found: describe(other) }),
        };
        let is_folder = kind == Kind::Folder;
        let name = match name.strip_suffix('/') {
            Some(plain) if is_folder => plain.to_owned(),
            Some(_) => return Err(fault("the name of a file ends with a slash")),
            None => name,
        };
        Ok(Told::Entry(Entry { name, kind }))
    }
}

impl Entry {
    /// Its path in the folder `root`, the archive's own; empty for that folder itself.
    pub(super) fn path(&self, root: &str) -> Result<&str, Fault> {
        match self.name.strip_prefix(root) {
            Some("") if self.kind == Kind::Folder => Ok(""),
            Some(rest) if rest.starts_with('/') => Ok(&rest[1..]),
            _ => Err(Fault::Unlisted { name: self.name.clone() }),
        }
    }

    /// In words, for messages.
    pub(super) fn describe(&self) -> String {
        let kind = match self.kind {
            Kind::Folder => "folder",
            Kind::File { .. } => "file",
            Kind::Link { .. } => "link",
        };
        format!("the {kind} `{}`", self.name)
    }
}

/// How many zeros follow `length` bytes, so that the next block can begin.
pub(super) fn padding(length: u64) -> u64 {
    (BLOCK - length % BLOCK) % BLOCK
}

fn long(kind: EntryType) -> Option<Long> {
    match kind {
        EntryType::GNULongName => Some(Long::Name),
        EntryType::GNULongLink => Some(Long::Target),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

fn describe(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Link => "a hard link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a pipe",
        EntryType::Continuous => "a contiguous file",
        EntryType::GNUSparse => "a sparse file",
        EntryType::XHeader | EntryType::XGlobalHeader => "an extended header",
        _ => "of a kind that nobody knows",
    }
}
