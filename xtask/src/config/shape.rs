//! The first pass: a document against the schema.
//!
//! serde stops at the first thing it does not like and knows nothing of near matches. This walk finds every unknown
//! key, missing key, wrong type and unknown word at once, each at its place. It has no list of keys of its own: the
//! schema made from `raw` is the only one. What values mean is left to `check`.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::error::{FaultKind, Faults};
use super::suggest::{listed, near};

/// Notes everything in `document` that `schema` does not allow.
pub(super) fn check(document: &DeTable<'_>, schema: &Value, faults: &mut Faults) {
    let root = Table { schema, name: None, span: 0..0 };
    Walk { root: schema, faults }.table(document, &root);
}

struct Walk<'walk> {
    root: &'walk Value,
    faults: &'walk mut Faults,
}

/// A table of the document and what it may hold.
struct Table<'walk> {
    schema: &'walk Value,
    /// Its name with dots; `None` for the document itself.
    name: Option<Name>,
    span: Range<usize>,
}

/// The name of a table, with dots, and how it is written.
#[derive(Clone)]
struct Name {
    dotted: String,
    is_list: bool,
}

/// A value, by the words its place gives it.
struct Item<'walk> {
    key: String,
    dotted: String,
    /// What the schema says of the key: its examples.
    property: &'walk Value,
    /// What it says of the value.
    schema: &'walk Value,
}

impl<'walk> Walk<'walk> {
    fn table(&mut self, table: &DeTable<'_>, about: &Table<'walk>) {
        let schema = about.schema;
        let known = schema["properties"].as_object();
        let mut meant = Vec::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let property = known.and_then(|known| known.get(name));
            let free = schema.get("additionalProperties").filter(|free| free.is_object());
            match property.or(free) {
                Some(property) => {
                    let schema = self.resolve(property);
                    self.value(
                        value,
                        &Item {
                            key: name.to_owned(),
                            dotted: about.dotted(name),
                            property,
                            schema,
                        },
                    );
                }
                None => meant.extend(self.unknown_key(name, &key.span(), about)),
            }
        }
        for required in strings(&schema["required"]) {
            // A misspelt key has been noted already: it is not missing too.
            if !table.contains_key(required) && !meant.contains(&required) {
                self.missing(required, about);
            }
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, item: &Item<'walk>) {
        let schema = item.schema;
        let wanted = kind(schema);
        match (wanted, value.get_ref()) {
            ("object", DeValue::Table(table)) => {
                let name = Some(Name { dotted: item.dotted.clone(), is_list: false });
                self.table(table, &Table { schema, name, span: value.span() });
            }
            ("array", DeValue::Array(elements)) => {
                let property = &schema["items"];
                let schema = self.resolve(property);
                let item =
                    Item { key: item.key.clone(), dotted: item.dotted.clone(), property, schema };
                for element in elements.iter() {
                    self.element(element, &item);
                }
            }
            ("date", DeValue::Datetime(_)) => {}
            ("string", DeValue::String(word)) => self.word(word, &value.span(), item),
            ("integer", DeValue::Integer(number)) => self.number(number, &value.span(), item),
            ("boolean", DeValue::Boolean(_)) => {}
            (wanted, found) => {
                let kind = FaultKind::Type {
                    key: item.dotted.clone(),
                    found: described(found),
                    expected: in_words(wanted),
                };
                let written = self.faults.text().inner().get(value.span()).map(str::to_owned);
                let label = format!("expected {}", in_words(wanted));
                let fault = self.faults.add(&value.span(), kind, label);
                fault.help(instead(item, found, &written.unwrap_or_default()));
            }
        }
    }

    /// One element of a list: a table of `[[item]]`, or a plain value.
    fn element(&mut self, element: &Spanned<DeValue<'_>>, item: &Item<'walk>) {
        match element.get_ref() {
            DeValue::Table(table) if kind(item.schema) == "object" => {
                let name = Some(Name { dotted: item.dotted.clone(), is_list: true });
                self.table(table, &Table { schema: item.schema, name, span: element.span() });
            }
            _ => self.value(element, item),
        }
    }

