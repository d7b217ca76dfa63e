//! The formats of lockfiles: how they are called, and what to tell their users to run.

/// A package manager's lockfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Format {
    /// `npm-shrinkwrap.json`, `package-lock.json`
    #[default]
    Npm,
    /// `pnpm-lock.yaml`
    Pnpm,
    /// `bun.lock`
    Bun,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Npm, Self::Pnpm, Self::Bun];

    /// The format of a file with this name.
    #[must_use]
    pub fn of(file_name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.file_names().contains(&file_name))
    }

    /// What its lockfiles are called, the one that the package manager prefers first.
    #[must_use]
    pub fn file_names(self) -> &'static [&'static str] {
        match self {
            Self::Npm => &["npm-shrinkwrap.json", "package-lock.json"],
            Self::Pnpm => &["pnpm-lock.yaml"],
            Self::Bun => &["bun.lock"],
        }
    }

    /// The package manager.
    #[must_use]
    pub fn manager(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Bun => "Bun",
        }
    }

    /// The command that writes the lockfile anew.
    #[must_use]
    pub fn rewrite(self) -> &'static str {
        match self {
            Self::Npm => "npm install --package-lock-only",
            Self::Pnpm => "pnpm install --lockfile-only",
            Self::Bun => "bun install --lockfile-only",
        }
    }
}
