//! `<app>-installer`; see [`installer`].

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::SystemTime;

use camino::Utf8PathBuf;
use clap::Parser as _;
use installer::cli::Cli;
use installer::commands;
use installer::context::Context;
use installer::interruption;
use installer::report::{Format, Reporter, Volume};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = if cli.global.json { Format::Json } else { Format::Text };
    let volume = if cli.global.quiet { Volume::Quiet } else { Volume::Usual };
    let reporter = Reporter::new(format, volume);
    let Some(context) = context() else {
        let message = b"error: the folder this was started in, or this program's own, has a name that is not UTF-8\n";
        // Nobody can be told when standard error is gone; the status still says it.
        let _ = std::io::stderr().write_all(message);
        return ExitCode::FAILURE;
    };
    // Without it a signal ends this process as it does any other.
    if let Err(error) = interruption::listen(&context.interruption) {
        reporter.warn(format_args!("signals end this at once: {error}"));
    }
    commands::run(&cli, &context, &reporter).unwrap_or_else(interruption::exit_code)
}

/// What the process was given.
fn context() -> Option<Context> {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let current_dir = Utf8PathBuf::from_path_buf(std::env::current_dir().ok()?).ok()?;
    let executable = std::env::current_exe().and_then(|path| path.canonicalize()).ok()?;
    let executable = Utf8PathBuf::from_path_buf(executable).ok()?;
    let mut context = Context::new(environment, current_dir, executable);
    context.now = SystemTime::now();
    Some(context)
}
