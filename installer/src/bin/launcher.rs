//! `bin/<program>` of every bundle; see [`installer::launcher`].
//!
//! On Unix, Rust's own start-up code is left out. It ignores `SIGPIPE` and opens standard streams that are closed, and both
//! would be inherited by the runtime, which must find what it would find without a launcher.
#![cfg_attr(unix, no_main)]

use installer::launcher;

/// What the C runtime calls.
#[cfg(unix)]
#[expect(unsafe_code, reason = "the name and the arguments are those of C")]
#[unsafe(no_mangle)]
extern "C" fn main(
    count: std::ffi::c_int,
    values: *const *const std::ffi::c_char,
) -> std::ffi::c_int {
    // SAFETY: C promises `count` strings that end with a NUL and live as long as the process.
    let arguments = unsafe { launcher::arguments(count, values) };
    std::ffi::c_int::from(launcher::run(&arguments))
}

#[cfg(windows)]
fn main() -> std::process::ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    launcher::run(&arguments).into()
}
