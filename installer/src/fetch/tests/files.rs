//! Whole files.

use super::*;
use crate::testing::{Answer, Ending};

#[test]
fn a_file_whatever_happens() {
    let bytes = content(300_000);
    let file = named("archive.tar.zst", &bytes);
    // How the first answers go wrong; the last is good.
    type Fault = fn(Answer) -> Answer;
    let faults: [(&str, &[Fault]); 8] = [
        ("nothing", &[]),
        ("busy", &[|_| Answer::status(503), |_| Answer::status(429).with("retry-after", "0")]),
        ("cut", &[|answer| answer.cut(100_000, Ending::Closed)]),
        ("reset", &[|answer| answer.cut(100_000, Ending::Reset)]),
        ("silent", &[|answer| answer.cut(100_000, Ending::Silent)]),
        ("silent from the start", &[|answer| answer.cut(0, Ending::Silent)]),
        ("cut without a length", &[|answer| answer.without_length().cut(70_000, Ending::Closed)]),
        (
            "three times",
            &[
                |answer| answer.cut(70_000, Ending::Closed),
                |answer| answer.cut(70_000, Ending::Reset),
                |answer| answer.cut(70_000, Ending::Closed),
            ],
        ),
    ];
    for (what, faults) in faults {
        let served = Arc::clone(&bytes);
        let server = Server::start(move |seen| {
            let answer = Answer::file(seen, &served);
            faults.get(seen.number).map_or(answer.clone(), |fault| fault(answer))
        });
        let bench = Bench::nervous();
        let (to, sums) = (bench.path("sub/file"), Sums::default());
        bench.open(&server.url()).fetch(&file, &to, &sums).expect(what);
        assert_eq!(std::fs::read(&to).expect("it is there"), *bytes, "{what}");
        assert_eq!(server.seen().len(), faults.len() + 1, "{what}");
        let sum = sums.get();
        assert_eq!((sum.expected, sum.advanced), (300_000, 300_000), "{what}");
        assert_eq!(sum.pauses as usize, faults.len(), "{what}");
        assert!(!bench.path("sub/file.part").exists(), "{what}");
    }
}

#[test]
fn an_answer_of_unknown_length() {
    let bytes = content(300_000);
    let served = Arc::clone(&bytes);
    let server = Server::start(move |seen| Answer::file(seen, &served).without_length());
    let bench = Bench::new();
    let to = bench.path("to");
    bench.open(&server.url()).fetch(&named("file", &bytes), &to, &()).expect("it comes");
    assert_eq!(std::fs::read(&to).expect("written"), *bytes);
}

