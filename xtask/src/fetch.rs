//! Stage two: every archive the plan names, checked and unpacked into the store.
//!
//! Archives are downloaded into temporary files and hashed on the way; only one with the right digest is unpacked. So
//! neither the store nor a tree ever sees a byte that was not asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use miette::Diagnostic;
use rayon::prelude::*;
use tokio::sync::Semaphore;
use url::Url;

use crate::context::Context;
use crate::http::{Downloaded, redacted};
use crate::integrity::Integrity;
use crate::registry::{Registry, RegistryError, Wanted};
use crate::store::{Store, StoreError, UnpackError};
use crate::tree::{Source, Tree};

/// Enough to hide the way to the registry and back; registries throttle clients that want more.
const DOWNLOADS: usize = 32;

/// One archive to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it is, for messages: `ws 8.18.0`.
    pub what: String,
    /// What its bytes must be.
    pub integrity: Integrity,
    /// Where to get it.
    pub place: Place,
}

/// Where an archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A package version in the registry of its scope.
    Registry {
        /// The package's name.
        name: String,
        /// The exact version.
        version: String,
        /// The tarball's URL if a lockfile names it.
        resolved: Option<Url>,
    },
    /// A URL.
    Url(Url),
    /// A wheel of the configured Python package index, by its file name.
    Wheel(String),
    /// A file of the user's.
    File(Utf8PathBuf),
}

/// Has every archive unpacked in the store; downloads what is missing, in parallel, each integrity once.
///
/// # Errors
/// When one cannot be had or is not what it must be. What was fetched before stays.
pub fn all(
    context: &Context,
    store: &Store,
    registry: &Registry,
    requests: &[Request],
) -> Result<BTreeMap<Integrity, Tree>, FetchError> {
    let mut by_integrity = BTreeMap::new();
    for request in requests {
        by_integrity.entry(&request.integrity).or_insert(request);
    }
    let wanted: Vec<&Request> = by_integrity.into_values().collect();
    let found: Vec<Option<Tree>> = wanted
        .par_iter()
        .map(|request| store.unpacked(&request.integrity))
        .collect::<Result<_, _>>()?;

    let mut trees = BTreeMap::new();
    let mut missing = Vec::new();
    for (request, tree) in wanted.into_iter().zip(found) {
        match tree {
            Some(tree) => {
                trees.insert(request.integrity.clone(), tree);
            }
            None => missing.push(request),
        }
    }
    if missing.is_empty() {
        return Ok(trees);
    }
    if context.offline {
        refuse_offline(&missing)?;
    }
    let fetched = context.block_on(fetch(context, store, registry, &missing))?;
    trees.extend(fetched);
    Ok(trees)
}

/// Downloads what is at `url` into the store, as it is. The caller compares its digest, or pins it.
///
/// # Errors
/// When it cannot be had or kept.
pub async fn file<E: From<RegistryError> + From<StoreError>>(
    store: &Store,
    registry: &Registry,
    what: &str,
    url: &Url,
) -> Result<Source, E> {
    let held = store.temporary()?;
    let folder = Utf8Path::from_path(held.path()).expect("the store's folders are UTF-8");
    let file = folder.join("download");
    // Only says which algorithm to hash with; the digest is that of the file in the store.
    let algorithm = Integrity::from_sha256([0; 32]);
    registry.download(what, url, &file, &algorithm).await?;
    Ok(store.add_file(&file, false)?)
}

