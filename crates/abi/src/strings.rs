//! What a binary's text says: libraries it may open by itself, and an allocator that is picky about page sizes.
//!
//! All of it is a heuristic: a name that stands in a file need not be used, and one that is put together while the
//! program runs is not seen.

use std::collections::BTreeSet;

use memchr::memmem;

/// More names than any real binary mentions.
const MAX_NAMES: usize = 256;

/// No longer than the name of a library is.
const MAX_LENGTH: usize = 64;

/// What jemalloc says before it gives up where pages are larger than it was compiled for.
const JEMALLOC: &[u8] = b": Unsupported system page size";

const SUFFIX: &[u8] = b".so";

#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Names like `libcuda.so.1`.
    pub(crate) libraries: BTreeSet<String>,
    pub(crate) jemalloc: bool,
}

pub(crate) fn scan<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Found {
    let mut found = Found::default();
    for bytes in parts {
        found.jemalloc = found.jemalloc || memmem::find(bytes, JEMALLOC).is_some();
        let mut after_last = 0;
        for place in memmem::find_iter(bytes, SUFFIX) {
            let start = place.saturating_sub(MAX_LENGTH).max(after_last);
            let end = place + SUFFIX.len() + version(&bytes[place + SUFFIX.len()..]);
            if let Some(name) = name(&bytes[start..place], &bytes[place..end])
                && found.libraries.len() < MAX_NAMES
            {
                found.libraries.insert(name);
            }
            after_last = end;
        }
    }
    found
}

/// The name that ends here. Compilers that need no zero bytes put texts next to each other, so it starts at the last
/// `lib` that is followed by something.
fn name(before: &[u8], suffix: &[u8]) -> Option<String> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(byte);
    let start = before.iter().rposition(|byte| !is_part(byte)).map_or(0, |place| place + 1);
    let stem = &before[start..];
    let stem = &stem[memmem::rfind(stem.get(..stem.len().checked_sub(1)?)?, b"lib")?..];
    String::from_utf8([stem, suffix].concat()).ok()
}

/// How long the version behind `.so` is: `.1`, `.1.2`.
fn version(after: &[u8]) -> usize {
    let mut length = 0;
    while after.get(length) == Some(&b'.') {
        let digits =
            after[length + 1..].iter().take(8).take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            break;
        }
        length += 1 + digits;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn libraries(text: &str) -> Vec<String> {
        scan([text.as_bytes()].into_iter()).libraries.into_iter().collect()
    }

    #[test]
    fn finds_names_with_and_without_versions() {
        assert_eq!(
            libraries("\0libcuda.so.1\0/usr/lib/libfoo-2.so\0libnvidia-ml.so.1.2 failed"),
            ["libcuda.so.1", "libfoo-2.so", "libnvidia-ml.so.1.2"]
        );
    }

    #[test]
    fn texts_next_to_each_other_are_told_apart() {
        assert_eq!(
            libraries("errorlibcuda.so.1liba.sox libatk2libm.so"),
            ["liba.so", "libcuda.so.1", "libm.so"]
        );
    }

    #[test]
    fn other_text_is_no_library() {
        for text in ["", ".so", "lib.so", "foo.so", "is so. libs", "lib .so"] {
            assert_eq!(libraries(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn finds_the_complaint_of_jemalloc() {
        let text: &[u8] = b"<jemalloc>: Unsupported system page size\n";
        assert!(scan([text].into_iter()).jemalloc);
        assert!(!scan([&text[..20]].into_iter()).jemalloc);
    }
}
