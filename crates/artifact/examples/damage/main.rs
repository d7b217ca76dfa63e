//! Unpacks damaged copies of archives, and updates with damaged manifests and patches, for a while: `damage SECONDS FILE...`.
//!
//! A stand-in for a coverage-guided fuzzer where there is no nightly compiler: the fuzz targets `unpack` and `update` do the same. The
//! damage is repeatable: the same files, the same order. Panics when something is kept of a copy, or is outside.

mod trial;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(seconds) = arguments.next().and_then(|text| text.parse().ok()) else {
        return Err(io::Error::other("usage: damage SECONDS FILE..."));
    };
    let files = arguments.map(std::fs::read).collect::<io::Result<Vec<_>>>()?;
    let (unpacking, updating) = (trial::place("unpack"), trial::place("update"));
    let (mut state, mut count, start) = (0x9e37_79b9_7f4a_7c15_u64, 0, Instant::now());
    let mut below = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % (end.max(1) as u64)).unwrap_or(0)
    };
    while !files.is_empty() && start.elapsed() < Duration::from_secs(seconds) {
        let mut copy = files[below(files.len())].clone();
        for _ in 0..=below(3) {
            let at = below(copy.len());
            match below(4) {
                0 => copy.truncate(at),
                1 => {
                    let (from, length) = (below(copy.len()), below(600));
                    let length = length.min(copy.len() - from.max(at));
                    copy.copy_within(from..from + length, at);
                }
                _ if at < copy.len() => copy[at] = [0, 1, 0x7f, b'7', b'/', b'.', 0xff][below(7)],
                _ => {}
            }
        }
        trial::unpack(&copy, &unpacking);
        trial::update(&copy, &updating);
        count += 1;
    }
    std::fs::remove_dir_all(unpacking)?;
    std::fs::remove_dir_all(updating)?;
    writeln!(io::stdout(), "{count} copies of {} files", files.len())
}
