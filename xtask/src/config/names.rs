//! What may be a name: of an app, a program, an npm package, an environment variable.
//!
//! Apps and programs become files on every platform, so their names keep clear of what any of them forbids.

/// Device names of Windows; a file of that name cannot be made there, whatever its extension.
const WINDOWS_DEVICES: &[&str] = &["con", "prn", "aux", "nul", "com", "lpt"];

/// The longest name; `<app>-<version>-<target>.tar.zst` stays well under the 255 bytes file systems allow.
const LONGEST: usize = 64;

/// npm's own limit.
const LONGEST_PACKAGE: usize = 214;

/// Why `name` cannot name an app.
pub(super) fn app_fault(name: &str) -> Option<&'static str> {
    if name.contains(|char: char| char.is_ascii_uppercase()) {
        return Some("it has upper-case letters");
    }
    program_fault(name)
}

/// Why `name` cannot name a program in `bin/`.
pub(super) fn program_fault(name: &str) -> Option<&'static str> {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > LONGEST {
        return Some("it is longer than 64 bytes");
    }
    if name.contains(['/', '\\']) {
        return Some("it is a path");
    }
    if !name.chars().all(plain) {
        return Some("only letters, digits, `-`, `_` and `.` are allowed");
    }
    let ends = [name.chars().next(), name.chars().next_back()];
    if !ends.into_iter().flatten().all(|char| char.is_ascii_alphanumeric()) {
        return Some("it must begin and end with a letter or digit");
    }
    is_windows_device(name).then_some("Windows keeps that name for a device")
}

/// A name near `name` that an app may have.
pub(super) fn app_suggestion(name: &str) -> Option<String> {
    program_suggestion(&name.to_lowercase())
}

/// A name near `name` that a program may have.
pub(super) fn program_suggestion(name: &str) -> Option<String> {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    let name: String = name.chars().map(|char| if plain(char) { char } else { '-' }).collect();
    let name = name.trim_matches(|char: char| !char.is_ascii_alphanumeric());
    program_fault(name).is_none().then(|| name.to_owned())
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

fn is_windows_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let letters = stem.trim_end_matches(|char: char| char.is_ascii_digit());
    let digits = stem.len() - letters.len();
    WINDOWS_DEVICES.contains(&letters) && digits == usize::from(matches!(letters, "com" | "lpt"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_of_every_platform_may_have_these_names() {
        for name in ["openclaw", "a", "gateway-2", "my.gateway_x", "com", "command", "console"] {
            assert_eq!(app_fault(name), None, "{name}");
        }
        assert_eq!(program_fault("OpenClaw"), None);
    }

    #[test]
    fn names_that_some_platform_refuses() {
        for name in [
            "", ".", "..", "-x", ".hidden", "x.", "a/b", "a\\b", "a b", "a:b", "é", "nul",
            "con.js", "com1", "LPT9.txt", "a\0",
        ] {
            assert!(program_fault(name).is_some(), "{name:?}");
        }
        assert!(app_fault("OpenClaw").is_some());
        assert!(app_fault(&"a".repeat(65)).is_some());
    }

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
                prop_assert_eq!(app_fault(&name), None);
            }
        }
    }
}
