//! How the network is used.

use std::time::Duration;

use camino::Utf8PathBuf;

use crate::context::Context;

/// How the network is used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose proxies.
    pub proxies: Proxies,
    /// Certificate authorities to trust besides the system's: the variable that named each file, and the file.
    pub authorities: Vec<(&'static str, Utf8PathBuf)>,
    /// Plain HTTP to other machines.
    pub plain_http: PlainHttp,
    /// How often a request is tried again when nothing comes of it.
    pub retries: u32,
    /// The first pause before that; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause, and the longest that a server may ask for.
    pub longest_pause: Duration,
    /// How long a connection may take to be made.
    pub connecting: Duration,
    /// How long nothing may come over a connection.
    pub silence: Duration,
    /// How many requests for one archive are under way at a time.
    pub connections: usize,
    /// The most bytes of an archive that one request asks for.
    pub request: u64,
}

/// Plain HTTP to other machines: anybody on the way could answer in the server's place, and say which digests are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainHttp {
    /// It is not used.
    Refused,
    /// The user says that the network between is trusted.
    Allowed,
}

/// Through whom the network is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// For `http:`.
    pub http: Option<String>,
    /// For `https:`.
    pub https: Option<String>,
    /// Hosts for which there is none.
    pub exceptions: Option<String>,
    /// Whether to ask the system where the environment names none; only macOS and Windows know any.
    pub ask_system: bool,
}

/// The variable that says where releases come from. There may be a password in it: it is nothing to programs that are started.
pub const BASE_URL: &str = "GANGWAY_BASE_URL";

/// The variable that allows plain HTTP.
pub const ALLOW_HTTP: &str = "GANGWAY_ALLOW_HTTP";

/// The variable with the seconds for which nothing may come.
pub const TIMEOUT: &str = "GANGWAY_TIMEOUT";

/// The variable that says how often a request is tried again.
pub const RETRIES: &str = "GANGWAY_RETRIES";

impl Settings {
    /// What the environment says, and for the rest what is usual.
    #[must_use]
    pub fn of(context: &Context) -> Self {
        let number = |name| context.variable(name).and_then(|value| value.parse::<u32>().ok());
        let usual = Self::default();
        let silence = number(TIMEOUT)
            .map_or(usual.silence, |seconds| Duration::from_secs(u64::from(seconds.max(1))));
        let files = ["SSL_CERT_FILE", "CURL_CA_BUNDLE"].into_iter().filter_map(|variable| {
            let path = context.variable(variable)?;
            Some((variable, context.current_dir.join(path)))
        });
        let is_allowed = context.variable(ALLOW_HTTP).is_some_and(|value| value != "0");
        Self {
            proxies: Proxies::of(context),
            authorities: files.collect(),
            plain_http: if is_allowed { PlainHttp::Allowed } else { PlainHttp::Refused },
            retries: number(RETRIES).unwrap_or(usual.retries),
            connecting: usual.connecting.min(silence),
            silence,
            ..usual
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            proxies: Proxies::default(),
            authorities: Vec::new(),
            plain_http: PlainHttp::Refused,
            retries: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
            connecting: Duration::from_secs(20),
            silence: Duration::from_secs(30),
            connections: 4,
            request: 4 << 20,
        }
    }
}

impl Proxies {
    fn of(context: &Context) -> Self {
        let either = |name: &str| {
            let upper = name.to_ascii_uppercase();
            context.variable(name).or_else(|| context.variable(&upper)).map(whole)
        };
        let all = either("all_proxy");
        // In a CGI program `HTTP_PROXY` is a header of the request, sent by anybody.
        let http = match context.variable("REQUEST_METHOD") {
            Some(_) => context.variable("http_proxy").map(whole),
            None => either("http_proxy"),
        };
        let http = http.or_else(|| all.clone());
        let https = either("https_proxy").or(all);
        let exceptions = context.variable("no_proxy").or_else(|| context.variable("NO_PROXY"));
        let exceptions = exceptions.map(str::to_owned);
        let ask_system = http.is_none() && https.is_none();
        Self { http, https, exceptions, ask_system }
    }
}

/// Many write a proxy without its scheme.
fn whole(proxy: &str) -> String {
    if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let pair = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let environment = variables.iter().map(pair).collect();
        Settings::of(&Context::new(environment, "/here".into(), "/bin/installer".into()))
    }

    #[test]
    fn proxies() {
        let proxies = settings(&[("ALL_PROXY", "socks5://a:1"), ("https_proxy", "http://b:2")]);
        let Proxies { http, https, exceptions, ask_system } = proxies.proxies;
        assert_eq!(http.as_deref(), Some("socks5://a:1"));
        assert_eq!(https.as_deref(), Some("http://b:2"));
        assert_eq!((exceptions, ask_system), (None, false));

        let cgi = settings(&[("HTTP_PROXY", "http://evil:1"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(cgi.proxies.http, None);
        assert!(settings(&[("NO_PROXY", "*")]).proxies.ask_system);
        let short = settings(&[("HTTPS_PROXY", "me:secret@proxy:3128"), ("NO_PROXY", "a, b")]);
        assert_eq!(short.proxies.https.as_deref(), Some("http://me:secret@proxy:3128"));
        assert_eq!(short.proxies.exceptions.as_deref(), Some("a, b"));
    }

    #[test]
    fn files_and_plain_http() {
        let some = settings(&[("SSL_CERT_FILE", "ca.pem"), (ALLOW_HTTP, "1")]);
        assert_eq!(some.authorities, [("SSL_CERT_FILE", "/here/ca.pem".into())]);
        assert_eq!(some.plain_http, PlainHttp::Allowed);
        assert_eq!(settings(&[(ALLOW_HTTP, "0")]).plain_http, PlainHttp::Refused);
        assert_eq!(settings(&[]).plain_http, PlainHttp::Refused);
        let patient = settings(&[(TIMEOUT, "90"), (RETRIES, "many")]);
        assert_eq!((patient.silence.as_secs(), patient.retries), (90, 5));
        assert_eq!(patient.connecting, Settings::default().connecting);
    }
}
