//! Which level of Node-API a function belongs to.

use std::sync::LazyLock;

use memchr::memmem;

/// Lines of level and name; `#` starts a comment.
const TABLE: &str = include_str!("symbols.txt");

/// Sorted by name.
static LEVELS: LazyLock<Vec<(&str, u32)>> = LazyLock::new(|| {
    let line = |line: &'static str| {
        let (level, name) = line.split_once(' ')?;
        Some((name, level.parse().ok()?))
    };
    let mut levels: Vec<_> = TABLE.lines().filter_map(line).collect();
    levels.sort_unstable();
    levels
});

/// The level a function is stable since.
pub(super) fn level(name: &str) -> Option<u32> {
    let place = LEVELS.binary_search_by(|(other, _)| (*other).cmp(name)).ok()?;
    Some(LEVELS[place].1)
}

/// The level of the newest function that is named in one of these texts.
pub(super) fn newest_mentioned(texts: &[&[u8]]) -> Option<u32> {
    let mut newest = None;
    for text in texts {
        for place in memmem::find_iter(text, b"napi_").chain(memmem::find_iter(text, b"node_api_"))
        {
            newest = newest.max(longest(&text[place..]));
        }
    }
    newest
}

/// The level of the longest name that starts here: texts stand next to each other without a zero byte between them.
fn longest(text: &[u8]) -> Option<u32> {
    const LONGEST: usize = 64;
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    let length = text.iter().take(LONGEST).take_while(is_part).count();
    let word = std::str::from_utf8(&text[..length]).ok()?;
    (5..=length).rev().find_map(|end| level(&word[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        assert_eq!(LEVELS.len(), 155);
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(LEVELS.len(), lines);
        for (name, expected) in [
            ("napi_create_function", 1),
            ("napi_add_finalizer", 5),
            ("node_api_symbol_for", 9),
            ("node_api_create_property_key_utf16", 10),
        ] {
            assert_eq!(level(name), Some(expected), "{name}");
        }
        assert_eq!(level("napi_"), None);
    }

    #[test]
    fn names_without_an_end_are_found() {
        assert_eq!(newest_mentioned(&[b"xnapi_add_finalizernapi_create_function"]), Some(5));
        assert_eq!(newest_mentioned(&[b"napi_", b"node_api_"]), None);
    }
}
