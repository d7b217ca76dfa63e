//! The memory that frames are decompressed in.
//!
//! A decoder keeps as much of what it wrote as its frame may refer to, its window: up to 16 MiB. That is nearly all the memory
//! that unpacking takes, so it is what limits how many frames are decompressed at the same time. Decoders are used
//! again, because new memory has to be cleared by the kernel. And they come in few sizes, because the system's allocator
//! keeps what is given back to it: one that grew with its frames would take several times its size.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::error::Fault;

/// The largest window, 2 to the power of this: `docs/format.md` promises it.
const WINDOW_LOG: u32 = 24;
/// The smallest one that a decoder is made for.
const LEAST_LOG: u32 = 20;
/// What a decoder takes besides its window.
const OVERHEAD: u64 = 512 << 10;

/// What the largest decoder takes.
pub(super) const LARGEST: u64 = (1 << WINDOW_LOG) + OVERHEAD;

/// All decoders of one archive.
pub(super) struct Decoders {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    /// Bytes that they may take together.
    most: u64,
    /// Bytes of all decoders, idle or not.
    used: u64,
    idle: Vec<Decoder>,
}

/// A decoder with its window.
pub(super) struct Decoder {
    pub(super) context: DCtx<'static>,
    size: u64,
}

impl Decoders {
    /// Decoders that take `most` bytes together; one is always allowed.
    pub(super) fn new(most: u64) -> Self {
        let state = State { most, ..State::default() };
        Self { state: Mutex::new(state), freed: Condvar::new() }
    }

    /// Lets them take `most` bytes from now on.
    pub(super) fn limit(&self, most: u64) {
        self.lock().most = most;
    }

    /// How many threads can have a decoder of some size at the same time.
    pub(super) fn for_windows_of(&self, window: u64) -> usize {
        usize::try_from(self.lock().most / (window + OVERHEAD)).unwrap_or(usize::MAX).max(1)
    }

    /// A decoder for the frame that begins with `head`. Waits until there is memory for it.
    pub(super) fn take(&self, frame: usize, head: &[u8]) -> Result<Decoder, Fault> {
        let not_one = || Fault::Frame { frame, reason: "its header is not one".to_owned() };
        let window = window(head).ok_or_else(not_one)?;
        if window > 1 << WINDOW_LOG {
            return Err(Fault::Window { frame, found: window, most: 1 << WINDOW_LOG });
        }
        let log = window.next_power_of_two().ilog2().max(LEAST_LOG);
        let size = (1 << log) + OVERHEAD;
        let mut state = self.lock();
        loop {
            let fitting = state.idle.iter().enumerate().filter(|(_, idle)| idle.size >= size);
            if let Some((index, _)) = fitting.min_by_key(|(_, idle)| idle.size) {
                let mut decoder = state.idle.swap_remove(index);
                drop(state);
                let reset = decoder.context.reset(ResetDirective::SessionOnly);
                return reset.map(|_| decoder).map_err(|code| failure(frame, code));
            }
            while state.used + size > state.most
                && let Some(idle) = state.idle.pop()
            {
                state.used -= idle.size;
            }
            if state.used + size <= state.most || state.used == 0 {
                state.used += size;
                drop(state);
                return self.make(frame, log, size);
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn make(&self, frame: usize, log: u32, size: u64) -> Result<Decoder, Fault> {
        let mut context = DCtx::create();
        let made = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).and_then(|_| {
            // An empty frame with such a window: then all memory is there, and is that of any frame with a smaller one.
            let window = u8::try_from((log - 10) << 3).expect("there are 31 of them");
            let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, window, 1, 0, 0];
            let mut nothing = [0; 1];
            let mut output = OutBuffer::around(&mut nothing[..]);
            context.decompress_stream(&mut output, &mut InBuffer::around(&frame))
        });
        match made {
            Ok(_) => Ok(Decoder { context, size }),
            Err(code) => {
                self.lock().used -= size;
                self.freed.notify_all();
                Err(failure(frame, code))
            }
        }
    }

    /// Takes a decoder back, whatever became of its frame.
    pub(super) fn give_back(&self, decoder: Decoder) {
        self.lock().idle.push(decoder);
        self.freed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What zstd says of a frame that it cannot decompress.
pub(super) fn failure(frame: usize, code: usize) -> Fault {
    Fault::Frame { frame, reason: zstd::zstd_safe::get_error_name(code).to_lowercase() }
}

/// The longest header of a frame.
pub(super) const LONGEST_HEADER: usize = 18;

/// How much of its content a frame may refer to, as its header says (RFC 8878, 3.1.1.1).
fn window(head: &[u8]) -> Option<u64> {
    let rest = head.strip_prefix(&0xFD2F_B528_u32.to_le_bytes())?;
    let (descriptor, rest) = rest.split_first()?;
    // A bit that means nothing, and one that is reserved: nobody sets them.
    if descriptor & 0x18 != 0 {
        return None;
    }
    if descriptor & 0x20 == 0 {
        let byte = u64::from(*rest.first()?);
        let base = 1 << (10 + (byte >> 3));
        return Some(base + (base >> 3) * (byte & 7));
    }
    // A single segment: the window is the whole content, whose size stands after the dictionary's number.
    let skipped = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let (length, added) = [(1, 0), (2, 256), (4, 0), (8, 0)][usize::from(descriptor >> 6)];
    let field = rest.get(skipped..skipped + length)?;
    let size = field.iter().rev().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
    Some(size.saturating_add(added).max(1 << 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_of_headers() {
        // The longest of them is no single segment any more.
        for length in [0, 1, 255, 256, 257, 65_791, 65_792, 1 << 20, 10 << 20] {
            let frame = zstd::bulk::compress(&vec![7; length], 19).expect("memory");
            let expected = (length as u64).clamp(1 << 10, 8 << 20);
            assert_eq!(window(&frame), Some(expected));
        }
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory");
        encoder.window_log(21).expect("allowed");
        std::io::Write::write_all(&mut encoder, &[1; 100]).expect("memory");
        assert_eq!(window(&encoder.finish().expect("memory")), Some(1 << 21));
        assert_eq!(window(b"PK\x03\x04 and more that is no frame"), None);
        assert_eq!(window(&[0x28, 0xb5, 0x2f, 0xfd]), None);
    }

    #[test]
    fn memory_is_shared() {
        // Not a single segment; the window is a power of two.
        let head = |log: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
        let decoders = Decoders::new(2 * (1 << 20) + 2 * OVERHEAD);
        let small = head(20);
        let first = decoders.take(0, &small).expect("there is room");
        let second = decoders.take(1, &small).expect("there is room");
        decoders.give_back(first);
        decoders.give_back(second);
        // For a large one both are let go.
        let large = decoders.take(2, &head(21)).expect("there is room");
        assert_eq!(decoders.lock().used, (2 << 20) + OVERHEAD);
        assert!(decoders.lock().idle.is_empty());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| decoders.take(3, &small).is_ok());
            decoders.give_back(large);
            assert!(waiting.join().expect("it does not panic"));
        });
        // More than all is still one.
        assert!(Decoders::new(0).take(0, &small).is_ok());
        let huge = decoders.take(4, &head(25)).map(|_| ()).expect_err("too large");
        assert!(matches!(huge, Fault::Window { frame: 4, .. }), "{huge}");
    }
}
