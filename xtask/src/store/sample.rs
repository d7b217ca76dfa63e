//! Archives for tests, well made and hostile.

use std::io::Write as _;

/// One entry, header fields as given: nothing is checked or mended.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    name: String,
    target: String,
    kind: u8,
    mode: u32,
    content: Vec<u8>,
}

impl Entry {
    pub(crate) fn raw(name: &str, target: &str, kind: u8, content: &str) -> Self {
        Self {
            name: name.to_owned(),
            target: target.to_owned(),
            kind,
            mode: 0o600,
            content: content.as_bytes().to_vec(),
        }
    }

    pub(crate) fn file(name: &str, content: &str) -> Self {
        Self::raw(name, "", b'0', content)
    }

    pub(crate) fn executable(name: &str, content: &str) -> Self {
        Self { mode: 0o700, ..Self::file(name, content) }
    }

    pub(crate) fn folder(name: &str) -> Self {
        Self::raw(name, "", b'5', "")
    }

    pub(crate) fn link(name: &str, target: &str) -> Self {
        Self::raw(name, target, b'2', "")
    }

    pub(crate) fn hard_link(name: &str, target: &str) -> Self {
        Self::raw(name, target, b'1', "")
    }

    pub(crate) fn kind(name: &str, kind: u8) -> Self {
        Self::raw(name, "", kind, "")
    }

    /// A PAX header for the entry that follows.
    pub(crate) fn pax(key: &str, value: &str) -> Self {
        let record = |length: usize| format!("{length} {key}={value}\n");
        let mut length = record(0).len();
        while record(length).len() != length {
            length = record(length).len();
        }
        Self::raw("pax", "", b'x', &record(length))
    }

    /// A GNU long name for the entry that follows.
    pub(crate) fn long_name(name: &str) -> Self {
        Self::raw("././@LongLink", "", b'L', &format!("{name}\0"))
    }
}

/// A tar archive.
pub(crate) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        let raw = header.as_old_mut();
        raw.name[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
        raw.linkname[..entry.target.len()].copy_from_slice(entry.target.as_bytes());
        header.set_entry_type(tar::EntryType::new(entry.kind));
        header.set_mode(entry.mode);
        header.set_size(entry.content.len() as u64);
        header.set_cksum();
        bytes.extend(header.as_bytes());
        bytes.extend(&entry.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Compressed with gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// A `.tgz`.
pub(crate) fn tgz(entries: &[Entry]) -> Vec<u8> {
    gzip(&tar(entries))
}

/// A `.tar.xz`.
pub(crate) fn txz(entries: &[Entry]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(&tar(entries)).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}
