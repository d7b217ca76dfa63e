//! The content-addressed store: every package unpacked once, every derived file made once.
//!
//! Nothing in it is ever changed after it got its final name. Entries are made under `tmp/` and renamed into place
//! when they are whole, so a builder killed at any moment leaves nothing that could be taken for an entry. Builders at
//! work at the same time share it: who renames second takes what the first one put there. `docs/store.md` has the
//! layout and the guarantees.
//!
//! Deliberately absent: garbage collection, which is [`crate::upkeep`]'s. The cache folder may be removed at any time.

pub(crate) mod check;
mod entry;
mod error;
mod index;
#[cfg(test)]
pub(crate) mod sample;
mod session;
mod unpack;
mod used;

use std::fs::{self, File};
use std::io::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::Digest;
use serde::{Deserialize, Serialize};

use crate::buffers;
use crate::context::Context;
use crate::integrity::Integrity;
use crate::mode;
use crate::shared_cache::SharedCache;
use crate::tree::{Source, Tree};
use entry::Found;
use session::Session;

pub use error::{StoreError, UnpackError};
pub(crate) use session::Gate;
pub(crate) use unpack::PROGRAM;
pub(crate) use used::{PRECISION, touch};

pub(crate) const PACKAGES: &str = "packages-v2";
pub(crate) const BLOBS: &str = "blobs-v1";
pub(crate) const DERIVED: &str = "derived-v1";

/// The store in the context's cache folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    root: Utf8PathBuf,
    session: Arc<Session>,
    boot: Option<Arc<str>>,
    now: SystemTime,
    shared: Option<SharedCache>,
}

/// What `derived-v1/<key>` holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Derived {
    version: u32,
    /// The key as given, for whoever looks into the cache.
    key: String,
    size: u64,
    executable: bool,
    sha256: Digest,
}

impl Derived {
    const VERSION: u32 = 1;
}

impl Store {
    /// Opens the store, making its folders if they are not there, and removes what killed builders left in `tmp/`.
    ///
    /// # Errors
    /// When the cache folder cannot be made or written to.
    pub fn open(context: &Context) -> Result<Self, StoreError> {
        let root = context.cache.clone();
        for folder in [PACKAGES, BLOBS, DERIVED, "tmp"] {
            make_folder(&root.join(folder))?;
        }
        let session = Session::begin(&root.join("tmp"))?;
        let boot = entry::boot().map(Arc::from);
        let session = Arc::new(session);
        Ok(Self { root, session, boot, now: context.now, shared: None })
    }

    /// The same, with a cache that others share.
    #[must_use]
    pub fn shared_with(self, shared: Option<SharedCache>) -> Self {
        Self { shared, ..self }
    }

    /// The cache that others share, for a neighbour that has something to ask it for.
    pub(crate) fn shared(&self) -> Option<&SharedCache> {
        self.shared.as_ref()
    }

    /// The tree of an archive that was unpacked before; paths start at the package's root (`package/` is gone).
    /// A damaged entry is removed and counts as missing.
    ///
    /// # Errors
    /// When the entry is there and cannot be read.
    pub fn unpacked(&self, integrity: &Integrity) -> Result<Option<Tree>, StoreError> {
        let folder = self.entry(integrity);
        match entry::load(&folder, self.boot.as_deref())? {
            Found::Nothing => Ok(None),
            Found::Whole(tree) => {
                self.touch(&folder.join(entry::INDEX));
                Ok(Some(tree))
            }
            Found::Damaged => {
                tracing::warn!(%folder, "the cache entry is damaged; fetching it again");
                self.take_away(&folder)?;
                Ok(None)
            }
        }
    }

