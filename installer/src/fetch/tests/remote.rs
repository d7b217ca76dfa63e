//! Archives that are read while they are fetched.

use std::sync::atomic::{AtomicBool, Ordering};

use gangway_artifact::archive::FrameSource as _;
use proptest::prelude::*;

use super::*;
use crate::testing::{Answer, Ending, Seen};

fn range(offset: u64, size: u64) -> Range {
    Range { offset, size, frames: 0..1, unwanted: 0 }
}

impl Bench {
    fn archive(&self, server: &Server, bytes: &[u8], wanted: Wanted<'_>) -> Archive {
        self.metered(server, bytes, wanted, Arc::new(()))
    }

    fn metered(
        &self,
        server: &Server,
        bytes: &[u8],
        wanted: Wanted<'_>,
        meter: Arc<dyn Meter>,
    ) -> Archive {
        let depot = self.open(&server.url());
        let archive =
            depot.archive(&named("a.tar.zst", bytes), wanted, &self.path("scratch"), meter);
        archive.expect("the scratch file can be made")
    }
}

fn read(archive: &Archive, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut buffer = vec![0; length];
    archive.read_at(&mut buffer, offset).map(|()| buffer)
}

/// Reads everything, in an order of its own, with two threads.
fn read_all(archive: &Archive, length: usize) -> Vec<u8> {
    const CHUNK: usize = 7_000;
    let mut bytes = vec![0; length];
    let mut chunks: Vec<_> = bytes.chunks_mut(CHUNK).enumerate().collect();
    chunks.reverse();
    let queue = Mutex::new(chunks);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no test panics with it").pop();
                    let Some((index, chunk)) = next else { break };
                    archive.read_at(chunk, (index * CHUNK) as u64).expect("it comes");
                }
            });
        }
    });
    bytes
}

#[test]
fn everything_whatever_happens() {
    type Fault = fn(&Seen, Answer, &Arc<[u8]>) -> Answer;
    let faults: [(&str, Fault); 14] = [
        ("nothing", |_, answer, _| answer),
        ("busy", |seen, answer, _| if seen.number % 3 == 1 { Answer::status(503) } else { answer }),
        ("cut", |seen, answer, _| match seen.number % 2 {
            0 => answer.cut(4_000, Ending::Closed),
            _ => answer,
        }),
        ("reset", |seen, answer, _| match seen.number % 2 {
            0 => answer.cut(4_000, Ending::Reset),
            _ => answer,
        }),
        ("silent", |seen, answer, _| match seen.number {
            2 | 5 => answer.cut(4_000, Ending::Silent),
            _ => answer,
        }),
        ("no ranges", |_, _, bytes| Answer::ok(Arc::clone(bytes))),
        ("no ranges, and breaks off", |seen, _, bytes| match seen.number {
            0..4 => Answer::ok(Arc::clone(bytes)).cut(40_000, Ending::Closed),
            _ => Answer::ok(Arc::clone(bytes)),
        }),
        ("no ranges, no length", |_, _, bytes| Answer::ok(Arc::clone(bytes)).without_length()),
        ("ranges now and then", |seen, answer, bytes| match seen.number % 2 {
            0 => Answer::ok(Arc::clone(bytes)),
            _ => answer,
        }),
        ("other ranges", |seen, answer, bytes| match seen.range(bytes.len()) {
            Some((start, end)) if start > 0 => Answer::part(bytes, start - 1, end - 1),
            _ => answer,
        }),
        ("shorter ranges", |seen, answer, bytes| match seen.range(bytes.len()) {
            Some((start, end)) => Answer::part(bytes, start, start + (end - start).div_ceil(2)),
            None => answer,
        }),
        ("longer ranges", |seen, answer, bytes| match seen.range(bytes.len()) {
            Some((start, _)) => Answer::part(bytes, start, bytes.len()),
            None => answer,
        }),
        ("no word of the range", |seen, answer, _| match seen.headers.contains_key("range") {
            true => answer.with("content-range", "nonsense"),
            false => answer,
        }),
        ("refuses ranges", |seen, answer, _| match seen.headers.contains_key("range") {
            true => Answer::status(416),
            false => answer,
        }),
    ];
    let bytes = content(100_000);
    for (what, fault) in faults {
        let served = Arc::clone(&bytes);
        let server = Server::start(move |seen| fault(seen, Answer::file(seen, &served), &served));
        let bench = Bench::nervous();
        let sums = Arc::new(Sums::default());
        let archive = bench.metered(&server, &bytes, Wanted::Everything, Arc::clone(&sums) as _);
        assert!(read_all(&archive, bytes.len()) == *bytes, "{what}");
        let sum = sums.get();
        assert_eq!((sum.expected, sum.advanced), (100_000, 100_000), "{what}");
        archive.discard().expect("it can be removed");
        assert_eq!(std::fs::read_dir(bench.folder.path()).expect("readable").count(), 0, "{what}");
    }
}

