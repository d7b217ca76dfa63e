//! A registry on the loopback interface that answers as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;

/// What the registry answers to a path.
#[derive(Debug, Clone)]
pub enum Answer {
    /// 200 with these bytes.
    Bytes(Vec<u8>),
    /// The part of these bytes that is asked for, as static hosts answer.
    File(Arc<[u8]>),
    /// This status without a body.
    Status(u16),
    /// 200, a promise of all these bytes, and only half of them.
    Half(Vec<u8>),
}

/// The registry; it serves until the test ends.
#[derive(Debug)]
pub struct LocalRegistry {
    port: u16,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
    authorizations: Arc<Mutex<Vec<String>>>,
    sent: Arc<AtomicU64>,
}

impl LocalRegistry {
    /// Starts serving.
    ///
    /// # Panics
    /// When the loopback interface cannot be used.
    #[must_use]
    pub fn start(answers: BTreeMap<String, Answer>) -> Self {
        let listener =
            TcpListener::bind("127.0.0.1:0").expect("the loopback interface has free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let authorizations = Arc::new(Mutex::new(Vec::new()));
        let authorized = Arc::clone(&authorizations);
        let answers = Arc::new(Mutex::new(answers));
        let known = Arc::clone(&answers);
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (known, seen) = (Arc::clone(&known), Arc::clone(&seen));
                let (authorized, count) = (Arc::clone(&authorized), Arc::clone(&count));
                std::thread::spawn(move || serve(&stream, &known, &seen, &authorized, &count));
            }
        });
        Self { port, answers, requests, authorizations, sent }
    }

    /// From now on answers so to a path.
    pub fn answer(&self, path: &str, answer: Answer) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(path.to_owned(), answer);
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// How many bytes of answers' bodies were sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// The paths that were asked for.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was sent as `Authorization`, by those requests that had any.
    #[must_use]
    pub fn authorizations(&self) -> Vec<String> {
        self.authorizations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A client that goes away in the middle is its own affair: errors of the stream are passed over.
fn serve(
    stream: &TcpStream,
    answers: &Mutex<BTreeMap<String, Answer>>,
    seen: &Mutex<Vec<String>>,
    authorized: &Mutex<Vec<String>>,
    sent: &AtomicU64,
) {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    let _ = reader.read_line(&mut request);
    let mut header = String::new();
    let mut range = None;
    while reader.read_line(&mut header).is_ok_and(|length| length > 2) {
        range = range.or_else(|| asked_range(&header));
        if let Some(value) = header_value(&header, "authorization") {
            authorized.lock().unwrap_or_else(PoisonError::into_inner).push(value.to_owned());
        }
        header.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = answers.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
    let answer = answer.unwrap_or(Answer::Status(404));
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(path);
    let mut part = String::new();
    let (status, length, body) = match answer {
        Answer::Status(status) => (status, 0, Vec::new()),
        Answer::Bytes(bytes) => (200, bytes.len(), bytes),
        Answer::Half(bytes) => (200, bytes.len(), bytes[..bytes.len() / 2].to_vec()),
        Answer::File(bytes) => match range {
            None => (200, bytes.len(), bytes.to_vec()),
            Some((first, last)) if first < bytes.len() => {
                let end = last.map_or(bytes.len(), |last| bytes.len().min(last + 1));
                part = format!("Content-Range: bytes {first}-{}/{}\r\n", end - 1, bytes.len());
                (206, end - first, bytes[first..end].to_vec())
            }
            Some(_) => (416, 0, Vec::new()),
        },
    };
    sent.fetch_add(body.len() as u64, Ordering::SeqCst);
    let mut stream = stream;
    let _ = write!(
        stream,
        "HTTP/1.1 {status} x\r\n{part}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let _ = stream.write_all(&body);
}

/// First and last byte, if the header asks for a range.
fn asked_range(header: &str) -> Option<(usize, Option<usize>)> {
    let (first, last) = header_value(header, "range")?.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()))
}

/// The value, if it is the header of this name.
fn header_value<'a>(header: &'a str, expected: &str) -> Option<&'a str> {
    let (name, value) = header.split_once(':')?;
    name.eq_ignore_ascii_case(expected).then(|| value.trim())
}

/// A package's tarball: each file's path (as it stands in the tar header) and text.
///
/// # Panics
/// Never: memory takes every write.
#[must_use]
pub fn tarball(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        // `set_path` would refuse the paths that a hostile tarball has.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        archive.append(&header, content.as_bytes()).expect("memory takes every write");
    }
    let encoder = archive.into_inner().expect("memory takes every write");
    encoder.finish().expect("memory takes every write")
}

/// npm's integrity string of some bytes.
#[must_use]
pub fn integrity(bytes: &[u8]) -> String {
    format!("sha512-{}", STANDARD.encode(sha2::Sha512::digest(bytes)))
}
