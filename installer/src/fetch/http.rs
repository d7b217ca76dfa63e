//! One request, and what its answer turns out to be.
//!
//! Nothing an answer says of itself is believed: it must be of the file and the range that was asked for, as long as the metadata says, and as it is,
//! not encoded. Credentials travel in a header, which a redirect to another host drops. A redirect never leads from an encrypted connection to a plain one.

use std::error::Error;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HeaderMap, RANGE, RETRY_AFTER,
};
use reqwest::{Response, StatusCode};
use url::Url;

use super::client::{ToPlain, certificate_fault, client, validity};
use super::meter::Counter;
use super::place::{Address, redacted};
use super::settings::{PlainHttp, Settings};
use super::{FetchError, Meter, Patience};
use crate::interruption::Interruption;

/// A client for the files of one folder on a host.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    address: Address,
    pub(super) settings: Settings,
    pub(super) counter: Arc<Counter>,
    pub(super) interruption: Interruption,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) url: Url,
    /// First byte, and the one after the last. `None`: everything.
    pub(super) range: Option<(u64, u64)>,
    /// How many bytes the file has, if that is known.
    pub(super) size: Option<u64>,
    /// Whether an answer that somebody on the way kept will do.
    pub(super) may_be_kept: bool,
}

/// The beginning of a good answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response,
    /// Where it begins: what was asked for, or 0 where the server knows no ranges.
    pub(super) start: u64,
    /// Where it ends, if it says so.
    pub(super) end: Option<u64>,
    /// Whether it is the whole file.
    pub(super) is_whole: bool,
}

/// What went wrong in one attempt.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No answer.
    Send(reqwest::Error),
    /// One that is not a success.
    Status { status: StatusCode, retry_after: Option<Duration> },
    /// It broke off.
    Broken { received: u64, source: Option<reqwest::Error> },
    /// Nothing helps.
    Final(FetchError),
    /// The server's ranges are of no use: it must be asked for everything.
    Ranges(String),
}

impl Http {
    pub(super) fn new(
        address: Address,
        settings: Settings,
        interruption: Interruption,
    ) -> Result<Self, FetchError> {
        if address.is_exposed() && settings.plain_http == PlainHttp::Refused {
            let place = super::Place::Web(address).to_string();
            return Err(FetchError::PlainHttp { place });
        }
        let counter = Arc::default();
        let client = client(&settings, &address, &counter)?;
        Ok(Self { client, address, settings, counter, interruption })
    }

    /// The address of a file.
    pub(super) fn url(&self, name: &str) -> Url {
        self.address.of(name)
    }

    /// One attempt, up to the headers of a good answer.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Answer, Trouble> {
        self.counter.request();
        let mut request = self.client.get(ask.url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some((start, end)) = ask.range {
            request = request.header(RANGE, format!("bytes={start}-{}", end - 1));
        }
        if !ask.may_be_kept {
            request = request.header(CACHE_CONTROL, "no-cache");
        }
        // Where a redirect led is asked again without.
        let is_ours = ask.url.origin() == self.address.of("").origin();
        if let Some(credentials) = self.address.credentials().filter(|_| is_ours) {
            request = request.basic_auth(&credentials.user, credentials.password.as_ref());
        }
        let response = request.send().await.map_err(|error| Trouble::Send(error.without_url()))?;
        self.judge(ask, response)
    }

