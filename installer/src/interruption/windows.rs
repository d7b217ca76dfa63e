//! What a console of Windows tells: Ctrl-C, Ctrl-Break, that its window closes, that the user logs off.

use std::io;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use windows_sys::Win32::Foundation::STATUS_CONTROL_C_EXIT;
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::core::BOOL;

use super::{Interruption, Signal};

/// Where it is noted.
static NOTED: OnceLock<Interruption> = OnceLock::new();

/// The number that Ctrl-C has elsewhere: here what came makes no difference.
const NUMBER: usize = 2;

/// Has them noted.
///
/// # Errors
/// When the system refuses.
pub fn listen(interruption: &Interruption) -> io::Result<()> {
    NOTED.get_or_init(|| interruption.clone());
    // SAFETY: the handler is there as long as the process is.
    #[expect(unsafe_code, reason = "consoles have no safe wrapper")]
    let done = unsafe { SetConsoleCtrlHandler(Some(note), 1) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Ends the process with the status of one that Ctrl-C has ended: a byte does not hold it.
#[must_use]
pub fn exit_code(_: Signal) -> ExitCode {
    std::process::exit(STATUS_CONTROL_C_EXIT)
}

/// Runs on a thread of the system's. Where it answers with 0, the system ends the process.
#[expect(unsafe_code, reason = "its type is that of the system's callbacks")]
unsafe extern "system" fn note(kind: u32) -> BOOL {
    let Some(noted) = NOTED.get() else { return 0 };
    if noted.ends_at_once.swap(true, Ordering::SeqCst) {
        return 0;
    }
    noted.signal.store(NUMBER, Ordering::SeqCst);
    if !matches!(kind, CTRL_C_EVENT | CTRL_BREAK_EVENT) {
        // The system gives the process some seconds, and ends it as soon as this returns.
        loop {
            std::thread::park();
        }
    }
    1
}
