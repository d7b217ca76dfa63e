//! The launch file: how each program of a bundle is started.
//!
//! It repeats the entrypoints of the manifest in the fewest bytes, because the launcher reads it before every
//! start and the manifest of a large gateway has megabytes. The builder writes both from the same values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BundlePath, PythonProgram, json};

/// The launch file's path inside the bundle.
pub const LAUNCH_FILE: &str = "launch.json";

/// The version of the format this crate reads and writes.
pub const LAUNCH_VERSION: u32 = 1;

/// The content of `launch.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// [`LAUNCH_VERSION`].
    pub version: u32,
    /// What to start, by the name of the file in `bin/`.
    pub programs: BTreeMap<String, Program>,
    /// The programs among those in `bin/` that the system's Python runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub python: BTreeMap<String, PythonProgram>,
}

/// One program: `runtime runtime_args... script args... <the user's arguments>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The executable.
    pub runtime: BundlePath,
    /// The runtime's own arguments, before the script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runtime_args: Vec<String>,
    /// The script the runtime is given, if it takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<BundlePath>,
    /// Arguments that stand before the user's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// What becomes of the user's environment; nothing where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
}

/// What becomes of the environment a program is started in. A name that ends in `*` stands for all that start so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Variables to take out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// What stays of them all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
    /// Variables to set where there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
}

impl Environment {
    /// Whether a variable of this name is to be taken out.
    #[must_use]
    pub fn removes(&self, name: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        self.remove.iter().any(matches) && !self.keep.iter().any(matches)
    }
}

/// A launch file this crate cannot take.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// It is damaged, or something else.
    #[error("it is not a launch file ({0})")]
    Syntax(#[from] serde_json::Error),
    /// It is of another time.
    #[error("its format is version {0}, and version {LAUNCH_VERSION} was expected")]
    Version(u32),
}

impl Launch {
    /// Reads the content of a launch file.
    ///
    /// # Errors
    /// When it is not one, or one of another version.
    pub fn from_json(bytes: &[u8]) -> Result<Self, LaunchError> {
        /// What every version has: the rest is only looked at when the version is known.
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let Head { version } = serde_json::from_slice(bytes)?;
        if version != LAUNCH_VERSION {
            return Err(LaunchError::Version(version));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The content of the launch file: the same bytes for the same value, one program per line.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::to_lines(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        let path = |text: &str| BundlePath::new(text).expect("plain");
        let program = |script: &str| Program {
            runtime: path("runtime/bin/node"),
            runtime_args: vec!["--enable-source-maps".to_owned()],
            script: Some(path(script)),
            args: Vec::new(),
            environment: Some(Environment {
                remove: vec!["NODE_OPTIONS".to_owned()],
                ..Environment::default()
            }),
        };
        let native = Program {
            runtime: path("services/index"),
            runtime_args: Vec::new(),
            script: None,
            args: vec!["--quiet".to_owned()],
            environment: None,
        };
        Launch {
            version: LAUNCH_VERSION,
            programs: BTreeMap::from([
                ("app".to_owned(), program("app/cli.js")),
                ("index".to_owned(), native),
            ]),
            python: BTreeMap::new(),
        }
    }

    #[test]
    fn one_program_per_line() {
        let text = String::from_utf8(launch().to_json()).expect("JSON is UTF-8");
        let expected = r#"{
  "version": 1,
  "programs": {
    "app": {"runtime":"runtime/bin/node","runtime_args":["--enable-source-maps"],"script":"app/cli.js","environment":{"remove":["NODE_OPTIONS"]}},
    "index": {"runtime":"services/index","args":["--quiet"]}
  }
}
"#;
        assert_eq!(text, expected);
        assert_eq!(Launch::from_json(text.as_bytes()).expect("its own text"), launch());
    }

    #[test]
    fn what_is_removed() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let environment = Environment {
            remove: list(&["NODE_OPTIONS", "npm_*"]),
            keep: list(&["npm_config_registry"]),
            set: BTreeMap::new(),
        };
        assert!(environment.removes("NODE_OPTIONS") && environment.removes("npm_package_name"));
        assert!(!environment.removes("NODE_OPTIONS_X") && !environment.removes("xnpm_a"));
        assert!(!environment.removes("npm_config_registry"));
        assert!(!Environment::default().removes("NODE_OPTIONS"));
    }

    #[test]
    fn the_version_is_looked_at_first() {
        let later = br#"{"version": 2, "programs": ["of another shape"]}"#;
        assert!(matches!(Launch::from_json(later), Err(LaunchError::Version(2))));
        for damaged in [&b""[..], b"{", b"[]", br#"{"version": 1}"#, br#"{"programs": {}}"#] {
            assert!(matches!(Launch::from_json(damaged), Err(LaunchError::Syntax(_))));
        }
    }

    #[test]
    fn paths_never_lead_out() {
        let hostile = br#"{"version": 1, "programs": {"x": {"runtime": "../../bin/sh"}}}"#;
        assert!(matches!(Launch::from_json(hostile), Err(LaunchError::Syntax(_))));
    }
}