#[test]
fn only_what_is_wanted() {
    let bytes = content(300_000);
    let server = Server::of_files([("a.tar.zst".to_owned(), bytes.to_vec())]);
    let bench = Bench::new();
    let ranges = [range(0, 5_000), range(100_000, 25_000)];
    let archive = bench.archive(&server, &bytes, Wanted::Ranges(&ranges));
    assert_eq!(read(&archive, 1_000, 4_000).expect("it comes"), bytes[1_000..5_000]);
    assert_eq!(read(&archive, 100_000, 25_000).expect("it comes"), bytes[100_000..125_000]);
    // The end comes as a whole, for whoever begins there.
    assert_eq!(read(&archive, 299_991, 9).expect("it comes"), bytes[299_991..]);
    assert_eq!(read(&archive, 240_000, 60_000).expect("it comes"), bytes[240_000..]);
    let mut asked: Vec<_> = server.seen().iter().filter_map(|seen| seen.range(300_000)).collect();
    asked.sort_unstable();
    let end = 300_000 - (64 << 10);
    let ends: Vec<_> =
        (0..7).map(|n| (end + n * 10_000, (end + (n + 1) * 10_000).min(300_000))).collect();
    assert_eq!(
        asked[..4],
        [(0, 5_000), (100_000, 110_000), (110_000, 120_000), (120_000, 125_000)]
    );
    assert_eq!(asked[4..], ends);

    // What nobody wanted is fetched when it is read.
    assert_eq!(read(&archive, 50_000, 100).expect("it comes"), bytes[50_000..50_100]);
    assert!(archive.read_at(&mut [0; 10], 299_995).is_err());
}

#[test]
fn the_next_attempt_goes_on() {
    let bytes = content(200_000);
    let served = Arc::clone(&bytes);
    let is_closed = Arc::new(AtomicBool::new(true));
    let closed = Arc::clone(&is_closed);
    let server = Server::start(move |seen| match seen.range(served.len()) {
        Some((start, _)) if closed.load(Ordering::SeqCst) && start >= 100_000 => {
            Answer::status(403)
        }
        _ => Answer::file(seen, &served),
    });
    let bench = Bench::new();
    let archive = bench.archive(&server, &bytes, Wanted::Ranges(&[range(0, 50_000)]));
    assert_eq!(read(&archive, 0, 50_000).expect("it comes"), bytes[..50_000]);
    assert!(!archive.is_resumed());
    drop(archive);

    let before = server.seen().len();
    let sums = Arc::new(Sums::default());
    let archive = bench.metered(&server, &bytes, Wanted::Everything, Arc::clone(&sums) as _);
    assert!(archive.is_resumed());
    let error = read(&archive, 150_000, 10).expect_err("it is denied");
    assert!(matches!(FetchError::beneath(&error), Some(FetchError::Denied { .. })), "{error:?}");
    drop(archive);
    let sum = sums.get();
    assert_eq!((sum.expected, sum.present), (200_000, 50_000));
    for seen in &server.seen()[before..] {
        assert!(seen.range(200_000).expect("a range").0 >= 50_000, "{seen:?}");
    }

    // Some bytes are not as they were.
    is_closed.store(false, Ordering::SeqCst);
    let scratch = bench.path("scratch");
    let mut left = std::fs::read(&scratch).expect("it stays");
    left[20_000..20_010].fill(0);
    std::fs::write(&scratch, left).expect("writable");
    let archive = bench.archive(&server, &bytes, Wanted::Everything);
    assert_ne!(read(&archive, 15_000, 10_000).expect("it is there"), bytes[15_000..25_000]);
    assert!(archive.reject(15_000, 10_000).expect("it may be another time"));
    assert_eq!(read(&archive, 15_000, 10_000).expect("it comes"), bytes[15_000..25_000]);
    assert!(read_all(&archive, bytes.len()) == *bytes);
    let asked: Vec<_> = server.seen().iter().filter_map(|seen| seen.range(200_000)).collect();
    for again in [(15_000, 20_000), (20_000, 25_000)] {
        assert!(asked.contains(&again), "{asked:?}");
    }
    drop(archive);

    // What is left of another archive is not touched.
    let other = content(200_001);
    let archive = bench.archive(&server, &other, Wanted::Nothing);
    assert!(!archive.is_resumed());
}

