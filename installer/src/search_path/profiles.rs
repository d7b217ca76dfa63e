//! Which files the user's shells read when they start.
//!
//! - **sh** and its kin read `.profile` when one logs in, and most desktops do before anything else is started.
//! - **bash** reads, when one logs in, the first of `.bash_profile`, `.bash_login` and `.profile` and no other; any other
//!   interactive one reads `.bashrc`.
//! - **zsh** always reads `.zshenv`, in `$ZDOTDIR` if that is set.
//! - **fish** reads every file of `conf.d` in its configuration; one there is the app's own.
//!
//! A shell counts if it is the user's (`$SHELL`), or has left a file of its own. A file that is not there is made only for the
//! user's own shell.

use camino::{Utf8Path, Utf8PathBuf};

use super::block::Syntax;

/// What is known of the user's shells.
pub(super) struct Shells<'a> {
    /// The user's home folder.
    pub(super) home: &'a Utf8Path,
    /// `$SHELL`.
    pub(super) shell: Option<&'a str>,
    /// `$ZDOTDIR`.
    pub(super) zsh: Option<&'a str>,
    /// `$XDG_CONFIG_HOME`.
    pub(super) config: Option<&'a str>,
    /// Whether there is something at a path.
    pub(super) exists: &'a dyn Fn(&Utf8Path) -> bool,
}

/// The files, each with the language of its shell. Nothing when the user's own shell is an unknown one and there is no other.
pub(super) fn files(app: &str, shells: &Shells<'_>) -> Vec<(Utf8PathBuf, Syntax)> {
    let Shells { home, exists, .. } = *shells;
    let own = shells.shell.and_then(|shell| Utf8Path::new(shell).file_name());
    let is_absolute = |path: &&str| path.starts_with('/');
    let mut files = Vec::new();
    // bash and sh.
    let in_home = |name: &str| home.join(name);
    let login = [".bash_profile", ".bash_login"].map(in_home).into_iter().find(|file| exists(file));
    let profile = in_home(".profile");
    let reads_profile = matches!(
        own,
        None | Some("sh" | "bash" | "dash" | "ash" | "busybox" | "ksh" | "mksh" | "oksh")
    );
    if exists(&profile) || (reads_profile && login.is_none()) {
        files.push((profile, Syntax::Posix));
    }
    files.extend(login.map(|file| (file, Syntax::Posix)));
    files.extend(
        Some(in_home(".bashrc")).filter(|file| exists(file)).map(|file| (file, Syntax::Posix)),
    );
    // zsh.
    let zsh = shells.zsh.filter(is_absolute).map_or_else(|| home.to_owned(), Utf8PathBuf::from);
    let has_zsh = [".zshenv", ".zshrc", ".zprofile"].iter().any(|name| exists(&zsh.join(name)));
    if own == Some("zsh") || has_zsh {
        files.push((zsh.join(".zshenv"), Syntax::Posix));
    }
    // fish.
    let config = shells.config.filter(is_absolute);
    let config = config.map_or_else(|| home.join(".config"), Utf8PathBuf::from).join("fish");
    if own == Some("fish") || exists(&config) {
        files.push((config.join("conf.d").join(format!("{app}.fish")), Syntax::Fish));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shell: &str, there: &[&str]) -> String {
        with(shell, there, None, None)
    }

    fn with(shell: &str, there: &[&str], zsh: Option<&str>, config: Option<&str>) -> String {
        let exists = |path: &Utf8Path| there.iter().any(|file| path == *file);
        let shell = Some(shell).filter(|shell| !shell.is_empty());
        let shells = Shells { home: Utf8Path::new("/h"), shell, zsh, config, exists: &exists };
        let files = files("claw", &shells);
        files.iter().map(|(file, _)| file.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_files_of_each_shell() {
        assert_eq!(of("/bin/sh", &[]), "/h/.profile");
        assert_eq!(of("", &[]), "/h/.profile");
        assert_eq!(of("/bin/bash", &[]), "/h/.profile");
        assert_eq!(of("/bin/bash", &["/h/.bashrc"]), "/h/.profile /h/.bashrc");
        // It would hide a `.profile`, so it is the one.
        assert_eq!(of("/bin/bash", &["/h/.bash_profile"]), "/h/.bash_profile");
        assert_eq!(
            of("/bin/bash", &["/h/.bash_login", "/h/.profile", "/h/.bashrc"]),
            "/h/.profile /h/.bash_login /h/.bashrc"
        );
        assert_eq!(of("/usr/bin/zsh", &[]), "/h/.zshenv");
        assert_eq!(of("/usr/bin/zsh", &["/h/.bashrc"]), "/h/.bashrc /h/.zshenv");
        assert_eq!(of("/usr/bin/fish", &[]), "/h/.config/fish/conf.d/claw.fish");
        assert_eq!(of("/usr/bin/nu", &[]), "");
        assert_eq!(of("/usr/bin/nu", &["/h/.profile", "/h/.zshrc"]), "/h/.profile /h/.zshenv");
        assert_eq!(
            of("/bin/bash", &["/h/.config/fish"]),
            "/h/.profile /h/.config/fish/conf.d/claw.fish"
        );
    }

    #[test]
    fn where_variables_say() {
        assert_eq!(with("/bin/zsh", &[], Some("/z"), None), "/z/.zshenv");
        assert_eq!(with("/bin/zsh", &[], Some("z"), None), "/h/.zshenv");
        assert_eq!(with("/bin/fish", &[], None, Some("/c")), "/c/fish/conf.d/claw.fish");
    }
}
