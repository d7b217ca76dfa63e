//! What the native code of a bundle needs of a machine, read from the staged binaries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use camino::Utf8PathBuf;
use gangway_abi::{Facts, Version};
use gangway_artifact::{BundlePath, Digest, Requirements};
use miette::Diagnostic;
use rayon::prelude::*;

use crate::native::Natives;
use crate::target::Target;
use crate::tree::{Source, Tree};

/// A file that could not be read.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot read `{path}`")]
pub struct NeedsError {
    path: Utf8PathBuf,
    source: std::io::Error,
}

/// What a bundle needs, and which of its binaries needs more than the target's oldest system is sure to have.
#[derive(Debug)]
pub struct Needs {
    /// The needs of all binaries together.
    pub requirements: Requirements,
    /// One sentence for each need that is beyond the baseline.
    pub beyond: Vec<String>,
}

/// Reads every binary of the tree. Libraries that the target's systems have for sure are not listed.
///
/// What is folded here is what the loader demands at start. Libraries that a program opens by itself later are not
/// seen, and a statically linked program needs nothing.
///
/// # Errors
/// When a file cannot be read.
pub fn read(tree: &Tree, target: &Target, natives: &Natives) -> Result<Needs, NeedsError> {
    let baseline = target.baseline();
    let binaries = binaries(tree, natives)?;
    let provided: BTreeSet<String> = binaries
        .iter()
        .flat_map(|(paths, facts)| {
            paths.iter().flat_map(|path| gangway_abi::provided_by(path.name(), facts))
        })
        .collect();
    let alone = |facts: &Facts| {
        let mut requirements = gangway_abi::Requirements::default();
        requirements.add(facts, &provided);
        requirements.libraries.retain(|library| !target.provides(library));
        requirements
    };
    let needs: Vec<(&BundlePath, gangway_abi::Requirements)> =
        binaries.iter().map(|(paths, facts)| (paths[0], alone(facts))).collect();
    let newest = |of: fn(&gangway_abi::Requirements) -> Option<&Version>| {
        needs.iter().filter_map(|(path, needs)| Some((of(needs)?, *path))).max()
    };
    let glibc = newest(|needs| needs.glibc.as_ref());
    let libstdcxx = newest(|needs| needs.libstdcxx.as_ref());
    let mut libraries: BTreeMap<&str, &BundlePath> = BTreeMap::new();
    for (path, needs) in &needs {
        for library in &needs.libraries {
            libraries.entry(library).or_insert(path);
        }
    }
    let beyond = [
        newer("glibc", glibc, baseline.glibc.as_deref()),
        newer("libstdc++ with GLIBCXX", libstdcxx, baseline.libstdcxx.as_deref()),
    ];
    let missing = libraries.iter().map(|(library, path)| {
        format!("`{path}` needs `{library}`, which not every system of this target has")
    });
    Ok(Needs {
        beyond: beyond.into_iter().flatten().chain(missing).collect(),
        requirements: Requirements {
            glibc: glibc.map(|(version, _)| version.to_string()),
            libstdcxx: libstdcxx.map(|(version, _)| version.to_string()),
            libraries: libraries.into_keys().map(str::to_owned).collect(),
        },
    })
}

fn newer(
    what: &str,
    needed: Option<(&Version, &BundlePath)>,
    promised: Option<&str>,
) -> Option<String> {
    let (needed, path) = needed?;
    let promised = Version::parse(promised?)?;
    let text =
        || format!("`{path}` needs {what} {needed}, and this target promises to run on {promised}");
    (*needed > promised).then(text)
}

/// A distinct binary: its places, at least one, and what it says.
type Binary<'tree> = (Vec<&'tree BundlePath>, Arc<Facts>);

