//! Digest lists signed as Node's are, with a key that lives as long as the tests.

use std::sync::LazyLock;

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedSecretKey,
};
use pgp::types::Password;

static KEY: LazyLock<SignedSecretKey> = LazyLock::new(|| {
    let mut builder = SecretKeyParamsBuilder::default();
    builder.key_type(KeyType::Ed25519Legacy).can_sign(true);
    builder.primary_user_id("Nobody <nobody@example.com>".to_owned());
    let parameters = builder.build().expect("sane parameters");
    parameters.generate(rand::thread_rng()).expect("a key can be made")
});

/// The public key, for `GANGWAY_NODE_KEYS`.
///
/// # Panics
/// Never: the key is sound.
#[must_use]
pub fn public_key() -> String {
    KEY.to_public_key().to_armored_string(ArmorOptions::default()).expect("the key is sound")
}

/// `text`, signed.
///
/// # Panics
/// Never: the key is sound.
#[must_use]
pub fn sign(text: &str) -> String {
    CleartextSignedMessage::sign(rand::thread_rng(), text, &KEY.primary_key, &Password::empty())
        .and_then(|message| message.to_armored_string(ArmorOptions::default()))
        .expect("the key is sound")
}
