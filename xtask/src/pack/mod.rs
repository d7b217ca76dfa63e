//! The last stage: a tree becomes an archive. `docs/format.md` describes the result.
//!
//! The bytes of an archive depend on the tree, the folder's name and the [`Settings`], and on nothing else: not on
//! times, owners or modes of the source files, not on the number of threads. Every file is checked against its
//! digest on the way in. The archive gets its name when it is whole and on disk.
//!
//! All formats share one shape: [`entry`] puts the tree in order, [`cut`] divides it, [`pipeline`] lets threads compress
//! the parts, and the part that is next in order is written. The manifest is made and written after everything else, because it
//! tells where everything else is ([`manifest`]).

mod ahead;
mod beginnings;
mod cut;
mod entry;
mod error;
mod foreign;
mod frame_cache;
mod gzip;
mod header;
mod large;
mod manifest;
mod output;
mod part;
mod pipeline;
mod seekable;
mod settings;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod zip_file;

use std::collections::HashMap;
use std::num::NonZeroUsize;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::{Digest, HashingWriter, Manifest};

use crate::context::Context;
use crate::native::{Natives, SharedData};
use crate::report::Progress;
use crate::tree::Tree;
use entry::{Entry, Kind};
use output::Output;
use settings::Sizes;

pub use error::PackError;
pub use frame_cache::FrameCache;
pub(crate) use frame_cache::{BUCKET as FRAMES, open_frame};
pub use manifest::listing;
pub use output::forget_pages;
pub use part::group;
pub use settings::{Compression, Format, Settings};

/// The time of every entry: 1985-10-26T08:15:00Z, the one npm gives the files of its tarballs. It is not zero, because
/// some tools take that for "no time", and ZIP cannot say anything before 1980.
const MODIFIED: u64 = 499_162_500;

/// What is known already.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Which files are native code.
    pub natives: &'a Natives,
    /// Frames that were compressed before; of `.tar.zst` only.
    pub frames: Option<&'a FrameCache>,
}

/// What goes into an archive.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// Every file and link but the manifest.
    pub tree: &'a Tree,
    /// The manifest; it lists the tree.
    pub manifest: &'a Manifest,
    /// The name of the one folder that holds everything.
    pub folder: &'a str,
}

/// An archive that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Where it is.
    pub path: Utf8PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// The digest of its bytes.
    pub sha256: Digest,
    /// How many parts it was cut into; each one is a Zstandard frame of its own.
    pub frames: usize,
    /// The bytes of the `manifest.json` inside: the manifest that was given, with the places of its files where the format has frames.
    pub manifest: Vec<u8>,
}

/// Writes `tree` and its `manifest` to the file `out`, as an archive of one folder named `folder`.
///
/// `known` saves work and changes nothing else.
///
/// # Errors
/// When the tree cannot be archived, a source file is damaged or `out` cannot be written. Nothing is left at `out`
/// then but what was there before.
pub fn write(
    context: &Context,
    Content { tree, manifest, folder }: Content<'_>,
    settings: Settings,
    known: Known<'_>,
    out: &Utf8Path,
) -> Result<Packed, PackError> {
    let entries = entry::list(tree, folder, known.natives, settings.sizes())?;
    let shared = match settings.format {
        // Whole files are compressed there, whatever is in them.
        Format::Zip => HashMap::new(),
        Format::TarZst | Format::TarGz => shared_data(&entries, known.natives)?,
    };
    let output = Output::create(out)?;
    let work = Work {
        folder,
        entries: &entries,
        manifest,
        settings,
        known,
        shared: &shared,
        threads: context.jobs,
        progress: context.reporter.bytes("Packing", tree.size()),
        out,
    };
    work.progress.message(out.file_name().unwrap_or_default().to_owned());
    let mut file = HashingWriter::new(output.file());
    let Written { manifest, frames } = match settings.format {
        Format::TarZst => seekable::write(&work, &mut file)?,
        Format::TarGz => gzip::write(&work, &mut file)?,
        Format::Zip => zip_file::write(&work, output.file())?,
    };
    // The writer of ZIP files goes back to fill in what it did not know: they are hashed when they are whole.
    let known = (settings.format != Format::Zip).then(|| file.finish());
    let (sha256, size) = output.finish(known)?;
    Ok(Packed { path: out.to_owned(), size, sha256, frames, manifest })
}

/// The data in large files that other builds of them hold as well, by the digests of the files.
fn shared_data(
    entries: &[Entry<'_>],
    natives: &Natives,
) -> Result<HashMap<Digest, Vec<SharedData>>, PackError> {
    let mut found = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.is_large) {
        if let Kind::File(path, source) = entry.kind {
            let data = natives.shared_data(source);
            let data = data.map_err(|error| source::read_error(path, source, error))?;
            found.insert(source.sha256, data);
        }
    }
    Ok(found)
}

/// What a format's writer has to say.
#[derive(Debug)]
struct Written {
    /// The bytes of the manifest.
    manifest: Vec<u8>,
    /// How many parts were compressed.
    frames: usize,
}

/// What the three formats need to do their part.
#[derive(Debug)]
struct Work<'plan, 'tree> {
    /// The archive's folder.
    folder: &'plan str,
    /// Everything but the manifest.
    entries: &'plan [Entry<'tree>],
    /// What is written last.
    manifest: &'plan Manifest,
    settings: Settings,
    known: Known<'plan>,
    /// The data in large files that other builds of them hold as well, by the digests of the files.
    shared: &'tree HashMap<Digest, Vec<SharedData>>,
    threads: NonZeroUsize,
    /// Counts the bytes of files.
    progress: Progress,
    /// For messages.
    out: &'plan Utf8Path,
}

impl Work<'_, '_> {
    fn sizes(&self) -> Sizes {
        self.settings.sizes()
    }

    /// How large a buffer for `size` bytes should be: most frames fit into all of them.
    fn room(&self, size: u64) -> usize {
        let usual = self.sizes().frame + (1 << 20);
        usize::try_from(size.max(usual)).expect("a frame fits into memory")
    }

    fn write_error(&self, error: std::io::Error) -> PackError {
        PackError::Write { out: self.out.to_owned(), error }
    }

    fn compress_error(&self, error: std::io::Error) -> PackError {
        PackError::Compress { out: self.out.to_owned(), error }
    }
}
