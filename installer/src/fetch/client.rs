//! Connections: through whom they are made, whom they trust, and where they may lead.

use std::error::Error;
use std::io;
use std::sync::Arc;

use gangway_artifact::Date;
use reqwest::{Certificate, NoProxy, Proxy, redirect};
use rustls::CertificateError;

use super::FetchError;
use super::meter::Counter;
use super::place::{Address, is_exposed, redacted};
use super::settings::{PlainHttp, Settings};

/// As many as browsers follow.
const MOST_REDIRECTS: usize = 20;

pub(super) fn client(
    settings: &Settings,
    address: &Address,
    counter: &Arc<Counter>,
) -> Result<reqwest::Client, FetchError> {
    // Fails when a provider was installed before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match builder(settings, counter)?.build() {
        // A machine without certificate authorities, as a bare container is, trusts nobody: what is not encrypted needs no trust.
        Err(_) if !address.is_encrypted() => {
            builder(settings, counter)?.tls_certs_only([]).build().map_err(failed)
        }
        built => built.map_err(failed),
    }
}

fn failed(source: reqwest::Error) -> FetchError {
    FetchError::Setup { source: source.without_url() }
}

fn builder(
    settings: &Settings,
    counter: &Arc<Counter>,
) -> Result<reqwest::ClientBuilder, FetchError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("gangway-installer/", env!("CARGO_PKG_VERSION")))
        // An address may be signed, and where a redirect leads is another server.
        .referer(false)
        .redirect(redirects(settings.plain_http, Arc::clone(counter)))
        .connect_timeout(settings.connecting)
        .read_timeout(settings.silence);
    let proxies = &settings.proxies;
    if !proxies.ask_system {
        builder = builder.no_proxy();
    }
    let exceptions = proxies.exceptions.as_deref().and_then(NoProxy::from_string);
    if let Some(proxy) = &proxies.http {
        let proxy = Proxy::http(proxy.as_str()).map_err(failed)?;
        builder = builder.proxy(proxy.no_proxy(exceptions.clone()));
    }
    if let Some(proxy) = &proxies.https {
        let proxy = Proxy::https(proxy.as_str()).map_err(failed)?;
        builder = builder.proxy(proxy.no_proxy(exceptions));
    }
    for (variable, path) in &settings.authorities {
        let bad = |source| FetchError::Authorities { variable, path: path.clone(), source };
        let text = fs_err::read(path).map_err(bad)?;
        let found = Certificate::from_pem_bundle(&text);
        let found = found.map_err(|error| bad(io::Error::other(error.without_url())))?;
        if found.is_empty() {
            return Err(bad(io::Error::other("there is no certificate in it")));
        }
        builder = builder.tls_certs_merge(found);
    }
    Ok(builder)
}

/// Where redirects may lead.
fn redirects(plain_http: PlainHttp, counter: Arc<Counter>) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        let was_encrypted = attempt.previous().iter().any(|url| url.scheme() == "https");
        let is_exposed = is_exposed(attempt.url());
        let is_plain = attempt.url().scheme() == "http";
        if (was_encrypted && is_plain) || (is_exposed && plain_http == PlainHttp::Refused) {
            let to = redacted(attempt.url());
            return attempt.error(ToPlain { to });
        }
        if attempt.previous().len() > MOST_REDIRECTS {
            return attempt.error(TooMany);
        }
        counter.request();
        attempt.follow()
    })
}

#[derive(Debug, thiserror::Error)]
#[error("it leads to `{to}`")]
pub(super) struct ToPlain {
    pub(super) to: String,
}

#[derive(Debug, thiserror::Error)]
#[error("it leads on and on")]
struct TooMany;

/// What TLS says against the server's certificate: waiting does not mend that.
pub(super) fn certificate_fault(error: &reqwest::Error) -> Option<&CertificateError> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(fault)) = error.downcast_ref() {
            return Some(fault);
        }
        // An I/O error passes over the one that it holds.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Whether it is one that is not valid now, and when that is.
pub(super) fn validity(fault: &CertificateError) -> Option<(&'static str, Date)> {
    const OVER: &str = "no longer valid";
    const EARLY: &str = "not valid yet";
    let today = || rustls::pki_types::UnixTime::now();
    let (state, now) = match fault {
        CertificateError::Expired => (OVER, today()),
        CertificateError::ExpiredContext { time, .. } => (OVER, *time),
        CertificateError::NotValidYet => (EARLY, today()),
        CertificateError::NotValidYetContext { time, .. } => (EARLY, *time),
        _ => return None,
    };
    Some((state, Date::from_unix(now.as_secs())))
}
