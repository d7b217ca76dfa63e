//! Memory for the bytes of large files, used again.
//!
//! The kernel clears every page it gives away, and an allocator gives blocks of this size back as soon as they are freed:
//! for files of a hundred megabytes, read one after the other, that costs as much as reading them. Like an allocator this
//! is one for the whole process, and who does not give back loses nothing but time.

use std::io::{self, Read as _};
use std::sync::{Mutex, PoisonError};

use camino::Utf8Path;

/// Smaller ones are the allocator's business.
const LEAST: usize = 1 << 20;

/// How much is kept, in bytes: a little more than the builder has in use at once when it bundles OpenClaw for every target. With half
/// of it a second of 32 went into clearing what had been cleared before, and no less memory was used.
const MOST: usize = 1536 << 20;

static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// An empty buffer with room for `size` bytes.
#[must_use]
pub fn take(size: usize) -> Vec<u8> {
    if size >= LEAST {
        let mut spare = spare();
        let fitting = spare.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= size);
        if let Some((index, _)) = fitting.min_by_key(|(_, buffer)| buffer.capacity()) {
            return spare.swap_remove(index);
        }
    }
    Vec::with_capacity(size)
}

/// Takes a buffer back.
pub fn give_back(mut buffer: Vec<u8>) {
    buffer.clear();
    if buffer.capacity() < LEAST {
        return;
    }
    let mut spare = spare();
    let kept: usize = spare.iter().map(Vec::capacity).sum();
    if kept + buffer.capacity() <= MOST {
        spare.push(buffer);
    }
}

/// The bytes of a file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Utf8Path) -> io::Result<Vec<u8>> {
    let file = fs_err::File::open(path)?;
    // One more than it is long, so that its end is found without growing.
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(0) + 1;
    let mut bytes = take(size);
    // Without the wrapper, which would have the room cleared first.
    file.file().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A thread that panicked left whole buffers behind.
fn spare() -> std::sync::MutexGuard<'static, Vec<Vec<u8>>> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    #[test]
    fn what_is_given_back_is_empty_and_large_enough() {
        for size in [LEAST, 3 * LEAST, 2 * LEAST, 0, 1] {
            let mut buffer = take(size);
            assert!(buffer.is_empty() && buffer.capacity() >= size);
            buffer.resize(size, 7);
            give_back(buffer);
        }
        // Other tests take and give back as well, so no more can be said of which one it is.
        let buffer = take(2 * LEAST);
        assert!(buffer.is_empty() && buffer.capacity() >= 2 * LEAST);
    }

    #[test]
    fn a_file_is_read_whole() {
        let sandbox = Sandbox::new();
        let bytes: Vec<u8> = (0..LEAST + 17).map(|at| (at % 251) as u8).collect();
        sandbox.write("file", &bytes);
        for _ in 0..2 {
            let read = read(&sandbox.root.join("file")).expect("just written");
            assert_eq!(read, bytes);
            give_back(read);
        }
        assert!(read(&sandbox.root.join("none")).is_err());
    }
}
