//! Linux: names are looked for among what is loaded, then along the paths in the files, then in the system.
//!
//! glibc: `DT_RPATH` of the file, of those who asked for it and of the program, unless the file has a `DT_RUNPATH`,
//! which counts for the file's own needs only. musl: either of them, of the file and of all who asked.
//! `LD_LIBRARY_PATH` is taken to be empty.

use super::super::bundle::{Bundle, folder, join};
use super::{Found, Loaded, Process};

/// The parts of the C library that musl answers for itself, in any version: `lib<name>.`.
const MUSL_OWN: [&str; 7] = ["c", "pthread", "rt", "m", "dl", "util", "xnet"];

pub(super) fn find(bundle: &Bundle<'_>, process: &Process, by: usize, library: &str) -> Found {
    let is_musl = bundle.policy.is_musl();
    let answers = |loaded: &Loaded| {
        let soname = bundle.elf(loaded.file).and_then(|elf| elf.soname.as_deref());
        loaded.name == library || (!is_musl && soname == Some(library))
    };
    if library.contains('/') {
        return if bundle.policy.has(library) { Found::System } else { Found::Missing };
    }
    if process.loaded.iter().any(answers) {
        return Found::Already;
    }
    if is_musl && is_own(library) {
        return Found::System;
    }
    let folders = if is_musl { musl(bundle, process, by) } else { glibc(bundle, process, by) };
    for folder in folders {
        let Some(place) = join(&folder, library) else { continue };
        // One for another processor is passed over.
        if let Some(file) = bundle.find(&place).filter(|file| bundle.elf(*file).is_some()) {
            return Found::File(file, place);
        }
    }
    if bundle.policy.has(library) { Found::System } else { Found::Missing }
}

/// Whether musl takes itself for this library, whatever its version: `libc.so.6` too.
fn is_own(library: &str) -> bool {
    let stem = library.strip_prefix("lib").and_then(|rest| rest.split_once('.'));
    stem.is_some_and(|(stem, _)| MUSL_OWN.contains(&stem))
}

fn glibc(bundle: &Bundle<'_>, process: &Process, by: usize) -> Vec<String> {
    let loaded = &process.loaded[by];
    if let Some(elf) = bundle.elf(loaded.file).filter(|elf| !elf.runpath.is_empty()) {
        return expand(&elf.runpath, loaded);
    }
    let program = process.loaded.first().filter(|_| process.has_program);
    let mut folders = Vec::new();
    for loaded in process.chain(by).into_iter().chain(program) {
        if let Some(elf) = bundle.elf(loaded.file).filter(|elf| elf.runpath.is_empty()) {
            folders.extend(expand(&elf.rpath, loaded));
        }
    }
    folders
}

fn musl(bundle: &Bundle<'_>, process: &Process, by: usize) -> Vec<String> {
    let mut folders = Vec::new();
    for loaded in process.chain(by) {
        if let Some(elf) = bundle.elf(loaded.file) {
            let path = if elf.runpath.is_empty() { &elf.rpath } else { &elf.runpath };
            folders.extend(expand(path, loaded));
        }
    }
    folders
}

/// The folders of the bundle that a search path names. Others are the system's.
fn expand(path: &[String], loaded: &Loaded) -> Vec<String> {
    path.iter().filter_map(|entry| from_origin(entry, &loaded.place)).collect()
}

/// The folder that an entry names, when it counts from the file's own.
pub(super) fn from_origin(entry: &str, place: &str) -> Option<String> {
    let rest = entry.strip_prefix("$ORIGIN").or_else(|| entry.strip_prefix("${ORIGIN}"))?;
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    join(folder(place), rest.trim_start_matches('/'))
}
