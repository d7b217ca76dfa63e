//! Single values: versions, ranges, globs, paths, words.
//!
//! Each takes what it can use and notes what it cannot, with what to write instead.

use std::collections::BTreeMap;
use std::ops::Range;

use gangway_artifact::BundlePath;
use globset::{GlobBuilder, GlobSetBuilder};
use nodejs_semver::Version;

use super::error::{FaultKind, Faults};
use super::{Located, names, raw};

/// Versions name files and are compared: only the exact form will do, not all that npm reads as one.
pub(super) fn is_version(text: &str) -> bool {
    Version::parse(text).is_ok_and(|version| version.to_string() == text)
}

/// How to write what `text` seems to mean as a version.
pub(super) fn version_help(text: &str) -> String {
    let mut candidates = vec![text.trim().trim_start_matches(['v', '=']).to_owned()];
    candidates.push(format!("{}.0", candidates[0]));
    candidates.push(format!("{}.0.0", candidates[0]));
    match candidates.iter().find(|candidate| is_version(candidate)) {
        Some(version) => format!("write \"{version}\""),
        None => "write three numbers with dots, such as \"1.0.0\" or \"2.0.0-beta.1\"".to_owned(),
    }
}

/// Why `path` is not the path of a URL.
pub(super) fn url_path_fault(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        Some("it does not start with `/`")
    } else if !path.chars().all(|char| char.is_ascii_graphic()) {
        Some("it holds a character that URLs write as `%..`")
    } else if path.contains('#') {
        Some("what follows `#` is never sent")
    } else {
        None
    }
}

/// The path in `text` if it is a whole URL, or `text` with a slash before it.
pub(super) fn url_path_suggestion(text: &str) -> String {
    let rest = match text.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => text,
    };
    let path = format!("/{}", rest.trim_start_matches('/'));
    if path.len() > 1 && url_path_fault(&path).is_none() { path } else { "/health".to_owned() }
}

/// Reads an npm version range.
pub(super) fn version_range(
    range: Located<String>,
    faults: &mut Faults,
) -> Option<Located<nodejs_semver::Range>> {
    let parsed = nodejs_semver::Range::parse(&range.value).ok();
    if let Some(value) = parsed.filter(|_| !range.value.trim().is_empty()) {
        return Some(Located { value, span: range.span });
    }
    let is_word = range.value.chars().all(|char| char.is_ascii_alphabetic());
    let help = if is_word && !range.value.is_empty() {
        "tags move, ranges do not: write one such as \"24.x\", \"^24.16.0\" or \">=24.16.0 <25\""
    } else {
        "write a range such as \"24.x\", \"^24.16.0\" or \">=24.16.0 <25\""
    };
    let kind = FaultKind::VersionRange { text: range.value };
    faults.add(&range.span, kind, "not a range").help(help);
    None
}

/// Notes the globs that cannot be used.
pub(super) fn globs(globs: Vec<Located<String>>, faults: &mut Faults) -> Vec<Located<String>> {
    for glob in &globs {
        if let Some((reason, help)) = glob_fault(&glob.value) {
            let kind = FaultKind::Glob { glob: glob.value.clone(), reason };
            faults.add(&glob.span, kind, "not usable").help(help);
        }
    }
    globs
}

/// What is wrong with a glob, and what to do. A glob that can match nothing is a mistake too.
fn glob_fault(glob: &str) -> Option<(String, String)> {
    let fault = |reason: &str, help: String| Some((reason.to_owned(), help));
    if glob.is_empty() {
        return fault("it is empty", "write `**` for everything".to_owned());
    }
    if glob.starts_with('!') {
        let help = "list what to take in `include` or `keep`, and what to leave out in `exclude`";
        return fault("`!` does not negate here", help.to_owned());
    }
    if glob.starts_with('/') || glob.starts_with("./") {
        let rest = glob.trim_start_matches(['.', '/']);
        return fault(
            "globs are relative to a folder and start with a name",
            format!("write \"{}\"", rest.escape_debug()),
        );
    }
    if glob.split('/').any(|part| part == "..") {
        return fault("`..` leads out of the folder", "name files below the folder".to_owned());
    }
    if glob.ends_with('/') {
        return fault(
            "a trailing `/` matches no file",
            format!("write \"{}**\"", glob.escape_debug()),
        );
    }
    // Built all the way: a glob can be read and still be too deep to match with.
    let glob = GlobBuilder::new(glob).literal_separator(true).build();
    let error = glob.and_then(|glob| GlobSetBuilder::new().add(glob).build()).err()?;
    let help = "escape `[`, `]`, `{`, `}` and `*` with `\\` where the character itself is meant";
    Some((error.kind().to_string(), help.to_owned()))
}

