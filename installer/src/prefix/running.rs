//! Which versions something runs of: their folders must stay.
//!
//! A gateway that was started before an update goes on with the files of its own version, and loads some of them only when it needs them.

use std::collections::BTreeSet;

use super::{Layout, Slot};

/// The versions that a process of this machine runs from, as far as can be told.
#[cfg(target_os = "linux")]
pub(super) fn slots(layout: &Layout) -> BTreeSet<Slot> {
    use std::fs;
    use std::os::unix::ffi::OsStrExt as _;

    let versions = layout.versions();
    // The kernel names files by their real paths; arguments may have the one that was typed.
    let real = versions.canonicalize_utf8().unwrap_or_else(|_| versions.clone());
    let mut found = BTreeSet::new();
    let Ok(processes) = fs::read_dir("/proc") else { return found };
    for process in processes.flatten() {
        let is_number = process.file_name().as_bytes().iter().all(u8::is_ascii_digit);
        if !is_number {
            continue;
        }
        let executable = fs::read_link(process.path().join("exe"));
        let executable = executable.map(|path| path.as_os_str().as_bytes().to_vec());
        let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
        for text in executable.iter().map(Vec::as_slice).chain(arguments.split(|byte| *byte == 0)) {
            let text = String::from_utf8_lossy(text);
            let below = [&versions, &real].into_iter().find_map(|folder| {
                text.strip_prefix(folder.as_str())?.strip_prefix('/')?.split('/').next()
            });
            found.extend(below.and_then(|name| name.parse::<Slot>().ok()));
        }
    }
    found
}

/// The versions that a process of this machine runs from, as far as can be told.
#[cfg(target_os = "macos")]
#[expect(unsafe_code, reason = "processes have no safe wrapper")]
pub(super) fn slots(layout: &Layout) -> BTreeSet<Slot> {
    use std::ptr;

    let versions = layout.versions();
    let real = versions.canonicalize_utf8().unwrap_or_else(|_| versions.clone());
    // More may start meanwhile, so there is room for some.
    // SAFETY: without a buffer it only counts.
    let count = unsafe { libc::proc_listallpids(ptr::null_mut(), 0) };
    let mut processes = vec![0_i32; usize::try_from(count).unwrap_or(0) + 100];
    let size = i32::try_from(size_of_val(processes.as_slice())).unwrap_or(i32::MAX);
    // SAFETY: the buffer has that many bytes.
    let count = unsafe { libc::proc_listallpids(processes.as_mut_ptr().cast(), size) };
    processes.truncate(usize::try_from(count).unwrap_or(0));
    let path = |process: i32| {
        let mut path = vec![0_u8; 4096];
        // SAFETY: the buffer has that many bytes.
        let length = unsafe { libc::proc_pidpath(process, path.as_mut_ptr().cast(), 4096) };
        path.truncate(usize::try_from(length).ok()?);
        String::from_utf8(path).ok()
    };
    let slot = |path: String| {
        let below = path.strip_prefix(real.as_str())?.strip_prefix('/')?;
        below.split('/').next()?.parse().ok()
    };
    processes.into_iter().filter_map(path).filter_map(slot).collect()
}

/// The versions that a process of this machine runs from, as far as can be told: the system is not asked. On Windows a folder that
/// something runs from cannot be renamed, so it stays by itself.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(super) fn slots(_: &Layout) -> BTreeSet<Slot> {
    BTreeSet::new()
}
