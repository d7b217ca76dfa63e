//! HTTP: one client with the user's proxies and certificate authorities, patience with bad networks, and none with
//! answers that will not change.
//!
//! What is tried again: connections that fail or go quiet, bodies that break off, and the answers 408, 429 and 5xx. There
//! is no limit on the time a download takes as a whole, only on how long nothing may come. The environment's proxies are
//! not read here: the caller says which to use. Credentials travel in a header that is dropped when a redirect leads to
//! another host, and never appear in a message.

mod error;

use std::error::Error as _;
use std::io;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use camino::{Utf8Path, Utf8PathBuf};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, NoProxy, Proxy, Response, StatusCode};
use tokio::io::AsyncWriteExt as _;
use url::Url;

use crate::integrity::{Hasher, Integrity};

pub use error::HttpError;

/// No archive is larger. An endless answer must not fill the disk.
const MAX_DOWNLOAD: u64 = 2 << 30;
/// No text is larger: the longest list of a package's versions has about 10 MB.
const MAX_TEXT: u64 = 128 << 20;
/// The longest a server may ask us to wait.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How the client connects.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The proxy for `http:` URLs.
    pub http_proxy: Option<String>,
    /// The proxy for `https:` URLs.
    pub https_proxy: Option<String>,
    /// Hosts that need no proxy, separated by commas.
    pub no_proxy: Option<String>,
    /// Certificate authorities to trust besides the system's, as PEM texts.
    pub authorities: Vec<Vec<u8>>,
    /// Whether servers must prove who they are.
    pub verify_certificates: bool,
    /// How often a request is tried again.
    pub retries: usize,
    /// The first pause before a retry; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long a connection may take; never more than `silence`.
    pub connecting: Duration,
    /// How long nothing may come over a connection.
    pub silence: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            http_proxy: None,
            https_proxy: None,
            no_proxy: None,
            authorities: Vec::new(),
            verify_certificates: true,
            retries: 4,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(15),
            connecting: Duration::from_secs(30),
            silence: Duration::from_secs(60),
        }
    }
}

/// What to ask for.
#[derive(Debug, Clone)]
pub struct Get {
    /// From where.
    pub url: Url,
    /// The `Accept` header, if it matters.
    pub accept: Option<&'static str>,
    /// The `Authorization` header.
    pub authorization: Option<HeaderValue>,
}

impl Get {
    /// Asks for `url` without credentials.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self { url, accept: None, authorization: None }
    }
}

/// What a download turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// The digest of its bytes.
    pub integrity: Integrity,
    /// Their number.
    pub size: u64,
}

/// An HTTP client. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    client: reqwest::Client,
    backoff: ExponentialBuilder,
}

impl Client {
    /// A client with these settings.
    ///
    /// # Errors
    /// When a proxy or a certificate makes no sense, or the system's certificate authorities cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, HttpError> {
        // Fails when a provider was installed before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |source: reqwest::Error| HttpError::Setup { source: source.without_url() };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("gangway/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .connect_timeout(settings.silence.min(settings.connecting))
            .read_timeout(settings.silence)
            .tls_danger_accept_invalid_certs(!settings.verify_certificates);
        let exceptions = settings.no_proxy.as_deref().and_then(NoProxy::from_string);
        if let Some(proxy) = &settings.http_proxy {
            let proxy = Proxy::http(proxy.as_str()).map_err(failed)?;
            builder = builder.proxy(proxy.no_proxy(exceptions.clone()));
        }
        if let Some(proxy) = &settings.https_proxy {
            let proxy = Proxy::https(proxy.as_str()).map_err(failed)?;
            builder = builder.proxy(proxy.no_proxy(exceptions));
        }
        for text in &settings.authorities {
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(text).map_err(failed)?);
        }
        let backoff = ExponentialBuilder::default()
            .with_jitter()
            .with_factor(2.0)
            .with_min_delay(settings.first_pause)
            .with_max_delay(settings.longest_pause)
            .with_max_times(settings.retries);
        Ok(Self { client: builder.build().map_err(failed)?, backoff })
    }

    /// The client below, for a library that asks in its own way; it shares the connections.
    #[must_use]
    pub fn plain(&self) -> reqwest::Client {
        self.client.clone()
    }

    /// Downloads into the file `to`, which is made or emptied, and hashes on the way. The caller compares the result
    /// before it believes the bytes.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or the file cannot be written.
    pub async fn download(
        &self,
        get: &Get,
        to: &Utf8Path,
        hasher: impl Fn() -> Hasher,
    ) -> Result<Downloaded, HttpError> {
        self.with_patience(get, async || {
            let mut response = self.send(get).await?;
            let write = |source| Trouble::Write { path: to.to_owned(), source };
            let file = tokio::fs::File::create(to).await.map_err(write)?;
            let mut file = tokio::io::BufWriter::with_capacity(256 << 10, file);
            let mut hasher = hasher();
            let mut size = 0;
            while let Some(chunk) =
                response.chunk().await.map_err(|error| Trouble::broken(error, size))?
            {
                size += chunk.len() as u64;
                if size > MAX_DOWNLOAD {
                    return Err(Trouble::TooLarge(MAX_DOWNLOAD));
                }
                hasher.update(&chunk);
                file.write_all(&chunk).await.map_err(write)?;
            }
            file.flush().await.map_err(write)?;
            Ok(Downloaded { integrity: hasher.finish(), size })
        })
        .await
    }

    /// The bytes of a small resource.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn bytes(&self, get: &Get) -> Result<Vec<u8>, HttpError> {
        self.with_patience(get, async || {
            let mut response = self.send(get).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = response
                .chunk()
                .await
                .map_err(|error| Trouble::broken(error, bytes.len() as u64))?
            {
                bytes.extend_from_slice(&chunk);
                if bytes.len() as u64 > MAX_TEXT {
                    return Err(Trouble::TooLarge(MAX_TEXT));
                }
            }
            Ok(bytes)
        })
        .await
    }

    /// One attempt, up to the headers of a good answer.
    async fn send(&self, get: &Get) -> Result<Response, Trouble> {
        let mut request = self.client.get(get.url.clone());
        if let Some(accept) = get.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(authorization) = &get.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let response = request.send().await.map_err(|error| Trouble::Send(error.without_url()))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(retry_after);
        Err(Trouble::Status { status: response.status(), retry_after })
    }

    /// Tries again while that may help.
    async fn with_patience<T>(
        &self,
        get: &Get,
        attempt: impl AsyncFn() -> Result<T, Trouble>,
    ) -> Result<T, HttpError> {
        let mut attempts = 1;
        let result = (|| attempt())
            .retry(self.backoff)
            .when(Trouble::may_pass)
            .adjust(|trouble, pause| {
                let asked = match trouble {
                    Trouble::Status { retry_after, .. } => retry_after.unwrap_or_default(),
                    _ => Duration::ZERO,
                };
                pause.map(|pause| pause.max(asked.min(MAX_RETRY_AFTER)))
            })
            .notify(|trouble, pause| {
                attempts += 1;
                tracing::debug!(url = redacted(&get.url), ?trouble, ?pause, "trying again");
            })
            .await;
        result.map_err(|trouble| trouble.into_error(redacted(&get.url), attempts))
    }
}

