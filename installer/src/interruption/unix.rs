//! Signals as Unix has them.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::{Interruption, Signal};

/// Has signals noted. One that whoever started this process wants ignored, as `nohup` does, stays so.
///
/// # Errors
/// When the system refuses.
pub fn listen(interruption: &Interruption) -> io::Result<()> {
    let Interruption { signal, is_idle, ends_at_once } = interruption;
    for number in [SIGHUP, SIGINT, SIGTERM] {
        if is_ignored(number)? {
            continue;
        }
        let known = usize::try_from(number).expect("signals have small numbers");
        // They are called in this order, so the first signal that is noted ends nothing.
        let ends = if number == SIGHUP { is_idle } else { ends_at_once };
        flag::register_conditional_default(number, Arc::clone(ends))?;
        flag::register(number, Arc::clone(ends_at_once))?;
        flag::register_usize(number, Arc::clone(signal), known)?;
    }
    Ok(())
}

/// The status of a process that a signal has ended, as shells tell it.
#[must_use]
pub fn exit_code(signal: Signal) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal.0.get()).unwrap_or(u8::MAX))
}

#[expect(unsafe_code, reason = "what is done about a signal has no safe wrapper")]
fn is_ignored(number: i32) -> io::Result<bool> {
    let mut found = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is changed, and there is room for what is written.
    if unsafe { libc::sigaction(number, std::ptr::null(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was written.
    Ok(unsafe { found.assume_init() }.sa_sigaction == libc::SIG_IGN)
}
