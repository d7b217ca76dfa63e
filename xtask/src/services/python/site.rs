//! `site-packages`: what uv unpacked, made the same everywhere, and read.
//!
//! What goes: compiled Python (it belongs to one interpreter and its time stamps), what uv notes for itself, scripts that
//! name the building machine's interpreter, and native code of other platforms, which some wheels for "any" platform
//! carry. `RECORD` then lists what is left, for programs that look up their own files.

use std::collections::BTreeSet;

use gangway_artifact::{BundlePath, Platform, PythonVersion};

use super::PythonError;
use crate::addons::{Code, Fit};
use crate::native::Natives;
use crate::store::Store;
use crate::tree::{Node, Source, Tree};

/// A package as it was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name, as it spells it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What its wheel fits: `cp310-cp310-manylinux_2_17_aarch64`.
    pub tags: Vec<String>,
}

/// What a site's `.pth` files ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PathFiles {
    /// More folders to look for modules in, relative to the site.
    pub(super) folders: Vec<String>,
    /// Files with code that Python would run at every start.
    pub(super) with_code: Vec<BundlePath>,
}

/// Whether a file is native code that `platform` cannot run.
fn is_foreign(
    natives: &Natives,
    source: &Source,
    platform: &Platform,
) -> Result<bool, PythonError> {
    let code = Code::read(natives, source).map_err(|error| unreadable(source, error))?;
    Ok(code.is_some_and(|code| code.fit(platform) == Fit::Foreign))
}

/// Takes out what must not be shipped.
pub(super) fn clean(
    store: &Store,
    mut tree: Tree,
    platform: &Platform,
) -> Result<Tree, PythonError> {
    let natives = Natives::default();
    let mut dropped = BTreeSet::new();
    for (path, source) in tree.files() {
        if is_installers(path)
            || is_script(path, source)?
            || is_foreign(&natives, source, platform)?
        {
            dropped.insert(path.clone());
        }
    }
    tree.retain(|path, _| !dropped.contains(path));
    let records: Vec<BundlePath> = tree
        .files()
        .filter(|(path, _)| is_info(path, "RECORD"))
        .map(|(path, _)| path.clone())
        .collect();
    for path in records {
        if let Some(Node::File(source)) = tree.get(path.as_str()) {
            let text = record(&read(source)?, &tree);
            tree.insert(path, Node::File(store.add_bytes(text.as_bytes(), false)?));
        }
    }
    Ok(tree)
}

/// The packages of a site, by name.
pub(super) fn packages(tree: &Tree) -> Result<Vec<Package>, PythonError> {
    let mut packages = Vec::new();
    for (path, source) in tree.files().filter(|(path, _)| is_info(path, "METADATA")) {
        let metadata = read(source)?;
        let folder = path.parent().map(|folder| folder.to_string()).unwrap_or_default();
        let wheel = match tree.get(&format!("{folder}/WHEEL")) {
            Some(Node::File(wheel)) => read(wheel)?,
            _ => String::new(),
        };
        let first = |key| headers(&metadata, key).next().unwrap_or_default().to_owned();
        packages.push(Package {
            name: first("Name"),
            version: first("Version"),
            tags: headers(&wheel, "Tag").map(str::to_owned).collect(),
        });
    }
    packages.sort_by_key(|package| package.name.to_ascii_lowercase());
    Ok(packages)
}

impl Package {
    /// Whether it holds code for one platform.
    pub(super) fn is_native(&self) -> bool {
        !self.tags.iter().any(|tag| tag.ends_with("-any"))
    }

    /// Whether one minor version of Python alone can load it.
    pub(super) fn is_of_one_version(&self) -> bool {
        !self.tags.iter().any(|tag| {
            let mut parts = tag.split('-');
            let (python, abi) =
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            abi == "abi3" || python.split('.').any(|one| one.starts_with("py3"))
        })
    }
}

/// What `.pth` files at the site's root say. Python reads them in its own site only, so the builder does it for this one.
pub(super) fn path_files(tree: &Tree) -> Result<PathFiles, PythonError> {
    let mut found = PathFiles::default();
    let at_root = |path: &BundlePath| path.parent().is_none() && path.as_str().ends_with(".pth");
    for (path, source) in tree.files().filter(|(path, _)| at_root(path)) {
        for line in read(source)?.lines().map(str::trim_end) {
            if line.starts_with("import ") || line.starts_with("import\t") {
                found.with_code.push(path.clone());
            } else if !line.starts_with('#') && tree.has_folder(line.trim_start_matches("./")) {
                found.folders.push(line.trim_start_matches("./").to_owned());
            }
        }
    }
    found.with_code.dedup();
    Ok(found)
}

