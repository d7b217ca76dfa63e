//! Takes symbols for debuggers out of programs and libraries, for every processor and without a tool.
//!
//! binutils and LLVM do the same, but the first is built for one processor at a time, the second is not on every
//! machine, and both give other bytes with the next version. What a loader maps is not changed at all; what lies in the
//! file for debuggers and linkers alone goes, and the rest moves together.
//!
//! Files that hold more than their headers say (an appended payload, as `AppImage`s and compiled scripts have it) are
//! refused: such programs look for the payload at the end of the file, or at a place they know. Relocatable objects and
//! core dumps are refused as well. Windows' programs have no symbols to take out: they lie in a file of their own.

mod elf;
mod mach_o;

use std::ops::Range;

use miette::Diagnostic;

/// Goes up whenever the same input gives other bytes: part of the key under which results are kept.
pub const REVISION: u32 = 2;

/// The most that padding between two parts of a file comes to; more is a payload.
const MAX_PADDING: usize = 4096;

/// Why a file was left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum StripError {
    /// Another format.
    #[error("it is neither an ELF nor a Mach-O file")]
    Unknown,
    /// Not a program or a library.
    #[error("it is neither a program nor a shared library")]
    NotLinked,
    /// Numbers in it contradict each other.
    #[error("its headers are malformed: {0}")]
    Malformed(&'static str),
    /// It may be well, but not every byte of it is understood here.
    #[error("{0}")]
    Unusual(&'static str),
    /// Somebody signed exactly these bytes.
    #[error("its code signature cannot be made anew: {0}")]
    Signed(&'static str),
    /// Bytes that belong to no section and no segment.
    #[error("it carries {size} bytes at offset {offset} that no header accounts for")]
    Payload {
        /// Where they start.
        offset: usize,
        /// How many they are.
        size: usize,
    },
}

/// Takes symbols for debuggers out of a file; says whether there were any. What stays moves within `bytes`: another
/// buffer of a hundred megabytes would cost more than everything else that is done here.
///
/// # Errors
/// When it is not a program or library of a format known here, is malformed, or carries a payload. It is as it was, then.
pub fn strip(bytes: &mut Vec<u8>) -> Result<bool, StripError> {
    match bytes.starts_with(b"\x7fELF") {
        true => elf::strip(bytes),
        false => mach_o::strip(bytes),
    }
}

fn range(start: u64, size: u64) -> Result<Range<usize>, StripError> {
    let place = |offset: u64| usize::try_from(offset).ok();
    let end = start.checked_add(size).and_then(place);
    match (place(start), end) {
        (Some(start), Some(end)) => Ok(start..end),
        _ => Err(StripError::Malformed("an offset is larger than any file")),
    }
}
