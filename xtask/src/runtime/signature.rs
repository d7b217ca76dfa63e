//! The signature of Node's digest lists.
//!
//! `keys/node.asc` holds the public keys of Node's active releasers, as the project publishes them in
//! <https://github.com/nodejs/release-keys> (commit b28073028e6d6855cfb53bf7fa0137599c01f967, folder `keys`, those of its
//! keyring `gpg-only-active-keys`); their fingerprints stand in Node's README under "Release keys". A release that
//! somebody else signed is refused. That a key has expired since does not matter: what it signed before stays signed.

use pgp::composed::{CleartextSignedMessage, Deserializable as _, SignedPublicKey};

/// The keys that are compiled in.
pub(super) const NODE: &str = include_str!("keys/node.asc");

const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// Why a list cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The keys are no keys.
    #[error("the trusted keys cannot be read")]
    Keys(#[source] pgp::errors::Error),
    /// The list is not signed.
    #[error("it is not a signed text")]
    Unsigned(#[source] pgp::errors::Error),
    /// None of the keys signed it.
    #[error("none of the {0} trusted keys signed it")]
    Stranger(usize),
}

/// The text that one of `keys` (armored, one after the other) signed.
pub(super) fn verified(signed: &str, keys: &str) -> Result<String, SignatureError> {
    let keys = keys
        .split_inclusive(END)
        .filter(|block| block.contains(END))
        .map(|block| Ok(SignedPublicKey::from_string(block.trim())?.0))
        .collect::<Result<Vec<_>, _>>()
        .map_err(SignatureError::Keys)?;
    let (message, _) =
        CleartextSignedMessage::from_string(signed).map_err(SignatureError::Unsigned)?;
    // Some releasers sign with a subkey.
    let believed = keys.iter().any(|key| {
        message.verify(key).is_ok()
            || key.public_subkeys.iter().any(|subkey| message.verify(subkey).is_ok())
    });
    if believed { Ok(message.signed_text()) } else { Err(SignatureError::Stranger(keys.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by GnuPG, with a key that signs nothing else.
    const KEY: &str = include_str!("fixtures/key.asc");
    const SIGNED: &str = include_str!("fixtures/SHASUMS256.txt.asc");

    #[test]
    fn what_a_trusted_key_signed() {
        let text = verified(SIGNED, &format!("{NODE}\n{KEY}")).expect("it is signed");
        assert!(
            text.contains(&format!("{}  node-v24.1.0-linux-x64.tar.xz", "a".repeat(64))),
            "{text}"
        );
    }

    #[test]
    fn what_nobody_trusted_signed() {
        let error = verified(SIGNED, NODE).expect_err("a stranger did");
        assert_eq!(error.to_string(), "none of the 9 trusted keys signed it");
    }

    #[test]
    fn what_was_changed_since() {
        let changed = SIGNED.replacen("aaaa", "aaab", 1);
        assert!(matches!(verified(&changed, KEY), Err(SignatureError::Stranger(1))));
        let added =
            SIGNED.replacen("-----BEGIN PGP SIGNATURE", "cc  evil\n-----BEGIN PGP SIGNATURE", 1);
        assert!(verified(&added, KEY).is_err());
        // Text around what is signed is no part of it.
        let around = format!("dd  evil\n{SIGNED}\nee  evil\n");
        if let Ok(text) = verified(&around, KEY) {
            assert!(!text.contains("evil"), "{text}");
        }
    }

    #[test]
    fn what_is_not_signed() {
        for text in ["", "aa  node.tar.xz\n", "<html>"] {
            assert!(matches!(verified(text, KEY), Err(SignatureError::Unsigned(_))), "{text}");
        }
    }
}
