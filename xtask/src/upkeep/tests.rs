//! A cache with something of everything, looked after.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use camino::Utf8PathBuf;
use gangway_artifact::Digest;

use super::check;
use super::plan::{Limits, Reason};
use super::survey::{self, Survey};
use super::sweep::{self, Earnest};
use crate::context::Context;
use crate::integrity::Integrity;
use crate::native::{FactsCache, Natives};
use crate::pack::FrameCache;
use crate::store::{Store, StoreError, sample};
use crate::testing::{Sandbox, contents};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A context at some time after everything in the sandbox was made.
fn later(sandbox: &Sandbox, days: u32) -> Context {
    let mut context = sandbox.context(&[]);
    context.now = SystemTime::now() + DAY * days;
    context
}

fn derive(store: &Store) {
    let make = || Ok::<_, StoreError>(b"derived".to_vec());
    store.derived("of something", true, make).expect("writable");
}

/// Puts an archive, a derived file, frames and facts into the cache.
fn furnished() -> (Sandbox, Context) {
    let sandbox = Sandbox::new();
    let context = later(&sandbox, 0);
    let store = Store::open(&context).expect("a fresh folder");
    let archive = sample::tgz(&[sample::Entry::file("p/index.js", "code")]);
    let integrity = Integrity::sha512(&archive);
    let archive = sandbox.write("archive.tgz", archive);
    store.unpack(&integrity, &archive).expect("an ordinary archive");
    derive(&store);
    let program = std::env::current_exe().expect("a test is a program");
    let program = Utf8PathBuf::try_from(program).expect("build folders are UTF-8");
    let program = store.add_file(&program, true).expect("writable");
    let facts = store.bucket(FactsCache::BUCKET).expect("writable");
    let natives = Natives::kept_in(FactsCache::in_folder(facts));
    natives.facts(&program).expect("readable");
    let frames = FrameCache::open(&store, false).expect("writable");
    let made = frames.obtain(&Digest::of("key"), || Ok::<_, StoreError>(b"frame".to_vec()));
    made.expect("nothing fails");
    (sandbox, context)
}

fn surveyed(sandbox: &Sandbox, context: &Context) -> Survey {
    survey::of(&sandbox.root.join("cache"), context.now).expect("readable")
}

/// The buckets that have something in them.
fn buckets(sandbox: &Sandbox, context: &Context) -> Vec<String> {
    surveyed(sandbox, context).buckets().into_keys().map(str::to_owned).collect()
}

const ALL: [&str; 5] = ["blobs-v1", "derived-v1", "facts-v1", "frames-v1", "packages-v2"];

