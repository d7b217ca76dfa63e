//! The little that is read of the `package.json` beside a manifest: the version, and whether there are dependencies.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use miette::NamedSource;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::{Fault, FaultKind};

/// The file's name.
pub(super) const FILE_NAME: &str = "package.json";

/// `package.json`, as far as a manifest is concerned.
#[derive(Debug)]
pub(super) struct PackageJson {
    /// Its text, for messages.
    pub(super) text: Arc<NamedSource<String>>,
    keys: Keys,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    version: Option<String>,
    dependencies: Option<BTreeMap<String, IgnoredAny>>,
    optional_dependencies: Option<BTreeMap<String, IgnoredAny>>,
    peer_dependencies: Option<BTreeMap<String, IgnoredAny>>,
    dev_dependencies: Option<BTreeMap<String, IgnoredAny>>,
    workspaces: Option<serde_json::Value>,
}

impl PackageJson {
    /// Reads the file's text.
    ///
    /// # Errors
    /// With the line, when npm would not take it either.
    pub(super) fn parse(path: &str, text: String) -> Result<Self, Fault> {
        // npm takes a byte order mark, serde_json does not.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        let text = Arc::new(NamedSource::new(path, text));
        match serde_json::from_str::<Keys>(text.inner()) {
            Ok(keys) => Ok(Self { text, keys }),
            Err(error) => Err(unreadable(&text, &error)),
        }
    }

    /// Its version.
    pub(super) fn version(&self) -> Option<&str> {
        self.keys.version.as_deref()
    }

    /// The key that makes a lockfile necessary: the first that names packages the gateway needs to run, or, when it `is_built`, to be built.
    pub(super) fn needs_lockfile(&self, is_built: bool) -> Option<&'static str> {
        let Keys {
            dependencies, optional_dependencies, peer_dependencies, dev_dependencies, ..
        } = &self.keys;
        let maps = [
            ("dependencies", dependencies),
            ("optionalDependencies", optional_dependencies),
            ("peerDependencies", peer_dependencies),
            ("devDependencies", if is_built { dev_dependencies } else { &None }),
        ];
        let named = |map: &Option<BTreeMap<_, _>>| map.as_ref().is_some_and(|map| !map.is_empty());
        let has_workspaces = || match &self.keys.workspaces {
            Some(serde_json::Value::Array(globs)) => !globs.is_empty(),
            Some(serde_json::Value::Object(object)) => !object.is_empty(),
            _ => false,
        };
        maps.into_iter()
            .find(|(_, map)| named(map))
            .map(|(key, _)| key)
            .or_else(|| has_workspaces().then_some("workspaces"))
    }

    /// Where the key `key` of the outermost object stands.
    pub(super) fn place(&self, key: &str) -> Range<usize> {
        place(self.text.inner(), key).unwrap_or(0..0)
    }
}

fn unreadable(text: &Arc<NamedSource<String>>, error: &serde_json::Error) -> Fault {
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let message =
        message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message);
    let content = text.inner();
    let start: usize =
        content.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let offset = content.floor_char_boundary(start + column.saturating_sub(1));
    let kind = FaultKind::PackageJson { message: message.to_owned() };
    let mut fault = Fault::new(text, offset..offset, kind, "here");
    fault.help("mend it until `npm pkg get name` works in this folder");
    fault
}

/// Finds a key of the outermost object in text that is known to be JSON.
fn place(text: &str, key: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let quoted = format!("\"{key}\"");
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = string_end(bytes, at);
                let is_key = text.get(end..).is_some_and(|rest| rest.trim_start().starts_with(':'));
                if depth == 1 && is_key && text.get(at..end) == Some(quoted.as_str()) {
                    return Some(at..end);
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The end of the string that begins at `start`, behind its closing quote.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> PackageJson {
        PackageJson::parse("package.json", text.to_owned()).expect("what npm takes")
    }

    #[test]
    fn what_is_needed_to_run_needs_a_lockfile() {
        assert_eq!(parsed("{}").needs_lockfile(true), None);
        assert_eq!(parsed(r#"{"dependencies": {}}"#).needs_lockfile(true), None);
        assert_eq!(
            parsed(r#"{"dependencies": {"ws": "8"}}"#).needs_lockfile(false),
            Some("dependencies")
        );
        assert_eq!(parsed(r#"{"workspaces": ["a"]}"#).needs_lockfile(false), Some("workspaces"));
        let built = parsed(r#"{"devDependencies": {"typescript": "6"}}"#);
        assert_eq!(built.needs_lockfile(false), None);
        assert_eq!(built.needs_lockfile(true), Some("devDependencies"));
    }

    #[test]
    fn only_the_outermost_key_is_the_place() {
        let text = r#"{"x": {"version": "\"version\":"}, "y": "version", "version": "1"}"#;
        let place = parsed(text).place("version");
        assert_eq!(&text[place.clone()], "\"version\"");
        assert_eq!(&text[place.start..], r#""version": "1"}"#);
    }

    #[test]
    fn takes_a_byte_order_mark() {
        assert_eq!(parsed("\u{feff}{\"version\": \"1.0.0\"}").version(), Some("1.0.0"));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,60}|[{}\\[\\]\"\\\\:, vx\n]{0,40}") {
            let _ = place(&text, "version");
            let _ = PackageJson::parse("package.json", text);
        }
    }
}
