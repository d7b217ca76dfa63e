//! Which version is used: the one pointer.
//!
//! It is replaced by a rename, so whoever follows it finds the version before or the one after, and never neither. On Unix it is a link to a
//! folder, which every program follows by itself; on Windows a file with the folder's name, which the launcher reads.

use super::{Layout, PrefixError, Slot, durable, platform};
use crate::checkpoint::{self, Step};

/// The version that is used, if there is one.
///
/// # Errors
/// When it leads somewhere else.
pub fn read(layout: &Layout) -> Result<Option<Slot>, PrefixError> {
    let path = layout.current();
    let Some(text) = platform::read_pointer(&path).map_err(PrefixError::io("read", &path))? else {
        return Ok(None);
    };
    let slot = platform::pointed(&text).and_then(|name| name.parse().ok());
    slot.map(Some).ok_or_else(|| PrefixError::Damaged {
        path,
        reason: format!("it leads to `{}`, which is no version", text.escape_debug()),
    })
}

/// Makes the version in this folder the one that is used.
pub(super) fn switch(layout: &Layout, slot: &Slot) -> Result<(), PrefixError> {
    let path = layout.current();
    let aside = durable::beside(&path);
    durable::remove(&aside)?;
    platform::make_pointer(&aside, slot.as_str()).map_err(PrefixError::io("write", &aside))?;
    checkpoint::reached(Step::Written);
    durable::rename(&aside, &path)
}

/// Makes no version the one that is used.
pub(super) fn clear(layout: &Layout) -> Result<(), PrefixError> {
    durable::remove(&durable::beside(&layout.current()))?;
    durable::remove(&layout.current()).map(drop)
}
