//! Tells an ELF program where the shared libraries lie that come along with it.
//!
//! A program with a run path gets another one in its place, if that is not longer. One without gets one in two spots
//! that no loader misses: the text goes into the padding behind the first segment, which grows by it, and the entry
//! into the one that is there for debuggers (`DT_DEBUG`: a debugger then finds the libraries by itself, or not). Nothing
//! moves, so every offset in the file stays true. What does not have the room is refused.

use std::ops::Range;

use goblin::elf::Elf;
use goblin::elf::dynamic::{DT_DEBUG, DT_RPATH, DT_RUNPATH, DT_STRTAB};
use goblin::elf::program_header::{PF_W, PT_DYNAMIC, PT_LOAD};

/// Goes up whenever the same input gives other bytes: part of the key under which results are kept.
pub const REVISION: u32 = 2;

/// Why a program was left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunPathError {
    /// Another format.
    #[error("it is not a 64-bit ELF file in little-endian order")]
    NotElf,
    /// Numbers in it contradict each other, or there is nothing that loads libraries.
    #[error("its ELF headers are malformed: {0}")]
    Malformed(&'static str),
    /// No place for the text, or for the entry.
    #[error("it has no room for a run path: {0}")]
    NoRoom(&'static str),
}

const ENTRY: usize = 16;

/// Gives a program `path` (such as `$ORIGIN/../lib`) as its only run path.
///
/// # Errors
/// When it is no ELF program, is malformed, or has no room for it. It is as it was, then.
pub fn set(bytes: &mut [u8], path: &str) -> Result<(), RunPathError> {
    for (place, field) in fields(bytes, path)? {
        bytes[place..place + field.len()].copy_from_slice(&field);
    }
    Ok(())
}

/// What has to be written where, all of it inside the file.
fn fields(bytes: &[u8], path: &str) -> Result<Vec<(usize, Vec<u8>)>, RunPathError> {
    let elf = Elf::parse(bytes).map_err(|_| RunPathError::NotElf)?;
    if !elf.is_64 || !elf.little_endian {
        return Err(RunPathError::NotElf);
    }
    let dynamic = elf.dynamic.as_ref().ok_or(RunPathError::Malformed("it loads no libraries"))?;
    let text = [path.as_bytes(), b"\0"].concat();
    let position = |tags: &[u64]| dynamic.dyns.iter().position(|entry| tags.contains(&entry.d_tag));
    // goblin's own `strtab` is a place in the file; what is asked for is the address.
    let texts = position(&[DT_STRTAB])
        .map(|number| dynamic.dyns[number].d_val)
        .ok_or(RunPathError::Malformed("it has no texts"))?;
    if let Some(number) = position(&[DT_RUNPATH, DT_RPATH]) {
        let place = texts
            .checked_add(dynamic.dyns[number].d_val)
            .and_then(|address| file_offset(&elf, address))
            .ok_or(RunPathError::Malformed("its run path is nowhere"))?;
        let old = bytes.get(place..).and_then(|rest| rest.iter().position(|byte| *byte == 0));
        let old = old.ok_or(RunPathError::Malformed("its run path has no end"))?;
        if old < path.len() {
            return Err(RunPathError::NoRoom("the run path it has is shorter"));
        }
        return Ok(vec![(place, text)]);
    }
    let number = position(&[DT_DEBUG])
        .ok_or(RunPathError::NoRoom("no entry for debuggers that could hold it"))?;
    let (header, place, address) = padding(&elf, bytes, text.len())?;
    let offset = address
        .checked_sub(texts)
        .ok_or(RunPathError::NoRoom("its texts lie behind the padding"))?;
    let entries = elf
        .program_headers
        .iter()
        .find(|segment| segment.p_type == PT_DYNAMIC)
        .and_then(|segment| usize::try_from(segment.p_offset).ok())
        .and_then(|start| start.checked_add(number * ENTRY))
        .filter(|start| start.saturating_add(ENTRY) <= bytes.len())
        .ok_or(RunPathError::Malformed("its dynamic table is nowhere"))?;
    let entry = [DT_RUNPATH, offset].map(u64::to_le_bytes).concat();
    let added = text.len() as u64;
    let mut fields = vec![(place.start, text), (entries, entry)];
    // p_filesz and p_memsz are the fifth and sixth of eight words, the first of which holds two halves.
    for field in [32, 40] {
        let at = header + field..header + field + 8;
        let old = bytes
            .get(at.clone())
            .and_then(|word| Some(u64::from_le_bytes(word.try_into().ok()?)))
            .ok_or(RunPathError::Malformed("its program headers are nowhere"))?;
        let new = old.checked_add(added).ok_or(RunPathError::Malformed("a sum overflows"))?;
        fields.push((at.start, new.to_le_bytes().to_vec()));
    }
    Ok(fields)
}

/// Where in the file the byte at `address` is.
fn file_offset(elf: &Elf<'_>, address: u64) -> Option<usize> {
    let segment = elf.program_headers.iter().find(|segment| {
        segment.p_type == PT_LOAD
            && address >= segment.p_vaddr
            && address - segment.p_vaddr < segment.p_filesz
    })?;
    usize::try_from(address - segment.p_vaddr + segment.p_offset).ok()
}

/// The place of the first segment's header, `length` unused bytes behind that segment, and their address.
fn padding(
    elf: &Elf<'_>,
    bytes: &[u8],
    length: usize,
) -> Result<(usize, Range<usize>, u64), RunPathError> {
    const NONE: RunPathError = RunPathError::NoRoom("no padding behind its first segment");
    let loads = elf.program_headers.iter().enumerate().filter(|(_, one)| one.p_type == PT_LOAD);
    let (number, first) = loads
        .min_by_key(|(_, segment)| segment.p_offset)
        .ok_or(RunPathError::Malformed("nothing in it is loaded"))?;
    if first.p_filesz != first.p_memsz || first.p_flags & PF_W != 0 {
        return Err(NONE);
    }
    let sum = |a: u64, b: u64| a.checked_add(b).ok_or(RunPathError::Malformed("a sum overflows"));
    let (start, address) =
        (sum(first.p_offset, first.p_filesz)?, sum(first.p_vaddr, first.p_memsz)?);
    let (end, last) = (sum(start, length as u64)?, sum(address, length as u64)?);
    let is_free = elf.program_headers.iter().all(|other| {
        let (from, to) = (other.p_offset, other.p_offset.saturating_add(other.p_filesz));
        let (low, high) = (other.p_vaddr, other.p_vaddr.saturating_add(other.p_memsz));
        (to <= start || from >= end || other.p_filesz == 0)
            && (high <= address || low >= last || other.p_memsz == 0 || other.p_vaddr == 0)
    });
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let (start, end) = range.ok_or(NONE)?;
    let is_zero = bytes.get(start..end).is_some_and(|gap| gap.iter().all(|byte| *byte == 0));
    let in_section = elf.section_headers.iter().any(|section| {
        section.sh_type != goblin::elf::section_header::SHT_NOBITS
            && section.sh_size > 0
            && section.sh_offset < end as u64
            && section.sh_offset.saturating_add(section.sh_size) > start as u64
    });
    if !is_free || !is_zero || in_section {
        return Err(NONE);
    }
    let header = usize::try_from(elf.header.e_phoff)
        .ok()
        .and_then(|table| table.checked_add(number * usize::from(elf.header.e_phentsize)))
        .ok_or(RunPathError::Malformed("its program headers are nowhere"))?;
    Ok((header, start..end, address))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn own() -> Vec<u8> {
        fs_err::read(std::env::current_exe().expect("tests run from a file")).expect("readable")
    }

    #[test]
    fn this_very_program_still_runs() {
        use std::os::unix::fs::PermissionsExt;

        let mut program = own();
        match set(&mut program, "$O/l") {
            Ok(()) => {
                // goblin reads texts of the table alone; what is behind it only a loader finds.
                let folder = tempfile::tempdir().expect("a folder for temporary files");
                let copy = folder.path().join("program");
                fs_err::write(&copy, &program).expect("writable");
                fs_err::set_permissions(&copy, PermissionsExt::from_mode(0o755)).expect("ours");
                let output = std::process::Command::new(&copy).arg("--list").output();
                assert!(output.expect("it starts").status.success());
            }
            // Whether a linker left room is its own affair.
            Err(error) => assert!(matches!(error, RunPathError::NoRoom(_)), "{error}"),
        }
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert_eq!(set(&mut b"#!/bin/sh\n".to_owned(), "x"), Err(RunPathError::NotElf));
        assert_eq!(set(&mut [], "x"), Err(RunPathError::NotElf));
    }

    proptest! {
        #[test]
        fn damage_is_survived(changes in prop::collection::vec((0_usize..4096, any::<u8>()), 1..6)) {
            let mut bytes = own();
            bytes.truncate(1 << 16);
            for (place, value) in changes {
                bytes[place] = value;
            }
            let before = bytes.clone();
            if set(&mut bytes, "$ORIGIN/../lib").is_err() {
                prop_assert_eq!(bytes, before);
            }
        }
    }
}
