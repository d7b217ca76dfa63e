//! The install scripts in a package.json, and the environment npm makes of it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::error::ScriptError;
use crate::tree::{Node, Tree};

/// When npm runs a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// Before anything else.
    Preinstall,
    /// When every package's preinstall is done.
    Install,
    /// When every package's install is done.
    Postinstall,
}

impl Event {
    /// In npm's order.
    pub const ALL: [Self; 3] = [Self::Preinstall, Self::Install, Self::Postinstall];

    /// npm's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preinstall => "preinstall",
            Self::Install => "install",
            Self::Postinstall => "postinstall",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What a package wants done when it is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// The commands, for a shell.
    pub commands: BTreeMap<Event, String>,
    /// The `npm_package_*` variables.
    pub variables: BTreeMap<String, String>,
}

/// What npm runs for a package that has a `binding.gyp` and no script of its own.
const GYP: &str = "node-gyp rebuild";

impl Lifecycle {
    /// Reads the package.json in `folder` of `tree`; an empty folder is the tree's root.
    ///
    /// # Errors
    /// When there is none, or it is not JSON.
    pub fn read(tree: &Tree, folder: &str) -> Result<Self, ScriptError> {
        let place = |name: &str| match folder {
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        };
        let path = place("package.json");
        let unusable = |reason: String| ScriptError::Manifest { path: path.clone(), reason };
        let Some(Node::File(source)) = tree.get(&path) else {
            return Err(unusable("it is not there".to_owned()));
        };
        let bytes = std::fs::read(source.path()).map_err(|error| unusable(error.to_string()))?;
        let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        let manifest: Value =
            serde_json::from_slice(text).map_err(|error| unusable(error.to_string()))?;
        let has_gyp = tree.get(&place("binding.gyp")).is_some();
        Ok(Self { commands: commands(&manifest, has_gyp), variables: variables(&manifest) })
    }

    /// The first command that wants something compiled, which is not for this stage to do.
    #[must_use]
    pub fn compiles(&self) -> bool {
        self.commands.values().any(|command| command.trim() == GYP)
    }
}

fn commands(manifest: &Value, has_gyp: bool) -> BTreeMap<Event, String> {
    let command = |event: Event| {
        let text = manifest.get("scripts")?.get(event.as_str())?.as_str()?;
        (!text.trim().is_empty()).then(|| (event, text.to_owned()))
    };
    let mut commands: BTreeMap<_, _> = Event::ALL.into_iter().filter_map(command).collect();
    let is_compiled = has_gyp
        && manifest.get("gypfile") != Some(&Value::Bool(false))
        && !commands.contains_key(&Event::Preinstall)
        && !commands.contains_key(&Event::Install);
    if is_compiled {
        commands.insert(Event::Install, GYP.to_owned());
    }
    commands
}

/// As @npmcli/run-script does it: some fields, flattened.
fn variables(manifest: &Value) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for field in ["name", "version", "config", "engines", "bin"] {
        let Some(value) = manifest.get(field) else { continue };
        match (field, value, manifest.get("name").and_then(Value::as_str)) {
            ("bin", Value::String(file), Some(name)) => {
                let name = name.rsplit('/').next().unwrap_or(name);
                variables.insert(format!("npm_package_bin_{name}"), file.clone());
            }
            _ => flatten(&format!("npm_package_{field}"), value, &mut variables),
        }
    }
    // Such a variable cannot be passed to a program.
    variables.retain(|name, value| !name.contains(['=', '\0']) && !value.contains('\0'));
    variables
}

fn flatten(name: &str, value: &Value, variables: &mut BTreeMap<String, String>) {
    let mut put = |value: String| variables.insert(name.to_owned(), value);
    match value {
        Value::Null | Value::Bool(false) => drop(put(String::new())),
        Value::Bool(true) => drop(put("true".to_owned())),
        Value::Number(number) => drop(put(number.to_string())),
        Value::String(text) => drop(put(text.clone())),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&format!("{name}_{index}"), item, variables);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                flatten(&format!("{name}_{key}"), field, variables);
            }
        }
    }
}

/// A tree whose package.json is the file at `path`.
#[cfg(test)]
pub(super) fn manifest_tree(path: &std::path::Path) -> Tree {
    use gangway_artifact::{BundlePath, Digest};

    let bytes = fs_err::read(path).expect("the test wrote it");
    let source = crate::tree::Source::new(
        camino::Utf8PathBuf::from_path_buf(path.to_owned()).expect("it is UTF-8"),
        bytes.len() as u64,
        false,
        Digest::of(&bytes),
    );
    let mut tree = Tree::default();
    tree.insert(BundlePath::new("package.json").expect("plain"), Node::File(source));
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        serde_json::from_str(text).expect("the test's own")
    }

    #[test]
    fn a_binding_is_compiled_unless_something_else_is_said() {
        for (text, compiled) in [
            ("{}", true),
            (r#"{"scripts": {"postinstall": "x"}}"#, true),
            (r#"{"scripts": {"install": ""}}"#, true),
            (r#"{"gypfile": false}"#, false),
            (r#"{"scripts": {"install": "prebuild-install"}}"#, false),
            (r#"{"scripts": {"preinstall": "x"}}"#, false),
        ] {
            let commands = commands(&parse(text), true);
            let install = commands.get(&Event::Install).map(String::as_str);
            assert_eq!(install == Some(GYP), compiled, "{text}");
        }
        assert!(commands(&parse("{}"), false).is_empty());
    }

    #[test]
    fn variables_are_npms() {
        let variables = variables(&parse(
            r#"{"name": "@s/tool", "version": "1.0.0", "license": "MIT", "bin": "cli.js", "engines": {"node": ">=20"},
                "config": {"port": 80, "list": ["a", {"b": null}], "on": true, "odd\u0000": 1}}"#,
        ));
        let lines: Vec<_> =
            variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        npm_package_bin_tool=cli.js
        npm_package_config_list_0=a
        npm_package_config_list_1_b=
        npm_package_config_on=true
        npm_package_config_port=80
        npm_package_engines_node=>=20
        npm_package_name=@s/tool
        npm_package_version=1.0.0
        ");
    }
}
