//! Numbers and strings at places that may not exist.

/// The order of the bytes in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endian {
    Little,
    Big,
}

/// The longest name taken from a file; longer ones are not names.
const MAX_NAME: usize = 4096;

pub(crate) fn u16_at(bytes: &[u8], offset: usize, endian: Endian) -> Option<u16> {
    let field = bytes.get(offset..offset.checked_add(2)?)?.try_into().ok()?;
    Some(match endian {
        Endian::Little => u16::from_le_bytes(field),
        Endian::Big => u16::from_be_bytes(field),
    })
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize, endian: Endian) -> Option<u32> {
    let field = bytes.get(offset..offset.checked_add(4)?)?.try_into().ok()?;
    Some(match endian {
        Endian::Little => u32::from_le_bytes(field),
        Endian::Big => u32::from_be_bytes(field),
    })
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize, endian: Endian) -> Option<u64> {
    let field = bytes.get(offset..offset.checked_add(8)?)?.try_into().ok()?;
    Some(match endian {
        Endian::Little => u64::from_le_bytes(field),
        Endian::Big => u64::from_be_bytes(field),
    })
}

/// The bytes from `offset` to the next zero byte.
pub(crate) fn name_at(bytes: &[u8], offset: usize) -> Option<&[u8]> {
    let rest = bytes.get(offset..)?;
    let rest = rest.get(..MAX_NAME).unwrap_or(rest);
    rest.get(..memchr::memchr(0, rest)?)
}

/// The text from `offset` to the next zero byte; bytes that are not UTF-8 are replaced.
pub(crate) fn text_at(bytes: &[u8], offset: usize) -> Option<String> {
    name_at(bytes, offset).map(text)
}

/// Bytes as text; what is not UTF-8 is replaced.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A 64-bit file offset as an index.
pub(crate) fn index(offset: u64) -> Option<usize> {
    usize::try_from(offset).ok()
}

/// A 32-bit file offset as an index.
pub(crate) fn wide(offset: u32) -> usize {
    offset as usize
}

/// How many names one table may hold and how long they may be together: a few bytes of a file can claim millions of
/// entries that all point at the same long name. Node's own executable, the largest known, exports 47,000 names of 3 MB.
#[derive(Debug)]
pub(crate) struct Budget {
    entries: usize,
    bytes: usize,
}

impl Budget {
    /// The most of any file, whatever its size.
    const ENTRIES: usize = 400_000;
    const BYTES: usize = 48 << 20;

    /// The budget of one table of a file of this size. Names share endings, so they can be more than the file holds.
    pub(crate) fn of(size: usize) -> Self {
        Self { entries: Self::ENTRIES.min(size), bytes: Self::BYTES.min(size.saturating_mul(4)) }
    }

    /// Takes one entry; `None` when there is no room left.
    pub(crate) fn take(&mut self, name: &[u8]) -> Option<()> {
        self.entries = self.entries.checked_sub(1)?;
        self.bytes = self.bytes.checked_sub(name.len())?;
        Some(())
    }

    /// Takes one entry and makes it text.
    pub(crate) fn text(&mut self, name: &[u8]) -> Option<String> {
        self.take(name)?;
        Some(text(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends() {
        let taken = |size: usize, name: &[u8]| {
            let mut budget = Budget::of(size);
            (0..1_000_000).take_while(|_| budget.take(name).is_some()).count()
        };
        let name = [b'a'; MAX_NAME];
        assert_eq!(taken(1 << 30, &name), (48 << 20) / MAX_NAME);
        assert_eq!(taken(1 << 30, b""), 400_000);
        assert_eq!(taken(MAX_NAME, &name), 4);
    }

    #[test]
    fn numbers_and_names_end_with_the_file() {
        let bytes = b"\x01\x02\x03\x04name\0rest";
        assert_eq!(u16_at(bytes, 0, Endian::Big), Some(0x0102));
        assert_eq!(u32_at(bytes, 0, Endian::Little), Some(0x0403_0201));
        assert_eq!(u64_at(bytes, 6, Endian::Little), None);
        assert_eq!(u64_at(bytes, usize::MAX, Endian::Little), None);
        assert_eq!(text_at(bytes, 4).as_deref(), Some("name"));
        assert_eq!(text_at(bytes, 9), None);
    }
}
