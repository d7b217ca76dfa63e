//! What is to become of each install script.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use gangway_artifact::BundlePath;
use serde::Serialize;

use super::error::ScriptError;
use super::lifecycle::Lifecycle;
use crate::closure::{Closure, Package};
use crate::config::{InstallScript, Located, ScriptAction};
use crate::tree::Tree;

/// A package whose scripts are to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    /// Its folder.
    pub path: BundlePath,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Folders it may write to besides its own.
    pub writes: Vec<BundlePath>,
    /// Its scripts' additional environment variables.
    pub env: BTreeMap<String, String>,
}

/// What the manifest says about the scripts of a closure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'config> {
    /// What is to be run, in order.
    pub jobs: Vec<Job>,
    /// Names in the manifest that no package with a script has: worth a warning when no target's closure has one.
    pub unused: Vec<&'config Located<String>>,
}

/// Decides about every script of `closure`. `is_addon`: the manifest says what becomes of the package's native code, which
/// is what its script is for. `unpacked` gives the tree of a package that is in the store already, for the
/// message to show what the script would do.
///
/// # Errors
/// When a package has an install script and the manifest does not name it.
pub fn decide<'config>(
    closure: &Closure,
    config: &'config [InstallScript],
    is_addon: impl Fn(&Package) -> bool,
    unpacked: impl Fn(&Package) -> Option<Tree>,
) -> Result<Decision<'config>, ScriptError> {
    let mut jobs = Vec::new();
    let mut undecided = Vec::new();
    for package in closure.packages.iter().filter(|package| package.has_install_script) {
        match config.iter().find(|script| script.package.value == package.name) {
            None if is_addon(package) => {}
            None => undecided.push(package),
            Some(script) if script.action == ScriptAction::Ignore => {}
            Some(script) => jobs.push(Job {
                path: package.path.clone(),
                name: package.name.clone(),
                version: package.version.clone(),
                writes: script.writes.clone(),
                env: script.env.clone(),
            }),
        }
    }
    if !undecided.is_empty() {
        return Err(refuse(&undecided, unpacked));
    }
    // npm promises no order within a phase. What lies deeper is somebody's own dependency, so it goes first.
    jobs.sort_by_key(|job| (std::cmp::Reverse(depth(&job.path)), job.path.clone()));
    let unused = config.iter().map(|script| &script.package);
    let unused = unused.filter(|name| !has_script(closure, &name.value)).collect();
    Ok(Decision { jobs, unused })
}

fn depth(path: &BundlePath) -> usize {
    path.components().filter(|component| *component == "node_modules").count()
}

/// Whether a package of that name has a script here, or would be installed on another platform.
fn has_script(closure: &Closure, name: &str) -> bool {
    let is_gated = |path: &BundlePath| {
        path.as_str().rsplit_once("node_modules/").is_some_and(|(_, last)| last == name)
    };
    closure.packages.iter().any(|package| package.has_install_script && package.name == name)
        || closure.gated.iter().any(is_gated)
}

fn refuse(undecided: &[&Package], unpacked: impl Fn(&Package) -> Option<Tree>) -> ScriptError {
    let mut packages = String::new();
    let mut tables = String::new();
    for package in undecided {
        let Package { name, version, path, .. } = package;
        // A text in memory takes whatever is written to it.
        let _ = write!(packages, "\n  {name} {version} in `{path}`");
        let lifecycle = unpacked(package).and_then(|tree| Lifecycle::read(&tree, "").ok());
        for (event, command) in lifecycle.iter().flat_map(|lifecycle| &lifecycle.commands) {
            let _ = write!(packages, "\n    {event}: {command}");
        }
    }
    let names: BTreeSet<&str> = undecided.iter().map(|package| package.name.as_str()).collect();
    for name in names {
        let _ = write!(tables, "\n\n[[install-script]]\npackage = \"{name}\"\naction = \"ignore\"");
    }
    let what = match undecided.len() {
        1 => "a package has an install script".to_owned(),
        count => format!("{count} packages have install scripts"),
    };
    ScriptError::Undecided { what, packages, tables }
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic as _;

    use super::*;
    use crate::closure::Origin;

    fn package(path: &str, name: &str, has_install_script: bool) -> Package {
        Package {
            path: BundlePath::new(path).expect("plain"),
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            origin: Origin::Bundled,
            has_install_script,
            bins: BTreeMap::new(),
            engines: BTreeMap::new(),
        }
    }

    fn script(name: &str, action: ScriptAction) -> InstallScript {
        InstallScript {
            package: Located { value: name.to_owned(), span: 0..0 },
            action,
            writes: Vec::new(),
            env: BTreeMap::new(),
        }
    }

    fn closure() -> Closure {
        Closure {
            packages: vec![
                package("node_modules/a", "a", true),
                package("node_modules/b", "@s/b", true),
                package("node_modules/b/node_modules/a", "a", true),
                package("node_modules/c", "c", false),
            ],
            gated: vec![BundlePath::new("node_modules/fsevents").expect("plain")],
            ..Closure::default()
        }
    }

    #[test]
    fn what_the_manifest_does_not_name_is_an_error_with_a_way_out() {
        let config = [script("c", ScriptAction::Ignore)];
        let folder = tempfile::tempdir().expect("there is room");
        let manifest = folder.path().join("package.json");
        fs_err::write(&manifest, r#"{"scripts": {"postinstall": "node x.js"}}"#)
            .expect("it is ours");
        let unpacked = |package: &Package| {
            (package.name == "a").then(|| crate::scripts::lifecycle::manifest_tree(&manifest))
        };
        let error =
            decide(&closure(), &config, |_| false, unpacked).expect_err("three have scripts");
        insta::assert_snapshot!(error, @"
        3 packages have install scripts and the manifest does not say what to do with them:
          a 1.2.3 in `node_modules/a`
            postinstall: node x.js
          @s/b 1.2.3 in `node_modules/b`
          a 1.2.3 in `node_modules/b/node_modules/a`
            postinstall: node x.js
        ");
        insta::assert_snapshot!(error.help().expect("it has one"), @r#"
        decide for each in gangway.toml: `action = "ignore"` leaves the script out, `action = "run"` runs it at bundle time, without network and confined to the package's folder

        [[install-script]]
        package = "@s/b"
        action = "ignore"

        [[install-script]]
        package = "a"
        action = "ignore"
        "#);
    }

    #[test]
    fn deeper_ones_go_first_and_idle_names_are_reported() {
        let config = [
            script("a", ScriptAction::Run),
            script("@s/b", ScriptAction::Ignore),
            script("c", ScriptAction::Run),
            script("nobody", ScriptAction::Ignore),
            script("fsevents", ScriptAction::Ignore),
        ];
        let decision = decide(&closure(), &config, |_| false, |_| None).expect("all are named");
        let jobs: Vec<_> = decision.jobs.iter().map(|job| job.path.as_str()).collect();
        assert_eq!(jobs, ["node_modules/b/node_modules/a", "node_modules/a"]);
        let unused: Vec<_> = decision.unused.iter().map(|name| name.value.as_str()).collect();
        assert_eq!(unused, ["c", "nobody"]);
    }
}
