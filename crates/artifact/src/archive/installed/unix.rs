//! Folders are opened one below the other, so that none of them is a link. Those above the last one stay open: what is looked
//! at next is mostly near it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode as Bits, OFlags};

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
    /// That folder and those above it, the innermost last, each with the length of its path. None is the version's own.
    open: Vec<(usize, OwnedFd)>,
}

/// How many folders each thread has open at most, whatever is in whatever.
const MOST_OPEN: usize = 16;

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);

impl Installed {
    pub(in super::super) fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(CWD, folder, FOLDER, Bits::empty())?))
    }

    pub(in super::super) fn near(&self) -> Near<'_> {
        Near::new(&self.0)
    }
}

impl<'a> Near<'a> {
    /// Begins in an open folder.
    pub(in super::super) fn new(root: &'a OwnedFd) -> Self {
        Self { root, folder: String::new(), open: Vec::new() }
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
            while self.open.pop_if(|(length, _)| !is_in(folder, &self.folder[..*length])).is_some()
            {
            }
            let known = self.open.last().map_or(0, |(length, _)| *length);
            self.folder.truncate(known);
            for name in folder[known..].split('/').filter(|name| !name.is_empty()) {
                let above = self.open.last().map_or(self.root, |(_, above)| above);
                let flags = FOLDER | OFlags::NOFOLLOW;
                let open = rustix::fs::openat(above, name, flags, Bits::empty())?;
                if !self.folder.is_empty() {
                    self.folder.push('/');
                }
                self.folder.push_str(name);
                if self.open.len() == MOST_OPEN {
                    self.open.pop();
                }
                self.open.push((self.folder.len(), open));
            }
        }
        Ok(self.open.last().map_or(self.root, |(_, open)| open).as_fd())
    }
}

/// Gives what is at a place a second name. A symbolic link is not followed: it would be the link that has two.
pub(in super::super) fn link(
    (folder, name): Place<'_>,
    (to, new_name): Place<'_>,
) -> io::Result<()> {
    Ok(rustix::fs::linkat(folder, name, to, new_name, AtFlags::empty())?)
}

/// Whether a folder is another one, or in it.
fn is_in(folder: &str, other: &str) -> bool {
    folder.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_found_from_wherever_it_was() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let deep = (0..2 * MOST_OPEN).map(|_| "d").collect::<Vec<_>>().join("/");
        let folders = ["", "a", "a/b", "ab", "ab/b", "a/b/c", &deep, &deep[..9], &deep[..41]];
        for folder in folders {
            std::fs::create_dir_all(root.path().join(folder)).expect("writable");
            std::fs::write(root.path().join(folder).join("name"), folder).expect("writable");
        }
        let installed = Installed::open(root.path()).expect("it is there");
        let mut near = installed.near();
        for from in folders {
            for to in folders {
                for folder in [from, "a/none/b", to] {
                    let path = format!("{folder}/name");
                    let found =
                        near.file(path.trim_start_matches('/')).map(std::io::read_to_string);
                    match found {
                        Ok(content) => assert_eq!(content.expect("readable"), folder),
                        Err(error) => {
                            assert_eq!(
                                (folder, error.kind()),
                                ("a/none/b", io::ErrorKind::NotFound)
                            );
                        }
                    }
                    assert!(near.open.len() <= MOST_OPEN);
                }
            }
        }
    }
}
