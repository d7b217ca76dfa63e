//! Programs of packages and their links in `.bin`. (npm: `npm-normalize-package-bin` and `bin-links`.)

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use gangway_artifact::BundlePath;
use serde_json::Value;

use super::{Closure, ClosureError, Origin, Package, location};
use crate::tree::{Node, Tree};

/// A link in a `.bin` folder.
pub(super) struct BinLink {
    /// Its place.
    pub(super) path: BundlePath,
    /// Where it points, relative to `.bin`.
    pub(super) points_to: String,
    /// What it means in the end, not through the link of a folder.
    pub(super) program: BundlePath,
}

/// A lockfile's `bin` with names and files that cannot lead out of `.bin` and of the package.
pub(super) fn normalise(bin: &Value, name: &str) -> BTreeMap<String, String> {
    let mut bins = BTreeMap::new();
    let mut add = |name: &str, file: &Value| {
        let name = name.replace(['\\', ':'], "/");
        let name = name.trim_end_matches('/').rsplit('/').next().unwrap_or("");
        let file = inside(file.as_str().unwrap_or(""));
        if !matches!(name, "" | "." | "..") && !file.is_empty() {
            bins.insert(name.to_owned(), file);
        }
    };
    match bin {
        Value::String(_) => add(name, bin),
        Value::Array(files) => files.iter().for_each(|file| add(file.as_str().unwrap_or(""), file)),
        Value::Object(map) => map.iter().for_each(|(name, file)| add(name, file)),
        _ => {}
    }
    bins
}

/// A path as it is when `/` is the package: `..` cannot lead further up.
fn inside(path: &str) -> String {
    let mut components = Vec::new();
    for component in path.split(['/', '\\']) {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            _ => components.push(component),
        }
    }
    components.join("/")
}

/// The links npm would make for the packages of `closure`, laid out as `tree`.
///
/// Several packages may claim a name: npm links in the order of the paths, as English sorts them, first packages, then
/// linked folders, and the first claim stands, even if the file that it names is not there and so nothing is linked.
pub(super) fn links(closure: &Closure, tree: &Tree) -> Result<Vec<BinLink>, ClosureError> {
    let mut links = Vec::new();
    let mut claimed = BTreeSet::new();
    for (place, package) in claimants(closure) {
        let Some(name) = location::name(place.as_str()) else { continue };
        let modules = &place.as_str()[..place.as_str().len() - name.len()];
        for (bin, file) in &package.bins {
            let path = BundlePath::new(format!("{modules}.bin/{bin}"))?;
            let program = package.path.join(file)?;
            let exists = tree.get(program.as_str()).is_some() || tree.has_folder(program.as_str());
            if claimed.insert(path.clone()) && exists {
                links.push(BinLink { path, points_to: format!("../{name}/{file}"), program });
            }
        }
    }
    Ok(links)
}

/// Who may claim names, first come first: the place seen from `.bin`, and the package there.
fn claimants(closure: &Closure) -> Vec<(&BundlePath, &Package)> {
    let is_folder = |package: &Package| matches!(package.origin, Origin::Folder { .. });
    let by_path: HashMap<_, _> =
        closure.packages.iter().map(|package| (&package.path, package)).collect();
    let (mut linked, mut packages): (Vec<_>, Vec<_>) = closure
        .packages
        .iter()
        .map(|package| (&package.path, package))
        .partition(|(_, package)| is_folder(package));
    linked.extend(
        closure.links.iter().filter_map(|link| Some((&link.path, *by_path.get(&link.folder)?))),
    );
    packages.sort_by(|(a, _), (b, _)| collate(a.as_str(), b.as_str()));
    linked.sort_by(|(a, _), (b, _)| collate(a.as_str(), b.as_str()));
    packages.extend(linked);
    packages
}

