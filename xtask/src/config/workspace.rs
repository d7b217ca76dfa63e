//! Whether a folder above the gateway's declares a workspace that the gateway is a package of.
//!
//! npm and Bun read `workspaces` of package.json, pnpm reads `packages` of pnpm-workspace.yaml. What cannot be read
//! declares nothing here: the package manager is the one to complain about it.

use camino::Utf8Path;
use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use serde_json::Value;

#[derive(Default, Deserialize)]
#[serde(default)]
struct PnpmWorkspace {
    packages: Vec<String>,
}

/// Whether the workspace declared in `root` has a package in `member`, a path from there.
pub(super) fn declares(root: &Utf8Path, member: &Utf8Path) -> bool {
    [package_json(root), pnpm_workspace(root)]
        .into_iter()
        .flatten()
        .any(|patterns| includes(&patterns, member))
}

fn package_json(root: &Utf8Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(root.join("package.json")).ok()?;
    let package: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
    let patterns = match &package["workspaces"] {
        Value::Object(object) => object.get("packages")?,
        list => list,
    };
    Some(patterns.as_array()?.iter().filter_map(|one| Some(one.as_str()?.to_owned())).collect())
}

fn pnpm_workspace(root: &Utf8Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(root.join("pnpm-workspace.yaml")).ok()?;
    serde_saphyr::from_str::<PnpmWorkspace>(&text).ok().map(|workspace| workspace.packages)
}

/// The last pattern that matches decides.
fn includes(patterns: &[String], member: &Utf8Path) -> bool {
    let mut included = false;
    for pattern in patterns {
        let (wanted, pattern) = match pattern.strip_prefix('!') {
            Some(rest) => (false, rest),
            None => (true, pattern.as_str()),
        };
        let pattern =
            pattern.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/');
        if glob(pattern).is_some_and(|glob| glob.is_match(member)) {
            included = wanted;
        }
    }
    included
}

fn glob(pattern: &str) -> Option<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build().ok()?;
    Some(glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let includes = |patterns: &[&str], member: &str| {
            let patterns: Vec<_> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            includes(&patterns, member.into())
        };
        assert!(includes(&["apps/*"], "apps/gateway"));
        assert!(includes(&["./apps/gateway/"], "apps/gateway"));
        assert!(includes(&["**"], "apps/gateway"));
        assert!(!includes(&["apps/*"], "apps/gateway/deeper"));
        assert!(!includes(&["apps/*", "!apps/gateway"], "apps/gateway"));
        assert!(!includes(&["packages/*"], "apps/gateway"));
        assert!(!includes(&[], "apps/gateway"));
    }
}
