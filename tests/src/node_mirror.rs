//! A mirror of Node's own server, with releases made up: their `bin/node` is a shell script.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::json;
use sha2::Digest as _;

use crate::registry::{Answer, LocalRegistry};
use crate::signing;

/// One release as it stands on the mirror.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its version, without `v`.
    pub version: String,
    /// Its archive for linux-x64.
    pub archive: Vec<u8>,
}

impl Release {
    /// A release whose `node` says `greeting`, its script's file name and its arguments.
    ///
    /// # Panics
    /// Never: memory takes every write.
    #[must_use]
    pub fn new(version: &str, greeting: &str) -> Self {
        Self { version: version.to_owned(), archive: archive(version, &script(greeting)) }
    }

    /// The archive's file name.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("node-v{}-linux-x64.tar.xz", self.version)
    }

    /// The digest in the release's list.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        sha2::Sha256::digest(&self.archive).into()
    }
}

/// The `bin/node` of a release that says `greeting`.
#[must_use]
pub fn script(greeting: &str) -> String {
    format!("#!/bin/sh\necho \"{greeting}: ${{1##*/}}\"\nshift\nprintf '<%s>' \"$@\"\n")
}

/// What the mirror answers; a test may spoil it before it is served.
///
/// # Panics
/// Never: the texts are plain.
#[must_use]
pub fn answers(releases: &[Release]) -> BTreeMap<String, Answer> {
    let index: Vec<_> = releases
        .iter()
        .map(|release| {
            json!({
                "version": format!("v{}", release.version), "date": "2026-01-01",
                "files": ["headers", "linux-x64"], "lts": false,
            })
        })
        .collect();
    let index = serde_json::to_vec(&index).expect("plain JSON");
    let mut answers = BTreeMap::from([("/dist/index.json".to_owned(), Answer::Bytes(index))]);
    for release in releases {
        let folder = format!("/dist/v{}", release.version);
        let name = release.file_name();
        let digest: String = release.sha256().iter().map(|byte| format!("{byte:02x}")).collect();
        let sums = format!(
            "{}  node-v{}-headers.tar.xz\n{digest}  {name}\n",
            "0".repeat(64),
            release.version
        );
        let sums = signing::sign(&sums).into_bytes();
        answers.insert(format!("{folder}/SHASUMS256.txt.asc"), Answer::Bytes(sums));
        answers.insert(format!("{folder}/{name}"), Answer::Bytes(release.archive.clone()));
    }
    answers
}

/// A server with these releases.
#[must_use]
pub fn serve(releases: &[Release]) -> LocalRegistry {
    LocalRegistry::start(answers(releases))
}

/// The value of `GANGWAY_NODE_MIRROR` for a server.
#[must_use]
pub fn url(server: &LocalRegistry) -> String {
    format!("{}dist", server.url())
}

fn archive(version: &str, script: &str) -> Vec<u8> {
    let root = format!("node-v{version}-linux-x64");
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode, content) in [
        ("LICENSE", 0o644, "the licence\n"),
        ("bin/node", 0o755, script),
        ("include/node/node.h", 0o644, "#define NODE\n"),
        ("lib/node_modules/npm/bin/npm-cli.js", 0o755, "npm\n"),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        tar.append_data(&mut header, format!("{root}/{path}"), content.as_bytes())
            .expect("memory takes every write");
    }
    let mut link = tar::Header::new_ustar();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    link.set_mode(0o777);
    tar.append_link(&mut link, format!("{root}/bin/npm"), "../lib/node_modules/npm/bin/npm-cli.js")
        .expect("memory takes every write");
    let tar = tar.into_inner().expect("memory takes every write");
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(&tar).expect("memory takes every write");
    encoder.finish().expect("memory takes every write")
}
