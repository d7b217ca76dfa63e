//! Looking after the shared cache: by sizes, and by when things were put there.
//!
//! Builders that use something old put it there anew, so what is old was not used for long, give or take a week. Only
//! names that builders give are counted and removed.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::UpkeepError;
use super::plan::{Limits, Reason};
use super::sweep::Earnest;
use crate::context::Context;
use crate::shared_cache::{Listed, SharedCache, SharedCacheError};

/// What is in the shared cache.
#[derive(Debug, serde::Serialize)]
pub struct Contents {
    /// Where it is.
    pub place: String,
    /// What is there of each kind.
    pub kinds: BTreeMap<String, Kind>,
    /// How many objects have names that no builder gives.
    pub foreign: usize,
}

/// One kind of what is there.
#[derive(Debug, Default, serde::Serialize)]
pub struct Kind {
    /// How many.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest was put there, in seconds since the beginning of 1970.
    pub oldest: Option<i64>,
}

/// What goes.
#[derive(Debug)]
pub struct Plan {
    /// What goes, and why.
    pub doomed: Vec<(Listed, Reason)>,
    /// What stays, in bytes.
    pub left: u64,
}

/// What is in the shared cache that the environment names.
///
/// # Errors
/// When there is none or it cannot be listed.
pub fn contents(context: &Context) -> Result<Contents, UpkeepError> {
    let shared = open(context)?;
    let mut contents =
        Contents { place: shared.place().to_owned(), kinds: BTreeMap::new(), foreign: 0 };
    for object in shared.list()? {
        let Some(kind) = kind(&object.name) else {
            contents.foreign += 1;
            continue;
        };
        let kind = contents.kinds.entry(kind.to_owned()).or_default();
        kind.entries += 1;
        kind.bytes += object.size;
        kind.oldest = Some(kind.oldest.map_or(object.put_at, |oldest| oldest.min(object.put_at)));
    }
    Ok(contents)
}

/// Removes what is over the limits.
///
/// # Errors
/// When there is none, or it cannot be listed or removed from.
pub fn sweep(context: &Context, limits: Limits, earnest: Earnest) -> Result<Plan, UpkeepError> {
    let shared = open(context)?;
    let objects = shared.list()?.into_iter().filter(|object| kind(&object.name).is_some());
    let plan = plan(objects.collect(), limits, context.now);
    if earnest == Earnest::Earnest {
        let names = plan.doomed.iter().map(|(object, _)| object.name.as_str());
        shared.remove(names.collect())?;
    }
    Ok(plan)
}

fn open(context: &Context) -> Result<SharedCache, UpkeepError> {
    Ok(SharedCache::open(context)?.ok_or(SharedCacheError::Unset)?)
}

fn plan(mut objects: Vec<Listed>, limits: Limits, now: SystemTime) -> Plan {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut plan =
        Plan { doomed: Vec::new(), left: objects.iter().map(|object| object.size).sum() };
    objects.sort_by(|a, b| (a.put_at, &a.name).cmp(&(b.put_at, &b.name)));
    for object in objects {
        let put_at = Duration::from_secs(u64::try_from(object.put_at).unwrap_or(0));
        let age = now.saturating_sub(put_at);
        let reason = match limits {
            Limits { max_age: Some(most), .. } if age > most => Reason::Age,
            Limits { max_size: Some(most), .. } if plan.left > most => Reason::Size,
            _ => continue,
        };
        plan.left -= object.size;
        plan.doomed.push((object, reason));
    }
    plan
}

/// The kind of an object of ours: `frames-v1/ab/<64 digits>`, perhaps in the folder of a key.
fn kind(name: &str) -> Option<&str> {
    let mut parts: Vec<&str> = name.split('/').collect();
    if parts.len() == 4 && parts[0].starts_with("keyed-") {
        parts.remove(0);
    }
    let [kind, shard, key] = parts[..] else { return None };
    let (base, number) = kind.rsplit_once("-v")?;
    let is_ours = ["frames", "made"].contains(&base)
        && number.parse::<u32>().is_ok()
        && key.len() == 64
        && key.bytes().all(|byte| byte.is_ascii_hexdigit())
        && key.starts_with(shard);
    is_ours.then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_count() {
        let key = "ab".repeat(32);
        for (name, expected) in [
            (format!("frames-v1/ab/{key}"), Some("frames-v1")),
            (format!("keyed-0011223344556677/made-v2/ab/{key}"), Some("made-v2")),
            (format!("frames-v1/cd/{key}"), None),
            (format!("photos-v1/ab/{key}"), None),
            (format!("other/frames-v1/ab/{key}"), None),
            ("frames-v1/ab/abc".to_owned(), None),
            ("README".to_owned(), None),
        ] {
            assert_eq!(kind(&name), expected, "{name}");
        }
    }

    #[test]
    fn the_oldest_goes_first() {
        let object = |name: &str, size, put_at| Listed { name: name.to_owned(), size, put_at };
        let objects = vec![object("new", 1, 90), object("old", 2, 10), object("middle", 4, 50)];
        let told = |limits| {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
            let plan = plan(objects.clone(), limits, now);
            let doomed: Vec<_> = plan.doomed.into_iter().map(|(object, _)| object.name).collect();
            (doomed.join(" "), plan.left)
        };
        assert_eq!(told(Limits::default()), (String::new(), 7));
        let age = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(told(Limits { max_age: age(50), max_size: None }), ("old".to_owned(), 5));
        assert_eq!(told(Limits { max_age: age(49), max_size: None }), ("old middle".to_owned(), 1));
        assert_eq!(told(Limits { max_age: None, max_size: Some(5) }), ("old".to_owned(), 5));
        assert_eq!(
            told(Limits { max_age: age(50), max_size: Some(1) }),
            ("old middle".to_owned(), 1)
        );
    }
}
