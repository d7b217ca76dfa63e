//! `requirements.txt` as a lock: what pip and uv read, held to one version and known digests per package.
//!
//! uv reads the file itself; this only finds out whether it is a lock, and takes it apart so that a message can name the
//! one package that is at fault. Files that other files are read from are refused: what they say would be in no cache key.

use std::ops::Range;

/// One requirement of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requirement {
    /// The package's name, as packaging normalises it.
    pub(super) name: String,
    /// The version; `None` for one that is named by its file or URL.
    pub(super) version: Option<String>,
    /// When it counts: the environment marker, if it has one.
    pub(super) marker: Option<String>,
    /// All of it on one line.
    pub(super) text: String,
}

/// A line that a lock cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// Its first line in the file.
    pub(super) span: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// No `--hash=`.
    NoHash,
    /// A digest nobody should rely on.
    WeakHash,
    /// Not exactly one version.
    NotPinned,
    /// An option that reads another file, or changes what is chosen.
    Option,
    /// Not a requirement.
    Syntax,
}

impl FaultKind {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::NoHash => "no `--hash=sha256:...`",
            Self::WeakHash => "its digest must be a SHA-256, SHA-384 or SHA-512",
            Self::NotPinned => "not one version: `name==1.2.3` is",
            Self::Option => "a lock cannot have this option",
            Self::Syntax => "not a requirement",
        }
    }
}

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Requirements {
    /// Lines that say where packages are to be had.
    pub(super) options: Vec<String>,
    pub(super) all: Vec<Requirement>,
}

/// Options that name a place to look for packages. Digests decide what is taken from there.
const PLACES: [&str; 10] = [
    "-i",
    "--index-url",
    "--extra-index-url",
    "-f",
    "--find-links",
    "--no-index",
    "--only-binary",
    "--prefer-binary",
    "--require-hashes",
    "--trusted-host",
];

/// Takes a lock apart.
///
/// # Errors
/// Everything in it that a lock cannot have.
pub(super) fn parse(text: &str) -> Result<Requirements, Vec<Fault>> {
    let mut found = Requirements::default();
    let mut faults = Vec::new();
    for (line, span) in logical_lines(text) {
        let read = if line.starts_with('-') {
            option(&line).map(|()| found.options.push(line))
        } else {
            requirement(line).map(|requirement| found.all.push(requirement))
        };
        if let Err(kind) = read {
            faults.push(Fault { kind, span });
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// Lines without comments, those that a backslash continues made one; each with the place of its first line.
fn logical_lines(text: &str) -> Vec<(String, Range<usize>)> {
    let mut lines = Vec::new();
    let mut current: Option<(String, Range<usize>)> = None;
    let mut offset = 0;
    for raw in text.split_inclusive('\n') {
        let start = offset;
        offset += raw.len();
        let line = without_comment(raw.trim_end());
        let (part, continues) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        let part = part.trim();
        let entry = current.get_or_insert_with(|| (String::new(), start..start + part.len()));
        if !part.is_empty() {
            if entry.0.is_empty() {
                let indent = raw.len() - raw.trim_start().len();
                entry.1 = start + indent..start + indent + part.len();
            } else {
                entry.0.push(' ');
            }
            entry.0.push_str(part);
        }
        if !continues {
            lines.extend(current.take());
        }
    }
    lines.extend(current);
    lines.retain(|(line, _)| !line.is_empty());
    lines
}

/// A comment begins at a `#` at the start or after a blank: the one in a URL is none.
fn without_comment(line: &str) -> &str {
    let hash = line
        .match_indices('#')
        .find(|(at, _)| line[..*at].chars().next_back().is_none_or(char::is_whitespace));
    hash.map_or(line, |(at, _)| &line[..at]).trim_end()
}

fn option(line: &str) -> Result<(), FaultKind> {
    let name = line.split(|letter: char| letter == '=' || letter.is_whitespace()).next();
    if name.is_some_and(|name| PLACES.contains(&name)) { Ok(()) } else { Err(FaultKind::Option) }
}

fn requirement(text: String) -> Result<Requirement, FaultKind> {
    let (what, hashes) = match text.find(" --") {
        Some(at) => (text[..at].trim(), &text[at..]),
        None => (text.as_str(), ""),
    };
    let (what, marker) = match what.split_once(';') {
        Some((what, marker)) => (what.trim(), Some(marker.trim().to_owned())),
        None => (what, None),
    };
    let end = what
        .find(|letter: char| !(letter.is_ascii_alphanumeric() || ".-_".contains(letter)))
        .unwrap_or(what.len());
    let (name, rest) = what.split_at(end);
    // Extras change what a package asks for, and a lock has all of that already.
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(extras) => extras.split_once(']').ok_or(FaultKind::Syntax)?.1.trim_start(),
        None => rest,
    };
    if !name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) {
        return Err(FaultKind::Syntax);
    }
    let version = match rest.strip_prefix('@') {
        Some(_) => None,
        None => Some(pinned(rest)?.to_owned()),
    };
    check_hashes(hashes)?;
    Ok(Requirement { name: normalized(name), version, marker, text })
}

fn pinned(specifier: &str) -> Result<&str, FaultKind> {
    let version = specifier.strip_prefix("==").ok_or(FaultKind::NotPinned)?;
    let version = version.strip_prefix('=').unwrap_or(version).trim();
    let is_one = !version.is_empty() && !version.contains(['*', ',', '<', '>', '=', ' ']);
    if is_one { Ok(version) } else { Err(FaultKind::NotPinned) }
}

fn check_hashes(options: &str) -> Result<(), FaultKind> {
    let mut count = 0;
    for word in options.split_whitespace() {
        let digest = word.strip_prefix("--hash=").ok_or(FaultKind::Option)?;
        let (algorithm, value) = digest.split_once(':').ok_or(FaultKind::WeakHash)?;
        let length = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return Err(FaultKind::WeakHash),
        };
        if value.len() != length || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(FaultKind::WeakHash);
        }
        count += 1;
    }
    if count == 0 { Err(FaultKind::NoHash) } else { Ok(()) }
}