    fn word(&mut self, word: &str, span: &Range<usize>, item: &Item<'walk>) {
        let known = choices(item.schema);
        if known.is_empty() || known.contains(&word) {
            return;
        }
        let kind = FaultKind::UnknownValue {
            key: item.dotted.clone(),
            value: word.escape_debug().to_string(),
        };
        let help = suggestion(
            near(word, known.iter().copied()),
            &format!("known values of `{}`", item.key),
            known,
        );
        self.faults.add(span, kind, "unknown value").help(help);
    }

    fn number(&mut self, number: &DeInteger<'_>, span: &Range<usize>, item: &Item<'walk>) {
        let limit = |name: &str| item.schema[name].as_i64();
        let (minimum, maximum) =
            (limit("minimum").unwrap_or(i64::MIN), limit("maximum").unwrap_or(i64::MAX));
        let value = i64::from_str_radix(number.as_str(), number.radix());
        if value.is_ok_and(|value| (minimum..=maximum).contains(&value)) {
            return;
        }
        let kind = FaultKind::OutOfRange {
            key: item.dotted.clone(),
            found: number.to_string(),
            minimum,
            maximum,
        };
        let fault = self.faults.add(span, kind, "out of range");
        if let Some(example) = example(&item.key, item.property) {
            fault.help(format!("write a line such as `{example}`"));
        }
    }

    /// Notes a key nobody reads, and returns the key it is likely meant to be.
    fn unknown_key(
        &mut self,
        key: &str,
        span: &Range<usize>,
        table: &Table<'walk>,
    ) -> Option<&'walk str> {
        let known = table.schema["properties"].as_object();
        let known: Vec<_> =
            known.into_iter().flat_map(serde_json::Map::keys).map(String::as_str).collect();
        let mut homes = Vec::new();
        homes_of(key, self.root, self.root, None, &mut homes);
        let meant = near(key, known.iter().copied()).filter(|_| homes.is_empty());
        let help = if homes.is_empty() {
            suggestion(meant, &format!("known keys {}", table.place()), known)
        } else {
            format!("`{key}` is a key of {}", listed(homes.iter().map(String::as_str)))
        };
        let kind =
            FaultKind::UnknownKey { key: key.escape_debug().to_string(), place: table.place() };
        self.faults.add(span, kind, "unknown key").help(help);
        meant
    }

    fn missing(&mut self, key: &str, table: &Table<'walk>) {
        let property = &table.schema["properties"][key];
        let schema = self.resolve(property);
        let is_list = kind(schema) == "array" && kind(self.resolve(&schema["items"])) == "object";
        let (what, help) = if is_list || kind(schema) == "object" {
            let header = Name { dotted: table.dotted(key), is_list };
            let content = if is_list { self.resolve(&schema["items"]) } else { schema };
            let lines = self.required_lines(content);
            (format!("`{header}`"), format!("add these lines:\n{header}\n{lines}"))
        } else {
            let place = table.place();
            let help = match example(key, property) {
                Some(line) if schema.get("const").is_some() => format!("write `{line}` {place}"),
                Some(line) => format!("write a line such as `{line}` {place}"),
                None => format!("write `{key} = ...` {place}"),
            };
            (format!("key `{key}` {place}"), help)
        };
        let label = format!("`{key}` is missing");
        self.faults.add(&table.span, FaultKind::Missing { what }, label).help(help);
    }

    /// What must stand in a table, by the schema's examples.
    fn required_lines(&self, schema: &Value) -> String {
        let lines =
            strings(&schema["required"]).filter_map(|key| example(key, &schema["properties"][key]));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn resolve(&self, schema: &'walk Value) -> &'walk Value {
        resolve(self.root, schema)
    }
}

impl Table<'_> {
    fn dotted(&self, key: &str) -> String {
        match &self.name {
            Some(name) => format!("{}.{}", name.dotted, key.escape_debug()),
            None => key.to_owned(),
        }
    }

    /// Where its keys stand, as a sentence goes on.
    fn place(&self) -> String {
        match &self.name {
            Some(name) => format!("in `{name}`"),
            None => "at the top level".to_owned(),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_list {
            write!(formatter, "[[{}]]", self.dotted)
        } else {
            write!(formatter, "[{}]", self.dotted)
        }
    }
}

/// The tables that do have a key `key`.
fn homes_of(key: &str, root: &Value, schema: &Value, name: Option<&Name>, homes: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    if let Some(name) = name
        && properties.contains_key(key)
    {
        homes.push(name.to_string());
    }
    for (property, schema) in properties {
        let schema = resolve(root, schema);
        let dotted =
            name.map_or_else(|| property.clone(), |name| format!("{}.{property}", name.dotted));
        let is_list = kind(schema) == "array";
        let content = if is_list { resolve(root, &schema["items"]) } else { schema };
        homes_of(key, root, content, Some(&Name { dotted, is_list }), homes);
    }
}

/// The schema that `schema` refers to, or itself.
fn resolve<'schema>(root: &'schema Value, schema: &'schema Value) -> &'schema Value {
    let reference = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref"));
    match reference.and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => root.pointer(pointer).expect("the schema refers to its own definitions"),
        None => schema,
    }
}

