//! The shared cache against services in memory, a folder, and servers that do not behave.

use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::*;
use crate::testing::{Answer, Sandbox, Server};

impl SharedCache {
    /// One in memory, as a machine of its own sees it.
    pub(crate) fn in_memory(
        context: &Context,
        store: &Arc<InMemory>,
        environment: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = format!("file://{}", folder.path().display());
        let mut seen = Context::new(
            context.environment.clone(),
            context.current_dir.clone(),
            context.cache.clone(),
            context.reporter.clone(),
        );
        seen.environment.insert(settings::PLACE.to_owned(), place);
        for (name, value) in environment {
            seen.environment.insert((*name).to_owned(), (*value).to_owned());
        }
        let settings = Settings::from_context(&seen).expect("sane").expect("set");
        let store: Arc<InMemory> = Arc::clone(store);
        Self::new(context, &settings, Service::of(store))
    }

    /// Puts something else in the place of an object, with a seal that is right.
    pub(crate) fn replace(&self, name: &str, instead: impl Fn(&[u8]) -> Vec<u8>) {
        let link = &self.0.link;
        let object = link.runtime.block_on(link.service.get(name));
        let object = object.expect("in memory").expect("it is there");
        let bytes = link.seals.open(name, object.bytes).expect("it is whole");
        let forged = instead(&bytes);
        let seal = link.seals.of(name, &forged);
        let forged = [&forged, seal.as_bytes()].concat();
        let put = link.service.put(name, forged, Instead::Of(object.version));
        assert_eq!(link.runtime.block_on(put), Ok(service::Sent::Put));
    }
}

const KEY: (&str, &str) = (settings::KEY, "0123456789abcdef0123456789abcdef");

fn key(text: &str) -> Digest {
    Digest::of(text)
}

fn load(text: &str) -> Load {
    Load::Bytes(text.as_bytes().to_vec())
}

fn found(shared: &SharedCache, name: &str) -> Option<String> {
    let found = shared.find(Kind::Made, &key(name))?;
    Some(String::from_utf8(found.bytes).expect("text"))
}

/// What is there, by name.
fn names(context: &Context, store: &Arc<InMemory>) -> Vec<String> {
    let listed = SharedCache::in_memory(context, store, &[]).list().expect("it has everything");
    listed.into_iter().map(|listed| listed.name).collect()
}

#[test]
fn what_one_machine_sends_another_finds() {
    for environment in [&[][..], &[KEY]] {
        let context = Sandbox::new().context(&[]);
        let store = Arc::new(InMemory::new());
        let one = SharedCache::in_memory(&context, &store, environment);
        assert_eq!(found(&one, "a"), None);
        one.offer(Kind::Made, &key("a"), load("made by one"));
        one.offer(Kind::Made, &key("b"), load(""));
        let used = one.finish();
        assert_eq!((used.found, used.sent, used.sent_bytes), (0, 2, 11 + 2 * 64));
        let other = SharedCache::in_memory(&context, &store, environment);
        assert_eq!(found(&other, "a").as_deref(), Some("made by one"));
        assert_eq!(found(&other, "b").as_deref(), Some(""));
        assert_eq!(found(&other, "c"), None);
        // Frames have other names.
        assert!(other.find(Kind::Frame, &key("a")).is_none());
        let used = other.finish();
        assert_eq!((used.found, used.found_bytes, used.sent, used.damaged), (2, 11 + 2 * 64, 0, 0));
        assert!(used.reachable);
    }
}

#[test]
fn keys_have_folders_of_their_own() {
    let context = Sandbox::new().context(&[]);
    let store = Arc::new(InMemory::new());
    let keyed = SharedCache::in_memory(&context, &store, &[KEY]);
    keyed.offer(Kind::Made, &key("a"), load("sealed"));
    keyed.finish();
    let another = (settings::KEY, "another-key-another-key-another-key");
    for environment in [&[][..], &[another]] {
        let foreign = SharedCache::in_memory(&context, &store, environment);
        assert_eq!(found(&foreign, "a"), None);
        assert_eq!(foreign.finish().damaged, 0);
    }
    let [name] = &names(&context, &store)[..] else { panic!("there is one") };
    // Who puts it there without the key is found out.
    let plain = Seals::Plain.of(name, b"forged");
    let forged = [b"forged", plain.as_bytes()].concat();
    context.block_on(store.put(&Path::from(name.as_str()), forged.into())).expect("in memory");
    let again = SharedCache::in_memory(&context, &store, &[KEY]);
    assert_eq!(found(&again, "a"), None);
    assert_eq!(again.finish().damaged, 1);
}