/// Without a network only the user's own files can be had.
fn refuse_offline(missing: &[&Request]) -> Result<(), FetchError> {
    let remote = missing.iter().filter(|request| !matches!(request.place, Place::File(_)));
    let names: Vec<_> = remote.map(|request| request.what.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let shown = names[..names.len().min(10)].join("`, `");
    let more = match names.len().saturating_sub(10) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(FetchError::Offline { count: names.len(), list: format!("`{shown}`{more}") })
}

/// Fetches what is missing. The first error ends it; downloads under way are dropped.
async fn fetch(
    context: &Context,
    store: &Store,
    registry: &Registry,
    missing: &[&Request],
) -> Result<Vec<(Integrity, Tree)>, FetchError> {
    let progress = context.reporter.count("Fetching", missing.len() as u64);
    let folder = store.temporary()?;
    let folder = Utf8Path::from_path(folder.path()).expect("the store's folders are UTF-8");
    // Unpacking is work for the processor: more at a time than it has cores only costs memory.
    let unpackers = Arc::new(Semaphore::new(context.jobs.get()));
    stream::iter(missing.iter().enumerate())
        .map(async |(number, request)| {
            let archive = folder.join(number.to_string());
            let origin = obtain(registry, request, &archive).await?;
            let _permit = unpackers.acquire().await.expect("the semaphore is never closed");
            let tree = unpack(store, request, archive, origin).await?;
            progress.message(request.what.clone());
            progress.advance(1);
            Ok((request.integrity.clone(), tree))
        })
        .buffer_unordered(DOWNLOADS)
        .try_collect()
        .await
}

/// Puts the archive's bytes into the file `to`, checks them, and says where they came from.
async fn obtain(
    registry: &Registry,
    request: &Request,
    to: &Utf8Path,
) -> Result<String, FetchError> {
    let Request { what, integrity, place } = request;
    let (origin, got) = match place {
        Place::Registry { name, version, resolved } => {
            let wanted = Wanted { name, version, resolved: resolved.as_ref() };
            let (url, got) = registry.tarball(wanted, to, integrity).await?;
            (redacted(&url), got)
        }
        Place::Url(url) => (redacted(url), registry.download(what, url, to, integrity).await?),
        Place::Wheel(file) => {
            let (url, got) = registry.wheel(file, to, integrity).await?;
            (redacted(&url), got)
        }
        Place::File(path) => {
            let got =
                tokio::task::block_in_place(|| copy(path, to, integrity)).map_err(|source| {
                    FetchError::File { what: what.clone(), path: path.clone(), source }
                })?;
            (path.to_string(), got)
        }
    };
    if got.integrity == *integrity {
        return Ok(origin);
    }
    Err(FetchError::Integrity(Box::new(Mismatch {
        what: what.clone(),
        origin,
        size: got.size,
        expected: integrity.clone(),
        found: got.integrity,
    })))
}

/// Copies and hashes the user's file: it may change between a check and the unpacking, the copy does not.
fn copy(from: &Utf8Path, to: &Utf8Path, integrity: &Integrity) -> io::Result<Downloaded> {
    let mut from = File::open(from)?;
    let mut to = File::create(to)?;
    let mut hasher = integrity.hasher();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(Downloaded { integrity: hasher.finish(), size });
        }
        hasher.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
        size += count as u64;
    }
}

async fn unpack(
    store: &Store,
    request: &Request,
    archive: Utf8PathBuf,
    origin: String,
) -> Result<Tree, FetchError> {
    let store = store.clone();
    let integrity = request.integrity.clone();
    let result = tokio::task::spawn_blocking(move || {
        let result = store.unpack(&integrity, &archive);
        // Only frees the space early: the folder it is in is temporary.
        let _ = std::fs::remove_file(&archive);
        result
    });
    match result.await.expect("unpacking returns errors and does not panic") {
        Ok(tree) => Ok(tree),
        Err(StoreError::Unpack { source, .. }) => {
            Err(FetchError::Unpack { what: request.what.clone(), origin, source })
        }
        Err(error) => Err(error.into()),
    }
}

/// An archive that is not what it must be.
#[derive(Debug)]
pub struct Mismatch {
    /// What it should be.
    pub what: String,
    /// Where it came from.
    pub origin: String,
    /// How many bytes came.
    pub size: u64,
    /// The digest asked for.
    pub expected: Integrity,
    /// The digest of what came.
    pub found: Integrity,
}

