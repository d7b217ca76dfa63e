//! Which names are one name to a file system that does not tell all texts apart.
//!
//! macOS takes names for one that differ in case, or in whether an accent is a character of its own (APFS), and passes over some
//! characters altogether (HFS+); Windows takes those for one that differ in case. A bundle is for both kinds of disk of a system,
//! so one rule is for all of them, and it is the strictest: what any of them may take for one is one.

use std::borrow::Cow;

use icu_normalizer::DecomposingNormalizerBorrowed;

/// What all spellings of a path have in common.
#[must_use]
pub fn spelling(path: &str) -> String {
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    const DECOMPOSED: DecomposingNormalizerBorrowed<'static> =
        DecomposingNormalizerBorrowed::new_nfd();
    let folded: String = DECOMPOSED.normalize_iter(path.chars()).flat_map(fold).collect();
    match DECOMPOSED.normalize(&folded) {
        Cow::Borrowed(_) => folded,
        Cow::Owned(decomposed) => decomposed,
    }
}

/// A character without its case: `ẞ`, `ß` and `SS` are one, and so are `Σ`, `σ` and `ς`.
fn fold(character: char) -> impl Iterator<Item = char> {
    let is_seen = !matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    is_seen
        .then_some(character)
        .into_iter()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_name() {
        for (one, other) in [
            ("a/File.js", "A/fILE.JS"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("CAF\u{c9}", "cafe\u{301}"),
            ("stra\u{df}e", "STRASSE"),
            ("\u{1e9e}", "ss"),
            ("\u{3a3}\u{3a3}", "\u{3c3}\u{3c2}"),
            ("\u{212a}", "k"),
            ("\u{212b}", "a\u{30a}"),
            ("\u{fb01}", "FI"),
            ("\u{1f82}", "\u{1f8a}"),
            ("\u{ac00}", "\u{1100}\u{1161}"),
            ("a\u{323}\u{307}", "a\u{307}\u{323}"),
            ("a\u{200d}b", "ab"),
        ] {
            assert_eq!(spelling(one), spelling(other), "{one} {other}");
        }
    }

    #[test]
    fn names_that_are_two() {
        for (one, other) in [
            ("a", "b"),
            ("a/b", "ab"),
            ("e", "\u{e9}"),
            ("a", "\u{430}"),
            ("1", "\u{b9}"),
            ("a", "\u{ff41}"),
        ] {
            assert_ne!(spelling(one), spelling(other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn a_spelling_is_one_of_its_own(path in any::<String>()) {
            let once = spelling(&path);
            prop_assert_eq!(spelling(&once), once.clone());
            prop_assert_eq!(spelling(&path.to_lowercase()), once);
        }
    }
}
