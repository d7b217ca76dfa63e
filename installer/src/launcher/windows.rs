//! Standing in for another program on Windows, where no process becomes another one.
//!
//! The launcher starts the runtime, waits, and ends with its exit status. Until then it must neither end by itself nor
//! leave the runtime behind:
//!
//! - Ctrl-C and Ctrl-Break reach every process of the console, so the runtime has them already; the launcher lets them pass.
//!   When the console is closed, or the user logs off, the runtime gets the time the system grants, and so the launcher
//!   waits too.
//! - A job object ends the runtime when the launcher is ended by force. What the runtime itself has started is not in it,
//!   as on Unix.
//!
//! Deliberately absent: handing on files other than the three standard streams.

use std::io;
use std::os::windows::io::AsRawHandle as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::ptr;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_BAD_EXE_FORMAT, ERROR_EXE_MACHINE_TYPE_MISMATCH, HANDLE,
};
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
    JobObjectExtendedLimitInformation, SetInformationJobObject,
};
use windows_sys::core::BOOL;

use super::{LauncherError, Start, target};

/// Runs the runtime in this process's stead and ends as it does; returns only when it could not be started.
pub(super) fn become_runtime(start: &Start) -> LauncherError {
    survive_the_console();
    let mut command = Command::new(&start.runtime);
    for (name, value) in &start.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let status = command.args(&start.arguments).spawn().and_then(|mut child| {
        bind(&child);
        child.wait()
    });
    match status {
        // There is always a code on this system.
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => explain(start, error),
    }
}

/// Whether `path` is a file. What may be executed is decided by its name here.
pub(super) fn is_executable_file(path: &Path) -> bool {
    path.is_file()
}

/// How the launch file calls the program in the file `name`: without `.exe`.
pub(super) fn program_name(name: &str) -> &str {
    match name.len().checked_sub(4).and_then(|at| name.split_at_checked(at)) {
        Some((stem, extension)) if extension.eq_ignore_ascii_case(".exe") => stem,
        _ => name,
    }
}

/// A path without the `\\?\` that resolving links puts before it: many programs do not understand it. It stays where the
/// path is too long without. Anything else is passed on as it is.
pub(super) fn plain(path: PathBuf) -> PathBuf {
    const LONGEST: usize = 259;
    let Some(rest) = path.to_str().and_then(|text| text.strip_prefix(r"\\?\")) else { return path };
    let short = match rest.strip_prefix(r"UNC\") {
        Some(share) => format!(r"\\{share}"),
        None => rest.to_owned(),
    };
    let is_drive = short.as_bytes().get(1) == Some(&b':') || short.starts_with(r"\\");
    if is_drive && short.encode_utf16().count() <= LONGEST { short.into() } else { path }
}

/// Keeps this process alive until the runtime has ended.
fn survive_the_console() {
    // SAFETY: the handler is a function and touches nothing. That there may be no console is no failure.
    #[expect(unsafe_code, reason = "the console has no safe wrapper")]
    unsafe {
        SetConsoleCtrlHandler(Some(on_console_event), 1);
    }
}

/// Runs on a thread of the system's.
#[expect(unsafe_code, reason = "its type is that of the system's callbacks")]
unsafe extern "system" fn on_console_event(event: u32) -> BOOL {
    if !matches!(event, CTRL_C_EVENT | CTRL_BREAK_EVENT) {
        // Returning would end the process. Waiting makes the system wait for the runtime, as long as it ever does.
        loop {
            std::thread::park();
        }
    }
    1
}

/// Ties the runtime's life to this process's. Where that is not to be had, it is started all the same.
fn bind(child: &Child) {
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags =
        JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK;
    let size = u32::try_from(size_of_val(&limits)).expect("it has some hundred bytes");
    // SAFETY: the pointers are null where that is allowed, or to `limits`, which is as long as is said. The job is never
    // closed: it must end with this process, and not before.
    #[expect(unsafe_code, reason = "job objects have no safe wrapper")]
    unsafe {
        let job = CreateJobObjectW(ptr::null(), ptr::null());
        if job.is_null() {
            return;
        }
        let limits = ptr::from_ref(&limits).cast();
        if SetInformationJobObject(job, JobObjectExtendedLimitInformation, limits, size) != 0 {
            AssignProcessToJobObject(job, child.as_raw_handle() as HANDLE);
        }
    }
}

/// Says what a failed start means for this bundle.
fn explain(start: &Start, error: io::Error) -> LauncherError {
    let runtime = start.runtime.clone();
    match error.raw_os_error().and_then(|code| u32::try_from(code).ok()) {
        _ if !runtime.exists() => LauncherError::NoRuntime { runtime },
        Some(ERROR_BAD_EXE_FORMAT | ERROR_EXE_MACHINE_TYPE_MISMATCH) => {
            LauncherError::WrongFormat { runtime, target: target(&start.bundle) }
        }
        Some(ERROR_ACCESS_DENIED) => LauncherError::Forbidden { runtime },
        _ => LauncherError::Start { runtime, source: error },
    }
}
