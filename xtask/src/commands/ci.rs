//! `cargo xtask ci`: every check of the project, in the order of how soon each one fails.
//!
//! `.ci/run` runs this and nothing else. Everything is compiled under the profile that `cargo xtask` itself uses, so
//! the dependencies are built once. A check that cannot run on this machine is listed at the end, loudly.

use std::process::{Command, ExitStatus};

use camino::Utf8Path;
use miette::Diagnostic;

use crate::context::Context;
use crate::{launcher, toolchain};

/// A check that failed or could not be started.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[expect(missing_docs, reason = "the fields are named")]
pub enum CiError {
    /// The builder does not run from its checkout.
    #[error("the checks need the source checkout this builder was compiled in, and it is gone")]
    #[diagnostic(help("run `cargo xtask ci` in a clone of the repository"))]
    NoCheckout,
    /// The program is not there.
    #[error("cannot start `{command}` ({purpose})")]
    #[diagnostic(help("{help}"))]
    Start { command: String, purpose: &'static str, help: &'static str, source: std::io::Error },
    /// The check failed.
    #[error("`{command}` failed ({purpose}, {status})")]
    #[diagnostic(help("{help}"))]
    Failed { command: String, purpose: &'static str, help: &'static str, status: ExitStatus },
}

struct Check {
    purpose: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    help: &'static str,
}

const CHECKS: &[Check] = &[
    Check {
        purpose: "formatting",
        arguments: &["fmt", "--all", "--check"],
        environment: &[],
        help: "run `cargo fmt --all`",
    },
    Check {
        purpose: "licences, bans and sources of the dependencies",
        arguments: &[
            "deny",
            "--log-level",
            "error",
            "check",
            "--hide-inclusion-graph",
            "bans",
            "licenses",
            "sources",
        ],
        environment: &[],
        help: "`cargo install cargo-deny --locked` installs it; deny.toml says what is allowed",
    },
    Check {
        purpose: "lints",
        arguments: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--profile",
            "xtask",
            "--",
            "--deny",
            "warnings",
        ],
        environment: &[],
        help: "the lints are in Cargo.toml, [workspace.lints]",
    },
    Check {
        purpose: "documentation",
        arguments: &[
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--profile",
            "xtask",
        ],
        environment: &[("RUSTDOCFLAGS", "--deny warnings")],
        help: "every link must resolve",
    },
    Check {
        purpose: "tests",
        arguments: &["test", "--workspace", "--profile", "xtask", "--no-fail-fast"],
        environment: &[],
        help: "the failed tests are named above",
    },
];

/// What compiles native code for other platforms.
const CROSS: Check = Check {
    purpose: "tests that compile for other platforms",
    arguments: &[
        "test",
        "--profile",
        "xtask",
        "--package",
        "e2e",
        "--package",
        "xtask",
        "--test",
        "services",
        "--test",
        "addons_build",
        "--",
        "--ignored",
    ],
    environment: &[],
    help: "the failed tests are named above",
};

const ADVISORIES: Check = Check {
    purpose: "known vulnerabilities of the dependencies",
    arguments: &["deny", "--workspace", "check", "advisories"],
    environment: &[],
    help: "update the dependency, or say in deny.toml why it does not matter",
};

/// Runs every check; the first that fails ends it.
///
/// # Errors
/// When a check fails or cannot be started.
pub fn run(context: &Context) -> Result<(), CiError> {
    let checkout = launcher::source_checkout().ok_or(CiError::NoCheckout)?;
    for check in CHECKS {
        start(context, checkout, check)?;
    }
    cross(context, checkout)?;
    advisories(context, checkout)
}

fn start(context: &Context, checkout: &Utf8Path, check: &Check) -> Result<(), CiError> {
    let Check { purpose, arguments, environment, help } = *check;
    context.reporter.done("Checking", purpose);
    let status = Command::new("cargo")
        .args(arguments)
        .current_dir(checkout)
        .envs(environment.iter().copied())
        .status()
        .map_err(|source| CiError::Start { command: line(check), purpose, help, source })?;
    if status.success() {
        return Ok(());
    }
    Err(CiError::Failed { command: line(check), purpose, help, status })
}

/// zig, cargo-zigbuild and Rust's standard libraries are not everybody's; `.ci/run` brings them.
fn cross(context: &Context, checkout: &Utf8Path) -> Result<(), CiError> {
    let triple = "aarch64-unknown-linux-musl";
    let lacking = toolchain::zig(context, triple)
        .and_then(|_| toolchain::zigbuild(context, triple))
        .and_then(|_| toolchain::standard_library(context, checkout, triple));
    match lacking {
        Ok(()) => start(context, checkout, &CROSS),
        Err(error) => {
            context.reporter.warn(format!("NOT CHECKED: {}; {error}", CROSS.purpose));
            Ok(())
        }
    }
}

/// The list of known vulnerabilities is fetched from elsewhere and not always within reach. That it could not be is no
/// failure of the project, but it must not pass unseen; once it is here, it counts like every other check.
fn advisories(context: &Context, checkout: &Utf8Path) -> Result<(), CiError> {
    let fetched =
        Command::new("cargo").args(["deny", "fetch", "db"]).current_dir(checkout).output();
    if fetched.is_ok_and(|output| output.status.success()) {
        return start(context, checkout, &ADVISORIES);
    }
    context.reporter.warn(
        "NOT CHECKED: known vulnerabilities of the dependencies; the database of `cargo deny check advisories` is out of reach",
    );
    Ok(())
}

fn line(check: &Check) -> String {
    format!("cargo {}", check.arguments.join(" "))
}
