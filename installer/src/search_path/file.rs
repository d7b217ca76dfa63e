//! Changing a file of the user's: whole or not at all, and none that is somebody else's to write.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};

/// Where systems that make files from a description keep what they made.
const MADE: &[&str] = &["/nix/store/", "/gnu/store/"];

/// A file that can be changed.
#[derive(Debug)]
pub(super) struct Changeable {
    /// The file itself, where the user's name for it is a link.
    path: Utf8PathBuf,
    /// What is known of it; nothing where it is not there.
    metadata: Option<Metadata>,
    /// Its content.
    pub(super) content: Vec<u8>,
}

impl Changeable {
    /// Looks at a file.
    ///
    /// # Errors
    /// With the reason when it must be left alone.
    pub(super) fn open(path: &Utf8Path) -> Result<Self, String> {
        if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(Self { path: path.to_owned(), metadata: None, content: Vec::new() });
        }
        let real =
            path.canonicalize_utf8().map_err(|error| format!("it cannot be found ({error})"))?;
        if let Some(made) = MADE.iter().find(|folder| real.as_str().starts_with(**folder)) {
            return Err(format!("it is made from a description and lies in `{made}`"));
        }
        let metadata = real.metadata().map_err(|error| error.to_string())?;
        if !metadata.is_file() {
            return Err("it is no file".to_owned());
        }
        if metadata.permissions().mode() & 0o222 == 0 {
            return Err("it is read-only".to_owned());
        }
        let content =
            std::fs::read(&real).map_err(|error| format!("it cannot be read ({error})"))?;
        Ok(Self { path: real, metadata: Some(metadata), content })
    }

    /// Whether there is such a file.
    pub(super) fn is_there(&self) -> bool {
        self.metadata.is_some()
    }

    /// Gives it another content; mode and owner stay.
    ///
    /// # Errors
    /// With the reason. The file is then as it was.
    pub(super) fn replace(&self, content: &[u8]) -> Result<(), String> {
        self.write(content).map_err(|error| format!("it cannot be written ({error})"))
    }

    /// Removes it.
    ///
    /// # Errors
    /// With the reason.
    pub(super) fn remove(&self) -> Result<(), String> {
        std::fs::remove_file(&self.path).map_err(|error| format!("it cannot be removed ({error})"))
    }

    fn write(&self, content: &[u8]) -> io::Result<()> {
        let name = self.path.file_name().unwrap_or_default();
        let new = self.path.with_file_name(format!(".{name}.gangway-new"));
        // One that a kill left behind.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = self.fill(&new, content).and_then(|()| std::fs::rename(&new, &self.path));
        if written.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        written?;
        let folder = self.path.parent().unwrap_or(Utf8Path::new("."));
        File::open(folder)?.sync_all()
    }

    fn fill(&self, new: &Utf8Path, content: &[u8]) -> io::Result<()> {
        let mode = self.metadata.as_ref().map_or(0o644, |metadata| metadata.mode() & 0o7777);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
        file.write_all(content)?;
        if let Some(metadata) = &self.metadata {
            let (user, group) = (metadata.uid(), metadata.gid());
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (user, group) {
                let user = rustix::fs::Uid::from_raw(user);
                let group = rustix::fs::Gid::from_raw(group);
                rustix::fs::fchown(&file, Some(user), Some(group))?;
            }
        }
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()
    }
}
