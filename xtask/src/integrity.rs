//! Integrity strings (Subresource Integrity as npm's lockfiles have it): `sha512-<base64>`.
//!
//! Of several digests only the strongest counts, as npm does it. SHA-1 is read, because lockfiles of old packages
//! carry nothing better; MD5 and unknown algorithms are passed over.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// The strongest digest of an integrity string.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Integrity {
    algorithm: Algorithm,
    digest: Vec<u8>,
}

/// From weak to strong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// An integrity string without a digest we can check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an integrity string such as `sha512-<base64>`")]
pub struct IntegrityError(String);

impl Integrity {
    /// The SHA-512 of `bytes`.
    #[must_use]
    pub fn sha512(bytes: &[u8]) -> Self {
        Self { algorithm: Algorithm::Sha512, digest: sha2::Sha512::digest(bytes).to_vec() }
    }

    /// The SHA-256 given as raw bytes, for makers who publish that.
    #[must_use]
    pub fn from_sha256(digest: [u8; 32]) -> Self {
        Self { algorithm: Algorithm::Sha256, digest: digest.to_vec() }
    }

    /// A name for files and folders: `sha512-<hex>`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}-{}", self.algorithm.as_str(), hex::encode(&self.digest))
    }

    /// Starts hashing with this integrity's algorithm.
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha1 => Hasher::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => Hasher::Sha256(sha2::Sha256::new()),
            Algorithm::Sha384 => Hasher::Sha384(sha2::Sha384::new()),
            Algorithm::Sha512 => Hasher::Sha512(Box::new(sha2::Sha512::new())),
        }
    }
}

/// Hashes a download with the algorithm its integrity asks for.
#[expect(missing_docs, reason = "the variants are the algorithms")]
#[derive(Debug)]
pub enum Hasher {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The integrity of everything taken in.
    #[must_use]
    pub fn finish(self) -> Integrity {
        let (algorithm, digest) = match self {
            Self::Sha1(hasher) => (Algorithm::Sha1, hasher.finalize().to_vec()),
            Self::Sha256(hasher) => (Algorithm::Sha256, hasher.finalize().to_vec()),
            Self::Sha384(hasher) => (Algorithm::Sha384, hasher.finalize().to_vec()),
            Self::Sha512(hasher) => (Algorithm::Sha512, hasher.finalize().to_vec()),
        };
        Integrity { algorithm, digest }
    }
}

impl Algorithm {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl FromStr for Integrity {
    type Err = IntegrityError;

    fn from_str(text: &str) -> Result<Self, IntegrityError> {
        text.split_ascii_whitespace()
            .filter_map(one)
            .max_by_key(|integrity| integrity.algorithm)
            .ok_or_else(|| IntegrityError(text.to_owned()))
    }
}

/// One `algorithm-base64?options` of the list.
fn one(text: &str) -> Option<Integrity> {
    let (algorithm, rest) = text.split_once('-')?;
    let algorithm = match algorithm {
        "sha1" => Algorithm::Sha1,
        "sha256" => Algorithm::Sha256,
        "sha384" => Algorithm::Sha384,
        "sha512" => Algorithm::Sha512,
        _ => return None,
    };
    let encoded = rest.split_once('?').map_or(rest, |(encoded, _)| encoded);
    let digest = STANDARD.decode(encoded).ok()?;
    (digest.len() == algorithm.length()).then_some(Integrity { algorithm, digest })
}

impl TryFrom<String> for Integrity {
    type Error = IntegrityError;

    fn try_from(text: String) -> Result<Self, IntegrityError> {
        text.parse()
    }
}

impl From<Integrity> for String {
    fn from(integrity: Integrity) -> Self {
        integrity.to_string()
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.algorithm.as_str(), STANDARD.encode(&self.digest))
    }
}

impl fmt::Debug for Integrity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_counts() {
        let strong = Integrity::sha512(b"x");
        let mut weak = one("sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=").expect("well formed").hasher();
        weak.update(b"x");
        let both = format!("{} {strong} md5-abc", weak.finish());
        assert_eq!(both.parse::<Integrity>().expect("has a digest"), strong);
    }

    #[test]
    fn hashing_again_gives_the_same() {
        let integrity = Integrity::sha512(b"some bytes");
        let mut hasher = integrity.hasher();
        hasher.update(b"some ");
        hasher.update(b"bytes");
        assert_eq!(hasher.finish(), integrity);
        assert_eq!(integrity.to_string().parse::<Integrity>().expect("its own text"), integrity);
    }

    #[test]
    fn refuses_what_it_cannot_check() {
        for text in
            ["", "sha512-", "sha512-AAAA", "md5-1B2M2Y8AsgTpgAmY7PhCfg==", "latest", "sha512-!!"]
        {
            assert!(text.parse::<Integrity>().is_err(), "{text}");
        }
    }
}
