//! Extended headers: entries that say something about the entry that follows. PAX and GNU have their own.

use std::io::{self, Read};

use tar::EntryType;

use super::{Limits, SPARSE, kind_error};
use crate::store::UnpackError;

/// What extended headers say of the entry that follows.
#[derive(Default)]
pub(super) struct Extended {
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

impl Extended {
    /// Takes in `entry` if it is an extended header, and says whether it was one.
    pub(super) fn takes<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        limits: &Limits,
    ) -> Result<bool, UnpackError> {
        let size = entry.size();
        match entry.header().entry_type() {
            EntryType::GNULongName => self.name = Some(text(entry, limits)?),
            EntryType::GNULongLink => self.link = Some(text(entry, limits)?),
            EntryType::XHeader => self.read_pax(&bytes(entry, limits)?, size)?,
            // For the whole archive; only comments are in use.
            EntryType::XGlobalHeader => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_pax(&mut self, header: &[u8], size: u64) -> Result<(), UnpackError> {
        if header.len() as u64 != size {
            return Err(UnpackError::Truncated("an extended header".to_owned()));
        }
        for record in tar::PaxExtensions::new(header) {
            let record = record.map_err(UnpackError::Malformed)?;
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => {
                    let number = str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                    let bad = || io::Error::new(io::ErrorKind::InvalidData, "a size is no number");
                    self.size = Some(number.ok_or_else(bad).map_err(UnpackError::Malformed)?);
                }
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(kind_error(self.name.as_deref().unwrap_or(b"?"), SPARSE));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// All bytes of an extended header.
fn bytes(entry: &mut impl Read, limits: &Limits) -> Result<Vec<u8>, UnpackError> {
    let mut content = Vec::new();
    entry.take(limits.header + 1).read_to_end(&mut content).map_err(UnpackError::Malformed)?;
    if content.len() as u64 > limits.header {
        let what = "the size of an extended header in bytes";
        return Err(UnpackError::TooLarge { what, limit: limits.header });
    }
    Ok(content)
}

/// A name from a GNU header: up to the first NUL.
fn text(entry: &mut impl Read, limits: &Limits) -> Result<Vec<u8>, UnpackError> {
    let mut content = bytes(entry, limits)?;
    if let Some(end) = content.iter().position(|byte| *byte == 0) {
        content.truncate(end);
    }
    Ok(content)
}