#[test]
fn what_is_damaged_is_replaced() {
    let context = Sandbox::new().context(&[]);
    let store = Arc::new(InMemory::new());
    let sender = SharedCache::in_memory(&context, &store, &[]);
    sender.offer(Kind::Made, &key("a"), load("whole"));
    sender.offer(Kind::Made, &key("b"), load("another"));
    sender.finish();
    let name = sender.0.link.name(Kind::Made, &key("a"));
    let path = Path::from(name.as_str());
    let read = |path: &Path| {
        let object = context.block_on(async { store.get(path).await?.bytes().await });
        object.expect("it is there").to_vec()
    };
    let whole = read(&path);
    let mut flipped = whole.clone();
    flipped[0] ^= 1;
    let others = read(&Path::from(sender.0.link.name(Kind::Made, &key("b"))));
    for damaged in [flipped, whole[..whole.len() - 1].to_vec(), Vec::new(), others] {
        context.block_on(store.put(&path, damaged.clone().into())).expect("in memory");
        let reader = SharedCache::in_memory(&context, &store, &[(settings::MODE, "read")]);
        assert_eq!(found(&reader, "a"), None);
        reader.offer(Kind::Made, &key("a"), load("whole"));
        let used = reader.finish();
        assert_eq!((used.damaged, used.sent, used.found), (1, 0, 0));
        assert_eq!(read(&path), damaged, "who only reads replaces nothing");
        let writer = SharedCache::in_memory(&context, &store, &[]);
        assert_eq!(found(&writer, "a"), None);
        writer.offer(Kind::Made, &key("a"), load("whole"));
        assert_eq!(writer.finish().sent, 1);
        assert_eq!(read(&path), whole);
    }
}

#[test]
fn what_is_there_is_not_sent_again() {
    let context = Sandbox::new().context(&[]);
    let store = Arc::new(InMemory::new());
    // Both began before either had sent anything.
    let machines = [(); 2].map(|()| SharedCache::in_memory(&context, &store, &[]));
    for shared in &machines {
        assert_eq!(found(shared, "a"), None);
        shared.offer(Kind::Made, &key("a"), load("the same"));
    }
    let sent: u64 = machines.iter().map(|shared| shared.finish().sent).sum();
    assert_eq!(sent, 1);
}

#[test]
fn what_is_old_and_of_use_is_put_there_anew() {
    let mut context = Sandbox::new().context(&[]);
    let store = Arc::new(InMemory::new());
    let sender = SharedCache::in_memory(&context, &store, &[]);
    sender.offer(Kind::Made, &key("a"), load("of use"));
    sender.finish();
    let put_at = || sender.list().expect("in memory")[0].put_at;
    let first = u64::try_from(put_at()).expect("after 1970");
    for (age, expected) in [(FRESH - 60, 0), (FRESH + 60, 1)] {
        let now = first.saturating_add_signed(age);
        context.now = UNIX_EPOCH + std::time::Duration::from_secs(now);
        let user = SharedCache::in_memory(&context, &store, &[]);
        let found = user.find(Kind::Made, &key("a")).expect("it is there");
        let bytes = found.bytes.clone();
        user.used(found, Kind::Made, &key("a"), || Load::Bytes(bytes));
        assert_eq!(user.finish().sent, expected);
    }
}

