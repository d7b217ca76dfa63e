//! What the doctor says here: `doctor [--json] [MANIFEST]`. Small enough to be taken to any machine that is to be looked at.

use std::io::Write as _;
use std::process::ExitCode;

use gangway_artifact::Manifest;
use installer::context::Context;
use installer::doctor::{self, Patient};
use installer::host::{self, Asked};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let (options, files): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let manifest = match files.first() {
        Some(file) => Some(Manifest::from_json(&fs_err::read(file)?)?),
        None => None,
    };
    let current = std::env::current_dir()?.try_into()?;
    let context = Context::new(std::env::vars().collect(), current, "doctor".into());
    let asked = Asked::about(manifest.as_ref().map(|manifest| &manifest.contract), ".");
    let machine = host::detect(&context, &asked);
    let report = doctor::examine(&machine, manifest.as_ref().map(Patient::of));
    let text = match options.iter().any(|option| option == "--json") {
        true => serde_json::to_string_pretty(&report)?,
        false => doctor::text(&machine, &report),
    };
    writeln!(std::io::stdout().lock(), "{}", text.trim_end())?;
    Ok(if report.passes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
