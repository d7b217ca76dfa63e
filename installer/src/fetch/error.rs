//! Why something could not be had.

use std::error::Error;
use std::io;
use std::sync::Arc;

use camino::Utf8PathBuf;
use gangway_artifact::{Date, Digest};
use miette::Diagnostic;
use reqwest::StatusCode;

/// Why something could not be had. Addresses are shown without credentials.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum FetchError {
    // The place
    #[error("`{text}` is no place for a release: {reason}")]
    #[diagnostic(help("write an address such as `https://example.com/app`, or a folder"))]
    Address { text: String, reason: &'static str },
    #[error("`{}` cannot name a file of a release: {reason}", name.escape_debug())]
    #[diagnostic(help(
        "names have letters, digits, `-`, `_`, `.` and `+`, and begin and end with a letter or digit"
    ))]
    Name { name: String, reason: &'static str },
    #[error("there is no folder `{path}`")]
    #[diagnostic(help(
        "name the folder that the release's files are in; an address begins with `https://`"
    ))]
    NoFolder { path: Utf8PathBuf },
    #[error("`{place}` is reached without encryption, and what it says is not signed")]
    #[diagnostic(help(
        "use `https://`, or a folder; if you trust everybody between here and there, set GANGWAY_ALLOW_HTTP=1"
    ))]
    PlainHttp { place: String },
    #[error("`{from}` leads to `{to}`, which is reached without encryption")]
    #[diagnostic(help(
        "ask whoever runs that server to lead to `https://`, or take the release from another place"
    ))]
    Downgrade { from: String, to: String },

    // Settings
    #[error("cannot set up connections")]
    #[diagnostic(help(
        "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and SSL_CERT_FILE; if this machine has no certificate authorities, install its package `ca-certificates`"
    ))]
    Setup { source: reqwest::Error },
    #[error("cannot read the certificate authorities in `{path}`, which {variable} names")]
    #[diagnostic(help("name a file in PEM format, or unset {variable}"))]
    Authorities { variable: &'static str, path: Utf8PathBuf, source: io::Error },

    // The network
    #[error("cannot reach `{url}`{}{}", through(.proxy.as_ref()), times(*.attempts))]
    #[diagnostic(help(
        "check the network, and HTTPS_PROXY if you need a proxy; a machine without a network can install from a folder: copy the release's files to it and name their folder with `--from DIR`"
    ))]
    Unreachable { url: String, proxy: Option<String>, attempts: u32, source: reqwest::Error },
    #[error("`{url}` has a certificate that is not trusted")]
    #[diagnostic(help(
        "if your network has its own certificate authority, name its file with SSL_CERT_FILE; if this machine has none, install its package `ca-certificates`"
    ))]
    Certificate { url: String, source: reqwest::Error },
    #[error("`{url}` has a certificate that is {state}, and by this machine's clock it is {now}")]
    #[diagnostic(help(
        "if that is not today, set the clock (`date` shows it) and try again; otherwise tell whoever runs the server"
    ))]
    Clock { url: String, state: &'static str, now: Date, source: reqwest::Error },
    #[error("by this machine's clock it is before 1970, and no certificate is of that time")]
    #[diagnostic(help("set the clock (`date` shows it) and try again"))]
    NoClock,
    #[error("`{url}` sent nothing for {seconds} s{}, after {received} bytes", times(*.attempts))]
    #[diagnostic(help("try again: what has come is kept"))]
    Stalled { url: String, seconds: u64, received: u64, attempts: u32 },
    #[error("`{url}` broke off after {received} bytes{}", times(*.attempts))]
    #[diagnostic(help("try again: what has come is kept"))]
    Broken { url: String, received: u64, attempts: u32, source: Option<reqwest::Error> },

    // The server's answers
    #[error("`{url}` is not there ({status})")]
    #[diagnostic(help("check that the address is that of the release's folder"))]
    Missing { url: String, status: StatusCode },
    #[error("`{url}` may not be had ({status})")]
    #[diagnostic(help(
        "check the address, and whether it needs a user and a password: `https://USER:PASSWORD@...`"
    ))]
    Denied { url: String, status: StatusCode },
    #[error("`{url}` answered {status}{}", times(*.attempts))]
    #[diagnostic(help("try again later: what has come is kept"))]
    Status { url: String, status: StatusCode, attempts: u32 },
    #[error("`{url}` is busy ({status}) and wants to be left alone for {seconds} s")]
    #[diagnostic(help("try again after that: what has come is kept"))]
    Busy { url: String, status: StatusCode, seconds: u64 },
    #[error("`{url}` answered with a web page")]
    #[diagnostic(help(
        "a network that wants you to log in answers like this (a hotel, a train): open a browser, log in and try again; otherwise check the address"
    ))]
    Page { url: String },
    #[error("`{url}` came encoded as `{encoding}`, and plain bytes were asked for")]
    #[diagnostic(help(
        "tell whoever runs the server to send release files as they are, without compressing them again"
    ))]
    Encoded { url: String, encoding: String },
    #[error("`{url}` answered what makes no sense: {reason}")]
    #[diagnostic(help("tell whoever runs the server, or take the release from another place"))]
    Nonsense { url: String, reason: String },
    #[error("`{url}` leads from one address to the next without an end")]
    #[diagnostic(help("tell whoever runs the server, or take the release from another place"))]
    Redirects { url: String },

    // The bytes
    #[error("`{url}` has {found} bytes, and the release's metadata says {expected}")]
    #[diagnostic(help(
        "a new release may be under way to the server: try again in a few minutes; if it stays so, its publisher must publish it again"
    ))]
    Size { url: String, expected: u64, found: u64 },
    #[error("`{url}` has the SHA-256 {found}, and the release's metadata says {expected}")]
    #[diagnostic(help(
        "nothing of it was used; it was damaged on the way, or replaced on its server: try again, and tell its publisher if it stays so"
    ))]
    Digest { url: String, expected: Digest, found: Digest },
    #[error(
        "`{url}` is not the archive that the release's metadata names: its {length} bytes from byte {offset} are others, however often they are fetched"
    )]
    #[diagnostic(help(
        "a new release may be under way to the server, or something on the way changes what comes: try again in a few minutes, and tell its publisher if it stays so"
    ))]
    Changed { url: String, offset: u64, length: u64 },
    #[error("`{url}` has more than {limit} bytes")]
    #[diagnostic(help("check that the address is that of a release's folder"))]
    TooLarge { url: String, limit: u64 },

    // This machine
    #[error("interrupted while it came")]
    #[diagnostic(help("what has come is kept"))]
    Interrupted,
    #[error("cannot write the download to `{path}`")]
    #[diagnostic(help(
        "if the disk is full, free some space and try again: what has come is kept"
    ))]
    Write { path: Utf8PathBuf, source: io::Error },
    #[error("cannot read `{path}`")]
    #[diagnostic(help("check that it is there and may be read"))]
    Read { path: Utf8PathBuf, source: io::Error },
}

impl FetchError {
    /// Whether the place has no such file, as opposed to one that could not be had.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Missing { .. } => true,
            Self::Read { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// The one that a reader of an archive was told, somewhere among the causes of `error`.
    #[must_use]
    pub fn beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            if let Some(Told(found)) = error.downcast_ref() {
                return Some(found);
            }
            // An I/O error passes over the one that it holds.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }
}

/// One error for every reader that waits.
#[derive(Debug, Clone)]
pub(super) struct Told(pub(super) Arc<FetchError>);

impl Told {
    pub(super) fn interrupted() -> Self {
        Self(Arc::new(FetchError::Interrupted))
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Error for Told {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<Told> for io::Error {
    fn from(told: Told) -> Self {
        Self::other(told)
    }
}

fn times(attempts: u32) -> String {
    if attempts <= 1 { String::new() } else { format!(" ({attempts} attempts)") }
}

fn through(proxy: Option<&String>) -> String {
    proxy.map(|proxy| format!(" through the proxy `{proxy}`")).unwrap_or_default()
}
