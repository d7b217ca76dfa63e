//! `state.json`: what is installed.
//!
//! Which version is used is not in it: [`current`](super::current) alone says that. All of it is there twice, as nothing else knows some of it: `repair` takes
//! the copy where the file is damaged or missing.

use std::fs::File;
use std::io::{self, Read as _};
use std::num::NonZeroU32;

use camino::Utf8PathBuf;
use gangway_artifact::{Digest, TargetName};
use serde::{Deserialize, Serialize};

use super::durable::Readers;
use super::{Layout, PrefixError, Slot, durable, platform};
use crate::search_path::Record;

/// The version of the format this installer reads and writes.
pub const STATE_VERSION: u32 = 1;

/// How many versions are kept unless something else is said: the one that is used, and the one before.
pub const USUAL_KEEP: NonZeroU32 = NonZeroU32::new(2).expect("it is not zero");

/// The content of `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// [`STATE_VERSION`].
    pub version: u32,
    /// The app's name.
    pub app: String,
    /// Where releases come from: an address or a folder.
    pub base: String,
    /// The channel.
    pub channel: String,
    /// The target to install, where the user named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetName>,
    /// The highest sequence number of that channel that was seen.
    pub sequence: u64,
    /// How many versions are kept.
    pub keep: NonZeroU32,
    /// The folder that programs are linked into.
    pub bin_dir: Utf8PathBuf,
    /// The folders that were made for that one, itself among them, the innermost first. They go when nothing is in them any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub created: Vec<Utf8PathBuf>,
    /// The names of the app's programs there, sorted. The installer is there too.
    pub programs: Vec<String>,
    /// The digest of the installer's own program; nothing where an installer has put it there that did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installer: Option<Digest>,
    /// What was changed so that shells find them; nothing where they did already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_path: Option<Record>,
    /// The command that starts again what is running; nothing where nobody said one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restart: Vec<String>,
    /// What was there before under such a name, and lies beside it now as `<name>.replaced`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
    /// The version to go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Slot>,
    /// The versions there are, the one that was used last at the end.
    pub installed: Vec<Installed>,
    /// Versions that were not well and are not taken again by themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Its folder.
    pub slot: Slot,
    /// The version.
    pub version: String,
    /// The target it is of.
    pub target: TargetName,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// What it needs, was not there, and was overruled with `--force`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forced: Vec<String>,
    /// Whether another folder took its place: it is only there because something of it is still running.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub superseded: bool,
}

/// A version that did not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The version.
    pub version: String,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// What was wrong.
    pub reason: String,
}

impl State {
    /// What is installed in a prefix, if anything is.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what this installer writes.
    pub fn read(layout: &Layout) -> Result<Option<Self>, PrefixError> {
        read(&layout.state(), STATE_VERSION)
    }

    /// The same by the copy, which may be that of the time before when somebody was killed.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what this installer writes.
    pub fn read_copy(layout: &Layout) -> Result<Option<Self>, PrefixError> {
        read(&layout.state_copy(), STATE_VERSION)
    }

    /// Says that this is what is installed.
    pub(super) fn write(&self, layout: &Layout) -> Result<(), PrefixError> {
        let text = text(self);
        durable::write(&layout.state(), &text, self.readers())?;
        durable::write(&layout.state_copy(), &text, self.readers())
    }

    /// Says nothing any more. The copy goes first: alone it would be taken for what is installed.
    pub(super) fn remove(layout: &Layout) -> Result<(), PrefixError> {
        durable::remove(&layout.state_copy())?;
        durable::remove(&layout.state()).map(drop)
    }

    /// An address with a password or a signature in it is nobody else's affair.
    pub(super) fn readers(&self) -> Readers {
        let authority = self.base.split_once("://").map(|(_, rest)| rest.split('/').next());
        match authority.flatten() {
            Some(authority) if authority.contains('@') => Readers::Owner,
            // It may be signed.
            Some(_) if self.base.contains('?') => Readers::Owner,
            _ => Readers::Everyone,
        }
    }

    /// The version in a folder.
    #[must_use]
    pub fn of(&self, slot: &Slot) -> Option<&Installed> {
        self.installed.iter().find(|installed| installed.slot == *slot)
    }

