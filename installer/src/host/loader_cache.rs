//! `/etc/ld.so.cache`: where glibc's loader finds libraries.
//!
//! The format of glibc since 2.2, which newer ones write alone and older ones behind that of libc5. It is read as a format rather than searched
//! for names: each entry says for which processor it is.

use super::arch::Arch;

/// The most of a cache that is read: 529 libraries are 40 KiB.
pub const LIMIT: u64 = 8 << 20;

const OLD: &[u8] = b"ld.so-1.7.0\0";
const NEW: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// The libraries in a cache that are for this processor: the name that is asked for, and the path.
#[must_use]
pub fn read(bytes: &[u8], arch: &Arch) -> Vec<(String, String)> {
    entries(bytes, arch).unwrap_or_default()
}

fn entries(bytes: &[u8], arch: &Arch) -> Option<Vec<(String, String)>> {
    let bytes = match bytes.strip_prefix(OLD) {
        Some(rest) => {
            let count = usize::try_from(word(rest, 0)?).ok()?;
            let end = OLD.len() + 4 + count.checked_mul(12)?;
            bytes.get(end.next_multiple_of(8)..)?
        }
        None => bytes,
    };
    if !bytes.starts_with(NEW) {
        return None;
    }
    let count = usize::try_from(word(bytes, NEW.len())?).ok()?;
    let table = bytes.get(HEADER..)?;
    let of_arch = table.chunks_exact(ENTRY).take(count).filter_map(|entry| {
        let is_ours = word(entry, 0)? == arch.cache_flags;
        is_ours.then_some(())?;
        Some((text(bytes, word(entry, 4)?)?, text(bytes, word(entry, 8)?)?))
    });
    Some(of_arch.collect())
}

fn word(bytes: &[u8], place: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(place..place + 4)?.try_into().ok()?))
}

fn text(bytes: &[u8], place: u32) -> Option<String> {
    let bytes = bytes.get(usize::try_from(place).ok()?..)?;
    // Longer than any path may be.
    let end = bytes.iter().take(4096).position(|byte| *byte == 0)?;
    std::str::from_utf8(&bytes[..end]).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use gangway_artifact::Cpu;
    use proptest::prelude::*;

    use super::super::testing::loader_cache;
    use super::*;

    #[test]
    fn entries_of_one_processor() {
        let libraries = [
            (0x0303, "libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6"),
            (0x0003, "libold.so.1", "/lib/i386-linux-gnu/libold.so.1"),
            (0x0a03, "libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6"),
        ];
        let bytes = loader_cache(&libraries);
        let x64 = read(&bytes, Arch::of(Cpu::X64));
        assert_eq!(x64, [("libc.so.6".into(), "/lib/x86_64-linux-gnu/libc.so.6".into())]);
        let arm64 = read(&bytes, Arch::of(Cpu::Arm64));
        assert_eq!(arm64, [("libc.so.6".into(), "/lib/aarch64-linux-gnu/libc.so.6".into())]);
        // As glibc before 2.32 writes it: the old format first, here with one library.
        let mut both = b"ld.so-1.7.0\0\x01\0\0\0".to_vec();
        both.extend([0; 12]);
        both.resize(both.len().next_multiple_of(8), 0);
        both.extend(&bytes);
        assert_eq!(read(&both, Arch::of(Cpu::X64)), x64);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are(rest in proptest::collection::vec(any::<u8>(), 0..200), old in any::<bool>()) {
            let mut bytes = if old { OLD.to_vec() } else { NEW.to_vec() };
            bytes.extend(rest);
            let _ = read(&bytes, Arch::of(Cpu::X64));
        }

        #[test]
        fn whatever_is_damaged(place in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
            let mut bytes = loader_cache(&[(0x0303, "libc.so.6", "/lib/libc.so.6")]);
            let length = bytes.len();
            bytes[place % length] = byte;
            let _ = read(&bytes, Arch::of(Cpu::X64));
            let _ = read(&bytes[..cut % length], Arch::of(Cpu::X64));
        }
    }
}
