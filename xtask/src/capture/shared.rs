//! What a command made, from and to the shared cache.
//!
//! Nobody can tell by looking whether machine code is what a compiler makes of some sources. So this is only for a shared cache
//! whose seals say who made a thing, and only for commands whose key names all that they see: compilers that Gangway
//! brings, headers, sources. One object holds the record, a line end, and the files one after the other.

use std::io::Read as _;

use gangway_artifact::Digest;

use super::{Changes, Record, RecordedNode};
use crate::shared_cache::{Kind, Load, SharedCache};
use crate::store::{Store, StoreError};

/// How strongly it is compressed: it goes over a network once or twice.
const LEVEL: i32 = 6;

/// Nothing that is made of a package is larger, unpacked.
const LARGEST: u64 = 512 << 20;

impl Changes {
    /// What was kept under `key`, here or in the shared cache.
    ///
    /// # Errors
    /// When the store fails.
    pub fn recall_shared(store: &Store, key: &str) -> Result<Option<Self>, StoreError> {
        if let Some(changes) = Self::recall(store, key)? {
            return Ok(Some(changes));
        }
        let Some(shared) = vouching(store) else { return Ok(None) };
        let name = Digest::of(key);
        let Some(found) = shared.find(Kind::Made, &name) else { return Ok(None) };
        let Some(changes) = opened(store, key, &found.bytes)? else {
            shared.refuse(found);
            return Ok(None);
        };
        changes.remember(store, key)?;
        let bytes = found.bytes.clone();
        shared.used(found, Kind::Made, &name, || Load::Bytes(bytes));
        Ok(Some(changes))
    }

    /// Keeps it under `key`, here and in the shared cache.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remember_shared(&self, store: &Store, key: &str) -> Result<(), StoreError> {
        self.remember(store, key)?;
        if let Some(shared) = vouching(store)
            && let Some(object) = self.packed(key)
        {
            shared.offer(Kind::Made, &Digest::of(key), Load::Bytes(object));
        }
        Ok(())
    }

    /// The object, if all files are what they were.
    fn packed(&self, key: &str) -> Option<Vec<u8>> {
        let header = serde_json::to_vec(&(key, self.record())).expect("plain data");
        let mut bytes = [header, b"\n".to_vec()].concat();
        for (_, source) in self.present.files() {
            let file = std::fs::read(source.path()).ok()?;
            if Digest::of(&file) != source.sha256 {
                return None;
            }
            bytes.extend(file);
        }
        zstd::bulk::compress(&bytes, LEVEL).ok()
    }
}

fn vouching(store: &Store) -> Option<&SharedCache> {
    store.shared().filter(|shared| shared.vouches())
}

/// What is in an object, put into the store; nothing when it is not what was asked for.
fn opened(store: &Store, key: &str, object: &[u8]) -> Result<Option<Changes>, StoreError> {
    let Some((record, files)) = parsed(key, object) else { return Ok(None) };
    for (bytes, executable) in files {
        store.add_bytes(&bytes, executable)?;
    }
    Ok(super::restore(store, record))
}

/// Bytes, and whether they are executable.
type Files = Vec<(Vec<u8>, bool)>;

/// The record and the files it names, in its order.
fn parsed(key: &str, object: &[u8]) -> Option<(Record, Files)> {
    let mut bytes = Vec::new();
    let decoder = zstd::Decoder::new(object).ok()?;
    decoder.take(LARGEST + 1).read_to_end(&mut bytes).ok()?;
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (header, rest) = bytes.split_at(end);
    let (found, record): (String, Record) = serde_json::from_slice(header).ok()?;
    if found != key || record.version != Record::VERSION {
        return None;
    }
    let mut rest = &rest[1..];
    let mut files = Vec::new();
    for (_, node) in &record.present {
        let RecordedNode::File { size, executable, sha256 } = node else { continue };
        let (file, later) = rest.split_at_checked(usize::try_from(*size).ok()?)?;
        if Digest::of(file) != *sha256 {
            return None;
        }
        files.push((file.to_vec(), *executable));
        rest = later;
    }
    rest.is_empty().then_some((record, files))
}

#[cfg(test)]
mod tests {
    use gangway_artifact::BundlePath;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Sandbox;
    use crate::tree::{Node, Tree};

    fn changes(store: &Store) -> Changes {
        let mut present = Tree::default();
        let path = |text: &str| BundlePath::new(text).expect("plain");
        for (name, text, executable) in [("a.node", "machine code", true), ("b", "", false)] {
            let source = store.add_bytes(text.as_bytes(), executable).expect("writable");
            present.insert(path(name), Node::File(source));
        }
        present.insert(path("c"), Node::Link("b".to_owned()));
        Changes { present, removed: vec![path("gone")] }
    }

    #[test]
    fn what_was_packed_is_restored_elsewhere() {
        let (one, other) = (Sandbox::new(), Sandbox::new());
        let open = |sandbox: &Sandbox| Store::open(&sandbox.context(&[])).expect("a fresh folder");
        let (here, there) = (open(&one), open(&other));
        let made = changes(&here);
        let object = made.packed("key").expect("its files are whole");
        let found = opened(&there, "key", &object).expect("writable").expect("it is whole");
        assert_eq!(found.removed, made.removed);
        let told = |changes: &Changes| {
            let nodes = changes.present.iter().map(|(path, node)| match node {
                Node::File(source) => {
                    (path.clone(), format!("{} {}", source.sha256, source.executable))
                }
                Node::Link(target) => (path.clone(), target.clone()),
            });
            nodes.collect::<Vec<_>>()
        };
        assert_eq!(told(&found), told(&made));
        for (_, source) in found.present.files() {
            assert_eq!(Digest::of(std::fs::read(source.path()).expect("there")), source.sha256);
        }
        assert!(opened(&there, "another key", &object).expect("writable").is_none());
        for cut in [0, 1, object.len() / 2, object.len() - 1] {
            assert!(parsed("key", &object[..cut]).is_none(), "cut at {cut}");
        }
        // A file that changed since is not passed on.
        let (_, source) = made.present.files().next().expect("it has files");
        std::fs::remove_file(source.path()).expect("ours");
        std::fs::write(source.path(), "other code!!").expect("ours");
        assert!(made.packed("key").is_none());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_no_result(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            record in "\\[\"key\",\\{.{0,80}\\}\\]",
        ) {
            prop_assert!(parsed("key", &bytes).is_none());
            let text = [record.as_bytes(), b"\n", &bytes].concat();
            let object = ::zstd::bulk::compress(&text, 1).expect("it fits");
            prop_assert!(parsed("key", &object).is_none());
        }
    }
}