    /// This with the version `used` being the one that is used, and `before` the one that was.
    #[must_use]
    pub fn using(mut self, used: Installed, before: Option<&Slot>) -> Self {
        self.installed.retain(|installed| installed.slot != used.slot);
        let is_superseded = |slot: &Slot| self.of(slot).is_some_and(|one| one.superseded);
        self.previous = match before {
            Some(before) if *before != used.slot && !is_superseded(before) => Some(before.clone()),
            _ => self.previous.filter(|previous| *previous != used.slot),
        };
        self.refused.retain(|refused| refused.manifest != used.manifest);
        self.installed.push(used);
        self
    }

    /// Has this version not taken again by itself.
    pub(super) fn refuse(&mut self, tried: &Installed, reason: String) {
        let Installed { version, manifest, .. } = tried.clone();
        self.refused.retain(|refused| refused.manifest != manifest);
        self.refused.push(Refused { version, manifest, reason });
    }

    /// Takes the versions off that are more than are kept, and says which. What is used, and what runs, stays.
    pub fn prune(&mut self, used: &Slot, is_running: impl Fn(&Slot) -> bool) -> Vec<Slot> {
        let keep = usize::try_from(self.keep.get()).unwrap_or(usize::MAX);
        // What runs is there besides, until it has ended.
        let can_go = |one: &&Installed| one.slot == *used || !is_running(&one.slot);
        let mut candidates: Vec<&Installed> = self.installed.iter().filter(can_go).collect();
        // The one to go back to is among the last unless somebody went back; then it must not go first.
        candidates.sort_by_key(|one| {
            (one.slot == *used, Some(&one.slot) == self.previous.as_ref(), !one.superseded)
        });
        let whole = candidates.iter().filter(|one| !one.superseded).count();
        let mut surplus = whole.saturating_sub(keep);
        let mut pruned = Vec::new();
        for one in candidates {
            let is_surplus = one.superseded || surplus > 0;
            if !is_surplus || one.slot == *used {
                continue;
            }
            surplus -= usize::from(!one.superseded);
            pruned.push(one.slot.clone());
        }
        self.installed.retain(|one| !pruned.contains(&one.slot));
        self.previous.take_if(|previous| pruned.contains(previous));
        pruned
    }
}

/// The content of one of our files.
pub(super) fn text(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("our types have string keys");
    text.push(b'\n');
    text
}

/// Reads one of our files, if it is there: of this version of its format.
pub(super) fn read<T: serde::de::DeserializeOwned>(
    path: &camino::Utf8Path,
    known: u32,
) -> Result<Option<T>, PrefixError> {
    /// What every version has.
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PrefixError::io("read", path)(error)),
    };
    let mut text = Vec::new();
    // Of the file that is open, so that nobody can put another one in its place in between.
    let owner = file.metadata().map(|found| platform::stranger(&found));
    if let Some(owner) = owner.map_err(PrefixError::io("look at", path))? {
        return Err(PrefixError::Stranger { path: path.to_owned(), owner });
    }
    file.read_to_end(&mut text).map_err(PrefixError::io("read", path))?;
    let damaged = |error: serde_json::Error| PrefixError::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let version = match serde_json::from_slice(&text) {
        Ok(Head { version }) => version,
        // Half of what a newer installer wrote is its own, too.
        Err(error) => {
            announced(&text).filter(|version| *version > known).ok_or_else(|| damaged(error))?
        }
    };
    if version != known {
        return Err(PrefixError::Newer { path: path.to_owned(), found: version, known });
    }
    serde_json::from_slice(&text).map(Some).map_err(damaged)
}

