//! Which files of a package its package.json lists: `files`, as `npm pack` reads it. (npm: `npm-packlist`.)

use std::collections::BTreeSet;

use camino::Utf8Path;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde_json::Value;

/// What is packed whatever `files` says: these names in the package's own folder, with any ending.
const ALWAYS: &[&str] = &["package.json", "readme", "license", "licence", "copying", "notice"];

/// The files of a package that has a list of them.
pub(super) struct Packed {
    listed: Gitignore,
    named: BTreeSet<String>,
}

impl Packed {
    /// Reads the list in the package.json of `folder`; without one, everything is packed.
    pub(super) fn of(folder: &Utf8Path) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join("package.json")).ok()?;
        Self::parse(&serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?)
    }

    fn parse(package: &Value) -> Option<Self> {
        let mut builder = GitignoreBuilder::new("");
        for pattern in package["files"].as_array()?.iter().filter_map(Value::as_str) {
            let (sign, pattern) = match pattern.strip_prefix('!') {
                Some(pattern) => ("!", pattern),
                None => ("", pattern),
            };
            let pattern = pattern.trim_start_matches("./").trim_start_matches('/');
            // A line that is no pattern matches nothing, as with npm.
            let _ = builder.add_line(None, &format!("{sign}/{pattern}"));
        }
        let listed = builder.build().ok()?;
        let bins = match &package["bin"] {
            Value::Object(bins) => bins.values().filter_map(Value::as_str).collect(),
            bin => Vec::from_iter(bin.as_str()),
        };
        let named = package["main"].as_str().into_iter().chain(bins);
        let named = named.map(|path| path.trim_start_matches("./").to_owned()).collect();
        Some(Self { listed, named })
    }

    /// Whether the file at `path` in the package is packed.
    pub(super) fn has(&self, path: &str) -> bool {
        let lower = path.to_ascii_lowercase();
        let is_always = ALWAYS.iter().any(|name| {
            lower.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        is_always
            || self.named.contains(path)
            || self.listed.matched_path_or_any_parents(path, false).is_ignore()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_listed_and_what_always_goes_along() {
        let package = json!({
            "files": ["dist", "./lib/*.js", "!dist/test", "[", "/assets/"],
            "main": "./main.js", "bin": {"x": "bin/x.js"},
        });
        let packed = Packed::parse(&package).expect("it has a list");
        for path in [
            "dist/a/b.js",
            "lib/a.js",
            "main.js",
            "bin/x.js",
            "package.json",
            "README.md",
            "LICENSE",
            "assets/a.png",
        ] {
            assert!(packed.has(path), "{path}");
        }
        for path in
            ["src/a.ts", "dist/test/a.js", "lib/a.ts", "other/dist/a.js", "src/main.js", "bin/y.js"]
        {
            assert!(!packed.has(path), "{path}");
        }
        assert!(Packed::parse(&json!({})).is_none());
    }
}
