//! Where a release will be: the address that stands in its scripts.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use super::ReleaseError;

/// The address of a folder on a server, without a slash at its end.
///
/// It becomes a word of two shells' languages and part of what people are told to type. So it has no character that any of
/// them would take for something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = ReleaseError;

    fn from_str(text: &str) -> Result<Self, ReleaseError> {
        let refused = |reason| Err(ReleaseError::Address { address: text.to_owned(), reason });
        let Ok(url) = Url::parse(text) else { return refused("it is no URL") };
        match (url.scheme(), url.host()) {
            ("https", Some(_)) => {}
            ("http", Some(host)) if is_loopback(&host) => {}
            ("http", _) => return refused("it is not encrypted"),
            _ => return refused("it is no URL of a server"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refused("everybody would read the password");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refused("names of files are put behind it");
        }
        let plain = |char: char| char.is_ascii_alphanumeric() || "-._~:/[]%+,=".contains(char);
        if !url.as_str().chars().all(plain) {
            return refused("shells would not take it for one word");
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_stand_in_scripts() {
        let read = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        for (text, expected) in [
            ("https://example.com", "https://example.com"),
            ("https://Example.com:8443/a/b%20c//", "https://example.com:8443/a/b%20c"),
            ("https://example.com/a b", "https://example.com/a%20b"),
            ("http://127.0.0.1:8000/x", "http://127.0.0.1:8000/x"),
            ("http://[::1]:80/x", "http://[::1]/x"),
        ] {
            assert_eq!(read(text).expect(text), expected);
        }
        let refused = |text: &str| read(text).expect_err(text).to_string();
        insta::assert_snapshot!(
            ["example.com", "http://example.com", "ftp://example.com", "https://me:secret@example.com", "https://example.com/?a", "https://example.com/$(id)"]
                .map(refused).join("\n"),
            @"
            `example.com` cannot be where the release is: it is no URL
            `http://example.com` cannot be where the release is: it is not encrypted
            `ftp://example.com` cannot be where the release is: it is no URL of a server
            `https://me:secret@example.com` cannot be where the release is: everybody would read the password
            `https://example.com/?a` cannot be where the release is: names of files are put behind it
            `https://example.com/$(id)` cannot be where the release is: shells would not take it for one word
            "
        );
    }
}
