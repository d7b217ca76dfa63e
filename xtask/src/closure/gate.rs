//! `os`, `cpu`, `libc` and `engines`: whether a package is for a machine. (npm: `npm-install-checks`.)

use gangway_artifact::Platform;
use nodejs_semver::{Range, Version};

use super::raw::Entry;

/// What packages are to run on.
#[derive(Debug, Clone, Copy)]
pub struct Host<'host> {
    /// The platform.
    pub platform: &'host Platform,
    /// The Node.js version; npm leaves out optional packages whose `engines` rule it out. `None`: any will do.
    pub node: Option<&'host Version>,
}

impl<'host> From<&'host Platform> for Host<'host> {
    fn from(platform: &'host Platform) -> Self {
        Self { platform, node: None }
    }
}

/// Whether the platform is one the package names.
pub(super) fn is_for_platform(entry: &Entry, platform: &Platform) -> bool {
    matches(&entry.os, Some(platform.os.as_str()))
        && matches(&entry.cpu, Some(platform.cpu.as_str()))
        && matches(&entry.libc, platform.libc.map(gangway_artifact::Libc::as_str))
}

/// Whether `engines` allows the host's Node.js. A range we cannot read allows it: to leave a package out for a reason
/// we do not understand would be worse than to ship one too many.
pub(super) fn is_for_node(entry: &Entry, node: Option<&Version>) -> bool {
    let range = entry.engines.get("node").and_then(|range| Range::parse(range).ok());
    match (range, node) {
        (Some(range), Some(node)) => range.satisfies(node),
        _ => true,
    }
}

/// What a package asks of a platform, for messages.
pub(super) fn wishes(entry: &Entry) -> String {
    [("os", &entry.os), ("cpu", &entry.cpu), ("libc", &entry.libc)]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(field, list)| format!("{field} `{}`", list.join("`, `")))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A platform in npm's words, for messages.
pub(super) fn describe(platform: &Platform) -> String {
    let mut text = format!("os `{}`, cpu `{}`", platform.os.as_str(), platform.cpu.as_str());
    if let Some(libc) = platform.libc {
        text.push_str(&format!(", libc `{}`", libc.as_str()));
    }
    text
}

/// None of the negated words, and one of the others if there are others. Where the platform has no such thing (a libc
/// outside Linux), a package that asks for one is for another platform.
fn matches(list: &[String], value: Option<&str>) -> bool {
    if list.is_empty() {
        return true;
    }
    let Some(value) = value else { return false };
    if list == ["any"] {
        return true;
    }
    let negated = |word: &&String| word.starts_with('!');
    if list.iter().filter(negated).any(|word| &word[1..] == value) {
        return false;
    }
    list.iter().all(|word| negated(&word)) || list.iter().any(|word| word == value)
}

#[cfg(test)]
mod tests {
    use gangway_artifact::{Cpu, Libc, Os};

    use super::*;

    fn ask(words: &[&str], value: &str) -> bool {
        matches(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>(), Some(value))
    }

    #[test]
    fn lists() {
        assert!(ask(&[], "linux"));
        assert!(ask(&["any"], "linux"));
        assert!(ask(&["darwin", "linux"], "linux"));
        assert!(!ask(&["darwin"], "linux"));
        assert!(ask(&["!win32"], "linux"));
        assert!(ask(&["!win32", "!darwin"], "linux"));
        assert!(!ask(&["!linux"], "linux"));
        assert!(!ask(&["!win32", "darwin"], "linux"));
        assert!(ask(&["!win32", "linux"], "linux"));
        assert!(!ask(&["any", "darwin"], "linux"));
    }

    #[test]
    fn only_linux_has_a_libc() {
        let entry = Entry { libc: vec!["glibc".to_owned()], ..Entry::default() };
        let mut platform = Platform { os: Os::Linux, cpu: Cpu::X64, libc: Some(Libc::Glibc) };
        assert!(is_for_platform(&entry, &platform));
        platform.libc = Some(Libc::Musl);
        assert!(!is_for_platform(&entry, &platform));
        platform = Platform { os: Os::Darwin, cpu: Cpu::X64, libc: None };
        assert!(!is_for_platform(&entry, &platform));
    }

    #[test]
    fn engines() {
        let node = "20.20.2".parse().expect("a version");
        let needs = |range: &str| {
            let engines = [("node".to_owned(), range.to_owned())].into();
            is_for_node(&Entry { engines, ..Entry::default() }, Some(&node))
        };
        assert!(needs(">=18"));
        assert!(!needs(">=22"));
        assert!(needs("not a range"));
        assert!(is_for_node(&Entry::default(), Some(&node)));
    }
}
