//! Where everything is.

use camino::{Utf8Path, Utf8PathBuf};
use gangway_artifact::MANIFEST_FILE;

use super::{Slot, current};
use crate::context::Context;

/// The file that says what is installed.
pub(super) const STATE_FILE: &str = "state.json";
/// The same once more.
pub(super) const STATE_COPY_FILE: &str = "state.copy.json";
/// The file that says what is going on.
pub(super) const JOURNAL_FILE: &str = "journal.json";

/// The places in a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    prefix: Utf8PathBuf,
}

/// For whom something is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// For who gives the command.
    User,
    /// For everybody on the machine.
    System,
}

impl Layout {
    /// The layout of this prefix, an absolute path.
    #[must_use]
    pub fn new(prefix: Utf8PathBuf) -> Self {
        Self { prefix }
    }

    /// The prefix that an app has unless another one is named; `None` where the environment does not tell.
    #[must_use]
    pub fn usual(context: &Context, app: &str, scope: Scope) -> Option<Self> {
        let above = match (scope, cfg!(windows)) {
            (Scope::User, true) => Utf8PathBuf::from(context.variable("LOCALAPPDATA")?),
            (Scope::User, false) => from_base(context, "XDG_DATA_HOME", ".local/share")?,
            (Scope::System, true) => Utf8PathBuf::from(context.variable("ProgramFiles")?),
            (Scope::System, false) => Utf8PathBuf::from("/opt"),
        };
        above.is_absolute().then(|| Self::new(above.join(app)))
    }

    /// For whom it is, as far as the prefix says: what is in the system's own place is for everybody, also where nobody says so again.
    #[must_use]
    pub fn scope(&self, context: &Context) -> Scope {
        let app = self.prefix.file_name().unwrap_or_default();
        let usual = Self::usual(context, app, Scope::System);
        // It may be reached by way of a link.
        let is_same = |usual: Self| {
            usual == *self
                || usual.prefix.canonicalize().ok().is_some_and(|real| real == self.prefix)
        };
        if usual.is_some_and(is_same) { Scope::System } else { Scope::User }
    }

    /// The folder for programs unless another one is named.
    #[must_use]
    pub fn usual_bin_dir(&self, context: &Context, scope: Scope) -> Option<Utf8PathBuf> {
        match scope {
            // There is no folder there that is in the search path of every account.
            _ if cfg!(windows) => Some(self.prefix.join("bin")),
            Scope::User => from_base(context, "XDG_BIN_HOME", ".local/bin"),
            Scope::System => Some(Utf8PathBuf::from("/usr/local/bin")),
        }
    }

    /// The prefix that the program `executable` was installed to, if it was: then it is where installers are in one. Of any other program, as one that
    /// was fetched into a folder for temporary files, nothing around it counts: there anybody may have put something.
    #[must_use]
    pub fn around(executable: &Utf8Path) -> Option<Self> {
        let folder = executable.parent()?;
        let layout = Self::new(folder.parent()?.to_owned());
        (folder == layout.installer() && layout.is_somebodys()).then_some(layout)
    }

    /// Whether anything was installed here, or is being, even if nothing says so any more.
    #[must_use]
    pub fn is_somebodys(&self) -> bool {
        self.is_used() || self.is_orphaned()
    }

