//! Unpacks damaged copies of archives for a while: `damage SECONDS FILE...`.
//!
//! A stand-in for a coverage-guided fuzzer where there is no nightly compiler: the fuzz target `unpack` does the same. The
//! damage is repeatable: the same files, the same order. Panics when something is kept of a copy, or is outside.

use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use gangway_artifact::archive::{self, Durability, Options};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(seconds) = arguments.next().and_then(|text| text.parse().ok()) else {
        return Err(io::Error::other("usage: damage SECONDS FILE..."));
    };
    let files = arguments.map(std::fs::read).collect::<io::Result<Vec<_>>>()?;
    let root = tempfile::tempdir()?;
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
        unpack(&copy, root.path());
        count += 1;
    }
    writeln!(io::stdout(), "{count} copies of {} archives", files.len())
}

/// Unpacks `bytes` as a whole archive, and as the tar stream of a `.tar.gz`, in which no digest stands before its entries.
fn unpack(bytes: &[u8], root: &Path) {
    let to = root.join("to");
    let options = Options {
        threads: NonZeroUsize::MIN,
        memory: 48 << 20,
        durability: Durability::Cached,
        manifest: None,
    };
    let mut gz = GzEncoder::new(Vec::new(), Compression::none());
    let gz = gz.write_all(bytes).and_then(|()| gz.finish()).expect("memory");
    for (name, bytes) in [("whole", bytes), ("gz", &gz)] {
        let archive = root.join(name);
        std::fs::write(&archive, bytes).expect("writable");
        let unpacked = archive::unpack(&archive, &to, &options);
        std::fs::remove_file(&archive).expect("it was written");
        if unpacked.is_ok() {
            std::fs::remove_dir_all(&to).expect("it was unpacked");
        }
        let left = std::fs::read_dir(root).expect("it is there").count();
        assert_eq!(left, 0, "something was kept, or is outside: {unpacked:?}");
    }
}
