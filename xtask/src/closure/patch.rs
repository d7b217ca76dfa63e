//! Patches of packages, as pnpm and Bun apply them after unpacking.
//!
//! Nothing in the store is ever changed: a patched file is another file there, named for the original's digest and the
//! patch's. (pnpm: `patching/apply-patch`.)

use camino::Utf8PathBuf;
use diffy::patch_set::{FileMode, FileOperation, FilePatch, ParseOptions, PatchKind, PatchSet};
use gangway_artifact::{BundlePath, Digest};

use super::{Closure, ClosureError};
use crate::store::{Store, StoreError};
use crate::tree::{Node, Source, Tree};

/// A patch for a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    path: Utf8PathBuf,
    text: String,
    sha256: Digest,
}

impl Patch {
    /// The patch in `path`, which starts at the lockfile's folder.
    pub(super) fn new(path: Utf8PathBuf, text: String) -> Self {
        let sha256 = Digest::of(&text);
        Self { path, text, sha256 }
    }
}

/// Applies the patches of a closure to an assembled tree. Comes before [`super::settle_programs`].
///
/// # Errors
/// When a patch cannot be read or does not fit, or when the store cannot take what it makes.
pub fn apply_patches(
    closure: &Closure,
    tree: &mut Tree,
    store: &Store,
) -> Result<(), ClosureError> {
    for (package, patch) in &closure.patches {
        apply(package, patch, tree, store)?;
    }
    Ok(())
}

fn apply(
    package: &BundlePath,
    patch: &Patch,
    tree: &mut Tree,
    store: &Store,
) -> Result<(), ClosureError> {
    let failed = |file: &str, reason: String| ClosureError::Patch {
        patch: patch.path.clone(),
        package: package.clone(),
        file: file.escape_debug().to_string(),
        reason,
    };
    let is_git = patch.text.lines().any(|line| line.starts_with("diff --git "));
    let options = if is_git { ParseOptions::gitdiff() } else { ParseOptions::unidiff() };
    let mut is_empty = true;
    for part in PatchSet::parse_bytes(patch.text.as_bytes(), options) {
        is_empty = false;
        let part = part.map_err(|error| failed("any file", error.to_string()))?;
        let (from, to) = names(&part.operation().strip_prefix(1));
        let name = to.as_deref().or(from.as_deref()).unwrap_or_default();
        apply_part(package, patch, &part, tree, store).map_err(|error| match error {
            Unpatched::Reason(reason) => failed(name, reason),
            Unpatched::Store(error) => ClosureError::Store(error),
        })?;
    }
    if is_empty {
        return Err(failed("any file", "it changes nothing".to_owned()));
    }
    Ok(())
}

/// What a patch says about one file.
fn apply_part(
    package: &BundlePath,
    patch: &Patch,
    part: &FilePatch<'_, [u8]>,
    tree: &mut Tree,
    store: &Store,
) -> Result<(), Unpatched> {
    let failed = |reason: &str| Unpatched::Reason(reason.to_owned());
    let place = |name: Option<String>| {
        let place = name.map(|name| package.join(&name)).transpose();
        place.map_err(|error| failed(error.reason))
    };
    let (from, to) = names(&part.operation().strip_prefix(1));
    let (from, to) = (place(from)?, place(to)?);
    let original = match from.as_ref().map(|from| tree.get(from.as_str())) {
        None => None,
        Some(Some(Node::File(source))) => Some(source.clone()),
        Some(_) => return Err(failed("the package has no such file")),
    };
    let PatchKind::Text(hunks) = part.patch() else {
        return Err(failed("it is for bytes, not for text"));
    };
    let executable = match part.new_mode() {
        Some(FileMode::Executable) => true,
        Some(FileMode::Regular) => false,
        None => original.as_ref().is_some_and(|source| source.executable),
        Some(_) => return Err(failed("it makes a link")),
    };
    let made = match to {
        None => None,
        Some(to) => {
            let key = key(patch, original.as_ref(), &to);
            let source = store.derived(&key, executable, || patched(original.as_ref(), hunks))?;
            Some((to, source))
        }
    };
    let keeps = matches!(part.operation(), FileOperation::Copy { .. });
    if let Some(from) = from.filter(|_| !keeps) {
        tree.remove(from.as_str());
    }
    if let Some((to, source)) = made {
        tree.insert(to, Node::File(source));
    }
    Ok(())
}

enum Unpatched {
    Reason(String),
    Store(StoreError),
}

