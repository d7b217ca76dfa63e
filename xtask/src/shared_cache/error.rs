//! What can be wrong with how the shared cache is set up. What goes wrong with it later is no error: the build goes on.

use miette::Diagnostic;

use super::settings::{KEY, MODE, PLACE};

/// What is wrong with the settings of the shared cache.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are what the messages name")]
pub enum SharedCacheError {
    /// Not an address, or one of another kind.
    #[error("`{PLACE}` is set to `{given}`, which is no place for a shared cache: {reason}")]
    #[diagnostic(help(
        "write `s3://BUCKET/PREFIX` (and `AWS_ENDPOINT_URL=https://HOST` unless it is Amazon's), or `file:///FOLDER` for a folder that several machines mount"
    ))]
    Place { given: String, reason: &'static str },
    /// Neither of the two.
    #[error("`{MODE}` is set to `{given}`")]
    #[diagnostic(help("write `read` or `read-write`"))]
    Mode { given: String },
    /// No address.
    #[error("`{variable}` is set to `{given}`, which is no address of a service")]
    #[diagnostic(help(
        "write it with its scheme, such as `https://s3.example.com` or `http://127.0.0.1:9000`"
    ))]
    Endpoint { variable: &'static str, given: String },
    /// Too short to be a secret.
    #[error(
        "the value of `{KEY}` is too short to be a secret: it has fewer than {least} characters"
    )]
    #[diagnostic(help(
        "make one with `openssl rand -hex 32`, and give the same to every builder that shares"
    ))]
    Key { least: usize },
    /// One half of a pair.
    #[error("`{present}` is set and `{absent}` is not")]
    #[diagnostic(help("set both, or neither for a bucket that everybody may read"))]
    HalfCredentials { present: &'static str, absent: &'static str },
    /// A value that the client does not take.
    #[error("the settings of the shared cache's service do not fit together")]
    #[diagnostic(help(
        "they are `AWS_ENDPOINT_URL`, `AWS_REGION` and the other `AWS_...` variables; docs/shared-cache.md lists them"
    ))]
    Service {
        #[source]
        source: object_store::Error,
    },
    /// The HTTP client could not be made.
    #[error("there is no HTTP client for the shared cache")]
    Client {
        #[source]
        #[diagnostic_source]
        source: crate::http::HttpError,
    },
    /// A file of certificate authorities.
    #[error("cannot read the certificate authorities in `{path}`, which `{variable}` names")]
    Authorities {
        variable: &'static str,
        path: camino::Utf8PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The mounted folder is not there.
    #[error("the folder `{path}` of the shared cache is not there")]
    #[diagnostic(help("mount it, or make it with `mkdir -p {path}`; `{PLACE}` names it"))]
    Folder { path: camino::Utf8PathBuf },
    /// A command about the shared cache, and there is none.
    #[error("there is no shared cache: `{PLACE}` is not set")]
    #[diagnostic(help(
        "set it to `s3://BUCKET/PREFIX` or `file:///FOLDER`; docs/shared-cache.md has more"
    ))]
    Unset,
    /// A command that is about nothing but the shared cache, and it cannot be done.
    #[error("cannot {action} the shared cache `{place}`: {reason}")]
    Failed { action: &'static str, place: String, reason: String },
}
