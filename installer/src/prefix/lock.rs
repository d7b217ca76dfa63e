//! One installer at a time changes a prefix.
//!
//! The system lets go of the lock when a process ends, however it ends. Where a file system has no locks (some network file systems) nobody is kept apart.
//!
//! The lock's file is the first in a prefix and the last that goes. So it keeps which folders above the prefix were made for it: they go too, when
//! nothing else has come into them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};

use camino::{Utf8Path, Utf8PathBuf};

use super::lost::DAMAGED;
use super::{Layout, PrefixError, durable, platform};
use crate::checkpoint::{self, Step};

/// A prefix that nobody else changes while this is there.
#[derive(Debug)]
pub struct Locked {
    layout: Layout,
    // In this order: it is unlocked and closed, and then its folder may go.
    _file: File,
    _folder: Emptied,
}

/// A folder that goes at the end if nothing is in it, and those that were made for it. On Windows a file that is open keeps its name, so the lock's own
/// folder cannot go before.
#[derive(Debug)]
struct Emptied {
    folder: Utf8PathBuf,
    /// The innermost first.
    above: Vec<Utf8PathBuf>,
}

impl Drop for Emptied {
    fn drop(&mut self) {
        // An empty folder harms nobody, and somebody else may have begun to use it.
        let _ = durable::remove_empty(&self.folder);
        if !self.folder.exists() {
            durable::remove_empties(&self.above);
        }
    }
}

/// What is done while somebody else has the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Waiting for them.
    Patient,
    /// Nothing: it is an error.
    Never,
}

impl Locked {
    /// Takes the lock of a prefix, which is made if there is none, for `command`. `tell` is called before waiting, with who has it.
    ///
    /// # Errors
    /// When the prefix is used for something else, cannot be written to, or is busy and that is not to be waited for.
    pub fn take(
        layout: &Layout,
        waiting: Waiting,
        command: &str,
        tell: &dyn Fn(Option<&str>),
    ) -> Result<Self, PrefixError> {
        refuse_strangers(layout)?;
        refuse_foreign(layout)?;
        let mut above = Vec::new();
        loop {
            above.extend(durable::create_folders(layout.prefix())?);
            let path = layout.lock();
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .map_err(PrefixError::io("open", &path))?;
            wait(&file, &path, layout, waiting, tell)?;
            // Who had it may have removed everything, this file too.
            if platform::is_at(&file, &path) {
                above.extend(made(&file));
                above.retain(|folder| is_above(folder, layout.prefix()));
                above.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
                above.dedup();
                // Only for messages and empty folders, so it does not matter whether it succeeds.
                let _ = sign(&file, command, &above);
                checkpoint::reached(Step::Locked);
                let folder = Emptied { folder: layout.prefix().to_owned(), above };
                return Ok(Self { layout: layout.clone(), _file: file, _folder: folder });
            }
        }
    }

    /// Where everything is.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

fn wait(
    file: &File,
    path: &Utf8Path,
    layout: &Layout,
    waiting: Waiting,
    tell: &dyn Fn(Option<&str>),
) -> Result<(), PrefixError> {
    match file.try_lock() {
        Ok(()) => return Ok(()),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            return Ok(());
        }
        Err(TryLockError::Error(error)) => return Err(PrefixError::io("lock", path)(error)),
        Err(TryLockError::WouldBlock) => {}
    }
    let holder = holder(file);
    if waiting == Waiting::Never {
        return Err(PrefixError::Busy { path: layout.prefix().to_owned(), holder });
    }
    tell(holder.as_deref());
    file.lock().map_err(PrefixError::io("lock", path))
}

/// Who has the lock, by their own word; on Windows nobody else can read it.
fn holder(mut file: &File) -> Option<String> {
    let mut text = String::new();
    file.take(200).read_to_string(&mut text).ok()?;
    file.rewind().ok()?;
    let text = text.lines().next()?.trim();
    let is_plain = !text.is_empty() && !text.contains(char::is_control);
    is_plain.then(|| text.to_owned())
}

/// Whether the folder, by whichever of its names, is one that the prefix is in.
fn is_above(folder: &Utf8Path, prefix: &Utf8Path) -> bool {
    match (folder.canonicalize(), prefix.canonicalize()) {
        (Ok(folder), Ok(prefix)) => folder != prefix && prefix.starts_with(folder),
        _ => false,
    }
}

/// What a line begins with that names a folder above the prefix which was made for it.
const MADE: &str = "made ";

/// The folders that were made for the prefix, by the word of those who had the lock before.
fn made(mut file: &File) -> Vec<Utf8PathBuf> {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let lines = text.lines().filter(|_| read.is_ok());
    lines.filter_map(|line| line.strip_prefix(MADE)).map(Utf8PathBuf::from).collect()
}

fn sign(mut file: &File, command: &str, made: &[Utf8PathBuf]) -> io::Result<()> {
    let mut text = format!("{command}, process {}\n", std::process::id());
    // A line holds a name that has no end of a line in it; for another one the folder stays.
    let names = made.iter().filter(|folder| !folder.as_str().contains(['\n', '\r']));
    text.extend(names.map(|folder| format!("{MADE}{folder}\n")));
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// In a folder of somebody else's, what says what is to be removed or started may be theirs too. Such a folder is left as it is, without a lock.
fn refuse_strangers(layout: &Layout) -> Result<(), PrefixError> {
    for path in [layout.prefix().to_owned(), layout.state(), layout.journal()] {
        let found = match path.metadata() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(PrefixError::io("look at", &path)(error)),
        };
        if let Some(owner) = platform::stranger(&found) {
            return Err(PrefixError::Stranger { path, owner });
        }
    }
    Ok(())
}

