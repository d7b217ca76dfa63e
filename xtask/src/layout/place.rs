//! Folders that are open while files are linked from one into the other.
//!
//! Half of the kernel's work for a link is finding its way to both ends. So each folder is looked up once, from the one above
//! it, rather than from the root for every file: the store has a package's files in the same folders as the tree.

use camino::Utf8PathBuf;

use super::{LayoutError, Linker};
use crate::mode;
use crate::tree::Source;

#[cfg(not(unix))]
pub(super) use named::{Origin, Place};
#[cfg(unix)]
pub(super) use open::{Origin, Place};

/// A folder that is there already is taken as it is; a link to one is not.
fn take(path: &Utf8PathBuf, made: std::io::Result<()>) -> Result<(), LayoutError> {
    let failed = |source| LayoutError::Folder { path: path.clone(), source };
    match made {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let found = std::fs::symlink_metadata(path).map_err(failed)?;
            if found.is_dir() { Ok(()) } else { Err(failed(error)) }
        }
        made => made.map_err(failed),
    }
}

#[cfg(unix)]
mod open {
    use std::io;
    use std::os::fd::{AsFd as _, OwnedFd};

    use rustix::fs::{AtFlags, CWD, Mode, OFlags};

    use super::{LayoutError, Linker, Source, Utf8PathBuf, mode, take};

    /// A folder to be filled.
    pub(in super::super) struct Place {
        pub(in super::super) path: Utf8PathBuf,
        open: OwnedFd,
    }

    /// A folder of the store: of which entry, and where in it.
    pub(in super::super) struct Origin<'tree> {
        entry: &'tree str,
        below: &'tree str,
        open: OwnedFd,
    }

    impl Place {
        /// Makes a folder with mode 755. `above` is the folder it is in, if that is open.
        pub(in super::super) fn make(
            above: Option<&Self>,
            path: Utf8PathBuf,
        ) -> Result<Self, LayoutError> {
            let (above, name) = match (above, path.file_name()) {
                (Some(above), Some(name)) => (above.open.as_fd(), name),
                _ => (CWD, path.as_str()),
            };
            take(&path, mode::make_folder_in(above, name))?;
            let open = rustix::fs::openat(above, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
            match open {
                Ok(open) => Ok(Self { path, open }),
                Err(source) => Err(LayoutError::Folder { path, source: source.into() }),
            }
        }
    }

    /// Only to find names in it, where the system can open a folder for that alone.
    #[cfg(target_os = "linux")]
    const ACCESS: OFlags = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    const ACCESS: OFlags = OFlags::RDONLY;

    const FOLDER: OFlags = ACCESS.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    impl<'tree> Linker<'_, 'tree> {
        pub(in super::super) fn link(
            &mut self,
            source: &'tree Source,
            name: &str,
        ) -> io::Result<()> {
            let (entry, below) = source.place();
            let (below, file) = below.rsplit_once('/').unwrap_or(("", below));
            let origin = match &mut self.origin {
                // As texts: to compare paths by their components would cost more than to split them.
                Some(known) if known.entry == entry.as_str() && known.below == below => known,
                other => other.insert(Origin::open(self.above, entry.as_str(), below)?),
            };
            Ok(rustix::fs::linkat(&origin.open, file, &self.place.open, name, AtFlags::empty())?)
        }
    }

    impl<'tree> Origin<'tree> {
        fn open(above: Option<&Self>, entry: &'tree str, below: &'tree str) -> io::Result<Self> {
            let inside = above.and_then(|above| Some((&above.open, above.inside(entry, below)?)));
            let open = match inside {
                Some((above, name)) => rustix::fs::openat(above, name, FOLDER, Mode::empty()),
                None => {
                    let path = camino::Utf8Path::new(entry).join(below);
                    rustix::fs::open(path.as_std_path(), FOLDER, Mode::empty())
                }
            };
            Ok(Self { entry, below, open: open? })
        }

        /// The way from here to `below`, if that is further in.
        fn inside(&self, entry: &str, below: &'tree str) -> Option<&'tree str> {
            let rest = below.strip_prefix(self.below).filter(|_| self.entry == entry)?;
            match self.below {
                "" => (!rest.is_empty()).then_some(rest),
                _ => rest.strip_prefix('/'),
            }
        }
    }
}

#[cfg(not(unix))]
mod named {
    use std::io;
    use std::marker::PhantomData;

    use super::{LayoutError, Linker, Source, Utf8PathBuf, mode, take};

    /// A folder to be filled.
    pub(in super::super) struct Place {
        pub(in super::super) path: Utf8PathBuf,
    }

    /// A folder of the store; here every file is found by its whole path.
    pub(in super::super) struct Origin<'tree>(PhantomData<&'tree str>);

    impl Place {
        /// Makes a folder.
        pub(in super::super) fn make(
            _above: Option<&Self>,
            path: Utf8PathBuf,
        ) -> Result<Self, LayoutError> {
            take(&path, mode::make_folder(&path))?;
            Ok(Self { path })
        }
    }

    impl<'tree> Linker<'_, 'tree> {
        pub(in super::super) fn link(
            &mut self,
            source: &'tree Source,
            name: &str,
        ) -> io::Result<()> {
            std::fs::hard_link(source.path(), self.place.path.join(name))
        }
    }
}
