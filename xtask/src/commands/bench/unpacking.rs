//! Unpacking the gateway's own bundle, beside what `tar` takes for the same: of the bundle's archive, and of an ordinary one of
//! the same tree, which is one frame.

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::BenchError;
use super::measure::{self, Contender, Measured};
use super::peers::Peers;
use crate::config::Config;
use crate::context::Context;
use crate::pack::{Format, Settings};
use crate::summary::size;
use crate::target::Target;

/// Measures the bundle that was made before.
pub(super) fn run(
    context: &Context,
    config: &Config,
    host: &Target,
    peers: &Peers,
    runs: u32,
) -> Result<String, BenchError> {
    let archive = peers.archive(config, host);
    let plain = archive.with_file_name("plain.tar.zst");
    make_plain(&archive, &plain)
        .map_err(|source| BenchError::Prepare { path: plain.clone(), source })?;
    let contenders = contenders(context, peers, &archive, &plain);
    let measured = measure::compare(&context.reporter, "unpacking", runs, &contenders)?;
    let peaks = contenders.iter().map(measure::peak_memory).collect::<Result<Vec<_>, _>>()?;
    measure::tidy(&contenders);
    Ok(render(&measured, &peaks))
}

/// The same tar stream as `tar --zstd` keeps it: one frame.
fn make_plain(archive: &Utf8Path, plain: &Utf8Path) -> std::io::Result<()> {
    let mut from = zstd::Decoder::new(fs_err::File::open(archive)?)?;
    let level = Settings::new(Format::TarZst).level.into();
    let mut to = zstd::Encoder::new(fs_err::File::create(plain)?, level)?.auto_finish();
    std::io::copy(&mut from, &mut to)?;
    Ok(())
}

fn contenders(
    context: &Context,
    peers: &Peers,
    archive: &Utf8Path,
    plain: &Utf8Path,
) -> Vec<Contender> {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let folder = |name: &str| archive.with_file_name(format!("unpacking-{name}"));
    let contender = |name: &str, folder: Utf8PathBuf, steps| Contender {
        steps,
        set_aside: vec![folder],
        ..peers.contender(context, "gangway", name)
    };
    let tar = |name: &str, folder: Utf8PathBuf, archive: &Utf8Path| {
        let steps = vec![
            words(&["mkdir", folder.as_str()]),
            words(&["tar", "--zstd", "-xf", archive.as_str(), "-C", folder.as_str()]),
        ];
        contender(name, folder, steps)
    };
    let ours = folder("ours");
    let executable = context.executable.as_str();
    let unpack = words(&[executable, "unpack", archive.as_str(), "--to", ours.as_str()]);
    vec![
        contender("gangway unpack, every digest checked", ours, vec![unpack]),
        tar("tar --zstd -x, one frame", folder("plain"), plain),
        tar("tar --zstd -x, of the bundle", folder("tar"), archive),
    ]
}

fn render(rows: &[Measured], peaks: &[u64]) -> String {
    let mut text = "\nUnpacking the bundle (archive in the page cache)\n".to_owned();
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    let first = rows.first().map_or(f64::NAN, |row| row.wall);
    for (row, peak) in rows.iter().zip(peaks) {
        let (ratio, peak) = (row.wall / first, size(*peak));
        let Measured { name, wall, cpu, .. } = row;
        writeln!(
            text,
            "  {name:<width$} {wall:>9.3} s {cpu:>9.2} s CPU {ratio:>7.2}x {peak:>11} of memory"
        )
        .expect("strings grow");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_with_memory() {
        let row = |name: &str, wall, cpu| Measured { name: name.to_owned(), wall, cpu, size: None };
        let rows = [row("gangway unpack", 1.5, 2.5), row("tar", 3.0, 2.0)];
        insta::assert_snapshot!(render(&rows, &[60_000_000, 20_000_000]), @r"

        Unpacking the bundle (archive in the page cache)
          gangway unpack     1.500 s      2.50 s CPU    1.00x    60.00 MB of memory
          tar                3.000 s      2.00 s CPU    2.00x    20.00 MB of memory
        ");
    }
}
