//! Seals: what stands behind everything in the shared cache, and binds it to its name.
//!
//! Without a key a seal is a digest: it tells what was damaged, cut off or put under another's name, and nothing of who put it
//! there. With a key (HMAC-SHA256) only who has the key can make one.

use std::fmt;

use gangway_artifact::Digest;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The length of a seal in bytes: 64 hexadecimal digits.
pub(super) const LENGTH: usize = 64;

/// How seals are made.
#[derive(Clone)]
pub(super) enum Seals {
    /// By anybody.
    Plain,
    /// By those who have the key.
    Keyed(Box<Hmac<Sha256>>),
}

impl Seals {
    pub(super) fn keyed(key: &str) -> Self {
        let mac = Hmac::new_from_slice(key.as_bytes()).expect("HMAC takes keys of every length");
        Self::Keyed(Box::new(mac))
    }

    /// Whether a seal says who made it.
    pub(super) fn are_keyed(&self) -> bool {
        matches!(self, Self::Keyed(_))
    }

    /// The folder of what these seals are on: builders with another key, or none, have their own. Their things would be of no
    /// use here, and be taken for damage.
    pub(super) fn folder(&self) -> Option<String> {
        let mac = self.mac("the folder of this key")?;
        Some(format!("keyed-{}", hex::encode(&mac[..8])))
    }

    /// The seal of `bytes` under this name.
    pub(super) fn of(&self, name: &str, bytes: &[u8]) -> String {
        let text = format!("{name} {}", Digest::of(bytes));
        match self.mac(&text) {
            Some(mac) => hex::encode(mac),
            None => Digest::of(text).to_string(),
        }
    }

    /// What is sealed in `object`, if the seal is right.
    pub(super) fn open(&self, name: &str, mut object: Vec<u8>) -> Option<Vec<u8>> {
        let seal = object.split_off(object.len().checked_sub(LENGTH)?);
        let text = format!("{name} {}", Digest::of(&object));
        let is_right = match self {
            Self::Plain => seal == Digest::of(text).to_string().as_bytes(),
            // In constant time.
            Self::Keyed(mac) => {
                let seal = hex::decode(&seal).ok()?;
                let mac = Hmac::<Sha256>::clone(mac).chain_update(text.as_bytes());
                mac.verify_slice(&seal).is_ok()
            }
        };
        is_right.then_some(object)
    }

    fn mac(&self, text: &str) -> Option<[u8; 32]> {
        match self {
            Self::Plain => None,
            Self::Keyed(mac) => {
                let mac = Hmac::<Sha256>::clone(mac).chain_update(text.as_bytes());
                Some(mac.finalize().into_bytes().into())
            }
        }
    }
}

/// Nothing of the key.
impl fmt::Debug for Seals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.are_keyed() { "Keyed" } else { "Plain" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(seals: &Seals, name: &str, bytes: &[u8]) -> Vec<u8> {
        [bytes, seals.of(name, bytes).as_bytes()].concat()
    }

    #[test]
    fn only_what_was_sealed_is_opened() {
        let keys = [Seals::Plain, Seals::keyed("one"), Seals::keyed("another")];
        for (at, seals) in keys.iter().enumerate() {
            let object = sealed(seals, "frames/a", b"bytes");
            assert_eq!(seals.open("frames/a", object.clone()).as_deref(), Some(&b"bytes"[..]));
            assert_eq!(seals.open("frames/b", object.clone()), None, "another's name");
            for place in 0..object.len() {
                let mut damaged = object.clone();
                damaged[place] ^= 1;
                assert_eq!(seals.open("frames/a", damaged), None, "byte {place}");
                assert_eq!(seals.open("frames/a", object[..place].to_vec()), None, "cut {place}");
            }
            for (other, foreign) in keys.iter().enumerate() {
                let is_opened = foreign.open("frames/a", object.clone()).is_some();
                assert_eq!(is_opened, other == at);
            }
        }
        assert_eq!(keys[0].folder(), None);
        assert_ne!(keys[1].folder(), keys[2].folder());
    }
}
