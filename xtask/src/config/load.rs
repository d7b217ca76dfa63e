//! From text to a validated [`Config`].

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use miette::NamedSource;

use super::check::Beside;
use super::document::{self, read};
use super::package_json::{self, PackageJson};
use super::{Config, ConfigError, FORMAT, check, raw, schema};

/// Looks for `gangway.toml` in `start` and the folders above it.
#[must_use]
pub fn find(start: &Utf8Path) -> Option<Utf8PathBuf> {
    start.ancestors().map(|folder| folder.join(super::FILE_NAME)).find(|path| path.is_file())
}

/// Reads and validates the manifest at `path`.
///
/// # Errors
/// When it cannot be read or is not a valid manifest; every message names the line.
pub fn load(path: &Utf8Path) -> Result<Config, ConfigError> {
    let text = Arc::new(NamedSource::new(path, read(path)?));
    let schema = schema::value::<raw::Manifest>();
    let manifest: raw::Manifest = document::parse(&text, &schema, FORMAT)?;
    let folder = match path.parent() {
        Some(folder) if folder != "" => folder,
        _ => Utf8Path::new("."),
    };
    let package = package_json(&folder.join(package_json::FILE_NAME))?;
    let beside = Beside { folder, package: package.as_ref() };
    check::config(path, &text, manifest, &beside)
}

fn package_json(path: &Utf8Path) -> Result<Option<PackageJson>, ConfigError> {
    match read(path) {
        Ok(text) => Ok(Some(PackageJson::parse(path.as_str(), text)?)),
        Err(ConfigError::Unreadable { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
