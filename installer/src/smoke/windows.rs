//! Jobs: what is in one ends as a whole, at the latest when the installer does.

use std::io;
use std::os::windows::io::AsRawHandle as _;
use std::process::{Child, Command};
use std::ptr;

use camino::Utf8Path;
use gangway_artifact::trial::Ending;
use windows_sys::Win32::Foundation::{CloseHandle, HANDLE};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation,
    SetInformationJobObject, TerminateJobObject,
};

/// A program and what it started.
#[derive(Debug)]
pub(in super::super) struct Whole(HANDLE);

impl Whole {
    /// There is no signal for it.
    pub(super) fn ask_to_end(&self) -> bool {
        false
    }

    /// Ends all of it.
    pub(super) fn kill(&self) {
        // SAFETY: the job is open as long as this value is.
        #[expect(unsafe_code, reason = "job objects have no safe wrapper")]
        unsafe {
            TerminateJobObject(self.0, 1);
        }
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        // SAFETY: it was made by `spawn`, and nobody else closes it.
        #[expect(unsafe_code, reason = "job objects have no safe wrapper")]
        unsafe {
            CloseHandle(self.0);
        }
    }
}

/// Starts a program in a job of its own.
pub(super) fn spawn(command: &mut Command) -> io::Result<(Child, Whole)> {
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    let size = u32::try_from(size_of_val(&limits)).expect("it has some hundred bytes");
    // SAFETY: the pointers are null where that is allowed, or to `limits`, which is as long as is said.
    #[expect(unsafe_code, reason = "job objects have no safe wrapper")]
    let job = unsafe { CreateJobObjectW(ptr::null(), ptr::null()) };
    if job.is_null() {
        return Err(io::Error::last_os_error());
    }
    let whole = Whole(job);
    // SAFETY: as above.
    #[expect(unsafe_code, reason = "job objects have no safe wrapper")]
    let limited = unsafe {
        let limits = ptr::from_ref(&limits).cast();
        SetInformationJobObject(job, JobObjectExtendedLimitInformation, limits, size)
    };
    if limited == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut child = command.spawn()?;
    // SAFETY: both handles are open.
    #[expect(unsafe_code, reason = "job objects have no safe wrapper")]
    let assigned = unsafe { AssignProcessToJobObject(job, child.as_raw_handle() as HANDLE) };
    if assigned == 0 && matches!(child.try_wait(), Ok(None)) {
        let error = io::Error::last_os_error();
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    Ok((child, whole))
}

/// How it ended, if it did.
pub(super) fn ended(child: &mut Child) -> io::Result<Option<Ending>> {
    // There is always a code on this system.
    Ok(child.try_wait()?.map(|status| Ending::Exit(status.code().unwrap_or(1))))
}

/// Makes a folder, with those it is in.
pub(in super::super) fn make_private(folder: &Utf8Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}

/// Nothing leaves a job that does not let it.
pub(in super::super) fn end_all(_: &Utf8Path) {}
