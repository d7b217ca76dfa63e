//! Long texts in Base64 inside a program: WebAssembly that its scripts carry along.
//!
//! Such a text is the same in all builds of one version, whatever the platform: Node 24 has 3.8 MB of it, the compiler that
//! strips types. The alphabet is that of RFC 4648, section 4.

use std::ops::Range;

/// The shortest text that counts, in bytes: what is shorter is not worth being kept by itself.
const SHORTEST: usize = 1 << 20;

/// How many different characters a text has at least. Less is a filling, such as what `patchelf` leaves where a table was.
const CHARACTERS: u32 = 32;

/// Where texts in Base64 of one mebibyte and more lie in a file, in their order.
#[must_use]
pub fn base64_texts(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut seen = 0;
    // A text that is long enough has a byte at one of these places: nothing else has to be looked at.
    for place in (SHORTEST - 1..bytes.len()).step_by(SHORTEST) {
        if place < seen {
            continue;
        }
        let before = bytes[..place].iter().rev().take_while(|byte| is_digit(**byte)).count();
        let after = bytes[place..].iter().take_while(|byte| is_digit(**byte)).count();
        let text = place - before..place + after;
        seen = text.end;
        if after > 0 && text.len() >= SHORTEST && is_varied(&bytes[text.clone()]) {
            found.push(text);
        }
    }
    found
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

fn is_varied(text: &[u8]) -> bool {
    let seen = text.iter().take(SHORTEST).fold(0_u128, |seen, byte| seen | 1 << (byte & 0x7f));
    seen.count_ones() >= CHARACTERS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    fn text(length: usize) -> Vec<u8> {
        DIGITS.iter().copied().cycle().take(length).collect()
    }

    #[test]
    fn long_texts_are_found_wherever_they_are() {
        for start in [0, 1, 5, SHORTEST - 2, SHORTEST - 1, SHORTEST, SHORTEST + 1] {
            for length in [SHORTEST, SHORTEST + 1, 3 * SHORTEST] {
                let mut file = vec![b'"'; start];
                file.extend(text(length));
                let found = base64_texts(&file);
                assert_eq!(found, std::slice::from_ref(&(start..start + length)));
                file.extend(b"==\"");
                assert_eq!(base64_texts(&file), found);
            }
        }
    }

    #[test]
    fn several_are_told_in_their_order() {
        let (long, longer) = (text(SHORTEST), text(2 * SHORTEST));
        let file = [&long[..], b"\n", &longer, b"\n", &long].concat();
        let second = SHORTEST + 1;
        let third = second + 2 * SHORTEST + 1;
        let expected = [0..SHORTEST, second..third - 1, third..third + SHORTEST];
        assert_eq!(base64_texts(&file), expected);
    }

    #[test]
    fn what_is_short_or_a_filling_is_none() {
        assert_eq!(base64_texts(&text(SHORTEST - 1)), []);
        assert_eq!(base64_texts(&vec![b'X'; 3 * SHORTEST]), []);
        assert_eq!(base64_texts(&vec![0; 3 * SHORTEST]), []);
        assert_eq!(base64_texts(b""), []);
        // One other character in the middle: neither half is long enough.
        let mut file = text(SHORTEST + 100);
        file[SHORTEST / 2] = b' ';
        assert_eq!(base64_texts(&file), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn exactly_the_runs_that_are_long_enough(
            pieces in prop::collection::vec((0_usize..3 * SHORTEST, 0_usize..3), 0..4),
        ) {
            let mut file = Vec::new();
            let mut expected = Vec::new();
            for (length, others) in pieces {
                let start = file.len();
                file.extend(text(length));
                if length >= SHORTEST {
                    expected.push(start..start + length);
                }
                // At least one, or two runs would be one.
                file.extend(vec![b'='; others + 1]);
            }
            prop_assert_eq!(base64_texts(&file), expected);
        }
    }
}
