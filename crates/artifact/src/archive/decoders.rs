//! The memory that frames are decompressed in.
//!
//! A decoder keeps as much of what it wrote as its frame may refer to, its window: up to 16 MiB. That is nearly all the memory
//! that unpacking takes, so it is what limits how many frames are decompressed at the same time. Decoders are used
//! again, because new memory has to be cleared by the kernel. And they come in few sizes, because the system's allocator
//! keeps what is given back to it: one that grew with its frames would take several times its size.
//!
//! A frame may need a larger window, up to 128 MiB. Its content goes into a file then, which is the window: one such
//! frame at a time, and none beside it unless more memory is allowed than usual.

use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use zstd::zstd_safe::{self, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::error::Fault;
use super::scratch::{Mapped, Scratch};

/// The largest window in memory, 2 to the power of this.
const WINDOW_LOG: u32 = 24;
/// The largest one of all, and the most that a frame with one larger than the former may hold: `docs/format.md` promises it.
const LARGE_LOG: u32 = 27;
/// The smallest one that a decoder is made for.
const LEAST_LOG: u32 = 20;
/// What a decoder takes besides its window.
const OVERHEAD: u64 = 512 << 10;

/// What the largest decoder takes whose window is in memory.
pub(super) const LARGEST: u64 = (1 << WINDOW_LOG) + OVERHEAD;
/// What one takes whose window is a file: of that, too, some is resident. A block of 128 KiB may refer to hundreds of places, and
/// Linux makes the 64 KiB around each of them resident.
const LARGE: u64 = (40 << 20) + OVERHEAD;
/// How much is written into a file before its pages are given back: a block.
const LET_GO: usize = 128 << 10;
/// What most decoders take: there are few frames of more than 8 MiB.
const USUAL: u64 = (8 << 20) + OVERHEAD;
/// How many bytes a decoder wants first.
const FIRST: usize = 5;

/// The most that a frame holds which can be decompressed beside others, whatever its window.
pub(super) const BESIDE_OTHERS: u64 = 1 << WINDOW_LOG;

/// All decoders of one archive.
pub(super) struct Decoders {
    state: Mutex<State>,
    freed: Condvar,
    /// Where windows go that are too large for memory.
    scratch: OnceLock<Scratch>,
}

#[derive(Default)]
struct State {
    /// Bytes that they may take together.
    most: u64,
    /// Bytes of all decoders, idle or not.
    used: u64,
    idle: Vec<Decoder>,
    /// Whether a frame is in the file.
    is_scratch_taken: bool,
    /// Whether there is no memory for others while one is.
    is_large_alone: bool,
}

impl State {
    /// Takes `size` bytes for a new decoder, if they are there when idle ones go.
    fn make_room(&mut self, size: u64) -> bool {
        while self.used + size > self.most
            && let Some(idle) = self.idle.pop()
        {
            self.used -= idle.size;
        }
        let is_room = self.used + size <= self.most || self.used == 0;
        if is_room {
            self.used += size;
        }
        is_room
    }
}

/// A decoder with its window.
pub(super) struct Decoder {
    context: DCtx<'static>,
    size: u64,
    large: Option<Large>,
}

/// The content of a frame in a file.
struct Large {
    content: Mapped,
    made: usize,
    /// What was made since pages were given back.
    resident: usize,
    /// How many bytes the decoder wants next: no more than what makes one block.
    wanted: usize,
}

/// What a decoder did.
pub(super) struct Step {
    pub(super) taken: usize,
    pub(super) made: usize,
    pub(super) is_over: bool,
}

impl Decoder {
    /// Decompresses some of `input` to `buffer`, or into the file of a large frame.
    pub(super) fn decompress(
        &mut self,
        frame: usize,
        input: &[u8],
        buffer: &mut [u8],
    ) -> Result<Step, Fault> {
        let (mut input, mut output) = match &mut self.large {
            Some(large) => {
                // The same place every time: the decoder looks up there what it wrote before.
                let output = OutBuffer::around_pos(large.content.bytes_mut(), large.made);
                (InBuffer::around(&input[..input.len().min(large.wanted)]), output)
            }
            None => (InBuffer::around(input), OutBuffer::around(buffer)),
        };
        let before = output.pos();
        let wanted = (self.context.decompress_stream(&mut output, &mut input))
            .map_err(|code| failure(frame, code))?;
        let (taken, made) = (input.pos(), output.pos() - before);
        if let Some(large) = &mut self.large {
            large.went_on(made, wanted);
        }
        Ok(Step { taken, made, is_over: wanted == 0 })
    }

    /// Where the content is: its bytes are at the places in the frame. `None`: where it was asked to put them.
    pub(super) fn content(&self) -> Option<&[u8]> {
        self.large.as_ref().map(|large| large.content.bytes())
    }
}

impl Large {
    fn went_on(&mut self, made: usize, wanted: usize) {
        self.made += made;
        self.resident += made;
        // Nothing means that there is something to be written out.
        self.wanted = wanted.max(1);
        if self.resident >= LET_GO {
            self.content.let_go();
            self.resident = 0;
        }
    }
}

impl Decoders {
    /// Decoders that take `most` bytes together; one is always allowed.
    pub(super) fn new(most: u64) -> Self {
        let state = State { most, ..State::default() };
        Self { state: Mutex::new(state), freed: Condvar::new(), scratch: OnceLock::new() }
    }

    /// Allows frames whose windows are too large for memory: they go there.
    pub(super) fn allow_large(&self, scratch: Scratch) {
        if self.scratch.set(scratch).is_err() {
            // It is the second one.
            return;
        }
        let mut state = self.lock();
        // What is idle would be in the way, and has not grown to the usual size.
        state.idle.clear();
        state.used = 0;
        state.is_large_alone = state.most < LARGE + USUAL;
        if !state.is_large_alone {
            state.most -= LARGE;
        }
    }

    /// Whether the frames with such windows must be done when nothing else is.
    pub(super) fn is_large_alone(&self) -> bool {
        self.lock().is_large_alone
    }

    /// Lets them take `most` bytes from now on.
    pub(super) fn limit(&self, most: u64) {
        self.lock().most = most;
    }

    /// How many threads can have a decoder of some size at the same time.
    pub(super) fn for_windows_of(&self, window: u64) -> usize {
        usize::try_from(self.lock().most / (window + OVERHEAD)).unwrap_or(usize::MAX).max(1)
    }

    /// A decoder for the frame that begins with `head` and holds `plain` bytes. Waits until there is memory for it.
    pub(super) fn take(&self, frame: usize, head: &[u8], plain: u64) -> Result<Decoder, Fault> {
        let not_one = || Fault::Frame { frame, reason: "its header is not one".to_owned() };
        let found = window(head).ok_or_else(not_one)?;
        if found <= 1 << WINDOW_LOG {
            return self.take_small(frame, found.next_power_of_two().ilog2().max(LEAST_LOG));
        }
        match self.scratch.get() {
            Some(_) if found > 1 << LARGE_LOG => {
                Err(Fault::Window { frame, found, most: 1 << LARGE_LOG })
            }
            Some(_) if plain > 1 << LARGE_LOG => {
                Err(Fault::Window { frame, found: plain, most: 1 << LARGE_LOG })
            }
            Some(_) if zstd_safe::get_frame_content_size(head).ok().flatten() != Some(plain) => {
                let reason = format!("its header does not say that it holds {plain} bytes");
                Err(Fault::Frame { frame, reason })
            }
            Some(scratch) => self.take_large(frame, scratch, plain),
            None => Err(Fault::Window { frame, found, most: 1 << WINDOW_LOG }),
        }
    }

    fn take_small(&self, frame: usize, log: u32) -> Result<Decoder, Fault> {
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
            if state.make_room(size) {
                drop(state);
                return self.make(frame, log, size);
            }
            state = self.wait(state);
        }
    }

    fn take_large(&self, frame: usize, scratch: &Scratch, plain: u64) -> Result<Decoder, Fault> {
        let mut state = self.lock();
        while state.is_scratch_taken {
            state = self.wait(state);
        }
        state.is_scratch_taken = true;
        drop(state);
        let made = usize::try_from(plain)
            .map_err(|_| Fault::Window { frame, found: plain, most: usize::MAX as u64 })
            .and_then(|length| scratch.map(length))
            .and_then(|content| {
                let mut context = DCtx::create();
                (context.set_parameter(DParameter::WindowLogMax(LARGE_LOG)))
                    .and_then(|_| context.set_parameter(DParameter::StableOutBuffer(true)))
                    .map_err(|code| failure(frame, code))?;
                let large = Large { content, made: 0, resident: 0, wanted: FIRST };
                Ok(Decoder { context, size: 0, large: Some(large) })
            });
        if made.is_err() {
            self.is_rid_of_large();
        }
        made
    }

    fn is_rid_of_large(&self) {
        let mut state = self.lock();
        state.is_scratch_taken = false;
        self.freed.notify_all();
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
            Ok(_) => Ok(Decoder { context, size, large: None }),
            Err(code) => {
                self.lock().used -= size;
                self.freed.notify_all();
                Err(failure(frame, code))
            }
        }
    }

    /// Takes a decoder back, whatever became of its frame.
    pub(super) fn give_back(&self, decoder: Decoder) {
        if decoder.large.is_some() {
            // What is left of its memory goes before somebody else has the file.
            drop(decoder);
            return self.is_rid_of_large();
        }
        self.lock().idle.push(decoder);
        self.freed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.freed.wait(state).unwrap_or_else(PoisonError::into_inner)
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
        let first = decoders.take(0, &small, 1).expect("there is room");
        let second = decoders.take(1, &small, 1).expect("there is room");
        decoders.give_back(first);
        decoders.give_back(second);
        // For a large one both are let go.
        let large = decoders.take(2, &head(21), 1).expect("there is room");
        assert_eq!(decoders.lock().used, (2 << 20) + OVERHEAD);
        assert!(decoders.lock().idle.is_empty());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| decoders.take(3, &small, 1).is_ok());
            decoders.give_back(large);
            assert!(waiting.join().expect("it does not panic"));
        });
        // More than all is still one.
        assert!(Decoders::new(0).take(0, &small, 1).is_ok());
        let huge = decoders.take(4, &head(25), 1).map(|_| ()).expect_err("too large");
        assert!(matches!(huge, Fault::Window { frame: 4, .. }), "{huge}");
    }
}