    fn judge(&self, ask: &Ask, response: Response) -> Result<Answer, Trouble> {
        let (status, headers) = (response.status(), response.headers());
        let url = || redacted(&ask.url);
        let known = |found: Option<u64>| match (ask.size, found) {
            (Some(expected), Some(found)) if found != expected => {
                Err(Trouble::Final(FetchError::Size { url: url(), expected, found }))
            }
            _ => Ok(()),
        };
        match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
            StatusCode::RANGE_NOT_SATISFIABLE => {
                known(ContentRange::of(headers).and_then(|range| range.total))?;
                return Err(Trouble::Ranges(format!("it answered {status}")));
            }
            StatusCode::NETWORK_AUTHENTICATION_REQUIRED => {
                return Err(Trouble::Final(FetchError::Page { url: url() }));
            }
            _ => {
                let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let retry_after = retry_after.and_then(|text| text.trim().parse().ok());
                let retry_after = retry_after.map(Duration::from_secs);
                return Err(Trouble::Status { status, retry_after });
            }
        }
        if is_page(headers, &ask.url) {
            return Err(Trouble::Final(FetchError::Page { url: url() }));
        }
        if let Some(encoding) = encoding(headers, &ask.url) {
            return Err(Trouble::Final(FetchError::Encoded { url: url(), encoding }));
        }
        let length =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if status == StatusCode::OK {
            known(length)?;
            return Ok(Answer { start: 0, end: length, is_whole: true, response });
        }
        let Some((start, end)) = ask.range else {
            return Err(Trouble::Ranges(
                "it answered with a range that nobody asked for".to_owned(),
            ));
        };
        let Some(range) = ContentRange::of(headers) else {
            return Err(Trouble::Ranges("it does not say which range it sends".to_owned()));
        };
        known(range.total)?;
        match range.bounds {
            // A part of what was asked for is a right answer, too.
            Some((first, last)) if first == start && first <= last && last < end => {
                let told = last - first + 1;
                if length.is_some_and(|length: u64| length != told) {
                    let reason = format!("a range of {told} bytes has another length");
                    return Err(Trouble::Ranges(reason));
                }
                Ok(Answer { response, start, end: Some(last + 1), is_whole: false })
            }
            _ => Err(Trouble::Ranges("it sends another range than was asked for".to_owned())),
        }
    }

    /// The next bytes of an answer; `received` is how many came before.
    pub(super) async fn chunk(
        &self,
        answer: &mut Answer,
        received: u64,
    ) -> Result<Option<impl Deref<Target = [u8]> + use<>>, Trouble> {
        let chunk = answer.response.chunk().await;
        let chunk = chunk
            .map_err(|error| Trouble::Broken { received, source: Some(error.without_url()) })?;
        if let Some(chunk) = &chunk {
            self.counter.bytes(chunk.len());
        }
        Ok(chunk)
    }

    /// Tries again while that may help.
    pub(super) async fn with_patience<T>(
        &self,
        url: &Url,
        meter: &dyn Meter,
        attempt: impl AsyncFn() -> Result<T, Trouble>,
    ) -> Result<T, FetchError> {
        let mut patience = Patience::new(self, url, meter);
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(trouble) => patience.after(trouble).await?,
            }
        }
    }

    /// What went wrong at last, after so many attempts.
    pub(super) fn error(&self, url: &Url, trouble: Trouble, attempts: u32) -> FetchError {
        let shown = redacted(url);
        match trouble {
            Trouble::Final(error) => error,
            Trouble::Ranges(reason) => FetchError::Nonsense { url: shown, reason },
            Trouble::Send(source) => self.unsent(url, source, attempts),
            Trouble::Broken { received, source } => match source {
                Some(source) if source.is_timeout() => {
                    let seconds = self.settings.silence.as_secs();
                    FetchError::Stalled { url: shown, seconds, received, attempts }
                }
                source => FetchError::Broken { url: shown, received, attempts, source },
            },
            Trouble::Status { status, retry_after } => match (status.as_u16(), retry_after) {
                (404 | 410, _) => FetchError::Missing { url: shown, status },
                (401 | 403 | 407, _) => FetchError::Denied { url: shown, status },
                (_, Some(pause)) if pause > self.settings.longest_pause => {
                    FetchError::Busy { url: shown, status, seconds: pause.as_secs() }
                }
                _ => FetchError::Status { url: shown, status, attempts },
            },
        }
    }

    fn unsent(&self, url: &Url, source: reqwest::Error, attempts: u32) -> FetchError {
        let shown = redacted(url);
        if source.is_redirect() {
            let causes = std::iter::successors(source.source(), |error| (*error).source());
            return match causes.filter_map(|error| error.downcast_ref::<ToPlain>()).next() {
                Some(ToPlain { to }) => FetchError::Downgrade { from: shown, to: to.clone() },
                None => FetchError::Redirects { url: shown },
            };
        }
        match certificate_fault(&source) {
            Some(fault) => match validity(fault) {
                Some((state, now)) => FetchError::Clock { url: shown, state, now, source },
                None => FetchError::Certificate { url: shown, source },
            },
            None if source.is_timeout() && !source.is_connect() => {
                let seconds = self.settings.silence.as_secs();
                FetchError::Stalled { url: shown, seconds, received: 0, attempts }
            }
            None => {
                let proxies = &self.settings.proxies;
                let proxy = if url.scheme() == "http" { &proxies.http } else { &proxies.https };
                let proxy = proxy.as_deref().and_then(|proxy| Url::parse(proxy).ok());
                let proxy = proxy.map(|proxy| redacted(&proxy));
                FetchError::Unreachable { url: shown, proxy, attempts, source }
            }
        }
    }
}