/// As packaging compares names: lower case, runs of `-`, `_` and `.` are one `-`.
pub(super) fn normalized(name: &str) -> String {
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "0221748c30ace75fde0dec8c470abe65fb5374cd4f37adb9db6aca7a3c362c0a";

    fn names(text: &str) -> Vec<String> {
        let text = text.replace("HASH", &format!("--hash=sha256:{DIGEST}"));
        let all = parse(&text).expect("a lock").all;
        all.into_iter()
            .map(|one| {
                let version = one.version.as_deref().unwrap_or("?");
                let marker = one.marker.map(|marker| format!("; {marker}")).unwrap_or_default();
                format!("{} {version}{marker}", one.name)
            })
            .collect()
    }

    fn faults(text: &str) -> Vec<(FaultKind, String)> {
        let text = text.replace("HASH", &format!("--hash=sha256:{DIGEST}"));
        let faults = parse(&text).expect_err("not a lock");
        faults.into_iter().map(|fault| (fault.kind, text[fault.span].to_owned())).collect()
    }

    #[test]
    fn what_uv_and_pip_compile_write() {
        let text = "# made by a tool\n\
            --index-url https://example.com/simple\n\n\
            msgpack==1.2.4 \\\n    HASH \\\n    HASH\n    # via -r requirements.in\n\
            Foo_Bar.baz[x,y] == 2.0 ; python_version < \"3.11\" \\\r\n    HASH  # why\r\n\
            torch @ https://example.com/torch-2.whl#sha256=1 ; sys_platform == 'linux' HASH";
        assert_eq!(
            names(text),
            [
                "msgpack 1.2.4",
                "foo-bar-baz 2.0; python_version < \"3.11\"",
                "torch ?; sys_platform == 'linux'"
            ]
        );
    }

    #[test]
    fn nothing_is_a_lock_too() {
        assert_eq!(names(""), Vec::<String>::new());
        assert_eq!(names("\n # only this\n\\\n\n"), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_lock_is_told_line_by_line() {
        use FaultKind::*;
        let cases = [
            ("six==1.17.0", NoHash),
            ("six==1.17.0 --hash=md5:d41d8cd98f00b204e9800998ecf8427e", WeakHash),
            ("six==1.17.0 --hash=sha256:abc", WeakHash),
            ("six>=1.17 HASH", NotPinned),
            ("six HASH", NotPinned),
            ("six==1.* HASH", NotPinned),
            ("six==1.0,<2 HASH", NotPinned),
            ("six==1.0 --global-option=x HASH", Option),
            ("-r other.txt", Option),
            ("-c constraints.txt", Option),
            ("-e .", Option),
            ("--pre", Option),
            ("./here HASH", Syntax),
            ("six[a==1 HASH", Syntax),
        ];
        for (line, kind) in cases {
            let found = faults(&format!("a==1 HASH\n  {line}\n"));
            assert_eq!(found.len(), 1, "{line}");
            assert_eq!(found[0].0, kind, "{line}");
            assert!(
                line.replace("HASH", &format!("--hash=sha256:{DIGEST}")).starts_with(&found[0].1),
                "{line}"
            );
        }
        assert_eq!(
            faults("six==1 \\\n  # no\nb\n"),
            [(NoHash, "six==1".to_owned()), (NotPinned, "b".to_owned())]
        );
    }

    proptest! {
        #[test]
        fn spans_are_in_the_file(text in "(\\PC|[ \\n\\r\\\\#=;@\\[-]){0,200}") {
            if let Err(faults) = parse(&text) {
                for fault in faults {
                    prop_assert!(text.get(fault.span).is_some_and(|line| !line.is_empty()));
                }
            }
        }
    }
}