#[test]
fn what_is_damaged_is_found_and_removed() {
    let (sandbox, context) = furnished();
    let checked = check::run(&context).expect("readable");
    assert!(checked.damaged.is_empty(), "{checked:?}");
    assert!(checked.entries.keys().eq(ALL.iter()), "{checked:?}");
    let cache = sandbox.root.join("cache");
    let files: Vec<_> = contents(&cache).into_keys().collect();
    let of = |bucket: &str, end: &str| {
        let mut found = files.iter().filter(|file| file.starts_with(bucket) && file.ends_with(end));
        cache.join(found.next().expect("there is one"))
    };
    // The files of an archive go with the archive.
    for (path, parents) in [
        (of("frames-v1", ""), 0),
        (of("facts-v1", ""), 0),
        (of("derived-v1", ""), 0),
        (of("blobs-v1", "-x"), 0),
        (of("packages-v2", "index.js"), 2),
    ] {
        let mut bytes = fs::read(&path).expect("there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x20;
        fs::write(&path, bytes).expect("ours");
        let checked = check::run(&context).expect("readable");
        let damaged: Vec<_> = checked.damaged.iter().map(|damaged| &damaged.path).collect();
        assert_eq!(damaged, [&path]);
        let removed = path.ancestors().nth(parents).expect("it is deep enough");
        assert!(!removed.exists(), "{removed}");
        assert!(check::run(&context).expect("readable").damaged.is_empty(), "{path}");
    }
}

#[test]
fn an_archive_without_its_index_is_damaged() {
    let (sandbox, context) = furnished();
    let files = contents(&sandbox.root.join("cache"));
    let index = files.keys().find(|file| file.ends_with("/index")).expect("there is one");
    let index = sandbox.root.join("cache").join(index);
    fs::remove_file(&index).expect("ours");
    let checked = check::run(&context).expect("readable");
    assert_eq!(checked.damaged.len(), 1, "{checked:?}");
    assert!(!index.parent().expect("it is in a folder").exists());
}

#[test]
fn what_was_not_used_for_long_goes() {
    let (sandbox, _) = furnished();
    let limits = Limits { max_age: Some(30 * DAY), max_size: None };
    let at = |days| later(&sandbox, days);
    let swept = sweep::run(&at(29), limits, Earnest::Earnest).expect("writable");
    assert!(swept.plan.doomed.is_empty(), "{swept:?}");
    let swept = sweep::run(&at(31), limits, Earnest::Rehearsal).expect("writable");
    assert!(swept.plan.doomed.iter().all(|(_, reason)| *reason == Reason::Age));
    assert_eq!((swept.plan.left, buckets(&sandbox, &at(0))), (0, ALL.map(str::to_owned).to_vec()));
    // One thing is used again.
    derive(&Store::open(&at(20)).expect("there"));
    let swept = sweep::run(&at(31), limits, Earnest::Earnest).expect("writable");
    assert!(swept.plan.left > 0);
    assert_eq!(buckets(&sandbox, &at(0)), ["blobs-v1", "derived-v1"]);
    assert_eq!(surveyed(&sandbox, &at(0)).items.len(), 2);
    derive(&Store::open(&at(20)).expect("there"));
}

#[test]
fn nothing_is_taken_from_a_builder_at_work() {
    let (sandbox, context) = furnished();
    let limits = Limits { max_age: None, max_size: Some(0) };
    let builder = Store::open(&context).expect("there");
    let swept = sweep::run(&later(&sandbox, 31), limits, Earnest::Earnest).expect("writable");
    assert!(swept.plan.doomed.is_empty() && swept.plan.spared > 0, "{swept:?}");
    assert_eq!(swept.at_work, 1);
    // What it has used goes on being there; what nobody used for days does not.
    let old: BTreeSet<_> = surveyed(&sandbox, &context)
        .items
        .into_iter()
        .filter(|item| item.bucket == "frames-v1")
        .map(|item| item.path)
        .collect();
    for path in &old {
        let times = File::open(path).expect("there");
        times.set_modified(context.now - 3 * DAY).expect("ours");
    }
    let swept = sweep::run(&later(&sandbox, 31), limits, Earnest::Earnest).expect("writable");
    let doomed: BTreeSet<_> = swept.plan.doomed.into_iter().map(|(item, _)| item.path).collect();
    assert_eq!(doomed, old);
    drop(builder);
    let swept = sweep::run(&later(&sandbox, 31), limits, Earnest::Earnest).expect("writable");
    assert_eq!((swept.plan.spared, swept.plan.left), (0, 0));
    assert!(buckets(&sandbox, &context).is_empty());
}

#[test]
fn what_is_useless_goes_and_what_is_foreign_stays() {
    let (sandbox, context) = furnished();
    let cache = sandbox.root.join("cache");
    sandbox.write("cache/packages-v1/ab/entry/files/a", "old");
    sandbox.write("cache/packages-v9/ab/entry/files/a", "new");
    sandbox.write("cache/photos/a.jpg", "mine");
    sandbox.write("elsewhere/file", "not in the cache");
    std::os::unix::fs::symlink(sandbox.root.join("elsewhere"), cache.join("logs")).expect("ours");
    let left = sandbox.write("cache/facts-v1/.tmpAbCdEf", "half");
    let half = File::options().write(true).open(left).expect("ours");
    half.set_modified(context.now - DAY).expect("ours");
    sandbox.write("cache/facts-v1/.tmpXyZ", "being written");
    for blob in surveyed(&sandbox, &context).buckets()["blobs-v1"].iter().map(|item| &item.path) {
        fs::remove_file(blob).expect("ours");
    }
    let swept = sweep::run(&context, Limits::default(), Earnest::Earnest).expect("writable");
    let doomed: Vec<_> = (swept.plan.doomed.iter())
        .map(|(item, reason)| format!("{} {reason:?}", item.bucket))
        .collect();
    assert_eq!(
        BTreeSet::from_iter(doomed.iter().map(String::as_str)),
        BTreeSet::from(["packages-v1 OldFormat", "facts-v1 Orphan", "derived-v1 Orphan"])
    );
    assert_eq!(doomed.len(), 3);
    assert_eq!(swept.foreign, ["logs", "packages-v9", "photos"]);
    for kept in ["packages-v9/ab/entry/files/a", "photos/a.jpg", "logs/file", "facts-v1/.tmpXyZ"] {
        assert!(cache.join(kept).exists(), "{kept}");
    }
    assert!(!cache.join("packages-v1").exists());
}

#[test]
fn there_need_not_be_a_cache() {
    let sandbox = Sandbox::new();
    assert_eq!(surveyed(&sandbox, &sandbox.context(&[])), Survey::default());
}
