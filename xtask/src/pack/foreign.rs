//! Frames that somebody else compressed.
//!
//! Whoever can write to the shared cache can put there what he likes. So a frame from there is decompressed, and counts only
//! when its content is the piece's to the last byte. It must also be one that every reader of our archives takes: one
//! frame and nothing behind it, with its content's size and checksum, and a window no larger than ours.
//!
//! What cannot be told is whether our compressor would have made the same bytes: another one's are accepted, and then
//! the archive has other bytes and the same content.

use super::stream::Piece;
use crate::buffers;

/// A Zstandard frame's first bytes.
const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// Whether `frame` is a frame as ours are, with a window of at most 2 to the power of `window_log`, and holds `piece`.
pub(super) fn is_frame_of(frame: &[u8], piece: &Piece<'_, '_>, window_log: u32) -> bool {
    let Ok(size) = usize::try_from(piece.size()) else { return false };
    if !is_shaped(frame, size as u64, window_log) {
        return false;
    }
    let mut plain = buffers::take(size);
    // Never more than there is room for, whatever the frame would like.
    let is_whole = zstd::bulk::Decompressor::new()
        .and_then(|mut decompressor| decompressor.decompress_to_buffer(frame, &mut plain))
        .is_ok_and(|found| found == size);
    let is_same = is_whole && piece.is(&plain);
    buffers::give_back(plain);
    is_same
}

/// Whether it is one frame with a checksum, for a window that readers have, and says that it holds `size` bytes.
fn is_shaped(frame: &[u8], size: u64, window_log: u32) -> bool {
    let Some((descriptor, window)) =
        frame.strip_prefix(&MAGIC).and_then(|rest| Some((*rest.first()?, *rest.get(1)?)))
    else {
        return false;
    };
    let has_checksum = descriptor & 0b100 != 0;
    let has_dictionary = descriptor & 0b11 != 0;
    let window = match descriptor & 0b10_0000 {
        0 => {
            let base = 1_u64 << (10 + (window >> 3));
            base + base / 8 * u64::from(window & 0b111)
        }
        // A single segment: the window is all of it.
        _ => size,
    };
    let is_alone = zstd::zstd_safe::find_frame_compressed_size(frame) == Ok(frame.len());
    let told = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten();
    has_checksum && !has_dictionary && window <= 1 << window_log && is_alone && told == Some(size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zstd::bulk::Compressor;
    use zstd::zstd_safe::CParameter;

    use super::*;

    fn frame(plain: &[u8], parameters: &[CParameter]) -> Vec<u8> {
        let mut compressor = Compressor::new(3).expect("a level there is");
        for parameter in parameters {
            compressor.set_parameter(*parameter).expect("a parameter there is");
        }
        compressor.compress(plain).expect("it fits")
    }

    #[test]
    fn only_frames_that_readers_take() {
        let plain = vec![7; 1 << 20];
        let checksum = CParameter::ChecksumFlag(true);
        let whole = frame(&plain, &[checksum]);
        assert!(is_shaped(&whole, 1 << 20, 24));
        assert!(!is_shaped(&whole, (1 << 20) - 1, 24), "another size");
        assert!(!is_shaped(&frame(&plain, &[]), 1 << 20, 24), "no checksum");
        let unsized_one = frame(&plain, &[checksum, CParameter::ContentSizeFlag(false)]);
        assert!(!is_shaped(&unsized_one, 1 << 20, 24), "no size");
        assert!(!is_shaped(&[&whole[..], &[0]].concat(), 1 << 20, 24), "more behind it");
        assert!(!is_shaped(&[&whole[..], &whole[..]].concat(), 1 << 20, 24), "two frames");
        let skippable = [0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0];
        assert!(
            !is_shaped(&[&skippable[..], &whole[..]].concat(), 1 << 20, 24),
            "one to be skipped"
        );
        for cut in [0, 1, 4, 5, 6, whole.len() - 1] {
            assert!(!is_shaped(&whole[..cut], 1 << 20, 24), "cut at {cut}");
        }
        // A window of 2^27 in the header.
        let large =
            [&MAGIC[..], &[0b1000_0100, 17 << 3, 0, 0, 16, 0], &[1, 0, 0, 0, 0, 0, 0]].concat();
        assert!(!is_shaped(&large, 1 << 20, 24), "a window readers do not have");
    }

    proptest! {
        /// Whatever comes is looked at without harm; and what passes for a frame of so many bytes is decompressed to them, or
        /// not at all.
        #[test]
        fn whatever_comes(
            plain in prop::collection::vec(any::<u8>(), 0..3000),
            damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<Option<prop::sample::Index>>(),
        ) {
            let mut bytes = frame(&plain, &[CParameter::ChecksumFlag(true)]);
            for (at, byte) in damages {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if is_shaped(&bytes, plain.len() as u64, 24) {
                let mut room = Vec::with_capacity(plain.len());
                let found = zstd::bulk::Decompressor::new()
                    .and_then(|mut reader| reader.decompress_to_buffer(&bytes, &mut room));
                prop_assert!(found.is_err() || room == plain);
            }
        }
    }
}
