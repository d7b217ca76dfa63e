//! The keys of a lockfile's `packages`: where an entry lies.
//!
//! npm writes three kinds: the project itself (the empty key), a folder of the user's (`packages/a`, `../x`), and a
//! package inside `node_modules`, which may lie in another package or in a folder. Whatever is none of them, or holds
//! a name that npm would not install, is refused: these keys become paths on disk.

use gangway_artifact::BundlePath;

/// A key, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Location<'key> {
    /// The project itself.
    Project,
    /// A folder of the user's.
    Folder,
    /// A package inside a `node_modules`.
    Installed {
        /// The key of what that `node_modules` belongs to.
        parent: &'key str,
        /// The folder of the name: `ws`, `@scope/name`.
        name: &'key str,
    },
}

/// Takes a key apart, or says what is wrong with it.
pub(super) fn parse(key: &str) -> Result<Location<'_>, &'static str> {
    if key.is_empty() {
        return Ok(Location::Project);
    }
    let inside = folder(key)?;
    let mut components = inside.split('/').skip_while(|component| *component != "node_modules");
    if components.clone().next().is_none() {
        return Ok(Location::Folder);
    }
    while let Some(component) = components.next() {
        if component != "node_modules" {
            return Err("it leads into a package");
        }
        let first = components.next().unwrap_or("");
        let fault = match first.strip_prefix('@') {
            Some(scope) if !url_friendly(scope) => Some("it has a scope that npm refuses"),
            Some(_) => components.next().map_or(Some("it has a scope without a name"), name_fault),
            None => name_fault(first),
        };
        if let Some(reason) = fault {
            return Err(reason);
        }
    }
    let at = key.rfind("node_modules/").expect("the loop above met one");
    Ok(Location::Installed {
        parent: key[..at].trim_end_matches('/'),
        name: &key["node_modules/".len() + at..],
    })
}

/// Checks a path relative to the lockfile, which may lead up at its start; returns the part after that.
pub(super) fn folder(path: &str) -> Result<&str, &'static str> {
    let mut inside = path;
    while let Some(rest) = inside.strip_prefix("../") {
        inside = rest;
    }
    BundlePath::new(inside).map(|_| inside).map_err(|error| error.reason)
}

/// The key of the project or folder whose `node_modules` an entry lies in.
pub(super) fn area(key: &str) -> &str {
    if key == "node_modules" || key.starts_with("node_modules/") {
        return "";
    }
    key.find("/node_modules/").map_or(key, |at| &key[..at])
}

/// The folder of the package's name: what follows the last `node_modules/`.
pub(super) fn name(path: &str) -> Option<&str> {
    let at = path.rfind("node_modules/")?;
    Some(&path[at + "node_modules/".len()..])
}

fn name_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it ends without a package name");
    }
    let refused = name.starts_with(['.', '-', '_'])
        || name.eq_ignore_ascii_case("node_modules")
        || name.eq_ignore_ascii_case("favicon.ico")
        || !url_friendly(name);
    refused.then_some("it has a package name that npm refuses")
}

/// What `encodeURIComponent` leaves alone, npm's own test.
fn url_friendly(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_kinds() {
        let installed = |parent, name| Ok(Location::Installed { parent, name });
        assert_eq!(parse(""), Ok(Location::Project));
        assert_eq!(parse("packages/a"), Ok(Location::Folder));
        assert_eq!(parse("../x"), Ok(Location::Folder));
        assert_eq!(parse("node_modules/ws"), installed("", "ws"));
        assert_eq!(parse("node_modules/@a/b/node_modules/c"), installed("node_modules/@a/b", "c"));
        assert_eq!(parse("../x/node_modules/@a/b"), installed("../x", "@a/b"));
        assert_eq!(parse("node_modules/my_node_modules"), installed("", "my_node_modules"));
    }

    #[test]
    fn refuses_what_npm_would_not_write() {
        for key in [
            "..",
            "../..",
            "/etc",
            "a/../b",
            "a\\b",
            "C:/x",
            "packages//a",
            "packages/a/",
            "node_modules",
            "node_modules/",
            "node_modules/@scope",
            "node_modules/@/b",
            "node_modules/.bin",
            "node_modules/@s/.bin",
            "node_modules/-rf",
            "node_modules/_x",
            "node_modules/a b",
            "node_modules/naïve",
            "node_modules/Node_Modules",
            "node_modules/a/lib",
            "node_modules/a/node_modules",
            "node_modules/a/../../x",
            "packages/a/node_modules/b/c/node_modules/d",
        ] {
            assert!(parse(key).is_err(), "{key}: {:?}", parse(key));
        }
    }

    #[test]
    fn areas() {
        assert_eq!(area("node_modules/a/node_modules/b"), "");
        assert_eq!(area("packages/a/node_modules/b/node_modules/c"), "packages/a");
        assert_eq!(area("../x"), "../x");
    }
}
