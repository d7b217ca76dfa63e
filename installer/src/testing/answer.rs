//! What a server sends, and how it goes wrong.

use std::sync::Arc;
use std::time::Duration;

use super::Seen;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Arc<[u8]>,
    /// The part of `body` that it has.
    pub(super) part: std::ops::Range<usize>,
    /// How many bytes of that are sent.
    pub(super) sent: usize,
    pub(super) ending: Ending,
    /// What is sent at once, and the pause after it.
    pub(super) pace: Option<(usize, Duration)>,
    /// Whether it says how long it is.
    pub(super) has_length: bool,
}

/// The bytes of an answer.
#[derive(Debug, Clone)]
pub struct Body(Arc<[u8]>);

impl From<Arc<[u8]>> for Body {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

/// What happens after the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The next request is read.
    Kept,
    /// The connection is closed.
    Closed,
    /// It is reset.
    Reset,
    /// Nothing, until the client goes away.
    Silent,
}

impl Answer {
    /// Everything went well.
    #[must_use]
    pub fn ok(body: impl Into<Body>) -> Self {
        let Body(body) = body.into();
        Self {
            status: 200,
            headers: Vec::new(),
            part: 0..body.len(),
            sent: body.len(),
            body,
            ending: Ending::Kept,
            pace: None,
            has_length: true,
        }
    }

    /// A status, and no more.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::ok(Vec::new()) }
    }

    /// A redirect.
    #[must_use]
    pub fn redirect(to: &str) -> Self {
        Self::status(302).with("location", to)
    }

    /// The part of a file that was asked for.
    #[must_use]
    pub fn file(seen: &Seen, bytes: &Arc<[u8]>) -> Self {
        let length = bytes.len();
        match seen.range(length) {
            None => Self::ok(Arc::clone(bytes)).with("accept-ranges", "bytes"),
            Some((start, end)) if start < end => Self::part(bytes, start, end),
            Some(_) => Self::status(416).with("content-range", &format!("bytes */{length}")),
        }
    }

    /// This part of a file, whatever was asked for.
    #[must_use]
    pub fn part(bytes: &Arc<[u8]>, start: usize, end: usize) -> Self {
        let range = format!("bytes {start}-{}/{}", end - 1, bytes.len());
        let whole = Self::ok(Arc::clone(bytes));
        Self { status: 206, part: start..end, sent: end - start, ..whole }
            .with("content-range", &range)
    }

    /// With this header, in the place of one of the same name.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Ends after so many bytes of what it promises.
    #[must_use]
    pub fn cut(self, sent: usize, ending: Ending) -> Self {
        Self { sent: sent.min(self.sent), ending, ..self }
    }

    /// Does not say how long it is.
    #[must_use]
    pub fn without_length(self) -> Self {
        Self { has_length: false, ending: Ending::Closed, ..self }
    }

    /// So many bytes at a time, with a pause after them.
    #[must_use]
    pub fn slowly(self, bytes: usize, pause: Duration) -> Self {
        Self { pace: Some((bytes.max(1), pause)), ..self }
    }
}
