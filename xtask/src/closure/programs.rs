//! Programs that cannot be used as their tarball has them.
//!
//! npm makes a package's programs executable, and mends what was packed on Windows: after `#!/usr/bin/env node\r\n` a
//! kernel would look for a program called `node\r`. Nothing in the store is ever changed, so such a program gets a
//! copy of its own there. (npm: `bin-links/lib/fix-bin.js`.)

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;

use super::{Closure, ClosureError, bins};
use crate::mode;
use crate::store::Store;
use crate::tree::{Node, Source, Tree};

/// How much of a file npm looks at.
const HEAD: u64 = 2048;

/// Replaces the programs of an assembled tree whose file in the store has the wrong mode or a `#!` line for Windows.
/// Without it, [`crate::layout::Method::Link`] would lay out files that cannot be started.
///
/// # Errors
/// When a program cannot be read, or its copy cannot be written to the store.
pub fn settle_programs(
    closure: &Closure,
    tree: &mut Tree,
    store: &Store,
) -> Result<(), ClosureError> {
    let links = bins::links(closure, tree)?;
    let linked: BTreeSet<_> = links.iter().map(|link| &link.program).collect();
    for program in bins::programs(closure, &links)? {
        let is_linked = linked.contains(&program);
        let Some(Node::File(source)) = tree.get(program.as_str()) else { continue };
        if let Some(source) = settled(source, is_linked, store)? {
            tree.insert(program, Node::File(source));
        }
    }
    Ok(())
}

fn settled(
    source: &Source,
    is_linked: bool,
    store: &Store,
) -> Result<Option<Source>, ClosureError> {
    let failed = |error| ClosureError::Program { path: source.path(), source: error };
    let file = File::open(source.path()).map_err(failed)?;
    let is_executable = mode::is_executable(&file.metadata().map_err(failed)?);
    let mut head = Vec::new();
    if is_linked {
        file.take(HEAD).read_to_end(&mut head).map_err(failed)?;
    }
    let superfluous = carriage_return(&head);
    if is_executable && superfluous.is_none() {
        return Ok(None);
    }
    let what = if superfluous.is_some() { "unix-hashbang" } else { "program" };
    store
        .derived(&format!("{what}-{}", source.sha256), true, || {
            let mut bytes = std::fs::read(source.path()).map_err(failed)?;
            if let Some(at) = superfluous {
                bytes.remove(at);
            }
            Ok(bytes)
        })
        .map(Some)
}

/// Where the carriage return of a `#!` line is.
fn carriage_return(head: &[u8]) -> Option<usize> {
    let line = head.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let ends = head.get(line.len() + 2) == Some(&b'\n');
    (ends && line.len() > 1 && line.ends_with(b"\r")).then_some(line.len() + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use camino::{Utf8Path, Utf8PathBuf};
    use gangway_artifact::BundlePath;

    use super::super::{Origin, Package, assemble};
    use super::*;
    use crate::context::Context;
    use crate::integrity::Integrity;
    use crate::layout::{self, Method};
    use crate::report::Reporter;

    fn package(name: &str, file: &str, integrity: Integrity) -> Package {
        Package {
            path: BundlePath::new(format!("node_modules/{name}")).expect("plain"),
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            origin: Origin::Registry { integrity, resolved: None },
            has_install_script: false,
            bins: [("x".to_owned(), file.to_owned())].into(),
            engines: BTreeMap::new(),
        }
    }

    #[test]
    fn programs_start_and_the_store_stays_as_it_was() {
        let work = tempfile::tempdir().expect("a temporary folder can be made");
        let work = Utf8Path::from_path(work.path()).expect("its name is UTF-8");
        let context =
            Context::new(BTreeMap::new(), work.to_owned(), work.join("cache"), Reporter::silent());
        let store = Store::open(&context).expect("an empty store can be opened");

        // Both claim `x`: the first is linked and mended, the second only made executable.
        let (mut unpacked, mut packages, mut originals) = (BTreeMap::new(), Vec::new(), Vec::new());
        for name in ["first", "second"] {
            let text = format!("#!/bin/{name}\r\necho\r\n");
            let source = store.add_bytes(text.as_bytes(), false).expect("can be stored");
            let integrity = Integrity::sha512(name.as_bytes());
            let mut tree = Tree::default();
            tree.insert(BundlePath::new("x.js").expect("plain"), Node::File(source.clone()));
            unpacked.insert(integrity.clone(), tree);
            packages.push(package(name, "x.js", integrity));
            originals.push((source.path(), text));
        }
        let closure = Closure { packages, ..Closure::default() };
        let mut tree = assemble(&closure, &unpacked, &BTreeMap::new()).expect("all is there");
        settle_programs(&closure, &mut tree, &store).expect("the programs can be read");
        layout::write(&tree, &work.join("out"), Method::Link).expect("can be written");

        let laid_out = |name: &str| -> (String, bool) {
            let file: Utf8PathBuf = work.join(format!("out/node_modules/{name}/x.js"));
            let metadata = fs_err::metadata(&file).expect("is there");
            let text = fs_err::read_to_string(&file).expect("is there");
            (text, mode::is_executable(&metadata))
        };
        assert_eq!(laid_out("first"), ("#!/bin/first\necho\r\n".to_owned(), true));
        assert_eq!(laid_out("second"), ("#!/bin/second\r\necho\r\n".to_owned(), true));
        for (path, text) in originals {
            assert_eq!(fs_err::read_to_string(&path).expect("is there"), text);
            let metadata = fs_err::metadata(&path).expect("is there");
            assert!(cfg!(not(unix)) || !mode::is_executable(&metadata));
        }
    }

    #[test]
    fn only_the_first_line_of_scripts() {
        assert_eq!(carriage_return(b"#!/bin/sh\r\nx\r\n"), Some(9));
        assert_eq!(carriage_return(b"#!x\r\r\n"), Some(4));
        for head in
            [&b""[..], b"#!", b"#!/bin/sh\nx\r\n", b"x\r\n", b"#!\r\n", b"#!/bin/sh\r", b"#!a\rb\n"]
        {
            assert_eq!(carriage_return(head), None, "{head:?}");
        }
    }
}