/// The version that a file of ours begins with, whatever became of the rest.
fn announced(text: &[u8]) -> Option<u32> {
    let begin = text.get(..text.len().min(64)).map(String::from_utf8_lossy)?;
    let rest = begin.trim_start().strip_prefix('{')?.trim_start().strip_prefix("\"version\"")?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;

    pub(in crate::prefix) fn slot(name: &str) -> Slot {
        name.parse().expect(name)
    }

    pub(in crate::prefix) fn installed(name: &str) -> Installed {
        Installed {
            slot: slot(name),
            version: name.to_owned(),
            target: "linux-x64".parse().expect("a name"),
            manifest: Digest::of(name),
            forced: Vec::new(),
            superseded: false,
        }
    }

    pub(in crate::prefix) fn state(names: &[&str]) -> State {
        State {
            version: STATE_VERSION,
            app: "app".to_owned(),
            base: "/media/stick".to_owned(),
            channel: "stable".to_owned(),
            target: None,
            sequence: 1,
            keep: USUAL_KEEP,
            bin_dir: "/bin".into(),
            created: Vec::new(),
            programs: vec!["app".to_owned()],
            search_path: None,
            restart: Vec::new(),
            replaced: Vec::new(),
            previous: None,
            installed: names.iter().map(|name| installed(name)).collect(),
            refused: Vec::new(),
            installer: None,
        }
    }

    fn names(slots: &[Slot]) -> Vec<&str> {
        slots.iter().map(Slot::as_str).collect()
    }

    #[test]
    fn the_oldest_go() {
        let mut state = state(&["1", "2"]).using(installed("3"), Some(&slot("2")));
        assert_eq!(state.previous, Some(slot("2")));
        assert_eq!(names(&state.prune(&slot("3"), |_| false)), ["1"]);
        assert_eq!(state.installed, [installed("2"), installed("3")]);
    }

    #[test]
    fn what_is_used_or_runs_stays() {
        let mut state = state(&["1", "2", "3"]).using(installed("1"), Some(&slot("3")));
        state.keep = NonZeroU32::MIN;
        assert_eq!(names(&state.prune(&slot("1"), |slot| slot.as_str() == "2")), ["3"]);
        assert_eq!(state.installed, [installed("2"), installed("1")]);
        assert_eq!(state.previous, None);
        let mut state = self::state(&["1", "2", "3"]);
        state.previous = Some(slot("2"));
        assert!(state.prune(&slot("3"), |slot| slot.as_str() == "1").is_empty());
    }

    #[test]
    fn what_one_can_go_back_to_stays() {
        let mut state = state(&["1", "2", "3"]);
        state.previous = Some(slot("1"));
        assert_eq!(names(&state.prune(&slot("3"), |_| false)), ["2"]);
    }

    #[test]
    fn what_was_made_anew_goes_when_it_can() {
        let mut state = state(&["1", "2"]);
        state.installed[1].superseded = true;
        let made_anew = Installed { slot: slot("2_2"), ..installed("2") };
        let mut state_now = state.using(made_anew, Some(&slot("2")));
        assert_eq!(state_now.previous, None, "it is damaged");
        let mut waits = state_now.clone();
        assert!(names(&waits.prune(&slot("2_2"), |slot| slot.as_str() == "2")).is_empty());
        assert_eq!(waits, state_now);
        assert_eq!(names(&state_now.prune(&slot("2_2"), |_| false)), ["2"]);
        assert_eq!(state_now.installed.len(), 2);
    }

    #[test]
    fn it_is_read_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let layout = Layout::new(camino::Utf8Path::from_path(folder.path()).expect("UTF-8").into());
        assert_eq!(State::read(&layout).expect("nothing"), None);
        let state = state(&["1.0.0"]);
        state.write(&layout).expect("writable");
        assert_eq!(state.readers(), Readers::Everyone);
        let base = "https://me:word@host/releases".to_owned();
        assert_eq!(State { base, ..state.clone() }.readers(), Readers::Owner);
        let base = "https://host/releases?signature=word".to_owned();
        assert_eq!(State { base, ..state.clone() }.readers(), Readers::Owner);
        let base = "https://host/@scope/releases".to_owned();
        assert_eq!(State { base, ..state.clone() }.readers(), Readers::Everyone);
        assert_eq!(State::read(&layout).expect("its own text"), Some(state.clone()));
        assert_eq!(State::read_copy(&layout).expect("its own text"), Some(state));
        for (text, expected) in [
            ("{", "damaged"),
            ("", "damaged"),
            ("\0\0\0\0", "damaged"),
            (r#"{"version":1,"app":"#, "damaged"),
            (r#"{"version":2}"#, "newer"),
            ("{\n  \"version\": 2,\n  \"apps\": [", "newer"),
        ] {
            fs::write(layout.state(), text).expect("writable");
            let error = State::read(&layout).expect_err("wrong");
            let found = match error {
                PrefixError::Damaged { .. } => "damaged",
                PrefixError::Newer { .. } => "newer",
                _ => "something else",
            };
            assert_eq!(found, expected);
        }
        State::remove(&layout).expect("ours");
        assert_eq!(fs::read_dir(layout.prefix()).expect("ours").count(), 0);
    }
}
