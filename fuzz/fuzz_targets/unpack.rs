//! Archives of bundles: nothing may be kept of a bad one, and nothing be outside.

#![no_main]

#[path = "../../crates/artifact/examples/damage/trial.rs"]
#[expect(dead_code, reason = "another target has the rest")]
mod trial;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| trial::unpack(bytes, &trial::place("unpack")));
