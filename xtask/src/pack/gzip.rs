//! tar in gzip, one member.
//!
//! The frames are compressed independently, as `pigz --independent` does it: each one ends with an empty stored
//! block on a byte's border, so that they can be put one after the other. Some readers only look at a file's
//! first member; here it is the only one.

use std::io::{self, Write};

use flate2::{Compress, Compression, Crc, FlushCompress};

use super::stream::{self, Piece};
use super::{PackError, Work, Written};
use crate::buffers;

/// Deflate, no flags, no time, no extra flags, no system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// An empty block that is the last one.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Writes the archive to `out`.
pub(super) fn write(work: &Work<'_, '_>, mut out: impl Write) -> Result<Written, PackError> {
    let level = Compression::new(u32::from(work.settings.level.min(9)));
    let mut sum = Crc::new();
    let mut frames = 0;
    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(|error| work.write_error(error));
    put(&HEADER)?;
    let compress = |piece: Piece<'_, '_>| {
        let plain = piece.plain(work)?;
        let member = compress(&plain, level).map_err(|error| work.compress_error(error));
        buffers::give_back(plain);
        member
    };
    let mut take = |(bytes, part): (Vec<u8>, Crc)| {
        sum.combine(&part);
        frames += 1;
        put(&bytes)
    };
    stream::write(
        work,
        |_| Ok(false),
        compress,
        |part, file_bytes| {
            take(part)?;
            work.progress.advance(file_bytes);
            Ok(())
        },
    )?;
    let manifest = work.manifest.to_json();
    for piece in stream::ending(work, &manifest) {
        take(compress(piece)?)?;
    }
    put(&LAST_BLOCK)?;
    put(&sum.sum().to_le_bytes())?;
    put(&sum.amount().to_le_bytes())?;
    Ok(Written { manifest, frames })
}

/// Blocks that end on a byte's border, and the checksum of what is in them.
fn compress(plain: &[u8], level: Compression) -> io::Result<(Vec<u8>, Crc)> {
    let mut sum = Crc::new();
    sum.update(plain);
    let mut deflate = Compress::new(level, false);
    let mut bytes = Vec::with_capacity(plain.len() / 2 + 1024);
    let mut rest = plain;
    // A flush is done when it leaves room. (`DeflateEncoder::flush` cannot be used: it asks for the flush once, and where
    // its buffer of 32 KiB is full before the end, the block that ends the flush is never written.)
    while !rest.is_empty() || bytes.len() == bytes.capacity() || bytes.is_empty() {
        bytes.reserve(plain.len() / 8 + 1024);
        let before = deflate.total_in();
        deflate.compress_vec(rest, &mut bytes, FlushCompress::Sync).map_err(io::Error::other)?;
        let taken = usize::try_from(deflate.total_in() - before).expect("no more than `rest`");
        rest = &rest[taken..];
    }
    Ok((bytes, sum))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// The lengths are around the sizes of the compressor's own buffers.
    #[test]
    fn parts_of_any_length_can_be_put_together() {
        let mut state = 1_u64;
        let mut noise = |length: usize| -> Vec<u8> {
            let bytes = (0..length).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            });
            bytes.collect()
        };
        for length in [1, 2, 1000, 32 << 10, (64 << 10) - 5, 100_000, 1 << 20, 3_000_001] {
            for part in [noise(length), vec![b'a'; length]] {
                let mut stream = Vec::new();
                for _ in 0..2 {
                    stream.extend(compress(&part, Compression::new(6)).expect("it compresses").0);
                }
                stream.extend(LAST_BLOCK);
                let mut back = Vec::new();
                let mut decoder = flate2::read::DeflateDecoder::new(&stream[..]);
                decoder.read_to_end(&mut back).expect("it decompresses");
                assert!(back == [&part[..], &part[..]].concat(), "{length}");
            }
        }
    }
}
