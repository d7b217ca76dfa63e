//! Work in parallel, results in order, a bounded number of both in memory.
//!
//! One thread makes the jobs, several do them, and the caller's takes the results in the order of the jobs. A job is
//! only made when fewer than a fixed number are between its making and its result's being taken.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

/// Does `work` on every job in `threads` threads and gives the results to `take`, in order. After the first failure, in
/// that order too, nothing more is begun.
///
/// # Errors
/// The first failure of making a job, working on it, or taking its result.
pub(super) fn run<J: Send, R: Send, E: Send>(
    threads: NonZeroUsize,
    jobs: impl Iterator<Item = Result<J, E>> + Send,
    work: impl Fn(J) -> Result<R, E> + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.get();
    // Twice as many results as threads may wait for a slow one before them.
    let (order, results) = mpsc::sync_channel(2 * threads);
    let (queue, waiting) = mpsc::sync_channel(threads);
    let waiting = Mutex::new(waiting);
    thread::scope(|scope| {
        scope.spawn(move || feed(jobs, &queue, &order));
        for _ in 0..threads {
            scope.spawn(|| work_off(&waiting, &work));
        }
        // Leaving early drops `results`; then `feed` cannot go on, and the workers run out of jobs.
        for result in results {
            let result: Receiver<Result<R, E>> = result;
            take(result.recv().expect("a worker that panics takes the scope with it")?)?;
        }
        Ok(())
    })
}

/// A job and where its result goes.
type Ticket<J, R, E> = (J, SyncSender<Result<R, E>>);

fn feed<J, R, E>(
    jobs: impl Iterator<Item = Result<J, E>>,
    queue: &SyncSender<Ticket<J, R, E>>,
    order: &SyncSender<Receiver<Result<R, E>>>,
) {
    for job in jobs {
        let (sender, receiver) = mpsc::sync_channel(1);
        let is_wanted = order.send(receiver).is_ok();
        let is_going_on = match job {
            Ok(job) => is_wanted && queue.send((job, sender)).is_ok(),
            Err(error) => {
                // Whoever does not wait for it has failed already.
                let _ = sender.send(Err(error));
                false
            }
        };
        if !is_going_on {
            return;
        }
    }
}

fn work_off<J, R, E>(
    waiting: &Mutex<Receiver<Ticket<J, R, E>>>,
    work: &impl Fn(J) -> Result<R, E>,
) {
    loop {
        let next = waiting.lock().expect("receiving does not panic").recv();
        let Ok((job, sender)) = next else { return };
        // Whoever does not wait for it has failed already.
        let _ = sender.send(work(job));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).expect("not zero")
    }

    #[test]
    fn results_come_in_order() {
        for count in [1, 2, 7] {
            let mut taken = Vec::new();
            let work = |number: u64| {
                thread::sleep(std::time::Duration::from_micros(number * 37 % 100));
                Ok::<_, ()>(number * 2)
            };
            let take = |number| {
                taken.push(number);
                Ok(())
            };
            assert_eq!(run(threads(count), (0..200).map(Ok), work, take), Ok(()));
            assert!(taken.into_iter().eq((0..200).map(|number| number * 2)));
        }
    }

    #[test]
    fn a_bounded_number_is_under_way() {
        let (made, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let jobs = (0..500).map(|number| {
            made.fetch_add(1, Ordering::SeqCst);
            Ok::<_, ()>(number)
        });
        let mut taken = 0;
        let take = |_| {
            taken += 1;
            most.fetch_max(made.load(Ordering::SeqCst) - taken, Ordering::SeqCst);
            Ok(())
        };
        run(threads(3), jobs, Ok, take).expect("nothing fails");
        assert!(most.into_inner() <= 2 * 3 + 2);
    }

    #[test]
    fn the_first_failure_in_order_ends_it() {
        let mut taken = 0;
        let work = |number: u32| if number >= 20 { Err(number) } else { Ok(number) };
        let take = |_| {
            taken += 1;
            Ok(())
        };
        assert_eq!(run(threads(4), (0..).map(Ok), work, take), Err(20));
        assert_eq!(taken, 20);

        let jobs = (0..100).map(|number| if number == 7 { Err("making") } else { Ok(number) });
        assert_eq!(run(threads(4), jobs, Ok, |_| Ok(())), Err("making"));

        let take = |number| if number == 3 { Err("taking") } else { Ok(()) };
        assert_eq!(run(threads(4), (0..).map(Ok), Ok, take), Err("taking"));
    }
}