/// What came is kept while it comes, to its last byte: nobody says goodbye who is killed.
#[test]
fn what_comes_is_kept_at_once() {
    let bytes = content(9_000);
    let served = Arc::clone(&bytes);
    let server = Server::start(move |seen| {
        Answer::file(seen, &served).slowly(3_000, std::time::Duration::from_millis(700))
    });
    let bench = Bench::new();
    let archive = bench.archive(&server, &bytes, Wanted::Everything);
    assert!(read_all(&archive, bytes.len()) == *bytes);
    let text = std::fs::read_to_string(bench.path("scratch.pieces")).expect("it is not too early");
    assert!(text.contains("\"filled\":6000") || text.contains("\"filled\":9000"), "{text}");
    std::mem::forget(archive);

    let archive = bench.archive(&server, &bytes, Wanted::Nothing);
    assert!(archive.is_resumed());
    assert!(read_all(&archive, bytes.len()) == *bytes);
    drop(archive);
    let before = server.seen().len();
    let archive = bench.archive(&server, &bytes, Wanted::Everything);
    assert!(read_all(&archive, bytes.len()) == *bytes);
    assert_eq!(server.seen().len(), before, "all of it was there");

    // Its end can be had once more.
    assert!(archive.forget_end());
    assert!(read_all(&archive, bytes.len()) == *bytes);
    assert!(server.seen().len() > before);
    archive.discard().expect("it can be removed");
    assert!(!bench.archive(&server, &bytes, Wanted::Nothing).forget_end(), "it is all new");
}

#[test]
fn a_journal_that_makes_no_sense() {
    let bytes = content(50_000);
    let server = Server::of_files([("a.tar.zst".to_owned(), bytes.to_vec())]);
    let bench = Bench::new();
    let archive = bench.archive(&server, &bytes, Wanted::Everything);
    read_all(&archive, bytes.len());
    drop(archive);
    let path = bench.path("scratch.pieces");
    let journal = std::fs::read_to_string(&path).expect("it is there");
    for (from, to) in [
        ("\"offset\":0", "\"offset\":20000"),
        ("\"place\":10000", "\"place\":9999"),
        ("\"place\":40000", "\"place\":18446744073709551615"),
        ("\"size\":10000", "\"size\":0"),
        ("\"version\":1", "\"version\":2"),
        ("{", "["),
    ] {
        assert!(journal.contains(from), "{from} in {journal}");
        std::fs::write(&path, journal.replacen(from, to, 1)).expect("writable");
        let archive = bench.archive(&server, &bytes, Wanted::Everything);
        assert!(read_all(&archive, bytes.len()) == *bytes, "{to}");
        drop(archive);
    }
    std::fs::write(&path, &journal).expect("writable");
    std::fs::write(bench.path("scratch"), &bytes[..5_000]).expect("writable");
    assert!(!bench.archive(&server, &bytes, Wanted::Nothing).is_resumed());
}

