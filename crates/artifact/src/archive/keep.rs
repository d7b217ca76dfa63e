//! Files that a new version has of an installed one.
//!
//! Every byte of them is compared with its digest, because since they were installed anybody may have changed them. A file
//! gets a second name, a hard link, if nothing about it differs from what would be made anew: no mode, no owner, no time.
//! Otherwise, and where there are no links, it is copied; without copying its bytes where the file system can do that.
//!
//! The second name comes first, and what it names is looked at then: nobody else has a reason to be in the new folder,
//! so it is what stays there. Whatever is not right about it, it is the name that goes; the file itself is never written to.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::error::Fault;
use super::fresh::Fresh;
use super::installed::{self, Installed, Near};
use super::large;
use super::threads;
use crate::BundlePath;
use crate::delta::{Keeping, Kept};

/// What became of files that were to be kept.
#[derive(Debug, Default)]
pub(super) struct Keep {
    pub(super) linked: AtomicU64,
    pub(super) cloned: AtomicU64,
    pub(super) copied: AtomicU64,
    /// Paths of the installed version that hold something else, sorted.
    pub(super) changed: Mutex<Vec<BundlePath>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Linked,
    Cloned,
    Copied,
    Changed,
}

/// Makes all of `kept`; `done` is told the index of each one that is there.
pub(super) fn all(
    fresh: &Fresh,
    installed: &Installed,
    kept: &[Kept<'_>],
    threads: usize,
    done: impl Fn(usize) + Sync,
) -> Result<Keep, Fault> {
    let keep = Keep::default();
    let batches = threads::batches(kept.iter().map(|kept| kept.file.size));
    let hands = || {
        let (old, new) = (installed.near(), fresh.near());
        Hands { fresh, old, new, buffer: vec![0; installed::BUFFER] }
    };
    threads::share(threads, batches.len(), hands, |hands, batch, is_over| {
        for index in batches[batch].clone() {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            let outcome = hands.keep(&kept[index]).map_err(|fault| (index, fault))?;
            let count = match outcome {
                Outcome::Linked => &keep.linked,
                Outcome::Cloned => &keep.cloned,
                Outcome::Copied => &keep.copied,
                Outcome::Changed => {
                    let mut changed = keep.changed.lock().unwrap_or_else(PoisonError::into_inner);
                    changed.push(kept[index].from.path.clone());
                    continue;
                }
            };
            count.fetch_add(1, Ordering::Relaxed);
            done(index);
        }
        Ok(())
    })?;
    Ok(keep)
}

/// What a thread works with.
struct Hands<'a> {
    fresh: &'a Fresh,
    old: Near<'a>,
    new: Near<'a>,
    buffer: Vec<u8>,
}

impl Hands<'_> {
    fn keep(&mut self, kept: &Kept<'_>) -> Result<Outcome, Fault> {
        if kept.keeping() == Keeping::Link
            && let Some(outcome) = self.link(kept)?
        {
            return Ok(outcome);
        }
        self.copy(kept)
    }

    /// Gives a file its second name. Nothing: it cannot have one, or something about it is not as it should be.
    fn link(&mut self, kept: &Kept<'_>) -> Result<Option<Outcome>, Fault> {
        let (from, path) = (kept.from.path.as_str(), kept.file.path.as_str());
        // Too many names, another file system, one without links, somebody else's file, no file: the copy will tell.
        if self.fresh.adopt((&mut self.old, from), (&mut self.new, path)).is_err() {
            return Ok(None);
        }
        let looked = self.look(kept).unwrap_or(Looked::Unfit);
        match looked {
            Looked::Right => Ok(Some(Outcome::Linked)),
            Looked::Changed => self.fresh.remove(path).map(|()| Some(Outcome::Changed)),
            Looked::Unfit => self.fresh.remove(path).map(|()| None),
        }
    }

    /// Looks at a name that was just given. What is written to it while it is read is no other than what is written to it a moment later.
    fn look(&mut self, kept: &Kept<'_>) -> io::Result<Looked> {
        let Some((file, found)) = self.new.file_of(kept.file.path.as_str(), kept.file.size)? else {
            return Ok(Looked::Unfit);
        };
        if !self.fresh.is_ours(&found, kept.file.mode) {
            return Ok(Looked::Unfit);
        }
        let found = installed::digest(&file, kept.file.size, &mut self.buffer, |_, _| Ok(()));
        Ok(match found {
            Ok(Ok(found)) if found == kept.file.sha256 => Looked::Right,
            _ => Looked::Changed,
        })
    }

    fn copy(&mut self, kept: &Kept<'_>) -> Result<Outcome, Fault> {
        let (path, size) = (kept.file.path.as_str(), kept.file.size);
        // Whatever keeps it from being read: it can be fetched.
        let Ok(Some((source, _))) = self.old.file_of(kept.from.path.as_str(), size) else {
            return Ok(Outcome::Changed);
        };
        let made = self.fresh.file(path, kept.file.mode)?;
        let is_cloned = self.fresh.clone_into(&source, &made);
        let found = if is_cloned {
            // What the clone has stays as it is, whoever writes to the other one.
            installed::digest(&made, size, &mut self.buffer, |_, _| Ok(()))?
        } else {
            self.copy_bytes(path, &source, &made, size)?
        };
        let is_longer = is_cloned && made.metadata().map_or(true, |made| made.len() != size);
        match found {
            Ok(found) if found == kept.file.sha256 && !is_longer => {
                self.fresh.close(path, &made)?;
                Ok(if is_cloned { Outcome::Cloned } else { Outcome::Copied })
            }
            _ => {
                drop(made);
                self.fresh.remove(path).map(|()| Outcome::Changed)
            }
        }
    }

    fn copy_bytes(
        &mut self,
        path: &str,
        source: &File,
        made: &File,
        size: u64,
    ) -> Result<io::Result<crate::Digest>, Fault> {
        let fresh = self.fresh;
        installed::digest(source, size, &mut self.buffer, |part, at| {
            large::write_at(made, part, at).map_err(|error| fresh.failed(path, error))
        })
    }
}

/// What there is to say of a file with a second name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    Right,
    /// Its bytes are others.
    Changed,
    /// It is not as if it were made anew; its bytes may be right.
    Unfit,
}
