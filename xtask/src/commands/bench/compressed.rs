//! How much has to be compressed for one target, and for all of them: read from the bundles that were just made.
//!
//! A frame that several bundles have is compressed once. What no two of them share, the manifest and the end of the archive, counts
//! for each.

use std::collections::HashMap;
use std::fmt::Write as _;

use camino::Utf8Path;
use gangway_artifact::{Digest, Manifest};

use super::BenchError;
use crate::summary::size;

/// The end of the name of a bundle's manifest beside its archive.
const MANIFEST: &str = ".manifest.json";

/// The end of the archive's name.
const ARCHIVE: &str = ".tar.zst";

/// Bytes, before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    read: u64,
    written: u64,
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
    }
}

/// One bundle: its frames by their digests, and the rest.
struct Bundle {
    frames: HashMap<Digest, Amount>,
    rest: Amount,
}

/// The archive of the first row, and all that are in the same folder.
pub(super) fn run(one: &Utf8Path) -> Result<String, BenchError> {
    let folder = one.parent().unwrap_or(one);
    let not_read = |source| BenchError::Prepare { path: folder.to_owned(), source };
    let mut all = Vec::new();
    for entry in folder.read_dir_utf8().map_err(not_read)? {
        let path = entry.map_err(not_read)?.into_path();
        if let Some(name) = path.as_str().strip_suffix(MANIFEST) {
            all.push(read(name)?);
        }
    }
    let one = read(one.as_str().trim_end_matches(ARCHIVE))?;
    Ok(render(amount(&[one]), all.len(), amount(&all)))
}

/// The bundle whose two files begin with `name`.
fn read(name: &str) -> Result<Bundle, BenchError> {
    let (manifest, archive) = (format!("{name}{MANIFEST}"), format!("{name}{ARCHIVE}"));
    let prepare = |path: &str| {
        let path = path.into();
        |source| BenchError::Prepare { path, source }
    };
    let bytes = fs_err::read(&manifest).map_err(prepare(&manifest))?;
    let whole = fs_err::metadata(&archive).map_err(prepare(&archive))?.len();
    let parsed = Manifest::from_json(&bytes);
    let frames = parsed.map_err(|_| BenchError::Bundle { path: manifest.into() })?.frames;
    let end = frames.last().map_or(0, |last| last.offset + last.size);
    let rest = Amount { read: bytes.len() as u64, written: whole.saturating_sub(end) };
    let frame = |frame: gangway_artifact::Frame| {
        (frame.sha256, Amount { read: frame.plain, written: frame.size })
    };
    Ok(Bundle { frames: frames.into_iter().map(frame).collect(), rest })
}

/// What has to be compressed for all of these bundles.
fn amount(bundles: &[Bundle]) -> Amount {
    let mut frames: HashMap<_, Amount> = HashMap::new();
    let mut amount = Amount::default();
    for bundle in bundles {
        frames.extend(bundle.frames.iter().map(|(digest, amount)| (*digest, *amount)));
        amount += bundle.rest;
    }
    for frame in frames.into_values() {
        amount += frame;
    }
    amount
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn render(one: Amount, count: usize, all: Amount) -> String {
    let mut text = "\nWhat is compressed for that\n".to_owned();
    let all_name = format!("all {count}");
    for (name, Amount { read, written }) in [("one target", one), (&all_name, all)] {
        writeln!(
            text,
            "  {name:<10} {:>11} {:>6.2}x  becomes {:>11} {:>6.2}x",
            size(read),
            read as f64 / one.read as f64,
            size(written),
            written as f64 / one.written as f64,
        )
        .expect("strings grow");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(frames: &[(&str, u64, u64)], read: u64, written: u64) -> Bundle {
        let frame = |&(name, read, written)| (Digest::of(name), Amount { read, written });
        Bundle { frames: frames.iter().map(frame).collect(), rest: Amount { read, written } }
    }

    #[test]
    fn what_two_bundles_share_counts_once() {
        let one = bundle(&[("both", 100, 40), ("one", 10, 5)], 7, 2);
        let other = bundle(&[("both", 100, 40), ("other", 20, 6)], 8, 3);
        let bundles = [one, other];
        assert_eq!(amount(&bundles[..1]), Amount { read: 117, written: 47 });
        assert_eq!(amount(&bundles), Amount { read: 145, written: 56 });
    }

    #[test]
    fn a_table_of_amounts() {
        let one = Amount { read: 583_000_000, written: 142_000_000 };
        let all = Amount { read: 1_270_000_000, written: 340_000_000 };
        insta::assert_snapshot!(render(one, 11, all), @r"

        What is compressed for that
          one target   583.00 MB   1.00x  becomes   142.00 MB   1.00x
          all 11         1.27 GB   2.18x  becomes   340.00 MB   2.39x
        ");
    }
}