/// Compares as JavaScript's `localeCompare` with `en` does, for the characters of package names: letters by the
/// alphabet, then, if nothing else differs, small before capital.
fn collate(a: &str, b: &str) -> Ordering {
    let rank = |character: char| {
        let signs = "_-!.'()@*/~0123456789";
        match signs.find(character) {
            Some(at) => at as u32,
            None => 100 + u32::from(character.to_ascii_lowercase()),
        }
    };
    let small_first = |text: &str| text.chars().map(|c| c.is_ascii_uppercase()).collect::<Vec<_>>();
    a.chars()
        .map(rank)
        .cmp(b.chars().map(rank))
        .then_with(|| small_first(a).cmp(&small_first(b)))
        .then_with(|| a.cmp(b))
}

/// What npm makes executable: every program of a tarball, and what it links of the rest.
pub(super) fn programs(
    closure: &Closure,
    links: &[BinLink],
) -> Result<Vec<BundlePath>, ClosureError> {
    let mut programs: Vec<_> = links.iter().map(|link| link.program.clone()).collect();
    for package in &closure.packages {
        if matches!(package.origin, Origin::Bundled | Origin::Folder { .. }) {
            continue;
        }
        for file in package.bins.values() {
            programs.push(package.path.join(file)?);
        }
    }
    Ok(programs)
}

/// Marks programs as executable and puts the links into the tree.
pub(super) fn place(closure: &Closure, tree: &mut Tree) -> Result<(), ClosureError> {
    let links = links(closure, tree)?;
    for program in programs(closure, &links)? {
        if let Some(Node::File(source)) = tree.get(program.as_str())
            && !source.executable
        {
            let source = source.clone().made_executable();
            tree.insert(program, Node::File(source));
        }
    }
    for link in links {
        // A tarball may have brought something of that name, or a file called `.bin`.
        super::assemble::clear(tree, link.path.as_str());
        if let Some(folder) = link.path.parent() {
            tree.remove(folder.as_str());
        }
        tree.insert(link.path, Node::Link(link.points_to));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pairs(bin: &Value) -> Vec<(String, String)> {
        normalise(bin, "@scope/name").into_iter().collect()
    }

    fn pair(name: &str, file: &str) -> (String, String) {
        (name.to_owned(), file.to_owned())
    }

    #[test]
    fn all_shapes_of_bin() {
        assert_eq!(pairs(&json!("./cli.js")), [pair("name", "cli.js")]);
        assert_eq!(pairs(&json!(["bin/a.js"])), [pair("a.js", "bin/a.js")]);
        assert_eq!(pairs(&json!({"a": "x", "b": "y/../z"})), [pair("a", "x"), pair("b", "z")]);
        assert_eq!(pairs(&json!(null)), []);
        assert_eq!(pairs(&json!({"a": 1, "b": "", "": "x"})), []);
    }

    #[test]
    fn names_and_files_stay_inside() {
        assert_eq!(pairs(&json!({"../../x": "../../etc/passwd"})), [pair("x", "etc/passwd")]);
        assert_eq!(pairs(&json!({"c:\\x": "..\\y"})), [pair("x", "y")]);
        assert_eq!(pairs(&json!({"a/..": "x", ".": "x"})), []);
    }

    #[test]
    fn collation_is_that_of_english() {
        // In this order by `localeCompare`; `Z` before `a` and `-` before `1` would be that of bytes.
        let sorted =
            ["_a", "-a", "@a/b", "0", "a", "A", "a_b", "a-b", "a.b", "a/b", "ab", "Ab", "z", "Z"];
        for pair in sorted.windows(2) {
            assert_eq!(collate(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_stays_inside(name in "[a.:/\\\\]{0,8}", file in "[a.:/\\\\]{0,8}") {
            for (name, file) in normalise(&json!({name: file}), "x") {
                prop_assert!(!name.contains(['/', '\\', ':']) && name != "..");
                prop_assert!(file.split('/').all(|part| part != ".." && !part.is_empty()));
            }
        }
    }
}
