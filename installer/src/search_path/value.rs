//! `Path` as the registry has it: entries with `;` between, in UTF-16 that need not be valid.

const SEPARATOR: u16 = b';' as u16;

/// `value` with `entry` before it; `None` when it has it.
pub(super) fn add(value: &[u16], entry: &[u16]) -> Option<Vec<u16>> {
    if value.split(|unit| *unit == SEPARATOR).any(|known| is_same(known, entry)) {
        return None;
    }
    let mut added = entry.to_owned();
    if !value.is_empty() {
        added.push(SEPARATOR);
        added.extend_from_slice(value);
    }
    Some(added)
}

/// `value` without `entry`; `None` when it does not have it.
pub(super) fn remove(value: &[u16], entry: &[u16]) -> Option<Vec<u16>> {
    let mut entries: Vec<&[u16]> = value.split(|unit| *unit == SEPARATOR).collect();
    let at = entries.iter().position(|known| is_same(known, entry))?;
    entries.remove(at);
    Some(entries.join(&SEPARATOR))
}

/// Whether both name the same folder, as far as the text tells.
fn is_same(one: &[u16], other: &[u16]) -> bool {
    let plain = |entry: &[u16]| {
        let text = String::from_utf16_lossy(entry).to_lowercase().replace('/', "\\");
        text.trim().trim_end_matches('\\').to_owned()
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn what_is_there_already() {
        let entry = units("C:\\Users\\Ä\\bin");
        for value in ["C:\\Users\\Ä\\bin", "x;c:\\users\\ä\\BIN\\;y", "x;C:/Users/Ä/bin"] {
            assert_eq!(add(&units(value), &entry), None, "{value}");
        }
        assert_eq!(
            add(&units("%USERPROFILE%\\x;"), &entry),
            Some(units("C:\\Users\\Ä\\bin;%USERPROFILE%\\x;"))
        );
        assert_eq!(remove(&units("a;C:\\Users\\Ä\\bin;;b"), &entry), Some(units("a;;b")));
        assert_eq!(remove(&units("a;b"), &entry), None);
    }

    proptest! {
        #[test]
        fn adding_and_removing_changes_nothing(value in prop::collection::vec(any::<u16>(), 0..60), text in "[;a\\\\%]{0,8}") {
            let entry = units("C:\\bin");
            for value in [value, units(&text)] {
                let added = add(&value, &entry).expect("it is not there");
                prop_assert_eq!(remove(&added, &entry), Some(value));
            }
        }
    }
}
