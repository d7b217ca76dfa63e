//! `bin/<program>` of every bundle; see [`installer::launcher`].
//!
//! Rust's own start-up code is left out. It ignores `SIGPIPE` and opens standard streams that are closed, and both
//! would be inherited by the runtime, which must find what it would find without a launcher.
#![no_main]

use std::ffi::{c_char, c_int};

use installer::launcher;

/// What the C runtime calls.
#[expect(unsafe_code, reason = "the name and the arguments are those of C")]
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, values: *const *const c_char) -> c_int {
    // SAFETY: C promises `count` strings that end with a NUL and live as long as the process.
    let arguments = unsafe { launcher::arguments(count, values) };
    c_int::from(launcher::run(&arguments))
}
