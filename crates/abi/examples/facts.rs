//! Prints the facts of files as lines of JSON: `facts FILE...`, or names on standard input, one a line.
//!
//! What the comparison with other readers runs (`oracles/compare.py`), and what to look at when a finding surprises.

use std::io::{self, BufRead as _, Write as _};

use serde::Serialize;

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    facts: Option<gangway_abi::Facts>,
}

fn main() -> io::Result<()> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        paths = io::stdin().lock().lines().collect::<Result<_, _>>()?;
    }
    let mut output = io::BufWriter::new(io::stdout().lock());
    for path in &paths {
        let facts = gangway_abi::read(&std::fs::read(path)?);
        serde_json::to_writer(&mut output, &Line { path, facts })?;
        writeln!(output)?;
    }
    output.flush()
}
