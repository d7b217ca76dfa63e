//! A file server on 127.0.0.1 that counts what it sends. zsync asks for many ranges at once, so it answers with several parts.

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use camino::{Utf8Path, Utf8PathBuf};

/// Between the parts of an answer.
const BOUNDARY: &str = "gangway-bench-part";

/// It serves as long as the process lives.
pub(super) struct RangeServer {
    port: u16,
    sent: Arc<AtomicU64>,
}

impl RangeServer {
    /// Serves the files of `folder`.
    pub(super) fn start(folder: &Utf8Path) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let sent = Arc::new(AtomicU64::new(0));
        let (count, folder) = (Arc::clone(&sent), folder.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (count, folder) = (Arc::clone(&count), folder.clone());
                // Who hangs up in the middle has what it wanted.
                thread::spawn(move || serve(&stream, &folder, &count));
            }
        });
        Ok(Self { port, sent })
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Bytes of files that were sent, without HTTP's own.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

fn serve(stream: &TcpStream, folder: &Utf8Path, count: &AtomicU64) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        answer(stream, folder, &request, count)?;
        if request.is_last {
            break;
        }
    }
    Ok(())
}

struct Request {
    name: String,
    ranges: Vec<(u64, u64)>,
    /// Whether the client waits for the connection's end: zsync asks for its list in HTTP/1.0.
    is_last: bool,
}

impl Request {
    /// The next one; nothing at the connection's end.
    fn read(reader: &mut impl io::BufRead) -> io::Result<Option<Self>> {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let name = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        let mut ranges = Vec::new();
        let mut is_last = first.contains("HTTP/1.0");
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                return Ok(Some(Self { name, ranges, is_last }));
            }
            let line = line.to_ascii_lowercase();
            is_last |= line.trim() == "connection: close";
            if let Some(list) = line.trim().strip_prefix("range: bytes=") {
                let range = |text: &str| {
                    let (from, to) = text.trim().split_once('-')?;
                    Some((from.parse().ok()?, to.parse().ok()?))
                };
                ranges = list.split(',').filter_map(range).collect();
            }
        }
    }
}

fn answer(
    mut stream: &TcpStream,
    folder: &Utf8Path,
    request: &Request,
    count: &AtomicU64,
) -> io::Result<()> {
    let path: Utf8PathBuf = folder.join(&request.name);
    let Ok(file) = File::open(path) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let size = file.metadata()?.len();
    let read = |from: u64, to: u64| {
        let to = to.min(size.saturating_sub(1));
        let mut bytes = vec![0; usize::try_from((to + 1).saturating_sub(from)).unwrap_or_default()];
        file.read_exact_at(&mut bytes, from)?;
        count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        io::Result::Ok(bytes)
    };
    let (head, body) = match request.ranges.as_slice() {
        [] => ("200 OK\r\n".to_owned(), read(0, size)?),
        [(from, to)] => (
            format!("206 Partial Content\r\nContent-Range: bytes {from}-{to}/{size}\r\n"),
            read(*from, *to)?,
        ),
        several => {
            let mut body = Vec::new();
            for (from, to) in several {
                write!(
                    body,
                    "\r\n--{BOUNDARY}\r\nContent-Range: bytes {from}-{to}/{size}\r\n\r\n"
                )?;
                body.extend(read(*from, *to)?);
            }
            write!(body, "\r\n--{BOUNDARY}--\r\n")?;
            (
                format!(
                    "206 Partial Content\r\nContent-Type: multipart/byteranges; boundary={BOUNDARY}\r\n"
                ),
                body,
            )
        }
    };
    write!(stream, "HTTP/1.1 {head}Content-Length: {}\r\n\r\n", body.len())?;
    stream.write_all(&body)
}
