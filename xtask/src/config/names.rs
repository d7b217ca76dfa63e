//! What may be a name: of an app, a program, an npm package, an environment variable.
//!
//! What an app and a program may be called the installer must agree on: [`AppName`](gangway_artifact::AppName) and [`ProgramName`] say it.

use gangway_artifact::ProgramName;

/// npm's own limit.
const LONGEST_PACKAGE: usize = 214;

/// A name near `name` that an app may have.
pub(super) fn app_suggestion(name: &str) -> Option<String> {
    program_suggestion(&name.to_lowercase())
}

/// A name near `name` that a program may have.
pub(super) fn program_suggestion(name: &str) -> Option<String> {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    let name: String = name.chars().map(|char| if plain(char) { char } else { '-' }).collect();
    let name = name.trim_matches(|char: char| !char.is_ascii_alphanumeric());
    ProgramName::fault(name).is_none().then(|| name.to_owned())
}

/// Why `name` cannot name an npm package.
pub(super) fn package_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > LONGEST_PACKAGE {
        return Some("it is longer than 214 bytes");
    }
    if package_suggestion(name).is_some() {
        return Some("a version does not belong here");
    }
    let parts = match name.strip_prefix('@') {
        Some(scoped) => match scoped.split_once('/') {
            Some((scope, rest)) => [scope, rest],
            None => return Some("a scope is followed by `/` and a name"),
        },
        None => [name, name],
    };
    parts.into_iter().find_map(|part| {
        let plain = |char: char| char.is_ascii_alphanumeric() || "-_.!~*'()".contains(char);
        if part.is_empty() || part.starts_with('.') || !part.chars().all(plain) {
            Some("npm allows no such name")
        } else {
            None
        }
    })
}

/// `name` without the version that follows it: `esbuild` of `esbuild@0.28.2`.
pub(super) fn package_suggestion(name: &str) -> Option<&str> {
    let (name, _) = name.rsplit_once('@')?;
    package_fault(name).is_none().then_some(name)
}

/// Why `name` cannot name an environment variable.
pub(super) fn variable_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.contains(['=', '\0']) {
        Some("it holds `=` or a NUL character")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use gangway_artifact::AppName;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packages_as_npm_names_them() {
        for name in ["ws", "@napi-rs/canvas", "left-pad", "JSONStream", "a.b_c", "_x"] {
            assert_eq!(package_fault(name), None, "{name}");
        }
        for name in
            ["", "@scope", "@/x", "@scope/", "a/b", ".x", "../x", "a b", "esbuild@1", "@a/b/c"]
        {
            assert!(package_fault(name).is_some(), "{name}");
        }
        assert_eq!(package_suggestion("@a/b@1.2"), Some("@a/b"));
        assert_eq!(package_suggestion("a b@1.2"), None);
    }

    proptest! {
        #[test]
        fn a_suggestion_can_be_taken(name in "\\PC{0,20}") {
            if let Some(name) = app_suggestion(&name) {
                prop_assert_eq!(AppName::fault(&name), None);
            }
        }
    }
}
