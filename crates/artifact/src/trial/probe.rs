//! Asking a program that runs whether it is well.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection must stay open to be one: ssh takes connections for ports that nobody listens on.
const SETTLED: Duration = Duration::from_millis(300);

/// Where a program is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The end to connect to.
    pub end: End,
    /// The path of a GET request; without one, to connect is enough.
    pub path: Option<String>,
}

/// An end to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A port of the loopback interface.
    Port(u16),
    /// A Unix socket.
    Socket(PathBuf),
}

impl Address {
    /// Nothing when the program is well; else what it says instead.
    ///
    /// # Errors
    /// With that, for people.
    pub fn ask(&self) -> Result<(), String> {
        let asked = match &self.end {
            End::Port(port) => loopback(*port).and_then(|stream| {
                stream.set_read_timeout(Some(self.patience()))?;
                self.talk(stream)
            }),
            End::Socket(socket) => self.socket(socket),
        };
        match asked {
            Ok(answer) => answer,
            Err(error) if is_late(&error) => Err("it does not answer".to_owned()),
            Err(error) => Err(format!("nobody answers ({error})")),
        }
    }

    #[cfg(unix)]
    fn socket(&self, socket: &Path) -> io::Result<Result<(), String>> {
        let stream = std::os::unix::net::UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(self.patience()))?;
        self.talk(stream)
    }

    #[cfg(not(unix))]
    fn socket(&self, _: &Path) -> io::Result<Result<(), String>> {
        Err(io::Error::other("there are no Unix sockets here"))
    }

    fn patience(&self) -> Duration {
        if self.path.is_some() { PATIENCE } else { SETTLED }
    }

    fn talk(&self, mut stream: impl Read + Write) -> io::Result<Result<(), String>> {
        let Some(path) = &self.path else {
            return match stream.read(&mut [0]) {
                Ok(0) => Ok(Err("the connection is closed at once".to_owned())),
                Err(error) if !is_late(&error) => Err(error),
                _ => Ok(Ok(())),
            };
        };
        // In one piece: a server that answers after the first of several closes with the others unread, and that is a reset.
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let start = beginning(stream)?;
        let start = String::from_utf8_lossy(&start);
        Ok(match start.split(' ').nth(1) {
            Some("200") => Ok(()),
            Some(status) => Err(format!("`{path}` answers with status {status}")),
            None => Err(format!("`{path}` has no answer of HTTP")),
        })
    }
}

/// A connection to a port of the loopback interface. Some programs listen on its newer address alone.
fn loopback(port: u16) -> io::Result<TcpStream> {
    let connect = |address: SocketAddr| TcpStream::connect_timeout(&address, PATIENCE);
    connect((Ipv4Addr::LOCALHOST, port).into())
        .or_else(|error| connect((Ipv6Addr::LOCALHOST, port).into()).map_err(|_| error))
}

/// The first bytes of an answer: enough to hold its status.
fn beginning(stream: impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    match stream.take(64).read_to_end(&mut start) {
        // What came before the end of a connection counts, however it ended.
        Err(error) if start.is_empty() => Err(error),
        _ => Ok(start),
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A port of the loopback interface that nobody listens on.
///
/// # Errors
/// When there is no such interface.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Whether nobody listens on the port.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that does this with its first connection.
    fn server(answer: &'static str, keeps: bool) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            if !answer.is_empty() {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).expect("a request");
                    request.extend(byte);
                }
                let _ = stream.write_all(answer.as_bytes());
            }
            if keeps {
                // Until the client goes.
                let _ = stream.read(&mut [0; 512]);
            }
        });
        port
    }

    fn ask(port: u16, path: Option<&str>) -> Result<(), String> {
        Address { end: End::Port(port), path: path.map(str::to_owned) }.ask()
    }

    #[test]
    fn what_an_answer_means() {
        assert_eq!(ask(server("HTTP/1.1 200 OK\r\n\r\nfine", false), Some("/h")), Ok(()));
        let ill = ask(server("HTTP/1.1 503 Later\r\n\r\n", false), Some("/h"));
        assert_eq!(ill, Err("`/h` answers with status 503".to_owned()));
        let other = ask(server("SSH-2.0\r\n", false), Some("/h"));
        assert_eq!(other, Err("`/h` has no answer of HTTP".to_owned()));
    }

    #[test]
    fn to_connect_is_enough_where_there_is_no_path() {
        assert_eq!(ask(server("", true), None), Ok(()));
        let closed = ask(server("", false), None);
        assert_eq!(closed, Err("the connection is closed at once".to_owned()));
        let port = free_port().expect("there is one");
        assert!(is_free(port));
        assert!(ask(port, None).expect_err("nobody is there").starts_with("nobody answers"));
    }
}
