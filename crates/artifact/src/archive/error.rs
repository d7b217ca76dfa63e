//! What is wrong with an archive, or kept it from being unpacked.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::{BundlePath, Digest, MANIFEST_FILE, MANIFEST_VERSION};

/// An archive that cannot be read or unpacked. Nothing of it is left on disk.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempt} `{}`", archive.display())]
pub struct ArchiveError {
    /// What was attempted.
    pub attempt: Attempt,
    /// The archive.
    pub archive: PathBuf,
    /// What was expected, and what was found.
    #[source]
    pub fault: Box<Fault>,
}

/// What was to be done with an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Its files were to be written out.
    Unpack,
    /// Its manifest was to be read.
    ReadManifest,
    /// A patch, or what it makes of a manifest, was to be read.
    ReadPatch,
    /// A version was to be made, of an installed one or of what was fetched.
    Make,
    /// An installed version was to be compared with its manifest.
    Check,
}

/// What kept an archive from being unpacked. Frames are counted from 0.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Fault {
    // The archive's bytes
    #[error("it could not be read")]
    Read { source: io::Error },
    #[error("it is neither a `.tar.zst`, a `.tar.gz` nor a `.zip`")]
    Format,
    #[error("its last bytes are not those of a seek table: it ends too early, or is not a bundle")]
    NoSeekTable,
    #[error("its seek table says {field} {found}, and {expected} was expected")]
    SeekTable { field: &'static str, expected: u64, found: u64 },
    #[error("frame {frame} is said to have {length} bytes from byte {offset}, which cannot be")]
    FramePlace { frame: usize, offset: u64, length: u64 },
    #[error("its seek table has another checksum for frame {frame} than the frame")]
    FrameChecksum { frame: usize },
    #[error("its seek table and its `{MANIFEST_FILE}` differ about frame {frame}")]
    FrameDiffers { frame: usize },
    #[error(
        "frame {frame}, {length} bytes from byte {offset}, has the SHA-256 {found}, and `{MANIFEST_FILE}` says {expected}"
    )]
    FrameDigest { frame: usize, offset: u64, length: u64, expected: Digest, found: Digest },
    #[error("frame {frame} is no Zstandard frame: {reason}")]
    Frame { frame: usize, reason: String },
    #[error("frame {frame} needs a window of {found} bytes, and {most} is the most")]
    Window { frame: usize, found: u64, most: u64 },
    #[error("frame {frame} holds more than the {expected} bytes it should")]
    FrameTooLong { frame: usize, expected: u64 },
    #[error("frame {frame} holds {found} bytes, and {expected} were expected")]
    FrameTooShort { frame: usize, expected: u64, found: u64 },
    #[error("it cannot be decompressed")]
    Stream { source: io::Error },
    #[error("it goes on after its end")]
    Trailing,

    // The manifest
    #[error("there is no `{MANIFEST_FILE}` in it")]
    NoManifest,
    #[error("its `{MANIFEST_FILE}` cannot be read: {reason}")]
    Manifest { reason: String },
    #[error("its `{MANIFEST_FILE}` is of format {found}, and {MANIFEST_VERSION} was expected")]
    Version { found: u32 },
    #[error("its `{MANIFEST_FILE}` has the SHA-256 {found}, and {expected} was expected")]
    ManifestDigest { expected: Digest, found: Digest },
    #[error("its `{MANIFEST_FILE}` is not in order: `{path}`: {reason}")]
    Listed { path: String, reason: &'static str },
    #[error("`{first}` and `{second}` differ in case or Unicode form only, and would be one file")]
    Collision { first: String, second: String },
    #[error("the link `{path}` leads out of the bundle, to `{target}`")]
    LinkOut { path: BundlePath, target: String },
    #[error("its `{MANIFEST_FILE}` says {field} {found}, and {expected} was expected")]
    Total { field: &'static str, expected: u64, found: u64 },
    #[error(
        "it lists so many files that {needed} bytes of memory are needed, and {most} is the most"
    )]
    Memory { needed: u64, most: u64 },

    // The entries
    #[error("at byte {position} of its content there is no header of tar: {reason}")]
    Header { position: u64, reason: &'static str },
    #[error(
        "at byte {position} of its content `{MANIFEST_FILE}` has {expected}, and the archive has {found}"
    )]
    Entry { position: u64, expected: String, found: String },
    #[error("`{name}` is {found}, and bundles have files, folders and symbolic links only")]
    Kind { name: String, found: &'static str },
    #[error("`{name}` is in the archive, and not in its `{MANIFEST_FILE}`")]
    Unlisted { name: String },
    #[error("`{name}` is in the archive twice")]
    Twice { name: String },
    #[error("`{path}` is in its `{MANIFEST_FILE}`, and not in the archive")]
    Missing { path: String },
    #[error("`{path}` has {found} bytes, and `{MANIFEST_FILE}` says {expected}")]
    Size { path: String, expected: u64, found: u64 },
    #[error("`{path}` has the mode {found:o}, and {expected:o} was expected")]
    Mode { path: String, expected: u32, found: u32 },
    #[error("`{path}` has the SHA-256 {found}, and `{MANIFEST_FILE}` says {expected}")]
    FileDigest { path: String, expected: Digest, found: Digest },
    #[error("the link `{path}` leads to `{found}`, and `{MANIFEST_FILE}` says `{expected}`")]
    LinkTarget { path: String, expected: String, found: String },

    // Updates
    #[error("`{}` of the installed version was changed{}", paths.first().map_or("", BundlePath::as_str), more(paths))]
    Changed { paths: Vec<BundlePath> },
    #[error("the plan has `{path}`, and `{MANIFEST_FILE}` has it not, or otherwise")]
    Plan { path: String },
    #[error("`{path}` is neither kept nor fetched nor in a patch")]
    Lacking { path: String },
    #[error("cannot read `{}` of the installed version", path.display())]
    Old { path: PathBuf, source: io::Error },
    #[error("the patch is damaged: {reason}")]
    Patch { reason: String },
    #[error(
        "the patch starts from the `{MANIFEST_FILE}` with the SHA-256 {expected}, and the installed one has {found}"
    )]
    PatchFrom { expected: Digest, found: Digest },
    #[error(
        "the patch leads to the `{MANIFEST_FILE}` with the SHA-256 {found}, and {expected} was expected"
    )]
    PatchTo { expected: Digest, found: Digest },

    // The place
    #[error("there is something at `{}` already", path.display())]
    Exists { path: PathBuf },
    #[error("another process is unpacking to `{}`", path.display())]
    Busy { path: PathBuf },
    #[error("`{path}` cannot be made: something else is in its place")]
    Occupied { path: String },
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl ArchiveError {
    pub(super) fn new(attempt: Attempt, archive: &Path, fault: Fault) -> Self {
        Self { attempt, archive: archive.to_owned(), fault: Box::new(fault) }
    }

    /// What its reader can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        self.fault.help()
    }
}

