//! Counts words, as the example gateway's service in Rust.
//!
//! One request per line, one JSON object back: `health` and `words <text>`. It listens on a Unix socket, or on
//! `127.0.0.1:<port>` where there is none.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::ExitCode;

const USAGE: &str = "usage: words --listen <socket path | 127.0.0.1:port>";

/// Longer requests end the connection.
const MAX_REQUEST_BYTES: u64 = 1 << 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--version"] => {
            println!(env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        ["--listen", place] if place.contains(['/', '\\']) => serve_socket(place),
        ["--listen", place] => serve_tcp(place),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("words: cannot listen: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(unix)]
fn serve_socket(path: &str) -> io::Result<()> {
    use std::os::unix::net::{UnixListener, UnixStream};
    // A socket that nobody listens on was left by one that was killed.
    if UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    println!("listening on {path}");
    for client in listener.incoming().flatten() {
        std::thread::spawn(move || serve_client(&client, &client));
    }
    Ok(())
}

#[cfg(not(unix))]
fn serve_socket(path: &str) -> io::Result<()> {
    Err(io::Error::other(format!("there are no sockets such as `{path}` here; use 127.0.0.1:<port>")))
}

fn serve_tcp(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    for client in listener.incoming().flatten() {
        std::thread::spawn(move || serve_client(&client, &client));
    }
    Ok(())
}

/// Answers until the client goes away.
fn serve_client(from: impl Read, mut to: impl Write) {
    let mut from = BufReader::new(from);
    loop {
        let mut line = String::new();
        match from.by_ref().take(MAX_REQUEST_BYTES).read_line(&mut line) {
            Ok(length) if length > 0 && line.ends_with('\n') => {}
            _ => return,
        }
        if writeln!(to, "{}", answer(line.trim_end_matches(['\n', '\r']))).is_err() {
            return;
        }
    }
}

fn answer(request: &str) -> String {
    match request.split_once(' ').unwrap_or((request, "")) {
        ("health", _) => {
            format!(r#"{{"status":"ok","version":"{}"}}"#, env!("CARGO_PKG_VERSION"))
        }
        ("words", text) => format!(r#"{{"words":{}}}"#, text.split_whitespace().count()),
        _ => r#"{"error":"unknown request; there are `health` and `words <text>`"}"#.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_per_line() {
        let mut answers = Vec::new();
        serve_client(&b"words one  two\r\nwords\nsing\nhealth\nwords cut off"[..], &mut answers);
        let answers = String::from_utf8(answers).expect("text");
        assert_eq!(
            answers,
            "{\"words\":2}\n{\"words\":0}\n{\"error\":\"unknown request; there are `health` and `words <text>`\"}\n\
             {\"status\":\"ok\",\"version\":\"0.1.0\"}\n"
        );
    }
}
