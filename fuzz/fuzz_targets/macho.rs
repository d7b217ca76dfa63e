//! Mach-O files, thin and fat.

#![no_main]

use libfuzzer_sys::fuzz_target;

/// The kinds of file that the reader takes.
const HEADS: [&[u8]; 4] =
    [b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"];

fuzz_target!(|bytes: &[u8]| {
    // The bytes as they are, which the seeds need, and with each head, so that no time is spent on finding one.
    let _ = (gangway_abi::read(bytes), gangway_abi::identify(bytes));
    let Some((choice, body)) = bytes.split_first() else { return };
    let head = HEADS[usize::from(*choice) % HEADS.len()];
    let _ = gangway_abi::read(&[head, body].concat());
});
