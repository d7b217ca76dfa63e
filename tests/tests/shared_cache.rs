//! The shared cache: machines that make nothing twice, at real servers; and servers that are of no use.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Output;

use camino::Utf8PathBuf;
use e2e::node_mirror::{self, Release};
use e2e::s3::{Kind, S3};
use e2e::{LocalRegistry, Official, free_port, gangway, text, unwrapped};
use serde_json::Value;

/// A gateway with one file of several frames, and where its runtime comes from.
struct Gateway {
    official: Official,
    mirror: LocalRegistry,
}

type Environment = Vec<(&'static str, String)>;

impl Gateway {
    fn new() -> Self {
        let mirror = node_mirror::serve(&[Release::new("24.99.0", "fake")]);
        let official = Official::new();
        official.project.edit("gangway.toml", "\"app.js\", ", "\"app.js\", \"data.txt\", ");
        let numbers = (0..4_000_000_u32).map(|number| number.wrapping_mul(2_654_435_761));
        let data: String = numbers.map(|number| format!("{:x}\n", number >> 12)).collect();
        assert!(data.len() > 20 << 20, "more than a frame");
        official.project.write("data.txt", &data);
        official.lock(&mirror, &[]);
        Self { official, mirror }
    }

    /// Runs a verb on a machine: a cache of its own.
    fn run(&self, machine: &str, environment: &Environment, arguments: &[&str]) -> Output {
        let folder = self.official.project.folder();
        gangway()
            .args(arguments)
            .env("GANGWAY_CACHE", folder.join(machine))
            .env("GANGWAY_NODE_MIRROR", node_mirror::url(&self.mirror))
            .env("GANGWAY_NODE_KEYS", folder.join("keys.asc"))
            .env_remove("AWS_SESSION_TOKEN")
            .env("NO_PROXY", "127.0.0.1")
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .output()
            .expect("it is a program")
    }

    /// Bundles on a machine, which must succeed.
    fn bundle(&self, machine: &str, environment: &Environment) -> Made {
        let out = self.out(machine);
        let manifest = self.official.project.manifest();
        let output = self.run(
            machine,
            environment,
            &["bundle", "-v", "--json", "--out", out.as_str(), "--manifest", manifest.as_str()],
        );
        assert!(output.status.success(), "{}", text(&output));
        let told: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let compressed = said.split("compressed=").nth(1).and_then(|rest| rest.split(' ').next());
        Made {
            sha256: told["bundles"][0]["sha256"].as_str().expect("a digest").to_owned(),
            compressed: compressed.and_then(|count| count.parse().ok()).expect("a number"),
            shared: told["shared_cache"].clone(),
            warnings: said.lines().filter(|line| line.contains("warning ")).count(),
            said,
        }
    }

    fn out(&self, machine: &str) -> Utf8PathBuf {
        self.official.project.folder().join(format!("out-{machine}"))
    }
}

/// What came of bundling.
#[derive(Debug)]
struct Made {
    sha256: String,
    /// Bytes of frames that were compressed.
    compressed: u64,
    /// What the builder tells of the shared cache.
    shared: Value,
    warnings: usize,
    said: String,
}

impl Made {
    fn count(&self, what: &str) -> u64 {
        self.shared[what].as_u64().unwrap_or_else(|| panic!("no `{what}` in {}", self.shared))
    }
}

/// What every server must be good for.
fn good_for_all_this(kind: Kind) {
    let gateway = Gateway::new();
    let s3 = S3::start(kind);
    let here = s3.environment(s3.port());
    let mut reading = here.clone();
    reading.push(("GANGWAY_SHARED_CACHE_MODE", "read".to_owned()));

    // Who may only read sends nothing.
    let stranger = gateway.bundle("stranger", &reading);
    assert_eq!((stranger.count("found"), stranger.count("sent")), (0, 0));
    assert!(s3.names().is_empty(), "{:?}", s3.names());

    // The first one makes everything, the second one nothing.
    let first = gateway.bundle("a", &here);
    assert!(first.compressed > 0 && first.count("sent") >= 3, "{first:?}");
    assert_eq!(s3.names().len() as u64, first.count("sent"));
    for (machine, environment) in [("b", &here), ("reader", &reading)] {
        let second = gateway.bundle(machine, environment);
        assert_eq!(second.sha256, first.sha256);
        assert_eq!((second.compressed, second.warnings), (0, 0), "{}", second.said);
        assert_eq!(second.count("found"), first.count("sent"));
        assert_eq!((second.count("sent"), second.count("damaged")), (0, 0));
    }

    spoiled_objects_are_made_anew(&gateway, &s3, &here, &first);

    // It goes away in the middle: two connections are all it takes.
    let port = two_connections_to(s3.port());
    let lonely = gateway.bundle("lonely", &s3.environment(port));
    assert_eq!(lonely.sha256, first.sha256);
    assert_eq!(lonely.shared["reachable"], false, "{}", lonely.said);
    assert_eq!(lonely.warnings, 1, "{}", lonely.said);

    looked_after(&gateway, &s3, &here);
}

fn spoiled_objects_are_made_anew(gateway: &Gateway, s3: &S3, here: &Environment, first: &Made) {
    let names = s3.names();
    let whole: Vec<_> = names.iter().map(|name| s3.read(name)).collect();
    assert!(whole.len() >= 3 && whole[0] != whole[1]);
    let mut flipped = whole[0].clone();
    flipped[10] ^= 1;
    let spoiled = [
        ("flipped", flipped),
        ("cut", whole[0][..whole[0].len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("anothers", whole[1].clone()),
    ];
    for (machine, bytes) in spoiled {
        s3.write(&names[0], &bytes);
        let made = gateway.bundle(machine, here);
        assert_eq!(made.sha256, first.sha256, "{machine}");
        assert!(made.compressed > 0, "{machine}");
        assert_eq!((made.count("damaged"), made.count("sent")), (1, 1), "{machine}: {}", made.said);
        assert!(s3.read(&names[0]) == whole[0], "{machine}: it was replaced");
    }
}

/// `cargo xtask cache ... --shared`
fn looked_after(gateway: &Gateway, s3: &S3, here: &Environment) {
    let told = |arguments: &[&str]| -> Value {
        let output = gateway.run("a", here, &[arguments, &["--shared", "--json"]].concat());
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).expect("--json prints JSON")
    };
    let names = s3.names();
    let stats = told(&["cache", "stats"]);
    assert_eq!(stats["kinds"]["frames-v1"]["entries"], names.len());
    let nothing = told(&["cache", "gc", "--max-age", "1d"]);
    assert_eq!(nothing["removed"]["entries"], 0);
    let rehearsal = told(&["cache", "gc", "--max-size", "0B", "--dry-run"]);
    assert_eq!(rehearsal["removed"]["entries"], names.len());
    assert_eq!(s3.names(), names);
    told(&["cache", "gc", "--max-size", "0B"]);
    assert!(s3.names().is_empty(), "{:?}", s3.names());
}

fn two_at_once(kind: Kind) {
    let gateway = Gateway::new();
    let s3 = S3::start(kind);
    let here = s3.environment(s3.port());
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| gateway.bundle("one", &here));
        let other = gateway.bundle("other", &here);
        (one.join().expect("it is bundled"), other)
    });
    assert_eq!(one.sha256, other.sha256);
    assert_eq!((one.warnings, other.warnings), (0, 0), "{} {}", one.said, other.said);
    let third = gateway.bundle("third", &here);
    assert_eq!((third.sha256, third.compressed), (one.sha256, 0));
}

