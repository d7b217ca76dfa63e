//! One client's connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Answer, Ending, Seen, Shared};

/// What a server with TLS shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// A good one, for `127.0.0.1` and `localhost`.
    Valid,
    /// One that was good until 2001.
    Expired,
    /// One that will be good from 2990 on.
    Early,
}

impl Certificate {
    /// The authority that made them, in PEM format.
    pub const AUTHORITY: &'static str = include_str!("certificates/ca.pem");

    fn config(self) -> Arc<ServerConfig> {
        let certificate: &[u8] = match self {
            Self::Valid => include_bytes!("certificates/valid.pem"),
            Self::Expired => include_bytes!("certificates/expired.pem"),
            Self::Early => include_bytes!("certificates/early.pem"),
        };
        let key = include_bytes!("certificates/server.key");
        let certificate = CertificateDer::from_pem_slice(certificate).expect("it is PEM");
        let key = PrivateKeyDer::from_pem_slice(key).expect("it is PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("the provider has them").with_no_client_auth();
        Arc::new(config.with_single_cert(vec![certificate], key).expect("they fit together"))
    }
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// Answers what comes over one connection.
pub(super) fn serve(tcp: TcpStream, shared: &Shared) {
    let _ = tcp.set_nodelay(true);
    let mut stream: Box<dyn Stream> = match shared.certificate {
        None => Box::new(tcp),
        Some(certificate) => {
            let connection = ServerConnection::new(certificate.config()).expect("it can begin");
            Box::new(StreamOwned::new(connection, tcp))
        }
    };
    // A client that went away is the client's affair.
    while let Ok(Some((target, headers))) = head(&mut *stream) {
        let seen = {
            let mut all = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = Seen { target, headers, number: all.len() };
            all.push(seen.clone());
            seen
        };
        let answer = (shared.reply)(&seen);
        // Whoever closes a connection and has not read all of what came resets it.
        let is_read = answer.ending == Ending::Reset || stream.read_exact(&mut [0]).is_ok();
        if !is_read || send(&mut *stream, &answer).is_err() {
            return;
        }
        match answer.ending {
            Ending::Kept => {}
            Ending::Closed | Ending::Reset => return,
            Ending::Silent => {
                // Until the client closes it.
                let _ = stream.read(&mut [0]);
                return;
            }
        }
        if shared.is_stopped.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// Reads a request but for its last byte.
fn head(
    stream: &mut dyn Stream,
) -> io::Result<Option<(String, std::collections::BTreeMap<String, String>)>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let target =
        lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    Ok(Some((target, lines.filter_map(header).collect())))
}

fn send(stream: &mut dyn Stream, answer: &Answer) -> io::Result<()> {
    let Answer { status, headers, body, part, sent, ending, pace, has_length } = answer;
    let mut head = format!("HTTP/1.1 {status} Test\r\n");
    if *ending != Ending::Kept {
        head += "connection: close\r\n";
    }
    if *has_length && !headers.iter().any(|(name, _)| name == "content-length") {
        head += &format!("content-length: {}\r\n", part.len());
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let bytes = &body[part.clone()][..*sent];
    match pace {
        None => stream.write_all(bytes)?,
        Some((size, pause)) => {
            for some in bytes.chunks(*size) {
                stream.write_all(some)?;
                stream.flush()?;
                std::thread::sleep(*pause);
            }
        }
    }
    stream.flush()
}