/// A folder with anything else in it is nobody's prefix: it would be emptied when the app is removed. Names that ours have may be anybody's as well, unless
/// the lock is among them: it comes first and goes last.
fn refuse_foreign(layout: &Layout) -> Result<(), PrefixError> {
    const OURS: [&str; 12] = [
        "versions",
        "current",
        "state.json",
        "state.copy.json",
        "journal.json",
        "lock",
        "running",
        "downloads",
        "snapshots",
        "trial",
        "installer",
        "bin",
    ];
    if layout.is_somebodys() {
        return Ok(());
    }
    let entries = match fs::read_dir(layout.prefix()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(PrefixError::io("look into", layout.prefix())(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(PrefixError::io("look into", layout.prefix()))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    let is_locked = names.iter().any(|name| name == "lock");
    let is_ours = |name: &str| {
        let plain = [".new", DAMAGED].iter().find_map(|end| name.strip_suffix(end));
        is_locked && OURS.contains(&plain.unwrap_or(name))
    };
    match names.into_iter().filter(|name| !is_ours(name)).min() {
        Some(example) => Err(PrefixError::Foreign { path: layout.prefix().to_owned(), example }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn layout(folder: &tempfile::TempDir) -> Layout {
        Layout::new(Utf8Path::from_path(folder.path()).expect("UTF-8").join("prefix"))
    }

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let layout = layout(&folder);
        let silent = |_: Option<&str>| {};
        let first = Locked::take(&layout, Waiting::Never, "update", &silent).expect("nobody");
        let error = Locked::take(&layout, Waiting::Never, "install", &silent).expect_err("busy");
        assert!(
            matches!(&error, PrefixError::Busy { holder: Some(holder), .. } if holder.starts_with("update, process ")),
            "{error:?}"
        );
        std::thread::scope(|scope| {
            let (told, telling) = mpsc::channel();
            let (layout, second) = (&layout, &first);
            let waiting = scope.spawn(move || {
                let tell = |holder: Option<&str>| {
                    told.send(holder.map(str::to_owned)).expect("somebody listens");
                };
                Locked::take(layout, Waiting::Patient, "rollback", &tell).map(drop)
            });
            let holder = telling.recv().expect("it says so");
            assert!(holder.is_some_and(|holder| holder.starts_with("update, ")));
            let _ = second;
            drop(first);
            waiting.join().expect("no panic").expect("it is free");
        });
    }

    /// Who waits for somebody that removes the prefix gets a lock that counts.
    #[cfg(unix)]
    #[test]
    fn a_lock_that_was_removed_is_taken_anew() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let layout = layout(&folder);
        let silent = |_: Option<&str>| {};
        let first = Locked::take(&layout, Waiting::Never, "uninstall", &silent).expect("nobody");
        std::thread::scope(|scope| {
            let (told, telling) = mpsc::channel();
            let layout = &layout;
            let waiting = scope.spawn(move || {
                let tell = |_: Option<&str>| told.send(()).expect("somebody listens");
                Locked::take(layout, Waiting::Patient, "install", &tell)
            });
            telling.recv().expect("it says so");
            fs::remove_dir_all(layout.prefix()).expect("it is ours");
            drop(first);
            let second = waiting.join().expect("no panic").expect("it is free");
            let third = Locked::take(layout, Waiting::Never, "update", &silent);
            assert!(matches!(third, Err(PrefixError::Busy { .. })), "{third:?}");
            drop(second);
        });
    }

    /// Folders that were made for a prefix go with it, whoever is killed meanwhile; others stay.
    #[test]
    fn folders_that_were_made_for_it_go() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        let take = |layout: &Layout| {
            Locked::take(layout, Waiting::Never, "install", &|_| {}).expect("nobody")
        };
        fs::create_dir(root.join("there")).expect("writable");
        for (base, stays) in [(root.join("a/b"), false), (root.join("there/b"), true)] {
            let layout = Layout::new(base.join("app"));
            drop(take(&layout));
            assert!(layout.lock().exists(), "it was not removed, as if somebody had been killed");
            let again = take(&layout);
            fs::remove_file(layout.lock()).expect("ours");
            drop(again);
            let above = base.parent().expect("it has one");
            assert_eq!((base.exists(), above.exists()), (false, stays), "{base}");
        }
        let layout = Layout::new(root.join("c/d/app"));
        let locked = take(&layout);
        fs::write(root.join("c/notes"), "mine").expect("writable");
        fs::remove_file(layout.lock()).expect("ours");
        drop(locked);
        assert!(root.join("c/notes").exists() && !root.join("c/d").exists());
    }

    #[test]
    fn a_folder_of_something_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let layout = layout(&folder);
        fs::create_dir(layout.prefix()).expect("writable");
        fs::write(layout.prefix().join("thesis.odt"), "").expect("writable");
        let error = Locked::take(&layout, Waiting::Never, "install", &|_| {});
        assert!(matches!(error, Err(PrefixError::Foreign { .. })), "{error:?}");
        assert!(!layout.lock().exists());
    }

    /// What is left of an installation has the lock; a folder of somebody's with such names has not.
    #[test]
    fn names_that_ours_have() {
        for name in ["downloads", "versions", "bin", "running"] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let layout = layout(&folder);
            fs::create_dir_all(layout.prefix().join(name)).expect("writable");
            let error = Locked::take(&layout, Waiting::Never, "install", &|_| {});
            assert!(matches!(error, Err(PrefixError::Foreign { .. })), "{name}: {error:?}");
            fs::write(layout.lock(), "").expect("writable");
            Locked::take(&layout, Waiting::Never, "install", &|_| {}).expect("it is left of one");
        }
    }
}