/// The type of what `schema` takes, in JSON's words; `date` for a date, which JSON has no type for and TOML has.
fn kind(schema: &Value) -> &str {
    if schema["format"] == "date" {
        return "date";
    }
    schema["type"].as_str().unwrap_or(if choices(schema).is_empty() { "object" } else { "string" })
}

/// The words `schema` takes; none when it takes more than certain words.
fn choices(schema: &Value) -> Vec<&str> {
    let branches = schema["oneOf"].as_array().into_iter().flatten();
    let documented = branches.filter_map(|branch| {
        branch["const"].as_str().or_else(|| branch.pointer("/enum/0").and_then(Value::as_str))
    });
    strings(&schema["enum"]).chain(documented).collect()
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// `key = value` as the example in `property` has it.
fn example(key: &str, property: &Value) -> Option<String> {
    let written = property.pointer("/examples/0")?;
    if let Some(date) = written.as_str().filter(|_| kind(property) == "date") {
        return Some(format!("{key} = {date}"));
    }
    let value = toml::Value::try_from(written).ok()?;
    Some(format!("{key} = {value}"))
}

fn in_words(kind: &str) -> &'static str {
    match kind {
        "string" => "a string",
        "integer" => "a whole number",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        "date" => "a date",
        _ => "a table",
    }
}

fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What to write in place of a value of the wrong type: the same meaning in the right form where that can be told.
fn instead(item: &Item<'_>, found: &DeValue<'_>, written: &str) -> String {
    let Item { key, dotted, schema, .. } = item;
    let one_line = !written.contains('\n');
    match (kind(schema), found) {
        ("array", DeValue::Table(_)) => {
            format!("write `[[{dotted}]]`, with two brackets on each side")
        }
        ("object", DeValue::Array(_)) => {
            format!("write `[{dotted}]`, with one bracket on each side")
        }
        ("object", _) => format!("write `[{dotted}]` on a line of its own, and its keys below it"),
        ("boolean", DeValue::String(word)) if matches!(word.as_ref(), "true" | "false") => {
            format!("write `{key} = {word}`, without quotes")
        }
        ("date", DeValue::String(word)) if word.parse::<gangway_artifact::Date>().is_ok() => {
            format!("write `{key} = {word}`, without quotes")
        }
        ("boolean", _) => format!("write `{key} = true` or `{key} = false`"),
        ("integer", DeValue::String(word)) if word.parse::<u32>().is_ok() => {
            format!("write `{key} = {word}`, without quotes")
        }
        (
            "string",
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_),
        ) => {
            format!("write \"{written}\", with quotes")
        }
        ("array", DeValue::String(_))
            if one_line && example(&item.key, item.property).is_none() =>
        {
            format!("write `{key} = [{written}]`")
        }
        (kind, _) => match example(&item.key, item.property) {
            Some(example) => format!("write {}, for instance `{example}`", in_words(kind)),
            None => format!("write {}", in_words(kind)),
        },
    }
}

/// The near match, if there is one, and everything that would do.
fn suggestion<'known>(
    near: Option<&str>,
    what: &str,
    known: impl IntoIterator<Item = &'known str>,
) -> String {
    let all = format!("{what}: {}", listed(known));
    match near {
        Some(near) => format!("did you mean `{near}`?\n{all}"),
        None => all,
    }
}