/// A `Retry-After` header in seconds. (Dates, its other form, need a clock; the usual pause will do.)
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// A URL as it may be shown: without credentials, and without a query, which may be a signature.
#[must_use]
pub fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for URLs that have no place for credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    if url.query().is_some() {
        url.set_query(None);
        return format!("{url}?...");
    }
    url.into()
}

/// What went wrong in one attempt.
#[derive(Debug)]
enum Trouble {
    Send(reqwest::Error),
    Status { status: StatusCode, retry_after: Option<Duration> },
    Broken { received: u64, source: reqwest::Error },
    TooLarge(u64),
    Write { path: Utf8PathBuf, source: io::Error },
}

impl Trouble {
    fn broken(source: reqwest::Error, received: u64) -> Self {
        Self::Broken { received, source: source.without_url() }
    }

    fn may_pass(&self) -> bool {
        match self {
            Self::Send(error) => {
                !(error.is_builder() || error.is_redirect() || is_about_certificates(error))
            }
            Self::Status { status, .. } => {
                *status == StatusCode::REQUEST_TIMEOUT
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || status.is_server_error()
            }
            Self::Broken { .. } => true,
            Self::TooLarge(_) | Self::Write { .. } => false,
        }
    }

    fn into_error(self, url: String, attempts: usize) -> HttpError {
        match self {
            Self::Send(source) if is_about_certificates(&source) => {
                HttpError::Certificate { url, source }
            }
            Self::Send(source) => HttpError::Unreachable { url, attempts, source },
            Self::Status { status, .. } => HttpError::Status { url, attempts, status },
            Self::Broken { received, source } => {
                HttpError::Broken { url, attempts, received, source }
            }
            Self::TooLarge(limit) => HttpError::TooLarge { url, limit },
            Self::Write { path, source } => HttpError::Write { path, source },
        }
    }
}

