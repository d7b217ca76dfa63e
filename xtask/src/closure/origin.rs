//! Where the bytes of an entry come from.

use camino::Utf8PathBuf;
use url::Url;

use super::Origin;
use super::error::FaultKind;
use super::graph::Graph;
use super::location;
use super::raw::Entry;
use crate::integrity::Integrity;

/// What is wrong with an entry, and what to say of it besides its place.
pub(super) type Refusal = (FaultKind, String);

/// The origin of an installed package that is neither a link nor bundled.
pub(super) fn of(key: &str, entry: &Entry, graph: &Graph<'_>) -> Result<Origin, Refusal> {
    let Some(resolved) = entry.resolved.as_deref().filter(|resolved| !resolved.is_empty()) else {
        // npm leaves `resolved` out for registry packages only (`omit-lockfile-registry-resolved`).
        return registry(entry, None);
    };
    if let Some(path) = resolved.strip_prefix("file:") {
        return file(entry, path);
    }
    if is_git(resolved) {
        return git(entry, resolved);
    }
    match Url::parse(resolved) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => {
            if is_registry_tarball(key, entry, &url, graph) {
                registry(entry, Some(url))
            } else {
                let integrity = integrity(entry, FaultKind::UnverifiedUrl, resolved)?;
                Ok(Origin::Url { integrity, url })
            }
        }
        _ => Err((FaultKind::UnknownSource, from(resolved))),
    }
}

fn registry(entry: &Entry, resolved: Option<Url>) -> Result<Origin, Refusal> {
    if entry.version.is_none() {
        return Err((FaultKind::NoVersion, String::new()));
    }
    let source = resolved.as_ref().map_or("", Url::as_str);
    let integrity = integrity(entry, FaultKind::NoIntegrity, source)?;
    Ok(Origin::Registry { integrity, resolved })
}

/// A tarball, or a folder that npm was told to copy (`install-links`).
fn file(entry: &Entry, path: &str) -> Result<Origin, Refusal> {
    if let Err(reason) = location::folder(path) {
        return Err((FaultKind::Path, format!(", from `file:{}`: {reason}", path.escape_debug())));
    }
    let path = Utf8PathBuf::from(path);
    let lower = path.as_str().to_ascii_lowercase();
    if ![".tgz", ".tar.gz", ".tar"].iter().any(|ending| lower.ends_with(ending)) {
        return Ok(Origin::Folder { path });
    }
    let integrity = integrity(entry, FaultKind::NoIntegrity, &format!("file:{path}"))?;
    Ok(Origin::File { integrity, path })
}

/// A commit; its host's tarball is the only form of it with bytes that an integrity can be checked against.
fn git(entry: &Entry, resolved: &str) -> Result<Origin, Refusal> {
    let integrity = integrity(entry, FaultKind::UnverifiedGit, resolved)?;
    match hosted_tarball(resolved) {
        Some(url) => Ok(Origin::Url { integrity, url }),
        None => Err((FaultKind::UnhostedGit, from(resolved))),
    }
}

fn integrity(entry: &Entry, missing: FaultKind, source: &str) -> Result<Integrity, Refusal> {
    match entry.integrity.as_deref() {
        None | Some("") => Err((missing, from(source))),
        Some(text) => text.parse().map_err(|_| {
            (FaultKind::BadIntegrity, format!(", integrity `{}`", text.escape_debug()))
        }),
    }
}

/// `resolved`, for a message: without what may be a password.
fn from(resolved: &str) -> String {
    if resolved.is_empty() {
        return String::new();
    }
    let shown = match resolved.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[host..])
        }
        None => resolved.to_owned(),
    };
    format!(", from `{}`", shown.escape_debug())
}

fn is_git(resolved: &str) -> bool {
    ["git+", "git:", "git@", "ssh:", "github:", "gitlab:", "bitbucket:", "gist:"]
        .iter()
        .any(|start| resolved.starts_with(start))
}

