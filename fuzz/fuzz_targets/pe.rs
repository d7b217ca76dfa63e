//! PE files.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The bytes as they are, which the seeds need, and with the head, so that no time is spent on finding it.
    let _ = (gangway_abi::read(bytes), gangway_abi::identify(bytes));
    let _ = gangway_abi::read(&[&b"MZ"[..], bytes].concat());
});