impl Trouble {
    /// Whether waiting may mend it.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Send(error) => {
                !(error.is_builder() || error.is_redirect() || certificate_fault(error).is_some())
            }
            Self::Status { status, .. } => {
                *status == StatusCode::REQUEST_TIMEOUT
                    || self.is_crowded()
                    || status.is_server_error()
            }
            Self::Broken { .. } => true,
            Self::Final(_) | Self::Ranges(_) => false,
        }
    }

    /// Whether the server says that it is asked too much.
    pub(super) fn is_crowded(&self) -> bool {
        let crowded = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        matches!(self, Self::Status { status, .. } if crowded.contains(status))
    }
}

/// Whether it is a page for people. No release has one.
fn is_page(headers: &HeaderMap, asked: &Url) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or(kind).trim().to_ascii_lowercase();
    let is_html = matches!(kind.as_str(), "text/html" | "application/xhtml+xml");
    is_html && !asked.path().ends_with(".html")
}

/// What was done to the file's bytes, if anything was. Some servers name the encoding that the file itself has, by the end of its name.
fn encoding(headers: &HeaderMap, asked: &Url) -> Option<String> {
    let encoding = headers.get(CONTENT_ENCODING)?;
    let encoding = String::from_utf8_lossy(encoding.as_bytes()).trim().to_ascii_lowercase();
    let own = match encoding.as_str() {
        "" | "identity" => return None,
        "zstd" => ".zst",
        "gzip" | "x-gzip" => ".gz",
        _ => return Some(encoding),
    };
    (!asked.path().ends_with(own)).then_some(encoding)
}

/// `Content-Range: bytes 0-99/1000` (RFC 9110, 14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ContentRange {
    /// First and last byte.
    bounds: Option<(u64, u64)>,
    total: Option<u64>,
}

impl ContentRange {
    fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(CONTENT_RANGE)?.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (bounds, total) = rest.trim().split_once('/')?;
        let bounds = match bounds {
            "*" => None,
            bounds => {
                let (first, last) = bounds.split_once('-')?;
                Some((first.parse().ok()?, last.parse().ok()?))
            }
        };
        let total = if total == "*" { None } else { Some(total.parse().ok()?) };
        Some(Self { bounds, total })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_ranges() {
        let parse = |text| ContentRange::parse(text).map(|range| (range.bounds, range.total));
        assert_eq!(parse("bytes 0-99/1000"), Some((Some((0, 99)), Some(1000))));
        assert_eq!(parse("bytes 5-9/*"), Some((Some((5, 9)), None)));
        assert_eq!(parse("bytes */1000"), Some((None, Some(1000))));
        for text in
            ["", "bytes", "items 0-1/2", "bytes 1/2", "bytes -1/2", "bytes 1-/2", "bytes 0-1"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(bytes )?[0-9*/ -]{0,40}") {
            let _ = ContentRange::parse(&text);
        }
    }
}