/// Whether a tarball's URL is the registry's affair. A dependant that asks for a URL decides; else the shape that
/// registries give their tarballs; else whether all dependants ask for versions.
fn is_registry_tarball(key: &str, entry: &Entry, url: &Url, graph: &Graph<'_>) -> bool {
    let is_url =
        |specifier: &str| specifier.starts_with("http:") || specifier.starts_with("https:");
    if graph.specifiers(key).any(is_url) {
        return false;
    }
    let name = entry.name.as_deref().or_else(|| location::name(key)).unwrap_or(key);
    let version = entry.version.as_deref().unwrap_or("");
    let base = name.rsplit('/').next().unwrap_or(name);
    let by_shape = url
        .path()
        .rsplit_once("/-/")
        .is_some_and(|(_, file)| file.rsplit('/').next() == Some(&format!("{base}-{version}.tgz")));
    let mut specifiers = graph.specifiers(key).peekable();
    by_shape || (specifiers.peek().is_some() && specifiers.all(is_version_like))
}

/// Whether a specifier means a registry: a range, a tag or an alias; no path, no URL, no `user/repository`.
fn is_version_like(specifier: &str) -> bool {
    specifier.starts_with("npm:") || !specifier.contains(['/', ':'])
}

/// The address of a commit's tarball on the hosts npm knows. (npm: `hosted-git-info`.)
fn hosted_tarball(resolved: &str) -> Option<Url> {
    let (repository, commit) = resolved.split_once('#')?;
    if commit.len() < 40 || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let url = Url::parse(repository.strip_prefix("git+").unwrap_or(repository)).ok()?;
    let path = url.path().trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let (owner, project) = path.rsplit_once('/')?;
    if owner.is_empty() || project.is_empty() {
        return None;
    }
    let tarball = match url.host_str()? {
        "github.com" => format!("https://codeload.github.com/{owner}/{project}/tar.gz/{commit}"),
        "bitbucket.org" => format!("https://bitbucket.org/{owner}/{project}/get/{commit}.tar.gz"),
        "gitlab.com" => {
            let id = format!("{owner}/{project}").replace('/', "%2F");
            format!(
                "https://gitlab.com/api/v4/projects/{id}/repository/archive.tar.gz?sha={commit}"
            )
        }
        _ => return None,
    };
    Url::parse(&tarball).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0387a73a4aa0f5041927f348b1ec478cd0507dea";

    #[test]
    fn tarballs_of_hosts() {
        let tarball =
            |repository: &str| hosted_tarball(&format!("{repository}#{COMMIT}")).map(String::from);
        assert_eq!(
            tarball("git+ssh://git@github.com/user/repo.git").expect("hosted"),
            format!("https://codeload.github.com/user/repo/tar.gz/{COMMIT}")
        );
        assert_eq!(
            tarball("git+https://gitlab.com/group/sub/repo.git").expect("hosted"),
            format!(
                "https://gitlab.com/api/v4/projects/group%2Fsub%2Frepo/repository/archive.tar.gz?sha={COMMIT}"
            )
        );
        assert_eq!(
            tarball("git+ssh://git@bitbucket.org/user/repo.git").expect("hosted"),
            format!("https://bitbucket.org/user/repo/get/{COMMIT}.tar.gz")
        );
        assert_eq!(tarball("git+https://example.com/user/repo.git"), None);
        assert_eq!(hosted_tarball("git+https://github.com/user/repo.git#main"), None);
    }

    #[test]
    fn no_password_is_shown() {
        assert_eq!(from("https://user:secret@host/x.tgz"), ", from `https://host/x.tgz`");
        assert_eq!(from("https://host/@scope/x.tgz"), ", from `https://host/@scope/x.tgz`");
        assert_eq!(from("git+ssh://git@host/x.git#y"), ", from `git+ssh://host/x.git#y`");
    }

    #[test]
    fn versions_and_other_specifiers() {
        for specifier in ["^1.2.3", "latest", "", "*", "1 || 2", "npm:@scope/x@1"] {
            assert!(is_version_like(specifier), "{specifier}");
        }
        for specifier in ["https://host/x.tgz", "user/repo", "github:user/repo", "file:x", "../x"] {
            assert!(!is_version_like(specifier), "{specifier}");
        }
    }
}
