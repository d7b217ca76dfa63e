//! Work that several threads share.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::error::Fault;

/// What is at least as large is a job of its own.
const LARGE: u64 = 1 << 20;
/// The most that are one job together.
const MOST: usize = 64;

/// A fault, and a number: of several faults that with the lowest one is told.
pub(super) type Ranked = (usize, Fault);

/// Calls `work` with every number below `count`; each thread takes one after the other, and has hands of its own. With the
/// first fault all of them end; what takes long looks at the flag now and then.
pub(super) fn share<H>(
    threads: usize,
    count: usize,
    hands: impl Fn() -> H + Sync,
    work: impl Fn(&mut H, usize, &AtomicBool) -> Result<(), Ranked> + Sync,
) -> Result<(), Fault> {
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let failure: Mutex<Option<Ranked>> = Mutex::new(None);
    std::thread::scope(|scope| {
        let run = || {
            let mut hands = hands();
            while !is_over.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                if let Err((rank, fault)) = work(&mut hands, index, &is_over) {
                    is_over.store(true, Ordering::Relaxed);
                    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    if failure.as_ref().is_none_or(|(lowest, _)| rank < *lowest) {
                        *failure = Some((rank, fault));
                    }
                }
            }
        };
        (1..threads.min(count)).for_each(|_| drop(scope.spawn(run)));
        run();
    });
    let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(Ok(()), |(_, fault)| Err(fault))
}

/// Jobs for files of these sizes: the largest come first, alone, so that the threads end at about the same time; of the others
/// neighbours are together, which are in the same folders.
pub(super) fn batches(sizes: impl Iterator<Item = u64>) -> Vec<Range<usize>> {
    let (mut large, mut small) = (Vec::new(), Vec::<Range<usize>>::new());
    let mut together = 0;
    for (index, size) in sizes.enumerate() {
        if size >= LARGE {
            large.push((size, index..index + 1));
            continue;
        }
        match small.last_mut() {
            Some(last) if last.end == index && last.len() < MOST && together < LARGE => {
                last.end += 1;
                together += size;
            }
            _ => {
                small.push(index..index + 1);
                together = size;
            }
        }
    }
    large.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    large.into_iter().map(|(_, range)| range).chain(small).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_someones_job() {
        for threads in [0, 1, 3, 50] {
            let seen = Mutex::new(Vec::new());
            let shared = share(
                threads,
                20,
                || (),
                |(), index, _| {
                    seen.lock().expect("nobody panics").push(index);
                    Ok(())
                },
            );
            shared.expect("nothing fails");
            let mut seen = seen.into_inner().expect("nobody panicked");
            seen.sort_unstable();
            assert_eq!(seen, (0..20).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_fault_ends_all() {
        let failed = share(3, 1_000_000, || (), |(), index, _| Err((index, Fault::NoManifest)));
        assert!(matches!(failed, Err(Fault::NoManifest)));
    }

    #[test]
    fn large_ones_come_first_and_small_ones_together() {
        let sizes = [1, 2, 5 << 20, 3, LARGE, 600_000, 600_000, 7];
        assert_eq!(batches(sizes.into_iter()), [2..3, 4..5, 0..2, 3..4, 5..7, 7..8]);
        let many = batches(std::iter::repeat_n(0, 1000));
        assert_eq!((many.len(), many.last().cloned()), (16, Some(960..1000)));
    }
}
