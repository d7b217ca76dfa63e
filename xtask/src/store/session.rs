//! Temporary folders that outlive neither their builder nor, if it was killed, the next one.
//!
//! Every open store has one folder `tmp/session-*` with a file `lock` in it that it keeps locked. The lock goes away
//! with the process, however that ends; so an unlocked session is a dead one and the next builder removes it, while
//! those of builders at work are left alone. Sessions begin and are swept under the lock of `tmp/gate`: otherwise a
//! new session could be swept before it is locked.

use std::fs::{File, TryLockError};
use std::io;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};

use super::StoreError;
use crate::mode;

const PREFIX: &str = "session-";
const MARKER: &str = "lock";

/// This process's temporary folder.
#[derive(Debug)]
pub(super) struct Session {
    folder: Utf8PathBuf,
    _lock: File,
}

/// While it is there, no session begins.
#[derive(Debug)]
pub(crate) struct Gate {
    _lock: File,
    /// When the other builders began that are at work.
    pub(crate) at_work: Vec<SystemTime>,
}

impl Session {
    /// Sweeps `tmp` and begins a session in it.
    pub(super) fn begin(tmp: &Utf8Path) -> Result<Self, StoreError> {
        let (_gate, is_locked) = gate(tmp)?;
        // Without locks nobody can tell a dead session from a live one: leave them all.
        if is_locked {
            sweep(tmp)?;
        }
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(tmp)
            .map_err(StoreError::io("make a temporary folder in", tmp))?
            .keep();
        let folder = Utf8PathBuf::from_path_buf(folder).expect("a UTF-8 folder and an ASCII name");
        let marker_path = folder.join(MARKER);
        let marker =
            File::create_new(&marker_path).map_err(StoreError::io("make", &marker_path))?;
        match marker.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(error) => return Err(StoreError::io("lock", &marker_path)(error.into())),
        }
        Ok(Self { folder, _lock: marker })
    }

    /// Keeps others from beginning, and lists those that have begun.
    pub(super) fn close_gate(&self, tmp: &Utf8Path) -> Result<Gate, StoreError> {
        let (lock, _) = gate(tmp)?;
        let mut at_work = Vec::new();
        for entry in tmp.read_dir_utf8().map_err(StoreError::io("list", tmp))? {
            let entry = entry.map_err(StoreError::io("list", tmp))?;
            let is_other = entry.file_name().starts_with(PREFIX) && entry.path() != self.folder;
            if is_other && is_alive(entry.path()) {
                let began = entry.path().join(MARKER).metadata().and_then(|mark| mark.modified());
                // Who cannot be asked may be at work for ever.
                at_work.push(began.unwrap_or(SystemTime::UNIX_EPOCH));
            }
        }
        Ok(Gate { _lock: lock, at_work })
    }

    /// The folder; only this process uses it.
    pub(super) fn folder(&self) -> &Utf8Path {
        &self.folder
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A convenience only: what stays is swept by the next builder.
        if let Err(error) = remove(&self.folder) {
            tracing::debug!(folder = %self.folder, %error, "left a temporary folder behind");
        }
    }
}

/// Waits for the lock of the gate; says whether there are locks at all.
fn gate(tmp: &Utf8Path) -> Result<(File, bool), StoreError> {
    let path = tmp.join("gate");
    let gate = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(StoreError::io("open", &path))?;
    match gate.lock() {
        Ok(()) => Ok((gate, true)),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok((gate, false)),
        Err(error) => Err(StoreError::io("lock", &path)(error)),
    }
}

/// Removes the sessions nobody holds any more.
fn sweep(tmp: &Utf8Path) -> Result<(), StoreError> {
    let entries = tmp.read_dir_utf8().map_err(StoreError::io("list", tmp))?;
    for entry in entries {
        let entry = entry.map_err(StoreError::io("list", tmp))?;
        if !entry.file_name().starts_with(PREFIX) || is_alive(entry.path()) {
            continue;
        }
        tracing::debug!(folder = entry.path().as_str(), "removing what a killed builder left");
        if let Err(error) = remove(entry.path()) {
            tracing::debug!(folder = entry.path().as_str(), %error, "cannot remove it");
        }
    }
    Ok(())
}

/// Removes a folder, even one that a program left closed to its owner: install scripts do, and so does an overlay.
fn remove(folder: &Utf8Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            mode::open_folders(folder)?;
            std::fs::remove_dir_all(folder)
        }
        done => done,
    }
}

fn is_alive(session: &Utf8Path) -> bool {
    match File::open(session.join(MARKER)) {
        Ok(marker) => marker.try_lock().is_err(),
        // Killed between making the folder and the marker: both happen under the gate's lock, which we hold.
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_session_is_swept_and_a_live_one_is_not() {
        let tmp = tempfile::tempdir().expect("a folder");
        let tmp = Utf8Path::from_path(tmp.path()).expect("UTF-8");
        let live = Session::begin(tmp).expect("begins");
        std::fs::write(live.folder().join("work"), "half").expect("writable");
        // What SIGKILL leaves: a folder whose lock nobody holds, or one without a lock yet.
        let dead = tmp.join("session-dead");
        std::fs::create_dir(&dead).expect("writable");
        std::fs::write(dead.join(MARKER), "").expect("writable");
        std::fs::write(dead.join("half"), "half").expect("writable");
        let unborn = tmp.join("session-unborn");
        std::fs::create_dir(&unborn).expect("writable");

        let second = Session::begin(tmp).expect("begins");
        assert!(live.folder().join("work").exists());
        assert!(!dead.exists());
        assert!(!unborn.exists());

        let folder = second.folder().to_owned();
        drop(second);
        assert!(!folder.exists());
    }
}
