//! Windows: by name, in any case, among what is loaded, in the folder of what is opened, then in the system.
//!
//! Runtimes open addons with `LOAD_WITH_ALTERED_SEARCH_PATH`: the addon's folder counts instead of the program's.
//! `PATH` and the current folder are taken to hold nothing.

use super::super::bundle::{Bundle, folder, join, name};
use super::{Found, Process};
use crate::pe::Pe;

pub(super) fn find(bundle: &Bundle<'_>, process: &Process, pe: &Pe, library: &str) -> Found {
    if pe.host.as_ref().is_some_and(|host| host.library.eq_ignore_ascii_case(library)) {
        return Found::Host;
    }
    let key = library.to_ascii_lowercase();
    let is_redirected = key.starts_with("api-ms-win-") || key.starts_with("ext-ms-");
    if is_redirected && bundle.policy.has(&key) {
        return Found::System;
    }
    if process.loaded.iter().any(|loaded| name(&loaded.place).eq_ignore_ascii_case(library)) {
        return Found::Already;
    }
    let root = &process.loaded[process.own];
    if let Some(place) = join(folder(&root.place), library)
        && let Some(file) = bundle.find(&place).filter(|file| bundle.pe(*file).is_some())
    {
        return Found::File(file, place);
    }
    if bundle.policy.has(&key) { Found::System } else { Found::Missing }
}
