//! `cargo xtask ci`: every check of the project, in the order of how soon each one fails.
//!
//! `.ci/run` runs this and nothing else. Everything is compiled under the profile that `cargo xtask` itself uses, so
//! the dependencies are built once. A check that cannot run on this machine is listed at the end, loudly.

use std::process::{Command, ExitStatus};

use camino::Utf8Path;
use miette::Diagnostic;

use super::fuzz;
use crate::context::Context;
use crate::{programs, toolchain};

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
    /// A reader did not survive an input.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fuzz(#[from] fuzz::FuzzError),
}

/// How long each fuzz target runs here: about a minute for all. `cargo xtask fuzz` takes its time.
const FUZZ_SECONDS: u32 = 12;

struct Check<'a> {
    purpose: &'static str,
    arguments: &'a [&'a str],
    environment: &'static [(&'static str, &'static str)],
    help: &'static str,
}

const CHECKS: &[Check<'_>] = &[
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
            "--features",
            FOR_TESTS,
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
        arguments: &[
            "test",
            "--workspace",
            "--features",
            FOR_TESTS,
            "--profile",
            "xtask",
            "--no-fail-fast",
        ],
        environment: &[],
        help: "the failed tests are named above",
    },
];

/// Where the installer can be killed, and what serves it badly. Every check that compiles names them, and the whole workspace: with other features
/// the builder would be compiled once more.
const FOR_TESTS: &str = "installer/checkpoints,installer/testing";

/// Bundles that are tried at the other end of ssh.
const DEVICE: Check<'_> = Check {
    purpose: "bundles on a device",
    arguments: &[
        "test",
        "--workspace",
        "--features",
        FOR_TESTS,
        "--profile",
        "xtask",
        "--test",
        "smoke",
        "--",
        "--ignored",
    ],
    environment: &[],
    help: "the failed tests are named above; they need OpenSSH's server",
};

/// What compiles native code for other platforms.
const CROSS: Check<'_> = Check {
    purpose: "tests that compile for other platforms",
    arguments: &[
        "test",
        "--workspace",
        "--features",
        FOR_TESTS,
        "--profile",
        "xtask",
        "--test",
        "services",
        "--test",
        "addons_build",
        "--test",
        "macos",
        "--test",
        "prebuilt",
        "--test",
        "release",
        "--",
        "--ignored",
    ],
    environment: &[],
    help: "the failed tests are named above",
};

/// A system that bundles are started on.
struct Machine {
    /// Names the command that starts programs there; CONTRIBUTING.md says how to have it.
    variable: &'static str,
    purpose: &'static str,
    /// The module of tests/tests/emulated that needs it.
    tests: &'static str,
}

const MACHINES: &[Machine] = &[
    Machine {
        variable: "GANGWAY_TEST_ARM64_GLIBC_2_31",
        purpose: "bundles on arm64 with glibc 2.31",
        tests: "arm64_glibc_2_31::",
    },
    Machine {
        variable: "GANGWAY_TEST_ARM64_GLIBC_2_36",
        purpose: "bundles on arm64 with glibc 2.36",
        tests: "arm64_glibc_2_36::",
    },
    Machine {
        variable: "GANGWAY_TEST_MUSL_X64",
        purpose: "bundles on a system with musl and nothing else",
        tests: "musl_x64::",
    },
    Machine {
        variable: "GANGWAY_TEST_WINDOWS_X64",
        purpose: "bundles on Windows",
        tests: "windows_x64::",
    },
];

/// The installation script in roots of one shell and a few programs each.
const SHELLS: Check<'_> = Check {
    purpose: "the installation script in five shells",
    arguments: &[
        "test",
        "--workspace",
        "--features",
        FOR_TESTS,
        "--profile",
        "xtask",
        "--test",
        "install_script",
        "--",
        "--ignored",
    ],
    environment: &[],
    help: "the failed tests are named above; CONTRIBUTING.md says what they need",
};

/// The scripts of a release, read by programs of others.
const SCRIPTS: Check<'_> = Check {
    purpose: "the scripts of a release by shellcheck and a grammar of PowerShell",
    arguments: &[
        "test",
        "--workspace",
        "--features",
        FOR_TESTS,
        "--profile",
        "xtask",
        "--test",
        "scripts",
        "--",
        "--ignored",
    ],
    environment: &[],
    help: "what was found is above; the scripts are in templates/",
};

/// A server that the shared cache is tried at.
struct Server {
    /// Names the command that starts it.
    variable: &'static str,
    purpose: &'static str,
    /// The module of tests/tests/shared_cache.rs that needs it.
    tests: &'static str,
}

const SERVERS: &[Server] = &[
    Server { variable: "GANGWAY_TEST_MOTO", purpose: "the shared cache at moto", tests: "moto::" },
    Server {
        variable: "GANGWAY_TEST_S3S_FS",
        purpose: "the shared cache at s3s-fs",
        tests: "s3s_fs::",
    },
];

