//! Code signatures: who signed, what is allowed, and whether the file is still what was signed.
//!
//! macOS compares each page with its digest when it is first touched, and kills the program on a difference. So the
//! digests are computed here as well. Whether a certificate is trusted is not looked at: that is for the machine to say.
//! All numbers are big-endian, whatever the file's own order.

use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384};

use crate::fields::{Endian, index, text_at, u32_at, u64_at, wide};

const SUPER_BLOB: u32 = 0xfade_0cc0;
const CODE_DIRECTORY: u32 = 0xfade_0c02;
const ENTITLEMENTS: u32 = 0xfade_7171;
const CMS: u32 = 0xfade_0b01;

/// The slots of further code directories, with other digests.
const ALTERNATES: std::ops::Range<u32> = 0x1000..0x1005;

/// More parts than a signature has.
const MAX_BLOBS: usize = 64;

const AD_HOC: u32 = 0x2;
const RUNTIME: u32 = 0x1_0000;
const LINKER_SIGNED: u32 = 0x2_0000;

const DISABLES_LIBRARY_VALIDATION: &str = "com.apple.security.cs.disable-library-validation";

/// The state of a code signature.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signature {
    /// There is none. Processors of Apple's run nothing without one.
    #[default]
    Absent,
    /// There is one and it cannot be read; macOS refuses it too.
    Malformed(String),
    /// There is one.
    Present(CodeSignature),
}

/// What a code signature says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeSignature {
    /// The name it was signed under.
    pub identifier: String,
    /// Who signed.
    pub signer: Signer,
    /// The Apple developer team.
    pub team: Option<String>,
    /// The flags of its first code directory.
    pub flags: u32,
    /// The names of the entitlements that are switched on.
    pub entitlements: Vec<String>,
    /// Whether the file is still what was signed.
    pub pages: Pages,
}

/// Who signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Signer {
    /// Nobody: the linker put digests in.
    Linker,
    /// Nobody, by a tool.
    AdHoc,
    /// The owner of a certificate.
    Certificate,
}

/// Whether the digests of a signature are the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Pages {
    /// Every page has the digest that was signed.
    Intact,
    /// The first page, counted from 0, that differs.
    Broken(u32),
    /// Bytes before the signature that no digest covers begin here.
    Uncovered(u64),
    /// A digest of this kind is not known here.
    Unknown(u8),
}

impl CodeSignature {
    /// Whether it asks for the hardened runtime.
    #[must_use]
    pub fn hardened(&self) -> bool {
        self.flags & RUNTIME != 0
    }

    /// Whether it may load libraries that another team signed, or nobody.
    #[must_use]
    pub fn disables_library_validation(&self) -> bool {
        self.entitlements.iter().any(|name| name == DISABLES_LIBRARY_VALIDATION)
    }
}

pub(super) fn read(bytes: &[u8], start: usize, size: usize) -> Signature {
    let blob = start.checked_add(size).and_then(|end| bytes.get(start..end));
    let Some(blob) = blob else {
        return Signature::Malformed("it is not inside the file".to_owned());
    };
    match present(bytes, start, blob) {
        Ok(signature) => Signature::Present(signature),
        Err(reason) => Signature::Malformed(reason.to_owned()),
    }
}

fn present(bytes: &[u8], start: usize, blob: &[u8]) -> Result<CodeSignature, &'static str> {
    let blobs = blobs(blob).ok_or("its index is broken")?;
    let directories = blobs
        .iter()
        .filter(|(slot, _)| *slot == 0 || ALTERNATES.contains(slot))
        .map(|(_, blob)| Directory::read(blob).ok_or("a code directory is broken"))
        .collect::<Result<Vec<_>, _>>()?;
    let first = directories.first().ok_or("it has no code directory")?;
    let has_certificate =
        blobs.iter().any(|(_, blob)| u32_at(blob, 0, Endian::Big) == Some(CMS) && blob.len() > 8);
    let entitlements = blobs
        .iter()
        .find(|(_, blob)| u32_at(blob, 0, Endian::Big) == Some(ENTITLEMENTS))
        .map(|(_, blob)| entitlements(blob.get(8..).unwrap_or_default()));
    let pages = directories
        .iter()
        .map(|directory| pages(directory, bytes, start, &blobs))
        .collect::<Option<Vec<_>>>()
        .ok_or("a code directory counts pages that are not there")?;
    let worst = pages.iter().copied().find(|pages| *pages != Pages::Intact);
    Ok(CodeSignature {
        identifier: first.identifier.clone(),
        signer: if has_certificate && first.flags & AD_HOC == 0 {
            Signer::Certificate
        } else if first.flags & LINKER_SIGNED != 0 {
            Signer::Linker
        } else {
            Signer::AdHoc
        },
        team: first.team.clone(),
        flags: first.flags,
        entitlements: entitlements.unwrap_or_default(),
        pages: worst.unwrap_or(Pages::Intact),
    })
}

