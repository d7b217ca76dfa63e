//! Notes: the build's identity, the oldest kernel, and the processor features it was marked for.

use goblin::elf::program_header::{PT_GNU_PROPERTY, PT_NOTE};
use serde::{Deserialize, Serialize};

use super::MAX_ENTRIES;
use super::image::Image;
use crate::fields::{u32_at, wide};
use crate::version::Version;

const ABI_TAG: u32 = 1;
const BUILD_ID: u32 = 3;
const PROPERTY: u32 = 5;

const AARCH64_FEATURES: u32 = 0xc000_0000;
const X86_FEATURES: u32 = 0xc000_0002;
const X86_ISA_NEEDED: u32 = 0xc000_8002;

/// What the notes of a file say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    /// The linker's name for this very build, in hexadecimal digits.
    pub build_id: Option<String>,
    /// The oldest Linux that the program says it runs on.
    pub linux: Option<Version>,
    /// The x86-64 level it is marked to need: 1 to 4. glibc refuses the file on a lesser processor.
    pub x86_level: Option<u8>,
    /// Control-flow protection that all of its parts take part in: `IBT` and `SHSTK` on x86, `BTI` and `PAC` on ARM.
    pub control_flow: Vec<ControlFlow>,
}

/// A protection of the control flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ControlFlow {
    /// Indirect branch tracking (x86).
    Ibt,
    /// Shadow stack (x86).
    ShadowStack,
    /// Branch target identification (ARM).
    Bti,
    /// Pointer authentication (ARM).
    Pac,
    /// Guarded control stack (ARM).
    Gcs,
}

/// Broken notes end the reading: the loader skips them too.
pub(super) fn read(image: &Image<'_>) -> Properties {
    let mut properties = Properties::default();
    for segment in &image.segments {
        // A property note is in both kinds of segment; reading it twice changes nothing.
        if matches!(segment.p_type, PT_NOTE | PT_GNU_PROPERTY)
            && let Some(bytes) = image.segment_bytes(segment)
        {
            let align = if segment.p_align == 8 { 8 } else { 4 };
            read_notes(&mut properties, image, bytes, align);
        }
    }
    properties
}

fn read_notes(
    properties: &mut Properties,
    image: &Image<'_>,
    bytes: &[u8],
    align: usize,
) -> Option<()> {
    let endian = image.endian();
    let mut start = 0_usize;
    for _ in 0..MAX_ENTRIES {
        let name_size = wide(u32_at(bytes, start, endian)?);
        let size = wide(u32_at(bytes, start.checked_add(4)?, endian)?);
        let kind = u32_at(bytes, start.checked_add(8)?, endian)?;
        let name_start = start.checked_add(12)?;
        let name = bytes.get(name_start..name_start.checked_add(name_size)?)?;
        let content_start = name_start.checked_add(name_size)?.checked_next_multiple_of(align)?;
        let end = content_start.checked_add(size)?;
        let content = bytes.get(content_start..end)?;
        if name == b"GNU\0" {
            read_note(properties, image, kind, content);
        }
        start = end.checked_next_multiple_of(align)?;
    }
    Some(())
}

fn read_note(properties: &mut Properties, image: &Image<'_>, kind: u32, content: &[u8]) {
    match kind {
        BUILD_ID if content.len() <= 64 => {
            properties.build_id = Some(content.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        ABI_TAG => {
            let part = |number: usize| u32_at(content, 4 * number, image.endian());
            if let (Some(0), Some(major), Some(minor), Some(patch)) =
                (part(0), part(1), part(2), part(3))
            {
                properties.linux = Version::parse(&format!("{major}.{minor}.{patch}"));
            }
        }
        PROPERTY => {
            read_properties(properties, image, content);
        }
        _ => {}
    }
}

fn read_properties(properties: &mut Properties, image: &Image<'_>, content: &[u8]) -> Option<()> {
    let mut start = 0_usize;
    for _ in 0..MAX_ENTRIES {
        let kind = u32_at(content, start, image.endian())?;
        let size = wide(u32_at(content, start.checked_add(4)?, image.endian())?);
        let flags = start.checked_add(8).filter(|_| size >= 4);
        let flags = flags.and_then(|flags| u32_at(content, flags, image.endian()));
        let mut mark = |names: &[(u32, ControlFlow)]| {
            let set = |bit: &u32| flags.is_some_and(|flags| flags & bit != 0);
            properties.control_flow =
                names.iter().filter(|(bit, _)| set(bit)).map(|(_, name)| *name).collect();
        };
        match kind {
            X86_FEATURES => mark(&[(1, ControlFlow::Ibt), (2, ControlFlow::ShadowStack)]),
            AARCH64_FEATURES => {
                mark(&[(1, ControlFlow::Bti), (2, ControlFlow::Pac), (4, ControlFlow::Gcs)]);
            }
            X86_ISA_NEEDED => {
                let level = flags.map(|flags| 32 - (flags & 0xf).leading_zeros());
                properties.x86_level =
                    level.and_then(|level| u8::try_from(level).ok()).filter(|level| *level > 0);
            }
            _ => {}
        }
        let next = start.checked_add(8)?.checked_add(size)?;
        start = next.checked_next_multiple_of(image.width())?;
    }
    Some(())
}
