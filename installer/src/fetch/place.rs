//! Where a release's folder is: an address, or a folder of this machine.
//!
//! An address may hold a user's name, a password or a signed query. They are sent to the server and never shown: the `Display` and `Debug` of
//! everything here leave them out.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use url::{Host, Url};

use super::FetchError;

/// Where a release's folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A static host that knows HTTP.
    Web(Address),
    /// A folder: a disk, a USB stick, a share.
    Folder(Utf8PathBuf),
}

/// The address of a folder on a host.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Its path ends with a slash; no user, no password, no fragment. A query goes to every file.
    base: Url,
    credentials: Option<Credentials>,
}

/// A user's name and password, for `Authorization: Basic`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: Option<String>,
}

impl Place {
    /// The place that `text` names. A folder that is not absolute is below `current_dir`.
    ///
    /// # Errors
    /// When it is empty, or an address that cannot be used.
    pub fn parse(text: &str, current_dir: &Utf8Path) -> Result<Self, FetchError> {
        let text = text.trim();
        let refused = |reason| FetchError::Address { text: shown(text), reason };
        if text.is_empty() {
            return Err(refused("it is empty"));
        }
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("http" | "https") => {
                let url = Url::parse(text).map_err(|_| refused("it is not well formed"))?;
                Address::new(url).map(Self::Web).map_err(refused)
            }
            Some("file") => {
                let url = Url::parse(text).map_err(|_| refused("it is not well formed"))?;
                let path = url.to_file_path().ok();
                let path = path.and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
                path.map(Self::Folder).ok_or_else(|| refused("it names no folder of this machine"))
            }
            // A word before `://`, and not a folder's name that happens to have one in it.
            Some(scheme) if is_scheme(scheme) => {
                Err(refused("only `https`, `http` and `file` are known"))
            }
            _ => Ok(Self::Folder(current_dir.join(text))),
        }
    }

    /// The place as it is kept for later, secrets included. To show it, use its `Display`.
    #[must_use]
    pub fn with_secrets(&self) -> String {
        match self {
            Self::Web(address) => address.with_secrets(),
            Self::Folder(path) => path.to_string(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(address) => formatter.write_str(&redacted(&address.base)),
            Self::Folder(path) => formatter.write_str(path.as_str()),
        }
    }
}

impl Address {
    fn new(mut url: Url) -> Result<Self, &'static str> {
        let is_named = url.host_str().is_some_and(|host| !host.is_empty());
        if !is_named {
            return Err("it names no host");
        }
        let plain = |text: &str| decoded(text).ok_or("its user or password is not UTF-8");
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                Some(Credentials { user: plain(user)?, password: password.map(plain).transpose()? })
            }
        };
        // They only fail for addresses without a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self { base: url, credentials })
    }

    /// Whether certificates count.
    pub(super) fn is_encrypted(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// The address of a file in the folder, which must be one component.
    pub(super) fn of(&self, name: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(name);
        }
        url
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Whether anybody between here and the host can read and change what comes.
    pub(super) fn is_exposed(&self) -> bool {
        is_exposed(&self.base)
    }

    fn with_secrets(&self) -> String {
        let mut url = self.base.clone();
        if let Some(Credentials { user, password }) = &self.credentials {
            let _ = url.set_username(user);
            let _ = url.set_password(password.as_deref());
        }
        url.into()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Address").field(&redacted(&self.base)).finish()
    }
}

/// Whether `url` is plain HTTP to another machine.
pub(super) fn is_exposed(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    url.scheme() == "http" && !is_here
}

/// A URL as it may be shown: without credentials, and without a query, which may be a signature.
pub(super) fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    if url.query().is_some() {
        url.set_query(None);
        return format!("{url}?...");
    }
    url.into()
}

/// A text that should be an address and is not, without what may be a secret in it.
fn shown(text: &str) -> String {
    if let Ok(url) = Url::parse(text)
        && text.contains("://")
    {
        return redacted(&url);
    }
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or(rest))
}

fn is_scheme(text: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(part)
}

/// What `%..` stands for.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Place, FetchError> {
        Place::parse(text, Utf8Path::new("/home/me"))
    }

    fn address(text: &str) -> Address {
        match parse(text).expect(text) {
            Place::Web(address) => address,
            Place::Folder(path) => panic!("{text} became the folder {path}"),
        }
    }

    #[test]
    fn addresses() {
        let address = address("https://me:p%40ss@example.com/app?sig=abc#x");
        assert_eq!(
            address.of("a+b 1.tar.zst").as_str(),
            "https://example.com/app/a+b%201.tar.zst?sig=abc"
        );
        let credentials = address.credentials().expect("there are some");
        assert_eq!(
            (credentials.user.as_str(), credentials.password.as_deref()),
            ("me", Some("p@ss"))
        );
        assert_eq!(address.with_secrets(), "https://me:p%40ss@example.com/app/?sig=abc");
        let place = Place::Web(address);
        assert_eq!(place.to_string(), "https://example.com/app/?...");
        assert!(!format!("{place:?}").contains("p%40ss"), "{place:?}");
        assert_eq!(parse(&place.with_secrets()).expect("its own text"), place);
    }

    #[test]
    fn names_do_not_lead_elsewhere() {
        let address = address("https://example.com/app/");
        for name in ["../x", "/x", "//other/x", "https://other/x", "a?b", "a#b"] {
            let url = address.of(name);
            assert_eq!(url.host_str(), Some("example.com"), "{name}");
            assert!(url.path().starts_with("/app/"), "{name}: {url}");
            assert!(url.query().is_none(), "{name}: {url}");
        }
    }

    #[test]
    fn folders() {
        for (text, path) in [
            ("./dir", "/home/me/./dir"),
            ("dir", "/home/me/dir"),
            ("/media/usb", "/media/usb"),
            ("file:///media/usb%20stick", "/media/usb stick"),
            ("odd dir://x", "/home/me/odd dir://x"),
        ] {
            #[cfg(unix)]
            assert_eq!(parse(text).expect(text), Place::Folder(path.into()));
            #[cfg(not(unix))]
            assert!(matches!(parse(text), Ok(Place::Folder(_)) | Err(_)), "{text} {path}");
        }
        let drive = parse("C:\\usb").expect("a folder");
        assert!(matches!(drive, Place::Folder(path) if path.as_str().ends_with("C:\\usb")));
    }

    #[test]
    fn what_is_no_place() {
        for text in [
            "",
            "  ",
            "ftp://host/dir",
            "https://",
            "https://me:secret@/dir",
            "https://me:secret@ho st/dir?sig=secret",
        ] {
            let error = parse(text).expect_err(text);
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
        let error = parse("ftp://me:secret@host/dir").expect_err("not known");
        insta::assert_snapshot!(error, @"`ftp://host/dir` is no place for a release: only `https`, `http` and `file` are known");
    }

    #[test]
    fn who_can_listen() {
        for (text, exposed) in [
            ("http://example.com/", true),
            ("http://10.0.0.1/", true),
            ("http://127.0.0.1.example.com/", true),
            ("http://localhost.example.com/", true),
            ("http://127.0.0.1:8000/", false),
            ("http://127.8.9.1/", false),
            ("http://[::1]:8000/", false),
            ("http://localhost:8000/", false),
            ("https://example.com/", false),
        ] {
            assert_eq!(address(text).is_exposed(), exposed, "{text}");
        }
    }
}
