//! JSON that is both small and fit for `diff`: broken into lines at the two outer levels, compact below.
//!
//! A manifest has one line per file this way. The bytes depend on the value alone, because fields are written in
//! the order of their declaration and maps are sorted by the types that hold them.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// How deep the lines go; 1 is the outermost object.
const BROKEN_LEVELS: usize = 2;

/// `value` as JSON text with a newline at its end.
pub(crate) fn to_lines(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Lines::default());
    value
        .serialize(&mut serializer)
        .expect("our types have string keys, and memory takes any bytes");
    bytes.push(b'\n');
    bytes
}

/// Keeps count of the level that is being written.
#[derive(Debug, Default)]
struct Lines {
    level: usize,
    has_value: bool,
}

impl Lines {
    fn open<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.level += 1;
        self.has_value = false;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        let is_broken = self.level <= BROKEN_LEVELS && self.has_value;
        self.level -= 1;
        if is_broken {
            self.new_line(writer)?;
        }
        self.has_value = true;
        writer.write_all(bracket)
    }

    fn next<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        if self.level <= BROKEN_LEVELS {
            self.new_line(writer)?;
        }
        Ok(())
    }

    fn new_line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.level).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.next(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.next(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(if self.level <= BROKEN_LEVELS { b": " } else { b":" })
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_levels_of_lines() {
        let value = json!({
            "a": [{"x": [1, 2]}, {"y": {}}], "b": {"c": {"d": 1}}, "e": [], "f": {}, "g": "\n",
        });
        let expected = r#"{
  "a": [
    {"x":[1,2]},
    {"y":{}}
  ],
  "b": {
    "c": {"d":1}
  },
  "e": [],
  "f": {},
  "g": "\n"
}
"#;
        assert_eq!(String::from_utf8(to_lines(&value)).expect("JSON is UTF-8"), expected);
        assert_eq!(to_lines(&json!({})), b"{}\n");
    }
}
