//! Reads damaged copies of real files for a while: `mutate SECONDS MEBIBYTES FILE...`.
//!
//! A stand-in for a coverage-guided fuzzer where there is no nightly compiler. Prints how many copies were read, how
//! long the slowest took and the most memory that was in use for one; panics when a reader does, and fails when one took
//! more memory than that. The damage is repeatable: the same files, the same order.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator that counts cannot be written without")]
// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Numbers that break sums and loops more often than others.
const VALUES: [u32; 10] =
    [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff, 0x1000];

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (end.max(1) as u64)).unwrap_or(0)
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
    let (Some(seconds), Some(most)) = (number(), number()) else {
        return Err(io::Error::other("usage: mutate SECONDS MEBIBYTES FILE..."));
    };
    let files =
        arguments.map(|path| Ok((std::fs::read(&path)?, path))).collect::<io::Result<Vec<_>>>()?;
    let (mut random, start) = (Random(0x9e37_79b9_7f4a_7c15), Instant::now());
    let (mut count, mut slowest, mut largest) = (0_u64, (Duration::ZERO, ""), (0, ""));
    'all: loop {
        for (bytes, path) in &files {
            if start.elapsed() > Duration::from_secs(seconds) {
                break 'all;
            }
            let mut copy = bytes.clone();
            damage(&mut copy, &mut random);
            let before = NOW.load(Relaxed);
            PEAK.store(before, Relaxed);
            let began = Instant::now();
            let facts = gangway_abi::read(&copy);
            drop((facts, gangway_abi::identify(&copy)));
            slowest = slowest.max((began.elapsed(), path));
            largest = largest.max((PEAK.load(Relaxed) - before, path));
            count += 1;
        }
    }
    let mut output = io::stdout().lock();
    writeln!(output, "{count} copies of {} files", files.len())?;
    writeln!(output, "slowest: {:?}, {}", slowest.0, slowest.1)?;
    writeln!(output, "most memory: {} KiB, {}", largest.0 / 1024, largest.1)?;
    match (largest.0 / 1024 / 1024) as u64 <= most {
        true => Ok(()),
        false => Err(io::Error::other(format!("more than {most} MiB for one file"))),
    }
}

/// A few wrong numbers, most of them where the tables are, and now and then an early end.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(6) {
        let reach = [64, 512, 4096, 65_536, bytes.len()][random.below(5)].min(bytes.len());
        let place = random.below(reach);
        let value = match random.below(3) {
            0 => VALUES[random.below(VALUES.len())],
            1 => u32::try_from(random.below(bytes.len())).unwrap_or(u32::MAX),
            _ => u32::try_from(random.below(256)).unwrap_or(0),
        };
        let width = [1, 2, 4][random.below(3)];
        for (byte, new) in bytes[place..].iter_mut().zip(&value.to_le_bytes()[..width]) {
            *byte = *new;
        }
    }
    if random.below(8) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
}
