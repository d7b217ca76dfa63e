//! The archive's size, beside what the compressors that everybody has make of the same tree in one stream.
//!
//! Each is made once, in one run on one machine: a size is the same every time.

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::BenchError;
use super::measure::{self, Contender};
use super::peers::Peers;
use crate::config::Config;
use crate::context::Context;
use crate::summary::size;
use crate::target::Target;
use crate::toolchain;

/// One way to make an archive.
struct Row {
    name: &'static str,
    /// Bytes, and the seconds of wall time and of CPU; nothing where the program is not installed.
    made: Option<(u64, f64, f64)>,
}

/// Makes the archives of the gateway that was bundled before.
pub(super) fn run(
    context: &Context,
    config: &Config,
    host: &Target,
    peers: &Peers,
) -> Result<String, BenchError> {
    let spinner = context.reporter.spinner("Measuring", "the archive's size".to_owned());
    let folder = peers.folder().join("sizes");
    let plain = folder.join("plain.tar");
    fs_err::create_dir_all(&folder)
        .and_then(|()| make_plain(&peers.archive(config, host), &plain))
        .map_err(|source| BenchError::Prepare { path: plain.clone(), source })?;
    let ours = |name, compression| {
        let contender = peers.anew(context, config, host, &folder, compression);
        made(&contender).map(|made| Row { name, made: Some(made) })
    };
    let theirs = |name, words: &[&str], product: &str| {
        if toolchain::on_path(context, words[0]).is_none() {
            return Ok(Row { name, made: None });
        }
        let words = words.iter().map(|&word| word.to_owned()).collect();
        let contender = Contender {
            steps: vec![words],
            folder: folder.clone(),
            product: Some(folder.join(product)),
            ..peers.contender(context, "gangway", name)
        };
        made(&contender).map(|made| Row { name, made: Some(made) })
    };
    let rows = [
        theirs(
            "zstd -19 --long=27",
            &["zstd", "-q", "-f", "-19", "--long=27", "plain.tar", "-o", "19.zst"],
            "19.zst",
        )?,
        theirs("xz -6", &["xz", "-q", "-6", "-T1", "-k", "-f", "plain.tar"], "plain.tar.xz")?,
        ours("gangway bundle --compression best", "best")?,
        ours("gangway bundle", "fast")?,
    ];
    drop(spinner);
    fs_err::remove_dir_all(&folder)
        .map_err(|source| BenchError::Prepare { path: folder, source })?;
    Ok(render(&rows))
}

fn make_plain(archive: &Utf8Path, plain: &Utf8PathBuf) -> std::io::Result<()> {
    let mut from = zstd::Decoder::new(fs_err::File::open(archive)?)?;
    std::io::copy(&mut from, &mut fs_err::File::create(plain)?).map(drop)
}

fn made(contender: &Contender) -> Result<(u64, f64, f64), BenchError> {
    let (wall, cpu) = measure::once(contender)?;
    let product = contender.product.as_ref().expect("each of these has one");
    let size = product
        .metadata()
        .map_err(|source| BenchError::Prepare { path: product.clone(), source })?
        .len();
    Ok((size, wall, cpu))
}

/// A table with ratios to the first row's size.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn render(rows: &[Row]) -> String {
    let mut text = "\nThe archive's size (the same tree; Gangway's time is that of the whole command, nothing packed before)\n".to_owned();
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    let first = rows.iter().find_map(|row| row.made).map(|(size, ..)| size);
    for Row { name, made } in rows {
        match (made, first) {
            (Some((bytes, wall, cpu)), Some(first)) => {
                let ratio = *bytes as f64 / first as f64;
                writeln!(
                    text,
                    "  {name:<width$} {:>11} {ratio:>7.3}x {wall:>9.1} s {cpu:>9.1} s CPU",
                    size(*bytes)
                )
            }
            _ => writeln!(text, "  {name:<width$}  not installed"),
        }
        .expect("strings grow");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_sizes() {
        let row = |name, made| Row { name, made };
        let rows = [
            row("zstd -19 --long=27", Some((113_080_000, 400.0, 399.5))),
            row("xz -6", None),
            row("gangway bundle", Some((142_100_000, 12.34, 20.0))),
        ];
        insta::assert_snapshot!(render(&rows), @r"

        The archive's size (the same tree; Gangway's time is that of the whole command, nothing packed before)
          zstd -19 --long=27   113.08 MB   1.000x     400.0 s     399.5 s CPU
          xz -6               not installed
          gangway bundle       142.10 MB   1.257x      12.3 s      20.0 s CPU
        ");
    }
}
