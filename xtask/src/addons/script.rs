//! The command line of a program in an install script, as npm's shell and minimist would see it.

use std::collections::BTreeMap;

/// The arguments of the first call of `program` in a script of package.json.
#[must_use]
pub(super) fn arguments(script: &str, program: &str) -> Option<Vec<String>> {
    commands(script).into_iter().find_map(|words| {
        let is_program = |word: &String| word.rsplit('/').next() == Some(program);
        let place = words.iter().position(is_program)?;
        Some(words[place + 1..].to_vec())
    })
}

/// Options by their long names. `aliases` are the short ones.
#[must_use]
pub(super) fn options(arguments: &[String], aliases: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        let (name, value) = match argument.strip_prefix("--") {
            Some(long) => {
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)))
            }
            None => match argument.strip_prefix('-').and_then(|short| short.split_at_checked(1)) {
                Some((name, "")) => (name, None),
                Some((name, value)) => (name, Some(value.strip_prefix('=').unwrap_or(value))),
                None => continue,
            },
        };
        let alias = aliases.iter().find(|(short, _)| *short == name);
        let name = alias.map_or(name, |(_, long)| *long);
        let value = match (value, name.strip_prefix("no-")) {
            (Some(value), _) => value.to_owned(),
            (None, Some(negated)) => {
                options.insert(negated.to_owned(), "false".to_owned());
                continue;
            }
            (None, None) => {
                let next = rest.next_if(|next| !next.starts_with('-'));
                next.map_or_else(|| "true".to_owned(), Clone::clone)
            }
        };
        options.insert(name.to_owned(), value);
    }
    options
}

/// A script's commands, each as its words. What only a running shell knows is left as it is.
fn commands(script: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    for char in script.chars() {
        match (quote, char) {
            (Some(open), char) if open == char => quote = None,
            (None, '"' | '\'') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (None, '&' | '|' | ';' | '(' | ')' | '\n') => {
                commands.last_mut().expect("there is one from the start").extend(word.take());
                commands.push(Vec::new());
            }
            (None, char) if char.is_whitespace() => {
                commands.last_mut().expect("there is one from the start").extend(word.take());
            }
            (_, char) => word.get_or_insert_default().push(char),
        }
    }
    commands.last_mut().expect("there is one from the start").extend(word);
    commands
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_call_is_found_among_others() {
        for (script, expected) in [
            ("prebuild-install || node-gyp rebuild --release", Some(vec![])),
            ("prebuild-install -r napi || node-gyp rebuild", Some(vec!["-r", "napi"])),
            (
                "(node install/libvips && prebuild-install --tag-prefix '') || (node-gyp rebuild)",
                Some(vec!["--tag-prefix", ""]),
            ),
            ("node ./node_modules/.bin/prebuild-install --verbose", Some(vec!["--verbose"])),
            ("node prebuild-install.js", None),
            ("", None),
        ] {
            let found = arguments(script, "prebuild-install");
            let found = found.as_ref().map(|words| words.iter().map(String::as_str).collect());
            assert_eq!(found, expected, "{script}");
        }
    }

    #[test]
    fn options_have_many_forms() {
        let words = ["-r", "napi", "--target=6", "-t3", "--verbose", "--no-strip", "--tag-prefix="];
        let words = words.map(str::to_owned);
        let found = options(&words, &[("r", "runtime"), ("t", "target")]);
        let found: Vec<_> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            found,
            ["runtime=napi", "strip=false", "tag-prefix=", "target=3", "verbose=true"]
        );
    }

    proptest! {
        #[test]
        fn any_script_is_read(script in "[-a-z=&|;()'\" é\\n]{0,40}") {
            let words = arguments(&script, "a").unwrap_or_default();
            let found = options(&words, &[("r", "runtime")]);
            prop_assert!(found.len() <= words.len());
        }
    }
}
