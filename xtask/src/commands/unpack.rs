//! `cargo xtask unpack`: a bundle on disk, every byte of it checked.

use camino::Utf8PathBuf;
use gangway_artifact::Digest;
use gangway_artifact::archive::{self, Durability};
use serde::Serialize;

use crate::context::Context;
use crate::unpacked::UnpackedError;

/// What is to be unpacked, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The archive.
    pub archive: Utf8PathBuf,
    /// The folder that becomes the bundle.
    pub to: Utf8PathBuf,
    /// Bytes of memory, at most.
    pub memory: u64,
    /// Whether it must be on disk.
    pub sync: bool,
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Done {
    /// Where it is.
    pub to: Utf8PathBuf,
    /// The archive's own folder.
    pub folder: String,
    /// How many files there are.
    pub files: usize,
    /// How many symbolic links.
    pub links: usize,
    /// Bytes of all files but the manifest.
    pub bytes: u64,
    /// How many frames were read.
    pub frames: usize,
    /// The digest of the manifest, which all other digests are in.
    pub manifest_sha256: Digest,
    /// How long it took.
    pub seconds: f64,
}

impl Done {
    /// In words.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { to, files, links, bytes, seconds, .. } = self;
        let megabytes = bytes / 1_000_000;
        format!(
            "{to}: {files} files, {links} links, {megabytes} MB, all as listed, in {seconds:.2} s"
        )
    }
}

/// Unpacks it. Nobody has looked at a clock when this returns.
///
/// # Errors
/// When it is no bundle's archive, is damaged, or cannot be written.
pub fn run(context: &Context, options: &Options) -> Result<Done, UnpackedError> {
    let Options { archive, to, memory, sync } = options;
    let spinner =
        context.reporter.spinner("Unpacking", archive.file_name().unwrap_or_default().to_owned());
    let durability = if *sync { Durability::Synced } else { Durability::Cached };
    let options =
        archive::Options { threads: context.jobs, memory: *memory, durability, manifest: None };
    use_small_pages();
    let unpacked = archive::unpack(archive.as_std_path(), to.as_std_path(), &options);
    drop(spinner);
    let archive::Unpacked { root, files, links, bytes, frames, manifest } =
        unpacked.map_err(|error| UnpackedError::Archive { error })?;
    Ok(Done {
        to: to.clone(),
        folder: root,
        files,
        links,
        bytes,
        frames,
        manifest_sha256: manifest,
        seconds: 0.0,
    })
}

/// Memory is what was asked for: with pages of 2 MiB, which the allocator likes to have, each thread takes several more
/// for a few small values, 24 MB in all. A kernel that knows no such pages has no such call.
fn use_small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "the kernel takes no advice");
    }
}
