//! Compressed frames, kept: what was compressed once is not compressed again, for no target and no version.
//!
//! A frame's key names everything that decides its bytes: digests of files, headers, and the compressor with its
//! settings. So a hit needs none of the files. `frames-v1/<first two digits>/<key>` holds the frame and then a digest
//! of key and frame: one that is damaged, cut off or under another's name is made anew.
//!
//! Threads that want the same frame at the same time share one compression. Where several bundles are made, the frames
//! that come first are kept in memory too: those are what the bundles have in common. A cache that cannot be written
//! to costs time and nothing else.
//!
//! What is not here may be in the shared cache. A frame from there is kept only when the caller has found it to hold what
//! it would have compressed itself; from then on it is one of our own.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use camino::Utf8PathBuf;
use gangway_artifact::Digest;

use super::beginnings::Beginnings;
use crate::buffers;
use crate::shared_cache::{Kind, Load, SharedCache};
use crate::store::{Store, StoreError};

pub(crate) const BUCKET: &str = "frames-v1";

/// How much is kept in memory of the frames that came first, in bytes: what the eleven bundles of OpenClaw share is 80 MB.
const MOST_REMEMBERED: usize = 128 << 20;

/// How many frames are brought from the shared cache at the same time: most of the time they wait for the network.
const BROUGHT_AT_ONCE: usize = 8;

/// The length of the digest behind a frame, in bytes.
const SEAL: usize = 64;

/// The frames in the cache folder.
#[derive(Debug)]
pub struct FrameCache {
    folder: Utf8PathBuf,
    /// Where frames are written before they get their names; it is there as long as the store is.
    work: tempfile::TempDir,
    store: Store,
    turns: Mutex<HashMap<Digest, Arc<Mutex<()>>>>,
    compressed: AtomicU64,
    reused: AtomicU64,
    remembered: Mutex<Remembered>,
    most_remembered: usize,
    /// What the archives begin with, if there are several.
    beginnings: Option<Beginnings>,
    shared: Option<SharedCache>,
    /// Held by whoever brings frames: who comes second finds what the first one brought.
    bringing: Mutex<()>,
}

/// A frame, and the digest of its bytes: they are hashed once, however many archives they are in.
#[derive(Debug)]
pub(crate) struct Compressed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sha256: Digest,
}

impl Compressed {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let sha256 = Digest::of(&bytes);
        Self { bytes, sha256 }
    }

    /// Its memory is used again, unless somebody still has it.
    pub(super) fn give_back(this: Arc<Self>) {
        if let Some(Self { bytes, .. }) = Arc::into_inner(this) {
            buffers::give_back(bytes);
        }
    }
}

/// Frames in memory.
#[derive(Debug, Default)]
struct Remembered {
    frames: HashMap<Digest, Arc<Compressed>>,
    bytes: usize,
}

