//! Patches, and manifests of a new version: what is made is what the manifest lists, or nothing is.

#![no_main]

#[path = "../../crates/artifact/examples/damage/trial.rs"]
#[expect(dead_code, reason = "another target has the rest")]
mod trial;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| trial::update(bytes, &trial::place("update")));
