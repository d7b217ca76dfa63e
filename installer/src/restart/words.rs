//! A command in one line, taken apart without a shell.
//!
//! Words are separated by blanks. Between `"` or `'` blanks are letters like any other, and a quote of the other kind is too. A backslash
//! is a letter, as Windows needs it. What only a shell understands is refused, not passed on to a program that would take it
//! for a name.

use miette::Diagnostic;

/// What means something to shells, outside of quotes. (`$` and backquotes do so between `"` too.)
const FOR_SHELLS: &str = ";|&<>()$`*?[]{}!#~\n";

/// A line that is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum WordsError {
    /// There is nothing in it.
    #[error("the command is empty")]
    #[diagnostic(help("write a program and its arguments: `systemctl --user restart claw`"))]
    Empty,
    /// A quote without another one.
    #[error("the command has a {0} without a second one")]
    #[diagnostic(help("words with blanks stand between two of the same quotes"))]
    Unended(char),
    /// Something for a shell.
    #[error("the command has a `{0}`, and no shell reads it")]
    #[diagnostic(help("put it between quotes if it is meant so, or write a script and name that"))]
    ForShells(char),
}

/// The words of a line.
///
/// # Errors
/// When it has none, or only a shell would understand it.
pub fn words(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => words.extend(word.take()),
            '"' | '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        None => return Err(WordsError::Unended(letter)),
                        Some(end) if end == letter => break,
                        Some(inside @ ('$' | '`')) if letter == '"' => {
                            return Err(WordsError::ForShells(inside));
                        }
                        Some(inside) => word.push(inside),
                    }
                }
            }
            // In the middle of a word it is in names of services and of Windows' short files.
            '~' | '#' if word.is_some() => word.get_or_insert_default().push(letter),
            _ if FOR_SHELLS.contains(letter) => return Err(WordsError::ForShells(letter)),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    if words.first().is_none_or(String::is_empty) { Err(WordsError::Empty) } else { Ok(words) }
}

/// Words as a line, which [`words`] takes apart into the same.
#[must_use]
pub fn line(words: &[String]) -> String {
    let quoted = |word: &String| {
        let is_plain = |letter: char| letter.is_alphanumeric() || "-_./:=@%+,\\".contains(letter);
        if !word.is_empty() && word.chars().all(is_plain) {
            return word.clone();
        }
        // Each run without `'` stands between two of them, and each `'` between `"`.
        let parts = word.split('\'').map(|part| match part {
            "" => String::new(),
            part => format!("'{part}'"),
        });
        match parts.collect::<Vec<_>>().join("\"'\"") {
            quoted if quoted.is_empty() => "''".to_owned(),
            quoted => quoted,
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_a_word() {
        let of = |line| words(line).expect(line).join("|");
        assert_eq!(
            of(" systemctl  --user restart claw@1.service "),
            "systemctl|--user|restart|claw@1.service"
        );
        assert_eq!(
            of(r#""C:\Program Files\nssm.exe" restart claw"#),
            r"C:\Program Files\nssm.exe|restart|claw"
        );
        assert_eq!(of("a '' b'c d'e \"it's\" '$x'"), "a||bc de|it's|$x");
        assert_eq!(of(r"C:\PROGRA~1\x.exe"), r"C:\PROGRA~1\x.exe");
    }

    #[test]
    fn what_is_for_shells() {
        for (line, letter) in [
            ("a; b", ';'),
            ("a && b", '&'),
            ("a $X", '$'),
            ("a \"$X\"", '$'),
            ("a > f", '>'),
            ("~/x", '~'),
            ("a `b`", '`'),
            ("a *", '*'),
            ("a\nb", '\n'),
        ] {
            assert_eq!(words(line), Err(WordsError::ForShells(letter)), "{line}");
        }
        assert_eq!(words("a 'b"), Err(WordsError::Unended('\'')));
        assert_eq!((words("  "), words("''")), (Err(WordsError::Empty), Err(WordsError::Empty)));
    }

    proptest! {
        #[test]
        fn a_line_is_the_words_again(mut all in prop::collection::vec("[ -~éa-z]{0,8}", 1..5)) {
            all[0].insert(0, 'x');
            prop_assert_eq!(words(&line(&all)), Ok(all));
        }
    }
}
