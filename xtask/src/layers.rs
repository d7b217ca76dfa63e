//! A folder that a program may change while the files it shows stay as they are.
//!
//! The kernel's overlay file system shows a lower folder, which may be made of hard links to the store, and puts whatever is
//! written to it into an upper one. So nothing has to be copied beforehand, and afterwards the upper folder has what changed
//! and nothing else: files, links and folders as they are; a *whiteout* where something was removed; and a folder marked as
//! *opaque* where one took the place of another. [`crate::confine`] mounts it, [`crate::capture`] reads it back.

use std::fs::{self, Metadata};
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

/// The folders of an overlay. They outlive the mounts: a program sees what the one before it left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layers {
    /// What is shown as long as nothing was changed. Nobody writes to it.
    pub lower: Utf8PathBuf,
    /// What was changed.
    pub upper: Utf8PathBuf,
    /// The kernel's own.
    work: Utf8PathBuf,
}

impl Layers {
    /// Makes empty ones below `folder`.
    ///
    /// # Errors
    /// When a folder cannot be made.
    pub fn make(folder: &Utf8Path) -> io::Result<Self> {
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| folder.join(name));
        for folder in [&lower, &upper, &work] {
            fs::create_dir_all(folder)?;
        }
        Ok(Self { lower, upper, work })
    }

    /// What `mount` is told. The attributes are those that a user namespace may set, and a file that is linked to many
    /// names is changed under one only.
    #[must_use]
    pub fn options(&self) -> String {
        let [lower, upper, work] = [&self.lower, &self.upper, &self.work].map(escaped);
        format!("lowerdir={lower},upperdir={upper},workdir={work},userxattr,index=off")
    }

    /// Makes the folder `path` where nothing is shown, while the overlay is not mounted. Says whether there is a folder now:
    /// never through a link, which an earlier program may have made to lead out.
    ///
    /// # Errors
    /// When a folder cannot be looked at or made.
    pub fn ensure(&self, path: &str) -> io::Result<bool> {
        let (mut upper, mut lower) = (self.upper.clone(), Some(self.lower.clone()));
        for component in path.split('/').filter(|component| !component.is_empty()) {
            upper.push(component);
            lower = lower.map(|lower| lower.join(component));
            match (found(&upper)?, lower.as_deref().map(found).transpose()?.flatten()) {
                (Some(above), _) if is_whiteout(&above) => {
                    fs::remove_file(&upper)?;
                    fs::create_dir(&upper)?;
                    hide_what_is_below(&upper)?;
                    lower = None;
                }
                (Some(above), _) if above.is_dir() => {
                    if is_opaque(&upper)? {
                        lower = None;
                    }
                }
                (None, Some(below)) if below.is_dir() => {}
                (None, None) => fs::create_dir_all(&upper)?,
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Lets the folders be removed again: the kernel leaves one behind that only root may look into.
    pub fn release(&self) {
        let inner = self.work.join("work");
        if let Err(error) = open_up(&inner)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(folder = %inner, %error, "it may stay behind");
        }
    }
}

fn found(path: &Utf8Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A comma ends an option, a colon a folder.
fn escaped(path: &Utf8PathBuf) -> String {
    let mut text = String::new();
    for character in path.as_str().chars() {
        if matches!(character, '\\' | ',' | ':') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::fs::{Metadata, Permissions};
    use std::io;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};

    use camino::Utf8Path;
    use rustix::fs::XattrFlags;
    use rustix::io::Errno;

    const OPAQUE: &str = "user.overlay.opaque";

    /// Whether this stands in an upper folder for something that was removed.
    #[must_use]
    pub fn is_whiteout(metadata: &Metadata) -> bool {
        metadata.file_type().is_char_device() && metadata.rdev() == 0
    }

    /// Whether a folder of an upper one hides what the lower has in its place.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn is_opaque(folder: &Utf8Path) -> io::Result<bool> {
        let mut value = [0; 8];
        match rustix::fs::lgetxattr(folder.as_std_path(), OPAQUE, &mut value) {
            Ok(length) => Ok(value.get(..length) == Some(b"y")),
            // Absent, or not to be had on this file system at all.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn hide_what_is_below(folder: &Utf8Path) -> io::Result<()> {
        Ok(rustix::fs::lsetxattr(folder.as_std_path(), OPAQUE, b"y", XattrFlags::empty())?)
    }

    pub(super) fn open_up(folder: &Utf8Path) -> io::Result<()> {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::fs::Metadata;
    use std::io;

    use camino::Utf8Path;

    /// Whether this stands in an upper folder for something that was removed: never here, there are no overlays.
    #[must_use]
    pub fn is_whiteout(_metadata: &Metadata) -> bool {
        false
    }

    /// Whether a folder of an upper one hides what the lower has in its place: never here.
    ///
    /// # Errors
    /// Never.
    pub fn is_opaque(_folder: &Utf8Path) -> io::Result<bool> {
        Ok(false)
    }

    pub(super) fn hide_what_is_below(_folder: &Utf8Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn open_up(_folder: &Utf8Path) -> io::Result<()> {
        Ok(())
    }
}

use kernel::{hide_what_is_below, open_up};
pub use kernel::{is_opaque, is_whiteout};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_end_an_option() {
        let layers = Layers { lower: "/a,b".into(), upper: "/a:b".into(), work: r"/a\b".into() };
        assert_eq!(
            layers.options(),
            r"lowerdir=/a\,b,upperdir=/a\:b,workdir=/a\\b,userxattr,index=off"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_is_made_only_where_nothing_is_shown() {
        let folder = tempfile::tempdir().expect("there is room");
        let layers =
            Layers::make(Utf8Path::from_path(folder.path()).expect("UTF-8")).expect("ours");
        fs::create_dir_all(layers.lower.join("there/below")).expect("ours");
        fs::write(layers.lower.join("there/file"), "").expect("ours");
        std::os::unix::fs::symlink("/", layers.upper.join("link")).expect("ours");
        fs::create_dir_all(layers.upper.join("new")).expect("ours");
        hide_what_is_below(&layers.upper.join("new")).expect("this file system has attributes");
        fs::create_dir_all(layers.lower.join("new")).expect("ours");
        fs::write(layers.lower.join("new/hidden"), "").expect("ours");

        assert!(layers.ensure("there/below").expect("readable"));
        assert!(!layers.upper.join("there").exists(), "it is there already");
        for other in ["there/file", "there/file/x", "link", "link/tmp"] {
            assert!(!layers.ensure(other).expect("readable"), "{other}");
        }
        for made in ["there/below/more/more", "new/hidden", "else"] {
            assert!(layers.ensure(made).expect("writable"), "{made}");
            assert!(layers.upper.join(made).is_dir(), "{made}");
        }
        assert!(is_opaque(&layers.upper.join("new")).expect("readable"));
        assert!(!is_opaque(&layers.upper.join("there")).expect("readable"));
    }
}
