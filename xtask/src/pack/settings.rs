//! How archives are made: everything but the tree that decides their bytes.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a file is archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Format {
    /// tar in the Zstandard Seekable Format.
    #[value(name = "tar.zst")]
    TarZst,
    /// tar in gzip.
    #[value(name = "tar.gz")]
    TarGz,
    /// ZIP with Deflate.
    #[value(name = "zip")]
    Zip,
}

impl Format {
    /// The archive's extension, without a leading dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::TarZst => "tar.zst",
            Self::TarGz => "tar.gz",
            Self::Zip => "zip",
        }
    }
}

/// What counts when a `.tar.zst` is compressed. The other formats do not care.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// The time it takes: for every day.
    #[default]
    Fast,
    /// The archive's size: for releases. Takes some twenty times as long, for what is not in the cache.
    Best,
}

/// How an archive is made. Together with the tree and the folder's name it decides every byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The format.
    pub format: Format,
    /// The compressor's level: up to 22 for Zstandard, up to 9 for the others.
    pub level: u8,
    /// The same for native code that is large enough to be compressed by itself; Zstandard only.
    pub code_level: u8,
    /// log2 of the entries that the compressor's hash table has for it, where that is not the level's own.
    pub code_hash_log: Option<u8>,
    /// The same for the manifest in the archive; Zstandard only.
    pub manifest_level: u8,
    /// How many bytes of the tar stream are compressed together, at most (a file's header and padding may go over).
    pub frame_size: NonZeroU32,
    /// From how many bytes on a file is not compressed together with small ones.
    pub large_file_size: NonZeroU32,
    /// The same for native code, which has nothing in common with anything else.
    pub large_code_size: NonZeroU32,
    /// What `frame_size` is for large files. A multiple of a tar block.
    pub large_frame_size: NonZeroU32,
}

impl Settings {
    /// The defaults of `format`.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self::of(format, Compression::default())
    }

    /// What `compression` means for `format`.
    #[must_use]
    pub fn of(format: Format, compression: Compression) -> Self {
        const MIB: u32 = 1 << 20;
        // Measured on OpenClaw's tree: docs/decisions/frames-and-level.md has the tables. A frame is what is cached, fetched
        // and decompressed at once, so it should be small; but what two frames have in common is compressed twice.
        let (levels, frame, large_file, large_frame) = match (format, compression) {
            // For text 10 is where the curve bends. For machine code it is between 6 and 7: the larger table of 7 is worth its
            // while, the longer search in it is not. Of the manifest 8 leaves no more than 10.
            (Format::TarZst, Compression::Fast) => ((10, 6, 8), 8 * MIB, 8 * MIB, 16 * MIB),
            // Large files in frames as large as every decoder takes; the others in frames of which an update fetches few.
            (Format::TarZst, Compression::Best) => ((22, 22, 22), 16 * MIB, 2 * MIB, 128 * MIB),
            // 6 is where zlib's own curve bends.
            (Format::TarGz | Format::Zip, _) => ((6, 6, 6), 16 * MIB, 8 * MIB, 16 * MIB),
        };
        let (level, code_level, manifest_level) = levels;
        let code_hash_log = matches!((format, compression), (Format::TarZst, Compression::Fast));
        let size = |bytes| NonZeroU32::new(bytes).expect("it is not zero");
        Self {
            format,
            level,
            code_level,
            code_hash_log: code_hash_log.then_some(20),
            manifest_level,
            frame_size: size(frame),
            large_file_size: size(large_file),
            large_code_size: size(8 * MIB),
            large_frame_size: size(large_frame),
        }
    }

    /// Whether some frames take so long that they are worth being compressed before all others.
    pub(super) fn takes_long(&self) -> bool {
        const LONG: u32 = 64 << 20;
        self.large_frame_size.get() >= LONG
    }

    pub(super) fn sizes(&self) -> Sizes {
        Sizes {
            frame: self.frame_size.get().into(),
            large_file: self.large_file_size.get().into(),
            large_code: self.large_code_size.get().into(),
            large_frame: self.large_frame_size.get().into(),
        }
    }
}

/// Where the tar stream is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// The most bytes of a frame.
    pub(super) frame: u64,
    /// The least bytes of a large file.
    pub(super) large_file: u64,
    /// The same if it is native code.
    pub(super) large_code: u64,
    /// The most bytes of a frame with large files only.
    pub(super) large_frame: u64,
}

impl Sizes {
    /// Whether a file of so many bytes is large.
    pub(super) fn is_large(self, file: u64, is_code: bool) -> bool {
        file >= if is_code { self.large_code } else { self.large_file }
    }
}
