//! A server for tests that misbehaves as it is told.
//!
//! It listens on the loopback interface, knows HTTP/1.1 with ranges and kept connections, and TLS with certificates of its own authority. What is wrong
//! with an answer is said of that answer: where it breaks off and how, what its headers claim, how slowly it comes.

mod answer;
mod connection;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub use answer::{Answer, Body, Ending};
pub use connection::Certificate;

/// Answers requests until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The path with its query; a whole URL if it is asked as a proxy.
    pub target: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// How many came before it.
    pub number: usize,
}

/// How a request is answered.
type Reply = dyn Fn(&Seen) -> Answer + Send + Sync;

struct Shared {
    reply: Box<Reply>,
    certificate: Option<Certificate>,
    seen: Mutex<Vec<Seen>>,
    is_stopped: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Server {
    /// Answers each request with what `reply` says.
    pub fn start(reply: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::begin(Box::new(reply), None)
    }

    /// The same with TLS.
    pub fn start_tls(
        certificate: Certificate,
        reply: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::begin(Box::new(reply), Some(certificate))
    }

    /// Serves these files by their names, well.
    pub fn of_files(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let files: BTreeMap<String, Arc<[u8]>> =
            files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect();
        Self::start(move |seen| match files.get(seen.name()) {
            Some(bytes) => Answer::file(seen, bytes),
            None => Answer::status(404),
        })
    }

    fn begin(reply: Box<Reply>, certificate: Option<Certificate>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared {
            reply,
            certificate,
            seen: Mutex::default(),
            is_stopped: AtomicBool::new(false),
        });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming() {
                    if shared.is_stopped.load(Ordering::SeqCst) {
                        break;
                    }
                    let Ok(stream) = stream else { continue };
                    let shared = Arc::clone(&shared);
                    // A thread for each: a client may keep a connection it says nothing on.
                    std::thread::spawn(move || connection::serve(stream, &shared));
                }
            }
        });
        Self { address, scheme, shared, thread: Some(thread) }
    }

    /// `http://127.0.0.1:<port>/`
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}/", self.scheme, self.address)
    }

    /// `127.0.0.1:<port>`
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Everything asked so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the thread.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Seen {
    /// The last component of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or(&self.target);
        path.rsplit('/').next().unwrap_or(path)
    }

    /// First byte, and the one after the last, if it asks for a range of a file with so many bytes.
    #[must_use]
    pub fn range(&self, length: usize) -> Option<(usize, usize)> {
        let text = self.headers.get("range")?.strip_prefix("bytes=")?;
        let (first, last) = text.split_once('-')?;
        let last = if last.is_empty() { length } else { last.parse::<usize>().ok()? + 1 };
        Some((first.parse().ok()?, last.min(length)))
    }
}
