//! JSON as Bun writes it: with trailing commas, and perhaps comments.
//!
//! What JSON does not have is replaced by spaces, so that every other character keeps its line and column, and errors of
//! the JSON reader point to the right place.

/// The same text as strict JSON.
pub(super) fn to_json(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut json = text.as_bytes().to_vec();
    let (mut at, mut comma) = (0, None);
    while at < bytes.len() {
        let end = match (bytes[at], bytes.get(at + 1)) {
            (b'"', _) => {
                comma = None;
                string_end(bytes, at)
            }
            (b'/', Some(b'/')) => blank(&mut json, at, line_end(bytes, at)),
            (b'/', Some(b'*')) => blank(&mut json, at, comment_end(bytes, at)),
            (b',', _) => {
                comma = Some(at);
                at + 1
            }
            (b'}' | b']', _) => {
                if let Some(comma) = comma.take() {
                    json[comma] = b' ';
                }
                at + 1
            }
            (byte, _) => {
                if !byte.is_ascii_whitespace() {
                    comma = None;
                }
                at + 1
            }
        };
        at = end;
    }
    String::from_utf8(json).expect("only whole characters were replaced, by spaces")
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn line_end(bytes: &[u8], start: usize) -> usize {
    let length = bytes[start..].iter().position(|&byte| byte == b'\n');
    length.map_or(bytes.len(), |length| start + length)
}

fn comment_end(bytes: &[u8], start: usize) -> usize {
    let inside = bytes[start + 2..].windows(2).position(|pair| pair == b"*/");
    inside.map_or(bytes.len(), |length| start + 2 + length + 2)
}

/// Replaces a comment; its ends are never inside a character.
fn blank(json: &mut [u8], start: usize, end: usize) -> usize {
    for byte in &mut json[start..end] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commas_and_comments_become_spaces() {
        let text =
            "{\n  // \"x\",\n  \"a,}\": [1, 2, /* ] */ ], \"b\\\"\": {\"//\": \"/*\",\n},\n}";
        let expected =
            "{\n         \n  \"a,}\": [1, 2          ], \"b\\\"\": {\"//\": \"/*\" \n} \n}";
        assert_eq!(to_json(text), expected);
        serde_json::from_str::<serde_json::Value>(&to_json(text)).expect("is JSON now");
    }

    #[test]
    fn what_is_wrong_stays_wrong() {
        for text in ["[1 2,]", "{\"a\": ,}", "[,,]", "/"] {
            let json = to_json(text);
            serde_json::from_str::<serde_json::Value>(&json).expect_err(&json);
        }
    }

    proptest! {
        #[test]
        fn nothing_moves(text in "[\"\\\\/*,{}\\[\\]a\u{e9}\n ]{0,40}") {
            let json = to_json(&text);
            prop_assert_eq!(json.len(), text.len());
            prop_assert_eq!(json.lines().count(), text.lines().count());
        }
    }
}
