//! The command line of `<app>-installer`.

use std::num::NonZeroU32;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Installs an app on this machine, keeps it up to date, and removes it.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    #[expect(missing_docs, reason = "it would be shown")]
    pub global: Global,
    #[command(subcommand)]
    #[expect(missing_docs, reason = "it would be shown")]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Global {
    /// The folder it is installed to
    #[arg(long, global = true, value_name = "DIR")]
    pub prefix: Option<Utf8PathBuf>,
    /// For all users of the machine
    #[arg(long, global = true, conflicts_with = "prefix")]
    pub system: bool,
    /// Write the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Say only what is wrong
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Do not ask
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// Say what would be done, and do nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Fail when another installer is at work, instead of waiting
    #[arg(long, global = true)]
    pub no_wait: bool,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install the app
    Install(Install),
    /// Install the newest version of the channel
    Update(Update),
    /// Use an earlier version again
    Rollback(Rollback),
    /// Compare every byte that is installed with what was published
    Verify(Verify),
    /// Make anew what is damaged
    Repair(Repair),
    /// Say what this machine is, and what the app needs of it
    Doctor(Doctor),
    /// Write the script with which a shell completes this program's command line
    Completions(Completions),
    /// List the versions that are installed
    List,
    /// Say what is installed, and whether anything is going on
    Status,
    /// Remove the app; its own data stays
    Uninstall(Uninstall),
}

/// Where releases come from, and which.
#[derive(Debug, Clone, Default, Args)]
pub struct Origin {
    /// The address or folder with the releases
    #[arg(long, value_name = "BASE")]
    pub from: Option<String>,
    /// The channel to follow
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// This version, instead of the channel's newest
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// The bundle for this target, instead of the one for this machine; `auto` ends that
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// How many versions are kept
    #[arg(long, value_name = "N")]
    pub keep: Option<NonZeroU32>,
    /// What of a version is tried before it is used
    #[arg(long, value_enum, default_value_t)]
    pub trial: Trial,
    /// What starts again what is running, as `systemctl --user restart APP`; an empty one: nothing
    #[arg(long, value_name = "COMMAND")]
    pub restart_command: Option<String>,
    /// Whether the app's own data is copied before, so that a rollback can bring it back
    #[arg(long, value_enum, default_value_t)]
    pub snapshot: Choice,
    /// Install it although this machine lacks something that it needs, or it was not well before; that is recorded
    #[arg(long)]
    pub force: bool,
}

/// How much of a version is tried before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Trial {
    /// Nothing
    None,
    /// That its programs start
    #[default]
    Programs,
    /// That its services become well, too
    Everything,
}

/// What is done if nobody is asked, or who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Choice {
    /// Always
    Yes,
    /// Never
    No,
    /// A person at a terminal is asked
    #[default]
    Ask,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the fields' texts are those of --help")]
pub struct Install {
    #[command(flatten)]
    pub origin: Origin,
    /// The folder that programs are linked into; on Windows they are in the prefix
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<Utf8PathBuf>,
    /// Leave the search path as it is
    #[arg(long)]
    pub no_modify_path: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the fields' texts are those of --help")]
pub struct Update {
    #[command(flatten)]
    pub origin: Origin,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the fields' texts are those of --help")]
pub struct Rollback {
    /// The version; otherwise the one that was used before
    pub version: Option<String>,
    /// Whether the app's own data is brought back as that version left it, if there is a copy
    #[arg(long, value_enum, default_value_t)]
    pub restore: Choice,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the fields' texts are those of --help")]
pub struct Verify {
    /// All versions, not only the one that is used
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the fields' texts are those of --help")]
pub struct Repair {
    /// The address or folder with the releases
    #[arg(long, value_name = "BASE")]
    pub from: Option<String>,
    /// The channel that is followed, where nothing says it any more
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// The folder that programs are linked into, where nothing says it any more
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<Utf8PathBuf>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the fields' texts are those of --help")]
pub struct Doctor {
    #[command(flatten)]
    pub origin: Origin,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the fields' texts are those of --help")]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the fields' texts are those of --help")]
pub struct Uninstall {
    /// Remove the app's own data too
    #[arg(long)]
    pub purge: bool,
}
