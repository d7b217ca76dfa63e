//! Why something could not be had over HTTP.

use std::io;

use camino::Utf8PathBuf;
use miette::Diagnostic;
use reqwest::StatusCode;

/// Why something could not be had over HTTP. URLs are shown without credentials.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum HttpError {
    /// The client's settings make no sense.
    #[error("cannot set up HTTPS connections")]
    #[diagnostic(help(
        "check the proxy and certificate settings: `proxy`, `https-proxy`, `cafile` in .npmrc; HTTPS_PROXY, NODE_EXTRA_CA_CERTS, SSL_CERT_FILE in the environment"
    ))]
    Setup {
        /// What the client says.
        source: reqwest::Error,
    },
    /// No answer.
    #[error("cannot reach `{url}`{}", times(attempts))]
    #[diagnostic(help(
        "check the network, and the proxy if you need one (`https-proxy` in .npmrc, or HTTPS_PROXY); `--offline` works with what is cached"
    ))]
    Unreachable {
        /// The address.
        url: String,
        /// How often it was tried.
        attempts: usize,
        /// What the system says.
        source: reqwest::Error,
    },
    /// The server's certificate is not trusted.
    #[error("`{url}` has a certificate that is not trusted")]
    #[diagnostic(help(
        "if your network has its own certificate authority, name its file with `cafile=...` in .npmrc or NODE_EXTRA_CA_CERTS"
    ))]
    Certificate {
        /// The address.
        url: String,
        /// What is wrong with it.
        source: reqwest::Error,
    },
    /// An answer that is not a success.
    #[error("`{url}` answered {status}{}", times(attempts))]
    Status {
        /// The address.
        url: String,
        /// How often it was tried.
        attempts: usize,
        /// The answer.
        status: StatusCode,
    },
    /// The connection was lost.
    #[error("`{url}` broke off after {received} bytes{}", times(attempts))]
    #[diagnostic(help("run again: what is complete is kept"))]
    Broken {
        /// The address.
        url: String,
        /// How often it was tried.
        attempts: usize,
        /// How much came the last time.
        received: u64,
        /// What the system says.
        source: reqwest::Error,
    },
    /// More than anybody needs.
    #[error("`{url}` sends more than {limit} bytes")]
    TooLarge {
        /// The address.
        url: String,
        /// How much we take.
        limit: u64,
    },
    /// The download could not be stored.
    #[error("cannot write the download to `{path}`")]
    #[diagnostic(help("if the disk is full, free some space: what is complete is kept"))]
    Write {
        /// The file.
        path: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl HttpError {
    /// The server's answer, if it gave one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

fn times(attempts: &usize) -> String {
    if *attempts == 1 { String::new() } else { format!(" ({attempts} attempts)") }
}
