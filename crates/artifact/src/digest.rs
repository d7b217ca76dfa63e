//! SHA-256, the one digest of files and archives. (npm's SHA-512 integrity strings are the builder's affair.)

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of some bytes; written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest that these bytes are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest as bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads `reader` to its end and returns the digest and the number of bytes.
    ///
    /// # Errors
    /// Whatever `reader` returns.
    pub fn of_reader(reader: impl Read) -> io::Result<(Self, u64)> {
        let mut hashing = HashingReader::new(reader);
        // Many times the buffer of `io::copy`: for large files the calls would cost more than the hashing.
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match hashing.read(&mut buffer) {
                Ok(0) => return Ok(hashing.finish()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Makes the digest of bytes that come in pieces. A copy goes on from where it was made.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    state: Sha256,
    length: u64,
}

impl Hasher {
    /// Adds bytes to those so far.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.state.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// The digest and the number of the bytes so far.
    #[must_use]
    pub fn finish(self) -> (Digest, u64) {
        (Digest(self.state.finalize().into()), self.length)
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a SHA-256 digest (64 hexadecimal digits)")]
pub struct DigestError(String);

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(DigestError(text.to_owned())),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    /// Without a text of its own for each digest: manifests and indexes have tens of thousands.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = Digest;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a SHA-256 digest in hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Manifests and keys have tens of thousands of them: none gets a text of its own.
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).expect("two digits for each byte");
        formatter.write_str(std::str::from_utf8(&digits).expect("they are ASCII"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({self})")
    }
}

/// Passes bytes through and hashes them on the way.
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> HashingReader<R> {
    /// Starts with nothing read.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    /// The digest and the number of the bytes that went through so far.
    #[must_use]
    pub fn finish(self) -> (Digest, u64) {
        self.hasher.finish()
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Passes bytes on and hashes them on the way.
#[derive(Debug)]
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> HashingWriter<W> {
    /// Starts with nothing written.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::default() }
    }

    /// What was hashed so far.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// Passes bytes on of which it is known what they make of what was hashed so far.
    ///
    /// # Errors
    /// Whatever the writer returns; what went through is then unknown.
    pub fn write_hashed(&mut self, bytes: &[u8], hashed: Hasher) -> io::Result<()> {
        self.hasher = hashed;
        self.inner.write_all(bytes)
    }

    /// The digest and the number of the bytes that went through so far.
    #[must_use]
    pub fn finish(self) -> (Digest, u64) {
        self.hasher.finish()
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer() {
        // FIPS 180-2, appendix B.1
        let digest = Digest::of("abc");
        assert_eq!(
            digest.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest, digest.to_string().parse().expect("its own text"));
        assert_eq!(Digest::of_reader(&b"abc"[..]).expect("a slice cannot fail"), (digest, 3));
    }

    #[test]
    fn refuses_other_texts() {
        for text in ["", "abc", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_hasher_goes_on_from_its_copy() {
        let mut one = Hasher::default();
        one.update("ab");
        let mut other = one.clone();
        one.update("c");
        other.update("d");
        assert_eq!(
            (one.finish(), other.finish()),
            ((Digest::of("abc"), 3), (Digest::of("abd"), 3))
        );
    }

    #[test]
    fn what_was_hashed_before_is_only_written() {
        let mut first = HashingWriter::new(Vec::new());
        first.write_all(b"abc").expect("memory");
        let mut second = HashingWriter::new(Vec::new());
        second.write_hashed(b"abc", first.hasher().clone()).expect("memory");
        second.write_all(b"d").expect("memory");
        assert_eq!(second.inner, b"abcd");
        assert_eq!(second.finish(), (Digest::of("abcd"), 4));
    }

    #[test]
    fn what_is_written_is_hashed_as_far_as_it_got() {
        let mut room = [0; 4];
        let mut writer = HashingWriter::new(&mut room[..]);
        assert_eq!(writer.write(b"abcdef").expect("there is room for some"), 4);
        assert!(writer.write_all(b"ef").is_err());
        assert_eq!(writer.finish(), (Digest::of("abcd"), 4));
        assert_eq!(room, *b"abcd");
    }
}
