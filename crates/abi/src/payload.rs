//! Packed code: a binary that is mostly compressed or encrypted data, which it unpacks and loads while it runs.
//!
//! What is packed cannot be read, so whatever the rest of the file says is not the whole truth. This is a heuristic and
//! gives its evidence: samples spread over the file whose bytes are as evenly distributed as only compressed or
//! encrypted ones are. A program that carries a compressed picture book looks the same.

use serde::{Deserialize, Serialize};

use crate::fatbin::GpuCode;

const BLOCK: usize = 4096;

/// How many blocks are looked at: a megabyte, however large the file.
const SAMPLES: usize = 256;

/// Smaller files hold nothing that would be worth packing.
const MIN_SIZE: usize = 64 * 1024;

/// Bits per byte. A block of random bytes has 7.95; machine code stays below 7.
const PACKED: f64 = 7.7;

/// From here on more of the file is hidden than seen.
const MIN_SHARE: usize = 50;

/// Why a file looks packed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// How much of the file looks compressed, in percent.
    pub percent: u8,
    /// Whether it opens libraries by itself, which is how such a payload is loaded.
    pub opens_libraries: bool,
}

/// CUDA compresses its code too: a file that holds some is not judged.
pub(crate) fn probe(bytes: &[u8], opens_libraries: bool, gpu: &[GpuCode]) -> Option<Payload> {
    if bytes.len() < MIN_SIZE || !gpu.is_empty() {
        return None;
    }
    let step = (bytes.len() / SAMPLES).max(BLOCK);
    let (mut packed, mut all) = (0, 0);
    for block in (0..bytes.len()).step_by(step).filter_map(|start| bytes.get(start..start + BLOCK))
    {
        all += 1;
        packed += usize::from(entropy(block) > PACKED);
    }
    let percent = packed * 100 / all.max(1);
    (percent >= MIN_SHARE)
        .then(|| Payload { percent: u8::try_from(percent).unwrap_or(100), opens_libraries })
}

/// Bits of information per byte.
fn entropy(block: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in block {
        counts[usize::from(*byte)] += 1;
    }
    let length = f64::from(u32::try_from(block.len()).unwrap_or(u32::MAX));
    let information = |count: &u32| {
        let share = f64::from(*count) / length;
        if share > 0.0 { -share * share.log2() } else { 0.0 }
    };
    counts.iter().map(information).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evenly distributed bytes, always the same.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn mostly_noise_is_packed() {
        let mut bytes = vec![0; 100 * 1024];
        bytes.extend(noise(900 * 1024));
        let payload = probe(&bytes, true, &[]).expect("nine tenths are noise");
        assert!((85..=95).contains(&payload.percent), "{payload:?}");
        assert!(payload.opens_libraries);
    }

    #[test]
    fn a_compressed_table_is_not() {
        let mut bytes = b"push rbp; mov rbp, rsp; ".repeat(30_000);
        bytes.extend(noise(200 * 1024));
        assert_eq!(probe(&bytes, true, &[]), None);
        assert_eq!(probe(&noise(60 * 1024), true, &[]), None);
        let code = std::fs::read(std::env::current_exe().expect("a file")).expect("readable");
        assert_eq!(probe(&code, true, &[]), None);
    }

    #[test]
    fn code_for_graphics_cards_is_compressed_anyway() {
        let gpu = GpuCode { kind: crate::fatbin::GpuCodeKind::Elf, arch: 87 };
        assert_eq!(probe(&noise(200 * 1024), true, &[gpu]), None);
    }
}
