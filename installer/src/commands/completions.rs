//! `completions`: the script of a shell.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{CommandError, Run};
use crate::cli::Cli;
use crate::completions;

/// Writes the script.
#[expect(clippy::unnecessary_wraps, reason = "it is one of the commands")]
pub(super) fn completions(run: &Run<'_>, shell: Shell) -> Result<ExitCode, CommandError> {
    let name = run.context.executable.file_stem().unwrap_or("installer");
    let script = completions::script(Cli::command(), name, shell);
    let script = String::from_utf8_lossy(&script).into_owned();
    run.reporter.say(completions::hint(name, shell));
    run.reporter.result(&script, &script);
    Ok(ExitCode::SUCCESS)
}