/// What can go wrong when archives are fetched.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum FetchError {
    /// Packages are not cached and the network must not be used.
    #[error("{count} archives are not in the cache and the network is off (`--offline`): {list}")]
    #[diagnostic(help("run the command once without `--offline`; after that it needs no network"))]
    Offline {
        /// How many.
        count: usize,
        /// The first of them.
        list: String,
    },
    /// The digest is another. Nothing of it was used.
    #[error(
        "`{}` is not what the lockfile says: {} bytes from `{}` have the digest `{}`, not `{}`",
        .0.what, .0.size, .0.origin, .0.found, .0.expected
    )]
    #[diagnostic(help(
        "nothing of it was used. Either the file was replaced on its server (or on the way), or the lockfile was edited: find out which before you write the lockfile anew"
    ))]
    Integrity(Box<Mismatch>),
    /// The right bytes, but no archive we take.
    #[error("cannot unpack `{what}` from `{origin}`")]
    Unpack {
        /// What it is.
        what: String,
        /// Where it came from.
        origin: String,
        /// What is wrong with it.
        #[source]
        #[diagnostic_source]
        source: UnpackError,
    },
    /// A file of the user's.
    #[error("cannot read `{path}`, which is to be `{what}`")]
    File {
        /// What it should be.
        what: String,
        /// The file.
        path: Utf8PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The registry.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registry(#[from] RegistryError),
    /// The store.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sample::{self, Entry};
    use crate::testing::{Answer, Sandbox, Server, contents, told};

    struct Bench {
        sandbox: Sandbox,
        context: Context,
        store: Store,
        registry: Registry,
    }

    impl Bench {
        fn new(server: &Server) -> Self {
            let sandbox = Sandbox::new();
            let npmrc =
                format!("registry={}\nfetch-retries=1\nfetch-retry-mintimeout=1\n", server.url);
            sandbox.write(".npmrc", npmrc);
            let context = sandbox.context(&[]);
            let store = Store::open(&context).expect("a fresh folder");
            let registry = Registry::load(&context, &sandbox.root).expect("sane settings");
            Self { sandbox, context, store, registry }
        }

        fn all(&self, requests: &[Request]) -> Result<BTreeMap<Integrity, Tree>, FetchError> {
            all(&self.context, &self.store, &self.registry, requests)
        }

        /// Every file of the cache that is not temporary.
        fn kept(&self) -> Vec<String> {
            let found = contents(&self.context.cache);
            found.into_keys().filter(|path| !path.starts_with("tmp/")).collect()
        }
    }

    fn package(name: &str) -> Vec<u8> {
        let description = format!(r#"{{"name": "{name}"}}"#);
        sample::tgz(&[Entry::file("package/package.json", &description)])
    }

    fn wanted(name: &str, bytes: &[u8]) -> Request {
        Request {
            what: format!("{name} 1.0.0"),
            integrity: Integrity::sha512(bytes),
            place: Place::Registry {
                name: name.to_owned(),
                version: "1.0.0".to_owned(),
                resolved: None,
            },
        }
    }

    #[test]
    fn each_archive_once() {
        let server = Server::start(|seen, _| {
            Answer::ok(package(
                seen.target.trim_start_matches('/').split('/').next().expect("a name"),
            ))
        });
        let bench = Bench::new(&server);
        let file = bench.sandbox.write("c.tgz", package("c"));
        let requests = [
            wanted("a", &package("a")),
            Request { what: "the same again".to_owned(), ..wanted("a", &package("a")) },
            Request { place: Place::Url(server.at("b/b.tgz")), ..wanted("b", &package("b")) },
            Request { place: Place::File(file), ..wanted("c", &package("c")) },
        ];
        let trees = bench.all(&requests).expect("all are there");
        assert_eq!(trees.len(), 3);
        let mut targets = server.targets();
        targets.sort();
        assert_eq!(targets, ["/a/-/a-1.0.0.tgz", "/b/b.tgz"]);
        let c = &trees[&requests[3].integrity];
        let (path, source) = c.files().next().expect("one file");
        assert_eq!(path.as_str(), "package.json");
        assert_eq!(std::fs::read(source.path()).expect("in the store"), br#"{"name": "c"}"#);

        let mut again = bench;
        again.context.offline = true;
        assert_eq!(again.all(&requests).expect("all are cached"), trees);
        assert_eq!(server.seen().len(), 2);
    }

    #[test]
    fn other_bytes_are_refused_and_not_kept() {
        let server = Server::start(|_, _| Answer::ok(package("evil")));
        let bench = Bench::new(&server);
        let error = bench.all(&[wanted("a", b"good")]).expect_err("another digest");
        insta::assert_snapshot!(told(&error, &server), @r"
        `a 1.0.0` is not what the lockfile says: 120 bytes from `http://127.0.0.1:port/a/-/a-1.0.0.tgz` have the digest `sha512-1YNIyY6ewM8VebEp/wpSqoQBcKvotLYKESW5c8yhfYk4gMtoyLRnanVXoHXOrrECKihIva7BcjrZCZCYVsCzqg==`, not `sha512-ECWb/hpBBY5GcdBaO5Yrd0xLFpRrQEC8BVBZ0YWdXxXsTX8Byj91YWMtAK3WEi0zcCKhURdOW5zr9DAlS46fpw==`
        help: nothing of it was used. Either the file was replaced on its server (or on the way), or the lockfile was edited: find out which before you write the lockfile anew
        ");
        assert_eq!(bench.kept(), [""; 0]);
    }

    #[test]
    fn a_hostile_archive_is_refused_and_not_kept() {
        let hostile = sample::tgz(&[
            Entry::file("package/package.json", "{}"),
            Entry::file("package/../../../../../escaped", "owned"),
        ]);
        let request = wanted("a", &hostile);
        let server = Server::start(move |_, _| Answer::ok(hostile.clone()));
        let bench = Bench::new(&server);
        let error = bench.all(&[request]).expect_err("it leads out");
        insta::assert_snapshot!(told(&error, &server), @r"
        cannot unpack `a 1.0.0` from `http://127.0.0.1:port/a/-/a-1.0.0.tgz`
        because: it holds a file with a name that is not allowed
        because: `package/../../../../../escaped` is not a path inside a bundle: it leads out of the archive with `..`
        ");
        assert_eq!(bench.kept(), [""; 0]);
        assert!(!contents(&bench.sandbox.root).keys().any(|path| path.contains("escaped")));
    }

    #[test]
    fn what_was_complete_before_an_error_stays() {
        let server = Server::start(|seen, _| match seen.target.as_str() {
            "/a/-/a-1.0.0.tgz" => Answer::ok(package("a")),
            _ => Answer::status(403),
        });
        let bench = Bench::new(&server);
        let requests = [wanted("a", &package("a")), wanted("b", &package("b"))];
        bench.all(&requests[..1]).expect("it is there");
        let error = bench.all(&requests).expect_err("one is refused");
        insta::assert_snapshot!(told(&error, &server), @r"
        cannot fetch the tarball of `b 1.0.0`
        because: `http://127.0.0.1:port/b/-/b-1.0.0.tgz` answered 403 Forbidden
        help: log in with `npm login --registry=http://127.0.0.1:port/`, or put `//127.0.0.1:port/:_authToken=${NPM_TOKEN}` in .npmrc
        ");
        assert!(bench.store.unpacked(&requests[0].integrity).expect("readable").is_some());
    }

    #[test]
    fn offline_says_what_is_missing() {
        let server = Server::start(|_, _| Answer::status(500));
        let mut bench = Bench::new(&server);
        bench.context.offline = true;
        let file = bench.sandbox.write("c.tgz", package("c"));
        let local = Request { place: Place::File(file), ..wanted("c", &package("c")) };
        bench.all(std::slice::from_ref(&local)).expect("files need no network");

        let mut requests: Vec<_> =
            (0..12).map(|number| wanted(&format!("p{number}"), &[number])).collect();
        requests.sort_by(|left, right| left.integrity.cmp(&right.integrity));
        let error = bench.all(&requests).expect_err("offline");
        let FetchError::Offline { count: 12, list } = &error else { panic!("{error:?}") };
        assert!(list.ends_with("` and 2 more"), "{list}");
        insta::assert_snapshot!(told(&bench.all(&requests[..1]).expect_err("offline"), &server), @r"
        1 archives are not in the cache and the network is off (`--offline`): `p5 1.0.0`
        help: run the command once without `--offline`; after that it needs no network
        ");
        assert!(server.seen().is_empty());
    }

    #[test]
    fn a_file_that_is_not_there() {
        let server = Server::start(|_, _| Answer::status(500));
        let bench = Bench::new(&server);
        let request = Request { place: Place::File("missing.tgz".into()), ..wanted("c", b"") };
        let error = bench.all(&[request]).expect_err("it is missing");
        insta::assert_snapshot!(told(&error, &server), @r"
        cannot read `missing.tgz`, which is to be `c 1.0.0`
        because: No such file or directory (os error 2)
        ");
    }
}
