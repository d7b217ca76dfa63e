//! Writes a [`Tree`] to disk.
//!
//! Folders come first, then files, links last: so no file is ever written through a link of the tree. Names come from
//! [`BundlePath`]s, which lead nowhere else. What is there already is never replaced; a clash is an error.

mod change;
mod place;

use std::fs::{self, File};
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::BundlePath;
use miette::Diagnostic;
use rayon::prelude::*;

pub use change::change;
use place::{Origin, Place};

use crate::mode;
use crate::tree::{Node, Source, Tree};

/// How files get into the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Hard links to the sources (reflinks or copies where that fails). Nobody may write to the result.
    Link,
    /// Files of their own (reflinks where the file system has them).
    Copy,
}

/// What can go wrong when a tree is written out.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum LayoutError {
    /// A folder could not be made.
    #[error("cannot make the folder `{path}`")]
    Folder {
        /// The folder.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write `{path}` from `{from}`")]
    #[diagnostic(help("{}", advice(from, source)))]
    File {
        /// The file.
        path: Utf8PathBuf,
        /// Where its bytes are.
        from: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A link could not be made.
    #[error("cannot make the link `{path}` to `{target}`")]
    Link {
        /// The link.
        path: Utf8PathBuf,
        /// Where it points.
        target: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What was laid out before could not be taken away.
    #[error("cannot take away `{path}`")]
    Remove {
        /// The file, link or folder.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A link would lead out of the folder.
    #[error("the link `{path}` points to `{target}`, which is outside the tree")]
    Escape {
        /// The link.
        path: BundlePath,
        /// Where it points.
        target: String,
    },
}

/// Writes `tree` below `folder`, which is made if it is not there, with modes 644 and 755 whatever the umask.
/// With [`Method::Link`] a file has its source's mode, so the sources must have the right one, as the store's do.
///
/// # Errors
/// When something cannot be made or is there already; the message names the path.
pub fn write(tree: &Tree, folder: &Utf8Path, method: Method) -> Result<(), LayoutError> {
    for (path, node) in tree.iter() {
        if let Node::Link(target) = node
            && !path.holds_link_to(target)
        {
            return Err(LayoutError::Escape { path: path.clone(), target: target.clone() });
        }
    }
    if let Some(above) = folder.parent() {
        fs::create_dir_all(above)
            .map_err(|source| LayoutError::Folder { path: above.to_owned(), source })?;
    }
    let entries: Vec<Entry<'_>> = tree.iter().map(|(path, node)| (path.as_str(), node)).collect();
    let place = Place::make(None, folder.to_owned())?;
    fill(&place, &entries, 0, method, None)
}

/// A path and what is there.
type Entry<'tree> = (&'tree str, &'tree Node);

/// Fewer entries than this are not worth another thread.
const WORTH_A_THREAD: usize = 64;

/// Makes `entries` in a folder; they are sorted and have their first `depth` bytes in common. Folders next to each other are
/// filled side by side: making them costs the kernel as much as linking their files. The files of one folder are linked one
/// after the other, because the kernel locks a folder for each.
fn fill<'tree>(
    place: &Place,
    entries: &[Entry<'tree>],
    depth: usize,
    method: Method,
    above: Option<&Origin<'tree>>,
) -> Result<(), LayoutError> {
    let mut linker = Linker { place, above, origin: None };
    // What is below one folder stands together, because it shares a prefix.
    let mut subfolders: Vec<(&str, &[Entry<'tree>])> = Vec::new();
    for part in
        entries.chunk_by(|(a, _), (b, _)| match (subfolder(&a[depth..]), subfolder(&b[depth..])) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        })
    {
        let (path, node) = part[0];
        match subfolder(&path[depth..]) {
            Some(name) => subfolders.push((name, part)),
            None => write_node(&mut linker, &path[depth..], node, method)?,
        }
    }
    let origin = linker.origin;
    let write = |(name, part): &(&str, &[Entry<'tree>])| {
        let place = Place::make(Some(place), place.path.join(name))?;
        fill(&place, part, depth + name.len() + 1, method, origin.as_ref().or(above))
    };
    if entries.len() < WORTH_A_THREAD {
        subfolders.iter().try_for_each(write)
    } else {
        subfolders.par_iter().try_for_each(write)
    }
}

/// The first component of a path that has more than one.
fn subfolder(path: &str) -> Option<&str> {
    path.split_once('/').map(|(name, _)| name)
}

fn write_node<'tree>(
    linker: &mut Linker<'_, 'tree>,
    name: &str,
    node: &'tree Node,
    method: Method,
) -> Result<(), LayoutError> {
    let place = || linker.place.path.join(name);
    match node {
        Node::File(source) => write_file(linker, source, name, method).map_err(|error| {
            let path = linker.place.path.join(name);
            LayoutError::File { path, from: source.path(), source: error }
        }),
        Node::Link(target) => make_link(target, &place()).map_err(|source| LayoutError::Link {
            path: place(),
            target: target.clone(),
            source,
        }),
    }
}

fn write_file<'tree>(
    linker: &mut Linker<'_, 'tree>,
    source: &'tree Source,
    name: &str,
    method: Method,
) -> io::Result<()> {
    if method == Method::Link {
        match linker.link(source, name) {
            Ok(()) => return Ok(()),
            Err(error) if copying_helps(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let place = linker.place.path.join(name);
    let mut from = File::open(source.path())?;
    let mut to = File::create_new(&place)?;
    // Lets the kernel copy: it shares blocks where the file system has reflinks.
    io::copy(&mut from, &mut to)?;
    mode::set(&to, source.executable)
}

/// Makes hard links in one folder.
struct Linker<'place, 'tree> {
    place: &'place Place,
    /// Where the files of the folder above came from.
    above: Option<&'place Origin<'tree>>,
    /// Where the last file came from.
    origin: Option<Origin<'tree>>,
}

/// Another file system, too many links to one file, a file system without links, or a kernel that protects other
/// users' files from being linked.
fn copying_helps(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), CrossesDevices | TooManyLinks | PermissionDenied | Unsupported)
}

/// A symbolic link, where the system has them.
#[cfg(unix)]
pub(crate) fn make_link(target: &str, place: &Utf8Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

#[cfg(not(unix))]
pub(crate) fn make_link(_target: &str, _place: &Utf8Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn advice(from: &Utf8Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "if `{from}` is gone, something outside removed it from the cache: remove the rest of that entry and run again"
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some space (see it with `df -h`) and run again".to_owned()
        }
        io::ErrorKind::AlreadyExists => "lay the tree out in an empty folder".to_owned(),
        _ => "check that both folders can be read and written".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use gangway_artifact::Digest;

    use super::*;
    use crate::store::Store;
    use crate::testing::{Place, Sandbox, apart, contents, rendered};

    fn path(text: &str) -> BundlePath {
        BundlePath::new(text).expect("plain")
    }

    /// A tree of files in a store.
    fn tree(sandbox: &Sandbox) -> Tree {
        let store = Store::open(&sandbox.context(&[])).expect("a fresh folder");
        let mut tree = Tree::default();
        for (name, executable) in [("a/one", false), ("a/b/two", true), ("three", false)] {
            let source = store.add_bytes(name.as_bytes(), executable).expect("writable");
            tree.insert(path(name), Node::File(source));
        }
        tree.insert(path("a/link"), Node::Link("b/two".to_owned()));
        tree.insert(path("bin/up"), Node::Link("../three".to_owned()));
        tree
    }

    fn blobs(sandbox: &Sandbox) -> Vec<(String, Vec<u8>, u32)> {
        let folder = sandbox.root.join("cache/blobs-v1");
        let mode = |path: &str| mode_of(&folder.join(path));
        contents(&folder)
            .into_iter()
            .map(|(path, bytes)| (path.clone(), bytes, mode(&path)))
            .collect()
    }

    #[cfg(unix)]
    fn mode_of(path: &Utf8Path) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).expect("there").permissions().mode() & 0o7777
    }

    #[cfg(not(unix))]
    fn mode_of(_path: &Utf8Path) -> u32 {
        0
    }

    fn check(folder: &Utf8Path) {
        let found: Vec<_> = contents(folder)
            .into_iter()
            .map(|(path, bytes)| format!("{path}: {}", String::from_utf8_lossy(&bytes)))
            .collect();
        let expected = [
            "a/b/two: a/b/two",
            "a/link: -> b/two",
            "a/one: a/one",
            "bin/up: -> ../three",
            "three: three",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn both_ways_give_the_same() {
        let sandbox = Sandbox::new();
        let tree = tree(&sandbox);
        for method in [Method::Link, Method::Copy] {
            let folder = sandbox.root.join(format!("{method:?}/deep"));
            write(&tree, &folder, method).expect("writable");
            check(&folder);
        }
    }

    /// Whatever a stage does to files of its own, the store does not change.
    #[test]
    fn the_store_cannot_be_altered_through_a_copy() {
        let sandbox = Sandbox::new();
        let tree = tree(&sandbox);
        let before = blobs(&sandbox);
        let folder = sandbox.root.join("copy");
        write(&tree, &folder, Method::Copy).expect("writable");
        let [one, two, three] = ["a/one", "a/b/two", "three"].map(|name| folder.join(name));
        // In place, as strip or a code signer may do it; truncated; another mode; removed.
        let mut file = File::options().append(true).open(&one).expect("writable");
        io::Write::write_all(&mut file, b"more").expect("writable");
        fs::write(&two, "").expect("writable");
        let mut permissions = fs::metadata(&two).expect("there").permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&two, permissions).expect("ours");
        fs::remove_file(&three).expect("ours");
        assert_eq!(blobs(&sandbox), before);
    }

    /// Files that share bytes with the store are replaced, never written to; that does not change it either.
    #[test]
    fn the_store_survives_replacing_linked_files() {
        let sandbox = Sandbox::new();
        let tree = tree(&sandbox);
        let before = blobs(&sandbox);
        let folder = sandbox.root.join("link");
        write(&tree, &folder, Method::Link).expect("writable");
        fs::remove_file(folder.join("a/one")).expect("ours");
        fs::write(folder.join("a/one"), "another").expect("writable");
        fs::write(folder.join("new"), "another").expect("writable");
        fs::rename(folder.join("new"), folder.join("three")).expect("ours");
        fs::remove_dir_all(folder.join("a")).expect("ours");
        assert_eq!(blobs(&sandbox), before);
    }

    #[cfg(unix)]
    #[test]
    fn modes_do_not_depend_on_the_umask() {
        let name = "layout::tests::modes_do_not_depend_on_the_umask";
        let Place::Inside(place) = apart(name, &[], "umask 077") else { return };
        let sandbox = Sandbox::new();
        let tree = tree(&sandbox);
        for method in [Method::Link, Method::Copy] {
            let folder = place.join(format!("{method:?}"));
            write(&tree, &folder, method).expect("writable");
            let modes = ["", "a", "a/b", "bin", "a/one", "a/b/two", "three"]
                .map(|name| format!("{name} {:o}", mode_of(&folder.join(name))));
            let expected =
                [" 755", "a 755", "a/b 755", "bin 755", "a/one 644", "a/b/two 755", "three 644"];
            assert_eq!(modes, expected, "{method:?}");
        }
    }

    #[test]
    fn another_file_system_gets_copies() {
        let name = "layout::tests::another_file_system_gets_copies";
        let setup = "mount -t tmpfs tmpfs $FOLDER";
        let Place::Inside(place) = apart(name, &["unshare", "-Urm"], setup) else { return };
        let sandbox = Sandbox::new();
        let tree = tree(&sandbox);
        write(&tree, &place.join("tree"), Method::Link).expect("writable");
        check(&place.join("tree"));
        assert_eq!(mode_of(&place.join("tree/a/b/two")), 0o755);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let sandbox = Sandbox::new();
        let mut tree = tree(&sandbox);
        let outside = sandbox.root.join("outside");
        fs::create_dir(&outside).expect("writable");
        let folder = sandbox.root.join("tree");
        fs::create_dir(&folder).expect("writable");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&outside, folder.join("a")).expect("writable");
            assert!(matches!(write(&tree, &folder, Method::Copy), Err(LayoutError::Folder { .. })));
            fs::remove_file(folder.join("a")).expect("ours");
        }
        for target in ["../outside", "/etc", "b/../../outside", ""] {
            tree.insert(path("link"), Node::Link(target.to_owned()));
            let error = write(&tree, &folder, Method::Copy).expect_err(target);
            assert!(matches!(error, LayoutError::Escape { .. }), "{target}: {error}");
        }
        // A link where the tree has a folder too.
        tree.remove("link");
        tree.insert(path("a"), Node::Link("bin".to_owned()));
        let folder = sandbox.root.join("another tree");
        assert!(matches!(write(&tree, &folder, Method::Copy), Err(LayoutError::Folder { .. })));
        assert_eq!(contents(&outside).len(), 0);
    }

    #[test]
    fn messages() {
        let sandbox = Sandbox::new();
        let tree = tree(&sandbox);
        let folder = sandbox.root.join("tree");
        sandbox.write("tree/three", "in the way");
        let text = |tree: &Tree| {
            let error = write(tree, &folder, Method::Link).expect_err("it cannot");
            rendered(&error).replace(sandbox.root.as_str(), "ROOT")
        };
        let mut one = Tree::default();
        one.insert(path("three"), tree.get("three").expect("it has it").clone());
        let digest = Digest::of("three").to_string();
        insta::assert_snapshot!(text(&one).replace(&digest, "DIGEST"), @r"
        × cannot write `ROOT/tree/three` from `ROOT/cache/blobs-v1/8b/DIGEST`
        ╰─▶ File exists (os error 17)
        help: lay the tree out in an empty folder
        ");
        let gone = Source::new(sandbox.root.join("gone"), 1, false, Digest::of("x"));
        let mut one = Tree::default();
        one.insert(path("file"), Node::File(gone));
        insta::assert_snapshot!(text(&one), @r"
        × cannot write `ROOT/tree/file` from `ROOT/gone`
        ╰─▶ No such file or directory (os error 2)
        help: if `ROOT/gone` is gone, something outside removed it from the cache: remove the rest of that entry and run again
        ");
    }
}
