//! The JSON schema of `gangway.toml`, for editors.
//!
//! Draft 7, because that is what editors' TOML plug-ins read. It is also what `shape` compares a document with, so
//! an editor and Gangway can not disagree on a key.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::raw::Manifest;

/// The schema as JSON text, as committed in `docs/gangway.schema.json`.
#[must_use]
pub fn schema() -> String {
    text::<Manifest>()
}

/// The schema of any of our TOML documents as JSON text.
pub(crate) fn text<T: JsonSchema>() -> String {
    let mut text = format!("{:#}", value::<T>());
    text.push('\n');
    text
}

/// The schema of a whole document.
pub(crate) fn value<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with_transform(WithoutNull);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    schema.sort_all_objects();
    schema
}

/// Takes `null` out: TOML has none, an optional key is left out.
#[derive(Clone)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        if object.get("default").is_some_and(Value::is_null) {
            object.remove("default");
        }
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(branches)) = object.get_mut("anyOf") {
            branches.retain(|branch| branch["type"] != "null");
            if let Some(branches) = object.remove("anyOf") {
                object.insert("allOf".to_owned(), branches);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/gangway.schema.json"));
    const REFERENCE: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/manifest.md"));

    #[test]
    fn the_committed_schema_is_this_one() {
        assert!(
            COMMITTED == schema(),
            "docs/gangway.schema.json is out of date; write it anew with `cargo xtask schema`"
        );
    }

    #[test]
    fn the_schema_knows_no_null() {
        assert!(!schema().contains("null"));
    }

    #[test]
    fn the_reference_names_every_key() {
        let schema = value::<Manifest>();
        let mut tables: Vec<&Value> =
            schema["definitions"].as_object().expect("it has some").values().collect();
        tables.push(&schema);
        tables.push(&schema["definitions"]["Prune"]["properties"]["rules"]);
        for table in tables {
            for key in table["properties"].as_object().into_iter().flat_map(|object| object.keys())
            {
                let forms = [format!("`{key}`"), format!("[{key}]"), format!(".{key}]")];
                assert!(
                    forms.iter().any(|form| REFERENCE.contains(form)),
                    "docs/manifest.md does not mention `{key}`"
                );
            }
        }
    }

    /// As editors see it: a date is its text.
    fn json(value: toml::Value) -> Value {
        match value {
            toml::Value::Table(table) => {
                table.into_iter().map(|(key, value)| (key, json(value))).collect()
            }
            toml::Value::Array(list) => list.into_iter().map(json).collect(),
            toml::Value::Datetime(date) => date.to_string().into(),
            other => serde_json::to_value(other).expect("plain"),
        }
    }

    /// Whether the schema takes `text`.
    fn takes(text: &str) -> bool {
        let document: toml::Table = text.parse().expect("TOML");
        let document = json(toml::Value::Table(document));
        jsonschema::draft7::is_valid(&value::<Manifest>(), &document)
    }

    #[test]
    fn an_editor_takes_the_reference_manifest() {
        assert!(takes(super::super::example()));
    }

    #[test]
    fn an_editor_refuses_what_gangway_refuses() {
        let sample = super::super::example();
        for (right, wrong) in [
            ("format = 1", "format = 2"),
            ("engine = \"node\"", "engine = \"nodejs\""),
            ("runtime-args", "runtime_args"),
            ("source-maps = false", "source-map = false"),
            ("port = 18789", "port = 0"),
            ("strip = true", "strip = \"yes\""),
            ("code = \"library-closure\"", "code = \"library-closer\""),
            ("[[entrypoint]]", "[[entrypoints]]"),
            ("name = \"gateway\"", "nmae = \"gateway\""),
        ] {
            assert!(sample.contains(right), "{right}");
            assert!(!takes(&sample.replace(right, wrong)), "{wrong}");
        }
    }
}
