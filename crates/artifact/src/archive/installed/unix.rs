//! Folders are opened one below the other, so that none of them is a link.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::fs::{CWD, Dir, Mode as Bits, OFlags};

/// The version's folder, open.
#[derive(Debug)]
pub(in super::super) struct Installed(OwnedFd);

/// Where a file is: the folder it is in, and its name.
pub(in super::super) type Place<'a> = (BorrowedFd<'a>, &'a str);

/// The version's folder, and the folder in it that was last looked into.
#[derive(Debug)]
pub(in super::super) struct Near<'a> {
    root: &'a OwnedFd,
    folder: String,
    /// Nothing for the version's folder itself.
    open: Option<OwnedFd>,
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);

impl Installed {
    pub(in super::super) fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(CWD, folder, FOLDER, Bits::empty())?))
    }

    pub(in super::super) fn near(&self) -> Near<'_> {
        Near { root: &self.0, folder: String::new(), open: None }
    }
}

impl Near<'_> {
    pub(in super::super) fn place<'a>(&'a mut self, path: &'a str) -> io::Result<Place<'a>> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.folder(folder)?, name))
    }

    /// Opens what is at `path`. Nobody waits for the other end of a pipe.
    pub(in super::super) fn file(&mut self, path: &str) -> io::Result<File> {
        let (folder, name) = self.place(path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(folder, name, flags, Bits::empty())?.into())
    }

    /// Where the symbolic link at `path` leads.
    pub(in super::super) fn target(&mut self, path: &str) -> io::Result<OsString> {
        let (folder, name) = self.place(path)?;
        let target = rustix::fs::readlinkat(folder, name, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// The names of what is in a folder, and the folder's mode.
    pub(in super::super) fn names(
        &mut self,
        path: &str,
    ) -> io::Result<(Vec<OsString>, Option<u32>)> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = self.folder(path)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(folder)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        let found = File::from(folder.try_clone_to_owned()?).metadata()?;
        Ok((names, Some(found.permissions().mode() & 0o7777)))
    }

    fn folder(&mut self, folder: &str) -> io::Result<BorrowedFd<'_>> {
        if self.folder != folder {
            let mut open: Option<OwnedFd> = None;
            for name in folder.split('/').filter(|name| !name.is_empty()) {
                let above = open.as_ref().unwrap_or(self.root);
                open = Some(rustix::fs::openat(
                    above,
                    name,
                    FOLDER | OFlags::NOFOLLOW,
                    Bits::empty(),
                )?);
            }
            self.open = open;
            folder.clone_into(&mut self.folder);
        }
        Ok(self.open.as_ref().unwrap_or(self.root).as_fd())
    }
}