#[test]
fn every_reader_is_told() {
    let bytes = content(100_000);
    let bench = Bench::new();
    let told_of = |reply: fn(&Seen) -> Answer| {
        let server = Server::start(reply);
        let archive = bench.archive(&server, &bytes, Wanted::Everything);
        let texts: Vec<_> = std::thread::scope(|scope| {
            let run = |offset| {
                let archive = &archive;
                scope.spawn(move || {
                    let error = archive.read_at(&mut [0; 10], offset).expect_err("it fails");
                    FetchError::beneath(&error).map(ToString::to_string)
                })
            };
            let threads = [run(0), run(50_000), run(99_990)];
            threads.map(|thread| thread.join().expect("no panic").expect("it is ours")).to_vec()
        });
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
        archive.discard().expect("it can be removed");
        texts[0].replace(&server.host(), "127.0.0.1:port")
    };
    insta::assert_snapshot!(told_of(|_| Answer::status(404)), @"`http://127.0.0.1:port/a.tar.zst` is not there (404 Not Found)");
    insta::assert_snapshot!(told_of(|_| Answer::ok("<html>").with("content-type", "text/html")), @"`http://127.0.0.1:port/a.tar.zst` answered with a web page");
    insta::assert_snapshot!(told_of(|_| Answer::ok(vec![0; 99_999])), @"`http://127.0.0.1:port/a.tar.zst` has 99999 bytes, and the release's metadata says 100000");
    insta::assert_snapshot!(told_of(|_| Answer::status(416).with("content-range", "bytes */7")), @"`http://127.0.0.1:port/a.tar.zst` has 7 bytes, and the release's metadata says 100000");
    insta::assert_snapshot!(told_of(|_| Answer::status(206).with("content-range", "bytes 0-0/7")), @"`http://127.0.0.1:port/a.tar.zst` has 7 bytes, and the release's metadata says 100000");
    insta::assert_snapshot!(told_of(|_| Answer::ok(vec![0; 100_000]).with("content-encoding", "br")), @"`http://127.0.0.1:port/a.tar.zst` came encoded as `br`, and plain bytes were asked for");
    insta::assert_snapshot!(told_of(|_| Answer::ok(vec![0; 10]).cut(5, Ending::Closed).with("content-length", "100000")), @"`http://127.0.0.1:port/a.tar.zst` broke off after 5 bytes (3 attempts)");
}

