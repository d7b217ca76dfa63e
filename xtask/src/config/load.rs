//! From text to a validated [`Config`].

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use miette::NamedSource;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::Beside;
use super::error::{Fault, FaultKind, Faults};
use super::package_json::{self, PackageJson};
use super::{Config, ConfigError, FORMAT, check, raw, schema, shape};

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
    let manifest = parse(&text)?;
    let folder = match path.parent() {
        Some(folder) if folder != "" => folder,
        _ => Utf8Path::new("."),
    };
    let package = package_json(&folder.join(package_json::FILE_NAME))?;
    let beside = Beside { folder, package: package.as_ref() };
    check::config(path, &text, manifest, &beside)
}

/// The keys of a document of the right shape.
fn parse(text: &Arc<NamedSource<String>>) -> Result<raw::Manifest, ConfigError> {
    let document = DeTable::parse(text.inner()).map_err(|error| syntax(text, &error))?;
    format(text, document.get_ref())?;
    let mut faults = Faults::new(text);
    shape::check(document.get_ref(), &schema::value(), &mut faults);
    if !faults.is_empty() {
        return Err(faults.into_error());
    }
    raw::Manifest::deserialize(toml::de::Deserializer::from(document)).map_err(|error| {
        let kind = FaultKind::Unexpected { message: error.message().to_owned() };
        Fault::new(text, error.span().unwrap_or(0..0), kind, "here").into()
    })
}

fn syntax(text: &Arc<NamedSource<String>>, error: &toml::de::Error) -> ConfigError {
    let span = error.span().unwrap_or(0..0);
    let kind = FaultKind::Syntax { message: error.message().trim().replace('\n', "; ") };
    let mut fault = Fault::new(text, span.clone(), kind, "here");
    fault.help(syntax_help(text.inner(), span.start, error.message()));
    fault.into()
}

/// How to write the line at `offset`, as far as its text tells what was meant.
fn syntax_help(text: &str, offset: usize, message: &str) -> String {
    if message.contains("duplicate key") {
        return "write each key once, and each table under one header; several of a kind take `[[...]]`"
            .to_owned();
    }
    let start = text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    match line.split_once('=') {
        Some((key, value)) if is_bare_word(value.trim()) => {
            format!("write `{} = \"{}\"`, with quotes", key.trim(), value.trim())
        }
        _ => "a line is `key = value`, `[table]` or `[[list]]`; strings stand in quotes".to_owned(),
    }
}

/// Whether `value` is a string that lacks its quotes.
fn is_bare_word(value: &str) -> bool {
    !value.is_empty()
        && !value.contains(['"', '\'', '[', ']', '{', '}', '#', '\\'])
        && !value.contains(char::is_control)
}

/// A manifest of another format has other keys: nothing else about it can be judged.
fn format(text: &Arc<NamedSource<String>>, document: &DeTable<'_>) -> Result<(), Fault> {
    let written = document.get("format").map(|value| (value.span(), Spanned::get_ref(value)));
    let Some((span, DeValue::Integer(number))) = written else { return Ok(()) };
    let found = i64::from_str_radix(number.as_str(), number.radix());
    if found == Ok(FORMAT) {
        return Ok(());
    }
    let kind = FaultKind::Format { found: number.to_string() };
    let mut fault = Fault::new(text, span, kind, format!("this Gangway reads format {FORMAT}"));
    if found.is_ok_and(|found| found < FORMAT) {
        fault.help(format!("write `format = {FORMAT}`"));
    } else {
        fault.help(format!(
            "update Gangway to one that reads it, or write `format = {FORMAT}` and the keys of \
             that format"
        ));
    }
    Err(fault)
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

fn read(path: &Utf8Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    String::from_utf8(std::fs::read(path).map_err(unreadable)?).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        ConfigError::NotText { path: path.to_owned(), offset }
    })
}