/// Forwards the first two connections to a port, and nobody after them.
fn two_connections_to(port: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let own = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for _ in 0..2 {
            let (client, _) = listener.accept().expect("a builder comes");
            let server = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            let pair =
                (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
            std::thread::spawn(move || pass(client, server));
            std::thread::spawn(move || pass(pair.1, pair.0));
        }
    });
    own
}

/// Passes some of what comes on, and then breaks off.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut left = 300_000_usize;
    let mut buffer = [0; 4096];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || count > left || to.write_all(&buffer[..count]).is_err() {
            break;
        }
        left -= count;
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}

mod moto {
    use super::*;

    #[test]
    #[ignore = "needs the server that GANGWAY_TEST_MOTO names"]
    fn good_for_all() {
        good_for_all_this(Kind::Moto);
    }

    #[test]
    #[ignore = "needs the server that GANGWAY_TEST_MOTO names"]
    fn two_builders_at_once() {
        two_at_once(Kind::Moto);
    }
}

mod s3s_fs {
    use super::*;

    #[test]
    #[ignore = "needs the server that GANGWAY_TEST_S3S_FS names"]
    fn good_for_all() {
        good_for_all_this(Kind::S3sFs);
    }

    #[test]
    #[ignore = "needs the server that GANGWAY_TEST_S3S_FS names"]
    fn two_builders_at_once() {
        two_at_once(Kind::S3sFs);
    }

