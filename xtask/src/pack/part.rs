//! Which part of an archive an entry stands in.
//!
//! What the bundles of all platforms have in common stands together, so that its frames are the same in all of them. A tree does
//! not say what that is, nor what the bundles of other platforms hold. So it is told from the files: native code is for one
//! platform, and so are the scripts beside it where their package says so, or where it is no npm package at all. Package
//! managers have links in `.bin` on one system and scripts on another.

use std::collections::HashSet;

use gangway_artifact::BundlePath;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{PackError, source};
use crate::licenses;
use crate::native::Natives;
use crate::tree::{Node, Tree};

/// The parts of an archive, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// What all platforms have.
    Portable,
    /// The licence texts of npm packages for all platforms. Their paths have versions in them, which change with every release.
    Licenses,
    /// What is for one platform.
    Platform,
    /// What describes the bundle: all other licence texts, and the files at its root.
    Description,
}

/// What decides on the part of a path.
pub(super) struct Parts<'tree> {
    code: HashSet<&'tree str>,
    /// Packages for one platform, and folders that are no packages and have native code in them.
    folders: HashSet<&'tree str>,
    /// The names of npm packages for all platforms.
    portable: HashSet<&'tree str>,
}

impl<'tree> Parts<'tree> {
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn of(tree: &'tree Tree, natives: &Natives) -> Result<Self, PackError> {
        let mut code = HashSet::new();
        let mut with_code = HashSet::new();
        let mut portable = HashSet::new();
        for (path, file) in tree.files() {
            let identity = natives.identity(file);
            if identity.map_err(|error| source::read_error(path, file, error))?.is_some() {
                code.insert(path.as_str());
                with_code.insert(package(path.as_str()));
            }
            portable.extend(name(package(path.as_str())));
        }
        let mut folders = HashSet::new();
        for folder in with_code {
            if !is_package_for_all(tree, folder)? {
                folders.insert(folder);
                name(folder).map(|name| portable.remove(name));
            }
        }
        Ok(Self { code, folders, portable })
    }

    /// Whether the file at `path` is native code.
    pub(super) fn is_code(&self, path: &str) -> bool {
        self.code.contains(path)
    }

    pub(super) fn part(&self, path: &str) -> Part {
        match group(path) {
            _ if !path.contains('/') => Part::Description,
            licenses::FOLDER if self.is_text_of_portable(path) => Part::Licenses,
            // The index names the platform's own packages too.
            licenses::FOLDER => Part::Description,
            _ if self.is_code(path) || self.folders.contains(package(path)) => Part::Platform,
            _ if name(package(path)) == Some(PROGRAMS) => Part::Platform,
            _ => Part::Portable,
        }
    }

    /// Whether a path below the folder of licence texts is of a package for all platforms.
    fn is_text_of_portable(&self, path: &str) -> bool {
        let below = path.get(licenses::FOLDER.len() + 1..).unwrap_or_default();
        let package = components(below, if below.starts_with('@') { 2 } else { 1 });
        package.rsplit_once('@').is_some_and(|(name, _)| self.portable.contains(name))
    }
}

/// The folder that package managers put in front of package names.
const PACKAGES: &str = "node_modules/";

/// What stands where the name of a package does, and is the folder of the packages' programs.
const PROGRAMS: &str = ".bin";

/// The outermost npm package that `path` is in, or else its first component.
#[must_use]
pub fn group(path: &str) -> &str {
    let mut folders = path.match_indices(PACKAGES).map(|(at, _)| at);
    owner(path, folders.find(|at| is_component(path, *at)))
}

/// The innermost npm package that `path` is in, or else its first component.
fn package(path: &str) -> &str {
    let mut folders = path.rmatch_indices(PACKAGES).map(|(at, _)| at);
    owner(path, folders.find(|at| is_component(path, *at)))
}

/// The name of the npm package with this folder, if it is one's.
fn name(package: &str) -> Option<&str> {
    let at = package.rfind(PACKAGES).filter(|at| is_component(package, *at))?;
    Some(&package[at + PACKAGES.len()..])
}

fn is_component(path: &str, at: usize) -> bool {
    at == 0 || path.as_bytes()[at - 1] == b'/'
}