/// A shared cache at a server of the test's.
fn at(server: &str, sandbox: &Sandbox) -> SharedCache {
    let context = sandbox.context(&[
        (settings::PLACE, "s3://bucket/team"),
        ("AWS_ENDPOINT_URL", server),
        ("AWS_ACCESS_KEY_ID", "me"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]);
    // Its runtime ends with the context, and these live as long as the test's process.
    let context = Box::leak(Box::new(context));
    SharedCache::open(context).expect("sane settings").expect("it is set")
}

#[test]
fn a_service_that_refuses_is_asked_once() {
    for status in [401, 403] {
        let sandbox = Sandbox::new();
        let server = Server::start(move |_, _| Answer::status(status));
        let shared = at(server.url.as_str(), &sandbox);
        for name in ["a", "b", "c"] {
            assert_eq!(found(&shared, name), None);
            shared.offer(Kind::Made, &key(name), load("unsent"));
        }
        assert_eq!(server.seen().len(), 1, "{:?}", server.targets());
        let used = shared.finish();
        assert_eq!((used.reachable, used.found, used.sent), (false, 0, 0));
        let seen = &server.seen()[0];
        let header = seen.headers.get("authorization").map(String::as_str).unwrap_or_default();
        assert!(header.starts_with("AWS4-HMAC-SHA256 ") && !header.contains("secret"), "{header}");
        assert!(seen.target.starts_with("/bucket/team/made-v1/"), "{}", seen.target);
    }
}

#[test]
fn a_bucket_that_is_not_there_is_no_empty_one() {
    let sandbox = Sandbox::new();
    let server =
        Server::start(|_, _| Answer::ok("<Error><Code>NoSuchBucket</Code></Error>").but(404));
    let shared = at(server.url.as_str(), &sandbox);
    assert_eq!(found(&shared, "a"), None);
    assert!(!shared.finish().reachable);
}

#[test]
fn a_service_that_fails_is_given_up_soon() {
    let sandbox = Sandbox::new();
    let server = Server::start(|_, _| Answer::status(500));
    let shared = at(server.url.as_str(), &sandbox);
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(found(&shared, name), None);
    }
    let asked: HashSet<_> = server.targets().into_iter().collect();
    assert_eq!(asked.len(), PATIENCE as usize, "{asked:?}");
    assert!(!shared.finish().reachable);
}

#[test]
fn a_service_that_is_not_there_is_given_up_at_once() {
    let sandbox = Sandbox::new();
    let gone = Server::start(|_, _| Answer::status(500)).url.clone();
    let shared = at(gone.as_str(), &sandbox);
    assert_eq!(found(&shared, "a"), None);
    assert!(!shared.is_on());
    assert!(!shared.finish().reachable);
}

#[test]
fn an_answer_that_breaks_off_is_no_answer() {
    let sandbox = Sandbox::new();
    let server = Server::start(|_, _| {
        Answer::ok("x".repeat(1000))
            .cut(10)
            .with("ETag", "\"1\"")
            .with("Last-Modified", "Sat, 21 Nov 2026 16:00:00 GMT")
    });
    let shared = at(server.url.as_str(), &sandbox);
    assert_eq!(found(&shared, "a"), None);
    let used = shared.finish();
    assert_eq!((used.found, used.damaged), (0, 0));
}

#[test]
fn a_folder_will_do() {
    let sandbox = Sandbox::new();
    let folder = sandbox.root.join("mnt");
    let place = format!("file://{folder}");
    let context = sandbox.context(&[(settings::PLACE, &place)]);
    assert!(matches!(SharedCache::open(&context), Err(SharedCacheError::Folder { .. })));
    std::fs::create_dir(&folder).expect("ours");
    let open = || SharedCache::open(&context).expect("it is there").expect("it is set");
    let one = open();
    one.offer(Kind::Made, &key("a"), load("made"));
    assert_eq!(one.finish().sent, 1);
    assert_eq!(found(&open(), "a").as_deref(), Some("made"));
    let listed = open().list().expect("readable");
    assert_eq!(listed.len(), 1);
    std::fs::write(folder.join(&listed[0].name), "damaged").expect("ours");
    let other = open();
    assert_eq!(found(&other, "a"), None);
    other.offer(Kind::Made, &key("a"), load("made"));
    assert_eq!(other.finish().sent, 1);
    assert_eq!(found(&open(), "a").as_deref(), Some("made"));
    open().remove(vec![&listed[0].name, "made-v1/none"]).expect("what is gone is gone");
    assert!(open().list().expect("readable").is_empty());
}

#[test]
fn without_network_nothing_is_asked() {
    let mut context = Sandbox::new().context(&[(settings::PLACE, "s3://bucket")]);
    context.offline = true;
    assert!(SharedCache::open(&context).expect("sane").is_none());
}
