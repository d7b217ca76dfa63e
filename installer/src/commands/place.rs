//! Which prefix a command is about.

use camino::{Utf8Path, Utf8PathBuf};

use super::{CommandError, Run};
use crate::prefix::state::State;
use crate::prefix::{Layout, Scope};

impl Run<'_> {
    /// The prefix that something is installed in: the one that is named, else the one this program is in, else the usual one of the
    /// app that this program is named for.
    pub(super) fn found(&self) -> Result<Layout, CommandError> {
        if let Some(prefix) = &self.global.prefix {
            return Ok(Layout::new(self.absolute(prefix)));
        }
        if let Some(layout) = self.own() {
            return Ok(layout);
        }
        let name = self.context.executable.file_stem().unwrap_or_default();
        let app = name.split_once("-installer").map(|(app, _)| app);
        let app = app.filter(|app| !app.is_empty()).ok_or(CommandError::NotFound)?;
        let scopes = [Scope::User, Scope::System];
        let usual = |scope| Layout::usual(self.context, app, scope);
        let first = if self.global.system { Scope::System } else { Scope::User };
        let scopes = scopes.into_iter().filter(|scope| *scope == first || !self.global.system);
        scopes.filter_map(usual).find(Layout::is_somebodys).ok_or(CommandError::NotFound)
    }

    /// The prefix that `app` is installed to.
    pub(super) fn prefix_for(&self, app: &str) -> Result<Layout, CommandError> {
        if let Some(prefix) = &self.global.prefix {
            return Ok(Layout::new(self.absolute(prefix)));
        }
        if let Some(layout) = self.own() {
            return Ok(layout);
        }
        Layout::usual(self.context, app, self.scope()).ok_or(CommandError::NoHome)
    }

    /// The prefix that this program is in, if that is the one the command is about.
    pub(super) fn own(&self) -> Option<Layout> {
        Layout::around(&self.context.executable).filter(|_| !self.global.system)
    }

    /// For whom it is, by the command line.
    fn scope(&self) -> Scope {
        if self.global.system { Scope::System } else { Scope::User }
    }

    /// For whom what is in this prefix is.
    pub(super) fn scope_of(&self, layout: &Layout) -> Scope {
        if self.global.system { Scope::System } else { layout.scope(self.context) }
    }

    /// The folder for programs: the one that is named, else the one they are in, else the usual one.
    pub(super) fn bin_dir(
        &self,
        layout: &Layout,
        named: Option<Utf8PathBuf>,
        before: Option<&State>,
    ) -> Result<Utf8PathBuf, CommandError> {
        let usual = || {
            layout.usual_bin_dir(self.context, self.scope_of(layout)).ok_or(CommandError::NoHome)
        };
        match (named, before) {
            (Some(named), _) if cfg!(windows) => {
                let usual = usual()?;
                if named == usual { Ok(usual) } else { Err(CommandError::BinDir { named, usual }) }
            }
            (Some(named), _) => Ok(named),
            (None, Some(before)) => Ok(before.bin_dir.clone()),
            (None, None) => usual(),
        }
    }

    /// What is installed in a prefix.
    pub(super) fn installed(&self, layout: &Layout) -> Result<State, CommandError> {
        self.look(layout)?.ok_or(CommandError::NotFound)
    }

    /// What is installed in a prefix, if anything is.
    pub(super) fn look(&self, layout: &Layout) -> Result<Option<State>, CommandError> {
        self.expect_word(layout)?;
        Ok(State::read(layout)?)
    }

    /// Looks whether anything says what is installed, where anything is.
    pub(super) fn expect_word(&self, layout: &Layout) -> Result<(), CommandError> {
        match layout.is_orphaned() {
            true => Err(CommandError::Lost { path: layout.state() }),
            false => Ok(()),
        }
    }

    /// A path of the command line, as seen from anywhere, without `.` and `..` where that needs no look at the disk.
    pub(super) fn absolute(&self, path: &Utf8Path) -> Utf8PathBuf {
        use camino::Utf8Component;
        let mut absolute = Utf8PathBuf::new();
        for part in self.context.current_dir.join(path).components() {
            match part {
                Utf8Component::CurDir => {}
                Utf8Component::ParentDir => drop(absolute.pop()),
                part => absolute.push(part),
            }
        }
        absolute
    }
}