/// The parts of a signature by their slots.
fn blobs(bytes: &[u8]) -> Option<Vec<(u32, &[u8])>> {
    if u32_at(bytes, 0, Endian::Big)? != SUPER_BLOB {
        return None;
    }
    let count = wide(u32_at(bytes, 8, Endian::Big)?);
    if count > MAX_BLOBS {
        return None;
    }
    (0..count)
        .map(|number| {
            let slot = u32_at(bytes, 12 + 8 * number, Endian::Big)?;
            let start = wide(u32_at(bytes, 16 + 8 * number, Endian::Big)?);
            let size = wide(u32_at(bytes, start.checked_add(4)?, Endian::Big)?);
            Some((slot, bytes.get(start..start.checked_add(size)?)?))
        })
        .collect()
}

struct Directory<'a> {
    bytes: &'a [u8],
    flags: u32,
    identifier: String,
    team: Option<String>,
    digests: usize,
    special: usize,
    slots: u32,
    limit: u64,
    digest_size: usize,
    digest_kind: u8,
    page_bits: u8,
}

impl<'a> Directory<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let word = |place: usize| u32_at(bytes, place, Endian::Big);
        if word(0)? != CODE_DIRECTORY {
            return None;
        }
        let version = word(8)?;
        let limit = u64::from(word(32)?);
        let wide_limit = match version >= 0x2_0300 {
            true => u64_at(bytes, 56, Endian::Big)?,
            false => 0,
        };
        let team = match version >= 0x2_0200 {
            true => wide(word(48)?),
            false => 0,
        };
        Some(Self {
            bytes,
            flags: word(12)?,
            identifier: text_at(bytes, wide(word(20)?))?,
            team: if team == 0 { None } else { Some(text_at(bytes, team)?) },
            digests: wide(word(16)?),
            special: wide(word(24)?),
            slots: word(28)?,
            limit: if wide_limit == 0 { limit } else { wide_limit },
            digest_size: usize::from(*bytes.get(36)?),
            digest_kind: *bytes.get(37)?,
            page_bits: *bytes.get(39)?,
        })
    }

    /// The digest of a page, or, before the first one, of another part of the signature.
    fn digest(&self, number: isize) -> Option<&[u8]> {
        let size = isize::try_from(self.digest_size).ok()?;
        let start = self.digests.checked_add_signed(number.checked_mul(size)?)?;
        self.bytes.get(start..start.checked_add(self.digest_size)?)
    }
}

/// Compares digests with what they were made from. `None`: the directory counts what is not there.
fn pages(
    directory: &Directory<'_>,
    file: &[u8],
    signature: usize,
    blobs: &[(u32, &[u8])],
) -> Option<Pages> {
    let digest: fn(&[u8]) -> Vec<u8> = match (directory.digest_kind, directory.digest_size) {
        (1, 20) => |bytes| Sha1::digest(bytes).to_vec(),
        (2, 32) => |bytes| Sha256::digest(bytes).to_vec(),
        (3, 20) => |bytes| Sha256::digest(bytes)[..20].to_vec(),
        (4, 48) => |bytes| Sha384::digest(bytes).to_vec(),
        (kind, _) => return Some(Pages::Unknown(kind)),
    };
    let limit = index(directory.limit)?;
    let code = file.get(..limit)?;
    // No page size: one digest for all.
    let page = match directory.page_bits {
        0 => code.len().max(1),
        bits => 1_usize.checked_shl(u32::from(bits))?,
    };
    if code.len().div_ceil(page) != wide(directory.slots) {
        return None;
    }
    for (number, content) in code.chunks(page).enumerate() {
        if directory.digest(isize::try_from(number).ok()?)? != digest(content) {
            return Some(Pages::Broken(u32::try_from(number).ok()?));
        }
    }
    for (slot, blob) in blobs {
        // Requirements and entitlements are parts of the signature; other slots are for files outside.
        let is_inside = matches!(slot, 2 | 5 | 7) && wide(*slot) <= directory.special;
        if is_inside && directory.digest(-isize::try_from(*slot).ok()?)? != digest(blob) {
            return None;
        }
    }
    Some(if limit < signature { Pages::Uncovered(directory.limit) } else { Pages::Intact })
}

/// The keys of a property list whose value is true.
fn entitlements(list: &[u8]) -> Vec<String> {
    const MAX_KEYS: usize = 256;
    let list = String::from_utf8_lossy(list);
    list.split("<key>")
        .skip(1)
        .filter_map(|part| part.split_once("</key>"))
        .filter(|(_, value)| value.trim_start().starts_with("<true"))
        .map(|(key, _)| key.trim().to_owned())
        .take(MAX_KEYS)
        .collect()
}
