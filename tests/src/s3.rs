//! Real servers that speak S3, started on the loopback interface.
//!
//! moto is one in Python, s3s-fs one in Rust. `.ci/run` brings both and names them in variables. Objects are looked at and
//! spoiled behind the builder's back: at moto by requests, whose signatures it does not check; of s3s-fs in its folder.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{Running, free_port};

/// The bucket that every server has.
const BUCKET: &str = "builds";
/// Who may use it, where that matters.
const ID: &str = "builder";
const SECRET: &str = "builder-secret-builder-secret";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PyPI's moto; it lets everybody in.
    Moto,
    /// The Rust registry's s3s-fs; it checks signatures.
    S3sFs,
}

/// A server with an empty bucket.
#[derive(Debug)]
pub struct S3 {
    kind: Kind,
    port: u16,
    folder: tempfile::TempDir,
    _server: Running,
}

impl Kind {
    /// The variable that names the command.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::Moto => "GANGWAY_TEST_MOTO",
            Self::S3sFs => "GANGWAY_TEST_S3S_FS",
        }
    }
}

impl S3 {
    /// Starts it.
    ///
    /// # Panics
    /// When it is not there or ends.
    #[must_use]
    pub fn start(kind: Kind) -> Self {
        let variable = kind.variable();
        let command = std::env::var(variable);
        let command = command.unwrap_or_else(|_| panic!("`{variable}` names no server"));
        let mut words = command.split_whitespace();
        let mut command = Command::new(words.next().expect("a program"));
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let port = free_port();
        let number = port.to_string();
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match kind {
            Kind::Moto => command.args(["-H", "127.0.0.1", "-p", &number]),
            Kind::S3sFs => command
                .args(["--host", "127.0.0.1", "--port", &number])
                .args(["--access-key", ID, "--secret-key", SECRET])
                .arg(folder.path()),
        };
        let mut server = Running(command.spawn().expect("it can be started"));
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = server.0.try_wait().expect("it is our child");
            assert!(ended.is_none(), "the server ended with {ended:?}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let s3 = Self { kind, port, folder, _server: server };
        match kind {
            Kind::Moto => assert_eq!(s3.ask("PUT", "", b"").0, 200),
            Kind::S3sFs => fs_err::create_dir(s3.bucket()).expect("the folder is ours"),
        }
        s3
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a builder is told of it, at this port.
    #[must_use]
    pub fn environment(&self, port: u16) -> Vec<(&'static str, String)> {
        vec![
            ("GANGWAY_SHARED_CACHE", format!("s3://{BUCKET}/team/gateway")),
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            ("AWS_ACCESS_KEY_ID", ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ]
    }

    /// The names of all objects.
    ///
    /// # Panics
    /// When they cannot be listed.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = match self.kind {
            Kind::Moto => {
                let (status, body) = self.ask("GET", "?list-type=2", b"");
                assert_eq!(status, 200);
                let body = String::from_utf8(body).expect("XML");
                body.split("<Key>")
                    .skip(1)
                    .filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned()))
                    .collect()
            }
            Kind::S3sFs => {
                let mut found = Vec::new();
                walk(&self.bucket(), "", &mut found);
                found
            }
        };
        names.sort();
        names
    }

    /// An object's bytes.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        match self.kind {
            Kind::Moto => {
                let (status, body) = self.ask("GET", &format!("/{name}"), b"");
                assert_eq!(status, 200);
                body
            }
            Kind::S3sFs => fs_err::read(self.bucket().join(name)).expect("it is there"),
        }
    }

    /// Puts other bytes into an object.
    ///
    /// # Panics
    /// When that fails.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        match self.kind {
            Kind::Moto => assert_eq!(self.ask("PUT", &format!("/{name}"), bytes).0, 200),
            Kind::S3sFs => fs_err::write(self.bucket().join(name), bytes).expect("it is ours"),
        }
    }

    fn bucket(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).expect("UTF-8").join(BUCKET)
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        // moto wants to be told who asks, and believes it.
        let signature = "AWS4-HMAC-SHA256 Credential=builder/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        write!(
            stream,
            "{method} /{BUCKET}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {signature}\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .expect("it reads");
        stream.write_all(body).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), answer.split_off(end + 4))
    }
}

/// Its notes of its own begin with a dot.
fn walk(folder: &Utf8Path, prefix: &str, found: &mut Vec<String>) {
    for entry in folder.read_dir_utf8().expect("readable") {
        let entry = entry.expect("readable");
        let name = format!("{prefix}{}", entry.file_name());
        if entry.file_name().starts_with('.') {
            continue;
        }
        if entry.file_type().expect("readable").is_dir() {
            walk(entry.path(), &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}