    /// Unpacks an archive whose bytes were found to have this integrity.
    ///
    /// # Errors
    /// When the archive is malformed or hostile, or cannot be written out.
    pub fn unpack(&self, integrity: &Integrity, archive: &Utf8Path) -> Result<Tree, StoreError> {
        let work = self.temporary()?;
        let made = utf8(work.path()).join("entry");
        let files = made.join(entry::FILES);
        make_folder(&files)?;
        let unpacked = unpack::unpack(archive, &files, &unpack::LIMITS)
            .map_err(|source| StoreError::Unpack { archive: archive.to_owned(), source })?;
        let boot = self.boot.as_deref().unwrap_or_default();
        let index = index::encode(boot, &unpacked.files, &unpacked.links);
        entry::write_index(&made, &index)?;

        let folder = self.entry(integrity);
        make_folder(folder.parent().expect("an entry is in a shard"))?;
        match fs::rename(&made, &folder) {
            Ok(()) => {}
            Err(error) => match self.unpacked(integrity)? {
                // Another builder was faster; its entry came from the same bytes.
                Some(tree) => return Ok(tree),
                None => fs::rename(&made, &folder)
                    .map_err(|_| StoreError::io("move an entry to", &folder)(error))?,
            },
        }
        let index = index::decode(&index, &folder.join(entry::FILES));
        Ok(index.expect("it was written a moment ago").tree)
    }