impl From<StoreError> for Unpatched {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn key(patch: &Patch, original: Option<&Source>, file: &BundlePath) -> String {
    let original =
        original.map_or_else(|| "nothing".to_owned(), |source| source.sha256.to_string());
    format!("patched-{}-{original}-{file}", patch.sha256)
}

fn patched(
    original: Option<&Source>,
    hunks: &diffy::Patch<'_, [u8]>,
) -> Result<Vec<u8>, Unpatched> {
    let bytes = match original {
        None => Vec::new(),
        Some(source) => std::fs::read(source.path()).map_err(|error| {
            Unpatched::Reason(format!("cannot read `{}`: {error}", source.path()))
        })?,
    };
    diffy::apply_bytes(&bytes, hunks).map_err(|error| Unpatched::Reason(error.to_string()))
}

/// The file before and after.
fn names(operation: &FileOperation<'_, [u8]>) -> (Option<String>, Option<String>) {
    let text = |name: &[u8]| Some(String::from_utf8_lossy(name).into_owned());
    match operation {
        FileOperation::Delete(name) => (text(name), None),
        FileOperation::Create(name) => (None, text(name)),
        FileOperation::Modify { original, modified } => (text(original), text(modified)),
        FileOperation::Rename { from, to } | FileOperation::Copy { from, to } => {
            (text(from), text(to))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use camino::Utf8Path;

    use super::*;
    use crate::context::Context;
    use crate::report::Reporter;

    const FILES: [(&str, &str); 3] = [("a.js", "one\ntwo\n"), ("b.js", "b\n"), ("old.js", "x\n")];

    /// What becomes of the package in `node_modules/p` with [`FILES`], and of those in the store.
    fn after(text: &str) -> Result<BTreeMap<String, String>, String> {
        let work = tempfile::tempdir().expect("a temporary folder can be made");
        let work = Utf8Path::from_path(work.path()).expect("its name is UTF-8");
        let context =
            Context::new(BTreeMap::new(), work.to_owned(), work.join("cache"), Reporter::silent());
        let store = Store::open(&context).expect("an empty store can be opened");
        let package = BundlePath::new("node_modules/p").expect("plain");
        let mut tree = Tree::default();
        let mut originals = Vec::new();
        for (name, text) in FILES {
            let source = store.add_bytes(text.as_bytes(), name == "b.js").expect("can be stored");
            originals.push((source.path(), text));
            tree.insert(package.join(name).expect("plain"), Node::File(source));
        }
        let patch = Patch::new("p.patch".into(), text.to_owned());
        let closure = Closure { patches: [(package, patch)].into(), ..Closure::default() };
        let applied = apply_patches(&closure, &mut tree, &store);
        for (path, text) in originals {
            assert_eq!(fs_err::read_to_string(path).expect("it is there"), text);
        }
        applied.map_err(|error| error.to_string())?;
        let files = tree.files().map(|(path, source)| {
            let text = fs_err::read_to_string(source.path()).expect("it is there");
            (format!("{path}{}", if source.executable { "*" } else { "" }), text)
        });
        Ok(files.collect())
    }

    #[test]
    fn files_change_come_and_go() {
        let files = after(
            "diff --git a/a.js b/a.js
index 1..2 100644
--- a/a.js
+++ b/a.js
@@ -1,2 +1,2 @@
-one
+eins
 two
diff --git a/b.js b/b.js
old mode 100755
new mode 100755
--- a/b.js
+++ b/b.js
@@ -1 +1,2 @@
 b
+c
diff --git a/lib/new.js b/lib/new.js
new file mode 100755
--- /dev/null
+++ b/lib/new.js
@@ -0,0 +1 @@
+new
diff --git a/old.js b/old.js
deleted file mode 100644
--- a/old.js
+++ /dev/null
@@ -1 +0,0 @@
-x
",
        );
        let expected = [
            ("node_modules/p/a.js", "eins\ntwo\n"),
            ("node_modules/p/b.js*", "b\nc\n"),
            ("node_modules/p/lib/new.js*", "new\n"),
        ];
        let expected = expected.map(|(path, text)| (path.to_owned(), text.to_owned()));
        assert_eq!(files, Ok(expected.into()));
    }

    #[test]
    fn without_gits_headers() {
        let files = after("--- a/a.js\n+++ b/a.js\n@@ -2 +2 @@\n-two\n+zwei\n").expect("it fits");
        assert_eq!(files["node_modules/p/a.js"], "one\nzwei\n");
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        for (patch, wanted) in [
            ("--- a/a.js\n+++ b/a.js\n@@ -1 +1 @@\n-three\n+four\n", "error applying hunk"),
            ("--- a/c.js\n+++ b/c.js\n@@ -1 +1 @@\n-x\n+y\n", "has no such file"),
            ("--- /dev/null\n+++ b/../../x\n@@ -0,0 +1 @@\n+x\n", "leads out"),
            ("nothing\n", ""),
        ] {
            let error = after(patch).expect_err(patch);
            assert!(error.contains(wanted), "{error}");
        }
    }
}