/// Whether TLS failed because the server could not prove who it is: waiting does not mend that.
fn is_about_certificates(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(_)) = inner.or(error.downcast_ref()) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Sandbox, Server, told};

    /// Two retries without a pause worth noticing.
    fn hasty() -> Settings {
        Settings {
            retries: 2,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(2),
            ..Settings::default()
        }
    }

    fn download(settings: &Settings, get: &Get, to: &Utf8Path) -> Result<Downloaded, HttpError> {
        let context = Sandbox::new().context(&[]);
        let client = Client::new(settings).expect("sane settings");
        context.block_on(client.download(get, to, || Integrity::sha512(b"").hasher()))
    }

    #[test]
    fn a_server_in_trouble_is_asked_again() {
        let sandbox = Sandbox::new();
        let to = sandbox.root.join("file");
        let body = "content".repeat(10_000);
        let server = Server::start({
            let body = body.clone();
            move |_, before| match before {
                0 => Answer::status(503),
                1 => Answer::ok(body.clone()).cut(5_000),
                _ => Answer::ok(body.clone()),
            }
        });
        let got = download(&hasty(), &Get::new(server.at("file")), &to).expect("the third is good");
        assert_eq!(got, Downloaded { integrity: Integrity::sha512(body.as_bytes()), size: 70_000 });
        assert_eq!(std::fs::read_to_string(&to).expect("written"), body);
        assert_eq!(server.seen().len(), 3);
    }

    #[test]
    fn an_answer_that_will_not_change_is_taken() {
        let sandbox = Sandbox::new();
        for status in [400, 401, 403, 404, 410] {
            let server = Server::start(move |_, _| Answer::status(status));
            let get = Get::new(server.at("file"));
            let error = download(&hasty(), &get, &sandbox.root.join("file")).expect_err("refused");
            assert_eq!(error.status().expect("it answered").as_u16(), status);
            assert_eq!(server.seen().len(), 1, "{status}");
        }
    }

    #[test]
    fn messages() {
        let sandbox = Sandbox::new();
        let to = sandbox.root.join("file");
        let broken = Server::start(|_, _| Answer::ok("12345678").cut(3));
        let get = Get::new(broken.at("file?signature=secret"));
        let error = download(&hasty(), &get, &to).expect_err("cut every time");
        insta::assert_snapshot!(error.to_string().replace(&broken.host(), "host"), @"`http://host/file?...` broke off after 5 bytes (3 attempts)");

        let busy = Server::start(|_, _| Answer::status(429));
        let error = download(&hasty(), &Get::new(busy.at("file")), &to).expect_err("refused");
        insta::assert_snapshot!(told(&error, &busy), @"`http://127.0.0.1:port/file` answered 429 Too Many Requests (3 attempts)");

        // Nobody listens on a port that only the system may use.
        let url = "http://me:secret@127.0.0.1:1/file".parse().expect("a URL");
        let error = download(&hasty(), &Get::new(url), &to).expect_err("nobody listens");
        insta::assert_snapshot!(error.to_string(), @"cannot reach `http://127.0.0.1:1/file` (3 attempts)");
        let chain = format!("{error:?}");
        assert!(!chain.contains("secret"), "{chain}");
    }

    #[test]
    fn credentials_do_not_follow_to_another_host() {
        let sandbox = Sandbox::new();
        let other = Server::start(|_, _| Answer::ok("there"));
        let target = other.at("elsewhere").to_string();
        let server = Server::start(move |seen, _| match seen.target.as_str() {
            "/file" => Answer::redirect("/moved"),
            _ => Answer::redirect(&target),
        });
        let mut get = Get::new(server.at("file"));
        get.authorization = Some(HeaderValue::from_static("Bearer secret"));
        download(&hasty(), &get, &sandbox.root.join("file")).expect("both answer");
        let with: Vec<_> =
            server.seen().iter().map(|seen| seen.headers.contains_key("authorization")).collect();
        assert_eq!(with, [true, true]);
        assert!(!other.seen()[0].headers.contains_key("authorization"));
    }

    #[test]
    fn proxies() {
        let sandbox = Sandbox::new();
        let to = sandbox.root.join("file");
        let proxy = Server::start(|_, _| Answer::ok("by proxy"));
        let mut proxy_url = proxy.url.clone();
        proxy_url.set_username("me").expect("it has a place for it");
        let settings = Settings {
            http_proxy: Some(proxy_url.to_string()),
            no_proxy: Some("127.0.0.1".to_owned()),
            ..hasty()
        };
        let far: Url = "http://registry.invalid/file".parse().expect("a URL");
        download(&settings, &Get::new(far), &to).expect("the proxy answers");
        assert_eq!(proxy.targets(), ["http://registry.invalid/file"]);
        assert!(proxy.seen()[0].headers.contains_key("proxy-authorization"));

        let near = Server::start(|_, _| Answer::ok("directly"));
        download(&settings, &Get::new(near.at("file")), &to).expect("it answers");
        assert_eq!(std::fs::read(&to).expect("written"), b"directly");
        assert_eq!(proxy.seen().len(), 1);
    }

    #[test]
    fn secrets_are_not_shown() {
        for (url, shown) in [
            ("https://me:secret@host/path", "https://host/path"),
            ("https://host/path?token=secret#x", "https://host/path?..."),
            ("https://host/", "https://host/"),
        ] {
            assert_eq!(redacted(&url.parse().expect(url)), shown);
        }
    }

    #[test]
    fn how_long_to_wait() {
        let wait = |text| retry_after(&HeaderValue::from_static(text));
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), None);
    }

    #[test]
    fn settings_that_make_no_sense() {
        let settings = Settings { http_proxy: Some("http://:0:0".to_owned()), ..hasty() };
        assert!(matches!(Client::new(&settings), Err(HttpError::Setup { .. })));
    }
}
