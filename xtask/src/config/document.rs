//! Reading the TOML documents people write: manifests and target files.
//!
//! Syntax, format and shape are judged here, with a place for every fault; what values mean is their readers' affair.

use std::ops::Range;
use std::sync::Arc;

use camino::Utf8Path;
use miette::NamedSource;
use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{FaultKind, Faults};
use super::{ConfigError, shape};

pub(crate) use super::error::Fault;
pub(crate) use super::schema::{text as schema, value as schema_value};

/// The text of a document.
///
/// # Errors
/// When it cannot be read, or is not UTF-8.
pub(crate) fn read(path: &Utf8Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    String::from_utf8(std::fs::read(path).map_err(unreadable)?).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        ConfigError::NotText { path: path.to_owned(), offset }
    })
}

/// One thing that is wrong at `span` of a text.
pub(crate) fn fault(
    text: &Arc<NamedSource<String>>,
    span: Range<usize>,
    kind: FaultKind,
    label: &str,
) -> ConfigError {
    Fault::new(text, span, kind, label).into()
}

/// The content of a document of the shape that `schema` has, in the one format that is read.
///
/// # Errors
/// When it is not TOML, of another format, or of another shape: every place at once.
pub(crate) fn parse<T: DeserializeOwned>(
    text: &Arc<NamedSource<String>>,
    schema: &Value,
    format: i64,
) -> Result<T, ConfigError> {
    let document = DeTable::parse(text.inner()).map_err(|error| syntax(text, &error))?;
    check_format(text, document.get_ref(), format)?;
    let mut faults = Faults::new(text);
    shape::check(document.get_ref(), schema, &mut faults);
    if !faults.is_empty() {
        return Err(faults.into_error());
    }
    T::deserialize(toml::de::Deserializer::from(document)).map_err(|error| {
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

/// A document of another format has other keys: nothing else about it can be judged.
fn check_format(
    text: &Arc<NamedSource<String>>,
    document: &DeTable<'_>,
    format: i64,
) -> Result<(), Fault> {
    let written = document.get("format").map(|value| (value.span(), Spanned::get_ref(value)));
    let Some((span, DeValue::Integer(number))) = written else { return Ok(()) };
    let found = i64::from_str_radix(number.as_str(), number.radix());
    if found == Ok(format) {
        return Ok(());
    }
    let kind = FaultKind::Format { found: number.to_string() };
    let mut fault = Fault::new(text, span, kind, format!("this Gangway reads format {format}"));
    if found.is_ok_and(|found| found < format) {
        fault.help(format!("write `format = {format}`"));
    } else {
        fault.help(format!(
            "update Gangway to one that reads it, or write `format = {format}` and the keys of \
             that format"
        ));
    }
    Err(fault)
}
