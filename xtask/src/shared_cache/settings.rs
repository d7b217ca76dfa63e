//! What the environment says of the shared cache.
//!
//! Credentials are handed on to the client and never shown: the types that hold them print nothing of them.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8PathBuf;
use url::Url;

use super::SharedCacheError;
use super::seal::Seals;
use crate::context::Context;

/// Where the cache is.
pub(super) const PLACE: &str = "GANGWAY_SHARED_CACHE";
/// Whether anything is sent there.
pub(super) const MODE: &str = "GANGWAY_SHARED_CACHE_MODE";
/// The secret that seals what cannot be proved.
pub(crate) const KEY: &str = "GANGWAY_SHARED_CACHE_KEY";

/// What any of which says that requests are to be signed.
const CREDENTIALS: [&str; 6] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_METADATA_ENDPOINT",
];

/// What names another service than Amazon's.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];

/// Fewer characters can be guessed.
const LEAST_KEY: usize = 32;

/// How the shared cache is used.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) place: Place,
    pub(super) mode: Mode,
    pub(super) seals: Seals,
}

/// Where a shared cache can be.
pub(super) enum Place {
    /// In a bucket of a service that speaks S3.
    Bucket {
        bucket: String,
        prefix: String,
        /// The `AWS_...` variables.
        service: BTreeMap<String, String>,
        signature: Signature,
    },
    /// In a folder, which several machines mount.
    Folder(Utf8PathBuf),
}

/// Whether requests say who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    Signed,
    /// As for a bucket that everybody may read.
    Unsigned,
}

/// What may be done with the shared cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Things are taken from it.
    Read,
    /// What was made here is sent there, too.
    ReadWrite,
}

impl Settings {
    /// What the environment says; `None` when there is no shared cache.
    pub(super) fn from_context(context: &Context) -> Result<Option<Self>, SharedCacheError> {
        let Some(given) = context.variable(PLACE) else { return Ok(None) };
        let place = Place::parse(given, context)?;
        let mode = match context.variable(MODE) {
            Some("read") => Mode::Read,
            Some("read-write") => Mode::ReadWrite,
            Some(given) => return Err(SharedCacheError::Mode { given: given.to_owned() }),
            None => place.usual_mode(),
        };
        let seals = match context.variable(KEY) {
            Some(key) if key.len() < LEAST_KEY => {
                return Err(SharedCacheError::Key { least: LEAST_KEY });
            }
            Some(key) => Seals::keyed(key),
            None => Seals::Plain,
        };
        Ok(Some(Self { place, mode, seals }))
    }
}

