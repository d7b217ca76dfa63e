//! Becoming another program on Unix.
//!
//! `std::process::Command` is not used: its `exec` goes through `execvp`, which hands a file the kernel refuses to
//! `/bin/sh`, and it unblocks signals and resets `SIGPIPE`. Here nothing is changed.

use std::ffi::{CStr, CString, OsStr, OsString, c_char, c_int};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::ptr;

use super::{LauncherError, Start, target};

/// The arguments of C's `main`.
///
/// # Safety
/// `values` must point to `count` strings that each end with a NUL.
#[expect(unsafe_code, reason = "a program without Rust's start-up code gets its arguments from C")]
#[must_use]
pub unsafe fn arguments(count: c_int, values: *const *const c_char) -> Vec<OsString> {
    let count = usize::try_from(count).unwrap_or(0);
    (0..count)
        .map(|index| {
            // SAFETY: the caller promises `count` strings.
            let value = unsafe { CStr::from_ptr(*values.add(index)) };
            OsString::from_vec(value.to_bytes().to_vec())
        })
        .collect()
}

/// Replaces this process; returns only when that fails.
pub(super) fn become_runtime(start: &Start) -> LauncherError {
    match execute(start) {
        Ok(never) => match never {},
        Err(error) => explain(start, error),
    }
}

/// Whether `path` is a file somebody may execute.
pub(super) fn is_executable_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// How the launch file calls the program in the file `name`: the same.
pub(super) fn program_name(name: &str) -> &str {
    name
}

/// A path as other programs understand it: as it is.
pub(super) fn plain(path: PathBuf) -> PathBuf {
    path
}

/// What success returns: nothing ever.
enum Never {}

#[expect(
    unsafe_code,
    reason = "no safe wrapper of execve leaves signals and the search for a shell alone"
)]
fn execute(start: &Start) -> io::Result<Never> {
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::from);
    let program = text(start.runtime.as_os_str())?;
    let arguments = start.arguments.iter().map(|one| text(one)).collect::<io::Result<Vec<_>>>()?;
    let pointers = null_terminated(std::iter::once(&program).chain(&arguments));
    if start.environment.is_empty() {
        // SAFETY: `pointers` is a list of strings with a null at its end, and all of them outlive the call.
        unsafe { libc::execv(program.as_ptr(), pointers.as_ptr()) };
    } else {
        let environment = environment(start)?;
        let environment = null_terminated(&environment);
        // SAFETY: as above, for both lists.
        unsafe { libc::execve(program.as_ptr(), pointers.as_ptr(), environment.as_ptr()) };
    }
    Err(io::Error::last_os_error())
}

/// This process's environment with the changes of `start`.
fn environment(start: &Start) -> io::Result<Vec<CString>> {
    let changed = |name: &OsStr| start.environment.iter().any(|(other, _)| name == *other);
    let own = std::env::vars_os().filter(|(name, _)| !changed(name));
    let set = start.environment.iter();
    let set = set.filter_map(|(name, value)| Some((OsString::from(name), value.clone()?)));
    own.chain(set)
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            CString::new(name.into_vec()).map_err(io::Error::from)
        })
        .collect()
}

fn null_terminated<'text>(texts: impl IntoIterator<Item = &'text CString>) -> Vec<*const c_char> {
    texts.into_iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// Says what a failed exec means for this bundle.
fn explain(start: &Start, error: io::Error) -> LauncherError {
    let runtime = start.runtime.clone();
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) if runtime.exists() => {
            LauncherError::NoLoader { runtime, target: target(&start.bundle) }
        }
        Some(libc::ENOENT | libc::ENOTDIR) => LauncherError::NoRuntime { runtime },
        Some(libc::ENOEXEC) => {
            LauncherError::WrongFormat { runtime, target: target(&start.bundle) }
        }
        Some(libc::EACCES) if is_executable_file(&runtime) => LauncherError::Refused { runtime },
        Some(libc::EACCES) if runtime.exists() => LauncherError::NotExecutable { runtime },
        _ => LauncherError::Start { runtime, source: error },
    }
}
