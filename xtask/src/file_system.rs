//! What a target's file systems can hold, and a tree made to fit them.
//!
//! Where making a symbolic link takes a privilege (Windows), a bundle has none: a link to a file or folder becomes a
//! copy, one in a `.bin` folder a `.cmd` file that starts the program with the bundle's own runtime, as npm's do with
//! whatever Node is found. Where case does not count, or names are reserved, a tree that needs them is refused:
//! unpacked there, one file would silently take the other's place.
//!
//! Names and case: <https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file>.

use std::collections::BTreeMap;
use std::io::Read as _;

use gangway_artifact::{BundlePath, PathError};
use miette::Diagnostic;

use crate::store::{Store, StoreError};
use crate::target::FileSystem;
use crate::tree::{Node, Source, Tree};

/// How many links may be between a link and what it means; as many as Linux follows.
const MOST_LINKS: usize = 40;

/// A tree that does not fit.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum FileSystemError {
    /// Two paths that are one there.
    #[error(
        "`{first}` and `{second}` differ in case or Unicode form only, and are one file on the target's systems"
    )]
    #[diagnostic(help(
        "leave one of them out: `exclude` in [app] for own files; for a package, one that is made for this target"
    ))]
    Collision {
        /// One of them.
        first: BundlePath,
        /// The other.
        second: BundlePath,
    },
    /// A name the system keeps for itself.
    #[error("`{path}` cannot be on the target's systems: {reason}")]
    #[diagnostic(help(
        "leave it out: `exclude` in [app] for own files; for a package, one that is made for this target"
    ))]
    Name {
        /// The path.
        path: BundlePath,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A link whose copy would have itself inside.
    #[error("the link `{path}` leads to a folder it is in: it cannot become a copy")]
    Endless {
        /// The link.
        path: BundlePath,
    },
    /// A copy whose path is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A file that could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file in the store.
        path: camino::Utf8PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The store.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

/// Makes `tree`, a whole bundle, fit. `runtime` is what starts scripts, if the bundle has one.
///
/// # Errors
/// When it cannot be made to fit.
pub fn fit(
    tree: &mut Tree,
    system: &FileSystem,
    runtime: Option<&BundlePath>,
    store: &Store,
) -> Result<(), FileSystemError> {
    if !system.symbolic_links {
        replace_links(tree, runtime, store)?;
    }
    if !system.case_sensitive {
        refuse_collisions(tree)?;
    }
    if system.reserved_names {
        tree.iter().try_for_each(|(path, _)| refuse_name(path))?;
    }
    Ok(())
}

fn replace_links(
    tree: &mut Tree,
    runtime: Option<&BundlePath>,
    store: &Store,
) -> Result<(), FileSystemError> {
    let links: Vec<BundlePath> = tree
        .iter()
        .filter(|(_, node)| matches!(node, Node::Link(_)))
        .map(|(path, _)| path.clone())
        .collect();
    let mut copies = Vec::new();
    for path in &links {
        // What leads nowhere is nowhere on a system with links, too.
        let Some(meant) = meaning(tree, path) else { continue };
        match tree.get(&meant) {
            Some(Node::File(source)) if is_program(path) => {
                let file = shim(path, &meant, source, runtime)?;
                let source = store.add_bytes(file.as_bytes(), false)?;
                copies.push((path.with_suffix(".cmd")?, Node::File(source)));
            }
            Some(node) => copies.push((path.clone(), node.clone())),
            None => copies.extend(folder(tree, path, &meant, &mut Vec::new())?),
        }
    }
    for path in &links {
        tree.remove(path.as_str());
    }
    for (path, node) in copies {
        tree.insert(path, node);
    }
    Ok(())
}

/// Whether a link is one npm makes for a package's program.
fn is_program(link: &BundlePath) -> bool {
    link.parent().is_some_and(|folder| folder.as_str().ends_with("node_modules/.bin"))
}

/// The path a link leads to in the end, if there is something.
fn meaning(tree: &Tree, link: &BundlePath) -> Option<String> {
    let mut path = link.as_str().to_owned();
    for _ in 0..MOST_LINKS {
        // A folder above may be a link, too: the nearest to the root comes first.
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let found = ends.into_iter().find_map(|end| match tree.get(&path[..end]) {
            Some(Node::Link(target)) => Some((end, target)),
            _ => None,
        });
        let Some((end, target)) = found else {
            return (tree.get(&path).is_some() || tree.has_folder(&path)).then_some(path);
        };
        let folder = path[..end].rsplit_once('/').map_or("", |(folder, _)| folder);
        path = joined(folder, &format!("{target}{}", &path[end..]))?;
    }
    None
}

/// `path` seen from `folder`, without `.` and `..`.
fn joined(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Copies of everything in the folder `meant` for the link at `path`; links in it are followed. `around` are the folders
/// that led here.
fn folder(
    tree: &Tree,
    path: &BundlePath,
    meant: &str,
    around: &mut Vec<String>,
) -> Result<Vec<(BundlePath, Node)>, FileSystemError> {
    if path.below(meant).is_some() || around.iter().any(|folder| folder == meant) {
        return Err(FileSystemError::Endless { path: path.clone() });
    }
    around.push(meant.to_owned());
    let mut copies = Vec::new();
    for (below, node) in tree.below(meant) {
        let place = path.join(below.below(meant).expect("it is below"))?;
        let Node::Link(_) = node else {
            copies.push((place, node.clone()));
            continue;
        };
        let Some(meant) = meaning(tree, below) else { continue };
        match tree.get(&meant) {
            Some(node) => copies.push((place, node.clone())),
            None => {
                for (inner, node) in folder(tree, below, &meant, around)? {
                    let inner = inner.below(below.as_str()).expect("it is a copy for this link");
                    copies.push((place.join(inner)?, node));
                }
            }
        }
    }
    around.pop();
    Ok(copies)
}

/// A `.cmd` file in place of the link `path` to the program `meant`.
fn shim(
    path: &BundlePath,
    meant: &str,
    program: &Source,
    runtime: Option<&BundlePath>,
) -> Result<String, FileSystemError> {
    let seen = |file: &str| {
        let up = path.components().count() - 1;
        format!("\"%~dp0{}{}\"", "..\\".repeat(up), file.replace('/', "\\"))
    };
    let is_script = [".js", ".cjs", ".mjs"].iter().any(|end| meant.ends_with(end))
        || first_line(program)?.contains("node");
    let command = match runtime {
        Some(runtime) if is_script => format!("{} {}", seen(runtime.as_str()), seen(meant)),
        _ if meant.ends_with(".cmd") || meant.ends_with(".bat") => format!("CALL {}", seen(meant)),
        _ => seen(meant),
    };
    Ok(format!("@{command} %*\r\n"))
}

/// The `#!` line of a program, or nothing.
fn first_line(program: &Source) -> Result<String, FileSystemError> {
    let failed = |source| FileSystemError::Read { path: program.path(), source };
    let mut head = Vec::new();
    let file = fs_err::File::open(program.path()).map_err(failed)?;
    file.take(256).read_to_end(&mut head).map_err(failed)?;
    let line = head.strip_prefix(b"#!").and_then(|rest| rest.split(|&byte| byte == b'\n').next());
    Ok(line.map(|line| String::from_utf8_lossy(line).into_owned()).unwrap_or_default())
}

fn refuse_collisions(tree: &Tree) -> Result<(), FileSystemError> {
    let mut seen: BTreeMap<String, &BundlePath> = BTreeMap::new();
    let mut folders: BTreeMap<String, &str> = BTreeMap::new();
    for (path, _) in tree.iter() {
        let text = path.as_str();
        for (end, _) in text.match_indices('/') {
            // Two spellings of a folder are one folder there: only files in both can collide, but a program that
            // asks for the other spelling finds both.
            folders.entry(gangway_artifact::spelling(&text[..end])).or_insert(&text[..end]);
        }
        if let Some(first) = seen.insert(gangway_artifact::spelling(text), path) {
            return Err(FileSystemError::Collision { first: first.clone(), second: path.clone() });
        }
    }
    for (lower, path) in seen {
        if folders.contains_key(&lower) {
            let second = BundlePath::new(folders[&lower])?;
            return Err(FileSystemError::Collision { first: path.clone(), second });
        }
    }
    Ok(())
}

fn refuse_name(path: &BundlePath) -> Result<(), FileSystemError> {
    match BundlePath::windows_fault(path.as_str()) {
        Some(reason) => Err(FileSystemError::Name { path: path.clone(), reason }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    const WINDOWS: FileSystem =
        FileSystem { symbolic_links: false, case_sensitive: false, reserved_names: true };

    struct Bundle {
        sandbox: Sandbox,
        tree: Tree,
    }

    impl Bundle {
        fn new() -> Self {
            Self { sandbox: Sandbox::new(), tree: Tree::default() }
        }

        fn store(&self) -> Store {
            Store::open(&self.sandbox.context(&[])).expect("a fresh folder")
        }

        fn file(mut self, path: &str, text: &str) -> Self {
            let source = self.store().add_bytes(text.as_bytes(), false).expect("there is room");
            self.tree.insert(path.parse().expect("plain"), Node::File(source));
            self
        }

        fn link(mut self, path: &str, target: &str) -> Self {
            self.tree.insert(path.parse().expect("plain"), Node::Link(target.to_owned()));
            self
        }

        fn fit(mut self) -> Result<BTreeMap<String, String>, FileSystemError> {
            let runtime = "runtime/bin/node.exe".parse().expect("plain");
            let store = self.store();
            fit(&mut self.tree, &WINDOWS, Some(&runtime), &store)?;
            let read = |(path, node): (&BundlePath, &Node)| match node {
                Node::File(source) => {
                    (path.to_string(), fs_err::read_to_string(source.path()).expect("text"))
                }
                Node::Link(target) => panic!("{path} -> {target} is a link"),
            };
            Ok(self.tree.iter().map(read).collect())
        }

        fn refused(self) -> String {
            self.fit().expect_err("it does not fit").to_string()
        }
    }

    #[test]
    fn programs_become_commands() {
        let fitted = Bundle::new()
            .file("app/node_modules/a/cli.js", "1")
            .file("app/node_modules/b/run", "#!/usr/bin/env node\n1")
            .file("app/node_modules/c/c.exe", "MZ")
            .link("app/node_modules/.bin/a", "../a/cli.js")
            .link("app/node_modules/.bin/b", "../b/run")
            .link("app/node_modules/.bin/c", "../c/c.exe")
            .link("app/node_modules/.bin/gone", "../gone/cli.js")
            .fit()
            .expect("it fits");
        let up = "..\\..\\..\\";
        let node = format!("\"%~dp0{up}runtime\\bin\\node.exe\"");
        let modules = format!("\"%~dp0{up}app\\node_modules\\");
        assert_eq!(
            fitted["app/node_modules/.bin/a.cmd"],
            format!("@{node} {modules}a\\cli.js\" %*\r\n")
        );
        assert_eq!(
            fitted["app/node_modules/.bin/b.cmd"],
            format!("@{node} {modules}b\\run\" %*\r\n")
        );
        assert_eq!(fitted["app/node_modules/.bin/c.cmd"], format!("@{modules}c\\c.exe\" %*\r\n"));
        assert_eq!(fitted.len(), 6);
    }

    #[test]
    fn other_links_become_copies() {
        let fitted = Bundle::new()
            .file("app/packages/own/index.js", "own")
            .link("app/packages/own/same.js", "index.js")
            .link("app/node_modules/own", "../packages/own")
            .link("app/again", "node_modules/own")
            .link("app/one.js", "again/same.js")
            .fit()
            .expect("it fits");
        let copies = [
            "app/node_modules/own/index.js",
            "app/node_modules/own/same.js",
            "app/again/same.js",
            "app/one.js",
        ];
        for path in copies {
            assert_eq!(fitted.get(path).map(String::as_str), Some("own"), "{path}");
        }
    }

    #[test]
    fn endless_copies_are_refused() {
        let said = Bundle::new().file("app/a/x.js", "").link("app/a/self", "../a").refused();
        assert_eq!(
            said,
            "the link `app/a/self` leads to a folder it is in: it cannot become a copy"
        );
        let around = Bundle::new()
            .file("app/a/x.js", "")
            .file("app/b/x.js", "")
            .link("app/a/b", "../b")
            .link("app/b/a", "../a");
        assert!(around.refused().contains("leads to a folder it is in"));
        let three = ["a", "b", "c"].iter().zip(["b", "c", "a"]).fold(
            Bundle::new(),
            |bundle, (one, other)| {
                bundle
                    .file(&format!("app/{one}/x.js"), "")
                    .link(&format!("app/{one}/{other}"), &format!("../{other}"))
            },
        );
        assert!(three.refused().contains("leads to a folder it is in"));
    }

    #[test]
    fn names_that_are_one() {
        let two = Bundle::new().file("app/Read.js", "").file("app/read.js", "");
        assert_eq!(
            two.refused(),
            "`app/Read.js` and `app/read.js` differ in case or Unicode form only, and are one file on the target's systems"
        );
        let folder = Bundle::new().file("app/lib", "").file("app/LIB/x", "");
        assert!(folder.refused().contains("differ in case or Unicode form only"));
        assert!(Bundle::new().file("app/LIB/a", "").file("app/lib/b", "").fit().is_ok());
    }

    #[test]
    fn names_that_are_reserved() {
        for name in ["aux", "NUL.txt", "com1.js", "a?b", "trailing.", "trailing ", "x/con/y"] {
            let said = Bundle::new().file(&format!("app/{name}"), "").refused();
            assert!(said.contains("cannot be on the target's systems"), "{said}");
        }
        for name in ["auxiliary", "console.js", "com10", "lpt", "nul-1"] {
            assert!(Bundle::new().file(&format!("app/{name}"), "").fit().is_ok(), "{name}");
        }
    }
}
