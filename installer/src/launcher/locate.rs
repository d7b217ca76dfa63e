//! Finds the launcher's own file, through whatever links it was called.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{LauncherError, platform};

/// The launcher's file with every link resolved. `called` is how the caller named it.
pub(super) fn executable(called: &Path) -> Result<PathBuf, LauncherError> {
    // The kernel knows best; but where /proc is not mounted (a bare chroot, an early boot) it cannot be asked.
    env::current_exe()
        .and_then(|path| path.canonicalize())
        .ok()
        .or_else(|| by_name(called, env::var_os("PATH").as_deref()))
        .map(platform::plain)
        .ok_or_else(|| LauncherError::Lost { called: called.to_owned() })
}

/// What a shell means by `called`: a path if it has a slash, else the first fit in the search path.
fn by_name(called: &Path, search: Option<&OsStr>) -> Option<PathBuf> {
    if called.components().count() > 1 || called.has_root() {
        return called.canonicalize().ok();
    }
    called.file_name()?;
    env::split_paths(search?)
        .map(|folder| folder.join(called))
        .find(|path| platform::is_executable_file(path))?
        .canonicalize()
        .ok()
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn by_name_follows_what_a_shell_follows() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it is there");
        for name in ["bin", "links", "plain"] {
            fs::create_dir(root.join(name)).expect("a folder");
        }
        let program = root.join("bin/app");
        fs::write(&program, "").expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
        fs::write(root.join("plain/app"), "not executable").expect("a file");
        symlink("../bin/app", root.join("links/app")).expect("a link");
        let search = env::join_paths([root.join("plain"), root.join("links"), root.join("bin")]);
        let search = search.expect("plain paths");

        assert_eq!(by_name("app".as_ref(), Some(&search)).as_ref(), Some(&program));
        assert_eq!(by_name(&root.join("links/app"), None).as_ref(), Some(&program));
        assert_eq!(by_name("other".as_ref(), Some(&search)), None);
        assert_eq!(by_name("app".as_ref(), None), None);
        assert_eq!(by_name("".as_ref(), Some(&search)), None);
        assert_eq!(by_name(&root.join("bin/other"), Some(&search)), None);
    }
}
