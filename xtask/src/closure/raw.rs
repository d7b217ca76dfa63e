//! What serde sees of a lockfile.
//!
//! Lockfiles are npm's, and old packages put odd things into their manifests that npm copies: unknown fields are passed
//! over, and where npm takes a field in several shapes (or ignores a wrong one), so does this. What we must rely on
//! (keys, flags, versions) is strict.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use camino::Utf8Path;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::{Malformed, UnsupportedVersion};
use super::{ClosureError, Format};

/// One entry of `packages`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Entry {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    pub(super) resolved: Option<String>,
    pub(super) integrity: Option<String>,
    pub(super) link: bool,
    pub(super) in_bundle: bool,
    pub(super) dev: bool,
    pub(super) optional: bool,
    pub(super) has_install_script: bool,
    #[serde(deserialize_with = "words")]
    pub(super) os: Vec<String>,
    #[serde(deserialize_with = "words")]
    pub(super) cpu: Vec<String>,
    #[serde(deserialize_with = "words")]
    pub(super) libc: Vec<String>,
    pub(super) bin: Value,
    #[serde(deserialize_with = "texts")]
    pub(super) engines: BTreeMap<String, String>,
    #[serde(deserialize_with = "texts")]
    pub(super) dependencies: BTreeMap<String, String>,
    #[serde(deserialize_with = "texts")]
    pub(super) optional_dependencies: BTreeMap<String, String>,
    #[serde(deserialize_with = "texts")]
    pub(super) peer_dependencies: BTreeMap<String, String>,
    pub(super) peer_dependencies_meta: Value,
    #[serde(deserialize_with = "texts")]
    pub(super) dev_dependencies: BTreeMap<String, String>,
    pub(super) workspaces: Value,
    /// What is changed in the package after it was unpacked; npm has nothing of the kind.
    #[serde(skip)]
    pub(super) patch: Option<PatchFile>,
}

/// A patch that a lockfile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PatchFile {
    /// Its path from the lockfile.
    pub(super) path: String,
    /// Its SHA-256 in hexadecimal digits, if the lockfile has it.
    pub(super) sha256: Option<String>,
}

/// An object with every key once.
#[derive(Debug)]
pub(super) struct Unique<T>(pub(super) BTreeMap<String, T>);

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "lockfileVersion", default)]
    version: Value,
}

#[derive(Deserialize)]
struct Document {
    packages: Option<Unique<Entry>>,
}

/// Reads the entries of the lockfile `text`.
pub(super) fn parse(text: &str, path: &Utf8Path) -> Result<BTreeMap<String, Entry>, ClosureError> {
    // npm itself passes over a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let malformed = |error: serde_json::Error| Malformed::json(text, path, &error);
    let header: Header = serde_json::from_str(text).map_err(malformed)?;
    if !matches!(header.version.as_u64(), Some(2 | 3)) {
        return Err(UnsupportedVersion::npm(path, &header.version).into());
    }
    let document: Document = serde_json::from_str(text).map_err(malformed)?;
    match document.packages {
        Some(entries) => Ok(entries.0),
        None => {
            Err(ClosureError::NoPackages { path: path.to_owned(), rewrite: Format::Npm.rewrite() })
        }
    }
}

impl<T> Default for Unique<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}

struct UniqueVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for UniqueVisitor<T> {
    type Value = Unique<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with one entry per package")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique<T>, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            if entries.contains_key(&key) {
                let key = key.escape_debug();
                return Err(A::Error::custom(format_args!("`{key}` is listed twice")));
            }
            entries.insert(key, map.next_value()?);
        }
        Ok(Unique(entries))
    }
}

impl Entry {
    /// What a link means: a key of `packages`.
    pub(super) fn target(&self) -> Option<&str> {
        let resolved = self.resolved.as_deref().unwrap_or("");
        self.link.then(|| resolved.strip_prefix("file:").unwrap_or(resolved))
    }

    /// Whether a peer dependency is marked as optional.
    pub(super) fn has_optional_peer(&self, name: &str) -> bool {
        self.peer_dependencies_meta
            .get(name)
            .and_then(|meta| meta.get("optional"))
            .is_some_and(|optional| optional.as_bool() == Some(true))
    }
}

/// A list of words; npm takes a single word as a list of one.
pub(super) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(word) if !word.is_empty() => vec![word],
        Value::Array(list) => {
            list.iter().filter_map(|word| Some(word.as_str()?.to_owned())).collect()
        }
        _ => Vec::new(),
    })
}

/// An object of texts; anything else in it, or instead of it, means nothing to npm.
pub(super) fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Object(map) => map
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.as_str()?.to_owned())))
            .collect(),
        _ => BTreeMap::new(),
    })
}
