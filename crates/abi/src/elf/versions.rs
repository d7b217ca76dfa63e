//! Symbol versions: which a file needs of other libraries, and which it defines.
//!
//! goblin finds these tables by their section headers; the loader finds them by the dynamic table, and so do we.

use goblin::elf::dynamic;
use goblin::elf::section_header::{SHT_GNU_VERDEF, SHT_GNU_VERNEED, SectionHeader};
use goblin::elf::symver::{VerdefSection, VerneedSection};
use serde::{Deserialize, Serialize};

use super::image::Image;
use super::{Elf, MAX_ENTRIES};
use crate::facts::Part;
use crate::fields::text;

/// `VER_FLG_BASE`: the entry names the library itself.
const BASE: u16 = 1;

/// `VER_FLG_WEAK`: the loader only warns when the version is missing.
const WEAK: u16 = 2;

/// A symbol version and the library it must come from. The same version name means different things in different
/// libraries: musl builds need a `GLIBC_2.0` of libgcc_s.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VersionNeed {
    /// The library.
    pub file: String,
    /// The version's name, for instance `GLIBC_2.28`.
    pub version: String,
    /// Whether the loader goes on without it.
    pub weak: bool,
    /// The number symbols refer to it by.
    pub(super) number: u16,
}

impl VersionNeed {
    /// A need that no symbol of the file refers to.
    #[must_use]
    pub fn new(file: &str, version: &str, weak: bool) -> Self {
        Self { file: file.to_owned(), version: version.to_owned(), weak, number: 0 }
    }
}

pub(super) fn read(elf: &mut Elf, image: &Image<'_>) {
    match needs(image) {
        Some(versions) => elf.versions = versions,
        None => elf.unread.push(Part::VersionNeeds),
    }
}

fn needs(image: &Image<'_>) -> Option<Vec<VersionNeed>> {
    let tags = (dynamic::DT_VERNEED, dynamic::DT_VERNEEDNUM);
    let Some(place) = table(image, tags, SHT_GNU_VERNEED) else { return Some(Vec::new()) };
    let section = VerneedSection::parse(image.bytes, &[place?], image.context).ok()??;
    let mut versions = Vec::new();
    for need in section.iter().take(MAX_ENTRIES) {
        let file = text(image.name(need.vn_file as u64)?);
        for version in need.iter().take(MAX_ENTRIES - versions.len()) {
            versions.push(VersionNeed {
                file: file.clone(),
                version: text(image.name(version.vna_name as u64)?),
                weak: version.vna_flags & WEAK != 0,
                number: version.vna_other & 0x7fff,
            });
        }
    }
    Some(versions)
}

/// The versions the file defines, each with the number symbols refer to it by.
pub(super) fn definitions(image: &Image<'_>) -> Option<Vec<(u16, String)>> {
    let tags = (dynamic::DT_VERDEF, dynamic::DT_VERDEFNUM);
    let Some(place) = table(image, tags, SHT_GNU_VERDEF) else { return Some(Vec::new()) };
    let section = VerdefSection::parse(image.bytes, &[place?], image.context).ok()??;
    let mut versions = Vec::new();
    for definition in section.iter().take(MAX_ENTRIES) {
        if definition.vd_flags & BASE == 0 {
            let name = definition.iter().next()?.vda_name;
            versions.push((definition.vd_ndx & 0x7fff, text(image.name(name as u64)?)));
        }
    }
    Some(versions)
}

/// Where a table is; the outer `None` says that there is none, the inner one that it is nowhere in the file.
fn table(image: &Image<'_>, tags: (u64, u64), kind: u32) -> Option<Option<SectionHeader>> {
    let (address, count) = (image.value(tags.0)?, image.value(tags.1)?);
    let place = || {
        let start = image.offset(address)?;
        Some(SectionHeader {
            sh_type: kind,
            sh_offset: start as u64,
            sh_size: image.bytes.len().checked_sub(start)? as u64,
            sh_info: u32::try_from(count).ok()?,
            ..SectionHeader::default()
        })
    };
    Some(place())
}