impl Place {
    fn parse(given: &str, context: &Context) -> Result<Self, SharedCacheError> {
        let wrong = |reason| SharedCacheError::Place { given: shown(given), reason };
        let url = Url::parse(given).map_err(|_| wrong("it is no address"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("credentials belong into `AWS_ACCESS_KEY_ID` and its like"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it has a `?` or a `#`"));
        }
        match url.scheme() {
            "s3" => {
                let bucket = url.host_str().unwrap_or_default();
                if bucket.is_empty() {
                    return Err(wrong("it names no bucket"));
                }
                if url.port().is_some() {
                    return Err(wrong(
                        "the service's host and port belong into `AWS_ENDPOINT_URL`",
                    ));
                }
                check_endpoints(context)?;
                Ok(Self::Bucket {
                    bucket: bucket.to_owned(),
                    prefix: url.path().trim_matches('/').to_owned(),
                    service: service(context),
                    signature: signature(context)?,
                })
            }
            "file" => {
                let path =
                    url.to_file_path().ok().and_then(|path| Utf8PathBuf::try_from(path).ok());
                path.map(Self::Folder).ok_or_else(|| wrong("it names no folder of this machine"))
            }
            _ => Err(wrong("only `s3:` and `file:` are known")),
        }
    }

    /// Without credentials nothing can be sent, unless somebody says so.
    fn usual_mode(&self) -> Mode {
        match self {
            Self::Bucket { signature: Signature::Unsigned, .. } => Mode::Read,
            Self::Bucket { .. } | Self::Folder(_) => Mode::ReadWrite,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { bucket, prefix, .. } if prefix.is_empty() => {
                write!(formatter, "s3://{bucket}")
            }
            Self::Bucket { bucket, prefix, .. } => write!(formatter, "s3://{bucket}/{prefix}"),
            Self::Folder(path) => write!(formatter, "file://{path}"),
        }
    }
}

/// Nothing of the service's settings: secrets are among them.
impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// An address that was refused, without what may be a password.
fn shown(given: &str) -> String {
    match given.rsplit_once('@') {
        Some((before, after)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://...@{after}")
        }
        None => given.to_owned(),
    }
}

fn service(context: &Context) -> BTreeMap<String, String> {
    let own = context
        .environment
        .iter()
        .filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty());
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The client takes whatever it is given, and fails in its own words.
fn check_endpoints(context: &Context) -> Result<(), SharedCacheError> {
    for variable in ENDPOINTS {
        let Some(given) = context.variable(variable) else { continue };
        let is_address = Url::parse(given).is_ok_and(|url| {
            ["http", "https"].contains(&url.scheme()) && url.has_host() && url.password().is_none()
        });
        if !is_address {
            return Err(SharedCacheError::Endpoint { variable, given: shown(given) });
        }
    }
    Ok(())
}

fn signature(context: &Context) -> Result<Signature, SharedCacheError> {
    let [id, secret, ..] = CREDENTIALS;
    match (context.variable(id), context.variable(secret)) {
        (Some(_), None) => {
            return Err(SharedCacheError::HalfCredentials { present: id, absent: secret });
        }
        (None, Some(_)) => {
            return Err(SharedCacheError::HalfCredentials { present: secret, absent: id });
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    if context.variable("AWS_SKIP_SIGNATURE") == Some("true") {
        return Ok(Signature::Unsigned);
    }
    let is_known = CREDENTIALS.iter().any(|name| context.variable(name).is_some());
    Ok(if is_known { Signature::Signed } else { Signature::Unsigned })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Sandbox, rendered};

    const SECRET: &str = "do-not-print-me-0123456789abcdefghi";

    fn read(environment: &[(&str, &str)]) -> Result<Option<Settings>, SharedCacheError> {
        Settings::from_context(&Sandbox::new().context(environment))
    }

    fn told(environment: &[(&str, &str)]) -> String {
        rendered(&read(environment).expect_err("it is refused"))
    }

    #[test]
    fn nothing_is_shared_unless_it_is_asked_for() {
        assert!(read(&[]).expect("nothing is wrong").is_none());
        assert!(read(&[(PLACE, ""), (MODE, "nonsense")]).expect("nothing is wrong").is_none());
    }

    #[test]
    fn places_and_modes() {
        let credentials = [("AWS_ACCESS_KEY_ID", "me"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
        let with = |more: &[(&str, &str)]| {
            let settings = read(&[&credentials, more].concat()).expect("sane").expect("set");
            (settings.place.to_string(), settings.mode)
        };
        assert_eq!(with(&[(PLACE, "s3://b")]), ("s3://b".to_owned(), Mode::ReadWrite));
        assert_eq!(
            with(&[(PLACE, "s3://b/team/one/"), (MODE, "read")]),
            ("s3://b/team/one".to_owned(), Mode::Read)
        );
        assert_eq!(
            with(&[(PLACE, "file:///mnt/x")]),
            ("file:///mnt/x".to_owned(), Mode::ReadWrite)
        );
        // A stranger's job has no secrets.
        let stranger = read(&[(PLACE, "s3://b")]).expect("sane").expect("set");
        assert_eq!(stranger.mode, Mode::Read);
        let Place::Bucket { signature, .. } = &stranger.place else { panic!("it is a bucket") };
        assert_eq!(*signature, Signature::Unsigned);
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = read(&[
            (PLACE, "s3://b"),
            (KEY, SECRET),
            ("AWS_ACCESS_KEY_ID", SECRET),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_SESSION_TOKEN", SECRET),
        ]);
        let shown = format!("{settings:?}");
        assert!(!shown.contains("do-not-print"), "{shown}");
        let shown = told(&[(PLACE, "s3://me:do-not-print@b")]);
        assert!(shown.contains("s3://...@b") && !shown.contains("do-not-print"), "{shown}");
        let shown = told(&[(PLACE, "s3://b"), (KEY, "do-not-print")]);
        assert!(!shown.contains("do-not-print"), "{shown}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        insta::assert_snapshot!(told(&[(PLACE, "gs://bucket")]), @"
        × `GANGWAY_SHARED_CACHE` is set to `gs://bucket`, which is no place for a shared cache: only `s3:` and `file:` are known
        help: write `s3://BUCKET/PREFIX` (and `AWS_ENDPOINT_URL=https://HOST` unless it is Amazon's), or `file:///FOLDER` for a folder that several machines mount
        ");
        insta::assert_snapshot!(told(&[(PLACE, "s3:///prefix")]), @"
        × `GANGWAY_SHARED_CACHE` is set to `s3:///prefix`, which is no place for a shared cache: it names no bucket
        help: write `s3://BUCKET/PREFIX` (and `AWS_ENDPOINT_URL=https://HOST` unless it is Amazon's), or `file:///FOLDER` for a folder that several machines mount
        ");
        insta::assert_snapshot!(told(&[(PLACE, "bucket/prefix")]), @"
        × `GANGWAY_SHARED_CACHE` is set to `bucket/prefix`, which is no place for a shared cache: it is no address
        help: write `s3://BUCKET/PREFIX` (and `AWS_ENDPOINT_URL=https://HOST` unless it is Amazon's), or `file:///FOLDER` for a folder that several machines mount
        ");
        insta::assert_snapshot!(told(&[(PLACE, "s3://bucket:9000/x")]), @"
        × `GANGWAY_SHARED_CACHE` is set to `s3://bucket:9000/x`, which is no place for a shared cache: the service's host and port belong into `AWS_ENDPOINT_URL`
        help: write `s3://BUCKET/PREFIX` (and `AWS_ENDPOINT_URL=https://HOST` unless it is Amazon's), or `file:///FOLDER` for a folder that several machines mount
        ");
        insta::assert_snapshot!(told(&[(PLACE, "s3://bucket"), (MODE, "rw")]), @"
        × `GANGWAY_SHARED_CACHE_MODE` is set to `rw`
        help: write `read` or `read-write`
        ");
        insta::assert_snapshot!(told(&[(PLACE, "s3://bucket"), (KEY, "short")]), @"
        × the value of `GANGWAY_SHARED_CACHE_KEY` is too short to be a secret: it has fewer than 32 characters
        help: make one with `openssl rand -hex 32`, and give the same to every builder that shares
        ");
        let endpoint = ("AWS_ENDPOINT_URL", "localhost:9000");
        insta::assert_snapshot!(told(&[(PLACE, "s3://bucket"), endpoint]), @"
        × `AWS_ENDPOINT_URL` is set to `localhost:9000`, which is no address of a service
        help: write it with its scheme, such as `https://s3.example.com` or `http://127.0.0.1:9000`
        ");
        insta::assert_snapshot!(told(&[(PLACE, "s3://bucket"), ("AWS_ACCESS_KEY_ID", "me")]), @"
        × `AWS_ACCESS_KEY_ID` is set and `AWS_SECRET_ACCESS_KEY` is not
        help: set both, or neither for a bucket that everybody may read
        ");
    }
}
