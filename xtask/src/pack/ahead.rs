//! Frames are compressed before the archive is written, the largest first.
//!
//! In the order of the archive a large frame takes minutes at a high level, and those behind it would have to be held in memory until
//! it is done, or wait. Here nothing is held: the frames are in the cache afterwards. Nor do the threads wait for one another,
//! since what is left for the end is small.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::stream::Piece;
use super::{PackError, Work};

/// Has each of `pieces` done by `compress`.
///
/// # Errors
/// The first failure there was.
pub(super) fn compress<'plan, 'tree>(
    work: &Work<'_, '_>,
    mut pieces: Vec<Piece<'plan, 'tree>>,
    compress: impl Fn(Piece<'plan, 'tree>) -> Result<(), PackError> + Sync,
) -> Result<(), PackError> {
    pieces.sort_by_key(|piece| Reverse(piece.size()));
    let waiting = Mutex::new(VecDeque::from(pieces));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work_off = || {
        while let Some(piece) = next() {
            let file_bytes = piece.file_bytes();
            if let Err(error) = compress(piece) {
                // Nobody begins another one.
                waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
                return Err(error);
            }
            work.progress.advance(file_bytes);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..work.threads.get()).map(|_| scope.spawn(work_off)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().expect("a thread that panics takes the scope with it")
        })
    })
}
