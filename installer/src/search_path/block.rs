//! The lines that are put into a file, and taken out again.
//!
//! Pure, on bytes: what else is in the file need not be text, and is not touched.

use camino::Utf8Path;

/// The language of a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// What sh, bash, zsh and ksh read.
    Posix,
    /// fish's own.
    Fish,
}

/// What is found in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Removal {
    /// The lines were taken out; this is what is left.
    Left(Vec<u8>),
    /// They are not there.
    Absent,
    /// Lines with these marks are there, and not as they were written.
    Altered,
}

/// The lines that put `folder` before what is on `PATH`, unless it is there. They begin with the end of the line before, where
/// `content` does not end with one: so they say by themselves what is taken out with them.
pub(super) fn text(
    app: &str,
    folder: &Utf8Path,
    home: &Utf8Path,
    syntax: Syntax,
    content: &[u8],
) -> String {
    let folder = match folder.strip_prefix(home) {
        // So the file does well on another machine, where the home is elsewhere.
        Ok(rest) if !rest.as_str().is_empty() => {
            format!("$HOME/{}", escaped(rest.as_str(), syntax))
        }
        _ => escaped(folder.as_str(), syntax),
    };
    let (mut begin, end) = marks(app);
    if !is_ended(content) {
        begin.insert(0, '\n');
    }
    match syntax {
        Syntax::Posix => format!(
            "{begin}\ncase \":${{PATH-}}:\" in\n  *:\"{folder}\":*) ;;\n  *) export PATH=\"{folder}${{PATH:+:$PATH}}\" ;;\nesac\n{end}\n"
        ),
        Syntax::Fish => format!(
            "{begin}\ncontains -- \"{folder}\" $PATH; or set -gx PATH \"{folder}\" $PATH\n{end}\n"
        ),
    }
}

/// `content` with the lines at its end; `None` when it has them.
pub(super) fn add(content: &[u8], text: &str) -> Option<Vec<u8>> {
    if place(content, text).is_some() {
        return None;
    }
    // The file was changed since the lines were made for it.
    let end = if is_ended(content) || text.starts_with('\n') { "" } else { "\n" };
    Some([content, end.as_bytes(), text.as_bytes()].concat())
}

/// `content` without the lines.
pub(super) fn remove(content: &[u8], text: &str) -> Removal {
    let Some(at) = place(content, text) else {
        let begin = text.trim_start().lines().next().unwrap_or(text);
        let is_marked = content.windows(begin.len()).any(|window| window == begin.as_bytes());
        return if is_marked { Removal::Altered } else { Removal::Absent };
    };
    let (before, rest) = content.split_at(at);
    let after = &rest[text.len()..];
    // What was added below since needs the end of the line before.
    let end: &[u8] = if text.starts_with('\n') && !after.is_empty() { b"\n" } else { b"" };
    Removal::Left([before, end, after].concat())
}

fn is_ended(content: &[u8]) -> bool {
    content.is_empty() || content.ends_with(b"\n")
}

/// The first and the last line.
fn marks(app: &str) -> (String, String) {
    (
        format!(
            "# >>> {app} >>> put here by its installer, which takes it out when it is uninstalled"
        ),
        format!("# <<< {app} <<<"),
    )
}

/// Where the lines are: whole ones.
fn place(content: &[u8], text: &str) -> Option<usize> {
    let text = text.as_bytes();
    let is_whole = |at: usize| at == 0 || text.starts_with(b"\n") || content[at - 1] == b'\n';
    let mut places = content.windows(text.len()).enumerate();
    places.find(|(at, window)| *window == text && is_whole(*at)).map(|(at, _)| at)
}

/// As it stands between double quotes.
fn escaped(text: &str, syntax: Syntax) -> String {
    let special: &[char] = match syntax {
        Syntax::Posix => &['\\', '"', '$', '`'],
        Syntax::Fish => &['\\', '"', '$'],
    };
    let mut escaped = String::new();
    for letter in text.chars() {
        if special.contains(&letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(syntax: Syntax, content: &[u8]) -> String {
        let (folder, home) = ("/home/a/.local/bin", "/home/a");
        text("claw", Utf8Path::new(folder), Utf8Path::new(home), syntax, content)
    }

    #[test]
    fn what_is_written() {
        insta::assert_snapshot!(lines(Syntax::Posix, b""), @r#"
        # >>> claw >>> put here by its installer, which takes it out when it is uninstalled
        case ":${PATH-}:" in
          *:"$HOME/.local/bin":*) ;;
          *) export PATH="$HOME/.local/bin${PATH:+:$PATH}" ;;
        esac
        # <<< claw <<<
        "#);
        insta::assert_snapshot!(lines(Syntax::Fish, b""), @r#"
        # >>> claw >>> put here by its installer, which takes it out when it is uninstalled
        contains -- "$HOME/.local/bin" $PATH; or set -gx PATH "$HOME/.local/bin" $PATH
        # <<< claw <<<
        "#);
        let odd = text(
            "claw",
            Utf8Path::new("/o$d/`x`\"\\"),
            Utf8Path::new("/home/a"),
            Syntax::Posix,
            b"",
        );
        assert!(odd.contains(r#"*:"/o\$d/\`x\`\"\\":*)"#), "{odd}");
    }

    #[test]
    fn what_a_user_does_to_the_file_stays() {
        let text = lines(Syntax::Posix, b"export A=1");
        let added = add(b"export A=1", &text).expect("it is not there");
        assert_eq!(add(&added, &text), None);
        let more = [&added[..], b"export B=2\n"].concat();
        assert_eq!(remove(&more, &text), Removal::Left(b"export A=1\nexport B=2\n".to_vec()));
        let altered = String::from_utf8(added).expect("text").replace(".local", ".other");
        assert_eq!(remove(altered.as_bytes(), &text), Removal::Altered);
        assert_eq!(remove(b"export A=1", &text), Removal::Absent);
        // Not inside of a line of the user's.
        let text = lines(Syntax::Posix, b"");
        let quoted = format!("echo '{text}'");
        assert_eq!(remove(quoted.as_bytes(), &text), Removal::Altered);
    }

    proptest! {
        #[test]
        fn adding_and_removing_changes_nothing(
            content in prop::collection::vec(any::<u8>(), 0..200),
            lines_of in "(export A=1|\n|# >>> claw|esac\n# <<< claw <<<\n|x){0,5}",
        ) {
            for content in [content, lines_of.into_bytes()] {
                let text = lines(Syntax::Posix, &content);
                let added = add(&content, &text).expect("it is not there");
                prop_assert!(added.starts_with(&content));
                prop_assert_eq!(remove(&added, &text), Removal::Left(content));
            }
        }

        #[test]
        fn what_was_changed_since_stays(
            then in prop::collection::vec(any::<u8>(), 0..20),
            now in prop::collection::vec(any::<u8>(), 0..20),
            below in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let text = lines(Syntax::Posix, &then);
            let added = add(&now, &text).expect("it is not there");
            let Removal::Left(left) = remove(&[&added[..], &below].concat(), &text) else {
                panic!("it is there");
            };
            prop_assert!(left.starts_with(&now) && left.ends_with(&below));
            prop_assert!(left.len() <= now.len() + below.len() + 1);
        }
    }
}