/// Reads a path from the manifest's folder.
pub(super) fn bundle_path(
    path: Located<String>,
    faults: &mut Faults,
) -> Option<Located<BundlePath>> {
    let Located { value, span } = path;
    match BundlePath::new(value) {
        Ok(value) => Some(Located { value, span }),
        Err(error) => {
            let normal = error.path.replace('\\', "/");
            let parts: Vec<_> =
                normal.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
            let help = match BundlePath::new(parts.join("/")) {
                Ok(path) if !normal.starts_with('/') => format!("write \"{path}\""),
                _ => "write the path from this manifest's folder, such as \"dist/main.js\""
                    .to_owned(),
            };
            let label = error.reason;
            faults.add(&span, error.into(), label).help(help);
            None
        }
    }
}

/// Takes environment variables, and notes those no program can be given.
pub(super) fn variables(
    variables: raw::Variables,
    faults: &mut Faults,
) -> BTreeMap<String, String> {
    let mut checked = BTreeMap::new();
    for (name, value) in variables {
        if let Some(reason) = names::variable_fault(&name.value) {
            misnamed(("an environment variable", "NODE_ENV"), &name, reason, None, faults);
        }
        no_nul("env", &value, faults);
        checked.insert(name.value, value.value);
    }
    checked
}

/// Takes names of environment variables, and notes those that name none.
pub(super) fn variable_names(names: Vec<Located<String>>, faults: &mut Faults) -> Vec<String> {
    for name in &names {
        if let Some(reason) = names::variable_fault(&name.value) {
            misnamed(("an environment variable", "NODE_OPTIONS"), name, reason, None, faults);
        }
    }
    names.into_iter().map(|name| name.value).collect()
}

/// Takes arguments, and notes those no program can be given.
pub(super) fn words(
    key: &'static str,
    words: Vec<Located<String>>,
    faults: &mut Faults,
) -> Vec<String> {
    words.iter().for_each(|word| no_nul(key, word, faults));
    words.into_iter().map(|word| word.value).collect()
}

fn no_nul(key: &'static str, text: &Located<String>, faults: &mut Faults) {
    if text.value.contains('\0') {
        let help = "no system can pass that character to a program; take it out";
        faults.add(&text.span, FaultKind::Nul { key }, "in here").help(help);
    }
}

/// Notes a name that is none of an npm package.
pub(super) fn package_name(name: &Located<String>, faults: &mut Faults) {
    if let Some(reason) = names::package_fault(&name.value) {
        let suggestion = names::package_suggestion(&name.value);
        misnamed(("an npm package", "@scope/name"), name, reason, suggestion, faults);
    }
}

/// Notes that `name` cannot name `what`, for the reason given.
pub(super) fn misnamed(
    (what, example): (&'static str, &str),
    name: &Located<String>,
    reason: &'static str,
    suggestion: Option<&str>,
    faults: &mut Faults,
) {
    let kind = FaultKind::Name { what, name: name.value.clone(), reason };
    let help = match suggestion {
        Some(suggestion) => format!("write \"{suggestion}\""),
        None => format!("write a name such as \"{example}\""),
    };
    faults.add(&name.span, kind, reason).help(help);
}

/// Notes a list or text without content.
pub(super) fn empty(key: &'static str, span: &Range<usize>, help: &str, faults: &mut Faults) {
    faults.add(span, FaultKind::Empty { key }, "empty").help(help);
}

/// Notes every value that an earlier one equals, by what `as_name` makes of them.
pub(super) fn unique<'list, T: 'list, N: PartialEq + AsRef<str>>(
    what: &'static str,
    values: impl IntoIterator<Item = &'list Located<T>>,
    as_name: impl Fn(&T) -> N,
    faults: &mut Faults,
) {
    let mut seen: Vec<(N, Range<usize>)> = Vec::new();
    for value in values {
        let name = as_name(&value.value);
        match seen.iter().find(|(earlier, _)| *earlier == name) {
            Some((_, first)) => {
                let kind = FaultKind::Duplicate { what, name: name.as_ref().to_owned() };
                let fault = faults.add(&value.span, kind, "again here");
                fault.also(first.clone(), "first here").help("keep one of the two");
            }
            None => seen.push((name, value.span.clone())),
        }
    }
}