    /// Puts bytes into the store.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn add_bytes(&self, bytes: &[u8], executable: bool) -> Result<Source, StoreError> {
        let source = self.blob(Digest::of(bytes), bytes.len() as u64, executable);
        if self.has(&source) {
            return Ok(source);
        }
        let folder = self.session.folder();
        let mut file = tempfile::NamedTempFile::new_in(folder)
            .map_err(StoreError::io("make a temporary file in", folder))?;
        file.write_all(bytes).map_err(StoreError::io("write", &source.path()))?;
        self.keep(file, source)
    }

    /// Puts a private copy of a file into the store.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn add_file(&self, path: &Utf8Path, executable: bool) -> Result<Source, StoreError> {
        let folder = self.session.folder();
        let mut file = tempfile::NamedTempFile::new_in(folder)
            .map_err(StoreError::io("make a temporary file in", folder))?;
        let mut from = File::open(path).map_err(StoreError::io("read", path))?;
        // Lets the kernel copy, and share blocks where the file system can.
        std::io::copy(&mut from, file.as_file_mut()).map_err(StoreError::io("copy", path))?;
        // The copy is what gets a name, so the copy is what is hashed: the original may change meanwhile.
        let copy = file.reopen().map_err(StoreError::io("read the copy of", path))?;
        let (digest, size) =
            Digest::of_reader(copy).map_err(StoreError::io("read the copy of", path))?;
        let source = self.blob(digest, size, executable);
        if self.has(&source) {
            return Ok(source);
        }
        self.keep(file, source)
    }

    /// A file that [`Store::add_bytes`] or [`Store::add_file`] put into the store before, if it is still there.
    #[must_use]
    pub fn added(&self, sha256: Digest, size: u64, executable: bool) -> Option<Source> {
        let source = self.blob(sha256, size, executable);
        self.has(&source).then_some(source)
    }

    /// The file that an earlier call made under this key, or what `make` writes now. The key must name everything
    /// that went into it.
    ///
    /// # Errors
    /// When `make` fails or the result cannot be written.
    pub fn derived<E: From<StoreError>>(
        &self,
        key: &str,
        executable: bool,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Source, E> {
        let path =
            self.root.join(DERIVED).join(Digest::of(format!("{executable} {key}")).to_string());
        if let Some(source) = self.recorded(&path) {
            return Ok(source);
        }
        let bytes = make()?;
        let source = self.add_bytes(&bytes, executable)?;
        buffers::give_back(bytes);
        let record = Derived {
            version: Derived::VERSION,
            key: key.to_owned(),
            size: source.size,
            executable,
            sha256: source.sha256,
        };
        self.record(&path, &record)?;
        Ok(source)
    }

    /// Removes the entry or blob that `path` (a [`Source`]'s) belongs to, because its bytes are not what the index says.
    /// The next run fetches or makes it again. Says whether there was one.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(&self, path: &Utf8Path) -> Result<bool, StoreError> {
        let Ok(below) = path.strip_prefix(&self.root) else { return Ok(false) };
        let depth = match below.components().next().map(|part| part.as_str()) {
            Some(PACKAGES | BLOBS) => 3,
            _ => return Ok(false),
        };
        let mut parts: Vec<_> = below.components().map(|part| part.as_str()).collect();
        if parts.len() < depth || parts.contains(&"..") {
            return Ok(false);
        }
        parts.truncate(depth);
        let folder = self.root.join(parts.join("/"));
        if folder.symlink_metadata().is_err() {
            return Ok(false);
        }
        self.take_away(&folder)?;
        Ok(true)
    }

    /// A folder of one's own on the store's file system. It goes away with the value or with the last clone of this
    /// store, and if the builder is killed, with the next `open`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn temporary(&self) -> Result<tempfile::TempDir, StoreError> {
        let folder = self.session.folder();
        tempfile::tempdir_in(folder).map_err(StoreError::io("make a temporary folder in", folder))
    }

    /// The folder `name` of the cache, for a neighbour of the store that keeps things its own way.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn bucket(&self, name: &str) -> Result<Utf8PathBuf, StoreError> {
        let folder = self.root.join(name);
        make_folder(&folder)?;
        Ok(folder)
    }

    /// Remembers that a file of the cache is used.
    pub(crate) fn touch(&self, path: &Utf8Path) {
        used::touch(path, self.now);
    }

    /// The root of the cache.
    pub(crate) fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Keeps builders from beginning as long as the result is held, and says which are at work.
    ///
    /// # Errors
    /// When the sessions cannot be listed.
    pub(crate) fn close_gate(&self) -> Result<Gate, StoreError> {
        self.session.close_gate(&self.root.join("tmp"))
    }

    /// Removes something of the cache: it loses its name at once, and its bytes with `grave`, a folder of
    /// [`Store::temporary`]. A removal that is interrupted must not leave half of it behind.
    ///
    /// # Errors
    /// When it cannot be moved. That it is gone already is none.
    pub(crate) fn bury(
        &self,
        path: &Utf8Path,
        grave: &tempfile::TempDir,
    ) -> Result<(), StoreError> {
        let place = tempfile::tempdir_in(grave)
            .map_err(StoreError::io("make a temporary folder in", utf8(grave.path())))?;
        match fs::rename(path, place.keep().join("entry")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    fn has(&self, source: &Source) -> bool {
        let path = source.path();
        let has = entry::has_size(&path, source.size);
        if has {
            self.touch(&path);
        }
        has
    }

    /// Where an archive with this integrity is unpacked.
    fn entry(&self, integrity: &Integrity) -> Utf8PathBuf {
        let key = integrity.key();
        let digest = key.rsplit('-').next().unwrap_or(&key);
        self.root.join(PACKAGES).join(&digest[..2]).join(&key)
    }

    /// The source of a blob. The mode belongs to the inode that hard links share, so it is part of the name.
    fn blob(&self, sha256: Digest, size: u64, executable: bool) -> Source {
        let digest = sha256.to_string();
        let suffix = if executable { "-x" } else { "" };
        let path = self.root.join(BLOBS).join(&digest[..2]).join(format!("{digest}{suffix}"));
        Source::new(path, size, executable, sha256)
    }

    /// Gives a finished temporary file its name in the store.
    fn keep(&self, file: tempfile::NamedTempFile, source: Source) -> Result<Source, StoreError> {
        mode::set(file.as_file(), source.executable)
            .map_err(StoreError::io("set the mode of", &source.path()))?;
        make_folder(source.path().parent().expect("a blob is in a shard"))?;
        file.persist(source.path())
            .map_err(|error| StoreError::io("move a file to", &source.path())(error.error))?;
        Ok(source)
    }

    /// What a derivation's record points to, if both are whole.
    fn recorded(&self, path: &Utf8Path) -> Option<Source> {
        let record: Derived = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let source = self.blob(record.sha256, record.size, record.executable);
        let whole = record.version == Derived::VERSION && self.has(&source);
        whole.then(|| self.touch(path));
        whole.then_some(source)
    }

    fn record(&self, path: &Utf8Path, record: &Derived) -> Result<(), StoreError> {
        let folder = self.session.folder();
        let mut file = tempfile::NamedTempFile::new_in(folder)
            .map_err(StoreError::io("make a temporary file in", folder))?;
        let text = serde_json::to_vec(record).expect("texts, numbers and digests have a JSON form");
        file.write_all(&text).map_err(StoreError::io("write", path))?;
        file.persist(path).map_err(|error| StoreError::io("move a file to", path)(error.error))?;
        Ok(())
    }

    fn take_away(&self, path: &Utf8Path) -> Result<(), StoreError> {
        self.bury(path, &self.temporary()?)
    }
}

fn make_folder(path: &Utf8Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(StoreError::io("make the folder", path))
}

fn utf8(path: &std::path::Path) -> &Utf8Path {
    Utf8Path::from_path(path).expect("everything in the store has a UTF-8 name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Place, Sandbox, apart, contents, rendered};
    use sample::Entry;

    fn open(sandbox: &Sandbox) -> Store {
        Store::open(&sandbox.context(&[])).expect("a fresh folder")
    }

    fn archive(sandbox: &Sandbox, entries: &[Entry]) -> (Integrity, Utf8PathBuf) {
        let bytes = sample::tgz(entries);
        (Integrity::sha512(&bytes), sandbox.write("archive.tgz", bytes))
    }

    fn small(sandbox: &Sandbox) -> (Integrity, Utf8PathBuf) {
        let entries =
            [Entry::file("p/lib/index.js", "code"), Entry::executable("p/run", "#!/bin/sh\n")];
        archive(sandbox, &entries)
    }

    /// What the store holds, without temporary files.
    fn kept(sandbox: &Sandbox) -> Vec<String> {
        let found = contents(&sandbox.root.join("cache"));
        found.into_keys().filter(|path| !path.starts_with("tmp/")).collect()
    }

    #[test]
    fn unpacked_once() {
        let sandbox = Sandbox::new();
        let store = open(&sandbox);
        let (integrity, path) = small(&sandbox);
        assert_eq!(store.unpacked(&integrity).expect("readable"), None);
        let tree = store.unpack(&integrity, &path).expect("an ordinary archive");
        let paths: Vec<_> = tree.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["lib/index.js", "run"]);
        for (_, source) in tree.files() {
            assert_eq!(Digest::of(fs::read(source.path()).expect("there")), source.sha256);
        }
        drop(store);
        let store = open(&sandbox);
        assert_eq!(store.unpacked(&integrity).expect("readable"), Some(tree.clone()));
        // As when two builders fetched the same.
        assert_eq!(store.unpack(&integrity, &path).expect("it is there already"), tree);
    }

    #[test]
    fn many_at_the_same_time() {
        let sandbox = Sandbox::new();
        let (integrity, path) = small(&sandbox);
        let trees: Vec<_> = std::thread::scope(|scope| {
            let work = || open(&sandbox).unpack(&integrity, &path).expect("an ordinary archive");
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(trees.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn half_an_entry_is_never_taken() {
        let sandbox = Sandbox::new();
        let store = open(&sandbox);
        let (integrity, path) = small(&sandbox);
        let tree = store.unpack(&integrity, &path).expect("an ordinary archive");
        let folder = store.entry(&integrity);
        let index = folder.join("index");
        let bytes = fs::read(&index).expect("there");
        let files = tree.files().map(|(path, source)| {
            let Source { size, executable, sha256, .. } = *source;
            index::IndexedFile { path: path.clone(), size, executable, sha256 }
        });
        let other_run = index::encode("an earlier run", &files.collect::<Vec<_>>(), &[]);
        let file = folder.join("files/lib/index.js");
        // What a kill at a bad moment, a power failure or a newer builder may leave behind.
        let damages: [(&str, &dyn Fn()); 5] = [
            ("no index", &|| fs::remove_file(&index).expect("there")),
            ("half an index", &|| fs::write(&index, &bytes[..bytes.len() / 2]).expect("writable")),
            ("an empty index", &|| fs::write(&index, "").expect("writable")),
            ("another format", &|| {
                fs::write(&index, r#"{"version":1,"files":[]}"#).expect("writable");
            }),
            ("an empty file after a power failure", &|| {
                fs::write(&index, &other_run).expect("writable");
                fs::write(&file, "").expect("writable");
            }),
        ];
        for (name, damage) in damages {
            damage();
            assert_eq!(store.unpacked(&integrity).expect(name), None, "{name}");
            assert!(!folder.exists(), "{name}");
            assert_eq!(store.unpack(&integrity, &path).expect(name), tree, "{name}");
        }
        // An entry of an earlier run is compared with its index once.
        fs::write(&index, &other_run).expect("writable");
        assert_eq!(store.unpacked(&integrity).expect("readable"), Some(tree));
        assert!(folder.join("settled").exists());
    }

    #[test]
    fn an_entry_cannot_be_half_there() {
        let sandbox = Sandbox::new();
        let store = open(&sandbox);
        let (integrity, path) = archive(
            &sandbox,
            &[Entry::file("p/good", "x"), Entry::file("p/sub/../../../bad", "x")],
        );
        assert!(matches!(store.unpack(&integrity, &path), Err(StoreError::Unpack { .. })));
        assert_eq!(kept(&sandbox), [""; 0]);
        // A builder killed while it unpacks leaves a session that nobody holds.
        let half = sandbox.write("cache/tmp/session-killed/work/entry/files/good", "x");
        sandbox.write("cache/tmp/session-killed/lock", "");
        drop(store);
        let store = open(&sandbox);
        assert!(!half.exists());
        assert_eq!(store.unpacked(&integrity).expect("readable"), None);
    }

    #[test]
    fn blobs() {
        let sandbox = Sandbox::new();
        let store = open(&sandbox);
        let plain = store.add_bytes(b"content", false).expect("writable");
        let executable = store.add_bytes(b"content", true).expect("writable");
        assert_ne!(plain.path(), executable.path());
        assert_eq!(plain.sha256, executable.sha256);
        let path = sandbox.write("own", "content");
        let copy = store.add_file(&path, false).expect("readable");
        assert_eq!(copy, plain);
        fs::write(&path, "changed").expect("writable");
        assert_eq!(fs::read(plain.path()).expect("there"), b"content");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode =
                |path: Utf8PathBuf| fs::metadata(path).expect("there").permissions().mode() & 0o777;
            assert_eq!((mode(plain.path()), mode(executable.path())), (0o644, 0o755));
        }
        // A blob cut short by a power failure is written again.
        fs::write(plain.path(), "").expect("writable");
        store.add_bytes(b"content", false).expect("writable");
        assert_eq!(fs::read(plain.path()).expect("there"), b"content");
    }

    #[test]
    fn derived_once() {
        let sandbox = Sandbox::new();
        let store = open(&sandbox);
        let made = std::cell::Cell::new(0);
        let make = |bytes: &'static [u8]| {
            made.set(made.get() + 1);
            Ok::<_, StoreError>(bytes.to_vec())
        };
        let first = store.derived("strip v1 abc", true, || make(b"one")).expect("writable");
        let again = store.derived("strip v1 abc", true, || make(b"two")).expect("there");
        assert_eq!((first.clone(), made.get()), (again, 1));
        store.derived("strip v1 abc", false, || make(b"one")).expect("writable");
        store.derived("strip v2 abc", true, || make(b"one")).expect("writable");
        assert_eq!(made.get(), 3);
        // The record without its blob, or half a record, counts for nothing.
        assert!(store.discard(&first.path()).expect("writable"));
        store.derived("strip v1 abc", true, || make(b"one")).expect("writable");
        assert_eq!(made.get(), 4);
        for record in fs::read_dir(sandbox.root.join("cache/derived-v1")).expect("there") {
            fs::write(record.expect("there").path(), r#"{"version":1,"#).expect("writable");
        }
        store.derived("strip v1 abc", true, || make(b"one")).expect("writable");
        assert_eq!(made.get(), 5);
        let failed: Result<_, StoreError> = store.derived("fails", true, || {
            Err(StoreError::io("make", Utf8Path::new("x"))(std::io::ErrorKind::Other.into()))
        });
        assert!(failed.is_err());
    }

    #[test]
    fn discarding() {
        let sandbox = Sandbox::new();
        let store = open(&sandbox);
        let (integrity, path) = small(&sandbox);
        let tree = store.unpack(&integrity, &path).expect("an ordinary archive");
        let source = tree.files().next().expect("two files").1;
        assert!(store.discard(&source.path()).expect("writable"));
        assert_eq!(store.unpacked(&integrity).expect("readable"), None);
        assert!(!store.discard(&source.path()).expect("it is gone"));
        // Nothing that is not an entry or a blob.
        let cache = sandbox.root.join("cache");
        for other in [
            path,
            cache.join("packages-v2"),
            cache.join("packages-v2/aa"),
            cache.join("packages-v2/../../archive.tgz"),
            cache.join("tmp/gate"),
        ] {
            assert!(!store.discard(&other).expect("untouched"), "{other}");
            assert!(sandbox.root.join("archive.tgz").exists());
        }
    }

    #[test]
    fn a_full_disk() {
        let setup = "mount -t tmpfs -o size=256k tmpfs $FOLDER";
        let name = "store::tests::a_full_disk";
        let Place::Inside(folder) = apart(name, &["unshare", "-Urm"], setup) else { return };
        let sandbox = Sandbox::new();
        let mut context = sandbox.context(&[]);
        context.cache = folder.clone();
        let store = Store::open(&context).expect("there is room");
        let (integrity, path) = archive(&sandbox, &[Entry::file("p/big", &"x".repeat(1 << 20))]);
        let error = store.unpack(&integrity, &path).expect_err("no room");
        assert!(rendered(&error).contains("the disk is full: free some space"), "{error:?}");
        let error = store.add_bytes(&[0; 1 << 20], false).expect_err("no room");
        assert!(rendered(&error).contains("the disk is full: free some space"), "{error:?}");
        assert!(store.add_file(&path, false).is_ok(), "the failed attempts took their room along");
        assert_eq!(store.unpacked(&integrity).expect("readable"), None);
        let found = contents(&folder).into_keys().filter(|path| !path.starts_with("tmp/"));
        assert_eq!(found.count(), 1);
    }

    #[test]
    fn a_read_only_cache() {
        let setup = "mount -t tmpfs -o ro tmpfs $FOLDER";
        let name = "store::tests::a_read_only_cache";
        let Place::Inside(folder) = apart(name, &["unshare", "-Urm"], setup) else { return };
        let mut context = Sandbox::new().context(&[]);
        context.cache = folder.join("cache");
        let error = Store::open(&context).expect_err("it is read-only");
        insta::assert_snapshot!(rendered(&error).replace(folder.as_str(), "FOLDER"), @r"
        × cannot make the folder `FOLDER/cache/packages-v2`
        ╰─▶ Read-only file system (os error 30)
        help: the cache must be on a file system that can be written to: choose another folder for it with `--cache DIR`
        ");
    }

    #[test]
    fn a_file_in_the_way() {
        let sandbox = Sandbox::new();
        sandbox.write("cache", "a file");
        let error = Store::open(&sandbox.context(&[])).expect_err("no folder");
        insta::assert_snapshot!(rendered(&error).replace(sandbox.root.as_str(), "ROOT"), @r"
        × cannot make the folder `ROOT/cache/packages-v2`
        ╰─▶ Not a directory (os error 20)
        help: a file is in the way where the cache needs a folder: move it, or choose another folder for it with `--cache DIR`
        ");
    }
}