    #[test]
    #[ignore = "needs the server that GANGWAY_TEST_S3S_FS names"]
    fn another_secret() {
        let gateway = Gateway::new();
        let s3 = S3::start(Kind::S3sFs);
        let mut wrong = s3.environment(s3.port());
        wrong.push(("AWS_SECRET_ACCESS_KEY", "not-the-secret".to_owned()));
        let made = gateway.bundle("a", &wrong);
        assert_eq!(made.warnings, 1, "{}", made.said);
        assert!(made.said.contains("(403)"), "{}", made.said);
        assert!(!made.said.contains("not-the-secret"), "{}", made.said);
        assert!(s3.names().is_empty());
    }
}

fn settings(port: u16) -> Environment {
    vec![
        ("GANGWAY_SHARED_CACHE", "s3://builds".to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("AWS_ACCESS_KEY_ID", "builder".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ]
}

/// Nobody listens; or somebody does, and says nothing.
#[test]
fn a_server_that_is_of_no_use() {
    let gateway = Gateway::new();
    let alone = gateway.bundle("alone", &Vec::new());
    assert!(alone.shared.is_null());
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let hanging = silent.local_addr().expect("it is bound").port();
    for (machine, port) in [("refused", free_port()), ("hanging", hanging)] {
        let made = gateway.bundle(machine, &settings(port));
        assert_eq!(made.sha256, alone.sha256, "{machine}");
        assert_eq!(made.warnings, 1, "{machine}: {}", made.said);
        assert_eq!(made.shared["reachable"], false, "{machine}");
        assert_eq!((made.count("found"), made.count("sent")), (0, 0), "{machine}");
    }
}

/// A mounted folder, with a key.
#[test]
fn a_folder() {
    let gateway = Gateway::new();
    let folder = gateway.official.project.folder().join("mnt");
    fs_err::create_dir(&folder).expect("ours");
    let shared = vec![
        ("GANGWAY_SHARED_CACHE", format!("file://{folder}")),
        ("GANGWAY_SHARED_CACHE_KEY", "0123456789abcdef0123456789abcdef".to_owned()),
    ];
    let first = gateway.bundle("a", &shared);
    assert!(first.compressed > 0 && first.count("sent") >= 3, "{first:?}");
    let second = gateway.bundle("b", &shared);
    assert_eq!((&second.sha256, second.compressed), (&first.sha256, 0));
    assert_eq!(second.count("found"), first.count("sent"));
    // Who has no key has nothing of it.
    let keyless = gateway.bundle("c", &shared[..1].to_vec());
    assert_eq!((keyless.count("found"), keyless.count("damaged")), (0, 0));
    assert_eq!(keyless.sha256, first.sha256);
}

#[test]
fn settings_that_make_no_sense() {
    let gateway = Gateway::new();
    let manifest = gateway.official.project.manifest();
    let refused = |environment: Environment, arguments: &[&str]| {
        let output = gateway.run("a", &environment, arguments);
        assert!(!output.status.success(), "{}", text(&output));
        unwrapped(&text(&output))
    };
    let bundle = ["bundle", "--out", "out", "--manifest", manifest.as_str()];
    let said = refused(vec![("GANGWAY_SHARED_CACHE", "gs://bucket".to_owned())], &bundle);
    assert!(said.contains("`GANGWAY_SHARED_CACHE` is set to `gs://bucket`"), "{said}");
    assert!(said.contains("s3://BUCKET/PREFIX"), "{said}");
    let said = refused(Vec::new(), &["cache", "stats", "--shared"]);
    assert!(said.contains("`GANGWAY_SHARED_CACHE` is not set"), "{said}");
    let said = refused(settings(free_port()), &["cache", "stats", "--shared"]);
    assert!(said.contains("cannot list the shared cache `s3://builds`"), "{said}");
    let said = refused(Vec::new(), &["cache", "gc", "--max-size", "10"]);
    assert!(said.contains("--max-size") && said.contains("`10GB`"), "{said}");
}