/// The oldest version above `chosen` at which the markers of a lock may ask for something else, in which case newer ones
/// do not fit what was chosen.
pub(super) fn changes_after<'lock>(
    markers: impl IntoIterator<Item = &'lock str>,
    chosen: PythonVersion,
) -> Option<PythonVersion> {
    let mut next: Option<PythonVersion> = None;
    for marker in markers {
        let mut words = marker.split_inclusive(['"', '\'']).peekable();
        while let (Some(before), Some(value)) = (words.next(), words.peek()) {
            let before = before.trim_end_matches(['"', '\'']).trim_end();
            let operator = ["python_version", "python_full_version"]
                .iter()
                .find_map(|name| Some(before.rsplit_once(name)?.1.trim()));
            let mut parts = value.trim_end_matches(['"', '\'', '*']).split('.').skip(1);
            let minor = parts.next().and_then(|minor| minor.parse::<u8>().ok());
            let from = match (operator, minor) {
                // `> '3.11'` counts from 3.12 on, `> '3.11.4'` within 3.11.
                (Some(">=" | "==" | "===" | "~="), Some(minor)) => minor,
                (Some(">"), Some(minor)) if parts.next().is_none() => minor.saturating_add(1),
                (Some(">"), Some(minor)) => minor,
                _ => continue,
            };
            if from > chosen.minor {
                let from = PythonVersion { minor: from };
                next = Some(next.map_or(from, |next| next.min(from)));
            }
        }
    }
    next
}

/// What the installer and the interpreter leave behind.
fn is_installers(path: &BundlePath) -> bool {
    let name = path.name();
    path.as_str() == ".lock"
        || name.ends_with(".pyc")
        || path.components().any(|part| part == "__pycache__")
        || ["INSTALLER", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json"]
            .iter()
            .any(|file| is_info(path, file))
}

/// Scripts in `bin/` begin with the building machine's interpreter; programs do not.
fn is_script(path: &BundlePath, source: &Source) -> Result<bool, PythonError> {
    if path.below("bin").is_none() && path.below("Scripts").is_none() {
        return Ok(false);
    }
    use std::io::Read as _;
    let failed = |error| unreadable(source, error);
    let mut start = Vec::new();
    let file = std::fs::File::open(source.path()).map_err(failed)?;
    file.take(2).read_to_end(&mut start).map_err(failed)?;
    Ok(start == b"#!")
}

/// Whether this is the file `name` of an installed package's metadata.
fn is_info(path: &BundlePath, name: &str) -> bool {
    let mut parts = path.components();
    let (folder, file) = (parts.next(), parts.next());
    folder.is_some_and(|folder| folder.ends_with(".dist-info"))
        && file == Some(name)
        && parts.next().is_none()
}

/// The lines of a `RECORD` that still name a file, sorted.
fn record(text: &str, tree: &Tree) -> String {
    let is_there = |line: &&str| {
        let path = match line.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => line.split(',').next(),
        };
        path.is_some_and(|path| tree.get(path).is_some())
    };
    let lines: BTreeSet<&str> = text.lines().filter(is_there).collect();
    lines.into_iter().flat_map(|line| [line, "\n"]).collect()
}

/// The values of a header of a metadata file. Its headers end at the first empty line.
fn headers<'text>(text: &'text str, key: &str) -> impl Iterator<Item = &'text str> {
    text.lines().take_while(|line| !line.is_empty()).filter_map(move |line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(key).then(|| value.trim())
    })
}

fn read(source: &Source) -> Result<String, PythonError> {
    let bytes = std::fs::read(source.path()).map_err(|error| unreadable(source, error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unreadable(source: &Source, error: std::io::Error) -> PythonError {
    PythonError::Unreadable { path: source.path(), source: error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(tags: &[&str]) -> Package {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Package { name: "x".to_owned(), version: "1".to_owned(), tags }
    }

    #[test]
    fn what_tags_say() {
        for (tags, native, of_one_version) in [
            (&["py3-none-any"][..], false, false),
            (&["py2-none-any", "py3-none-any"], false, false),
            (&["py2.py3-none-any"], false, false),
            (&["py3-none-manylinux_2_17_aarch64"], true, false),
            (&["cp38-abi3-win_arm64"], true, false),
            (
                &["cp310-cp310-manylinux_2_17_x86_64", "cp310-cp310-manylinux2014_x86_64"],
                true,
                true,
            ),
            (&["cp310-none-any"], false, true),
        ] {
            let package = package(tags);
            assert_eq!(
                (package.is_native(), package.is_of_one_version()),
                (native, of_one_version),
                "{tags:?}"
            );
        }
    }

    #[test]
    fn markers_that_count_later() {
        let after = |markers: &[&str]| {
            let chosen = PythonVersion { minor: 10 };
            changes_after(markers.iter().copied(), chosen).map(|version| version.to_string())
        };
        assert_eq!(after(&[]), None);
        assert_eq!(after(&["python_full_version < '3.11'", "sys_platform == 'win32'"]), None);
        assert_eq!(after(&["python_version >= '3.8'", "platform_release >= '5.15'"]), None);
        assert_eq!(after(&["python_full_version >= '3.12'"]).as_deref(), Some("3.12"));
        assert_eq!(
            after(&["sys_platform == 'linux' and python_version>=\"3.13\""]).as_deref(),
            Some("3.13")
        );
        assert_eq!(
            after(&["python_full_version == '3.11.*'", "python_version >= '3.12'"]).as_deref(),
            Some("3.11")
        );
        assert_eq!(after(&["python_version > '3.10'"]).as_deref(), Some("3.11"));
        assert_eq!(after(&["python_full_version > '3.11.2'"]).as_deref(), Some("3.11"));
        assert_eq!(after(&["python_version >= '"]), None);
    }
}
