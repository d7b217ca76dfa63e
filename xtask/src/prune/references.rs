//! Which places of a package its own JavaScript refers to.
//!
//! No parser: every quoted text that starts with `./` or `../` is taken for a reference, wherever it stands, and so is a
//! quoted name close behind `__dirname` or `import.meta`. That finds too much rather than too little; a name that is
//! put together at run time is found only when its folder stands there in full.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::error::PruneError;
use super::package::PackageFile;

/// How far behind `__dirname` a quoted name is taken for a path.
const REACH: usize = 160;

/// The longest text that is taken for a path.
const MAX_PATH: usize = 512;

/// Those of `places` (folders or files, relative to the package) that one of `files` refers to.
pub(super) fn referred<'a, 'tree: 'a>(
    files: impl Iterator<Item = &'a PackageFile<'tree>>,
    places: &[&'tree str],
) -> Result<BTreeSet<&'tree str>, PruneError> {
    let scripts: Vec<_> = files.filter(|file| is_script(file.path.name())).collect();
    let found = scripts.into_par_iter().map(|file| {
        let text = super::read(file.source)?;
        let folder = file.inside.rsplit_once('/').map_or("", |(folder, _)| folder);
        let references = references(&text, folder);
        Ok(places
            .iter()
            .copied()
            .filter(|place| references.iter().any(|one| one.reaches(place)))
            .collect())
    });
    found.try_reduce(BTreeSet::new, |mut one: BTreeSet<&str>, other| {
        one.extend(other);
        Ok(one)
    })
}

fn is_script(name: &str) -> bool {
    [".js", ".mjs", ".cjs", ".jsx"].iter().any(|end| name.ends_with(end)) || !name.contains('.')
}

/// What a text says of other files.
#[derive(Debug, PartialEq, Eq)]
enum Reference {
    /// A path relative to the package, as far as it is known.
    Path(String),
    /// A component of some path.
    Component(String),
}

impl Reference {
    fn reaches(&self, place: &str) -> bool {
        match self {
            Self::Path(path) => {
                let place_stem = place.rsplit_once('.').map_or(place, |(stem, _)| stem);
                let below = path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'));
                below || path == place || path == place_stem
            }
            Self::Component(name) => place.split('/').next_back() == Some(name),
        }
    }
}

fn references(text: &[u8], folder: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut anchor: Option<usize> = None;
    let mut position = 0;
    while position < text.len() {
        let rest = &text[position..];
        match rest[0] {
            b'_' if rest.starts_with(b"__dirname") => anchor = Some(position),
            b'i' if rest.starts_with(b"import.meta") => anchor = Some(position),
            quote @ (b'"' | b'\'' | b'`') => {
                let is_near = anchor.is_some_and(|anchor| position - anchor <= REACH);
                if let Some(quoted) = quoted(&rest[1..], quote) {
                    if quoted.starts_with("./") || quoted.starts_with("../") {
                        found.extend(resolve(folder, quoted).map(Reference::Path));
                    }
                    if is_near {
                        found.extend(
                            components(quoted).map(|part| Reference::Component(part.to_owned())),
                        );
                    }
                }
            }
            _ => {}
        }
        position += 1;
    }
    found
}

/// The text up to the closing quote, or to where a template has a hole.
fn quoted(text: &[u8], quote: u8) -> Option<&str> {
    let text = &text[..text.len().min(MAX_PATH)];
    let end = text.iter().position(|byte| *byte == quote || *byte == b'\n' || *byte == b'$')?;
    std::str::from_utf8(&text[..end]).ok().filter(|text| text.len() > 1)
}

fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !matches!(*part, "" | "." | ".."))
}

/// `path` seen from `folder`; none when it leads out of the package.
fn resolve(folder: &str, path: &str) -> Option<String> {
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reaches(text: &str, folder: &str, place: &str) -> bool {
        references(text.as_bytes(), folder).iter().any(|reference| reference.reaches(place))
    }

    #[test]
    fn relative_texts_are_references() {
        assert!(reaches("require('./test')", "", "test"));
        assert!(reaches("import x from \"../test/util.js\"", "lib", "test"));
        assert!(reaches("await import(`../test/${name}`)", "lib", "test"));
        assert!(reaches("new URL('./a.test.js', import.meta.url)", "lib", "lib/a.test.js"));
        assert!(reaches("require('./a.test')", "lib", "lib/a.test.js"));
        assert!(!reaches("require('./tested')", "", "test"));
        assert!(!reaches("require('test')", "", "test"));
        assert!(!reaches("require('../../test')", "lib", "test"));
        assert!(!reaches("process.env.NODE_ENV === 'test'", "", "test"));
    }

    #[test]
    fn names_behind_the_own_folder_are_references() {
        assert!(reaches("path.join(__dirname, '..', 'test', name)", "lib", "test"));
        assert!(reaches(
            "join(dirname(fileURLToPath(import.meta.url)), \"tests/data\")",
            "",
            "tests"
        ));
        let far = format!("__dirname;{}'test'", " ".repeat(REACH));
        assert!(!reaches(&far, "", "test"));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in prop::collection::vec(any::<u8>(), 0..200), folder in "[a-z/]{0,8}") {
            let _ = references(&text, &folder);
        }

        #[test]
        fn quotes_and_dots_are_survived(text in "[\"'`./$\n_a]{0,60}") {
            let _ = references(text.as_bytes(), "a/b");
        }
    }
}