#[test]
fn only_the_rest_is_fetched() {
    let bytes = content(200_000);
    let file = named("file", &bytes);
    let server = Server::of_files([("file".to_owned(), bytes.to_vec())]);
    let bench = Bench::new();
    let depot = bench.open(&server.url());
    let to = bench.path("to");
    std::fs::write(bench.path("to.part"), &bytes[..150_000]).expect("writable");
    let sums = Sums::default();
    depot.fetch(&file, &to, &sums).expect("it is there");
    assert_eq!(
        sums.get(),
        Sum { expected: 200_000, present: 150_000, advanced: 50_000, ..Sum::default() }
    );
    assert_eq!(depot.traffic(), Traffic { requests: 1, bytes: 50_000 });

    // It is there, so nobody is asked.
    depot.fetch(&file, &to, &()).expect("it is there");
    assert_eq!(server.seen().len(), 1);

    // What is left of another file is of no use.
    std::fs::remove_file(&to).expect("it is there");
    std::fs::write(bench.path("to.part"), vec![7; 150_000]).expect("writable");
    depot.fetch(&file, &to, &()).expect("it is there");
    assert_eq!(std::fs::read(&to).expect("written"), *bytes);
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn a_server_that_knows_no_ranges() {
    let bytes = content(200_000);
    let served = Arc::clone(&bytes);
    let server = Server::start(move |seen| match seen.number {
        0 => Answer::ok(Arc::clone(&served)).cut(120_000, Ending::Closed),
        _ => Answer::ok(Arc::clone(&served)),
    });
    let bench = Bench::new();
    let (to, sums) = (bench.path("to"), Sums::default());
    bench.open(&server.url()).fetch(&named("file", &bytes), &to, &sums).expect("it comes");
    assert_eq!(std::fs::read(&to).expect("written"), *bytes);
    assert_eq!(sums.get().advanced, 200_000);
}

#[test]
fn other_bytes_are_refused() {
    let bytes = content(1000);
    let file = named("file", &bytes);
    let bench = Bench::new();
    let refused = |reply: fn(&[u8]) -> Answer| {
        let served = Arc::clone(&bytes);
        let server = Server::start(move |_| reply(&served));
        let to = bench.path("to");
        let error = bench.open(&server.url()).fetch(&file, &to, &()).expect_err("other bytes");
        assert!(!to.exists());
        told(&error, &server)
    };
    insta::assert_snapshot!(refused(|_| Answer::ok(vec![0; 1000])), @r"
    `http://127.0.0.1:port/file` has the SHA-256 541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53, and the release's metadata says bdb35a87b71f1a935c1e860ba9070b01f2ab781efd6ffe0c8ae82354b1b5461e
    help: nothing of it was used; it was damaged on the way, or replaced on its server: try again, and tell its publisher if it stays so
    ");
    insta::assert_snapshot!(refused(|bytes| Answer::ok(&bytes[1..])), @r"
    `http://127.0.0.1:port/file` has 999 bytes, and the release's metadata says 1000
    help: a new release may be under way to the server: try again in a few minutes; if it stays so, its publisher must publish it again
    ");
    insta::assert_snapshot!(refused(|_| Answer::ok(vec![0; 2000]).without_length()), @r"
    `http://127.0.0.1:port/file` has 2000 bytes, and the release's metadata says 1000
    help: a new release may be under way to the server: try again in a few minutes; if it stays so, its publisher must publish it again
    ");
    insta::assert_snapshot!(refused(|_| Answer::ok("<html>").with("content-type", "text/html; charset=utf-8")), @r"
    `http://127.0.0.1:port/file` answered with a web page
    help: a network that wants you to log in answers like this (a hotel, a train): open a browser, log in and try again; otherwise check the address
    ");
    insta::assert_snapshot!(refused(|bytes| Answer::ok(bytes).with("content-encoding", "gzip")), @r"
    `http://127.0.0.1:port/file` came encoded as `gzip`, and plain bytes were asked for
    help: tell whoever runs the server to send release files as they are, without compressing them again
    ");
}

#[test]
fn an_encoding_that_is_the_files_own() {
    let bytes = content(1000);
    let served = Arc::clone(&bytes);
    let server =
        Server::start(move |seen| Answer::file(seen, &served).with("content-encoding", "zstd"));
    let bench = Bench::new();
    let file = named("a.tar.zst", &bytes);
    bench.open(&server.url()).fetch(&file, &bench.path("to"), &()).expect("as it is");
}

#[test]
fn answers_that_will_not_change() {
    let bench = Bench::new();
    let read = |reply: fn() -> Answer| {
        let server = Server::start(move |_| reply());
        let error = bench.open(&server.url()).read("stable.json", 1000, &()).expect_err("refused");
        assert_eq!(server.seen().len(), 1, "{error}");
        assert_eq!(server.seen()[0].headers["cache-control"], "no-cache");
        (told(&error, &server), error.is_missing())
    };
    let (text, is_missing) = read(|| Answer::status(404));
    assert!(is_missing);
    insta::assert_snapshot!(text, @r"
    `http://127.0.0.1:port/stable.json` is not there (404 Not Found)
    help: check that the address is that of the release's folder
    ");
    insta::assert_snapshot!(read(|| Answer::status(403)).0, @r"
    `http://127.0.0.1:port/stable.json` may not be had (403 Forbidden)
    help: check the address, and whether it needs a user and a password: `https://USER:PASSWORD@...`
    ");
    insta::assert_snapshot!(read(|| Answer::ok(vec![b' '; 1001])).0, @r"
    `http://127.0.0.1:port/stable.json` has more than 1000 bytes
    help: check that the address is that of a release's folder
    ");
    insta::assert_snapshot!(read(|| Answer::ok(vec![b' '; 1001]).without_length()).0, @r"
    `http://127.0.0.1:port/stable.json` has more than 1000 bytes
    help: check that the address is that of a release's folder
    ");
    insta::assert_snapshot!(read(|| Answer::ok(" <!DOCTYPE HTML><title>Wi-Fi")).0, @r"
    `http://127.0.0.1:port/stable.json` answered with a web page
    help: a network that wants you to log in answers like this (a hotel, a train): open a browser, log in and try again; otherwise check the address
    ");
    insta::assert_snapshot!(read(|| Answer::status(511)).0, @r"
    `http://127.0.0.1:port/stable.json` answered with a web page
    help: a network that wants you to log in answers like this (a hotel, a train): open a browser, log in and try again; otherwise check the address
    ");
    insta::assert_snapshot!(read(|| Answer::status(429).with("retry-after", "3600")).0, @r"
    `http://127.0.0.1:port/stable.json` is busy (429 Too Many Requests) and wants to be left alone for 3600 s
    help: try again after that: what has come is kept
    ");
    insta::assert_snapshot!(read(|| Answer::status(206)).0, @r"
    `http://127.0.0.1:port/stable.json` answered what makes no sense: it answered with a range that nobody asked for
    help: tell whoever runs the server, or take the release from another place
    ");
}

#[test]
fn names_of_other_folders() {
    let server = Server::of_files([]);
    let bench = Bench::new();
    for place in [server.url(), ".".to_owned()] {
        let depot = bench.open(&place);
        for name in ["../stable.json", "/etc/passwd", "..", "a\\b", "C:x", "", "a?b"] {
            let error = depot.read(name, 10, &()).expect_err(name);
            assert!(matches!(error, FetchError::Name { .. }), "{error}");
            let file = named(name, b"");
            let error = depot.fetch(&file, &bench.path("to"), &()).expect_err(name);
            assert!(matches!(error, FetchError::Name { .. }), "{error}");
        }
    }
    assert!(server.seen().is_empty());
}

#[test]
fn patience_ends() {
    let bench = Bench::nervous();
    let read = |reply: fn() -> Answer| {
        let server = Server::start(move |_| reply());
        let error = bench.open(&server.url()).read("stable.json", 1000, &()).expect_err("it fails");
        assert_eq!(server.seen().len(), 3, "{error}");
        told(&error, &server)
    };
    insta::assert_snapshot!(read(|| Answer::status(500)), @r"
    `http://127.0.0.1:port/stable.json` answered 500 Internal Server Error (3 attempts)
    help: try again later: what has come is kept
    ");
    insta::assert_snapshot!(read(|| Answer::ok("12345678").cut(3, Ending::Closed)), @r"
    `http://127.0.0.1:port/stable.json` broke off after 3 bytes (3 attempts)
    help: try again: what has come is kept
    ");
    let stalled = read(|| Answer::ok("12345678").cut(3, Ending::Silent));
    insta::assert_snapshot!(stalled, @r"
    `http://127.0.0.1:port/stable.json` sent nothing for 0 s (3 attempts), after 3 bytes
    help: try again: what has come is kept
    ");
}

#[test]
fn a_folder() {
    let bench = Bench::new();
    let bytes = content(100_000);
    let file = named("file", &bytes);
    std::fs::create_dir(bench.path("usb")).expect("a fresh folder");
    std::fs::write(bench.path("usb/file"), &bytes).expect("writable");
    let depot = bench.open("usb");
    assert_eq!(depot.read("file", 100_000, &()).expect("it is there"), *bytes);
    assert!(matches!(depot.read("file", 99_999, &()), Err(FetchError::TooLarge { .. })));
    assert!(depot.read("other", 10, &()).expect_err("it is not").is_missing());
    let sums = Sums::default();
    depot.fetch(&file, &bench.path("to"), &sums).expect("it is there");
    assert_eq!(std::fs::read(bench.path("to")).expect("written"), *bytes);
    assert_eq!(sums.get().advanced, 100_000);
    assert_eq!(depot.traffic(), Traffic::default());

    let other = NamedFile { sha256: Digest::of("other"), ..file.clone() };
    let error = depot.fetch(&other, &bench.path("other"), &()).expect_err("another digest");
    assert!(matches!(error, FetchError::Digest { .. }), "{error}");
    let longer = NamedFile { size: 100_001, ..file };
    let error = depot.fetch(&longer, &bench.path("longer"), &()).expect_err("too short");
    assert!(matches!(error, FetchError::Size { found: 100_000, .. }), "{error}");
    assert!(!bench.path("longer.part").exists() && !bench.path("other.part").exists());

    let error = bench.try_open("nowhere").expect_err("there is none").to_string();
    assert_eq!(error, format!("there is no folder `{}`", bench.path("nowhere")));
}

/// Answers that are right, and bring next to nothing each: as many requests as there are bytes are never made.
#[test]
fn a_byte_at_a_time() {
    let bytes = content(300);
    let served = Arc::clone(&bytes);
    let server = Server::start(move |seen| match seen.range(served.len()) {
        Some((start, _)) => Answer::part(&served, start, start + 1),
        None => Answer::ok(Arc::clone(&served)).cut(1, Ending::Closed),
    });
    let bench = Bench::new();
    let depot = bench.open(&server.url());
    let error = depot.fetch(&named("installer", &bytes), &bench.path("to"), &());
    let error = error.expect_err("it would take for ever");
    assert!(matches!(error, FetchError::Broken { .. }), "{error}");
    let asked = server.seen().len();
    assert!(asked < 20, "{asked} requests");
}

/// A server that sends less than it is asked for brings all of it all the same.
#[test]
fn a_part_at_a_time() {
    let bytes = content(300_000);
    let served = Arc::clone(&bytes);
    let server = Server::start(move |seen| match seen.range(served.len()) {
        Some((start, end)) => Answer::part(&served, start, end.min(start + (64 << 10))),
        None => Answer::ok(Arc::clone(&served)).cut(1, Ending::Closed),
    });
    let bench = Bench::new();
    let depot = bench.open(&server.url());
    let sums = Sums::default();
    depot.fetch(&named("installer", &bytes), &bench.path("to"), &sums).expect("all of it comes");
    assert!(std::fs::read(bench.path("to")).expect("it is there") == *bytes);
    assert_eq!(sums.get().pauses, 1, "only where it broke off");
}