/// The part of `path` that is the package in the folder of packages at this place.
fn owner(path: &str, packages: Option<usize>) -> &str {
    let start = packages.map_or(0, |at| at + PACKAGES.len());
    let depth = if start > 0 && path[start..].starts_with('@') { 2 } else { 1 };
    &path[..start + components(&path[start..], depth).len()]
}

/// The first `count` components of a path.
fn components(path: &str, count: usize) -> &str {
    let end = path.match_indices('/').nth(count - 1).map_or(path.len(), |(at, _)| at);
    &path[..end]
}

/// Whether the folder is that of a package that does not say for which platforms it is.
fn is_package_for_all(tree: &Tree, folder: &str) -> Result<bool, PackError> {
    #[derive(Deserialize)]
    struct Platforms {
        os: Option<IgnoredAny>,
        cpu: Option<IgnoredAny>,
        libc: Option<IgnoredAny>,
    }
    let Ok(path) = BundlePath::new(format!("{folder}/package.json")) else { return Ok(false) };
    let Some(Node::File(file)) = tree.get(path.as_str()) else { return Ok(false) };
    let mut bytes = Vec::new();
    source::read(&path, file, &mut bytes)?;
    // What cannot be parsed tells nothing, and harms nobody here.
    let read = serde_json::from_slice::<Platforms>(&bytes);
    Ok(read
        .is_ok_and(|Platforms { os, cpu, libc }| os.is_none() && cpu.is_none() && libc.is_none()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn groups_are_packages() {
        for (path, group) in [
            ("runtime/bin/node", "runtime"),
            ("manifest.json", "manifest.json"),
            ("app/dist/x.js", "app"),
            ("app/node_modules/ws/lib/a.js", "app/node_modules/ws"),
            ("app/node_modules/@s/p/lib/a.js", "app/node_modules/@s/p"),
            ("app/node_modules/@s", "app/node_modules/@s"),
            ("app/node_modules/a/node_modules/b/c.js", "app/node_modules/a"),
            ("app/my_node_modules/a/b.js", "app"),
            ("node_modules/a/b.js", "node_modules/a"),
            ("@s/p/x", "@s"),
        ] {
            assert_eq!(super::group(path), group, "{path}");
        }
    }

    #[test]
    fn packages_are_the_innermost() {
        for (path, package, name) in [
            ("runtime/bin/node", "runtime", None),
            ("app/dist/x.js", "app", None),
            ("app/node_modules/ws/lib/a.js", "app/node_modules/ws", Some("ws")),
            ("app/node_modules/@s/p/lib/a.js", "app/node_modules/@s/p", Some("@s/p")),
            (
                "app/node_modules/a/node_modules/@s/b/c.js",
                "app/node_modules/a/node_modules/@s/b",
                Some("@s/b"),
            ),
            ("app/my_node_modules/a/b.js", "app", None),
            ("node_modules/.bin/x", "node_modules/.bin", Some(".bin")),
        ] {
            assert_eq!(super::package(path), package, "{path}");
            assert_eq!(super::name(package), name, "{path}");
        }
    }
}

/// Where files of a tree end up; with this test's own program for native code.
#[cfg(all(test, target_os = "linux"))]
mod tests_with_code {
    use camino::Utf8PathBuf;
    use gangway_artifact::Digest;

    use super::*;
    use crate::testing::Sandbox;
    use crate::tree::Source;

    fn source(path: Utf8PathBuf, executable: bool) -> Node {
        let file = fs_err::File::open(&path).expect("it is there");
        let (sha256, size) = Digest::of_reader(file).expect("readable");
        Node::File(Source::new(path, size, executable, sha256))
    }

    /// The parts of the files in a tree: a path that ends with `.node` is native code, another one has this text.
    fn parts(files: &[(&'static str, &str)]) -> Vec<(Part, &'static str)> {
        let sandbox = Sandbox::new();
        let program = std::env::current_exe().expect("it runs");
        let program = Utf8PathBuf::try_from(program).expect("build folders are UTF-8");
        let mut tree = Tree::default();
        for (number, (path, text)) in files.iter().enumerate() {
            let node = if path.ends_with(".node") {
                source(program.clone(), true)
            } else {
                let file = sandbox.root.join(number.to_string());
                fs_err::write(&file, text).expect("writable");
                source(file, false)
            };
            tree.insert(BundlePath::new(*path).expect("plain"), node);
        }
        let parts = Parts::of(&tree, &Natives::default()).expect("readable");
        files.iter().map(|(path, _)| (parts.part(path), *path)).collect()
    }

    /// `expected` and whatever is found for its paths, with `text` in every file that is none of code.
    fn assert_parts(text: &str, expected: &[(Part, &'static str)]) {
        let files: Vec<_> = expected.iter().map(|(_, path)| (*path, text)).collect();
        assert_eq!(parts(&files), expected);
    }

    #[test]
    fn code_is_apart_from_the_scripts_of_a_package_for_all_platforms() {
        assert_parts(
            r#"{"name": "a"}"#,
            &[
                (Part::Portable, "app/node_modules/a/package.json"),
                (Part::Portable, "app/node_modules/a/z.js"),
                (Part::Platform, "app/node_modules/a/prebuilds/b.node"),
                (Part::Portable, "app/node_modules/b/index.js"),
                (Part::Portable, "app/package.json"),
                (Part::Platform, "app/own.node"),
                (Part::Portable, "app/own.js"),
                // As it stands where a link to another package of a workspace does.
                (Part::Portable, "app/node_modules/shared"),
                (Part::Description, "launch.json"),
            ],
        );
    }

    #[test]
    fn all_of_a_package_for_some_platforms_is_apart() {
        for key in ["os", "cpu", "libc"] {
            assert_parts(
                &format!(r#"{{"name": "a", "{key}": ["x"]}}"#),
                &[
                    (Part::Platform, "app/node_modules/@s/a/package.json"),
                    (Part::Platform, "app/node_modules/@s/a/z.js"),
                    (Part::Platform, "app/node_modules/@s/a/b.node"),
                    // Nothing in it is native code, so it is the same wherever it is.
                    (Part::Portable, "app/node_modules/b/package.json"),
                    // Only the package inside is for some.
                    (Part::Portable, "app/node_modules/c/index.js"),
                    (Part::Platform, "app/node_modules/c/node_modules/d/package.json"),
                    (Part::Platform, "app/node_modules/c/node_modules/d/b.node"),
                ],
            );
        }
    }

    #[test]
    fn what_is_no_package_is_apart_as_a_whole() {
        assert_parts(
            "not JSON",
            &[
                (Part::Platform, "runtime/bin/x.node"),
                (Part::Platform, "runtime/lib/text"),
                (Part::Portable, "services/python/main.py"),
                (Part::Platform, "app/node_modules/a/package.json"),
                (Part::Platform, "app/node_modules/a/index.js"),
                (Part::Platform, "app/node_modules/a/b.node"),
                (Part::Platform, "app/node_modules/.bin/tool.cmd"),
                (Part::Platform, "app/node_modules/a/node_modules/.bin/tool.cmd"),
            ],
        );
    }

    #[test]
    fn licence_texts_go_with_their_packages() {
        let files = [
            ("app/node_modules/@s/all/package.json", "{}"),
            ("app/node_modules/b/node_modules/inner/index.js", ""),
            ("app/node_modules/one/package.json", r#"{"os": ["linux"]}"#),
            ("app/node_modules/one/x.node", ""),
            ("licenses/@s/all@1.0.0/LICENSE", ""),
            ("licenses/all@1.0.0/LICENSE", ""),
            ("licenses/inner@1.0.0/sub/NOTICE", ""),
            ("licenses/one@1.0.0/LICENSE", ""),
            ("licenses/node@24.0.0/LICENSE", ""),
            ("licenses/index.json", ""),
        ];
        let found = parts(&files);
        let portable: Vec<_> = (found.iter())
            .filter_map(|(part, path)| (*part == Part::Licenses).then_some(*path))
            .collect();
        assert_eq!(portable, ["licenses/@s/all@1.0.0/LICENSE", "licenses/inner@1.0.0/sub/NOTICE"]);
        let rest = found.iter().filter(|(_, path)| path.starts_with("licenses/"));
        assert_eq!(rest.filter(|(part, _)| *part == Part::Description).count(), 4);
    }
}