const ADVISORIES: Check<'_> = Check {
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
    let checkout = programs::source_checkout().ok_or(CiError::NoCheckout)?;
    for check in CHECKS {
        start(context, checkout, check)?;
    }
    context.reporter.done("Checking", "inputs that nobody made");
    fuzz::run(context, None, FUZZ_SECONDS)?;
    device(context, checkout)?;
    scripts(context, checkout)?;
    shells(context, checkout)?;
    SERVERS.iter().try_for_each(|server| shared_cache(context, checkout, server))?;
    cross(context, checkout)?;
    advisories(context, checkout)
}

fn start(context: &Context, checkout: &Utf8Path, check: &Check<'_>) -> Result<(), CiError> {
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

/// A device needs an ssh server; `.ci/run` brings one.
fn device(context: &Context, checkout: &Utf8Path) -> Result<(), CiError> {
    if Utf8Path::new("/usr/sbin/sshd").is_file() {
        return start(context, checkout, &DEVICE);
    }
    let purpose = DEVICE.purpose;
    context.reporter.warn(format!("NOT CHECKED: {purpose}; there is no `/usr/sbin/sshd`"));
    Ok(())
}

/// uv brings the readers; `.ci/run` brings uv. There is no PowerShell to be had from a package registry.
fn scripts(context: &Context, checkout: &Utf8Path) -> Result<(), CiError> {
    context.reporter.warn("NOT CHECKED: `install.ps1` by PowerShell; it is only read, not run");
    if Command::new("uv").arg("--version").output().is_ok() {
        return start(context, checkout, &SCRIPTS);
    }
    context.reporter.warn(format!("NOT CHECKED: {}; there is no `uv`", SCRIPTS.purpose));
    Ok(())
}

/// Neither are five shells.
fn shells(context: &Context, checkout: &Utf8Path) -> Result<(), CiError> {
    const VARIABLE: &str = "GANGWAY_TEST_SHELLS";
    if context.variable(VARIABLE).is_some() {
        return start(context, checkout, &SHELLS);
    }
    let purpose = SHELLS.purpose;
    context
        .reporter
        .warn(format!("NOT CHECKED: {purpose}; `{VARIABLE}` names no folder with them"));
    Ok(())
}

/// Servers that speak S3 are not everybody's; `.ci/run` brings two.
fn shared_cache(context: &Context, checkout: &Utf8Path, server: &Server) -> Result<(), CiError> {
    let Server { variable, purpose, tests } = *server;
    if context.variable(variable).is_none() {
        context.reporter.warn(format!("NOT CHECKED: {purpose}; `{variable}` names no such server"));
        return Ok(());
    }
    let arguments = only("shared_cache", tests);
    let help = "the failed tests are named above; CONTRIBUTING.md says what they need";
    start(context, checkout, &Check { purpose, arguments: &arguments, environment: &[], help })
}

/// The ignored tests of one module of a test.
fn only<'a>(test: &'a str, module: &'a str) -> Vec<&'a str> {
    let compiled = ["test", "--workspace", "--features", FOR_TESTS, "--profile", "xtask"];
    [&compiled[..], &["--test", test, "--", "--ignored", module]].concat()
}

/// zig, cargo-zigbuild and Rust's standard libraries are not everybody's; `.ci/run` brings them.
fn cross(context: &Context, checkout: &Utf8Path) -> Result<(), CiError> {
    let triple = "aarch64-unknown-linux-musl";
    let lacking = toolchain::zig(context, triple)
        .and_then(|_| toolchain::zigbuild(context, triple))
        .and_then(|_| toolchain::standard_library(context, checkout, triple));
    if let Err(error) = lacking {
        let purposes = [CROSS.purpose].into_iter().chain(MACHINES.iter().map(|this| this.purpose));
        for purpose in purposes {
            context.reporter.warn(format!("NOT CHECKED: {purpose}; {error}"));
        }
        return Ok(());
    }
    start(context, checkout, &CROSS)?;
    MACHINES.iter().try_for_each(|machine| emulated(context, checkout, machine))
}

/// qemu and wine are not everybody's either.
fn emulated(context: &Context, checkout: &Utf8Path, machine: &Machine) -> Result<(), CiError> {
    let Machine { variable, purpose, tests } = *machine;
    if context.variable(variable).is_none() {
        context.reporter.warn(format!("NOT CHECKED: {purpose}; `{variable}` names no such system"));
        return Ok(());
    }
    let arguments = only("emulated", tests);
    let help = "the failed tests are named above; CONTRIBUTING.md says what they need";
    start(context, checkout, &Check { purpose, arguments: &arguments, environment: &[], help })
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

fn line(check: &Check<'_>) -> String {
    format!("cargo {}", check.arguments.join(" "))
}
