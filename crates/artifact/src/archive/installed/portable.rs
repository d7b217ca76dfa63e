//! Where folders are not opened: each one above a file is looked at.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// The version's folder.
#[derive(Debug)]
pub(in super::super) struct Installed(PathBuf);

/// Where a file is.
pub(in super::super) type Place<'a> = (PathBuf, PhantomData<&'a ()>);

/// The version's folder, and the folder in it that was last looked into.
#[derive(Debug)]
pub(in super::super) struct Near<'a> {
    root: &'a Path,
    folder: String,
}

impl Installed {
    pub(in super::super) fn open(folder: &Path) -> io::Result<Self> {
        std::fs::read_dir(folder)?;
        Ok(Self(folder.to_owned()))
    }

    pub(in super::super) fn near(&self) -> Near<'_> {
        Near::new(&self.0)
    }
}

impl<'a> Near<'a> {
    /// Begins in a folder.
    pub(in super::super) fn new(root: &'a Path) -> Self {
        Self { root, folder: String::new() }
    }
}

impl Near<'_> {
    pub(in super::super) fn place<'a>(&'a mut self, path: &'a str) -> io::Result<Place<'a>> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.folder(folder)?.join(name), PhantomData))
    }

    /// Opens the regular file at `path`.
    pub(in super::super) fn file(&mut self, path: &str) -> io::Result<File> {
        let (place, _) = self.place(path)?;
        match place.symlink_metadata()?.is_file() {
            true => File::open(place),
            false => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Where the symbolic link at `path` leads.
    pub(in super::super) fn target(&mut self, path: &str) -> io::Result<OsString> {
        let (place, _) = self.place(path)?;
        Ok(std::fs::read_link(place)?.into_os_string())
    }

    /// The names of what is in a folder.
    pub(in super::super) fn names(
        &mut self,
        path: &str,
    ) -> io::Result<(Vec<OsString>, Option<u32>)> {
        let entries = std::fs::read_dir(self.folder(path)?)?;
        let names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        Ok((names, None))
    }

    fn folder(&mut self, folder: &str) -> io::Result<PathBuf> {
        let whole = self.root.join(folder);
        if self.folder != folder {
            let mut place = self.root.to_owned();
            for name in folder.split('/').filter(|name| !name.is_empty()) {
                place.push(name);
                if !place.symlink_metadata()?.is_dir() {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
            }
            folder.clone_into(&mut self.folder);
        }
        Ok(whole)
    }
}

/// Gives the file at a place a second name.
pub(in super::super) fn link((from, _): Place<'_>, (to, _): Place<'_>) -> io::Result<()> {
    std::fs::hard_link(from, to)
}