impl FrameCache {
    /// The cache beside the store's packages, for one archive or several.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn open(store: &Store, is_for_several: bool) -> Result<Self, StoreError> {
        Ok(Self {
            folder: store.bucket(BUCKET)?,
            work: store.temporary()?,
            store: store.clone(),
            turns: Mutex::default(),
            compressed: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            remembered: Mutex::default(),
            most_remembered: if is_for_several { MOST_REMEMBERED } else { 0 },
            beginnings: is_for_several.then(Beginnings::default),
            shared: None,
            bringing: Mutex::default(),
        })
    }

    /// The same, with a cache that is asked for what is not here and gets what is made.
    #[must_use]
    pub fn shared_with(self, shared: Option<SharedCache>) -> Self {
        Self { shared, ..self }
    }

    /// How many bytes of frames were compressed, and how many were there already.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.compressed.load(Ordering::Relaxed), self.reused.load(Ordering::Relaxed))
    }

    /// What the archives of several begin with.
    pub(super) fn beginnings(&self) -> Option<&Beginnings> {
        self.beginnings.as_ref()
    }

    /// Whether a frame is likely there: [`obtain`](Self::obtain) may find it damaged.
    pub(super) fn has(&self, key: &Digest) -> bool {
        self.path(key).exists()
    }

    /// Whether there is any use in [`bring`](Self::bring).
    pub(super) fn is_shared(&self) -> bool {
        self.shared.as_ref().is_some_and(SharedCache::is_on)
    }

    /// Looks for frames in the shared cache and keeps those of which `proves` says that they are what is wanted.
    pub(super) fn bring<T: Send>(
        &self,
        wanted: Vec<(Digest, T)>,
        proves: impl Fn(&T, &[u8]) -> bool + Sync,
    ) {
        let Some(shared) = &self.shared else { return };
        let _turn = locked(&self.bringing);
        let _waiting = shared.waiting();
        let threads = wanted.len().min(BROUGHT_AT_ONCE);
        let wanted = Mutex::new(VecDeque::from(wanted));
        let work = || {
            loop {
                let next = locked(&wanted).pop_front();
                let Some((key, piece)) = next else { return };
                if shared.is_on() && !self.has(&key) {
                    self.bring_one(shared, &key, |frame| proves(&piece, frame));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
    }

    fn bring_one(&self, shared: &SharedCache, key: &Digest, proves: impl Fn(&[u8]) -> bool) {
        let Some(found) = shared.find(Kind::Frame, key) else { return };
        if !proves(&found.bytes) {
            shared.refuse(found);
            return;
        }
        // Its bytes are copied: what was found has to be told of afterwards.
        match self.keep(key, &Compressed::new(found.bytes.clone())) {
            Ok(()) => shared.used(found, Kind::Frame, key, || self.load(key)),
            Err(error) => {
                tracing::warn!(path = %self.path(key), %error, "cannot keep a compressed frame");
            }
        }
    }

    fn load(&self, key: &Digest) -> Load {
        Load::Frame { key: *key, path: self.path(key) }
    }

    /// The frame of this key, or what `make` compresses now.
    pub(crate) fn obtain<E>(
        &self,
        key: &Digest,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Arc<Compressed>, E> {
        let turn = Arc::clone(locked(&self.turns).entry(*key).or_default());
        // Whoever comes second waits here, and then finds the frame.
        let _turn = locked(&turn);
        if let Some(frame) = self.recall(key) {
            self.reused.fetch_add(frame.bytes.len() as u64, Ordering::Relaxed);
            return Ok(frame);
        }
        let frame = Arc::new(Compressed::new(make()?));
        self.compressed.fetch_add(frame.bytes.len() as u64, Ordering::Relaxed);
        match (self.keep(key, &frame), &self.shared) {
            (Ok(()), Some(shared)) => shared.offer(Kind::Frame, key, self.load(key)),
            (Ok(()), None) => {}
            (Err(error), _) => {
                tracing::warn!(path = %self.path(key), %error, "cannot keep a compressed frame");
            }
        }
        self.remember(key, &frame);
        Ok(frame)
    }

    /// Makes the next one who wants this frame compress it anew.
    pub(super) fn forget(&self, key: &Digest) {
        let mut remembered = locked(&self.remembered);
        if let Some(frame) = remembered.frames.remove(key) {
            remembered.bytes -= frame.bytes.len();
        }
        let path = self.path(key);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%path, %error, "cannot remove a compressed frame that is wrong");
        }
    }

    /// A frame that was made before.
    fn recall(&self, key: &Digest) -> Option<Arc<Compressed>> {
        let remembered = locked(&self.remembered).frames.get(key).cloned();
        remembered.or_else(|| {
            let frame = Arc::new(self.read(key)?);
            self.remember(key, &frame);
            Some(frame)
        })
    }

    fn remember(&self, key: &Digest, Compressed { bytes, sha256 }: &Compressed) {
        let mut remembered = locked(&self.remembered);
        if remembered.bytes + bytes.len() <= self.most_remembered {
            remembered.bytes += bytes.len();
            // Its buffer is larger than what is in it, and is wanted for the next one.
            let copy = Compressed { bytes: bytes.clone(), sha256: *sha256 };
            remembered.frames.insert(*key, Arc::new(copy));
        }
    }

    fn read(&self, key: &Digest) -> Option<Compressed> {
        let path = self.path(key);
        let frame = open_frame(key, buffers::read(&path).ok()?);
        match &frame {
            Some(_) => self.store.touch(&path),
            None => {
                tracing::warn!(%path, "a compressed frame in the cache is damaged; it is made anew");
            }
        }
        frame
    }

    fn keep(&self, key: &Digest, frame: &Compressed) -> io::Result<()> {
        let path = self.path(key);
        fs::create_dir_all(path.parent().expect("a frame is in a shard"))?;
        let mut file = tempfile::NamedTempFile::new_in(self.work.path())?;
        file.write_all(&frame.bytes)?;
        file.write_all(sealed(key, &frame.sha256).as_bytes())?;
        file.persist(path)?;
        Ok(())
    }

    fn path(&self, key: &Digest) -> Utf8PathBuf {
        let key = key.to_string();
        self.folder.join(&key[..2]).join(key)
    }
}

/// The frame of this key in the bytes of its file, if they are whole.
pub(crate) fn open_frame(key: &Digest, mut bytes: Vec<u8>) -> Option<Compressed> {
    let seal = bytes.split_off(bytes.len().checked_sub(SEAL)?);
    let frame = Compressed::new(bytes);
    (seal == sealed(key, &frame.sha256).as_bytes()).then_some(frame)
}

/// What stands behind a frame with this digest: 64 hexadecimal digits.
fn sealed(key: &Digest, frame: &Digest) -> String {
    Digest::of(format!("{key}{frame}")).to_string()
}

/// What a thread that panicked held is as whole as ever: only time is shared here.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;

    fn cache(sandbox: &Sandbox) -> FrameCache {
        let store = Store::open(&sandbox.context(&[])).expect("a fresh folder");
        FrameCache::open(&store, false).expect("the store is there")
    }

    fn obtain(cache: &FrameCache, key: &str, frame: &str) -> String {
        let made = cache.obtain(&Digest::of(key), || Ok::<_, ()>(frame.as_bytes().to_vec()));
        let made = made.expect("it is made");
        assert_eq!(made.sha256, Digest::of(&made.bytes));
        String::from_utf8(made.bytes.clone()).expect("texts")
    }

    #[test]
    fn made_once() {
        let sandbox = Sandbox::new();
        assert_eq!(obtain(&cache(&sandbox), "a", "frame"), "frame");
        let again = cache(&sandbox);
        assert!(again.has(&Digest::of("a")) && !again.has(&Digest::of("b")));
        assert_eq!(obtain(&again, "a", "another"), "frame");
        assert_eq!(obtain(&again, "b", ""), "");
        assert_eq!(obtain(&again, "b", "another"), "");
        assert_eq!(again.bytes(), (0, 5));
    }

    #[test]
    fn what_is_damaged_is_made_anew() {
        let sandbox = Sandbox::new();
        let cache = cache(&sandbox);
        obtain(&cache, "a", "frame");
        obtain(&cache, "b", "other");
        let path = cache.path(&Digest::of("a"));
        let whole = fs::read(&path).expect("it is kept");
        let mut damages = vec![fs::read(cache.path(&Digest::of("b"))).expect("it is kept")];
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            damages.extend([bytes, whole[..at].to_vec()]);
        }
        for damaged in damages {
            fs::write(&path, damaged).expect("ours");
            assert_eq!(obtain(&cache, "a", "anew"), "anew");
            assert_eq!(obtain(&cache, "a", "another"), "anew");
        }
    }

    #[test]
    fn several_bundles_have_the_first_frames_from_memory() {
        let sandbox = Sandbox::new();
        let store = Store::open(&sandbox.context(&[])).expect("a fresh folder");
        let cache = FrameCache {
            most_remembered: 5,
            ..FrameCache::open(&store, true).expect("the store is there")
        };
        for key in ["a", "b"] {
            obtain(&cache, key, "frame");
            fs::remove_file(cache.path(&Digest::of(key))).expect("it is kept on disk too");
        }
        assert_eq!(obtain(&cache, "a", "another"), "frame");
        // Nothing else is put where it is.
        Compressed::give_back(
            cache.obtain(&Digest::of("a"), || Err(())).expect("it is remembered"),
        );
        assert_eq!(obtain(&cache, "a", "another"), "frame");
        // There is an end to it.
        assert_eq!(obtain(&cache, "b", "another"), "another");
    }

    #[test]
    fn threads_share_the_work() {
        let sandbox = Sandbox::new();
        let cache = cache(&sandbox);
        let made = AtomicU64::new(0);
        let work = || {
            cache.obtain(&Digest::of("a"), || {
                made.fetch_add(1, Ordering::SeqCst);
                std::thread::yield_now();
                Ok::<_, ()>(b"frame".to_vec())
            })
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(work().expect("it is made").bytes, b"frame"));
            }
        });
        assert_eq!(made.into_inner(), 1);
    }

    #[test]
    fn a_failure_is_the_callers_alone() {
        let sandbox = Sandbox::new();
        let cache = cache(&sandbox);
        assert_eq!(cache.obtain(&Digest::of("a"), || Err("full")).err(), Some("full"));
        assert_eq!(obtain(&cache, "a", "frame"), "frame");
    }

    #[test]
    fn a_cache_that_cannot_be_written_to_is_no_error() {
        let sandbox = Sandbox::new();
        let cache = cache(&sandbox);
        fs::remove_dir_all(&cache.folder).expect("ours");
        fs::write(&cache.folder, "in the way").expect("ours");
        assert_eq!(obtain(&cache, "a", "frame"), "frame");
    }
}
