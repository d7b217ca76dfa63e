//! Who is talked to, and how.

use super::*;
use crate::testing::{Answer, Certificate};

#[test]
fn plain_http_to_other_machines() {
    let mut bench = Bench::new();
    let error = bench.try_open("http://me:secret@releases.invalid/app").expect_err("it is exposed");
    insta::assert_snapshot!(format!("{error}\nhelp: {}", error.help().expect("there is some")), @r"
    `http://releases.invalid/app/` is reached without encryption, and what it says is not signed
    help: use `https://`, or a folder; if you trust everybody between here and there, set GANGWAY_ALLOW_HTTP=1
    ");
    bench.settings.plain_http = PlainHttp::Allowed;
    bench.open("http://releases.invalid/app");
}

#[test]
fn redirects() {
    let bench = Bench::new();
    let other = Server::start(|_| Answer::ok("there"));
    let elsewhere = format!("{}there", other.url());
    let server = Server::start(move |seen| match seen.name() {
        "here" => Answer::redirect("/moved"),
        "moved" => Answer::redirect(&elsewhere),
        "away" => Answer::redirect("http://releases.invalid/x?signature=secret"),
        _ => Answer::redirect("/endless"),
    });
    let address = server.url().replace("//", "//me:secret@");
    let depot = bench.open(&address);
    assert_eq!(depot.read("here", 100, &()).expect("it leads there"), b"there");
    assert_eq!(depot.traffic(), Traffic { requests: 3, bytes: 5 });
    let with: Vec<_> =
        server.seen().iter().map(|seen| seen.headers.get("authorization").cloned()).collect();
    assert_eq!(
        with,
        [Some("Basic bWU6c2VjcmV0".to_owned()), Some("Basic bWU6c2VjcmV0".to_owned())]
    );
    assert!(!other.seen()[0].headers.contains_key("authorization"));

    let error = depot.read("away", 100, &()).expect_err("it is exposed");
    insta::assert_snapshot!(told(&error, &server), @r"
    `http://127.0.0.1:port/away` leads to `http://releases.invalid/x?...`, which is reached without encryption
    help: ask whoever runs that server to lead to `https://`, or take the release from another place
    ");
    let error = depot.read("endless", 100, &()).expect_err("it does not end");
    insta::assert_snapshot!(told(&error, &server), @r"
    `http://127.0.0.1:port/endless` leads from one address to the next without an end
    help: tell whoever runs the server, or take the release from another place
    ");
}

/// An address may be signed. Where its server's redirects lead is told nothing of that.
#[test]
fn signatures_are_not_handed_on() {
    let bench = Bench::new();
    let other = Server::start(|_| Answer::ok("there"));
    let elsewhere = format!("{}there", other.url());
    let server = Server::start(move |_| Answer::redirect(&elsewhere));
    let depot = bench.open(&format!("{}?signature=secret", server.url()));
    assert_eq!(depot.read("here", 100, &()).expect("it leads there"), b"there");
    assert!(server.seen()[0].target.contains("secret"));
    let handed_on = &other.seen()[0];
    assert!(!handed_on.headers.contains_key("referer"), "{handed_on:?}");
    assert!(!format!("{handed_on:?}").contains("secret"), "{handed_on:?}");
}

#[test]
fn nobody_there() {
    let bench = Bench::new();
    // Nobody listens on a port that only the system may use.
    let depot = bench.open("http://me:secret@127.0.0.1:1/");
    let error = depot.read("stable.json", 100, &()).expect_err("nobody listens");
    insta::assert_snapshot!(format!("{error}\nhelp: {}", error.help().expect("there is some")), @r"
    cannot reach `http://127.0.0.1:1/stable.json` (3 attempts)
    help: check the network, and HTTPS_PROXY if you need a proxy; a machine without a network can install from a folder: copy the release's files to it and name their folder with `--from DIR`
    ");
    assert!(!format!("{error:?} {}", root_cause(&error)).contains("secret"), "{error:?}");
}

#[test]
fn proxies() {
    let proxy = Server::start(|_| Answer::ok("by proxy"));
    let mut bench = Bench::new();
    bench.settings.plain_http = PlainHttp::Allowed;
    bench.settings.proxies = Proxies {
        http: Some(proxy.url().replace("//", "//me:secret@")),
        https: Some("http://me:secret@127.0.0.1:1".to_owned()),
        exceptions: Some("127.0.0.1".to_owned()),
        ask_system: false,
    };
    let depot = bench.open("http://releases.invalid/app");
    assert_eq!(depot.read("x", 100, &()).expect("the proxy answers"), b"by proxy");
    assert_eq!(proxy.seen()[0].target, "http://releases.invalid/app/x");
    assert_eq!(proxy.seen()[0].headers["proxy-authorization"], "Basic bWU6c2VjcmV0");

    let near = Server::start(|_| Answer::ok("directly"));
    let depot = bench.open(&near.url());
    assert_eq!(depot.read("x", 100, &()).expect("it answers"), b"directly");
    assert_eq!(proxy.seen().len(), 1);

    let depot = bench.open("https://releases.invalid/app");
    let error = depot.read("x", 100, &()).expect_err("nobody listens");
    insta::assert_snapshot!(error, @"cannot reach `https://releases.invalid/app/x` through the proxy `http://127.0.0.1:1/` (3 attempts)");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[test]
fn certificates() {
    let mut bench = Bench::new();
    let read = |bench: &Bench, certificate| {
        let server = Server::start_tls(certificate, |_| Answer::ok("safely"));
        let read = bench.open(&server.url()).read("x", 100, &());
        read.map_err(|error| told(&error, &server))
    };
    let error = read(&bench, Certificate::Valid).expect_err("nobody knows who made it");
    insta::assert_snapshot!(error, @r"
    `https://127.0.0.1:port/x` has a certificate that is not trusted
    help: if your network has its own certificate authority, name its file with SSL_CERT_FILE; if this machine has none, install its package `ca-certificates`
    ");

    std::fs::write(bench.path("ca.pem"), Certificate::AUTHORITY).expect("writable");
    bench.settings.authorities = vec![("SSL_CERT_FILE", bench.path("ca.pem"))];
    assert_eq!(read(&bench, Certificate::Valid).as_deref(), Ok(b"safely".as_slice()));
    let today = gangway_artifact::Date::from_unix(rustls::pki_types::UnixTime::now().as_secs());
    let error = read(&bench, Certificate::Expired).expect_err("it is over");
    insta::assert_snapshot!(error.replace(&today.to_string(), "today"), @r"
    `https://127.0.0.1:port/x` has a certificate that is no longer valid, and by this machine's clock it is today
    help: if that is not today, set the clock (`date` shows it) and try again; otherwise tell whoever runs the server
    ");
    let error = read(&bench, Certificate::Early).expect_err("it has not begun");
    insta::assert_snapshot!(error.lines().next().unwrap_or_default().replace(&today.to_string(), "today"), @"`https://127.0.0.1:port/x` has a certificate that is not valid yet, and by this machine's clock it is today");

    std::fs::write(bench.path("ca.pem"), "no PEM").expect("writable");
    let error = bench.try_open("https://127.0.0.1/").expect_err("no certificate");
    assert!(matches!(error, FetchError::Authorities { .. }), "{error}");
}

#[test]
fn from_https_to_http() {
    let mut bench = Bench::new();
    std::fs::write(bench.path("ca.pem"), Certificate::AUTHORITY).expect("writable");
    bench.settings.authorities = vec![("SSL_CERT_FILE", bench.path("ca.pem"))];
    bench.settings.plain_http = PlainHttp::Allowed;
    let plain = Server::start(|_| Answer::ok("not safely"));
    let elsewhere = plain.url();
    let server = Server::start_tls(Certificate::Valid, move |_| Answer::redirect(&elsewhere));
    let error = bench.open(&server.url()).read("x", 100, &()).expect_err("it leads to plain HTTP");
    assert!(matches!(error, FetchError::Downgrade { .. }), "{error}");
    assert!(plain.seen().is_empty());
}