fn binaries<'tree>(tree: &'tree Tree, natives: &Natives) -> Result<Vec<Binary<'tree>>, NeedsError> {
    let mut distinct: BTreeMap<Digest, (&Source, Vec<&BundlePath>)> = BTreeMap::new();
    for (path, source) in tree.files() {
        distinct.entry(source.sha256).or_insert_with(|| (source, Vec::new())).1.push(path);
    }
    distinct
        .into_par_iter()
        .filter_map(|(_, (source, paths))| match natives.facts(source) {
            Ok(found) => found.map(|facts| Ok((paths, facts))),
            Err(error) => Some(Err(NeedsError { path: source.path(), source: error })),
        })
        .collect()
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use gangway_artifact::Digest;

    use super::*;
    use crate::target::Targets;
    use crate::testing::Sandbox;
    use crate::tree::Node;

    /// A file that is there already.
    fn source(path: Utf8PathBuf) -> Node {
        let file = fs_err::File::open(&path).expect("it is there");
        let (sha256, size) = Digest::of_reader(file).expect("readable");
        Node::File(Source::new(path, size, true, sha256))
    }

    /// This test's own program: it needs glibc and libgcc_s.
    fn program() -> Node {
        let path = std::env::current_exe().expect("a test is a program");
        source(Utf8PathBuf::try_from(path).expect("build folders are UTF-8"))
    }

    fn tree<const N: usize>(files: [(&str, Node); N]) -> Tree {
        files
            .map(|(path, node)| (BundlePath::new(path).expect("plain"), node))
            .into_iter()
            .collect()
    }

    /// A target with this floor and these libraries, and nothing else.
    fn target(parent: &str, glibc: Option<&str>, libraries: &[&str]) -> Target {
        let sandbox = Sandbox::new();
        let floor =
            glibc.map_or_else(String::new, |glibc| format!("[baseline]\nglibc = \"{glibc}\"\n"));
        let text = format!(
            "format = 1\ninherits = \"{parent}\"\n{floor}[system]\nlibraries = {libraries:?}\n"
        );
        sandbox.write("targets/floor.toml", text);
        let targets = Targets::beside(&sandbox.root).expect("it is valid");
        targets.find("floor").expect("just written").clone()
    }

    fn glibc(floor: &str, libraries: &[&str]) -> Target {
        target("linux-x64", Some(floor), libraries)
    }

    /// Of a platform without glibc.
    fn without_glibc(libraries: &[&str]) -> Target {
        target("linux-x64-musl", None, libraries)
    }

    fn look(tree: &Tree, target: &Target) -> Result<Needs, NeedsError> {
        read(tree, target, &Natives::default())
    }

    const SYSTEM: [&str; 4] =
        ["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6"];

    #[test]
    fn what_a_system_has_is_no_need() {
        let system = [&SYSTEM[..], &["libgcc_s.so.1"]].concat();
        let tree = tree([("bin/a", program())]);
        let needs = look(&tree, &glibc("99.0", &system)).expect("readable");
        assert_eq!(needs.beyond, Vec::<String>::new());
        assert_eq!(needs.requirements.libraries, Vec::<String>::new());
        assert!(needs.requirements.glibc.is_some_and(|version| version.starts_with("2.")));
        assert_eq!(needs.requirements.libstdcxx, None);
    }

    #[test]
    fn what_is_beyond_the_baseline_is_told() {
        let tree = tree([("bin/a", program())]);
        let needs = look(&tree, &glibc("2.0", &SYSTEM)).expect("readable");
        let glibc = needs.requirements.glibc.expect("the C library is used");
        assert_eq!(
            needs.beyond,
            [
                format!("`bin/a` needs glibc {glibc}, and this target promises to run on 2.0"),
                "`bin/a` needs `libgcc_s.so.1`, which not every system of this target has"
                    .to_owned(),
            ]
        );
        assert_eq!(needs.requirements.libraries, ["libgcc_s.so.1"]);
    }

    #[test]
    fn a_target_that_promises_nothing_is_not_held_to_it() {
        let tree = tree([("bin/a", program())]);
        let system = [&SYSTEM[..], &["libgcc_s.so.1"]].concat();
        assert_eq!(
            look(&tree, &without_glibc(&system)).expect("readable").beyond,
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_library_that_comes_along_is_no_need() {
        // The same bytes under two names: both count.
        let tree =
            tree([("bin/a", program()), ("lib/libgcc_s.so.1", program()), ("lib/z", program())]);
        let needs = look(&tree, &glibc("99.0", &SYSTEM)).expect("readable");
        assert_eq!(needs.requirements.libraries, Vec::<String>::new());
        assert_eq!(needs.beyond, Vec::<String>::new());
    }

    #[test]
    fn only_binaries_are_read() {
        let sandbox = Sandbox::new();
        let files = [
            ("a.js", source(sandbox.write("a.js", "console.log(1)"))),
            ("empty", source(sandbox.write("empty", ""))),
            ("broken.node", source(sandbox.write("broken.node", b"\x7fELF\x02\x01\x01"))),
            ("link", Node::Link("a.js".to_owned())),
        ];
        let needs = look(&tree(files), &glibc("2.28", &[])).expect("readable");
        assert_eq!(needs.requirements, Requirements::default());
        assert_eq!(needs.beyond, Vec::<String>::new());
    }

    #[test]
    fn a_file_that_is_gone() {
        let sandbox = Sandbox::new();
        let node = source(sandbox.write("a.node", "x"));
        fs_err::remove_file(sandbox.root.join("a.node")).expect("just written");
        let error = look(&tree([("a.node", node)]), &without_glibc(&[])).expect_err("it is gone");
        assert_eq!(error.to_string(), format!("cannot read `{}`", sandbox.root.join("a.node")));
    }
}