    /// Whether something is installed here and `state.json` does not say what.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        let used = current::read(self).ok().flatten();
        let is_whole = |slot: Slot| self.version(&slot).join(MANIFEST_FILE).is_file();
        !self.is_used() && (self.state_copy().is_file() || used.is_some_and(is_whole))
    }

    /// Whether anything was installed here, or is being.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.state().is_file() || self.journal().is_file()
    }

    /// The prefix itself.
    #[must_use]
    pub fn prefix(&self) -> &Utf8Path {
        &self.prefix
    }

    /// The folder with all versions.
    #[must_use]
    pub fn versions(&self) -> Utf8PathBuf {
        self.prefix.join("versions")
    }

    /// The folder of one version.
    #[must_use]
    pub fn version(&self, slot: &Slot) -> Utf8PathBuf {
        self.versions().join(slot.as_str())
    }

    /// What leads to the version that is used.
    #[must_use]
    pub fn current(&self) -> Utf8PathBuf {
        self.prefix.join("current")
    }

    /// What is installed.
    #[must_use]
    pub fn state(&self) -> Utf8PathBuf {
        self.prefix.join(STATE_FILE)
    }

    /// The same once more, for when that is damaged.
    #[must_use]
    pub fn state_copy(&self) -> Utf8PathBuf {
        self.prefix.join(STATE_COPY_FILE)
    }

    /// What is going on.
    #[must_use]
    pub fn journal(&self) -> Utf8PathBuf {
        self.prefix.join(JOURNAL_FILE)
    }

    /// The lock.
    #[must_use]
    pub fn lock(&self) -> Utf8PathBuf {
        self.prefix.join("lock")
    }

    /// What was fetched.
    #[must_use]
    pub fn downloads(&self) -> Utf8PathBuf {
        self.prefix.join("downloads")
    }

    /// Where a version is tried, for as long as that takes.
    #[must_use]
    pub fn trial(&self) -> Utf8PathBuf {
        self.prefix.join("trial")
    }

    /// There while what ran is stopped, or being started again.
    #[must_use]
    pub fn running(&self) -> Utf8PathBuf {
        self.prefix.join("running")
    }

    /// Copies of the app's own data.
    #[must_use]
    pub fn snapshots(&self) -> Utf8PathBuf {
        self.prefix.join("snapshots")
    }

    /// The folder with the installer itself. On Windows it is that of the programs: a link to it would need a right that few have.
    #[must_use]
    pub fn installer(&self) -> Utf8PathBuf {
        self.prefix.join(if cfg!(windows) { "bin" } else { "installer" })
    }

    /// The installer itself.
    #[must_use]
    pub fn program(&self, app: &str) -> Utf8PathBuf {
        self.installer().join(program_file(&program_name(app)))
    }
}

/// How the installer of an app is called.
pub(super) fn program_name(app: &str) -> String {
    format!("{app}-installer")
}

/// The file of a program of this name.
pub(super) fn program_file(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}

/// A folder that a variable names, or one below the home folder.
fn from_base(context: &Context, variable: &str, below_home: &str) -> Option<Utf8PathBuf> {
    // The base directory specification says of relative ones that they count for nothing.
    let named = context.variable(variable).map(Utf8PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| context.home().map(|home| home.join(below_home)))
}

#[cfg(all(test, unix))]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn places(variables: &[(&str, &str)], scope: Scope) -> Option<(String, String)> {
        let environment: BTreeMap<_, _> = (variables.iter())
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let context = Context::new(environment, "/".into(), "/installer".into());
        let layout = Layout::usual(&context, "app", scope)?;
        let bin_dir = layout.usual_bin_dir(&context, scope)?;
        Some((layout.prefix.into_string(), bin_dir.into_string()))
    }

    #[test]
    fn the_usual_places() {
        let both = |prefix: &str, bin: &str| Some((prefix.to_owned(), bin.to_owned()));
        let home = ("HOME", "/home/me");
        let users = both("/home/me/.local/share/app", "/home/me/.local/bin");
        assert_eq!(places(&[home], Scope::User), users);
        let relative = [home, ("XDG_DATA_HOME", "data"), ("XDG_BIN_HOME", "")];
        assert_eq!(places(&relative, Scope::User), users);
        let named = [("XDG_DATA_HOME", "/data"), ("XDG_BIN_HOME", "/bin")];
        assert_eq!(places(&named, Scope::User), both("/data/app", "/bin"));
        assert_eq!(places(&[], Scope::System), both("/opt/app", "/usr/local/bin"));
        assert_eq!(places(&[], Scope::User), None);
    }

    #[test]
    fn for_whom_a_prefix_is() {
        let home = BTreeMap::from([("HOME".to_owned(), "/home/me".to_owned())]);
        let context = Context::new(home, "/".into(), "/installer".into());
        let scope = |prefix: &str| Layout::new(prefix.into()).scope(&context);
        assert_eq!(scope("/opt/app"), Scope::System);
        for prefix in ["/home/me/.local/share/app", "/opt/mine/app", "/srv/app"] {
            assert_eq!(scope(prefix), Scope::User, "{prefix}");
        }
    }
}