#[test]
fn an_archive_that_was_replaced() {
    let bytes = content(50_000);
    let server = Server::of_files([("a.tar.zst".to_owned(), vec![7; 50_000])]);
    let bench = Bench::new();
    let archive = bench.archive(&server, &bytes, Wanted::Everything);
    let mut rejected = 0;
    let error = loop {
        assert_ne!(read(&archive, 5_000, 100).expect("it comes"), bytes[5_000..5_100]);
        match archive.reject(5_000, 100) {
            Ok(true) => rejected += 1,
            Ok(false) => panic!("it may be another time"),
            Err(error) => break error,
        }
    };
    assert_eq!(rejected, 2);
    let error = FetchError::beneath(&error).expect("it is ours");
    insta::assert_snapshot!(told(error, &server), @r"
    `http://127.0.0.1:port/a.tar.zst` is not the archive that the release's metadata names: its 100 bytes from byte 5000 are others, however often they are fetched
    help: a new release may be under way to the server, or something on the way changes what comes: try again in a few minutes, and tell its publisher if it stays so
    ");
}

#[test]
fn where_redirects_led() {
    let bytes = content(100_000);
    let served = Arc::clone(&bytes);
    let other = Server::start(move |seen| match seen.number {
        // Its addresses are good for some minutes.
        4 => Answer::status(403),
        _ => Answer::file(seen, &served),
    });
    let signed = format!("{}a.tar.zst?signature=x", other.url());
    let server = Server::start(move |_| Answer::redirect(&signed));
    let mut bench = Bench::new();
    bench.settings.connections = 1;
    let archive = bench.archive(&server, &bytes, Wanted::Everything);
    assert!(read_all(&archive, bytes.len()) == *bytes);
    assert_eq!((server.seen().len(), other.seen().len()), (2, 11));
}

#[test]
fn a_crowded_server_is_asked_once_at_a_time() {
    let bytes = content(100_000);
    let served = Arc::clone(&bytes);
    let now = Arc::new(Mutex::new((0, 0)));
    let counts = Arc::clone(&now);
    let server = Server::start(move |seen| {
        let mut counts = counts.lock().expect("no test panics with it");
        match seen.number {
            0..3 => {
                counts.0 += 1;
                Answer::status(429).with("retry-after", "0")
            }
            _ => {
                counts.1 += 1;
                Answer::file(seen, &served)
            }
        }
    });
    let bench = Bench::new();
    let archive = bench.archive(&server, &bytes, Wanted::Everything);
    assert!(read_all(&archive, bytes.len()) == *bytes);
    assert_eq!(*now.lock().expect("no test panics with it"), (3, 10));
}

#[test]
fn in_a_folder() {
    let bytes = content(200_000);
    let bench = Bench::new();
    std::fs::write(bench.path("a.tar.zst"), &bytes).expect("writable");
    let depot = bench.open(bench.path("").as_str());
    let sums = Arc::new(Sums::default());
    let file = named("a.tar.zst", &bytes);
    let open = |file| {
        depot.archive(file, Wanted::Everything, &bench.path("scratch"), Arc::clone(&sums) as _)
    };
    let archive = open(&file).expect("it is there");
    assert!(read_all(&archive, bytes.len()) == *bytes);
    assert!(read_all(&archive, bytes.len()) == *bytes);
    let sum = sums.get();
    assert_eq!((sum.expected, sum.advanced), (200_000, 200_000));
    assert!(!bench.path("scratch").exists());
    assert!(!archive.reject(0, 10).expect("nobody knows why"));
    archive.discard().expect("nothing is to be done");
    assert!(bench.path("a.tar.zst").exists());

    let other = NamedFile { size: 3, ..file.clone() };
    assert!(matches!(open(&other), Err(FetchError::Size { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_faults_any_order(
        faults in prop::collection::vec((0..8_u8, 0..12_000_usize), 0..30),
        reads in prop::collection::vec((0..60_000_u64, 1..9_000_usize), 1..20),
        whole in any::<bool>(),
    ) {
        let bytes = content(69_000);
        let served = Arc::clone(&bytes);
        let server = Server::start(move |seen| {
            let answer = Answer::file(seen, &served);
            match faults.get(seen.number) {
                Some((0, count)) => answer.cut(*count, Ending::Closed),
                Some((1, count)) => answer.cut(*count, Ending::Reset),
                Some((2, _)) => Answer::status(500),
                Some((3, _)) => Answer::ok(Arc::clone(&served)),
                Some((4, count)) => Answer::ok(Arc::clone(&served)).cut(*count, Ending::Closed),
                _ => answer,
            }
        });
        let mut bench = Bench::new();
        bench.settings.retries = 40;
        let wanted = if whole { Wanted::Everything } else { Wanted::Nothing };
        let archive = bench.archive(&server, &bytes, wanted);
        for (offset, length) in reads {
            let start = offset as usize;
            prop_assert!(read(&archive, offset, length).expect("it comes") == bytes[start..start + length]);
        }
    }
}

/// Answers that are right, and bring next to nothing each: as many requests as there are bytes are never made.
#[test]
fn a_byte_at_a_time() {
    let bytes = content(300);
    let served = Arc::clone(&bytes);
    let server = Server::start(move |seen| match seen.range(served.len()) {
        Some((start, _)) => Answer::part(&served, start, start + 1),
        None => Answer::ok(Arc::clone(&served)),
    });
    let bench = Bench::new();
    let archive = bench.archive(&server, &bytes, Wanted::Everything);
    let error = read(&archive, 0, 300).expect_err("it would take for ever");
    assert!(matches!(FetchError::beneath(&error), Some(FetchError::Broken { .. })), "{error}");
    let asked = server.seen().len();
    assert!(asked < 20, "{asked} requests");
}
