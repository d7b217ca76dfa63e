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

/// The text from `offset` to the next zero byte; bytes that are not UTF-8 are replaced.
pub(crate) fn text_at(bytes: &[u8], offset: usize) -> Option<String> {
    let rest = bytes.get(offset..)?;
    let rest = rest.get(..MAX_NAME).unwrap_or(rest);
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

/// A 64-bit file offset as an index.
pub(crate) fn index(offset: u64) -> Option<usize> {
    usize::try_from(offset).ok()
}
