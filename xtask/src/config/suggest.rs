//! "Did you mean": the known name that is nearest to what was written.

/// The name in `known` that `word` is most likely meant to be.
pub(crate) fn near<'known>(
    word: &str,
    known: impl IntoIterator<Item = &'known str>,
) -> Option<&'known str> {
    let word = plain(word);
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&word, &plain(name)), name))
        .filter(|(likeness, name)| *likeness > 0.88 || few_edits(&word, &plain(name)))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

/// Names as a sentence has them: `` `a`, `b` and `c` ``.
pub(super) fn listed<'name>(names: impl IntoIterator<Item = &'name str>) -> String {
    let quoted: Vec<_> =
        names.into_iter().map(|name| format!("`{}`", name.escape_debug())).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

/// `runtimeArgs`, `runtime_args` and `runtime-args` are the same word.
fn plain(word: &str) -> String {
    word.chars().filter(|char| !matches!(char, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// One wrong letter in a short word, two in a longer one.
fn few_edits(word: &str, name: &str) -> bool {
    strsim::damerau_levenshtein(word, name) <= 1 + usize::from(name.len() > 5)
        && name.len() > 2
        && word.len() > 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = ["args", "name", "runtime-args", "script", "timeout-seconds", "engine", "env"];
        for (written, meant) in [
            ("runtime_args", Some("runtime-args")),
            ("runtimeArgs", Some("runtime-args")),
            ("scripts", Some("script")),
            ("nmae", Some("name")),
            ("timeout", Some("timeout-seconds")),
            ("environ", None),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(near(written, keys), meant, "{written}");
        }
    }

    #[test]
    fn lists_read_like_a_sentence() {
        assert_eq!(listed([]), "");
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