impl Fault {
    /// What its reader can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::Format | Self::NoManifest => {
                "name a `.tar.zst`, `.tar.gz` or `.zip` that `cargo xtask bundle` made"
            }
            Self::Version { .. } | Self::Window { .. } => {
                "take the Gangway that made it, or bundle it anew with this one"
            }
            Self::Collision { .. } => {
                "unpack it on a system that tells them apart, or bundle it without one of them"
            }
            Self::Memory { .. } => {
                "allow more memory, with `--memory`, if you trust whoever made it"
            }
            Self::Exists { .. } => "name a folder that does not exist yet, or is empty",
            Self::Busy { .. } => "wait until it is done",
            Self::Changed { .. } => "plan the update without these files: they can be fetched",
            Self::Plan { .. } | Self::Lacking { .. } => "plan the update anew, of both manifests",
            Self::Old { .. } => "install the version anew, in place of an update",
            Self::Patch { .. } | Self::PatchFrom { .. } | Self::PatchTo { .. } => {
                "update without the patch: the archive has everything"
            }
            Self::Occupied { .. } => {
                "the file system does not tell names apart that the bundle does, or another program writes to the folder"
            }
            Self::Write { .. } => "free space, or name a folder that can be written to",
            _ => "it was damaged or changed after it was made: fetch it again, or bundle it again",
        }
    }

    pub(super) fn read(source: io::Error) -> Self {
        Self::Read { source }
    }

    /// A failure of a decompressor that reads from memory or a file.
    pub(super) fn stream(source: io::Error) -> Self {
        Self::Stream { source }
    }
}

fn more(paths: &[BundlePath]) -> String {
    match paths.len() {
        0 | 1 => String::new(),
        count => format!(", and {} other files", count - 1),
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unpack => "unpack",
            Self::ReadManifest => "read the manifest of",
            Self::ReadPatch => "read the patch",
            Self::Make => "make",
            Self::Check => "check",
        })
    }
}
